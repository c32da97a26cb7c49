"""A profile in words: verdicts and intervals keep their word, what is not known is said, a test is told honestly."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.profiles.evidence import Evidence, SealedScore, score_sentence
from prefq.profiles.summary import (
    CHOICES_EXPLAINED,
    PHRASES,
    AxisSummary,
    Verdict,
    axis_label,
    choices_in_100,
    counted_sentences,
    markdown,
    sentences,
    summarize,
    system_prompt,
)

NAMES, OPPOSITES = ("thorough", "warm", "odd"), ("brief", "neutral", "even")


def profile(means: list[float], sds: list[float], **fields: Any) -> prefq.Profile:
    """A profile with these coefficients, on features that typically differ by 2."""
    space = prefq.FeatureSpace(NAMES[: len(means)], opposites=fields.pop("opposites", OPPOSITES[: len(means)]))
    prior = prefq.PopulationPrior(prefq.Gaussian(np.zeros(len(means)), np.eye(len(means))), space)
    scales = fields.pop("scales", [2.0] * len(means))
    posterior = prefq.Gaussian(means, np.diag(np.square(sds)))
    return prefq.Profile("ada", posterior, prior, fields.pop("n_answers", 9), np.array(scales), "digest", **fields)


def test_an_axis_by_hand() -> None:
    (axis,) = summarize(profile([-0.5], [0.25]))

    assert axis.effect == pytest.approx(-1.0)
    reach = 1.6449 * 0.5
    assert (axis.low, axis.high) == pytest.approx((-1 - reach, -1 + reach))
    assert axis.sure == pytest.approx(0.9772, abs=1e-4)  # Φ(2)
    assert (axis.preferred, axis.poles, axis.verdict) == ("brief", ("brief", "thorough"), Verdict.CLEAR)
    assert axis.strength == pytest.approx((1.0, 1 - reach, 1 + reach))
    assert axis.to_dict()["verdict"] == "clear"


@pytest.mark.parametrize(
    ("z", "verdict"),
    [(0.0, "cannot tell yet"), (1.14, "cannot tell yet"), (1.16, "likely"), (1.64, "likely"), (1.65, "clear")],
)
def test_verdicts_at_their_thresholds(z: float, verdict: str) -> None:
    (axis,) = summarize(profile([z], [1.0]))

    assert axis.verdict.value == verdict
    assert (axis.low > 0) is (verdict == "clear")  # the interval agrees


def test_a_feature_that_never_differs_tells_nothing() -> None:
    (axis,) = summarize(profile([3.0], [1.0], scales=[0.0]))

    assert (axis.effect, axis.low, axis.high, axis.sure, axis.verdict) == (0, 0, 0, 0.5, Verdict.OPEN)


def test_an_effect_too_small_to_matter_is_no_preference() -> None:
    told = summarize(profile([0.05, 0.05, 0.2], [0.0, 0.05, 0.02]))  # effects of 51, 52 and 60 of 100 choices

    assert [axis.verdict.value for axis in told] == ["makes little difference", "cannot tell yet", "clear"]
    assert sentences(told) == [
        "You prefer odd answers: clear.",
        "Brief or thorough: makes little difference.",
        "Neutral or warm: cannot tell yet.",
    ]
    assert counted_sentences(told)[1] == "Brief or thorough: makes little difference."  # exactly known: no range


def test_nobody_is_given_the_taste_of_a_group_that_tosses_coins() -> None:
    """A prior that is nearly a point, near zero and nowhere at zero, makes no instruction."""
    space = prefq.FeatureSpace(["warm"], opposites=["neutral"])
    mixture = prefq.GaussianMixture([0.03, 0.97], [prefq.Gaussian([0.05], [[0.1]]), prefq.Gaussian([0.05], [[0.0]])])
    prior = prefq.PopulationPrior(mixture, space, n_users=200, impersonal=1)
    coin = prefq.Profile("ada", mixture, prior, 10, np.ones(1), "digest")

    assert [axis.verdict.value for axis in summarize(coin)] == ["makes little difference"]
    assert system_prompt(coin) == (
        "How this person likes answers to be written is not known yet "
        "(10 comparisons and the answers of 200 other people).\n"
        "So far the answers fit the average taste of the group; nothing personal is known yet.\n"
        "Makes little difference: neutral or warm.\n"
        "Being correct and complete comes before style."
    )


def test_what_was_said_beforehand_is_no_answer() -> None:
    pool = prefq.load_pool("starter")
    said = prefq.stated_evidence(pool.feature_space, {"brief": 1}, prior=pool.starting_point())
    told = prefq.fit_profile(pool, [], user_id="ada", stated=said)

    assert "0 comparisons and what was said beforehand" in system_prompt(told)
    assert "From 0 comparisons and what was said beforehand." in markdown(told)


def test_axes_without_opposites() -> None:
    axes = summarize(profile([2.0, -2.0], [0.1, 0.1], opposites=()))

    assert [axis.preferred for axis in axes] == ["more thorough", "less warm"]
    assert sentences(axes) == ["You prefer more thorough answers: clear.", "You prefer less warm answers: clear."]
    assert (axis_label("warm", ""), axis_label("warm", "neutral")) == ("warm", "neutral–warm")


def test_sentences_surest_first_then_what_is_open() -> None:
    axes = summarize(profile([-1.0, 0.0, 3.0], [0.7, 1.0, 0.1]))

    assert sentences(axes) == [
        "You prefer even answers: clear." if axes[2].effect < 0 else "You prefer odd answers: clear.",
        "You prefer brief answers: likely.",
        "Neutral or warm: cannot tell yet.",
    ]
    assert sentences(()) == []


def test_system_prompt_says_what_is_known_and_what_is_not() -> None:
    assert system_prompt(profile([-1.0, 0.0, 3.0], [0.7, 1.0, 0.1])) == (
        "How this person likes answers to be written, learned from 9 comparisons:\n"
        "- Prefer odd answers.\n"
        "- Keep answers brief. (likely)\n"
        "Not known: neutral or warm. Use your own judgement there.\n"
        "Being correct and complete comes before style."
    )
    assert system_prompt(profile([0.0], [1.0], n_answers=1)).startswith(
        "How this person likes answers to be written is not known yet (1 comparison).\nNot known: brief or thorough."
    )
    assert "- Write answers that are more thorough.\n" in system_prompt(profile([3.0], [0.1], opposites=()))


def test_markdown_is_a_page_with_a_table() -> None:
    page = markdown(profile([-1.0, 0.0], [0.1, 1.0], created="2026-01-31")).splitlines()

    assert page[:4] == ["# Preferences of ada", "", "From 9 comparisons (2026-01-31).", ""]
    assert "| brief–thorough | brief | 88 | 84 to 91 | clear |" in page


def test_every_phrase_has_both_forms() -> None:
    assert len(PHRASES) == 16
    assert all(instruction.endswith(".") and not phrase.endswith(".") for phrase, instruction in PHRASES.values())


def test_choices_in_100_by_hand() -> None:
    effects = {"warm": (math.log(3), 0.0, math.log(9)), "odd": (-math.log(4), -math.log(9), -0.0)}
    axes = [AxisSummary(name, "", *numbers, 0.9, Verdict.LIKELY) for name, numbers in effects.items()]

    assert [choices_in_100(axis) for axis in axes] == [(75, 50, 90), (80, 50, 90)]


@pytest.mark.parametrize("noise", [-0.5, 0.3, 1.0])
def test_choices_in_100_are_those_that_the_profile_predicts(noise: float) -> None:
    told = profile([-0.5, 0.3, 0.1], [1e-6] * 3, scales=[2.0, 1.0, 9.0])
    model = prefq.ResponseModel(dissimilarity_noise=noise, dissimilarity_scales=(2.0, 2.0, 1.0))
    told = replace(told, prior=replace(told.prior, response_model=model))
    alone = np.diag(told.feature_scales)  # pairs that differ in one feature only
    predicted = 100 * told.preference_probability(alone, np.zeros((3, 3)))

    toward = [max(chance, 100 - chance) for chance in predicted.tolist()]
    assert [choices_in_100(axis)[0] for axis in summarize(told)] == [round(chance) for chance in toward]
    # Unlike by 1 / √3 of a typical pair, so felt exp(-γ (1 / √3 - 1)) times.
    assert summarize(told)[0].effect == pytest.approx(-math.exp(-noise * (3**-0.5 - 1)), abs=1e-5)


def test_counted_sentences_name_each_axis_once_and_explain_the_numbers_last() -> None:
    told = counted_sentences(summarize(profile([-1.0, -1e-9, 3.0], [0.7, 1.0, 0.1])))

    assert told[:2] == [
        "You prefer odd answers: clear, in about 100 of 100 choices (100 to 100).",
        "You prefer brief answers: likely, in about 88 of 100 choices (42 to 99).",
    ]
    assert told[2] == "Neutral or warm: cannot tell yet; neutral in about 50 of 100 choices (4 to 96)."
    assert told[3:] == [CHOICES_EXPLAINED]
    assert counted_sentences(()) == []
    never = summarize(profile([3.0], [1.0], scales=[0.0]))
    assert counted_sentences(never)[0] == "Brief or thorough: cannot tell yet."


def test_a_test_is_told_wherever_the_profile_is() -> None:
    known, nothing = profile([-1.0], [0.1]), profile([0.0], [1.0])
    score = SealedScore(6, 2, 1, None)
    told = score_sentence(score)

    assert sentences(summarize(known), score)[0] == told
    for each in (known, nothing):
        assert system_prompt(each, score).splitlines()[1] == told
        assert f"- {told}" in markdown(each, Evidence(7, 2, 4, score)).splitlines()
    assert "From 9 comparisons: 7 from the questions, 2 from the test; 4 replies were" in markdown(
        known, Evidence(7, 2, 4, score)
    )


def test_verdicts_and_intervals_keep_their_word() -> None:
    """For users of the prior: directions called clear are right 95 times in a hundred, likely ones 80; intervals 90."""
    rng = np.random.default_rng(5)
    first = rng.integers(0, 120, 300)
    second = (first + rng.integers(1, 120, 300)) % 120
    pool = prefq.CandidatePool.from_arrays(rng.normal(size=(120, 6)), np.column_stack([first, second]))
    prior = pool.starting_point().coefficients.components[0]  # of people with a taste
    right: dict[Verdict, list[bool]] = {verdict: [] for verdict in Verdict}
    covered: list[bool] = []
    for _ in range(100):
        taste = rng.multivariate_normal(prior.mean, prior.covariance)
        effects = taste * pool.feature_scales()
        for axis, effect in zip(axes_of(prefq.SimulatedUser(taste), pool, rng), effects.tolist(), strict=True):
            right[axis.verdict].append(axis.effect * effect > 0)
            covered.append(axis.low <= effect <= axis.high)

    clear, likely = right[Verdict.CLEAR], right[Verdict.LIKELY]
    assert min(len(clear), len(likely)) > 50
    # Two standard errors of a share; the 600 intervals are not independent, six belong to one user.
    assert np.mean(clear) > 0.95 - 2 * np.sqrt(0.95 * 0.05 / len(clear))
    assert np.mean(likely) > 0.80 - 2 * np.sqrt(0.80 * 0.20 / len(likely))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.04)


def axes_of(user: prefq.SimulatedUser, pool: prefq.CandidatePool, rng: np.random.Generator) -> tuple[AxisSummary, ...]:
    """What twenty answers of a user amount to."""
    answers: list[prefq.Answer] = []
    while (question := prefq.select_next_question(pool, answers, max_questions=20)) is not None:
        answers.append(user.answer(pool, question, rng=rng))
    return summarize(prefq.fit_profile(pool, answers, user_id="u"))
