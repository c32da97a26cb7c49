"""Profiles of people whom a fitted prior does not fit: told so, and the group counts for less."""

from dataclasses import replace

import numpy as np

import prefq
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.surprise import checked_prior
from prefq.profiles.stated_words import answers_alone
from prefq.profiles.summary import UNLIKE_THE_GROUP, taste_sentences

GROUP = prefq.PopulationPrior(
    prefq.Gaussian([3.0, 0.0], 0.3 * np.eye(2)), prefq.FeatureSpace(["warm", "formal"]), n_users=50
)


def pool_of(prior: prefq.PopulationPrior) -> prefq.CandidatePool:
    features = np.random.default_rng(0).normal(size=(40, 2))
    pairs = [[row, row + 1] for row in range(0, 40, 2)]
    return prefq.CandidatePool.from_arrays(features, pairs, feature_space=prior.feature_space, prior=prior)


def answers_by(taste: list[float], pool: prefq.CandidatePool) -> list[prefq.Answer]:
    scores = pool.features @ np.array(taste)
    return [
        prefq.Answer(f"{first}-{second}", "first" if scores[first] > scores[second] else "second")
        for first, second in pool.pairs[:12].tolist()
    ]


def test_the_opposite_of_the_group_is_heard_and_told() -> None:
    pool = pool_of(GROUP)
    answers = answers_by([-3.0, 0.0], pool)
    profile = prefq.fit_profile(pool, answers, user_id="ada")
    alone, _ = fit_posterior_ep(GROUP.coefficients, pool.comparisons(answers))
    assert taste_sentences(profile) == [UNLIKE_THE_GROUP]
    assert profile.coefficients.mean[0] < -0.5 < alone.mean[0]
    assert profile.prior == pool.starting_point()


def test_one_of_the_group_is_not() -> None:
    pool = pool_of(GROUP)
    answers = answers_by([3.0, 0.5], pool)
    profile = prefq.fit_profile(pool, answers, user_id="ada")
    alone, _ = fit_posterior_ep(GROUP.coefficients, pool.comparisons(answers))
    assert taste_sentences(profile) == []
    assert profile.coefficients == alone


def test_what_was_stated_is_no_surprise() -> None:
    pool = pool_of(GROUP)
    stated = prefq.stated_evidence(pool.feature_space, {"warm": -1}, prior=GROUP)
    for answers in ([], answers_by([3.0, 0.5], pool)):
        profile = prefq.fit_profile(pool, answers, user_id="ada", stated=stated)
        assert profile.surprise is None
        assert taste_sentences(profile) == []


def test_answers_alone_of_a_surprising_person_are_those_of_a_person_who_stated_nothing() -> None:
    pool = pool_of(GROUP)
    answers = answers_by([-3.0, 0.0], pool)
    stated = prefq.stated_evidence(pool.feature_space, {"warm": -1, "formal": 0.5}, prior=GROUP)
    profile = prefq.fit_profile(pool, answers, user_id="ada", stated=stated)
    silent = prefq.fit_profile(pool, answers, user_id="ada")
    alone = answers_alone(profile)
    assert taste_sentences(profile) == taste_sentences(alone) == [UNLIKE_THE_GROUP]
    np.testing.assert_allclose(alone.coefficients.weights, silent.coefficients.weights, atol=1e-6)
    np.testing.assert_allclose(alone.coefficients.mean, silent.coefficients.mean, atol=1e-6)
    np.testing.assert_allclose(alone.coefficients.covariance, silent.coefficients.covariance, atol=1e-6)


def test_a_surprise_is_kept_with_the_profile() -> None:
    pool = pool_of(GROUP)
    answers = answers_by([-3.0, 0.0], pool)
    profile = prefq.fit_profile(pool, answers, user_id="ada")
    _, surprise = checked_prior(GROUP, pool.comparisons(answers))
    assert prefq.Profile.from_dict(profile.to_dict()) == profile
    assert prefq.Profile.from_dict(profile.to_dict()).surprise == surprise is not None


def test_questions_are_chosen_by_what_the_profile_believes() -> None:
    pool = pool_of(GROUP)
    surprising, ordinary = answers_by([-3.0, 0.0], pool), answers_by([3.0, 0.5], pool)
    checked, _ = checked_prior(GROUP, pool.comparisons(surprising))
    told = prefq.score_questions(pool, surprising)
    # A prior that comes from no group is not checked again.
    believed = prefq.score_questions(pool, surprising, prior=replace(checked, n_users=0))
    np.testing.assert_allclose(told, believed, rtol=1e-12)
    assert np.abs(told - prefq.score_questions(pool, surprising, prior=replace(GROUP, n_users=0))).max() > 0.01
    people = [surprising[:n] for n in (12, 0, 5, 9)] + [ordinary[:n] for n in (12, 3)]
    alone = [prefq.select_next_question(pool, each, max_questions=20) for each in people]
    assert list(prefq.select_for_users(pool, people, max_questions=20)) == alone
    assert None not in alone
