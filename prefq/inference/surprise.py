"""Whether a person's first answers fit the prior of the group, and a wider prior for those whom it does not fit.

The prior is held against another that knows how far tastes reach in this group, and not in which direction. Their Bayes
factor has mean 1 for people of the group, whatever they are asked, so that it ever exceeds 1 / c for a share c of them
at most (Ville 1939; docs/maths/population.md).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from prefq.inference.laplace import fit_posterior
from prefq.inference.likelihood import Felt, log_sigmoid
from prefq.vocabulary import (
    Comparisons,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    exact_fields,
    real_number,
    whole_number,
)

FALSE_ALARMS = 0.02  # share of the group's people, at most, for whom the prior is ever widened


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
        When a posterior does not converge.
    """
    if not (prior.n_users and comparisons.outcomes.size) or not _is_worse_than_a_coin(prior, comparisons):
        return prior, None
    model, wide = prior.response_model, widest(prior)
    _, of_prior = fit_posterior(prior.coefficients, comparisons, response_model=model)
    _, of_wide = fit_posterior(wide, comparisons, response_model=model)
    gain = of_wide.log_evidence - of_prior.log_evidence
    if gain <= -np.log(FALSE_ALARMS):
        return prior, None
    return widened(prior), Surprise(float(gain), comparisons.outcomes.size)


def widened(prior: PopulationPrior) -> PopulationPrior:
    """The prior with `widest` as one component more, the last."""
    weights = np.append((1 - FALSE_ALARMS) * prior.coefficients.weights, FALSE_ALARMS)
    return replace(prior, coefficients=GaussianMixture(weights, (*prior.coefficients.components, widest(prior))))


def widest(prior: PopulationPrior) -> Gaussian:
    """The group's tastes without their direction: mean 0, and the second moments of the group about it."""
    mean = prior.coefficients.mean
    return Gaussian(np.zeros(mean.size), prior.coefficients.covariance + np.outer(mean, mean))


def _is_worse_than_a_coin(prior: PopulationPrior, comparisons: Comparisons) -> bool:
    """Whether the prior, one answer at a time, predicts the sides that were preferred worse than a coin does.

    Where it does not, a prior without a direction has little to gain; this saves the check for most people.
    """
    answers = Felt.of(comparisons, prior.response_model)
    mean = answers.differences @ prior.coefficients.mean + prior.response_model.position_bias
    variance = np.einsum("ij,ij->i", answers.differences @ prior.coefficients.covariance, answers.differences)
    # MacKay 1992
    towards = np.sign(answers.outcomes) * mean / np.sqrt(1 + np.pi * np.maximum(variance, 0.0) / 8)
    return float((np.log(2) + log_sigmoid(towards)).sum()) < 0
