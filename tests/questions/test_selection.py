"""Selection over a whole pool: the best question by brute force, the rules of asking, determinism, bad input."""

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError, MismatchError, NotFoundError
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.likelihood import reply_probabilities
from prefq.questions import margins as margins_module
from prefq.questions import selection
from prefq.questions.acquisition import ACQUISITIONS, AcquisitionFunction, information_gain, mixture_information_gain
from prefq.questions.hashes import random_order
from prefq.questions.margins import PoolMargins
from prefq.questions.selection import score_questions, select_next_question, select_with_info
from prefq.vocabulary import (
    Answer,
    Array,
    Choice,
    Coefficients,
    FeatureSpace,
    Gaussian,
    PopulationPrior,
    Question,
    ResponseModel,
    parse_question_id,
)


def make_pool(
    n_prompts: int = 12,
    per_prompt: int = 4,
    n_features: int = 3,
    *,
    seed: int = 0,
    dtype: type = np.float64,
    with_prompts: bool = True,
) -> prefq.CandidatePool:
    rng = np.random.default_rng(seed)
    n_items = n_prompts * per_prompt
    pairs = [
        (p * per_prompt + i, p * per_prompt + j)
        for p in range(n_prompts)
        for i in range(per_prompt)
        for j in range(i + 1, per_prompt)
    ]
    ids = [item // per_prompt for item in range(n_items)] if with_prompts else None
    return prefq.CandidatePool.from_arrays(rng.normal(size=(n_items, n_features)).astype(dtype), pairs, prompt_ids=ids)


def play(pool: prefq.CandidatePool, n: int, choices: Sequence[str] = ("first", "second", "tie")) -> list[Answer]:
    answers: list[Answer] = []
    for i in range(n):
        question = select_next_question(pool, answers, max_questions=None)
        assert question is not None
        answers.append(question.answer(choices[i % len(choices)]))
    return answers


def differences_of(pool: prefq.CandidatePool) -> Array:
    wide = pool.features.astype(np.float64)
    return wide[pool.pairs[:, 0]] - wide[pool.pairs[:, 1]]


def pair_of(question: Question) -> frozenset[int]:
    return frozenset((question.first.item, question.second.item))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lapse_rate", [0.0, 0.2])
@pytest.mark.parametrize("n_answers", [0, 1, 3, 9])
def test_margins_equal_the_full_covariance_form(dtype: type, lapse_rate: float, n_answers: int) -> None:
    pool = make_pool(dtype=dtype)
    start = PopulationPrior(
        Gaussian([0.3, -0.2, 1.0], [[2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 3]]),
        pool.feature_space,
        ResponseModel(0.5, 0.2, lapse_rate),
    )
    comparisons = pool.comparisons(play(pool, n_answers))
    posterior, _ = fit_posterior_ep(start.coefficients, comparisons, response_model=start.response_model)
    margins = PoolMargins.of(pool, start.coefficients, start.response_model).under(posterior)
    differences = differences_of(pool)
    direct = np.einsum("ij,jk,ik->i", differences, posterior.covariance, differences)
    for found, rows in ((margins.all(), slice(None)), (margins.at(slice(0, pool.n_questions)), margins.of.order)):
        np.testing.assert_allclose(found.mean, (differences @ posterior.mean)[rows], atol=1e-10)
        np.testing.assert_allclose(found.variance, direct[rows], atol=1e-10)


def test_splitting_the_pool_into_blocks_changes_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = play(make_pool(), 4)
    whole = score_questions(make_pool(), answers)
    monkeypatch.setattr(margins_module, "BLOCK", 7)
    monkeypatch.setattr("prefq.pool.candidate_pool.BLOCK", 5)
    np.testing.assert_allclose(score_questions(make_pool(), answers), whole, rtol=0, atol=1e-13)


def test_two_priors_on_one_pool_do_not_mix() -> None:
    pool = make_pool()
    narrow, wide = Gaussian(np.zeros(3), np.eye(3)), Gaussian(np.zeros(3), 9 * np.eye(3))
    first = score_questions(pool, [], prior=narrow)
    assert (score_questions(pool, [], prior=wide) > first).all()
    np.testing.assert_array_equal(score_questions(pool, [], prior=narrow), first)


def test_the_question_is_the_best_by_brute_force() -> None:
    pool = make_pool(with_prompts=False)
    answers = play(pool, 3)
    start = pool.starting_point()
    posterior, _ = fit_posterior_ep(start.coefficients, pool.comparisons(answers))
    differences = differences_of(pool)
    rng = np.random.default_rng(3)
    draws = np.concatenate(
        [
            rng.multivariate_normal(component.mean, component.covariance, size=round(weight * 40_000))
            for weight, component in zip(posterior.weights, posterior.components, strict=True)
        ]
    )
    p = reply_probabilities(draws @ differences.T, ResponseModel())
    entropies = -(p * np.log(p)).sum(axis=-1).mean(axis=0)
    mean = p.mean(axis=0)
    gains = -(mean * np.log(mean)).sum(axis=-1) - entropies
    asked = {frozenset(map(int, a.question_id.split("-"))) for a in answers}
    best = max((g for g, pair in zip(gains, pool.pairs, strict=True) if frozenset(pair.tolist()) not in asked))
    question, info = select_with_info(pool, answers)
    assert question is not None
    assert info.score == pytest.approx(best, abs=0.01)  # Monte Carlo error of 40,000 draws is below 0.005


@pytest.mark.parametrize("n_prompts", [3, 7])
def test_pruning_keeps_the_prompt_rule(monkeypatch: pytest.MonkeyPatch, n_prompts: int) -> None:
    pool = make_pool(n_prompts=n_prompts, per_prompt=12, n_features=4, seed=n_prompts)
    pruned = [answer.question_id for answer in play(pool, 12)]
    monkeypatch.setattr(selection, "can_search", lambda rule: False)
    assert [answer.question_id for answer in play(pool, 12)] == pruned


def scored_by_rows(scores: list[float]) -> AcquisitionFunction:
    return lambda mean, variance, *, response_model: np.array(scores)


@pytest.mark.parametrize(("fresh", "repeats"), [(8.1, False), (7.9, True), (2.0, True)])
def test_a_fresh_prompt_may_cost_a_fifth_of_the_spread_and_no_more(fresh: float, repeats: bool) -> None:
    # Scores 10 down to 0, so a fifth of the spread is 2. Prompt 0 has rows 0 to 2, prompt 1 rows 3 to 5.
    items = np.arange(6.0)[:, None] ** 2
    pool = prefq.CandidatePool.from_arrays(
        items, [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)], prompt_ids=[0, 0, 0, 1, 1, 1]
    )
    asked = [Answer("0-1", "tie")]
    for shift in (0.0, -100.0):  # only differences count
        score = scored_by_rows([value + shift for value in (0.0, 10.0, 1.0, fresh, 0.5, 0.0)])
        question = select_next_question(pool, asked, acquisition=score)
        assert question is not None
        assert pair_of(question) == ({0, 2} if repeats else {3, 4})


