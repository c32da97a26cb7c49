"""Tuning an encoder: what it gains can be had from the folder it is saved in, and what is frozen stays as it was."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from prefq.errors import InputError, MismatchError
from prefq.rewards.encoders import load_encoder
from prefq.rewards.factorization.rfm import fit_rfm
from prefq.rewards.factorization.unfrozen import TunedEncoder, tune_encoder
from prefq.rewards.group import GroupComparisons

WORDS = ("cat", "dog", "park", "ball", "day", "mat", "sat", "ran")


class Texts(NamedTuple):
    """Two opposed camps: one wants responses with more cats, the other fewer."""

    prompts: list[str]
    responses: list[str]
    group: GroupComparisons
    held_out: GroupComparisons


@pytest.fixture(scope="module")
def texts() -> Texts:
    rng = np.random.default_rng(0)
    n, n_users = 300, 12
    responses = [" ".join(rng.choice(WORDS, size=rng.integers(3, 9))) for _ in range(2 * n)]
    cats = np.array([response.count("cat") for response in responses]).reshape(n, 2)
    users = np.arange(n) % n_users
    outcomes = np.sign((cats[:, 0] - cats[:, 1]) * np.where(users < n_users // 2, 1, -1)).astype(np.int8)
    pairs: NDArray[np.int64] = np.arange(2 * n).reshape(n, 2)
    everything = GroupComparisons(
        pairs, outcomes, users, tuple(f"user {i}" for i in range(n_users)), np.repeat(np.arange(n), 2)
    )
    learned = np.arange(n) < 220
    return Texts(["the park"] * 2 * n, responses, everything.of_rows(learned), everything.of_rows(~learned))


def tuned(folder: Path, texts: Texts, out: Path, **options: Any) -> TunedEncoder:
    settings: dict[str, Any] = {
        "rate": 3e-3,
        "n_steps": 60,
        "batch": 32,
        "device": "cpu",
        "validation": texts.held_out,
    } | options
    return tune_encoder(
        folder, texts.prompts, texts.responses, texts.group, 1, out=out, rng=np.random.default_rng(1), **settings
    )


def loss(found: TunedEncoder, texts: Texts, group: GroupComparisons) -> float:
    """Of the saved encoder and the heads, in nats a comparison."""
    encoder = load_encoder(found.folder, device="cpu", pooling=found.pooling, reads=found.reads)
    features = encoder.encode(texts.prompts, texts.responses).encodings @ found.learned.heads
    margins = (group.differences(features) * found.learned.coefficients[group.users]).sum(axis=1)
    return float((np.logaddexp(0, margins) - (1 + group.outcomes) / 2 * margins).mean())


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "BertModel"])
def test_the_saved_encoder_predicts_people_better_than_the_one_it_came_from(
    tiny_model: Callable[..., Path], texts: Texts, architecture: str, tmp_path: Path
) -> None:
    folder = tiny_model(architecture)
    found = tuned(folder, texts, tmp_path / "tuned")
    info = found.learned.info
    frozen = load_encoder(folder, device="cpu").encode(texts.prompts, texts.responses).encodings
    heads = fit_rfm(frozen, texts.group, 1, rng=np.random.default_rng(1), validation=texts.held_out)
    assert info.validation_losses[0] == pytest.approx(min(heads.info.validation_losses), abs=0.01)
    assert loss(found, texts, texts.held_out) == pytest.approx(min(info.validation_losses), abs=1e-4)
    assert min(info.validation_losses) < info.validation_losses[0] - 0.02


def test_only_the_last_layers_change_where_no_others_are_to(
    tiny_model: Callable[..., Path], texts: Texts, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    folder = tiny_model("LlamaModel")
    found = tuned(folder, texts, tmp_path / "tuned", n_layers=1, n_steps=20, validation=None)
    before, after = (load_file(each / "model.safetensors") for each in (folder, found.folder))
    changed = {name for name, values in before.items() if not np.array_equal(values, after[name])}
    assert changed == {name for name in before if name.startswith("layers.1.")}


def test_fewer_texts_at_once_take_the_same_steps(tiny_model: Callable[..., Path], texts: Texts, tmp_path: Path) -> None:
    """Slopes are added up, whatever memory holds; a tiny model has no dropout."""
    folder = tiny_model("LlamaModel")
    run = partial(tuned, folder, texts, n_steps=4)
    one, other = run(tmp_path / "one"), run(tmp_path / "other", batch_tokens=200)
    np.testing.assert_allclose(one.learned.heads, other.learned.heads, rtol=1e-3, atol=1e-4)
    assert one.learned.info.validation_losses == pytest.approx(other.learned.info.validation_losses, abs=1e-4)


def test_the_same_seed_gives_the_same_encoder(tiny_model: Callable[..., Path], texts: Texts, tmp_path: Path) -> None:
    folder = tiny_model("BertModel", hidden_dropout_prob=0.1)
    one, other = (tuned(folder, texts, tmp_path / each, n_steps=5) for each in ("one", "other"))
    np.testing.assert_array_equal(one.learned.heads, other.learned.heads)
    assert (one.folder / "model.safetensors").read_bytes() == (other.folder / "model.safetensors").read_bytes()


def test_a_run_that_was_ended_comes_to_the_same_encoder(
    tiny_model: Callable[..., Path], texts: Texts, tmp_path: Path
) -> None:
    """With dropout, and an end before the first saving, twice after one, and when the encoder was to be written."""
    folder = tiny_model("BertModel", hidden_dropout_prob=0.1)
    kept = {"cache": tmp_path / "cache", "checkpoints": tmp_path / "run", "n_steps": 70}
    whole = tuned(folder, texts, tmp_path / "whole", n_steps=70)
    seen: list[str] = []
    for end in ("tuning the encoder", "step 20 ", "step 40 ", "step 70 "):

        def tell(what: str, end: str = end) -> None:
            seen.append(what)
            if what.startswith("tuning") and end in what:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            tuned(folder, texts, tmp_path / "new", on_step=tell, **kept)
    found = tuned(folder, texts, tmp_path / "new", **kept)

    told = [what for what in seen if what.startswith("tuning the encoder:")]
    assert [what.split(" of ")[0].split()[-1] for what in told] == ["20", "40", "60", "70"]  # no step was taken twice
    assert found.learned.info == whole.learned.info
    np.testing.assert_array_equal(found.learned.heads, whole.learned.heads)
    np.testing.assert_array_equal(found.learned.coefficients, whole.learned.coefficients)
    name = "model.safetensors"
    assert (found.folder / name).read_bytes() == (whole.folder / name).read_bytes() != (folder / name).read_bytes()


def test_a_run_of_other_texts_or_options_is_refused(
    tiny_model: Callable[..., Path], texts: Texts, tmp_path: Path
) -> None:
    folder, kept = tiny_model("BertModel"), {"checkpoints": tmp_path / "run", "n_steps": 20}
    tuned(folder, texts, tmp_path / "one", **kept)
    for others in ({"batch": 8}, {"n_layers": 1}, {"rate": 1e-4}):
        with pytest.raises(MismatchError, match="is of other comparisons, encodings, options"):
            tuned(folder, texts, tmp_path / "two", **kept | others)
    with pytest.raises(MismatchError, match="is of other comparisons, encodings, options"):
        tuned(folder, texts._replace(responses=[*texts.responses[:-1], "cat"]), tmp_path / "two", **kept)


def test_steps_too_large_end_with_the_best_before(
    tiny_model: Callable[..., Path], texts: Texts, tmp_path: Path
) -> None:
    found = tuned(tiny_model("LlamaModel"), texts, tmp_path / "tuned", rate=1e6, n_steps=40)
    assert loss(found, texts, texts.held_out) == pytest.approx(min(found.learned.info.validation_losses), abs=1e-4)
    assert found.learned.info.best_step == 0


def test_bad_input_is_refused(tiny_model: Callable[..., Path], texts: Texts, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="n_layers is 3 and the encoder has 2"):
        tuned(tiny_model("LlamaModel"), texts, tmp_path / "new", n_layers=3)
    with pytest.raises(InputError, match="is there already; give a new one"):
        tuned(tiny_model("LlamaModel"), texts, tmp_path)
    assert list(tmp_path.iterdir()) == []
