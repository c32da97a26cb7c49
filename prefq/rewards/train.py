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
from prefq.rewards.factorization.base import OnStep, silent
from prefq.rewards.group import GroupComparisons
from prefq.rewards.learning import AVERAGE, DEFAULT, LearnedRewards, learn_rewards
from prefq.rewards.linear import LinearRewards
from prefq.rewards.logs import TextComparisons
from prefq.rewards.naming import propose_names
from prefq.rewards.tested import tested
from prefq.vocabulary import counted

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
    stop_by: float = 0.0,
    cache: str | os.PathLike[str] | None = None,
    checkpoints: Path | None = None,
    without: NDArray[np.bool_] | None = None,
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
    method, n_features, stop_by, checkpoints
        As `learn_rewards` takes them.
    cache
        Folder that keeps encodings, so that a run that was interrupted goes on.
    without : (n_users,), optional
        Users whom nothing is to be learned from: those whom the encoder was tuned to.
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
    say = on_step or silent
    say(f"encoding {counted(len(comparisons.responses), 'text')}")
    encodings, encoded = encode_items(
        encoder, comparisons.prompts, comparisons.responses, cache=cache, on_progress=on_progress
    )
    group = comparisons.group
    rows = np.union1d(comparisons.train, comparisons.validation)
    learned_from = group.of_rows(rows if without is None else rows[~without[group.users[rows]]])
    if not learned_from.n_comparisons:
        raise InputError("no comparison is of a train user on a train prompt; import a larger log.")
    say(encoded.sentence(learned_from.pairs))
    learned_from = learned_from.of_heard()
    rng = np.random.default_rng(seed)
    learned = learn_rewards(
        encodings,
        learned_from,
        method=method,
        n_features=n_features,
        stop_by=stop_by,
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
        report["test"] = tested(encodings, learned.heads, learned.prior, learned_from, tests, seed)
    known = (encoder.identity, os.fspath(place), learned.mean, learned.heads, names.names, names.opposites)
    without_prior = LinearRewards(*known, examples=names.examples, report=report)
    return replace(without_prior, prior=replace(learned.prior, feature_space=without_prior.feature_space))


def _report(
    learned: LearnedRewards, group: GroupComparisons, encoded: dict[str, Any], n_asked: int | None, seed: int
) -> dict[str, Any]:
    """How the rewards were learned, as JSON values."""
    return {
        "method": learned.method,
        "n_features": learned.heads.shape[1],
        "n_features_asked": None if learned.method == AVERAGE else n_asked,
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
