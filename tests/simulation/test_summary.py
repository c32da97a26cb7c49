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
from prefq.simulation.summary import Parts, random_equivalent, read_results, summarise
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


def test_everybody_meets_the_references_and_our_default_meets_everybody() -> None:
    names = ("pooled", "random", "spread_matched_random", "static", "information_gain", "d_optimal", "peer")
    values = {name: np.random.default_rng(4).uniform(size=(5, 4)) for name in names}
    summary = summary_of(table_of(values, worlds=np.zeros(5, dtype=np.intp)), *reversed(names))
    met = {(entry["strategy"], entry["reference"]) for entry in summary["comparisons"]}
    references = names[:4]
    of_others = {(name, reference) for name in names[4:] for reference in references}
    among = {(later, earlier) for i, later in enumerate(references) for earlier in references[:i]}
    assert met == of_others | among | {("information_gain", "peer"), ("information_gain", "d_optimal")}
    assert {entry["n_answers"] for entry in summary["comparisons"]} == {1, 3}


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
    worlds = np.zeros(6, dtype=np.intp)
    curves = {"random": np.tile(0.7 - 0.01 * steps, (6, 1)), "d_optimal": np.tile(0.7 - 0.015 * steps, (6, 1))}
    curves["static"] = np.tile(0.7 - 0.03 * steps, (6, 1))
    curves["pooled"] = np.full((6, 21), 0.8)
    summary = summary_of(table_of(curves, worlds=worlds), *curves)
    found = summary["random_equivalents"]
    assert found["d_optimal"] == {
        "at": 10,
        "measure": "log_loss",
        **dict.fromkeys(("value", "low", "high"), 15.0),
        "n_units": 6,
    }
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


@pytest.mark.parametrize("n_worlds", [5, 8])
def test_with_few_worlds_the_interval_of_random_equivalents_is_as_wide_as_that_of_t(n_worlds: int) -> None:
    # Random falls by .01 a question for everybody, so questions are a hundred times the mean of what was reached.
    rng, steps = np.random.default_rng(12), np.arange(41)
    random = np.tile(0.7 - 0.01 * steps, (n_worlds, 1))
    widths: list[float] = []
    expected: list[float] = []
    for _ in range(12):
        reached = rng.normal(0.5, 0.03, size=n_worlds)
        curves = {"random": random, "d_optimal": np.tile(reached[:, None], 41)}
        found = summary_of(table_of(curves, worlds=np.arange(n_worlds)), *curves)["random_equivalents"]["d_optimal"]
        interval = stats.ttest_1samp(100 * (0.7 - reached), 0).confidence_interval(0.95)
        widths.append(found["high"] - found["low"])
        expected.append(float(interval.high - interval.low))
    # Plain percentiles give .63 of it with five worlds and .76 with eight; these .88 and .96.
    assert sum(widths) / sum(expected) == pytest.approx(1.0, abs=0.13)


def test_fewer_than_five_units_are_not_bootstrapped() -> None:
    values = 0.7 - 0.01 * np.arange(21) + np.random.default_rng(13).normal(scale=0.01, size=(2, 40, 21))
    table = table_of({"random": values[0], "d_optimal": values[1]}, worlds=np.repeat(np.arange(4), 10))
    found = summary_of(table, "random", "d_optimal")["random_equivalents"]["d_optimal"]
    assert (found["low"], found["high"], found["n_units"]) == (None, None, 4)
    assert found["value"] == pytest.approx(10, abs=2)


def test_a_peer_that_was_measured_in_one_world_has_no_verdict_and_one_in_fewer_worlds_is_said_to_be() -> None:
    values = np.random.default_rng(14).uniform(size=(2, 40, 4))
    worlds = np.repeat(np.arange(4), 10)
    for n_worlds, verdicts in ((1, {"cannot tell"}), (3, {"better"})):
        peer = np.where((worlds < n_worlds)[:, None], values[0] + 9 + 0.01 * worlds[:, None], np.nan)
        table = table_of({"information_gain": values[0], "random": values[1], "peer": peer}, worlds=worlds)
        keep = ~((table["strategy"] == "peer") & (table["world"] >= n_worlds))
        summary = summary_of(
            {name: column[keep] for name, column in table.items()}, "information_gain", "random", "peer"
        )
        met = find(summary, "information_gain", "peer", 3)
        assert met["n_units"] == met["n_worlds"] == n_worlds
        assert {met["verdict"]} == verdicts
        assert (met["se"] is None) == (n_worlds == 1)
        assert find(summary, "information_gain", "random", 3)["n_units"] == 4
        (said,) = (note for note in summary["notes"] if "peer" in note)
        assert ("one of the 4 worlds" if n_worlds == 1 else "over 3 worlds, not 4") in said


