"""What a person states in a session: it is heard, can be restated, is stored like other events, and is sealed."""

import json
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.events import StatedTaste, event_from_dict
from prefq.inference.stated import with_stated
from prefq.profiles.stated_words import said_sentence, stated_sentences
from prefq.storage.sql import SqlStore
from prefq.vocabulary import Answer, Choice

SPACE = prefq.FeatureSpace(["thorough", "formal", "warm"], opposites=["brief", "casual", "neutral"])


@pytest.fixture(scope="module")
def pool() -> prefq.CandidatePool:
    features = np.random.default_rng(5).normal(size=(120, 3))
    return prefq.CandidatePool.from_arrays(features, [[i, i + 1] for i in range(0, 120, 2)], feature_space=SPACE)


def begin(pool: prefq.CandidatePool) -> prefq.Session:
    return prefq.Session.start("s1", "ada", pool, time="t0", settings=prefq.SessionSettings(max_questions=6))


def answered(session: prefq.Session, pool: prefq.CandidatePool, coefficients: list[float]) -> prefq.Session:
    while True:
        session, question = session.ask(pool, time="t")
        if question is None:
            return session
        margin = (pool.features[question.first.item] - pool.features[question.second.item]) @ coefficients
        session = session.tell(Answer(question.id, Choice.FIRST if margin > 0 else Choice.SECOND), time="t")


def test_a_session_starts_where_the_person_said(pool: prefq.CandidatePool) -> None:
    session = begin(pool).state_taste({"brief": 1.0, "warm": 0.5}, time="t1")
    evidence = prefq.stated_evidence(SPACE, {"brief": 1.0, "warm": 0.5}, prior=pool.starting_point())
    start = with_stated(pool.starting_point(), evidence)

    assert session.stated(pool) == evidence
    assert session.posterior(pool) == start.coefficients
    asked, question = session.ask(pool, time="t2")
    assert question == prefq.select_next_question(pool, [], stated=evidence)
    assert asked.events[-1].prior == start.digest()  # type: ignore[union-attr]
    assert session.progress(pool).remaining["warm"] < 1
    assert session.profile(pool).stated == evidence


def test_restating_takes_the_place_and_nothing_takes_back(pool: prefq.CandidatePool) -> None:
    plain = answered(begin(pool), pool, [2.0, 0.0, 0.0])
    twice = plain.state_taste({"formal": 1.0}, time="t").state_taste({"brief": -0.5}, time="t")

    assert twice.state.stated == StatedTaste("t", (("thorough", 0.5),))
    assert len(twice.events) == len(plain.events) + 2  # nothing is deleted
    assert twice.state.stopped == plain.state.stopped
    back = twice.state_taste({}, time="t")
    assert back.stated(pool) is None
    assert back.posterior(pool) == plain.posterior(pool)


def test_stored_and_loaded_alike(pool: prefq.CandidatePool, tmp_path: Any) -> None:
    noise = prefq.StatedNoise(0.4, 0.3, (0.1, 0.0, 0.2), 0.1)
    session = answered(begin(pool).state_taste({"casual": 1.0}, time="t1", noise=noise), pool, [0.0, 1.0, 0.0])

    assert prefq.Session.from_dict(json.loads(json.dumps(session.to_dict()))) == session
    with SqlStore.open(tmp_path / "store.db") as store:
        store.save_session(session)
        store.save_profile(session.profile(pool), session_id=session.id)
        assert store.load_session("s1") == session
        assert store.load_profile("ada") == session.profile(pool)


def test_the_sealed_round_rests_on_what_was_stated(pool: prefq.CandidatePool) -> None:
    done = answered(begin(pool), pool, [2.0, 0.0, 0.0])
    sealed = done.state_taste({"brief": 1.0}, time="t").seal(pool, time="t")

    plain = done.seal(pool, time="t").state.sealed
    assert sealed.state.sealed is not None
    assert plain is not None
    assert [each.profile for each in sealed.state.sealed.predictions] != [each.profile for each in plain.predictions]
    assert [each.group for each in sealed.state.sealed.predictions] == [each.group for each in plain.predictions]
    with pytest.raises(InputError, match="what was stated before the sealed round stays"):
        sealed.state_taste({"brief": 0.5}, time="t")


def test_what_is_no_statement_is_refused(pool: prefq.CandidatePool) -> None:
    with pytest.raises(InputError, match="there is no axis 'tall'"):
        begin(pool).state_taste({"tall": 1.0}, time="t")
    told = {"kind": "stated", "time": "t", "positions": {"tall": 1.0}, "noise": prefq.StatedNoise().to_dict()}
    with pytest.raises(InputError, match="there is no axis 'tall'"):
        prefq.Session.from_dict({**begin(pool).to_dict(), "events": [told]})
    with pytest.raises(InputError, match="positions is"):
        event_from_dict({**told, "positions": [["warm", 1.0]]})


def test_the_profile_says_what_was_said_and_what_the_answers_say(pool: prefq.CandidatePool) -> None:
    settings = prefq.SessionSettings(max_questions=25)
    begun = prefq.Session.start("s2", "ada", pool, time="t0", settings=settings)
    taste = [3.0, 3.0, 0.0]
    profile = answered(begun.state_taste({"thorough": 1.0, "casual": 1.0, "warm": 0.0}, time="t"), pool, taste).profile(
        pool
    )

    said, heard = stated_sentences(profile)
    assert said == "You said beforehand: much more thorough; much more casual; neutral or warm, no matter."
    assert "point the same way on brief or thorough" in heard
    assert "point elsewhere, to formal (clear), and the profile weighs both" in heard
    assert said_sentence(prefq.stated_evidence(SPACE, {}, prior=pool.starting_point())) == ""
    assert stated_sentences(prefq.fit_profile(pool, [], user_id="ada")) == []
