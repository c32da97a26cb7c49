"""Rules for many users at once: from what is believed of each to the row of the next question.

The formulas are in `prefq.questions.acquisition`; what a strategy makes of a rule is in `strategies`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.beliefs import Mixtures
from prefq.inference.likelihood import sigmoid
from prefq.questions.acquisition import (
    AcquisitionFunction,
    expected_absolute,
    expected_utility_of_best,
    information_gain,
    mixture_information_gain,
    target_variance,
)
from prefq.questions.costs import SECONDS_TO_CHOOSE, WORDS_PER_MINUTE
from prefq.questions.gain_bounds import information_gain_bound, mixture_information_gain_bound
from prefq.questions.search import TIE_TOLERANCE
from prefq.simulation.panels import History, Rows, Study
from prefq.vocabulary import Array, ResponseModel

Rule = Callable[[History, Callable[[], Mixtures]], Rows]
"""From a history, and the posterior to choose by, to the rows of the next questions."""
RuleOf = Callable[[Study, np.random.Generator], Rule]
"""Makes a rule for a study, with the strategy's own generator."""
NOTHING_LEFT = -1
ROUGH_SHARE = 0.6  # of the best rough score: below it no exact one can be the best
FIRST_CONTENDERS = 16  # integrals taken for each user before bounds are compared with an exact score


def best_rows(scores: Array, left: NDArray[np.bool_]) -> Rows:
    """The lowest row with the highest score among those left, for each user; -1 where none is left."""
    scores = np.where(left, scores, -np.inf)
    top = scores.max(axis=1)
    with np.errstate(invalid="ignore"):
        rows = np.argmax(scores >= (top - TIE_TOLERANCE * np.abs(top))[:, None], axis=1)
    return np.where(left.any(axis=1), rows, NOTHING_LEFT)


def highest(acquisition: AcquisitionFunction) -> RuleOf:
    """Ask the question with the highest score of an acquisition function; a mixture counts by its moments."""

    def rule_of(study: Study, rng: np.random.Generator) -> Rule:
        differences = study.response_model.felt(study.differences)

        def rule(history: History, belief: Callable[[], Mixtures]) -> Rows:
            mean, variance = belief().margins(differences)
            scores = acquisition(mean.ravel(), variance.ravel(), response_model=study.response_model)
            return best_rows(scores.reshape(mean.shape), history.left(study.open))

        return rule

    return rule_of


def most_informative(study: Study, rng: np.random.Generator) -> Rule:
    """Ask what tells most; of a mixture that is exact, too."""
    differences = study.response_model.felt(study.differences)
    ones = np.ones(study.open.shape)
    return lambda history, belief: _most_informative(
        belief(), differences, history.left(study.open), study.response_model, ones
    )


def most_informative_per_second(study: Study, rng: np.random.Generator) -> Rule:
    """Ask what tells most for each second that reading and choosing take."""
    if study.words is None:
        raise InputError(
            "information per second needs to know how many words a question has, and this world or set does not say; "
            "leave the strategy 'information_per_second' out."
        )
    differences = study.response_model.felt(study.differences)
    seconds = np.broadcast_to(study.words * (60 / WORDS_PER_MINUTE) + SECONDS_TO_CHOOSE, study.open.shape)
    return lambda history, belief: _most_informative(
        belief(), differences, history.left(study.open), study.response_model, seconds
    )


def best_utility(study: Study, rng: np.random.Generator) -> Rule:
    """Ask the question whose better response is expected to be worth most, above the average of the open questions."""
    differences, sums = study.differences, study.first + study.second
    loudness = study.response_model.loudness(differences)

    def rule(history: History, belief: Callable[[], Mixtures]) -> Rows:
        believed = belief()
        means, variances = believed.of_components(differences * loudness[..., None])
        felt = expected_absolute(means / loudness, variances / loudness**2)
        average = np.matmul(sums, believed.means[:, :, None])[..., 0] / 2
        absolute = np.einsum("uk,kun->un", believed.weights, felt)
        return best_rows(expected_utility_of_best(absolute, average), history.left(study.open))

    return rule


