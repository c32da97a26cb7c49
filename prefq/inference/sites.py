"""Sites of expectation propagation: what stands in for each answer's likelihood, and how it is renewed.

Arrays are (n_users, n_answers) throughout. Who calls how often, and for whom, is in `prefq.inference.ep` and
`prefq.inference.ep_batch`; the equation numbers are those of docs/maths/posterior.md.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.tilted import Tilted, tilted_moments
from prefq.vocabulary import Array, ResponseModel

SMALLEST_VARIANCE = 1e-12  # of a margin; below it an answer has nothing to tell
LEAST_CAVITY = 1e-6  # share of a cavity's precision in that of the margin: with less, the others leave no Gaussian
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
        return Sites(*(old + share * (new - old) for old, new in zip(self, other, strict=True)))


class Margins(NamedTuple):
    """Margins of the answers before they were given: offsets + loads @ u with u standard normal, in logits.

    offsets (n_users, n_answers), loads (n_users, n_answers, rank), outcomes (n_users, n_answers) as `log_likelihood`
    takes them; heard tells which answers have a margin that can vary.
    """

    offsets: Array
    loads: Array
    outcomes: NDArray[np.int8]
    heard: NDArray[np.bool_]

    @classmethod
    def of(cls, offsets: Array, loads: Array, outcomes: NDArray[np.int8]) -> "Margins":
        """With what can be heard worked out."""
        variances = np.square(loads).sum(axis=-1)
        return cls(offsets, loads, outcomes, variances > SMALLEST_VARIANCE)


class Approximation(NamedTuple):
    """Prior times sites: the factor `root` of the precision of u, what pulls its mean, and the margins' moments.

    root (n_users, rank, rank) lower triangular, pull (n_users, rank) = root⁻¹ (precision x mean), margin and variance
    (n_users, n_answers).
    """

    root: Array
    pull: Array
    margin: Array
    variance: Array


def approximation(margins: Margins, sites: Sites) -> Approximation:
    """Prior times sites (eqs. 5 and 6); LinAlgError where that is no Gaussian."""
    across = margins.loads.swapaxes(1, 2)
    root = np.linalg.cholesky(_precision(margins, sites))
    pull = np.matmul(across, (sites.shifts - sites.precisions * margins.offsets)[..., None])
    both = np.linalg.solve(root, np.concatenate((across, pull), axis=2))
    spread, pull = both[..., :-1], both[..., -1]
    margin = margins.offsets + np.matmul(pull[:, None, :], spread)[:, 0]
    return Approximation(root, pull, margin, np.square(spread).sum(axis=1))


def moved(
    margins: Margins, at: Approximation, sites: Sites, response_model: ResponseModel, damping: Array
) -> tuple[Sites, Approximation, Array]:
    """Sites a share of the way to those that agree with the answers; for users whom that leaves no Gaussian, less.

    damping (n_users, 1) is the share; the third value says how much of it was taken, 0 where nothing would do.
    """
    renewed, _ = renewed_sites(margins, at, sites, response_model)
    for _ in range(MAX_HALVINGS):
        tried = sites.toward(renewed, damping)
        try:
            return tried, approximation(margins, tried), damping
        except np.linalg.LinAlgError:
            damping = np.where(_is_proper(margins, tried)[:, None], damping, damping / 2)
    damping = np.where(_is_proper(margins, sites.toward(renewed, damping))[:, None], damping, 0.0)
    tried = sites.toward(renewed, damping)
    return tried, approximation(margins, tried), damping


def renewed_sites(
    margins: Margins, at: Approximation, sites: Sites, response_model: ResponseModel
) -> tuple[Sites, Tilted]:
    """Sites that match the moments of cavity times likelihood (eqs. 8 and 9), and these moments.

    A site stays as it is where the others leave no cavity. With lapses a reply may widen the margin; its site then has a
    negative precision.
    """
    mean, variance = _cavities(at, sites)
    sd = np.sqrt(variance)
    tilted = tilted_moments(mean, sd, margins.outcomes, response_model)
    precisions = (1 / tilted.ratio - 1) / variance
    shifts = tilted.shift / (tilted.ratio * sd) + precisions * mean
    usable = margins.heard & has_cavity(at, sites)
    return Sites(np.where(usable, precisions, sites.precisions), np.where(usable, shifts, sites.shifts)), tilted


def has_cavity(at: Approximation, sites: Sites) -> NDArray[np.bool_]:
    """Whether what is left without each site is a Gaussian."""
    return np.asarray(1 - sites.precisions * at.variance > LEAST_CAVITY)


def log_evidence_of(margins: Margins, at: Approximation, sites: Sites, response_model: ResponseModel) -> Array:
    """Log marginal likelihood of each user's answers (n_users,), eq. 10; Rasmussen and Williams 2006, eq. 3.65."""
    mean, variance = _cavities(at, sites)
    tilted = tilted_moments(mean, np.sqrt(variance), margins.outcomes, response_model)
    # log ∫ N(m; mean, variance) exp(-precision m² / 2 + shift m) dm of each cavity
    scaled = 1 + sites.precisions * variance
    alone = (2 * mean * sites.shifts + sites.shifts**2 * variance - sites.precisions * mean**2) / scaled - np.log(
        scaled
    )
    centre = sites.shifts * margins.offsets - sites.precisions * margins.offsets**2 / 2
    each = tilted.log_evidence - alone / 2 + centre
    log_root = np.log(np.diagonal(at.root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(each.sum(axis=1) + np.square(at.pull).sum(axis=1) / 2 - log_root)


def _precision(margins: Margins, sites: Sites) -> Array:
    precision = np.matmul(margins.loads.swapaxes(1, 2), margins.loads * sites.precisions[..., None])
    diagonal = np.arange(precision.shape[1])
    precision[:, diagonal, diagonal] += 1.0
    return np.asarray(precision)


def _is_proper(margins: Margins, sites: Sites) -> NDArray[np.bool_]:
    """Of each user (n_users,), whether prior times sites is a Gaussian, with some room for round-off."""
    precision = _precision(margins, sites)
    values = np.linalg.eigvalsh(precision)
    return np.asarray(values[:, 0] > 1e-10 * np.maximum(1.0, values[:, -1]))


def _cavities(at: Approximation, sites: Sites) -> tuple[Array, Array]:
    """Mean and variance of each margin without its own site (eq. 7); the margin's own where there is no such thing."""
    without = 1 - sites.precisions * at.variance
    usable = without > LEAST_CAVITY
    without = np.where(usable, without, 1.0)
    variance = np.maximum(at.variance, SMALLEST_VARIANCE) / without
    mean = np.where(usable, (at.margin - at.variance * sites.shifts) / without, at.margin)
    return mean, variance
