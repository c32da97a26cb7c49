"""prefq bench sessions: the right sessions count, a planted difference is found, equal arms are not told apart."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.questions.draws import falls_within
from prefq.session import Session
from prefq.settings import SessionSettings
from prefq.storage.sql import SqlStore

Prefq = Any  # the fixture of conftest.py

N_TESTS = 6


def wide_pool() -> prefq.CandidatePool:
    """Two hundred questions of three features, of which one in ten tells much and the others hardly anything."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(400, 3)) * np.where(rng.random(200) < 0.1, 3.0, 0.05).repeat(2)[:, None]
    return prefq.CandidatePool.from_arrays(features, np.arange(400).reshape(200, 2))


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    wide_pool().save(tmp_path / "wide")
    return tmp_path / "wide"


def one_of(arm: bool, n: int) -> list[str]:
    """Session ids that chance sends to an arm at a share of one half."""
    return [each for each in (f"s{i}" for i in range(6 * n)) if falls_within(0.5, each) is arm][:n]


def hold(session: Session, pool: prefq.CandidatePool, *, right: float | None, n_asked: int = 99) -> Session:
    """A session of somebody with a taste; of the test answers this share agrees with the predictions, if one is given.

    Test questions are answered last here, when the predictions that they meet are known.
    """
    rng = np.random.default_rng(int(session.id[1:]))
    user = prefq.SimulatedUser(rng.normal(scale=2.0, size=3))
    replies: dict[str, prefq.Answer] = {}
    for _ in range(n_asked):
        session, question = session.ask(pool, time="t")
        if question is None:
            break
        replies[question.id] = user.answer(pool, question, rng=rng)
        session = session.tell(replies[question.id], time="t")
    if right is None:
        return session
    for tested in session.held_out(pool):
        likely = "first" if tested.prediction.profile > 0.5 else "second"
        unlikely = "second" if likely == "first" else "first"
        answer = prefq.Answer(tested.prediction.question_id, likely if rng.random() < right else unlikely)
        session = session.edit(answer, time="t")
    return session


def fill(
    folder: Path, n: int, *, rule: float | None, at_random: float | None, settings: SessionSettings | None = None
) -> None:
    """Sessions of both arms in the store, so many of each."""
    chosen = settings or SessionSettings(5, test_questions=N_TESTS, random_share=0.5)
    pool = prefq.load_pool(folder)
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        for arm, right in ((False, rule), (True, at_random)):
            for session_id in one_of(arm, n):
                begun = Session.start(
                    session_id, f"u{session_id}", pool, time="t", pool_name=str(folder), seed=int(session_id[1:]),
                    settings=chosen,
                )  # fmt: skip
                assert (begun.acquisition == "random") is arm
                store.save_session(hold(begun, pool, right=right))


def test_a_planted_difference_is_found_with_its_size(prefq_: Prefq, wide: Path) -> None:
    fill(wide, 30, rule=0.9, at_random=0.55)
    found = prefq_("bench", "sessions", "--json").json
    (only,) = found["experiments"]

    assert found["left_out"] == {}
    assert only["settings"] == {
        "max_questions": 5, "acquisition": "information_gain", "test_questions": N_TESTS, "random_share": 0.5,
    }  # fmt: skip
    for arm in ("rule", "random"):
        assert only["arms"][arm]["n_sessions"] == only["arms"][arm]["n_users"] == 30
        assert only["arms"][arm]["n_decided"] == 30 * N_TESTS
    gain = only["gain"]["accuracy"]
    assert gain["verdict"] == "better"
    assert gain["low"] < 0.35 < gain["high"]
    rule, at_random = (only["arms"][arm]["accuracy"] for arm in ("rule", "random"))
    assert gain["estimate"] == pytest.approx(rule["mean"] - at_random["mean"])
    assert gain["se"] == pytest.approx(np.hypot(rule["se"], at_random["se"]), rel=0.2)  # a floor may have raised it

    said = prefq_("bench", "sessions").out
    assert said.startswith("Power: to show 3 points of accuracy with 6 test questions a session and a random share of")
    assert "by the spread between the 60 sessions in the store" in said
    assert "points, 95 % interval" in said
    assert ": better." in said
    assert said.rstrip().endswith("60 of 60 sessions count.")


def test_a_rule_that_is_worse_is_called_so_and_equal_arms_cannot_be_told_apart(prefq_: Prefq, wide: Path) -> None:
    fill(wide, 15, rule=0.5, at_random=0.9)
    assert prefq_("bench", "sessions", "--json").json["experiments"][0]["gain"]["accuracy"]["verdict"] == "worse"

    os.environ["PREFQ_STORE"] += ".equal"
    fill(wide, 30, rule=0.7, at_random=0.7)
    gain = prefq_("bench", "sessions", "--json").json["experiments"][0]["gain"]
    assert gain["accuracy"]["verdict"] == "cannot tell"
    assert gain["accuracy"]["low"] < 0 < gain["accuracy"]["high"]


