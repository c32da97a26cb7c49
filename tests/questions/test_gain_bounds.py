"""Bounds of information gain: never below it, and tight where questions are chosen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.questions.acquisition import information_gain, mixture_information_gain
from prefq.questions.gain_bounds import (
    information_gain_bound,
    least_variance_beside_a_point,
    mixture_information_gain_bound,
)
from prefq.vocabulary import ResponseModel

MODELS = [ResponseModel(), ResponseModel(0.6), ResponseModel(0.6, 0.4, 0.05)]
models = st.sampled_from([*MODELS, ResponseModel(lapse_rate=0.2), ResponseModel(3.0, -1.0)])
margins = st.lists(
    st.tuples(st.floats(0.01, 1), st.floats(-60, 60), st.one_of(st.just(0.0), st.floats(0, 3000))),
    min_size=1,
    max_size=4,
)


@given(mean=st.floats(-60, 60), sd=st.floats(0, 3000), model=models)
def test_the_bound_is_never_below_the_gain(mean: float, sd: float, model: ResponseModel) -> None:
    at, spread = np.array([mean]), np.array([sd**2])
    gain = information_gain(at, spread, response_model=model)
    assert information_gain_bound(at, spread, response_model=model)[0] >= gain[0]


@given(components=margins, model=models)
def test_the_bound_of_a_mixture_is_never_below_its_gain(
    components: list[tuple[float, float, float]], model: ResponseModel
) -> None:
    weights, means, sds = np.array(components).T
    weights, means, variances = weights / weights.sum(), means[:, None], sds[:, None] ** 2
    gain = mixture_information_gain(weights, means, variances, response_model=model)
    assert mixture_information_gain_bound(weights, means, variances, response_model=model)[0] >= gain[0]


def test_the_bound_is_tight_where_questions_are_chosen() -> None:
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(scale=3, size=20_000), rng.gamma(1, 3, size=20_000)
    gap = information_gain_bound(mean, variance, response_model=ResponseModel()) - information_gain(
        mean, variance, response_model=ResponseModel()
    )
    assert gap.max() < 0.002


def test_the_bound_of_a_mixture_is_tight_where_questions_are_chosen() -> None:
    rng = np.random.default_rng(0)
    weights, means = rng.dirichlet(np.ones(3)), rng.normal(scale=3, size=(3, 20_000))
    variances = rng.gamma(1, 3, size=(3, 20_000))
    gain = mixture_information_gain(weights, means, variances, response_model=ResponseModel())
    bound = mixture_information_gain_bound(weights, means, variances, response_model=ResponseModel())
    assert (bound - gain).max() < 0.01
    assert (bound - gain)[gain > 0.8 * gain.max()].max() < 0.005


@given(
    share=st.floats(0, 0.999),
    mean=st.floats(-60, 60),
    sd=st.floats(0, 900),
    lapse_rate=st.sampled_from([0.0, 0.2]),
)
def test_beside_a_point_no_smaller_variance_gains_as_much(
    share: float, mean: float, sd: float, lapse_rate: float
) -> None:
    model, weights = ResponseModel(lapse_rate=lapse_rate), np.array([1 - share, share])
    gain = mixture_information_gain(weights, np.array([[mean], [0]]), np.array([[sd**2], [0]]), response_model=model)
    assert least_variance_beside_a_point(float(gain[0]), share, response_model=model) <= sd**2


@pytest.mark.parametrize("share", [0.0, 0.07, 0.2])
def test_beside_a_point_the_least_variance_is_nearly_that_of_a_question_without_a_mean(share: float) -> None:
    model, variance = ResponseModel(), 6.0
    gain = (1 - share) * information_gain(np.zeros(1), np.array([variance]), response_model=model)[0]
    assert 0.95 * variance < least_variance_beside_a_point(float(gain), share, response_model=model) <= variance
