"""Folders of base rewards: a manifest with checksums, and the files beside it; what is in them is the rewards' own.

rewards.json   kind and format version, the fields of the rewards, the SHA-256 of each file beside it, and a checksum
               over its own fields
encoder        a folder, where the rewards have an encoder of their own
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prefq.errors import InputError, NotFoundError, StorageError
from prefq.pool import manifests
from prefq.pool.manifests import FolderKind, manifest_of, read_listed, read_manifest
from prefq.vocabulary import shown

MANIFEST = "rewards.json"
ENCODER = "encoder"  # folder of an encoder that was tuned for the rewards, and moves with them
AGAIN = "fetch or make the rewards again"
KINDS = LINEAR, SCORES, STYLE = ("prefq linear rewards", "prefq score rewards", "prefq style rewards")


def kind_of(folder: Path) -> str | None:
    """The kind that the manifest names; None where there is no manifest that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return str(manifest.get("kind")) if isinstance(manifest, dict) else None


def read_folder(
    folder: Path, kind: str, versions: Mapping[str, int], names: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest of rewards, and the content of each file of these names, all checked.

    Parameters
    ----------
    folder
        That `write_folder` wrote.
    kind
        Which rewards are expected.
    versions
        Fields of the manifest that are versions, and the one that this prefq reads.
    names
        The files beside the manifest.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When it is no folder of these rewards, is incomplete, was changed, or was written by a newer prefq.
    StorageError
        When a file cannot be read.
    """
    if not folder.exists():
        raise NotFoundError(f"there are no rewards in {str(folder)!r}; give 'starter', or a folder of rewards.")
    of = _of_rewards(kind, versions)
    try:
        manifest = read_manifest(folder, of)
        listed = manifest.get("files")
        digests = listed if isinstance(listed, dict) else {}
        contents = {name: read_listed(folder, name, digests.get(name), of) for name in names}
    except OSError as error:
        raise StorageError(f"the rewards in {str(folder)!r} cannot be read ({error.strerror}).") from error
    return manifest, contents


def write_folder(folder: str | os.PathLike[str], fields: Mapping[str, Any], contents: Mapping[str, bytes]) -> None:
    """Write a folder that `read_folder` reads: all files beside their places, which they then take, the manifest last.

    So rewards that are there stay where the disk is full. An interruption between two files that take their places
    leaves a folder that is refused as changed, never a mixture that is read. Other files in the folder stay.

    Raises
    ------
    StorageError
        When the folder cannot be written.
    """
    listed = dict(fields) | {"files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}}
    files = {Path(folder, name): content for name, content in {**contents, MANIFEST: manifest_of(listed)}.items()}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            _write(_beside(path), content)
        for path in files:
            _beside(path).replace(path)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        for path in files:
            with suppress(OSError):  # what cannot be written to has nothing to be taken away
                _beside(path).unlink()


def require_replaceable(folder: Path) -> None:
    """Raise InputError where `replacing_rewards` would lose something else than rewards."""
    manifests.require_replaceable(folder, _there(folder), beside=(ENCODER,))


@contextmanager
def replacing_rewards(folder: Path) -> Iterator[Path]:
    """A new folder to save rewards in; it then takes the place of `folder`, of which nothing is left.

    Raises
    ------
    InputError
        When something would be lost that is no part of rewards.
    StorageError
        When the folder cannot be written; what was there stays.
    """
    try:
        with manifests.replacing(folder, _there(folder), beside=(ENCODER,)) as new:
            yield new
    except OSError as error:
        raise _unwritable(folder, error) from error
    except StorageError as error:  # its sentence is of the new folder
        if isinstance(error.__cause__, OSError):
            raise _unwritable(folder, error.__cause__) from error
        raise


def json_copy(report: Mapping[str, Any]) -> Any:
    """The report of how rewards were made, as JSON has it; InputError where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(dict(report), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"report is {shown(report)}, which JSON cannot hold ({error}); give JSON values.") from None


def _of_rewards(kind: str, versions: Mapping[str, int]) -> FolderKind:
    given = "'starter', or a folder that rewards were saved in"
    return FolderKind(kind, MANIFEST, versions, "rewards", "the rewards", given, AGAIN)


def _there(folder: Path) -> FolderKind:
    """What rewards are in a folder, of whatever kind and version."""
    kind = kind_of(folder)
    return _of_rewards(kind if kind in KINDS else KINDS[0], {})


def _unwritable(folder: str | os.PathLike[str], error: OSError) -> StorageError:
    return StorageError(
        f"the rewards cannot be written to {os.fspath(folder)!r} ({error.strerror}); free space, or give a folder that "
        "can be written."
    )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