def test_selection_uses_the_response_model_throughout() -> None:
    pool = make_pool(with_prompts=False)
    model = ResponseModel(1.5, 0.8)
    answers = play(pool, 5, ["tie", "first"])
    question, info = select_with_info(pool, answers, response_model=model)
    scores = score_questions(pool, answers, response_model=model)
    start = pool.starting_point()
    posterior, _ = fit_posterior_ep(start.coefficients, pool.comparisons(answers), response_model=model)
    differences = differences_of(pool)
    means = np.stack([differences @ each.mean for each in posterior.components])
    variances = np.stack([np.square(differences @ each.factor).sum(axis=1) for each in posterior.components])
    expected = mixture_information_gain(posterior.weights, means, variances, response_model=model)
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    expected[[pool.question_rows([parse_question_id(a.question_id)])[0] for a in answers]] = -1
    assert question is not None
    assert pair_of(question) == frozenset(pool.pairs[int(expected.argmax())].tolist())
    assert info.score == pytest.approx(expected.max(), abs=1e-9)


@pytest.mark.parametrize("n_answers", [0, 5])
def test_pruning_finds_the_very_same_question(monkeypatch: pytest.MonkeyPatch, n_answers: int) -> None:
    pool = make_pool(n_prompts=400, per_prompt=4, n_features=5)
    answers = play(pool, n_answers)
    question, info = select_with_info(pool, answers)
    monkeypatch.setattr(selection, "can_search", lambda rule: False)
    unpruned, exact = select_with_info(pool, answers)
    assert question == unpruned
    assert info.score == pytest.approx(exact.score, rel=1e-12)


