"""Sessions as values: the loop, undo and edit, the sealed round, JSON, refusals."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError, MismatchError, NotFoundError
from prefq.events import Answered, Asked, Edited, Event, Sealed, Stopped, Undone, event_from_dict, fold, seal_of
from prefq.inference.ep import fit_posterior_ep
from prefq.predictions import predict
from prefq.session import Session, words_per_question
from prefq.settings import SessionSettings
from prefq.vocabulary import Answer, Choice, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

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


@pytest.mark.parametrize("acquisition", ["d_optimal", "max_norm", "random"])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_it_asks_by_its_settings_and_its_seed(pool: prefq.CandidatePool, acquisition: str, seed: int) -> None:
    chosen = SessionSettings(acquisition=acquisition)
    session, question = Session.start("s1", "ada", pool, time="t", seed=seed, settings=chosen).ask(pool, time="t")
    assert question == prefq.select_next_question(pool, [], acquisition=acquisition, seed=seed)
    assert isinstance(session.events[0], Asked)
    assert session.events[0].acquisition == acquisition


def test_the_seed_decides_sides_and_order(pool: prefq.CandidatePool) -> None:
    def first_of(seed: int, acquisition: str) -> str:
        chosen = SessionSettings(acquisition=acquisition)
        _, question = Session.start("s1", "ada", pool, time="t", seed=seed, settings=chosen).ask(pool, time="t")
        assert question is not None
        return question.id

    sides = {first_of(seed, "information_gain") for seed in range(8)}
    assert len(sides) == 2
    assert len({frozenset(each.split("-")) for each in sides}) == 1
    assert len({first_of(seed, "random") for seed in range(8)}) > 2


def test_a_stopping_rule_ends_it_with_its_reason(pool: prefq.CandidatePool) -> None:
    session, question = begin(pool).ask(pool, time="t", stopping=lambda posterior, n_answers, score, /: "enough.")
    assert question is None
    assert session.state.stopped == "enough."
    session, question = begin(pool).ask(pool, time="t", stopping=lambda posterior, n_answers, score, /: "")
    assert question is not None


def test_the_posterior_is_that_of_the_pools_response_model() -> None:
    start = PopulationPrior(
        Gaussian([0.5, 0, 0, 0], np.eye(4)), FeatureSpace(["x0", "x1", "x2", "x3"]), ResponseModel(0.8, 0.3, 0.05)
    )
    pool = prefq.CandidatePool.from_arrays(FEATURES, PAIRS, prior=start)
    session = play(begin(pool, max_questions=4), pool, USER)
    comparisons = pool.comparisons(session.answers)
    expected, _ = fit_posterior_ep(start.coefficients, comparisons, response_model=start.response_model)
    assert session.posterior(pool) == expected
    own = prefq.fit_profile(pool, session.answers, user_id=session.user_id)
    assert session.profile(pool).coefficients == own.coefficients


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


def test_the_sealed_round_is_drawn_by_the_seed(pool: prefq.CandidatePool) -> None:
    def round_of(seed: int) -> tuple[str, ...]:
        started = Session.start("s1", "ada", pool, time="t", seed=seed).stop("enough.", time="t")
        sealed = started.seal(pool, time="t", n_questions=4).state.sealed
        assert sealed is not None
        first = prefq.select_next_question(pool, [], acquisition="random", seed=seed)
        assert first is not None
        assert sealed.predictions[0].question_id == first.id
        return tuple(prediction.question_id for prediction in sealed.predictions)

    assert len({round_of(seed) for seed in range(4)}) == 4


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


def test_answers_under_the_seal_cannot_be_edited_and_those_of_the_round_can(pool: prefq.CandidatePool) -> None:
    session = play(begin(pool, max_questions=2), pool, USER).seal(pool, time="t")
    with pytest.raises(InputError, match="answers before the sealed round cannot be edited, its predictions rest on"):
        session.edit(Answer(session.answers[0].question_id, "tie"), time="t")
    session, question = session.ask(pool, time="t")
    assert question is not None
    edited = session.tell(question.answer("first"), time="t").edit(question.answer("tie"), time="t")
    assert edited.answers[-1].choice is Choice.TIE


@pytest.mark.parametrize("n_questions", [0, -1, 2.5, True, "3"])
def test_a_sealed_round_has_a_number_of_questions(pool: prefq.CandidatePool, n_questions: Any) -> None:
    with pytest.raises(InputError) as caught:
        begin(pool).stop("enough.", time="t").seal(pool, time="t", n_questions=n_questions)
    assert str(caught.value) == f"n_questions is {n_questions!r}; give a number of at least 1 question."


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
    with pytest.raises(InputError, match="acquisition is 5; give a text"):
        SessionSettings(acquisition=5)  # type: ignore[arg-type]


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
    prior, belief = pool.starting_point().coefficients, play(session, pool, USER).posterior(pool)
    shares = np.diag(belief.covariance) / np.diag(prior.covariance)  # of the variance, not of its root
    assert list(end.remaining.values()) == pytest.approx(shares.tolist())


def test_progress_ends_where_the_session_does(pool: prefq.CandidatePool) -> None:
    session = begin(pool, max_questions=2)
    left = []
    for _ in range(4):  # twice the budget of replies end a session of skips
        session, question = session.ask(pool, time="t")
        assert question is not None
        session = session.tell(question.answer("skip"), time="t")
        left.append(session.progress(pool).max_questions)
    assert left == [2, 2, 1, 0]
    assert session.ask(pool, time="t")[1] is None
    halted = begin(pool, max_questions=4).stop("enough.", time="t").progress(pool)
    assert (halted.n_answers, halted.max_questions, halted.minutes_left) == (0, 0, 0)


def test_progress_does_not_count_the_sealed_round(pool: prefq.CandidatePool) -> None:
    sealed = play(begin(pool, max_questions=3), pool, USER).seal(pool, time="t")
    for each in (sealed, play(sealed, pool, USER)):
        progress = each.progress(pool)
        assert (progress.n_answers, progress.max_questions, progress.minutes_left) == (3, 3, 0)
    early = begin(pool).stop("enough.", time="t").seal(pool, time="t").progress(pool)
    assert (early.n_answers, early.max_questions, early.minutes_left) == (0, 0, 0)


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


ASKED = {"kind": "asked", "time": "t", "question_id": "0-1", "acquisition": "random", "score": 0.1, "prior": "p"}
SEALED = {"kind": "sealed", "time": "t", "predictions": [], "digest": "d"}


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (None, "event kind is None; expected one of asked"),
        ({**ASKED, "kind": ["asked"]}, r"event kind is \['asked'\]; expected one of asked"),
        ({**ASKED, "extra": 1}, "an event of kind 'asked' needs exactly the fields"),
        ({**ASKED, "time": 5}, "time is 5; give a text"),
        ({**ASKED, "question_id": 5}, "question_id is 5; give a text"),
        ({**ASKED, "question_id": "a-b"}, "question id is 'a-b'; expected two item rows"),
        ({**ASKED, "acquisition": None}, "acquisition is None; give a text"),
        ({**ASKED, "score": "high"}, "score is 'high'; give a number"),
        ({**ASKED, "score": float("nan")}, "score is nan; give a finite number"),
        ({**ASKED, "prior": 5}, "prior is 5; give a text"),
        ({"kind": "answered", "time": 5, "answer": {"question_id": "0-1", "choice": "tie"}}, "time is 5; give a text"),
        ({"kind": "answered", "time": "t", "answer": None}, "an answer is None; it needs question_id and choice"),
        ({"kind": "edited", "time": 5, "answer": {"question_id": "0-1", "choice": "tie"}}, "time is 5; give a text"),
        ({"kind": "undone", "time": "t", "question_id": 5}, "question_id is 5; give a text"),
        ({"kind": "why_opened", "time": "t", "question_id": None}, "question_id is None; give a text"),
        ({"kind": "stopped", "time": "t", "reason": 5}, "reason is 5; give a text"),
        ({"kind": "stopped", "time": "\ud800", "reason": "r"}, "time hold a text that is not valid Unicode"),
        ({**SEALED, "digest": 5}, "digest is 5; give a text"),
        ({**SEALED, "predictions": None}, "predictions are None; give a sequence of objects"),
        ({**SEALED, "predictions": [5]}, r"predictions are \[5\]; give a sequence of objects"),
        ({**SEALED, "predictions": [{"profile": 1}]}, "a prediction needs exactly the fields"),
        (
            {**SEALED, "predictions": [{"question_id": "0-1", "profile": 1.5, "group": 0.5}]},
            "profile is 1.5; give a probability from 0 to 1",
        ),
        (
            {**SEALED, "predictions": [{"question_id": "0-1", "profile": 0.5, "group": "n"}]},
            "group is 'n'; give a number",
        ),
        (
            {**SEALED, "predictions": [{"question_id": 5, "profile": 0.5, "group": 0.5}]},
            "question id is 5; expected two item rows",
        ),
    ],
)
def test_an_event_that_exists_is_valid(event: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        event_from_dict(event)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": ""}, "id is ''; give a non-empty text"),
        ({"id": "s\ud800"}, "id hold a text that is not valid Unicode"),
        ({"user_id": "a\ud800"}, "user_id hold a text that is not valid Unicode"),
        ({"created": 5}, "created is 5; give a text"),
        ({"pool_digest": 5}, "pool_digest is 5; give a text"),
        ({"pool_name": None}, "pool_name is None; give a text"),
        ({"seed": True}, "seed is True; give an integer"),
        ({"settings": None}, "session settings needs exactly the fields"),
        ({"feature_space": None}, "a feature space needs exactly the fields"),
        ({"events": None}, "events are None; give a sequence of objects"),
        ({"events": 5}, "events are 5; give a sequence of objects"),
        ({"events": [5]}, r"events are \[5\]; give a sequence of objects"),
        ({"format_version": [1]}, r"the session has format version \[1\] and this prefq reads 1; update prefq"),
    ],
)
def test_a_session_that_exists_is_valid(pool: prefq.CandidatePool, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        Session.from_dict({**begin(pool).to_dict(), **change})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"events": (Answer("0-1", "tie"),)}, r"events are \(Answer\(.*\); give a sequence of events"),
        ({"settings": 5}, "settings is 5; give a value of type SessionSettings"),
        ({"feature_space": "x0"}, "feature_space is 'x0'; give a value of type FeatureSpace"),
    ],
)
def test_a_session_is_made_of_words(pool: prefq.CandidatePool, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        replace(begin(pool), **change)


def test_values_of_events_are_checked_where_they_are_made() -> None:
    answer: Any = "first"
    for event in (Answered, Edited):
        with pytest.raises(InputError, match="answer is 'first'; give a value of type Answer"):
            event("t", answer)
    with pytest.raises(InputError, match=r"predictions are \(0.5,\); give a sequence of Prediction"):
        Sealed("t", (0.5,), "d")  # type: ignore[arg-type]


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


# Where the person starts ---------------------------------------------------------------------------------------------

ELSEWHERE = PopulationPrior(
    Gaussian([2.0, 0.0, 0.0, -1.0], np.diag([0.5, 2.0, 0.3, 0.1])),
    FeatureSpace(("x0", "x1", "x2", "x3")),
    ResponseModel(tie_threshold=0.3),
    12,
)


def begin_elsewhere(pool: prefq.CandidatePool) -> Session:
    chosen = SessionSettings(max_questions=3, test_questions=1)
    return Session.start("s1", "ada", pool, time="t", settings=chosen, prior=ELSEWHERE)


def test_a_session_with_a_prior_is_one_with_a_pool_of_that_prior(pool: prefq.CandidatePool) -> None:
    primed = replace(pool, prior=ELSEWHERE)
    own = play(begin_elsewhere(pool), pool, USER).state_taste({"x1": 1.0}, time="t").seal(pool, time="t", n_questions=2)
    other = play(begin(pool, max_questions=3), pool, USER)
    assert [each.question_id for each in own.chosen_answers] != [each.question_id for each in other.answers]
    of_pool = replace(own, pool_digest=primed.digest(), prior=None)
    assert own.posterior(pool) == of_pool.posterior(primed) != replace(own, prior=None).posterior(pool)
    assert own.profile(pool).prior == ELSEWHERE
    assert own.progress(pool) == of_pool.progress(primed)
    assert own.held_out(pool) == of_pool.held_out(primed)
    sealed = own.state.sealed
    assert sealed is not None
    questions = [pool.question(each.question_id) for each in sealed.predictions]
    assert sealed.predictions == predict(primed, own.answers, questions, stated=of_pool.stated(primed))
    asked = [event for event in own.events if isinstance(event, Asked)]
    assert {event.prior for event in asked} == {ELSEWHERE.digest()}


def test_a_prior_is_kept_with_the_session_to_the_last_bit(pool: prefq.CandidatePool) -> None:
    session = play(begin_elsewhere(pool), pool, USER)
    assert Session.from_dict(json.loads(json.dumps(session.to_dict()))) == session
    assert "prior" not in begin(pool).to_dict()
    gaussian = Session.start("s2", "ada", pool, time="t", prior=Gaussian(np.zeros(4), np.eye(4)))
    assert gaussian.starting_point(pool) == PopulationPrior(Gaussian(np.zeros(4), np.eye(4)), pool.feature_space)


def test_a_prior_of_other_features_is_refused(pool: prefq.CandidatePool) -> None:
    other = PopulationPrior(Gaussian(np.zeros(4), np.eye(4)), FeatureSpace(("a", "b", "c", "d")))
    with pytest.raises(MismatchError, match=r"the prior belongs to another feature space \(4 features a, b, c, …"):
        Session.start("s1", "ada", pool, time="t", prior=other)
    with pytest.raises(MismatchError, match="the prior belongs to another feature space"):
        replace(begin(pool), prior=other)
    with pytest.raises(InputError, match="prior is"):
        replace(begin(pool), prior="flat")  # type: ignore[arg-type]


def test_no_axis_is_told_to_be_less_known_than_at_the_start(pool: prefq.CandidatePool) -> None:
    # A group that is sure of a taste that this person does not have: the answers widen what is believed.
    sure = PopulationPrior(Gaussian([-6.0, 0.0, 6.0, 0.0], 0.2 * np.eye(4)), pool.feature_space, n_users=50)
    chosen = SessionSettings(max_questions=8, acquisition="random")
    session = play(Session.start("s1", "ada", pool, time="t", settings=chosen, prior=sure), pool, USER)
    assert session.profile(pool).surprise is not None
    assert (np.diag(session.posterior(pool).covariance) > 0.2).any()
    assert max(session.progress(pool).remaining.values()) == 1
