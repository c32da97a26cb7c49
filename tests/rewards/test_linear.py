"""Linear rewards: what a feature is, what names decide, that the encoder is the right one, and folders that are not."""

import hashlib
import json
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError, MismatchError, NotFoundError, StorageError
from prefq.rewards.encoders import EncoderIdentity, load_encoder
from prefq.rewards.folder import MANIFEST
from prefq.rewards.linear import HEADS, Example, FeatureExamples, LinearRewards

TinyModel = Callable[..., Path]
IDENTITY = EncoderIdentity("tiny", "d1", "last", False, False, 64, "f1", "float32")
MEAN, HEAD = np.array([1.0, 0.0, -1.0]), np.array([[1.0, 0.0], [0.5, -2.0], [0.0, 3.0]])
REPORT = {"method": "bayes", "curve": [{"n_features": 2, "accuracy": 0.625}]}
PROMPTS = ["How do I cut onions?", "Name a bird.", "Hi"]
RESPONSES = ["Use a sharp knife.", "Wren 🐦, or tit. " * 20, ""]


def rewards_of(**fields: Any) -> LinearRewards:
    """Two features of three dimensions, by hand, with everything that can be told of them."""
    bare = LinearRewards(IDENTITY, "nowhere", MEAN, HEAD, ("warm", "formal"), ("", "casual"))
    prior = prefq.PopulationPrior(prefq.Gaussian([0.5, 0.0], [[1.0, 0.2], [0.2, 0.5]]), bare.feature_space, n_users=9)
    examples = [FeatureExamples((Example("p", "r", 2.5),), (Example("p", "[s]", -1.0),))] * 2
    values: dict[str, Any] = {"prior": prior, "examples": tuple(examples), "report": REPORT} | fields
    return replace(bare, **values)


REWARDS = rewards_of()


def of_encoder(folder: Path, **fields: Any) -> LinearRewards:
    """Three features of an encoder's dimensions."""
    encoder = load_encoder(folder, device="cpu")
    rng = np.random.default_rng(0)
    mean, heads = rng.normal(size=encoder.n_dims), rng.normal(size=(encoder.n_dims, 3))
    return LinearRewards(encoder.identity, str(folder), mean, heads, ("a", "b", "c"), **fields)


