"""Where words go on a terminal: questions in one or two columns, key hints, profiles as charts.

Foreign text arrives here already made safe by `prefq_cli.texts` and is never read as markup.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from prefq.profiles.summary import DIRECTED, AxisSummary, Verdict
from prefq_cli.texts import reads_right_to_left

SIDE_BY_SIDE_FROM = 100  # columns
WIDEST = 140  # columns; longer lines tire the eye
GAP = 4
MARGIN = 2  # columns either side, where there are some to spare
ACCENT, QUIET, STRONG = "cyan", "dim", "bold"
BAR_WIDTHS = ((60, 24), (40, 12), (0, 6))  # from so many columns on, a progress bar of so many
CHART_WIDEST = 49
KEY_HINTS = (
    ("1", "first"),
    ("2", "second"),
    ("0", "tie"),
    ("b", "both bad"),
    ("s", "skip"),
    ("u", "undo"),
    ("?", "why"),
    ("q", "save and quit"),
)
SHORT_HINTS = (("1 2", "prefer"), *KEY_HINTS[2:])


class QuestionView(NamedTuple):
    """A question as it is shown: texts are safe, `done` of `total` are answered, `asides` are shortened to fit."""

    heading: str
    done: int
    total: int
    minutes: str
    asides: tuple[str, ...]
    prompt: str
    first: str
    second: str


class Page(NamedTuple):
    """Lines of a question; second_at is the line of the body where the second response begins, below the first."""

    header: list[Text]
    body: list[Text]
    second_at: int


def question_page(console: Console, view: QuestionView, width: int) -> Page:
    """A question in `width` columns: progress above, prompt and both responses below."""
    width = min(width, WIDEST)
    body = [*wrapped(console, Text(view.prompt, style=STRONG), width), Text()] if view.prompt else []
    second_at = 0
    if width >= SIDE_BY_SIDE_FROM and not any(map(reads_right_to_left, (view.first, view.second))):
        body += _side_by_side(console, view, width)
    else:
        body += [*_labelled(console, "1", view.first, width), Text()]
        second_at = len(body)
        body += _labelled(console, "2", view.second, width)
    return Page(_progress(view, width), body, second_at)


def key_line(hints: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """Key hints, wrapped between hints."""
    lines = [Text()]
    for key, word in hints:
        hint = Text.assemble((key, f"{STRONG} {ACCENT}"), " ", (word, QUIET))
        if lines[-1] and lines[-1].cell_len + 3 + hint.cell_len > width:
            lines.append(Text())
        lines[-1].append_text(Text("   ") + hint if lines[-1] else hint)
    return lines


def wrapped(console: Console, text: Text, width: int) -> list[Text]:
    """Lines of at most `width` columns; words that are longer are cut."""
    lines = []
    for line in text.wrap(console, width):
        line.rstrip()
        lines.append(line)
    return lines


def chart(axes: Sequence[AxisSummary], width: int) -> list[Text]:
    """A line for each axis, surest first: a bar for the 90 % interval, a dot for the best guess, a line at zero."""
    left = max(cell_len(axis.poles[0]) for axis in axes)
    right = max(cell_len(axis.poles[1]) for axis in axes)
    n_cells = max(min(CHART_WIDEST, width - left - right - 2), 7) // 2 * 2 - 1
    limit = max(max(abs(axis.low), abs(axis.high)) for axis in axes) or 1.0
    lines = []
    for axis in sorted(axes, key=lambda axis: -axis.sure):
        style = {Verdict.CLEAR: f"{STRONG} {ACCENT}", Verdict.LIKELY: ACCENT}.get(axis.verdict, QUIET)
        told = axis.verdict in DIRECTED
        low_style, high_style = (
            (style, QUIET) if told and axis.effect < 0 else (QUIET, style) if told else (QUIET, QUIET)
        )
        lines.append(
            Text.assemble(
                (" " * (left - cell_len(axis.poles[0])) + axis.poles[0], low_style),
                " ",
                (_bar(axis, n_cells, limit), style),
                " ",
                (axis.poles[1], high_style),
                no_wrap=True,
                overflow="ellipsis",
            )
        )
    return lines


def _bar(axis: AxisSummary, n_cells: int, limit: float) -> str:
    def cell(value: float) -> int:
        return round((value / limit + 1) / 2 * (n_cells - 1))

    cells, low, high = [" "] * n_cells, cell(axis.low), cell(axis.high)
    cells[low : high + 1] = "━" * (high - low + 1)
    cells[n_cells // 2] = "┿" if low <= n_cells // 2 <= high else "│"
    cells[cell(axis.effect)] = "●"
    return "".join(cells)


def _progress(view: QuestionView, width: int) -> list[Text]:
    n_cells = next(cells for columns, cells in BAR_WIDTHS if width >= columns)
    full = round(n_cells * min(view.done / max(view.total, 1), 1.0))
    line = Text.assemble(
        (view.heading, STRONG), "  ", ("━" * full, ACCENT), ("─" * (n_cells - full), QUIET), "  ", (view.minutes, QUIET)
    )
    line.truncate(width, overflow="ellipsis")
    lines = [line]
    for aside in view.asides:
        told = Text(aside, style=QUIET)
        if lines[-1].cell_len + GAP + told.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], " " * GAP, told)
        else:
            told.truncate(width, overflow="ellipsis")
            lines.append(told)
    return [*lines, Text()]


def _labelled(console: Console, label: str, text: str, width: int) -> list[Text]:
    rule = Text.assemble((label, f"{STRONG} {ACCENT}"), " ", ("─" * (width - 2), QUIET))
    return [rule, *wrapped(console, Text(text or "(empty)"), width)]


def _side_by_side(console: Console, view: QuestionView, width: int) -> list[Text]:
    column = (width - GAP) // 2
    first, second = (_labelled(console, *side, column) for side in (("1", view.first), ("2", view.second)))
    lines = []
    for i in range(max(len(first), len(second))):
        left = first[i] if i < len(first) else Text()
        right = second[i] if i < len(second) else Text()
        lines.append(Text.assemble(left, " " * (column - left.cell_len + GAP), right))
    return lines
