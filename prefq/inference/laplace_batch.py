"""Laplace posteriors of many users at once: the same modes as `laplace.fit_posterior`, for benchmarks and groups."""

from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.laplace import GRADIENT_TOLERANCE, LAPSE_SHARES, curvatures, fit_felt
from prefq.inference.likelihood import Felt, log_likelihood
from prefq.vocabulary import Array, Gaussian, ResponseModel

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
    return Gaussians(np.tile(prior.mean, (n_users, 1)), np.broadcast_to(prior.factor, (n_users, *prior.factor.shape)))


def fit_posteriors(
    priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Gaussians:
    """Laplace posteriors over the coefficients of many users.

    Parameters
    ----------
    priors
        Before the answers, one a user.
    differences : (n_users, n_answers, n_features)
        First minus second, as felt; a row of zeros carries no evidence, for users with fewer answers.
    outcomes : (n_users, n_answers) int8
        As `log_likelihood` takes them: +1 first preferred, 0 tie, -1 second preferred, or graded.
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
    objective = _Objective(priors, differences, outcomes, response_model)
    whitened, solved = _modes(objective, np.zeros_like(priors.means))
    if response_model.lapse_rate > 0:  # several modes: the better of two searches, as in `laplace`
        other = np.zeros_like(priors.means)
        for share in LAPSE_SHARES:
            partial = replace(response_model, lapse_rate=share * response_model.lapse_rate)
            other, also_solved = _modes(objective.under(partial), other)
        better = objective.value(other) < objective.value(whitened)
        whitened, solved = np.where(better[:, None], other, whitened), solved & also_solved
    root = np.linalg.cholesky(objective.hessian(whitened))
    # Σ = F H⁻¹ Fᵀ with H = R Rᵀ, so that F R⁻ᵀ is a factor of it.
    factors = np.linalg.solve(root, priors.factors.swapaxes(1, 2)).swapaxes(1, 2)
    means = priors.means + np.einsum("uij,uj->ui", priors.factors, whitened)
    for user in np.flatnonzero(~solved):
        prior = Gaussian(priors.means[user], priors.factors[user] @ priors.factors[user].T)
        posterior, _ = fit_felt(prior, Felt(differences[user], outcomes[user]), response_model)
        means[user], factors[user] = posterior.mean, posterior.factor
    return Gaussians(means, factors)


class _Objective:
    """Negative log posterior of each user in coordinates in which its prior is standard normal."""

    def __init__(
        self, priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
    ) -> None:
        self.differences = np.matmul(differences, priors.factors)
        self.offsets = np.matmul(differences, priors.means[:, :, None])[..., 0]
        self.outcomes, self.response_model = outcomes, response_model

    def under(self, response_model: ResponseModel) -> "_Objective":
        """The same under another response model."""
        other = copy(self)
        other.response_model = response_model
        return other

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
        return self._bent(curvatures(log_likelihood(margins, self.outcomes, self.response_model)))

    def newton_step(self, whitened: Array) -> Array:
        """By the Hessian; by that of clipped curvatures for users whom lapses leave no descent."""
        _, first, second = self._likelihood(whitened)
        bent = self._bent(np.clip(-second, 0.0, None))
        if self.response_model.lapse_rate > 0:
            exact = self._bent(-second)
            proper = np.linalg.eigvalsh(exact)[:, 0] > 0
            bent[proper] = exact[proper]
        gradient = whitened - np.einsum("uij,ui->uj", self.differences, first)
        return np.asarray(np.linalg.solve(bent, gradient[..., None])[..., 0], dtype=np.float64)

    def _bent(self, weights: Array) -> Array:
        weighted = self.differences * weights[..., None]
        return np.asarray(np.eye(self.differences.shape[2]) + np.matmul(self.differences.swapaxes(1, 2), weighted))


def _modes(objective: _Objective, whitened: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Whitened modes (n_users, n_features) by Newton with halved steps, and for whom that was enough."""
    longest = np.linalg.norm(objective.differences, axis=2).max(axis=1)
    tolerance = GRADIENT_TOLERANCE * np.maximum(1.0, longest)
    for _ in range(MAX_ITERATIONS):
        moving = np.linalg.norm(objective.gradient(whitened), axis=1) > tolerance
        if not moving.any():
            break
        step = np.where(moving[:, None], objective.newton_step(whitened), 0.0)
        whitened = whitened - _sizes(objective, whitened, step)[:, None] * step
    return whitened, np.linalg.norm(objective.gradient(whitened), axis=1) <= tolerance


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
