"""prefq bench learning-curve: numbers that depend on the seed alone, runs that are ended and go on, what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import prefq
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import MEASURES, learning_curve
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import OURS
from prefq.simulation.synthetic import make_world
from prefq_cli.exit_codes import ExitCode

USERS, WORLDS, QUESTIONS, SEED = 3, 2, 2, 7
SIZE = ["--users", USERS, "--worlds", WORLDS, "--questions", QUESTIONS, "--seed", SEED]
BOTH = ["--strategies", "random,d_optimal"]

PEERS = """
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

from prefq.simulation.controls import begin_random
from prefq.simulation.strategies import Strategy

PAUSE = 0.05


def slow(study, *, rng):
    learn = begin_random(study, rng=rng)
    def learn_slowly(history):
        time.sleep(PAUSE)
        return learn(history)
    return learn_slowly


def raising(study, *, rng):
    raise ZeroDivisionError("the second world is too much")


def dying(study, *, rng):
    os._exit(3)


def warning(study, *, rng):
    warnings.warn("numbers are small")
    print("a recipe that talks")
    return begin_random(study, rng=rng)


STRATEGIES = [
    Strategy("slow", slow, "random, slowly", users_at_once=1, kind="peer"),
    Strategy("raising", raising, "raises", kind="peer"),
    Strategy("dying", dying, "ends its process", kind="peer"),
    Strategy("warning", warning, "random, with a warning", kind="peer"),
]
"""
UNAVAILABLE = """
from prefq.simulation.controls import begin_random
from prefq.simulation.strategies import Strategy

STRATEGIES = [Strategy("absent", begin_random, "cannot run here", kind="peer")]


def unavailable():
    return "it needs a package that is not here."
"""


LEARNING_CURVE = ("bench", "learning-curve", "--world", "raters:0.60")
NOT_HERE = "it needs a package that is not here."


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of peers, of which some do not behave."""
    folder = tmp_path_factory.mktemp("peers")
    (folder / "recipes.py").write_text(PEERS, encoding="utf-8")
    (folder / "absent.py").write_text(UNAVAILABLE, encoding="utf-8")
    (folder / "_notes.py").write_text("raise RuntimeError('nobody asked for this file')", encoding="utf-8")
    return folder


def program(*arguments: object) -> list[str]:
    """The command in a process of its own."""
    return [sys.executable, "-c", "from prefq_cli.app import main; main()", *map(str, (*LEARNING_CURVE, *arguments))]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that was never disturbed, with one worker."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    finished = subprocess.run(
        program(*SIZE, *BOTH, "--workers", 1, "--out", out), capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return out


def summary_of(out: Path) -> dict[str, Any]:
    found = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def rows(out: Path, **wanted: object) -> dict[str, np.ndarray[Any, Any]]:
    """Columns of users.parquet where they have these values."""
    read = pq.read_table(out / "users.parquet")
    table = {name: read[name].to_numpy() for name in read.column_names}
    there = np.logical_and.reduce(
        [np.ones(len(table["world"]), bool), *(table[name] == v for name, v in wanted.items())]
    )
    return {name: column[there] for name, column in table.items()}


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_documented_generators(done: Path) -> None:
    for world in range(WORLDS):
        panel = make_world("raters(0.6)", n_users=USERS, rng=np.random.default_rng([SEED, world]))
        prior = fitted_start(panel)
        for strategy in (each for each in (*OURS, *CONTROLS) if each.name in ("random", "d_optimal")):
            rng = np.random.default_rng([SEED, world, zlib.crc32(strategy.name.encode()), 0])
            curve = learning_curve(strategy, panel, prior, n_questions=QUESTIONS, rng=rng)
            found = rows(done, world=world, strategy=strategy.name)

            assert found["n_answers"].tolist() == list(range(QUESTIONS + 1)) * USERS
            assert found["user"].tolist() == [user for user in panel.user_ids for _ in range(QUESTIONS + 1)]
            for measure in MEASURES:  # other threads may add up in another order
                np.testing.assert_allclose(found[measure], curve.measures[measure].ravel(), rtol=1e-6, atol=1e-9)


def test_two_workers_give_the_same_bytes_as_one(prefq_: Any, tmp_path: Path, done: Path) -> None:
    assert prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--workers", 2, "--out", tmp_path / "two").code == ExitCode.DONE

    assert (tmp_path / "two" / "users.parquet").read_bytes() == (done / "users.parquet").read_bytes()


