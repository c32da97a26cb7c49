"""Simulated users reply as often as their response model says."""

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
    with pytest.raises(InputError, match=r"coefficients have shape \(1, 1\); give one finite number a feature"):
        prefq.SimulatedUser([[1.0]])
