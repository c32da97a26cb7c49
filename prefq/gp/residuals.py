"""fit_residual: how curved the tastes of a group are, by the evidence of its answers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.gp.kernels import Residual, TasteKernel, residual_of
from prefq.gp.propagation import condition_margins
from prefq.vocabulary import Array, Coefficients, Comparisons, Gaussian, ResponseModel, real_array

SHARES = (0.0, 0.1, 0.3, 1.0, 2.0)  # of the mean square linear margin; see `residual_of`
REACHES = (0.7, 1.0, 1.5)
MAX_USERS = 150  # that the evidence is taken from: enough to tell a share of .1 from 0, and it costs per user


class ResidualInfo(NamedTuple):
    """How a residual was chosen: shares and reaches that were tried, (n,) each, and the log evidence of each, in nats.

    Evidence is the log probability of the answers of all users that were looked at, n_users of them.
    """

    shares: Array
    reaches: Array
    log_evidence: Array
    n_users: int


def fit_residual(
    first: ArrayLike,
    second: ArrayLike,
    outcomes: ArrayLike,
    users: Sequence[object] | NDArray[np.generic],
    *,
    prior: Coefficients,
    strengths: ArrayLike | None = None,
    response_model: ResponseModel | None = None,
    shares: Sequence[float] = SHARES,
    reaches: Sequence[float] = REACHES,
) -> tuple[Residual, ResidualInfo]:
    """The residual under which a group's answers are likeliest, on a grid of scales and lengthscales.

    Type-II maximum likelihood (Rasmussen and Williams 2006, sec. 5.2) with the evidence of expectation propagation,
    summed over users. The linear part is the prior as it was fitted; scale 0, linear tastes, is on the grid.

    Parameters
    ----------
    first, second : (n, n_features)
        Features of both items of each answer.
    outcomes : (n,)
        +1 first preferred, 0 tie, -1 second preferred.
    users : (n,)
        Who answered. Of more than `MAX_USERS` users those with most answers count, earlier ones first.
    prior
        Of the coefficients, fitted on this group; a mixture counts as the Gaussian with its mean and covariance.
    strengths : (n,), optional
        As in `Comparisons`.
    response_model
        How replies arise; plain Bradley-Terry by default.
    shares, reaches
        The grid, as in `residual_of`.

    Returns
    -------
    residual
        The likeliest.
    info
        The whole grid.

    Raises
    ------
    InputError
        For arrays that do not fit together, or no answers.
    InferenceError
        When an approximation does not settle.
    """
    items = real_array(first, "first", ndim=2), real_array(second, "second", ndim=2)
    n_answers = len(users)
    if not n_answers or any(side.shape != (n_answers, prior.n_features) for side in items):
        raise InputError(
            f"{items[0].shape} first items, {items[1].shape} second items and {n_answers} users arrived; give as many "
            f"of each, at least one, with {prior.n_features} features."
        )
    replies = Comparisons(items[0] - items[1], outcomes, strengths).grades
    model = ResponseModel() if response_model is None else response_model
    groups = _by_count(users)
    grid = [(share, reach) for share in shares for reach in reaches if share > 0 or reach == reaches[0]]
    residuals = [residual_of(share, reach, *items, prior.covariance) for share, reach in grid]
    evidence = np.array([_log_evidence(each, groups, *items, replies, prior, model) for each in residuals])
    tried = np.array(grid, dtype=np.float64)
    info = ResidualInfo(tried[:, 0], tried[:, 1], evidence, sum(len(rows) for rows in groups))
    return residuals[int(np.argmax(evidence))], info


def _by_count(users: Sequence[object] | NDArray[np.generic]) -> list[NDArray[np.intp]]:
    """Rows of the answers of each user, (n_users, n_answers) for users with equally many."""
    rows: dict[object, list[int]] = {}
    for row, user in enumerate(users):
        rows.setdefault(user, []).append(row)
    chosen = sorted(rows.values(), key=len, reverse=True)[:MAX_USERS]
    counts = sorted({len(each) for each in chosen})
    return [np.array([each for each in chosen if len(each) == count], dtype=np.intp) for count in counts]


def _log_evidence(
    residual: Residual,
    groups: Sequence[NDArray[np.intp]],
    first: Array,
    second: Array,
    outcomes: NDArray[np.int8],
    prior: Coefficients,
    response_model: ResponseModel,
) -> float:
    """Log probability of the answers in these rows, summed over users."""
    kernel = TasteKernel(Gaussian(prior.mean, prior.covariance), residual)
    total = 0.0
    for rows in groups:
        differences = first[rows] - second[rows]
        loudness = response_model.loudness(differences)
        with torch.no_grad():
            a, b = torch.tensor(first[rows]), torch.tensor(second[rows])
            both = kernel(a, a).to_dense() + kernel(b, b).to_dense()
            cross = kernel(a, b).to_dense()
            covariances = (both - cross - cross.mT).numpy() * loudness[:, :, None] * loudness[:, None, :]
        offsets = differences @ prior.mean * loudness
        told = condition_margins(offsets, covariances, outcomes[rows], response_model)
        total += float(told.log_evidence.sum())
    return total
