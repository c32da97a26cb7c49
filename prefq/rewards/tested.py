"""What base rewards are worth to test people, beside one reward that everybody shares."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import HeldOutCurve, held_out_curve
from prefq.rewards.shared_reward import fit_shared_reward
from prefq.vocabulary import Array, PopulationPrior


def tested(
    encodings: NDArray[np.floating[Any]],
    heads: Array,
    prior: PopulationPrior,
    group: GroupComparisons,
    tests: GroupComparisons,
    seed: int,
) -> dict[str, Any] | None:
    """Test users after 0, 5, 10 and 20 answers, and the reward that everybody shares beside it; None without any.

    told is how many answers were used on average: fewer than `after` says where people gave fewer.
    """
    tests = tests.of_rows(tests.independent(np.random.default_rng(seed)))
    try:
        curve = _curve(encodings, heads, prior, tests, seed)
    except InputError:  # nobody has enough answers
        return None
    shared = fit_shared_reward(encodings, group, rng=np.random.default_rng(seed))
    pooled = _curve(encodings, *shared, tests, seed)
    gain = pooled.log_losses[:, :1] - curve.log_losses
    root = np.sqrt(max(len(gain) - 1, 1))
    return {
        "n_people": len(curve.people),
        "after": list(curve.after),
        "told": curve.told.mean(axis=0).tolist(),
        "log_loss": curve.log_loss.tolist(),
        "log_loss_error": curve.errors[0].tolist(),
        "accuracy": curve.accuracy.tolist(),
        "accuracy_error": curve.errors[1].tolist(),
        "shared_log_loss": float(pooled.log_loss[0]),
        "shared_accuracy": float(pooled.accuracy[0]),
        "gain_over_shared": gain.mean(axis=0).tolist(),
        "gain_error": (gain.std(axis=0) / root).tolist(),
    }


def _curve(
    encodings: NDArray[np.floating[Any]], heads: Array, prior: PopulationPrior, tests: GroupComparisons, seed: int
) -> HeldOutCurve:
    """The same answers and tests for all heads."""
    features = tests.feature_differences(encodings, heads)
    rng, occasions = np.random.default_rng(seed), tests.occasions()
    return held_out_curve(features, tests.outcomes, tests.users, prior, occasions=occasions, rng=rng)