def test_another_spelling_of_the_world_and_other_strategies_go_on_in_the_folder(
    prefq_: Any, tmp_path: Path, done: Path
) -> None:
    out = tmp_path / "one by one"
    first = prefq_(*LEARNING_CURVE, *SIZE, "--strategies", "random", "--workers", 1, "--out", out)
    parts = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    other = ("bench", "learning-curve", "--world", "raters(0.6)", "--strategies", "d_optimal")
    second = prefq_(*other, *SIZE, "--workers", 1, "--out", out, "--json")

    assert (first.code, second.code) == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert summary_of(out)["parts"] == {"computed": WORLDS, "kept": WORLDS}
    assert (out / "users.parquet").read_bytes() == (done / "users.parquet").read_bytes()
    assert list(second.json["strategies"]) == ["d_optimal", "random"]
    assert second.json["comparisons"] == [each for each in summary_of(done)["comparisons"] if _is_told(each)]


def _is_told(comparison: dict[str, Any]) -> bool:
    told = ("log_loss", "accuracy", "best_of_n")
    return comparison["reference"] == "random" and comparison["measure"] in told


def test_json_names_no_folder_and_says_what_the_summary_says(prefq_: Any, tmp_path: Path, done: Path) -> None:
    result = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--out", done, "--json")

    assert result.code == 0
    assert str(tmp_path.parent) not in result.out
    summary = summary_of(done)
    assert summary["command"] == (
        "prefq bench learning-curve --world 'raters(0.6)' --users 3 --worlds 2 --questions 2 "
        "--strategies random,d_optimal --seed 7"
    )
    found = result.json["strategies"]["random"]["curves"]["log_loss"]
    assert found == {str(k): summary["strategies"]["random"]["curves"]["log_loss"]["mean"][k] for k in (0, 2)}


def test_summary_holds_means_checks_and_provenance(done: Path) -> None:
    summary = summary_of(done)
    means = [rows(done, strategy="random", n_answers=2, world=world)["accuracy"].mean() for world in range(WORLDS)]

    assert summary["strategies"]["random"]["curves"]["accuracy"]["mean"][2] == pytest.approx(np.mean(means), abs=1e-4)
    assert summary["settings"] == {"world": "raters(0.6)", "users": 3, "worlds": 2, "questions": 2, "seed": SEED}
    assert summary["provenance"]["versions"]["prefq"] == prefq.__version__
    assert summary["guards"]["passed"], summary["guards"]["alarms"]
    assert (summary["adaptivity"]["random"], summary["adaptivity_se"]["random"]) == ([0.0], [0.0])
    assert summary["information"]["ceiling"] == "oracle"
    assert (done / "report.md").read_text(encoding="utf-8").startswith("# Learning curves: raters(0.6)")


# --- runs that are ended ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_by_one(peers: Path) -> list[object]:
    """What is asked of a run whose users take part one by one, slowly, so that it can be ended between them."""
    return ["--users", 12, "--worlds", 1, "--questions", 2, "--strategies", "slow", "--peers", peers, "--workers", 2]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, one_by_one: list[object]) -> bytes:
    """The users of such a run that was never ended."""
    out = tmp_path_factory.mktemp("slow") / "undisturbed"
    subprocess.run(program(*one_by_one, "--out", out), capture_output=True, timeout=300, check=True)
    return (out / "users.parquet").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_ended_run_keeps_its_parts_and_the_same_command_goes_on(
    how: signal.Signals, prefq_: Any, tmp_path: Path, one_by_one: list[object], undisturbed: bytes
) -> None:
    out = tmp_path / "ended"
    running = subprocess.Popen(
        program(*one_by_one, "--out", out),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list((out / "parts").glob("*.parquet"))) < 2 and running.poll() is None:
        time.sleep(0.01)
    if how == signal.SIGINT:
        os.killpg(running.pid, how)  # as a terminal does: everybody gets it
    else:
        running.kill()
    told, said = running.communicate(timeout=60)
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}

    assert running.returncode == (ExitCode.INTERRUPTED if how == signal.SIGINT else -signal.SIGKILL), said
    assert 2 <= len(kept) < 12
    assert not (out / "users.parquet").exists()
    if how == signal.SIGINT:
        last = said.splitlines()[-1]
        assert (told, "Traceback" in said) == ("", False)
        assert last.startswith("Interrupted: ")
        assert last.endswith("the same command goes on from there.")
    _wait_for_the_end_of(running.pid)
    again = prefq_(*LEARNING_CURVE, *one_by_one, "--out", out)
    assert again.code == 0, again.err
    assert {name: (out / "parts" / name).stat().st_mtime_ns for name in kept} == kept
    assert (out / "users.parquet").read_bytes() == undisturbed
    assert list(out.rglob(".*.tmp")) == []


