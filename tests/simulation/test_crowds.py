"""Real people in house checks: whose answers take part in what, and what labels of chance are."""

import numpy as np
import pytest

from benchmarks.crowds import (
    Crowd,
    crowd_of_votes,
    exchanged,
    part_of_answers,
    part_of_votes,
    tossed,
)
from benchmarks.real_people import DEFAULT, SHARED, plain_recipe, run_crowd, sentence, worse
from prefq.inference.likelihood import sigmoid
from prefq.rewards.factorization.pref import fit_pref
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import AFTER
from prefq.simulation.votes import Votes

N_PEOPLE, N_ITEMS = 80, 30


def votes_of_camps(seed: int) -> Votes:
    """Two camps that agree on a third of the statements and are opposed on the others; each votes on 24 of 30."""
    rng = np.random.default_rng(seed)
    opinions = rng.normal(size=N_ITEMS) * 2
    camp = np.where(np.arange(N_PEOPLE) % 2, 1, -1)
    common = np.arange(N_ITEMS) < N_ITEMS // 3
    users, items = (
        np.concatenate(parts)
        for parts in zip(*((np.full(24, user), rng.permutation(N_ITEMS)[:24]) for user in range(N_PEOPLE)), strict=True)
    )
    wanted = opinions[items] * np.where(common[items], 1, camp[users])
    values = np.where(rng.random(len(users)) < sigmoid(wanted), 1, -1).astype(np.int8)
    return Votes("camps", users, items, values, tuple(f"u{user:03}" for user in range(N_PEOPLE)), N_ITEMS)


def of_half(n_users: int) -> np.ndarray:
    return np.arange(n_users) < n_users // 2


