"""The engine of one process: each block once, shards that are whole, and a run that goes on where it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prefq.compute.blocks import Arrays, Block, do_block, missing, read_shard, shard_path
from prefq.compute.local import map_blocks
from prefq.errors import InputError, StorageError

BLOCKS = [Block(f"{number:064x}", number) for number in range(5)]


class Squares:
    """Work that notes what it was done on."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def __call__(self, content: int) -> Arrays:
        self.done.append(content)
        return {"squares": np.arange(content + 1) ** 2, "first": np.array([content])}


def test_each_block_has_its_result(tmp_path: Path) -> None:
    work, told = Squares(), list[Block]()
    map_blocks(lambda: work, BLOCKS, tmp_path, on_done=told.append)

    assert work.done == [0, 1, 2, 3, 4]
    assert told == BLOCKS
    np.testing.assert_array_equal(read_shard(tmp_path, BLOCKS[3])["squares"], [0, 1, 4, 9])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{block.key}.safetensors" for block in BLOCKS]


def test_a_run_that_was_ended_goes_on(tmp_path: Path) -> None:
    def end(block: Block) -> None:
        if block.content == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_blocks(Squares, BLOCKS, tmp_path, on_done=end)
    assert [block.content for block in missing(BLOCKS, tmp_path)] == [3, 4]
    work = Squares()
    map_blocks(lambda: work, BLOCKS, tmp_path)
    assert work.done == [3, 4]


def test_nothing_is_prepared_where_nothing_is_left(tmp_path: Path) -> None:
    def never() -> Squares:
        raise AssertionError

    map_blocks(Squares, BLOCKS, tmp_path)
    map_blocks(never, BLOCKS, tmp_path)
    map_blocks(never, [], tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\0" * 100),
        lambda path: path.unlink(),
    ],
)
def test_a_damaged_shard_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    map_blocks(Squares, BLOCKS, tmp_path)
    damage(shard_path(tmp_path, BLOCKS[1]))
    work = Squares()
    map_blocks(lambda: work, BLOCKS, tmp_path)

    assert work.done == [1]
    np.testing.assert_array_equal(read_shard(tmp_path, BLOCKS[1])["squares"], [0, 1])


def test_blocks_of_one_key_are_done_once(tmp_path: Path) -> None:
    work = Squares()
    map_blocks(lambda: work, [BLOCKS[2], BLOCKS[2]], tmp_path)
    assert work.done == [2]


def test_what_the_work_raises_comes_through(tmp_path: Path) -> None:
    def work(content: int) -> Arrays:
        raise InputError(f"no {content}")

    with pytest.raises(InputError, match="no 0"):
        map_blocks(lambda: work, BLOCKS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="a shard cannot be written"):
        do_block(Squares(), BLOCKS[0], tmp_path / "gone")
    with pytest.raises(StorageError, match="delete it and run again"):
        read_shard(tmp_path, BLOCKS[0])