def sentence_of(call: Callable[[], object], kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_a_feature_worked_by_hand() -> None:
    # (2, 1, 0) - (1, 0, -1) = (1, 1, 1): 1 + .5 + 0 and 0 - 2 + 3
    np.testing.assert_array_equal(REWARDS.from_encodings(np.array([[2.0, 1.0, 0.0], MEAN])), [[1.5, 1.0], [0.0, 0.0]])


@given(st.integers(0, 700), st.integers(0, 2**32 - 1))
def test_a_row_does_not_depend_on_the_others_to_the_last_bit(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    encodings = rng.normal(size=(n, 3)).astype(np.float32)
    cut = int(rng.integers(0, n + 1))
    halves = [REWARDS.from_encodings(encodings[:cut]), REWARDS.from_encodings(encodings[cut:])]
    np.testing.assert_array_equal(REWARDS.from_encodings(encodings), np.concatenate(halves))


@pytest.mark.parametrize("which", ["minilm", "decoder"])
def test_features_of_texts_are_those_of_their_encodings(which: str, minilm_folder: Path, tiny_model: TinyModel) -> None:
    folder = minilm_folder if which == "minilm" else tiny_model(chat=True)
    rewards = of_encoder(folder)
    encodings = load_encoder(folder, device="cpu").encode(PROMPTS, RESPONSES).encodings
    expected = (encodings.astype(np.float64) - rewards.mean) @ rewards.heads

    np.testing.assert_allclose(rewards.features(PROMPTS, RESPONSES), expected, rtol=1e-9, atol=1e-9)
    alone = np.concatenate([rewards.features([p], [r]) for p, r in zip(PROMPTS, RESPONSES, strict=True)])
    np.testing.assert_allclose(alone, expected, atol=1e-5 * np.abs(rewards.heads).sum())
    assert rewards.features([], []).shape == (0, 3)


def test_an_encoder_that_read_responses_only_is_opened_as_it_was(minilm_folder: Path) -> None:
    encoder = load_encoder(minilm_folder, device="cpu", reads="response", max_tokens=16)
    rewards = LinearRewards(encoder.identity, str(minilm_folder), np.zeros(384), np.eye(384)[:, :1], ("first",))
    expected = encoder.encode(PROMPTS, RESPONSES).encodings[:, :1]

    np.testing.assert_allclose(rewards.features(PROMPTS, RESPONSES), expected, atol=1e-6)


def test_rewards_come_back_from_their_folder(tmp_path: Path, tiny_model: TinyModel) -> None:
    rewards = of_encoder(tiny_model(), examples=REWARDS.examples[:1] * 3, report=REPORT)
    rewards.save(tmp_path / "new" / "rewards")
    loaded = prefq.load_rewards(tmp_path / "new" / "rewards")

    assert isinstance(loaded, LinearRewards)
    assert loaded.feature_space == rewards.feature_space
    assert (loaded.examples, loaded.report, loaded.prior) == (rewards.examples, REPORT, None)
    np.testing.assert_array_equal(loaded.features(PROMPTS, RESPONSES), rewards.features(PROMPTS, RESPONSES))
    assert sorted(path.name for path in (tmp_path / "new" / "rewards").iterdir()) == [HEADS, MANIFEST]
    REWARDS.save(tmp_path / "other")
    again = prefq.load_rewards(tmp_path / "other")
    assert isinstance(again, LinearRewards)
    assert again.prior is not None
    assert REWARDS.prior is not None
    assert again.prior.digest() == REWARDS.prior.digest()


def test_other_names_are_the_same_features(tmp_path: Path) -> None:
    renamed = REWARDS.renamed({"warm": "kind", "formal": "warm"}, {"warm": "cold"})

    assert (renamed.names, renamed.opposites) == (("kind", "warm"), ("cold", "casual"))
    assert renamed.feature_space.digest == REWARDS.feature_space.digest
    assert renamed.prior is not None
    assert renamed.prior.feature_space.names == ("kind", "warm")
    pool = prefq.CandidatePool.from_arrays(
        REWARDS.from_encodings(np.random.default_rng(0).normal(size=(6, 3))),
        [[0, 1], [2, 3], [4, 5]],
        feature_space=REWARDS.feature_space,
        prior=REWARDS.prior,
    )
    assert replace(pool, feature_space=renamed.feature_space, prior=renamed.prior).digest() == pool.digest()


@pytest.mark.parametrize(
    ("names", "kind", "sentence"),
    [
        ({"cold": "x"}, NotFoundError, "there is no feature 'cold'; there are warm, formal"),
        ({"warm": "formal"}, InputError, "none empty or repeated"),
        ({"warm": ""}, InputError, "none empty or repeated"),
        ({"warm": "a\nb"}, InputError, "control characters"),
    ],
)
def test_names_that_are_none(names: Mapping[str, str], kind: type[Exception], sentence: str) -> None:
    assert sentence in sentence_of(lambda: REWARDS.renamed(names), kind)


def test_another_number_or_encoder_is_another_feature_space() -> None:
    digest = REWARDS.feature_space.digest
    assert replace(REWARDS, heads=HEAD * (1 + 1e-15), prior=None).feature_space.digest != digest
    assert replace(REWARDS, mean=MEAN + 1, prior=None).feature_space.digest != digest
    other = replace(IDENTITY, digest="d2")
    assert replace(REWARDS, encoder_identity=other, prior=None).feature_space.digest != digest
    moved = replace(IDENTITY, name="elsewhere")
    assert replace(REWARDS, encoder_identity=moved).feature_space.digest == digest


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"heads": HEAD[:2]}, "heads have shape (2, 2)"),
        ({"heads": HEAD * [1, 0]}, "the head of 'formal' is all zero"),
        ({"heads": np.full((3, 2), np.nan)}, "heads holds NaN"),
        ({"names": ("one",)}, "and 1 names"),
        ({"encoder": ""}, "encoder is ''"),
        ({"examples": REWARDS.examples[:1]}, "examples of 1 features, not 2"),
        ({"report": {"loss": float("nan")}}, "which JSON cannot hold"),
        ({"report": {"array": np.zeros(2)}}, "which JSON cannot hold"),
    ],
)
def test_values_that_are_none(fields: dict[str, Any], sentence: str) -> None:
    assert sentence in sentence_of(lambda: replace(REWARDS, **({"prior": None} | fields)))


def test_a_prior_of_other_features() -> None:
    other = prefq.PopulationPrior(prefq.Gaussian([0.0, 0.0], np.eye(2)), prefq.FeatureSpace(("warm", "formal")))
    assert "the prior belongs to another feature space" in sentence_of(lambda: rewards_of(prior=other), MismatchError)


@pytest.mark.parametrize("encodings", [np.zeros((2, 4)), np.zeros(3), np.zeros((2, 3), dtype=int)])
def test_encodings_of_another_shape(encodings: Any) -> None:
    assert "expected floats, (n, 3)" in sentence_of(lambda: REWARDS.from_encodings(encodings))


