"""From a group's comparisons and a table of scores to ScoreRewards: nothing is learned but where new people start.

Test users and test prompts of the comparisons take no part in that. Scores are no labels: their units are those of the
whole table.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.population import fit_population_prior
from prefq.rewards.factorization.base import OnStep, silent
from prefq.rewards.group import GroupComparisons
from prefq.rewards.logs import TextComparisons
from prefq.rewards.score_tables import ScoreTable
from prefq.rewards.scored_texts import ScoredTexts
from prefq.rewards.scores import ScoreReport, ScoreRewards, score_rewards
from prefq.rewards.tested import tested

METHOD = "scores"
AT_ONCE = 4096  # texts that are looked up at a time


def train_scores(
    comparisons: TextComparisons,
    table: ScoreTable,
    *,
    error_sds: Mapping[str, float] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> ScoreRewards:
    """Base rewards that are columns of a table, with the prior of new people; they know the table's texts.

    Parameters
    ----------
    comparisons
        What ``prefq data import`` wrote; the prior is fitted on train and validation users on train prompts.
    table
        Its prompts and responses are the texts of the comparisons, letter by letter; comparisons of texts that it does
        not have are left out and counted.
    error_sds
        Declared errors, as `score_rewards` takes them.
    seed
        Decides which of a task's comparisons tell the prior, and which answers of test people are learned from.
    on_step
        Told what is being done; may raise to end it.

    Raises
    ------
    InputError
        When no comparison is of two texts that the table has, or the table cannot be used.
    """
    say = on_step or silent
    rewards, worth = score_rewards(table, error_sds=error_sds)
    say("looking up the scores of the texts")
    features, found = _features(comparisons, rewards, ScoredTexts.of(table))
    group = comparisons.group
    scored: NDArray[np.bool_] = np.asarray(found[group.pairs].all(axis=1))
    rows = np.union1d(comparisons.train, comparisons.validation)
    learned_from = group.of_rows(rows[scored[rows]]).of_heard()
    if not learned_from.n_comparisons:
        raise InputError(
            f"of {len(rows)} comparisons to learn from none is of two responses that the table scores "
            f"({found.sum()} of {group.n_items} are found in it); its columns of prompts and responses must hold the "
            "texts of the log."
        )
    say("fitting where new people start")
    told = learned_from.of_rows(learned_from.independent(np.random.default_rng(seed)))
    prior = fit_population_prior(
        told.differences(features),
        told.outcomes,
        told.users,
        strengths=told.strengths,
        n_components="auto",
        feature_space=rewards.feature_space,
        on_step=on_step,
    )
    report = _report(worth, table, learned_from, seed) | {
        "n_left_out": int((~scored[rows]).sum()),
        "left_aside": {} if table.report is None else dict(table.report.left_aside),
        "error_sds": dict(error_sds or {}),
    }
    tests = np.union1d(comparisons.test, comparisons.history)
    tests = tests[scored[tests]]
    if len(tests):
        say("testing on people who were held out")
        report["test"] = tested(features, np.eye(features.shape[1]), prior, learned_from, group.of_rows(tests), seed)
    return replace(rewards, prior=prior, scored=ScoredTexts.of(table), report=report)


def _features(
    comparisons: TextComparisons, rewards: ScoreRewards, scored: ScoredTexts
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features (n_items, n_features) of the compared responses, zero where there are no scores, and where there are."""
    n_items = comparisons.group.n_items
    rows = np.full(n_items, -1)
    for start in range(0, n_items, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        rows[part] = scored.rows(comparisons.prompts[part], comparisons.responses[part])
    found: NDArray[np.bool_] = np.asarray(rows >= 0)
    features = np.zeros((n_items, len(rewards.names)))
    if found.any():
        features[found] = rewards.of_scores(scored.scores[rows[found]])
    return features, found


def _report(worth: ScoreReport, table: ScoreTable, group: GroupComparisons, seed: int) -> dict[str, Any]:
    """How the rewards were made, as JSON values."""
    columns = zip(table.names, worth.scales, worth.reliabilities, worth.recovered, strict=True)
    return {
        "method": METHOD,
        "n_features": len(table.names),
        "seed": seed,
        "n_users": group.n_users,
        "n_comparisons": group.n_comparisons,
        "n_texts": worth.n_items,
        "columns": [
            {"name": name, "scale": float(scale), "reliability": float(reliability), "recovered": float(recovered)}
            for name, scale, reliability, recovered in columns
        ],
    }
