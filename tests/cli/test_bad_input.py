"""Each fault is one sentence on standard error, with its exit code and nothing on standard output."""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefq import InferenceError, InputError, MismatchError, NotFoundError, PrefqError, StorageError
from prefq.storage.database import VERSION_TABLE
from prefq_cli.app import exit_code

Prefq = Any  # the fixture of conftest.py


def refused(result: Any, code: int, sentence: str) -> None:
    """Check that a run ended with a code and one sentence (a pattern)."""
    assert re.fullmatch(f"Error: {sentence}\n", result.err), result.err
    assert (result.code, result.out) == (code, "")


def begun(prefq_: Prefq, pool_folder: Path, *options: object, keys: str = "1\n") -> str:
    """Id of a session with one answer and seed 0."""
    return str(
        prefq_("onboard", "--pool", pool_folder, "--seed", 0, *options, "--json", keys=keys).json["session"]["id"]
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError, 2), (NotFoundError, 3), (MismatchError, 5), (InferenceError, 1), (StorageError, 1), (PrefqError, 1)],
)
def test_each_kind_of_error_has_its_code(error: type[PrefqError], code: int) -> None:
    assert exit_code(error("x")) == code


def test_unknown_option_is_a_usage_error(prefq_: Prefq) -> None:
    found = prefq_("onboard", "--fast")

    assert found.code == 2
    assert "No such option: --fast" in found.err


def test_debug_shows_the_traceback_wherever_it_stands(prefq_: Prefq) -> None:
    for arguments in (("--debug", "profile", "show"), ("profile", "show", "--debug")):
        with pytest.raises(NotFoundError):
            prefq_(*arguments)


def in_a_shell(redirection: str, *arguments: object) -> tuple[int, str, str]:
    """Exit code, output and messages of a process of its own, with its streams redirected."""
    program = [sys.executable, "-c", "from prefq_cli.app import main; main()", *map(str, arguments)]
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *program]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, input="1\n", check=False)
    return done.returncode, done.stdout, done.stderr


posix = pytest.mark.skipif(os.name == "nt", reason="needs sh")


# --- unknown names ---


def test_unknown_pool(prefq_: Prefq) -> None:
    sentence = "there is no pool 'nowhere'; give 'starter', or a folder that pool.save\\(\\) wrote."
    for command in (("onboard", "--json", "--pool"), ("ask", "--pool"), ("pool", "show"), ("pool", "validate")):
        refused(prefq_(*command, "nowhere"), 3, sentence)


@pytest.mark.usefixtures("empty_store")
def test_unknown_user(prefq_: Prefq) -> None:
    for command in (("profile", "show"), ("profile", "export"), ("rank", "--prompt", "?", "-")):
        refused(prefq_(*command, "--user", "nobody", keys="a\n"), 3, "[^\n]*'nobody'[^\n]*\\.")
    sentence = "nothing is stored about user 'nobody'; prefq profile list shows whom it knows."
    refused(prefq_("profile", "delete", "--user", "nobody", "--yes"), 3, sentence)


@pytest.mark.usefixtures("empty_store")
def test_unknown_session(prefq_: Prefq) -> None:
    for command in (("onboard", "--json"), ("ask",), ("tell", "1-2", "first")):
        refused(prefq_(*command, "--session", "gone"), 3, "[^\n]*'gone'[^\n]*\\.")


@pytest.mark.parametrize(
    "command",
    [
        ("sessions",),
        ("profile", "show"),
        ("profile", "export"),
        ("profile", "list"),
        ("profile", "delete", "--user", "ada", "--yes"),
        ("rank", "--prompt", "?", "-"),
        ("tell", "--session", "s", "1-2", "first"),
        ("ask", "--session", "s"),
        ("onboard", "--session", "s", "--json"),
        ("prior", "fit", "--from-sessions", "--output", "prior.json"),
        ("bench", "sessions"),
    ],
)
def test_who_only_reads_makes_no_store(prefq_: Prefq, tmp_path: Path, command: tuple[str, ...]) -> None:
    sentence = "there is no store .*typo.db; give the path of one, or begin one with prefq onboard."
    for store in (tmp_path / "typo.db", f"sqlite:///{tmp_path}/typo.db", tmp_path / "no" / "typo.db"):
        refused(prefq_(*command, "--store", store, keys="a\n"), 3, sentence)
    assert list(tmp_path.iterdir()) == []


