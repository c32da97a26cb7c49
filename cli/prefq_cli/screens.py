"""What people look at while they answer: drawn anew for each question, or written line by line."""

import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from prefq_cli.console import rich_console
from prefq_cli.keys import terminal_size
from prefq_cli.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

    from prefq_cli.layout import QuestionView
    from prefq_cli.sliders import SlidersView

PLAIN_FOLD = 1500  # characters of a response that a plain screen writes at once
Hints = Sequence[tuple[str, str]]


class Screen(Protocol):
    """What a person looks at while answering."""

    def question(self, view: "QuestionView", note: str = "") -> None:
        """Show a new question."""

    def heard(self, reply: str) -> None:
        """Confirm a reply where the next question alone would not."""

    def offer(self, text: str, hints: Hints) -> None:
        """Ask something that is answered by a key."""

    def sliders(self, view: "SlidersView", note: str = "") -> None:
        """Show sliders as they stand now."""

    def note(self, text: str) -> None:
        """Say something beside what is shown."""

    def shows(self, note: str, /) -> bool:
        """Whether this note stands there to be put away, by a note of nothing."""

    def more(self) -> None:
        """Show the next part of a question that does not fit."""

    def second(self) -> None:
        """Show the second response of such a question from its beginning."""

    def both_begun(self) -> bool:
        """Whether the beginnings of both responses were shown."""

    def redraw(self) -> None:
        """Show the same again, the terminal having changed."""

    def open(self) -> None:
        """Begin to draw, also after `close`."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class DrawnScreen:
    """A screen that is drawn anew for each question, on the terminal's alternate page."""

    def __init__(self, settings: Settings) -> None:
        self._console = rich_console(sys.stderr, settings)
        self._view: QuestionView | SlidersView | None = None
        self._offer: tuple[str, Hints] = ("", ())
        self._note = ""
        self._page = self._second_page = 0
        self._second_seen = False

    def question(self, view: "QuestionView", note: str = "") -> None:
        """Draw a question from its beginning."""
        self._view, self._note, self._page, self._second_seen = view, note, 0, False
        self.redraw()

    def heard(self, reply: str) -> None:
        """Nothing: the next question says it."""

    def offer(self, text: str, hints: Hints) -> None:
        """Draw a question about how to go on."""
        self._view, self._note, self._offer = None, "", (text, hints)
        self.redraw()

    def sliders(self, view: "SlidersView", note: str = "") -> None:
        """Draw the page of sliders."""
        self._view, self._note = view, note
        self.redraw()

    def note(self, text: str) -> None:
        """Draw the same with a note."""
        self._note = text
        self.redraw()

    def shows(self, note: str) -> bool:
        """Whether this note is drawn."""
        return note == self._note

    def more(self) -> None:
        """Draw the next page; after the last the first."""
        self._page += 1
        self.redraw()

    def second(self) -> None:
        """Draw the page where the second response begins."""
        self._page = self._second_page
        self.redraw()

    def both_begun(self) -> bool:
        """Whether the page where the second response begins was drawn."""
        return self._second_seen

    def redraw(self) -> None:
        """Draw everything in one go."""
        from rich.text import Text

        from prefq_cli.layout import MARGIN

        columns, rows = terminal_size()
        margin = MARGIN if columns >= 60 else 0
        width = columns - 2 * margin
        lines = self._lines(width, rows)
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

    def _lines(self, width: int, rows: int) -> "list[Text]":
        from prefq_cli.layout import QuestionView

        if self._view is None:
            return self._offer_lines(width)
        if isinstance(self._view, QuestionView):
            return self._question_lines(self._view, width, rows)
        from prefq_cli.sliders import slider_page

        return slider_page(self._console, self._view, self._note, width, rows)

    def _question_lines(self, view: "QuestionView", width: int, rows: int) -> "list[Text]":
        from rich.text import Text

        from prefq_cli.layout import SHORT_HINTS, WIDEST, key_line, question_page, wrapped

        header, body, second_at = question_page(self._console, view, width)
        note = [*wrapped(self._console, Text(self._note), min(width, WIDEST)), Text()] if self._note else []
        keys = key_line(SHORT_HINTS, width)
        n_free, page, self._second_page = rows - len(header) - len(note) - len(keys) - 1, 0, 0
        if len(body) > n_free:
            n_free = max(n_free - 2, 1)
            n_pages, self._second_page = -(-len(body) // n_free), second_at // n_free
            page = self._page % n_pages
            body = body[page * n_free : (page + 1) * n_free]
            body += [Text()] * (n_free - len(body))
            turn = [("space", f"page {page + 1} of {n_pages}")]
            jump = [("tab", "to 2")] if self._second_page > page else []
            body += [Text(), *key_line([*turn, *jump], width)]
        line = len(header) + second_at - self._second_page * n_free  # where the second response begins on its page
        self._second_seen |= page >= self._second_page and line < rows
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
        self._sliders_written = False

    def question(self, view: "QuestionView", note: str = "") -> None:
        """Write the question, long texts up to a fold."""
        from prefq_cli.layout import KEY_HINTS

        parts = [view.heading, view.minutes, *view.asides]
        self._say("")
        self._say(". ".join(part[:1].upper() + part[1:] for part in parts if part) + ".")
        if note:
            self._say(note)
        self._rest = []
        for label, text in (("Prompt", view.prompt), ("Response 1", view.first), ("Response 2", view.second)):
            if text or label != "Prompt":
                self._fold(label, text or "(empty)")
        self._say(f"Your choice? {', '.join(f'{key} {word}' for key, word in KEY_HINTS)}.")

    def heard(self, reply: str) -> None:
        """Write what was stored."""
        self._say(f"Saved: {reply}.")

    def offer(self, text: str, hints: Hints) -> None:
        """Write a question about how to go on."""
        self._say("")
        self._say(f"{text} Keys: {', '.join(f'{key} {word}' for key, word in hints)}.")

    def sliders(self, view: "SlidersView", note: str = "") -> None:
        """Write all sliders the first time, then the one that was moved or moved to."""
        from prefq_cli.sliders import HEADING, HINTS

        if not self._sliders_written:
            self._sliders_written = True
            self._say(HEADING)
            for axis in range(len(view.poles)):
                self._say(f"{view.words_of(axis)}.")
            self._say(f"Keys: {', '.join(f'{key} {word}' for key, word in HINTS)}.")
        self._say(f"At {view.words}.")
        if note:
            self._say(note)

    def note(self, text: str) -> None:
        """Write a line, and that a key is awaited."""
        self._say(text)
        self._say("Your choice?")

    def shows(self, _note: str) -> bool:
        """Never: what was written has passed, and may be wanted again."""
        return False

    def more(self) -> None:
        """Write the next part of what was folded."""
        if not self._rest:
            return self._say("There is no more to read.")
        label, text = self._rest.pop(0).split("\0")
        return self._fold(label, text)

    def both_begun(self) -> bool:
        """Always: both responses were written."""
        return True

    def second(self) -> None:
        """Nothing: both responses were written."""

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

    def _say(self, text: str) -> None:
        """Write a text, wrapped between words where it meets the edge of a terminal."""
        if self._stream.isatty():
            width = terminal_size().columns
            wrapped = (textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in text.split("\n"))
            text = "\n".join(line for lines in wrapped for line in lines)
        print(text, file=self._stream, flush=True)


def screen_for(settings: Settings) -> Screen:
    """Drawn where a person looks at a terminal that can, plain elsewhere."""
    return PlainScreen(sys.stderr) if settings.plain or not sys.stderr.isatty() else DrawnScreen(settings)
