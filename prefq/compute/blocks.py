"""Blocks of work, the shards that their results are kept in, and what an engine is.

An engine is one callable, `MapBlocks`. It does the blocks that have no shard yet, so a run that was ended goes on where
it was, and a block that two workers do is done twice with the same result.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prefq.errors import StorageError

Arrays = Mapping[str, NDArray[Any]]
Work = Callable[[Any], Arrays]
"""What is done with the content of a block; it gives arrays by name, the same ones for the same content."""


class Block(NamedTuple):
    """A part of the work.

    Attributes
    ----------
    key
        SHA-256 of everything that the result depends on, hexadecimal.
    content
        What the work is done on. Where the engine uses several machines it is sent to them: let it be small, such as
        the place of a file that all of them can read.
    """

    key: str
    content: Any


class MapBlocks(Protocol):
    """An engine: does the work on every block."""

    def __call__(
        self,
        make_work: Callable[[], Work],
        blocks: Sequence[Block],
        folder: Path,
        *,
        on_done: Callable[[Block], None] | None = None,
    ) -> None:
        """Do the work on each block that has no shard, and write its shard.

        Parameters
        ----------
        make_work
            Called once in each worker, for what takes long to prepare; must survive pickling.
        blocks
            With keys that differ where contents do.
        folder
            Of the shards; it is there, and every worker can write to it.
        on_done
            Told of each block that was done, in any order, in the process that called; may raise to end the run.

        Raises
        ------
        PrefqError
            What the work raised.
        StorageError
            When a shard cannot be written.
        """


def shard_path(folder: Path, block: Block) -> Path:
    """The file that holds the result of a block."""
    return folder / f"{block.key}.safetensors"


def missing(blocks: Sequence[Block], folder: Path) -> list[Block]:
    """The blocks without a whole shard, one of each key."""
    one_of_each = {block.key: block for block in blocks}
    return [block for block in one_of_each.values() if not _is_whole(shard_path(folder, block))]


def do_block(work: Work, block: Block, folder: Path) -> None:
    """Do one block and write its shard, whole or not at all."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in work(block.content).items()}
    path = shard_path(folder, block)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")  # a worker thought dead may still be writing its own
    try:
        with new.open("wb") as file:
            file.write(save(arrays))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StorageError(f"a shard cannot be written to {str(folder)!r} ({error.strerror}); make room.") from error


def read_shard(folder: Path, block: Block) -> Arrays:
    """What the work on a block gave.

    Raises
    ------
    StorageError
        When its shard cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = shard_path(folder, block)
    try:
        found: Arrays = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise StorageError(f"shard {str(path)!r} cannot be read ({error}); delete it and run again.") from error
    return found


def _is_whole(path: Path) -> bool:
    """Whether there is a shard whose length is as its header says."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="numpy") as file:
            file.keys()
    except (OSError, SafetensorError):
        return False
    return True
