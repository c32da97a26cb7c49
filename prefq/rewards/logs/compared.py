"""Compared: rows of a log as comparisons, whatever they were; sides drawn where the log tells them, each one once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.group import Rows as Numbers
from prefq.rewards.logs.draws import Hashes, keep_order
from prefq.rewards.logs.ratings import EqualRatings, Ratings, pairs_of_ratings
from prefq.rewards.logs.report import LeftOut
from prefq.rewards.logs.rows import Rows
from prefq.vocabulary import Array

REPEATED = "the same user, responses, choice and task as in a row before"


class Compared(NamedTuple):
    """Comparisons (n,): the row that each came from, users, both items, outcomes, and strengths and tasks if any."""

    rows: Numbers
    users: Numbers
    firsts: Numbers
    seconds: Numbers
    outcomes: NDArray[np.int8]
    strengths: Array | None
    tasks: Numbers | None

    def of(self, kept: Numbers) -> "Compared":
        """Some of them."""
        strengths, tasks = self.strengths, self.tasks
        return Compared(
            self.rows[kept],
            self.users[kept],
            self.firsts[kept],
            self.seconds[kept],
            self.outcomes[kept],
            None if strengths is None else strengths[kept],
            None if tasks is None else tasks[kept],
        )


def of_pairs(rows: Rows, largest: float | None) -> tuple[Compared, float | None]:
    """Comparisons of rows that are comparisons, and what their strengths were divided by."""
    strengths, scale = np.asarray(rows.strength), None
    if rows.n_strengths:
        top = float(np.nanmax(strengths))
        if largest is not None and not top <= largest:
            raise InputError(
                f"a strength is {top:g} and the largest is said to be {largest:g}; give the largest "
                "(--largest-strength)."
            )
        scale = largest if largest is not None else top if top > 1 else None
    compared = Compared(
        np.arange(len(rows.user)),
        np.asarray(rows.user),
        np.asarray(rows.first),
        np.asarray(rows.second),
        np.asarray(rows.value).astype(np.int8),
        strengths / (scale or 1) if rows.n_strengths else None,
        rows.tasks(),
    )
    return compared, scale


def of_ratings(
    rows: Rows,
    prompt_codes: Numbers,
    users: Hashes,
    items: Hashes,
    *,
    equal_ratings: EqualRatings,
    most_pairs: int,
    rating_strengths: bool,
) -> tuple[Compared, dict[str, LeftOut]]:
    """Comparisons of rows that are ratings, those of one set with one task number, and what was left out."""
    values, rated = np.asarray(rows.value), np.asarray(rows.first)
    tasks = rows.tasks()
    ratings = Ratings(
        np.asarray(rows.user), prompt_codes[rated], np.zeros_like(rated) if tasks is None else tasks, rated, values
    )
    pairs = pairs_of_ratings(ratings, users, items, equal_ratings=equal_ratings, most_pairs=most_pairs)
    size = values[pairs.better] - values[pairs.worse]
    with np.errstate(invalid="ignore", divide="ignore"):
        strengths = np.where(size > 0, size / np.ptp(values), np.nan) if rating_strengths and len(size) else None
    compared = Compared(
        pairs.better,
        ratings.users[pairs.better],
        rated[pairs.better],
        rated[pairs.worse],
        np.sign(size).astype(np.int8),
        strengths,
        pairs.sets,
    )
    return compared, {reason: LeftOut(n, rows.place(row)) for reason, (n, row) in pairs.left_out.items() if n}


def with_drawn_sides(compared: Compared, users: Hashes, items: Hashes) -> Compared:
    """The same comparisons, each with its sides as a fair draw for this person and pair has them."""
    firsts, seconds = compared.firsts, compared.seconds
    kept = keep_order(users[compared.users], items[firsts], items[seconds])
    return compared._replace(
        firsts=np.where(kept, firsts, seconds),
        seconds=np.where(kept, seconds, firsts),
        outcomes=np.where(kept, compared.outcomes, -compared.outcomes).astype(np.int8),
    )


def without_repeated(compared: Compared, rows: Rows, left_out: dict[str, LeftOut]) -> tuple[Compared, int]:
    """Comparisons of which no two are the same, and how many contradict another of the same user."""
    low = np.minimum(compared.firsts, compared.seconds)
    toward_low = np.where(compared.firsts == low, compared.outcomes, -compared.outcomes)
    pair = (compared.users, low, compared.firsts + compared.seconds - low)
    whole = (*pair, toward_low, *(() if compared.tasks is None else (compared.tasks,)))
    order = np.lexsort(whole[::-1])  # stable: of equal ones the first in the log is kept
    is_new = _changes(whole, order)
    repeated = np.sort(order[~is_new])
    if len(repeated):
        left_out[REPEATED] = LeftOut(len(repeated), rows.place(int(compared.rows[repeated[0]])))
    number = np.cumsum(_changes(pair, order))
    one, other = (np.unique(number[toward_low[order] == outcome]) for outcome in (1, -1))
    return compared.of(np.sort(order[is_new])), len(np.intersect1d(one, other))


def _changes(columns: Sequence[NDArray[Any]], order: Numbers) -> NDArray[np.bool_]:
    """Whether each row, in this order, differs from the one before."""
    found: NDArray[np.bool_] = np.arange(len(order)) == 0
    for column in columns:
        found[1:] |= np.diff(column[order]) != 0
    return found
