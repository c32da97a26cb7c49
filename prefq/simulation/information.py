"""Information in nats: what answers told about a taste, between two bounds, and a design that knows the taste.

With h the replies to questions x of a user with coefficients w₀, the information of an adaptive design is the mean of
log p(h | w₀, x) - log p(h | x) over users, p(h | x) being the mean over the population (Foster et al. 2021, theorem 1).
With L contrasting coefficients w₁ … w_L of the population the mean over w₀ … w_L in place of p(h | x) gives a lower
bound (prior contrastive estimation, equation 11), the mean over w₁ … w_L alone an upper bound (nested Monte Carlo,
equation 14). The lower cannot exceed log(L + 1).

Only worlds in which the truth has the form that prefq assumes can be measured so; `why_not` says what is amiss.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.beliefs import Mixtures
from prefq.inference.likelihood import log_likelihood, log_reply_probabilities
from prefq.simulation.comparison import mean_and_error, unit_means
from prefq.simulation.panels import History, Panel, Rows, Study
from prefq.simulation.rules import Rule, best_rows
from prefq.simulation.strategies import Strategy, listening
from prefq.vocabulary import Array, Gaussian

CONTRASTS = 4096  # for each user: ten binary replies tell two to three nats, far from the log of this
USERS_AT_ONCE = 20  # whose contrasts are in memory
LINEAR = 1e-6  # of the margins' scale: a larger residual is taste outside the features
SURPRISE = 5.0  # standard errors by which replies may be likelier or less likely than their chances make them
MEASURED_AT = 10  # answers


class Information(NamedTuple):
    """Bounds on what the answers told about each user's taste, whose means over users bound the information.

    lower, upper (n_users, n_answers + 1), in nats, after 0, 1, … answers.
    """

    lower: Array
    upper: Array


def why_not(panel: Panel) -> str | None:
    """Why information cannot be measured on a panel, in a sentence; None where it can.

    It can where tastes come from one known Gaussian, true margins are linear in the features that prefq sees, and
    replies follow the panel's response model.
    """
    if panel.margins is None or not isinstance(panel.true_prior, Gaussian):
        return f"information needs true margins and a Gaussian population, and {panel.name!r} does not have them."
    if panel.flips_at is not None:
        return f"information needs tastes that stay as they are, and those of {panel.name!r} turn."
    if not _linear(panel.first - panel.second, panel.margins):
        return f"information needs margins that are linear in the features, and those of {panel.name!r} are not."
    logs = np.stack(log_reply_probabilities(panel.margins, panel.response_model))
    surprise = log_likelihood(panel.margins, panel.outcomes, panel.response_model).value
    expected = (np.exp(logs) * logs).sum(axis=0)
    variance = (np.exp(logs) * logs**2).sum(axis=0) - expected**2
    excess = float((surprise - expected)[panel.open].sum())
    if abs(excess) > SURPRISE * math.sqrt(float(variance[panel.open].sum())):
        return f"information needs replies that follow the response model, and those of {panel.name!r} do not."
    return None


def information(
    panel: Panel, history: History, *, rng: np.random.Generator, n_contrasts: int = CONTRASTS
) -> Information:
    """Lower and upper bounds of what a strategy's questions told about its users, under the true population.

    They are bounds for strategies that know a user by the replies alone. For one that knows more, such as `oracle` or
    one that heard what people say about themselves, the upper is one for log p(h | w₀, x) / p(h | x) all the same.

    Parameters
    ----------
    panel
        On which the questions were asked.
    history
        What was asked and replied.
    rng
        Draws the contrasting coefficients, other ones for each user.
    n_contrasts
        L.

    Raises
    ------
    InputError
        Where `why_not` has a reason.
    """
    if (reason := why_not(panel)) is not None:
        raise InputError(reason)
    assert panel.margins is not None
    assert isinstance(panel.true_prior, Gaussian)
    differences = history.of(panel.first) - history.of(panel.second)
    true = _log_likelihoods(panel, np.take_along_axis(panel.margins, np.maximum(history.rows, 0), axis=1), history)
    lower, upper = np.zeros((2, panel.n_users, history.rows.shape[1] + 1))
    for start in range(0, panel.n_users, USERS_AT_ONCE):
        block = slice(start, start + USERS_AT_ONCE)
        n_users = len(history.rows[block])
        contrasts = _draw(panel.true_prior, (n_users, n_contrasts), rng)
        margins = np.matmul(contrasts, differences[block].swapaxes(1, 2))  # (n_users, n_contrasts, n_answers)
        others = _log_likelihoods(panel, margins.swapaxes(0, 1), History(history.rows[block], history.outcomes[block]))
        own = np.cumsum(true[block], axis=1)
        total = _log_sum(np.cumsum(others, axis=2))
        lower[block, 1:] = own - (np.logaddexp(total, own) - math.log(n_contrasts + 1))
        upper[block, 1:] = own - (total - math.log(n_contrasts))
    return Information(lower, upper)


def oracle(panel: Panel) -> Strategy:
    """A design that knows each user's taste, as a ceiling: no strategy that anyone could use.

    It asks what is expected to raise the posterior density at the true coefficients most: the divergence of the
    predicted reply from the reply's true chances (predicted with the probit approximation of MacKay 1992). It learns
    as ours do, so that only the choice of questions differs.

    Parameters
    ----------
    panel
        On which it is run, whole or in a slice that it is made for; true margins must be known.

    Raises
    ------
    InputError
        When true margins are not known, or it is run on other users.
    """
    if panel.margins is None:
        raise InputError(f"an oracle needs true margins, and panel {panel.name!r} has none; leave it out.")
    chances = np.exp(np.stack(log_reply_probabilities(panel.margins, panel.response_model)))
    negative_entropy = (chances * np.log(np.where(chances > 0, chances, 1.0))).sum(axis=0)

    def rule_of(study: Study, rng: np.random.Generator) -> Rule:
        if study.open.shape != panel.open.shape:
            raise InputError(
                f"this oracle knows {panel.n_users} users and met {study.n_users}; make one for each panel."
            )
        model, differences = panel.response_model, study.response_model.felt(study.differences)

        def rule(history: History, belief: Callable[[], Mixtures]) -> Rows:
            mean, variance = belief().margins(differences)
            shrunk = (mean + model.position_bias) / np.sqrt(1 + np.pi * variance / 8) - model.position_bias
            predicted = np.stack(log_reply_probabilities(shrunk, model))
            scores = negative_entropy - (chances * predicted).sum(axis=0)
            return best_rows(scores, history.left(study.open))

        return rule

    return Strategy("oracle", listening(rule_of), "knows the taste: a ceiling, not a strategy", kind="control")


def summarise_information(
    bounds: Mapping[str, Information],
    worlds: NDArray[np.integer],
    *,
    n_contrasts: int = CONTRASTS,
    n_outcomes: int = 2,
) -> dict[str, Any]:
    """The part "information" of a summary.

    Parameters
    ----------
    bounds
        By strategy, each with one row a (world, user); NaN rows for those who were not measured. The one named
        ``"oracle"`` is the ceiling.
    worlds : (n,)
        World of each row, the same for all strategies.
    n_contrasts
        With which they were taken.
    n_outcomes
        That a reply can have: 3 with ties.

    Returns
    -------
    dict
        JSON types: "at" answers, "most" that so many replies can tell, and by strategy "lower", "upper" (means over
        users in nats) and their standard errors "lower_se", "upper_se"; worlds are the unit where there are several.
    """
    n_answers = min((MEASURED_AT, *(each.lower.shape[1] - 1 for each in bounds.values())))
    strategies = {
        name: {
            end + suffix: None if math.isnan(number) else round(number, 4)
            for end, values in (("lower", each.lower), ("upper", each.upper))
            for suffix, number in zip(("", "_se"), _over_units(values[:, n_answers], worlds), strict=True)
        }
        for name, each in bounds.items()
    }
    return {
        "at": n_answers,
        "unit": "nats",
        "n_contrasts": n_contrasts,
        "most": round(n_answers * math.log(n_outcomes), 4),
        "ceiling": "oracle" if "oracle" in bounds else None,
        "strategies": strategies,
    }


def _over_units(values: Array, worlds: NDArray[np.integer]) -> tuple[float, float]:
    there = ~np.isnan(values)
    several = np.unique(worlds[there]).size > 1
    return mean_and_error(unit_means(values[there], worlds[there]) if several else values[there])


def _linear(differences: Array, margins: Array) -> bool:
    """Whether margins (n_users, n_questions) are those of some coefficients."""
    residuals = []
    for users, features in enumerate(differences) if len(differences) > 1 else [(slice(None), differences[0])]:
        wanted = np.atleast_2d(margins[users]).T
        coefficients, *_ = np.linalg.lstsq(features, wanted, rcond=None)
        residuals.append(np.abs(features @ coefficients - wanted).max(initial=0))
    return bool(max(residuals, default=0.0) <= LINEAR * np.abs(margins).max(initial=0))


def _draw(population: Gaussian, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    return np.asarray(rng.multivariate_normal(population.mean, population.covariance, size=shape, method="eigh"))


def _log_likelihoods(panel: Panel, margins: Array, history: History) -> Array:
    """Of the replies at margins (…, n_users, n_answers); 0 where nothing was asked."""
    outcomes = np.broadcast_to(history.outcomes, margins.shape)
    values = log_likelihood(margins, outcomes, panel.response_model).value
    return np.asarray(np.where(history.rows >= 0, values, 0.0))


def _log_sum(values: Array) -> Array:
    """Log of the sum of exponentials over the first axis."""
    top = values.max(axis=0)
    return np.asarray(top + np.log(np.exp(values - top).sum(axis=0)))
