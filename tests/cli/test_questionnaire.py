"""A questionnaire on paper, and its answers read back: nothing is lost, and nothing wrong gets in."""

import json
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.storage.sql import SqlStore
from prefq_cli.questionnaire.answers import choices_of
from prefq_cli.questionnaire.paper import html_sheet, text_sheet

Prefq = Any  # the fixture of conftest.py
OF_MANY = """\
User;1;2;3;4;5;remarks
ada;a;b;=;x;-;in a hurry
bob;a;b;c;a;a;
;a;a;a;a;a;
ada;b;b;b;b;b;

cyd;;;;;;
dan;A;B;first;tie;both_bad;
eve;a;a;a;a;a;;a
"""
FIRST, SECOND, TIE, BAD, SKIP = (prefq.Choice(each) for each in ("first", "second", "tie", "both_bad", "skip"))


@pytest.fixture
def sheets(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> Path:
    """A questionnaire of five questions."""
    made = prefq_("pool", "questionnaire", pool_folder, "--n", 5, "--out", tmp_path / "sheets")
    assert made.code == 0, made.err
    return tmp_path / "sheets"


def store() -> SqlStore:
    return SqlStore.open(os.environ["PREFQ_STORE"])


def table(folder: Path, text: str) -> Path:
    path = folder / "filled.csv"
    path.write_text(text, encoding="utf-8")
    return path


class Texts(HTMLParser):
    """The texts of a page, and the names of what it would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.loads: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [tag] if tag in {"script", "link", "img", "iframe"} else []
        self.loads += [name for name, _ in attrs if name in {"src", "href"}]


def test_a_questionnaire_is_the_one_that_python_designs(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    made = prefq_("pool", "questionnaire", pool_folder, "--n", 4, "--seed", 3, "--out", tmp_path / "s", "--json").json
    questions = prefq.design_questionnaire(prefq.load_pool(pool_folder), n_questions=4, seed=3)

    assert made["questions"] == [question.id for question in questions]
    stored = json.loads((tmp_path / "s" / "questionnaire.json").read_text(encoding="utf-8"))
    assert stored["questions"] == made["questions"]
    assert stored["pool_digest"] == prefq.load_pool(pool_folder).digest()
    assert (tmp_path / "s" / "answers.csv").read_text(encoding="utf-8") == "user,1,2,3,4\n"
    for name in ("sheet.html", "sheet.txt"):
        sheet = (tmp_path / "s" / name).read_text(encoding="utf-8")
        assert made["questionnaire"] in sheet
        assert all(text in sheet for q in questions for text in (q.prompt, q.first.text, q.second.text))
        places = [sheet.index(question.prompt) for question in questions]
        assert places == sorted(places)


def test_a_page_needs_nothing_else_and_shows_texts_as_they_are() -> None:
    strange = "<script>alert(1)</script> & \x1b[2J\u202eabc\nsecond line"
    pool = prefq.CandidatePool.from_arrays(
        [[0.0], [1.0]], [[0, 1]], prompts=["Is 1 < 2?"] * 2, responses=[strange, "שלום"]
    )
    page = Texts()
    page.feed(html_sheet([pool.question("0-1")], "abc"))

    assert page.loads == []
    assert "<script>alert(1)</script> & abc\nsecond line" in page.texts
    assert "1. Is 1 < 2?" in page.texts
    assert "\x1b" not in text_sheet([pool.question("0-1")], "abc")


def test_lines_of_the_plain_sheet_fit_a_narrow_page(sheets: Path) -> None:
    lines = (sheets / "sheet.txt").read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= 78
    assert sum(line.startswith("[ ] A") for line in lines) == 5


def test_answers_become_a_session_and_a_profile(prefq_: Prefq, sheets: Path, pool_folder: Path) -> None:
    done = prefq_("pool", "answers", sheets, "--user", "ada", "--answers", "1a 2B, 3= 5x", "--json")

    assert done.code == 0, done.err
    asked = json.loads((sheets / "questionnaire.json").read_text(encoding="utf-8"))["questions"]
    with store() as opened:
        session = opened.load_session(done.json["stored"][0]["session_id"])
        profile = opened.load_profile("ada")
    assert [(each.question_id, each.choice) for each in session.answers] == list(
        zip(asked, (FIRST, SECOND, TIE, SKIP, BAD), strict=True)
    )
    assert session.state.stopped == f"questionnaire {done.json['questionnaire']} of 5 questions was handed in."
    own = prefq.fit_profile(prefq.load_pool(pool_folder), session.answers, user_id="ada")
    assert profile.n_answers == own.n_answers == 3
    assert profile.coefficients == own.coefficients
    assert prefq_("profile", "show", "--user", "ada").code == 0


def test_a_table_keeps_good_rows_and_reports_the_others(prefq_: Prefq, sheets: Path) -> None:
    done = prefq_("pool", "answers", sheets, table(sheets, OF_MANY), "--json")

    assert done.code == 2
    assert [(each["user_id"], each["n_answers"]) for each in done.json["stored"]] == [("ada", 4), ("dan", 5)]
    assert {each["line"]: each["problem"] for each in done.json["refused"]} == {
        3: "question 3 is answered 'c'; give a, b, = (about the same), x (both bad), or - (no answer).",
        4: "the row names no user; give whose answers they are.",
        5: "'ada' has a row already, line 2; keep one of them.",
        7: "no question is answered; leave this sheet out.",
        9: "the row has 8 cells and the heading 7; put it right.",
    }
    assert done.err.splitlines()[-1] == "5 sheets were not taken, 2 were; mend what is wrong and give the same again."
    assert done.err.splitlines()[0].startswith("Not taken, line 3: question 3 is answered 'c'")


def test_a_mended_table_is_read_again_without_harm(prefq_: Prefq, sheets: Path) -> None:
    bad = prefq_("pool", "answers", sheets, table(sheets, "user,answers\nada,1a 2b\nbob,1a 1b\n"), "--json")
    good = prefq_("pool", "answers", sheets, table(sheets, "user,answers\nada,1a 2b\nbob,1a 2b\n"), "--json")
    other = prefq_("pool", "answers", sheets, table(sheets, "user,answers\nada,1b 2b\n"), "--json")

    assert bad.json["refused"][0]["problem"] == "question 1 is answered twice; give one answer to each."
    assert [each["user_id"] for each in good.json["stored"]] == ["bob"]
    assert [each["user_id"] for each in good.json["already_stored"]] == ["ada"]
    assert other.code == 2
    assert other.json["refused"][0]["problem"].startswith("other answers of 'ada' to this questionnaire are stored")
    with store() as opened:
        assert len(opened.list_sessions()) == 2
        (kept,) = opened.list_sessions("ada")
        assert [each.choice for each in opened.load_session(kept.id).answers] == [FIRST, SECOND, SKIP, SKIP, SKIP]


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect needs a POSIX terminal")
def test_answers_are_typed_in_and_a_slip_is_asked_again(sheets: Path) -> None:
    import pexpect

    code = "from prefq_cli.app import main; main()"
    child = pexpect.spawn(
        sys.executable, ["-c", code, "pool", "answers", str(sheets)], encoding="utf-8", timeout=30, dimensions=(24, 120)
    )
    for name, line in (("ada", "1a 9b"), ("ada", "1a 2b"), ("bob", "5x"), ("", None)):
        child.expect("Name or code:")
        child.sendline(name)
        if line is not None:
            child.expect("Answers, such as 1a 2b 3=:")
            child.sendline(line)
        if line == "1a 9b":
            child.expect("Not taken: there is no question 9 on this sheet; it has questions 1 to 5.")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    with store() as opened:
        assert {each.user_id for each in opened.list_sessions()} == {"ada", "bob"}


def test_a_table_may_come_from_standard_input(prefq_: Prefq, sheets: Path) -> None:
    done = prefq_("pool", "answers", sheets, "-", keys="user,answers\nada,1a 2b 3a 4a 5b\n")
    assert done.code == 0
    assert re.fullmatch(r"ada: 5 of 5 answered; session sheet-\w{8}-\w{8}\n", done.out)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1a 6b", "there is no question 6 on this sheet; it has questions 1 to 5."),
        ("0a", "there is no question 0 on this sheet; it has questions 1 to 5."),
        ("1a 2", "'2' is no answer; write each as number and code, such as 1a 2b 3=."),
        ("a b", "'a' is no answer; write each as number and code, such as 1a 2b 3=."),
        ("1a 2q", "question 2 is answered 'q'; give a, b, = (about the same), x (both bad), or - (no answer)."),
        ("", "no question is answered; leave this sheet out."),
        ("1- 2-", "no question is answered; leave this sheet out."),
    ],
)
def test_a_line_that_is_none_is_refused_in_one_sentence(prefq_: Prefq, sheets: Path, line: str, problem: str) -> None:
    done = prefq_("pool", "answers", sheets, "--user", "ada", "--answers", line)
    assert (done.code, done.err) == (2, f"Error: {problem}\n")
    with store() as opened:
        assert opened.list_sessions() == []


def test_code_lines_are_read_as_people_write_them() -> None:
    assert choices_of("1a2b3=", 4) == choices_of(" 3. =; 2) B, 1: A ", 4) == (FIRST, SECOND, TIE, SKIP)


@pytest.mark.parametrize(
    ("heading", "problem"),
    [
        ("name,1,2,3,4,5", "it needs a column 'user', and no name twice"),
        ("user,1,2,2,4,5", "it needs a column 'user', and no name twice"),
        ("user,1,2,3,4", "columns for questions 1, 2, 3, 4; give a column 'answers'"),
        ("user,1,2,3,4,5,6", "one for each question, 1 to 5."),
        ("user,remarks", "columns for questions none; give a column 'answers'"),
    ],
)
def test_a_table_with_another_heading_is_refused(prefq_: Prefq, sheets: Path, heading: str, problem: str) -> None:
    done = prefq_("pool", "answers", sheets, table(sheets, f"{heading}\nada,a,a,a,a,a\n"))
    assert done.code == 2
    assert problem in done.err


def test_answers_to_another_questionnaire_are_refused(prefq_: Prefq, sheets: Path) -> None:
    rows = "user,questionnaire,answers\nada,ffffffff,1a\n"
    done = prefq_("pool", "answers", sheets, table(sheets, rows), "--json")
    assert "the sheet is of questionnaire ffffffff, not" in done.json["refused"][0]["problem"]


def test_another_pool_is_refused(prefq_: Prefq, sheets: Path) -> None:
    done = prefq_("pool", "answers", sheets, "--user", "ada", "--answers", "1a", "--pool", "starter")
    assert done.code == 5
    assert "was made from another pool" in done.err
    assert "give that one with --pool" in done.err


def test_a_pool_that_was_moved_is_found_where_it_is_said_to_be(
    prefq_: Prefq, sheets: Path, pool_folder: Path, tmp_path: Path
) -> None:
    elsewhere = pool_folder.rename(tmp_path / "elsewhere")
    lost = prefq_("pool", "answers", sheets, "--user", "ada", "--answers", "1a")
    found = prefq_("pool", "answers", sheets, "--user", "ada", "--answers", "1a", "--pool", elsewhere)
    assert (lost.code, found.code) == (3, 0)


def test_a_changed_questionnaire_is_refused(prefq_: Prefq, sheets: Path) -> None:
    file = sheets / "questionnaire.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**data, "questions": data["questions"][::-1]}), encoding="utf-8")
    done = prefq_("pool", "answers", sheets, "--user", "ada", "--answers", "1a")
    assert (done.code, "was changed after it was written" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("answers", "nowhere"), 3, "there is no questionnaire 'nowhere'"),
        (("answers", "{sheets}"), 2, "standard input is not a terminal"),
        (("answers", "{sheets}", "--user", "ada"), 2, "--user NAME with --answers LINE"),
        (("answers", "{sheets}", "nowhere.csv"), 3, "there is no table 'nowhere.csv'"),
        (("questionnaire", "{pool}", "--out", "{sheets}"), 2, "is not empty; give a new one"),
        (("questionnaire", "{pool}", "--out", "{sheets}/x", "--n", 13), 2, "the pool has 12 questions"),
        (("questionnaire", "{pool}", "--out", "{sheets}/x", "--prior", "nowhere.json"), 3, "there is no prior"),
        (("questionnaire", "{pool}", "--out", "{sheets}/x", "--prior", "{sheets}/answers.csv"), 2, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(
    prefq_: Prefq, sheets: Path, pool_folder: Path, arguments: tuple[object, ...], code: int, problem: str
) -> None:
    filled = [str(each).format(sheets=sheets, pool=pool_folder) for each in arguments]
    done = prefq_("pool", *filled)
    assert done.code == code
    assert problem in done.err


def test_a_pool_without_texts_is_not_printed(prefq_: Prefq, tmp_path: Path) -> None:
    prefq.CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]]).save(tmp_path / "mute")
    done = prefq_("pool", "questionnaire", tmp_path / "mute", "--n", 1, "--out", tmp_path / "s")
    assert (done.code, "has no texts to print" in done.err) == (2, True)
    assert not (tmp_path / "s").exists()


def test_a_prior_from_a_file_decides_what_is_asked(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    pool = prefq.load_pool(pool_folder)
    prior = prefq.PopulationPrior(
        prefq.Gaussian([0.0, 0.0, 1.0], [[1e-6, 0, 0], [0, 1e-6, 0], [0, 0, 4.0]]), pool.feature_space, n_users=40
    )
    (tmp_path / "prior.json").write_text(json.dumps(prior.to_dict()), encoding="utf-8")
    options = ("--n", 3, "--prior", tmp_path / "prior.json", "--out", tmp_path / "s", "--json")
    made = prefq_("pool", "questionnaire", pool_folder, *options).json
    expected = prefq.design_questionnaire(pool, prior=prior, n_questions=3)
    assert made["questions"] == [question.id for question in expected]
    assert made["prior"] == prior.digest()


def test_profiles_of_sheets_begin_with_the_prior_that_the_questionnaire_was_made_with(
    prefq_: Prefq, sheets: Path, pool_folder: Path, tmp_path: Path
) -> None:
    space = prefq.load_pool(pool_folder).feature_space
    prior = prefq.PopulationPrior(prefq.Gaussian([2.0, 0.0, -1.0], np.diag([1.0, 0.1, 2.0])), space, n_users=9)
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(prior.to_dict()), encoding="utf-8")
    own = tmp_path / "my sheets"
    made = prefq_("pool", "questionnaire", pool_folder, "--n", 5, "--out", own, "--prior", path)
    assert made.out.endswith(f"then: prefq pool answers '{own}' '{own}/answers.csv' --prior {path}\n")
    line = ("--answers", "1a 2b 3= 4a 5b")
    for folder, user, options, way in (
        (own, "ada", (), "give that one with --prior FILE."),
        (sheets, "bob", ("--prior", path), "leave --prior out."),
    ):
        sheet = ("pool", "answers", folder, *line, "--user", user)
        right = next(each for each in ((), ("--prior", path)) if each != options)
        for _ in range(2):  # before and after the answers are stored
            refused = prefq_(*sheet, *options)
            assert (refused.code, refused.out, refused.err.count("\n")) == (5, "", 1)
            assert "was made with another prior (" in refused.err
            assert refused.err.endswith(f"; {way}\n")
            assert prefq_(*sheet, *right).code == 0
    with store() as opened:
        assert opened.load_profile("ada").prior == prior
        assert opened.load_profile("bob").prior == prefq.load_pool(pool_folder).starting_point()
    other = dict(prior.to_dict(), feature_space=prefq.FeatureSpace(["a", "b", "c"]).to_dict())
    path.write_text(json.dumps(other), encoding="utf-8")
    refused = prefq_("pool", "answers", own, *line, "--user", "cyd", "--prior", path)
    assert (refused.code, "the prior belongs to another feature space" in refused.err) == (5, True)
