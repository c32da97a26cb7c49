"""build_pool: a pool of questions from texts and base rewards.

Reading the texts is in `prefq.rewards.pool_texts`, which pairs are asked about in `prefq.rewards.informative_pairs`,
and how work on many blocks runs in `prefq.compute`. While a pool OUT is built, OUT.parts beside it holds

KEY.safetensors   features of a block of texts, named by a digest of them and of the base rewards
.prefq-…/         the texts
busy.lock         held by the process that builds

and a run that was ended goes on with the shards that are there. The folder is removed when the pool is saved.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.compute import local
from prefq.compute.blocks import Arrays, Block, MapBlocks, Work, missing, read_shard
from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool
from prefq.pool.files import POOL
from prefq.pool.manifests import require_replaceable
from prefq.rewards.base import BaseRewards
from prefq.rewards.group import Rows
from prefq.rewards.informative_pairs import most_informative, near_equal, pairs_within
from prefq.rewards.linear import LinearRewards
from prefq.rewards.locks import parts_of
from prefq.rewards.logs.texts import GROUP_ITEMS, PROMPT, RESPONSE, TextFile
from prefq.rewards.pool_texts import NOTHING, PoolTexts, TextReport, read_pool_texts
from prefq.vocabulary import PopulationPrior, digest_of

LIMIT_PAIRS = 100_000  # more than a person could be asked in a lifetime; choosing among them takes milliseconds
BLOCK_ITEMS = 1024  # responses encoded between two shards: what an ended run loses at most, in each worker
SHARDS_VERSION = "1"  # of what a shard holds

OnProgress = Callable[[int, int], None]


class BuildReport(NamedTuple):
    """How a pool was built.

    Attributes
    ----------
    texts
        What became of the texts.
    n_from_before
        Responses whose features an earlier run had left.
    n_truncated
        Responses that were cut because they are longer than the encoder takes.
    n_in_float32
        Responses that were encoded again in float32.
    n_pairs
        All pairs of responses to one prompt.
    n_near_equal
        Pairs left out because their features hardly differ.
    n_not_chosen
        Pairs left out because others tell more.
    n_questions, n_items
        Pairs and responses of the pool.
    """

    texts: TextReport
    n_from_before: int
    n_truncated: int
    n_in_float32: int
    n_pairs: int
    n_near_equal: int
    n_not_chosen: int
    n_questions: int
    n_items: int

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return self._asdict() | {"texts": self.texts._asdict()}


def build_pool(
    rewards: BaseRewards,
    texts: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] = NOTHING,
    limit_pairs: int = LIMIT_PAIRS,
    device: str = "auto",
    map_blocks: MapBlocks = local.map_blocks,
    block_items: int = BLOCK_ITEMS,
    on_progress: OnProgress | None = None,
) -> tuple[CandidatePool, BuildReport]:
    """Compute the features of all responses, choose pairs, and save a pool that `prefq.load_pool` reads.

    Texts are read and encoded block by block, so memory does not grow with them; it holds digests (some 110 bytes a
    response while texts are read, then 16), the features (four bytes each), the pairs (16 bytes each, and 30 more while
    they are chosen), and in the end the texts of the pairs that were chosen. An ended run leaves what it computed, and
    the same call goes on from there.

    Parameters
    ----------
    rewards
        Whose features the pool has, and whose prior if they have one.
    texts
        Prompts with responses; see `prefq.rewards.pool_texts.read_pool_texts`.
    out
        Folder of the pool; a pool that is there is replaced.
    columns
        The file's names of columns by ours.
    limit_pairs
        Questions at most; see `prefq.rewards.informative_pairs.most_informative`.
    device
        That the encoder runs on, as torch names it.
    map_blocks
        The engine: `prefq.compute.local.map_blocks`, or `functools.partial(prefq.compute.ray.map_blocks, n_workers=8)`.
    block_items
        Responses of a block.
    on_progress
        Told how many responses have features, and of how many; may raise to end the run.

    Raises
    ------
    NotFoundError
        When texts or encoder are not there.
    InputError
        When the texts cannot be used, no two responses to a prompt differ, the folder holds anything else than a pool,
        or a number is below 1.
    MismatchError
        When the encoder is not the one of the rewards.
    StorageError
        When a file cannot be read or written, or another process is building this pool.
    """
    for name, number in (("limit_pairs", limit_pairs), ("block_items", block_items)):
        if number < 1:
            raise InputError(f"{name} is {number}; give a number of at least 1.")
    require_replaceable(Path(out), POOL)
    with parts_of(Path(out), "building") as parts:
        found, report = read_pool_texts(texts, parts, columns=columns)
        blocks = _blocks(found, rewards, block_items)
        n_before = _map(blocks, parts, partial(_make_work, rewards, device), map_blocks, on_progress)
        features, flags = _gathered(blocks, parts, rewards.feature_space.n_features)
        prior: PopulationPrior | None = getattr(rewards, "prior", None)  # style rewards have none
        pairs, counts = _chosen_pairs(features, found.prompt_codes, rewards, prior, limit_pairs)
        pool = _pool(found, features, pairs, rewards, prior)
        pool.save(out)
    return pool, BuildReport(report, n_before, *flags, *counts, pool.n_questions, pool.n_items)


class _Content(NamedTuple):
    """Texts of a block: rows of a file of texts."""

    path: Path
    rows: Rows


def _blocks(texts: PoolTexts, rewards: BaseRewards, size: int) -> list[Block]:
    made_by = digest_of(SHARDS_VERSION, rewards.feature_space.digest)
    blocks = []
    for start in range(0, len(texts.rows), size):
        rows = texts.rows[start : start + size]
        key = digest_of(made_by, texts.digests[rows].tobytes())
        blocks.append(Block(key, _Content(texts.file.path.resolve(), rows)))
    return blocks


def _map(
    blocks: list[Block],
    folder: Path,
    make_work: Callable[[], Work],
    map_blocks: MapBlocks,
    on_progress: OnProgress | None,
) -> int:
    """Have every block done; how many responses had their features before."""
    sizes = {block.key: len(block.content.rows) for block in blocks}
    total = sum(sizes.values())
    n_before = n_done = total - sum(sizes[block.key] for block in missing(blocks, folder))

    def on_done(block: Block) -> None:
        nonlocal n_done
        n_done += sizes[block.key]
        if on_progress is not None:
            on_progress(n_done, total)

    if on_progress is not None:
        on_progress(n_done, total)
    map_blocks(make_work, blocks, folder, on_done=on_done)
    return n_before


def _make_work(rewards: BaseRewards, device: str) -> Work:
    """What a worker does with the texts of a block, its encoder loaded."""
    encoder = rewards.load_encoder(device=device) if isinstance(rewards, LinearRewards) else None

    def work(content: _Content) -> Arrays:
        prompts, responses = _texts_of(TextFile(content.path), content.rows)
        cut = again = np.zeros(len(responses), dtype=bool)
        if encoder is not None and isinstance(rewards, LinearRewards):
            encoded = encoder.encode(prompts, responses)
            features, cut, again = rewards.from_encodings(encoded.encodings), encoded.truncated, encoded.in_float32
        else:
            features = rewards.features(prompts, responses)
        return {"features": features.astype(np.float32), "truncated": cut, "in_float32": again}

    return work


def _texts_of(file: TextFile, rows: Rows) -> tuple[list[str], list[str]]:
    """Prompts and responses of some rows, ascending; a few thousand texts are held at a time beside them."""
    prompts: list[str] = []
    responses: list[str] = []
    for group, members in groupby(rows.tolist(), lambda row: row // GROUP_ITEMS):
        own = list(members)
        start, stop = group * GROUP_ITEMS, own[-1] + 1
        for column, found in ((PROMPT, prompts), (RESPONSE, responses)):
            texts = file.texts(column, start, stop)
            found += [texts[row - start] for row in own]
    return prompts, responses


def _gathered(blocks: list[Block], folder: Path, n_features: int) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Features (n_items, n_features) of all blocks, and how many responses were truncated and done in float32."""
    features = np.empty((sum(len(block.content.rows) for block in blocks), n_features), dtype=np.float32)
    start = n_truncated = n_again = 0
    for block in blocks:
        shard = read_shard(folder, block)
        stop = start + len(block.content.rows)
        features[start:stop] = shard["features"]
        n_truncated, n_again = n_truncated + int(shard["truncated"].sum()), n_again + int(shard["in_float32"].sum())
        start = stop
    return features, (n_truncated, n_again)


