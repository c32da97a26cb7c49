"""Bounds of information gain from small tables, so that selection takes few integrals.

The functions bounded are in `prefq.questions.acquisition`.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from prefq.inference.predictive import WIDE_SD, entropy, preference_probability
from prefq.questions.acquisition import by_question, information_gain
from prefq.vocabulary import Array, ResponseModel

GRID = 256  # points a side of a table, filled from nodes: the slack is about 0.0003 nats
NODES, MOST_NODES = 32, 256  # Chebyshev nodes a side, where integrals are taken, doubled until the table is smooth
SHARES = 32  # of a point beside a Gaussian, for which a table is made when one is needed
TAIL = 1e-5  # the last terms of a table that is smooth enough
MAX_SD = 1000.0  # logits
BANDS = ((0.0, WIDE_SD), (WIDE_SD, MAX_SD))  # of sd, a table each: the wide one, which takes longer, only where needed
REACH = 8.0  # in the table's unit of distance; the gain beyond is below 1e-9 at any sd but near the tie threshold


def information_gain_bound(mean: Array, variance: Array, *, response_model: ResponseModel) -> Array:
    """An upper bound of `information_gain`, some hundred times cheaper: lets selection skip most integrals.

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions,)
        In nats, never below the gain and seldom more than 0.0005 above it.

    Notes
    -----
    Bilinear interpolation in a table over |mean + b| / √(1 + variance) and log(1 + sd), plus the error that it can
    make: an eighth of the second differences along each axis, taken twice, and the last terms of the polynomial that
    filled the table. Beyond the last mean of the table the gain falls with the mean; beyond the last sd the bound is
    log(n_replies).
    """
    return information_gain_bounds(mean, variance, response_model=response_model)[1]


def information_gain_bounds(mean: Array, variance: Array, *, response_model: ResponseModel) -> tuple[Array, Array]:
    """Bounds of `information_gain` from below and above, parameters and the latter as of `information_gain_bound`.

    Returns
    -------
    tuple of (n_questions,) and (n_questions,)
        In nats; mostly 0.0001 apart where the margin's standard deviation is at most 3 logits, 0.0004 beyond.
    """
    tie, lapse = response_model.tie_threshold, response_model.lapse_rate
    gain, slack = _interpolated(
        lambda n_bands: _gain_tables(tie, lapse, n_bands), mean + response_model.position_bias, variance
    )
    beyond = variance > MAX_SD**2
    if not beyond.any():
        return gain - slack, gain + slack
    return np.where(beyond, 0.0, gain - slack), np.where(beyond, np.log(len(response_model.outcomes)), gain + slack)


def least_variance_to_gain(gain: float, *, response_model: ResponseModel) -> float:
    """A variance, in squared logits, below which no question tells as much as `gain` nats, whatever its mean."""
    for band in range(len(BANDS)):
        most, variances = _most_gain(response_model.tie_threshold, response_model.lapse_rate, band)
        if gain <= most[-1]:
            below = max(int(most.searchsorted(gain)) - 1, 0)  # up to this point of the table all is below
            return float(variances[below])
    return MAX_SD**2


def least_variance_beside_a_point(gain: float, share: float, *, response_model: ResponseModel) -> float:
    """`least_variance_to_gain` of one Gaussian beside components in which no question has a margin.

    Parameters
    ----------
    gain
        In nats, of `mixture_information_gain`.
    share
        Weight of the components whose margin is 0, below 1.
    response_model
        Without ties and position bias.

    Returns
    -------
    float
        The Gaussian's variance, in squared logits; 0 where nothing can be said.
    """
    tabled = math.ceil(share * SHARES) / SHARES
    if tabled >= 1:
        return 0.0
    for band in range(len(BANDS)):
        most, variances = _most_beside_a_point(response_model.lapse_rate, tabled, band)
        if gain <= (1 - share) * most[-1]:
            return float(variances[max(int(most.searchsorted(gain / (1 - share))) - 1, 0)])
    return MAX_SD**2


def mixture_information_gain_bound(
    weights: Array, means: Array, variances: Array, *, response_model: ResponseModel
) -> Array:
    """An upper bound of `mixture_information_gain` from two tables, without an integral.

    Parameters
    ----------
    weights, means, variances, response_model
        As in `mixture_information_gain`.

    Returns
    -------
    (n_questions,)
        In nats, never below the gain; some 0.004 above it where it is large, up to 0.02 elsewhere.

    Notes
    -----
    The weighted sum of the components' bounds, plus a bound of what the reply tells about the component: the entropy
    of the reply less the weighted entropies of the components' replies, each taken where the error of the tabled
    probabilities makes the difference largest.
    """
    if len(means) == 1:
        return information_gain_bound(means[0], variances[0], response_model=response_model)
    return mixture_information_gain_bounds(weights, means, variances, response_model=response_model)[1]


def mixture_information_gain_bounds(
    weights: Array, means: Array, variances: Array, *, response_model: ResponseModel
) -> tuple[Array, Array]:
    """Bounds of `mixture_information_gain` from below and above, parameters and the latter as of the function above.

    Returns
    -------
    tuple of (n_questions,) and (n_questions,)
        In nats; the former is what the reply tells within the components at least.
    """
    weights = by_question(weights, means)
    within_least, within_most = information_gain_bounds(means, variances, response_model=response_model)
    least, most = _reply_bounds(means, variances, response_model)
    between = _most_entropy((weights * least).sum(axis=1), (weights * most).sum(axis=1)).sum(axis=0)
    between -= (weights * np.minimum(_surprisal(least), _surprisal(most)).sum(axis=0)).sum(axis=0)
    bound = (weights * within_most).sum(axis=0) + np.maximum(between, 0.0)
    ceiling = np.log(len(response_model.outcomes))
    beyond = ((variances > MAX_SD**2) & (weights > 0)).any(axis=0)
    known = np.maximum((weights * within_least).sum(axis=0), 0.0)
    return np.asarray(known), np.where(beyond, ceiling, np.minimum(bound, ceiling))


class _Table(NamedTuple):
    """Values (GRID, GRID) over distance and log(1 + sd), their ranges, and the error to allow for."""

    values: Array
    reach: float
    log_sds: tuple[float, float]
    slack: float


class _Bands(NamedTuple):
    """Tables of one or both bands: their values in a row, the largest distance, and lows, scales and slacks a band."""

    values: Array
    reach: float
    lows: Array
    scales: Array
    slacks: Array


@lru_cache(maxsize=16)  # of a pure function: a table for each response model in use
def _gain_table(tie_threshold: float, lapse_rate: float, band: int) -> _Table:
    model = ResponseModel(tie_threshold, 0.0, lapse_rate)
    return _tabled(
        lambda mean, variance: information_gain(mean, variance, response_model=model), REACH + tie_threshold, band
    )


@lru_cache(maxsize=16)
def _gain_tables(tie_threshold: float, lapse_rate: float, n_bands: int) -> _Bands:
    return _side_by_side([_gain_table(tie_threshold, lapse_rate, band) for band in range(n_bands)])


@lru_cache(maxsize=16)
def _most_gain(tie_threshold: float, lapse_rate: float, band: int) -> tuple[Array, Array]:
    """The most that a question can tell at any mean and any sd up to each point of the table, and variances there."""
    table = _gain_table(tie_threshold, lapse_rate, band)
    most = np.maximum.accumulate(table.values.max(axis=0)) + table.slack
    if band > 0:
        most = np.maximum(most, _most_gain(tie_threshold, lapse_rate, band - 1)[0][-1])
    return most, np.expm1(np.linspace(*table.log_sds, GRID)) ** 2


@lru_cache(maxsize=2 * SHARES)
def _most_beside_a_point(lapse_rate: float, share: float, band: int) -> tuple[Array, Array]:
    """As `_most_gain`, beside a point of this share or less, by the share of the rest (docs/maths/questions.md, eq. 6).

    In each cell of the table the most of its corners is taken for what a reply tells within the Gaussian, and the
    corner that is surest of the reply for what it tells about the component.
    """
    gain, preference = _gain_table(0.0, lapse_rate, band), _preference_table(band)  # at the same points
    within = np.maximum(gain.values[:, :-1], gain.values[:, 1:])
    within[:-1] = np.maximum(within[:-1], within[1:])
    surest = np.append(preference.values[1:, :-1], np.ones((1, GRID - 1)), axis=0)
    likelier = (1 - lapse_rate) * np.minimum(surest + preference.slack, 1.0) + lapse_rate / 2
    replies = np.stack([likelier, 1 - likelier], axis=-1)
    about = entropy(share / 2 + (1 - share) * replies) - share * np.log(2) - (1 - share) * entropy(replies)
    most = np.maximum.accumulate((within + about / (1 - share)).max(axis=0)) + gain.slack
    if band > 0:
        most = np.maximum(most, _most_beside_a_point(lapse_rate, share, band - 1)[0][-1])
    return np.append(most[:1], most), np.expm1(np.linspace(*gain.log_sds, GRID)) ** 2


@lru_cache(maxsize=2)
def _preference_tables(n_bands: int) -> _Bands:
    return _side_by_side([_preference_table(band) for band in range(n_bands)])


@lru_cache(maxsize=2)
def _preference_table(band: int) -> _Table:
    """Probability that the first is preferred, E σ(m), at means of 0 and above."""
    table = _tabled(preference_probability, REACH, band)
    beyond = 1 - float(table.values[-1].min())  # what the probability can still grow by behind the last distance
    return table._replace(slack=max(table.slack, beyond))


def _tabled(function: Callable[[Array, Array], Array], reach: float, band: int) -> _Table:
    """A table of a smooth function of mean and variance, for `_interpolated`.

    The function is taken at Chebyshev nodes and its interpolating polynomial at the points of the table. The slack is
    the error of bilinear interpolation between these, and the size of the polynomial's last terms.
    """
    low, high = np.log1p(BANDS[band])
    tail, n_nodes = np.inf, NODES // 2
    while tail > TAIL and n_nodes < MOST_NODES:
        n_nodes *= 2
        degrees, angles = np.arange(n_nodes), np.pi * (np.arange(n_nodes) + 0.5) / n_nodes
        at = (np.cos(angles) + 1) / 2
        sd = np.expm1(low + (high - low) * at)
        mean = reach * at[:, None] * np.sqrt(1 + sd**2)
        known = function(mean.ravel(), np.broadcast_to(sd**2, mean.shape).ravel()).reshape(mean.shape)
        to_terms = 2 / n_nodes * np.cos(degrees[:, None] * angles)
        to_terms[0] /= 2
        terms = to_terms @ known @ to_terms.T
        tail = float(np.abs(terms[-2:]).sum() + np.abs(terms[:, -2:]).sum())
    to_grid = np.cos(degrees * np.arccos(np.linspace(-1.0, 1.0, GRID))[:, None])
    values = to_grid @ terms @ to_grid.T
    bends = [float(np.abs(np.diff(values, n=2, axis=axis)).max()) for axis in (0, 1)]
    return _Table(values, reach, (float(low), float(high)), 2 * sum(bends) / 8 + tail)


def _side_by_side(tables: Sequence[_Table]) -> _Bands:
    lows, highs = np.transpose([table.log_sds for table in tables])
    values = np.concatenate([table.values.ravel() for table in tables])
    return _Bands(
        values, tables[0].reach, lows, (GRID - 1) / (highs - lows), np.array([table.slack for table in tables])
    )


def _interpolated(tables_of: Callable[[int], _Bands], mean: Array, variance: Array) -> tuple[Array, Array]:
    """Value at |mean| and variance of any shape, that of the edge beyond the tables; and the error to allow for."""
    band = (variance > BANDS[0][1] ** 2).astype(np.intp)
    tables = tables_of(1 + int(band.max(initial=0)))
    x = np.minimum(np.abs(mean) / np.sqrt(1 + variance) * ((GRID - 1) / tables.reach), GRID - 1)
    y = np.minimum((np.log1p(np.sqrt(variance)) - tables.lows[band]) * tables.scales[band], GRID - 1)
    i, j = np.minimum(x.astype(np.intp), GRID - 2), np.minimum(y.astype(np.intp), GRID - 2)
    x, y, corner = x - i, y - j, (band * GRID + i) * GRID + j
    flat = tables.values
    below = flat[corner] + x * (flat[corner + GRID] - flat[corner])
    above = flat[corner + 1] + x * (flat[corner + GRID + 1] - flat[corner + 1])
    return np.asarray(below + y * (above - below)), np.asarray(tables.slacks[band])


def _reply_bounds(mean: Array, variance: Array, model: ResponseModel) -> tuple[Array, Array]:
    """The least and the most that the probability of each reply can be; (n_replies, …) each."""
    shifted = mean + model.position_bias

    def preferred(at: Array) -> tuple[Array, Array]:
        upper, slack = _interpolated(_preference_tables, at, variance)
        return np.where(at < 0, 1 - upper, upper), slack

    first, slack = preferred(shifted - model.tie_threshold)
    if model.tie_threshold > 0:
        second, _ = preferred(-shifted - model.tie_threshold)
        replies = np.stack([first, 1 - first - second, second])
        slacks = np.stack([slack, 2 * slack, slack])
    else:
        replies, slacks = np.stack([first, 1 - first]), np.stack([slack, slack])
    lapse = model.lapse_rate
    least, most = np.clip(replies - slacks, 0.0, 1.0), np.clip(replies + slacks, 0.0, 1.0)
    return (1 - lapse) * least + lapse / len(replies), (1 - lapse) * most + lapse / len(replies)


def _surprisal(p: Array) -> Array:
    """-p log p, 0 at 0; any shape."""
    return np.asarray(-p * np.log(np.where(p > 0, p, 1.0)))


def _most_entropy(least: Array, most: Array) -> Array:
    """The largest value of -p log p between two probabilities; it rises up to p = 1/e and falls from there."""
    return _surprisal(np.clip(np.exp(-1.0), least, most))