def _wait_for_the_end_of(group: int) -> None:
    """Workers end with the process that began them: no process of its group is left."""
    for _ in range(500):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("worker processes outlived the run")


def test_damaged_parts_are_computed_anew_and_that_is_said(prefq_: Any, tmp_path: Path, done: Path) -> None:
    out = tmp_path / "damaged"
    (out / "parts").mkdir(parents=True)
    for path in [done / "settings.json", *(done / "parts").iterdir()]:
        (out / path.relative_to(done)).write_bytes(path.read_bytes())
    short, flipped, *_ = sorted((out / "parts").iterdir())
    short.write_bytes(short.read_bytes()[:-100])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 3] ^= 0xFF
    flipped.write_bytes(content)
    result = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--workers", 1, "--out", out)

    assert result.code == 0
    assert "2 parts are damaged: computed anew." in result.err
    assert (out / "users.parquet").read_bytes() == (done / "users.parquet").read_bytes()


# --- peers -----------------------------------------------------------------------------------------------------------


def test_strategies_that_fail_are_told_and_the_others_are_written(prefq_: Any, tmp_path: Path, peers: Path) -> None:
    names = "random,raising,dying,warning,absent"
    out = tmp_path / "out"
    result = prefq_(*LEARNING_CURVE, *SIZE, "--strategies", names, "--peers", peers, "--workers", 2, "--out", out)
    summary = summary_of(out)
    failed = {name: each["failed"] for name, each in summary["strategies"].items() if each["failed"]}

    assert result.code == ExitCode.FAILURE
    assert set(failed) == {"raising", "dying", "absent"}
    assert "ZeroDivisionError: the second world is too much" in failed["raising"]
    assert failed["dying"] == "its worker process was ended with exit code 3."
    assert failed["absent"] == NOT_HERE
    assert f"absent failed: {NOT_HERE}" in result.out
    assert set(pq.read_table(out / "users.parquet")["strategy"].to_pylist()) == {"random", "warning"}
    assert "warning warned: UserWarning: numbers are small" in summary["notes"]
    assert "a recipe that talks" not in result.out


def test_strategies_that_cannot_run_here_are_listed_with_the_reason(prefq_: Any, tmp_path: Path, peers: Path) -> None:
    out = tmp_path / "out"
    size = ("--users", 2, "--worlds", 1, "--questions", 1, "--workers", 1)
    asked = (*size, "--strategies", "random,absent", "--peers", peers)
    result = prefq_(*LEARNING_CURVE, *asked, "--out", out)

    assert (result.code, f"absent failed: {NOT_HERE}" in result.out) == (ExitCode.DONE, True)
    assert summary_of(out)["strategies"]["absent"]["failed"] == NOT_HERE


def test_peers_can_be_limited_to_the_first_users_and_worlds(prefq_: Any, tmp_path: Path, peers: Path) -> None:
    out = tmp_path / "out"
    asked = ("--strategies", "random,slow", "--peers", peers, "--peer-users", 2, "--peer-worlds", 1, "--out", out)
    assert prefq_(*LEARNING_CURVE, *SIZE, *asked).code == 0
    found = summary_of(out)

    assert set(rows(out, strategy="slow")["user"]) == {"0", "1"}
    assert set(rows(out, strategy="slow")["world"]) == {0}
    assert len(rows(out, strategy="random")["world"]) == USERS * WORLDS * (QUESTIONS + 1)
    assert [found["strategies"]["slow"][count] for count in ("n_users", "n_worlds")] == [2, 1]
    assert any("first 2 users of the first world only" in note for note in found["notes"])
    # It sleeps for 50 milliseconds before every question of one user, and random does not.
    assert found["strategies"]["slow"]["ms_per_question"] >= 50


def test_parts_of_another_version_of_a_file_are_computed_anew(prefq_: Any, tmp_path: Path) -> None:
    folder, out = tmp_path / "peers", tmp_path / "out"
    folder.mkdir()
    size = ("--users", 3, "--worlds", 1, "--questions", 1, "--workers", 1)
    asked = (*size, "--strategies", "slow", "--peers", folder, "--out", out)
    (folder / "recipes.py").write_text(PEERS, encoding="utf-8")
    before = prefq_(*LEARNING_CURVE, *asked)
    (folder / "recipes.py").write_text(PEERS.replace("PAUSE = 0.05", "PAUSE = 0.0"), encoding="utf-8")
    after = prefq_(*LEARNING_CURVE, *asked)

    assert (before.code, after.code) == (0, 0)
    assert "3 parts are of another version of its file: computed anew." in after.err
    assert summary_of(out)["parts"] == {"computed": 3, "kept": 0}


