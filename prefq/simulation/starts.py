"""Where new users of a panel start: the prior fitted on its group, and the priors that this one is compared with."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from prefq.errors import InputError
from prefq.inference.laplace_batch import fit_posteriors, same_for_all
from prefq.inference.population import fit_population_prior, pooled_coefficients
from prefq.inference.population_plan import START_VARIANCE
from prefq.simulation.panels import GroupAnswers, Outcomes, Panel, Study
from prefq.simulation.strategies import Begin, Learner
from prefq.vocabulary import Array, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

GUESSED_MARGIN = 1.5  # logits: root mean square margin under the prior of a pool without one
WIDE_SD = 2.0  # logits a standard unit of each feature: where the search of `laplace_em` begins
MAX_ITERATIONS = 50
CONVERGED = 1e-2  # largest change of the covariance, relative to its largest variance

Change = Callable[[Study], Study]
"""A study as it would be with another prior."""


def fitted_start(panel: Panel) -> PopulationPrior:
    """The prior of a panel's new users, with its response model: what the product fits on the same answers.

    Of encodings it is where such a fit begins, `around_pooled`: strategies that learn base rewards fit their own.
    """
    if panel.true_heads is not None:
        return around_pooled(panel.group)
    return _fitted(panel.group, panel.response_model if panel.response_model_known else None, "auto")


def fitted_prior(group: GroupAnswers) -> PopulationPrior:
    """What the product fits on a group's answers."""
    return _fitted(group, None, "auto")


def around_pooled(group: GroupAnswers) -> PopulationPrior:
    """The pooled regression, and one spread for all features in standard units: 1 logit for a typical difference."""
    mean = pooled_coefficients(group.differences, group.outcomes)
    mean_squares = np.square(group.differences).mean(axis=0)
    variances = START_VARIANCE / (mean.size * np.where(mean_squares > 0, mean_squares, 1.0))
    space = FeatureSpace(f"x{i}" for i in range(mean.size))
    return PopulationPrior(Gaussian(mean, np.diag(variances)), space, n_users=np.unique(group.users).size)


def starting_from(change: Change, begin: Begin) -> Begin:
    """A strategy with another prior."""

    def begin_changed(study: Study, *, rng: np.random.Generator) -> Learner:
        return begin(change(study), rng=rng)

    return begin_changed


def one_gaussian(study: Study) -> Study:
    """One Gaussian for everybody, fitted as the product would."""
    return study.starting_from(_fitted(study.group, study.response_model, 1))


def true_prior(study: Study) -> Study:
    """The population that the users were drawn from."""
    if study.true_prior is None:
        raise InputError(
            "the right prior is known only of simulated users from one Gaussian or several; leave the strategies "
            "'right_prior' and 'right_gaussian' out."
        )
    return study.starting_from(study.true_prior)


def true_moments(study: Study) -> Study:
    """One Gaussian with the mean and covariance of the population that the users were drawn from."""
    right = true_prior(study)
    return right.starting_from(right.gaussian)


def isotropic(study: Study) -> Study:
    """No group at all: mean zero and independent coefficients, as a pool without a prior begins for those with a taste.

    Variances are proportional to 1/sd² of each feature over the questions' items, and such that the root mean square
    margin is 1.5 logits.
    """
    items = np.concatenate([study.first, study.second], axis=1).reshape(-1, study.first.shape[-1])
    sd = items.std(axis=0)
    variances = 1 / np.where(sd > 0, sd, 1.0) ** 2
    mean_square = (np.square(study.differences) @ variances).mean()
    variances = variances * (GUESSED_MARGIN**2 / mean_square)
    return study.starting_from(Gaussian(np.zeros(variances.size), np.diag(variances)))


def laplace_em(study: Study) -> Study:
    """Plain expectation maximisation with Laplace posteriors and no shrinkage: what the product's prior must beat."""
    return study.starting_from(fit_laplace_em(study.group, study.response_model))


def fit_laplace_em(group: GroupAnswers, response_model: ResponseModel) -> Gaussian:
    """Mean and covariance of a group's coefficients, modes and inverse Hessians standing for mean and covariance.

    Parameters
    ----------
    group
        Answers of at least two users.
    response_model
        How replies arise.

    Returns
    -------
    Gaussian
        Too narrow, since modes lie too near zero (docs/maths/population.md).
    """
    differences, outcomes = _by_user(group)
    differences = response_model.felt(differences)
    n_users, _, n_features = differences.shape
    scales = np.sqrt(np.square(group.differences).mean(axis=0))
    prior = Gaussian(np.zeros(n_features), np.diag((WIDE_SD / np.where(scales > 0, scales, 1.0)) ** 2))
    for _ in range(MAX_ITERATIONS):
        users = fit_posteriors(same_for_all(prior, n_users), differences, outcomes, response_model)
        deviations = users.means - users.means.mean(axis=0)
        covariance = users.covariances.mean(axis=0) + deviations.T @ deviations / n_users
        change = np.abs(covariance - prior.covariance).max() / np.diag(covariance).max()
        prior = Gaussian(users.means.mean(axis=0), (covariance + covariance.T) / 2)
        if change < CONVERGED:
            break
    return prior


def _fitted(
    group: GroupAnswers, response_model: ResponseModel | None, n_components: int | Literal["auto"]
) -> PopulationPrior:
    return fit_population_prior(
        group.differences, group.outcomes, group.users, n_components=n_components, response_model=response_model
    )


def _by_user(group: GroupAnswers) -> tuple[Array, Outcomes]:
    """Differences (n_users, n_answers, n_features) and outcomes, padded with zero differences."""
    _, users, counts = np.unique(group.users, return_inverse=True, return_counts=True)
    order = np.argsort(users, kind="stable")
    starts = np.cumsum(counts) - counts
    position = np.empty(len(users), dtype=np.intp)
    position[order] = np.arange(len(users)) - np.repeat(starts, counts)
    differences = np.zeros((counts.size, counts.max(), group.differences.shape[1]))
    outcomes = np.ones((counts.size, counts.max()), dtype=np.int8)
    differences[users, position] = group.differences
    outcomes[users, position] = group.outcomes
    return differences, outcomes
