"""Calibration: whether posteriors promise what comes true, against users whose coefficients are known.

Coverage of central intervals, promised and true shares of wrong signs, reliability of predicted probabilities, and
simulation-based calibration as a control. What is counted is by user or by panel; means over panels come last. The
exact posterior, referee of the approximations, is in `prefq.simulation.exact_draws`, the test of uniformity in
`prefq.simulation.uniformity`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import logit

from prefq.errors import InputError
from prefq.inference.beliefs import Mixtures, ep_posteriors, laplace_posteriors, mixture_for_all
from prefq.inference.surprise import checked
from prefq.simulation.exact_draws import MOST_FEATURES, exact_posteriors
from prefq.simulation.measures import log_loss
from prefq.simulation.panels import History, Outcomes, Panel, Start, Study
from prefq.simulation.rules import most_informative
from prefq.simulation.strategies import listening
from prefq.vocabulary import Array, Gaussian, ResponseModel

LEVELS = (0.5, 0.8, 0.9, 0.95)
N_BINS = 10  # of predicted probabilities
EXACT_BLOCK = 10  # users whose draws are held at once
SMALLEST_RESIDUAL = 1e-6  # logits: margins that coefficients explain so closely are those of the features


class Told(Protocol):
    """What a posterior says of margins of differences (1 or n_users, n, n_features)."""

    def cdf(self, differences: Array, values: Array, /) -> Array:
        """Probability (n_users, n) that the margins are at most these values (n_users, n)."""

    def preference_probability(self, differences: Array, /) -> Array:
        """Probability (n_users, n) that the first is preferred."""


Fit = Callable[[Mixtures, Array, Outcomes, ResponseModel], Told]


class Method(NamedTuple):
    """A way to a posterior: what a table calls it, and from priors and answers to what it says of each user."""

    label: str
    fit: Fit


class PanelCalibration(NamedTuple):
    """What was counted on a panel.

    Parameters
    ----------
    users
        By method, number of answers and measure, the latter those of `MEASURES`: one number a user (n_users,), NaN
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


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "laplace": Method("Laplace", laplace_posteriors),
        "ep": Method("EP", ep_posteriors),
    }
)
EXACT = "exact"
EXACT_LABEL = "exact, by importance sampling"


def measures_of(kind: str) -> tuple[str, ...]:
    """Names of the coverages of ``"coefficient"`` or ``"margin"`` intervals, one a level: ``"coefficient_90"``, …."""
    return tuple(f"{kind}_{round(100 * level)}" for level in LEVELS)


MEASURES = (*measures_of("coefficient"), *measures_of("margin"), "wrong_promised", "wrong_true", "log_loss")


def ask(panel: Panel, start: Start, n_questions: int, *, rng: np.random.Generator) -> History:
    """Questions of the default rule, one after the other, and the replies."""
    learn = listening(most_informative)(Study.of(panel, start, n_questions), rng=rng)
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
    panel: Panel,
    start: Start,
    history: History,
    n_answers: Sequence[int],
    *,
    rng: np.random.Generator,
    n_exact: int = 0,
) -> PanelCalibration:
    """Put what each of `METHODS` promises beside what is true of the users of a panel.

    Parameters
    ----------
    panel
        With known margins; intervals of coefficients are counted where `true_coefficients` finds these.
    start
        Where the users start; a `PopulationPrior` brings the response model that posteriors assume. It is widened for
        users whose answers contradict it, as in the product.
    history
        What was asked and replied.
    n_answers
        After how many of these answers, each at most as many as there are.
    rng
        Draws one reply to each test task, and the exact posteriors.
    n_exact
        How many users, the first ones, have an exact posterior too, method ``"exact"``: none by default, and none where
        there are more than `MOST_FEATURES` features.

    Returns
    -------
    PanelCalibration
        A test task counts for reliability as the drawn reply has it, for signs as the true margin has it.
    """
    study, coefficients = Study.of(panel, start, 0), true_coefficients(panel)
    priors, model = mixture_for_all(study.prior, panel.n_users), study.response_model
    differences = model.felt(history.of(panel.first) - history.of(panel.second))
    thrown, exact_rng = rng.random(panel.test_truth.shape), rng.spawn(1)[0]
    n_exact = min(n_exact, panel.n_users) if study.prior.n_features <= MOST_FEATURES else 0
    names = (*METHODS, EXACT) if n_exact else tuple(METHODS)
    users: dict[str, dict[int, dict[str, Array]]] = {name: {} for name in names}
    bins: dict[str, dict[int, Array]] = {name: {} for name in names}
    for k in n_answers:
        truth = panel.truth(k)
        replies = np.where(np.isnan(truth), np.nan, thrown < truth)
        turned = -1 if panel.flips_at is not None and k >= panel.flips_at else 1
        tests = model.felt(panel.test_first - panel.test_second)
        facts = _Facts(None if coefficients is None else turned * coefficients, tests, truth, replies)
        answers = differences[:, :k], history.outcomes[:, :k]
        held = checked(priors, *answers, model)
        for name, method in METHODS.items():
            users[name][k], bins[name][k] = _counted(method.fit(held, *answers, model), facts)
        if n_exact:
            users[EXACT][k], bins[EXACT][k] = _counted_exactly(held, *answers, model, facts, n_exact, exact_rng)
    return PanelCalibration(users, bins)


class _Facts(NamedTuple):
    """What is true of users: coefficients, and of test tasks their differences, chances and drawn replies."""

    coefficients: Array | None
    tests: Array
    truth: Array
    replies: Array

    def of(self, users: slice) -> "_Facts":
        """Those of some users."""
        tests = self.tests if len(self.tests) == 1 else self.tests[users]
        coefficients = None if self.coefficients is None else self.coefficients[users]
        return _Facts(coefficients, tests, self.truth[users], self.replies[users])


