"""Costs and constraints of selection: by hand over small pools, shares over many people, and bad input."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

import prefq
from prefq.errors import InputError, NotFoundError
from prefq.pool.candidate_pool import Rows
from prefq.questions.acquisition import information_gain
from prefq.questions.balance import Constraint, exposure_limit, topic_quota
from prefq.questions.costs import Cost, costs_of, reading_seconds, words_of_questions
from prefq.questions.selection import select_with_info
from prefq.vocabulary import Answer


def text_pool() -> prefq.CandidatePool:
    """Two prompts of three responses; the second half of the questions is long and a little more informative."""
    features = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [2.1, 0.0], [0.0, 2.1]]
    texts = ["one", "two words", "three words here", *["word " * n for n in (100, 200, 300)]]
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    prompts = ["What now?"] * 3 + ["And then what?"] * 3
    return prefq.CandidatePool.from_arrays(features, pairs, prompts=prompts, responses=texts)


def wide_pool(n_prompts: int = 40, per_prompt: int = 4) -> prefq.CandidatePool:
    features = np.random.default_rng(2).normal(size=(n_prompts * per_prompt, 4))
    pairs = [
        (p * per_prompt + i, p * per_prompt + j)
        for p in range(n_prompts)
        for i in range(per_prompt)
        for j in range(i + 1, per_prompt)
    ]
    ids = [item // per_prompt for item in range(len(features))]
    return prefq.CandidatePool.from_arrays(features, pairs, prompt_ids=ids)


def asked_rows(pool: prefq.CandidatePool, n: int, *, seed: int = 0, constraints: list[Constraint]) -> list[int]:
    answers: list[Answer] = []
    while len(answers) < n:
        question = prefq.select_next_question(pool, answers, seed=seed, max_questions=None, constraints=constraints)
        if question is None:
            break
        answers.append(question.answer("first"))
    return [int(row) for row in pool.asked(answers)[0]]


def test_words_and_seconds_worked_by_hand() -> None:
    pool = text_pool()
    np.testing.assert_array_equal(words_of_questions(pool), [2 + 3, 2 + 4, 2 + 5, 3 + 300, 3 + 400, 3 + 500])
    np.testing.assert_allclose(reading_seconds(pool), words_of_questions(pool) / 4 + 5)  # 240 words are a minute


def test_a_cost_asks_what_tells_most_for_it() -> None:
    pool = text_pool()
    plain, info = select_with_info(pool, [])
    thrifty, per_second = select_with_info(pool, [], cost="reading")
    assert plain is not None
    assert thrifty is not None
    assert min(plain.first.item, plain.second.item) > 2  # of the long prompt, and then of the short one
    assert max(thrifty.first.item, thrifty.second.item) < 3
    scores = prefq.score_questions(pool, [])
    best = int(np.argmax(scores / reading_seconds(pool)))
    assert set(pool.pairs[best].tolist()) == {thrifty.first.item, thrifty.second.item}
    assert per_second.score == pytest.approx(scores[best])  # in nats, so that stopping rules mean the same
    assert info.score == pytest.approx(scores.max())


def test_costs_and_pruning_choose_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = wide_pool()
    costs = np.random.default_rng(0).uniform(1, 20, size=pool.n_questions)
    chosen = []
    for searched in (True, False):
        monkeypatch.setattr("prefq.questions.selection.can_search", lambda rule, how=searched: how)
        answers: list[Answer] = []
        for _ in range(8):
            question = prefq.select_next_question(pool, answers, cost=lambda pool: costs)
            assert question is not None
            answers.append(question.answer("first"))
        chosen.append([answer.question_id for answer in answers])
    assert chosen[0] == chosen[1]


def test_equal_costs_change_nothing() -> None:
    pool = wide_pool()
    for n_answers in range(4):
        answers = [pool.question(f"{4 * i}-{4 * i + 1}").answer("first") for i in range(n_answers)]
        plain = prefq.select_next_question(pool, answers)
        assert prefq.select_next_question(pool, answers, cost=lambda pool: np.full(pool.n_questions, 7.0)) == plain


@pytest.mark.parametrize(
    ("cost", "error", "message"),
    [
        ("money", NotFoundError, "there is no cost 'money'; choose 'reading'"),
        (3, InputError, "cost is 3; give 'reading'"),
        (lambda pool: np.zeros(pool.n_questions), InputError, "one finite number above 0"),
        (lambda pool: np.ones(3), InputError, r"returned shape \(3,\)"),
        ("reading", InputError, "the pool has no texts"),
    ],
)
def test_costs_that_are_none_are_refused(cost: Cost, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prefq.select_next_question(wide_pool(), [], cost=cost)


def test_scores_below_zero_go_with_no_cost() -> None:
    with pytest.raises(InputError, match="scores per cost must not be below 0"):
        prefq.select_next_question(text_pool(), [], cost="reading", acquisition=lambda m, v, *, response_model: -v)
    assert costs_of(text_pool(), "reading").min() > 0


def test_a_topic_quota_holds_and_ends_the_asking() -> None:
    pool = wide_pool(n_prompts=3)
    assert pool.prompt_codes is not None
    rows = asked_rows(pool, 20, constraints=[topic_quota(2)])
    assert Counter(pool.prompt_codes[pool.pairs[rows, 0]].tolist()) == {0: 2, 1: 2, 2: 2}
    answers = [pool.question(f"{a}-{b}").answer("first") for a, b in pool.pairs[rows].tolist()]
    _, info = select_with_info(pool, answers, max_questions=None, constraints=[topic_quota(2)])
    assert info.reason == "the constraints allow no further question of the pool."


def test_topics_of_ones_own_join_prompts() -> None:
    pool = wide_pool(n_prompts=4)
    halves = np.arange(pool.n_items) // 8 * 7  # numbers need not be consecutive
    rows = asked_rows(pool, 20, constraints=[topic_quota(3, topics=halves)])
    assert Counter((halves[pool.pairs[rows, 0]]).tolist()) == {0: 3, 7: 3}


def test_exposure_is_limited_over_people_and_the_same_for_one_person() -> None:
    pool, share = wide_pool(), 0.2
    free = [asked_rows(pool, 3, seed=seed, constraints=[]) for seed in range(2)]
    assert free[0] == free[1]  # without a limit everybody is asked the same
    runs = [asked_rows(pool, 3, seed=seed, constraints=[exposure_limit(share)]) for seed in range(300)]
    most = max(Counter(row for rows in runs for row in rows).values()) / len(runs)
    assert most < share + 3 * np.sqrt(share * (1 - share) / len(runs))
    assert runs[5] == asked_rows(pool, 3, seed=5, constraints=[exposure_limit(share)])


def test_a_limit_costs_little_information() -> None:
    pool = wide_pool()
    best = prefq.score_questions(pool, []).max()
    limited = [select_with_info(pool, [], seed=seed, constraints=[exposure_limit(0.5)])[1].score for seed in range(50)]
    assert np.mean(limited) > 0.9 * best


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: topic_quota(0), "quota of at least 1"),
        (lambda: topic_quota(1, topics=[0.5]), "topics have shape"),
        (lambda: topic_quota(1, topics=[-1, 2]), "topics have shape"),
        (lambda: exposure_limit(0), "give a share of people above 0"),
        (lambda: exposure_limit(1.5), "give a share of people above 0"),
    ],
)
def test_constraints_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=message):
        make()


def test_constraints_that_are_none_are_refused() -> None:
    pool = wide_pool()
    bare = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [(0, 1)])
    with pytest.raises(InputError, match="the pool has no prompts"):
        prefq.select_next_question(bare, [], constraints=[topic_quota(1)])
    with pytest.raises(InputError, match="there are 2 topics for 160 items"):
        prefq.select_next_question(pool, [], constraints=[topic_quota(1, topics=[0, 1])])
    with pytest.raises(InputError, match="constraints hold 'few'"):
        prefq.select_next_question(pool, [], constraints=["few"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="a constraint returned shape"):
        prefq.select_next_question(pool, [], constraints=[lambda pool, asked, *, seed: np.ones(3, dtype=bool)])


def test_a_constraint_of_ones_own_is_obeyed() -> None:
    pool = wide_pool()

    def late_rows(pool: prefq.CandidatePool, asked: Rows, *, seed: int) -> NDArray[np.bool_]:
        return np.arange(pool.n_questions) >= 200

    rows = asked_rows(pool, 4, constraints=[late_rows])
    assert min(rows) >= 200
    gains = prefq.score_questions(pool, [], acquisition=information_gain)
    assert rows[0] == 200 + int(np.argmax(gains[200:]))
