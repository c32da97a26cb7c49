"""The prior of a new user from a group's answers: empirical Bayes by expectation maximisation.

The E-step is expectation propagation: Laplace posteriors would shrink the covariance at every step. Derivations and
figures are in docs/maths/population.md.
"""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.inference.ep_batch import Sites, propagate
from prefq.inference.groups import Block, Group
from prefq.inference.laplace import fit_posterior
from prefq.inference.laplace_batch import same_for_all
from prefq.vocabulary import Array, Comparisons, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

POOLED_SD = 5.0  # logits a standard unit of each feature: the ridge of the pooled regression
MEAN_SD = 3.0  # the same for the mean of the population: weak, so that it only matters in small groups
START_VARIANCE = 1.0  # squared logits, of the margin of a typical difference: from where the search begins
PRIOR_USERS = 2.0  # users' worth of answers that the covariance is like that of START_VARIANCE
MAX_ITERATIONS = 40
CONVERGED = 0.02  # largest change, in standard deviations of the prior, and of its covariance as a share
LEAST_KNOWN = 0.02  # share of a user's coefficients that answers tell: below it steps are not stretched further
MAX_GROWTH = 4.0  # of a variance in one step
FIRST_SWEEPS, NEXT_SWEEPS = 8, 3  # of expectation propagation; later ones start from the last sites


class PopulationInfo(NamedTuple):
    """How a prior was found: steps, rows without a difference that were left out, and strength of the shrinkage."""

    n_iterations: int
    n_left_out: int
    shrinkage: float


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
    group = Group.of(differences, outcomes, np.zeros(len(np.asarray(outcomes)), dtype=np.intp))
    return _pooled(group, response_model or ResponseModel()) / group.scales


def fit_population_prior(
    differences: ArrayLike,
    outcomes: ArrayLike,
    users: Iterable[Hashable],
    *,
    n_components: int = 1,
    feature_space: FeatureSpace | None = None,
    strengths: ArrayLike | None = None,
    response_model: ResponseModel | None = None,
) -> PopulationPrior:
    """Where a new user of a group starts.

    Parameters
    ----------
    differences : (n_answers, n_features)
        First minus second, in the features' units.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    users : (n_answers,)
        Who gave each answer: any hashable ids.
    n_components
        1.
    feature_space
        The features; by default they are named x0, x1, ….
    strengths : (n_answers,), optional
        As in `Comparisons`.
    response_model
        How replies arise; plain Bradley-Terry by default.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, a feature space of another length, or no row with a difference.
    """
    prior, _ = fit_population_prior_with_info(
        differences,
        outcomes,
        users,
        n_components=n_components,
        feature_space=feature_space,
        strengths=strengths,
        response_model=response_model,
    )
    return prior


def fit_population_prior_with_info(
    differences: ArrayLike,
    outcomes: ArrayLike,
    users: Iterable[Hashable],
    *,
    n_components: int = 1,
    feature_space: FeatureSpace | None = None,
    strengths: ArrayLike | None = None,
    response_model: ResponseModel | None = None,
) -> tuple[PopulationPrior, PopulationInfo]:
    """`fit_population_prior` and how the prior was found."""
    group = Group.of(differences, outcomes, users, strengths=strengths)
    space = feature_space or FeatureSpace(f"x{i}" for i in range(group.n_features))
    if space.n_features != group.n_features:
        raise InputError(
            f"the differences have {group.n_features} features and the feature space {space.n_features} names; "
            "they must be as many."
        )
    if n_components != 1:
        raise InputError(f"n_components is {n_components}; give 1.")
    model = response_model or ResponseModel()
    scaled, n_iterations = _fit_gaussian(group.felt(model), model, float(group.n_features))
    prior = PopulationPrior(group.in_units(scaled), space, model, group.n_users)
    return prior, PopulationInfo(n_iterations, group.n_left_out, float(group.n_features))


def _pooled(group: Group, model: ResponseModel) -> Array:
    prior = Gaussian(np.zeros(group.n_features), POOLED_SD**2 * np.eye(group.n_features))
    felt = group.felt(model)
    pooled, _ = fit_posterior(prior, Comparisons(felt.differences, np.sign(felt.outcomes)), response_model=model)
    return pooled.mean


