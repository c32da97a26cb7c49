"""prefq data: a log becomes a folder of comparisons, and what was wrong with it is said."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from prefq.rewards.logs import load_comparisons

Prefq = Any  # the fixture of conftest.py
NO_ID = {"user_id": "", "prompt": "Well?", "response_a": "Yes.", "response_b": "No.", "choice": "a"}


def rows(n_users: int = 30, n_prompts: int = 25) -> list[dict[str, str]]:
    return [
        {
            "user_id": f"u{user}",
            "prompt": f"Prompt {prompt}?",
            "response_a": f"Answer {user} to {prompt}.",
            "response_b": "The same to everybody.",
            "choice": "ab"[(user + prompt) % 2],
        }
        for user in range(n_users)
        for prompt in range(n_prompts)
    ]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows(), NO_ID]))
    return path


def test_import_then_show(prefq_: Prefq, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "comparisons"
    told = prefq_("data", "import", log, "--out", out)
    assert told.code == 0, told.err
    assert "log.jsonl: 751 rows of pairs, 750 of them usable." in told.out
    assert "Dropped 1 row: no user_id (row 751 of log.jsonl)." in told.out
    assert f"prefq data show {out}" in told.err

    found = load_comparisons(out)
    assert found.group.n_comparisons == 750
    shown = prefq_("data", "show", out, "--plain")
    assert shown.code == 0, shown.err
    assert shown.out.startswith(told.out)
    first = found.train[0]
    assert found.group.user_ids[found.group.users[first]] in shown.out
    as_json = prefq_("data", "show", out, "--json").json
    assert as_json["report"] == json.loads(json.dumps(found.report.to_dict()))
    assert as_json["report"]["parts"]["train"] == len(found.train)
    assert [each["second"] for each in as_json["examples"]] == ["The same to everybody."] * 3


def test_json_of_an_import_is_that_of_show(prefq_: Prefq, log: Path, tmp_path: Path) -> None:
    imported = prefq_("data", "import", log, "--out", tmp_path / "out", "--seed", 3, "--json").json
    shown = prefq_("data", "show", tmp_path / "out", "--json").json

    assert imported["report"]["seed"] == 3
    assert imported == {name: value for name, value in shown.items() if name != "examples"}


def test_columns_and_choices_of_other_names(prefq_: Prefq, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("who,question,x,y,label\n" + "".join(f"u{n},q,x{n},y{n},{n % 2}\n" for n in range(12)))
    names = ("user_id=who", "prompt=question", "response_a=x", "response_b=y", "choice=label")
    columns = [word for name in names for word in ("--column", name)]
    told = prefq_("data", "import", log, "--out", tmp_path / "out", *columns)
    assert (told.code, told.out) == (2, "")
    assert "leaves open which number is which response" in told.err
    choices = ("--choice", "0=first", "--choice", "1=second")
    told = prefq_("data", "import", log, "--out", tmp_path / "out", *columns, *choices)
    assert told.code == 0, told.err
    assert load_comparisons(tmp_path / "out").group.outcomes.tolist() == [1, -1] * 6


def test_ratings_and_their_options(prefq_: Prefq, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    lines = [f"u{user},p,r{n},{n // 2}" for user in range(3) for n in range(6)]
    log.write_text("\n".join(["user_id,prompt,response,rating", *lines]))
    options = ("--equal-ratings", "tie", "--most-pairs", 100, "--rating-strengths", "--json")
    report = prefq_("data", "import", log, "--out", tmp_path / "out", *options).json["report"]

    assert (report["n_comparisons"], report["n_ties"]) == (3 * 15, 3 * 3)
    strengths = load_comparisons(tmp_path / "out").group.strengths
    assert strengths is not None
    assert sorted(set(strengths[strengths == strengths].tolist())) == [0.5, 1.0]
    default = prefq_("data", "import", log, "--out", tmp_path / "other", "--json").json["report"]
    assert default["n_comparisons"] == 3 * 10
    assert {reason: each["count"] for reason, each in default["left_out"].items()} == {
        "equally rated": 9,
        "more than the most comparisons a set": 6,
    }


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ({"choice": "better", "user_id": "ada"}, ()),
        ({"annotator": "ada", "winner": "model_a"}, ()),
        ({"choice": 0, "user_id": "ada"}, ()),
        ({"choice": -1, "user_id": "ada"}, ()),
        ({"Query": "Well?", "user_id": "ada", "choice": "a", "prompt": None}, ()),
        ({"user_id": "ada", "worse": "No way."}, {"chosen": "response_a", "rejected": "worse"}),
        ({"user_id": "ada", "liked": 3}, {"response": "response_a", "rating": "liked"}),
    ],
)
def test_options_that_a_message_names_mend_what_it_is_about(
    prefq_: Prefq, tmp_path: Path, line: dict[str, Any], given: dict[str, str]
) -> None:
    texts = {"prompt": "Well?", "response_a": "Yes.", "response_b": "No."}
    lines = [texts | line, texts | line | {"response_a": "Why not."} | ({"liked": 2} if "liked" in line else {})]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    command = ("data", "import", tmp_path / "log.jsonl", "--out", tmp_path / "out")
    told = prefq_(*command)
    assert told.code == 2
    options = re.findall(r"(--column|--choice) ([\w-]+)=(\w+)", told.err)
    if given:
        options = [(option, ours, given[ours]) for option, ours, _ in options if ours in given]
    options = [(option, f"{name}={value}") for option, name, value in options if value != "NAME"]
    again = prefq_(*command, *(word for pair in options for word in pair))
    assert (again.code, len(options) > 0) == (0, True), again.err


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (("--column", "user_id"), 2, "--column is 'user_id'; give OURS=THEIRS, each name once"),
        (("--choice", "a=best"), 2, "choice is 'best'; give one of"),
        (("--equal-ratings", "both"), 2, "--equal-ratings is 'both'; give 'drop' or 'tie'"),
        (("--items", "none.csv"), 3, "there is no file or folder 'none.csv'"),
        (("--dataset-split", "train"), 2, "is no folder of datasets"),
    ],
)
def test_bad_options_write_nothing(
    prefq_: Prefq, log: Path, tmp_path: Path, options: tuple[str, ...], code: int, reason: str
) -> None:
    told = prefq_("data", "import", log, "--out", tmp_path / "out", *options)

    assert (told.code, told.out) == (code, "")
    assert reason in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_what_is_there_is_replaced_only_where_it_is_said(prefq_: Prefq, log: Path, tmp_path: Path) -> None:
    assert prefq_("data", "import", log, "--out", tmp_path / "out").code == 0
    again = prefq_("data", "import", log, "--out", tmp_path / "out", "--seed", 1)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert prefq_("data", "import", log, "--out", tmp_path / "out", "--seed", 1, "--force").code == 0
    assert load_comparisons(tmp_path / "out").report.seed == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    foreign = prefq_("data", "import", log, "--out", tmp_path / "mine", "--force")
    assert (foreign.code, "'thesis.txt', which is no part of comparisons" in foreign.err) == (2, True)


def test_what_is_strange_is_a_warning(prefq_: Prefq, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row | {"user_id": "ada"}) + "\n" for row in rows(1)))
    told = prefq_("data", "import", log, "--out", tmp_path / "out")

    assert told.code == 0
    assert "Warning: there is one user only" in told.err
    assert "Warning: there is one user only" in prefq_("data", "show", tmp_path / "out").err


@pytest.mark.skipif(sys.platform == "win32", reason="a signal as a terminal sends it")
def test_an_interrupted_import_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,prompt,response_a,response_b,choice\n" + "u,p,a,b,a\n" * 400_000)
    program = "from prefq_cli.app import main; main()"
    command = [sys.executable, "-c", program, "data", "import", str(log), "--out", str(tmp_path / "out")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".prefq-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)

    assert running.returncode == 130, err
    assert "Interrupted: nothing was written." in err
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
