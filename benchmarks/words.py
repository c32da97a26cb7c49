"""Whether a profile's words keep what they say: intervals, directions called clear or likely, and coin-flippers."""

from typing import Any

import numpy as np

import prefq
from prefq.profiles.summary import INTERVAL_SDS, Verdict, summarize
from prefq.vocabulary import Array

TITLE = "What a profile says, and how often it is so"
GOAL = "90 % intervals cover 90 %; what is called clear or likely is right as often as the word says"
N_USERS = 1000
N_COINS = 300
SEED = 29  # not the users that the thresholds were chosen on


def ask_ten(pool: prefq.CandidatePool, user: prefq.SimulatedUser, rng: np.random.Generator) -> prefq.Profile:
    """A user's profile after ten questions chosen by information gain."""
    answers: list[prefq.Answer] = []
    while (question := prefq.select_next_question(pool, answers)) is not None:
        answers.append(user.answer(pool, question, rng=rng))
    return prefq.fit_profile(pool, answers, user_id="simulated")


def measure() -> dict[str, Any]:
    """Figures of the run."""
    rng = np.random.default_rng(SEED)
    pool = prefq.load_pool("starter")
    prior = pool.starting_point().coefficients
    distances: list[Array] = []
    right: dict[Verdict, list[bool]] = {verdict: [] for verdict in Verdict}
    for _ in range(N_USERS):
        taste = rng.multivariate_normal(prior.mean, prior.covariance)
        profile = ask_ten(pool, prefq.SimulatedUser(taste), rng)
        distances.append((taste - profile.coefficients.mean) / profile.coefficients.sd)
        for axis, coefficient in zip(summarize(profile), taste, strict=True):
            right[axis.verdict].append((axis.effect > 0) == (coefficient > 0))
    nobody = prefq.SimulatedUser(np.zeros(pool.n_features))
    coins = [summarize(ask_ten(pool, nobody, rng)) for _ in range(N_COINS)]
    claims = {verdict: np.mean([sum(a.verdict is verdict for a in axes) for axes in coins]) for verdict in Verdict}
    z = np.abs(np.array(distances))
    return {
        "n_users": N_USERS,
        "n_coins": N_COINS,
        "coverage": round(float((z < INTERVAL_SDS).mean()), 3),
        "right": {verdict.value: round(float(np.mean(right[verdict])), 3) for verdict in Verdict if right[verdict]},
        "axes_a_user": {verdict.value: round(len(right[verdict]) / N_USERS, 2) for verdict in Verdict},
        "claims_about_a_coin": {verdict.value: round(float(claims[verdict]), 2) for verdict in Verdict},
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    right, axes, coin = figures["right"], figures["axes_a_user"], figures["claims_about_a_coin"]
    return (
        f"{figures['n_users']:,} users drawn from the prior, ten chosen questions each on the starter pool. Nominal 90 "
        f"% intervals cover {figures['coverage']:.1%}. Directions called clear ({axes['clear']} of 8 axes a user) were "
        f"right in {right['clear']:.1%}, likely ones ({axes['likely']}) in {right['likely']:.1%}, the rest in "
        f"{right['cannot tell yet']:.1%}. Of {figures['n_coins']} people who toss a coin, {coin['clear']} axes each "
        f"were called clear and {coin['likely']} likely: the starter pool's prior comes from no "
        "group and cannot know that somebody has no taste."
    )
