"""Tastes as a Gaussian over encodings, h + B z with z standard normal, and the evidence of a group's answers for it.

Nobody's z is estimated on the way: it is integrated out by expectation propagation, so that people of few answers teach
as much as they know (docs/maths/base-rewards.md has the derivation of the gradient). The search is in `likeliest`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.ep_batch import Sites, log_evidence, propagate
from prefq.inference.groups import Group
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import log_likelihood
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, ResponseModel

FIRST_SWEEPS, NEXT_SWEEPS = 10, 4  # of expectation propagation; later ones start from the last sites
LEAST_SPREAD = 1e-6  # of an encoding's direction, as a share of the widest: below it is round-off
ITEMS = 16_384  # encodings widened at a time
ANSWER = ResponseModel()  # plain Bradley-Terry, in which a tie is one preference each way


class Directions(NamedTuple):
    """Second moments of the differences of encodings: axes (n_dims, n_kept), and their mean squares (n_kept,)."""

    axes: Array
    spreads: Array

    @classmethod
    def of(cls, encodings: NDArray[np.floating[Any]], group: GroupComparisons) -> "Directions":
        """By one pass over the comparisons."""
        n_dims = encodings.shape[1]
        moments = np.zeros((n_dims, n_dims))
        for _, block in group.blocks(encodings):
            moments += (block.T @ block).astype(np.float64)
        spreads, axes = np.linalg.eigh(moments / max(group.n_comparisons, 1))
        kept = spreads > LEAST_SPREAD * max(float(spreads[-1]), np.finfo(float).tiny)
        return cls(axes[:, kept], spreads[kept])

    @property
    def total(self) -> float:
        """Mean square of the differences, over all directions."""
        return float(self.spreads.sum())

    def moments(self, heads: Array) -> Array:
        """Second moments (k, k) of the differences of features by heads (n_dims, k)."""
        seen = self.axes.T @ heads
        return np.asarray(seen.T @ (seen * self.spreads[:, None]))


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """A group's answers in order of users, as rows of items; made by `of`.

    first, second (n_answers,) rows of `items`; outcomes (n_answers,) int8; counts (n_users,) answers of each user, in
    the order of `users`, their numbers in the group; encodings (n_items, n_dims), and `items`, which of them are
    compared.
    """

    encodings: NDArray[np.floating[Any]]
    items: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    outcomes: NDArray[np.int8]
    users: NDArray[np.int64]
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, encodings: NDArray[np.floating[Any]], group: GroupComparisons) -> "Answers":
        """Sorted by user; rows of two equal encodings tell nothing and are left out."""
        told = np.ones(group.n_comparisons, dtype=bool)
        for rows, block in group.blocks(encodings):
            told[rows] = block.any(axis=1)
        order = np.flatnonzero(told)
        order = order[np.argsort(group.users[order], kind="stable")]
        users, counts = np.unique(group.users[order], return_counts=True)
        items, places = np.unique(group.pairs[order], return_inverse=True)
        first, second = places.reshape(-1, 2).T
        return cls(encodings, items, first, second, group.outcomes[order], users, counts.astype(np.intp))

    @property
    def n_answers(self) -> int:
        """Number of answers that tell something."""
        return len(self.outcomes)

    def features(self, heads: Array) -> Array:
        """Differences (n_answers, k) of features by heads (n_dims, k)."""
        found = np.empty((len(self.items), heads.shape[1]))
        narrow = heads.astype(self.encodings.dtype)
        for start in range(0, len(self.items), ITEMS):
            rows = slice(start, start + ITEMS)
            found[rows] = self.encodings[self.items[rows]] @ narrow
        return np.asarray(found[self.first] - found[self.second])

    def toward_heads(self, slopes: Array) -> Array:
        """Slopes (n_dims, k) in heads from those in the differences of features (n_answers, k)."""
        k = slopes.shape[1]
        of_items = np.empty((len(self.items), k))
        for j in range(k):
            of_items[:, j] = np.bincount(self.first, slopes[:, j], len(self.items))
            of_items[:, j] -= np.bincount(self.second, slopes[:, j], len(self.items))
        total = np.zeros((self.encodings.shape[1], k))
        for start in range(0, len(self.items), ITEMS):
            rows = slice(start, start + ITEMS)
            total += self.encodings[self.items[rows]].T @ of_items[rows].astype(self.encodings.dtype)
        return total

    def by_user(self, features: Array) -> Group:
        """The answers as a group whose features these are (n_answers, k), in their own units."""
        return Group(features, self.outcomes, self.counts, np.ones(features.shape[1]), 0)


class Evidence:
    """Log marginal likelihood of answers as a function of [h | B], and its slope; keeps sites between calls."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.weights: Array = np.empty((len(answers.counts), 0))
        """Posterior means (n_users, 1 + rank) of weights on [h | B], as of the last call."""
        self._sites: list[Sites] = []

    def __call__(self, heads: Array) -> tuple[float, Array]:
        """Log evidence in nats, and its slope (n_dims, 1 + rank), at heads (n_dims, 1 + rank)."""
        features = self.answers.features(heads)
        if heads.shape[1] == 1:
            self.weights = np.ones((len(self.answers.counts), 1))
            told = log_likelihood(features[:, 0], self.answers.outcomes, ANSWER)
            return float(told.value.sum()), self.answers.toward_heads(told.first[:, None])
        total, slopes = self._of_features(features)
        return total, self.answers.toward_heads(slopes)

    def _of_features(self, features: Array) -> tuple[float, Array]:
        """Log evidence, and its slope in each answer's features.

        At settled sites the slope is that of the sites alone: (ν - τ m) E[w] - τ Cov[w] x, with m the posterior mean of
        the margin xᵀw (docs/maths/base-rewards.md, eq. 3).
        """
        blocks = list(self.answers.by_user(features).blocks())
        n_sweeps = NEXT_SWEEPS if self._sites else FIRST_SWEEPS
        self._sites = self._sites or [Sites.empty(*block.outcomes.shape) for block in blocks]
        mean, factor = start_of(features.shape[1] - 1)
        slopes, total = np.zeros_like(features), 0.0
        self.weights = np.empty((len(self.answers.counts), len(mean)))
        for i, block in enumerate(blocks):
            n_users = len(block.users)
            priors = Gaussians(np.tile(mean, (n_users, 1)), np.tile(factor, (n_users, 1, 1)))
            own = (priors, block.differences, block.outcomes, ANSWER)
            posteriors, sites = propagate(*own, self._sites[i], n_sweeps=n_sweeps)
            self._sites[i], self.weights[block.users] = sites, posteriors.means
            present = block.rows >= 0
            total += float(log_evidence(*own, sites).sum()) - (~present).sum() * np.log(0.5)
            margins = np.matmul(block.differences, posteriors.means[:, :, None])[..., 0]
            spread = np.matmul(np.matmul(block.differences, posteriors.factors), posteriors.factors.swapaxes(1, 2))
            pull = (sites.shifts - sites.precisions * margins)[..., None] * posteriors.means[:, None, :]
            slopes[block.rows[present]] = (pull - sites.precisions[..., None] * spread)[present]
        return total, slopes


def start_of(rank: int) -> tuple[Array, Array]:
    """Mean (1 + rank,) of a person's weights on [h | B], and a factor of their covariance: 1, and z standard normal."""
    mean, factor = np.zeros(1 + rank), np.eye(1 + rank)
    mean[0], factor[0, 0] = 1.0, 0.0
    return mean, factor
