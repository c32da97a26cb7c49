"""Whole sessions without a terminal: keys from standard input, results as JSON."""

import re
from pathlib import Path
from typing import Any

import pytest

import prefq
from prefq.events import Prediction, seal_of

Prefq = Any  # the fixture of conftest.py


def test_ten_keys_make_a_profile(prefq_: Prefq, pool_folder: Path) -> None:
    done = prefq_("onboard", "--pool", pool_folder, "--user", "ada", "--json", keys="1\n2\n" * 5)

    assert done.code == 0
    assert done.json["status"] == "finished"
    assert done.json["session"]["n_answers"] == 10
    assert done.json["session"]["stopped"] == "the budget of 10 questions is used up."
    assert done.json["sealed"] is None
    assert [axis["name"] for axis in done.json["axes"]] == ["thorough", "warm", "playful"]
    assert prefq.Profile.from_dict(done.json["profile"]).n_answers == 10
    assert prefq_("profile", "show", "--user", "ada", "--json").json["profile"] == done.json["profile"]


def test_every_key_does_what_it_says(prefq_: Prefq, pool_folder: Path) -> None:
    done = prefq_("onboard", "--pool", pool_folder, "--json", keys="1\n2\n0\nb\ns\nu\n?\nS\n\n1\nq\n")

    assert done.code == 4
    assert done.json["status"] == "ended_early"
    stored = load(done.json["session"]["id"])
    assert [answer.choice.value for answer in stored.answers] == ["first", "second", "tie", "both_bad", "skip", "first"]
    kinds = [type(event).__name__ for event in stored.events]
    assert kinds.count("Undone") == kinds.count("WhyOpened") == 1
    assert all(answer.seconds is not None for answer in stored.answers)


def test_a_session_goes_on_where_it_ended(prefq_: Prefq, pool_folder: Path) -> None:
    first = prefq_("onboard", "--pool", pool_folder, "--json", keys="1\n1\n1\n")
    second = prefq_("onboard", "--json", keys="1\n" * 7)

    assert (first.code, second.code) == (4, 0)
    assert first.err.splitlines()[-1] == "Ended early: 3 answers saved. Go on with: prefq onboard"
    assert second.json["session"]["id"] == first.json["session"]["id"]
    assert second.json["session"]["n_answers"] == 10
    assert "Welcome back: 3 answers kept." in second.err
    third = prefq_("onboard", "--pool", pool_folder, "--json", keys="q")
    assert third.json["session"]["id"] != first.json["session"]["id"]


