"""From a group's comparisons with their texts to LinearRewards: encode, learn, name, and test on people held out.

What is learned, and how its size is chosen, is in `prefq.rewards.learning`. Test users and test prompts of the
comparisons take no part in it.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.encoders import Encoder
from prefq.rewards.encoding_cache import encode_items
from prefq.rewards.factorization.base import OnStep
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import HeldOutCurve, held_out_curve
from prefq.rewards.learning import DEFAULT, LearnedRewards, learn_rewards
from prefq.rewards.linear import LinearRewards
from prefq.rewards.logs import TextComparisons
from prefq.rewards.naming import propose_names
from prefq.rewards.shared_reward import fit_shared_reward
from prefq.vocabulary import Array, FeatureSpace, PopulationPrior, counted

NAMED_BY = 2000  # items whose texts names are proposed from
LEAST_COMMON = 0.25  # logits, of a typical pair: below, nothing is liked by most people
OnProgress = Callable[[int, int], None]


def train_rewards(
    comparisons: TextComparisons,
    encoder: Encoder,
    *,
    place: str | os.PathLike[str],
    method: str = DEFAULT,
    n_features: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    checkpoints: Path | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    on_progress: OnProgress | None = None,
) -> LinearRewards:
    """Base rewards that tell the people of a log apart, with the prior of new ones.

    Parameters
    ----------
    comparisons
        What ``prefq data import`` wrote; learned from are the train and validation users on train prompts.
    encoder
        Reads the texts.
    place
        Where the encoder is, as the rewards are to remember it.
    method, n_features, checkpoints
        As `learn_rewards` takes them.
    cache
        Folder that keeps encodings, so that a run that was interrupted goes on.
    seed
        Of all draws.
    on_step
        Told what is being done.
    on_progress
        Told how many items are encoded, and of how many.

    Raises
    ------
    InputError
        When there is nothing to learn from.
    """
    say = on_step or (lambda _: None)
    say(f"encoding {counted(len(comparisons.responses), 'text')}")
    encodings, encoded = encode_items(
        encoder, comparisons.prompts, comparisons.responses, cache=cache, on_progress=on_progress
    )
    group = comparisons.group
    learned_from = group.of_rows(np.union1d(comparisons.train, comparisons.validation))
    if not learned_from.n_comparisons:
        raise InputError("no comparison is of a train user on a train prompt; import a larger log.")
    say(encoded.sentence(learned_from.pairs))
    learned_from = _renumbered(learned_from)
    rng = np.random.default_rng(seed)
    learned = learn_rewards(
        encodings,
        learned_from,
        method=method,
        n_features=n_features,
        rng=rng,
        checkpoints=checkpoints,
        on_step=on_step,
    )
    say("naming the base rewards")
    compared = np.unique(learned_from.pairs)
    sample = np.sort(rng.choice(compared, min(NAMED_BY, compared.size), replace=False))
    features = (encodings[sample].astype(np.float64) - learned.mean) @ learned.heads
    texts = [[column[int(i)] for i in sample] for column in (comparisons.prompts, comparisons.responses)]
    common = float(learned.prior.coefficients.mean[0]) >= LEAST_COMMON
    names = propose_names(features, texts[0], texts[1], common=common)
    report = _report(learned, learned_from, encoded._asdict(), n_features, seed)
    tests = group.of_rows(np.union1d(comparisons.test, comparisons.history))
    if tests.n_comparisons:
        say("testing on people who were held out")
        report["test"] = _tested(encodings, learned, learned_from, tests, seed)
    known = (encoder.identity, os.fspath(place), learned.mean, learned.heads, names.names, names.opposites)
    without_prior = LinearRewards(*known, examples=names.examples, report=report)
    return replace(without_prior, prior=of_space(learned.prior, without_prior.feature_space))


def of_space(prior: PopulationPrior, space: FeatureSpace) -> PopulationPrior:
    """The prior, said to be of these features."""
    return PopulationPrior(
        prior.coefficients,
        response_model=prior.response_model,
        feature_space=space,
        n_users=prior.n_users,
        impersonal=prior.impersonal,
    )


def _renumbered(group: GroupComparisons) -> GroupComparisons:
    """The comparisons with no users but those who made them."""
    numbers, users = np.unique(group.users, return_inverse=True)
    return GroupComparisons(
        group.pairs,
        group.outcomes,
        users.astype(np.int64),
        tuple(group.user_ids[i] for i in numbers),
        group.prompt_codes,
        group.strengths,
        group.tasks,
    )


def _report(
    learned: LearnedRewards, group: GroupComparisons, encoded: dict[str, Any], n_asked: int | None, seed: int
) -> dict[str, Any]:
    """How the rewards were learned, as JSON values."""
    return {
        "method": learned.method,
        "n_features": learned.heads.shape[1],
        "n_features_asked": n_asked,
        "seed": seed,
        "n_users": group.n_users,
        "n_comparisons": group.n_comparisons,
        "n_texts": encoded["n_items"],
        "n_truncated": int(encoded["truncated"].sum()),
        "features": [_finite(point._asdict()) for point in learned.curve],
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what could not be measured is null."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _tested(
    encodings: NDArray[np.floating[Any]],
    learned: LearnedRewards,
    group: GroupComparisons,
    tests: GroupComparisons,
    seed: int,
) -> dict[str, Any] | None:
    """Test users after 0, 5, 10 and 20 answers, and the reward that everybody shares beside it; None without any."""
    try:
        curve = _curve(encodings, learned.heads, learned.prior, tests, seed)
    except InputError:  # nobody has enough answers
        return None
    shared = fit_shared_reward(encodings, group, rng=np.random.default_rng(seed))
    pooled = _curve(encodings, *shared, tests, seed)
    gain = pooled.log_losses[:, :1] - curve.log_losses
    root = np.sqrt(max(len(gain) - 1, 1))
    return {
        "n_people": len(curve.people),
        "after": list(curve.after),
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
    return held_out_curve(features, tests.outcomes, tests.users, prior, rng=np.random.default_rng(seed))
