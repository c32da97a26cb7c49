"""The response model of a group: ties, position bias and strength of preferences, given what is believed of margins.

One step of expectation maximisation: the parameters under which the replies are likeliest, averaged over the margins as
they are believed. Only what the answers can tell is fitted. Lapses and dissimilarity noise are not decided here.
"""

from dataclasses import replace

import numpy as np

from prefq.inference.groups import Group
from prefq.inference.likelihood import log_likelihood
from prefq.inference.mixture_em import Believed
from prefq.vocabulary import Array, ResponseModel

MAX_THRESHOLD = 8.0  # logits; beyond it only ties, or only slight preferences, would ever be seen
MAX_BIAS = 4.0  # logits
LEAST_IDENTIFIED = 0.05  # share of a constant side that differences must leave unexplained for a bias to be told apart
SIGNIFICANT = 3.0  # standard errors, below which a position bias counts as none
CURVATURE = 0.1  # of a reply's log likelihood, at margins as they are; at most 1/4
MAX_ANSWERS = 20_000  # that parameters are fitted on: a bias is then known to about .02 logits
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def first_response_model(group: Group) -> ResponseModel:
    """Where the search for parameters begins, from shares of replies; what the answers cannot tell stays 0."""
    grades = np.abs(group.outcomes)
    ties = float((grades == 0).mean())
    # At a margin of 0, P(tie) = tanh(τ / 2); wider margins leave room for fewer ties.
    tie_threshold = 2 * float(np.arctanh(min(ties, 0.95)))
    graded = grades > 1
    told = bool((grades[graded] == 2).any() and (grades[graded] == 3).any())
    return ResponseModel(tie_threshold, strength_threshold=1.0 if told else 0.0)


def fitted_response_model(group: Group, believed: Believed, response_model: ResponseModel) -> ResponseModel:
    """The parameters under which a group's replies are likeliest, given what is believed of its margins.

    Parameters
    ----------
    group
        As its differences are felt under `response_model`.
    believed
        Of the margins of its answers.
    response_model
        The last one. Thresholds of 0 stay 0; lapse rate and dissimilarity noise are kept.
    """
    from scipy.optimize import minimize  # here, because it is slow to import and only fits need it

    rows = np.arange(len(group.outcomes))[:: -(-len(group.outcomes) // MAX_ANSWERS)]
    names = _told(group, response_model)
    if not names:
        return response_model
    margins = believed.means[rows][..., None] + np.sqrt(believed.variances[rows])[..., None] * _NODES
    weights = believed.shares[rows][..., None] * _WEIGHTS
    outcomes = np.broadcast_to(group.outcomes[rows][:, None, None], margins.shape)

    def surprise(values: Array) -> float:
        model = _with(response_model, names, values)
        return -float(np.sum(weights * log_likelihood(margins, outcomes, model).value)) / len(rows)

    start = np.array([getattr(response_model, name) for name in names])
    bounds = [(-MAX_BIAS, MAX_BIAS) if name == "position_bias" else (1e-3, MAX_THRESHOLD) for name in names]
    found = minimize(surprise, start, method="L-BFGS-B", bounds=bounds)
    return _with(response_model, names, found.x)


def without_chance_bias(group: Group, response_model: ResponseModel) -> ResponseModel:
    """The response model, its position bias 0 where it is no more than chance would make it."""
    unexplained = _unexplained_side(group)
    n_answers = min(len(group.outcomes), MAX_ANSWERS)
    error = 1 / np.sqrt(CURVATURE * n_answers * max(unexplained, LEAST_IDENTIFIED))
    if abs(response_model.position_bias) > SIGNIFICANT * error:
        return response_model
    return replace(response_model, position_bias=0.0)


def _told(group: Group, model: ResponseModel) -> list[str]:
    """Names of the parameters that a group's answers tell something about."""
    names = [name for name in ("tie_threshold", "strength_threshold") if getattr(model, name) > 0]
    both_sides = bool((group.outcomes > 0).any() and (group.outcomes < 0).any())
    if both_sides and _unexplained_side(group) > LEAST_IDENTIFIED:
        names.append("position_bias")
    return names


def _unexplained_side(group: Group) -> float:
    """Share of a constant that no combination of the differences can stand for: near 0, a bias looks like a taste."""
    ones = np.ones(len(group.outcomes))
    fit, *_ = np.linalg.lstsq(group.differences, ones, rcond=1e-10)
    return float(1 - group.differences.mean(axis=0) @ fit)


def _with(model: ResponseModel, names: list[str], values: Array) -> ResponseModel:
    for name, value in zip(names, values.tolist(), strict=True):
        model = ResponseModel.from_dict({**model.to_dict(), name: value})
    return model
