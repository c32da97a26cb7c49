"""Promises say what the results say, on either side of each goal, and what was not measured is said to be so."""

from typing import Any

import pytest

from prefq_cli.bench.ablation import ablation_parts
from prefq_cli.bench.promises import Promise, promises, render_promises
from prefq_cli.bench.strategies import choose

Summary = dict[str, Any]


def curve(kind: str = "ours", **levels: float) -> Summary:
    """A strategy whose measures are constant along the way."""
    curves = {measure: {"mean": [level] * 21, "se": [0.01] * 21} for measure, level in levels.items()}
    return {"kind": kind, "summary": kind, "curves": curves, "failed": None, "n_users": 9, "n_worlds": 9}


def gain(reference: str, measure: str, difference: float, at: int = 10, se: float = 0.005) -> Summary:
    verdict = "better" if difference > 2 * se else "worse" if difference < -2 * se else "cannot tell"
    entry = {"strategy": "information_gain", "reference": reference, "measure": measure, "n_answers": at}
    return {**entry, "difference": difference, "se": se, "low": difference - 2 * se, "high": 0, "verdict": verdict}


def world(name: str, *comparisons: Summary, kind: str = "learning-curve", **more: Any) -> Summary:
    strategies = {"information_gain": curve(accuracy=0.88, auc=0.87, log_loss=0.5), **more.pop("others", {})}
    return {"kind": kind, "name": name, "strategies": strategies, "comparisons": list(comparisons), **more}


def found(results: list[Summary], where: str, *words: str) -> Promise:
    (one,) = [each for each in promises(results) if each.where == where and all(word in each.what for word in words)]
    return one


def test_levels_are_reached_within_error_or_missed() -> None:
    results = [world("gaussian(6)")]

    assert found(results, "gaussian(6)", "accuracy after").reached == "yes"
    assert found(results, "gaussian(6)", "ROC AUC") == Promise(
        "gaussian(6)", "ROC AUC after 10 answers", "at least 0.88", "0.870 ± 0.010", "within error"
    )
    results[0]["strategies"]["information_gain"]["curves"]["auc"]["se"][10] = 0.001
    assert found(results, "gaussian(6)", "ROC AUC").reached == "no"
    assert found(results, "gaussian(6)", "best-of-16") == Promise(
        "gaussian(6)", "share of the best-of-16 gain after 10 answers", "at least 0.91", "–", ""
    )


@pytest.mark.parametrize(("difference", "reached"), [(0.061, "yes"), (0.055, "within error"), (0.04, "no")])
def test_gains_stand_beside_their_goals(difference: float, reached: str) -> None:
    one = found([world("clustered", gain("one_gaussian", "accuracy", difference, at=1))], "clustered", "after 1 ")

    assert one.goal == "at least +0.060"
    assert one.reached == reached


@pytest.mark.parametrize(
    ("difference", "told", "reached"),
    [(0.0006, "+0.001", "yes"), (0.0004, "0.000", "within error"), (0.0, "0.000", "within error")],
)
def test_what_is_shown_as_nothing_is_not_above_nothing(difference: float, told: str, reached: str) -> None:
    one = found([world("llmfao", gain("pooled", "log_loss", difference), kind="replay")], "llmfao", "`pooled`", "log")

    assert (one.goal, one.found, one.reached) == ("above 0 nats", f"{told} ± 0.005", reached)


def test_cars_asked_once_a_task_stand_beside_those_asked_twice() -> None:
    once = world("cars_conjoint, each task once", gain("random", "log_loss", 0.008, at=5), kind="replay")
    cars = world("cars_conjoint", gain("random", "log_loss", 0.012), kind="replay")

    one = found([cars, once], "cars_conjoint", "`random`")
    assert (one.found, one.reached) == ("+0.012 ± 0.005; each task once, after 5: +0.008 ± 0.005", "yes")
    assert found([cars], "cars_conjoint", "`random`").found == "+0.012 ± 0.005"


def test_the_true_population_stands_beside_what_mixtures_are_to_gain() -> None:
    ceiling = {**gain("one_gaussian", "accuracy", 0.009, at=1), "strategy": "right_prior"}
    one = found([world("clustered", gain("one_gaussian", "accuracy", 0.004, at=1), ceiling)], "clustered", "after 1 ")

    assert one.found == "+0.004 ± 0.005; starting from the true population: +0.009 ± 0.005"
    assert one.reached == "no"


def test_harm_is_judged_by_the_interval_in_every_world_that_asks_for_it() -> None:
    harmless = {**gain("pooled", "log_loss", 0.0), "verdict": "no harm"}
    harmful = {**gain("pooled", "log_loss", -0.03), "verdict": "worse"}
    results = [world("gaussian(6)", harmless), world("raters(0.6)", harmful), world("wrong_prior", harmful)]

    one = found(results, "worlds", "harm")
    assert (one.found, one.reached) == ("no harm or better in 1 of 2; not on `raters(0.6)`", "no")
    assert found(results[:1], "worlds", "harm").reached == "yes"
    assert found(results, "people", "harm").reached == ""


