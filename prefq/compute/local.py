"""The engine of one process: block after block."""

from collections.abc import Callable, Sequence
from pathlib import Path

from prefq.compute.blocks import Block, Work, do_block, missing


def map_blocks(
    make_work: Callable[[], Work],
    blocks: Sequence[Block],
    folder: Path,
    *,
    on_done: Callable[[Block], None] | None = None,
) -> None:
    """Do the work on each block that has no shard, here; see `prefq.compute.blocks.MapBlocks`."""
    left = missing(blocks, folder)
    work = make_work() if left else None
    for block in left:
        assert work is not None
        do_block(work, block, folder)
        if on_done is not None:
            on_done(block)
