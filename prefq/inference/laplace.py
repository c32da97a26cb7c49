"""The Laplace posterior: the mode by damped Newton, and the curvature there.

Quick, and too sure of itself (docs/maths/posterior.md, docs/benchmarks.md).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InferenceError, InputError
from prefq.inference.likelihood import BRADLEY_TERRY, Felt, LogLikelihood, log_likelihood
from prefq.vocabulary import Array, Coefficients, Comparisons, Gaussian, GaussianMixture, ResponseModel

GRADIENT_TOLERANCE = 1e-9  # times the longest whitened difference; the Hessian is at least 1, so it bounds the error
MAX_ITERATIONS = 200  # the hardest of 10,000 random problems took 55 (docs/benchmarks.md)
SUFFICIENT_DECREASE = 1e-4  # Armijo's constant: any small value works, this is the customary one
MAX_BISECTIONS = 60  # beyond it the step is below double precision
LAPSE_SHARES = (0.0, 0.25, 0.5, 1.0)  # of the lapse rate: from the convex problem to the one that is asked
ROUND_OFF = 1e-13  # relative: decreases smaller than this cannot be measured in the objective


class LaplaceInfo(NamedTuple):
    """How the mode was found.

    gradient_norm is in whitened coordinates, where the prior is standard normal: an upper bound of the distance to
    the mode in prior standard deviations. log_evidence is Laplace's approximation of the log marginal likelihood of
    the answers, in nats. Without answers all are zero.
    """

    n_iterations: int
    gradient_norm: float
    log_evidence: float


class Fitted(Protocol):
    """What `mixed` asks of an Info."""

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood of the answers, in nats."""


class _Margins(NamedTuple):
    """Margins of the answers: offsets + loads @ u, u standard normal before they were given, and the replies."""

    offsets: Array
    loads: Array
    outcomes: NDArray[np.int8]


class _Iterate(NamedTuple):
    """A point of the search: whitened coefficients, the likelihood's derivatives there, and the objective."""

    whitened: Array
    likelihood: LogLikelihood
    objective: float


class _Mode(NamedTuple):
    """Where a search ended, the gradient's norm there, and the Newton steps it took."""

    iterate: _Iterate
    gradient_norm: float
    n_iterations: int


@overload
def fit_posterior(
    prior: Gaussian, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Gaussian, LaplaceInfo]: ...


@overload
def fit_posterior(
    prior: Coefficients, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Coefficients, LaplaceInfo]: ...


def fit_posterior(
    prior: Coefficients, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Coefficients, LaplaceInfo]:
    """Laplace posterior over coefficients.

    The mode maximises log prior + log likelihood; the search runs in coordinates in which the prior is standard
    normal, so that it does not depend on the features' units, and shortens each Newton step where it would overshoot.
    Without lapses the objective is strictly convex and the mode is unique. With lapses there may be several: curvature
    counts as zero where it would be negative, and the best of two searches is taken, one from the prior mean, one
    from the lapse-free mode while the lapse rate grows to its value. In some hard problems that still misses a better
    mode (docs/benchmarks.md counts them).

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
        Mode and inverse Hessian at the mode, of each component; components weigh what their evidence makes of them.
    info
        Iterations, gradient norm and log evidence.

    Raises
    ------
    InputError
        When prior and comparisons have different numbers of features.
    InferenceError
        When the search does not converge, or the prior is so wide that its sum with the answers' precision is
        singular in double precision; never a last iterate instead.

    Examples
    --------
    >>> from prefq import Comparisons, Gaussian, fit_posterior
    >>> posterior, info = fit_posterior(Gaussian([0.0], [[4.0]]), Comparisons([[1.0], [1.0]], [1, 1]))
    >>> round(float(posterior.mean[0]), 3), round(float(posterior.sd[0]), 3)
    (1.482, 1.346)
    """
    model = BRADLEY_TERRY if response_model is None else response_model
    require_same_features(prior, comparisons)
    if not comparisons.outcomes.size:
        return prior, LaplaceInfo(0, 0.0, 0.0)
    if isinstance(prior, GaussianMixture):
        fits = [fit_posterior(each, comparisons, response_model=model) for each in prior.components]
        mixture, log_evidence = mixed(prior, fits)
        steps, norm = (max(info[i] for _, info in fits) for i in (0, 1))
        return mixture, LaplaceInfo(int(steps), norm, log_evidence)
    return fit_felt(prior, Felt.of(comparisons, model), model)


