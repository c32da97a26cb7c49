"""The engine on Ray: what the work raises comes through, what was done is kept, and the run goes on."""

import sys
from pathlib import Path

import numpy as np
import pytest

from prefq.compute.blocks import Arrays, Block, Work, missing, read_shard
from prefq.compute.ray import map_blocks
from prefq.errors import InputError

BLOCKS = [Block(f"{number:064x}", number) for number in range(6)]
# Ray's own settings warn of one another, and Ray leaves open what it started; none of it is ours.
OF_RAY = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


class Refusing:
    """Makes work that refuses one block while there is a note."""

    def __init__(self, note: Path) -> None:
        self.note = note

    def __call__(self) -> Work:
        def work(content: int) -> Arrays:
            if content == 4 and self.note.exists():
                raise InputError("four is not wanted; take another.")
            return {"squares": np.arange(content) ** 2}

        return work


@pytest.mark.slow
@OF_RAY
def test_errors_come_through_and_what_was_done_is_kept(tmp_path: Path) -> None:
    import ray

    # Workers cannot import tests.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]
    folder, note = tmp_path / "shards", tmp_path / "note"
    folder.mkdir()
    note.touch()
    ray.init(num_cpus=1, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(InputError, match=r"^four is not wanted; take another\.$"):
            map_blocks(Refusing(note), BLOCKS, folder, n_workers=1)
        assert BLOCKS[4] in missing(BLOCKS, folder)
        kept = len(BLOCKS) - len(missing(BLOCKS, folder))
        note.unlink()
        told: list[int] = []
        map_blocks(Refusing(note), BLOCKS, folder, n_workers=1, on_done=lambda block: told.append(block.content))
        assert len(told) == len(BLOCKS) - kept
        assert ray.is_initialized()  # what this process had joined before stays
    finally:
        ray.shutdown()
    assert [len(read_shard(folder, block)["squares"]) for block in BLOCKS] == list(range(6))


def test_what_needs_no_ray(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="n_workers is 0"):
        map_blocks(Refusing(tmp_path), BLOCKS, tmp_path, n_workers=0)
    map_blocks(Refusing(tmp_path), [], tmp_path)  # nothing to do, and nothing is started
