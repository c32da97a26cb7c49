"""Sessions and profiles come back as they were given, are only added to, and are gone when deleted."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert

from prefq import (
    Answer,
    CandidatePool,
    Choice,
    Gaussian,
    GaussianMixture,
    InputError,
    MismatchError,
    NotFoundError,
    PopulationPrior,
    Profile,
    ResponseModel,
    Session,
    SessionSettings,
)
from prefq.events import Stopped
from prefq.storage.base import ProfileStore, ProfileSummary, SessionStore, SessionSummary
from prefq.storage.sql import SqlStore
from prefq.storage.tables import events

NUMBERS = count()
SHARED_STORE = settings(
    max_examples=60,  # each waits for the disk several times
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # examples use sessions of their own
)

# Any text, half characters and zeros too: nothing a person gave is thrown away.
any_text = st.text(st.characters(exclude_categories=()), max_size=30)
answers = st.builds(
    lambda choice, strength, reason, seconds: {
        "choice": choice,
        "strength": strength,
        "reason": reason,
        "seconds": seconds,
    },
    st.sampled_from(Choice),
    st.none() | st.floats(0, 1, exclude_min=True),
    st.none() | any_text,
    st.none() | st.floats(0, 1e300),
)
steps = st.lists(
    st.tuples(st.sampled_from(["ask", "tell", "tell", "undo", "edit", "why", "stop", "seal"]), answers, st.integers(0)),
    max_size=25,
)


def grown(session: Session, pool: CandidatePool, script: list[tuple[str, dict[str, object], int]]) -> list[Session]:
    """The session after each step that it allows; an answer asks for its question first."""
    history = [session]
    for number, (act, reply, row) in enumerate(script):
        try:
            session = step(session, pool, act, reply, row, f"2026-01-01T00:00:{number:02d}+00:00")
        except InputError:
            continue
        history.append(session)
    return history


def step(session: Session, pool: CandidatePool, act: str, reply: dict[str, object], row: int, time: str) -> Session:
    match act:
        case "ask":
            return session.ask(pool, time=time)[0]
        case "tell":
            session, question = session.ask(pool, time=time)
            return session if question is None else session.tell(Answer(question.id, **reply), time=time)  # type: ignore[arg-type]
        case "undo":
            return session.undo(time=time)
        case "edit" if session.answers:
            earlier = session.answers[row % len(session.answers)]
            return session.edit(Answer(earlier.question_id, **reply), time=time)  # type: ignore[arg-type]
        case "why":
            return session.open_why(time=time)
        case "stop":
            return session.stop(str(reply["reason"]), time=time)
        case "seal":
            return session.seal(pool, time=time)
    return session


def new_session(pool: CandidatePool, user_id: str = "ada", **fields: object) -> Session:
    return Session.start(f"session-{next(NUMBERS)}", user_id, pool, time="2026-01-01T00:00:00+00:00", **fields)  # type: ignore[arg-type]


def answered(pool: CandidatePool, n_answers: int, user_id: str = "ada", reason: str | None = None) -> Session:
    session = new_session(pool, user_id)
    for _ in range(n_answers):
        session, question = session.ask(pool, time="2026-01-01T00:00:01+00:00")
        assert question is not None
        session = session.tell(question.answer("first", reason=reason), time="2026-01-01T00:00:02+00:00")
    return session


def test_it_is_a_store_of_both_kinds(store: SqlStore) -> None:
    keeps_sessions: SessionStore = store
    keeps_profiles: ProfileStore = store
    assert keeps_sessions.list_sessions() == []
    assert keeps_profiles.list_profiles() == []


@SHARED_STORE
@given(script=steps, seed=st.integers(), max_questions=st.integers(1, 30))
def test_a_session_comes_back_as_it_was_after_every_step(
    store: SqlStore,
    pool: CandidatePool,
    script: list[tuple[str, dict[str, object], int]],
    seed: int,
    max_questions: int,
) -> None:
    start = new_session(pool, seed=seed, pool_name="a pool", settings=SessionSettings(max_questions=max_questions))
    for session in grown(start, pool, script):
        store.save_session(session)
        assert store.load_session(session.id) == session


def test_a_prior_of_its_own_comes_back_and_is_never_exchanged(store: SqlStore, pool: CandidatePool) -> None:
    third = Gaussian([0.1, 1 / 3, -2.0], np.diag([0.3, 1e-9, 7.0]))
    mixture = GaussianMixture([0.1, 0.2, 0.7], (third, Gaussian(np.zeros(3), np.zeros((3, 3))), third))
    prior = PopulationPrior(mixture, pool.feature_space, ResponseModel(tie_threshold=0.1), 40, 1)
    session, _ = new_session(pool, prior=prior).ask(pool, time="t")
    store.save_session(session)
    found = store.load_session(session.id)
    assert found == session
    assert found.starting_point(pool).digest() == prior.digest()
    store.save_session(found.stop("enough.", time="t"))
    with pytest.raises(MismatchError, match="is stored with another prior, which never change"):
        store.save_session(replace(session, prior=replace(prior, n_users=41)))


@SHARED_STORE
@given(script=steps)
def test_saving_once_saves_the_same_as_saving_every_step_and_saving_again_changes_nothing(
    store: SqlStore, pool: CandidatePool, script: list[tuple[str, dict[str, object], int]]
) -> None:
    session = grown(new_session(pool), pool, script)[-1]
    store.save_session(session)
    store.save_session(session)
    assert store.load_session(session.id) == session


@SHARED_STORE
@given(script=steps)
def test_a_summary_says_what_folding_says(
    store: SqlStore, pool: CandidatePool, script: list[tuple[str, dict[str, object], int]]
) -> None:
    session = grown(new_session(pool, pool_name="mine"), pool, script)[-1]
    store.save_session(session)
    [summary] = [each for each in store.list_sessions() if each.id == session.id]
    assert summary == SessionSummary(
        session.id,
        "ada",
        session.created,
        session.events[-1].time if session.events else session.created,
        sum(answer.choice is not Choice.SKIP for answer in session.answers),
        session.state.stopped,
        "mine",
        pool.digest(),
    )


@SHARED_STORE
@given(script=steps, data=st.data())
def test_a_session_that_was_added_to_elsewhere_is_not_overwritten(
    store: SqlStore, pool: CandidatePool, script: list[tuple[str, dict[str, object], int]], data: st.DataObject
) -> None:
    history = grown(new_session(pool), pool, script)
    session = history[-1].stop("done.", time="t")
    store.save_session(session)
    earlier = data.draw(st.sampled_from(history))
    for stale in (earlier, earlier.stop("another end.", time="t")):
        with pytest.raises(MismatchError, match=r"was changed in the store by another program, .* load it again"):
            store.save_session(stale)
    assert store.load_session(session.id) == session


def test_of_two_stores_that_go_on_from_one_state_the_second_is_refused(url: str, pool: CandidatePool) -> None:
    session = answered(pool, 2)
    with SqlStore.open(url) as one, SqlStore.open(url) as other:
        one.save_session(session)
        mine, theirs = one.load_session(session.id), other.load_session(session.id)
        one.save_session(mine.undo(time="t"))
        with pytest.raises(MismatchError):
            other.save_session(theirs.stop("no more.", time="t"))
        assert other.load_session(session.id) == mine.undo(time="t")


def test_one_that_waits_for_another_writer_sees_what_that_one_wrote(url: str, pool: CandidatePool) -> None:
    session = answered(pool, 2)
    later = session.stop("mine.", time="t")
    engine = create_engine(url)
    with SqlStore.open(url) as store, ThreadPoolExecutor() as threads:
        store.save_session(session)
        with engine.begin() as other:
            other.execute(insert(events).values(session_id=session.id, sequence=4, kind="x", time="t", payload="{}"))
            saving = threads.submit(store.save_session, later)
            time.sleep(0.2)
            assert not saving.done()
        with pytest.raises(MismatchError, match="was changed in the store by another program, and nothing was saved"):
            saving.result(timeout=10)
    engine.dispose()


def test_threads_may_share_a_store(store: SqlStore, pool: CandidatePool) -> None:
    def save_step_by_step(_: int) -> Session:
        session = new_session(pool)
        for _ in range(4):
            session, question = session.ask(pool, time="t")
            assert question is not None
            session = session.tell(question.answer("second"), time="t")
            store.save_session(session)
            assert store.load_session(session.id) == session
        return session

    with ThreadPoolExecutor(4) as threads:
        saved = list(threads.map(save_step_by_step, range(8)))
    assert {summary.id for summary in store.list_sessions()} == {session.id for session in saved}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"user_id": "bob"}, "user_id"),
        ({"seed": 1}, "seed"),
        ({"pool_name": "elsewhere"}, "pool_name"),
        ({"created": "2027-01-01"}, "created"),
        ({"settings": SessionSettings(max_questions=3)}, "settings"),
        ({"pool_digest": "0" * 64}, "pool_digest"),
    ],
)
def test_the_header_never_changes(store: SqlStore, pool: CandidatePool, change: dict[str, object], named: str) -> None:
    session = answered(pool, 1)
    store.save_session(session)
    fields = {name: getattr(session, name) for name in Session.__slots__}
    with pytest.raises(MismatchError, match=f"is stored with another {named}, which never change"):
        store.save_session(Session(**{**fields, **change}))
    assert store.load_session(session.id) == session


def test_an_unknown_session_or_profile_says_how_to_list_those_there_are(store: SqlStore) -> None:
    with pytest.raises(NotFoundError, match=r"^there is no session 'nobody' in the store .*; `prefq sessions`"):
        store.load_session("nobody")
    with pytest.raises(NotFoundError, match=r"^there is no profile of user 'nobody' .*; `prefq profile list`"):
        store.load_profile("nobody")


def test_ids_that_no_database_takes_are_refused_and_long_and_odd_ones_are_not(
    store: SqlStore, pool: CandidatePool
) -> None:
    with pytest.raises(InputError, match="user_id hold a text that is not valid Unicode"):
        store.save_session(new_session(pool, "\ud800"))
    with pytest.raises(InputError, match="not valid Unicode"):
        store.load_session("\ud800")
    assert store.list_sessions() == []
    for odd in ("x" * 5_000, "'; DROP TABLE sessions; --", "שלום\n🙂", " "):
        session = new_session(pool, odd)
        store.save_session(session)
        assert store.load_session(session.id).user_id == odd
        assert [summary.id for summary in store.list_sessions(odd)] == [session.id]


def test_sessions_are_listed_by_user_the_last_touched_first(store: SqlStore, pool: CandidatePool) -> None:
    sessions = [Session.start(name, user, pool, time=f"2026-01-0{day}") for name, user, day in LISTED]
    for session in sessions:
        store.save_session(session)
    store.save_session(sessions[0].stop("enough.", time="2026-02-01"))
    assert [summary.id for summary in store.list_sessions()] == ["a", "c", "b"]
    assert [summary.id for summary in store.list_sessions("ada")] == ["a", "b"]
    assert store.list_sessions("nobody") == []


TRACES_SEED = 2
LISTED = [("a", "ada", 1), ("b", "ada", 2), ("c", "bob", 3)]


def test_the_profile_that_was_saved_last_counts(store: SqlStore, pool: CandidatePool) -> None:
    early, late, other = answered(pool, 3), answered(pool, 5), answered(pool, 4, "bob")
    for session in (early, late, other):
        store.save_session(session)
    for session, created in ((late, "2026-01-02"), (other, None), (early, "2026-01-01")):
        store.save_profile(session.profile(pool, created=created), session_id=session.id)
    assert store.load_profile("ada").to_dict() == early.profile(pool, created="2026-01-01").to_dict()
    assert store.load_profile("bob").to_dict() == other.profile(pool).to_dict()
    assert store.list_profiles() == [
        ProfileSummary("ada", early.id, "2026-01-01", 3),
        ProfileSummary("bob", other.id, None, 4),
    ]


def test_a_profile_needs_its_session(store: SqlStore, pool: CandidatePool) -> None:
    session = answered(pool, 2)
    profile = session.profile(pool)
    with pytest.raises(NotFoundError, match=r"there is no session .* that a profile could come from; save it first"):
        store.save_profile(profile, session_id=session.id)
    store.save_session(session)
    stranger = Profile.from_dict({**profile.to_dict(), "user_id": "bob"})
    with pytest.raises(MismatchError, match="is one of user 'ada' and the profile one of 'bob'"):
        store.save_profile(stranger, session_id=session.id)
    assert store.list_profiles() == []


def test_deleting_a_user_leaves_the_others(store: SqlStore, pool: CandidatePool) -> None:
    mine, also_mine, theirs = answered(pool, 2), new_session(pool), answered(pool, 3, "bob")
    for session in (mine, also_mine, theirs):
        store.save_session(session)
    for session in (mine, theirs):
        store.save_profile(session.profile(pool), session_id=session.id)
    assert store.delete_user("ada") == 2
    assert store.delete_user("ada") == 0
    assert [summary.user_id for summary in store.list_sessions()] == ["bob"]
    assert [summary.user_id for summary in store.list_profiles()] == ["bob"]
    assert store.load_session(theirs.id) == theirs
    with pytest.raises(NotFoundError):
        store.load_profile("ada")


def test_nothing_of_a_deleted_user_is_left_in_the_bytes(path: Path, pool: CandidatePool) -> None:
    def bytes_left() -> bytes:
        return b"".join(file.read_bytes() for file in path.parent.iterdir())

    # In random turns, lengths and ids, so that users share pages and pages are split: without writing the file anew
    # this seed leaves the words of some answers in the gaps between cells.
    rng = np.random.default_rng(TRACES_SEED)
    with SqlStore.open(path) as store:
        sessions = [
            Session.start(rng.bytes(8).hex(), user, pool, time="t")
            for user in ("ada-lovelace", "bob")
            for _ in range(20)
        ]
        for _ in range(300):
            row = int(rng.integers(len(sessions)))
            session, question = sessions[row].ask(pool, time="t")
            if question is not None:
                words = f"words-of-{session.user_id} " * int(rng.choice([1, 5, 20, 300]))
                session = session.tell(question.answer("first", reason=words), time="t")
            store.save_session(session)
            sessions[row] = session
        for session in sessions:
            store.save_session(session)
            store.save_profile(session.profile(pool), session_id=session.id)
        assert bytes_left().count(b"words-of-ada-lovelace") > 100
        assert store.delete_user("ada-lovelace") == 20
        assert b"ada-lovelace" not in bytes_left()
        assert b"words-of-bob" in bytes_left()
        assert all(store.load_session(session.id) == session for session in sessions[20:])
    assert b"ada-lovelace" not in bytes_left()


def test_events_are_rows_in_their_order(
    path: Path, pool: CandidatePool, query: Callable[[Path, str], list[object]]
) -> None:
    session = answered(pool, 1, reason="because").stop("done.", time="2026-01-02")
    with SqlStore.open(path) as store:
        store.save_session(session)
    assert isinstance(session.events[-1], Stopped)
    rows = query(path, "SELECT session_id, sequence, kind, time FROM events ORDER BY sequence")
    assert rows == [
        (session.id, 0, "asked", "2026-01-01T00:00:01+00:00"),
        (session.id, 1, "answered", "2026-01-01T00:00:02+00:00"),
        (session.id, 2, "stopped", "2026-01-02"),
    ]
    assert query(path, "SELECT payload FROM events WHERE sequence = 2") == [('{"reason": "done."}',)]
