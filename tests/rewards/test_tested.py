"""Figures of people held out: what several divisions of each person's answers are, and what they are good for."""

import numpy as np
import pytest

import prefq
from prefq.inference.likelihood import sigmoid
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import held_out_curve
from prefq.rewards.tested import DIVISIONS, Divisions, figures
from prefq.rewards.tested import tested as of_test_people
from prefq.vocabulary import Gaussian, PopulationPrior

PRIOR = PopulationPrior(Gaussian([0.5, 0.0], np.diag([1.0, 4.0])), feature_space=prefq.FeatureSpace(["a", "b"]))
N_PROMPTS = 60


def people(n_users: int, n_answers: int, rng: np.random.Generator) -> tuple[np.ndarray, GroupComparisons]:
    """Features of two responses to each prompt, and people of the prior who compare some of them."""
    features = rng.normal(size=(2 * N_PROMPTS, 2))
    prompts = np.concatenate([rng.permutation(N_PROMPTS)[:n_answers] for _ in range(n_users)])
    users = np.repeat(np.arange(n_users), n_answers)
    tastes = rng.multivariate_normal([0.5, 0.0], np.diag([1.0, 4.0]), size=n_users)
    pairs = np.column_stack([2 * prompts, 2 * prompts + 1])
    margins = ((features[pairs[:, 0]] - features[pairs[:, 1]]) * tastes[users]).sum(axis=1)
    outcomes = np.where(rng.random(len(users)) < sigmoid(margins), 1, -1).astype(np.int8)
    codes = np.repeat(np.arange(N_PROMPTS), 2)
    return features, GroupComparisons(pairs, outcomes, users, tuple(map(str, range(n_users))), codes)


def losses(features: np.ndarray, group: GroupComparisons, seed: int) -> np.ndarray:
    divisions = Divisions.of(group, rng=np.random.default_rng(seed))
    return divisions.curve(group.differences(features), group.outcomes, PRIOR).log_loss


def test_figures_are_means_over_divisions_that_are_drawn_one_after_the_other() -> None:
    features, group = people(7, 30, np.random.default_rng(0))
    divisions = Divisions.of(group, rng=np.random.default_rng(3))
    found = figures(divisions.curve(group.differences(features), group.outcomes, PRIOR), divisions)
    rng, told = np.random.default_rng(3), (group.differences(features), group.outcomes, group.users, PRIOR)
    curves = [held_out_curve(*told, occasions=group.occasions(), rng=rng) for _ in range(DIVISIONS)]
    by_person = np.mean([curve.log_losses for curve in curves], axis=0)
    np.testing.assert_allclose(found["log_loss"], by_person.mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(found["log_loss_error"], by_person.std(axis=0, ddof=1) / np.sqrt(7), rtol=1e-8)
    assert found["accuracy"] == pytest.approx(np.mean([curve.accuracy for curve in curves], axis=0))
    assert (found["n_people"], found["n_divisions"]) == (7, DIVISIONS)
    assert found["told"] == [0, 5, 10, 15]  # half of thirty


def test_figures_of_a_few_people_hardly_depend_on_the_draw() -> None:
    features, group = people(9, 30, np.random.default_rng(1))
    occasions = group.occasions()
    told = group.differences(features), group.outcomes, group.users, PRIOR
    once = [held_out_curve(*told, occasions=occasions, rng=np.random.default_rng(seed)).log_loss for seed in range(12)]
    often = [losses(features, group, seed) for seed in range(12)]
    assert (np.std(often, axis=0) < 0.5 * np.std(once, axis=0)).all()  # a third, were divisions independent
    assert (np.abs(np.mean(often, axis=0) - np.mean(once, axis=0)) < 4 * np.std(once, axis=0) / np.sqrt(12)).all()


def test_many_people_are_divided_less_often() -> None:
    for n_users, n in ((100, 10), (210, 4), (1500, 1)):
        group = GroupComparisons(
            np.tile([0, 1], (n_users, 1)),
            np.ones(n_users, np.int8),
            np.arange(n_users),
            tuple(map(str, range(n_users))),
            np.zeros(2, np.int64),
        )
        assert Divisions.of(group, rng=np.random.default_rng(0)).n == n


def test_of_one_task_others_are_taken_each_time() -> None:
    """Of three responses that were ranked one comparison of three counts in each division, and another in the next."""
    pairs = np.concatenate([3 * number + np.array([[0, 1], [0, 2], [1, 2]]) for number in range(8)])
    tasks = np.repeat(np.arange(8), 3)
    ones = np.ones(24, np.int8)
    group = GroupComparisons(pairs, ones, np.zeros(24, np.int64), ("u",), np.repeat(np.arange(8), 3), tasks=tasks)
    divisions = Divisions.of(group, rng=np.random.default_rng(5))
    assert divisions.people.tolist() == [0] * DIVISIONS
    for own, tests in zip(divisions.own, divisions.tests, strict=True):
        assert sorted(tasks[np.r_[own, tests]]) == list(range(8))
    seen = np.unique(np.concatenate([*divisions.own, *divisions.tests]))
    assert len(seen) > 20  # of 24: one is passed over ten times with a chance of .017


def test_nobody_to_test_is_said_by_none() -> None:
    features, group = people(5, 30, np.random.default_rng(2))
    few = group.of_rows(np.unique(group.users, return_index=True)[1])  # an answer each
    assert of_test_people(features, np.eye(2), PRIOR, group, few, 0) is None
    found = of_test_people(features, np.eye(2), PRIOR, group, group, 0)
    assert found is not None
    gain = found["shared_log_loss"] - np.array(found["log_loss"])
    np.testing.assert_allclose(found["gain_over_shared"], gain, atol=1e-12)
