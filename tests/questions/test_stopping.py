"""Stopping rules: when they speak, and what they say."""

from collections.abc import Callable
from typing import Any

import pytest

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool
from prefq.questions.selection import select_next_question
from prefq.questions.stopping import any_of, budget, little_left_to_gain
from prefq.session import SessionSettings
from prefq.vocabulary import Coefficients, Gaussian

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


@pytest.mark.parametrize("given", [0, -1, "3", 2.5, True, None, float("nan")])
@pytest.mark.parametrize("make", [budget, SessionSettings])
def test_a_budget_that_is_none_is_refused_by_rule_and_settings_alike(make: Callable[[Any], Any], given: Any) -> None:
    with pytest.raises(InputError) as caught:
        make(given)
    assert str(caught.value) == f"max_questions is {given!r}; give a budget of at least 1 question."


def test_an_empty_reason_means_go_on() -> None:
    def silent(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        return ""

    assert any_of(silent, budget(1))(BELIEF, 1, 0.0) == "the budget of 1 questions is used up."
    pool = CandidatePool.from_arrays([[0.0], [1.0]], [(0, 1)])
    assert select_next_question(pool, [], stopping=silent) is not None