def test_people_who_share_a_conversation_are_one_unit() -> None:
    """Three conversations over two seeds: by hand, seeds within people, people within conversations, then t."""
    rng = np.random.default_rng(15)
    of_person = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    names = ("bees", "cars", "dogs")
    worlds = np.repeat([0, 1], 9)
    gains = rng.normal(0.1, 0.02, size=(2, 9)) + np.array([0.3, 0.0, -0.2])[of_person]
    curves = {
        "information_gain": np.tile(1 - gains.reshape(-1, 1), 11),
        "pooled": np.ones((18, 11)),
        "random": np.full((18, 11), 0.9),
    }
    parts = Parts("conversation", {f"u{person}": names[part] for person, part in enumerate(of_person)})
    summary = summary_of(table_of(curves, worlds=worlds), *curves, repeated=True, parts=parts)
    people = gains.mean(axis=0)
    means = [people[of_person == part].mean() for part in range(3)]
    interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    met = find(summary, "information_gain", "pooled", 10)
    assert summary["unit"] == "conversations"
    assert (met["n_users"], met["n_worlds"], met["n_units"]) == (9, 2, 3)
    assert met["difference"] == pytest.approx(np.mean(means), abs=1e-4)
    assert (met["low"], met["high"]) == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert met["verdict"] == "cannot tell"
    rows = summary["by_part"]["rows"]
    assert [(row["part"], row["n_users"]) for row in rows] == [("bees", 4), ("cars", 2), ("dogs", 3)]
    assert [row["pooled"]["difference"] for row in rows] == pytest.approx(means, abs=1e-4)
    assert rows[2]["pooled"]["se"] == pytest.approx(stats.sem(people[of_person == 2]), abs=1e-4)
    assert rows[0]["random"]["difference"] == pytest.approx(means[0] - 0.1, abs=1e-4)
    assert rows[0]["static"] is None
    assert "over 3 conversations" in summary["notes"][0]
    # Without the conversations the same numbers look like a finding.
    alone = summary_of(table_of(curves, worlds=worlds), *curves, repeated=True)
    assert (alone["unit"], find(alone, "information_gain", "pooled", 10)["n_units"]) == ("users", 9)
    assert "by_part" not in alone


def test_people_with_a_choice_of_questions_are_compared_by_themselves() -> None:
    rng = np.random.default_rng(16)
    ours, random = rng.normal(0.6, 0.1, size=(2, 30, 11))
    ours[20:] = random[20:]  # the last ten had only ten questions: whoever asks them all has asked the same
    table = table_of({"information_gain": ours, "random": random}, worlds=np.zeros(30, dtype=np.intp))
    open_questions = {(0, f"u{user}"): 20 if user < 20 else 10 for user in range(30)}
    summary = summary_of(table, "information_gain", "random", repeated=True, open_questions=open_questions)
    gains = (random - ours)[:20, 10]
    interval = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    enough = summary["enough_questions"]
    (met,) = enough["comparisons"]
    assert (enough["at_least"], enough["n_users"], met["reference"], met["n_answers"]) == (20, 20, "random", 10)
    assert met["difference"] == pytest.approx(gains.mean(), abs=1e-4)
    assert (met["low"], met["high"]) == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert any("The 20 users with at least 20 questions" in note for note in summary["notes"])
    diluted = find(summary, "information_gain", "random", 10)
    assert diluted["difference"] == pytest.approx(met["difference"] * 2 / 3, abs=1e-4)
    everybody = dict.fromkeys(open_questions, 20)
    assert "enough_questions" not in summary_of(table, "information_gain", "random", open_questions=everybody)


def test_notes_say_what_stated_preferences_do_not_cost() -> None:
    values = np.random.default_rng(17).uniform(size=(2, 5, 4))
    table = table_of({"stated": values[0], "random": values[1]}, worlds=np.zeros(5, dtype=np.intp))
    assert any("no reading time" in note for note in summary_of(table, "stated", "random")["notes"])
    assert not any("no reading time" in note for note in summary_of(table, "random")["notes"])


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
    with pytest.raises(InputError, match=r"user 'u1' has no conversation; give one for each user \(1 have none\)"):
        read_results(table, ["random"], repeated=True, parts=Parts("conversation", {"u0": "bees"}))
    with pytest.raises(InputError, match="has no column auc, words"):
        read_results({name: column for name, column in table.items() if name not in ("auc", "words")}, ["random"])
