"""How many base rewards are recommended where the truth has six, from held-out people after ten answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prefq.rewards.folds import RankPoint
from prefq.rewards.learning import learn_rewards
from prefq.simulation.learned_strategies import comparisons_of
from prefq.simulation.synthetic import make_world

TITLE = "The number of base rewards"
GOAL = "the fewest within a point of the best held-out accuracy after ten answers; 2 to 8 where the truth has six"
WORLD = "encoded_text_factors"
N_WORLDS = 3
SEED = 5


def measure() -> dict[str, Any]:
    """Figures of the run."""
    chosen, curves = [], []
    for world in range(N_WORLDS):
        panel = make_world(WORLD, n_users=1, rng=np.random.default_rng([SEED, world]))
        found = learn_rewards(*comparisons_of(panel.group), rng=np.random.default_rng([SEED, world]))
        told = [point.n_features for point in found.curve if point.accuracy >= best_of(found.curve) - 0.01]
        chosen.append({"features": found.heads.shape[1], "fewest_within_a_point": min(told)})
        curves.append([[point.n_features, round(point.accuracy, 4), round(point.log_loss, 4)] for point in found.curve])
    return {"n_worlds": N_WORLDS, "chosen": chosen, "features_accuracy_loss": curves}


def best_of(curve: Sequence[RankPoint]) -> float:
    """Highest held-out accuracy of any number of features."""
    return max(point.accuracy for point in curve)


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    numbers = ", ".join(str(each["features"]) for each in figures["chosen"])
    fewest = ", ".join(str(each["fewest_within_a_point"]) for each in figures["chosen"])
    first = "; ".join(f"{n}: {accuracy:.3f}" for n, accuracy, _ in figures["features_accuracy_loss"][0])
    return (
        f"In {figures['n_worlds']} worlds with six true features, {numbers} base rewards are learned; the fewest "
        f"within a point of the best held-out accuracy after ten answers are {fewest}. Accuracy by number in the "
        f"first: {first}."
    )
