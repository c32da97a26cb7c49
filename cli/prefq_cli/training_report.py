"""What a training report says, as words and tables: who was learned from, how many base rewards, who was tested."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from prefq_cli.settings import Settings

AFTER = 10  # answers by which the number of base rewards is chosen
FEW = 6  # test people, whose standard errors are themselves hardly known
NOT_MEASURED = "not measured"
MEASURES = MappingProxyType({"log_loss": "log loss", "accuracy": "accuracy"})
BESIDE, NARROWEST, WIDEST = 50, 9, 30  # columns of what stands beside the drawings of a table, and of one drawing


def show_report(report: Mapping[str, Any], settings: Settings) -> None:
    """The report of `prefq.rewards.train.train_rewards`; nothing of what it lacks."""
    from prefq_cli.console import write, write_words

    if report.keys() >= {"method", "n_comparisons", "n_users"}:
        write_words(" ".join(_learned(report)))
    if report.get("features"):
        write("")
        _show_numbers(report, settings)
    if columns := report.get("columns"):
        write("")
        _show_columns(columns, settings)
    if test := report.get("test"):
        write("")
        show_figures(test, f"{people(test['n_people'], 'test ')}, who took no part", settings)
    elif "test" in report:
        write_words("No test person gave enough answers to be tested on.")


def _learned(report: Mapping[str, Any]) -> Iterator[str]:
    """How many base rewards there are, why not as many as were asked for, and whom they were learned from."""
    from prefq.vocabulary import counted

    n, asked = report.get("n_features"), report.get("n_features_asked")
    if n is not None:
        yield f"{counted(n, 'base reward')}."
        if asked is not None and asked > n:
            yield f"{asked} were asked for; the comparisons show no more in which people differ."
    whom = f"{_many(report['n_comparisons'], 'comparison')} of {people(report['n_users'])}"
    if "columns" in report:
        yield f"They are columns of scores; where people start was learned from {whom}."
    else:
        yield f"Learned by {report['method']} from {whom}."
    if tuned := report.get("tuned"):
        yield (
            f"The encoder was tuned by {_many(tuned['n_comparisons'], 'comparison')} of "
            f"{people(tuned['n_users'], 'other ')}; {what_tuning_did(tuned)}."
        )


def _show_columns(columns: Sequence[Mapping[str, Any]], settings: Settings) -> None:
    """What each column of scores is worth."""
    from prefq_cli.console import write_table, write_words

    write_words("Typical difference between two responses to a prompt, and what of it is not the column's own error:")
    rows = [(each["name"], f"{each['scale']:.3g}", f"{each['reliability']:.0%}") for each in columns]
    write_table(rows, ("column", "difference", "reliable"), settings)


def _show_numbers(report: Mapping[str, Any], settings: Settings) -> None:
    """Held-out people by the number of base rewards, and why what was not measured was not."""
    from prefq_cli.console import write_table, write_words

    points = report["features"]
    measured = [point for point in points if point["log_loss"] is not None]
    write_words(f"People held out, {after_answers(points)}, by the number of base rewards (± standard error):")
    n_cells = _n_cells() if measured and sys.stdout.isatty() and not settings.plain else 0
    columns = [
        [f"{point['n_features']}{' ←' if point['n_features'] == report.get('n_features') else ''}" for point in points]
    ]
    for name in MEASURES:
        columns.append([_with_error(point[name], point[f"{name}_error"]) for point in points])
        if n_cells:
            columns.append(intervals([point[name] for point in points], [p[f"{name}_error"] for p in points], n_cells))
    heading = ["base rewards"]
    for words in MEASURES.values():
        heading += [words, *[""] * bool(n_cells)]
    by_evidence = all(point.get("evidence") is not None for point in points)
    if by_evidence:
        most = max(point["evidence"] for point in points)
        columns.append([f"{point['evidence'] - most:.1f}" for point in points])
        heading.append("evidence")
    write_table(list(zip(*columns, strict=True)), heading, settings)
    if not measured:
        write_words("Not measured: nobody held out gave three answers, two of them preferences to be tested on.")
    if by_evidence:
        write_words(
            "That is too few to choose the number by. The fewest were taken under which all the answers of these "
            "people are about as likely as under any number: the evidence is in nats, beside the best."
        )


def after_answers(points: Sequence[Mapping[str, Any]]) -> str:
    """After how many answers people held out were measured."""
    told = min((point.get("told", AFTER) for point in points if point["log_loss"] is not None), default=AFTER)
    return f"after {AFTER} answers" if told > AFTER - 0.05 else f"after {told:.1f} answers on average, half of theirs"


def intervals(means: Sequence[float | None], errors: Sequence[float | None], n_cells: int) -> list[str]:
    """A line of so many cells for each mean, all on one scale: a dot, and a bar as far as a standard error reaches."""
    known = [(mean, error or 0.0) for mean, error in zip(means, errors, strict=True) if mean is not None]
    least, most = min(mean - error for mean, error in known), max(mean + error for mean, error in known)

    def cell(value: float) -> int:
        return round((value - least) / ((most - least) or 1.0) * (n_cells - 1))

    lines = []
    for mean, error in zip(means, errors, strict=True):
        cells = ["·"] * n_cells
        if mean is not None:
            low, high = cell(mean - (error or 0.0)), cell(mean + (error or 0.0))
            cells[low : high + 1] = "━" * (high - low + 1)
            cells[cell(mean)] = "●"
        lines.append("".join(cells))
    return lines


def _n_cells() -> int:
    """Cells of a drawing in a table, two of which there are; none where the terminal is too narrow."""
    from prefq_cli.keys import terminal_size

    n_cells = (terminal_size().columns - BESIDE) // len(MEASURES)
    return min(n_cells, WIDEST) if n_cells >= NARROWEST else 0


def show_figures(found: Mapping[str, Any], who: str, settings: Settings) -> None:
    """The figures of `prefq.rewards.tested.figures`: people after some of their answers, and what that is worth."""
    from prefq_cli.console import write_table, write_words

    few = ": so few that errors tell little" if found["n_people"] < FEW else ""
    write_words(f"{who}, after some answers of their own{few}:")
    told = found.get("told", found["after"])
    columns = [[_answers(after, used) for after, used in zip(found["after"], told, strict=True)]]
    heading = ["answers", *MEASURES.values()]
    columns += [list(map(_with_error, found[name], found[f"{name}_error"])) for name in MEASURES]
    if "gain_over_shared" in found:
        heading.append("gain over one shared reward, nats")
        columns.append(
            [_with_error(*each, "+") for each in zip(found["gain_over_shared"], found["gain_error"], strict=True)]
        )
    write_table(list(zip(*columns, strict=True)), heading, settings)
    if (n := found.get("n_divisions", 1)) > 1:
        write_words(f"Means of {n} draws of which of a person's answers are heard and which are predicted.")


def _answers(after: int, told: float) -> str:
    return str(after) if told > after - 0.05 else f"{after} ({told:.1f} on average)"


def what_tuning_did(tuned: Mapping[str, Any]) -> str:
    """What tuning an encoder made of the loss that it is judged by: of pairs held out, where there are enough."""
    before, after = tuned["loss_before"], tuned["loss"]
    if tuned["n_steps"] == 0:
        return f"no step made the loss that it is judged by, {before:.3f} nats, any lower"
    return f"the loss that it is judged by fell from {before:.3f} to {after:.3f} nats"


def people(n: int, kind: str = "") -> str:
    """A number of people: 1 person, 2 people."""
    return f"{n:,} {kind}{'person' if n == 1 else 'people'}"


def _many(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _with_error(value: float | None, error: float | None, sign: str = "") -> str:
    return NOT_MEASURED if value is None or error is None else f"{value:{sign}.3f} ± {error:.3f}"
