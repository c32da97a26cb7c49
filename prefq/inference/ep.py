"""The posterior by expectation propagation, honest about how far a taste is known: what people are told rests on it.

Cheaper to select with, and too sure of itself, is the Laplace posterior (`prefq.inference.laplace`). The algebra is in
docs/maths/posterior.md, to which the equation numbers refer.
"""

from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InferenceError
from prefq.inference.laplace import covariance_factor, mixed, require_same_features
from prefq.inference.likelihood import Felt, log_likelihood
from prefq.inference.tilted import Tilted, tilted_moments
from prefq.vocabulary import Array, Coefficients, Comparisons, Gaussian, GaussianMixture, ResponseModel

TOLERANCE = 1e-7  # of the last change: in prior standard deviations for means, relative for variances
MAX_SWEEPS = 60  # at each damping
DAMPINGS = (1.0, 0.6, 0.3, 0.1)  # share of the way that a sweep goes; the next one where one does not converge
LEAST_VARIANCE = 1e-20  # of a margin before any answer, relative to the largest: below it, nothing can be learned


class EpInfo(NamedTuple):
    """How expectation propagation went.

    change is that of the last sweep: of the coefficients' mean in prior standard deviations and of the margins'
    variances by themselves, whichever is larger. log_evidence approximates the log marginal likelihood of the answers,
    in nats. Without answers all are zero.
    """

    n_sweeps: int
    change: float
    log_evidence: float


class _Margins(NamedTuple):
    """Margins of the answers under the prior: offsets + loads @ u with u standard normal, in logits.

    offsets (n_answers,), loads (n_answers, rank), and lift (n_features, rank) that takes u back to the coefficients.
    """

    offsets: Array
    loads: Array
    lift: Array
    outcomes: NDArray[np.int8]


class _Sites(NamedTuple):
    """exp(-precisions m² / 2 + shifts m) in place of each answer's likelihood, both (n_answers,)."""

    precisions: Array
    shifts: Array


class _Approximation(NamedTuple):
    """Posterior of u, N(mean, (root rootᵀ)⁻¹), and of the margins: their mean and variance (n_answers,)."""

    mean: Array
    root: Array
    margin: Array
    variance: Array
    pull: Array


@overload
def fit_posterior_ep(
    prior: Gaussian, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Gaussian, EpInfo]: ...


@overload
def fit_posterior_ep(
    prior: Coefficients, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Coefficients, EpInfo]: ...


def fit_posterior_ep(
    prior: Coefficients, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Coefficients, EpInfo]:
    """Posterior over coefficients by expectation propagation.

    Each answer's likelihood is replaced by a Gaussian in its margin such that mean and variance of the margin are right
    given all the others (Minka 2001). Whatever the answers say lies in the span of their differences, so the work grows
    with the smaller of their number and that of the features.

    Parameters
    ----------
    prior
        Before the answers: a Gaussian, or a mixture of several, whose posterior is a mixture again.
    comparisons
        n_answers rows; zero rows return the prior unchanged.
    response_model
        Default: plain Bradley-Terry, without ties, bias or lapses.

    Returns
    -------
    posterior
        Mean and covariance of each component; components weigh what their evidence makes of them.
    info
        Sweeps, last change and log evidence.

    Raises
    ------
    InputError
        When prior and comparisons have different numbers of features.
    InferenceError
        When it does not converge; never a last iterate instead.

    Examples
    --------
    >>> from prefq import Comparisons, Gaussian
    >>> posterior, info = fit_posterior_ep(Gaussian([0.0], [[4.0]]), Comparisons([[1.0], [1.0]], [1, 1]))
    >>> round(float(posterior.mean[0]), 3), round(float(posterior.sd[0]), 3)
    (1.734, 1.409)
    """
    model = ResponseModel() if response_model is None else response_model
    require_same_features(prior, comparisons)
    if not comparisons.outcomes.size:
        return prior, EpInfo(0, 0.0, 0.0)
    answers = Felt.of(comparisons, model)
    if not isinstance(prior, GaussianMixture):
        return _fit_component(prior, answers, model)
    fits = [_fit_component(each, answers, model) for each in prior.components]
    posterior, log_evidence = mixed(prior, fits)
    return posterior, EpInfo(max(info.n_sweeps for _, info in fits), max(info.change for _, info in fits), log_evidence)


def _fit_component(prior: Gaussian, answers: Felt, model: ResponseModel) -> tuple[Gaussian, EpInfo]:
    """Posterior of one Gaussian; answers whose margin is known beforehand add evidence and nothing else."""
    offsets = answers.differences @ prior.mean
    factor = covariance_factor(prior.covariance)
    loads = answers.differences @ factor
    variances = np.square(loads).sum(axis=1)
    known = variances <= LEAST_VARIANCE * max(1.0, float(variances.max()))
    certain = 0.0
    if known.any():
        certain = float(log_likelihood(offsets[known], answers.outcomes[known], model).value.sum())
        if known.all():
            return prior, EpInfo(0, 0.0, certain)
        offsets, loads = offsets[~known], loads[~known]
    margins = _in_span(offsets, loads, factor, answers.outcomes[~known])
    at, sites, tilted, n_sweeps, change = _propagated(margins, model)
    spread = np.linalg.solve(at.root, margins.lift.T)
    explained = spread.T @ spread - margins.lift @ margins.lift.T  # eq. 6
    posterior = Gaussian(prior.mean + margins.lift @ at.mean, prior.covariance + explained)
    return posterior, EpInfo(n_sweeps, change, certain + _log_evidence(margins, at, sites, tilted))


