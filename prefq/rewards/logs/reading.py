"""Rows of a log, a batch at a time: Parquet, JSON lines, CSV, folders of such files, and folders of `datasets`.

What the columns mean is told in `prefq.rewards.logs.columns`.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from prefq.errors import InputError, NotFoundError, StorageError
from prefq.vocabulary import reason_of

BATCH = 256  # rows that are held as texts at a time; of JSON lines as many as fill `BATCH_BYTES`
BATCH_BYTES = 1 << 20
MAX_FIELD = 1 << 24  # characters of a CSV field: where a quote is left open, the rest of the file would be one
ROWS_FOR_COLUMNS = 100  # lines of JSON whose keys are taken for the columns
KNOWN = "Parquet (.parquet), JSON lines (.jsonl), CSV (.csv), a folder of such files, or a folder of datasets"
NO_OBJECT, NOT_UTF8 = "a line that is no JSON object", "text that is not UTF-8"
NOT_AS_WIDE = "not as many fields as the first line"

Values = tuple[Any, ...]


class Batch(NamedTuple):
    """Rows of one file that follow one another: values of the wanted columns, what is wrong, or None for no row."""

    source: str
    first_row: int  # in its file, from 1; of JSON lines the line
    rows: Sequence[Values | str | None]


@dataclass(frozen=True, slots=True)
class Log:
    """A log that was found and not yet read.

    Parameters
    ----------
    name
        Of the file or folder.
    n_bytes
        Of all its files.
    columns
        That it has; of JSON lines the keys of the first lines.
    read
        Gives the rows in batches, with the values of the columns that are named to it.
    """

    name: str
    n_bytes: int
    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[Batch]]


def open_log(path: Path, *, dataset_split: str | None = None) -> Log:
    """Find a log and its columns.

    Parameters
    ----------
    path
        A file, a folder of files of one kind, or a folder that `datasets` saved.
    dataset_split
        Which part of a folder of several data sets to read; all of them if None.

    Raises
    ------
    NotFoundError
        When there is nothing of this name.
    InputError
        When it is of no known kind, holds nothing, or cannot be read as what its name says.
    StorageError
        When a file cannot be read.
    """
    if not path.exists():
        raise NotFoundError(f"there is no file or folder {str(path)!r}; give {KNOWN}.")
    if path.is_dir() and any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _datasets(path, dataset_split)
    if dataset_split is not None:
        raise InputError(f"{path.name} is no folder of datasets, so it has no part {dataset_split!r} to choose.")
    files = _files(path)
    columns, rows = _KINDS[files[0].suffix]
    with _reading(files[0]):
        found = tuple(columns(files[0]))
    if not found:
        raise InputError(f"{files[0].name} is empty; give a file with at least one row.")
    n_bytes = sum(file.stat().st_size for file in files)
    return Log(path.name, n_bytes, found, partial(_of_files, files, rows))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into InputError or StorageError, which name the file."""
    try:
        yield
    except InputError:
        raise
    except PermissionError as error:
        raise StorageError(f"{path.name} cannot be read ({error.strerror}); check its access.") from error
    except (OSError, csv.Error, ValueError) as error:
        raise InputError(f"{path.name} cannot be read ({reason_of(error)}); give {KNOWN}.") from error


