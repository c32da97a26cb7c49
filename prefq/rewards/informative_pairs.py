"""Pairs to ask about: all within a prompt, those of near-equal responses left out, and the most telling of too many.

Choosing the next question of a person is in `prefq.questions`; here nobody has answered yet.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prefq.pool.candidate_pool import BLOCK
from prefq.rewards.group import Rows
from prefq.vocabulary import Array, PopulationPrior, ResponseModel

NEAR = 0.05  # of a typical difference: what an answer tells falls with its square, here to a 400th
ROUNDS = 10  # as many as a session has questions, about

Features = NDArray[np.floating[Any]]


def pairs_within(prompt_codes: Rows) -> Rows:
    """All pairs (n_pairs, 2) of items that answer one prompt, rows ascending, prompt by prompt.

    Parameters
    ----------
    prompt_codes : (n_items,)
        A number for each item's prompt.
    """
    order = np.argsort(prompt_codes, kind="stable")
    _, starts, sizes = np.unique(prompt_codes[order], return_index=True, return_counts=True)
    counts = sizes * (sizes - 1) // 2
    begins = np.cumsum(counts) - counts
    pairs = np.empty((counts.sum(), 2), dtype=np.int64)
    for size in np.unique(sizes).tolist():
        own, sides = sizes == size, np.triu_indices(size, 1)
        rows = begins[own][:, None] + np.arange(len(sides[0]))
        for side, members in enumerate(sides):
            pairs[rows, side] = order[starts[own][:, None] + members]
    return pairs


def near_equal(features: Features, pairs: Rows, *, share: float = NEAR) -> NDArray[np.bool_]:
    """Pairs (n_pairs,) whose features differ by less than a share of what is typical, so that an answer tells nothing.

    A difference is the root mean square over the features of difference by typical difference, which is the root mean
    square over the pairs.

    Parameters
    ----------
    features : (n_items, n_features)
        In any units.
    pairs : (n_pairs, 2)
        Rows of items.
    share
        Of a typical difference, from 0 to 1.
    """
    squares = np.zeros(features.shape[1])
    for _, differences in _blocks(features, pairs):
        squares += np.square(differences).sum(axis=0)
    typical = np.where(squares > 0, squares / max(len(pairs), 1), 1.0)
    near = np.zeros(len(pairs), dtype=bool)
    for rows, differences in _blocks(features, pairs):
        near[rows] = (np.square(differences) / typical).mean(axis=1) < share**2
    return near | _equal(features, pairs)


def most_informative(features: Features, pairs: Rows, prompt_codes: Rows, prior: PopulationPrior, n_pairs: int) -> Rows:
    """Rows of the pairs (n_pairs,), ascending, that tell most about the tastes of new users, from every prompt some.

    What a pair tells about a taste drawn from the prior (its Gaussian moments) is measured by the variance of its
    margin times the expected slope of its answer's probability. That orders pairs almost as the expected information
    does, without its integral. Chosen by that alone, all pairs would differ on the axis on which tastes differ most,
    and the second question would have nothing new to ask. So pairs are chosen in ten rounds, as a session has about ten
    questions: before each round but the first, one answer to an average pair of the round before is counted in. In each
    round a tenth of the prompts get the most telling of their pairs, where they have none yet, and the rest of the
    round's share goes to the most telling pairs of all.

    Parameters
    ----------
    features : (n_items, n_features)
        In the units of the prior.
    pairs : (n_all, 2)
        To choose from; within prompts.
    prompt_codes : (n_items,)
        A number for each item's prompt.
    prior
        Where new users start.
    n_pairs
        How many to choose; every prompt has one at least, or where they are more, one at most.
    """
    if n_pairs >= len(pairs):
        return np.arange(len(pairs))
    known, codes = np.unique(prompt_codes, return_inverse=True)
    has_pairs = np.bincount(codes[pairs[:, 0]], minlength=len(known)) > 0
    prompts = (np.cumsum(has_pairs) - 1)[codes][pairs[:, 0]]  # from 0, without a gap
    n_prompts = int(has_pairs.sum())
    model = prior.response_model
    covariance = prior.coefficients.covariance
    free, waits = np.ones(len(pairs), dtype=bool), np.ones(n_prompts, dtype=bool)
    told = np.empty(len(pairs))
    turn = np.arange(n_prompts) % ROUNDS
    for number in range(ROUNDS):
        for rows, differences in _blocks(features, pairs):
            variances, slopes = _telling(differences, prior.coefficients.mean, covariance, model)
            told[rows] = variances * slopes
        left = n_pairs - int((~free).sum())
        share = left if number == ROUNDS - 1 else min(left, -(-n_pairs // ROUNDS))
        owed = _best_of_each(told, prompts, (waits & (turn <= number))[prompts])
        owed = owed[np.argsort(-told[owed], kind="stable")][:share]
        waits[prompts[owed]] = False
        free[owed] = False
        rest = _highest(told, free, max(min(share - len(owed), left - len(owed) - int(waits.sum())), 0))
        waits[prompts[rest]] = False
        free[rest] = False
        chosen = np.concatenate([owed, rest])
        if len(chosen):
            covariance = _after_one(covariance, features, pairs[chosen], prior)
    return np.flatnonzero(~free)


def _telling(differences: Array, mean: Array, covariance: Array, model: ResponseModel) -> tuple[Array, Array]:
    """Variance of each pair's margin, and expected slope of its answer's probability, about E σ'(m); (n_pairs,).

    With m ~ N(μ, v) and k = 1 / √(1 + πv/8), E σ'(m) is about k p (1 − p) at p = σ(k μ) (MacKay 1992, equation 10, and
    its slope).
    """
    felt = model.felt(differences)
    variances = np.maximum(((felt @ covariance) * felt).sum(axis=1), 0.0)
    shrunk = 1 / np.sqrt(1 + np.pi / 8 * variances)
    chances = expit(shrunk * (felt @ mean + model.position_bias))
    return variances, shrunk * chances * (1 - chances)


def _best_of_each(told: Array, prompts: Rows, wanted: NDArray[np.bool_]) -> Rows:
    """The most telling of the wanted pairs (n_pairs,) of each prompt, rows."""
    rows = np.flatnonzero(wanted)
    order = rows[np.lexsort((rows, -told[rows], prompts[rows]))]
    first = np.ones(len(order), dtype=bool)
    first[1:] = prompts[order][1:] != prompts[order][:-1]
    return np.asarray(order[first])


def _highest(told: Array, free: NDArray[np.bool_], n: int) -> Rows:
    """The n most telling of the free pairs (n_pairs,), utmost first, and the earlier of equals."""
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    values = told[free]
    if n < len(values):  # or sorting all takes most of the time
        values.partition(-n)
        free = free & (told >= values[-n])
    del values  # which are as many as the pairs
    rows = np.flatnonzero(free)
    return np.asarray(rows[np.argsort(-told[rows], kind="stable")][:n])


def _after_one(covariance: Array, features: Features, pairs: Rows, prior: PopulationPrior) -> Array:
    """The covariance after one answer to an average of these pairs: its precision grows by the mean of σ'(m) δ δᵀ."""
    gain = np.zeros_like(covariance)
    for _, differences in _blocks(features, pairs):
        _, slopes = _telling(differences, prior.coefficients.mean, covariance, prior.response_model)
        gain += differences.T @ (slopes[:, None] * differences)
    updated = covariance @ np.linalg.inv(np.eye(len(covariance)) + gain / len(pairs) @ covariance)
    return np.asarray((updated + updated.T) / 2)


def _equal(features: Features, pairs: Rows) -> NDArray[np.bool_]:
    equal = np.zeros(len(pairs), dtype=bool)
    for rows, differences in _blocks(features, pairs):
        equal[rows] = ~differences.any(axis=1)
    return equal


def _blocks(features: Features, pairs: Rows) -> Iterator[tuple[slice, Array]]:
    """Rows, and first minus second of these (n_rows, n_features) in double precision."""
    for start in range(0, len(pairs), BLOCK):
        rows = slice(start, min(start + BLOCK, len(pairs)))
        first, second = pairs[rows].T
        yield rows, features[first].astype(np.float64) - features[second]
