"""prefq bench leave-one-out: of columns of scores, each is a person once, met after the others."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.bench.options import SeedOption, check_counts, check_positive, check_seed
from prefq_cli.score_columns import column_names, tell_of_table
from prefq_cli.settings import JsonOption, PlainOption, read_settings

if TYPE_CHECKING:
    from prefq.rewards.score_tables import ScoreTable
    from prefq.simulation.left_out_raters import FeaturesOf, LeftOutRater
    from prefq.vocabulary import Array

SHOWN = (0, 5, 10, 20, 30)  # numbers of answers that tables are made for, up to --questions
LED_BY, CHANCE, POOLED = "information_gain", "random", "pooled"


def leave_one_out(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or Parquet with prompt, response and columns of scores.")
    ],
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B,…", help="The raters; by default all others that look like scores."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            "--features", metavar="A,B,…", help="Columns that are base rewards; by default the other raters' scores."
        ),
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", metavar="NAME", help="Column of the prompts, or of their ids.")] = (
        "prompt"
    ),
    response: Annotated[
        str, typer.Option("--response", metavar="NAME", help="Column of the responses, or of their ids.")
    ] = "response",
    questions: Annotated[int, typer.Option("--questions", metavar="N", help="Questions for whoever is left out.")] = 30,
    answers: Annotated[int, typer.Option("--answers", metavar="N", help="Answers of each other rater.")] = 300,
    splits: Annotated[int, typer.Option("--splits", metavar="N", help="Splits of the prompts.")] = 4,
    visits: Annotated[int, typer.Option("--visits", metavar="N", help="Visits to each rater in each split.")] = 4,
    strength: Annotated[
        float | None,
        typer.Option(
            "--strength", metavar="LOGITS", help="Root mean square margin of a rater; by default scores always decide."
        ),
    ] = None,
    seed: SeedOption = 0,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Meet each rater as if for the first time. The others' answers are the group, their scores the base rewards.

    Choices are simulated from the scores: of two responses to a prompt a rater prefers the one it scores higher.
    Features and prior come from the other raters' choices on part of the prompts; tests are on the other prompts.
    Printed for each rater: accuracy of the others' average, and after so many random and chosen questions.

    \b
    Examples:
      prefq bench leave-one-out scores.csv
      prefq bench leave-one-out scores.parquet --columns judge_a,judge_b,judge_c --questions 20
      prefq bench leave-one-out scores.csv --columns a,b,c --features length,formality,warmth
    """
    import numpy as np

    from prefq.errors import InputError
    from prefq.simulation.left_out_raters import LeftOutSizes, leave_one_rater_out
    from prefq.simulation.text_raters import SURE
    from prefq_cli.console import tell
    from prefq_cli.exit_codes import ExitCode

    check_counts(questions=questions, answers=answers, splits=splits, visits=visits)
    check_seed(seed)
    if strength is not None:
        check_positive(strength=strength)
    settings = read_settings(plain=plain, as_json=as_json)
    raters, seen = column_names(columns, "--columns"), column_names(features, "--features")
    if raters and seen and set(raters) & set(seen):
        raise InputError(f"{min(set(raters) & set(seen))!r} is in --columns and in --features; give it once.")
    table, features_of = _table_and_features(file, raters, seen, prompt, response)
    sizes = LeftOutSizes(splits, visits, answers, questions, strength=SURE if strength is None else strength)
    try:
        found = leave_one_rater_out(
            table,
            features_of,
            rng=np.random.default_rng(seed),
            sizes=sizes,
            on_step=lambda what: tell(f"{what[0].upper()}{what[1:]} …"),
        )
    except KeyboardInterrupt:
        tell("Interrupted: nothing was printed.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _show(found, table, [n for n in SHOWN if n < questions] + [questions], settings)


def _table_and_features(
    file: Path, raters: Sequence[str] | None, seen: Sequence[str] | None, prompt: str, response: str
) -> "tuple[ScoreTable, FeaturesOf]":
    """The raters' scores, and what prefq is to see of the items."""
    from prefq.rewards.score_tables import ScoreTable, read_scores
    from prefq.rewards.scores import score_rewards
    from prefq.simulation.left_out_raters import given_features, other_columns

    both = None if raters is None else [*raters, *(seen or ())]
    table = read_scores(file, columns=both, prompt=prompt, response=response)
    if seen is None:
        return table, other_columns(table)
    if asked_for := [name for name in seen if name not in table.names]:  # which look like no scores, or are missing
        table = read_scores(file, columns=[*table.names, *asked_for], prompt=prompt, response=response)

    def part(names: Sequence[str]) -> ScoreTable:
        rows = [table.names.index(name) for name in names]
        return ScoreTable(table.prompts, table.responses, tuple(names), table.scores[:, rows], table.report)

    given = part(seen)
    others = part([name for name in table.names if name not in seen])
    return others, given_features(score_rewards(given)[0].of_table(given))


def _show(found: "Sequence[LeftOutRater]", table: "ScoreTable", shown: list[int], settings: Any) -> None:
    from prefq.simulation.left_out_raters import gain_over_pooled
    from prefq_cli.console import write_json, write_table, write_words

    last = shown[-1]
    tell_of_table(table)
    gains = {name: gain_over_pooled(found, name, last) for name in (LED_BY, CHANCE)}
    if settings.as_json:
        return write_json(
            {
                "raters": [_facts(rater, shown) for rater in found],
                "after": shown,
                "gain_points": {
                    name: {"mean": gain, "standard_error": None if error != error else error}
                    for name, (gain, error) in gains.items()
                },
            }
        )
    heading = ["without", POOLED, *(f"random {n}" for n in shown), *(f"chosen {n}" for n in shown if n)]
    columns = [(POOLED, 0), *((CHANCE, n) for n in shown), *((LED_BY, n) for n in shown if n)]
    rows = [(rater.name, *(_cell(rater.accuracy[name][:, n]) for name, n in columns)) for rater in found]
    means = [_cell([rater.accuracy[name][:, n].mean() for rater in found]) for name, n in columns]
    write_words(
        "Accuracy on pairs of other prompts: of the others' average, and after so many answers. Errors of a row are "
        "over splits of the prompts, those of the last row over raters."
    )
    write_table([*rows, ("all", *means)], heading, settings)
    for name, words in ((LED_BY, "chosen"), (CHANCE, "random")):
        gain, error = gains[name]
        write_words(f"After {last} {words} questions: {gain:+.1f} ± {error:.1f} points over the others' average.")
    return None


def _facts(rater: "LeftOutRater", shown: Sequence[int]) -> dict[str, Any]:
    """A rater as JSON values: means over the splits."""
    return {
        "name": rater.name,
        **{
            measure: {name: [float(values[:, n].mean()) for n in shown] for name, values in of.items()}
            for measure, of in (("accuracy", rater.accuracy), ("log_loss", rater.log_loss))
        },
    }


def _cell(values: "Sequence[float] | Array") -> str:
    """Mean and standard error."""
    import numpy as np

    error = f" ±{np.std(values, ddof=1) / np.sqrt(len(values)):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{error}".replace("0.", ".")
