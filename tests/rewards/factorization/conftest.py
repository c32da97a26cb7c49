"""Groups whose base rewards are known: linear features of encodings, tastes of one Gaussian, logistic replies."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from prefq.rewards.factorization.base import Factorization
from prefq.rewards.group import GroupComparisons
from prefq.simulation.scenes import draw, gaussian_population
from prefq.vocabulary import Array

SD = 1.4 / np.sqrt(2)  # of a dimension of an item's encoding, as in prefq.simulation.learned_worlds


class KnownGroup(NamedTuple):
    """encodings (n_items, n_dims), comparisons to learn from and held out, and what they were drawn from."""

    encodings: NDArray[np.float32]
    group: GroupComparisons
    held_out: GroupComparisons
    heads: Array
    tastes: Array

    def loss(self, comparisons: GroupComparisons, found: Factorization) -> float:
        """Mean loss of what was found, in nats a comparison."""
        margins = self.margins(comparisons, found)
        return float((np.logaddexp(0, margins) - (1 + comparisons.outcomes) / 2 * margins).mean())

    def accuracy(self, comparisons: GroupComparisons, found: Factorization) -> float:
        """Share of comparisons whose winner has the higher reward."""
        return float(((self.margins(comparisons, found) > 0) == (comparisons.outcomes > 0)).mean())

    def margins(self, comparisons: GroupComparisons, found: Factorization) -> Array:
        """Of the comparisons (n_comparisons,), in logits."""
        features = comparisons.differences(self.encodings) @ found.heads
        return np.asarray((features * found.coefficients[comparisons.users]).sum(axis=1))


Draw = Callable[..., KnownGroup]


@pytest.fixture(scope="session")
def known_group() -> Draw:
    """A group of a seed and sizes."""
    return _known_group


@pytest.fixture(scope="session")
def small(known_group: Draw) -> KnownGroup:
    """60 users × 30 answers in 12 dimensions, three of them mattering; ten answers of each held out."""
    return known_group(1, n_users=60, n_answers=30, n_held_out=10, n_dims=12, n_features=3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one thread: the same bits again, and neighbours left in peace."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _known_group(
    seed: int,
    *,
    n_users: int = 500,
    n_answers: int = 50,
    n_held_out: int = 20,
    n_dims: int = 64,
    n_features: int = 8,
    n_pairs: int | None = None,
) -> KnownGroup:
    """Everybody compares pairs of their own, or, given `n_pairs`, some of these."""
    rng = np.random.default_rng(seed)
    population, each = gaussian_population(n_features, rng), n_answers + n_held_out
    heads = rng.normal(size=(n_dims, n_features)) / np.sqrt(n_dims)
    tastes = draw(population, n_users, rng)
    total = n_pairs or n_users * each
    encodings = (SD * rng.normal(size=(2 * total, n_dims))).astype(np.float32)
    asked = np.arange(total).reshape(-1, each)
    if n_pairs:
        asked = np.stack([rng.permutation(n_pairs)[:each] for _ in range(n_users)])
    pairs = np.stack([2 * asked.reshape(-1), 2 * asked.reshape(-1) + 1], axis=1)
    users = np.repeat(np.arange(n_users), each)
    margins = ((encodings[pairs[:, 0]] - encodings[pairs[:, 1]]) @ heads * tastes[users]).sum(axis=1)
    outcomes = np.where(rng.random(len(margins)) < 1 / (1 + np.exp(-margins)), 1, -1).astype(np.int8)
    names = tuple(f"user {i}" for i in range(n_users))
    everything = GroupComparisons(pairs, outcomes, users, names, np.repeat(np.arange(total), 2))
    learned: NDArray[np.bool_] = np.tile(np.arange(each) < n_answers, n_users)
    return KnownGroup(encodings, everything.of_rows(learned), everything.of_rows(~learned), heads, tastes)


@pytest.fixture(scope="session")
def cosines() -> Callable[[Array, Array], Array]:
    """Cosines of the principal angles between what two sets of columns span, largest first."""

    def between(first: Array, second: Array) -> Array:
        (one, _), (other, _) = np.linalg.qr(first), np.linalg.qr(second)
        return np.asarray(np.linalg.svd(one.T @ other, compute_uv=False))

    return between
