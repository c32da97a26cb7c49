"""Profiles of people whom a fitted prior does not fit: told so, and the group counts for less."""

import numpy as np

import prefq
from prefq.inference.ep import fit_posterior_ep
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