# --- bad input -------------------------------------------------------------------------------------------------------

BAD_FILES = {
    "broken": ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    "empty": ("WELCOME = 1", "has no STRATEGIES"),
    "double": (UNAVAILABLE.replace('"absent"', '"random"'), "two strategies are called 'random'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_peers_file(name: str, prefq_: Any, tmp_path: Path) -> None:
    content, told = BAD_FILES[name]
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / f"{name}.py").write_text(content, encoding="utf-8")
    result = prefq_(*LEARNING_CURVE, *SIZE, "--peers", tmp_path / "peers", "--out", tmp_path / "out")

    assert (result.code, told in result.err, f"{name}.py" in result.err) == (ExitCode.USAGE, True, True)
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


BAD_INPUT: dict[str, tuple[list[object], ExitCode, str]] = {
    "unknown strategy": (["--strategies", "randon"], ExitCode.NOT_FOUND, "'randon'; choose among information_gain,"),
    "no strategy": (["--strategies", ","], ExitCode.USAGE, "--strategies is ','"),
    "unknown world": (["--world", "gausian"], ExitCode.NOT_FOUND, "'gausian'"),
    "no users": (["--users", 0], ExitCode.USAGE, "--users is 0; give 1 or more."),
    "no worlds": (["--worlds", 0], ExitCode.USAGE, "--worlds is 0"),
    "no questions": (["--questions", 0], ExitCode.USAGE, "--questions is 0"),
    "no workers": (["--workers", 0], ExitCode.USAGE, "--workers is 0"),
    "no users for peers": (["--peer-users", 0], ExitCode.USAGE, "--peer-users is 0"),
    "negative seed": (["--seed", -1], ExitCode.USAGE, "--seed is -1; give 0 or more."),
    "too many questions": (["--questions", 2001], ExitCode.USAGE, "has 2000 questions"),
    "no such peers": (["--peers", "nowhere"], ExitCode.USAGE, "no folder 'nowhere' of peers"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_sentence(name: str, prefq_: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, code, told = BAD_INPUT[name]
    result = prefq_(*LEARNING_CURVE, *arguments)

    assert (result.code, told in result.err) == (code, True), result.err
    assert (len(result.err.splitlines()), result.out) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_folder_without_peers(prefq_: Any, tmp_path: Path) -> None:
    result = prefq_(*LEARNING_CURVE, "--peers", tmp_path, "--out", tmp_path / "out")

    assert (result.code, "holds no Python file" in result.err) == (ExitCode.USAGE, True)


def test_folder_of_other_results_is_left_alone(prefq_: Any, done: Path, tmp_path: Path) -> None:
    before = (done / "settings.json").read_bytes()
    seed = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--seed", 8, "--out", done)
    users = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--users", 4, "--out", done)

    assert (seed.code, users.code) == (ExitCode.MISMATCH, ExitCode.MISMATCH)
    assert "holds results with seed 7, and this run has seed 8; give another folder with --out" in seed.err
    assert "users 3, and this run has users 4" in users.err
    assert (done / "settings.json").read_bytes() == before


def test_folder_of_another_version_or_a_damaged_one(prefq_: Any, done: Path, tmp_path: Path) -> None:
    settings = json.loads((done / "settings.json").read_text(encoding="utf-8"))
    settings["provenance"]["versions"]["prefq"] = "0.0.1"
    (tmp_path / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    other = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--out", tmp_path)
    (tmp_path / "settings.json").write_text("{", encoding="utf-8")
    damaged = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--out", tmp_path)

    assert (other.code, damaged.code) == (ExitCode.MISMATCH, ExitCode.MISMATCH)
    assert f"prefq version 0.0.1, and this run has prefq version {prefq.__version__}" in other.err
    assert "settings.json in" in damaged.err


def test_folder_that_cannot_be_written_or_holds_something_else(prefq_: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    below = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--out", tmp_path / "file" / "out")
    beside = prefq_(*LEARNING_CURVE, *SIZE, *BOTH, "--out", tmp_path)

    assert (below.code, beside.code) == (ExitCode.USAGE, ExitCode.USAGE)
    assert "cannot be written to" in below.err
    assert "holds files that are no results of prefq bench" in beside.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
