"""The check on a prior for the starter: what it reads of texts, and how gains over people are counted."""

import numpy as np
import pytest

import prefq
from benchmarks.starter_prior import ANSWERED, REPLIES, SHIPPED, SPREAD, priors_of, standard_statistics, summary
from prefq.inference.likelihood import sigmoid
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import AFTER, HeldOutCurve
from prefq.rewards.style import StyleRewards


def test_statistics_are_those_that_the_axes_weigh() -> None:
    rewards = prefq.load_rewards("starter")
    assert isinstance(rewards, StyleRewards)
    texts = ["Just chuck it in, mate.", "Kindly consult the manual; furthermore, the documentation is thorough."]
    expected = rewards.features([""] * 2, texts)
    np.testing.assert_allclose(standard_statistics(rewards, texts) @ rewards.weights, expected, atol=1e-6)


def test_gains_are_paired_and_a_person_counts_once_however_often_held_out() -> None:
    told = np.tile(np.array([[0, 5, 10, 10]]), (2, 1))  # nobody gave twenty

    def curve(losses: list[float]) -> HeldOutCurve:
        each = np.tile(np.array(losses)[:, None], (1, len(AFTER)))
        return HeldOutCurve(AFTER, np.array([3, 7]), each, 1 - each, told)

    found = summary({SHIPPED: [curve([0.5, 0.6]), curve([0.7, 0.6])], ANSWERED: [curve([0.4, 0.6]), curve([0.4, 0.5])]})
    assert found["n_people"] == [2, 2, 2, 0]
    # gains: the first .1 and .3, the second 0 and .1; of people .2 and .05
    gain, error = found["gain"][ANSWERED]
    assert gain[:3] == pytest.approx([0.125] * 3)
    assert error[:3] == pytest.approx([0.075] * 3)
    assert found["accuracy_gain"][ANSWERED][0][:3] == pytest.approx([0.125] * 3)
    assert gain[3] is None


def test_each_prior_has_what_its_name_says_of_the_fitted_one() -> None:
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(80, 8))
    tastes = np.array([1.5, *[0.0] * 7]) + rng.normal(size=(30, 8)) * 0.5
    users = np.repeat(np.arange(30, dtype=np.int64), 20)
    pairs = np.array([rng.choice(80, 2, replace=False) for _ in users])
    margins = ((axes[pairs[:, 0]] - axes[pairs[:, 1]]) * tastes[users]).sum(axis=1)
    outcomes = np.where(rng.random(len(users)) < sigmoid(margins), 1, -1).astype(np.int8)
    outcomes[rng.random(len(users)) < 0.3] = 0
    names = tuple(f"u{user:02}" for user in range(30))
    priors = priors_of(GroupComparisons(pairs, outcomes, users, names, np.zeros(80, dtype=np.int64)), axes)
    assert priors[ANSWERED].coefficients.mean[0] > 0.5
    assert not priors[SPREAD].coefficients.mean.any()
    np.testing.assert_allclose(priors[SPREAD].coefficients.covariance, priors[ANSWERED].coefficients.covariance)
    assert priors[REPLIES].response_model == priors[ANSWERED].response_model
    assert priors[ANSWERED].response_model.tie_threshold > 0.3
    assert priors[REPLIES].coefficients == priors[SHIPPED].coefficients
