"""Integrals over a Gaussian margin: against brute force, limits and symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.inference.likelihood import reply_probabilities
from prefq.inference.predictive import entropy, expected_entropy, predicted_replies, preference_probability
from prefq.vocabulary import ResponseModel

MODELS = [ResponseModel(), ResponseModel(0.5, 0.3, 0.02), ResponseModel(lapse_rate=0.1), ResponseModel(4.0, -1.0)]
MEANS = [0.0, 0.8, -6.0, 30.0]
SDS = [0.0, 0.1, 1.0, 2.99, 3.01, 10.0, 100.0]
GRID = np.linspace(-12, 12, 240_001)


def by_brute_force(values: np.ndarray) -> float:
    """E f(z) for f on the grid: a plain Riemann sum, a hundred times finer than anything it is compared with."""
    density = np.exp(-(GRID**2) / 2)
    return float(density @ values / density.sum())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("sd", SDS)
def test_integrals_agree_with_brute_force(model: ResponseModel, mean: float, sd: float) -> None:
    replies = reply_probabilities(mean + sd * GRID, model)
    at, spread = np.array([mean]), np.array([sd**2])
    expected = [by_brute_force(column) for column in replies.T]
    np.testing.assert_allclose(predicted_replies(at, spread, model)[0], expected, atol=1e-9)
    assert expected_entropy(at, spread, model)[0] == pytest.approx(by_brute_force(entropy(replies)), abs=1e-9)


def test_preference_probability_against_random_draws() -> None:
    draws = np.random.default_rng(5).normal(1.2, 2.5, size=400_000)
    sampled = 1 / (1 + np.exp(-draws))
    error = sampled.std() / np.sqrt(sampled.size)
    assert preference_probability(np.array([1.2]), np.array([2.5**2]))[0] == pytest.approx(
        sampled.mean(), abs=4 * error
    )


@given(mean=st.floats(-50, 50), variance=st.floats(0, 1e4))
def test_preference_probabilities_of_both_sides_sum_to_one(mean: float, variance: float) -> None:
    one = preference_probability(np.array([mean]), np.array([variance]))
    other = preference_probability(np.array([-mean]), np.array([variance]))
    assert one[0] + other[0] == pytest.approx(1, abs=1e-12)


def test_a_known_margin_gives_its_own_probability_and_no_empty_input_fails() -> None:
    np.testing.assert_allclose(preference_probability(np.array([np.log(3)]), np.array([0.0])), [0.75])
    assert preference_probability(np.empty(0), np.empty(0)).shape == (0,)


def test_entropy_of_certainty_is_zero_and_of_a_coin_log_two() -> None:
    np.testing.assert_allclose(entropy(np.array([[1.0, 0.0], [0.5, 0.5]])), [0.0, np.log(2)])