def test_the_default_store_may_be_looked_at_before_there_is_one(
    prefq_: Prefq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFQ_STORE")
    for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    assert prefq_("sessions", "--json").json["sessions"] == []
    assert prefq_("profile", "list").code == 0


def test_unknown_acquisition(prefq_: Prefq, pool_folder: Path) -> None:
    found = prefq_("onboard", "--pool", pool_folder, "--json", "--acquisition", "best")

    refused(found, 3, "there is no acquisition 'best'; choose one of information_gain, .*, random.")


# --- sessions that do not fit ---


def test_a_pool_that_changed_is_refused_with_the_way_out(prefq_: Prefq, pool_folder: Path) -> None:
    from prefq import CandidatePool, load_pool

    session = begun(prefq_, pool_folder)
    pool = load_pool(pool_folder)
    CandidatePool.from_arrays(pool.features * 2, pool.pairs, feature_space=pool.feature_space).save(pool_folder)

    sentence = (
        f"session '{session}' was begun with another pool \\(.{{8}}, not .{{8}}\\); "
        "go on with the pool it was begun with, or start a new session \\(--new\\)."
    )
    refused(prefq_("onboard", "--json", keys="1\n"), 5, sentence)
    refused(prefq_("ask"), 5, sentence)
    assert prefq_("onboard", "--pool", pool_folder, "--new", "--json", keys="1\n").code == 4


def test_another_feature_space_is_refused(prefq_: Prefq, pool_folder: Path) -> None:
    from prefq import CandidatePool, load_pool

    begun(prefq_, pool_folder)
    pool = load_pool(pool_folder)
    CandidatePool.from_arrays(pool.features, pool.pairs, feature_names=["a", "b", "c"]).save(pool_folder)

    refused(prefq_("onboard", "--json"), 5, "the pool offered to session .* belongs to another feature space .*")


def test_a_pool_that_is_gone_is_refused_with_the_way_out(prefq_: Prefq, pool_folder: Path) -> None:
    begun(prefq_, pool_folder)
    pool_folder.rename(pool_folder.with_name("moved"))

    refused(prefq_("onboard", "--json"), 3, "session .* needs its pool: there is no pool .* with --new.")


@pytest.mark.parametrize(
    ("option", "was", "given"),
    [
        ("--user", "me", "bo"),
        ("--max-questions", 10, 5),
        ("--acquisition", "information_gain", "random"),
        ("--seed", 0, 1),
    ],
)
def test_settings_that_differ_are_refused(
    prefq_: Prefq, pool_folder: Path, option: str, was: object, given: object
) -> None:
    session = begun(prefq_, pool_folder)

    sentence = (
        f"session '{session}' was begun with {option} {was}, not {given}; "
        f"go on without {option}, or begin a new session with --new."
    )
    refused(prefq_("onboard", "--session", session, option, given, "--json"), 5, sentence)


def test_a_session_cannot_be_both_named_and_new(prefq_: Prefq) -> None:
    refused(prefq_("ask", "--session", "x", "--new"), 2, "--session goes on with a session and --new begins one; .*")


# --- answers that do not fit ---


def test_tell_refuses_what_was_not_asked(prefq_: Prefq, pool_folder: Path) -> None:
    asked = prefq_("ask", "--pool", pool_folder).json
    named, question = ("--session", asked["session_id"]), asked["question"]["id"]

    refused(prefq_("tell", "1-2", "first"), 2, "no session was named; give --session ID, which prefq ask prints.")
    refused(prefq_("tell", *named, "98-99", "first"), 2, f"the answer is to question '98-99' .* '{question}'; .*")
    refused(prefq_("tell", *named, question, "third"), 2, "choice is 'third'; give one of 'first', .*")
    refused(prefq_("tell", *named, question, "tie", "--seconds", -1), 2, "seconds is -1.0; give .*")
    assert prefq_("tell", *named, question, "first").code == 0
    refused(prefq_("tell", *named, question, "first"), 2, f"the answer is to question '{question}' .* None; .*")


def test_an_unknown_key_of_a_script_is_refused_and_answers_are_kept(prefq_: Prefq, pool_folder: Path) -> None:
    found = prefq_("onboard", "--pool", pool_folder, "--json", keys="1\nyes\n")

    assert found.code == 2
    sentence = "Error: key 'yes' is none of 1, 2, 0, b, s, u, ?, q; give one key a line; answers so far are saved."
    assert found.err.splitlines()[-1] == sentence
    assert prefq_("sessions", "--json").json["sessions"][0]["n_answers"] == 1


# --- standard input ---


def test_empty_standard_input_ends_early(prefq_: Prefq, pool_folder: Path) -> None:
    found = prefq_("onboard", "--pool", pool_folder, "--json")

    assert found.code == 4
    assert found.err.splitlines()[-1] == "Ended early: no answer yet. Go on with: prefq onboard"
    assert (found.json["status"], found.json["profile"], found.json["axes"]) == ("ended_early", None, [])


def test_standard_input_that_is_no_terminal(prefq_: Prefq) -> None:
    sentence = "standard input is not a terminal; run prefq onboard in one, or add --json and give keys, one a line."
    refused(prefq_("onboard", keys="1\n"), 2, sentence)


def test_deleting_asks_first(prefq_: Prefq, pool_folder: Path) -> None:
    begun(prefq_, pool_folder)

    sentence = "deleting asks first, and standard input is not a terminal; add --yes."
    refused(prefq_("profile", "delete", "--user", "me", keys="y\n"), 2, sentence)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "standard input holds no responses; give one a line, or a JSON list of texts."),
        ("[]", "standard input holds no responses; give one a line, or a JSON list of texts."),
        ("[1, 2]", "the JSON list on standard input holds something else than texts; give a list of texts."),
        ('["a", " "]', "the response from 'line 2' is empty; give a text."),
    ],
)
def test_responses_that_cannot_be_ranked(prefq_: Prefq, given: str, sentence: str) -> None:
    refused(prefq_("rank", "--prompt", "?", "-", keys=given), 2, sentence)


