"""What people see: the only file that builds a rich Console. Screens for questions, lines for results, JSON.

A screen either draws (`DrawnScreen`) or writes one line for each change (`PlainScreen`): no boxes, no cursor movement.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from prefq_cli.keys import terminal_size
from prefq_cli.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from prefq.profiles.profile import Profile
    from prefq.profiles.summary import AxisSummary
    from prefq_cli.layout import QuestionView

SCHEMA_VERSION = 1
PLAIN_FOLD = 1500  # characters of a response that a plain screen writes at once
Hints = Sequence[tuple[str, str]]


class Screen(Protocol):
    """What a person looks at while answering."""

    def question(self, view: "QuestionView", note: str = "") -> None:
        """Show a new question."""

    def offer(self, text: str, hints: Hints) -> None:
        """Ask something that is answered by a key."""

    def note(self, text: str) -> None:
        """Say something beside what is shown."""

    def more(self) -> None:
        """Show the next part of a question that does not fit."""

    def redraw(self) -> None:
        """Show the same again, the terminal having changed."""

    def open(self) -> None:
        """Begin to draw, also after `close`."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class DrawnScreen:
    """A screen that is drawn anew for each question, on the terminal's alternate page."""

    def __init__(self, settings: Settings) -> None:
        self._console = _console(sys.stderr, settings)
        self._view: QuestionView | None = None
        self._offer: tuple[str, Hints] = ("", ())
        self._note = ""
        self._page = 0

    def question(self, view: "QuestionView", note: str = "") -> None:
        """Draw a question from its beginning."""
        self._view, self._note, self._page = view, note, 0
        self.redraw()

    def offer(self, text: str, hints: Hints) -> None:
        """Draw a question about how to go on."""
        self._view, self._note, self._offer = None, "", (text, hints)
        self.redraw()

    def note(self, text: str) -> None:
        """Draw the same with a note."""
        self._note = text
        self.redraw()

    def more(self) -> None:
        """Draw the next page; after the last the first."""
        self._page += 1
        self.redraw()

    def redraw(self) -> None:
        """Draw everything in one go."""
        from rich.text import Text

        columns, rows = terminal_size()
        margin = 2 if columns >= 60 else 0
        width = columns - 2 * margin
        lines = self._question_lines(width, rows) if self._view else self._offer_lines(width)
        with self._console as console:  # buffered, so that nothing flickers
            console.clear()
            console.print(Text("\n").join(Text(" " * margin) + line for line in lines[:rows]), end="", soft_wrap=True)

    def open(self) -> None:
        """Turn to the alternate page."""
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)

    def close(self) -> None:
        """Turn back."""
        self._console.show_cursor(True)
        self._console.set_alt_screen(False)

    def _question_lines(self, width: int, rows: int) -> "list[Text]":
        from rich.text import Text

        from prefq_cli.layout import KEY_HINTS, MORE_KEY, MORE_WORD, QUIET, WIDEST, key_line, question_page, wrapped

        assert self._view is not None
        header, body = question_page(self._console, self._view, width)
        note = [*wrapped(self._console, Text(self._note), min(width, WIDEST)), Text()] if self._note else []
        keys = key_line(KEY_HINTS, width)
        n_free = rows - len(header) - len(note) - len(keys) - 1
        if len(body) > n_free:
            keys = key_line([*KEY_HINTS, (MORE_KEY, MORE_WORD)], width)
            n_free = max(rows - len(header) - len(note) - len(keys) - 2, 1)
            n_pages = -(-len(body) // n_free)
            page = self._page % n_pages
            body = body[page * n_free : (page + 1) * n_free]
            body += [Text()] * (n_free - len(body))
            body.append(Text(f"page {page + 1} of {n_pages}, {MORE_KEY} shows more", style=QUIET))
        return [*header, *body, Text(), *note, *keys]

    def _offer_lines(self, width: int) -> "list[Text]":
        from rich.text import Text

        from prefq_cli.layout import key_line, wrapped

        text, hints = self._offer
        note = [Text(), *wrapped(self._console, Text(self._note), width)] if self._note else []
        return [*wrapped(self._console, Text(text), width), *note, Text(), *key_line(hints, width)]


class PlainScreen:
    """A screen that writes lines, for screen readers, dumb terminals and logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest: list[str] = []
        self._explained = False

    def question(self, view: "QuestionView", note: str = "") -> None:
        """Write the question, long texts up to a fold."""
        from prefq_cli.layout import KEY_HINTS

        parts = [f"Question {view.heading}", view.minutes, *view.asides]
        self._say("")
        self._say(". ".join(part[:1].upper() + part[1:] for part in parts if part) + ".")
        if note:
            self._say(note)
        self._rest = []
        for label, text in (("Prompt", view.prompt), ("Response 1", view.first), ("Response 2", view.second)):
            if text or label != "Prompt":
                self._fold(label, text or "(empty)")
        words = ", ".join(f"{key} {word}" for key, word in KEY_HINTS)
        self._say(f"Keys: {words}." if not self._explained else "Your choice?")
        self._explained = True

    def offer(self, text: str, hints: Hints) -> None:
        """Write a question about how to go on."""
        self._say("")
        self._say(f"{text} Keys: {', '.join(f'{key} {word}' for key, word in hints)}.")

    def note(self, text: str) -> None:
        """Write a line."""
        self._say(text)

    def more(self) -> None:
        """Write the next part of what was folded."""
        if not self._rest:
            return self._say("There is no more to read.")
        label, text = self._rest.pop(0).split("\0")
        return self._fold(label, text)

    def redraw(self) -> None:
        """Nothing: lines stay where they were written."""

    def open(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def _fold(self, label: str, text: str) -> None:
        cut = text.rfind(" ", 0, PLAIN_FOLD) if len(text) > PLAIN_FOLD * 1.2 else -1
        cut = len(text) if len(text) <= PLAIN_FOLD * 1.2 else cut if cut > 0 else PLAIN_FOLD
        self._say(f"{label}: {text[:cut].rstrip()}")
        if cut < len(text):
            rest = text[cut:].lstrip()
            self._say(f"({label} goes on for {len(rest.split())} more words; the space bar reads on.)")
            self._rest.append(f"{label}, going on\0{rest}")

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


def screen_for(settings: Settings) -> Screen:
    """Drawn where a person looks at a terminal that can, plain elsewhere."""
    return PlainScreen(sys.stderr) if settings.plain or not sys.stderr.isatty() else DrawnScreen(settings)


def tell(text: str) -> None:
    """A message for a person, on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def write(text: str) -> None:
    """A result, on standard output."""
    print(text, flush=True)  # noqa: T201


def write_json(values: Mapping[str, Any]) -> None:
    """The one JSON object of a command, on standard output."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    write(json.dumps({"schema_version": SCHEMA_VERSION, **values}, ensure_ascii=not unicode, indent=2))


def write_profile(profile: "Profile", axes: "Sequence[AxisSummary]", settings: Settings) -> None:
    """A profile on standard output: a chart where there is a terminal to draw on, and words."""
    from prefq.profiles.summary import sentences
    from prefq_cli.texts import one_line

    count = "1 comparison" if profile.n_answers == 1 else f"{profile.n_answers} comparisons"
    title = f"{one_line(profile.user_id)}, {count}"
    if settings.plain or not sys.stdout.isatty():
        write(f"Profile of {title}.")
        for sentence in sentences(axes):
            write(sentence)
        for axis in sorted(axes, key=lambda axis: -axis.sure):
            effect, low, high = axis.strength
            write(
                f"{' or '.join(axis.poles)}: {axis.preferred} by {effect:.2f} logits, "
                f"90 % interval {low:.2f} to {high:.2f}, {axis.verdict.value}."
            )
        return
    from rich.text import Text

    from prefq_cli.layout import QUIET, STRONG, WIDEST, chart, wrapped

    console = _console(sys.stdout, settings)
    width = min(terminal_size().columns, WIDEST)
    lines = [Text(), Text(title, style=STRONG), Text(), *chart(axes, width), Text()]
    lines += [line for sentence in sentences(axes) for line in wrapped(console, Text(sentence), min(width, 100))]
    lines += [Text(), *wrapped(console, Text("● best guess   ─ 90 % interval   ┼ no preference", style=QUIET), width)]
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


def _console(stream: TextIO, settings: Settings) -> "Console":
    from rich.console import Console

    return Console(
        file=stream, no_color=not settings.colour, highlight=False, markup=False, emoji=False, legacy_windows=False
    )
