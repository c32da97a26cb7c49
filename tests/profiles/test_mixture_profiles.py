"""Profiles of mixtures: what is told is told of the mixture, and nobody is personalised to nothing."""

from dataclasses import replace

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.inference.predictive import expected_preference
from prefq.profiles.summary import markdown, summarize, system_prompt, taste_sentences
from prefq.vocabulary import Answer, Gaussian, GaussianMixture, PopulationPrior

RNG = np.random.default_rng(8)
FEATURES = RNG.normal(size=(40, 2))
POOL = prefq.CandidatePool.from_arrays(FEATURES, [(2 * i, 2 * i + 1) for i in range(20)], feature_names=["warm", "odd"])
GROUP = np.array([1.5, 0.0])
WITH_NOBODY = PopulationPrior(
    GaussianMixture([0.7, 0.3], [Gaussian(GROUP, np.eye(2)), Gaussian(GROUP, np.zeros((2, 2)))]),
    POOL.feature_space,
    n_users=300,
    impersonal=1,
)


def answers(taste: np.ndarray, n: int = 20) -> list[Answer]:
    """To the first questions, each by its margin."""
    rng = np.random.default_rng(1)
    margins = (FEATURES[0::2] - FEATURES[1::2]) @ taste
    sides = rng.random(20) < 1 / (1 + np.exp(-margins))
    return [Answer(f"{2 * i}-{2 * i + 1}", "first" if sides[i] else "second") for i in range(n)]


def profile_of(weights: list[float], components: list[Gaussian]) -> prefq.Profile:
    mixture = GaussianMixture(weights, components)
    prior = PopulationPrior(Gaussian(np.zeros(2), np.eye(2)), POOL.feature_space)
    return prefq.Profile("ada", mixture, prior, 3, np.array([1.0, 2.0]), "digest")


CAMPS = profile_of(
    [0.4, 0.6], [Gaussian([-2.0, 1.0], np.diag([0.25, 1.0])), Gaussian([1.0, 1.0], np.diag([0.04, 4.0]))]
)


def test_words_of_a_mixture_agree_with_draws() -> None:
    rng = np.random.default_rng(2)
    of = rng.random(400_000) < 0.4
    draws = np.where(of, -2 + 0.5 * rng.normal(size=of.size), 1 + 0.2 * rng.normal(size=of.size))
    axis, other = summarize(CAMPS)
    assert axis.effect == pytest.approx(np.median(draws), abs=5e-3)
    assert (axis.low, axis.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=5e-3)
    assert axis.sure == pytest.approx((draws > 0).mean(), abs=3e-3)
    assert other.effect == pytest.approx(2.0)  # both components have this median


def test_the_moments_of_the_mixture_would_tell_another_direction() -> None:
    """The mean of the first axis is negative, six in ten of the distribution is positive."""
    (axis, _) = summarize(CAMPS)
    assert CAMPS.coefficients.mean[0] < 0
    assert axis.effect > 0
    assert axis.preferred == "more warm"


