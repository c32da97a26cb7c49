"""Rules by name, and how each is put to a whole pool: to the margins, or to more than margins can tell.

The formulas are in `prefq.questions.acquisition`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from prefq.errors import InputError, NotFoundError
from prefq.inference.predictive import predicted_slopes
from prefq.pool.candidate_pool import BLOCK, CandidatePool
from prefq.questions.acquisition import (
    ACQUISITIONS,
    AcquisitionFunction,
    expected_absolute,
    expected_utility_of_best,
    information_gain,
    mixture_information_gain,
    target_variance,
)
from prefq.questions.hashes import random_order
from prefq.questions.margins import Margins
from prefq.vocabulary import Array, Coefficients, ResponseModel, covariance_factor, real_array


class Situation(NamedTuple):
    """All that a rule may score questions by: the pool, what is believed and how people reply; seed for hashes."""

    pool: CandidatePool
    posterior: Coefficients
    margins: Margins
    response_model: ResponseModel
    seed: int = 0


@runtime_checkable
class PoolAcquisition(Protocol):
    """A rule that needs more than mean and variance of margins, such as the coefficients or the items."""

    def score_pool(self, situation: Situation, /) -> Array:
        """Scores (n_questions,) of every question of the pool; higher is better."""


Acquisition = str | AcquisitionFunction | PoolAcquisition
"""A rule: its name, a function of mean and variance, or an object that scores a whole pool."""


@dataclass(frozen=True, slots=True)
class RandomOrder:
    """A fixed random order: a hash of seed, pool and pair."""

    def score_pool(self, situation: Situation, /) -> Array:
        """Numbers in [0, 1) (n_questions,)."""
        return random_order(situation.pool, situation.seed)


@dataclass(frozen=True, slots=True)
class UtilityOfBest:
    """`expected_utility_of_best`, utilities being counted from the average of the items with the same prompt.

    Rewards of responses to different prompts have no common zero, so that utilities can be compared only so. Of a
    mixture the expectation is exact.
    """

    def score_pool(self, situation: Situation, /) -> Array:
        """Expected utilities (n_questions,), in logits."""
        pool, margins, model = situation.pool, situation.margins, situation.response_model
        utilities = _above_prompt(pool, situation.posterior.mean)
        means, variances = margins.means, margins.variances
        if model.dissimilarity_noise != 0:
            loudness = np.concatenate([model.loudness(differences) for _, differences in pool.blocks()])
            means, variances = means / loudness, variances / loudness**2
        absolute = margins.weights @ expected_absolute(means, variances)
        return expected_utility_of_best(absolute, utilities[pool.pairs].mean(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class TargetVariance:
    """`target_variance` of what will be predicted, each target weighted by how much its margin moves the prediction.

    Parameters
    ----------
    targets : (n_targets, n_features), optional
        Feature differences of the pairs whose preference will be predicted; all questions of the pool by default.
    """

    targets: Array | None = None

    def score_pool(self, situation: Situation, /) -> Array:
        """Expected fall of the variance of the predicted preferences (n_questions,), averaged over the targets."""
        pool, posterior, margins, model, _ = situation
        root = posterior.covariance @ covariance_factor(self._second_moment(situation))
        squares = np.empty(pool.n_questions)
        for rows, differences in pool.blocks():
            squares[rows] = np.square(model.felt(differences) @ root).sum(axis=1)
        return target_variance(margins.mean, margins.variance, squares, response_model=model)

    def _second_moment(self, situation: Situation) -> Array:
        """Mean over the targets of slope² ττᵀ (n_features, n_features)."""
        pool, posterior, margins, model, _ = situation
        total, n_features = np.zeros((pool.n_features, pool.n_features)), pool.n_features
        if self.targets is None:
            for rows, differences in pool.blocks():
                targets = model.felt(differences)
                total += _weighted_squares(targets, margins.mean[rows], margins.variance[rows])
            return total / pool.n_questions
        if self.targets.shape[1] != n_features:
            raise InputError(
                f"the targets have {self.targets.shape[1]} features and the pool {n_features}; give differences of "
                "the pool's features."
            )
        targets = model.felt(self.targets)
        variance = np.square(targets @ covariance_factor(posterior.covariance)).sum(axis=1)
        return _weighted_squares(targets, targets @ posterior.mean, variance) / len(targets)


def target_variance_on(differences: Array) -> TargetVariance:
    """The rule `target_variance` for a target set of one's own.

    Parameters
    ----------
    differences : (n_targets, n_features)
        Features of the first response minus those of the second, of pairs whose preference will be predicted; they
        need not be in the pool.

    Raises
    ------
    InputError
        When they are no such array, or there is no target.

    Examples
    --------
    >>> import prefq
    >>> from prefq.questions.scoring import target_variance_on
    >>> pool = prefq.CandidatePool.from_arrays([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[0, 1], [0, 2]])
    >>> only_the_second_counts = target_variance_on([[0.0, 1.0]])
    >>> prefq.select_next_question(pool, [], acquisition=only_the_second_counts).id in ("0-2", "2-0")
    True
    """
    targets = real_array(differences, "targets", ndim=2)
    if not targets.size:
        raise InputError("there are no targets; give the feature differences of at least one pair.")
    return TargetVariance(targets)


POOL_ACQUISITIONS: Mapping[str, PoolAcquisition] = MappingProxyType(
    {
        "expected_utility_of_best": UtilityOfBest(),
        "target_variance": TargetVariance(),
        "random": RandomOrder(),
    }
)
"""Rules by name that need more than mean and variance."""
ACQUISITION_NAMES: tuple[str, ...] = (*ACQUISITIONS, *POOL_ACQUISITIONS)


def acquisition_named(acquisition: Acquisition) -> AcquisitionFunction | PoolAcquisition:
    """The rule of a name, or itself.

    Raises
    ------
    NotFoundError
        For an unknown name; it names those that exist.
    InputError
        For what is neither a name nor a rule.
    """
    if isinstance(acquisition, str):
        require_acquisition(acquisition)
        return ACQUISITIONS[acquisition] if acquisition in ACQUISITIONS else POOL_ACQUISITIONS[acquisition]
    if not (callable(acquisition) or isinstance(acquisition, PoolAcquisition)):
        raise InputError(f"acquisition is {acquisition!r}; give a name or a function of mean and variance.")
    return acquisition


def require_acquisition(name: str) -> None:
    """Raise NotFoundError, which names those that exist, unless there is an acquisition function of this name."""
    if name not in ACQUISITION_NAMES:
        raise NotFoundError(f"there is no acquisition {name!r}; choose one of {', '.join(ACQUISITION_NAMES)}.")


def acquisition_name(acquisition: Acquisition) -> str:
    """What a session's log calls a rule."""
    return acquisition if isinstance(acquisition, str) else getattr(acquisition, "__name__", type(acquisition).__name__)