def test_encodings_that_are_not_finite() -> None:
    encodings = np.zeros((300, 3))
    encodings[280, 1] = np.inf
    assert "the features of row 280 are not finite" in sentence_of(lambda: REWARDS.from_encodings(encodings))


def test_values_are_read_only_and_pickle_without_the_encoder(tiny_model: TinyModel) -> None:
    with pytest.raises(ValueError, match="read-only"):
        REWARDS.heads[0, 0] = 1.0
    rewards = of_encoder(tiny_model())
    before = rewards.features(PROMPTS, RESPONSES)
    pickled = pickle.dumps(rewards)
    assert len(pickled) < 5000  # 32 × 4 numbers, and no weights of a model
    np.testing.assert_array_equal(pickle.loads(pickled).features(PROMPTS, RESPONSES), before)


def test_another_encoder_at_the_place(tmp_path: Path, tiny_model: TinyModel) -> None:
    of_encoder(tiny_model()).save(tmp_path)
    other = prefq.load_rewards(tmp_path, encoder=tiny_model(max_position_embeddings=256))

    told = sentence_of(lambda: other.features(PROMPTS, RESPONSES), MismatchError)
    assert "is not the one that these rewards were learned on (other weights, tokenizer or settings" in told
    assert "--encoder" in told


def test_an_encoder_that_moved(tmp_path: Path, tiny_model: TinyModel) -> None:
    here = tiny_model()
    rewards = of_encoder(here)
    rewards.save(tmp_path / "rewards")
    expected = rewards.features(PROMPTS, RESPONSES)
    here.rename(tmp_path / "moved")

    told = sentence_of(lambda: prefq.load_rewards(tmp_path / "rewards").features(PROMPTS, RESPONSES), NotFoundError)
    assert "the encoder of these rewards is not at" in told
    loaded = prefq.load_rewards(tmp_path / "rewards", encoder=tmp_path / "moved")
    np.testing.assert_array_equal(loaded.features(PROMPTS, RESPONSES), expected)


def test_an_encoder_for_rewards_that_read_none() -> None:
    assert "read no encoder; leave it out" in sentence_of(lambda: prefq.load_rewards("starter", encoder="x"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    REWARDS.save(tmp_path / "rewards")
    return tmp_path / "rewards"


def edit(folder: Path, **fields: object) -> None:
    """Change the manifest, and its checksum with it, as someone would who wants to deceive."""
    manifest = json.loads((folder / MANIFEST).read_bytes()) | fields
    del manifest["checksum"]
    manifest["checksum"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: cut(folder / MANIFEST), "no JSON object"),
        (lambda folder: cut(folder / HEADS), "heads.safetensors of the rewards .* was changed or cut short"),
        (lambda folder: (folder / HEADS).unlink(), "heads.safetensors of the rewards .* is not there"),
        (lambda folder: edit(folder, format_version=2), "format_version 2, and this prefq reads up to 1; install a"),
        (lambda folder: edit(folder, digest="0"), "not what their rewards.json says"),
        (lambda folder: edit(folder, names=["a"]), "cannot be used"),
        (lambda folder: edit(folder, prior={}), "cannot be used"),
        (lambda folder: edit(folder, encoder_identity={}), "cannot be used"),
        (lambda folder: edit(folder, examples=[3]), "cannot be used"),
        (lambda folder: edit(folder, files={}), "heads.safetensors of the rewards"),
    ],
)
def test_folders_that_are_damaged_newer_or_forged(folder: Path, change: Callable[[Path], None], sentence: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=sentence):
        prefq.load_rewards(folder)


def test_a_manifest_edited_by_hand(folder: Path) -> None:
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    (folder / MANIFEST).write_text(text.replace('"warm"', '"cold"'), encoding="utf-8")
    assert "was changed after it was written" in sentence_of(lambda: prefq.load_rewards(folder))


def test_heads_of_other_rewards_are_refused(folder: Path) -> None:
    other = folder.with_name("other")
    replace(REWARDS, heads=HEAD * 2, prior=None).save(other)
    (other / HEADS).replace(folder / HEADS)  # as a run does that ends between its two files
    assert "was changed or cut short" in sentence_of(lambda: prefq.load_rewards(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files cannot be limited")
def test_on_a_disk_that_is_full_what_was_there_stays(tmp_path: Path) -> None:
    import resource

    REWARDS.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    larger = replace(REWARDS, report={"notes": "long " * 5000})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        told = sentence_of(lambda: larger.save(tmp_path), StorageError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.endswith("(File too large); free space, or give a folder that can be written.")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "cannot be written" in sentence_of(lambda: REWARDS.save(tmp_path / "file"), StorageError)
