"""Worker processes: tasks go to them one by one, and what comes of each comes back as it is done.

Workers are started afresh (spawn), with one thread each for linear algebra, so that numbers do not depend on how many
there are. A worker keeps the last panel it made; tasks of one panel go to the same worker as long as that is possible.
"""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Thread, current_thread, main_thread
from typing import Any, NamedTuple, Protocol, TypeVar

from prefq.errors import PrefqError

ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    (
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)


# glibc hands large arrays back to the system when they are freed and faults them in again, page by page, for the next:
# half of the time that a prior takes.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


class Task(Protocol):
    """Something to do in a worker process: picklable, as are instances of a dataclass at the top of a module."""

    @property
    def panel(self) -> int:
        """Number of the panel it needs."""

    def __call__(self) -> Any:
        """Do it; what comes back, or is raised, must be picklable."""


AnyTask = TypeVar("AnyTask", bound=Task)


class WorkerLostError(PrefqError):
    """A worker process ended in the middle of a task."""


class Done(NamedTuple):
    """What came of a task: its result, or the error that it raised; seconds by the wall clock and of the processor."""

    result: Any
    error: Exception | None
    seconds: float
    cpu_seconds: float

    def value(self) -> Any:
        """The result; raises the error where there was one."""
        if self.error is not None:
            raise self.error
        return self.result


class Workers:
    """Worker processes for several stages, so that panels that are made in one are there in the next.

    They end with the context, and when an exception such as KeyboardInterrupt passes through it, whatever they do.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self.workers: list[_Worker] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()

    def work(
        self, tasks: Sequence[AnyTask], *, skip: Callable[[AnyTask], bool] | None = None, at_once: int | None = None
    ) -> Iterator[tuple[AnyTask, Done]]:
        """Do tasks and give each with what came of it, in the order in which they end.

        Tasks for which `skip` is true when their turn comes are left out; at most `at_once` run at the same time. A
        worker that is lost fails its task with `WorkerLostError`, and another takes its place.
        """
        queue = _Queue(tasks, skip)
        for worker in self._some(min(at_once or self.n_workers, len(tasks)), tasks):
            worker.give(queue.next_for(worker, self.workers))
        while busy := [worker for worker in self.workers if worker.task is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                task, done = worker.task, worker.taken()
                if isinstance(done.error, WorkerLostError):
                    worker.restart()
                worker.give(queue.next_for(worker, self.workers))
                yield task, done

    def _some(self, n_workers: int, tasks: Sequence[Task]) -> "list[_Worker]":
        """So many workers, those first that have a panel of the tasks."""
        while len(self.workers) < n_workers:
            self.workers.append(_Worker())
        wanted = {task.panel for task in tasks}
        return sorted(self.workers, key=lambda worker: worker.panel not in wanted)[:n_workers]


def work(
    tasks: Sequence[AnyTask], n_workers: int, *, skip: Callable[[AnyTask], bool] | None = None
) -> Iterator[tuple[AnyTask, Done]]:
    """Do tasks in workers of their own, as `Workers.work` does."""
    with Workers(n_workers) as workers:
        yield from workers.work(tasks, skip=skip)


class _Queue:
    """Tasks by panel; a worker goes on with its own panel, then takes one that nobody has, then helps another."""

    def __init__(self, tasks: Sequence[AnyTask], skip: Callable[[AnyTask], bool] | None) -> None:
        self.skip = skip or (lambda _: False)
        self.left: dict[int, deque[Any]] = {}
        for task in tasks:
            self.left.setdefault(task.panel, deque()).append(task)

    def next_for(self, worker: "_Worker", workers: "Sequence[_Worker]") -> Any:
        while self.left:
            task = self._popped(worker, workers)
            if not self.skip(task):
                return task
        return None

    def _popped(self, worker: "_Worker", workers: "Sequence[_Worker]") -> Any:
        taken = {each.panel for each in workers if each is not worker}
        free = [panel for panel in self.left if panel not in taken]
        fullest = max(self.left, key=lambda panel: len(self.left[panel]))
        panel = worker.panel if worker.panel in self.left else free[0] if free else fullest
        assert panel is not None
        task = self.left[panel].popleft()
        if not self.left[panel]:
            del self.left[panel]
        return task


class _Worker:
    """A process, the connection to it, and what it is doing."""

    def __init__(self) -> None:
        self.task: Any = None
        self.panel: int | None = None
        self.restart()

    def restart(self) -> None:
        """Begin a process; it is of this one's making and ends with it."""
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _surroundings():
            self.process.start()
        theirs.close()

    def give(self, task: Any) -> None:
        """Let it begin a task; None is none."""
        self.task = task
        if task is not None:
            self.panel = task.panel
            with suppress(OSError):  # it is gone, which `taken` will find
                self.connection.send(task)

    def taken(self) -> Done:
        """What came of its task."""
        try:
            done: Done = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            self.connection.close()
            return Done(None, WorkerLostError(_how_it_ended(self.process.exitcode)), 0.0, 0.0)
        return done

    def end(self) -> None:
        """End the process, whatever it is doing: what it writes, it writes whole or not at all."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def _how_it_ended(code: int | None) -> str:
    told = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    memory = ", as happens where memory runs out; try fewer --workers" if code == -signal.SIGKILL else ""
    return f"its worker process was ended {told}{memory}."


@contextmanager
def _surroundings() -> Iterator[None]:
    """What a worker inherits: one thread for linear algebra, and deafness to Ctrl-C, which is this process's matter."""
    wanted = {**_KEEP_MEMORY, **ONE_THREAD}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN) if current_thread() is main_thread() else None
    try:
        yield
    finally:
        if on_interrupt is not None:
            signal.signal(signal.SIGINT, on_interrupt)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _serve(connection: Connection) -> None:
    """What a worker process does: tasks, until the connection is closed or the process that began it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)  # results only go there
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(_done(task))


def _done(task: Task) -> Done:
    start, cpu_start = time.perf_counter(), time.process_time()
    result, error = None, None
    try:
        result = task()
    except Exception as raised:  # noqa: BLE001  (the process that gave the task decides)
        error = raised if isinstance(raised, PrefqError) else PrefqError(f"{type(raised).__name__}: {raised}")
    return Done(result, error, time.perf_counter() - start, time.process_time() - cpu_start)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
