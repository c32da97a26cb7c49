"""An encoder tuned to a log: by half of the people, who teach nothing else, and kept where its rewards are."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.rewards.encoders import load_encoder
from prefq.rewards.folder import replacing_rewards
from prefq.rewards.linear import LinearRewards, load_linear_rewards
from prefq.rewards.logs import TextComparisons, read_comparisons
from prefq.rewards.train import train_rewards
from prefq.rewards.tuning import TunedFor, keep_encoder, tune_for

WORDS = ("cat", "dog", "park", "ball", "day", "mat", "sat", "ran")
OPTIONS: Any = {"n_layers": 1, "n_features": 2, "n_steps": 20}


def log_of(place: Path, n_users: int) -> TextComparisons:
    """People of two opposed camps: one wants responses with more cats, the other fewer; ten answers each."""
    rng, rows = np.random.default_rng(0), []
    for user in range(n_users):
        for _ in range(10):
            first, second = (" ".join(rng.choice(WORDS, size=rng.integers(3, 9))) for _ in range(2))
            margin = (first.count("cat") - second.count("cat")) * (-1) ** user
            choice = "a" if margin > 0 or (margin == 0 and rng.random() < 0.5) else "b"
            row = {"user_id": f"u{user}", "prompt": "the park", "response_a": first, "response_b": second}
            rows.append(json.dumps(row | {"choice": choice}))
    (place / "log.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return read_comparisons(place / "log.jsonl")


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> TextComparisons:
    return log_of(tmp_path_factory.mktemp("log"), 40)


@pytest.fixture(scope="module")
def model(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("BertModel")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def tuned(comparisons: TextComparisons, model: Path, work: Path) -> TunedFor:
    return tune_for(comparisons, str(model), work=work, device="cpu", **OPTIONS)


def test_half_of_the_people_to_learn_from_tune_and_no_test_person(
    tuned: TunedFor, comparisons: TextComparisons
) -> None:
    learners = np.unique(comparisons.group.users[np.union1d(comparisons.train, comparisons.validation)])
    assert set(np.flatnonzero(tuned.users)) < set(learners.tolist())
    assert tuned.facts["n_users"] == tuned.users.sum() == len(learners) // 2
    assert tuned.facts["n_comparisons"] == tuned.users[comparisons.group.users].sum()
    assert tuned.facts["loss"] <= tuned.facts["loss_before"]


def test_a_tuned_encoder_is_found_again_and_not_tuned_again(
    tuned: TunedFor, comparisons: TextComparisons, model: Path, work: Path
) -> None:
    told: list[str] = []
    again = tune_for(comparisons, str(model), work=work, device="cpu", on_step=told.append, **OPTIONS)
    assert told == []
    assert again.facts == tuned.facts
    np.testing.assert_array_equal(again.users, tuned.users)
    with pytest.raises(InputError, match="n_layers is 7"):  # other options: it is tuned anew
        tune_for(comparisons, str(model), work=work, n_layers=7, device="cpu")


def test_a_tuning_that_was_ended_goes_on(
    tuned: TunedFor, comparisons: TextComparisons, model: Path, tmp_path: Path
) -> None:
    def end(what: str) -> None:
        if what.startswith("tuning the encoder: step 20"):
            raise KeyboardInterrupt

    run = partial(tune_for, comparisons, str(model), work=tmp_path, device="cpu", **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        run(on_step=end)
    told: list[str] = []
    found = run(on_step=told.append)
    assert told[-1] == "tuning the encoder from step 20 on"  # of 20: it had but to be written
    assert found.facts == tuned.facts
    weights = [(each.folder / "model.safetensors").read_bytes() for each in (found, tuned)]
    assert weights[0] == weights[1]


def test_rewards_are_learned_from_the_others_and_move_with_their_encoder(
    tuned: TunedFor, comparisons: TextComparisons, model: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "work" / tuned.folder.name
    shutil.copytree(tuned.folder, copied)
    encoder, out = load_encoder(copied, device="cpu", pooling=tuned.pooling), tmp_path / "rewards"
    assert encoder.identity.digest != load_encoder(model, device="cpu").identity.digest
    found = train_rewards(comparisons, encoder, place=copied, n_features=2, without=tuned.users)
    learners = np.unique(comparisons.group.users[np.union1d(comparisons.train, comparisons.validation)])
    assert found.report["n_users"] == len(learners) - tuned.users.sum()

    with replacing_rewards(out) as new:
        keep_encoder(tuned._replace(folder=copied), found, new).save(new)
    expected = prefq.load_rewards(out).features(["the park"], ["a cat sat"])
    manifest = json.loads((out / "rewards.json").read_text(encoding="utf-8"))
    assert manifest["encoder"] == "./encoder"
    out.rename(tmp_path / "elsewhere")
    moved = load_linear_rewards(tmp_path / "elsewhere")
    assert isinstance(moved, LinearRewards)
    np.testing.assert_array_equal(moved.features(["the park"], ["a cat sat"]), expected)
    moved.save(tmp_path / "elsewhere")  # as renaming does
    assert load_linear_rewards(tmp_path / "elsewhere").encoder == moved.encoder


def test_few_people_cannot_do_both(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are 6 people to learn from; half of them tune the encoder"):
        tune_for(log_of(tmp_path, 6), str(model), work=tmp_path / "work")
