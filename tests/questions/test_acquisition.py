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
    margin_uncertainty,
    max_norm,
    mixture_information_gain,
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


@pytest.mark.parametrize("model", MODELS)
def test_gain_of_a_mixture_is_the_mutual_information_of_drawn_margins(model: ResponseModel) -> None:
    weights = np.array([0.5, 0.3, 0.2])
    means = np.array([[1.5, 0.2], [-2.0, 0.4], [0.3, -1.0]])
    sds = np.array([[0.8, 1.0], [0.5, 2.0], [0.0, 0.0]])
    # By fine sums over each component, in the Kullback-Leibler form: another road than a difference of entropies.
    gain = mixture_information_gain(weights, means, sds**2, response_model=model)
    for question in range(2):
        draws, shares = [], []
        for weight, mean, sd in zip(weights, means[:, question], sds[:, question], strict=True):
            z = np.linspace(-9, 9, 100_001)
            density = np.exp(-(z**2) / 2)
            draws.append(mean + sd * z)
            shares.append(weight * density / density.sum())
        replies, share = reply_probabilities(np.concatenate(draws), model), np.concatenate(shares)
        marginal = share @ replies
        brute = float((share[:, None] * replies * np.log(replies / marginal)).sum())
        assert gain[question] == pytest.approx(brute, abs=1e-9)


@given(mean=st.floats(-40, 40), sd=st.floats(0, 300), model=models)
def test_a_mixture_of_one_or_of_equals_is_a_gaussian(mean: float, sd: float, model: ResponseModel) -> None:
    alone = information_gain(np.array([mean]), np.array([sd**2]), response_model=model)[0]
    for weights in ([1.0], [0.25, 0.75]):
        means, variances = np.full((len(weights), 1), mean), np.full((len(weights), 1), sd**2)
        gain = mixture_information_gain(np.array(weights), means, variances, response_model=model)[0]
        assert gain == pytest.approx(alone, abs=1e-9)


def test_opposed_groups_make_a_question_worth_asking_that_each_group_is_sure_about() -> None:
    camps = np.array([[4.0, 0.0], [-4.0, 0.0]])
    gain = mixture_information_gain(np.array([0.5, 0.5]), camps, np.full((2, 2), 0.01), response_model=ResponseModel())
    assert gain[0] == pytest.approx(np.log(2) - entropy(np.array([1, np.exp(-4.0)]) / (1 + np.exp(-4.0))), abs=1e-3)
    assert gain[1] < 0.01


def test_weights_may_differ_from_question_to_question() -> None:
    weights, means = np.array([[0.5, 0.9], [0.5, 0.1]]), np.array([[2.0, 2.0], [-2.0, -2.0]])
    variances = np.ones((2, 2))
    both = mixture_information_gain(weights, means, variances, response_model=ResponseModel())
    for question in range(2):
        one = mixture_information_gain(weights[:, question], means, variances, response_model=ResponseModel())
        assert both[question] == one[question]
