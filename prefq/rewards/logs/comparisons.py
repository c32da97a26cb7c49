"""TextComparisons: a group's comparisons with their texts, parts and report, in memory and as a folder.

The folder, format version 1:

manifest.json        what it is, the import report, the size and SHA-256 of each file beside it, and a checksum
comparisons.parquet  first, second (rows of items), outcome, user, and strength and task where there are any
users.parquet        user_id, part (0 train, 1 validation, 2 test); in the order of their numbers
prompts.parquet      part of each prompt code
items.parquet        prompt_code, prompt, response; in the order of their numbers

How a log becomes this is told in `prefq.rewards.logs.importing`.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from prefq.errors import InputError, NotFoundError, PrefqError, StorageError
from prefq.pool.manifests import FolderKind, changed, manifest_of, missing, read_manifest, replacing
from prefq.rewards.group import GroupComparisons, Rows
from prefq.rewards.logs.report import ImportReport
from prefq.rewards.logs.splits import Splits
from prefq.rewards.logs.texts import PROMPT, RESPONSE, TextColumn, TextFile
from prefq.vocabulary import reason_of

FORMAT_VERSION = 1
MANIFEST, COMPARISONS, USERS, PROMPTS = "manifest.json", "comparisons.parquet", "users.parquet", "prompts.parquet"
ITEMS = "items.parquet"
FILES = (COMPARISONS, USERS, PROMPTS, ITEMS)
OF_COMPARISONS = FolderKind(
    "prefq comparisons",
    MANIFEST,
    MappingProxyType({"format_version": FORMAT_VERSION}),
    "comparisons",
    "the comparisons",
    "a folder that prefq data import wrote",
    "import the log again",
)


@dataclass(frozen=True, slots=True, eq=False)
class TextComparisons:
    """What people preferred, and the texts.

    Parameters
    ----------
    group
        Comparisons by rows of items.
    prompts, responses : (n_items,)
        Texts, which are read from their file where they are asked for: take slices, and do not make lists of them.
    report
        What the import found.
    splits
        Part of each user and prompt.
    """

    group: GroupComparisons
    prompts: TextColumn
    responses: TextColumn
    report: ImportReport
    splits: Splits

    @property
    def train(self) -> Rows:
        """Rows of comparisons to learn from: train users on train prompts."""
        return self.splits.train(self.group)

    @property
    def validation(self) -> Rows:
        """Rows of comparisons to choose options by: validation users on train prompts."""
        return self.splits.validation(self.group)

    @property
    def test(self) -> Rows:
        """Rows of comparisons to test on: test users, on test prompts where prompts are split."""
        return self.splits.test(self.group)

    @property
    def history(self) -> Rows:
        """Rows of test users on train prompts, to learn their taste from before `test`; see `Splits.history`."""
        return self.splits.history(self.group)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder that `load_comparisons` reads.

        The files are written into a temporary folder beside it, which then takes its place in one rename. Comparisons
        that are already there are replaced; if that fails, they stay.

        Raises
        ------
        InputError
            When the folder holds anything else than comparisons.
        StorageError
            When the folder cannot be written.
        """
        shown = Path(folder)
        try:
            with replacing(shown, OF_COMPARISONS) as new:
                self._write(new)
        except PrefqError:
            raise
        except OSError as error:
            raise StorageError(
                f"the comparisons cannot be written to {str(shown)!r} ({error.strerror or error}); give a folder that "
                "can be written, on a disk with space."
            ) from error

    def _write(self, folder: Path) -> None:
        group = self.group
        first, second = group.pairs.T
        columns = {"first": first, "second": second, "outcome": group.outcomes, "user": group.users}
        optional = {"strength": group.strengths, "task": group.tasks}
        columns |= {name: values for name, values in optional.items() if values is not None}
        _write_table(folder / COMPARISONS, columns)
        _write_table(folder / USERS, {"user_id": list(group.user_ids), "part": self.splits.users})
        _write_table(folder / PROMPTS, {"part": self.splits.prompts})
        self.prompts.file.copy_to(folder / ITEMS)
        files = {name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)} for name in FILES}
        fields = {
            "kind": OF_COMPARISONS.kind,
            "format_version": FORMAT_VERSION,
            "n_items": group.n_items,
            "report": self.report.to_dict(),
            "files": files,
        }
        (folder / MANIFEST).write_bytes(manifest_of(fields))


def load_comparisons(folder: str | os.PathLike[str]) -> TextComparisons:
    """Read comparisons that `TextComparisons.save` wrote.

    Files are checked against their SHA-256, about a second a gigabyte; texts are then read where they are needed: the
    folder must not change while the value is in use.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When the folder holds no comparisons, or some that are incomplete, were changed, or are of a newer prefq.
    StorageError
        When a file cannot be read.
    """
    path = Path(folder)
    if not path.exists():
        raise NotFoundError(f"there is no folder {str(path)!r}; give one that prefq data import wrote.")
    try:
        manifest = read_manifest(path, OF_COMPARISONS)
        _require_unchanged(path, manifest["files"])
        return _loaded(path, manifest)
    except OSError as error:
        raise StorageError(f"the comparisons in {str(path)!r} cannot be read ({error.strerror or error}).") from error
    except PrefqError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the comparisons in {str(path)!r} cannot be used ({reason_of(error)}); {OF_COMPARISONS.again}."
        ) from error


def _loaded(path: Path, manifest: Mapping[str, Any]) -> TextComparisons:
    columns, users = _read_table(path / COMPARISONS), _read_table(path / USERS)
    texts = TextFile(path / ITEMS)
    group = GroupComparisons(
        np.column_stack([columns["first"].to_numpy(), columns["second"].to_numpy()]),
        columns["outcome"].to_numpy(),
        columns["user"].to_numpy(),
        tuple(users["user_id"].to_pylist()),
        texts.prompt_codes(),
        columns["strength"].to_numpy() if "strength" in columns else None,
        columns["task"].to_numpy() if "task" in columns else None,
    )
    splits = Splits(users["part"].to_numpy(), _read_table(path / PROMPTS)["part"].to_numpy())
    report = ImportReport.from_dict(manifest["report"])
    return TextComparisons(group, TextColumn(texts, PROMPT), TextColumn(texts, RESPONSE), report, splits)


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(dict(columns)), path)


def _read_table(path: Path) -> dict[str, Any]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    return {name: table[name] for name in table.column_names}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_unchanged(folder: Path, files: Mapping[str, Any]) -> None:
    for name in FILES:
        path, known = folder / name, files[name]
        if not path.is_file():
            raise missing(folder, name, OF_COMPARISONS)
        if path.stat().st_size != known["bytes"] or _sha256(path) != known["sha256"]:
            raise changed(folder, name, OF_COMPARISONS)