def fit_felt(prior: Gaussian, answers: Felt, response_model: ResponseModel) -> tuple[Gaussian, LaplaceInfo]:
    """`fit_posterior` of at least one answer whose differences are already felt, under a prior of one component."""
    offsets, factor = answers.differences @ prior.mean, prior.factor
    loads, basis = in_span(answers.differences @ factor)
    margins = _Margins(offsets, loads, answers.outcomes)
    with singular_as_inference_error(answers.outcomes.size):
        mode = min(_find_modes(margins, response_model), key=lambda mode: mode.iterate.objective)
        root = np.asarray(np.linalg.cholesky(_hessian(loads, mode.iterate.likelihood)), dtype=np.float64)
        lift, spread = narrowed(factor, basis, np.asarray(np.linalg.inv(root), dtype=np.float64))
    posterior = Gaussian.from_factor(prior.mean + lift @ mode.iterate.whitened, spread)
    log_evidence = -mode.iterate.objective - float(np.log(np.diag(root)).sum())
    return posterior, LaplaceInfo(mode.n_iterations, mode.gradient_norm, log_evidence)


def require_same_features(prior: Coefficients, comparisons: Comparisons) -> None:
    """Raise InputError unless prior and comparisons have as many features."""
    if comparisons.differences.shape[1] != prior.n_features:
        raise InputError(
            f"the comparisons have {comparisons.differences.shape[1]} features and the prior {prior.n_features}; "
            "they must be as many."
        )


def mixed(prior: GaussianMixture, fits: Sequence[tuple[Gaussian, Fitted]]) -> tuple[GaussianMixture, float]:
    """Mixture of the components' posteriors, each weighed by how well it predicted the answers, and its evidence."""
    with np.errstate(divide="ignore"):
        logs = np.log(prior.weights) + np.array([info.log_evidence for _, info in fits])
    log_evidence = float(np.logaddexp.reduce(logs))
    return GaussianMixture(np.exp(logs - log_evidence), [each for each, _ in fits]), log_evidence


@contextmanager
def singular_as_inference_error(n_answers: int) -> Iterator[None]:
    """Turn what linear algebra raises on a matrix that round-off has made singular into an `InferenceError`."""
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise InferenceError(
            f"the posterior of {n_answers} answers is singular in double precision ({error}); the prior is too wide "
            "for the scale of the features, give a narrower one."
        ) from error


def in_span(loads: Array) -> tuple[Array, Array | None]:
    """Loads (…, n_answers, rank) in as few coordinates as it takes, and the basis (…, n_features, rank) of these.

    Answers tell nothing beyond the span of their differences. Where they are fewer than the features, the work is done
    there (docs/maths/posterior.md, eqs. 1 and 2); otherwise the basis is None, the identity.
    """
    n_answers, n_features = loads.shape[-2:]
    if n_answers >= n_features:
        return loads, None
    basis, triangle = np.linalg.qr(loads.swapaxes(-1, -2))
    return np.asarray(triangle.swapaxes(-1, -2)), np.asarray(basis)


def narrowed(factor: Array, basis: Array | None, inverse: Array) -> tuple[Array, Array]:
    """What takes the basis's coordinates to coefficients, and a factor of the posterior covariance.

    factor (…, n_features, n_features) is of the prior's covariance, inverse (…, rank, rank) that of the lower factor of
    the precision in the basis's coordinates, in which the prior is standard normal.
    """
    across = inverse.swapaxes(-1, -2)
    if basis is None:
        return factor, np.asarray(np.matmul(factor, across))
    lift = np.asarray(np.matmul(factor, basis))
    rest = np.matmul(np.matmul(lift, across - np.eye(inverse.shape[-1])), basis.swapaxes(-1, -2))
    return lift, np.asarray(factor + rest)


def curvatures(likelihood: LogLikelihood) -> Array:
    """Curvature of the negative log-likelihood in each margin, clipped at zero where lapses bend it (n_answers,)."""
    return np.clip(-likelihood.second, 0.0, None)


