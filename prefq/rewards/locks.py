"""locked: one process at a time, by a file that the system frees when the process ends, however it ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from prefq.errors import StorageError


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
