"""Measures against brute force and by hand; a user without tasks gets no number."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prefq.simulation.measures import accuracy, auc, best_of_n, log_loss
from prefq.vocabulary import Array

NAN = float("nan")


def area_by_pairs(scores: Array, truth: Array) -> float:
    """Over all ordered pairs of tasks: chance that i is a win and j a loss, times whether i is scored higher."""
    wins = pairs = 0.0
    for i, j in itertools.permutations(range(len(scores)), 2):
        weight = truth[i] * (1 - truth[j])
        pairs += weight
        wins += weight * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    return wins / pairs if pairs else NAN


@given(
    arrays(np.float64, 7, elements=st.sampled_from([0.1, 0.4, 0.5, 0.9])),
    arrays(np.float64, 7, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
)
def test_auc_counts_pairs(scores: Array, truth: Array) -> None:
    found = auc(scores[None], truth[None])[0]
    assert found == pytest.approx(area_by_pairs(scores, truth), nan_ok=True)
    assert auc(1 - scores[None], 1 - truth[None])[0] == pytest.approx(found, nan_ok=True)  # sides swapped


def test_auc_over_probabilities_is_that_over_replies_weighted() -> None:
    """Ratio of expectations over all replies that these chances can give: wins and pairs are each linear in them."""
    rng = np.random.default_rng(1)
    scores, truth = rng.uniform(size=(2, 6))
    wins = pairs = 0.0
    for replies in itertools.product([0.0, 1.0], repeat=6):
        given_replies = np.array(replies)
        chance = float(np.prod(np.where(given_replies == 1, truth, 1 - truth)))
        n_pairs = given_replies.sum() * (6 - given_replies.sum())
        if n_pairs:
            wins += chance * n_pairs * auc(scores[None], given_replies[None])[0]
            pairs += chance * n_pairs
    assert auc(scores[None], truth[None])[0] == pytest.approx(wins / pairs)


def test_losses_and_accuracies_by_hand() -> None:
    predicted = np.array([[0.8, 0.4, 0.5, 0.3], [0.9, 0.1, 0.2, 0.6]])
    truth = np.array([[1.0, 1.0, 0.0, NAN], [NAN, NAN, NAN, NAN]])
    by_hand = -(np.log(0.8) + np.log(0.4) + np.log(0.5)) / 3
    assert log_loss(predicted, truth) == pytest.approx([by_hand, NAN], nan_ok=True)
    assert accuracy(predicted, truth) == pytest.approx([(1 + 0 + 0.5) / 3, NAN], nan_ok=True)
    assert auc(predicted, truth) == pytest.approx([0.5, NAN], nan_ok=True)


def test_loss_against_probabilities_is_least_at_the_truth() -> None:
    truth = np.array([[0.7, 0.2]])
    entropy = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2) + 0.8 * np.log(0.8)) / 2
    assert log_loss(truth, truth) == pytest.approx([entropy])
    assert log_loss(np.array([[0.6, 0.2]]), truth)[0] > entropy
    assert accuracy(np.array([[0.51, 0.49]]), truth) == pytest.approx([1.0])
    # Where the truth is indifferent nothing can be right or wrong.
    assert accuracy(np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])) == pytest.approx([0.5])


def test_one_sure_error_costs_much_but_not_everything() -> None:
    assert log_loss(np.array([[0.0]]), np.array([[1.0]])) == pytest.approx([12 * np.log(10)])


def test_best_of_n_by_hand() -> None:
    utilities = np.array([[[0.0, 1.0, 5.0], [2.0, 2.0, 8.0]], [[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]])
    scores = np.array([[[0.0, 3.0, 1.0], [0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]])
    share, regret = best_of_n(scores, utilities)
    # Picks 1 (mean 2, best 5) and 8 (mean 4, best 8): (-1 + 4) / (3 + 4). The second user does not care.
    assert share == pytest.approx([3 / 7, NAN], nan_ok=True)
    assert regret == pytest.approx([(4 + 0) / 2, 0])


def test_random_scores_gain_nothing_and_the_utilities_everything() -> None:
    utilities = np.random.default_rng(2).normal(size=(1, 4000, 16))
    share, _ = best_of_n(np.random.default_rng(3).normal(size=utilities.shape), utilities)
    assert share[0] == pytest.approx(0, abs=0.04)  # standard error .009
    share, regret = best_of_n(utilities, utilities)
    assert (share[0], regret[0]) == (1, 0)