def _hessian(differences: Array, likelihood: LogLikelihood) -> Array:
    return np.eye(differences.shape[1]) + (differences.T * curvatures(likelihood)) @ differences


def _find_modes(margins: _Margins, model: ResponseModel) -> Iterator[_Mode]:
    """The mode; with lapses two, of which one may be a local one."""
    centre = np.zeros(margins.loads.shape[1])
    yield _find_mode(margins, model, centre)
    if model.lapse_rate > 0:
        n_iterations = 0
        for share in LAPSE_SHARES:
            partial = replace(model, lapse_rate=share * model.lapse_rate)
            mode = _find_mode(margins, partial, centre)
            centre, n_iterations = mode.iterate.whitened, n_iterations + mode.n_iterations
        yield mode._replace(n_iterations=n_iterations)


def _find_mode(margins: _Margins, model: ResponseModel, start: Array) -> _Mode:
    """The mode that the search reaches from `start`, in whitened coordinates."""
    differences, offsets = margins.loads, margins.offsets

    def evaluate(whitened: Array) -> _Iterate:
        likelihood = log_likelihood(offsets + differences @ whitened, margins.outcomes, model)
        return _Iterate(whitened, likelihood, float(whitened @ whitened / 2 - likelihood.value.sum()))

    tolerance = GRADIENT_TOLERANCE * max(1.0, float(np.linalg.norm(differences, axis=1).max()))
    iterate = evaluate(start)
    for n_iterations in range(MAX_ITERATIONS + 1):
        gradient = iterate.whitened - differences.T @ iterate.likelihood.first
        gradient_norm = float(np.linalg.norm(gradient))
        if gradient_norm <= tolerance:
            return _Mode(iterate, gradient_norm, n_iterations)
        moved = _damped(evaluate, iterate, _newton_step(differences, iterate.likelihood, gradient), differences)
        if moved is None:
            break
        iterate = moved
    raise InferenceError(
        f"the posterior of {margins.outcomes.size} answers did not converge: gradient norm {gradient_norm:.2e} "
        f"after {n_iterations} steps, expected at most {tolerance:.2e}; check the scale of the prior against the "
        "features, or report this."
    )


def _newton_step(differences: Array, likelihood: LogLikelihood, gradient: Array) -> Array:
    """By the Hessian; by that of clipped curvatures where lapses leave it no descent."""
    if likelihood.second.max() > 0:
        bent = np.eye(gradient.size) - (differences.T * likelihood.second) @ differences
        try:
            np.linalg.cholesky(bent)
        except np.linalg.LinAlgError:
            pass
        else:
            return np.asarray(np.linalg.solve(bent, gradient), dtype=np.float64)
    return np.asarray(np.linalg.solve(_hessian(differences, likelihood), gradient), dtype=np.float64)


def _damped(
    evaluate: Callable[[Array], _Iterate], iterate: _Iterate, step: Array, differences: Array
) -> _Iterate | None:
    """Where to go along a Newton step: all of it, or less where it would overshoot; None if nothing is lower.

    Bisects the size until the objective is lower and at most half of the slope along the step is left (strong Wolfe
    conditions; Nocedal and Wright 2006, sec. 3.1). Halving alone creeps where wide priors make the likelihood almost
    piecewise linear: there the step must end near a kink for the next one to see its curvature.
    """

    def descent(at: _Iterate) -> float:
        return float(at.whitened @ step - at.likelihood.first @ margins_per_step)

    margins_per_step = differences @ step
    initial, slack = descent(iterate), ROUND_OFF * abs(iterate.objective)
    shortest, longest, size = 0.0, 1.0, 1.0
    for _ in range(MAX_BISECTIONS):
        moved = evaluate(iterate.whitened - size * step)
        lowered = moved.objective <= iterate.objective - SUFFICIENT_DECREASE * size * initial + slack
        left = descent(moved)
        if lowered and (abs(left) <= initial / 2 or initial <= slack or (size == 1.0 and left > 0)):
            return moved
        if lowered and left > 0:
            shortest = size
        else:
            longest = size
        size = (shortest + longest) / 2
    return None
