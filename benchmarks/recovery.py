"""Do the methods find what tastes weigh? Synthetic groups of 500 people over eight true features.

With 50 answers each, and with 100, which tells a method that does not find them from answers that do not say it. And
whether PReF's start by singular vectors is worth its while: the same group, ten held-out parts and random starts.
"""

from typing import Any

import numpy as np

from prefq.rewards.factorization.base import Factorization
from prefq.rewards.factorization.pref import StartName, fit_pref
from prefq.rewards.fits import held_out_pairs
from prefq.rewards.group import GroupComparisons
from prefq.rewards.learning import method_of
from prefq.simulation.learned_strategies import comparisons_of
from prefq.simulation.panels import Panel
from prefq.simulation.recovery import smallest_cosine
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array

TITLE = "Base rewards are found"
GOAL = "smallest cosine of a principal angle to the eight true features at least .95; singular vectors no worse a start"
N_USERS = 500
ANSWERS = (50, 100)  # of each; the goal is of the first
N_TRUE = 8
N_FEATURES = {"bayes": N_TRUE + 1, "pref": N_TRUE, "rfm": N_TRUE, "lore": N_TRUE + 1}  # the common taste, the corners
STARTS: tuple[StartName, ...] = ("published", "observed", "random")
N_WORLDS, N_SEEDS = 3, 10
SEED = 5
REACHED = 0.95


def panel_of(world: int, n_answers: int = ANSWERS[0]) -> Panel:
    """The group of a world, so many answers each, and a pool to measure angles over."""
    name = f"encoded_text_factors({N_USERS}, d={N_TRUE}, n_answers={N_USERS * n_answers})"
    return make_world(name, n_users=1, rng=np.random.default_rng([SEED, world]))


def cosine(panel: Panel, found: Factorization) -> float:
    """Of the worst true direction."""
    assert panel.true_heads is not None
    differences = (panel.first - panel.second)[0]
    return smallest_cosine(found.heads, panel.true_heads, differences.T @ differences / len(differences))


def parts(group: GroupComparisons, rng: np.random.Generator) -> tuple[GroupComparisons, GroupComparisons]:
    """What to learn from, and the answers about a tenth of the pairs."""
    aside = held_out_pairs(group, rng)
    return group.of_rows(~aside), group.of_rows(aside)


def cosines(n_answers: int) -> dict[str, list[float]]:
    """By method, one a world, from so many answers of each person."""
    found: dict[str, list[float]] = {name: [] for name in N_FEATURES}
    for world in range(N_WORLDS):
        panel = panel_of(world, n_answers)
        encodings, group = comparisons_of(panel.group)
        for name, n_features in N_FEATURES.items():
            rng = np.random.default_rng([SEED, world])
            # bayes has no use for a held-out part
            own, held_out = (group, None) if name == "bayes" else parts(group, rng)
            learned = method_of(name)(encodings, own, n_features, rng=rng, validation=held_out)
            found[name].append(round(cosine(panel, learned), 4))
    return found


def losses_of_starts(encodings: Array, group: GroupComparisons, *, regularised: bool) -> dict[StartName, list[float]]:
    """Held-out loss in nats a comparison, by start, one a seed; each seed has its held-out part."""
    found: dict[StartName, list[float]] = {name: [] for name in STARTS}
    for seed in range(N_SEEDS):
        own, held_out = parts(group, np.random.default_rng([SEED, seed]))
        for start in STARTS:
            rng = np.random.default_rng([SEED, seed, 1])
            learned = fit_pref(
                encodings, own, N_TRUE, rng=rng, validation=held_out, start=start, regularised=regularised
            )
            found[start].append(min(learned.info.validation_losses))
    return found


def measure() -> dict[str, Any]:
    """Figures of the run."""
    encodings, group = comparisons_of(panel_of(0).group)
    starts = losses_of_starts(encodings, group, regularised=True)
    plain = losses_of_starts(encodings, group, regularised=False)
    best = {name: np.array(losses) for name, losses in starts.items()}
    return {
        "n_worlds": N_WORLDS,
        "n_seeds": N_SEEDS,
        "smallest_cosine": {str(n_answers): cosines(n_answers) for n_answers in ANSWERS},
        "held_out_loss": {name: _mean_and_sd(losses) for name, losses in starts.items()},
        "held_out_loss_unregularised": {name: _mean_and_sd(losses) for name, losses in plain.items()},
        "observed_minus_random": _mean_and_sd((best["observed"] - best["random"]).tolist()),
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    found = figures["smallest_cosine"]
    angles = "; ".join(f"from {n} answers each {_cosines(values)}" for n, values in found.items())
    missed = [name for name, values in found[str(ANSWERS[0])].items() if min(values) < REACHED]
    below = f"From {ANSWERS[0]} below .95: {', '.join(missed)}. " if missed else ""
    starts = ", ".join(f"{name} {mean:.4f} ± {sd:.4f}" for name, (mean, sd) in figures["held_out_loss"].items())
    plain = ", ".join(f"{name} {mean:.4f}" for name, (mean, _) in figures["held_out_loss_unregularised"].items())
    difference, sd = figures["observed_minus_random"]
    return (
        f"Smallest cosine over {figures['n_worlds']} worlds, and mean over them: {angles}. {below}PReF's held-out loss "
        f"by start over {figures['n_seeds']} seeds, mean ± standard deviation in nats: {starts}; without its "
        f"penalties {plain}. "
        f"Start by singular vectors (observed) minus random start, on the same held-out parts: "
        f"{difference:+.4f} ± {sd:.4f}."
    )


def _cosines(values: dict[str, list[float]]) -> str:
    return ", ".join(f"`{name}` {min(each):.3f} (mean {np.mean(each):.3f})" for name, each in values.items())


def _mean_and_sd(values: list[float]) -> list[float]:
    return [round(float(np.mean(values)), 5), round(float(np.std(values, ddof=1)), 5)]
