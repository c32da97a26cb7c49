"""Fits the starter's base rewards on the declared levels and bundles the starter pool.

Run ``python -m benchmarks.starter.build`` after a change of prefq/pool/starter/texts.jsonl, of the lexicon in
prefq/rewards/starter or of the statistics; it writes rewards.json there and the pool in prefq/pool/starter/pool.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prefq.pool.candidate_pool import CandidatePool
from prefq.pool.starter import FOLDER
from prefq.rewards.base import STARTER_FOLDER
from prefq.rewards.style import LEXICON, StyleRewards, squash
from prefq.rewards.text_statistics import Lexicon, statistics_of
from prefq.vocabulary import Array

TEXTS = FOLDER.parent / "texts.jsonl"
AXES = ("thorough", "formal", "technical", "structured", "warm", "decisive", "example", "playful")
OPPOSITES = ("brief", "casual", "plain", "prose", "neutral", "balanced", "principle", "serious")
VERSION = "starter 1"
LENGTH = "log_words"
RIDGE = 200.0  # cross-validated by prompt; 50 to 400 differ by less than .01 in mean correlation
MAX_CORRELATION = 0.15  # of two axes over the texts the model is fitted on; the requirement is .35
# What linguistics expects each axis to show in, said before any fit; - for the other pole.
MARKERS = {
    "thorough": "log_words",
    "formal": "lexicon:formal_link lexicon:formal_word shape:nominalisation shape:latinate mark:passive syllables "
    "-lexicon:contraction -lexicon:slang -mark:exclamation",
    "technical": "lexicon:technical lexicon:unit uncommon longest_words shape:scientific mark:acronym mark:unit_number "
    "mark:hyphenated -lexicon:everyday",
    "structured": "log_lines list_marks labels layout mark:colon -longest_sentence -lexicon:subordinator",
    "warm": "lexicon:warm lexicon:you lexicon:politeness mark:exclamation",
    "decisive": "lexicon:firm imperatives short_sentences -lexicon:hedge -lexicon:balance",
    "example": "mark:name lexicon:calendar lexicon:third_person lexicon:past lexicon:kin lexicon:example_marker "
    "mark:number lexicon:number_word mark:quotation union:particular -lexicon:generality",
    "playful": "union:fancy personification lexicon:simile lexicon:comic lexicon:animal lexicon:grand lexicon:theatre "
    "lexicon:character lexicon:vivid lexicon:mock_solemn -lexicon:risk",
}
DIGITS = 6  # significant ones of each number in rewards.json


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def levels_of(rows: Sequence[dict[str, Any]]) -> Array:
    """Declared levels (n, 8) in {-1, 0, 1}."""
    return np.array([[row["levels"][axis] for axis in AXES] for row in rows], dtype=np.float64)


def within(values: Array, prompts: Sequence[str]) -> Array:
    """Values (n, k) less the mean of their prompt."""
    codes = np.unique(prompts, return_inverse=True)[1]
    sums = np.stack([np.bincount(codes, weights=column) for column in values.T], axis=1)
    return np.asarray(values - (sums / np.bincount(codes)[:, None])[codes])


def fit(rows: Sequence[dict[str, Any]], lexicon_text: str) -> StyleRewards:
    """Rewards fitted on the declared levels of these texts: ridge regression within prompts, then decorrelated."""
    lexicon = Lexicon.parse(lexicon_text)
    table = [statistics_of(row["response"], lexicon) for row in rows]
    prompts = [row["prompt_id"] for row in rows]
    names = tuple(table[0])
    raw = np.array([list(values.values()) for values in table])
    means, spread = raw.mean(axis=0), raw.std(axis=0)
    scales = np.where(spread > 1e-9, spread, 1.0)
    z = within(squash((raw - means) / scales), prompts)
    levels = within(levels_of(rows), prompts)
    weights = np.stack([ridge(z, levels[:, i], marker_signs(axis, names)) for i, axis in enumerate(AXES)], axis=1)
    weights = decorrelate(weights, z, names.index(LENGTH))
    weights *= levels.std(axis=0) / (z @ weights).std(axis=0)  # units of a declared level
    rounded = [np.array([float(f"{v:.{DIGITS}g}") for v in a.flat]).reshape(a.shape) for a in (means, scales, weights)]
    return StyleRewards(AXES, OPPOSITES, VERSION, lexicon_text, names, *rounded)


def marker_signs(axis: str, names: Sequence[str]) -> Array:
    """1, -1 or 0 for each statistic (n_statistics,): how the axis is expected to show in it."""
    signs = np.zeros(len(names))
    for marker in MARKERS[axis].split():
        signs[names.index(marker.removeprefix("-"))] = -1.0 if marker.startswith("-") else 1.0
    return signs


def ridge(z: Array, levels: Array, signs: Array) -> Array:
    """Weights (n_statistics,) of one axis, shrunk towards equal weights on its expected markers and not towards zero.

    So a statistic moves away from what was expected as far as these texts say so, and a marker that is rare in them
    still counts in others. The size of the equal weights is fitted too, without a penalty.
    """
    table = np.column_stack([z, z @ signs])
    penalty = RIDGE * np.eye(table.shape[1])
    penalty[-1, -1] = 0.0
    solved = np.linalg.solve(table.T @ table + penalty, table.T @ levels)
    return np.asarray(solved[:-1] + solved[-1] * signs)


def decorrelate(weights: Array, z: Array, length: int) -> Array:
    """Weights (n_statistics, 8) whose features are free of length, `thorough` excepted, and hardly correlate.

    The features are whitened symmetrically, with their correlation matrix shrunk towards the identity as far as
    the limit allows, so that each stays as close to its axis as can be.
    """
    weights = weights.copy()
    weights[length, 1:] -= z[:, length] @ (z @ weights)[:, 1:] / (z[:, length] @ z[:, length])
    weights /= (z @ weights).std(axis=0)
    identity = np.eye(len(AXES))
    correlation = np.corrcoef((z @ weights).T)
    for share in np.linspace(0, 1, 101):
        values, vectors = np.linalg.eigh((1 - share) * identity + share * correlation)
        whitened = weights @ (vectors / np.sqrt(values)) @ vectors.T
        if np.abs(np.corrcoef((z @ whitened).T) - identity).max() <= MAX_CORRELATION:
            break
    return np.asarray(whitened)


def starter_pool(rows: Sequence[dict[str, Any]], rewards: StyleRewards) -> CandidatePool:
    """All pairs of responses to one prompt; no prior, as there is no group yet that it could come from."""
    prompts, responses = [row["prompt"] for row in rows], [row["response"] for row in rows]
    ids = [row["prompt_id"] for row in rows]
    pairs = [pair for pair in itertools.combinations(range(len(rows)), 2) if ids[pair[0]] == ids[pair[1]]]
    return CandidatePool.from_arrays(
        rewards.features(prompts, responses),
        pairs,
        prompts=prompts,
        responses=responses,
        prompt_ids=ids,
        feature_space=rewards.feature_space,
    )


def main() -> None:
    """Write the model data and the pool."""
    rows = read_rows(TEXTS)
    rewards = fit(rows, (STARTER_FOLDER / LEXICON).read_text(encoding="utf-8"))
    rewards.save(STARTER_FOLDER)
    pool = starter_pool(rows, rewards)
    pool.save(FOLDER)
    print(f"{pool.n_items} responses, {pool.n_questions} questions, {pool.dropped.equal} dropped as equal")


if __name__ == "__main__":
    main()
