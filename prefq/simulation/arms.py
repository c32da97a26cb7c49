"""Two arms of sessions: how far apart their means are, and how many sessions it takes to see a difference.

A session is the unit that chance assigned to an arm, so its test answers count as one number, their mean: answers of
one session are alike, and to take each for a witness of its own would make the intervals too narrow.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from prefq.errors import InputError
from prefq.vocabulary import Array, real_array, real_number

# In each arm, for a verdict. Welch's interval leans on the normal law and on a variance that was seen: with five
# sessions beside 45 and one test question each, two equal arms were told apart in up to 40 of 100 trials.
LEAST_SESSIONS = 10


class Difference(NamedTuple):
    """A difference of means (first minus second) with its standard error and interval.

    n_first and n_second count sessions. se, low and high are NaN where an arm has fewer than two.
    """

    n_first: int
    n_second: int
    estimate: float
    se: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval says of the first where more is better: "better", "worse", or "cannot tell"."""
        if min(self.n_first, self.n_second) < LEAST_SESSIONS or not self.low < self.high:
            return "cannot tell"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "cannot tell"


class SessionsNeeded(NamedTuple):
    """Sessions in each arm that a difference takes."""

    by_rule: int
    at_random: int


def mean_difference(
    first: ArrayLike, second: ArrayLike, *, least_variance: float = 0.0, level: float = 0.05
) -> Difference:
    """Difference of the means of two arms, with the interval of Welch (1947).

    Parameters
    ----------
    first : (n_first,)
        One number a session, such as the accuracy on its test questions.
    second : (n_second,)
        Of the other arm.
    least_variance
        Variance that a session's number has at least: an arm that happens to vary less is not believed.
    level
        One minus the interval's coverage.

    Raises
    ------
    InputError
        For values that are not finite, a negative variance, or a level outside (0, 1).

    Examples
    --------
    >>> found = mean_difference([0.5, 0.75, 1.0], [0.25, 0.5, 0.75])
    >>> found.estimate, round(found.se, 4), round(found.low, 3), round(found.high, 3)
    (0.25, 0.2041, -0.317, 0.817)
    """
    arms = [real_array(values, name, ndim=1) for values, name in ((first, "first"), (second, "second"))]
    least, level = _not_negative(least_variance, "least_variance"), _chance(level, "level")
    n_first, n_second = (arm.size for arm in arms)
    means = [float(arm.mean()) if arm.size else math.nan for arm in arms]
    estimate = means[0] - means[1]
    if min(n_first, n_second) < 2:
        return Difference(n_first, n_second, estimate, math.nan, math.nan, math.nan)
    squares = [max(float(arm.var(ddof=1)), least) / arm.size for arm in arms]
    se = math.sqrt(sum(squares))
    if se == 0:
        return Difference(n_first, n_second, estimate, se, estimate, estimate)
    freedom = sum(squares) ** 2 / sum(each**2 / (arm.size - 1) for each, arm in zip(squares, arms, strict=True))
    half = float(stdtrit(freedom, 1 - level / 2)) * se
    return Difference(n_first, n_second, estimate, se, estimate - half, estimate + half)


def accuracy_variance(n_tests: ArrayLike, *, accuracy: float = 0.5) -> float:
    """Variance of a session's accuracy if its test answers are independent: p (1 - p) / n, averaged over sessions.

    Answers of one session that are alike make it larger, by the factor 1 + (n - 1) ρ of Kish (1965), ρ being their
    correlation. So at the true accuracy it is a lower bound; at the default, ½, an upper one for independent answers.

    Parameters
    ----------
    n_tests : (n_sessions,)
        Test answers of each session, above 0.
    accuracy
        Chance p that an answer is predicted right.

    Raises
    ------
    InputError
        For no sessions, counts below 1, or an accuracy outside [0, 1].
    """
    counts = real_array(n_tests, "n_tests", ndim=1)
    accuracy = real_number(accuracy, "accuracy")
    if not counts.size or (counts < 1).any() or not 0 <= accuracy <= 1:
        raise InputError(
            f"n_tests are {counts.tolist()} and accuracy is {accuracy}; give counts of at least 1 and a share."
        )
    return float(accuracy * (1 - accuracy) * np.mean(1 / counts))


def shrunk_accuracy(accuracies: ArrayLike, n_tests: ArrayLike) -> float:
    """Accuracy over all sessions with two right and two wrong answers added, so that it is never 0 or 1.

    Agresti and Coull (1998). Its variance is what `mean_difference` is given as the least.

    Parameters
    ----------
    accuracies : (n_sessions,)
        Share of each session's test answers that were predicted right.
    n_tests : (n_sessions,)
        Test answers of each session.
    """
    shares, counts = real_array(accuracies, "accuracies", ndim=1), real_array(n_tests, "n_tests", ndim=1)
    return float((shares @ counts + 2) / (counts.sum() + 4))


def pooled_variance(first: Array, second: Array) -> float:
    """Variance within arms, of sessions about the mean of their arm; NaN where each arm has one session or none."""
    freedom = max(first.size - 1, 0) + max(second.size - 1, 0)
    squares = sum(float(((arm - arm.mean()) ** 2).sum()) for arm in (first, second) if arm.size)
    return squares / freedom if freedom else math.nan


def sessions_needed(
    difference: float, *, variance: float, random_share: float, power: float = 0.8, level: float = 0.05
) -> SessionsNeeded:
    """How many sessions it takes to show a difference of means, by the normal approximation.

    With N sessions of which a share f is asked at random, the difference of means has variance v (1/f + 1/(1 - f)) / N;
    it is shown with the power wanted when N = (z_{1 - level/2} + z_{power})² v (1/f + 1/(1 - f)) / difference².

    Parameters
    ----------
    difference
        To be shown, in the unit of the numbers; 0.03 is three points of accuracy.
    variance
        v, of one session's number within an arm.
    random_share
        f, above 0 and below 1.
    power
        Chance of showing a difference that is there.
    level
        Chance of showing one, in either direction, that is not.

    Raises
    ------
    InputError
        For values out of range.

    Examples
    --------
    >>> sessions_needed(0.03, variance=0.25 / 4, random_share=0.5)
    SessionsNeeded(by_rule=1091, at_random=1091)
    """
    difference, variance = real_number(difference, "difference"), _not_negative(variance, "variance")
    share, power, level = _chance(random_share, "random_share"), _chance(power, "power"), _chance(level, "level")
    if difference <= 0:
        raise InputError(f"difference is {difference}; give a number above 0.")
    quantiles = float(ndtri(1 - level / 2) + ndtri(power))
    total = quantiles**2 * variance * (1 / share + 1 / (1 - share)) / difference**2
    return SessionsNeeded(*(max(math.ceil(total * part), 2) for part in (1 - share, share)))


def _not_negative(value: float, name: str) -> float:
    if (number := real_number(value, name)) < 0:
        raise InputError(f"{name} is {number}; give a number of 0 or more.")
    return number


def _chance(value: float, name: str) -> float:
    if not 0 < (number := real_number(value, name)) < 1:
        raise InputError(f"{name} is {number}; give a number above 0 and below 1.")
    return number