def score_situation(rule: AcquisitionFunction | PoolAcquisition, situation: Situation) -> Array:
    """Scores of every question of the pool (n_questions,); InputError unless they are as many finite numbers."""
    if isinstance(rule, PoolAcquisition):
        return checked_scores(rule.score_pool(situation), situation.pool.n_questions)
    return score_margins(rule, situation.margins, situation.response_model)


def score_margins(rule: AcquisitionFunction, margins: Margins, response_model: ResponseModel) -> Array:
    """Scores of questions (n_questions,): of a mixture exact for `information_gain`, else by the whole's moments.

    Raises
    ------
    InputError
        When the rule does not return one finite number a question.
    """
    n_questions = margins.means.shape[1]
    if rule is information_gain and len(margins.means) > 1:
        scores = mixture_information_gain(*margins, response_model=response_model)
    else:
        scores = rule(margins.mean, margins.variance, response_model=response_model)
    return checked_scores(scores, n_questions)


def checked_scores(scores: Array, n_questions: int) -> Array:
    """The scores in float64; InputError unless they are one finite number a question."""
    if np.shape(scores) != (n_questions,) or not np.isfinite(scores).all():
        raise InputError(
            f"the acquisition function returned shape {np.shape(scores)}, or scores that are not finite, for "
            f"{n_questions} questions; it must return one finite number a question."
        )
    return np.asarray(scores, dtype=np.float64)


def _above_prompt(pool: CandidatePool, coefficients: Array) -> Array:
    """Reward of each item above the average of the items with its prompt (n_items,), in logits."""
    blocks = (pool.features[start : start + BLOCK] for start in range(0, pool.n_items, BLOCK))
    utilities = np.concatenate([block @ coefficients for block in blocks])
    codes = np.zeros(pool.n_items, dtype=np.int64) if pool.prompt_codes is None else pool.prompt_codes
    average = np.bincount(codes, weights=utilities) / np.maximum(np.bincount(codes), 1)
    return np.asarray(utilities - average[codes])


def _weighted_squares(targets: Array, mean: Array, variance: Array) -> Array:
    """Σ slope² ττᵀ, the slope being that of the predicted preference in the target's margin."""
    slopes = predicted_slopes(mean, variance, ResponseModel())[:, 0]
    return np.asarray((targets * np.square(slopes)[:, None]).T @ targets)