def _in_span(offsets: Array, loads: Array, factor: Array, outcomes: NDArray[np.int8]) -> _Margins:
    """The margins in as few coordinates as they need: those of the answers where these are fewer than the features."""
    if len(loads) >= loads.shape[1]:
        return _Margins(offsets, loads, factor, outcomes)
    basis, triangle = np.linalg.qr(loads.T)
    return _Margins(offsets, triangle.T, factor @ basis, outcomes)


def _propagated(margins: _Margins, model: ResponseModel) -> tuple[_Approximation, _Sites, Tilted, int, float]:
    """Sites that agree with the tilted moments; damped more where that does not converge."""
    n_sweeps, change = 0, np.inf
    for damping in DAMPINGS:
        sites = _Sites(np.zeros_like(margins.offsets), np.zeros_like(margins.offsets))
        at = _approximation(margins, sites)
        for _ in range(MAX_SWEEPS if damping > DAMPINGS[-1] else 10 * MAX_SWEEPS):
            n_sweeps += 1
            renewed, tilted = _renewed(at, sites, margins.outcomes, model)
            moved = _moved(margins, sites, renewed, damping)
            if moved is None:
                break
            before, (sites, at) = at, moved
            change = _change(before, at)
            if change <= TOLERANCE * damping:
                _, tilted = _renewed(at, sites, margins.outcomes, model)
                return at, sites, tilted, n_sweeps, change
    raise InferenceError(
        f"the posterior of {margins.outcomes.size} answers did not converge: it changed by {change:.2e} in the last of "
        f"{n_sweeps} sweeps, expected at most {TOLERANCE:.0e}; check the scale of the prior against the features, or "
        "report this."
    )


def _approximation(margins: _Margins, sites: _Sites) -> _Approximation:
    """Prior times sites (eqs. 4 and 5); LinAlgError where that is no Gaussian."""
    loads = margins.loads
    precision = (loads.T * sites.precisions) @ loads
    precision.flat[:: len(precision) + 1] += 1.0
    root = np.linalg.cholesky(precision)
    pull = loads.T @ (sites.shifts - sites.precisions * margins.offsets)
    both = np.linalg.solve(root, np.column_stack((loads.T, pull)))
    spread, pull = both[:, :-1], both[:, -1]
    mean = np.asarray(np.linalg.solve(root.T, pull), dtype=np.float64)
    return _Approximation(mean, root, margins.offsets + spread.T @ pull, np.square(spread).sum(axis=0), pull)


def _renewed(
    at: _Approximation, sites: _Sites, outcomes: NDArray[np.int8], model: ResponseModel
) -> tuple[_Sites, Tilted]:
    """Sites that match the moments of cavity times likelihood; Rasmussen and Williams 2006, eqs. 3.56 to 3.59."""
    without = np.maximum(1 - sites.precisions * at.variance, 1e-6)
    cavity_variance = at.variance / without
    cavity_mean = (at.margin - at.variance * sites.shifts) / without
    sd = np.sqrt(cavity_variance)
    tilted = tilted_moments(cavity_mean, sd, outcomes, model)
    precision = (1 / tilted.ratio - 1) / cavity_variance
    shift = tilted.shift * sd / (tilted.ratio * cavity_variance) + precision * cavity_mean
    return _Sites(precision, shift), tilted


def _moved(margins: _Margins, sites: _Sites, renewed: _Sites, damping: float) -> tuple[_Sites, _Approximation] | None:
    """A share of the way to the renewed sites; less where these leave no Gaussian, None where nothing would do."""
    for _ in range(8):
        tried = _Sites(*(old + damping * (new - old) for old, new in zip(sites, renewed, strict=True)))
        try:
            return tried, _approximation(margins, tried)
        except np.linalg.LinAlgError:
            damping /= 2
    return None


def _change(before: _Approximation, after: _Approximation) -> float:
    moved = float(np.abs(after.mean - before.mean).max())
    return max(moved, float(np.abs(after.variance / before.variance - 1).max()))


def _log_evidence(margins: _Margins, at: _Approximation, sites: _Sites, tilted: Tilted) -> float:
    """Eq. 9; Rasmussen and Williams 2006, eq. 3.65, in the natural parameters of the sites."""
    without = 1 - sites.precisions * at.variance
    variance = at.variance / without
    mean = (at.margin - at.variance * sites.shifts) / without
    # log ∫ N(m; mean, variance) exp(-precision m² / 2 + shift m) dm, of each cavity
    scaled = 1 + sites.precisions * variance
    alone = (2 * mean * sites.shifts + sites.shifts**2 * variance - sites.precisions * mean**2) / (2 * scaled)
    alone -= np.log(scaled) / 2
    centre = sites.shifts * margins.offsets - sites.precisions * margins.offsets**2 / 2
    together = at.pull @ at.pull / 2 - np.log(np.diag(at.root)).sum()
    return float((tilted.log_evidence - alone + centre).sum() + together)
