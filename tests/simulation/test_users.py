"""Simulated users reply as often as their response model says."""

import copy
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.inference.likelihood import reply_probabilities
from prefq.vocabulary import ResponseModel

POOL = prefq.CandidatePool.from_arrays([[0.0, 0.0], [1.0, 0.5]], [(0, 1)])


@pytest.mark.parametrize("model", [ResponseModel(), ResponseModel(0.8, 0.3, 0.1)])
@pytest.mark.parametrize("question_id", ["0-1", "1-0"])
def test_replies_come_with_the_frequencies_of_the_model(model: ResponseModel, question_id: str) -> None:
    user = prefq.SimulatedUser([0.8, -1.0], response_model=model)
    question, rng = POOL.question(question_id), np.random.default_rng(1)
    choices = [user.answer(POOL, question, rng=rng).choice.value for _ in range(4000)]
    margin = 0.3 if question_id == "1-0" else -0.3
    expected = dict(zip(model.outcomes, reply_probabilities(np.array([margin]), model)[0], strict=True))
    for outcome, name in ((1, "first"), (0, "tie"), (-1, "second")):
        p = expected.get(outcome, 0.0)
        error = np.sqrt(p * (1 - p) / 4000)
        assert choices.count(name) / 4000 == pytest.approx(p, abs=4 * error)


def test_the_same_generator_gives_the_same_replies() -> None:
    user = prefq.SimulatedUser([1.0, 1.0])
    question = POOL.question("0-1")
    one, other = (
        [user.answer(POOL, question, rng=rng).choice for _ in range(20)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert one == other


def test_bad_input_has_a_sentence() -> None:
    with pytest.raises(InputError, match="the pool has 2 features and the user 3 coefficients"):
        prefq.SimulatedUser([1.0, 2.0, 3.0]).answer(POOL, POOL.question("0-1"), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("coefficients", "sentence"),
    [
        ([[1.0]], "coefficients has 2 dimension(s), shape (1, 1); expected 1."),
        (["a"], "coefficients cannot be read as numbers; give an array of 1 dimension(s)."),
        ([1j], "coefficients cannot be read as numbers; give an array of 1 dimension(s)."),
        ([[1.0], [1.0, 2.0]], "coefficients cannot be read as numbers; give an array of 1 dimension(s)."),
        ([float("nan")], "coefficients holds NaN or infinite values; every value must be finite."),
        ([], "the user has no coefficients; give one number a feature."),
    ],
)
def test_coefficients_are_a_row_of_numbers(coefficients: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        prefq.SimulatedUser(coefficients)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("model", [3, 0, "plain"])
def test_the_response_model_is_one(model: Any) -> None:
    with pytest.raises(InputError, match=f"response_model is {model!r}; give a value of type ResponseModel"):
        prefq.SimulatedUser([1.0], response_model=model)


def test_a_copy_cannot_be_written_either() -> None:
    user = copy.deepcopy(prefq.SimulatedUser([1.0, 2.0], response_model=ResponseModel(0.3)))
    assert user.coefficients.tolist() == [1.0, 2.0]
    assert user.response_model == ResponseModel(0.3)
    assert not user.coefficients.flags.writeable
