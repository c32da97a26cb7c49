"""Stated preferences: readings against a second method, mixtures and doubt, the fit of the noise, refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError, MismatchError
from prefq.inference.stated import bearing, with_stated, without_stated
from prefq.vocabulary import Array, Coefficients

SPACE = prefq.FeatureSpace(["thorough", "formal", "warm"], opposites=["brief", "casual", "neutral"])
RNG = np.random.default_rng(4)
ROOT = RNG.normal(size=(3, 3))
GROUP = prefq.Gaussian([0.4, -0.2, 0.1], ROOT @ ROOT.T + np.eye(3) / 4)
CAMPS = prefq.GaussianMixture(
    [0.5, 0.3, 0.2],
    [GROUP, prefq.Gaussian(-GROUP.mean, GROUP.covariance / 3), prefq.Gaussian(GROUP.mean, np.zeros((3, 3)))],
)
ANSWERS = prefq.Comparisons(RNG.normal(size=(6, 3)) * 2, [1, -1, 1, 1, -1, 1])


def said(positions: dict[str, float], prior: Coefficients = GROUP, **noise: Any) -> prefq.StatedEvidence:
    return prefq.stated_evidence(SPACE, positions, prior=prior, noise=prefq.StatedNoise(**noise))


def start(coefficients: Coefficients, impersonal: int | None = None) -> prefq.PopulationPrior:
    return prefq.PopulationPrior(coefficients, SPACE, n_users=7, impersonal=impersonal)


def times_readings(gaussian: prefq.Gaussian, evidence: prefq.StatedEvidence) -> tuple[Array, Array, float]:
    """Mean, covariance and density of the readings by precisions and by the normal density written out."""
    axes = [SPACE.names.index(name) for name in evidence.names]
    precision, shift = np.linalg.inv(gaussian.covariance), np.zeros(3)
    pull = precision @ gaussian.mean
    precision[axes, axes] += 1 / evidence.sd**2
    shift[axes] = evidence.readings / evidence.sd**2
    covariance = np.linalg.inv(precision)
    marginal = gaussian.covariance[np.ix_(axes, axes)] + np.diag(evidence.sd**2)
    off = evidence.readings - gaussian.mean[axes]
    density = np.exp(-off @ np.linalg.inv(marginal) @ off / 2) / np.sqrt(np.linalg.det(2 * np.pi * marginal))
    return covariance @ (pull + shift), covariance, float(density)


def test_a_reading_keeps_the_correlation_that_was_assumed() -> None:
    rng, noise = np.random.default_rng(1), prefq.StatedNoise(0.6, 0.4, (0.1, 0.0, -0.1))
    drawn = rng.multivariate_normal(GROUP.mean, GROUP.covariance, size=60_000)
    positions = noise.offsets + 0.6 * 0.4 * drawn / GROUP.sd + rng.normal(size=drawn.shape) * 0.4 * 0.8
    scale = prefq.stated_evidence(SPACE, {"formal": 1.0}, prior=GROUP, noise=noise)
    zero = prefq.stated_evidence(SPACE, {"formal": 0.0}, prior=GROUP, noise=noise)

    readings = zero.readings[0] + positions[:, 1] * (scale.readings[0] - zero.readings[0])
    assert np.corrcoef(readings, drawn[:, 1])[0, 1] == pytest.approx(0.6, abs=0.01)
    assert np.std(readings - drawn[:, 1]) == pytest.approx(scale.sd[0], rel=0.02)  # the noise is as promised
    assert np.mean(readings - drawn[:, 1]) == pytest.approx(0.0, abs=0.03)


def test_components_are_those_of_multiplied_densities() -> None:
    evidence = said({"brief": 0.5, "warm": 1.0}, CAMPS, empty_share=0.3)
    told = with_stated(start(CAMPS, impersonal=2), evidence)

    found, expected = told.coefficients, [times_readings(each, evidence) for each in CAMPS.components[:2]]
    for component, (mean, covariance, _) in zip(found.components, expected, strict=False):
        np.testing.assert_allclose(component.mean, mean, rtol=1e-10)
        np.testing.assert_allclose(component.covariance, covariance, rtol=1e-9, atol=1e-12)
    off = (evidence.readings - GROUP.mean[[0, 2]]) / evidence.sd
    densities = [*(density for _, _, density in expected), np.exp(-off @ off / 2) / (2 * np.pi * evidence.sd.prod())]
    heard = CAMPS.weights * densities / (CAMPS.weights @ densities)
    assert found.weights == pytest.approx([0.7 * heard[0], 0.7 * heard[1], 0.7 * heard[2] + 0.3 * 0.2, 0.15, 0.09])
    assert found.components[2] == CAMPS.components[2]  # a point stays, and so does its number
    assert found.components[3:] == CAMPS.components[:2]
    assert told.impersonal == 2
    assert told.n_users == 7


def test_no_personal_taste_stays_as_uncertain_as_it_was() -> None:
    average = prefq.Gaussian(GROUP.mean, GROUP.covariance / 50)
    camps = prefq.GaussianMixture(CAMPS.weights, [*CAMPS.components[:2], average])
    evidence = said({"brief": 0.5, "warm": 1.0}, camps, empty_share=0.3)
    told = with_stated(start(camps, impersonal=2), evidence).coefficients
    assert told.components[2] == average
    assert told.components[3:] == camps.components[:2]
    np.testing.assert_allclose(without_stated(told, start(camps, impersonal=2), evidence).weights, camps.weights)


@pytest.mark.parametrize("prior", [GROUP, CAMPS], ids=["one", "mixture"])
def test_the_posterior_still_holds_what_the_answers_say_alone(prior: Coefficients) -> None:
    evidence, before = said({"brief": 1.0, "formal": -0.5}, prior), start(prior)
    heard, _ = prefq.fit_posterior(with_stated(before, evidence).coefficients, ANSWERS)
    alone, _ = prefq.fit_posterior(prior, ANSWERS)

    found = without_stated(heard, before, evidence)
    np.testing.assert_allclose(found.weights, alone.weights, rtol=1e-8)
    np.testing.assert_allclose(found.mean, alone.mean, rtol=1e-8)
    np.testing.assert_allclose(found.covariance, alone.covariance, rtol=1e-7)


def test_answers_decide_whether_words_bear_on_choices() -> None:
    rng, coefficients = np.random.default_rng(2), np.array([2.5, 0.0, 0.0])
    prior = prefq.Gaussian(np.zeros(3), np.eye(3))
    differences = rng.normal(size=(40, 3))
    comparisons = prefq.Comparisons(differences, np.where(differences @ coefficients > 0, 1, -1))
    chances = {}
    for pole in ("thorough", "brief"):
        told = with_stated(start(prior), said({pole: 1.0}, prior, reliability=0.8))
        posterior, _ = prefq.fit_posterior(told.coefficients, comparisons)
        chances[pole] = bearing(posterior, start(prior))

    assert chances["thorough"] > 0.8 > 0.2 > chances["brief"]
    assert bearing(told.coefficients, start(prior)) == pytest.approx(0.8)  # before any answer
    assert np.isnan(bearing(prefq.Gaussian([0.0], [[0.0]]), start(CAMPS.components[2])))


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from(SPACE.names), st.floats(-1, 1), min_size=1),
    st.lists(st.sampled_from([1e-6, 1.0, 1e6]), min_size=3, max_size=3),
)
def test_units_of_features_do_not_matter(positions: dict[str, float], units: list[float]) -> None:
    scale = np.array(units)
    scaled = prefq.Gaussian(GROUP.mean / scale, GROUP.covariance / np.outer(scale, scale))
    here = with_stated(start(GROUP), said(positions)).coefficients
    there = with_stated(start(scaled), said(positions, scaled)).coefficients

    np.testing.assert_allclose(there.mean * scale, here.mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(there.covariance * np.outer(scale, scale), here.covariance, rtol=1e-6, atol=1e-9)


def test_naming_the_other_pole_is_the_same_with_the_sign_turned() -> None:
    assert said({"brief": 0.5, "warm": -1}) == said({"warm": -1.0, "thorough": -0.5})
    assert prefq.StatedEvidence.from_dict(said({"brief": 0.5}).to_dict()) == said({"thorough": -0.5})


def test_nothing_said_changes_nothing_and_a_fixed_coefficient_is_not_moved() -> None:
    fixed = prefq.Gaussian([1.0, 0.0, 0.0], np.diag([0.0, 1.0, 1.0]))
    told = with_stated(start(fixed), said({"brief": 1.0, "warm": 1.0}, fixed)).coefficients

    assert with_stated(start(GROUP), said({})) == start(GROUP)
    assert told.mean[0] == 1.0
    assert told.sd[0] == 0.0
    assert told.mean[2] > 0.5


def test_selection_and_profiles_hear_what_was_stated() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 3))
    pool = prefq.CandidatePool.from_arrays(features, [[i, i + 1] for i in range(0, 60, 2)], feature_space=SPACE)
    stated = prefq.stated_evidence(SPACE, {"brief": 1.0}, prior=pool.starting_point())
    told = with_stated(pool.starting_point(), stated)

    np.testing.assert_allclose(
        prefq.score_questions(pool, [], stated=stated), prefq.score_questions(pool, [], prior=told), rtol=1e-12
    )
    asked = prefq.select_next_question(pool, [], stated=stated)
    assert asked == prefq.select_next_question(pool, [], prior=told)
    profile = prefq.fit_profile(pool, [], user_id="ada", stated=stated)
    assert profile.coefficients.mean[0] < -0.5 * pool.starting_point().coefficients.sd[0]
    assert profile.prior == pool.starting_point()  # the group's guess does not move with what one person says
    assert prefq.Profile.from_dict(profile.to_dict()) == profile != replace(profile, stated=None)


def simulated_group(
    reliability: float, rng: np.random.Generator, n_people: int = 400
) -> tuple[Array, list[Coefficients], Array]:
    """Positions of people, posteriors of what they chose, and their offsets; three in ten axes are not stated."""
    drawn = rng.multivariate_normal(GROUP.mean, GROUP.covariance, size=n_people)
    offsets, spread = np.array([0.1, -0.1, 0.2]), 0.3
    positions = offsets + reliability * spread * drawn / GROUP.sd
    positions = positions + rng.normal(size=drawn.shape) * spread * np.sqrt(1 - reliability**2)
    noise = GROUP.covariance * 0.7
    gain = GROUP.covariance @ np.linalg.inv(GROUP.covariance + noise)
    left = GROUP.covariance - gain @ GROUP.covariance
    seen = drawn + rng.multivariate_normal(np.zeros(3), noise, size=n_people)
    posteriors: list[Coefficients] = [prefq.Gaussian(GROUP.mean + gain @ (each - GROUP.mean), left) for each in seen]
    kept = np.where(rng.random(positions.shape) < 0.3, np.nan, np.clip(positions, -1, 1))
    return kept, posteriors, offsets


def test_the_noise_that_people_were_given_is_found() -> None:
    positions, posteriors, offsets = simulated_group(0.6, np.random.default_rng(8))
    noise, info = prefq.fit_stated_noise(positions, posteriors, prior=GROUP)

    assert abs(noise.reliability - 0.6) < 3 * info.standard_error < 0.15
    assert noise.spread == pytest.approx(0.3, rel=0.1)
    assert noise.offsets == pytest.approx(offsets, abs=0.06)
    assert info.gain > 0.05
    assert info.n_positions == np.isfinite(positions).sum()

    shuffled = np.random.default_rng(9).permutation(positions)
    empty, nothing = prefq.fit_stated_noise(shuffled, posteriors, prior=GROUP)
    assert empty.reliability < 3 * nothing.standard_error
    assert nothing.gain < 0.01


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"tall": 0.5}, "there is no axis 'tall'; name one of thorough, formal, warm, brief"),
        ({"brief": 1.5}, "what was stated about 'brief' is 1.5; give a number from -1"),
        ({"brief": float("nan")}, "what was stated about 'brief' is nan; give a finite number"),
        ({"brief": "much"}, "what was stated about 'brief' is 'much'; give a number"),
        ({"brief": 0.5, "thorough": 0.1}, "the axis 'thorough' was stated twice"),
        ("brief", "what was stated is 'brief'; give a mapping of axes to numbers"),
    ],
)
def test_what_cannot_be_heard_is_refused(positions: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        said(positions)


def test_noise_and_other_spaces_are_refused() -> None:
    for wrong in (0.0, 1.0, -0.5):
        with pytest.raises(InputError, match="give a correlation above 0 and below 1"):
            said({"warm": 1}, reliability=wrong)
    with pytest.raises(InputError, match="empty_share is 0; give a share"):
        said({"warm": 1}, empty_share=0)
    with pytest.raises(InputError, match="3 axes, the prior 3 coefficients and the noise 2 offsets"):
        said({"warm": 1}, offsets=(0.0, 0.1))
    other = prefq.PopulationPrior(GROUP, prefq.FeatureSpace(["a", "b", "c"]))
    with pytest.raises(MismatchError, match="what was stated belongs to another feature space"):
        with_stated(other, said({"warm": 1}))
    with pytest.raises(MismatchError, match="the prior that stated preferences are read against"):
        prefq.stated_evidence(SPACE, {"warm": 1}, prior=other)
    few, posteriors, _ = simulated_group(0.6, np.random.default_rng(8), n_people=2)
    with pytest.raises(InputError, match="give at least 3 whose positions differ"):
        prefq.fit_stated_noise(few, posteriors, prior=GROUP)
    with pytest.raises(InputError, match="a row for each person"):
        prefq.fit_stated_noise(few, posteriors[:1], prior=GROUP)
