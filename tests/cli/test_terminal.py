"""Single keys on a real terminal: what is read, what is drawn, and that everything is kept and left in order."""

import os
import re
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from prefq.storage.sql import SqlStore

PROGRAM = ["-c", "from prefq_cli.app import main; main()", "onboard"]
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])")
Terminal = Callable[..., Any]


@pytest.fixture
def terminal(pool_folder: Path) -> Iterator[Terminal]:
    """Starts prefq onboard on a terminal of its own."""
    started: list[Any] = []

    def start(*arguments: object, columns: int = 120, rows: int = 40) -> Any:
        options = [*PROGRAM, "--pool", str(pool_folder), *map(str, arguments)]
        child = pexpect.spawn(sys.executable, options, dimensions=(rows, columns), encoding="utf-8", timeout=20)
        child.delaybeforesend = None
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def end(child: Any) -> int:
    """Wait for the end; the exit code."""
    child.expect(pexpect.EOF)
    child.wait()
    return int(child.exitstatus)


def choices() -> list[str]:
    """Answers of the one session in the store."""
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        (only,) = store.list_sessions()
        return [answer.choice.value for answer in store.load_session(only.id).answers]


def test_a_goal_that_was_not_reached_is_told(terminal: Terminal) -> None:
    child = terminal("--stop", "settled", "--sure", 0.95, "--max-questions", 3, "--no-sealed", "--plain")
    for number in (1, 2, 3):
        child.expect(f"{number} of at most 3")
        child.expect("Your choice")
        child.send("1")
    child.expect(r"budget of 3 questions is used up\.\s\d\d% of pairs expected the wrong way round, 5% may be\.")
    assert end(child) == 0


def test_every_key_works_without_enter(terminal: Terminal) -> None:
    child = terminal("--max-questions", 4)
    child.expect("1 of 4")
    child.expect("Which of the two would you rather get")
    for key, then in (("1", "2 of 4"), ("2", "3 of 4"), ("0", "4 of 4"), ("s", "4 of 4"), ("?", "Why this question")):
        child.send(key)
        child.expect(then)
    child.send("u")
    child.expect("Undone")
    child.send("b")
    child.expect("Test what I learned")
    child.send("n")
    child.expect("from 3 comparisons; 1 reply was both bad or skip")
    child.expect("cannot tell yet")
    child.expect("Answering took [0-9]+ s for 4 answers")

    assert end(child) == 0
    assert choices() == ["first", "second", "tie", "both_bad"]


def test_why_is_put_away_by_a_second_press(terminal: Terminal) -> None:
    child = terminal()
    child.expect("1 of 10")
    child.send("?")
    child.expect("Why this question")
    child.send("?")
    child.expect("save and quit")
    assert "Why this question" not in child.before
    child.send("q")
    assert end(child) == 4


