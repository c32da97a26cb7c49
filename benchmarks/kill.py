"""kill -9 of the real command at 100 random moments: no answer lost, none doubled, the next start continues."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prefq.events import Answered
from prefq.session import Session
from prefq.storage.sql import SqlStore

TITLE = "kill -9 at a hundred random moments"
GOAL = (
    "no answer lost, none doubled, the next start continues (`tests/storage/test_kill.py` proves it in each test run)"
)
N_KILLS = 100
LATEST_KILL = 1.5  # seconds after the start; a start takes about a third of it
MAX_QUESTIONS = 300  # so many that hardly a run ends by itself
SEED = 11
KEYS = ("1", "2", "0", "s", "b")
PREFQ = str(Path(sys.executable).with_name("prefq"))


class Killed(NamedTuple):
    """What one run of the command had said when it was killed (or had finished before)."""

    n_saved: int
    finished: bool


def run_and_kill(store: Path, after: float, rng: np.random.Generator) -> Killed:
    """`prefq onboard --json` fed a key whenever it has saved the last one, until it is killed."""
    command = [PREFQ, "onboard", "--json", "--user", "bench", "--max-questions", str(MAX_QUESTIONS)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PREFQ_STORE": str(store)},
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        timer = threading.Timer(after, process.kill)
        timer.start()
        n_saved = 0
        try:
            process.stdin.write(f"{rng.choice(KEYS)}\n")
            process.stdin.flush()
            for line in process.stderr:
                if line.startswith("Saved:"):
                    n_saved += 1
                    process.stdin.write(f"{rng.choice(KEYS)}\n")
                    process.stdin.flush()
        except BrokenPipeError:
            pass
        finished = process.wait() == 0
        timer.cancel()
    return Killed(n_saved, finished)


def stored_sessions(store: Path) -> list[Session]:
    """Every session in the store, oldest first; folding them checks that their events do not contradict each other."""
    with SqlStore.open(store) as opened:
        return [opened.load_session(each.id) for each in reversed(opened.list_sessions())]


def answers_of(sessions: Sequence[Session]) -> list[tuple[str, str]]:
    """Session and question of each answer event, in order."""
    return [
        (session.id, event.answer.question_id)
        for session in sessions
        for event in session.events
        if isinstance(event, Answered)
    ]


def measure() -> dict[str, Any]:
    """Figures of the run."""
    rng = np.random.default_rng(SEED)
    lost = doubled = restarted = mid_session = finished = 0
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.db"
        before: list[tuple[str, str]] = []
        for _ in range(N_KILLS):
            killed = run_and_kill(store, float(rng.uniform(0.05, LATEST_KILL)), rng)
            finished += killed.finished
            mid_session += killed.n_saved > 0 and not killed.finished
            sessions = stored_sessions(store)
            after = answers_of(sessions)
            lost += after[: len(before)] != before or len(after) < len(before) + killed.n_saved
            doubled += len(set(after)) < len(after) or len(after) > len(before) + killed.n_saved + 1
            restarted += sum(session.state.stopped is None for session in sessions) > 1
            before = after
        n_sessions = len(stored_sessions(store))
    return {
        "n_kills": N_KILLS,
        "finished_before_the_kill": int(finished),
        "killed_after_an_answer": int(mid_session),
        "n_answers": len(before),
        "n_sessions": n_sessions,
        "runs_that_lost_an_answer": int(lost),
        "runs_that_doubled_an_answer": int(doubled),
        "runs_that_did_not_continue": int(restarted),
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    return (
        f"{figures['n_kills']} runs of `prefq onboard --json`, each killed at a random moment, "
        f"{figures['killed_after_an_answer']} of them after their first answer "
        f"({figures['finished_before_the_kill']} had ended before): {figures['n_answers']} answers in "
        f"{figures['n_sessions']} sessions; runs that lost an acknowledged answer: "
        f"{figures['runs_that_lost_an_answer']}, that doubled one: {figures['runs_that_doubled_an_answer']}, that did "
        f"not go on with the open session: {figures['runs_that_did_not_continue']}."
    )
