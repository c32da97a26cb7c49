"""Reports, figures and the page say what the summaries of runs say, and what was not measured is said to be so."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import results as kept_results
from benchmarks import run as suite_run
from benchmarks.suite import LINES, LONG_LINES, Line, by_cost
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import MEASURES, learning_curve
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import OURS
from prefq.simulation.summary import summarise
from prefq.simulation.synthetic import WORLDS, make_world
from prefq_cli.bench import figures
from prefq_cli.bench.page import draw_page, read_results, render_page
from prefq_cli.bench.report import findings, render
from prefq_cli.bench.summaries import compared

N_WORLDS, N_USERS, N_QUESTIONS = 2, 6, 10
NAMES = ("information_gain", "random", "static", "pooled")


class Result(Protocol):
    """What a run of prefq left; see conftest.py."""

    code: int
    out: str
    err: str


Prefq = Callable[..., Result]
Summary = dict[str, Any]


@pytest.fixture(scope="module")
def summary() -> Summary:
    """A small run, with a peer that is a copy of `random`, and words."""
    strategies = [each for each in (*OURS, *CONTROLS) if each.name in NAMES]
    random = next(each for each in strategies if each.name == "random")
    strategies.append(type(random)("guesser", random.begin, "as random", kind="peer"))
    table: dict[str, list[Any]] = {name: [] for name in ("world", "user", "strategy", "n_answers", *MEASURES)}
    for world in range(N_WORLDS):
        panel = make_world("raters(0.6)", n_users=N_USERS, rng=np.random.default_rng([7, world]), n_pool=40)
        prior = fitted_start(panel)
        for strategy in strategies:
            rng = np.random.default_rng(world)
            curve = learning_curve(strategy, panel, prior, n_questions=N_QUESTIONS, rng=rng)
            words = 120.0 * np.tile(np.arange(N_QUESTIONS + 1), (N_USERS, 1))  # half a minute a question
            for name, values in {**curve.measures, "words": words}.items():
                table[name] += values.ravel().tolist()
            table["world"] += [world] * words.size
            table["user"] += np.repeat(np.arange(N_USERS), N_QUESTIONS + 1).tolist()
            table["n_answers"] += np.tile(np.arange(N_QUESTIONS + 1), N_USERS).tolist()
            table["strategy"] += [strategy.name] * words.size
    parts = summarise(
        {name: np.array(column) for name, column in table.items()},
        strategies,
        rng=np.random.default_rng(0),
        ms_per_question={"random": 0.25},
        n_bootstrap=50,
    )
    command = "prefq bench learning-curve --world gaussian:2"
    about = {"versions": {"prefq": "0.1.0"}, "machine": {"cores": 2}, "commit": "abc123", "created": "2026-01-02T03:04"}
    head = {"format_version": 1, "name": "gaussian(2)", "title": "gaussian(2)", "command": command, "seconds": 3.0}
    return {**head, "kind": "learning-curve", "provenance": about, "settings": {}, **parts}


def row(text: str, first: str, *, section: str = "") -> list[str]:
    """Cells of the first table row after a heading that begins with this cell."""
    lines = text[text.index(section) :].splitlines()
    found = next(line for line in lines if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_cells_at_ten_answers_are_the_numbers_of_the_summary(summary: Summary) -> None:
    text = render(summary)
    cells = dict(zip(row(text, "strategy"), row(text, "`random` (control)"), strict=True))
    curve = summary["strategies"]["random"]["curves"]["log_loss"]

    assert cells["log loss"] == f"{curve['mean'][10]:.3f} ± {curve['se'][10]:.3f}"
    assert cells["ms a question"] == "0.25"
    assert cells["minutes of reading"] == "5.0 ± 0.0"  # 1,200 words at 240 a minute


def test_way_to_ten_answers_is_shown_after_three_and_five(summary: Summary) -> None:
    mean = summary["strategies"]["static"]["curves"]["accuracy"]["mean"]
    cells = row(render(summary), "`static` (control)", section="## Accuracy")

    assert cells[1:4] == [f"{mean[k]:.3f}" for k in (0, 3, 5)]


def test_differences_stand_with_error_and_verdict(summary: Summary) -> None:
    found = next(
        each
        for each in summary["comparisons"]
        if (each["strategy"], each["reference"], each["measure"], each["n_answers"])
        == ("static", "random", "log_loss", 10)
    )
    cell = row(render(summary), "`static` (control)", section="After 10 answers")[1]

    assert cell == f"{found['difference']:+.3f} ± {found['se']:.3f} {found['verdict']}".replace("-", "−")


def test_comparison_made_the_other_way_is_turned_round(summary: Summary) -> None:
    there, back = compared(summary, "random", "pooled"), compared(summary, "pooled", "random")

    assert there is not None
    assert back is not None
    assert (back["difference"], back["low"], back["high"]) == (-there["difference"], -there["high"], -there["low"])
    assert {there["verdict"], back["verdict"]} in ({"better", "worse"}, {"cannot tell"})


def test_a_verdict_that_cannot_be_told_says_how_many_users_it_takes(summary: Summary) -> None:
    entry = {"strategy": "information_gain", "reference": "random", "measure": "log_loss", "n_answers": 10}
    numbers = {"difference": 0.002, "se": 0.01, "low": -0.02, "high": 0.024, "n_users": 12, "n_worlds": 1}
    needed = {"verdict": "cannot tell", "users_needed": 4321, "users_for_target": 98}
    (sentence, *_) = findings({**summary, "comparisons": [{**entry, **numbers, **needed}]})

    assert (
        "**cannot tell** (it would take about 4,321 users for this difference and 98 users for one of 0.01 nats)"
        in sentence
    )
    assert "+0.002 ± 0.010 nats of log loss saved a task (95 % interval −0.020 to +0.024, 12 users)" in sentence


def test_users_that_would_tell_come_in_the_units_of_the_interval(summary: Summary) -> None:
    entry = {"strategy": "information_gain", "reference": "random", "measure": "log_loss", "n_answers": 10}
    numbers = {"difference": 0.002, "se": 0.01, "low": -0.02, "high": 0.024, "n_users": 80, "n_worlds": 8}
    needed = {"verdict": "cannot tell", "users_needed": 485, "users_for_target": 80}
    found = {**summary, "comparisons": [{**entry, **numbers, **needed}]}
    (sentence, *_) = findings({**found, "unit": "worlds"})
    # On record the eight are repeats over the same people, or those of so many conversations.
    (of_people, *_) = findings({**found, "kind": "replay", "unit": "users"})
    conversations = {"unit": "conversations", "comparisons": [{**found["comparisons"][0], "n_units": 8, "n_worlds": 1}]}
    (of_parts, *_) = findings({**found, "kind": "replay", **conversations})

    assert "80 users in 8 worlds): " in sentence
    assert "about 485 users in 49 worlds for this difference and 80 users in 8 worlds for one of 0.01" in sentence
    assert "80 users, 8 repeats): " in of_people
    assert "about 485 users for this difference and 80 users for one of 0.01 nats" in of_people
    assert "80 users in 8 conversations): " in of_parts
    assert "about 485 users in 49 conversations for this difference" in of_parts


def test_one_unit_has_no_band(summary: Summary) -> None:
    of_worlds, of_people = {**summary, "unit": "worlds"}, {**summary, "kind": "replay", "unit": "users"}
    eight, one = {"n_users": 8, "n_worlds": 8}, {"n_users": 1, "n_worlds": 1}

    assert figures.band_of(of_worlds, eight) == pytest.approx(2.3646, abs=1e-4)  # Student's table, seven degrees
    assert figures.band_of(of_people, {"n_users": 61, "n_worlds": 3}) == pytest.approx(2.0003, abs=1e-4)  # sixty
    assert figures.band_of(of_people, one) == 0


def test_each_conversation_and_people_with_a_choice_are_told(summary: Summary) -> None:
    entry = next(
        each
        for each in summary["comparisons"]
        if (each["strategy"], each["reference"], each["measure"], each["n_answers"])
        == ("information_gain", "random", "log_loss", 10)
    )
    gain = {"difference": -0.085, "se": 0.03}
    part = {
        "part": "a town",
        "n_users": 31,
        "pooled": gain,
        "random": {"difference": 0.108, "se": None},
        "static": None,
    }
    text = render(
        {
            **summary,
            "kind": "replay",
            "by_part": {"unit": "conversation", "rows": [part]},
            "enough_questions": {"at_least": 20, "n_users": 9, "comparisons": [entry]},
        }
    )

    assert row(text, "a town") == ["a town", "31", "−0.085 ± 0.030", "+0.108"]
    assert "Among the 9 people with at least 20 questions to choose from:\n\n- Against ten random questions: " in text


def test_static_is_told_as_it_was_on_record(summary: Summary) -> None:
    of_world, of_people = findings(summary), findings({**summary, "kind": "replay"})

    assert any(each.startswith("Against the same ten questions for everybody: ") for each in of_world)
    assert not any("for everybody: " in each for each in of_people if "pooled" not in each)
    assert any(each.startswith("Against ten questions fixed beforehand, a list for each person") for each in of_people)


def test_regret_is_shown_with_its_sign_turned(summary: Summary) -> None:
    found = compared(summary, "static", "random", "regret")
    mean = {name: summary["strategies"][name]["curves"]["regret"]["mean"][10] for name in ("static", "random")}
    cells = dict(zip(row(render(summary), "strategy"), row(render(summary), "`static` (control)"), strict=True))

    assert found is not None
    assert found["difference"] == pytest.approx(mean["random"] - mean["static"], abs=2e-4)
    shown = f"{found['difference']:+.3f} ± {found['se']:.3f} {found['verdict']}".replace("-", "−")
    assert cells["regret saved against random"] == shown
    assert cells["regret, logits"].startswith(f"{mean['static']:.3f} ± ")


def test_worth_in_random_questions_is_told_only_where_more_were_asked(summary: Summary) -> None:
    worth = {"static": {"at": 10, "value": ">10", "low": ">10", "high": ">10"}}
    longer = json.loads(json.dumps({**summary, "random_equivalents": worth}))
    curve = longer["strategies"]["random"]["curves"]["log_loss"]
    curve["mean"] += curve["mean"][-1:] * 10

    assert "in random questions" not in render({**summary, "random_equivalents": worth})
    assert "worth of 10 answers in random questions" in render(longer)


def test_failed_strategy_is_named_with_its_reason(summary: Summary) -> None:
    failed = {"kind": "peer", "summary": "", "failed": "no server answers.", "curves": {}, "n_users": 0}
    text = render({**summary, "strategies": {**summary["strategies"], "in_context": failed}})

    assert "- `in_context` could not be run: no server answers." in text
    assert "| `in_context`" not in text


@pytest.mark.parametrize("kind", ["learning-curve", "replay", "speed", "calibration", "sessions"])
def test_parts_that_are_not_there_are_left_out(kind: str) -> None:
    text = render({"format_version": 1, "kind": kind, "name": "empty"})

    assert text.startswith("# empty\n")
    assert "None" not in text


def test_report_says_what_simulated_users_do_not_show(summary: Summary) -> None:
    assert "Not shown: anything about people." in render(summary)
    assert "Not shown: what people do who are asked live." in render({**summary, "kind": "replay"})


def test_figure_draws_the_curve_of_the_summary(summary: Summary) -> None:
    figure = Figure()
    figures.FIGURES["curves"].draw(summary, figure)
    line = next(each for each in figure.axes[0].lines if each.get_label() == "information_gain")
    band = next(iter(figure.axes[0].collections)).get_paths()[0].vertices
    curve = summary["strategies"]["information_gain"]["curves"]["log_loss"]

    np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), curve["mean"])
    # The band is a t interval over the two worlds: its tabulated quantile at one degree of freedom is 12.706.
    highest = max(mean + 12.7062 * se for mean, se in zip(curve["mean"], curve["se"], strict=True))
    assert np.asarray(band)[:, 1].max() == pytest.approx(highest, rel=1e-5)


def test_paired_gain_is_drawn_against_minutes_of_reading(summary: Summary) -> None:
    figure = Figure()
    figures.FIGURES["reading"].draw(summary, figure)
    line = next(each for each in figure.axes[0].lines if each.get_label() == "random")
    found = [compared(summary, "random", "pooled", n_answers=n) for n in (3, 5, 10)]

    assert all(found)
    np.testing.assert_allclose(np.asarray(line.get_xdata(), dtype=float), [1.5, 2.5, 5])  # half a minute a question
    np.testing.assert_allclose(
        np.asarray(line.get_ydata(), dtype=float), [each["difference"] for each in found if each]
    )


def test_same_summary_gives_the_same_svg_and_another_does_not(summary: Summary, tmp_path: Path) -> None:
    changed = json.loads(json.dumps(summary))
    changed["strategies"]["random"]["curves"]["log_loss"]["mean"][5] += 0.01
    for name, each in {"first": summary, "second": summary, "third": changed}.items():
        figures.draw_one("curves", each, tmp_path / f"{name}.svg")
    first, second, third = ((tmp_path / f"{name}.svg").read_bytes() for name in ("first", "second", "third"))

    assert first == second
    assert first != third


def test_without_matplotlib_a_run_has_its_report_and_a_sentence(summary: Summary, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    code = "import sys; sys.modules['matplotlib'] = None; from prefq_cli.app import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "bench", "report", str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert ended.stdout.rstrip() == render(summary).rstrip()
    assert ended.stderr == "figures need matplotlib, which is not installed; run pip install 'prefq[plot]'.\n"
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == render(summary)


def test_command_writes_report_and_figures_into_the_run(summary: Summary, tmp_path: Path, prefq_: Prefq) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    ended = prefq_("bench", "report", tmp_path, "--json")
    (found,) = json.loads(ended.out)["reports"]

    assert ended.code == 0
    assert found["report"] == render(summary) == (tmp_path / "report.md").read_text(encoding="utf-8")
    assert {Path(file).name for file in found["files"]} == {
        "report.md",
        *(f"{name}.{ending}" for name in ("curves", "gains", "peers", "reading") for ending in ("svg", "png")),
    }
    assert all((tmp_path / Path(file).name).stat().st_size > 100 for file in found["files"])


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 3, "is not finished: it has no summary.json"),
        ("{", 2, "is not JSON"),
        ("[]", 2, "holds no JSON object"),
        ('{"kind": "replay", "format_version": 2}', 5, "has format version 2, and this prefq reads 1"),
    ],
)
def test_run_that_cannot_be_read(content: str | None, code: int, words: str, tmp_path: Path, prefq_: Prefq) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content, encoding="utf-8")
    ended = prefq_("bench", "report", tmp_path)

    assert ended.code == code
    assert words in ended.err


def test_runs_and_a_page_at_once_are_refused(tmp_path: Path, prefq_: Prefq) -> None:
    ended = prefq_("bench", "report", tmp_path, "--page", tmp_path / "page.md")

    assert ended.code == 2
    assert "at once" in ended.err


def test_folder_without_results_is_refused(tmp_path: Path, prefq_: Prefq) -> None:
    (tmp_path / "other.json").write_text('{"something": "else"}', encoding="utf-8")

    assert prefq_("bench", "report", "--results", tmp_path).code == 3
    assert prefq_("bench", "report", "--results", tmp_path / "nowhere").code == 3


def test_page_is_headed_by_the_three_numbers_of_each_set(summary: Summary) -> None:
    people = {**summary, "kind": "replay", "name": "polis", "command": "prefq bench replay --set polis"}
    text = render_page([people])
    own, static = (compared(people, "information_gain", reference) for reference in ("pooled", "static"))

    assert own is not None
    assert static is not None
    assert row(text, "`polis` (people)") == [
        "`polis` (people)",
        *(
            f"{each['difference']:+.3f} ± {each['se']:.3f} {each['verdict']}".replace("-", "−")
            for each in (own, static)
        ),
        "5.0",
        "`benchmarks/results/replay/polis.json`",
    ]
    assert "Not measured yet on people: `cars_conjoint`, `llmfao`." in text


def test_page_keeps_its_order_and_says_what_is_missing(summary: Summary) -> None:
    check = {"format_version": 1, "kind": "check", "name": "newton", "title": "Mode", "goal": "found", "text": "Found."}
    world = {**summary, "name": "unlike_noise", "title": "unlike_noise"}
    exchanged = {**summary, "name": "ablation", "title": "Parts exchanged"}
    text = render_page([check, summary, world, exchanged])
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]

    assert titles == [
        "Three numbers",
        "What was promised",
        "What is shown, and what is not",
        "Real people",
        "Worlds",
        "Ablation",
        "Recipes of others",
        "PReF's world",
        "Speed",
        "Calibration",
        "Evidence from use",
        "House checks",
    ]
    assert "## Speed\n\nNot measured yet.\n" in text
    assert "### Mode\n\nGoal: found.\n\nFound.\n" in text
    assert text.index("unlike_noise-curves.svg") < text.index("### gaussian(2)")  # the first worlds come first
    assert "gaussian-2-curves.svg" not in text  # and only they are drawn
    assert text.count("### Parts exchanged\n") == 1
    assert text.index("## Ablation") < text.index("### Parts exchanged") < text.index("## Recipes of others")


def test_page_counts_a_verdict_where_it_was_found(summary: Summary) -> None:
    found = compared(summary, "information_gain", "random")

    assert found is not None
    line = f"- Simulated worlds, chosen questions against random ones: {found['verdict']} on `gaussian(2)`."
    assert line in render_page([summary])


def test_page_shows_peers_by_their_difference_from_the_default_rule(summary: Summary) -> None:
    found = compared(summary, "information_gain", "guesser")

    assert found is not None
    text = render_page([summary])
    section = "### gaussian(2)\n\n| peer"
    cells = dict(zip(row(text, "peer", section=section), row(text, "`guesser`", section=section), strict=True))

    for measure, column in {"log_loss": "log loss saved", "accuracy": "accuracy gained"}.items():
        each = compared(summary, "information_gain", "guesser", measure)
        assert each is not None
        shown = f"{each['difference']:+.3f} ± {each['se']:.3f} {each['verdict']}".replace("-", "−")
        assert cells[column] == shown
    assert cells["measured on"] == "12 users in 2 worlds"
    counted = dict(zip(row(text, "against"), row(text, "`guesser`", section="| against"), strict=True))
    assert counted[f"log loss: {found['verdict']}"] == "1"


def test_what_is_committed_of_a_summary_gives_the_same_page(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_results, "FOLDER", tmp_path)
    for kind, name in (("learning-curve", "gaussian(6)"), ("replay", "cars_conjoint")):
        kept_results.save_summary({**summary, "kind": kind, "name": name})
    whole = [{**summary, "kind": "learning-curve", "name": "gaussian(6)"}]
    whole.append({**summary, "kind": "replay", "name": "cars_conjoint"})
    kept = read_results(tmp_path)

    assert (tmp_path / "learning-curve" / "gaussian-6.json").exists()
    assert render_page(kept) == render_page(whole)
    assert len(kept[0]["comparisons"]) < len(summary["comparisons"])


def test_figures_of_results_that_are_gone_are_deleted(summary: Summary, tmp_path: Path) -> None:
    world = {**summary, "name": "gaussian(6)"}
    (tmp_path / "old-curves.svg").write_text("<svg/>", encoding="utf-8")
    drawn = draw_page([world], tmp_path)

    assert sorted(tmp_path.glob("*")) == sorted(drawn)
    assert all(f"images/bench/{path.name}" in render_page([world]) for path in drawn)


def test_suite_refuses_a_name_that_is_not_in_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "nothing"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert ended.returncode == 2
    assert "there is no 'nothing'; choose among step_speed, noisy_scores, speed" in ended.stderr


def test_suite_has_every_world_and_recipe() -> None:
    lines = (*LINES, *LONG_LINES)
    worlds = [line.arguments.split()[2] for line in lines if line.arguments.startswith("learning-curve")]
    commands = [command for line in lines for command in line.commands()]
    asked = {name for command in commands for argument in command for name in argument.split(",")}

    assert {name.partition("(")[0] for name in worlds} == set(WORLDS)
    assert {name for names in by_cost() for name in names} <= asked


def test_lines_side_by_side_keep_their_results_and_tell_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite_run, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(kept_results, "FOLDER", tmp_path / "results")
    size = "--worlds 2 --users 2 --questions 3 --strategies random,pooled"
    lines = [
        Line("tiny", f"learning-curve --world raters(0.6) {size}", title="Tiny"),
        Line("broken", "learning-curve --world nowhere"),
    ]
    failed = suite_run.run_lines(lines)
    (kept,) = read_results(tmp_path / "results")

    assert failed == ["broken"]
    assert "there is no world 'nowhere'" in " ".join(capsys.readouterr().out.split())
    assert (kept["name"], kept["title"], kept["command"]) == ("tiny", "Tiny", "python -m benchmarks.run tiny")
    assert kept["strategies"]["random"]["n_worlds"] == 2