@posix
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_standard_input_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    (tmp_path / "raw").write_bytes(b"Take a walk.\nRead \xff\xfe.\n")
    redirection = f"<{shlex.quote(str(tmp_path / 'raw'))}"
    code, out, messages = in_a_shell(redirection, "rank", "--prompt", "?", "-")
    assert (code, out, messages) == (2, "", "Error: standard input is not UTF-8 text; give it in UTF-8.\n")


def test_files_that_cannot_be_ranked(prefq_: Prefq, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"\xff\xfe")

    refused(prefq_("rank", "--prompt", "?", tmp_path / "gone"), 3, "there is no file '.*gone'; give files .*")
    refused(prefq_("rank", "--prompt", "?", tmp_path / "raw"), 2, "file '.*raw' is not UTF-8 text; give files .*")
    refused(prefq_("rank", "--prompt", "?", tmp_path), 2, "file '.*' cannot be read .*")


@pytest.mark.parametrize("name", ["", " ", "a\x1b[31mb", "a\nb", "x" * 101])
def test_user_names_that_cannot_be_shown(prefq_: Prefq, name: str) -> None:
    refused(prefq_("profile", "show", "--user", name), 2, "the user name is .*; give 1 to 100 printable characters.")


@pytest.mark.parametrize(("option", "value"), [("--max-questions", "0"), ("--max-questions", "-3")])
def test_budgets_without_a_question(prefq_: Prefq, pool_folder: Path, option: str, value: str) -> None:
    found = prefq_("onboard", "--pool", pool_folder, "--json", option, value)

    refused(found, 2, f"max_questions is {value}; give a budget of at least 1 question.")


# --- standard streams that are closed or full ---


