"""Scripted sessions without a person, to be killed: what test_kill.py starts.

Reads orders from standard input, one JSON object a line: the store, a delay in seconds after which to send SIGKILL (or
null), and after how many answers to stop. Each is carried out by a child that is forked after the imports, so that a
moment of its life is a moment of a session. The child speaks for itself on standard output, one line in one write.
"""

import json
import os
import signal
import sys
import time
import traceback
from itertools import count

import alembic.command  # noqa: F401  so that a child that makes the database is not importing most of its life
import numpy as np

import prefq.profiles.profile
import prefq.session  # noqa: F401
from prefq import Answer, CandidatePool, Choice, NotFoundError, Session
from prefq.storage.sql import SqlStore

TIME = "2026-01-01T00:00:00+00:00"


def make_pool() -> CandidatePool:
    features = np.random.default_rng(1).normal(size=(120, 4)).astype(np.float32)
    return CandidatePool.from_arrays(features, np.arange(120).reshape(60, 2))


def reply(question_id: str) -> Answer:
    """The answer that this question gets always, whoever asks."""
    first, second = map(int, question_id.split("-"))
    choice = tuple(Choice)[(7 * first + second) % 5]
    return Answer(question_id, choice, reason=f"words for {question_id}")


def say(line: str) -> None:
    os.write(1, (line + "\n").encode())


def play(location: str, pool: CandidatePool, n_answers: int) -> None:
    """Answer questions, session after session, until there are enough answers or somebody kills this process."""
    with SqlStore.open(location) as store:
        say("opened")
        for number in count():
            while n_answers > 0 and answer_one(store, pool, f"session-{number}"):
                n_answers -= 1
            if n_answers <= 0:
                return


def answer_one(store: SqlStore, pool: CandidatePool, session_id: str) -> bool:
    """One step as `prefq ask` and `prefq tell` take it; False when the session has ended."""
    try:
        session = store.load_session(session_id)
    except NotFoundError:
        session = Session.start(session_id, "ada", pool, time=TIME)
    session, question = session.ask(pool, time=TIME)
    store.save_session(session)
    if question is None:
        return False
    say(f"asked {session_id} {question.id}")
    session = session.tell(reply(question.id), time=TIME)
    store.save_session(session)
    say(f"saved {session_id} {question.id}")
    return True


def run_child(location: str, pool: CandidatePool, n_answers: int, kill_after: float | None) -> int:
    """Exit code of a child that plays; minus the signal when it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            play(location, pool, n_answers)
            code = 0
        except Exception:  # noqa: BLE001  whatever it is, the child must not become a second runner
            traceback.print_exc()
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)  # still this child: its number is not given away before it is waited for
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    pool = make_pool()
    Session.start("warm-up", "ada", pool, time=TIME).ask(pool, time=TIME)  # tables that a child would only make again
    for line in sys.stdin:
        order = json.loads(line)
        start = time.monotonic()
        code = run_child(order["store"], pool, order["n_answers"], order["kill_after"])
        say(f"ended {code} {time.monotonic() - start}")


if __name__ == "__main__":
    main()