def _fit_gaussian(group: Group, model: ResponseModel, shrinkage: float) -> tuple[Gaussian, int]:
    """Mean and covariance in scaled units, by accelerated expectation maximisation."""
    n_features = group.n_features
    prior = Gaussian(_pooled(group, model), START_VARIANCE / n_features * np.eye(n_features))
    blocks = list(group.blocks())
    sites = [Sites.empty(*block.outcomes.shape) for block in blocks]
    pace, last = 1.0, np.zeros((n_features, n_features))
    for n_iterations in range(1, MAX_ITERATIONS + 1):
        n_sweeps = FIRST_SWEEPS if n_iterations == 1 else NEXT_SWEEPS
        total, scatter = np.zeros(n_features), np.zeros((n_features, n_features))
        within = np.zeros((n_features, n_features))
        for i, block in enumerate(blocks):
            means, covariance, sites[i] = _expect(block, prior, model, sites[i], n_sweeps)
            deviations = means - prior.mean
            total += deviations.sum(axis=0)
            scatter += deviations.T @ deviations
            within += covariance
        moved, change = _step(prior, total, scatter, within, group.n_users, shrinkage, pace)
        step = moved.covariance - prior.covariance
        pace = max(pace / 2, 0.25) if np.sum(step * last) < 0 else min(pace * 1.25, 3.0)
        prior, last = moved, step
        if change < CONVERGED:
            break
    return prior, n_iterations


def _step(
    prior: Gaussian, total: Array, scatter: Array, within: Array, n_users: int, shrinkage: float, pace: float
) -> tuple[Gaussian, float]:
    """The next prior, and how far it is in coordinates in which the last is standard normal.

    A posterior mean holds a share ρ of where the user is, so that what an ordinary step of expectation maximisation
    gains is a share ρ of what is missing of the mean, and ρ² of the covariance; it is divided by that.
    """
    identity = np.eye(prior.n_features)
    root = np.linalg.cholesky(prior.covariance)
    inverse = np.linalg.inv(root)
    known, axes = np.linalg.eigh(identity - inverse @ (within / n_users) @ inverse.T)
    known = np.clip(known, LEAST_KNOWN, 1.0)
    inverse, root = axes.T @ inverse, root @ axes
    shift = inverse @ total / n_users
    seen = inverse @ (within + scatter) @ inverse.T / n_users - np.outer(shift, shift) - identity
    precision = inverse @ inverse.T
    sphere = prior.n_features / np.trace(precision) * precision - identity
    guess = START_VARIANCE / prior.n_features * precision - identity
    size = (n_users * np.trace(seen) + PRIOR_USERS * np.trace(guess)) / (
        n_users * np.square(known).sum() + PRIOR_USERS * prior.n_features
    )
    shape = (
        n_users * (seen - size * np.diag(known**2))
        + shrinkage * sphere
        + PRIOR_USERS * (guess - np.trace(guess) / prior.n_features * identity)
    )
    step = shape / (shrinkage + PRIOR_USERS + n_users * (np.outer(known, known) + LEAST_KNOWN)) + size * identity
    step = pace * (step + step.T) / 2
    pull = n_users * shift - root.T @ prior.mean / MEAN_SD**2
    curvature = n_users * np.diag(known) + root.T @ root / MEAN_SD**2
    shift = np.linalg.solve(curvature, pull)
    values, vectors = np.linalg.eigh(step)
    factor = root @ vectors * np.sqrt(np.clip(1 + values, 1 / MAX_GROWTH, MAX_GROWTH))
    return Gaussian(prior.mean + root @ shift, factor @ factor.T), float(max(np.abs(step).max(), np.abs(shift).max()))


def _expect(
    block: Block, prior: Gaussian, model: ResponseModel, sites: Sites, n_sweeps: int
) -> tuple[Array, Array, Sites]:
    """Means (n_users, n_features) of a block's posteriors, the sum of their covariances, and sites."""
    posteriors, sites = propagate(
        same_for_all(prior, len(block.users)), block.differences, block.outcomes, model, sites, n_sweeps=n_sweeps
    )
    wide = posteriors.factors.swapaxes(0, 1).reshape(prior.n_features, -1)
    return posteriors.means, wide @ wide.T, sites
