"""One process at a time, by a file that the system frees when the process ends, however it ends.

`locked` holds such a file; `parts_of` a folder of what is made on the way to something, which one process fills.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from prefq.errors import StorageError

LOCK = "busy.lock"
KEPT = "*.safetensors"  # what a later run goes on from


@contextmanager
def parts_of(out: Path, doing: str) -> Iterator[Path]:
    """The folder ``OUT.parts``, for this process alone; it goes when all is done, or when an ended run left nothing.

    Parameters
    ----------
    out
        What is being made.
    doing
        What another process is doing to it, such as ``building``.

    Raises
    ------
    StorageError
        When another process holds it, or it cannot be written.
    """
    named = out if out.name else out.absolute()  # the folder that one is in has a name only so
    parts = named.with_name(f"{named.name}.parts")
    busy = f"another process is {doing} {str(out)!r} ({LOCK} in {str(parts)!r} is locked); wait until it is done."
    with ExitStack() as held:
        try:
            parts.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(parts / LOCK, busy))
            for left in parts.glob(".prefq-*"):
                shutil.rmtree(left)
        except OSError as error:
            raise StorageError(f"{str(parts)!r} cannot be written ({error.strerror}); give another folder.") from error
        try:
            yield parts
        except BaseException:
            if not any(parts.rglob(KEPT)):
                shutil.rmtree(parts, ignore_errors=True)
            raise
        shutil.rmtree(parts, ignore_errors=True)


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there, and stays.

    Raises
    ------
    StorageError
        With the sentence `busy`, when another process holds it.
    OSError
        When the file cannot be made.
    """
    with path.open("ab") as file:
        try:
            _lock(file)
        except OSError:
            raise StorageError(busy) from None
        yield


def _lock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
