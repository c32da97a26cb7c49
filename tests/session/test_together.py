"""Questions shown side by side in a session: what is open, answers in any order, undo, tests among them, refusals."""

import json

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.events import AlsoAsked, Asked
from prefq.session import Session
from prefq.settings import SessionSettings

RNG = np.random.default_rng(8)
PAIRS = [(3 * p + i, 3 * p + j) for p in range(25) for i in range(3) for j in range(i + 1, 3)]
POOL = prefq.CandidatePool.from_arrays(RNG.normal(size=(75, 3)), PAIRS, prompt_ids=[i // 3 for i in range(75)])


def begin(session_id: str = "s1", **options: object) -> Session:
    chosen = SessionSettings(**options)  # type: ignore[arg-type]
    return Session.start(session_id, "ada", POOL, time="t", seed=3, settings=chosen)


def answered(session: Session, *questions: prefq.Question) -> Session:
    for question in questions:
        session = session.tell(question.answer("first"), time="t")
    return session


def test_several_are_open_and_answered_in_any_order() -> None:
    session, questions = begin().ask_together(POOL, 4, time="t")
    assert questions == prefq.select_next_questions(POOL, [], n_questions=4, seed=3)
    assert [type(event) for event in session.events] == [Asked, AlsoAsked, AlsoAsked, AlsoAsked]
    assert session.state.open_questions == tuple(question.id for question in questions)
    session = answered(session, questions[2], questions[0])
    assert session.state.open_questions == (questions[1].id, questions[3].id)
    assert session.ask_together(POOL, 9, time="t") == (session, (questions[1], questions[3]))
    assert session.ask(POOL, time="t") == (session, questions[1])
    session = answered(session, questions[3], questions[1])
    following = prefq.select_next_question(POOL, session.answers, seed=3)
    assert session.ask(POOL, time="t")[1] == following


def test_one_together_is_one_alone_event_for_event() -> None:
    together, alone = begin(max_questions=4, test_questions=2), begin(max_questions=4, test_questions=2)
    for _ in range(7):
        together, questions = together.ask_together(POOL, 1, time="t")
        alone, question = alone.ask(POOL, time="t")
        assert together.events == alone.events
        if question is not None:
            together, alone = answered(together, *questions), answered(alone, question)
    assert alone.state.stopped is not None


def test_an_undone_answer_is_open_again_beside_the_others() -> None:
    session, (first, second, third) = begin().ask_together(POOL, 3, time="t")
    session = answered(session, second, first).undo(time="t")
    assert session.state.open_questions == (first.id, third.id)
    assert [answer.question_id for answer in session.answers] == [second.id]
    assert session.open_why(time="t").state.open_questions == (first.id, third.id)


def test_a_question_that_followed_an_undone_answer_is_closed() -> None:
    session, first = begin(max_questions=2).ask(POOL, time="t")
    assert first is not None
    session, second = answered(session, first).ask(POOL, time="t")
    assert second is not None
    session, third = session.tell(second.answer("skip"), time="t").ask(POOL, time="t")
    assert third is not None
    session = session.undo(time="t")
    assert session.state.open_questions == (second.id,)
    session = session.tell(second.answer("second"), time="t")
    assert session.ask(POOL, time="t")[1] is None  # the budget holds
    assert session.undo(time="t").undo(time="t").state.open_questions == (first.id,)


def test_stopping_closes_them_all_and_json_keeps_them() -> None:
    session, questions = begin().ask_together(POOL, 3, time="t")
    session = answered(session, questions[1])
    assert Session.from_dict(json.loads(json.dumps(session.to_dict()))) == session
    assert session.stop("enough", time="t").state.open_questions == ()


def test_the_budget_bounds_what_is_asked_and_then_it_stops() -> None:
    session, questions = begin(max_questions=3).ask_together(POOL, 10, time="t")
    assert len(questions) == 3
    session, none = answered(session, *questions).ask_together(POOL, 10, time="t")
    assert none == ()
    assert session.state.stopped == "the budget of 3 questions is used up."


def test_test_questions_come_in_their_places() -> None:
    session = begin(test_questions=3, max_questions=5)
    drawn = session.state.drawn
    assert drawn is not None
    asked: list[prefq.Question] = []
    while True:
        session, questions = session.ask_together(POOL, 3, time="t")
        if not questions:
            break
        session, asked = answered(session, *questions), [*asked, *questions]
    assert len(asked) == 8
    rule = [number for number, question in enumerate(asked) if question.id not in drawn.tests]
    before = [sum(place < at for place in rule) for at, question in enumerate(asked) if question.id in drawn.tests]
    assert tuple(before) == drawn.places
    kinds = {event.question_id: event.acquisition for event in session.events if isinstance(event, Asked | AlsoAsked)}
    assert [kinds[test] for test in drawn.tests] == ["test"] * 3


def test_a_random_session_shows_its_random_order_side_by_side() -> None:
    together, questions = begin(acquisition="random").ask_together(POOL, 4, time="t")
    session = begin(acquisition="random")
    for question in questions:
        session, alone = session.ask(POOL, time="t")
        assert alone == question
        session = answered(session, question)
    assert together.events[0] == session.events[0]


def test_the_sealed_round_gives_one_at_a_time() -> None:
    session, questions = begin(max_questions=2).ask_together(POOL, 2, time="t")
    session, _ = answered(session, *questions).ask(POOL, time="t")
    _, sealed = session.seal(POOL, time="t").ask_together(POOL, 4, time="t")
    assert len(sealed) == 1


def test_what_is_not_open_is_refused() -> None:
    session, (first, second) = begin().ask_together(POOL, 2, time="t")
    with pytest.raises(InputError, match=f"the open question is '{first.id}' or '{second.id}'"):
        session.tell(POOL.question("0-1").answer("first"), time="t")
    with pytest.raises(InputError, match="which does not say what questions are worth together"):
        begin(acquisition="d_optimal").ask_together(POOL, 2, time="t")
    with pytest.raises(InputError, match="n_questions is 0"):
        begin().ask_together(POOL, 0, time="t")
    beside = AlsoAsked("t", "0-1", "random", None, "p")
    with pytest.raises(InputError, match="no question is open that another could be shown beside"):
        Session("s", "a", POOL.digest(), POOL.feature_space, "t", events=(beside,))
    with pytest.raises(InputError, match="question '0-1' is still open"):
        Session("s", "a", POOL.digest(), POOL.feature_space, "t", events=(Asked("t", "0-1", "r", None, "p"), beside))
