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

SMALLEST_VARIANCE = 1e-12  # of a margin; below it an answer has nothing to tell
LEAST_CAVITY = 1e-10  # share of a cavity's precision in that of the margin: with less, the others leave no Gaussian
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
    in heard 1 for each answer whose margin can vary, 0 for the others, and the prior precision of u (rank, rank).
    """

    offsets: Array
    loads: Array
    variances: Array
    replies: Replies
    heard: Array
    identity: Array

    @classmethod
    def of(cls, offsets: Array, loads: Array, outcomes: NDArray[np.int8], response_model: ResponseModel) -> "Margins":
        """With what can be heard worked out."""
        variances = (loads * loads).sum(axis=-1)
        heard = (variances > SMALLEST_VARIANCE).astype(np.float64)
        return cls(offsets, loads, variances, Replies(outcomes, response_model), heard, np.eye(loads.shape[2]))

    def of_user(self, user: int) -> "Margins":
        """Those of one user alone."""
        alone = slice(user, user + 1)
        parts = (self.offsets[alone], self.loads[alone], self.variances[alone], self.replies.at(alone))
        return Margins(*parts, self.heard[alone], self.identity)


class Approximation(NamedTuple):
    """Moments of the margins under prior times sites: margin and variance, each (n_users, n_answers)."""

    margin: Array
    variance: Array


class Renewal(NamedTuple):
    """Sites that agree with the answers, how far the old ones were from them, and what these were renewed from.

    change (n_users,) is the largest move of a margin that its own new site would cause: of the mean in standard
    deviations, of the variance by itself; infinite where the other answers leave a margin no Gaussian. cavity_mean,
    cavity_variance and cavity_share (n_users, n_answers) are of the margins without their old sites, the last being the
    cavity's precision as a share of the margin's; log_probability (n_users, n_answers) is that of each answer there.
    """

    sites: Sites
    change: Array
    cavity_mean: Array
    cavity_variance: Array
    cavity_share: Array
    log_probability: Array


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
    margin = margins.offsets + np.matmul(pull(margins, sites)[:, None], spread)[:, 0]
    return Approximation(margin, (across * spread).sum(axis=1))


def pull(margins: Margins, sites: Sites) -> Array:
    """What moves u from its prior mean, precision times mean (n_users, rank)."""
    return np.asarray(np.matmul((sites.shifts - sites.precisions * margins.offsets)[:, None], margins.loads)[:, 0])


def root_of(margins: Margins, sites: Sites) -> Array:
    """Lower factor of the precision of u (n_users, rank, rank); LinAlgError where prior times sites is no Gaussian."""
    return np.asarray(np.linalg.cholesky(_precision(margins, sites)))


def renew(margins: Margins, at: Approximation, sites: Sites) -> Renewal:
    """Sites that match the moments of cavity times likelihood (eqs. 7 to 9).

    A site stays as it is where the others leave no cavity. With lapses a reply may widen the margin; its site then has
    a negative precision.
    """
    spread, heard, usable = np.maximum(at.variance, SMALLEST_VARIANCE), margins.heard, None
    before = 1 / spread
    cavity = before - sites.precisions
    share = cavity * spread
    if share.min() <= LEAST_CAVITY:
        usable = share > LEAST_CAVITY
        share, cavity, heard = np.where(usable, share, 1.0), np.where(usable, cavity, before), heard * usable
    mean, variance = (before * at.margin - sites.shifts) / cavity, 1 / cavity
    sd = np.sqrt(variance)
    tilted = tilted_moments(mean, sd, margins.replies)
    after = cavity / tilted.ratio
    narrowed = heard * (after - before)
    pushed = heard * after * (mean + sd * tilted.shift - at.margin)
    change = np.maximum(np.abs(pushed) * np.sqrt(spread), np.abs(narrowed) * spread).max(axis=1)
    if usable is not None:
        change = np.where(usable.all(axis=1), change, np.inf)
    renewed = Sites(sites.precisions + narrowed, sites.shifts + (pushed + narrowed * at.margin))
    return Renewal(renewed, change, mean, variance, share, tilted.log_evidence)


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


def log_evidence_of(margins: Margins, at: Approximation, root: Array, sites: Sites, renewal: Renewal) -> Array:
    """Log marginal likelihood of each user's answers (n_users,), eq. 10; Rasmussen and Williams 2006, eq. 3.65.

    The root and the renewal are those of these sites.
    """
    precisions, shifts = sites
    mean, variance, share = renewal.cavity_mean, renewal.cavity_variance, renewal.cavity_share
    # log ∫ N(m; mean, variance) exp(-precision m² / 2 + shift m) dm of each cavity, which scales by 1 / share
    alone = (shifts * (2 * mean + shifts * variance) - precisions * mean * mean) * share + np.log(share)
    # what the prior times sites integrates to but for its determinant: the sites at the offset, and half the pull times
    # the mean's move
    together = (shifts - precisions * margins.offsets) * (at.margin + margins.offsets)
    together += precisions * margins.offsets * margins.offsets
    each = renewal.log_probability + (together - alone) / 2
    return np.asarray(each.sum(axis=1) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1))


def _precision(margins: Margins, sites: Sites) -> Array:
    """Of u (n_users, rank, rank)."""
    weighted = margins.loads * sites.precisions[..., None]
    return np.asarray(np.matmul(margins.loads.swapaxes(1, 2), weighted) + margins.identity)


def _is_proper(margins: Margins, sites: Sites) -> NDArray[np.bool_]:
    """Of each user (n_users,), whether prior times sites is a Gaussian, with some room for round-off."""
    values = np.linalg.eigvalsh(_precision(margins, sites))
    return np.asarray(values[:, 0] > 1e-10 * np.maximum(1.0, values[:, -1]))
