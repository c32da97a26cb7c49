"""The prior of a new user from a group's answers, by empirical Bayes.

What is decided beforehand is in `population_plan`, the search itself in `mixture_em`; derivations and figures are in
docs/maths/population.md.
"""

from collections.abc import Hashable, Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.inference.groups import Group
from prefq.inference.mixture_em import Search, search
from prefq.inference.population_plan import OnStep, all_alike, plan_of, pooled, saying, toward_pooled
from prefq.vocabulary import (
    Array,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
    counted,
    real_number,
    shown,
    whole_number,
)


class PopulationInfo(NamedTuple):
    """How a prior was found.

    n_components counts the Gaussians, without the point of those who have no taste of their own; shrinkage is in users'
    worth of evidence for each feature; n_left_out counts rows without a difference; log_evidence is in nats an answer.
    """

    n_components: int
    shrinkage: float
    n_iterations: int
    n_answers: int
    n_left_out: int
    log_evidence: float


def pooled_coefficients(
    differences: ArrayLike, outcomes: ArrayLike, *, response_model: ResponseModel | None = None
) -> Array:
    """One coefficient vector for everybody: a ridge logistic regression on all answers of a group.

    Parameters
    ----------
    differences : (n_answers, n_features)
        First minus second, in the features' units.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    response_model
        How replies arise; plain Bradley-Terry by default, in which a tie is one preference each way.

    Returns
    -------
    (n_features,)
        In logits per unit of each feature.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, or no row with a difference.
    """
    group = Group.of(differences, outcomes, [0] * np.size(outcomes))
    return pooled(group, response_model or ResponseModel()) / group.scales


def fit_population_prior(
    differences: ArrayLike,
    outcomes: ArrayLike,
    users: Iterable[Hashable],
    *,
    n_components: int | Literal["auto"] = 1,
    feature_space: FeatureSpace | None = None,
    strengths: ArrayLike | None = None,
    scales: ArrayLike | None = None,
    response_model: ResponseModel | None = None,
    shrinkage: float | None = None,
    on_step: OnStep | None = None,
) -> PopulationPrior:
    """Where a new user of a group starts: empirical Bayes on the group's answers.

    Coefficients come from one Gaussian or from several, or, for people without a taste of their own, they are the
    group's mean (`PopulationPrior.impersonal`), which is as uncertain as so many answers leave it. The fit maximises
    the marginal likelihood of the answers, shrunk, by expectation maximisation with expectation propagation in it
    (docs/maths/population.md).

    Parameters
    ----------
    differences : (n_answers, n_features)
        First minus second, in the features' units; rows of zeros tell nothing and are left out.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    users : (n_answers,)
        Who gave each answer: any hashable ids, in any order.
    n_components
        Gaussians, besides the point; ``"auto"`` takes as many as predict users best who were held out.
    feature_space
        The features; by default they are named x0, x1, ….
    strengths : (n_answers,), optional
        Strength of each preference in (0, 1], NaN where none was given.
    scales : (n_features,), optional
        Typical difference of each feature between responses, as `CandidatePool.feature_scales` has it; by default the
        root mean square of these differences, which is far from typical where answers are few.
    response_model
        How replies arise, if that is known; by default it is fitted: ties, position bias and grades where there are
        any, lapses and noise of unlike pairs where they predict users better who were held out.
    shrinkage
        How many users' worth of evidence, for each feature, says that coefficients do not depend on each other and vary
        alike; by default what predicts users best who were held out.
    on_step
        Told in a few words, again and again, what is being done; may raise to end it.

    Returns
    -------
    PopulationPrior
        In the caller's units.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, a feature space or response model of another number of features,
        no row with a difference, or more components than users.
    InferenceError
        When the pooled regression does not converge.

    Examples
    --------
    >>> import numpy as np, prefq
    >>> rng = np.random.default_rng(1)
    >>> tastes = rng.normal(size=(100, 2)) + [2, 0]
    >>> users = np.repeat(np.arange(100), 20)
    >>> differences = rng.normal(size=(2000, 2))
    >>> margins = (differences * tastes[users]).sum(axis=1)
    >>> outcomes = np.where(rng.random(2000) < 1 / (1 + np.exp(-margins)), 1, -1)
    >>> prior = prefq.fit_population_prior(differences, outcomes, users)
    >>> bool(np.abs(prior.coefficients.components[0].mean - [2, 0]).max() < 0.5)
    True
    """
    prior, _ = fit_population_prior_with_info(
        differences,
        outcomes,
        users,
        n_components=n_components,
        feature_space=feature_space,
        strengths=strengths,
        scales=scales,
        response_model=response_model,
        shrinkage=shrinkage,
        on_step=on_step,
    )
    return prior


