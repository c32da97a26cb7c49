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
    and in heard 1 for each answer whose margin can vary, 0 for the others.
    """

    offsets: Array
    loads: Array
    variances: Array
    replies: Replies
    heard: Array

    @classmethod
    def of(cls, offsets: Array, loads: Array, outcomes: NDArray[np.int8], response_model: ResponseModel) -> "Margins":
        """With what can be heard worked out."""
        variances = (loads * loads).sum(axis=-1)
        heard = (variances > SMALLEST_VARIANCE).astype(np.float64)
        return cls(offsets, loads, variances, Replies(outcomes, response_model), heard)

    def of_user(self, user: int) -> "Margins":
        """Those of one user alone."""
        alone, replies = slice(user, user + 1), self.replies
        outcomes = Replies(replies.outcomes[alone], replies.model)
        return Margins(self.offsets[alone], self.loads[alone], self.variances[alone], outcomes, self.heard[alone])


class Approximation(NamedTuple):
    """Prior times sites: the factor `root` of the precision of u, what pulls its mean, and the margins' moments.

    root (n_users, rank, rank) lower triangular, pull (n_users, rank) = root⁻¹ (precision x mean), margin and variance
    (n_users, n_answers).
    """

    root: Array
    pull: Array
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
    n_users, _, rank = margins.loads.shape
    root = np.broadcast_to(np.eye(rank), (n_users, rank, rank))
    return Approximation(root, np.zeros((n_users, rank)), margins.offsets, margins.variances)


def approximation(margins: Margins, sites: Sites) -> Approximation:
    """Prior times sites (eqs. 5 and 6); LinAlgError where that is no Gaussian."""
    across = margins.loads.swapaxes(1, 2)
    root = np.linalg.cholesky(_precision(margins, sites))
    pull = np.matmul(across, (sites.shifts - sites.precisions * margins.offsets)[..., None])
    both = np.asarray(np.linalg.solve(root, np.concatenate((across, pull), axis=2)), dtype=np.float64)
    spread, pull = both[..., :-1], both[..., -1:]
    margin = margins.offsets + np.matmul(spread.swapaxes(1, 2), pull)[..., 0]
    return Approximation(np.asarray(root), pull[..., 0], margin, (spread * spread).sum(axis=1))


def renew(margins: Margins, at: Approximation, sites: Sites) -> Renewal:
    """Sites that match the moments of cavity times likelihood (eqs. 7 to 9).

    A site stays as it is where the others leave no cavity. With lapses a reply may widen the margin; its site then has
    a negative precision.
    """
    precisions, shifts = sites
    share = 1 - precisions * at.variance
    heard, usable = margins.heard, None
    if share.min() <= LEAST_CAVITY:
        usable = share > LEAST_CAVITY
        share, heard = np.where(usable, share, 1.0), heard * usable
    variance = np.maximum(at.variance, SMALLEST_VARIANCE) / share
    mean = (at.margin - at.variance * shifts) / share
    sd = np.sqrt(variance)
    tilted = tilted_moments(mean, sd, margins.replies)
    narrower = (1 / tilted.ratio - 1) / variance
    more_precision = heard * (narrower - precisions)
    more_shift = heard * (tilted.shift / (tilted.ratio * sd) + narrower * mean - shifts)
    pulled = np.abs(more_shift - more_precision * at.margin) * np.sqrt(at.variance)
    change = np.maximum(pulled, np.abs(more_precision) * at.variance).max(axis=1)
    if usable is not None:
        change = np.where(usable.all(axis=1), change, np.inf)
    renewed = Sites(precisions + more_precision, shifts + more_shift)
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


def log_evidence_of(margins: Margins, at: Approximation, sites: Sites, renewal: Renewal) -> Array:
    """Log marginal likelihood of each user's answers (n_users,), eq. 10; Rasmussen and Williams 2006, eq. 3.65.

    The renewal is that of these sites.
    """
    precisions, shifts = sites
    mean, variance, share = renewal.cavity_mean, renewal.cavity_variance, renewal.cavity_share
    # log ∫ N(m; mean, variance) exp(-precision m² / 2 + shift m) dm of each cavity, which scales by 1 / share
    alone = (shifts * (2 * mean + shifts * variance) - precisions * mean * mean) * share + np.log(share)
    centre = (shifts - precisions * margins.offsets / 2) * margins.offsets
    log_root = np.log(np.diagonal(at.root, axis1=1, axis2=2)).sum(axis=1)
    each = renewal.log_probability - alone / 2 + centre
    return np.asarray(each.sum(axis=1) + np.square(at.pull).sum(axis=1) / 2 - log_root)


def _precision(margins: Margins, sites: Sites) -> Array:
    precision = np.matmul(margins.loads.swapaxes(1, 2), margins.loads * sites.precisions[..., None])
    rank = precision.shape[1]
    precision.reshape(len(precision), -1)[:, :: rank + 1] += 1.0
    return np.asarray(precision)


def _is_proper(margins: Margins, sites: Sites) -> NDArray[np.bool_]:
    """Of each user (n_users,), whether prior times sites is a Gaussian, with some room for round-off."""
    values = np.linalg.eigvalsh(_precision(margins, sites))
    return np.asarray(values[:, 0] > 1e-10 * np.maximum(1.0, values[:, -1]))