@pytest.mark.parametrize("name", [*ACQUISITIONS, "random"])
def test_no_pair_is_asked_twice_and_prompts_last(name: str) -> None:
    pool = make_pool(n_prompts=5, per_prompt=3)
    answers: list[Answer] = []
    seen: list[frozenset[int]] = []
    while (question := select_next_question(pool, answers, acquisition=name, max_questions=None)) is not None:
        seen.append(pair_of(question))
        answers.append(question.answer(("first", "tie", "skip", "both_bad", "second")[len(seen) % 5]))
    assert len(seen) == len(set(seen)) == pool.n_questions


def test_a_prompt_is_not_repeated_while_others_are_nearly_as_informative() -> None:
    # Three prompts: two with three equally informative pairs, the third with one nearly and two barely informative.
    corners = [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]
    weaker = [[0.0, 0.0], [0.05, 0.0], [0.0, 2.8]]
    pool = prefq.CandidatePool.from_arrays(
        [*corners, *corners, *weaker],
        [(3 * p + i, 3 * p + j) for p in range(3) for i, j in ((0, 1), (0, 2), (1, 2))],
        prompt_ids=[0, 0, 0, 1, 1, 1, 2, 2, 2],
        prior=Gaussian([0.0, 0.0], np.eye(2)),
    )
    prompts = [int(a.question_id.split("-")[0]) // 3 for a in play(pool, 3, ["tie"])]
    assert sorted(prompts) == [0, 1, 2]


def test_a_prompt_is_repeated_when_the_others_are_much_worse() -> None:
    good, poor = [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.02, 0.0], [0.0, 0.02]]
    pool = prefq.CandidatePool.from_arrays(
        [*good, *poor],
        [(3 * p + i, 3 * p + j) for p in range(2) for i, j in ((0, 1), (0, 2), (1, 2))],
        prompt_ids=[0, 0, 0, 1, 1, 1],
        prior=Gaussian([0.0, 0.0], np.eye(2)),
    )
    assert [int(a.question_id.split("-")[0]) // 3 for a in play(pool, 2)] == [0, 0]


def test_the_budget_counts_answers_and_not_skips() -> None:
    pool = make_pool()
    assert select_next_question(pool, play(pool, 3, ["first"]), max_questions=3) is None
    assert select_next_question(pool, play(pool, 3, ["both_bad"]), max_questions=3) is None
    assert select_next_question(pool, play(pool, 3, ["skip"]), max_questions=3) is not None
    _, info = select_with_info(pool, play(pool, 6, ["skip"]), max_questions=3)
    assert info.reason == "6 replies were given, skips included, for a budget of 3 questions."


def test_a_stopping_rule_sees_posterior_count_and_best_score() -> None:
    pool = make_pool()
    answers = play(pool, 3, ["first", "skip"])
    calls: list[tuple[Coefficients, int, float]] = []

    def rule(posterior: Coefficients, n_answers: int, best_score: float) -> str | None:
        calls.append((posterior, n_answers, best_score))
        return "enough." if len(calls) > 1 else None

    question, info = select_with_info(pool, answers, stopping=rule)
    assert question is not None
    assert calls[0][1:] == (2, info.score)
    assert calls[0][0] == fit_posterior_ep(pool.starting_point().coefficients, pool.comparisons(answers))[0]
    nothing, stopped = select_with_info(pool, answers, stopping=rule)
    assert nothing is None
    assert stopped.reason == "enough."


def test_both_bad_and_skip_carry_no_evidence_and_are_not_asked_again() -> None:
    pool = make_pool()
    for choice in ("both_bad", "skip"):
        question = select_next_question(pool, [])
        assert question is not None
        scores = score_questions(pool, [question.answer(choice)])
        np.testing.assert_array_equal(scores, score_questions(pool, []))


@given(seed=st.integers(0, 10**6), order=st.permutations(range(5)))
def test_the_order_of_answers_is_irrelevant(seed: int, order: list[int]) -> None:
    pool = make_pool(seed=seed % 7)
    answers = play(pool, 5)
    assert select_next_question(pool, answers, seed=seed) == select_next_question(
        pool, [answers[i] for i in order], seed=seed
    )


def test_the_same_question_in_another_process() -> None:
    code = (
        "import numpy as np, prefq\n"
        "rng = np.random.default_rng(4)\n"
        "pool = prefq.CandidatePool.from_arrays(rng.normal(size=(40, 3)), [(i, i + 1) for i in range(0, 40, 2)])\n"
        "for name in ('information_gain', 'random'):\n"
        "    answers = []\n"
        "    while (q := prefq.select_next_question(pool, answers, acquisition=name, seed=7)) is not None:\n"
        "        answers.append(q.answer('first'))\n"
        "    print(*[a.question_id for a in answers])\n"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert len(runs.pop().split()) == 20


def test_seed_fixes_sides_and_random_order_and_nothing_else() -> None:
    pool = make_pool(n_prompts=100)
    first = [select_next_question(pool, [], seed=seed) for seed in range(40)]
    assert len({pair_of(q) for q in first if q is not None}) == 1
    shown_low = sum(q.first.item < q.second.item for q in first if q is not None)
    assert 10 <= shown_low <= 30  # a fair coin leaves this range once in 900
    orders = [select_next_question(pool, [], acquisition="random", seed=seed) for seed in range(40)]
    assert len({pair_of(q) for q in orders if q is not None}) > 30


def test_the_random_order_is_uniform() -> None:
    order = random_order(make_pool(n_prompts=2000), seed=3)
    counts, _ = np.histogram(order, bins=20, range=(0, 1))
    expected = order.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 45.3  # chi-squared, 19 degrees of freedom, 0.1 %
    assert np.unique(order).size == order.size


def test_ties_between_scores_go_to_the_lowest_row() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0], [1.0], [2.0], [3.0], [5.0]], [(1, 2), (0, 1), (2, 3)])
    question = select_next_question(pool, [])
    assert question is not None
    assert pair_of(question) == {1, 2}


