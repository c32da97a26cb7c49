"""Stopping rules: when they speak, what they say, and that what they promise is kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from prefq.errors import InputError, NotFoundError
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.likelihood import sigmoid
from prefq.pool.candidate_pool import CandidatePool
from prefq.questions.acquisition import information_gain
from prefq.questions.selection import select_next_question, select_with_info
from prefq.questions.stopping import (
    any_of,
    budget,
    information_left,
    little_left_to_gain,
    promised_best,
    promised_wrong,
    settled_best,
    settled_order,
)
from prefq.questions.stopping_names import settled_share, stopping_named, target_pairs
from prefq.settings import SessionSettings
from prefq.vocabulary import Answer, Array, Coefficients, Comparisons, Gaussian, GaussianMixture, ResponseModel

BELIEF = Gaussian([0.0], [[1.0]])
TWO = Gaussian([1.0, -0.5], [[0.6, 0.2], [0.2, 0.9]])
CAMPS = GaussianMixture(
    [0.3, 0.7], [Gaussian([-2.0, 0.0], np.diag([0.3, 0.1])), Gaussian([1.0, 1.0], np.diag([0.4, 0.2]))]
)
POINT = GaussianMixture([0.4, 0.6], [Gaussian([1.0, 0.0], np.zeros((2, 2))), TWO])


def sampled(belief: Coefficients, n: int = 200_000) -> Array:
    rng = np.random.default_rng(3)
    of = rng.choice(len(belief.weights), p=belief.weights, size=n)
    draws = np.stack([rng.multivariate_normal(each.mean, each.covariance, size=n) for each in belief.components])
    return np.asarray(draws[of, np.arange(n)])


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


@pytest.mark.parametrize("belief", [TWO, CAMPS, POINT], ids=["gaussian", "camps", "point"])
def test_promised_wrong_is_the_share_of_draws_on_the_other_side(belief: Coefficients) -> None:
    pairs = np.random.default_rng(1).normal(size=(25, 2))
    first = (sampled(belief) @ pairs.T > 0).mean(axis=0)
    np.testing.assert_allclose(promised_wrong(belief, pairs), np.minimum(first, 1 - first), atol=0.005)


def test_promised_wrong_of_what_is_known_and_of_nothing() -> None:
    known = Gaussian([1.0, 0.0], np.zeros((2, 2)))
    np.testing.assert_array_equal(promised_wrong(known, np.array([[2.0, 1.0], [-1.0, 0.0], [0.0, 1.0]])), [0, 0, 0])


@given(st.integers(0, 1000), st.floats(1e-4, 1e4))
def test_neither_sides_nor_lengths_change_what_is_promised(seed: int, factor: float) -> None:
    pairs = np.random.default_rng(seed).normal(size=(8, 2))
    promised = promised_wrong(CAMPS, pairs)
    np.testing.assert_allclose(promised_wrong(CAMPS, -factor * pairs), promised, atol=1e-9)
    assert (promised <= 0.5).all()


@pytest.mark.parametrize("belief", [TWO, CAMPS], ids=["gaussian", "camps"])
def test_promised_best_is_the_share_of_draws_for_which_the_pick_is_best(belief: Coefficients) -> None:
    sets = np.random.default_rng(2).normal(size=(6, 5, 2))
    scores = np.einsum("sd,nkd->snk", sampled(belief, 50_000), sets)
    picked = np.argmax(sets @ belief.mean, axis=1)
    np.testing.assert_allclose(promised_best(belief, sets), (scores.argmax(axis=2) == picked).mean(axis=0), atol=0.02)


def test_an_order_is_settled_when_enough_of_it_is_expected_to_be_right() -> None:
    pairs = np.array([[1.0]])
    margin = float(norm.ppf(0.9))
    rule = settled_order(pairs, 0.9)
    assert rule(Gaussian([0.99 * margin], [[1.0]]), 5, 1.0) is None
    assert rule(Gaussian([-1.01 * margin], [[1.0]]), 2, 1.0) is None
    told = rule(Gaussian([-1.01 * margin], [[1.0]]), 3, 1.0)
    assert told == "the order is settled: 10% of pairs are expected the wrong way round, 10% may be."


def test_the_best_is_settled_when_it_is_likely_enough_found() -> None:
    sets = np.array([[[1.0], [0.0]]])
    rule = settled_best(sets, 0.8)
    assert rule(Gaussian([0.7], [[1.0]]), 5, 1.0) is None  # found with probability .758
    assert (
        rule(Gaussian([1.5], [[1.0]]), 5, 1.0)
        == "the best is settled: it is found with probability 0.93, 0.8 was asked for."
    )


def test_little_is_left_when_the_next_questions_tell_little() -> None:
    questions = np.random.default_rng(4).normal(size=(40, 2))
    model = ResponseModel()
    mean, variance = questions @ TWO.mean, np.einsum("ij,jk,ik->i", questions, TWO.covariance, questions)
    alone = float(information_gain(mean, variance, response_model=model).max())
    # The best question by itself is what one question ahead is expected to tell; five tell less each.
    just_above, just_below = 1.03 * alone, 0.97 * alone
    assert information_left(questions, model, little=just_above, n_ahead=1)(TWO, 3, 1.0) is not None
    assert information_left(questions, model, little=just_below, n_ahead=1)(TWO, 3, 1.0) is None
    told = information_left(questions, model, little=just_below, n_ahead=5)(TWO, 3, 1.0)
    assert told is not None
    assert told.startswith("little is left to learn: each of the next 5 questions would tell 0.")
    assert information_left(questions, model, little=just_above, n_ahead=1)(TWO, 2, 1.0) is None


def test_what_is_promised_after_chosen_answers_is_kept() -> None:
    # 120 people of a prior, ten chosen questions each: promised and true shares of wrong signs, and at the stop too.
    rng = np.random.default_rng(6)
    prior = Gaussian([0.8, 0.3, 0.0], np.diag([2.0, 1.0, 0.4]))
    items = rng.normal(size=(160, 3)) * 1.3
    pool = CandidatePool.from_arrays(items, [[i, i + 80] for i in range(80)], prior=prior)
    targets, rule = target_pairs(pool), settled_order(target_pairs(pool), 0.85)
    promised, true, stopped = [], [], []
    for _ in range(120):
        taste = rng.multivariate_normal(prior.mean, prior.covariance)
        answers: list[Answer] = []
        wrong: list[float] = []
        while len(answers) < 10:
            question = select_next_question(pool, answers)
            assert question is not None
            margin = float((items[question.first.item] - items[question.second.item]) @ taste)
            answers.append(question.answer("first" if rng.random() < sigmoid(np.array(margin)) else "second"))
            posterior, _ = fit_posterior_ep(prior, pool.comparisons(answers))
            wrong = [
                float(promised_wrong(posterior, targets).mean()),
                float((np.sign(targets @ posterior.mean) != np.sign(targets @ taste)).mean()),
            ]
            if rule(posterior, len(answers), 1.0):
                stopped.append(wrong)
                break
        promised.append(wrong[0])
        true.append(wrong[1])
    error = 3 * np.std(np.subtract(promised, true)) / np.sqrt(120)
    assert len(stopped) > 30
    assert abs(np.mean(promised) - np.mean(true)) < max(0.02, error)
    at_stop = np.array(stopped)
    assert at_stop[:, 0].max() <= 0.15
    assert abs(np.subtract(*at_stop.mean(axis=0))) < 0.02 + 3 * at_stop[:, 1].std() / np.sqrt(len(at_stop))


def test_rules_are_told_by_expectation_propagation() -> None:
    pool = CandidatePool.from_arrays(
        np.random.default_rng(0).normal(size=(20, 2)) * 3, [[i, i + 10] for i in range(10)]
    )
    answers: list[Answer] = []
    for _ in range(4):
        question = select_next_question(pool, answers)
        assert question is not None
        answers.append(question.answer("first"))
    told: list[Coefficients] = []

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        told.append(posterior)
        return None

    select_with_info(pool, answers, stopping=rule)
    comparisons: Comparisons = pool.comparisons(answers)
    expected, _ = fit_posterior_ep(pool.starting_point().coefficients, comparisons)
    np.testing.assert_allclose(told[0].mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(told[0].covariance, expected.covariance, rtol=1e-9)


def test_names_give_the_rules_about_the_pool() -> None:
    pool = CandidatePool.from_arrays(np.random.default_rng(0).normal(size=(600, 2)), [[i, i + 300] for i in range(300)])
    sure_of = Gaussian([5.0, 5.0], np.diag([0.1, 0.1]))
    assert settled_share(pool, sure_of) == pytest.approx(1 - promised_wrong(sure_of, target_pairs(pool)).mean())
    for name, words in (("settled", "the order is settled"), ("little_left", "little is left to learn")):
        told = stopping_named(name, pool, ResponseModel())(Gaussian([5.0, 5.0], np.diag([0.01, 0.01])), 3, 1.0)
        assert told is not None
        assert told.startswith(words)
    with pytest.raises(NotFoundError, match="there is no stopping rule 'soon'; choose one of settled, little_left"):
        stopping_named("soon", pool, ResponseModel())


@pytest.mark.parametrize("sure", [0.5, 1.0, float("nan"), 7, "0.9", True])
def test_a_share_that_is_none_is_refused(sure: Any) -> None:
    with pytest.raises(InputError, match="sure"):
        settled_order(np.eye(2), sure)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: settled_order(np.ones(3)), "targets has 1 dimension"),
        (lambda: settled_best(np.ones((3, 2))), "candidates has 2 dimension"),
        (lambda: information_left(np.full((3, 2), np.nan), ResponseModel()), "differences holds NaN"),
        (
            lambda: information_left(np.eye(2), ResponseModel(), little=0),
            "little is 0.0; give a number of nats above 0",
        ),
        (lambda: information_left(np.eye(2), ResponseModel(), n_ahead=0), "give at least 1 question to look ahead"),
    ],
)
def test_what_a_rule_cannot_use_is_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        make()
