"""Ratings of single responses, turned into comparisons within each person's set of responses to one prompt."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.rewards.group import Rows
from prefq.rewards.logs.draws import Hashes, mixed
from prefq.vocabulary import Array

MOST_PAIRS = 10  # comparisons of one set: more say little that these do not, and weigh one person's scale heavily
MOST_RATED = 512  # responses of one set of which pairs are drawn: 130,816 pairs
CHUNK = 1 << 20  # pairs that are made at a time
RATED_AGAIN = "rated again later: the last rating counts"
EQUAL_RATINGS = "equally rated"
OVER_MOST = "more than the most comparisons a set"

EqualRatings = Literal["drop", "tie"]


class Ratings(NamedTuple):
    """Ratings (n,) each: the user, the set within the user (prompt and task), the item, the rating."""

    users: Rows
    prompts: Rows
    tasks: Rows
    items: Rows
    values: Array


class RatedPairs(NamedTuple):
    """Comparisons (n,): rows of both ratings, the better or equal one first; set of each; what was left out.

    `left_out` holds counts, and the row of one rating, by reason.
    """

    better: Rows
    worse: Rows
    sets: Rows
    left_out: Mapping[str, tuple[int, int]]


def pairs_of_ratings(
    ratings: Ratings,
    user_hashes: Hashes,
    item_hashes: Hashes,
    *,
    equal_ratings: EqualRatings = "drop",
    most_pairs: int = MOST_PAIRS,
) -> RatedPairs:
    """Compare each two responses that one person rated in one set, a set being one prompt (and one task).

    Unlike ratings are a preference for the higher. Equal ones are left out, or are ties: a scale of few steps says
    "equal" of much that a person would tell apart. Where a set gives more than `most_pairs`, that many are drawn by the
    hashes, so the same whatever else is in the log.

    Parameters
    ----------
    ratings
        In the order of the log: where a person rated an item of a set twice, the last rating counts.
    user_hashes, item_hashes
        A number for each user and item, uniform over 64 bits, from which pairs are drawn.
    equal_ratings
        ``"drop"`` or ``"tie"``.
    most_pairs
        Of one set.

    Returns
    -------
    RatedPairs
    """
    order, starts, n_again = _sets(ratings)
    left_out = {RATED_AGAIN: n_again, EQUAL_RATINGS: (0, 0), OVER_MOST: (0, 0)}
    found: list[tuple[Rows, Rows, Rows]] = [(np.empty(0, np.int64),) * 3]
    draws = mixed(user_hashes[ratings.users], item_hashes[ratings.items])
    for numbers, rated in _equally_large(order, starts, draws):
        upper = np.triu_indices(rated.shape[1], 1)
        one, other = rated[:, upper[0]], rated[:, upper[1]]
        is_equal = ratings.values[one] == ratings.values[other]
        allowed = ~is_equal if equal_ratings == "drop" else np.ones_like(is_equal)
        _count(left_out, EQUAL_RATINGS, ~allowed, one)
        kept = _drawn(mixed(*np.sort([draws[one].ravel(), draws[other].ravel()], axis=0)), allowed, most_pairs)
        _count(left_out, OVER_MOST, allowed & ~kept, one)
        is_better = ratings.values[one] >= ratings.values[other]
        better, worse = np.where(is_better, one, other), np.where(is_better, other, one)
        found.append((better[kept], worse[kept], np.broadcast_to(numbers[:, None], kept.shape)[kept]))
    better, worse, sets = (np.concatenate(each) for each in zip(*found, strict=True))
    in_order = np.lexsort((worse, better, sets))
    return RatedPairs(better[in_order], worse[in_order], sets[in_order], left_out)


def _sets(ratings: Ratings) -> tuple[Rows, Rows, tuple[int, int]]:
    """Rows of ratings set by set, where each set begins, and how many ratings were replaced (and one of these)."""
    order = np.lexsort((ratings.items, ratings.tasks, ratings.prompts, ratings.users))  # stable: the log's order last
    sets = np.stack([ratings.users[order], ratings.prompts[order], ratings.tasks[order]])
    is_new_set = np.r_[True, (np.diff(sets, axis=1) != 0).any(axis=0)][: len(order)]
    is_new_item = is_new_set | np.r_[True, np.diff(ratings.items[order]) != 0][: len(order)]
    is_last = np.r_[is_new_item[1:], True][: len(order)]
    replaced = order[~is_last]
    set_numbers = (np.cumsum(is_new_set) - 1)[is_last]
    starts = np.searchsorted(set_numbers, np.arange(is_new_set.sum() + 1))
    return order[is_last], starts, (len(replaced), int(replaced[0]) if len(replaced) else 0)


def _equally_large(order: Rows, starts: Rows, draws: Hashes) -> Iterator[tuple[Rows, Rows]]:
    """Numbers of sets, and the rows of their ratings (n_sets, size), for sets of one size at a time."""
    sizes = np.diff(starts)
    for size in np.unique(sizes[sizes > 1]).tolist():
        of_size = np.flatnonzero(sizes == size)
        at_once = max(CHUNK // min(size, MOST_RATED) ** 2, 1)
        for begin in range(0, len(of_size), at_once):
            numbers = of_size[begin : begin + at_once]
            rated = order[starts[numbers][:, None] + np.arange(size)]
            if size > MOST_RATED:
                rated = np.take_along_axis(rated, np.argsort(draws[rated], axis=1)[:, :MOST_RATED], axis=1)
            yield numbers, rated


def _drawn(draws: Hashes, allowed: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """Of the allowed pairs (n_sets, n_pairs) at most so many a set: those with the lowest draws."""
    last = np.uint64(np.iinfo(np.uint64).max)
    ranks = np.argsort(np.argsort(np.where(allowed, draws.reshape(allowed.shape), last), axis=1), axis=1)
    return np.asarray(allowed & (ranks < most))


def _count(left_out: dict[str, tuple[int, int]], reason: str, pairs: NDArray[Any], rows: Rows) -> None:
    n_before, row = left_out[reason]
    n_new = int(pairs.sum())
    left_out[reason] = (n_before + n_new, row if n_before or not n_new else int(rows[pairs][0]))
