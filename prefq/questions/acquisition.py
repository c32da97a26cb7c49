"""Acquisition functions: how much each question is worth, from the mean and variance of its margin.

All have one signature and higher is better. The `random` rule needs to know the pool and a seed, and is made where
these are known, in `prefq.questions.selection`.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np

from prefq.inference.likelihood import log_likelihood, sigmoid
from prefq.inference.predictive import entropy, expected_entropy, predicted_replies, predicted_slopes
from prefq.vocabulary import Array, ResponseModel

ROUND_OFF = 1e-12  # nats; information is never negative, its two integrals are known to about this


class AcquisitionFunction(Protocol):
    """Scores of questions from their margins' mean and variance, both (n_questions,); higher is better."""

    def __call__(self, mean: Array, variance: Array, /, *, response_model: ResponseModel) -> Array:
        """Scores (n_questions,)."""


def information_gain(mean: Array, variance: Array, *, response_model: ResponseModel) -> Array:
    """Mutual information of the reply and the coefficients, H(E p) - E H(p): BALD (Houlsby et al. 2011, eq. 2).

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions,)
        In nats, at least 0 and at most log(n_replies); by fixed quadrature, absolute error below 1e-9.
    """
    told = entropy(predicted_replies(mean, variance, response_model))
    gain = np.maximum(told - expected_entropy(mean, variance, response_model), 0.0)
    return np.where((variance > 0) & (gain > ROUND_OFF), gain, 0.0)


def d_optimal(mean: Array, variance: Array, *, response_model: ResponseModel) -> Array:
    """Fall of the log-determinant of the covariance: ½ log(1 + k·variance), k the curvature at the mean.

    The determinant lemma applied to Bayesian D-optimal design (Chaloner and Verdinelli 1995, sec. 2.2; Segall 1996 in
    adaptive testing). k is the expected curvature of the reply (Fisher information) at the mean margin.

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions,)
        In nats, at least 0.
    """
    return np.log1p(fisher_information(mean, response_model) * variance) / 2


def pref(mean: Array, variance: Array, *, response_model: ResponseModel) -> Array:
    """The score of PReF's released code: σ'(mean)²·variance (arXiv 2503.06358; the paper has one σ').

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Not used: the rule knows neither ties nor bias.

    Returns
    -------
    (n_questions,)
        In squared logits, scaled.
    """
    return (sigmoid(mean) * sigmoid(-mean)) ** 2 * variance


def max_norm(mean: Array, variance: Array, *, response_model: ResponseModel) -> Array:
    """The variance of the margin: the plain confidence-ellipsoid norm of logistic bandits (Faury et al. 2020).

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Not used.

    Returns
    -------
    (n_questions,)
        In squared logits.
    """
    return np.array(variance, dtype=np.float64)


def margin_uncertainty(mean: Array, variance: Array, *, response_model: ResponseModel) -> Array:
    """``-|mean|``: uncertainty sampling (Lewis and Gale 1994), a control that is known to do no better than random.

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Not used.

    Returns
    -------
    (n_questions,)
        In logits, at most 0.
    """
    return -np.abs(mean)


def target_variance(mean: Array, variance: Array, squared_covariance: Array, *, response_model: ResponseModel) -> Array:
    """Expected fall of the variance of the margins on a target set: V-optimal design, cf. EPIG (Bickford Smith 2023).

    One reply y to a question with margin m moves the mean of a target margin t by cov(t, m) E[dP(y|m)/dm] / E P(y|m)
    (Stein's lemma), so the expected fall of its variance is cov(t, m)² Σ_y (E P'(y|m))² / E P(y|m), exactly, while
    the belief is Gaussian (docs/maths/questions.md).

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    squared_covariance : (n_questions,)
        Mean over the targets of the squared covariance of the question's margin with the target's, in logits⁴.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions,)
        In squared logits, averaged over the targets; at least 0.
    """
    return squared_covariance * expected_squared_score(mean, variance, response_model)