def test_a_preference_is_predicted_by_the_mixture_and_not_by_its_moments() -> None:
    rng = np.random.default_rng(3)
    component = rng.choice(2, size=400_000, p=[0.4, 0.6])
    means, sds = np.array([[-2.0, 1.0], [1.0, 1.0]]), np.array([[0.5, 1.0], [0.2, 2.0]])
    draws = means[component] + sds[component] * rng.normal(size=(component.size, 2))
    first, second = np.array([[3.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [0.0, -1.0]])
    exact = 1 / (1 + np.exp(-(draws @ (first - second).T)))
    told = CAMPS.preference_probability(first, second)
    np.testing.assert_allclose(told, exact.mean(axis=0), atol=3e-3)
    np.testing.assert_allclose(CAMPS.preference_probability(second, first), 1 - told, atol=1e-9)
    moments = Gaussian(CAMPS.coefficients.mean, CAMPS.coefficients.covariance)
    assert np.abs(expected_preference(moments, first - second) - told).max() > 0.03


def test_scores_are_the_moments_of_the_mixture() -> None:
    score = CAMPS.score([[1.0, 0.0]])
    mean = 0.4 * -2 + 0.6 * 1
    variance = 0.4 * (0.25 + (2 + mean) ** 2) + 0.6 * (0.04 + (1 - mean) ** 2)
    assert (score.mean[0], score.sd[0]) == pytest.approx((mean, np.sqrt(variance)))


def test_someone_who_chooses_as_the_group_is_told_so() -> None:
    mostly_nobody = GaussianMixture(WITH_NOBODY.coefficients.weights[::-1], WITH_NOBODY.coefficients.components)
    prior = replace(WITH_NOBODY, coefficients=mostly_nobody)
    profile = prefq.fit_profile(POOL, answers(GROUP), user_id="ada", prior=prior)
    assert profile.no_personal_taste is not None
    assert profile.no_personal_taste > 0.8
    (told,) = taste_sentences(profile)
    assert told.startswith("Your answers fit the group's average taste; no taste of your own can be told yet")
    assert told in markdown(profile)
    assert "nothing personal is known yet" in system_prompt(profile)


def test_without_a_group_no_taste_is_chance() -> None:
    start = POOL.starting_point()
    surely_none = GaussianMixture([0.1, 0.9], start.coefficients.components)
    profile = prefq.Profile("ada", surely_none, start, 40, np.ones(2), "digest")
    assert taste_sentences(profile) == [
        "Your answers look like chance; no taste of your own can be told yet (probability of no personal taste: 90 %)."
    ]
    assert "So far the answers look like chance; nothing personal is known yet." in system_prompt(profile).splitlines()


def test_answers_that_contradict_each_other_speak_for_no_taste_and_consistent_ones_against_it() -> None:
    features = np.repeat([[0.0], [1.0]], 20, axis=0) + np.linspace(0, 0.01, 40)[:, None]
    pool = prefq.CandidatePool.from_arrays(features, [(i, i + 20) for i in range(20)])

    def no_taste(choices: list[str]) -> float:
        told = prefq.fit_profile(
            pool, [Answer(f"{i}-{i + 20}", choice) for i, choice in enumerate(choices)], user_id="ada"
        )
        assert told.no_personal_taste is not None
        return told.no_personal_taste

    assert no_taste(["first", "second"] * 10) > 0.2
    assert no_taste(["first"] * 20) < 0.001
    assert no_taste([]) == 0.1


def test_someone_who_does_not_is_told_the_opposite() -> None:
    profile = prefq.fit_profile(POOL, answers(np.array([-4.0, 3.0])), user_id="ada", prior=WITH_NOBODY)
    assert profile.no_personal_taste is not None
    assert profile.no_personal_taste < 0.01
    assert taste_sentences(profile) == [
        "Your answers show a taste of your own (probability of no personal taste: below 1 %)."
    ]
    assert "nothing personal" not in system_prompt(profile)


def test_before_any_answer_the_probability_is_that_of_the_prior() -> None:
    profile = prefq.fit_profile(POOL, [], user_id="ada", prior=WITH_NOBODY)
    assert profile.no_personal_taste == pytest.approx(0.3)
    assert taste_sentences(profile) == [
        "You may have a taste of your own; the answers do not settle it (probability of no personal taste: 30 %)."
    ]


def test_a_prior_without_such_a_component_says_nothing() -> None:
    assert CAMPS.no_personal_taste is None
    assert taste_sentences(CAMPS) == []
    assert "personal" not in system_prompt(CAMPS)


def test_a_mixture_survives_a_file(tmp_path: object) -> None:
    profile = prefq.fit_profile(POOL, answers(GROUP), user_id="ada", prior=WITH_NOBODY)
    path = f"{tmp_path}/profile.json"
    profile.save(path)
    loaded = prefq.load_profile(path)
    assert loaded == profile
    assert loaded.no_personal_taste == profile.no_personal_taste


def test_a_component_that_is_not_there_cannot_say_it() -> None:
    with pytest.raises(InputError, match="the prior says no personal taste by its component 1 and the profile has 1"):
        prefq.Profile("ada", Gaussian(GROUP, np.eye(2)), WITH_NOBODY, 3, np.ones(2), "digest")


def test_what_the_group_says_is_not_put_into_the_answers_mouth() -> None:
    components = WITH_NOBODY.coefficients.components
    nearly_all = replace(WITH_NOBODY, coefficients=GaussianMixture([0.97, 0.03], components), n_users=40)
    told = "(probability of no personal taste: 3 %)"
    profile = prefq.fit_profile(POOL, [], user_id="ada", prior=nearly_all)
    assert taste_sentences(profile) == [
        f"You probably have a taste of your own, as most people; the answers add little to that {told}."
    ]
    assert "0 comparisons and the answers of 40 other people" in system_prompt(profile)
    assert "From 0 comparisons and the answers of 40 other people." in markdown(profile)
    answered = prefq.fit_profile(POOL, answers(np.array([-4.0, 3.0])), user_id="ada", prior=nearly_all)
    assert taste_sentences(answered)[0].startswith("Your answers show a taste of your own")