def test_votes_of_people_held_out_take_no_part_and_tests_are_of_other_statements() -> None:
    votes = votes_of_camps(1)
    part = part_of_votes(votes, of_half(N_PEOPLE), np.random.default_rng(2))
    assert set(part.training.users) == set(range(40, 80))
    assert set(part.held_out.users) <= set(range(40))
    own_votes = {(user, item): value for user, item, value in zip(votes.users, votes.items, votes.values, strict=True)}
    for person, own, tests in zip(part.people, part.own, part.tests, strict=True):
        rows = np.concatenate([own, tests])
        assert set(part.held_out.users[rows]) == {person}
        assert not set(part.held_out.pairs[own].ravel()) & set(part.held_out.pairs[tests].ravel())
        voted = [[own_votes[person, item] for item in pair] for pair in part.held_out.pairs[rows]]
        np.testing.assert_array_equal(
            np.sign([first - second for first, second in voted]), part.held_out.outcomes[rows]
        )
    # one vote tells of one pair of those that are learned from
    told = np.column_stack([np.repeat(part.training.users, 2), part.training.pairs.ravel()])
    assert len(np.unique(told, axis=0)) == len(told)
    # sides are drawn: nobody can learn that the statement agreed with comes first
    assert abs((part.training.outcomes > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(part.training.n_comparisons)


def test_votes_by_chance_keep_how_often_a_person_agrees_and_nothing_else() -> None:
    votes = votes_of_camps(3)
    dealt = exchanged(votes, np.random.default_rng(4))
    for user in range(N_PEOPLE):
        own = votes.users == user
        assert sorted(dealt.values[own]) == sorted(votes.values[own])

    def agreed(of: Votes) -> np.ndarray:
        return np.bincount(of.items, of.values, N_ITEMS) / np.bincount(of.items, minlength=N_ITEMS)

    # what remains is the spread of means of sixty coins
    assert agreed(votes)[: N_ITEMS // 3].std() > 0.5
    assert agreed(dealt).std() < 2 / np.sqrt(60)


def test_a_coin_leaves_no_liking_for_a_side_and_all_ties() -> None:
    outcomes = np.array([1, 1, 1, 0] * 500, dtype=np.int8)  # the first side only
    pairs = np.tile(np.array([[0, 1]]), (2000, 1))
    users = np.arange(2000, dtype=np.int64) % 10
    group = GroupComparisons(pairs, outcomes, users, tuple("abcdefghij"), np.zeros(2, dtype=np.int64))
    found = tossed(group, np.random.default_rng(5)).outcomes
    np.testing.assert_array_equal(found == 0, outcomes == 0)
    assert abs(found.mean()) < 4 * np.sqrt(0.75 / 2000)


def test_of_answers_half_at_most_are_learned_from() -> None:
    users = np.repeat(np.arange(3, dtype=np.int64), [9, 12, 100])
    n = len(users)
    outcomes = np.ones(n, dtype=np.int8)
    group = GroupComparisons(
        np.tile(np.array([[0, 1]]), (n, 1)), outcomes, users, tuple("abc"), np.zeros(2, dtype=np.int64)
    )
    part = part_of_answers(group, np.array([True, True, True]), np.random.default_rng(6))
    assert part.people.tolist() == [1, 2]  # four answers of the first are fewer than the least
    assert [len(rows) for rows in part.own] == [6, 20]
    assert [len(rows) for rows in part.tests] == [6, 80]
    assert not part.training.n_comparisons


@pytest.fixture(scope="module")
def camps() -> Crowd:
    votes = votes_of_camps(7)
    return crowd_of_votes(votes, {"items": np.eye(votes.n_items)})


def test_camps_are_found_in_votes_and_chance_gives_a_half(camps: Crowd) -> None:
    row = run_crowd(camps, "items", {DEFAULT: 2})
    gain, error = row["gain"][DEFAULT]
    assert row["n_people"][0] > 70
    assert abs(gain[0]) < 0.02  # before any answer all that is known is what all have in common
    assert gain[AFTER.index(10)] > 0.05 + 2 * error[AFTER.index(10)]
    assert row["own_over_swapped"]["log_loss"][0][0] > 0.2
    chance = row["by_chance"]
    assert (np.abs(np.array(chance["accuracy"]) - 0.5) < 4 * np.array(chance["error"]) + 0.001).all()
    assert not [each for each in worse(row) if "after 0" not in each]
    text = sentence({"after": list(AFTER), "swapped_at": 10, "rows": [row]})
    assert f"| camps | items | {DEFAULT} |" in text
    assert f"{gain[AFTER.index(10)]:+.4f}" in text
    assert f"| {SHARED} |" in text


def test_worse_by_more_than_its_error_is_said() -> None:
    row = {
        "crowd": "c",
        "read": "text",
        "gain": {"bayes": ([0.01, -0.02, -0.01, 0.0], [0.001, 0.01, 0.02, 0.1])},
        "accuracy_gain": {"bayes": ([0.0, 0.0, 0.0, -0.2], [0.1, 0.1, 0.1, 0.1])},
    }
    assert worse(row) == [
        "bayes on c (text) after 5: -0.0200 ± 0.0100 nats",
        "bayes on c (text) after 20: -0.2000 ± 0.1000 of accuracy",
    ]


def test_the_plain_recipe_is_in_units_of_typical_differences_about_what_all_like() -> None:
    rng = np.random.default_rng(8)
    encodings = rng.normal(size=(60, 4))
    tastes = np.array([1.5, 0, 0, 0]) + rng.normal(size=(40, 4)) * np.array([0.1, 1.5, 0.1, 0.1])
    users = np.repeat(np.arange(40, dtype=np.int64), 30)
    pairs = np.array([rng.choice(60, 2, replace=False) for _ in users])
    margins = ((encodings[pairs[:, 0]] - encodings[pairs[:, 1]]) * tastes[users]).sum(axis=1)
    outcomes = np.where(rng.random(len(users)) < sigmoid(margins), 1, -1).astype(np.int8)
    names = tuple(f"u{user:02}" for user in range(40))
    group = GroupComparisons(pairs, outcomes, users, names, np.zeros(60, dtype=np.int64))
    heads, prior = plain_recipe(encodings, group, 2, np.random.default_rng(9))
    features = group.feature_differences(encodings, heads)
    np.testing.assert_allclose(np.square(features).mean(axis=0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(features[:, 0] @ features[:, 1], 0.0, atol=1e-6)
    common = heads @ prior.coefficients.mean
    found = fit_pref(encodings, group, 2, rng=np.random.default_rng(9))
    np.testing.assert_allclose(common, found.heads @ found.coefficients.mean(axis=0), rtol=1e-5)  # as PReF found it
    assert common[0] / np.linalg.norm(common) > 0.9
    np.testing.assert_array_equal(prior.coefficients.covariance, np.eye(2))
