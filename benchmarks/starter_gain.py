"""What active questions gain on the starter pool, for simulated users whose tastes live on the declared levels."""

from dataclasses import replace
from typing import Any

import numpy as np

import prefq
from prefq.pool.candidate_pool import Rows
from prefq.pool.starter import declared_levels
from prefq.simulation.worlds import World, declared_levels_world
from prefq.vocabulary import Array

TITLE = "Ten chosen questions against ten random ones"
GOAL = "ten `information_gain` questions beat ten random ones by at least 3 points of held-out accuracy"
STRATEGIES = ("information_gain", "d_optimal", "random")
WITHOUT_PROMPT_RULE = "information_gain, prompts may repeat"
RMS_MARGINS = (2.0, 4.0)  # logits: people who answer with their taste about 3 times in 4, and 6 in 7
HIDDEN_SHARE = 0.1
N_WORLDS, N_USERS = 8, 100
N_TEST_PROMPTS = 14
AFTER = (0, 3, 5, 10)
SEED = 100


def split(pool: prefq.CandidatePool, rng: np.random.Generator) -> tuple[dict[str, prefq.CandidatePool], Rows]:
    """The pool that each strategy asks from, and the pairs that are held out: all pairs of some prompts."""
    assert pool.prompt_codes is not None
    codes = pool.prompt_codes[pool.pairs[:, 0]]
    held_out = np.isin(codes, rng.permutation(np.unique(codes))[:N_TEST_PROMPTS])
    asked = replace(pool, pairs=pool.pairs[~held_out])
    pools = {**dict.fromkeys(STRATEGIES, asked), WITHOUT_PROMPT_RULE: replace(asked, prompt_codes=None)}
    return pools, pool.pairs[held_out]


def accuracies(
    world: World, asked: prefq.CandidatePool, test_pairs: Rows, user: prefq.SimulatedUser, strategy: str, seed: int
) -> list[float]:
    """Share of test pairs whose noiseless preference is predicted, after each number of answers in `AFTER`."""
    rng = np.random.default_rng(seed)
    first, second = test_pairs.T
    truth = (world.truth.features[first] - world.truth.features[second]) @ user.coefficients > 0
    seen = world.seen.features[first].astype(np.float64) - world.seen.features[second]
    answers: list[prefq.Answer] = []
    reached: list[float] = []
    for n_answers in range(max(AFTER) + 1):
        if n_answers in AFTER:
            margins = seen @ prefq.fit_profile(asked, answers, user_id="simulated").coefficients.mean
            reached.append(float(np.where(margins == 0, 0.5, (margins > 0) == truth).mean()))
        question = prefq.select_next_question(asked, answers, acquisition=strategy, max_questions=None, seed=seed)
        assert question is not None
        answers.append(user.answer(world.truth, question, rng=rng))
    return reached


def run_world(seed: int, rms_margin: float) -> dict[str, Array]:
    """Accuracy (n_users, len(AFTER)) of each strategy in one world; users and test pairs are the same for all."""
    rng = np.random.default_rng(seed)
    pool = prefq.load_pool("starter")
    world = declared_levels_world(pool, declared_levels(), rms_margin=rms_margin, hidden_share=HIDDEN_SHARE, rng=rng)
    pools, test_pairs = split(pool, rng)
    users = [world.draw_user(rng=rng) for _ in range(N_USERS)]
    return {
        strategy: np.array(
            [
                accuracies(world, asked, test_pairs, user, strategy.split(",")[0], 1000 * seed + n)
                for n, user in enumerate(users)
            ]
        )
        for strategy, asked in pools.items()
    }


def measure() -> dict[str, Any]:
    """Figures of the run: means over worlds, standard errors over users and worlds."""
    worlds: dict[str, Any] = {}
    for rms_margin in RMS_MARGINS:
        runs = [run_world(SEED + world, rms_margin) for world in range(N_WORLDS)]
        stacked = {strategy: np.stack([run[strategy] for run in runs]) for strategy in runs[0]}
        gains = 100 * (stacked["information_gain"] - stacked["random"])[:, :, -1]
        worlds[f"{rms_margin:g}"] = {
            "accuracy": {name: values.mean(axis=(0, 1)).round(4).tolist() for name, values in stacked.items()},
            "gain_points": round(float(gains.mean()), 2),
            # Worlds differ more than users do: the error is that of the worlds' means.
            "gain_standard_error": round(float(gains.mean(axis=1).std(ddof=1) / np.sqrt(N_WORLDS)), 2),
        }
    return {"n_worlds": N_WORLDS, "n_users": N_USERS, "after": list(AFTER), "by_rms_margin": worlds}


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    lines = [
        (
            f"{figures['n_worlds']} worlds × {figures['n_users']} users; every strategy asks the same users and is "
            f"tested on the same pairs of {N_TEST_PROMPTS} prompts, set aside before the first question. prefq sees "
            "the measured features only; a tenth of the users' taste lies in a dimension that nobody wrote down. The "
            "prior is the default one: no group was there to fit it on."
        ),
        "",
        "| rms margin | strategy | " + " | ".join(f"after {n}" for n in figures["after"]) + " |",
        "|---|---|" + "---|" * len(figures["after"]),
    ]
    for margin, world in figures["by_rms_margin"].items():
        for strategy, values in world["accuracy"].items():
            cells = " | ".join(f"{value:.3f}" for value in values)
            lines.append(f"| {margin} logits | {strategy} | {cells} |")
    gains = "; ".join(
        f"{world['gain_points']:.1f} ± {world['gain_standard_error']:.1f} points at {margin} logits"
        for margin, world in figures["by_rms_margin"].items()
    )
    return "\n".join([*lines, "", f"Gain of `information_gain` over `random` after ten answers: {gains}."])
