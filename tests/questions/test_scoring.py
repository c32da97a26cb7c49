"""Rules that need more than mean and variance: against Monte Carlo, by hand, and bad input."""

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.likelihood import reply_probabilities
from prefq.questions.acquisition import expected_absolute, expected_utility_of_best, information_gain
from prefq.questions.margins import PoolMargins
from prefq.questions.scoring import Acquisition, target_variance_on
from prefq.vocabulary import Array, Coefficients, Gaussian, GaussianMixture, PopulationPrior, ResponseModel

BELIEF = Gaussian([0.6, -0.3, 0.2], [[1.5, 0.5, 0.0], [0.5, 0.8, -0.2], [0.0, -0.2, 2.0]])
CAMPS = GaussianMixture([0.6, 0.4], [Gaussian([2, 0, 0], 0.1 * np.eye(3)), Gaussian([-2, 0, 0.5], 0.1 * np.eye(3))])


def small_pool(n_prompts: int = 3, per_prompt: int = 3) -> prefq.CandidatePool:
    features = np.random.default_rng(5).normal(size=(n_prompts * per_prompt, 3))
    starts = [per_prompt * prompt for prompt in range(n_prompts)]
    pairs = [(s + i, s + j) for s in starts for i in range(per_prompt) for j in range(i + 1, per_prompt)]
    codes = [item // per_prompt for item in range(len(features))]
    return prefq.CandidatePool.from_arrays(features, pairs, prompt_ids=codes)


def scores(
    pool: prefq.CandidatePool, belief: Coefficients, rule: Acquisition, model: ResponseModel | None = None
) -> Array:
    prior = PopulationPrior(belief, pool.feature_space, model or ResponseModel())
    return prefq.score_questions(pool, [], prior=prior, acquisition=rule)


def draws_of(belief: Coefficients, n: int = 200_000) -> Array:
    rng = np.random.default_rng(11)
    of = rng.choice(len(belief.weights), size=n, p=belief.weights)
    draws = [rng.multivariate_normal(each.mean, each.covariance, size=n) for each in belief.components]
    return np.stack(draws)[of, np.arange(n)]


@pytest.mark.parametrize("belief", [BELIEF, CAMPS])
def test_expected_utility_of_best_is_the_mean_of_the_larger_drawn_utility(belief: Coefficients) -> None:
    pool = small_pool()
    utilities = draws_of(belief) @ pool.features.T
    above = utilities - utilities.reshape(-1, 3, 3).mean(axis=2).repeat(3, axis=1)  # three items a prompt
    brute = above[:, pool.pairs].max(axis=2).mean(axis=0)
    np.testing.assert_allclose(scores(pool, belief, "expected_utility_of_best"), brute, atol=0.015)


def test_a_shift_of_all_items_of_a_prompt_changes_no_expected_utility() -> None:
    pool = small_pool()
    shifted = np.array(pool.features)
    shifted[:3] += [5.0, -2.0, 1.0]
    other = prefq.CandidatePool.from_arrays(shifted, pool.pairs, prompt_ids=[i // 3 for i in range(9)])
    np.testing.assert_allclose(
        scores(pool, BELIEF, "expected_utility_of_best"), scores(other, BELIEF, "expected_utility_of_best"), atol=1e-12
    )


def test_utilities_of_unlike_pairs_are_those_before_the_noise() -> None:
    pool = small_pool()
    felt = ResponseModel(dissimilarity_noise=0.4, dissimilarity_scales=tuple(pool.feature_scales()))
    noisy = PopulationPrior(BELIEF, pool.feature_space, felt)
    np.testing.assert_allclose(
        prefq.score_questions(pool, [], prior=noisy, acquisition="expected_utility_of_best"),
        scores(pool, BELIEF, "expected_utility_of_best"),
    )


def test_mean_absolute_margin_and_utility_worked_by_hand() -> None:
    # E|m| of N(0, 1) is √(2/π); of a known margin it is the margin's size.
    np.testing.assert_allclose(
        expected_absolute(np.array([0.0, -3.0, 0.0]), np.array([1.0, 0.0, 0.0])), [np.sqrt(2 / np.pi), 3.0, 0.0]
    )
    np.testing.assert_allclose(expected_utility_of_best(np.array([2.0]), np.array([0.5])), [1.5])


@pytest.mark.parametrize("model", [ResponseModel(), ResponseModel(0.5, lapse_rate=0.1)])
def test_target_variance_is_the_fall_of_the_targets_variance_over_drawn_replies(model: ResponseModel) -> None:
    pool, target = small_pool(), np.array([[0.5, 1.0, -1.0]])
    found = scores(pool, BELIEF, target_variance_on(target), model)
    draws = draws_of(BELIEF)
    margins, wanted = draws @ (pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]]).T, draws @ target[0]
    p = 1 / (1 + np.exp(-wanted))
    slope = np.mean(p * (1 - p))  # the target's weight
    for question, score in enumerate(found):
        replies = reply_probabilities(margins[:, question], model)
        chances = replies.mean(axis=0)
        means = (replies * wanted[:, None]).mean(axis=0) / chances
        fall = chances @ (means - wanted.mean()) ** 2
        assert score == pytest.approx(slope**2 * fall, rel=0.05, abs=2e-4)


def test_targets_of_ones_own_choose_what_bears_on_them() -> None:
    pool = prefq.CandidatePool.from_arrays(np.eye(3), [[0, 1], [0, 2], [1, 2]])
    for feature, bearing in ((0, {0, 1}), (2, {1, 2})):
        target = np.zeros((1, 3))
        target[0, feature] = 1.0
        best = int(np.argmax(scores(pool, Gaussian(np.zeros(3), np.eye(3)), target_variance_on(target))))
        assert best in bearing


def test_the_pools_own_questions_are_the_targets_by_default() -> None:
    pool = small_pool()
    own = pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]]
    np.testing.assert_allclose(
        scores(pool, BELIEF, "target_variance"), scores(pool, BELIEF, target_variance_on(own)), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("targets", "message"),
    [([[1.0, 2.0]], "the targets have 2 features and the pool 3"), (np.empty((0, 3)), "there are no targets")],
)
def test_targets_that_do_not_fit_are_refused(targets: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scores(small_pool(), BELIEF, target_variance_on(targets))


def test_information_about_a_mixture_is_exact_over_a_pool_and_other_rules_see_its_moments() -> None:
    pool = small_pool()
    draws = draws_of(CAMPS)
    margins = draws @ (pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]]).T
    p = np.clip(reply_probabilities(margins, ResponseModel()), 1e-12, 1)
    brute = (p * np.log(p / p.mean(axis=0))).sum(axis=-1).mean(axis=0)
    np.testing.assert_allclose(scores(pool, CAMPS, "information_gain"), brute, atol=0.004)
    np.testing.assert_allclose(scores(pool, CAMPS, "max_norm"), margins.var(axis=0), rtol=0.02)
    by_moments = information_gain(margins.mean(axis=0), margins.var(axis=0), response_model=ResponseModel())
    assert np.abs(by_moments - brute).max() > 0.05


def test_opposed_groups_are_found_by_the_first_answer() -> None:
    pool = small_pool(n_prompts=8)
    prior = PopulationPrior(CAMPS, pool.feature_space)
    question = prefq.select_next_question(pool, [], prior=prior)
    assert question is not None
    first, second = pool.features[question.first.item], pool.features[question.second.item]
    choice = "second" if first[0] > second[0] else "first"  # as the camp of 40 % would choose
    posterior, _ = fit_posterior_ep(CAMPS, pool.comparisons([question.answer(choice)]))
    assert posterior.weights[1] > 0.9


def test_a_mixtures_margins_follow_its_answers() -> None:
    pool = small_pool()
    answers = [pool.question("0-1").answer("first"), pool.question("4-3").answer("second")]
    comparisons = pool.comparisons(answers)
    posterior, _ = fit_posterior_ep(CAMPS, comparisons)
    margins = PoolMargins.of(pool, CAMPS, ResponseModel()).under(posterior).all()
    differences = pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]]
    np.testing.assert_allclose(margins.mean, differences @ posterior.mean, atol=1e-10)
    np.testing.assert_allclose(
        margins.variance, np.einsum("ij,jk,ik->i", differences, posterior.covariance, differences), atol=1e-10
    )
