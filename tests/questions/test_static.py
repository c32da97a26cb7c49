"""A fixed questionnaire tells what it says it tells, and more than other questionnaires."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError, MismatchError
from prefq.inference.likelihood import reply_probabilities
from prefq.questions import static
from prefq.questions.acquisition import information_gain
from prefq.questions.joint import most_informative_rows
from prefq.questions.static import design_with_info
from prefq.vocabulary import (
    Array,
    Coefficients,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
)

PRIOR = Gaussian([0.7, -0.4], [[2.0, 0.6], [0.6, 1.0]])
CAMPS = GaussianMixture(
    [0.5, 0.5], [Gaussian([2.0, 0.0], np.diag([0.05, 0.3])), Gaussian([-2.0, 0.0], np.diag([0.05, 0.3]))]
)
MODELS = [ResponseModel(), ResponseModel(0.6, 0.2, 0.05)]


def differences(n: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(size=(n, 2)) * 1.3


def told_by(questions: Array, prior: Coefficients, model: ResponseModel) -> float:
    """Mutual information of all replies together and the coefficients, by 40,000 draws and every list of replies."""
    rng = np.random.default_rng(8)
    of = rng.choice(len(prior.weights), p=prior.weights, size=40_000)
    draws = np.stack([rng.multivariate_normal(each.mean, each.covariance, size=40_000) for each in prior.components])
    replies = reply_probabilities(
        draws[of, np.arange(40_000)] @ questions.T, model
    )  # (n_draws, n_questions, n_replies)
    noise = -(replies * np.log(replies)).sum(axis=2).mean(axis=0).sum()
    total = 0.0
    for answers in itertools.product(range(replies.shape[2]), repeat=len(questions)):
        chance = np.prod([replies[:, i, reply] for i, reply in enumerate(answers)], axis=0).mean()
        total -= chance * np.log(chance)
    return float(total - noise)


@pytest.mark.parametrize("model", MODELS)
def test_the_first_question_is_the_most_informative_one(model: ResponseModel) -> None:
    x = differences(60)
    rows, information = most_informative_rows(x, PRIOR, 1, response_model=model)
    mean, variance = x @ PRIOR.mean, np.einsum("ij,jk,ik->i", x, PRIOR.covariance, x)
    gains = information_gain(mean, variance, response_model=model)
    assert gains[rows[0]] == pytest.approx(gains.max(), abs=0.002)
    assert information[0] == pytest.approx(gains[rows[0]], abs=0.005)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prior", [PRIOR, CAMPS], ids=["gaussian", "camps"])
def test_what_it_promises_to_tell_is_what_it_tells(prior: Coefficients, model: ResponseModel) -> None:
    x = differences(60)
    rows, information = most_informative_rows(x, prior, 4, response_model=model)
    assert information.sum() == pytest.approx(told_by(x[rows], prior, model), rel=0.03)


def test_it_tells_more_than_any_of_many_others() -> None:
    x = differences(60)
    rows, _ = most_informative_rows(x, PRIOR, 4, response_model=ResponseModel())
    rng = np.random.default_rng(1)
    others = [told_by(x[rng.choice(60, 4, replace=False)], PRIOR, ResponseModel()) for _ in range(40)]
    assert told_by(x[rows], PRIOR, ResponseModel()) > max(others)


def test_camps_are_told_apart_first() -> None:
    # The second question varies more within each camp, and the first between them.
    x = np.array([[1.0, 0.0], [0.0, 3.0]])
    rows, information = most_informative_rows(x, CAMPS, 2, response_model=ResponseModel())
    assert rows.tolist() == [0, 1]
    within = [
        information_gain(x @ camp.mean, np.square(x) @ np.diag(camp.covariance), response_model=ResponseModel())
        for camp in CAMPS.components
    ]
    assert within[0][1] > within[0][0]
    assert information[0] > 5 * within[0][0]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(MODELS), st.floats(1e-6, 1e6))
def test_neither_order_nor_units_decide(seed: int, model: ResponseModel, unit: float) -> None:
    x, order = differences(30, seed), np.random.default_rng(seed).permutation(30)
    rows, information = most_informative_rows(x, PRIOR, 3, response_model=model)
    prior = Gaussian(PRIOR.mean / unit, PRIOR.covariance / unit**2)
    others, of_others = most_informative_rows(x[order] * unit, prior, 3, response_model=model)
    np.testing.assert_array_equal(order[others], rows)
    np.testing.assert_allclose(of_others, information, rtol=1e-6)


def test_swapped_sides_with_the_bias_negated_tell_the_same() -> None:
    x = differences(30)
    rows, information = most_informative_rows(x, PRIOR, 3, response_model=ResponseModel(0.4, 0.7))
    others, of_others = most_informative_rows(-x, PRIOR, 3, response_model=ResponseModel(0.4, -0.7))
    np.testing.assert_array_equal(others, rows)
    np.testing.assert_allclose(of_others, information, atol=0.02)  # the same people, other replies


def test_what_is_not_open_does_not_come_and_nothing_is_asked_twice() -> None:
    is_open = np.arange(12) % 3 == 0
    rows, information = most_informative_rows(
        differences(12), PRIOR, 6, response_model=ResponseModel(), is_open=is_open
    )
    assert sorted(rows[:4].tolist()) == [0, 3, 6, 9]
    assert rows[4:].tolist() == [-1, -1]
    assert (information[:4] > 0).all()
    assert not information[4:].any()


def pool_of(n_prompts: int, each: int) -> prefq.CandidatePool:
    """Each prompt has four items and some of their pairs."""
    rng = np.random.default_rng(4)
    pairs = [
        (4 * p + i, 4 * p + j) for p in range(n_prompts) for i, j in list(itertools.combinations(range(4), 2))[:each]
    ]
    prompts = [f"Prompt {i // 4}?" for i in range(4 * n_prompts)]
    return prefq.CandidatePool.from_arrays(rng.normal(size=(4 * n_prompts, 3)), pairs, prompts=prompts)


def test_no_prompt_comes_twice_before_all_have_come_once() -> None:
    pool = pool_of(5, 6)
    prompts = [question.prompt for question in prefq.design_questionnaire(pool, n_questions=12)]
    assert len(set(prompts[:5])) == len(set(prompts[5:10])) == 5
    assert len(set(prompts[10:])) == 2


def test_the_seed_turns_sides_and_nothing_else() -> None:
    pool = pool_of(12, 3)
    sheets = [prefq.design_questionnaire(pool, seed=seed) for seed in (0, 1, 1)]
    pairs = [[frozenset(question.id.split("-")) for question in sheet] for sheet in sheets]
    assert pairs[0] == pairs[1]
    assert [each.id for each in sheets[0]] != [each.id for each in sheets[1]]
    assert sheets[1] == sheets[2]


def test_of_a_large_pool_the_thinned_widest_fifth_tells_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    features = rng.normal(size=(2000, 4)) * [1.0, 0.8, 0.6, 0.4]
    pool = prefq.CandidatePool.from_arrays(features, [[i, i + 1000] for i in range(1000)])
    _, whole = design_with_info(pool, n_questions=8)
    monkeypatch.setattr(static, "MOST_CANDIDATES", 150)
    _, thinned = design_with_info(pool, n_questions=8)
    assert thinned.information.sum() > 0.95 * whole.information.sum()


def test_a_prior_that_is_given_counts() -> None:
    pool = pool_of(20, 6)
    one_axis = Gaussian(np.zeros(3), np.diag([4.0, 1e-6, 1e-6]))
    questions, info = design_with_info(pool, prior=one_axis, n_questions=5)
    assert info.prior == pool.starting_point(one_axis).digest()
    spread = np.abs(pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]])[:, 0]
    asked = [abs(pool.features[q.first.item, 0] - pool.features[q.second.item, 0]) for q in questions]
    assert np.mean(asked) > np.quantile(spread, 0.75)


@pytest.mark.parametrize("given", [0, -1, 2.5, "3", True])
def test_a_number_of_questions_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="give a number of at least 1 question"):
        prefq.design_questionnaire(pool_of(2, 1), n_questions=given)  # type: ignore[arg-type]


def test_more_questions_than_the_pool_has_are_refused() -> None:
    with pytest.raises(InputError, match="n_questions is 3 and the pool has 2 questions; ask for that many or fewer"):
        prefq.design_questionnaire(pool_of(2, 1), n_questions=3)


def test_a_prior_of_another_feature_space_is_refused() -> None:
    prior = PopulationPrior(Gaussian(np.zeros(3), np.eye(3)), FeatureSpace(["a", "b", "c"]))
    with pytest.raises(MismatchError, match="the prior belongs to another feature space"):
        prefq.design_questionnaire(pool_of(2, 1), prior=prior, n_questions=1)
