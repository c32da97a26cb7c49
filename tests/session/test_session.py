"""Sessions as values: the loop, undo and edit, the sealed round, JSON, refusals."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError, MismatchError, NotFoundError
from prefq.session import (
    Answered,
    Asked,
    Event,
    Sealed,
    Session,
    SessionSettings,
    Stopped,
    Undone,
    event_from_dict,
    fold,
    seal_of,
    words_per_question,
)
from prefq.vocabulary import Answer, Choice, Gaussian

RNG = np.random.default_rng(11)
FEATURES = RNG.normal(size=(80, 4))
PAIRS = [(4 * p + i, 4 * p + j) for p in range(20) for i in range(4) for j in range(i + 1, 4)]
PROMPTS = [f"prompt number {item // 4}" for item in range(80)]
RESPONSES = [f"response {item} has five words" for item in range(80)]


@pytest.fixture(scope="module")
def pool() -> prefq.CandidatePool:
    return prefq.CandidatePool.from_arrays(FEATURES, PAIRS, prompts=PROMPTS, responses=RESPONSES)


def begin(pool: prefq.CandidatePool, **options: object) -> Session:
    settings_ = SessionSettings(**options)  # type: ignore[arg-type]
    return Session.start("s1", "ada", pool, time="2026-01-01T00:00:00Z", settings=settings_)


def play(session: Session, pool: prefq.CandidatePool, user: prefq.SimulatedUser, seed: int = 0) -> Session:
    rng = np.random.default_rng(seed)
    while True:
        session, question = session.ask(pool, time="t")
        if question is None:
            return session
        session = session.tell(user.answer(pool, question, rng=rng), time="t")


USER = prefq.SimulatedUser([3.0, 0.0, -2.0, 1.0])


def test_the_loop_asks_the_budget_and_stops_with_a_reason(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=5), pool, USER)
    assert len(session.answers) == 5
    assert session.state.stopped == "the budget of 5 questions is used up."
    assert session.ask(pool, time="t") == (session, None)


def test_it_asks_what_the_facade_would_ask(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=4), pool, USER)
    for n, answer in enumerate(session.answers):
        expected = prefq.select_next_question(pool, session.answers[:n], max_questions=4)
        assert expected is not None
        assert answer.question_id == expected.id
    asked = [event for event in session.events if isinstance(event, Asked)]
    assert all(event.acquisition == "information_gain" and event.score is not None for event in asked)
    assert {event.prior for event in asked} == {pool.starting_point().digest()}


def test_an_open_question_is_shown_again_without_a_new_event(pool: prefq.CandidatePool) -> None:
    session, question = begin(pool).ask(pool, time="t")
    again, same = session.ask(pool, time="later")
    assert (again, same) == (session, question)


def test_undo_takes_the_answer_back_and_asks_its_question_again(pool: prefq.CandidatePool) -> None:
    session, question = begin(pool).ask(pool, time="t")
    assert question is not None
    told = session.tell(question.answer("first"), time="t")
    ahead, _ = told.ask(pool, time="t")
    for state in (told, ahead):
        undone = state.undo(time="t")
        assert undone.answers == ()
        assert undone.ask(pool, time="t")[1] == question
        assert undone.posterior(pool) == begin(pool).posterior(pool)


def test_undo_reopens_a_session_that_had_stopped(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=2), pool, USER).undo(time="t")
    assert session.state.stopped is None
    assert session.state.open_question is not None
    assert len(play(session, pool, USER).answers) == 2


def test_edit_replaces_an_earlier_answer(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=3), pool, USER)
    first = session.answers[0]
    edited = session.edit(Answer(first.question_id, "tie", reason="I misread"), time="t")
    assert edited.answers[0].choice is Choice.TIE
    assert edited.answers[1:] == session.answers[1:]
    assert edited.posterior(pool) != session.posterior(pool)


def test_nothing_a_person_gave_is_thrown_away(pool: prefq.CandidatePool) -> None:
    session, question = begin(pool).ask(pool, time="t")
    assert question is not None
    session = session.tell(question.answer("first", strength=0.5, reason="warmer", seconds=3.2), time="t")
    session = session.open_why(time="t") if session.state.open_question else session
    session = session.undo(time="t")
    kept = Session.from_dict(json.loads(json.dumps(session.to_dict())))
    answered = [event for event in kept.events if isinstance(event, Answered)]
    assert answered[0].answer == question.answer("first", strength=0.5, reason="warmer", seconds=3.2)


def test_the_sealed_round_fixes_its_predictions_and_scores_them(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=6), pool, USER).seal(pool, time="t", n_questions=4)
    sealed = session.state.sealed
    assert sealed is not None
    assert sealed.digest == seal_of(sealed.predictions)
    assert [p.group for p in sealed.predictions] == pytest.approx([0.5] * 4)
    asked_before = {frozenset(a.question_id.split("-")) for a in session.answers}
    assert not asked_before & {frozenset(p.question_id.split("-")) for p in sealed.predictions}
    before = session.posterior(pool)
    probability = session.profile(pool).preference_probability
    for p in sealed.predictions:
        first, second = (int(item) for item in p.question_id.split("-"))
        assert p.profile == pytest.approx(probability(FEATURES[[first]], FEATURES[[second]])[0])
    session = play(session, pool, USER, seed=5)
    result = session.sealed_result()
    assert result is not None
    given = {a.question_id: a.choice for a in session.answers}
    right = sum((p.profile > 0.5) == (given[p.question_id] is Choice.FIRST) for p in sealed.predictions)
    assert result == (4, 4, right, 2.0)
    assert len(session.answers) == 10
    assert session.profile(pool).n_answers == 10
    assert session.posterior(pool) != before
    assert session.state.stopped == "the sealed round is complete."


def test_the_group_is_scored_by_its_own_guess() -> None:
    pool = prefq.CandidatePool.from_arrays(FEATURES, PAIRS, prior=Gaussian([1.0, 0, 0, 0], np.eye(4)))
    session = play(begin(pool, max_questions=2), pool, USER).seal(pool, time="t", n_questions=20)
    session = play(session, pool, prefq.SimulatedUser([500.0, 0, 0, 0]))
    result = session.sealed_result()
    assert result is not None
    assert result.group == result.n_decided == 20


def test_ties_and_skips_decide_nothing_in_the_sealed_round(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=2), pool, USER).seal(pool, time="t", n_questions=3)
    for choice in ("tie", "skip", "both_bad"):
        session, question = session.ask(pool, time="t")
        assert question is not None
        session = session.tell(question.answer(choice), time="t")
    assert session.sealed_result() == (3, 0, 0, 0)


def test_answers_under_the_seal_cannot_be_undone(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=2), pool, USER).seal(pool, time="t")
    with pytest.raises(InputError, match="answers before the sealed round cannot be undone"):
        session.undo(time="t")
    session, question = session.ask(pool, time="t")
    assert question is not None
    assert session.tell(question.answer("first"), time="t").undo(time="t").state.open_question == question.id


def test_sealing_needs_a_finished_session(pool: prefq.CandidatePool) -> None:
    with pytest.raises(InputError, match="can be sealed once, after its last question"):
        begin(pool).seal(pool, time="t")
    sealed = play(begin(pool, max_questions=1), pool, USER).seal(pool, time="t")
    with pytest.raises(InputError, match="can be sealed once"):
        sealed.seal(pool, time="t")


def test_changed_predictions_are_noticed(pool: prefq.CandidatePool) -> None:
    data = play(begin(pool, max_questions=1), pool, USER).seal(pool, time="t").to_dict()
    data["events"][-1]["predictions"][0]["profile"] = 0.99
    with pytest.raises(InputError, match="the sealed predictions were changed"):
        Session.from_dict(data)


def test_another_pool_is_refused(pool: prefq.CandidatePool) -> None:
    session = begin(pool)
    changed = prefq.CandidatePool.from_arrays(FEATURES * 2, PAIRS, prompts=PROMPTS, responses=RESPONSES)
    with pytest.raises(MismatchError, match=r"session 's1' was begun with another pool \(\w{8}, not \w{8}\)"):
        session.ask(changed, time="t")
    renamed = prefq.CandidatePool.from_arrays(FEATURES, PAIRS, feature_names=["a", "b", "c", "d"])
    with pytest.raises(MismatchError, match="the pool offered to session 's1' belongs to another feature space"):
        session.profile(renamed)


def test_answers_to_other_questions_are_refused(pool: prefq.CandidatePool) -> None:
    session, question = begin(pool).ask(pool, time="t")
    assert question is not None
    flipped = "-".join(reversed(question.id.split("-")))
    with pytest.raises(InputError, match=f"the answer is to question '{flipped}' and the open question is"):
        session.tell(Answer(flipped, "first"), time="t")
    told = session.tell(question.answer("first"), time="t")
    with pytest.raises(InputError, match="the open question is None"):
        told.tell(question.answer("first"), time="t")
    with pytest.raises(InputError, match="has no answer to undo"):
        begin(pool).undo(time="t")
    with pytest.raises(InputError, match="question '0-1' was not answered"):
        begin(pool).edit(Answer("0-1", "first"), time="t")


def test_settings_are_checked() -> None:
    with pytest.raises(NotFoundError, match="there is no acquisition 'best'; choose one of information_gain"):
        SessionSettings(acquisition="best")
    with pytest.raises(InputError, match="max_questions is 0; give a budget of at least 1 question"):
        SessionSettings(max_questions=0)


def test_progress_says_what_is_left(pool: prefq.CandidatePool) -> None:
    session = begin(pool, max_questions=4)
    start = session.progress(pool)
    assert start.n_answers == 0
    assert all(share == pytest.approx(1) for share in start.remaining.values())
    # Three words of prompt and five of each response; four questions at 240 words a minute.
    assert words_per_question(pool) == 13
    assert start.minutes_left == pytest.approx(4 * 13 / 240)
    end = play(session, pool, USER).progress(pool)
    assert (end.n_answers, end.minutes_left) == (4, 0)
    assert set(end.remaining) == {"x0", "x1", "x2", "x3"}
    assert sum(end.remaining.values()) < 3.5


def test_progress_counts_no_more_questions_than_the_pool_has() -> None:
    small = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [[0, 1], [1, 2]])
    session = Session.start("s", "ada", small, time="t")
    assert session.progress(small)[:2] == (0, 2)
    session, question = session.ask(small, time="t")
    assert question is not None
    assert session.tell(question.answer("skip"), time="t").progress(small)[:2] == (0, 1)


def test_json_round_trip_and_versions(pool: prefq.CandidatePool) -> None:
    session = play(play(begin(pool, max_questions=3), pool, USER).seal(pool, time="t", n_questions=2), pool, USER)
    data = json.loads(json.dumps(session.to_dict()))
    assert Session.from_dict(data) == session
    with pytest.raises(InputError, match="the session has format version 2 and this prefq reads 1; update prefq"):
        Session.from_dict({**data, "format_version": 2})
    with pytest.raises(InputError, match="a session needs exactly the fields"):
        Session.from_dict({**data, "extra": 1})
    with pytest.raises(InputError, match="event kind is 'danced'; expected one of asked, answered"):
        event_from_dict({"kind": "danced"})


actions = st.lists(st.sampled_from(["first", "second", "tie", "both_bad", "skip", "undo", "why", "edit"]), max_size=25)


@settings(max_examples=40)
@given(actions=actions)
def test_any_order_of_actions_folds_to_what_a_list_would_hold(pool: prefq.CandidatePool, actions: list[str]) -> None:
    session, held = begin(pool, max_questions=6), list[Answer]()
    for action in actions:
        session, question = session.ask(pool, time="t")
        if action == "undo" and held:
            session, _ = session.undo(time="t"), held.pop()
        elif action == "edit" and held:
            held[0] = Answer(held[0].question_id, "tie")
            session = session.edit(held[0], time="t")
        elif action == "why" and question is not None:
            session = session.open_why(time="t")
        elif action in set(Choice) and question is not None:
            held.append(question.answer(action))
            session = session.tell(held[-1], time="t")
    assert list(session.answers) == held
    assert fold(session.events) == session.state
    assert Session.from_dict(json.loads(json.dumps(session.to_dict()))) == session


def test_events_that_contradict_each_other_are_refused() -> None:
    asked = Asked("t", "0-1", "information_gain", 0.1, "p")
    contradictions: list[tuple[tuple[Event, ...], str]] = [
        ((asked, asked), "question '0-1' is still open"),
        ((Undone("t", "0-1"),), "the last answer is not to question '0-1'"),
        ((Sealed("t", (), seal_of(())),), "a session is sealed once, after it stopped"),
        ((Stopped("t", "r"), Answered("t", Answer("0-1", "tie"))), "the open question is None"),
    ]
    for events, message in contradictions:
        with pytest.raises(InputError, match=message):
            fold(events)
