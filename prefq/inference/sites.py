"""Sites of expectation propagation: what stands in for each answer's likelihood, and how it is renewed.

Arrays are (n_users, n_answers) throughout. Who calls how often, and for whom, is in `prefq.inference.ep` and
`prefq.inference.ep_batch`; the equation numbers are those of docs/maths/posterior.md.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.likelihood import Replies
from prefq.inference.tilted import tilted_moments
from prefq.vocabulary import Array, ResponseModel

SMALLEST_VARIANCE = 1e-12  # of a margin; one that varies less counts as if it varied so much, and moves nothing
LEAST_CAVITY = 1e-10  # share of a cavity's precision in that of the margin: with less, the others leave no Gaussian
NO_GAUSSIAN = 1e300  # change of a margin that the other answers leave no Gaussian
MAX_HALVINGS = 6  # of a step that would leave no Gaussian


class Sites(NamedTuple):
    """exp(-precisions m² / 2 + shifts m) of margins m in place of their likelihoods, each (n_users, n_answers)."""

    precisions: Array
    shifts: Array

    @classmethod
    def empty(cls, n_users: int, n_answers: int) -> "Sites":
        """Nothing yet."""
        return cls(np.zeros((n_users, n_answers)), np.zeros((n_users, n_answers)))

    def toward(self, other: "Sites", share: Array) -> "Sites":
        """A share (n_users, 1) of the way to other sites."""
        return Sites(
            self.precisions + share * (other.precisions - self.precisions),
            self.shifts + share * (other.shifts - self.shifts),
        )


class Margins(NamedTuple):
    """Margins of the answers before they were given: offsets + loads @ u with u standard normal, in logits.

    offsets (n_users, n_answers), loads (n_users, n_answers, rank), variances (n_users, n_answers), the replies to them,
    and the prior precision of u (rank, rank).
    """

    offsets: Array
    loads: Array
    variances: Array
    replies: Replies
    identity: Array

    @classmethod
    def of(cls, offsets: Array, loads: Array, outcomes: NDArray[np.int8], response_model: ResponseModel) -> "Margins":
        """With what follows from these worked out."""
        variances, identity = (loads * loads).sum(axis=-1), np.eye(loads.shape[2])
        return cls(offsets, loads, variances, Replies(outcomes, response_model), identity)

    def of_user(self, user: int) -> "Margins":
        """Those of one user alone."""
        alone = slice(user, user + 1)
        parts = (self.offsets[alone], self.loads[alone], self.variances[alone], self.replies.at(alone))
        return Margins(*parts, self.identity)


class Approximation(NamedTuple):
    """Moments of the margins under prior times sites: margin and variance, each (n_users, n_answers)."""

    margin: Array
    variance: Array


class Renewal(NamedTuple):
    """Sites that agree with the answers, how far the old ones were from them, and what these were renewed from.

    change (n_users,) is the largest move of a margin that its own new site would cause: of the mean in standard
    deviations, of the variance by itself; `NO_GAUSSIAN` where the other answers leave a margin none. cavity_mean and
    cavity_variance (n_users, n_answers) are of the margins without their old sites, ratio is what the new ones leave of
    that variance; log_probability (n_users, n_answers) is that of each answer there.
    """

    sites: Sites
    change: Array
    cavity_mean: Array
    cavity_variance: Array
    ratio: Array
    log_probability: Array


class Result(NamedTuple):
    """Prior times sites: mean of u (n_users, rank), lower factor of its precision and the factor's inverse.

    The last two are (n_users, rank, rank).
    """

    mean: Array
    root: Array
    inverse: Array


def unanswered(margins: Margins) -> Approximation:
    """The prior alone."""
    return Approximation(margins.offsets, margins.variances)


def approximation(margins: Margins, sites: Sites) -> Approximation:
    """Prior times sites (eqs. 5 and 6); LinAlgError where that is no Gaussian."""
    precision = _precision(margins, sites)
    if sites.precisions.min() < 0:
        np.linalg.cholesky(precision)
    across = margins.loads.swapaxes(1, 2)
    spread = np.linalg.solve(precision, across)
    pull = np.matmul(_pulls(margins, sites)[:, None], margins.loads)
    margin = margins.offsets + np.matmul(pull, spread)[:, 0]
    return Approximation(margin, (across * spread).sum(axis=1))


def result(margins: Margins, sites: Sites) -> Result:
    """Prior times sites (eq. 5); LinAlgError where that is no Gaussian."""
    root = np.asarray(np.linalg.cholesky(_precision(margins, sites)), dtype=np.float64)
    inverse = np.asarray(np.linalg.inv(root), dtype=np.float64)
    pull = np.matmul(_pulls(margins, sites)[:, None], margins.loads)
    return Result(np.matmul(np.matmul(pull, inverse.swapaxes(1, 2)), inverse)[:, 0], root, inverse)


def renew(margins: Margins, at: Approximation, sites: Sites) -> Renewal:
    """Sites that match the moments of cavity times likelihood (eqs. 7 to 9).

    A site stays as it is where the others leave no cavity. With lapses a reply may widen the margin; its site then has
    a negative precision.
    """
    spread, usable = np.maximum(at.variance, SMALLEST_VARIANCE), None
    before = 1 / spread
    cavity = before - sites.precisions
    share = cavity * spread
    if share.min() <= LEAST_CAVITY:
        usable = share > LEAST_CAVITY
        cavity = np.where(usable, cavity, before)
    mean, variance = (before * at.margin - sites.shifts) / cavity, 1 / cavity
    sd = np.sqrt(variance)
    tilted = tilted_moments(mean, sd, margins.replies)
    after = cavity / tilted.ratio
    narrowed = after - before
    pushed = after * (mean + sd * tilted.shift - at.margin)
    change = np.maximum(np.abs(pushed) * np.sqrt(spread), np.abs(narrowed) * spread).max(axis=1)
    if usable is not None:
        narrowed, pushed = narrowed * usable, pushed * usable
        change = np.where(usable.all(axis=1), change, NO_GAUSSIAN)
    renewed = Sites(sites.precisions + narrowed, sites.shifts + (pushed + narrowed * at.margin))
    return Renewal(renewed, change, mean, variance, tilted.ratio, tilted.log_evidence)


def step(margins: Margins, sites: Sites, renewed: Sites, damping: Array) -> tuple[Sites, Approximation]:
    """A share (n_users, 1) of the way to renewed sites; less for users whom that leaves no Gaussian, none at worst."""
    for _ in range(MAX_HALVINGS):
        tried = sites.toward(renewed, damping)
        try:
            return tried, approximation(margins, tried)
        except np.linalg.LinAlgError:
            damping = np.where(_is_proper(margins, tried)[:, None], damping, damping / 2)
    damping = np.where(_is_proper(margins, sites.toward(renewed, damping))[:, None], damping, 0.0)
    tried = sites.toward(renewed, damping)
    return tried, approximation(margins, tried)


def log_evidence_of(margins: Margins, renewal: Renewal, found: Result) -> Array:
    """Log marginal likelihood of each user's answers (n_users,), eq. 10; Rasmussen and Williams 2006, eq. 3.65.

    The result is that of the renewal's sites.
    """
    precisions, shifts = renewal.sites
    mean, variance, ratio = renewal.cavity_mean, renewal.cavity_variance, renewal.ratio
    # log ∫ N(m; mean, variance) exp(-precision m² / 2 + shift m) dm of each cavity, which the site narrows by the ratio
    alone = (shifts * (2 * mean + shifts * variance) - precisions * mean * mean) * ratio + np.log(ratio)
    pulls, offsets = _pulls(margins, renewal.sites), margins.offsets
    together = (shifts + pulls) * offsets + pulls * np.matmul(margins.loads, found.mean[..., None])[..., 0]
    log_root = np.log(np.diagonal(found.root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray((renewal.log_probability + (together - alone) / 2).sum(axis=1) - log_root)


def _pulls(margins: Margins, sites: Sites) -> Array:
    """What each site pulls its margin away from its prior mean with (n_users, n_answers)."""
    return sites.shifts - sites.precisions * margins.offsets


def _precision(margins: Margins, sites: Sites) -> Array:
    """Of u (n_users, rank, rank)."""
    weighted = margins.loads * sites.precisions[..., None]
    return np.asarray(np.matmul(margins.loads.swapaxes(1, 2), weighted) + margins.identity)


def _is_proper(margins: Margins, sites: Sites) -> NDArray[np.bool_]:
    """Of each user (n_users,), whether prior times sites is a Gaussian, with some room for round-off."""
    values = np.linalg.eigvalsh(_precision(margins, sites))
    return np.asarray(values[:, 0] > 1e-10 * np.maximum(1.0, values[:, -1]))