def fit_population_prior_with_info(
    differences: ArrayLike,
    outcomes: ArrayLike,
    users: Iterable[Hashable],
    *,
    n_components: int | Literal["auto"] = 1,
    feature_space: FeatureSpace | None = None,
    strengths: ArrayLike | None = None,
    scales: ArrayLike | None = None,
    response_model: ResponseModel | None = None,
    shrinkage: float | None = None,
    on_step: OnStep | None = None,
) -> tuple[PopulationPrior, PopulationInfo]:
    """`fit_population_prior`, and how the prior was found; parameters and errors are the same."""
    group = Group.of(differences, outcomes, users, strengths=strengths, scales=scales)
    space = _checked_space(group, feature_space, response_model)
    wanted = _checked_components(n_components, group.n_users)
    if shrinkage is not None and (shrinkage := real_number(shrinkage, "shrinkage")) <= 0:
        raise InputError(f"shrinkage is {shrinkage}; give a number above 0, in users' worth of evidence a feature.")
    tell = on_step or _nothing
    plan = plan_of(group, wanted, response_model, shrinkage, tell)
    found = search(
        group.felt(plan.response_model),
        plan.response_model,
        plan.start,
        shrinkage=plan.shrinkage,
        on_step=saying(tell, "fitting the prior"),
    )
    if len(found.population.gaussians) == 1:
        found = all_alike(group, plan.response_model, found) or found
        found = toward_pooled(group, plan.response_model, found)
    prior = _in_words(found, group, space, plan.response_model)
    evidence = float(found.log_evidence.sum()) / len(group.outcomes)
    n_gaussians = len(found.population.gaussians)
    strength = plan.shrinkage / group.n_features
    n_answers = len(group.outcomes)
    return prior, PopulationInfo(n_gaussians, strength, found.n_iterations, n_answers, group.n_left_out, evidence)


def _checked_space(group: Group, space: FeatureSpace | None, model: ResponseModel | None) -> FeatureSpace:
    space = space or FeatureSpace(f"x{i}" for i in range(group.n_features))
    scales = () if model is None else model.dissimilarity_scales
    for what, count in (("feature space", space.n_features), ("response model's scales", len(scales))):
        if count not in (group.n_features, 0):
            raise InputError(
                f"the differences have {group.n_features} features and the {what} {count}; they must be as many."
            )
    return space


def _checked_components(n_components: int | str, n_users: int) -> int | None:
    """The number of Gaussians, None for as many as prove good."""
    if n_components == "auto":
        return None
    wanted = whole_number(n_components, "n_components", "a number of at least 1, or 'auto'", least=1)
    if wanted > n_users:
        raise InputError(
            f"n_components is {shown(wanted)} and only {counted(n_users, 'user')} gave answers that tell something; "
            "give at most as many components as users, or 'auto'."
        )
    return wanted


def _in_words(found: Search, group: Group, space: FeatureSpace, model: ResponseModel) -> PopulationPrior:
    """The prior in the caller's units, each component as much wider as its mean is uncertain; the point comes last."""
    weights, gaussians = found.population
    personal = [
        Gaussian(each.mean, each.covariance + uncertainty)
        for each, uncertainty in zip(gaussians, found.uncertainties, strict=True)
    ]
    point = Gaussian(found.population.mean, _uncertainty_of_mean(found, group.n_users))
    mixture = GaussianMixture(weights, [group.in_units(each) for each in (*personal, point)])
    return PopulationPrior(mixture, space, model, group.n_users, impersonal=len(personal))


def _uncertainty_of_mean(found: Search, n_users: int) -> Array:
    """Covariance of the mean of the whole (n_features, n_features): of each Gaussian's mean, and of their shares."""
    shares = found.population.weights[: len(found.uncertainties)]
    shares = shares / shares.sum()
    away = np.stack([each.mean for each in found.population.gaussians]) - found.population.mean
    within = np.einsum("k,kij->ij", shares**2, np.stack(found.uncertainties))
    return np.asarray(within + (away.T * shares) @ away / n_users)


def _nothing(_what: str) -> None:
    pass
