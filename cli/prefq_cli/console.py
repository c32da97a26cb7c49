"""Results and messages: the only file that builds a rich Console. Profiles, tables, JSON.

What is shown while someone answers is in `prefq_cli.screens`.
"""

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from prefq_cli.keys import terminal_size
from prefq_cli.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from prefq.profiles.evidence import Evidence
    from prefq.profiles.profile import Profile

SCHEMA_VERSION = 1
LEGEND = "● best guess   ━ nine times in ten the truth lies here   │ no preference"


def tell(text: str) -> None:
    """A message for a person, on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def write(text: str) -> None:
    """A result, on standard output."""
    print(text, flush=True)  # noqa: T201


def write_words(text: str) -> None:
    """A result in words, on standard output; wrapped between words where it meets the edge of a terminal."""
    write(textwrap.fill(text, min(terminal_size().columns, 100)) if sys.stdout.isatty() else text)


def write_json(values: Mapping[str, Any]) -> None:
    """The one JSON object of a command, on standard output."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    write(json.dumps({"schema_version": SCHEMA_VERSION, **values}, ensure_ascii=not unicode, indent=2))


def write_profile(profile: "Profile", evidence: "Evidence", settings: Settings) -> None:
    """A profile on standard output: in words, and as a chart where there is a terminal to draw on, else in numbers."""
    from prefq.profiles.evidence import basis, score_sentence
    from prefq.profiles.stated_words import stated_sentences
    from prefq.profiles.summary import beside, counted_sentences, summarize, taste_sentences
    from prefq_cli.evidence import all_sentences
    from prefq_cli.texts import one_line

    user, axes = one_line(profile.user_id), summarize(profile)
    rests_on = basis(profile.n_answers, evidence, beside(profile))
    if settings.plain or not sys.stdout.isatty():
        tested = [] if evidence.score is None else [score_sentence(evidence.score)]
        told = [*tested, *taste_sentences(profile), *stated_sentences(profile), *counted_sentences(axes)]
        for sentence in (f"Profile of {user}, from {rests_on}.", *told):
            write_words(sentence)
        return
    from rich.text import Text

    from prefq_cli.layout import QUIET, STRONG, WIDEST, chart, wrapped

    console = rich_console(sys.stdout, settings)
    width = min(terminal_size().columns, WIDEST)
    title = Text.assemble((user, STRONG), f", from {rests_on}.")
    words = [title, *map(Text, all_sentences(profile, evidence))]
    lines = [Text(), *(line for text in words for line in wrapped(console, text, min(width, 100))), Text()]
    lines += [*chart(axes, width), Text(), *wrapped(console, Text(LEGEND, style=QUIET), width)]
    console.print(Text("\n").join(lines), soft_wrap=True)


def write_table(rows: Sequence[Sequence[str]], heading: Sequence[str], settings: Settings) -> None:
    """Rows under a heading, aligned; cells are safe, and shortened only where a person looks at a terminal."""
    from rich.cells import cell_len, set_cell_size

    from prefq_cli.texts import one_line

    cells = [[one_line(cell) for cell in row] for row in [heading, *rows]]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(heading))]
    if sys.stdout.isatty() and not settings.plain:
        widths[-1] = max(min(widths[-1], terminal_size().columns - sum(widths[:-1]) - 2 * len(widths)), 10)
    for row in cells:
        last = row[-1] if cell_len(row[-1]) <= widths[-1] else set_cell_size(row[-1], widths[-1] - 1) + "…"
        write("  ".join([*(set_cell_size(cell, size) for cell, size in zip(row[:-1], widths, strict=False)), last]))


def rich_console(stream: TextIO, settings: Settings) -> "Console":
    """A console that reads no markup in what it is given."""
    from rich.console import Console

    return Console(
        file=stream, no_color=not settings.colour, highlight=False, markup=False, emoji=False, legacy_windows=False
    )
