"""Stopping rules: when they speak, and what they say."""

import pytest

from prefq.errors import InputError
from prefq.questions.stopping import any_of, budget, little_left_to_gain
from prefq.vocabulary import Gaussian

BELIEF = Gaussian([0.0], [[1.0]])


def test_budget() -> None:
    assert budget(3)(BELIEF, 2, 1.0) is None
    assert budget(3)(BELIEF, 3, 1.0) == "the budget of 3 questions is used up."


def test_little_left_to_gain() -> None:
    rule = little_left_to_gain(0.05, min_questions=2)
    assert rule(BELIEF, 1, 0.0) is None
    assert rule(BELIEF, 2, 0.05) is None
    assert rule(BELIEF, 2, 0.04) == "the best question left would tell 0.040, less than 0.05."


def test_any_of_gives_the_first_reason() -> None:
    rule = any_of(budget(5), little_left_to_gain(0.05))
    assert rule(BELIEF, 4, 0.2) is None
    assert rule(BELIEF, 5, 0.01) == "the budget of 5 questions is used up."
    assert rule(BELIEF, 4, 0.01) == "the best question left would tell 0.010, less than 0.05."


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="max_questions is 0; give a budget of at least 1 question"):
        budget(0)
