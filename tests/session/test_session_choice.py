"""What a session's settings say about choosing: reading time, topic quota, exposure limit; they are kept and heeded."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.questions.balance import exposure_limit, topic_quota
from prefq.questions.costs import words_of_questions
from prefq.session import Session
from prefq.settings import SessionSettings

RNG = np.random.default_rng(4)
PAIRS = [(4 * p + i, 4 * p + j) for p in range(10) for i in range(4) for j in range(i + 1, 4)]
RESPONSES = ["word " * int(n) for n in RNG.integers(3, 200, size=40)]
POOL = prefq.CandidatePool.from_arrays(
    RNG.normal(size=(40, 3)), PAIRS, prompts=[f"prompt {item // 4}" for item in range(40)], responses=RESPONSES
)
USER = prefq.SimulatedUser([2.0, 0.0, -1.0])


def played(seed: int = 0, session_id: str = "s1", **options: object) -> Session:
    chosen = SessionSettings(**options)  # type: ignore[arg-type]
    session = Session.start(session_id, "ada", POOL, time="t", seed=seed, settings=chosen)
    rng = np.random.default_rng(0)
    while True:
        session, question = session.ask(POOL, time="t")
        if question is None:
            return session
        session = session.tell(USER.answer(POOL, question, rng=rng), time="t")


def words_of(session: Session) -> float:
    rows, _ = POOL.asked(session.answers)
    return float(words_of_questions(POOL)[rows].sum())


def test_it_asks_per_minute_what_the_facade_would_ask_per_cost() -> None:
    session = played(per_minute=True, max_questions=6)
    for n, answer in enumerate(session.answers):
        expected = prefq.select_next_question(POOL, session.answers[:n], cost="reading")
        assert expected is not None
        assert answer.question_id == expected.id
    assert words_of(session) < 0.7 * words_of(played(max_questions=6))


def test_a_session_that_chance_asks_at_random_is_asked_at_random() -> None:
    ids = [f"s{n}" for n in range(40)]
    drawn = [Session.start(i, "a", POOL, time="t", settings=SessionSettings(random_share=0.5)) for i in ids]
    by_chance = next(each.id for each in drawn if each.acquisition == "random")
    thrifty = played(session_id=by_chance, per_minute=True, random_share=0.5)
    plain = played(session_id=by_chance, random_share=0.5)
    assert [each.question_id for each in thrifty.answers] == [each.question_id for each in plain.answers]


def test_quota_and_exposure_are_heeded_together() -> None:
    assert POOL.prompt_codes is not None
    session = played(seed=5, topic_quota=1, max_exposure=0.5, max_questions=20)
    rows, _ = POOL.asked(session.answers)
    assert max(Counter(POOL.prompt_codes[POOL.pairs[rows, 0]].tolist()).values()) == 1
    assert exposure_limit(0.5)(POOL, rows[:0], seed=5)[rows].all()
    assert session.state.stopped == "the constraints allow no further question of the pool."
    within = topic_quota(1)(POOL, rows, seed=5) & exposure_limit(0.5)(POOL, rows, seed=5)
    assert not within.any()


@pytest.mark.parametrize(
    "options", [{"topic_quota": 1, "max_exposure": 0.5}, {"topic_quota": 2}, {"max_exposure": 0.1}]
)
def test_the_budget_that_is_told_is_what_quota_and_exposure_leave(options: dict[str, Any]) -> None:
    session = Session.start("s1", "ada", POOL, time="t", seed=5, settings=SessionSettings(max_questions=25, **options))
    promised = session.progress(POOL).max_questions
    assert promised == len(played(seed=5, max_questions=25, **options).answers)
    assert promised < 25


def test_settings_are_kept_and_say_nothing_where_they_say_nothing() -> None:
    chosen = SessionSettings(per_minute=True, topic_quota=2, max_exposure=0.25)
    assert SessionSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    assert SessionSettings().to_dict() == {"max_questions": 10, "acquisition": "information_gain"}
    assert SessionSettings.from_dict(SessionSettings().to_dict()) == SessionSettings()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_minute": 2}, "per_minute is 2; give True or False"),
        ({"topic_quota": -1}, "topic_quota is -1"),
        ({"max_exposure": 1.5}, "max_exposure is 1.5; give a share of people up to 1"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SessionSettings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [(SessionSettings(per_minute=True), "the pool has no texts"), (SessionSettings(topic_quota=1), "has no prompts")],
)
def test_a_pool_that_cannot_be_asked_so_is_refused_before_the_first_question(
    chosen: SessionSettings, message: str
) -> None:
    bare = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [(0, 1)])
    with pytest.raises(InputError, match=message):
        Session.start("s1", "ada", bare, time="t", settings=chosen)
