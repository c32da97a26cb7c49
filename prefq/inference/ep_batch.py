"""Posteriors of many users at once by expectation propagation: means and covariances, where Laplace has modes.

Laplace posteriors sit too near zero, and a prior fitted on them shrinks step by step; those of expectation
propagation do not (Minka 2001; Kuss and Rasmussen 2005; docs/maths/posterior.md).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.laplace_batch import Gaussians
from prefq.inference.sites import (
    SMALLEST_VARIANCE as SMALLEST_VARIANCE,
)
from prefq.inference.sites import (
    Approximation,
    Margins,
    approximation,
    has_cavity,
    log_evidence_of,
    moved,
)
from prefq.inference.sites import (
    Sites as Sites,
)
from prefq.vocabulary import Array, ResponseModel

DAMPING = 0.8  # share of the way that a sweep goes: all sites move at once, which overshoots without it
TOLERANCE = 1e-6  # of the last change of a margin: of its mean in standard deviations, of its variance by itself
DAMPINGS = (1.0, 0.5, 0.2, 0.05)  # shares to try, one after the other, where a user does not converge
MAX_SWEEPS = (60, 60, 120, 400)  # with each of them


class _Span(NamedTuple):
    """Where answers can move coefficients: means + factors @ (basis @ u + the rest), u and the rest standard normal.

    basis (n_users, n_features, rank) has orthonormal columns; None stands for the identity.
    """

    priors: Gaussians
    basis: Array | None
    margins: Margins

    @classmethod
    def of(cls, priors: Gaussians, differences: Array, outcomes: NDArray[np.int8]) -> "_Span":
        """In as few coordinates as it takes: those of the answers where they are fewer than the features."""
        loads = np.matmul(differences, priors.factors)
        offsets = np.matmul(differences, priors.means[:, :, None])[..., 0]
        if loads.shape[1] >= loads.shape[2]:
            return cls(priors, None, Margins.of(offsets, loads, outcomes))
        basis, triangle = np.linalg.qr(loads.swapaxes(1, 2))
        return cls(priors, basis, Margins.of(offsets, triangle.swapaxes(1, 2), outcomes))

    def posteriors(self, at: Approximation) -> Gaussians:
        """Prior times sites, over the coefficients (eq. 4)."""
        rank = at.root.shape[1]
        inverse_root = np.linalg.solve(at.root, np.broadcast_to(np.eye(rank), at.root.shape)).swapaxes(1, 2)
        mean = np.matmul(inverse_root, at.pull[..., None])
        if self.basis is None:
            lift, factors = self.priors.factors, np.matmul(self.priors.factors, inverse_root)
        else:
            lift = np.matmul(self.priors.factors, self.basis)
            narrowed = np.matmul(lift, inverse_root - np.eye(rank))
            factors = self.priors.factors + np.matmul(narrowed, self.basis.swapaxes(1, 2))
        return Gaussians(self.priors.means + np.matmul(lift, mean)[..., 0], np.asarray(factors))


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
        First minus second, as felt; a row of zeros carries no evidence.
    outcomes : (n_users, n_answers) int8
        As `log_likelihood` takes them: +1 first preferred, 0 tie, -1 second preferred, or graded.
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
    span = _Span.of(priors, differences, outcomes)
    at, sites = _restarted(span.margins, sites)
    damping = np.full((len(outcomes), 1), DAMPING)
    for _ in range(n_sweeps):
        sites, at, _ = moved(span.margins, at, sites, response_model, damping)
    return span.posteriors(at), sites


def log_evidence(
    priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel, sites: Sites
) -> Array:
    """Log marginal likelihood of each user's answers (n_users,), in nats, given sites that `propagate` has settled.

    Parameters are those of `propagate`. Near the settled sites it hardly depends on them: its slope is zero there. A
    row of zeros counts as an answer whose margin is 0.
    """
    margins = _Span.of(priors, differences, outcomes).margins
    return log_evidence_of(margins, approximation(margins, sites), sites, response_model)


class Settled(NamedTuple):
    """Posteriors of users after as many sweeps as it took.

    change (n_users,) is that of the last sweep: of a margin's mean in standard deviations or of its variance by itself,
    whichever is largest; infinite for users whose sites do not settle. log_evidence (n_users,) is in nats.
    """

    posteriors: Gaussians
    n_sweeps: int
    change: Array
    log_evidence: Array


def settle(priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel) -> Settled:
    """Expectation propagation until nothing changes; users for whom that fails start again with shorter steps.

    Parameters are those of `propagate`; `Settled.change` tells who has not converged.
    """
    span = _Span.of(priors, differences, outcomes)
    sites = Sites.empty(*outcomes.shape)
    at = approximation(span.margins, sites)
    n_sweeps, change = 0, np.full(len(outcomes), np.inf)
    for share, limit in zip(DAMPINGS, MAX_SWEEPS, strict=True):
        waiting = ~(change <= TOLERANCE)
        if not waiting.any():
            break
        sites = Sites(*(np.where(waiting[:, None], 0.0, each) for each in sites))
        at = approximation(span.margins, sites)
        for _ in range(limit):
            before = at
            sites, at, taken = moved(span.margins, at, sites, response_model, np.full((len(outcomes), 1), share))
            n_sweeps, change = n_sweeps + 1, _change(before, at, sites, taken)
            if (change <= TOLERANCE).all():
                break
    return Settled(span.posteriors(at), n_sweeps, change, log_evidence_of(span.margins, at, sites, response_model))


def _change(before: Approximation, after: Approximation, sites: Sites, taken: Array) -> Array:
    """As in `Settled`, for a whole step; infinite where a site has no cavity or no step was possible."""
    variance = np.maximum(after.variance, SMALLEST_VARIANCE)
    of_mean = np.abs(after.margin - before.margin) / np.sqrt(variance)
    of_variance = np.abs(after.variance - before.variance) / variance
    largest = np.maximum(of_mean, of_variance).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = largest / taken[:, 0]
    return np.where((taken[:, 0] > 0) & has_cavity(after, sites).all(axis=1), change, np.inf)


def _restarted(margins: Margins, sites: Sites) -> tuple[Approximation, Sites]:
    """Prior times given sites; empty ones for all where a prior leaves no Gaussian with them."""
    try:
        return approximation(margins, sites), sites
    except np.linalg.LinAlgError:
        sites = Sites.empty(*sites.precisions.shape)
        return approximation(margins, sites), sites