def test_choosing_gains_where_few_questions_tell_much(prefq_: Prefq, wide: Path) -> None:
    # Nothing planted: simulated people answer; the rule finds the telling tenth of the pool, and chance does not. Most
    # test questions tell little whatever is known, so it takes a few hundred answers to see it.
    fill(wide, 40, rule=None, at_random=None, settings=SessionSettings(5, test_questions=20, random_share=0.5))
    gain = prefq_("bench", "sessions", "--json").json["experiments"][0]["gain"]
    assert gain["log_loss"]["verdict"] == "better"
    assert gain["accuracy"]["estimate"] > 0


def test_turning_test_answers_round_turns_the_score_and_nothing_else(prefq_: Prefq, wide: Path) -> None:
    fill(wide, 12, rule=1.0, at_random=1.0)
    right = prefq_("bench", "sessions", "--json").json["experiments"][0]
    os.environ["PREFQ_STORE"] += ".turned"
    fill(wide, 12, rule=0.0, at_random=0.0)
    wrong = prefq_("bench", "sessions", "--json").json["experiments"][0]
    for arm in ("rule", "random"):
        assert right["arms"][arm]["accuracy"] == {"mean": 1.0, "se": 0.0}
        assert wrong["arms"][arm]["accuracy"] == {"mean": 0.0, "se": 0.0}
    assert right["gain"]["accuracy"]["se"] > 0  # equal sessions are not taken for certainty


def test_each_session_that_does_not_count_has_its_reason(prefq_: Prefq, wide: Path, tmp_path: Path) -> None:
    fill(wide, 2, rule=0.7, at_random=0.7)
    pool = prefq.load_pool(wide)
    drawn = SessionSettings(5, test_questions=N_TESTS, random_share=0.5)
    moved, changed = tmp_path / "moved", tmp_path / "changed"
    wide_pool().save(changed)
    both = one_of(False, 60), one_of(True, 60)

    def begin(session_id: str, settings: SessionSettings = drawn, pool_name: Path = wide) -> Session:
        return Session.start(
            session_id, "u", pool, time="t", pool_name=str(pool_name), seed=int(session_id[1:]), settings=settings
        )

    others = SessionSettings(5, "random", test_questions=2)
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        store.save_session(hold(begin("s9001", SessionSettings(2)), pool, right=None))
        store.save_session(hold(begin("s9002", others), pool, right=None))
        store.save_session(hold(begin("s9003", SessionSettings(2, random_share=0.5)), pool, right=None))
        store.save_session(hold(begin(both[0][30]), pool, right=None, n_asked=7))
        store.save_session(hold(begin(both[1][30]), pool, right=None, n_asked=3).stop("left.", time="t"))
        store.save_session(hold(begin(both[0][31], pool_name=moved), pool, right=0.5))
        store.save_session(hold(begin(both[1][31], pool_name=changed), pool, right=0.5))
        ties = hold(begin(both[0][32]), pool, right=0.5)
        for each, choice in zip(ties.test_questions, ["tie", "both_bad", "skip"] * 2, strict=True):
            ties = ties.edit(prefq.Answer(each, choice), time="t")
        store.save_session(ties)
    prefq.CandidatePool.from_arrays(np.eye(4), [[0, 1], [2, 3]]).save(tmp_path / "small")
    changed.rename(tmp_path / "as it was")
    (tmp_path / "small").rename(changed)

    found = prefq_("bench", "sessions", "--json").json
    (only,) = found["experiments"]
    assert found["left_out"] == {"chance did not decide how they ask": 2, "no test questions": 1}
    assert only["arms"]["rule"]["n_sessions"] == only["arms"]["random"]["n_sessions"] == 2
    assert only["arms"]["rule"]["left_out"] == {
        "unfinished": 1, "their pool was not found": 1, "no test question was answered with a preference": 1,
    }  # fmt: skip
    assert only["arms"]["random"]["left_out"] == {"unfinished": 1, "their pool has changed": 1}
    assert only["needed"]["rests_on"].startswith("assumed: half of the predictions right")
    assert only["gain"]["accuracy"]["verdict"] == "cannot tell"
    said = prefq_("bench", "sessions").out
    assert "cannot tell (a verdict takes 10 sessions in each arm)" in said
    assert "4 of 12 sessions count; left out: 2 (chance did not decide how they ask), 1 (no test questions)" in said
    assert "1 of the arm random (their pool has changed)" in said


