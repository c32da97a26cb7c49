"""check_map_blocks: what an engine must do, whoever writes it."""

from pathlib import Path

import numpy as np

from prefq.compute.blocks import Arrays, Block, MapBlocks, Work, missing, read_shard, shard_path
from prefq.errors import InputError, PrefqError

BLOCKS = tuple(Block(f"{number:064x}", number) for number in range(6))
REFUSED = 4
SENTENCE = "four is not wanted; take another."


class _Noting:
    """Makes work that leaves a note of each block it did, in whatever process, and refuses one while it is told to."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def __call__(self) -> Work:
        def work(content: int) -> Arrays:
            if content == REFUSED and (self.notes / "refuse").exists():
                raise InputError(SENTENCE)
            with (self.notes / f"done-{content}").open("a", encoding="utf-8") as note:
                note.write("x")
            return {"squares": np.arange(content + 1) ** 2, "content": np.array([content])}

        return work

    def done(self) -> dict[int, int]:
        """How often each block was done."""
        return {
            block.content: len(path.read_text(encoding="utf-8"))
            for block in BLOCKS
            if (path := self.notes / f"done-{block.content}").exists()
        }


def check_map_blocks(map_blocks: MapBlocks, folder: Path) -> None:
    """Put an engine to its contract; see `prefq.compute.blocks.MapBlocks`.

    An error of the work comes through as it was raised, and so does one of `on_done`; what was done by then stays, and
    the next run does the rest and no more. A damaged shard is made again, two blocks of one key are done once, and
    nothing is prepared where nothing is left to do. What happens to a worker that is killed is not tested.

    Parameters
    ----------
    map_blocks
        The engine; workers must be able to import prefq.
    folder
        An empty one, which all workers can write to.

    Raises
    ------
    AssertionError
        With the rule that is broken.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from prefq.compute.local import map_blocks
    >>> from prefq.testing.engines import check_map_blocks
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_map_blocks(map_blocks, Path(folder))
    """
    shards, making = folder / "shards", _Noting(folder / "notes")
    shards.mkdir()
    making.notes.mkdir()
    _check_errors(map_blocks, shards, making)
    _check_results(map_blocks, shards, making)
    _check_what_is_left(map_blocks, shards, making)


def _check_errors(map_blocks: MapBlocks, shards: Path, making: _Noting) -> None:
    """An error of the work, then one of the caller."""
    (making.notes / "refuse").touch()
    raised: Exception | None = None
    try:
        map_blocks(making, BLOCKS, shards)
    except PrefqError as error:
        raised = error
    is_same = type(raised) is InputError and str(raised) == SENTENCE
    _require(is_same, "an error of the work comes through, its kind and its sentence")
    _require(BLOCKS[REFUSED] in missing(BLOCKS, shards), "a block whose work failed has no shard")
    (making.notes / "refuse").unlink()

    def end(block: Block) -> None:
        raise KeyError(block.key)

    raised = None
    try:
        map_blocks(making, BLOCKS, shards, on_done=end)
    except KeyError as error:
        raised = error
    _require(raised is not None, "what on_done raises ends the run and comes through")


def _check_results(map_blocks: MapBlocks, shards: Path, making: _Noting) -> None:
    """The next run does the rest, two blocks of one key once."""
    left, told, before = missing(BLOCKS, shards), list[Block](), making.done()
    map_blocks(making, [*BLOCKS, *BLOCKS], shards, on_done=told.append)
    _require(sorted(told) == sorted(left), "on_done is told of each block that was left, once, and of no other")
    for block in BLOCKS:
        found = read_shard(shards, block)
        right = found["squares"].tolist() == [n**2 for n in range(block.content + 1)]
        _require(right and found["content"].tolist() == [block.content], "a shard holds what the work gave")
    again = [block for block in BLOCKS if block not in left and making.done()[block.content] > before[block.content]]
    _require(not again, "a block that has a shard is not done again")


def _check_what_is_left(map_blocks: MapBlocks, shards: Path, making: _Noting) -> None:
    """A damaged shard, and then nothing."""
    path, before = shard_path(shards, BLOCKS[2]), making.done()
    path.write_bytes(path.read_bytes()[:-1])
    map_blocks(making, BLOCKS, shards)
    expected = {content: count + (content == BLOCKS[2].content) for content, count in before.items()}
    _require(making.done() == expected, "a damaged shard is made again, and no other")
    _require(read_shard(shards, BLOCKS[2])["squares"].tolist() == [0, 1, 4], "a shard that is made again is whole")
    map_blocks(_never, BLOCKS, shards)
    map_blocks(_never, [], shards)


def _never() -> Work:
    raise AssertionError("nothing is prepared where nothing is left to do.")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(f"{rule}.")
