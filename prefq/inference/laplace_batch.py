"""Laplace posteriors of many users at once: the same modes as `laplace.fit_posterior`, for benchmarks and groups."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.laplace import GRADIENT_TOLERANCE, covariance_factor, curvatures, fit_posterior
from prefq.inference.likelihood import log_likelihood
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

MAX_ITERATIONS = 40  # full or halved steps for all; users who need more are searched for one by one
MAX_HALVINGS = 12


class Gaussians(NamedTuple):
    """One Gaussian a user: means (n_users, n_features), factors (n_users, n_features, n_features).

    A factor F has F Fᵀ = covariance.
    """

    means: Array
    factors: Array

    def margins(self, differences: Array) -> tuple[Array, Array]:
        """Mean and variance (n_users, n) of margins of differences (1 or n_users, n, n_features)."""
        mean = np.matmul(differences, self.means[:, :, None])[..., 0]
        variance = np.square(np.matmul(differences, self.factors)).sum(axis=-1)
        return np.asarray(mean), np.asarray(variance)

    @property
    def covariances(self) -> Array:
        """Covariances (n_users, n_features, n_features)."""
        return np.asarray(np.matmul(self.factors, self.factors.swapaxes(1, 2)))


def same_for_all(prior: Gaussian, n_users: int) -> Gaussians:
    """The Gaussian, once for each user."""
    factor = covariance_factor(prior.covariance)
    return Gaussians(np.tile(prior.mean, (n_users, 1)), np.broadcast_to(factor, (n_users, *factor.shape)))


def fit_posteriors(
    priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Gaussians:
    """Laplace posteriors over the coefficients of many users.

    Parameters
    ----------
    priors
        Before the answers, one a user.
    differences : (n_users, n_answers, n_features)
        First minus second; a row of zeros carries no evidence, for users with fewer answers.
    outcomes : (n_users, n_answers) int8
        +1 first preferred, 0 tie, -1 second preferred.
    response_model
        How replies arise.

    Returns
    -------
    Gaussians
        Modes and factors of the inverse Hessians there, equal to those of `fit_posterior` up to its tolerance.

    Raises
    ------
    InferenceError
        When a user's search does not converge.
    """
    if not outcomes.shape[1]:
        return priors
    if response_model.lapse_rate > 0:  # several modes: only the single search knows how to look for the best
        whitened, unsolved = np.zeros_like(priors.means), np.arange(len(priors.means))
    else:
        whitened, unsolved = _modes(priors, differences, outcomes, response_model)
    root = np.linalg.cholesky(_Objective(priors, differences, outcomes, response_model).hessian(whitened))
    # Σ = F H⁻¹ Fᵀ with H = R Rᵀ, so that F R⁻ᵀ is a factor of it.
    factors = np.linalg.solve(root, priors.factors.swapaxes(1, 2)).swapaxes(1, 2)
    means = priors.means + np.einsum("uij,uj->ui", priors.factors, whitened)
    for user in unsolved:
        prior = Gaussian(priors.means[user], priors.factors[user] @ priors.factors[user].T)
        comparisons = Comparisons(differences[user], outcomes[user])
        posterior, _ = fit_posterior(prior, comparisons, response_model=response_model)
        means[user], factors[user] = posterior.mean, covariance_factor(posterior.covariance)
    return Gaussians(means, factors)


class _Objective:
    """Negative log posterior of each user in coordinates in which its prior is standard normal."""

    def __init__(
        self, priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
    ) -> None:
        self.differences = np.matmul(differences, priors.factors)
        self.offsets = np.matmul(differences, priors.means[:, :, None])[..., 0]
        self.outcomes, self.response_model = outcomes, response_model

    def _likelihood(self, whitened: Array) -> tuple[Array, Array, Array]:
        margins = self.offsets + np.einsum("uij,uj->ui", self.differences, whitened)
        return log_likelihood(margins, self.outcomes, self.response_model)

    def value(self, whitened: Array) -> Array:
        value, _, _ = self._likelihood(whitened)
        return np.asarray(np.square(whitened).sum(axis=1) / 2 - value.sum(axis=1))

    def gradient(self, whitened: Array) -> Array:
        _, first, _ = self._likelihood(whitened)
        return np.asarray(whitened - np.einsum("uij,ui->uj", self.differences, first))

    def hessian(self, whitened: Array) -> Array:
        margins = self.offsets + np.einsum("uij,uj->ui", self.differences, whitened)
        weights = curvatures(log_likelihood(margins, self.outcomes, self.response_model))
        weighted = self.differences * weights[..., None]
        return np.asarray(np.eye(whitened.shape[1]) + np.matmul(self.differences.swapaxes(1, 2), weighted))


def _modes(
    priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> tuple[Array, NDArray[np.intp]]:
    """Whitened modes (n_users, n_features) by Newton with halved steps, and the users for whom that was not enough."""
    objective = _Objective(priors, differences, outcomes, response_model)
    longest = np.linalg.norm(objective.differences, axis=2).max(axis=1)
    tolerance = GRADIENT_TOLERANCE * np.maximum(1.0, longest)
    whitened = np.zeros_like(priors.means)
    for _ in range(MAX_ITERATIONS):
        gradient = objective.gradient(whitened)
        moving = np.linalg.norm(gradient, axis=1) > tolerance
        if not moving.any():
            return whitened, np.empty(0, dtype=np.intp)
        step = np.asarray(np.linalg.solve(objective.hessian(whitened), gradient[..., None])[..., 0], dtype=np.float64)
        step[~moving] = 0.0
        whitened = whitened - _sizes(objective, whitened, step)[:, None] * step
    moving = np.linalg.norm(objective.gradient(whitened), axis=1) > tolerance
    return whitened, np.flatnonzero(moving)


def _sizes(objective: _Objective, whitened: Array, step: Array) -> Array:
    """Share of the Newton step (n_users,) that each user takes: halved until the objective is not higher."""
    before = objective.value(whitened)
    slack = 1e-12 * np.abs(before)
    sizes = np.ones(len(whitened))
    for _ in range(MAX_HALVINGS):
        higher = objective.value(whitened - sizes[:, None] * step) > before + slack
        if not higher.any():
            break
        sizes[higher] /= 2
    return sizes