def test_an_acquisition_function_of_ones_own() -> None:
    pool = make_pool()
    question, info = select_with_info(pool, [], acquisition=lambda mean, variance, *, response_model: -variance)
    variance = PoolMargins.of(pool, pool.starting_point().coefficients, ResponseModel()).at_prior().variance
    assert question is not None
    assert pair_of(question) == frozenset(pool.pairs[int(variance.argmin())].tolist())
    assert info.score == pytest.approx(-variance.min())


@pytest.mark.parametrize(
    "bad",
    [
        lambda m, v, *, response_model: m[:-1],
        lambda m, v, *, response_model: m * np.nan,
        lambda m, v, *, response_model: np.where(v == v.max(), np.inf, m),
        lambda m, v, *, response_model: np.where(v == v.max(), -np.inf, m),
    ],
)
def test_an_acquisition_function_that_returns_nonsense_is_refused(bad: AcquisitionFunction) -> None:
    with pytest.raises(InputError, match=r"the acquisition function returned shape .* for 72 questions"):
        select_next_question(make_pool(), [], acquisition=bad)


def test_precedence_of_prior_and_response_model() -> None:
    pool_prior = Gaussian([1.0, 0.0, 0.0], np.eye(3))
    pool = prefq.CandidatePool.from_arrays(np.eye(3), [(0, 1), (1, 2)], prior=pool_prior)
    assert pool.starting_point().coefficients == pool_prior
    other = PopulationPrior(Gaussian(np.zeros(3), 2 * np.eye(3)), pool.feature_space, ResponseModel(0.7))
    assert pool.starting_point(other) == other
    assert pool.starting_point(other, ResponseModel(0.2)).response_model == ResponseModel(0.2)
    scores = score_questions(pool, [], prior=other, acquisition="max_norm")
    np.testing.assert_allclose(scores, [4.0, 4.0])
    ties = score_questions(pool, [], prior=other)
    plain = score_questions(pool, [], prior=other, response_model=ResponseModel())
    assert (ties != plain).all()


