"""Whether a profile's words keep what they say: intervals, directions called clear or likely, and coin-flippers."""

from typing import Any

import numpy as np

import prefq
from prefq.profiles.summary import Verdict, summarize

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
    start = pool.starting_point()
    taste_of_their_own, _ = start.coefficients.components
    covered: list[bool] = []
    stated: dict[str, list[float]] = {"users": [], "coins": []}
    right: dict[Verdict, list[bool]] = {verdict: [] for verdict in Verdict}
    for _ in range(N_USERS):
        taste = rng.multivariate_normal(taste_of_their_own.mean, taste_of_their_own.covariance)
        profile = ask_ten(pool, prefq.SimulatedUser(taste), rng)
        stated["users"].append(profile.no_personal_taste or 0.0)
        for axis, effect in zip(summarize(profile), taste * pool.feature_scales(), strict=True):
            right[axis.verdict].append((axis.effect > 0) == (effect > 0))
            covered.append(axis.low <= effect <= axis.high)
    nobody = prefq.SimulatedUser(np.zeros(pool.n_features))
    coins = [ask_ten(pool, nobody, rng) for _ in range(N_COINS)]
    stated["coins"] = [profile.no_personal_taste or 0.0 for profile in coins]
    told = [axis for profile in coins for axis in summarize(profile)]
    claims = {verdict: sum(axis.verdict is verdict for axis in told) / N_COINS for verdict in Verdict}
    coverage = start.coefficients.weights @ [np.mean(covered), np.mean([axis.low <= 0 <= axis.high for axis in told])]
    return {
        "n_users": N_USERS,
        "n_coins": N_COINS,
        "coverage": round(float(coverage), 3),
        "right": {verdict.value: round(float(np.mean(right[verdict])), 3) for verdict in Verdict if right[verdict]},
        "axes_a_user": {verdict.value: round(len(right[verdict]) / N_USERS, 2) for verdict in Verdict},
        "claims_about_a_coin": {verdict.value: round(claims[verdict], 2) for verdict in Verdict},
        "no_taste": {people: round(float(np.mean(stated[people])), 3) for people in stated},
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    right, axes, coin = figures["right"], figures["axes_a_user"], figures["claims_about_a_coin"]
    no_taste = figures["no_taste"]
    return (
        f"Ten chosen questions each on the starter pool. Of {figures['n_users']:,} users with a taste, drawn from the "
        f"prior, directions called clear ({axes['clear']} of 8 axes a user) were right in {right['clear']:.1%}, likely "
        f"ones ({axes['likely']}) in {right['likely']:.1%}, the rest in {right['cannot tell yet']:.1%}. "
        f"Of {figures['n_coins']} people who toss a coin, {coin['clear']} axes each were called clear and "
        f"{coin['likely']} likely. Nominal 90 % intervals cover {figures['coverage']:.1%} where one in ten tosses a "
        f"coin, as the prior says. No taste was given a probability of {no_taste['coins']:.1%} for those who toss one "
        f"and of {no_taste['users']:.1%} for the others: ten answers tell little about whether there is a taste."
    )
