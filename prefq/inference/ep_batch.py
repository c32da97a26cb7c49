"""Posteriors of many users at once by expectation propagation: means and covariances, where Laplace has modes.

Laplace posteriors sit too near zero, and a prior fitted on them shrinks step by step; those of expectation
propagation do not (Minka 2001; Kuss and Rasmussen 2005; docs/maths/posterior.md).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InferenceError
from prefq.inference.laplace import in_span, narrowed, singular_as_inference_error
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.mixing import mixed_sites
from prefq.inference.sites import (
    Approximation,
    Margins,
    Result,
    approximation,
    log_evidence_of,
    renew,
    result,
    step,
    unanswered,
)
from prefq.inference.sites import Sites as Sites
from prefq.vocabulary import Array, ResponseModel

DAMPING = 0.8  # share of the way that a sweep goes: all sites move at once, which overshoots without it
ACCEPTED = 1e-4  # change that is reported and no error: a hundredth of what expectation propagation itself may be off
TOLERANCE = 1e-6  # of the last change, see `Settled`
WHOLE_SWEEPS = 10  # before steps are mixed
FASTEST = 0.01  # that changes are trusted to shrink from one sweep to the next


class _Span(NamedTuple):
    """Where answers can move coefficients: means + factors @ (basis @ u + the rest), u and the rest standard normal.

    differences (n_users, n_answers, n_features); basis (n_users, n_features, rank) has orthonormal columns, and None
    stands for the identity.
    """

    priors: Gaussians
    differences: Array
    basis: Array | None
    margins: Margins

    @classmethod
    def of(
        cls, priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
    ) -> "_Span":
        """In as few coordinates as it takes: those of the answers where they are fewer than the features."""
        loads = np.matmul(differences, priors.factors)
        offsets = np.matmul(differences, priors.means[:, :, None])[..., 0]
        loads, basis = in_span(loads)
        return cls(priors, differences, basis, Margins.of(offsets, loads, outcomes, response_model))

    def posteriors(self, found: Result) -> Gaussians:
        """Prior times sites, over the coefficients (eq. 2)."""
        lift, factors = narrowed(self.priors.factors, self.basis, found.inverse)
        return Gaussians(self.priors.means + np.matmul(lift, found.mean[..., None])[..., 0], factors)


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
    span = _Span.of(priors, differences, outcomes, response_model)
    at, sites = _restarted(span.margins, sites)
    damping = np.full((len(outcomes), 1), DAMPING)
    for _ in range(n_sweeps):
        sites, at = step(span.margins, sites, renew(span.margins, at, sites).sites, damping)
    return span.posteriors(result(span.margins, sites)), sites


def log_evidence(
    priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel, sites: Sites
) -> Array:
    """Log marginal likelihood of each user's answers (n_users,), in nats, given sites that `propagate` has settled.

    Parameters are those of `propagate`. Near the settled sites it hardly depends on them: its slope is zero there. A
    row of zeros counts as an answer whose margin is 0.
    """
    margins = _Span.of(priors, differences, outcomes, response_model).margins
    renewal = renew(margins, approximation(margins, sites), sites)
    # at the given sites, not the renewed ones, which may leave a user whose sites have not settled no Gaussian
    ratio = 1 / (1 + sites.precisions * renewal.cavity_variance)
    return log_evidence_of(margins, renewal._replace(sites=sites, ratio=ratio), result(margins, sites))


class Settled(NamedTuple):
    """Posteriors of users after as many sweeps as it took.

    change (n_users,) is the largest that renewing a site once more would cause to its margin, as far as the last two
    renewals tell: to the mean in standard deviations, to the variance by itself; above `TOLERANCE` for users whose
    sites do not settle. log_evidence (n_users,) is in nats, n_sweeps that of the slowest.
    """

    posteriors: Gaussians
    n_sweeps: int
    change: Array
    log_evidence: Array

    def required(self) -> float:
        """The largest change; InferenceError where it is above `ACCEPTED`."""
        change = float(self.change.max())
        if not change <= ACCEPTED:
            raise InferenceError(
                f"expectation propagation did not converge: a posterior still changed by {change:.2e} after "
                f"{self.n_sweeps} sweeps, expected at most {ACCEPTED:.0e}; check the scale of the prior against the "
                "features, or report this."
            )
        return change


def settle(priors: Gaussians, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel) -> Settled:
    """Expectation propagation until nothing changes; `Settled.change` tells who has not converged.

    Parameters are those of `propagate`. Whole steps, all users at once, are enough for most; the steps of the others
    are mixed one user at a time (`prefq.inference.mixing`).

    Raises
    ------
    InferenceError
        When a prior is so wide that its sum with the sites is singular in double precision.
    """
    with singular_as_inference_error(outcomes.shape[1]):
        return _settled(_Span.of(priors, differences, outcomes, response_model))


def _settled(span: _Span) -> Settled:
    margins, sites = span.margins, Sites.empty(*span.margins.offsets.shape)
    renewal = renew(margins, unanswered(margins), sites)
    n_sweeps, change = 1, renewal.change
    while n_sweeps <= WHOLE_SWEEPS and not (change <= TOLERANCE).all():
        before = renewal.change
        sites, at = _whole_step(margins, sites, renewal.sites)
        renewal, n_sweeps = renew(margins, at, sites), n_sweeps + 1
        shrunk = renewal.change / np.maximum(before, TOLERANCE)
        change = renewal.change * np.minimum(np.maximum(shrunk, FASTEST), 1.0)
    if not (change <= TOLERANCE).all():
        slow = ~(change <= TOLERANCE)
        sites, taken = _mixed(margins, sites, slow)
        renewal, n_sweeps = renew(margins, approximation(margins, sites), sites), WHOLE_SWEEPS + taken
        change = np.where(slow, renewal.change, change)
        # sites that do not settle stay as they were: renewed they may leave no Gaussian
        renewal = renewal._replace(sites=sites.toward(renewal.sites, (change <= TOLERANCE).astype(float)[:, None]))
    found = result(margins, renewal.sites)
    return Settled(span.posteriors(found), n_sweeps, change, log_evidence_of(margins, renewal, found))


def _mixed(margins: Margins, sites: Sites, slow: NDArray[np.bool_]) -> tuple[Sites, int]:
    """Sites where those of slow users are found by mixing their steps, and the most sweeps that took."""
    precisions, shifts = sites.precisions.copy(), sites.shifts.copy()
    most = 0
    for user in np.flatnonzero(slow).tolist():
        start = Sites(sites.precisions[[user]], sites.shifts[[user]])
        mixed, n_sweeps = mixed_sites(margins.of_user(user), start, TOLERANCE)
        precisions[user], shifts[user], most = mixed.precisions[0], mixed.shifts[0], max(most, n_sweeps)
    return Sites(precisions, shifts), most


def _whole_step(margins: Margins, sites: Sites, renewed: Sites) -> tuple[Sites, Approximation]:
    """To the renewed sites, or half of the way for all where that leaves somebody no Gaussian."""
    try:
        return renewed, approximation(margins, renewed)
    except np.linalg.LinAlgError:
        return step(margins, sites, renewed, np.full((len(margins.offsets), 1), 0.5))


def _restarted(margins: Margins, sites: Sites) -> tuple[Approximation, Sites]:
    """Prior times given sites; empty ones for all where a prior leaves no Gaussian with them."""
    try:
        return approximation(margins, sites), sites
    except np.linalg.LinAlgError:
        sites = Sites.empty(*sites.precisions.shape)
        return approximation(margins, sites), sites