def test_a_pool_that_was_moved_is_the_same_pool(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    first = prefq_("onboard", "--pool", pool_folder, "--json", keys="1\n1\n")
    elsewhere = pool_folder.rename(tmp_path / "elsewhere")
    lost = prefq_("onboard", "--json", keys="1\n")
    found = prefq_("onboard", "--pool", elsewhere, "--json", keys="1\n")

    assert lost.code == 3
    assert "if its folder was moved, say where to with --pool FOLDER" in lost.err
    assert found.json["session"]["id"] == first.json["session"]["id"]
    assert found.json["session"]["n_answers"] == 3
    assert found.err.splitlines()[-1] == f"Ended early: 3 answers saved. Go on with: prefq onboard --pool {elsewhere}"


def test_new_leaves_the_unfinished_session_alone(prefq_: Prefq, pool_folder: Path) -> None:
    first = prefq_("onboard", "--pool", pool_folder, "--json", keys="1\n")
    second = prefq_("onboard", "--pool", pool_folder, "--new", "--json", keys="1\n")
    named = prefq_("onboard", "--session", first.json["session"]["id"], "--json", keys="1\n")

    assert second.json["session"]["id"] != first.json["session"]["id"]
    assert named.json["session"]["n_answers"] == 2


def test_settings_reach_the_session(prefq_: Prefq, pool_folder: Path) -> None:
    options = ("--max-questions", 2, "--acquisition", "random", "--seed", 7, "--user", "bo")
    done = prefq_("onboard", "--pool", pool_folder, *options, "--json", keys="1\n1\n")

    stored = load(done.json["session"]["id"])
    assert (stored.user_id, stored.seed) == ("bo", 7)
    assert (stored.settings.max_questions, stored.settings.acquisition) == (2, "random")


def test_sealed_round_by_script(prefq_: Prefq, pool_folder: Path) -> None:
    options = ("--max-questions", 2, "--sealed", "--json")
    done = prefq_("onboard", "--pool", pool_folder, *options, keys="1\n2\n" + "1\n" * 5 + "0\n")

    assert done.code == 0
    sealed = done.json["sealed"]
    predictions = [Prediction(**each) for each in sealed["predictions"]]
    assert seal_of(predictions) == sealed["digest"]
    assert done.err.count(sealed["digest"]) == 1
    assert f"My predictions are fixed. Their SHA-256:\n{sealed['digest']}\n" in done.err
    assert (sealed["n_questions"], sealed["n_decided"], sealed["group"]) == (6, 5, 2.5)
    assert sealed["profile"] == sum(each.profile > 0.5 for each in predictions[:5])
    assert "of 5 right, 1 undecided; a coin gets 2½" in sealed["sentence"]
    assert done.json["profile"]["n_answers"] == 8
    assert done.json["basis"] == "8 comparisons: 2 from the questions, 6 from the test"
    assert done.json["sentences"][0] == sealed["sentence"]


def answers_that_contradict(predictions: list[dict[str, Any]], n_wrong: int) -> str:
    """Keys that prove the first so many predictions wrong, and the others right."""
    right = ["1" if each["profile"] > 0.5 else "2" for each in predictions]
    wrong = ["2" if key == "1" else "1" for key in right]
    return "\n".join([*wrong[:n_wrong], *right[n_wrong:]])


@pytest.mark.parametrize(("n_wrong", "backed"), [(4, False), (3, False), (1, True)])
def test_a_test_goes_with_the_profile_wherever_it_goes(
    prefq_: Prefq, pool_folder: Path, n_wrong: int, backed: bool
) -> None:
    asked = ("onboard", "--pool", pool_folder, "--max-questions", 4, "--seed", 1)
    dry = prefq_(*asked, "--user", "dry", "--sealed", "--json", keys="1\n" * 10).json["sealed"]["predictions"]
    keys = "1\n" * 4 + answers_that_contradict(dry, n_wrong)
    told = prefq_(*asked, "--sealed", "--json", keys=keys).json["sealed"]["sentence"]

    assert ("did not bear it out" in told) is not backed
    assert ("treat it as a guess" in told) is not backed
    assert f"{6 - n_wrong} of 6 right" in told
    for form in ("prompt", "md"):
        assert told in prefq_("profile", "export", "--format", form).out
    assert prefq_("profile", "export", "--format", "json").err == f"{told}\n"
    assert prefq_("profile", "export", "--format", "json", "--json").json["sealed"]["sentence"] == told
    assert prefq_("profile", "show").out.splitlines()[1] == told
    shown = prefq_("profile", "show", "--json").json
    assert (shown["sealed"]["sentence"], shown["sentences"][0]) == (told, told)


@pytest.mark.parametrize("n_wrong", [5, 0])
def test_who_ranks_by_a_profile_that_failed_its_test_is_told_so(prefq_: Prefq, tmp_path: Path, n_wrong: int) -> None:
    asked = ("onboard", "--max-questions", 3, "--seed", 1, "--sealed", "--json")
    dry = prefq_(*asked, "--user", "dry", keys="1\n" * 9).json["sealed"]["predictions"]
    told = prefq_(*asked, keys="1\n" * 3 + answers_that_contradict(dry, n_wrong)).json["sealed"]["sentence"]
    ranked = prefq_("rank", "--prompt", "How do I fall asleep?", "-", "--json", keys="Walk.\nRead.\n")
    assert (ranked.code, len(ranked.json["responses"])) == (0, 2)
    assert ranked.err == (f"{told}\n" if n_wrong else "")


def test_an_unfinished_test_has_no_score(prefq_: Prefq, pool_folder: Path) -> None:
    options = ("--max-questions", 2, "--sealed", "--json")
    done = prefq_("onboard", "--pool", pool_folder, *options, keys="1\n2\n1\ns\n")

    assert (done.code, done.json["sealed"]) == (4, None)
    assert "from 3 comparisons: 2 from the questions, 1 from the test; 1 reply was" in prefq_("profile", "show").out


def test_each_session_draws_its_own_seed(prefq_: Prefq, pool_folder: Path) -> None:
    seeds, tests, options = set(), set(), ("--max-questions", 1, "--sealed", "--json")
    for user in "abcd":
        done = prefq_("onboard", "--pool", pool_folder, "--user", user, *options, keys="1\n" * 7).json
        seeds.add(done["session"]["seed"])
        tests.add(tuple(each["question_id"] for each in done["sealed"]["predictions"]))
    assert len(seeds) == len(tests) == 4
    assert load(prefq_("ask", "--pool", pool_folder, "--user", "e").json["session_id"]).seed not in seeds
    zero = prefq_("onboard", "--pool", pool_folder, "--user", "f", "--seed", 0, "--json")
    assert zero.json["session"]["seed"] == 0


def test_the_way_on_names_another_store(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "other.db"
    ended = prefq_("onboard", "--pool", pool_folder, "--user", "ada", "--store", store, "--json", keys="1\n")

    assert ended.err.endswith(f"Go on with: prefq onboard --user ada --store {store}\n")


def test_a_finished_session_can_be_tested_later(prefq_: Prefq, pool_folder: Path) -> None:
    first = prefq_("onboard", "--pool", pool_folder, "--max-questions", 2, "--json", keys="1\n2\n")
    named = ("--session", first.json["session"]["id"])
    later = prefq_("onboard", *named, "--sealed", "--json", keys="1\n" * 6)

    assert later.code == 0
    assert later.json["sealed"]["n_questions"] == 6
    again = prefq_("onboard", *named, "--sealed", "--json")
    assert again.json["sealed"] == later.json["sealed"]


def test_all_questions_asked_leaves_nothing_to_test_with(prefq_: Prefq, pool_folder: Path) -> None:
    done = prefq_("onboard", "--pool", pool_folder, "--max-questions", 50, "--sealed", "--json", keys="1\n" * 12)

    assert done.code == 0
    assert done.json["session"]["stopped"] == "every question of the pool has been asked."
    assert done.json["sealed"] is None
    assert "There was no test: no question of the pool is left to test with." in done.err


def test_why_names_axes_and_never_a_reply(prefq_: Prefq, pool_folder: Path) -> None:
    done = prefq_("onboard", "--pool", pool_folder, "--json", keys="?\n")

    told = next(line for line in done.err.splitlines() if line.startswith("Why this question"))
    assert any(axis in told for axis in ("brief–thorough", "neutral–warm", "serious–playful"))
    assert not any(word in told for word in ("first", "second", "prefer", "expect", "%"))


def test_ask_and_tell_step_by_step(prefq_: Prefq, pool_folder: Path) -> None:
    asked = prefq_("ask", "--pool", pool_folder, "--user", "ada", "--max-questions", 2)
    session, question = asked.json["session_id"], asked.json["question"]
    assert question["prompt"].startswith("Prompt number")
    assert prefq_("ask", "--user", "ada").json["question"] == question

    told = prefq_("tell", "--session", session, question["id"], "tie", "--seconds", 2.5, "--reason", "both fine")
    assert told.json["answer"] == {
        "question_id": question["id"],
        "choice": "tie",
        "seconds": 2.5,
        "reason": "both fine",
    }
    question = prefq_("ask", "--session", session).json["question"]
    assert prefq_("tell", "--session", session, question["id"], "first").json["n_answers"] == 2
    last = prefq_("ask", "--session", session).json
    assert last["question"] is None
    assert last["stopped"] == "the budget of 2 questions is used up."
    assert last["progress"]["minutes_left"] == 0
    assert prefq_("profile", "list", "--json").json["profiles"][0]["user_id"] == "ada"


def test_a_later_command_is_called_as_this_one_was_where_the_shell_would_not_find_it(
    prefq_: Prefq, pool_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def how_to_go_on() -> str:
        early = prefq_("onboard", "--pool", pool_folder, "--json", keys="")
        return str(early.err.splitlines()[-1].partition("with: ")[2])

    monkeypatch.setattr("sys.argv", [".venv/bin/prefq", "onboard"])  # as make onboard calls it
    monkeypatch.setenv("PATH", str(tmp_path))
    assert how_to_go_on() == ".venv/bin/prefq onboard"
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert how_to_go_on() == "prefq onboard"


@pytest.mark.usefixtures("empty_store")
def test_sessions_are_listed(prefq_: Prefq, pool_folder: Path) -> None:
    assert prefq_("sessions").err == "There are no sessions yet; begin one with prefq onboard.\n"
    prefq_("onboard", "--pool", pool_folder, "--user", "ada", "--max-questions", 1, "--json", keys="1\n")
    prefq_("onboard", "--pool", pool_folder, "--user", "bo", "--json", keys="1\n")

    rows = prefq_("sessions").out.splitlines()
    assert rows[0].split() == ["session", "user", "answers", "state", "last", "touched", "(UTC)", "pool"]
    assert [row.split()[1:4] for row in rows[1:]] == [["bo", "1", "unfinished"], ["ada", "1", "finished"]]
    assert prefq_("sessions", "--user", "q").err.startswith("There are no sessions of q; the store has ")
    assert prefq_("sessions", "--user", "q", "--json").json["sessions"] == []
    listed = prefq_("sessions", "--user", "ada", "--json").json["sessions"]
    assert [each["user_id"] for each in listed] == ["ada"]


def test_profile_is_exported_in_three_forms(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    prefq_("onboard", "--pool", pool_folder, "--json", keys="1\n" * 10)

    prompt = prefq_("profile", "export").out
    assert prompt.startswith("How this person likes answers to be written")
    assert prefq_("profile", "export", "--format", "md").out.startswith("# Preferences of me\n")
    file = tmp_path / "me.json"
    written = prefq_("profile", "export", "--format", "json", "--output", file)
    assert (written.code, written.out) == (0, "")
    assert prefq.load_profile(file).n_answers == 10
    refused = prefq_("profile", "export", "--output", file)
    assert (refused.code, prefq.load_profile(file).n_answers) == (2, 10)
    assert "--force to replace it" in refused.err
    assert prefq_("profile", "export", "--output", file, "--force").code == 0
    assert file.read_text() == prompt
    assert prefq_("profile", "export", "--json").json["content"] + "\n" == prompt


def test_profile_is_shown_in_words_without_a_terminal(prefq_: Prefq, pool_folder: Path) -> None:
    prefq_("onboard", "--pool", pool_folder, "--json", keys="1\n" * 10)

    shown = prefq_("profile", "show").out.splitlines()
    assert shown[0] == "Profile of me, from 10 comparisons."
    assert "no personal taste" in shown[1]
    assert len(shown) == 2 + 3 + 1  # a line for each axis, and what the numbers mean
    assert all(re.search(r"in about \d+ of 100 choices \(\d+ to \d+\)", line) for line in shown[2:5])
    assert "logits" not in " ".join(shown)
    assert not any(character in line for line in shown for character in "─━●┿│")


def test_profile_is_deleted_for_good(prefq_: Prefq, pool_folder: Path) -> None:
    prefq_("onboard", "--pool", pool_folder, "--user", "ada", "--json", keys="1\n" * 10)

    assert prefq_("profile", "delete", "--user", "ada").code == 2
    deleted = prefq_("profile", "delete", "--user", "ada", "--yes")
    assert (deleted.code, deleted.err) == (0, "Deleted 1 session(s) and the profiles of 'ada'.\n")
    assert prefq_("profile", "show", "--user", "ada").code == 3
    assert prefq_("profile", "delete", "--user", "ada", "--yes").code == 3


def test_texts_are_ranked(prefq_: Prefq, tmp_path: Path) -> None:
    prefq_("onboard", "--user", "ada", "--json", keys="1\n" * 10)
    (tmp_path / "long.txt").write_text("First, consider carefully what you wish to do. " * 8, encoding="utf-8")
    (tmp_path / "short.txt").write_text("Take a walk.", encoding="utf-8")
    files, asked = (tmp_path / "long.txt", tmp_path / "short.txt"), ("--user", "ada", "--prompt", "How do I relax?")

    ranked = prefq_("rank", *asked, *files, "--json").json["responses"]
    assert {each["source"] for each in ranked} == {str(file) for file in files}
    assert sum(each["probability_best"] for each in ranked) == pytest.approx(1)
    assert ranked[0]["mean"] >= ranked[1]["mean"]
    lines = prefq_("rank", *asked, "-", "--json", keys="Take a walk.\n\n[Read] a book.\n").json["responses"]
    assert {each["text"] for each in lines} == {"Take a walk.", "[Read] a book."}
    listed = prefq_("rank", *asked, "-", "--json", keys='["One.\\nTwo.", "Three."]').json["responses"]
    assert {each["text"] for each in listed} == {"One.\nTwo.", "Three."}
    table = prefq_("rank", *asked, "-", keys="\x1b[31mTake\x1b[0m [a] walk.\n").out
    assert table.splitlines()[1].endswith("Take [a] walk.")
    assert "\x1b" not in table


def test_pool_is_shown_and_validated(prefq_: Prefq, pool_folder: Path) -> None:
    shown = prefq_("pool", "show", pool_folder, "--json").json
    assert (shown["questions"], shown["items"], shown["prompts"]) == (12, 24, 12)
    assert shown["axes"] == ["brief–thorough", "neutral–warm", "serious–playful"]
    assert "brief–thorough, neutral–warm, serious–playful" in prefq_("pool", "show", pool_folder).out
    sound = prefq_("pool", "validate", pool_folder)
    assert (sound.code, sound.err) == (0, "")
    assert " is sound: 12 questions, digest " in sound.out


def test_validation_notes_what_may_surprise(prefq_: Prefq, tmp_path: Path) -> None:
    features = [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [2.0, 1.0]]
    pool = prefq.CandidatePool.from_arrays(features, [[0, 1], [1, 0], [1, 2], [2, 3]])
    pool.save(tmp_path / "odd")

    notes = prefq_("pool", "validate", tmp_path / "odd").err.splitlines()
    assert notes == [
        "Note: 1 repeated pair(s) were dropped when the pool was made.",
        "Note: 1 pair(s) of items with equal features were dropped when the pool was made.",
        "Note: no question differs in x1; nothing can be learned about it.",
        "Note: the pool has no texts; prefq onboard would show empty responses.",
        "Note: the pool names no prompts; the rule that spreads questions over prompts does not apply.",
    ]


def test_version(prefq_: Prefq) -> None:
    assert prefq_("--version").out == f"prefq {prefq.__version__}\n"


def load(session_id: str) -> prefq.Session:
    """A session from the store of this test."""
    import os

    from prefq.storage.sql import SqlStore

    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        return store.load_session(session_id)
