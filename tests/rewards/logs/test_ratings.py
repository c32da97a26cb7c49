"""Ratings become comparisons within a person's set, by a rule that leaves nothing to the order of the log."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.errors import InputError
from prefq.rewards.logs import read_comparisons
from prefq.rewards.logs.draws import hashes_of
from prefq.rewards.logs.ratings import (
    EQUAL_RATINGS,
    MOST_PAIRS,
    MOST_RATED,
    OVER_MOST,
    RATED_AGAIN,
    Ratings,
    pairs_of_ratings,
)
from prefq.rewards.logs.report import LeftOut

N_ITEMS = 8
USERS = hashes_of((f"u{n}".encode() for n in range(5)), 0, "user")
ITEMS = hashes_of((f"i{n}".encode() for n in range(N_ITEMS)), 0, "item")

Rated = tuple[int, int, int]  # user, item, rating; items 0-3 and 4-7 are of one prompt each


def ratings_of(rated: list[Rated]) -> Ratings:
    users, items, values = np.array(rated, dtype=np.int64).reshape(-1, 3).T
    return Ratings(users, items // 4, np.zeros_like(items), items, values.astype(np.float64))


@given(
    rated=st.lists(st.tuples(st.integers(0, 4), st.integers(0, N_ITEMS - 1), st.integers(1, 4)), max_size=60),
    ties=st.booleans(),
    most=st.integers(1, 7),
)
def test_pairs_are_those_of_the_rule(rated: list[Rated], ties: bool, most: int) -> None:
    ratings = ratings_of(rated)
    found = pairs_of_ratings(ratings, USERS, ITEMS, equal_ratings="tie" if ties else "drop", most_pairs=most)
    last = {(user, item): row for row, (user, item, _) in enumerate(rated)}
    possible = {
        frozenset((last[one], last[other]))
        for one, other in combinations(last, 2)
        if one[0] == other[0] and one[1] // 4 == other[1] // 4
    }
    equal = {pair for pair in possible if len({rated[row][2] for row in pair}) == 1}
    allowed = possible if ties else possible - equal
    pairs = [frozenset(pair) for pair in zip(found.better.tolist(), found.worse.tolist(), strict=True)]

    assert len(set(pairs)) == len(pairs)
    assert set(pairs) <= allowed
    assert (ratings.values[found.better] >= ratings.values[found.worse]).all()
    set_of = {pair: (rated[min(pair)][0], rated[min(pair)][1] // 4) for pair in allowed}
    expected = {which: min(most, list(set_of.values()).count(which)) for which in set_of.values()}
    assert {which: [set_of[pair] for pair in pairs].count(which) for which in expected} == expected
    by_number = {
        number: {set_of[p] for p, k in zip(pairs, found.sets.tolist(), strict=True) if k == number}
        for number in found.sets.tolist()
    }
    assert all(len(which) == 1 for which in by_number.values()), "a set's comparisons have one number of their own"
    assert len(by_number) == len(expected)
    counts = {reason: n for reason, (n, _) in found.left_out.items()}
    assert counts == {
        RATED_AGAIN: len(rated) - len(last),
        EQUAL_RATINGS: 0 if ties else len(equal),
        OVER_MOST: len(allowed) - len(pairs),
    }


@given(st.permutations([(user, item, item % 3) for user in range(3) for item in range(N_ITEMS)]))
def test_the_order_of_the_log_is_irrelevant(rated: list[Rated]) -> None:
    found = pairs_of_ratings(ratings_of(rated), USERS, ITEMS, most_pairs=2)
    told = {
        (rated[one][0], rated[one][1], rated[other][1]) for one, other in zip(found.better, found.worse, strict=True)
    }
    sorted_found = pairs_of_ratings(ratings_of(sorted(rated)), USERS, ITEMS, most_pairs=2)
    in_order = sorted(rated)
    expected = {
        (in_order[one][0], in_order[one][1], in_order[other][1])
        for one, other in zip(sorted_found.better, sorted_found.worse, strict=True)
    }

    assert told == expected


def test_of_an_enormous_set_pairs_are_still_drawn() -> None:
    n = 3 * MOST_RATED
    items = hashes_of((f"{k}".encode() for k in range(n)), 0, "item")
    one_set = np.zeros(n, dtype=np.int64)
    found = pairs_of_ratings(
        Ratings(one_set, one_set, one_set, np.arange(n), (np.arange(n) % 5).astype(np.float64)), USERS, items
    )

    assert len(found.better) == MOST_PAIRS
    assert (found.better % 5 > found.worse % 5).all()


def rating(user: str, response: str, value: Any, prompt: str = "Well?") -> dict[str, Any]:
    return {"user_id": user, "prompt": prompt, "response": response, "rating": value}


def test_a_log_of_ratings(write: Any) -> None:
    rows = [
        rating("ada", "good", 5),
        rating("ada", "fair", 3),
        rating("ben", "good", 1),
        rating("ada", "poor", "1"),
        rating("ada", "none", "n/a"),
        rating("ada", "else", 9, prompt="Other?"),
    ]
    found = read_comparisons(write(rows), rating_strengths=True)
    group = found.group
    better = np.where(group.outcomes > 0, group.pairs[:, 0], group.pairs[:, 1])
    worse = np.where(group.outcomes > 0, group.pairs[:, 1], group.pairs[:, 0])
    assert group.strengths is not None
    told = {
        (found.responses[int(b)], found.responses[int(w)]): strength
        for b, w, strength in zip(better, worse, group.strengths.tolist(), strict=True)
    }

    assert told == {("good", "fair"): 0.25, ("good", "poor"): 0.5, ("fair", "poor"): 0.25}, "of a range from 1 to 9"
    assert group.tasks is not None
    assert len(set(group.tasks.tolist())) == 1
    assert found.report.dropped == {"a rating that is no finite number": LeftOut(1, "row 5 of log.jsonl")}
    assert found.report.sides_were_drawn


def test_equal_ratings_are_dropped_or_ties(write: Any) -> None:
    log = write([rating("ada", "one", 4), rating("ada", "two", 4)])

    tied = read_comparisons(log, equal_ratings="tie")
    assert tied.group.outcomes.tolist() == [0]
    with pytest.raises(InputError, match=r"no comparison is left of 2 rows of log\.jsonl: 1 equally rated"):
        read_comparisons(log)
    with pytest.raises(InputError, match="most_pairs is 0"):
        read_comparisons(log, most_pairs=0)


def test_a_task_is_a_set_of_its_own(write: Any) -> None:
    rows = [rating("ada", f"{n}", n) | {"task_id": n // 2} for n in range(6)]
    group = read_comparisons(write(rows)).group

    assert sorted(map(sorted, group.pairs.tolist())) == [[0, 1], [2, 3], [4, 5]]
    assert group.tasks is not None
    assert len(set(group.tasks.tolist())) == 3


def test_votes_on_items_of_a_public_set(real_data: Any) -> None:
    folder = real_data / "polis"
    found = read_comparisons(folder / "votes.parquet", items=folder / "items.parquet", columns={"rating": "vote"})

    per_user = np.bincount(found.group.users)
    assert per_user.max() == MOST_PAIRS, "each user is in one conversation"
    assert found.report.n_first / found.report.n_comparisons == pytest.approx(0.5, abs=4 * 0.5 / 20_000**0.5)
