"""Paired comparison of two strategies on the same users: difference, interval, verdict, and users it would take.

Both strategies are measured on the same users of the same worlds, so that what differs between users or worlds cancels.
The unit of inference is the world where there are several, because users of one world share its pool and its prior. On
record, the unit is the part, such as a conversation, where there are several, and else the user.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, ndtri, stdtrit

from prefq.errors import InputError
from prefq.vocabulary import Array

POWER = 0.8  # chance of showing a difference that is there
NO_HARM_MARGIN = 0.01  # nats of log loss: a loss below it counts as no harm
TARGETS = {"log_loss": 0.01, "accuracy": 0.03, "auc": 0.03, "best_of_n": 0.03}  # differences worth finding
SAME = 1e-9  # what is smaller than this is rounding: a difference, or a standard error
EXACT_POWER_BELOW = 500  # units; from here on the normal approximation of the power is within one unit


class PairedDifference(NamedTuple):
    """Strategy minus reference where higher is better, over units that are worlds, parts or users.

    Parameters
    ----------
    estimate
        Mean over units.
    se, low, high
        Standard error and t interval; NaN with fewer than two units.
    n_users, n_worlds, n_units
        Users measured under both, their worlds, and the units of inference.
    users_left_out, worlds_left_out
        Users who have a number under one of the two only, and worlds in which nobody has both.
    """

    estimate: float
    se: float
    low: float
    high: float
    n_users: int
    n_worlds: int
    n_units: int
    users_left_out: int
    worlds_left_out: int

    @property
    def verdict(self) -> str:
        """What the interval says of the strategy: "better", "worse", or "cannot tell".

        Units that all differ by the same, such as two users with a few tasks each, have no interval to go by.
        """
        if not self.se > SAME:
            return "cannot tell"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "cannot tell"

    def no_harm_verdict(self, margin: float = NO_HARM_MARGIN) -> str:
        """What the interval says of a loss: "better", "no harm", "worse" or "cannot tell".

        Parameters
        ----------
        margin
            "No harm" is said when the upper confidence bound of the loss is below this, whatever the estimate; not
            having found a loss is not enough.
        """
        if self.verdict != "better" and self.low > -margin:
            return "no harm"
        return self.verdict

    def users_needed(self, difference: float | None = None, *, power: float = POWER, level: float = 0.05) -> int | None:
        """Users that a two-sided paired t test takes to show a difference, if users vary as these did.

        Where units are worlds or parts: users of as many of this size as it takes.

        Parameters
        ----------
        difference
            To be shown, in the unit of the measure; by default the one that was observed. To show "no harm" where
            there is none takes as many users as to show a difference of the margin.
        power
            Chance of showing it.
        level
            One minus the interval's coverage.

        Returns
        -------
        int or None
            None where it cannot be said: fewer than two units, or no difference to show.
        """
        target = abs(self.estimate if difference is None else difference)
        if self.n_units < 2 or not target >= SAME:
            return None
        sd = self.se * math.sqrt(self.n_units)
        return math.ceil(units_needed(target / sd if sd else math.inf, power=power, level=level) * self._users_each)

    @property
    def _users_each(self) -> float:
        return self.n_users / self.n_units


def paired_difference(
    strategy: Array,
    reference: Array,
    *,
    worlds: NDArray[np.integer],
    users: NDArray[np.integer] | None = None,
    parts: NDArray[np.integer] | None = None,
    level: float = 0.05,
) -> PairedDifference:
    """Strategy minus reference, paired by user.

    The unit is the world (its mean over users) where there are several, with a t interval of n_worlds - 1 degrees of
    freedom; with one world it is the user. Which of these it is depends on all rows, not on those that have both
    numbers: a strategy that was measured in one of several worlds has one unit, and no interval.

    Parameters
    ----------
    strategy, reference : (n,)
        The measure where higher is better, one row a (world, user); NaN where there is none.
    worlds : (n,)
        World of each row.
    users : (n,), optional
        Give it where worlds are repeats over the same people, such as seeds of a replay: rows of one user are then
        averaged, and the unit is the user.
    parts : (n,), optional
        With `users`: what users who share a pool and a prior have in common, such as their conversation. Where there
        are several, users are averaged over each, and the unit is the part.
    level
        One minus the interval's coverage.

    Raises
    ------
    InputError
        For arrays of different lengths, or parts without users.

    Examples
    --------
    >>> found = paired_difference(
    ...     np.array([0.75, 1.0, 0.5]), np.array([0.5, 0.5, 0.5]), worlds=np.zeros(3, dtype=int)
    ... )
    >>> found.estimate, round(found.se, 4), round(found.low, 3), round(found.high, 3), found.verdict
    (0.25, 0.1443, -0.371, 0.871, 'cannot tell')
    """
    given = [each for each in (strategy, reference, worlds, users, parts) if each is not None]
    shapes = {values.shape for values in given}
    if len(shapes) > 1 or strategy.ndim != 1:
        raise InputError(f"arrays of shapes {sorted(shapes)} arrived; give one number a row, in the same rows for all.")
    if parts is not None and users is None:
        raise InputError("parts arrived without users; give users, over whose repeats a part is averaged.")
    there = ~np.isnan(strategy)
    both, either = there & ~np.isnan(reference), there | ~np.isnan(reference)
    n_worlds = np.unique(worlds[both]).size
    # A user is a row, or all rows of one user: what counts is whether the user is measured under both anywhere.
    n_users, n_either = int(both.sum()), int(either.sum())
    if users is not None:
        n_users, n_either = np.unique(users[both]).size, np.unique(users[either]).size
    units = means_of_units(strategy - reference, both, worlds=worlds, users=users, parts=parts)
    estimate, se = mean_and_error(units)
    half = float(stdtrit(units.size - 1, 1 - level / 2)) * se if units.size > 1 else math.nan
    return PairedDifference(
        estimate,
        se,
        estimate - half,
        estimate + half,
        n_users,
        n_worlds,
        units.size,
        n_either - n_users,
        np.unique(worlds[either]).size - n_worlds,
    )


def means_of_units(
    values: Array,
    there: NDArray[np.bool_],
    *,
    worlds: NDArray[np.integer],
    users: NDArray[np.integer] | None = None,
    parts: NDArray[np.integer] | None = None,
) -> Array:
    """Means of the units of inference (n_units, …) of the rows of values (n, …) that are `there` (n,).

    Units are those of `paired_difference`, by all rows.
    """
    if users is None:
        several = np.unique(worlds).size > 1
        return unit_means(values[there], worlds[there]) if several else values[there]
    of_users = unit_means(values[there], users[there])
    if parts is None or np.unique(parts).size == 1:
        return of_users
    _, first = np.unique(users[there], return_index=True)
    return unit_means(of_users, parts[there][first])


def unit_means(values: Array, units: NDArray[np.integer]) -> Array:
    """Mean of the values (n, …) of each unit, in the order of the units' numbers (n,): (n_units, …)."""
    _, place, counts = np.unique(units, return_inverse=True, return_counts=True)
    sums = np.zeros((counts.size, *values.shape[1:]))
    np.add.at(sums, place, values)
    return np.asarray(sums / counts.reshape(-1, *(1,) * (values.ndim - 1)))


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean and its standard error of values (n,); NaN for what too few values do not give."""
    if not values.size:
        return math.nan, math.nan
    error = float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else math.nan
    return float(values.mean()), error


def units_needed(effect: float, *, power: float = POWER, level: float = 0.05) -> int:
    """Units that a two-sided paired t test takes to show an effect with this power.

    Parameters
    ----------
    effect
        Difference in standard deviations of the units' differences, above 0; infinite where they do not vary.
    power
        Chance of a verdict in the right direction.
    level
        Chance of a verdict, in either direction, when there is no difference.

    Returns
    -------
    int
        At least 2: by the noncentral t distribution (Johnson and Welch 1940), for large numbers by the normal.

    Examples
    --------
    >>> units_needed(0.5)  # the table of Cohen (1988) for a paired test
    34
    """
    if not effect > 0:
        raise InputError(f"effect is {effect}; give a number above 0.")
    if math.isinf(effect):
        return 2
    normal = (float(ndtri(1 - level / 2) + ndtri(power)) / effect) ** 2
    if normal >= EXACT_POWER_BELOW:
        return math.ceil(normal + float(ndtri(1 - level / 2)) ** 2 / 2)  # the second term: Guenther 1981
    units = max(math.floor(normal), 2)
    while 1 - nctdtr(units - 1, effect * math.sqrt(units), stdtrit(units - 1, 1 - level / 2)) < power:
        units += 1
    return units