def test_never_worse_counts_every_number_of_answers() -> None:
    results = [world("unlike_noise", gain("static", "log_loss", 0.05), gain("static", "log_loss", -0.05, at=3))]
    one = found(results, "unlike_noise", "static at any")

    assert (one.found, one.reached) == ("worse in 1 of 2 comparisons: `static` after 3", "no")


def test_no_signal_is_judged_by_the_loss_since_the_prior_and_by_the_stated_probability() -> None:
    silent = world("no_signal", others={"information_gain": curve(log_loss=0.69, no_personal_taste=0.7)})
    silent["strategies"]["information_gain"]["curves"]["log_loss"]["mean"][10] = 0.705

    assert found([silent], "no_signal", "log loss").found == "+0.015"
    assert found([silent], "no_signal", "log loss").reached == "yes"
    assert found([silent], "no_signal", "stated probability").reached == "no"


def test_worth_in_random_questions_has_the_questionnaire_beside_it() -> None:
    told = {"at": 10, "value": ">40", "low": 31.0, "high": ">40"}
    static = {"at": 10, "value": 21.0, "low": 18.0, "high": 25.5}
    random = {"random": {**curve("control"), "curves": {"log_loss": {"mean": [0.5] * 41}}}}
    results = [world("equivalents", random_equivalents={"information_gain": told, "static": static}, others=random)]
    one = found(results, "gaussian(6)", "worth")

    assert (one.found, one.reached) == (">40 (31.0 to >40); `static` 21.0 (18.0 to 25.5)", "yes")


def test_information_is_told_as_a_share_and_beside_the_best_of_the_others() -> None:
    bounds = {"oracle": 4.0, "information_gain": 3.0, "d_optimal": 3.2, "random": 1.0}
    strategies = {name: {"lower": nats, "lower_se": 0.05} for name, nats in bounds.items()}
    one = found([world("gaussian(6)", information={"strategies": strategies})], "gaussian(6)", "information")

    assert (one.found, one.reached) == ("0.75; most of the others: `d_optimal`, 0.80", "no")


@pytest.mark.parametrize(("error", "reached"), [(0.02, "no"), (0.2, "within error")])
def test_adaptivity_is_that_of_its_own_line_at_the_step_where_it_is_least(error: float, reached: str) -> None:
    few = world("gaussian(6)", adaptivity={"information_gain": [1.0] * 5})
    many = world("adaptivity", adaptivity={"information_gain": [0.6, 1.0, 0.9, None, 0.8, 0.1]})
    many["adaptivity_se"] = {"information_gain": [error] * 6}
    words = ("share of sessions",)

    assert found([few], "gaussian(6)", *words).reached == "yes"
    one = found([few, many], "gaussian(6)", *words)
    assert (one.found, one.reached) == (f"0.60 ± {error:.2f}, after 1; others from 0.80", reached)


def test_a_result_can_bring_promises_of_its_own_and_the_table_counts_them() -> None:
    brought = {"what": "time", "goal": "at most 1", "found": "0.5", "reached": "yes"}
    text = render_promises([{"kind": "speed", "name": "speed", "promises": [brought]}])

    assert "| `speed` | time | at most 1 | 0.5 | **yes** |" in text
    assert "Reached: 1 yes, 0 within error, 0 no, " in text
    assert render_promises([]) == ""


def test_ablation_table_has_a_row_for_each_cell_and_the_gain_of_the_default() -> None:
    names = {
        "information_gain_laplace": curve("ablation", log_loss=0.6),
        "one_gaussian": curve("ablation", log_loss=0.5),
    }
    results = world("gaussian(6)", gain("information_gain_laplace", "log_loss", 0.1), others=names)
    text = "\n".join(ablation_parts(results, "####"))

    assert "| fitted | `information_gain` | EP | 0.500 ± 0.010 | the default |" in text
    assert "| fitted | `information_gain` | Laplace | 0.600 ± 0.010 | +0.100 ± 0.005 better |" in text
    assert "| `one_gaussian` | ablation | 0.500 ± 0.010 | – |" in text
    assert ablation_parts(world("gaussian(6)"), "####") == []


def test_ablations_run_by_name_only() -> None:
    everybody = {each.name for each in choose(["all"], None)}
    named = {each.name for each in choose(["ablation"], None)}

    assert not everybody & {"one_gaussian", "right_prior", "information_per_second"}
    assert {"information_gain", "random", "information_gain_isotropic_laplace", "one_gaussian", "laplace_em"} <= named
    assert {each.name for each in choose(["right_prior", "all"], None)} == everybody | {"right_prior"}