def _chosen_pairs(
    features: NDArray[np.float32],
    prompt_codes: Rows,
    rewards: BaseRewards,
    prior: PopulationPrior | None,
    limit: int,
) -> tuple[Rows, tuple[int, int, int]]:
    """Pairs of the pool; and how many there are, are near-equal, and were not chosen."""
    pairs = pairs_within(prompt_codes)
    n_all = len(pairs)
    pairs = pairs[~near_equal(features, pairs)]
    n_near = n_all - len(pairs)
    if not len(pairs):
        raise InputError(
            f"no two responses to a prompt differ for these base rewards ({n_all} pairs were compared); "
            "give other responses, or other rewards."
        )
    if len(pairs) > limit:
        if prior is None:
            prior = CandidatePool(features, pairs, rewards.feature_space).starting_point()  # of clean pairs: no copies
        chosen = most_informative(features, pairs, prompt_codes, prior, limit)
        return pairs[chosen], (n_all, n_near, len(pairs) - len(chosen))
    return pairs, (n_all, n_near, 0)


def _pool(
    texts: PoolTexts,
    features: NDArray[np.float32],
    pairs: Rows,
    rewards: BaseRewards,
    prior: PopulationPrior | None,
) -> CandidatePool:
    """The pool of these pairs, with no item that is in none."""
    used, places = np.unique(pairs, return_inverse=True)
    prompts, responses = _texts_of(texts.file, texts.rows[used])
    return CandidatePool.from_arrays(
        features[used],
        places.reshape(pairs.shape),
        prompts=prompts,
        responses=responses,
        prompt_ids=texts.prompt_codes[used].tolist(),
        feature_space=rewards.feature_space,
        prior=prior,
    )
