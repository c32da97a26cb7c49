"""prefq data: comparisons from a log, with their texts, a report of every row, and parts for training and tests."""

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.exit_codes import ExitCode
from prefq_cli.outputs import ForceOption, require_free
from prefq_cli.settings import SECONDS_BETWEEN_LINES, JsonOption, PlainOption, program, read_settings

if TYPE_CHECKING:
    from prefq.rewards.logs import TextComparisons

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Import people's comparisons from logs; show them.")

N_EXAMPLES = 3
DROP, TIE = "drop", "tie"


@app.command("import")
def import_(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG", help="Parquet, JSON lines or CSV, a folder of such files, or one that datasets saved."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the comparisons go.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="OURS=THEIRS",
            help="What a column is called in the log; again for each. prompt= if none.",
        ),
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option("--choice", metavar="THEIRS=OURS", help="What a choice means, such as 0=first; again for each."),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option("--items", metavar="FILE", help="Texts of the items that LOG names by item_a and item_b."),
    ] = None,
    dataset_split: Annotated[
        str | None, typer.Option("--dataset-split", metavar="NAME", help="Part of a folder of several data sets.")
    ] = None,
    equal_ratings: Annotated[
        str, typer.Option("--equal-ratings", metavar="WHAT", help="What two equal ratings are: 'drop' or 'tie'.")
    ] = DROP,
    most_pairs: Annotated[
        int | None,
        typer.Option("--most-pairs", metavar="N", min=1, help="Comparisons from one set of ratings; 10 by default."),
    ] = None,
    rating_strengths: Annotated[
        bool, typer.Option("--rating-strengths", help="Take differences of ratings for strengths of preferences.")
    ] = False,
    largest_strength: Annotated[
        float | None,
        typer.Option("--largest-strength", metavar="X", help="Divide strengths by this; by default by the largest."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="For parts, sides and pairs.")] = 0,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import a log of comparisons or ratings: texts, numbers, a report, and who is trained on and who is tested.

    Rows of LOG have user_id, prompt, and response_a, response_b, choice; or chosen, rejected; or response, rating. With
    --items they have item_a, item_b, choice, or item_id, rating. A row that cannot be used is dropped and counted.

    \b
    Examples:
      prefq data import log.jsonl --out comparisons
      prefq data import log.csv --column user_id=annotator --column choice=winner --out comparisons
      prefq data import answers.parquet --items items.parquet --out comparisons
    """
    from prefq.errors import InputError
    from prefq.rewards.logs import read_comparisons
    from prefq.rewards.logs.ratings import MOST_PAIRS
    from prefq_cli.console import tell, write_json

    if equal_ratings not in (DROP, TIE):
        raise InputError(f"--equal-ratings is {equal_ratings!r}; give 'drop' or 'tie'.")
    require_free(out, force=force)
    existing = next(folder for folder in (out.resolve().parent, *out.resolve().parents) if folder.is_dir())
    try:
        found = read_comparisons(
            log,
            columns=named_pairs(column, "--column", "OURS=THEIRS"),
            items=items,
            choices=named_pairs(choice, "--choice", "THEIRS=OURS"),
            seed=seed,
            largest_strength=largest_strength,
            equal_ratings="tie" if equal_ratings == TIE else "drop",
            most_pairs=most_pairs or MOST_PAIRS,
            rating_strengths=rating_strengths,
            dataset_split=dataset_split,
            scratch=existing,
            on_progress=_teller(),
        )
        found.save(out)
    except KeyboardInterrupt:
        tell("Interrupted: nothing was written.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        write_json({"comparisons": str(out), **_facts(found)})
    else:
        _show(found)
    for warning in found.report.warnings():
        tell(f"Warning: {warning}")
    tell(f"Wrote {out}. Look at it: {program()} data show {shlex.quote(str(out))}")


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What prefq data import wrote.")],
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show imported comparisons: the report, the size of each part, and three rows that are trained on.

    \b
    Examples:
      prefq data show comparisons
      prefq data show comparisons --json
    """
    from prefq.rewards.logs import load_comparisons
    from prefq_cli.console import tell, write, write_json, write_table

    found = load_comparisons(folder)
    examples = list(_examples(found))
    if as_json:
        return write_json({"comparisons": str(folder), **_facts(found), "examples": examples})
    _show(found)
    write("")
    rows = [(each["user_id"], each["prompt"], each["choice"], each["first"], each["second"]) for each in examples]
    short = [(user, *(_short(text) for text in texts)) for user, *texts in rows]
    write_table(short, ("user", "prompt", "choice", "first", "second"), read_settings(plain=plain))
    for warning in found.report.warnings():
        tell(f"Warning: {warning}")
    return None


def named_pairs(pairs: Sequence[str] | None, option: str, expected: str) -> dict[str, str]:
    """What was given as NAME=NAME; InputError for anything else, or a name that is given twice."""
    from prefq.errors import InputError

    found: dict[str, str] = {}
    for pair in pairs or ():
        name, is_there, other = pair.partition("=")
        if not is_there or not name or name in found:
            raise InputError(f"{option} is {pair!r}; give {expected}, each name once.")
        found[name] = other
    return found


def _teller() -> Callable[[int], None]:
    """Says on standard error how many rows were read, now and then."""
    from prefq_cli.console import tell

    began = told = time.monotonic()

    def on_progress(n_rows: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= SECONDS_BETWEEN_LINES:
            told = now
            tell(f"{n_rows:,} rows read, {n_rows / (now - began):,.0f} a second …")

    return on_progress


def _facts(found: "TextComparisons") -> dict[str, Any]:
    return {"report": found.report.to_dict(), "warnings": list(found.report.warnings())}


def _show(found: "TextComparisons") -> None:
    from prefq_cli.console import write_words

    for sentence in found.report.sentences():
        write_words(sentence)


def _examples(found: "TextComparisons") -> Iterator[dict[str, str]]:
    """The first rows that are trained on, with their texts."""
    group = found.group
    words = {1: "first", 0: "tie", -1: "second"}
    for row in found.train[:N_EXAMPLES].tolist():
        first, second = group.pairs[row].tolist()
        yield {
            "user_id": group.user_ids[group.users[row]],
            "prompt": found.prompts[first],
            "first": found.responses[first],
            "second": found.responses[second],
            "choice": words[int(group.outcomes[row])],
        }


def _short(text: str, most: int = 40) -> str:
    """The beginning of a text."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
