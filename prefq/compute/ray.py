"""The engine of several processes or machines: Ray Data, with actors that each prepare their work once.

Rows of the dataset are numbers of blocks; an actor reads what a block's content names, does it and writes its shard
itself, so that no text and no result passes through Ray's object store. Actors that die are started again, and what
they were at is done again by Ray.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefq import errors
from prefq.compute.blocks import Block, Work, do_block, missing
from prefq.errors import InputError, PrefqError

OBJECT_STORE = 200_000_000  # bytes, of a Ray that is started here: numbers of blocks need no more
MAX_TASKS = 10_000  # parts that Ray tells apart: each costs it some memory
NO_TELEMETRY = "RAY_USAGE_STATS_ENABLED"


def map_blocks(
    make_work: Callable[[], Work],
    blocks: Sequence[Block],
    folder: Path,
    *,
    on_done: Callable[[Block], None] | None = None,
    n_workers: int = 2,
    address: str | None = None,
) -> None:
    """Do the work on each block that has no shard, in several workers; see `prefq.compute.blocks.MapBlocks`.

    Parameters
    ----------
    make_work, blocks, folder, on_done
        As in the protocol; on a cluster every machine must see the folder, and what the contents name.
    n_workers
        Actors; the GPUs that there are, are shared among them.
    address
        Of a running cluster, as `ray.init` takes it. Without one, and where this process has joined none, a Ray of so
        many workers is started on this machine for the run; it reports to nobody.

    Raises
    ------
    InputError
        When n_workers is below 1.
    PrefqError
        What the work raised; or that Ray ended the run, which goes on where it was when it is started again.
    """
    if n_workers < 1:
        raise InputError(f"n_workers is {n_workers}; give at least 1.")
    left = missing(blocks, folder)
    if not left:
        return
    with _running(n_workers, address) as ray:
        numbers = [{"block": number} for number in range(len(left))]
        done = ray.data.from_items(numbers, override_num_blocks=min(len(left), MAX_TASKS)).map_batches(
            _Worker,
            fn_constructor_args=(make_work, left, folder.resolve()),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=n_workers),
            num_cpus=1,
            num_gpus=min(1.0, ray.cluster_resources().get("GPU", 0) / n_workers),
        )
        try:
            for row in done.iter_rows():
                if row["error"]:
                    raise getattr(errors, row["error"])(row["message"])
                if on_done is not None:
                    on_done(left[row["block"]])
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise PrefqError(
                f"Ray ended the run ({reason}); what was done is kept, so run the same again to go on."
            ) from error


class _Worker:
    """What an actor holds: the work, prepared when the first block comes, and the blocks to choose from."""

    def __init__(self, make_work: Callable[[], Work], blocks: Sequence[Block], folder: Path) -> None:
        self.make_work, self.blocks, self.folder = make_work, blocks, folder
        self.work: Work | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Do one block. Errors of prefq come back as values: Ray would wrap them, and try again."""
        (number,) = batch["block"].tolist()
        try:
            for block in missing([self.blocks[number]], self.folder):  # none, where an actor died just after it
                self.work = self.work or self.make_work()
                do_block(self.work, block, self.folder)
        except PrefqError as error:
            return {"block": [number], "error": [type(error).__name__], "message": [str(error)]}
        return {"block": [number], "error": [""], "message": [""]}


@contextmanager
def _running(n_workers: int, address: str | None) -> Iterator[Any]:
    """Ray: the one that this process has joined, that of the address, or one for this run only."""
    ray = _import()
    joined = ray.is_initialized()
    level = logging.getLogger("ray.data").level
    if not joined:
        os.environ.setdefault(NO_TELEMETRY, "0")  # read by the processes that Ray starts
        own = {"num_cpus": n_workers, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
        where = own if address is None else {"address": address}
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    shows_progress, context.enable_progress_bars = context.enable_progress_bars, False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        logging.getLogger("ray.data").setLevel(level)
        context.enable_progress_bars = shows_progress
        if not joined:
            ray.shutdown()


def _import() -> Any:
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise InputError(
            f"the engine 'ray' needs the extra ray ({error}); pip install 'prefq[ray]', or use 'local'."
        ) from error
    return ray
