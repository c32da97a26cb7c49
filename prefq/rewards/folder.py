"""Folders of base rewards: a manifest with checksums, and the files beside it; what is in them is the rewards' own.

rewards.json   kind and format version, the fields of the rewards, the SHA-256 of each file beside it, and a checksum
               over its own fields
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefq.errors import InputError, NotFoundError, StorageError
from prefq.pool.files import checksum
from prefq.vocabulary import shown

MANIFEST = "rewards.json"
AGAIN = "fetch or make the rewards again"


def kind_of(folder: Path) -> object:
    """The kind that the manifest names; None where there is no manifest that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return manifest.get("kind") if isinstance(manifest, dict) else None


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
    try:
        manifest = _read_manifest(folder, kind, versions)
        contents = {name: _read_listed(folder, name, manifest.get("files")) for name in names}
    except OSError as error:
        raise StorageError(f"the rewards in {str(folder)!r} cannot be read ({error.strerror}).") from error
    return manifest, contents


def write_folder(
    folder: str | os.PathLike[str], fields: Mapping[str, Any], contents: Mapping[str, bytes], *, indent: int = 1
) -> None:
    """Write a folder that `read_folder` reads: all files beside their places, which they then take, the manifest last.

    So rewards that are there stay where the disk is full. An interruption between two files that take their places
    leaves a folder that is refused as changed, never a mixture that is read. Other files in the folder stay.

    Raises
    ------
    StorageError
        When the folder cannot be written.
    """
    listed = dict(fields) | {"files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}}
    text = json.dumps(listed | {"checksum": checksum(listed)}, ensure_ascii=False, allow_nan=False, indent=indent)
    files = {Path(folder, name): content for name, content in {**contents, MANIFEST: (text + "\n").encode()}.items()}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            _write(_beside(path), content)
        for path in files:
            _beside(path).replace(path)
    except OSError as error:
        raise StorageError(
            f"the rewards cannot be written to {str(folder)!r} ({error.strerror}); free space, or give a folder that "
            "can be written."
        ) from error
    finally:
        for path in files:
            if path.parent.is_dir():
                _beside(path).unlink(missing_ok=True)


def json_copy(report: Mapping[str, Any]) -> Any:
    """The report of how rewards were made, as JSON has it; InputError where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(dict(report), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"report is {shown(report)}, which JSON cannot hold ({error}); give JSON values.") from None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_manifest(folder: Path, kind: str, versions: Mapping[str, int]) -> dict[str, Any]:
    """The manifest, with kind, versions and checksum checked."""
    path, of_rewards = folder / MANIFEST, f"{MANIFEST} in {str(folder)!r}"
    if not path.is_file():
        raise InputError(
            f"{str(folder)!r} holds no {MANIFEST}; give 'starter', or a folder that rewards were saved in."
        )
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        raise InputError(f"{of_rewards} is no JSON object; it was damaged or cut short, so fetch or make it again.")
    if manifest.get("kind") != kind:
        raise InputError(f"{of_rewards} is not of rewards (its kind is {manifest.get('kind')!r}, not {kind!r}).")
    for name, known in versions.items():
        version = manifest.get(name)
        if isinstance(version, int) and version > known:
            raise InputError(
                f"{of_rewards} has {name} {version}, and this prefq reads up to {known}; install a newer one."
            )
        if version != known:
            raise InputError(
                f"{of_rewards} has {name} {version!r}, and this prefq reads {known}; make the rewards again."
            )
    if manifest.get("checksum") != checksum(manifest):
        raise InputError(f"{of_rewards} was changed after it was written; {AGAIN}.")
    return manifest


def _read_listed(folder: Path, name: str, listed: object) -> bytes:
    """Content of a file, checked on the very bytes that are used."""
    path = folder / name
    if not path.is_file():
        raise InputError(f"the rewards in {str(folder)!r} lack their file {name}; fetch or make them again.")
    content = path.read_bytes()
    if not isinstance(listed, dict) or hashlib.sha256(content).hexdigest() != listed.get(name):
        raise InputError(f"{name} of the rewards in {str(folder)!r} was changed or cut short; {AGAIN}.")
    return content
