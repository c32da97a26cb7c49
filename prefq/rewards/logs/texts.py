"""Texts of items: written to a Parquet file as they come, each once, and read back where they are needed."""

import os
import secrets
import shutil
import tempfile
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np

from prefq.errors import StorageError
from prefq.rewards.group import Rows
from prefq.rewards.logs.draws import Hashes, digest, hashes_of
from prefq.vocabulary import reason_of

GROUP_ITEMS = 4096  # items of one row group: what is read to see one text
GROUP_CHARACTERS = 1 << 23  # characters after which a row group is closed whatever it holds
LONG_TEXT = 100_000  # characters from which on a text is counted as enormous: no encoder reads so far
PROMPT_CODE, PROMPT, RESPONSE = "prompt_code", "prompt", "response"


class ItemWriter:
    """Items and prompts, numbered in the order in which they come; equal ones get one number.

    Memory holds a digest of each, texts only until a row group is full. Use as a context: it closes the file, and
    removes the folder where something went wrong.
    """

    def __init__(self, folder: Path | None) -> None:
        # Named before it is made, so that it is removed even if the very making of it is interrupted.
        self.folder = Path(folder or tempfile.gettempdir(), f".prefq-{secrets.token_hex(8)}")
        self.path = self.folder / "items.parquet"
        self.items: dict[bytes, int] = {}
        self.prompts: dict[bytes, int] = {}
        self.n_long = self.n_empty = 0
        self.prompt_codes = array("q")
        self._texts: tuple[list[str], list[str]] = ([], [])
        self._n_characters = 0
        self._writer: Any = None

    def __enter__(self) -> "ItemWriter":
        try:
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            raise _unwritable(self.folder.parent, error) from error
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._close(is_whole=error is None)
        except BaseException:
            self._remove()
            raise
        if error is not None:
            self._remove()

    def finish(self) -> "TextFile":
        """Close the file, and give it for reading: it is removed when nobody holds that value any more."""
        self._close(is_whole=True)
        return TextFile(self.path, is_own=True)

    def prompt(self, text: str, prompt_id: str = "") -> bytes:
        """Digest of a prompt: of its text, or of its id where it has no text; UnicodeError for no Unicode."""
        return digest(b"\0", text.encode()) if text else digest(b"\1", prompt_id.encode())

    def item(self, prompt_digest: bytes, prompt: str, response: str) -> int:
        """Number of an item, new or not; UnicodeError for no Unicode, StorageError where it cannot be written."""
        key = digest(prompt_digest, response.encode())
        number = self.items.get(key)
        if number is None:
            number = self.items[key] = len(self.items)
            self.add(prompt_digest, prompt, response)
        return number

    def add(self, prompt_digest: bytes, prompt: str, response: str) -> None:
        """Write an item that is known to be new; StorageError where it cannot be written."""
        self.prompt_codes.append(self.prompts.setdefault(prompt_digest, len(self.prompts)))
        self._texts[0].append(prompt)
        self._texts[1].append(response)
        self.n_long += len(prompt) + len(response) >= LONG_TEXT
        self.n_empty += not response.strip()
        self._n_characters += len(prompt) + len(response)
        if len(self._texts[0]) >= GROUP_ITEMS or self._n_characters >= GROUP_CHARACTERS:
            self._flush()

    def take_hashes(self, seed: int) -> tuple[Hashes, Hashes]:
        """A number for each item and for each prompt; the digests, which are most of what is held, are let go."""
        found = hashes_of(self.items, seed, "item"), hashes_of(self.prompts, seed, "prompt")
        self.items.clear()
        self.prompts.clear()
        return found

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _close(self, *, is_whole: bool) -> None:
        if is_whole and (self._texts[0] or self._writer is None):
            self._flush()
        with _writing(self.path):
            if self._writer is not None:
                self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        table = pa.table(
            {
                PROMPT_CODE: pa.array(self.prompt_codes[len(self.prompt_codes) - len(self._texts[0]) :], pa.int64()),
                PROMPT: pa.array(self._texts[0], pa.large_string()),
                RESPONSE: pa.array(self._texts[1], pa.large_string()),
            }
        )
        with _writing(self.path):
            if self._writer is None:
                self._writer = parquet.ParquetWriter(
                    self.path, table.schema, compression="zstd", compression_level=1, use_dictionary=[PROMPT]
                )
            if table.num_rows:
                self._writer.write_table(table)
        self._texts, self._n_characters = ([], []), 0


class TextFile:
    """The file of an `ItemWriter`: prompt codes at once, texts where they are needed.

    Parameters
    ----------
    path
        Of the file. It must not change while it is in use.
    is_own
        Whether it is temporary: its folder is removed when nobody holds this value any more.
    """

    def __init__(self, path: Path, *, is_own: bool = False) -> None:
        from pyarrow import parquet

        self.path, self.is_own = path, is_own
        self._metadata = parquet.read_metadata(path)
        sizes = [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist()
        if is_own:
            weakref.finalize(self, shutil.rmtree, path.parent, ignore_errors=True)

    def __len__(self) -> int:
        return int(self._metadata.num_rows)

    def copy_to(self, path: Path) -> None:
        """The same file at another place; OSError where it cannot be written."""
        if self.is_own:
            try:
                return os.link(self.path, path)  # nobody else has the temporary file: no need to copy it
            except OSError:  # another disk, or one without links
                pass
        shutil.copyfile(self.path, path)
        return None

    def prompt_codes(self) -> Rows:
        """A number for each item's prompt (n_items,)."""
        return np.asarray(self._read(None, PROMPT_CODE).to_numpy(), dtype=np.int64)

    def texts(self, column: str, start: int, stop: int) -> list[str]:
        """Texts of the items from `start` to before `stop`."""
        first = bisect_right(self._starts, start) - 1
        last = bisect_right(self._starts, max(stop - 1, start))
        found = self._read(list(range(first, last)), column)
        chosen: list[str] = found.slice(start - self._starts[first], stop - start).to_pylist()
        return chosen

    def group_of(self, item: int) -> tuple[int, int]:
        """First item, and one after the last, of the row group that an item is in."""
        group = bisect_right(self._starts, item) - 1
        return self._starts[group], self._starts[group + 1]

    def _read(self, groups: list[int] | None, column: str) -> Any:
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path, metadata=self._metadata) as file:
                table = file.read([column]) if groups is None else file.read_row_groups(groups, [column])
        except (OSError, ValueError) as error:
            raise StorageError(
                f"texts in {str(self.path)!r} cannot be read ({reason_of(error)}); import the log again."
            ) from error
        return table[column]


class TextColumn(Sequence[str]):
    """Prompts or responses of a `TextFile` as a sequence that holds no more than one row group in memory."""

    def __init__(self, file: TextFile, column: str) -> None:
        self.file, self.column = file, column
        self._start, self._held = 0, list[str]()

    def __len__(self) -> int:
        return len(self.file)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return [self[item] for item in range(start, stop, step)]
            return self.file.texts(self.column, start, stop) if start < stop else []
        item = index + len(self) if index < 0 else index
        if not 0 <= item < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        if not self._start <= item < self._start + len(self._held):
            self._start, stop = self.file.group_of(item)
            self._held = self.file.texts(self.column, self._start, stop)
        return self._held[item - self._start]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), GROUP_ITEMS):
            yield from self[start : start + GROUP_ITEMS]


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> StorageError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StorageError(f"texts cannot be written to {str(folder)!r} ({reason}); free space, or give another folder.")
