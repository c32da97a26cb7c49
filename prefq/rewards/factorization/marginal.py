"""Tastes as a Gaussian over encodings, h + B z with z standard normal, and the evidence of a group's answers for it.

Nobody's z is estimated on the way: it is integrated out by expectation propagation, so that people of few answers teach
as much as they know (docs/maths/base-rewards.md has the derivation of the gradient). What is made of it is in `bayes`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.ep_batch import Sites, log_evidence, propagate
from prefq.inference.groups import Group
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import log_likelihood, sigmoid
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, ResponseModel

POOLED_MARGIN = 2.0  # logits, root mean square, of the common taste before anything is known
PERSONAL_MARGIN = 1.5  # logits, of the personal part, as where no group is known
CURVATURE = 0.2  # of a typical answer: what the search is preconditioned with
FIRST_SWEEPS, NEXT_SWEEPS = 10, 4  # of expectation propagation; later ones start from the last sites
LEAST_SPREAD = 1e-6  # of an encoding's direction, as a share of the widest: below it is round-off
ITEMS = 16_384  # encodings widened at a time
CONVERGED = 1e-7  # of the log evidence, as a share, between two steps
MEMORY = 12  # steps that the search remembers the slope of
ANSWER = ResponseModel()  # plain Bradley-Terry, in which a tie is one preference each way

OnEvidence = Callable[[int, float], None]
"""Told the number of a step, and the log evidence in nats an answer."""


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


def likeliest(
    answers: Answers, directions: Directions, rank: int, *, ridge: float = 1.0, max_steps: int, on_evidence: OnEvidence
) -> Array:
    """Heads [h | B] (n_dims, 1 + rank) of the largest evidence, shrunk.

    First h alone, the pooled taste; then B from what answers of the same person say together (`together`), and both
    by L-BFGS (Liu and Nocedal 1989), in coordinates in which all directions of the encodings curve alike.

    Parameters
    ----------
    answers, directions
        Of the group.
    rank
        Columns of B.
    ridge
        Times the shrinkage that says that tastes are such as are typical: squares of h and B cost as much as a Gaussian
        prior of a common margin of `POOLED_MARGIN` and a personal one of `PERSONAL_MARGIN`.
    max_steps
        Of the last search.
    on_evidence
        Told how it goes.
    """
    pooled = _climb(answers, directions, np.zeros((len(directions.axes), 1)), ridge, max_steps, None)
    if not rank:
        return pooled
    start = np.column_stack([pooled, together(answers, directions, pooled, rank, ridge)])
    return _climb(answers, directions, start, ridge, max_steps, on_evidence)


def ridges(directions: Directions, rank: int, ridge: float) -> Array:
    """Half the price of a square of each column of [h | B] (1 + rank,), in nats."""
    common, personal = POOLED_MARGIN**2, PERSONAL_MARGIN**2 / max(rank, 1)
    return ridge * directions.total / np.array([common, *[personal] * rank])


def together(answers: Answers, directions: Directions, pooled: Array, rank: int, ridge: float) -> Array:
    """A first B (n_dims, rank): the main axes of how people differ from the pooled taste.

    To first order in tastes, what two answers a, b of one person leave unexplained, r_a and r_b, has E[r_a r_b x_a
    x_bᵀ] = κ² x_a x_aᵀ Cov[taste] x_b x_bᵀ; sums over pairs of answers, in whitened coordinates, estimate the
    covariance without the noise of single answers (docs/maths/base-rewards.md, eq. 4).
    """
    margins = answers.features(pooled)[:, 0]
    left = log_likelihood(margins, answers.outcomes, ANSWER).first
    curvature = float((sigmoid(margins) * sigmoid(-margins)).mean())
    price = ridges(directions, rank, ridge)[1] / (curvature * answers.n_answers)
    whiten = directions.axes / np.sqrt(directions.spreads + price)
    totals = np.zeros((len(answers.counts), whiten.shape[1]))
    alone = np.zeros((whiten.shape[1], whiten.shape[1]))
    owners = np.repeat(np.arange(len(answers.counts)), answers.counts)
    encodings, items = answers.encodings, answers.items
    for start in range(0, answers.n_answers, ITEMS):
        rows = slice(start, start + ITEMS)
        block = encodings[items[answers.first[rows]]] - encodings[items[answers.second[rows]]]
        seen = (block @ whiten) * left[rows, None]
        alone += seen.T @ seen
        np.add.at(totals, owners[rows], seen)
    n_pairs = max(float((answers.counts * (answers.counts - 1)).sum()), 1.0)
    values, vectors = np.linalg.eigh((totals.T @ totals - alone) / (n_pairs * curvature**2))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    least = 1e-3 * max(float(values[0]), 1e-3)
    found = whiten @ vectors * np.sqrt(np.maximum(values, least))
    missing = rank - found.shape[1]
    return np.pad(found, ((0, 0), (0, missing))) if missing else found


def _climb(
    answers: Answers,
    directions: Directions,
    start: Array,
    ridge: float,
    max_steps: int,
    on_evidence: OnEvidence | None,
) -> Array:
    from scipy.optimize import minimize

    evidence, prices = Evidence(answers), ridges(directions, start.shape[1] - 1, ridge)
    scale = 1 / np.sqrt(CURVATURE * answers.n_answers * directions.spreads[:, None] + prices)
    axes, n_steps = directions.axes, 0

    def cost(flat: Array) -> tuple[float, Array]:
        inner = flat.reshape(scale.shape) * scale
        heads = axes @ inner
        value, slope = evidence(heads)
        value -= float((prices * np.square(heads)).sum()) / 2
        return -value, -((axes.T @ slope - prices * inner) * scale).ravel()

    def told(intermediate_result: Any) -> None:
        nonlocal n_steps
        n_steps += 1
        if on_evidence is not None:
            on_evidence(n_steps, -float(intermediate_result.fun) / answers.n_answers)

    found = minimize(
        cost,
        ((axes.T @ start) / scale).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps, "ftol": CONVERGED, "maxcor": MEMORY},
        callback=told,
    )
    return np.asarray(axes @ (found.x.reshape(scale.shape) * scale))