full = pytest.param(">/dev/full", marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full"))


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("redirection", [">&-", full])
def test_output_that_cannot_be_written(
    prefq_: Prefq, pool_folder: Path, monkeypatch: pytest.MonkeyPatch, redirection: str, unbuffered: str
) -> None:
    begun(prefq_, pool_folder)
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)

    for command in (("profile", "show"), ("sessions", "--json"), ("--version",), ("--help",)):
        code, _, messages = in_a_shell(redirection, *command)
        assert re.fullmatch("Error: the output cannot be written: [^\n]*\\.\n", messages), messages
        assert code == 1


@posix
def test_no_stream_left_to_say_so(prefq_: Prefq, pool_folder: Path) -> None:
    begun(prefq_, pool_folder)

    assert in_a_shell(">&- 2>&-", "profile", "show") == (1, "", "")


@posix
def test_closed_standard_input_is_empty(pool_folder: Path) -> None:
    code, _, messages = in_a_shell("<&-", "onboard", "--pool", pool_folder)
    assert (code, messages.startswith("Error: standard input is not a terminal; ")) == (2, True)

    code, out, messages = in_a_shell("<&-", "onboard", "--pool", pool_folder, "--json")
    assert (code, json.loads(out)["status"]) == (4, "ended_early")
    assert messages.endswith("Ended early: no answer yet. Go on with: prefq onboard\n")


@posix
def test_closed_standard_error_leaves_results(prefq_: Prefq, pool_folder: Path) -> None:
    begun(prefq_, pool_folder)

    code, out, _ = in_a_shell("2>&-", "profile", "show", "--json")
    assert (code, json.loads(out)["schema_version"]) == (0, 1)


# --- pools with a fault ---


def test_a_changed_pool_file_is_a_fault(prefq_: Prefq, pool_folder: Path) -> None:
    with (pool_folder / "features.safetensors").open("ab") as file:
        file.write(b"\0")

    refused(prefq_("pool", "validate", pool_folder), 2, "features.safetensors of the pool in .* was changed .*")
    refused(prefq_("onboard", "--pool", pool_folder, "--json"), 2, "features.safetensors of the pool in .*")


def test_a_pool_with_nan_features_is_a_fault(prefq_: Prefq, pool_folder: Path) -> None:
    from hashlib import sha256

    from safetensors.numpy import save

    from prefq.pool.manifests import checksum

    content = save({"features": np.full((24, 3), np.nan)})
    (pool_folder / "features.safetensors").write_bytes(content)
    manifest = json.loads((pool_folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["features.safetensors"] = sha256(content).hexdigest()
    (pool_folder / "manifest.json").write_text(
        json.dumps(manifest | {"checksum": checksum(manifest)}), encoding="utf-8"
    )

    sentence = (
        "the pool in .* cannot be used: features of 24 item\\(s\\) hold NaN or infinite values, first in row 0; .*"
    )
    refused(prefq_("pool", "validate", pool_folder), 2, sentence)


# --- stores with a fault ---


def test_a_store_that_is_no_database(prefq_: Prefq, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100, encoding="utf-8")

    refused(prefq_("sessions", "--store", tmp_path / "notes.txt"), 1, "the store .*notes.txt.*")


@pytest.mark.usefixtures("empty_store")
def test_a_store_of_a_newer_prefq(prefq_: Prefq, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as database, database:
        database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")

    refused(prefq_("sessions"), 1, "the store .* was written by a newer prefq .*")


def test_a_store_that_is_locked(prefq_: Prefq, tmp_path: Path, pool_folder: Path) -> None:
    begun(prefq_, pool_folder)
    store = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = prefq_("ask", "--new", "--pool", pool_folder, "--store", f"sqlite:///{store}?timeout=0.05")

    refused(found, 1, "the store .* is locked .*")


def test_a_folder_cannot_be_a_store(prefq_: Prefq, tmp_path: Path) -> None:
    refused(prefq_("sessions", "--store", tmp_path), 1, "the store .*")


def test_half_a_character_in_a_reason_is_replaced(prefq_: Prefq, pool_folder: Path) -> None:
    asked = prefq_("ask", "--pool", pool_folder).json
    told = prefq_("tell", "--session", asked["session_id"], asked["question"]["id"], "tie", "--reason", "a\ud800b")

    assert told.json["answer"]["reason"] == "a\ufffdb"
