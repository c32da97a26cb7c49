"""Folders with a manifest: written whole, replaced only by their like, read only as they were written.

Pools, comparisons of a group and base rewards are such folders; what is in each is told where it is made. A manifest
has the kind and the version of the folder, the digests of the files beside it, and a checksum over its own fields.
"""

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from prefq.errors import InputError


class FolderKind(NamedTuple):
    """What a folder holds, and the words to say it in.

    kind is what the manifest says; manifest the name of its file; versions the fields that are versions, with the ones
    that this prefq reads. one and whole are what such a folder holds ("a pool", "the pool"); given is what to give
    instead of another folder, and again what to do where one was damaged.
    """

    kind: str
    manifest: str
    versions: Mapping[str, int]
    one: str
    whole: str
    given: str
    again: str


def checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the fields of a manifest without its checksum, however they are ordered and spaced."""
    fields = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def manifest_of(fields: Mapping[str, Any]) -> bytes:
    """Content of a manifest with these fields."""
    told = {**fields, "checksum": checksum(fields)}
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_manifest(folder: Path, of: FolderKind) -> dict[str, Any]:
    """The fields of a folder's manifest; its kind, versions and checksum are as they should be.

    Raises
    ------
    InputError
        When it is not there, was changed, or is of something else or a newer prefq.
    OSError
        When it cannot be read.
    """
    manifest = _manifest(folder, of)
    if manifest.get("checksum") != checksum(manifest):
        raise InputError(f"{_place(folder, of)} was changed after it was written; {of.again}.")
    return manifest


def read_listed(folder: Path, name: str, digest: object, of: FolderKind) -> bytes:
    """Content of a file, checked on the very bytes that are used against the SHA-256 in the manifest.

    Raises
    ------
    InputError
        When it is not there, or was changed.
    OSError
        When it cannot be read.
    """
    path = folder / name
    if not path.is_file():
        raise missing(folder, name, of)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise changed(folder, name, of)
    return content


def missing(folder: Path, name: str, of: FolderKind) -> InputError:
    """That a file is not there."""
    return InputError(f"{name} of {of.whole} in {str(folder)!r} is not there; {of.again}.")


def changed(folder: Path, name: str, of: FolderKind) -> InputError:
    """That a file is not as it was written."""
    return InputError(
        f"{name} of {of.whole} in {str(folder)!r} was changed or cut short after it was written (its SHA-256 is not "
        f"the one in the manifest); {of.again}."
    )


def require_replaceable(folder: Path, of: FolderKind, *, beside: Collection[str] = ()) -> None:
    """Raise InputError where something would be lost if a new folder took the place of this one.

    That is anything but the manifest, the files that it lists, and names that may be `beside`.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; give the name of a folder to save {of.whole} in.")
    names = {path.name for path in folder.iterdir()}
    if of.manifest in names:
        files = _manifest(folder, of).get("files")  # one that was changed may be replaced too
        names -= {of.manifest, *beside, *(files if isinstance(files, dict) else ())}
    if names:
        raise InputError(
            f"folder {str(folder)!r} holds {min(names)!r}, which is no part of {of.one} and would be lost; give a new "
            f"or empty folder, or one that holds nothing but {of.one}."
        )


@contextmanager
def replacing(folder: Path, of: FolderKind, *, beside: Collection[str] = ()) -> Iterator[Path]:
    """A new folder to write to; afterwards it takes the place of `folder` in one rename.

    No reader ever sees half of it; where writing fails, what was there stays. A link to a folder stays a link.

    Raises
    ------
    InputError
        As `require_replaceable` does.
    OSError
        When it cannot be written.
    """
    require_replaceable(folder, of, beside=beside)
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prefq-", dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        yield new
        _put_in_place(new, target, old)


def _manifest(folder: Path, of: FolderKind) -> dict[str, Any]:
    """The manifest; its kind and versions are as they should be."""
    path, name = folder / of.manifest, _place(folder, of)
    if not path.is_file():
        raise InputError(f"folder {str(folder)!r} holds no {of.manifest}; give {of.given}.")
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict):
        raise InputError(f"{name} is no JSON object; it was damaged or cut short, so {of.again}.")
    if manifest.get("kind") != of.kind:
        raise InputError(f"{name} is not that of {of.one} (its kind is {manifest.get('kind')!r}, not {of.kind!r}).")
    for field, known in of.versions.items():
        version = manifest.get(field)
        if isinstance(version, int) and version > known:
            raise InputError(f"{name} has {field} {version}, and this prefq reads up to {known}; install a newer one.")
        if version != known:
            raise InputError(f"{name} has {field} {version!r}, and this prefq reads {known}; {of.again}.")
    return manifest


def _place(folder: Path, of: FolderKind) -> str:
    return f"{of.manifest} in {str(folder)!r}"


def _put_in_place(new: Path, target: Path, old: Path) -> None:
    """Rename `new` to `target`, what is there to `old`; if that fails or is interrupted, back again."""
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
