"""Calibration: whether posteriors promise what comes true, against users whose coefficients are known.

Coverage of central intervals, promised and true shares of wrong signs, reliability of predicted probabilities, and
simulation-based calibration as a control. What is counted is by user or by panel; means over panels come last.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, logit, ndtr, ndtri

from prefq.errors import InputError
from prefq.inference.ep_batch import Sites, propagate
from prefq.inference.laplace_batch import Gaussians, fit_posteriors, same_for_all
from prefq.inference.likelihood import log_likelihood
from prefq.inference.predictive import preference_probability
from prefq.profiles.summary import WIDENING
from prefq.simulation.measures import log_loss
from prefq.simulation.panels import History, Outcomes, Panel, Rows, Study
from prefq.simulation.rules import most_informative
from prefq.simulation.strategies import listening
from prefq.vocabulary import Array, Gaussian, ResponseModel

LEVELS = (0.5, 0.8, 0.9, 0.95)
N_BINS = 10  # of predicted probabilities
N_DRAWS, N_RANK_BINS = 99, 20  # a hundred possible ranks, five to a bin
N_SWEEPS = 20  # of expectation propagation from empty sites; further ones move coverage by nothing that is shown
N_PRIOR_DRAWS = 20_000  # of the exact posterior by importance sampling
MOST_EXACT_FEATURES = 8  # beyond it few of these draws carry any weight
SMALLEST_RESIDUAL = 1e-6  # logits: margins that coefficients explain so closely are those of the features

Fit = Callable[[Gaussians, Array, Outcomes, ResponseModel], Gaussians]


class Method(NamedTuple):
    """A way to a posterior: what a table calls it, and from priors and answers to one Gaussian a user."""

    label: str
    fit: Fit


class PanelCalibration(NamedTuple):
    """What was counted on a panel.

    Parameters
    ----------
    users
        By method, number of answers and measure, the latter those of `measures_of`: one number a user (n_users,), NaN
        where it is not defined.
    bins
        By method and number of answers: (3, N_BINS), of the test tasks in each bin of predicted probability their
        count, the sum of what was predicted and the number of first sides preferred.
    """

    users: Mapping[str, Mapping[int, Mapping[str, Array]]]
    bins: Mapping[str, Mapping[int, Array]]


class Estimate(NamedTuple):
    """A mean and its standard error, NaN where it cannot be told."""

    mean: float
    se: float


class RankTest(NamedTuple):
    """Counts of ranks in bins (N_RANK_BINS,), their chi-square against equal ones, and its p-value."""

    counts: NDArray[np.int64]
    chi_square: float
    p_value: float


def _widened(priors: Gaussians, differences: Array, outcomes: Outcomes, response_model: ResponseModel) -> Gaussians:
    found = fit_posteriors(priors, differences, outcomes, response_model)
    return Gaussians(found.means, found.factors * WIDENING)


def _propagated(priors: Gaussians, differences: Array, outcomes: Outcomes, response_model: ResponseModel) -> Gaussians:
    sites = Sites.empty(*outcomes.shape)
    found, _ = propagate(priors, differences, outcomes, response_model, sites, n_sweeps=N_SWEEPS)
    return found


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "laplace": Method("Laplace, ours", fit_posteriors),
        "laplace_widened": Method(f"Laplace, widened by {WIDENING:g}", _widened),
        "ep": Method("EP, not yet used by prefq", _propagated),
    }
)


def measures_of(kind: str) -> tuple[str, ...]:
    """Names of the coverages of ``"coefficient"`` or ``"margin"`` intervals, one a level: ``"coefficient_90"``, …."""
    return tuple(f"{kind}_{round(100 * level)}" for level in LEVELS)


MEASURES = (*measures_of("coefficient"), *measures_of("margin"), "wrong_promised", "wrong_true", "log_loss")


def ask(panel: Panel, prior: Gaussian, n_questions: int, *, rng: np.random.Generator) -> History:
    """Questions of the default rule, one after the other, and the replies."""
    learn = listening(most_informative)(Study.of(panel, prior, n_questions), rng=rng)
    history = History.empty(panel.n_users)
    for n_answers in range(n_questions):
        rows = learn(history).next_rows()
        history = history.with_answers(rows, panel.replies(rows, n_answers))
    return history


def true_coefficients(panel: Panel) -> Array | None:
    """Coefficients (n_users, n_features) of users at the start, from their margins; None where they have none.

    They have some where the margins of the questions are known and linear in the features that prefq sees.
    """
    if panel.margins is None:
        return None
    differences = np.broadcast_to(panel.first - panel.second, (panel.n_users, *panel.first.shape[1:]))
    if len(panel.first) == 1:
        coefficients = np.linalg.lstsq(differences[0], panel.margins.T, rcond=None)[0].T
    else:
        pairs = zip(differences, panel.margins, strict=True)
        coefficients = np.stack([np.linalg.lstsq(x, m, rcond=None)[0] for x, m in pairs])
    if np.linalg.matrix_rank(differences[0]) < differences.shape[2]:
        return None
    explained = np.matmul(differences, coefficients[:, :, None])[..., 0]
    return coefficients if np.abs(explained - panel.margins).max() < SMALLEST_RESIDUAL else None


def calibration(
    panel: Panel, prior: Gaussian, history: History, n_answers: Sequence[int], *, rng: np.random.Generator
) -> PanelCalibration:
    """Put what each of `METHODS` promises beside what is true of the users of a panel.

    Parameters
    ----------
    panel
        With known margins; intervals of coefficients are counted where `true_coefficients` finds these.
    prior
        Where the users start.
    history
        What was asked and replied.
    n_answers
        After how many of these answers, each at most as many as there are.
    rng
        Draws one reply to each test task.

    Returns
    -------
    PanelCalibration
        A test task counts for reliability as the drawn reply has it, for signs as the true margin has it.
    """
    coefficients, priors = true_coefficients(panel), same_for_all(prior, panel.n_users)
    differences = history.of(panel.first) - history.of(panel.second)
    thrown = rng.random(panel.test_truth.shape)
    users: dict[str, dict[int, dict[str, Array]]] = {name: {} for name in METHODS}
    bins: dict[str, dict[int, Array]] = {name: {} for name in METHODS}
    for k in n_answers:
        truth = panel.truth(k)
        replies = np.where(np.isnan(truth), np.nan, thrown < truth)
        turned = -1 if panel.flips_at is not None and k >= panel.flips_at else 1
        for name, method in METHODS.items():
            found = method.fit(priors, differences[:, :k], history.outcomes[:, :k], panel.response_model)
            mean, variance = found.margins(panel.test_first - panel.test_second)
            predicted = preference_probability(mean.ravel(), variance.ravel()).reshape(mean.shape)
            users[name][k] = {
                **_coefficients_covered(found, None if coefficients is None else turned * coefficients),
                **_margins_covered(mean, np.sqrt(variance), truth),
                "log_loss": log_loss(predicted, truth),
            }
            bins[name][k] = reliability_bins(predicted, replies)
    return PanelCalibration(users, bins)


def reliability_bins(predicted: Array, replies: Array) -> Array:
    """Count, sum predicted and number of replies in each of `N_BINS` equal bins of predicted probability (3, N_BINS).

    Both arguments of one shape; a task whose reply is NaN is left out.
    """
    there = ~np.isnan(replies)
    p, y = predicted[there], replies[there]
    place = np.minimum((p * N_BINS).astype(np.intp), N_BINS - 1)
    return np.stack([np.bincount(place, weights=weights, minlength=N_BINS) for weights in (np.ones_like(p), p, y)])


def expected_calibration_error(bins: Array) -> float:
    """Mean absolute difference of predicted and observed shares over the bins, weighted by count; NaN without tasks.

    Naeini et al. 2015. Chance alone makes it positive: of the order of one over the root of the tasks in a bin.
    """
    count, predicted, observed = bins
    return float(np.abs(predicted - observed).sum() / count.sum()) if count.sum() else float("nan")


def over_panels(values: Sequence[Array]) -> Estimate:
    """Mean over panels of the means over their users (n_users,), NaN left out, with its standard error.

    With one panel the error is that over its users.
    """
    kept = [each[~np.isnan(each)] for each in values]
    means = np.array([each.mean() for each in kept if each.size])
    if not means.size:
        return Estimate(float("nan"), float("nan"))
    units = means if means.size > 1 else next(each for each in kept if each.size)
    se = units.std(ddof=1) / np.sqrt(units.size) if units.size > 1 else float("nan")
    return Estimate(float(means.mean()), float(se))


def jackknife(function: Callable[[Array], float], bins: Sequence[Array]) -> Estimate:
    """A function of the bins of all panels together, with its standard error by leaving out one panel at a time."""
    total, n = np.sum(bins, axis=0), len(bins)
    if n < 2:
        return Estimate(function(total), float("nan"))
    without = np.array([function(total - each) for each in bins])
    return Estimate(function(total), float(np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())))


def sbc_ranks(panel: Panel, n_answers: int, *, rng: np.random.Generator) -> dict[str, NDArray[np.intp]]:
    """Simulation-based calibration (Talts et al. 2018, arXiv 1804.06788): ranks of the truth among posterior draws.

    Each user answers random questions; the prior is the one that the users were drawn from. The quantity that is ranked
    is one margin a user, of a random direction in units of the prior: ranks of several coefficients of a user would not
    be independent.

    Parameters
    ----------
    panel
        With `true_prior` and linear margins.
    n_answers
        For each user.
    rng
        Draws questions, directions and draws.

    Returns
    -------
    dict
        Rank from 0 to `N_DRAWS` for each user (n_users,), by method: `METHODS`, and ``"exact"``, by importance sampling
        from the prior, where there are few enough features. If the posterior is right the ranks are uniform.

    Raises
    ------
    InputError
        When the panel has no true prior or no coefficients.
    """
    coefficients = true_coefficients(panel)
    if panel.true_prior is None or coefficients is None:
        raise InputError(
            f"the users of panel {panel.name!r} have no known coefficients drawn from one Gaussian; simulation-based "
            "calibration takes a world such as gaussian(6)."
        )
    rows = np.argsort(rng.random(panel.outcomes.shape), axis=1)[:, :n_answers].astype(np.intp)
    history = History(rows, np.take_along_axis(panel.outcomes, rows, axis=1))
    differences = history.of(panel.first) - history.of(panel.second)
    priors = same_for_all(panel.true_prior, panel.n_users)
    whitened = rng.normal(size=coefficients.shape)
    directions = np.linalg.solve(priors.factors[0].T, whitened.T).T  # so that the prior's spread is that of `whitened`
    truth = (directions * coefficients).sum(axis=1)
    ranks = {}
    for name, method in METHODS.items():
        found = method.fit(priors, differences, history.outcomes, panel.response_model)
        mean, variance = found.margins(directions[:, None])
        ranks[name] = _ranks(truth, mean + np.sqrt(variance) * rng.normal(size=(panel.n_users, N_DRAWS)))
    if coefficients.shape[1] <= MOST_EXACT_FEATURES:
        exact = [
            directions[user] @ exact_draws(panel.true_prior, x, y, panel.response_model, N_DRAWS, rng=rng).T
            for user, (x, y) in enumerate(zip(differences, history.outcomes, strict=True))
        ]
        ranks["exact"] = _ranks(truth, np.stack(exact))
    return ranks


def exact_draws(
    prior: Gaussian,
    differences: Array,
    outcomes: Outcomes,
    response_model: ResponseModel,
    n_draws: int,
    *,
    rng: np.random.Generator,
) -> Array:
    """Coefficients (n_draws, n_features) of one user's posterior, by importance resampling of prior draws.

    There are `N_PRIOR_DRAWS` of these; good for few features and answers.
    """
    drawn = rng.multivariate_normal(prior.mean, prior.covariance, size=N_PRIOR_DRAWS, method="cholesky")
    margins = drawn @ differences.T
    value = log_likelihood(margins, np.broadcast_to(outcomes, margins.shape), response_model).value.sum(axis=1)
    weights = np.exp(value - value.max())
    return np.asarray(drawn[rng.choice(len(drawn), size=n_draws, p=weights / weights.sum())])


def rank_test(ranks: Rows) -> RankTest:
    """Whether ranks from 0 to `N_DRAWS` are uniform: Pearson's chi-square over `N_RANK_BINS` bins.

    Examples
    --------
    >>> import numpy as np
    >>> rank_test(np.arange(100)).p_value
    1.0
    """
    counts = np.bincount(ranks * N_RANK_BINS // (N_DRAWS + 1), minlength=N_RANK_BINS)
    expected = ranks.size / N_RANK_BINS
    chi_square = float(np.square(counts - expected).sum() / expected)
    return RankTest(counts, chi_square, float(chdtrc(N_RANK_BINS - 1, chi_square)))


def _coefficients_covered(found: Gaussians, coefficients: Array | None) -> dict[str, Array]:
    if coefficients is None:
        nothing = np.full(len(found.means), np.nan)
        return dict.fromkeys(measures_of("coefficient"), nothing)
    sds = np.sqrt(np.square(found.factors).sum(axis=2))
    return _covered("coefficient", np.abs(coefficients - found.means) / sds)


def _margins_covered(mean: Array, sd: Array, truth: Array) -> dict[str, Array]:
    """Coverage of the test margins' intervals, and shares of wrong signs, promised and true."""
    with np.errstate(divide="ignore"):
        margins = logit(truth)
    known = np.isfinite(margins)
    there = known & (margins != 0)
    promised = np.where(there, ndtr(-np.abs(mean) / sd), np.nan)
    wrong = np.where(there, np.sign(mean) != np.sign(margins), np.nan)
    return {
        **_covered("margin", np.where(known, np.abs(np.where(known, margins, 0.0) - mean) / sd, np.nan)),
        "wrong_promised": _mean_of_known(promised),
        "wrong_true": _mean_of_known(wrong),
    }


def _covered(kind: str, sds_away: Array) -> dict[str, Array]:
    """Share of each user's intervals (n_users, n) that hold the truth, by name of the measure."""
    reaches = ndtri(0.5 + np.array(LEVELS) / 2)
    inside = [np.where(np.isnan(sds_away), np.nan, sds_away <= reach) for reach in reaches]
    return dict(zip(measures_of(kind), map(_mean_of_known, inside), strict=True))


def _mean_of_known(values: Array) -> Array:
    """Mean of each user's values (n_users, n) that are not NaN; NaN where none is."""
    there = ~np.isnan(values)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan)


def _ranks(truth: Array, draws: Array) -> NDArray[np.intp]:
    """How many draws (n_users, n_draws) lie below each truth (n_users,)."""
    return np.asarray((draws < truth[:, None]).sum(axis=1), dtype=np.intp)