def test_ties_and_skips_are_counted_and_left_out(prefq_: Prefq, wide: Path) -> None:
    pool = prefq.load_pool(wide)
    settings = SessionSettings(5, test_questions=N_TESTS, random_share=0.5)
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        (session_id,) = one_of(False, 1)
        begun = Session.start(session_id, "u", pool, time="t", pool_name=str(wide), settings=settings)
        session = hold(begun, pool, right=1.0)
        for each, choice in zip(session.test_questions, ["tie", "both_bad", "skip", "tie"], strict=False):
            session = session.edit(prefq.Answer(each, choice), time="t")
        store.save_session(session)
    arm = prefq_("bench", "sessions", "--json").json["experiments"][0]["arms"]["rule"]
    assert [arm[name] for name in ("n_decided", "n_ties", "n_both_bad", "n_skips")] == [2, 2, 1, 1]
    assert arm["accuracy"] == {"mean": 1.0, "se": None}
    assert "cannot tell; an interval takes two sessions in each arm" in prefq_("bench", "sessions").out


@pytest.mark.usefixtures("empty_store")
def test_an_empty_store_gets_the_power_under_stated_assumptions(prefq_: Prefq) -> None:
    empty = prefq_("bench", "sessions")
    assert empty.code == 0
    assert "with 4 test questions a session and a random share of 0.5 takes 1091 sessions by the rule and" in empty.out
    assert "assumed: half of the predictions right" in empty.out
    assert "The store has no sessions" in empty.out
    five = prefq_("bench", "sessions", "--points", "6", "--json").json["assumed"]
    assert five["at_share"] == {"by_rule": 273, "at_random": 273}
    assert prefq_("bench", "sessions", "--points", "0").code == 2


def test_experiments_with_other_settings_are_kept_apart(prefq_: Prefq, wide: Path) -> None:
    fill(wide, 2, rule=0.7, at_random=0.7)
    pool, other = prefq.load_pool(wide), SessionSettings(3, "d_optimal", test_questions=2, random_share=0.1)
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        begun = Session.start("s8001", "u", pool, time="t", pool_name=str(wide), settings=other)
        store.save_session(hold(begun, pool, right=None))
    rules = {each["settings"]["acquisition"] for each in prefq_("bench", "sessions", "--json").json["experiments"]}
    assert rules == {"information_gain", "d_optimal"}
    said = prefq_("bench", "sessions").out
    assert "share of 0.1 takes" in said
    assert "(at an even share: 2181 each)" in said


def test_flags_and_environment_begin_such_sessions(
    prefq_: Prefq, pool_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("onboard", "--pool", pool_folder, "--max-questions", 3, "--test-questions", 2, "--json")
    done = prefq_(*asked, keys="1\n" * 5)
    assert (done.code, done.json["session"]["n_answers"], done.json["session"]["test_questions"]) == (0, 5, 2)
    assert done.json["profile"]["n_answers"] == 5

    monkeypatch.setenv("PREFQ_RANDOM_SHARE", "0.999")
    monkeypatch.setenv("PREFQ_TEST_QUESTIONS", "1")
    begun = prefq_("ask", "--pool", pool_folder, "--user", "ada").json
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        session = store.load_session(begun["session_id"])
    assert (session.settings.random_share, session.settings.test_questions) == (0.999, 1)
    assert session.acquisition == "random"
    assert session.settings.acquisition == "information_gain"
    assert begun["progress"]["max_questions"] == 11
    refused = prefq_("ask", "--session", begun["session_id"], "--test-questions", 3)
    assert refused.code == 5
    assert "was begun with --test-questions 1, not 3" in refused.err

    monkeypatch.setenv("PREFQ_RANDOM_SHARE", "half")
    assert prefq_("ask", "--session", begun["session_id"]).code == 0  # the environment is for new sessions
    broken = prefq_("ask", "--pool", pool_folder, "--new")
    assert (broken.code, broken.err) == (2, "Error: PREFQ_RANDOM_SHARE is 'half'; give a number, or unset it.\n")
    monkeypatch.setenv("PREFQ_RANDOM_SHARE", "0.5")
    chosen = prefq_("ask", "--pool", pool_folder, "--user", "bo", "--acquisition", "random").json
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        assert store.load_session(chosen["session_id"]).settings.random_share == 0


def test_a_stored_session_of_before_goes_on(prefq_: Prefq, pool_folder: Path) -> None:
    begun = prefq_("ask", "--pool", pool_folder).json["session_id"]
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        session = store.load_session(begun)
        assert set(session.to_dict()["settings"]) == {"max_questions", "acquisition"}  # as earlier versions stored it
        question = session.state.open_question
        store.save_session(replace(session, events=session.events))
    assert prefq_("tell", "--session", begun, question, "first").json["n_answers"] == 1


def test_why_does_not_give_a_test_question_away(prefq_: Prefq, pool_folder: Path) -> None:
    asked = ("onboard", "--pool", pool_folder, "--max-questions", 2, "--test-questions", 6, "--json")
    done = prefq_(*asked, keys="?\n1\n" * 8)
    told = [line for line in done.err.splitlines() if line.startswith("Why this question")]
    assert len(told) == 8
    assert not any("random" in line for line in told)