ACQUISITIONS: Mapping[str, AcquisitionFunction] = MappingProxyType(
    {
        "information_gain": information_gain,
        "d_optimal": d_optimal,
        "pref": pref,
        "max_norm": max_norm,
        "margin_uncertainty": margin_uncertainty,
    }
)
"""Acquisition functions by name; "random" is known to `prefq.questions.selection` too."""


def fisher_information(margins: Array, response_model: ResponseModel) -> Array:
    """Expected squared slope of the log-likelihood at known margins, Σ_y p_y (d log p_y / dm)²; (n_questions,)."""
    total = np.zeros_like(margins)
    for outcome in response_model.outcomes:
        reply = log_likelihood(margins, np.full(margins.shape, outcome, dtype=np.int8), response_model)
        total += np.exp(reply.value) * reply.first**2
    return total


def expected_squared_score(mean: Array, variance: Array, response_model: ResponseModel) -> Array:
    """Σ_y (E P'(y|m))² / E P(y|m) for m ~ N(mean, variance), P' the slope in m; (n_questions,), in 1 / logits²."""
    replies = predicted_replies(mean, variance, response_model)
    slopes = predicted_slopes(mean, variance, response_model)
    return np.asarray(np.sum(np.square(slopes) / np.maximum(replies, np.finfo(float).tiny), axis=-1))


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
        In nats, never below the gain and seldom more than 0.002 above it.

    Notes
    -----
    Bilinear interpolation in a table over |mean + b| / √(1 + variance) and log(1 + sd), plus the error that bilinear
    interpolation can make: an eighth of the second differences along each axis, taken twice. Beyond the last mean of
    the table the gain falls with the mean; beyond the last sd the bound is log(n_replies).
    """
    table = _gain_table(response_model.tie_threshold, response_model.lapse_rate)
    sd = np.sqrt(variance)
    distance = np.abs(mean + response_model.position_bias) / np.sqrt(1 + variance)
    x = np.minimum(distance * ((GRID - 1) / table.reach), GRID - 1)
    y = np.minimum(np.log1p(sd) * ((GRID - 1) / MAX_LOG_SD), GRID - 1)
    i, j = np.minimum(x.astype(np.intp), GRID - 2), np.minimum(y.astype(np.intp), GRID - 2)
    x, y, corner = x - i, y - j, i * GRID + j
    flat = table.gain.ravel()
    below = flat[corner] + x * (flat[corner + GRID] - flat[corner])
    above = flat[corner + 1] + x * (flat[corner + GRID + 1] - flat[corner + 1])
    bound = below + y * (above - below) + table.slack
    return np.asarray(np.where(sd > MAX_SD, np.log(len(response_model.outcomes)), bound))


GRID = 128  # points a side: the table takes 0.1 s to make, and its slack is about 0.001 nats
MAX_SD = 1000.0  # logits
MAX_LOG_SD = float(np.log1p(MAX_SD))
REACH = 8.0  # in the table's unit of distance; the gain beyond is below 1e-9 at any sd but near the tie threshold


class _GainTable(NamedTuple):
    """Information gain (GRID, GRID) over distance and log sd; the largest distance; and the error to allow for."""

    gain: Array
    reach: float
    slack: float


@lru_cache(maxsize=8)  # of a pure function: a table for each response model in use
def _gain_table(tie_threshold: float, lapse_rate: float) -> _GainTable:
    reach = REACH + tie_threshold
    sd = np.expm1(np.linspace(0.0, MAX_LOG_SD, GRID))
    mean = np.linspace(0.0, reach, GRID)[:, None] * np.sqrt(1 + sd**2)
    variance = np.broadcast_to(sd**2, mean.shape)
    model = ResponseModel(tie_threshold, 0.0, lapse_rate)
    gain = information_gain(mean.ravel(), variance.ravel(), response_model=model).reshape(GRID, GRID)
    bends = [float(np.abs(np.diff(gain, n=2, axis=axis)).max()) for axis in (0, 1)]
    return _GainTable(gain, reach, 2 * sum(bends) / 8)
