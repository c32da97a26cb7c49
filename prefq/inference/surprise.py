"""Whether a person's first answers fit the prior of the group, and a wider prior for those whom it does not fit.

The prior is held against another that knows how far tastes reach in this group, and not in which direction. Their Bayes
factor has mean 1 for people of the group, whatever they are asked, so that it ever exceeds 1 / c for a share c of them
at most (Ville 1939; docs/maths/population.md).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.inference.beliefs import Mixtures, mixture_for_all
from prefq.inference.ep_batch import settle
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import Felt, log_sigmoid
from prefq.vocabulary import (
    Array,
    Comparisons,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
    exact_fields,
    real_number,
    whole_number,
)

FALSE_ALARMS = 0.02  # share of the group's people, at most, for whom the prior is ever widened
LIMIT = -np.log(FALSE_ALARMS)  # of the logarithm of the Bayes factor


@dataclass(frozen=True, slots=True)
class Surprise:
    """How much better the wider prior predicted a person's answers.

    Parameters
    ----------
    log_bayes_factor
        In nats, above log(1 / `FALSE_ALARMS`).
    n_answers
        Answers that it was told by.
    """

    log_bayes_factor: float
    n_answers: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_bayes_factor", real_number(self.log_bayes_factor, "log_bayes_factor"))
        n_answers = whole_number(self.n_answers, "n_answers", "a count of at least 1 answer", least=1)
        object.__setattr__(self, "n_answers", n_answers)

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Surprise":
        """Surprise from the dictionary that `to_dict` writes."""
        return cls(**exact_fields(data, ("log_bayes_factor", "n_answers"), "a surprise"))

    def __str__(self) -> str:
        return (
            f"The first {self.n_answers} answers fit this person badly into the group that the prior was learned from "
            f"(a wider prior predicts them {np.exp(min(self.log_bayes_factor, 20.0)):.0f} times better), so the group "
            "counts for less here."
        )


def checked_prior(prior: PopulationPrior, comparisons: Comparisons) -> tuple[PopulationPrior, Surprise | None]:
    """The prior to use for a person: the group's, or a wider one where the person's answers contradict it.

    Parameters
    ----------
    prior
        Of the group; one that comes from no group (`n_users` is 0) is not checked.
    comparisons
        The person's answers so far.

    Returns
    -------
    prior
        The one that was given; or with one component more, the last, which is centred on no taste at all and as wide
        as tastes reach. Posteriors give each component what it deserves.
    surprise
        None where the answers do not contradict the prior.

    Raises
    ------
    InferenceError
        When a prior is so wide that a posterior is singular in double precision.
    """
    if not (prior.n_users and comparisons.outcomes.size):
        return prior, None
    answers, believed = Felt.of(comparisons, prior.response_model), mixture_for_all(prior.coefficients, 1)
    gain = log_bayes_factors(believed, answers.differences[None], answers.outcomes[None], prior.response_model)[0]
    if gain <= LIMIT:
        return prior, None
    return widened(prior), Surprise(float(gain), comparisons.outcomes.size)


def checked(
    priors: Mixtures, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Mixtures:
    """What `checked_prior` does, for many users: priors widened for those whose answers contradict them.

    Where there are such users the mixtures have one component more, of weight 0 for the others. Parameters are those
    of `prefq.inference.beliefs.laplace_posteriors`.
    """
    if not outcomes.shape[1]:
        return priors
    surprised = np.flatnonzero(log_bayes_factors(priors, differences, outcomes, response_model) > LIMIT)
    if not surprised.size:
        return priors
    weights = np.column_stack([priors.weights, np.zeros(len(priors.weights))])
    weights[surprised, :-1] *= 1 - FALSE_ALARMS
    weights[surprised, -1] = FALSE_ALARMS
    means, factors = np.zeros_like(priors.means), np.zeros(priors.components[0].factors.shape)
    factors[surprised] = _widest(priors.of_users(surprised)).factors
    return Mixtures(weights, (*priors.components, Gaussians(means, factors)))


def log_bayes_factors(
    priors: Mixtures, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Array:
    """How much better the wider prior predicts the answers of each user (n_users,), in nats.

    Parameters are those of `checked`. It is not worked out, and minus infinity, where the prior predicts one answer at
    a time no worse than a coin: a prior without a direction has little to gain there.
    """
    gains = np.full(len(outcomes), -np.inf)
    users = np.flatnonzero(_worse_than_a_coin(priors, differences, outcomes, response_model))
    if users.size:
        own, answers = priors.of_users(users), (differences[users], outcomes[users], response_model)
        with np.errstate(divide="ignore"):
            of_prior = np.log(own.weights)
        settled = [settle(each, *answers) for each in (*own.components, _widest(own))]
        of_prior = of_prior + np.stack([each.log_evidence for each in settled[:-1]], axis=1)
        gains[users] = settled[-1].log_evidence - np.logaddexp.reduce(of_prior, axis=1)
    return gains


def widened(prior: PopulationPrior) -> PopulationPrior:
    """The prior with `widest` as one component more, the last."""
    weights = np.append((1 - FALSE_ALARMS) * prior.coefficients.weights, FALSE_ALARMS)
    return replace(prior, coefficients=GaussianMixture(weights, (*prior.coefficients.components, widest(prior))))


def widest(prior: PopulationPrior) -> Gaussian:
    """The group's tastes without their direction: mean 0, and the second moments of the group about it."""
    mean = prior.coefficients.mean
    return Gaussian(np.zeros(mean.size), prior.coefficients.covariance + np.outer(mean, mean))


def _widest(priors: Mixtures) -> Gaussians:
    """`widest` of each user's prior."""
    means = priors.means
    values, vectors = np.linalg.eigh(priors.covariances + means[:, :, None] * means[:, None, :])
    return Gaussians(np.zeros_like(means), vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def _worse_than_a_coin(
    priors: Mixtures, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> NDArray[np.bool_]:
    """Whether the prior predicts the preferred sides of each user (n_users,) worse than a coin, answer by answer."""
    mean, variance = priors.margins(differences)
    shifted = np.sign(outcomes) * (mean + response_model.position_bias)
    towards = shifted / np.sqrt(1 + np.pi * variance / 8)  # MacKay 1992
    return np.asarray((np.log(2) + log_sigmoid(towards)).sum(axis=1) < 0)
