"""kill -9 at a hundred random moments of scripted sessions: no answer lost, none doubled, the next start continues.

What this proves is about the process. That an answer survives a loss of power rests on SQLite's promise for WAL with
synchronous=FULL, which test_database.py finds switched on.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from prefq import Session
from prefq.events import Answered, Asked
from prefq.storage.sql import SqlStore

RUNNER = Path(__file__).with_name("session_runner.py")
N_STORES, N_KILLS = 10, 10  # ten databases, so that their making is killed, too
SEED = 20260101

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="the runner forks")]


class Outcome(NamedTuple):
    """What a child said, and how it ended."""

    opened: bool
    asked: list[tuple[str, str]]
    saved: list[tuple[str, str]]
    exit_code: int
    seconds: float


class Runner:
    """Speaks with session_runner.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, store: Path, *, n_answers: int, kill_after: float | None) -> Outcome:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"store": str(store), "n_answers": n_answers, "kill_after": kill_after}
        self.process.stdin.write(json.dumps(order) + "\n")
        said: dict[str, list[tuple[str, str]]] = {"asked": [], "saved": []}
        opened = False
        for line in self.process.stdout:
            match line.split():
                case ["opened"]:
                    opened = True
                case ["asked" | "saved" as act, session_id, question_id]:
                    said[act].append((session_id, question_id))
                case ["ended", code, seconds]:
                    return Outcome(opened, said["asked"], said["saved"], int(code), float(seconds))
                case _:
                    pytest.fail(f"the runner said {line!r}")
        pytest.fail("the runner ended")


@pytest.fixture
def runner() -> Iterator[Runner]:
    """The runner, its imports done."""
    command = [sys.executable, "-W", "error", str(RUNNER)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads do not survive a fork
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
    ) as process:
        yield Runner(process)
        assert process.stdin is not None
        process.stdin.close()


class Stored(NamedTuple):
    """(session, question) of every answer in a store, and of the question that waits for one."""

    answers: list[tuple[str, str]]
    open_question: tuple[str, str] | None


def stored_in(path: Path) -> Stored:
    """What is in the store; each session is found whole, and no question in it twice."""
    with SqlStore.open(path) as store:
        ids = sorted((each.id for each in store.list_sessions()), key=lambda name: int(name.split("-")[1]))
        sessions = [store.load_session(session_id) for session_id in ids]
    for session in sessions:
        check_events(session)
    waiting = [(session.id, session.state.open_question) for session in sessions if session.state.open_question]
    assert len(waiting) <= 1
    answers = [(session.id, answer.question_id) for session in sessions for answer in session.answers]
    return Stored(answers, waiting[0] if waiting else None)


def check_events(session: Session) -> None:
    asked = [event.question_id for event in session.events if isinstance(event, Asked)]
    answers = [event.answer for event in session.events if isinstance(event, Answered)]
    assert len(set(asked)) == len(asked), "a question was asked twice"
    assert [answer.question_id for answer in answers] == asked[: len(answers)], "an answer was doubled or lost"
    assert len(asked) - len(answers) in (0, 1)
    assert all(answer.reason == f"words for {answer.question_id}" for answer in answers)


def integrity(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("PRAGMA integrity_check")]


def test_kill_9_at_a_hundred_random_moments(runner: Runner, tmp_path: Path) -> None:
    unharmed = runner.run(tmp_path / "unharmed.db", n_answers=12, kill_after=None)
    assert unharmed.exit_code == 0
    rng, moments = np.random.default_rng(SEED), Counter[str]()
    for number in range(N_STORES):
        path = tmp_path / f"{number}.db"
        before = Stored([], None)
        for _ in range(N_KILLS):
            outcome = runner.run(path, n_answers=10**9, kill_after=rng.uniform(0, unharmed.seconds))
            assert outcome.exit_code == -signal.SIGKILL
            if before.open_question is not None and outcome.asked:
                assert outcome.asked[0] == before.open_question, "the next start did not go on where the last one ended"
            assert integrity(path) == ["ok"] if path.exists() else not outcome.opened
            stored, acknowledged = stored_in(path), before.answers + outcome.saved
            assert stored.answers[: len(acknowledged)] == acknowledged, "an acknowledged answer was lost"
            assert len(stored.answers) - len(acknowledged) in (0, 1), "an answer came from nowhere"
            moments[moment(outcome, len(stored.answers) - len(acknowledged))] += 1
            before = stored
        last = runner.run(path, n_answers=3, kill_after=None)
        assert (last.exit_code, len(last.saved)) == (0, 3)
        assert stored_in(path).answers == before.answers + last.saved
    assert sum(moments.values()) == N_STORES * N_KILLS
    print(dict(moments))  # noqa: T201  shown by pytest -s
    assert moments["while opening"] < N_STORES * N_KILLS / 2, f"most were killed before they began: {moments}"


def moment(outcome: Outcome, n_unacknowledged: int) -> str:
    """Where in its life the child was killed, as far as it can be told."""
    if not outcome.opened:
        return "while opening"
    if n_unacknowledged:
        return "after an answer was stored, before it was acknowledged"
    return "with a question open" if len(outcome.asked) > len(outcome.saved) else "between questions"
