"""Where keys come from: a terminal, one at a time without Enter, or the lines of a script.

An interruption (Ctrl-C) is let through only while a key is awaited, so that no answer is lost on its way
to the store.
"""

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol, Self, TextIO

REDRAW = "redraw"  # not a key: the terminal changed its size, or came back from the background
ESCAPE_SECONDS = 0.05  # the bytes of one escape sequence arrive together; a lone Escape is followed by nothing
POLL_SECONDS = 0.25  # how soon a new size of the terminal is noticed
CTRL_D = "\x04"
ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}  # by the last byte of their escape sequence
CONSOLE_ARROWS = {"H": "up", "P": "down", "M": "right", "K": "left"}  # by the second of the two that a console sends
ENTER = "enter"
NAMED = frozenset({*ARROWS.values(), ENTER})  # keys that carry a name instead of a character


def terminal_size() -> os.terminal_size:
    """Columns and lines of the terminal, whichever of the three streams still leads to it."""
    for stream in (sys.__stderr__, sys.__stdin__, sys.__stdout__):
        try:
            size = os.get_terminal_size(stream.fileno()) if stream else None
        except (OSError, ValueError):
            continue
        if size and size.columns and size.lines:
            return size
    return shutil.get_terminal_size()


class Keys(Protocol):
    """A source of keys; a context manager that leaves everything as it found it."""

    scripted: bool

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""

    def read(self) -> str:
        """The next key in lower case, one of NAMED by its name, or REDRAW.

        EOFError when none will come, KeyboardInterrupt on Ctrl-C.
        """

    def forget(self) -> None:
        """Drop keys that were pressed before now, such as a second press meant for the question before."""


class Interruption:
    """Ctrl-C and requests to end, held back while work is done and let through while a key is awaited."""

    def __init__(self) -> None:
        self._pending = False
        self._awaited = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                try:
                    self._previous[number] = signal.signal(number, self._received)
                except ValueError:  # not in the main thread: someone else takes the signals
                    break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """While this lasts, an interruption ends it at once."""
        self._awaited = True
        try:
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._awaited = False

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        if self._awaited or self._pending:  # asked twice: whatever takes so long is given up
            raise KeyboardInterrupt
        self._pending = True


class ScriptedKeys:
    """Keys from a stream, one a line; empty lines are passed over."""

    scripted = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._interruption = Interruption()

    def __enter__(self) -> Self:
        self._interruption.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._interruption.__exit__()

    def read(self) -> str:
        """The next line that is not empty."""
        with self._interruption.awaited():
            for line in self._stream:
                if line.strip():
                    return line.strip().lower()
        raise EOFError

    def forget(self) -> None:
        """Nothing: every line of a script counts."""


class TerminalKeys:
    """Keys of a POSIX terminal, without Enter and without echo."""

    scripted = False

    def __init__(self, on_pause: Callable[[], None], on_return: Callable[[], None]) -> None:
        self._fd = sys.stdin.fileno()
        self._interruption = Interruption()
        self._on_pause, self._on_return = on_pause, on_return
        self._size = terminal_size()
        self._returned = False
        self._modes: list[Any] = []

    def __enter__(self) -> Self:
        self._take_terminal()
        self._previous = signal.signal(signal.SIGTSTP, self._suspended)
        self._interruption.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._interruption.__exit__()
        signal.signal(signal.SIGTSTP, self._previous)
        self._give_terminal_back()

    def read(self) -> str:
        """The next key; escape sequences other than those of arrows are passed over."""
        with self._interruption.awaited():
            while True:
                size = terminal_size()
                if size != self._size or self._returned:
                    self._size, self._returned = size, False
                    return REDRAW
                if not self._ready(POLL_SECONDS):
                    continue
                key = self._next_character()
                if key == "\x1b":
                    if arrow := ARROWS.get(self._escape_sequence_end()):
                        return arrow
                elif key == CTRL_D:
                    raise EOFError
                elif key in "\r\n":
                    return ENTER
                elif key:
                    return key.lower()

    def forget(self) -> None:
        """Drop what the terminal holds unread."""
        import termios

        termios.tcflush(self._fd, termios.TCIFLUSH)

    def _ready(self, seconds: float) -> bool:
        return bool(select.select([self._fd], [], [], seconds)[0])

    def _next_character(self) -> str:
        byte = os.read(self._fd, 1)
        if not byte:
            raise EOFError
        n_more = next((n for n, lead in ((3, 0xF0), (2, 0xE0), (1, 0xC0)) if byte[0] >= lead), 0)
        rest = b"".join(os.read(self._fd, 1) for _ in range(n_more) if self._ready(ESCAPE_SECONDS))
        return (byte + rest).decode(errors="ignore")

    def _escape_sequence_end(self) -> str:
        """The last byte of the sequence that an Escape began, read to its end; empty after a lone Escape."""
        if not self._ready(ESCAPE_SECONDS):
            return ""
        kind = os.read(self._fd, 1)
        if kind == b"O" and self._ready(ESCAPE_SECONDS):
            return os.read(self._fd, 1).decode(errors="ignore")
        while kind == b"[" and self._ready(ESCAPE_SECONDS):
            byte = os.read(self._fd, 1)
            if byte and 0x40 <= byte[0] <= 0x7E:
                return byte.decode()
        return ""

    def _take_terminal(self) -> None:
        import termios
        import tty

        self._modes = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)

    def _give_terminal_back(self) -> None:
        import termios

        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._modes)

    def _suspended(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: leave the terminal in order, stop, and take it again on return."""
        self._on_pause()
        self._give_terminal_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take_terminal()
        self._on_return()
        self._returned = True


class ConsoleKeys:
    """Keys of a Windows console, without Enter and without echo."""

    scripted = False

    def __init__(self) -> None:
        self._interruption = Interruption()
        self._size = terminal_size()

    def __enter__(self) -> Self:
        self._interruption.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._interruption.__exit__()

    def read(self) -> str:
        """The next key; those which arrive as two are passed over unless they are arrows."""
        with self._interruption.awaited():
            while True:
                if (size := terminal_size()) != self._size:
                    self._size = size
                    return REDRAW
                if not _console().kbhit():
                    time.sleep(POLL_SECONDS / 10)
                    continue
                key: str = _console().getwch()
                if key in "\x00\xe0":
                    if arrow := CONSOLE_ARROWS.get(_console().getwch()):
                        return arrow
                elif key == "\x03":
                    raise KeyboardInterrupt
                elif key in "\x04\x1a":
                    raise EOFError
                elif key in "\r\n":
                    return ENTER
                else:
                    return key.lower()

    def forget(self) -> None:
        """Drop what the console holds unread."""
        while _console().kbhit():
            _console().getwch()


def _console() -> Any:
    import msvcrt  # exists on Windows only

    return msvcrt


def terminal_keys(on_pause: Callable[[], None], on_return: Callable[[], None]) -> Keys:
    """Keys of the terminal on standard input; the two calls leave and enter whatever is drawn around Ctrl-Z."""
    return ConsoleKeys() if os.name == "nt" else TerminalKeys(on_pause, on_return)