def test_q_saves_and_the_same_command_goes_on(terminal: Terminal) -> None:
    child = terminal()
    child.expect("1 of 10")
    child.send("1")
    child.expect("2 of 10")
    child.send("Q")
    child.expect("Ended early: 1 answer saved. Go on with: prefq onboard\r\n")
    assert end(child) == 4

    child = terminal()
    child.expect("2 of 10")
    child.expect("Welcome back: 1 answer kept")
    child.sendcontrol("d")
    assert end(child) == 4
    assert choices() == ["first"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_keeps_everything(terminal: Terminal, how: int) -> None:
    child = terminal("--user", "o k")
    child.expect("1 of 10")
    child.send("2")
    child.expect("2 of 10")
    if how == signal.SIGINT:
        child.sendcontrol("c")
    else:
        child.kill(how)
    child.expect("Interrupted: 1 answer saved. Go on with: prefq onboard --user 'o k'\r\n")

    assert end(child) == 130
    assert choices() == ["second"]


def test_the_terminal_is_left_as_it_was(terminal: Terminal) -> None:
    child = terminal()
    child.expect("1 of 10")
    within = termios.tcgetattr(child.child_fd)[3]
    child.send("q")
    child.expect("Ended early")

    assert not within & termios.ICANON
    assert not within & termios.ECHO
    assert termios.tcgetattr(child.child_fd)[3] & termios.ICANON
    assert "\x1b[?1049l" in child.before  # back from the alternate page, with the cursor
    assert "\x1b[?25h" in child.before


def test_arrows_and_other_sequences_answer_nothing(terminal: Terminal) -> None:
    child = terminal()
    child.expect("1 of 10")
    child.send("\x1b[A\x1b[1;5C\x1bOP\x1b1\x1b[200~é")
    child.send("x")
    child.expect("Keys: 1, 2, 0, b, s, u, \\?, q")
    child.send("u")
    child.expect("There is nothing to undo")
    child.send("q")

    assert end(child) == 4
    assert choices() == []


def test_a_second_press_does_not_answer_the_next_question(terminal: Terminal) -> None:
    child = terminal()
    child.expect("1 of 10")
    child.send("11")
    child.expect("2 of 10")
    child.send("2")
    child.expect("3 of 10")
    child.send("q")

    assert end(child) == 4
    assert choices() == ["first", "second"]


def test_a_new_size_is_drawn(terminal: Terminal) -> None:
    child = terminal(columns=120)
    child.expect("1 of 10")
    child.expect("save and quit")
    child.setwinsize(30, 50)
    child.expect("1 of 10")
    child.expect("save and quit")
    child.send("q")

    assert end(child) == 4


def test_ctrl_z_leaves_and_comes_back(terminal: Terminal) -> None:
    child = terminal()
    child.expect("save and quit")
    child.kill(signal.SIGTSTP)
    child.expect(r"\x1b\[\?1049l")
    child.kill(signal.SIGCONT)
    child.expect("save and quit")
    child.send("1")
    child.expect("2 of 10")
    child.send("q")

    assert end(child) == 4


def test_sealed_round_on_the_terminal(terminal: Terminal) -> None:
    child = terminal("--max-questions", 1)
    child.expect("1 of 1")
    child.send("1")
    child.expect("Test what I learned")
    child.send("u")
    child.expect("Undone")
    child.send("2")
    child.expect("Test what I learned")
    child.send("y")
    child.expect("test 1 of 6")
    child.expect(r"Their SHA-256:\s+([0-9a-f]{64})")
    seal = child.match.group(1)
    child.send("u")
    child.expect("The predictions rest on earlier answers")
    child.send("?")
    child.expect("drawn at random")
    for i in range(2, 7):
        child.send("1")
        child.expect(f"test {i} of 6")
    child.send("2")
    child.expect("from 7 comparisons: 1 from the questions, 6 from the test")
    child.expect(r"A test of this profile.*[0-9½]+ of 6 right; a coin gets 3")
    child.expect("prefq profile show --json")

    assert end(child) == 0
    assert seal not in child.before
    assert choices() == ["second", *["first"] * 5, "second"]


def test_an_interrupted_offer_goes_on_by_its_session(terminal: Terminal) -> None:
    child = terminal("--max-questions", 1)
    child.expect("1 of 1")
    child.send("1")
    child.expect("Test what I learned")
    child.sendcontrol("c")
    child.expect("Go on with: prefq onboard --session 20")  # the user's next session would be a new one

    assert end(child) == 130


def test_a_seal_is_broken_in_halves_where_it_must(terminal: Terminal) -> None:
    child = terminal("--max-questions", 1, "--sealed", columns=50)
    child.expect("1 of 1")
    child.send("1")
    child.expect(r"Their SHA-256:\s+[0-9a-f]{32}\s+[0-9a-f]{32}\s")
    child.send("q")

    assert end(child) == 4


@pytest.mark.parametrize("options", [["--plain"], []])
def test_plain_moves_no_cursor(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.setenv("TERM", "xterm-256color" if options else "dumb")
    child = terminal(*options, "--max-questions", 1)
    child.expect("Your choice\\? 1 first, 2 second")
    before = child.before
    for _ in range(2):  # what was written has passed, and may be wanted again
        child.send("?")
        child.expect("Why this question")
        child.expect("Your choice\\?\r\n")
    child.send("1")
    child.expect("Saved: first.")
    child.expect("undo the last answer")
    child.send("n")
    child.expect("Profile of me, from 1 comparison.")
    assert end(child) == 0

    shown = before + child.before
    assert "\x1b" not in shown
    assert not any(character in shown for character in "─━●│┿")


def test_no_color_keeps_the_layout(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    child = terminal()
    child.expect("save and quit")

    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", child.before)
    assert "─" in child.before


def test_forty_columns_hold_every_line(terminal: Terminal) -> None:
    child = terminal(columns=40, rows=12)
    child.expect("page 1 of ")
    child.expect("save and quit")
    child.send(" ")
    child.expect("page 2 of ")
    child.send("q")
    child.expect("Ended early")
    lines = ESCAPES.sub("", child.before).replace("\r", "").split("\n")

    assert max(map(len, lines)) <= 40
    assert end(child) == 4


def test_a_choice_waits_until_both_responses_were_shown(terminal: Terminal) -> None:
    child = terminal("--max-questions", 2, columns=40, rows=9)
    child.expect("page 1 of")
    child.send("1")
    child.expect("has not been shown yet")
    child.send("s")  # to skip, nothing needs to be read
    child.expect("page 1 of")
    child.send("2")
    child.expect("has not been shown yet")
    assert choices() == ["skip"]
    child.send("\t")
    child.expect("page [2-9]")
    child.send("2")
    child.expect("2 of 2")
    assert choices() == ["skip", "second"]


def test_json_on_a_terminal_asks_there_and_prints_one_object(terminal: Terminal, tmp_path: Path) -> None:
    child = terminal("--max-questions", 1, "--no-sealed", "--json")
    child.expect("1 of 1")
    child.send("1")
    child.expect('"schema_version": 1')
    child.expect('"status": "finished"')

    assert end(child) == 0
