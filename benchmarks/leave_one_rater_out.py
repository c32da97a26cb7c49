"""Eight raters who share part of their taste, each left out once: their scores as base rewards, chosen questions."""

from typing import Any

import numpy as np

from prefq.simulation.left_out_raters import (
    POOLED,
    LeftOutRater,
    LeftOutSizes,
    gain_over_pooled,
    leave_one_rater_out,
    other_columns,
    sharing_raters,
)

TITLE = "One rater left out of eight"
GOAL = "at a common share of .6, 30 chosen answers are at least 15 points above the other raters' average"
SHARES = (0.3, 0.6, 0.9)
N_WORLDS = 12
N_PROMPTS, N_RESPONSES = 250, 4
SIZES = LeftOutSizes(n_splits=1, n_repeats=2, n_answers=300, n_questions=30, n_pool=600, n_tests=300)
AFTER = (0, 5, 10, 20, 30)
STRATEGIES = (POOLED, "random", "information_gain")
SEED = 600


def run_world(share: float, seed: int) -> tuple[LeftOutRater, ...]:
    """All eight raters of one world."""
    rng = np.random.default_rng(seed)
    table, _ = sharing_raters(share, n_prompts=N_PROMPTS, n_responses=N_RESPONSES, rng=rng)
    return leave_one_rater_out(table, other_columns(table), rng=rng, sizes=SIZES)


def measure() -> dict[str, Any]:
    """Figures of the run: means over worlds, standard errors over worlds, which differ more than raters do."""
    shares: dict[str, Any] = {}
    for share in SHARES:
        worlds = [run_world(share, SEED + world) for world in range(N_WORLDS)]
        by_world = {
            name: np.array([[rater.accuracy[name][:, AFTER].mean(axis=0) for rater in world] for world in worlds])
            for name in STRATEGIES
        }
        gains = np.array([[gain_over_pooled(world, name, max(AFTER))[0] for name in STRATEGIES] for world in worlds])
        shares[f"{share:g}"] = {
            "accuracy": {name: values.mean(axis=(0, 1)).round(4).tolist() for name, values in by_world.items()},
            "error": {
                name: (values.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(N_WORLDS)).round(4).tolist()
                for name, values in by_world.items()
            },
            "gain_points": dict(zip(STRATEGIES, gains.mean(axis=0).round(2).tolist(), strict=True)),
            "gain_error": dict(
                zip(STRATEGIES, (gains.std(axis=0, ddof=1) / np.sqrt(N_WORLDS)).round(2).tolist(), strict=True)
            ),
        }
    return {"n_worlds": N_WORLDS, "after": list(AFTER), "by_common_share": shares}


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    lines = [
        (
            f"Scores of eight raters for {N_PROMPTS} prompts × {N_RESPONSES} responses, {figures['n_worlds']} worlds. "
            "Each rater is left out once: the scores of the other seven are the base rewards, their choices (300 each, "
            "as their scores decide) the group that the prior is fitted on. Accuracy on pairs of prompts that nobody "
            "was asked about. No text is read and nothing is trained."
        ),
        "",
        "| common share | questions | " + " | ".join(f"after {n}" for n in figures["after"]) + " |",
        "|---|---|" + "---|" * len(figures["after"]),
    ]
    for share, world in figures["by_common_share"].items():
        for name, values in world["accuracy"].items():
            cells = zip(values, world["error"][name], strict=True)
            lines.append(f"| {share} | {name} | " + " | ".join(f"{mean:.3f} ± {se:.3f}" for mean, se in cells) + " |")
    gains = "; ".join(
        f"{world['gain_points'][name]:+.1f} ± {world['gain_error'][name]:.1f} points by 30 {words} questions at {share}"
        for share, world in figures["by_common_share"].items()
        for name, words in (("information_gain", "chosen"), ("random", "random"))
    )
    return "\n".join([*lines, "", f"Over the other raters' average: {gains}. Errors are over worlds."])