def least_target_variance(study: Study, rng: np.random.Generator) -> Rule:
    """Ask what is expected to lower the variance of the predicted preferences over the pool's open questions most.

    The variance of a preference probability is, to first order, that of its margin times the squared slope there.
    """
    differences = study.response_model.felt(study.differences)

    def rule(history: History, belief: Callable[[], Mixtures]) -> Rows:
        mean, variance = belief().margins(differences)
        weights = study.open * expected_slope(mean, variance) ** 2
        targets = np.matmul((differences * weights[..., None]).swapaxes(1, 2), differences)
        # Mean square covariance with the targets, up to a factor: δᵀ Σ (Σ_τ weight τ τᵀ) Σ δ.
        covariances = belief().covariances
        spread = np.matmul(covariances, np.matmul(targets, covariances))
        squares = np.maximum((np.matmul(differences, spread) * differences).sum(axis=-1), 0.0)
        left = history.left(study.open)
        likely = left & _likely_best(squares * _rough_squared_score(mean, variance), left, study)
        scores = np.full(mean.shape, -np.inf)
        scores[likely] = target_variance(
            mean[likely], variance[likely], squares[likely], response_model=study.response_model
        )
        return best_rows(scores, left)

    return rule


def _most_informative(
    belief: Mixtures, differences: Array, left: NDArray[np.bool_], response_model: ResponseModel, costs: Array
) -> Rows:
    """Rows of highest information gain for their cost, integrals taken only where a bound does not rule them out."""
    if len(belief.components) == 1:
        mean, variance = belief.components[0].margins(differences)
        bounds = information_gain_bound(mean.ravel(), variance.ravel(), response_model=response_model)

        def gain(wanted: NDArray[np.bool_]) -> Array:
            return information_gain(mean[wanted], variance[wanted], response_model=response_model) / costs[wanted]
    else:
        means, variances = belief.of_components(differences)
        weights = np.broadcast_to(belief.weights.T[:, :, None], means.shape)
        flat = (values.reshape(len(values), -1) for values in (weights, means, variances))
        bounds = mixture_information_gain_bound(*flat, response_model=response_model)

        def gain(wanted: NDArray[np.bool_]) -> Array:
            of_wanted = (values[:, wanted] for values in (weights, means, variances))
            return mixture_information_gain(*of_wanted, response_model=response_model) / costs[wanted]

    return _highest(bounds.reshape(left.shape) / costs, gain, left)


def _highest(bounds: Array, gain: Callable[[NDArray[np.bool_]], Array], left: NDArray[np.bool_]) -> Rows:
    """Rows of the highest scores, taken only where their bounds (n_users, n_questions) do not rule them out."""
    bounds = np.where(left, bounds, -np.inf)
    few = min(FIRST_CONTENDERS, bounds.shape[1])
    scores = np.full(bounds.shape, -np.inf)
    contenders = bounds >= np.partition(bounds, -few, axis=1)[:, -few, None]
    for _ in range(2):  # the likely best, then all that their best does not rule out
        wanted = contenders & left & np.isneginf(scores)
        if wanted.any():
            scores[wanted] = gain(wanted)
        top = scores.max(axis=1)
        with np.errstate(invalid="ignore"):
            contenders = bounds >= (top - TIE_TOLERANCE * np.abs(top))[:, None]
    return best_rows(scores, left)


def expected_slope(mean: Array, variance: Array) -> Array:
    """E σ'(m), approximated by the slope of a matched probit (MacKay 1992); any shape."""
    scale = np.sqrt(1 + np.pi * variance / 8)
    return np.asarray(sigmoid(mean / scale) * sigmoid(-mean / scale) / scale)


def _rough_squared_score(mean: Array, variance: Array) -> Array:
    """`expected_squared_score` of plain replies by a matched probit, .71 to 1.07 of it; any shape."""
    return expected_slope(mean, variance) / np.sqrt(1 + np.pi * variance / 8)


def _likely_best(rough: Array, left: NDArray[np.bool_], study: Study) -> NDArray[np.bool_]:
    """Where a score may be the highest of those left, given rough scores of plain replies."""
    if study.response_model != ResponseModel():
        return np.ones_like(left)
    rough = np.where(left, rough, 0.0)
    return np.asarray(rough >= ROUGH_SHARE * rough.max(axis=1, keepdims=True))
