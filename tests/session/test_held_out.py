"""Test questions and the random share: frozen first, never chosen, never believed, asked of both arms alike."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError
from prefq.events import Answered, Asked, Drawn, Prediction, Stopped
from prefq.predictions import HeldOut, held_out_score
from prefq.questions.draws import falls_within, places_among
from prefq.session import Session
from prefq.settings import SessionSettings
from prefq.vocabulary import Answer, Choice

FEATURES = np.random.default_rng(3).normal(size=(80, 4))
PAIRS = [(4 * p + i, 4 * p + j) for p in range(20) for i in range(4) for j in range(i + 1, 4)]
POOL = prefq.CandidatePool.from_arrays(FEATURES, PAIRS, prompts=[f"prompt {item // 4}" for item in range(80)])
USER = prefq.SimulatedUser([3.0, 0.0, -2.0, 1.0])
OTHER_SIDE = {Choice.FIRST: Choice.SECOND, Choice.SECOND: Choice.FIRST}


def begin(session_id: str = "s1", seed: int = 0, **options: object) -> Session:
    chosen = SessionSettings(**options)  # type: ignore[arg-type]
    return Session.start(session_id, "ada", POOL, time="t", seed=seed, settings=chosen)


def play(session: Session, *, flip_tests: bool = False, skip: frozenset[int] = frozenset()) -> Session:
    """A whole session; replies depend on the question alone, and those to the tests can be turned round."""
    n_asked = 0
    while True:
        session, question = session.ask(POOL, time="t")
        if question is None:
            return session
        answer = USER.answer(POOL, question, rng=np.random.default_rng(question.first.item))
        if flip_tests and question.id in session.test_questions:
            answer = question.answer(OTHER_SIDE[answer.choice])
        session = session.tell(question.answer("skip") if n_asked in skip else answer, time="t")
        n_asked += 1


def asked_by(session: Session) -> dict[str, str]:
    return {event.question_id: event.acquisition for event in session.events if isinstance(event, Asked)}


def test_tests_are_frozen_before_the_first_question_and_asked_among_the_others() -> None:
    session = begin(test_questions=4, max_questions=6)
    drawn = session.events[0]
    assert isinstance(drawn, Drawn)
    assert session.events == (drawn,)
    assert len(set(drawn.tests)) == 4

    over = play(session)
    assert Counter(asked_by(over).values()) == {"information_gain": 6, "test": 4}
    assert [each for each, rule in asked_by(over).items() if rule == "test"] == list(drawn.tests)
    n_before, places = 0, list[int]()
    for rule in asked_by(over).values():
        n_before, places = (n_before, [*places, n_before]) if rule == "test" else (n_before + 1, places)
    assert tuple(places) == drawn.places
    assert over.state.stopped == "the budget of 6 questions is used up."
    assert over.ask(POOL, time="t") == (over, None)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.5]), n_tests=st.integers(1, 5))
def test_turning_all_test_answers_round_changes_no_question_and_no_prediction(
    seed: int, share: float, n_tests: int
) -> None:
    session = begin(f"s{seed}", seed, test_questions=n_tests, random_share=share, max_questions=4)
    told, turned = play(session), play(session, flip_tests=True)

    assert asked_by(told) == asked_by(turned)
    assert told.chosen_answers == turned.chosen_answers
    assert [each.prediction for each in told.held_out(POOL)] == [each.prediction for each in turned.held_out(POOL)]
    assert [each.choice for each in told.held_out(POOL)] == [OTHER_SIDE[each.choice] for each in turned.held_out(POOL)]  # type: ignore[index]
    assert told.profile(POOL) != turned.profile(POOL)  # which people are shown, and which uses all they said


@pytest.mark.parametrize("acquisition", ["information_gain", "random", "max_norm"])
def test_the_rule_never_asks_a_test_question(acquisition: str) -> None:
    for seed in range(10):
        over = play(begin(seed=seed, test_questions=5, max_questions=30, acquisition=acquisition))
        chosen = {each for each, rule in asked_by(over).items() if rule == acquisition}
        assert len(chosen) == 30
        pairs = {frozenset(each.split("-")) for each in chosen}
        assert not pairs & {frozenset(each.split("-")) for each in over.test_questions}


def test_both_arms_are_tested_by_the_same_questions_at_the_same_places() -> None:
    ids = {falls_within(0.5, f"s{i}"): f"s{i}" for i in range(20)}
    at_random, by_rule = (begin(ids[arm], seed=7, test_questions=4, random_share=0.5) for arm in (True, False))
    assert (at_random.acquisition, by_rule.acquisition) == ("random", "information_gain")
    assert at_random.settings == by_rule.settings
    assert at_random.test_questions == by_rule.test_questions == begin(seed=7, test_questions=4).test_questions
    assert at_random.state.drawn == replace(by_rule.state.drawn, acquisition="random")  # type: ignore[type-var]
    assert set(asked_by(play(at_random)).values()) == {"random", "test"}


def test_predictions_are_those_of_a_profile_without_the_test_answers() -> None:
    over = play(begin(test_questions=3, max_questions=5))
    profile = prefq.fit_profile(POOL, [each for each in over.answers if asked_by(over)[each.question_id] != "test"],
                                user_id="ada")  # fmt: skip
    for tested in over.held_out(POOL):
        first, second = (int(item) for item in tested.prediction.question_id.split("-"))
        expected = profile.preference_probability(FEATURES[[first]], FEATURES[[second]])[0]
        assert tested.prediction.profile == pytest.approx(expected, abs=1e-12)
        assert tested.prediction.group == pytest.approx(0.5)
    assert Session.from_dict(json.loads(json.dumps(over.to_dict()))).held_out(POOL) == over.held_out(POOL)


def test_the_share_is_what_it_says_and_the_same_everywhere() -> None:
    ids = [f"20260131-{i:06x}" for i in range(4000)]
    found = sum(falls_within(0.1, each) for each in ids)
    assert abs(found - 400) < 4 * math.sqrt(4000 * 0.1 * 0.9)
    assert [each for each in ids if falls_within(0.1, each)] == [
        each for each in ids if begin(each, random_share=0.1).acquisition == "random"
    ]
    assert not any(falls_within(0.0, each) for each in ids)
    # Pinned: an id has its arm on every machine and in every version.
    assert [falls_within(0.5, f"s{i}") for i in range(8)] == [False, True, True, False, True, False, False, True]


def test_places_are_all_orders_alike() -> None:
    counts = Counter(places_among(2, 2, seed=seed) for seed in range(6000))
    assert set(counts) == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}
    assert all(abs(count - 1000) < 4 * math.sqrt(1000 * 5 / 6) for count in counts.values())


def test_skips_spend_neither_budget_nor_tests() -> None:
    over = play(begin(test_questions=4, max_questions=5), skip=frozenset({0, 3, 4}))
    assert sum(each.choice is not Choice.SKIP for each in over.chosen_answers) == 5
    assert {each.question_id for each in over.answers} >= set(over.test_questions)
    only_skips = play(begin(test_questions=4, max_questions=3), skip=frozenset(range(99)))
    assert only_skips.state.stopped == "6 replies were given, skips included, for a budget of 3 questions."
    assert len(only_skips.answers) == 10


def test_a_rule_that_stops_early_leaves_the_tests_to_be_asked() -> None:
    session = begin(test_questions=3, max_questions=10)
    while True:
        session, question = session.ask(POOL, time="t", stopping=lambda _, n, score, /: "enough." if n >= 2 else None)
        if question is None:
            break
        session = session.tell(question.answer("first"), time="t")
    assert session.state.stopped == "enough."
    assert Counter(asked_by(session).values()) == {"information_gain": 2, "test": 3}


def test_progress_counts_tests_like_the_others() -> None:
    session, seen = begin(test_questions=3, max_questions=4), []
    while True:
        progress = session.progress(POOL)
        seen.append((progress.n_answers, progress.max_questions))
        session, question = session.ask(POOL, time="t")
        if question is None:
            break
        session = session.tell(question.answer("first"), time="t")
    assert seen == [(n, 7) for n in range(8)]
    assert session.progress(POOL).minutes_left == 0


def test_an_undone_test_answer_is_asked_again_and_a_test_question_is_never_sealed() -> None:
    session, question = begin(seed=4, test_questions=20, max_questions=1).ask(POOL, time="t")
    assert question is not None
    assert asked_by(session)[question.id] == "test"
    undone = session.tell(question.answer("first"), time="t").undo(time="t")
    assert undone.ask(POOL, time="t")[1] == question
    sealed = session.stop("left.", time="t").seal(POOL, time="t", n_questions=40).state.sealed
    assert sealed is not None
    assert not {p.question_id for p in sealed.predictions} & set(session.test_questions)


def test_the_sealed_round_does_not_enter_the_predictions() -> None:
    over = play(begin(test_questions=3, max_questions=3))
    sealed = play(over.seal(POOL, time="t"))
    assert len(sealed.answers) == 12
    assert sealed.held_out(POOL) == over.held_out(POOL)


def test_score_of_the_tests_by_hand() -> None:
    tested = [
        HeldOut(Prediction("0-1", 0.8, 0.5), Choice.FIRST),
        HeldOut(Prediction("2-3", 0.4, 0.6), Choice.FIRST),
        HeldOut(Prediction("4-5", 0.5, 0.9), Choice.SECOND),
        *(HeldOut(Prediction(f"{i}-{i + 1}", 0.9, 0.9), choice) for i, choice in
          ((6, Choice.TIE), (8, Choice.BOTH_BAD), (10, Choice.SKIP), (12, None))),
    ]  # fmt: skip
    score = held_out_score(tested)
    assert score[:5] == (3, 1, 1, 1, 1)
    assert score.accuracy == pytest.approx(1.5 / 3)
    assert score.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.4) + math.log(0.5)) / 3)
    assert score.group_accuracy == pytest.approx((0.5 + 1 + 0) / 3)
    assert all(math.isnan(each) for each in held_out_score(tested[3:])[5:])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"test_questions": -1}, "test_questions is -1; give a count of 0 or more"),
        ({"test_questions": 1.5}, "test_questions is 1.5; give a count"),
        ({"test_questions": 120}, "there are 120 test questions and 120 questions in the pool; leave at least one"),
        ({"random_share": 1.0}, "random_share is 1.0; give a share from 0 to below 1"),
        ({"random_share": "x"}, "random_share is 'x'; give a number"),
        ({"random_share": 0.2, "acquisition": "random"}, "asked at random by its acquisition; give no random_share"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        begin(**options)  # type: ignore[arg-type]


def test_a_session_without_its_draw_is_refused() -> None:
    session = begin(test_questions=2)
    for events in ((), (Stopped("t", "enough."), *session.events)):
        with pytest.raises(InputError, match=r"events do not begin with such a draw|drawn once, before anything"):
            replace(session, events=events)
    with pytest.raises(InputError, match=r"begin a session with Session\.start, which draws"):
        replace(begin(), events=session.events)
    with pytest.raises(InputError, match="do not begin with such a draw"):
        replace(session, events=(Drawn("t", "max_norm", ("0-1", "2-3"), (0, 1)),))
    with pytest.raises(InputError, match="drawn once"):
        replace(session, events=session.events * 2)
    with pytest.raises(InputError, match="give different questions, and a place for each"):
        Drawn("t", "random", ("0-1", "1-0"), (0, 1))
    with pytest.raises(InputError, match="none before the last"):
        Drawn("t", "random", ("0-1", "2-3"), (1, 0))


def test_sessions_of_before_are_read_and_written_as_they_were() -> None:
    old = begin(max_questions=3).to_dict()
    assert old["settings"] == {"max_questions": 3, "acquisition": "information_gain"}
    assert old["events"] == []
    session = Session.from_dict(old)
    assert (session.settings.test_questions, session.settings.random_share, session.test_questions) == (0, 0.0, ())
    assert session.held_out(POOL) == ()
    assert session.to_dict() == old
    with pytest.raises(InputError, match="session settings needs exactly the fields"):
        Session.from_dict({**old, "settings": {**old["settings"], "more": 1}})
    with pytest.raises(InputError, match="session settings needs exactly the fields"):
        Session.from_dict({**old, "settings": "none"})


def test_an_answer_can_be_given_to_the_open_test_question_alone() -> None:
    session, question = begin(test_questions=2).ask(POOL, time="t")
    assert question is not None
    other = next(each for each in session.test_questions if each != question.id)
    with pytest.raises(InputError, match="the open question is"):
        session.tell(Answer(other, "first"), time="t")
    assert isinstance(session.tell(question.answer("first"), time="t").events[-1], Answered)
