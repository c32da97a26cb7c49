"""Files and folders that commands write results to: what is there already is replaced only where --force says so."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file or folder that is there already.")]


def require_folder(file: Path | None) -> None:
    """Raise NotFoundError if the folder of a file to be written is not there."""
    from prefq.errors import NotFoundError

    if file is not None and not file.parent.is_dir():
        raise NotFoundError(f"{str(file)!r} cannot be written: there is no folder {str(file.parent)!r}; make it first.")


def require_free(path: Path | None, *, force: bool) -> None:
    """Raise InputError if there is a file or a folder with something in it, unless it may be replaced."""
    from prefq.errors import InputError

    if path is None or force:
        return
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise InputError(f"{str(path)!r} is there already; give another name, or --force to replace it.")


def require_outside(folder: Path, given: Mapping[str, str | Path | None]) -> None:
    """Raise InputError if a path that an option gives lies in a folder that will be replaced whole."""
    from prefq.errors import InputError

    for option, path in given.items():
        if path is not None and Path(path).resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{option} is {str(path)!r}, which lies in {str(folder)!r} and would be lost when that is replaced; "
                "move it, or give another --out."
            )


def require_writable(folder: Path) -> None:
    """Raise StorageError unless a folder can be written, or made, here: before hours of work, not after."""
    from prefq.errors import StorageError

    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".prefq-", dir=place):
            pass
    except OSError as error:
        raise StorageError(
            f"{str(folder)!r} cannot be written ({error.strerror}: {str(place)!r}); give a folder that can be."
        ) from error


def write_file(path: Path, content: str) -> None:
    """Write a text and an end of line to a file; StorageError if it cannot be written."""
    from prefq.errors import StorageError

    try:
        path.write_text(content + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{str(path)!r} cannot be written ({error.strerror}); give another file.") from error
