"""The response model's likelihood: hand-worked values, finite differences and symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.inference.likelihood import Felt, log_likelihood, log_sigmoid, reply_probabilities, sigmoid
from prefq.vocabulary import Comparisons, ResponseModel

MARGINS = np.array([-30.0, -3.0, -0.4, 0.0, 0.7, 2.0, 25.0])
MODELS = [
    ResponseModel(),
    ResponseModel(tie_threshold=0.5),
    ResponseModel(tie_threshold=1.3, position_bias=0.4),
    ResponseModel(lapse_rate=0.1),
    ResponseModel(tie_threshold=0.5, position_bias=-0.3, lapse_rate=0.05),
    ResponseModel(strength_threshold=0.8),
    ResponseModel(tie_threshold=0.4, position_bias=0.2, lapse_rate=0.05, strength_threshold=1.2),
]
models = st.builds(
    ResponseModel,
    tie_threshold=st.floats(0, 3),
    position_bias=st.floats(-2, 2),
    lapse_rate=st.one_of(st.just(0.0), st.floats(0.001, 0.5)),
    strength_threshold=st.one_of(st.just(0.0), st.floats(0.01, 4)),
)


def outcomes_like(margins: np.ndarray, outcome: int) -> np.ndarray:
    return np.full(margins.shape, outcome, dtype=np.int8)


def test_sigmoid_is_exact_in_both_tails() -> None:
    x = np.array([-800.0, -40.0, 0.0, 40.0, 800.0])
    assert log_sigmoid(x)[0] == -800.0
    assert log_sigmoid(x)[3] == pytest.approx(-np.exp(-40.0), rel=1e-12)
    assert sigmoid(x)[2] == 0.5
    assert sigmoid(x).tolist()[0] == 0.0


def test_probabilities_worked_by_hand() -> None:
    # Rao and Kupper 1967 with worths e^m and 1 and θ = e^τ: first = e^m / (e^m + θ), second = 1 / (1 + θ e^m).
    model = ResponseModel(tie_threshold=np.log(2.0))
    first, tie, second = reply_probabilities(np.array([np.log(3.0)]), model)[0]
    assert first == pytest.approx(3 / 5)
    assert second == pytest.approx(1 / 7)
    assert tie == pytest.approx(1 - 3 / 5 - 1 / 7)


def test_position_bias_moves_toward_the_first_side() -> None:
    first, second = reply_probabilities(np.array([0.0]), ResponseModel(position_bias=np.log(3.0)))[0]
    assert (first, second) == pytest.approx((0.75, 0.25))


def test_lapse_mixes_in_a_random_reply() -> None:
    certain = reply_probabilities(np.array([60.0]), ResponseModel(tie_threshold=0.5, lapse_rate=0.3))[0]
    assert certain == pytest.approx([0.7 + 0.1, 0.1, 0.1])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("outcome", [3, 2, 1, 0, -1, -2, -3])
def test_derivatives_agree_with_finite_differences(model: ResponseModel, outcome: int) -> None:
    margins, step = MARGINS[1:-1], 1e-4
    at, up, down = (
        log_likelihood(margins + shift, outcomes_like(margins, outcome), model) for shift in (0.0, step, -step)
    )
    # Central differences: truncation error of order step² = 1e-8, round-off of order 1e-16 / step² = 1e-8.
    np.testing.assert_allclose(at.first, (up.value - down.value) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(at.second, (up.value - 2 * at.value + down.value) / step**2, atol=1e-6)


@given(model=models, margin=st.floats(-30, 30))
def test_likelihood_and_probabilities_are_the_same_model(model: ResponseModel, margin: float) -> None:
    at = np.array([margin])
    probabilities = reply_probabilities(at, model)[0]
    values = [log_likelihood(at, outcomes_like(at, outcome), model).value[0] for outcome in model.outcomes]
    np.testing.assert_allclose(np.exp(values), probabilities, rtol=1e-9, atol=1e-300)


@given(model=models, margin=st.floats(-50, 50))
def test_probabilities_sum_to_one(model: ResponseModel, margin: float) -> None:
    probabilities = reply_probabilities(np.array([margin]), model)
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


@given(model=models, margin=st.floats(-50, 50), outcome=st.sampled_from([1, 0, -1]))
def test_swapping_sides_changes_nothing(model: ResponseModel, margin: float, outcome: int) -> None:
    swapped = ResponseModel(model.tie_threshold, -model.position_bias, model.lapse_rate)
    one = log_likelihood(np.array([margin]), np.array([outcome], dtype=np.int8), model)
    other = log_likelihood(np.array([-margin]), np.array([-outcome], dtype=np.int8), swapped)
    np.testing.assert_allclose(one.value, other.value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(one.first, -other.first, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.second, other.second, rtol=1e-9, atol=1e-12)


@given(margin=st.floats(-20, 20))
def test_a_tie_without_threshold_is_a_preference_each_way(margin: float) -> None:
    at = np.array([margin])
    tie, first, second = (log_likelihood(at, outcomes_like(at, o), ResponseModel()) for o in (0, 1, -1))
    np.testing.assert_allclose(tie.value, first.value + second.value)
    np.testing.assert_allclose(tie.first, first.first + second.first, atol=1e-15)
    np.testing.assert_allclose(tie.second, first.second + second.second)


def test_a_tie_without_threshold_is_the_limit_of_a_small_threshold() -> None:
    tiny = ResponseModel(tie_threshold=1e-7)
    limit = log_likelihood(MARGINS, outcomes_like(MARGINS, 0), ResponseModel())
    near = log_likelihood(MARGINS, outcomes_like(MARGINS, 0), tiny)
    np.testing.assert_allclose(near.value - near.value[3], limit.value - limit.value[3], atol=1e-6)
    np.testing.assert_allclose(near.first, limit.first, atol=1e-6)


def test_a_tie_carries_up_to_twice_the_curvature_of_a_preference() -> None:
    at = np.array([0.0])
    model = ResponseModel(tie_threshold=0.5)
    assert -log_likelihood(at, outcomes_like(at, 0), model).second[0] == pytest.approx(0.470, abs=5e-4)
    assert -log_likelihood(at, outcomes_like(at, 1), ResponseModel()).second[0] == pytest.approx(0.25)


def test_lapses_break_log_concavity_where_the_maths_says() -> None:
    at = np.array([-1.0, -3.0])
    second = log_likelihood(at, outcomes_like(at, 1), ResponseModel(lapse_rate=0.02)).second
    assert second[0] < 0 < second[1]


def test_mixed_outcomes_at_zero_threshold_are_each_their_own() -> None:
    margins = np.array([0.3, 0.3, 0.3])
    mixed = log_likelihood(margins, np.array([1, 0, -1], dtype=np.int8), ResponseModel())
    assert mixed.value[1] == pytest.approx(mixed.value[0] + mixed.value[2])
    assert mixed.value[0] == pytest.approx(float(np.log(1 / (1 + np.exp(-0.3)))))


@given(model=models, margin=st.floats(-20, 20))
def test_slight_and_clear_preferences_make_up_the_preference(model: ResponseModel, margin: float) -> None:
    margins = np.full(2, margin)

    def logs(grade: int) -> np.ndarray:
        return log_likelihood(margins, np.array([grade, -grade], dtype=np.int8), model).value

    if model.strength_threshold == 0:
        assert logs(2).tolist() == logs(3).tolist() == logs(1).tolist()
    else:
        np.testing.assert_allclose(np.logaddexp(logs(2), logs(3)), logs(1), rtol=1e-9, atol=1e-9)


def test_a_clear_preference_worked_by_hand() -> None:
    # σ(m - τ - κ) with m = 1, τ = .25, κ = .75: one half; slight is σ(.75) less that.
    model = ResponseModel(tie_threshold=0.25, strength_threshold=0.75)
    clear, slight = np.exp(log_likelihood(np.ones(2), np.array([3, 2], dtype=np.int8), model).value)
    assert clear == pytest.approx(0.5)
    assert slight == pytest.approx(1 / (1 + np.exp(-0.75)) - 0.5)


def test_answers_are_felt_as_loud_as_they_are_unlike() -> None:
    # Differences 1 and 3 times the scale of one feature: D = 1 counts once, D = 3 counts exp(-.5 · 2).
    model = ResponseModel(dissimilarity_noise=0.5, dissimilarity_scales=(2.0,))
    differences, outcomes = Felt.of(Comparisons([[2.0], [-6.0]], [1, -1], [0.2, np.nan]), model)
    np.testing.assert_allclose(differences, [[2.0], [-6.0 * np.exp(-1.0)]])
    assert outcomes.tolist() == [2, -1]
