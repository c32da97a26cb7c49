"""Posteriors of many users at once by expectation propagation: means and covariances, where Laplace has modes.

Laplace posteriors sit too near zero, and a prior fitted on them shrinks step by step; those of expectation
propagation do not (Minka 2001; Kuss and Rasmussen 2005; docs/maths/posterior.md).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import log_likelihood
from prefq.vocabulary import Array, ResponseModel

# Of a standard normal. Half a standard deviation apart, they move the posterior of one answer by less than 1e-4 where
# the margin's standard deviation is 3 logits, by less than .01 at 6 (a test measures both), by a twentieth at 20.
NODES: Array = np.linspace(-8.0, 8.0, 33, dtype=np.float64)
DAMPING = 0.7  # share of the way that a sweep goes: all sites move at once, which overshoots without it
SMALLEST_VARIANCE = 1e-12  # of a margin; below it an answer has nothing to tell
_WEIGHTS = np.exp(-(NODES**2) / 2)
_WEIGHTS /= _WEIGHTS.sum()


class Sites(NamedTuple):
    """What each answer adds: precisions and shifts of its margin, each (n_users, n_answers)."""

    precisions: Array
    shifts: Array

    @classmethod
    def empty(cls, n_users: int, n_answers: int) -> "Sites":
        """Nothing yet."""
        return cls(np.zeros((n_users, n_answers)), np.zeros((n_users, n_answers)))


def propagate(
    priors: Gaussians,
    differences: Array,
    outcomes: NDArray[np.int8],
    response_model: ResponseModel,
    sites: Sites,
    *,
    n_sweeps: int,
) -> tuple[Gaussians, Sites]:
    """Expectation propagation from given sites.

    Parameters
    ----------
    priors
        Before the answers, one a user.
    differences : (n_users, n_answers, n_features)
        First minus second; a row of zeros carries no evidence.
    outcomes : (n_users, n_answers) int8
        +1 first preferred, 0 tie, -1 second preferred.
    response_model
        How replies arise.
    sites
        Where to start: empty ones, or those of a call with a similar prior.
    n_sweeps
        Times that all sites are renewed.

    Returns
    -------
    posteriors
        Means and factors of the covariances.
    sites
        As they are after the last sweep.
    """
    loads = np.matmul(differences, priors.factors)
    offsets = np.matmul(differences, priors.means[:, :, None])[..., 0]
    heard = np.square(loads).sum(axis=2) > SMALLEST_VARIANCE
    for _ in range(n_sweeps):
        mean, inverse_root = _whitened(loads, offsets, sites)
        margin = offsets + np.matmul(loads, mean[:, :, None])[..., 0]
        variance = np.square(np.matmul(loads, inverse_root)).sum(axis=2)
        renewed = _renewed(margin, variance, sites, outcomes, response_model)
        sites = Sites(
            *(np.where(heard, old + DAMPING * (new - old), 0.0) for old, new in zip(sites, renewed, strict=True))
        )
    mean, inverse_root = _whitened(loads, offsets, sites)
    means = priors.means + np.matmul(priors.factors, mean[:, :, None])[..., 0]
    return Gaussians(means, np.asarray(np.matmul(priors.factors, inverse_root))), sites


def _whitened(loads: Array, offsets: Array, sites: Sites) -> tuple[Array, Array]:
    """Mean and factor of each posterior in coordinates in which its prior is standard normal."""
    precision = np.matmul(loads.swapaxes(1, 2), loads * sites.precisions[..., None]) + np.eye(loads.shape[2])
    root = np.linalg.cholesky(precision)
    inverse_root = np.linalg.solve(root, np.broadcast_to(np.eye(loads.shape[2]), precision.shape)).swapaxes(1, 2)
    pull = np.einsum("uij,ui->uj", loads, sites.shifts - sites.precisions * offsets)
    mean = np.matmul(inverse_root, np.matmul(inverse_root.swapaxes(1, 2), pull[..., None]))[..., 0]
    return np.asarray(mean), np.asarray(inverse_root, dtype=np.float64)


def _renewed(
    margin: Array, variance: Array, sites: Sites, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Sites:
    """Sites that match the moments of cavity times likelihood; Rasmussen and Williams 2006, eqs. 3.56 to 3.59."""
    variance = np.maximum(variance, SMALLEST_VARIANCE)
    without = np.maximum(1 - sites.precisions * variance, 1e-6)
    cavity_variance = variance / without
    cavity_mean = (margin - variance * sites.shifts) / without
    sd = np.sqrt(cavity_variance)
    at_nodes = cavity_mean[..., None] + sd[..., None] * NODES
    replies = np.broadcast_to(outcomes[..., None], at_nodes.shape)
    logs = log_likelihood(at_nodes, replies, response_model).value
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True)) * _WEIGHTS
    weights /= weights.sum(axis=-1, keepdims=True)
    shift = weights @ NODES
    # Log-concave likelihoods only ever narrow the margin; with lapses a reply may widen it, and then counts as nothing.
    ratio = np.clip(weights @ NODES**2 - shift**2, 1e-9, 1.0)
    precision = (1 / ratio - 1) / cavity_variance
    return Sites(precision, (cavity_mean + sd * shift) / (ratio * cavity_variance) - cavity_mean / cavity_variance)
