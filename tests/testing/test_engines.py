"""The suite for engines: the engine of one process passes, and one that breaks a rule is told which."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from prefq.compute.blocks import Block, Work, do_block, missing
from prefq.compute.local import map_blocks
from prefq.errors import InputError, PrefqError
from prefq.testing.engines import check_map_blocks

OnDone = Callable[[Block], None] | None


def test_the_engine_of_one_process_passes(tmp_path: Path) -> None:
    check_map_blocks(map_blocks, tmp_path)


def wrapped(make_work: Callable[[], Work], blocks: Sequence[Block], folder: Path, *, on_done: OnDone = None) -> None:
    """Loses the kind of an error."""
    try:
        map_blocks(make_work, blocks, folder, on_done=on_done)
    except InputError as error:
        raise PrefqError(str(error)) from error


def deaf(make_work: Callable[[], Work], blocks: Sequence[Block], folder: Path, *, on_done: OnDone = None) -> None:
    """Swallows what the caller raises."""

    def quiet(block: Block) -> None:
        try:
            if on_done is not None:
                on_done(block)
        except KeyError:
            pass

    map_blocks(make_work, blocks, folder, on_done=quiet)


def forgetful(make_work: Callable[[], Work], blocks: Sequence[Block], folder: Path, *, on_done: OnDone = None) -> None:
    """Does every block again."""
    work = make_work()
    for block in blocks:
        do_block(work, block, folder)
        if on_done is not None:
            on_done(block)


def eager(make_work: Callable[[], Work], blocks: Sequence[Block], folder: Path, *, on_done: OnDone = None) -> None:
    """Prepares for nothing."""
    make_work()
    map_blocks(make_work, blocks, folder, on_done=on_done)


def trusting(make_work: Callable[[], Work], blocks: Sequence[Block], folder: Path, *, on_done: OnDone = None) -> None:
    """Takes any file for a shard."""
    there = {path.stem for path in folder.iterdir()}
    map_blocks(make_work, [block for block in blocks if block.key not in there], folder, on_done=on_done)


def mixed_up(make_work: Callable[[], Work], blocks: Sequence[Block], folder: Path, *, on_done: OnDone = None) -> None:
    """Gives a block the result of the first."""
    left = missing(blocks, folder)
    contents = [Block(block.key, block.content if block.content == 4 else left[0].content) for block in left]
    told = dict(zip(contents, left, strict=True))
    map_blocks(make_work, contents, folder, on_done=None if on_done is None else lambda block: on_done(told[block]))


@pytest.mark.parametrize(
    ("engine", "rule"),
    [
        (wrapped, "an error of the work comes through, its kind"),
        (deaf, "what on_done raises ends the run"),
        (forgetful, "on_done is told of each block that was left, once"),
        (eager, "nothing is prepared where nothing is left"),
        (trusting, "a damaged shard is made again"),
        (mixed_up, "a shard holds what the work gave"),
    ],
)
def test_a_broken_rule_is_told(tmp_path: Path, engine: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}"):
        check_map_blocks(engine, tmp_path)
