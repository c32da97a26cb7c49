"""prefq onboard --stated: axes on the command line, sliders over a pipe and on a terminal, and what is refused."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import prefq
from prefq.storage.sql import SqlStore
from prefq_cli.sliders import moved, slider_page, sliders_of

Prefq = Any  # the fixture of conftest.py
SPACE = prefq.FeatureSpace(("thorough", "warm"), opposites=("brief", ""))


def stated() -> dict[str, float]:
    """What was stated in the one session in the store."""
    with SqlStore.open(os.environ["PREFQ_STORE"]) as store:
        (only,) = store.list_sessions()
        found = store.load_session(only.id).state.stated
        return dict(found.positions) if found else {}


def test_axes_on_the_command_line_are_heard_and_told(prefq_: Prefq, pool_folder: Path) -> None:
    done = prefq_("onboard", "--pool", pool_folder, "--stated", "brief=1,warm=0.5", "--json", keys="1\n2\n" * 5)

    assert done.code == 0
    assert done.json["session"]["stated"] == {"thorough": -1.0, "warm": 0.5}
    assert done.json["stated"][0] == "You said beforehand: much more brief; more warm."
    assert done.json["profile"]["stated"]["names"] == ["thorough", "warm"]
    shown = prefq_("profile", "show").out
    assert "You said beforehand: much more brief; more warm.\nYour answers alone " in shown


def test_sliders_over_a_pipe(prefq_: Prefq, pool_folder: Path) -> None:
    keys = ["left", "left", "down", "0", "down", "right", "down", "enter", "1", "q"]
    done = prefq_("onboard", "--pool", pool_folder, "--stated", "--json", keys="\n".join(keys))

    assert done.code == 4
    assert stated() == {"thorough": -1.0, "warm": 0.0, "playful": 0.5}
    assert "neutral–warm: not said." in done.err
    assert "At serious–playful: more playful." in done.err
    again = prefq_("onboard", "--pool", pool_folder, "--stated", "--json", keys="x\nenter\nq\n")
    assert again.code == 4
    assert "brief–thorough: much more brief." in again.err
    assert stated() == {"warm": 0.0, "playful": 0.5}


def test_saying_nothing_keeps_what_was_said_and_quitting_loses_nothing(prefq_: Prefq, pool_folder: Path) -> None:
    prefq_("ask", "--pool", pool_folder, "--stated", "brief=1")
    assert prefq_("onboard", "--stated", "--json", keys="right\nn\nq\n").code == 4
    assert prefq_("onboard", "--stated", "--json", keys="right\nq\n").code == 4
    assert stated() == {"thorough": -1.0}
    alone = prefq_("ask", "--stated")
    assert (alone.code, "axes, such as brief=-1" in alone.err) == (2, True)
    prefq_("ask", "--stated", "")
    assert stated() == {}
    wrong = prefq_("onboard", "--stated", "--json", keys="right\nhop\n")
    assert wrong.code == 2
    assert "key 'hop' is none of" in wrong.err


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("brief=2", "what was stated about 'brief' is 2; give a number from -1"),
        ("brief=nan", "what was stated about 'brief' is nan; give a finite number"),
        ("blue=1", "there is no axis 'blue'; name one of thorough, warm, playful, brief"),
        ("brief", "--stated has 'brief'; give each axis once"),
        ("warm=1,warm=0", "--stated has 'warm=0'; give each axis once"),
        ("warm=1,neutral=1", "the axis 'warm' was stated twice"),
    ],
)
def test_wrong_axes_are_refused_and_nothing_is_stored(
    axes: str, message: str, prefq_: Prefq, pool_folder: Path
) -> None:
    for command in ("ask", "onboard"):
        done = prefq_(command, "--pool", pool_folder, "--stated", axes, "--json")
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert message in done.err
    assert prefq_("sessions", "--json").json["sessions"] == []


def test_sliders_stop_at_their_ends_and_fit_a_narrow_terminal() -> None:
    view = sliders_of(SPACE, {"warm": 0.3})
    for key, at, words in [
        ("right", 0.5, "brief–thorough: more thorough"),
        ("right", 1.0, "brief–thorough: much more thorough"),
        ("right", 1.0, "brief–thorough: much more thorough"),
        ("x", None, "brief–thorough: not said"),
        ("left", -0.5, "brief–thorough: more brief"),
    ]:
        following = moved(view, key)
        assert following is not None
        assert following.positions[0] == at
        assert following.words == words
        view = following
    down = moved(view, "down")
    assert down is not None
    assert down.words == "warm: more warm"
    further = moved(down, "left")
    assert further is not None
    assert further.positions[1] == 0.0
    assert moved(view, "1") is None

    lines = slider_page(Console(width=24), view, "", 24, 8)
    assert all(line.cell_len <= 24 for line in lines)
    assert any(line.plain.startswith("›") for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_arrow_keys_move_sliders_on_a_terminal(pool_folder: Path) -> None:
    import pexpect

    program = ["-c", "from prefq_cli.app import main; main()", "onboard", "--pool", str(pool_folder), "--stated"]
    child = pexpect.spawn(sys.executable, program, dimensions=(24, 38), encoding="utf-8", timeout=30)
    child.delaybeforesend = None
    try:
        for keys, then in [
            ("", "brief–thorough: not said"),
            ("\x1b[D\x1b[D", "much more brief"),
            ("\x1b[B\x1bOC", "neutral–warm: more warm"),
            ("\r", "1 of 10"),
            ("\x1b[A1", "2 of 10"),  # an arrow means nothing to a question
        ]:
            child.send(keys)
            child.expect(then)
        child.send("q")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert stated() == {"thorough": -1.0, "warm": 0.5}
