"""Acquisition functions: how much each question is worth, from the mean and variance of its margin.

All have one signature and higher is better. Of a mixture, `information_gain` is exact (`mixture_information_gain`) and
every other rule is given the mean and variance of the whole. How they are put to a pool is in
`prefq.questions.scoring`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from prefq.inference.likelihood import log_likelihood, sigmoid
from prefq.inference.predictive import (
    entropy,
    expected_entropy,
    predicted_replies,
    predicted_slopes,
)
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


def mixture_information_gain(weights: Array, means: Array, variances: Array, *, response_model: ResponseModel) -> Array:
    """`information_gain` of a mixture: H(Σ_k π_k E_k p) - Σ_k π_k E_k H(p), by the same quadrature.

    It is what the reply tells about the component plus what it tells within the components (docs/maths/acquisition.md,
    eq. 2): a margin whose sign two groups disagree about is worth asking even if each group is sure of it.

    Parameters
    ----------
    weights : (n_components,) or (n_components, n_questions)
        Probability of each component; over the components they sum to 1.
    means, variances : (n_components, n_questions)
        Of the margin under each component, in logits and squared logits; a variance of 0 is a point.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions,)
        In nats, at least 0 and at most log(n_replies); absolute error below 1e-9.
    """
    replies = predicted_replies(means.ravel(), variances.ravel(), response_model)
    within = expected_entropy(means.ravel(), variances.ravel(), response_model).reshape(means.shape)
    weights = by_question(weights, means)
    told = entropy((weights[..., None] * replies.reshape(*means.shape, -1)).sum(axis=0))
    gain = told - (weights * within).sum(axis=0)
    return np.where(gain > ROUND_OFF, gain, 0.0)


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
    the belief is Gaussian (docs/maths/acquisition.md, eq. 3).

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


def expected_absolute(mean: Array, variance: Array) -> Array:
    """Mean size of a margin, ``E |m|`` for m ~ N(mean, variance), in logits; any shape: that of a folded normal."""
    from scipy.special import ndtr  # here, because it costs 0.1 s and few rules need it

    sd = np.sqrt(variance)
    z = np.abs(mean) / np.where(sd > 0, sd, 1.0)
    inside = 2 * sd * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) + np.abs(mean) * (2 * ndtr(z) - 1)
    return np.asarray(np.where(sd > 0, inside, np.abs(mean)))


def expected_utility_of_best(absolute: Array, average_utility: Array) -> Array:
    """Expected utility of the better response of a question: EUBO (Lin et al. 2022).

    ``max(u₁, u₂) = (u₁ + u₂) / 2 + |u₁ - u₂| / 2``, so that it is the average utility plus half the mean size of
    the margin, whatever the utilities' joint distribution (docs/maths/acquisition.md, eqs. 5 and 6).

    Parameters
    ----------
    absolute : (n_questions,)
        Mean size of the margin, in logits: `expected_absolute`.
    average_utility : (n_questions,)
        Of the two responses, in logits above any point that questions can be compared by.

    Returns
    -------
    (n_questions,)
        In logits.
    """
    return average_utility + absolute / 2


ACQUISITIONS: Mapping[str, AcquisitionFunction] = MappingProxyType(
    {
        "information_gain": information_gain,
        "d_optimal": d_optimal,
        "pref": pref,
        "max_norm": max_norm,
        "margin_uncertainty": margin_uncertainty,
    }
)
"""Acquisition functions by name; `prefq.questions.scoring` knows those that need more than mean and variance."""


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


def by_question(weights: Array, means: Array) -> Array:
    """Weights (n_components, n_questions), or one column that stands for all questions."""
    return weights if weights.ndim == means.ndim else weights[:, None]
