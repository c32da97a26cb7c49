"""The engine on Ray keeps the contract of engines, and starts nothing where there is nothing to do."""

from functools import partial
from pathlib import Path

import pytest

from prefq.compute.blocks import Work
from prefq.compute.ray import map_blocks
from prefq.errors import InputError
from prefq.testing.engines import BLOCKS, check_map_blocks

# Ray's own settings warn of one another, and Ray leaves open what it started; none of it is ours.
OF_RAY = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.mark.slow
@OF_RAY
def test_it_does_what_an_engine_must(tmp_path: Path) -> None:
    import ray

    ray.init(num_cpus=1, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    try:
        check_map_blocks(partial(map_blocks, n_workers=1), tmp_path)
        assert ray.is_initialized()  # what this process had joined before stays
    finally:
        ray.shutdown()


def test_what_needs_no_ray(tmp_path: Path) -> None:
    def never() -> Work:
        raise AssertionError

    with pytest.raises(InputError, match="n_workers is 0"):
        map_blocks(never, BLOCKS, tmp_path, n_workers=0)
    map_blocks(never, [], tmp_path)  # nothing to do, and nothing is started
