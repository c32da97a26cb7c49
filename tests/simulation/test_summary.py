"""Summaries: numbers worked by hand from a small table, signs, units, equivalents, and what is missing."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from prefq.errors import InputError
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import MEASURES
from prefq.simulation.strategies import OURS, Strategy
from prefq.simulation.summary import random_equivalent, read_results, summarise
from prefq.vocabulary import Array

Table = dict[str, NDArray[Any]]
KNOWN = {strategy.name: strategy for strategy in (*OURS, *CONTROLS)}
PEER = Strategy("peer", KNOWN["random"].begin, "a recipe", kind="peer")


def table_of(curves: dict[str, Array], *, worlds: NDArray[np.intp], measure: str = "log_loss") -> Table:
    """Curves (n_people, n_answers + 1) of one measure by strategy, people numbered within their world."""
    users = np.array([f"u{(worlds[:i] == world).sum()}" for i, world in enumerate(worlds)])
    parts = []
    for name, values in curves.items():
        n_people, n_steps = values.shape
        parts.append(
            {
                "world": np.repeat(worlds, n_steps),
                "user": np.repeat(users, n_steps),
                "strategy": np.full(n_people * n_steps, name),
                "n_answers": np.tile(np.arange(n_steps), n_people),
                measure: values.ravel(),
            }
        )
    table = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    nothing = np.full(len(table["world"]), np.nan)
    order = np.random.default_rng(0).permutation(len(nothing))  # the order of rows carries nothing
    return {column: values[order] for column, values in (dict.fromkeys(MEASURES, nothing) | table).items()}


def summary_of(table: Table, *names: str, **options: Any) -> dict[str, Any]:
    strategies = [KNOWN.get(name, PEER) for name in names]
    return summarise(table, strategies, rng=np.random.default_rng(1), **options)


def find(summary: dict[str, Any], strategy: str, reference: str, n_answers: int) -> dict[str, Any]:
    (entry,) = (
        entry
        for entry in summary["comparisons"]
        if (entry["strategy"], entry["reference"], entry["n_answers"]) == (strategy, reference, n_answers)
    )
    return dict(entry)


def test_a_lower_loss_is_a_positive_difference_with_the_t_interval_of_worlds() -> None:
    rng = np.random.default_rng(2)
    worlds = np.repeat([0, 1, 2], 4)
    ours, random = rng.uniform(0.3, 0.7, size=(2, 12, 6))
    summary = summary_of(table_of({"d_optimal": ours, "random": random}, worlds=worlds), "d_optimal", "random")
    means = (random - ours)[:, 3].reshape(3, 4).mean(axis=1)
    interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    entry = find(summary, "d_optimal", "random", 3)
    assert entry["difference"] == pytest.approx(means.mean(), abs=1e-4)
    assert (entry["low"], entry["high"]) == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert (entry["n_users"], entry["n_worlds"]) == (12, 3)
    curve = summary["strategies"]["d_optimal"]["curves"]["log_loss"]
    by_world = ours.reshape(3, 4, 6).mean(axis=1)
    np.testing.assert_allclose(curve["mean"], by_world.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(curve["se"], stats.sem(by_world, axis=0), atol=1e-4)


def test_a_higher_accuracy_is_a_positive_difference() -> None:
    values = np.random.default_rng(3).uniform(size=(20, 4)) / 100
    curves = {"static": 0.8 + values, "random": 0.7 + values[::-1]}
    table = table_of(curves, worlds=np.zeros(20, dtype=np.intp), measure="accuracy")
    entry = find(summary_of(table, "random", "static"), "static", "random", 3)
    assert entry["difference"] == pytest.approx(0.1, abs=1e-4)
    assert entry["verdict"] == "better"
    assert entry["users_needed"] is None
    assert "users_for_target" not in entry


def test_everybody_meets_the_references_and_our_default_meets_the_peers() -> None:
    names = ("pooled", "random", "spread_matched_random", "static", "information_gain", "d_optimal", "peer")
    values = {name: np.random.default_rng(4).uniform(size=(5, 4)) for name in names}
    summary = summary_of(table_of(values, worlds=np.zeros(5, dtype=np.intp)), *reversed(names))
    met = {(entry["strategy"], entry["reference"]) for entry in summary["comparisons"]}
    references = names[:4]
    of_others = {(name, reference) for name in names[4:] for reference in references}
    among = {(later, earlier) for i, later in enumerate(references) for earlier in references[:i]}
    assert met == of_others | among | {("information_gain", "peer")}
    assert {entry["n_answers"] for entry in summary["comparisons"]} == {3}


def test_a_profile_is_compared_with_the_profile_of_another() -> None:
    rng = np.random.default_rng(5)
    own, swapped = rng.uniform(0.3, 0.5, size=(8, 4)), rng.uniform(0.6, 0.9, size=(8, 4))
    worlds = np.zeros(8, dtype=np.intp)
    table = table_of({"d_optimal": own}, worlds=worlds)
    table["swapped_log_loss"] = table_of({"d_optimal": swapped}, worlds=worlds)["log_loss"]
    entry = find(summary_of(table, "d_optimal"), "d_optimal", "swapped", 3)
    assert entry["difference"] == pytest.approx((swapped - own)[:, 3].mean(), abs=1e-4)
    assert entry["verdict"] == "better"


def test_no_harm_is_asked_of_log_loss_against_the_pooled_regression_only() -> None:
    rng = np.random.default_rng(6)
    noise = rng.normal(scale=0.01, size=(50, 4))
    noise -= noise.mean(axis=0)
    worlds = np.zeros(50, dtype=np.intp)
    base = np.full((50, 4), 0.6)
    table = table_of({"d_optimal": base + noise, "pooled": base, "random": base}, worlds=worlds)
    names = ("d_optimal", "pooled", "random")
    asked = summary_of(table, *names, no_harm_margin=0.01)
    assert find(asked, "d_optimal", "pooled", 3)["verdict"] == "no harm"
    assert find(asked, "d_optimal", "random", 3)["verdict"] == "cannot tell"
    assert find(summary_of(table, *names), "d_optimal", "pooled", 3)["verdict"] == "cannot tell"
    unsure = find(summary_of(table, *names, no_harm_margin=0.001), "d_optimal", "pooled", 3)
    # (1.96 + .84)² sd² / margin², and two more because the variance is estimated
    sd = noise[:, 3].std(ddof=1)
    assert unsure["verdict"] == "cannot tell"
    assert unsure["users_for_target"] < unsure["users_needed"]  # the target of .01 is wider than the margin
    assert unsure["users_needed"] == pytest.approx(7.849 * sd**2 / 0.001**2 + 2, abs=1)


def test_random_equivalents_are_read_off_the_mean_curve() -> None:
    # Everybody alike: random falls by .01 a question, the strategy by .015.
    steps = np.arange(21)
    worlds = np.repeat([0, 1], 3)
    curves = {"random": np.tile(0.7 - 0.01 * steps, (6, 1)), "d_optimal": np.tile(0.7 - 0.015 * steps, (6, 1))}
    curves["static"] = np.tile(0.7 - 0.03 * steps, (6, 1))
    curves["pooled"] = np.full((6, 21), 0.8)
    summary = summary_of(table_of(curves, worlds=worlds), *curves)
    found = summary["random_equivalents"]
    assert found["d_optimal"] == {"at": 10, "measure": "log_loss", "value": 15.0, "low": 15.0, "high": 15.0}
    assert found["static"]["value"] == found["static"]["high"] == ">20"
    assert found["pooled"]["value"] == 0
    assert "random" not in found


def test_the_bootstrap_of_random_equivalents_covers_what_is_true() -> None:
    """80 runs of 60 users whose means cross at 13: 95 % intervals hold it in at least 70 (binomial: p = .002)."""
    rng, steps, held = np.random.default_rng(7), np.arange(21), 0
    for _ in range(80):
        of_user = rng.normal(scale=0.02, size=(60, 1))
        random = 0.7 - 0.01 * steps + of_user + rng.normal(scale=0.02, size=(60, 21))
        ours = 0.7 - 0.013 * steps + of_user + rng.normal(scale=0.02, size=(60, 21))
        table = table_of({"random": random, "d_optimal": ours}, worlds=np.zeros(60, dtype=np.intp))
        found = summary_of(table, "random", "d_optimal", n_bootstrap=200)["random_equivalents"]["d_optimal"]
        held += found["low"] <= 13 <= found["high"]
    assert 70 <= held < 80


def test_interpolation_stops_at_the_first_crossing() -> None:
    curve = np.array([[0.0, 2.0, 1.0, 4.0]])
    assert random_equivalent(curve, np.array([1.0])) == pytest.approx([0.5])
    assert random_equivalent(curve, np.array([2.5])) == pytest.approx([2.5])
    assert random_equivalent(curve, np.array([-1.0])) == pytest.approx([0.0])
    assert np.isposinf(random_equivalent(curve, np.array([5.0])))


def test_seeds_of_a_replay_are_repeats_and_not_worlds() -> None:
    rng = np.random.default_rng(8)
    ours, random = rng.uniform(size=(2, 30, 4))
    table = table_of({"d_optimal": ours, "random": random}, worlds=np.repeat([0, 1, 2], 10))
    entry = find(summary_of(table, "d_optimal", "random", repeated=True), "d_optimal", "random", 3)
    by_user = (random - ours)[:, 3].reshape(3, 10).mean(axis=0)
    assert entry["se"] == pytest.approx(stats.sem(by_user), abs=1e-4)
    assert entry["n_users"] == 10


def test_missing_users_and_failures_are_said() -> None:
    values = np.random.default_rng(9).uniform(size=(6, 4))
    table = table_of({"d_optimal": values, "random": values}, worlds=np.zeros(6, dtype=np.intp))
    keep = ~((table["strategy"] == "random") & (table["user"] == "u3"))
    summary = summary_of(
        {name: column[keep] for name, column in table.items()},
        *("d_optimal", "random", "static", "peer"),
        failed={"peer": "no endpoint"},
        ms_per_question={"random": 0.5},
    )
    entry = find(summary, "d_optimal", "random", 3)
    assert (entry["n_users"], entry["n_left_out"]) == (5, 1)
    assert any("at most 1" in note for note in summary["notes"])
    strategies = summary["strategies"]
    assert strategies["peer"]["failed"] == "no endpoint"
    assert strategies["static"]["failed"] == "Nobody was measured."
    assert strategies["random"]["failed"] is strategies["d_optimal"]["ms_per_question"] is None
    assert strategies["random"]["ms_per_question"] == 0.5
    assert strategies["static"]["n_users"] == 0
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_same_table_gives_the_same_summary() -> None:
    values = np.random.default_rng(10).uniform(size=(2, 6, 21))
    table = table_of({"d_optimal": values[0], "random": values[1]}, worlds=np.repeat([0, 1], 3))
    first, again = (summary_of(table, "d_optimal", "random") for _ in range(2))
    assert first == again


def test_bad_tables_have_a_sentence() -> None:
    table = table_of({"random": np.zeros((2, 4))}, worlds=np.zeros(2, dtype=np.intp))
    twice = {name: np.concatenate([column, column]) for name, column in table.items()}
    with pytest.raises(InputError, match="strategy 'random' was measured twice on one user"):
        read_results(twice, ["random"])
    with pytest.raises(InputError, match="has no column auc, words"):
        read_results({name: column for name, column in table.items() if name not in ("auc", "words")}, ["random"])