def _files(path: Path) -> list[Path]:
    """The files of a log in the order of their names; all of one kind."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix in _KINDS)
    kinds = {file.suffix for file in files}
    if len(kinds) > 1:
        raise InputError(
            f"folder {path.name} holds files of several kinds ({', '.join(sorted(kinds))}); give one kind."
        )
    if not kinds or not kinds <= set(_KINDS):
        raise InputError(f"{path.name} is of no known kind; give {KNOWN}.")
    return files


def _of_files(files: Sequence[Path], rows: "_Rows", wanted: Sequence[str]) -> Iterator[Batch]:
    for file in files:
        with _reading(file):
            yield from rows(file, wanted)


def _require(wanted: Sequence[str], there: Iterable[str], path: Path) -> None:
    there = set(there)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise InputError(
            f"{path.name} has no column {missing[0]!r} as the files before it have; give files of one kind."
        )


def _parquet_columns(path: Path) -> Sequence[str]:
    from pyarrow import parquet

    names: Sequence[str] = parquet.read_schema(path).names
    return names


def _parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[Batch]:
    from pyarrow import parquet

    _require(wanted, _parquet_columns(path), path)
    # With a buffer a column is read piece by piece; without one all of a row group's texts are in memory at once.
    with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        row = 1
        for batch in file.iter_batches(BATCH, columns=list(wanted), use_threads=False):
            yield Batch(path.name, row, _rows_of([batch.column(name) for name in wanted]))
            row += batch.num_rows


def _rows_of(columns: Sequence[Any]) -> list[Values | str | None]:
    """Rows of Arrow columns; where a text is not UTF-8, cell by cell."""
    try:
        return list(zip(*(column.to_pylist() for column in columns), strict=True))
    except UnicodeDecodeError:
        return [_row_of(cells) for cells in zip(*columns, strict=True)]


def _row_of(cells: Sequence[Any]) -> Values | str:
    try:
        return tuple(cell.as_py() for cell in cells)
    except UnicodeDecodeError:
        return NOT_UTF8


def _jsonl_columns(path: Path) -> Sequence[str]:
    with path.open("rb") as file:
        lines = [_object(line) for line in islice(file, ROWS_FOR_COLUMNS)]
    names = dict.fromkeys(name for line in lines if isinstance(line, dict) for name in line)
    if not names and any(isinstance(line, str) for line in lines):
        raise InputError(f"{path.name} begins with {ROWS_FOR_COLUMNS} lines of which none is a JSON object.")
    return tuple(names)


def _jsonl_rows(path: Path, wanted: Sequence[str]) -> Iterator[Batch]:
    with path.open("rb") as file:
        row = 1
        while lines := file.readlines(BATCH_BYTES):
            found = [_object(line) for line in lines]
            yield Batch(path.name, row, [_picked(line, wanted) if isinstance(line, dict) else line for line in found])
            row += len(lines)


def _picked(line: Mapping[str, Any], wanted: Sequence[str]) -> Values:
    return tuple(line.get(name) for name in wanted)


def _object(line: bytes) -> dict[str, Any] | str | None:
    """The object in a line, what is wrong with it, or None for an empty line."""
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return NOT_UTF8
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return NO_OBJECT
    return found if isinstance(found, dict) else NO_OBJECT


def _csv_columns(path: Path) -> Sequence[str]:
    with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
        return tuple(next(csv.reader(file), ()))


def _csv_rows(path: Path, wanted: Sequence[str]) -> Iterator[Batch]:
    limit = csv.field_size_limit(MAX_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            _require(wanted, header, path)
            places, row = [header.index(name) for name in wanted], 1
            while lines := list(islice(reader, BATCH)):
                yield Batch(path.name, row, [_csv_row(line, places, len(header)) for line in lines])
                row += len(lines)
    finally:
        csv.field_size_limit(limit)


def _csv_row(line: Sequence[str], places: Sequence[int], n_fields: int) -> Values | str | None:
    if not line:
        return None
    if len(line) != n_fields:
        return NOT_AS_WIDE
    return tuple(line[place] for place in places)


def _datasets(path: Path, dataset_split: str | None) -> Log:
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise InputError(f"{path.name} is a folder of datasets; to read it: pip install 'prefq[data]'.") from error
    with _reading(path):
        found = load_from_disk(str(path))
    parts = dict(found) if isinstance(found, DatasetDict) else {"": found}
    if dataset_split is not None:
        if dataset_split not in parts:
            named = ", ".join(map(repr, filter(None, parts))) or "one part without a name"
            raise InputError(
                f"{path.name} has no part {dataset_split!r}; it has {named}: choose one (--dataset-split)."
            )
        parts = {dataset_split: parts[dataset_split]}
    n_bytes = sum(file.stat().st_size for file in path.rglob("*.arrow"))
    columns = next(iter(parts.values())).column_names if parts else ()
    return Log(path.name, n_bytes, tuple(columns), partial(_of_datasets, path, parts))


def _of_datasets(path: Path, parts: Mapping[str, Any], wanted: Sequence[str]) -> Iterator[Batch]:
    for name, part in parts.items():
        source = f"{path.name}/{name}" if name else path.name
        with _reading(path):
            _require(wanted, part.column_names, Path(source))
            row = 1
            for table in part.select_columns(list(wanted)).with_format("arrow").iter(BATCH):
                yield Batch(source, row, _rows_of([table.column(name) for name in wanted]))
                row += table.num_rows


_Rows = Callable[[Path, Sequence[str]], Iterator[Batch]]
_KINDS: Mapping[str, tuple[Callable[[Path], Sequence[str]], _Rows]] = {
    ".parquet": (_parquet_columns, _parquet_rows),
    ".jsonl": (_jsonl_columns, _jsonl_rows),
    ".csv": (_csv_columns, _csv_rows),
}
