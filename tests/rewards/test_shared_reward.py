"""The one reward for everybody is as sure as people who did not teach it allow."""

import numpy as np
import pytest

from prefq.inference.likelihood import sigmoid
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import curve_of
from prefq.rewards.shared_reward import fit_shared_reward
from prefq.vocabulary import Comparisons

N_DIMS, N_ITEMS = 60, 400


def group_of(tastes: np.ndarray, n_answers: int, rng: np.random.Generator) -> tuple[np.ndarray, GroupComparisons]:
    """Answers of people (n_users, n_dims), as many each."""
    encodings = rng.normal(size=(N_ITEMS, N_DIMS))
    users = np.arange(n_answers, dtype=np.int64) % len(tastes)
    pairs = np.array([rng.choice(N_ITEMS, 2, replace=False) for _ in range(n_answers)])
    margins = ((encodings[pairs[:, 0]] - encodings[pairs[:, 1]]) * tastes[users]).sum(axis=1)
    outcomes = np.where(rng.random(n_answers) < sigmoid(margins), 1, -1).astype(np.int8)
    names = tuple(f"u{user}" for user in range(len(tastes)))
    return encodings, GroupComparisons(pairs, outcomes, users, names, np.zeros(N_ITEMS, dtype=np.int64))


def test_a_head_of_many_dimensions_and_few_answers_is_not_as_sure_as_its_own_answers_make_it() -> None:
    rng = np.random.default_rng(3)
    taste = rng.normal(size=N_DIMS) * 1.5 / np.sqrt(2 * N_DIMS)  # margins of typical size 1.5
    encodings, group = group_of(np.tile(taste, (10, 1)), 700, rng)
    head, prior = fit_shared_reward(encodings, group, rng=np.random.default_rng(4))
    first, second = rng.normal(size=(2, 20_000, N_DIMS))
    chances, margins = sigmoid((first - second) @ taste), (first - second) @ head[:, 0]

    def loss(scale: float) -> float:
        said = sigmoid(scale * margins)
        return float(-(chances * np.log(said) + (1 - chances) * np.log1p(-said)).mean())

    found, scales = float(prior.coefficients.mean[0]), np.linspace(0.05, 3, 60)
    # seven hundred answers tell a scale to about a tenth, which costs a thousandth; heads of folds are weaker than all
    assert loss(found) == pytest.approx(min(map(loss, scales)), abs=0.005)
    # the scale that the answers that taught the head would say is larger
    rows = encodings[group.pairs[:, 0]] - encodings[group.pairs[:, 1]]
    own = [float(np.logaddexp(0, -group.outcomes * scale * (rows @ head[:, 0])).mean()) for scale in scales]
    assert scales[int(np.argmin(own))] > found + 0.2


def test_where_people_have_nothing_in_common_no_harm_is_done() -> None:
    rng = np.random.default_rng(5)
    taste = rng.normal(size=N_DIMS) * 3 / np.sqrt(2 * N_DIMS)
    camps = np.outer(np.where(np.arange(60) % 2, 1, -1), taste)
    encodings, group = group_of(camps, 3000, rng)
    teachers = group.users < 40
    head, prior = fit_shared_reward(encodings, group.of_rows(teachers), rng=np.random.default_rng(6))
    rest = group.of_rows(~teachers)
    people = np.unique(rest.users)
    tests = [np.flatnonzero(rest.users == person) for person in people]
    told = Comparisons(rest.feature_differences(encodings, head), rest.outcomes)
    curve = curve_of(told, prior, people, [rows[:0] for rows in tests], tests, after=(0,))
    assert curve.log_loss[0] < np.log(2) + 0.005


def test_of_two_people_comparisons_are_folded() -> None:
    rng = np.random.default_rng(7)
    taste = rng.normal(size=N_DIMS) * 3 / np.sqrt(2 * N_DIMS)
    encodings, group = group_of(np.tile(taste, (2, 1)), 1500, rng)
    head, prior = fit_shared_reward(encodings, group, rng=np.random.default_rng(8))
    assert np.corrcoef(head[:, 0], taste)[0, 1] > 0.9
    assert prior.coefficients.mean[0] > 0.7
