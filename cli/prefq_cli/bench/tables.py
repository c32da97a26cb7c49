"""A run and what it shows on the terminal: a table a measure, what failed, and where the files are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from prefq.errors import PrefqError
from prefq_cli.bench.folders import SUMMARY, USERS, write_whole
from prefq_cli.bench.progress import in_words
from prefq_cli.bench.runs import Run
from prefq_cli.console import tell, write, write_json, write_table, write_words
from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import Settings

REPORT = "report.md"
MILESTONES = (0, 3, 5, 10, 20)  # answers
COMPARED_AT = 10  # answers, or the last of the milestones before
SHOWN = {"log_loss": "Log loss, in nats", "accuracy": "Accuracy", "best_of_n": "Share of the best of 16"}
ESSENTIAL = ("kind", "name", "title", "command", "settings", "seconds", "cpu_seconds", "random_equivalents", "notes")


def run_and_show(run: Run) -> None:
    """Run, write report and figures, and show the result; exit code 1 when a strategy that could run here failed."""
    summary = run()
    files = [USERS, SUMMARY, *write_report(run.out, summary)]
    if run.settings.as_json:
        write_json(essentials(summary))
    else:
        show(summary, run.settings)
        write_words(f"{', '.join(files)} are in {run.out}.")
    if failures(summary).keys() - {each.name for each in run.chosen if each.unavailable is not None}:
        raise typer.Exit(ExitCode.FAILURE)


def failures(summary: Mapping[str, Any]) -> dict[str, str]:
    """Why strategies failed, by name."""
    return {name: each["failed"] for name, each in summary["strategies"].items() if each["failed"] is not None}


def essentials(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a program needs first of a summary: curves at the milestones, and comparisons with random."""
    strategies = {}
    for name, each in summary["strategies"].items():
        curves = {
            measure: {str(k): curve["mean"][k] for k in _milestones(summary)}
            for measure, curve in each["curves"].items()
        }
        strategies[name] = {**each, "curves": curves}
    compared = [each for each in summary["comparisons"] if each["reference"] == "random" and each["measure"] in SHOWN]
    return {**{name: summary[name] for name in ESSENTIAL}, "strategies": strategies, "comparisons": compared}


def show(summary: Mapping[str, Any], settings: Settings) -> None:
    """A table for each measure that the summary has, and what else there is to know."""
    milestones = _milestones(summary)
    at = max((k for k in milestones if k <= COMPARED_AT), default=0)
    write_words(f"{summary['title']}. Means after so many answers; gain over random questions after {at}.")
    for measure, title in SHOWN.items():
        measured = {name: each for name, each in summary["strategies"].items() if measure in each["curves"]}
        rows = [
            (
                name,
                *(_number(each["curves"][measure]["mean"][k]) for k in milestones),
                *_gain_cells(_gain(summary, name, measure, at)),
            )
            for name, each in measured.items()
        ]
        if rows:
            write(f"\n{title}")
            write_table(rows, ("", *map(str, milestones), "gain", ""), settings)
    write("")
    for sentence in _sentences(summary):
        write_words(sentence)


def _sentences(summary: Mapping[str, Any]) -> Iterator[str]:
    times = {name: each["ms_per_question"] for name, each in summary["strategies"].items()}
    told = [f"{name} {_milliseconds(time)}" for name, time in times.items() if time is not None]
    if told:
        yield f"Milliseconds a question, for one user: {', '.join(told)}."
    for name, why in failures(summary).items():
        yield f"{name} failed: {why}"
    guards = summary.get("guards", {"alarms": []})
    yield from (f"Alarm: {alarm}" for alarm in guards["alarms"])
    yield from summary["notes"]
    cpu = in_words(summary["cpu_seconds"])
    yield f"Took {in_words(summary['seconds'])}; the curves {cpu} of processor time."


def _milliseconds(time: float) -> str:
    return f"{time:.1f}" if time < 100 else f"{time:.0f}"


def _gain_cells(gain: Mapping[str, Any] | None) -> tuple[str, str]:
    """The gain with half of its 95 % interval, and the verdict."""
    if gain is None:
        return "", ""
    half = "" if gain["low"] is None else f" ±{_number((gain['high'] - gain['low']) / 2)}"
    return f"{'-' if gain['difference'] < 0 else '+'}{_number(abs(gain['difference']))}{half}", gain["verdict"]


def _gain(summary: Mapping[str, Any], name: str, measure: str, at: int) -> Mapping[str, Any] | None:
    for each in summary["comparisons"]:
        if (each["strategy"], each["reference"], each["measure"], each["n_answers"]) == (name, "random", measure, at):
            return dict(each)
    return None


def _milestones(summary: Mapping[str, Any]) -> list[int]:
    last = max(len(curve["mean"]) for each in summary["strategies"].values() for curve in each["curves"].values()) - 1
    return sorted({k for k in MILESTONES if k < last} | {last})


def _number(value: float | None) -> str:
    """Three decimals, without a leading nought."""
    return "–" if value is None else f"{value:.3f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.3f}"


def write_report(out: Path, summary: Mapping[str, Any]) -> list[str]:
    """Write the report and the figures; names of the files."""
    from prefq_cli.bench.figures import draw
    from prefq_cli.bench.report import render

    files = [REPORT]
    write_whole(out / REPORT, lambda file: file.write_text(render(dict(summary)), encoding="utf-8"))
    try:
        files += [file.name for file in draw(dict(summary), out)]
    except PrefqError as error:
        tell(f"Note: {error}")
    return files
