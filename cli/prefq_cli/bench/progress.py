"""Progress of a run on standard error: a bar with the time left on a terminal, else a line now and then."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from prefq_cli.console import rich_console, tell
from prefq_cli.settings import Settings

SECONDS_BETWEEN_LINES = 20.0


class Shown(Protocol):
    """What shows the progress of one stage."""

    def step(self, name: str, seconds: float) -> None:
        """A part of this name (its strategy) is done and took so long."""


class TimeLeft:
    """How long what is left will take, from how long parts of the same name took."""

    def __init__(self, names: Sequence[str], n_workers: int) -> None:
        self.left = Counter(names)
        self.n_workers = n_workers
        self.seconds: dict[str, float] = {}
        self.done: Counter[str] = Counter()
        self.until: float | None = None  # by the monotonic clock

    def step(self, name: str, seconds: float) -> None:
        self.left[name] -= 1
        self.done[name] += 1
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.until = time.monotonic() + (self.estimate() or 0.0)

    def estimate(self) -> float | None:
        """Seconds, None before the first part is done; a strategy of which none is done counts like the others."""
        if not self.done:
            return None
        others = sum(self.seconds.values()) / sum(self.done.values())
        total = sum(
            count * (self.seconds[name] / self.done[name] if self.done[name] else others)
            for name, count in self.left.items()
        )
        return total / max(min(self.n_workers, sum(self.left.values())), 1)


def in_words(seconds: float) -> str:
    """A time, as exact as it is of use: `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def progress(title: str, names: Sequence[str], n_workers: int, settings: Settings, *, kept: int = 0) -> Iterator[Shown]:
    """Show the progress of a stage with a part for each name; `kept` parts were there before."""
    left = TimeLeft(names, n_workers)
    if not names:
        yield left
        return
    if settings.plain or not sys.stderr.isatty():
        yield _Lines(title, left, len(names), kept)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), _Left(left))
    with Progress(*columns, console=rich_console(sys.stderr, settings), transient=True) as bar:
        task = bar.add_task(title, total=len(names) + kept, completed=kept)
        yield _Bar(bar, task, left)


class _Left(ProgressColumn):
    """Time left, which runs down between the parts."""

    def __init__(self, left: TimeLeft) -> None:
        super().__init__()
        self.left = left

    def render(self, task: Task) -> Text:  # noqa: ARG002  (rich's signature)
        until = self.left.until
        return Text("" if until is None else f"about {in_words(until - time.monotonic())} left", style="dim")


class _Bar:
    def __init__(self, bar: Progress, task: TaskID, left: TimeLeft) -> None:
        self.bar, self.task, self.left = bar, task, left

    def step(self, name: str, seconds: float) -> None:
        self.left.step(name, seconds)
        self.bar.advance(self.task)


class _Lines:
    def __init__(self, title: str, left: TimeLeft, total: int, kept: int) -> None:
        self.title, self.left, self.total, self.n_done = title, left, total + kept, kept
        self.told_at = time.monotonic()
        tell(f"{title}: {total} to do{f', {kept} are there' if kept else ''}.")

    def step(self, name: str, seconds: float) -> None:
        self.left.step(name, seconds)
        self.n_done += 1
        last = self.n_done == self.total
        if last or time.monotonic() - self.told_at >= SECONDS_BETWEEN_LINES:
            self.told_at = time.monotonic()
            after = "" if last else f", about {in_words(self.left.estimate() or 0)} left"
            tell(f"{self.title}: {self.n_done} of {self.total}{after}.")