def test_bad_input_has_a_sentence() -> None:
    pool = make_pool()
    asked = play(pool, 1)[0]
    with pytest.raises(NotFoundError, match="there is no acquisition 'best'; choose one of information_gain, "):
        select_next_question(pool, [], acquisition="best")
    with pytest.raises(InputError, match="question '0-47' is not in the pool of 72 questions"):
        select_next_question(pool, [Answer("0-47", Choice.FIRST)])
    first, second = asked.question_id.split("-")
    with pytest.raises(InputError, match="was answered twice; give one answer to each pair"):
        select_next_question(pool, [asked, Answer(f"{second}-{first}", Choice.TIE)])
    with pytest.raises(InputError, match="choice is 'maybe'; give one of 'first', "):
        Answer("0-1", "maybe")
    with pytest.raises(InputError, match="acquisition is None; give a name or a function"):
        select_next_question(pool, [], acquisition=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="answers hold None; give a sequence of Answer"):
        select_next_question(pool, None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="answers hold '0-1'; give a sequence of Answer"):
        score_questions(pool, ["0-1"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="seed is 'x'; give an integer"):
        select_next_question(pool, [], seed="x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="response_model is a dict; give a ResponseModel"):
        select_next_question(pool, [], response_model={})  # type: ignore[arg-type]
    assert select_next_question(pool, iter([asked])) == select_next_question(pool, [asked])
    with pytest.raises(InputError, match="max_questions is 0; give a budget of at least 1"):
        select_next_question(pool, [], max_questions=0)
    stranger = PopulationPrior(Gaussian(np.zeros(3), np.eye(3)), FeatureSpace(("a", "b", "c")))
    with pytest.raises(MismatchError, match="the prior belongs to another feature space"):
        select_next_question(pool, [], prior=stranger)
    with pytest.raises(InputError, match="the prior has 2 coefficients and the pool 3 features"):
        select_next_question(pool, [], prior=Gaussian([0.0, 0.0], np.eye(2)))


def test_an_exhausted_pool_says_so() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [(0, 1)])
    question, info = select_with_info(pool, [Answer("0-1", Choice.FIRST)])
    assert question is None
    assert info.reason == "every question of the pool has been asked."


def test_information_gain_picks_the_question_that_settles_most() -> None:
    # After nine answers on the first feature, the second is what is left to learn.
    features = np.concatenate([np.c_[np.arange(11.0), np.zeros(11)], [[0.0, 1.0]]])
    pool = prefq.CandidatePool.from_arrays(
        features, [*((i, i + 1) for i in range(10)), (0, 11)], prior=Gaussian([0.0, 0.0], 4 * np.eye(2))
    )
    answers = [Answer(f"{i + 1}-{i}", Choice.FIRST) for i in range(9)]
    scores = score_questions(pool, answers)
    assert int(scores.argmax()) == 10
    assert information_gain(np.array([0.0]), np.array([4.0]), response_model=ResponseModel())[0] == pytest.approx(
        scores[10], abs=1e-9
    )


def test_stopping_rules_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="stopping is 'soon'; give a rule"):
        select_next_question(make_pool(), [], stopping="soon")  # type: ignore[arg-type]

    def says_yes(posterior: Coefficients, n_answers: int, best_score: float) -> str | None:
        return True  # type: ignore[return-value]

    with pytest.raises(InputError, match="what the stopping rule returned is True; give a text"):
        select_next_question(make_pool(), [], stopping=says_yes)