def _counted(told: Told, facts: _Facts) -> tuple[dict[str, Array], Array]:
    """Measures of each user, and bins of the test tasks."""
    predicted = told.preference_probability(facts.tests)
    measures = {
        **_coefficients_covered(told, facts),
        **_margins_covered(told, facts),
        "log_loss": log_loss(predicted, facts.truth),
    }
    return measures, reliability_bins(predicted, facts.replies)


def _counted_exactly(
    priors: Mixtures,
    differences: Array,
    outcomes: Outcomes,
    response_model: ResponseModel,
    facts: _Facts,
    n_users: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Array], Array]:
    """As `_counted` for the first users, some at a time; NaN for the others."""
    measures = {name: np.full(len(outcomes), np.nan) for name in MEASURES}
    bins = np.zeros((3, N_BINS))
    for first in range(0, n_users, EXACT_BLOCK):
        users = slice(first, min(first + EXACT_BLOCK, n_users))
        exact = exact_posteriors(priors.of_users(users), differences[users], outcomes[users], response_model, rng=rng)
        told, of_block = _counted(exact, facts.of(users))
        bins += of_block
        for name, values in told.items():
            measures[name][users] = values
    return measures, bins


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


def sbc_values(
    panel: Panel, n_answers: int, *, rng: np.random.Generator, response_model: ResponseModel | None = None
) -> dict[str, Array]:
    """Simulation-based calibration (Talts et al. 2018, arXiv 1804.06788): posterior probability below the truth.

    Each user answers random questions; the prior is the one that the users were drawn from. What is placed in the
    posterior is one margin a user, of a random direction in units of the prior: values of several coefficients of a
    user would not be independent. Theirs is the limit of the paper's ranks for many draws.

    Parameters
    ----------
    panel
        With `true_prior` and linear margins.
    n_answers
        For each user.
    rng
        Draws questions, directions and the exact posteriors.
    response_model
        How posteriors assume that replies arise; by default as the panel does.

    Returns
    -------
    dict
        One number from 0 to 1 for each user (n_users,), by method: `METHODS`, and ``"exact"`` where there are few
        enough features. If the posterior is right they are uniform.

    Raises
    ------
    InputError
        When the panel has no true prior or no coefficients.
    """
    coefficients = true_coefficients(panel)
    if not isinstance(panel.true_prior, Gaussian) or coefficients is None:
        raise InputError(
            f"the users of panel {panel.name!r} have no known coefficients drawn from one Gaussian; simulation-based "
            "calibration takes a world such as gaussian(6)."
        )
    model = panel.response_model if response_model is None else response_model
    rows = np.argsort(rng.random(panel.outcomes.shape), axis=1)[:, :n_answers].astype(np.intp)
    history = History(rows, np.take_along_axis(panel.outcomes, rows, axis=1))
    differences = model.felt(history.of(panel.first) - history.of(panel.second))
    priors, whitened = mixture_for_all(panel.true_prior, panel.n_users), rng.normal(size=coefficients.shape)
    # So that the prior's spread is that of `whitened`.
    directions = np.linalg.solve(priors.components[0].factors[0].T, whitened.T).T[:, None]
    truth = (directions[:, 0] * coefficients).sum(axis=1, keepdims=True)
    values = {
        name: method.fit(priors, differences, history.outcomes, model).cdf(directions, truth)[:, 0]
        for name, method in METHODS.items()
    }
    if coefficients.shape[1] <= MOST_FEATURES:
        exact = exact_posteriors(priors, differences, history.outcomes, model, rng=rng)
        values[EXACT] = exact.cdf(directions, truth)[:, 0]
    return values


def _coefficients_covered(told: Told, facts: _Facts) -> dict[str, Array]:
    if facts.coefficients is None:
        return dict.fromkeys(measures_of("coefficient"), np.full(len(facts.truth), np.nan))
    axes = np.eye(facts.coefficients.shape[1])[None]
    return _covered("coefficient", told.cdf(axes, facts.coefficients))


def _margins_covered(told: Told, facts: _Facts) -> dict[str, Array]:
    """Coverage of the test margins' intervals, and shares of wrong signs, promised and true."""
    with np.errstate(divide="ignore"):
        margins = logit(facts.truth)
    known = np.isfinite(margins)
    there = known & (margins != 0)
    below_zero = told.cdf(facts.tests, np.zeros_like(margins))
    promised = np.where(there, np.minimum(below_zero, 1 - below_zero), np.nan)
    wrong = np.where(there, (below_zero > 0.5) != (margins < 0), np.nan)
    return {
        **_covered("margin", np.where(known, told.cdf(facts.tests, np.where(known, margins, 0.0)), np.nan)),
        "wrong_promised": _mean_of_known(promised),
        "wrong_true": _mean_of_known(wrong),
    }


def _covered(kind: str, below: Array) -> dict[str, Array]:
    """Share of each user's central intervals that hold the truth, by name of the measure.

    From the posterior probability (n_users, n) below each truth: the interval of a level holds it if that is no further
    than half the level from one half.
    """
    off = np.abs(below - 0.5)
    inside = [np.where(np.isnan(off), np.nan, off <= level / 2) for level in LEVELS]
    return dict(zip(measures_of(kind), map(_mean_of_known, inside), strict=True))


def _mean_of_known(values: Array) -> Array:
    """Mean of each user's values (n_users, n) that are not NaN; NaN where none is."""
    there = ~np.isnan(values)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan)
