"""prefq ask --n, and the options that say how questions are chosen: kept with the session and heeded."""

from pathlib import Path
from typing import Any

import prefq
from prefq.questions.balance import exposure_limit, topic_quota

Prefq = Any  # the fixture of conftest.py


def test_several_questions_are_asked_and_told_in_any_order(prefq_: Prefq, pool_folder: Path) -> None:
    asked = prefq_("ask", "--pool", pool_folder, "--seed", 3, "--n", 3).json
    session, ids = asked["session_id"], [question["id"] for question in asked["questions"]]
    pool = prefq.load_pool(pool_folder)
    assert ids == [question.id for question in prefq.select_next_questions(pool, [], n_questions=3, seed=3)]
    assert asked["question"] == asked["questions"][0]
    assert prefq_("tell", "--session", session, ids[1], "first").code == 0
    again = prefq_("ask", "--session", session, "--n", 5).json
    assert [question["id"] for question in again["questions"]] == [ids[0], ids[2]]
    assert prefq_("ask", "--session", session).json["question"]["id"] == ids[0]
    refused = prefq_("tell", "--session", session, ids[1], "second")
    assert (refused.code, f"the open question is {ids[0]!r} or {ids[2]!r}" in refused.err) == (2, True)


def test_a_batch_ends_with_the_budget(prefq_: Prefq, pool_folder: Path) -> None:
    asked = prefq_("ask", "--pool", pool_folder, "--max-questions", 2, "--n", 9).json
    assert len(asked["questions"]) == 2
    for question in asked["questions"]:
        prefq_("tell", "--session", asked["session_id"], question["id"], "second")
    done = prefq_("ask", "--session", asked["session_id"], "--n", 9).json
    assert (done["questions"], done["question"]) == ([], None)
    assert done["stopped"] == "the budget of 2 questions is used up."
    assert prefq_("ask", "--session", asked["session_id"], "--n", 0).code == 2


def test_an_interview_goes_on_with_what_was_asked_together(prefq_: Prefq, pool_folder: Path) -> None:
    asked = prefq_("ask", "--pool", pool_folder, "--user", "ada", "--max-questions", 4, "--n", 3).json
    done = prefq_("onboard", "--pool", pool_folder, "--user", "ada", "--json", keys="1\n" * 4)
    assert (done.code, done.json["session"]["id"]) == (0, asked["session_id"])
    assert done.json["session"]["n_answers"] == 4


def test_quota_exposure_and_reading_time_are_settings_of_a_session(prefq_: Prefq, pool_folder: Path) -> None:
    options = ("--per-minute", "--topic-quota", 1, "--max-exposure", 0.5)
    asked = prefq_("ask", "--pool", pool_folder, "--seed", 3, *options).json
    pool = prefq.load_pool(pool_folder)
    limits = [topic_quota(1), exposure_limit(0.5)]
    expected = prefq.select_next_question(pool, [], seed=3, cost="reading", constraints=limits)
    assert expected is not None
    assert asked["question"]["id"] == expected.id
    assert prefq_("ask", "--session", asked["session_id"], *options).json["question"] == asked["question"]
    for flag, value in (("--per-question", ()), ("--topic-quota", (2,)), ("--max-exposure", (0.25,))):
        other = prefq_("ask", "--session", asked["session_id"], flag, *value)
        assert other.code == 5, flag
        assert "begin a new session with --new" in other.err


def test_options_out_of_range_are_refused(prefq_: Prefq, pool_folder: Path) -> None:
    for flag, value, sentence in (
        ("--topic-quota", -1, "topic_quota is -1"),
        ("--max-exposure", 2, "max_exposure is 2.0; give a share of people up to 1"),
    ):
        refused = prefq_("onboard", "--json", "--pool", pool_folder, flag, value)
        assert (refused.code, sentence in refused.err) == (2, True)
