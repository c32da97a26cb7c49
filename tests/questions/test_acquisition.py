"""Acquisition functions: against brute force in two dimensions, by hand, and their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.inference.likelihood import reply_probabilities
from prefq.inference.predictive import entropy
from prefq.questions.acquisition import (
    ACQUISITIONS,
    AcquisitionFunction,
    d_optimal,
    fisher_information,
    information_gain,
    information_gain_bound,
    margin_uncertainty,
    max_norm,
    pref,
)
from prefq.vocabulary import Array, Gaussian, ResponseModel

BELIEF = Gaussian([0.6, -0.3], [[1.5, 0.5], [0.5, 0.8]])
DIFFERENCES = np.array([[1.0, 0.0], [0.5, -1.0], [2.0, 1.0], [0.1, 0.1], [-1.5, 2.5]])
MODELS = [ResponseModel(), ResponseModel(0.6), ResponseModel(0.6, 0.4, 0.05)]
models = st.sampled_from([*MODELS, ResponseModel(lapse_rate=0.2), ResponseModel(3.0, -1.0)])


def score(function: AcquisitionFunction, model: ResponseModel) -> Array:
    mean = DIFFERENCES @ BELIEF.mean
    variance = np.einsum("ij,jk,ik->i", DIFFERENCES, BELIEF.covariance, DIFFERENCES)
    return function(mean, variance, response_model=model)


@pytest.fixture(scope="module")
def grid() -> tuple[Array, Array]:
    """Coefficients on a 401 × 401 grid over the belief and their weights."""
    axes = [np.linspace(m - 6 * s, m + 6 * s, 401) for m, s in zip(BELIEF.mean, BELIEF.sd, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    centred = points - BELIEF.mean
    weights = np.exp(-np.einsum("ij,jk,ik->i", centred, np.linalg.inv(BELIEF.covariance), centred) / 2)
    return points, weights / weights.sum()


@pytest.mark.parametrize("model", MODELS)
def test_information_gain_is_mutual_information_on_a_grid(grid: tuple[Array, Array], model: ResponseModel) -> None:
    points, weights = grid
    for gain, difference in zip(score(information_gain, model), DIFFERENCES, strict=True):
        replies = reply_probabilities(points @ difference, model)
        # Kullback-Leibler form, another road than H(E p) - E H(p): Σ_y p(y) KL(p(w | y) || p(w)).
        marginal = weights @ replies
        brute = sum(
            float((weights * replies[:, y] * np.log(replies[:, y] / marginal[y])).sum()) for y in range(marginal.size)
        )
        assert gain == pytest.approx(brute, rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_d_optimal_is_the_fall_of_the_log_determinant(model: ResponseModel) -> None:
    for gain, difference in zip(score(d_optimal, model), DIFFERENCES, strict=True):
        curvature = fisher_information(np.array([difference @ BELIEF.mean]), model)[0]
        precision = np.linalg.inv(BELIEF.covariance) + curvature * np.outer(difference, difference)
        before, after = np.linalg.slogdet(BELIEF.covariance)[1], -np.linalg.slogdet(precision)[1]
        assert gain == pytest.approx((before - after) / 2, rel=1e-10)


def test_the_simple_rules_worked_by_hand() -> None:
    mean, variance = np.array([0.0, np.log(3.0)]), np.array([2.0, 4.0])
    model = ResponseModel()
    np.testing.assert_allclose(pref(mean, variance, response_model=model), [2 / 16, 4 * (3 / 16) ** 2])
    np.testing.assert_allclose(max_norm(mean, variance, response_model=model), [2, 4])
    np.testing.assert_allclose(margin_uncertainty(mean, variance, response_model=model), [0, -np.log(3.0)])
    np.testing.assert_allclose(d_optimal(mean, variance, response_model=model), np.log([1.5, 1.75]) / 2)


def test_fisher_information_of_bradley_terry_is_the_slope_of_the_sigmoid() -> None:
    margins = np.array([-2.0, 0.0, 1.0])
    p = 1 / (1 + np.exp(-margins))
    np.testing.assert_allclose(fisher_information(margins, ResponseModel()), p * (1 - p))


@given(mean=st.floats(-40, 40), sd=st.floats(0, 300), model=models)
def test_gain_is_never_negative_and_never_more_than_a_reply_holds(mean: float, sd: float, model: ResponseModel) -> None:
    gain = information_gain(np.array([mean]), np.array([sd**2]), response_model=model)[0]
    assert 0 <= gain <= np.log(len(model.outcomes))


@given(mean=st.floats(-60, 60), sd=st.floats(0, 3000), model=models)
def test_the_bound_is_never_below_the_gain(mean: float, sd: float, model: ResponseModel) -> None:
    at, spread = np.array([mean]), np.array([sd**2])
    gain = information_gain(at, spread, response_model=model)
    assert information_gain_bound(at, spread, response_model=model)[0] >= gain[0]


def test_the_bound_is_tight_where_questions_are_chosen() -> None:
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(scale=3, size=20_000), rng.gamma(1, 3, size=20_000)
    gap = information_gain_bound(mean, variance, response_model=ResponseModel()) - information_gain(
        mean, variance, response_model=ResponseModel()
    )
    assert gap.max() < 0.002


@pytest.mark.parametrize("name", ["information_gain", "d_optimal", "pref", "max_norm"])
def test_a_zero_difference_is_worth_nothing(name: str) -> None:
    for model in MODELS:
        assert ACQUISITIONS[name](np.array([0.0]), np.array([0.0]), response_model=model)[0] == 0


@pytest.mark.parametrize("name", ["information_gain", "d_optimal", "pref", "max_norm"])
def test_more_variance_at_the_same_mean_is_worth_more(name: str) -> None:
    variance = np.linspace(0.1, 9, 20)
    scores = ACQUISITIONS[name](np.full(20, 0.7), variance, response_model=ResponseModel())
    assert (np.diff(scores) > 0).all()


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_a_settled_question_is_worth_less_than_an_open_one(name: str) -> None:
    settled, doubtful = ACQUISITIONS[name](np.array([6.0, 0.0]), np.array([1.0, 1.0]), response_model=ResponseModel())
    assert settled <= doubtful


def test_ties_make_information_gain_count_three_replies() -> None:
    wide = np.array([1e8])
    assert information_gain(np.array([0.0]), wide, response_model=ResponseModel())[0] == pytest.approx(
        np.log(2), abs=1e-3
    )
    assert entropy(np.full((1, 3), 1 / 3))[0] == pytest.approx(np.log(3))
