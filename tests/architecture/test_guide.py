"""The guide's commands run: shell blocks as written, single commands each by itself, words as prefq says them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import prefq
from prefq.profiles.summary import sentences, summarize, system_prompt, taste_sentences

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
TERMINAL, SCRIPTS, MEASURE = GUIDE / "terminal.md", GUIDE / "scripts.md", GUIDE / "measure-your-pool.md"
PAPER, LOGS = GUIDE / "questionnaire.md", GUIDE / "logs.md"


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page that are written in a language."""
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_in_shell(script: str, folder: Path, keys: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script as a person would who has installed prefq, in a folder and a home of its own."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PREFQ_", "XDG_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{surroundings['PATH']}"
    return subprocess.run(
        ["sh", "-eu", "-c", script],
        input=keys,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**surroundings, "PATH": path, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")},
        timeout=600,
    )


def commands() -> list[str]:
    """The commands that the page about the terminal shows."""
    return re.findall(r"^\$ (.+)$", "".join(blocks(TERMINAL, "console")), re.MULTILINE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts to rank, and the profile of someone who answered ten questions."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "short.txt").write_text("Read a book.", encoding="utf-8")
    (folder / "long.txt").write_text("Take a long walk, and then read a book.", encoding="utf-8")
    for user in ("me", "ada"):
        begun = run_in_shell(f"prefq onboard --user {user} --json", folder, keys="1\n2\n" * 5)
        assert begun.returncode == 0, begun.stderr
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are written for a POSIX shell")
def test_shell_blocks_of_the_page_about_scripts_run_as_written(tmp_path: Path) -> None:
    finished = run_in_shell("".join(blocks(SCRIPTS, "sh")), tmp_path)

    assert finished.returncode == 0, finished.stderr
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.json")}
    assert written.keys() == {
        f"{name}.json" for name in ("ada", "cyd", "told", "page", "bob", "ranked", "deleted", "dan", "arms")
    }
    assert '"status": "finished"' in written["ada.json"]
    assert '"status": "ended_early"' in written["cyd.json"]
    assert '"deleted_sessions": 1' in written["deleted.json"]
    assert '"random_share": 0.5' in written["dan.json"]
    assert '"by_rule": 1091' in written["arms.json"]
    assert prefq.load_profile(tmp_path / "bob.json").n_answers == 3


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are written for a POSIX shell")
def test_shell_blocks_of_the_page_about_paper_run_as_written(tmp_path: Path) -> None:
    finished = run_in_shell("".join(blocks(PAPER, "sh")), tmp_path)

    assert finished.returncode == 0, finished.stderr
    assert "ada: 9 of 10 answered" in finished.stdout
    assert "cyd: 9 of 10 answered" in finished.stdout
    assert "Profile of bob, from 9 comparisons" in finished.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are written for a POSIX shell")
def test_blocks_of_the_page_about_logs_run_as_written(tmp_path: Path) -> None:
    finished = run_in_shell("".join(blocks(LOGS, "sh")), tmp_path)

    assert finished.returncode == 0, finished.stderr
    assert "Kept 2,400 comparisons (0 ties) of 60 users between 300 items of 50 prompts." in finished.stdout
    assert re.search(r"^(casual +formal|formal +casual) ", finished.stdout, re.MULTILINE)  # what it was not told of
    assert "Saved the pool in my-pool" in finished.stderr
    assert {"short.txt", "long.txt"} <= set(re.findall(r"\w+\.txt", finished.stdout))
    program = "".join(blocks(LOGS, "python"))
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "comparisons-too" / "manifest.json").is_file()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are written for a POSIX shell")
def test_five_commands_go_from_a_record_to_a_report(tmp_path: Path) -> None:
    shown = blocks(MEASURE, "sh")
    for block in shown:
        finished = run_in_shell(block, tmp_path)
        assert finished.returncode == 0, finished.stderr

    assert len(shown) == 5
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Against one pooled regression for everybody" in report
    assert "Against another person's profile" in report
    assert "| `static` (control) |" in report
    assert "Of 24 people 24 are measured" in (tmp_path / "look.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are written for a POSIX shell")
@pytest.mark.parametrize("command", [line for line in commands() if "prefq onboard" not in line])
def test_command_of_the_page_about_the_terminal_runs(command: str, home: Path) -> None:
    answered = f"{command} --yes" if "delete" in command else command
    finished = run_in_shell(answered, home)

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout or "--output" in command or "delete" in command


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are written for a POSIX shell")
@pytest.mark.parametrize("command", [line for line in commands() if "prefq onboard" in line])
def test_onboarding_as_the_page_shows_it_begins(command: str, tmp_path: Path) -> None:
    finished = run_in_shell(f"{command} --json", tmp_path, keys="q\n")

    assert finished.returncode == 4, finished.stderr
    assert "1 of 10" in finished.stderr


def test_words_of_the_page_about_the_terminal_are_those_of_prefq() -> None:
    pool = prefq.load_pool("starter")
    scales = pool.feature_scales()
    effects = np.where(np.array(pool.feature_space.names) == "warm", 0.7, 0.0)
    taste = prefq.Gaussian(effects / scales, np.diag(0.4 / scales) ** 2)
    point = prefq.Gaussian(np.zeros(8), np.zeros((8, 8)))
    believed = prefq.GaussianMixture([0.92, 0.08], [taste, point])
    profile = prefq.Profile("ada", believed, pool.starting_point(), 10, scales, "")
    shown = blocks(TERMINAL, "text")

    assert shown == [
        "\n".join([*taste_sentences(profile), *sentences(summarize(profile))]) + "\n",
        system_prompt(profile) + "\n",
    ]


def test_every_command_of_the_guide_is_shown_with_its_program() -> None:
    assert {shlex.split(command.split("|")[-1])[0] for command in commands()} == {"prefq"}
