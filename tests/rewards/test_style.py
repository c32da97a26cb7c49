"""Style features: which way they point, that a row depends on its text alone, and what is refused."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError, NotFoundError, StorageError
from prefq.rewards.base import STARTER_FOLDER
from prefq.rewards.folder import MANIFEST
from prefq.rewards.style import LEXICON, StyleRewards, load_style_rewards
from prefq.vocabulary import Array

REWARDS = load_style_rewards(STARTER_FOLDER)
# Texts of neither the pool nor the foreign set: low pole, high pole.
PAIRS = {
    "thorough": [
        (
            "Use a sharp knife and cut away from you.",
            (
                "Use a sharp knife and cut away from you. A blunt blade slips, so hone it before you begin. Keep "
                "the board from sliding with a damp cloth underneath, curl the fingers of the other hand, and "
                "let the tip rest."
            ),
        ),
        (
            "Water it once a week.",
            (
                "Water it once a week, less in winter. Check the soil with a finger first, pour until it drains, "
                "and empty the saucer afterwards; roots that stand in water rot, and leaves turn yellow."
            ),
        ),
    ],
    "formal": [
        (
            ("Nah, don't bother ringing them, they won't pick up. Just drop 'em a line and you'll be sorted, mate."),
            (
                "Telephoning the office is seldom productive. It is therefore advisable to submit a written "
                "request, upon receipt of which a response will be provided."
            ),
        ),
        (
            "Yeah, it's a bit rubbish, but you can't really fix it. Grab a new one, they're dead cheap.",
            (
                "The device is regrettably beyond repair; consequently, the purchase of a replacement, which may "
                "be obtained at moderate expense, is recommended."
            ),
        ),
    ],
    "technical": [
        (
            (
                "The sky looks blue because the air throws blue light around more than red light, so it comes at "
                "us from every side."
            ),
            (
                "Rayleigh scattering scales with the inverse fourth power of wavelength, so 450 nm photons are "
                "deflected by atmospheric molecules far more than 650 nm ones."
            ),
        ),
        (
            "Put your feet up, drink a lot, and the swelling should go down in a day or two.",
            (
                "Elevation and hydration reduce peripheral oedema by promoting venous return; expect resolution "
                "within 24-48 h unless renal function is impaired."
            ),
        ),
    ],
    "structured": [
        (
            (
                "First fill the tank, and once the light is green, which takes about a minute, press the lever "
                "and wait until the cup is full, because stopping early leaves it weak."
            ),
            "1. Fill the tank.\n2. Wait for the green light.\n3. Press the lever.\n4. Stop when the cup is full.",
        ),
        (
            (
                "The train is cheaper and you can read on it, although it leaves early, whereas the coach costs "
                "less still but takes twice as long."
            ),
            "Train: cheaper, room to read.\nCoach: cheapest, twice as long.\nNote: the train leaves early.",
        ),
    ],
    "warm": [
        (
            ("Grades are determined by the final paper. A lower mark in one course has little effect on admission."),
            (
                "I'm so sorry, that must hurt after all your work. You are more than one mark, and I hope you "
                "can be kind to yourself tonight."
            ),
        ),
        (
            ("The first weeks with an infant involve interrupted sleep. The pattern changes at about three months."),
            (
                "Congratulations, how lovely! Those tired nights are hard, but you're doing wonderfully, and it "
                "does get easier. Please rest when you can."
            ),
        ),
    ],
    "decisive": [
        (
            (
                "It may depend on the soil; some gardeners prefer autumn, while others would wait until spring, "
                "and either could work."
            ),
            "Plant in autumn. Spring is too late, full stop. Dig the hole today and never look back.",
        ),
        (
            (
                "Both might suit you, although the larger one is perhaps heavier, whereas the smaller one could "
                "feel cramped."
            ),
            ("Buy the larger one. It is the best choice, it will last, and you must not waste money on the other."),
        ),
    ],
    "example": [
        (
            ("People remember what they have explained to someone, because explaining requires an order of ideas."),
            (
                "Last Tuesday Omar explained fractions to his sister Leila with eight slices of pizza, and on "
                "Friday he still knew every step."
            ),
        ),
        (
            ("Small amounts add up over time, since every habit is repeated and repetition multiplies its effect."),
            ("When Ingrid skipped her 4-euro latte in March and April, she had 240 euros by June and went to Bergen."),
        ),
    ],
    "playful": [
        (
            ("A dirty filter reduces the flow of air and may damage the motor. Replace it to prevent a fire risk."),
            (
                "Your hoover is sulking like a dragon with a blocked nose. Empty its belly before it stages a "
                "mutiny and spits confetti at the cat."
            ),
        ),
        (
            "Overwatering harms the roots and causes serious disease. Reduce the amount of water immediately.",
            (
                "Your fern is no camel, but it isn't a mermaid either: stop drowning the poor diva and let her "
                "toes dry before she faints on the sofa."
            ),
        ),
    ],
}
WEIRD = {
    "empty": "",
    "blank": " \n\t ",
    "long": "It depends on the weather, really. " * 1700,
    "one letter": "a",
    "one long word": "a" * 50_000,
    "right to left": "שלום עולם, זה טקסט קצר.",
    "wide": "这是一个没有空格的句子。" * 20,
    "emoji": "🎉🎉 great 👩‍👩‍👧!",
    "control": "\x00\x07\x1b[31mred\x1b[0m\u202e",
    "half a character": "\ud800",
    "markup": "[bold]not markup[/bold] " + "[" * 2000,
    "quotes": "'\"" * 3000,
}


def features(*responses: str) -> Array:
    return REWARDS.features(["How?"] * len(responses), responses)


def sentence_of(call: Callable[[], object], kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(("axis", "low", "high"), [(axis, *texts) for axis, both in PAIRS.items() for texts in both])
def test_each_axis_points_the_way_its_name_says(axis: str, low: str, high: str) -> None:
    column = REWARDS.feature_space.names.index(axis)
    measured = features(low, high)[:, column]

    assert measured[0] < measured[1]


def test_axes_and_their_opposites() -> None:
    space = prefq.load_rewards("starter").feature_space

    assert dict(zip(space.opposites, space.names, strict=True)) == {
        "brief": "thorough",
        "casual": "formal",
        "plain": "technical",
        "prose": "structured",
        "neutral": "warm",
        "balanced": "decisive",
        "principle": "example",
        "serious": "playful",
    }


def test_a_row_depends_on_its_text_alone() -> None:
    texts = [*WEIRD.values(), *(text for both in PAIRS.values() for pair in both for text in pair)]
    together = features(*texts)

    np.testing.assert_array_equal(together, np.concatenate([features(text) for text in texts]))
    np.testing.assert_array_equal(together[::-1], features(*texts[::-1]))
    np.testing.assert_array_equal(together, REWARDS.features(texts, texts))  # the prompt is not read


@pytest.mark.parametrize("text", WEIRD.values(), ids=WEIRD.keys())
def test_weird_texts_have_moderate_features(text: str) -> None:
    assert np.isfinite(features(text)).all()
    assert np.abs(features(text)).max() < 10


def test_ten_thousand_words_take_no_visible_time() -> None:
    start = time.perf_counter()
    features(WEIRD["long"])

    assert time.perf_counter() - start < 2.0  # 0.1 s on an ordinary machine


def test_a_longer_text_of_one_style_is_more_thorough_and_little_else() -> None:
    text = "I would take the train, because it is calmer and Anna likes to read. "
    short, long = features(text * 3, text * 30)

    assert long[0] - short[0] > 1.0
    assert np.abs(long[1:] - short[1:]).max() < 1.0


def test_no_texts_give_no_rows() -> None:
    assert REWARDS.features([], []).shape == (0, 8)


@pytest.mark.parametrize(
    ("prompts", "responses", "sentence"),
    [
        (["a"], ["b", "c"], "1 prompts and 2 responses"),
        ("a", ["b"], "give a list of texts"),
        (["a"], "b", "give a list of texts"),
        (["a"], [None], "hold None"),
        ([3], ["b"], "hold 3"),
    ],
)
def test_texts_that_are_none_are_refused(prompts: Any, responses: Any, sentence: str) -> None:
    assert sentence in sentence_of(lambda: REWARDS.features(prompts, responses))


def test_rewards_come_back_from_their_folder(tmp_path: Path) -> None:
    REWARDS.save(tmp_path / "new" / "rewards")
    loaded = prefq.load_rewards(tmp_path / "new" / "rewards")

    assert loaded.feature_space == REWARDS.feature_space
    np.testing.assert_array_equal(loaded.features([""], ["Well, perhaps."]), features("Well, perhaps."))
    assert sorted(path.name for path in (tmp_path / "new" / "rewards").iterdir()) == [LEXICON, MANIFEST]


def test_starter_is_the_bundled_one_even_beside_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(REWARDS, version="other").save(tmp_path / "starter")
    monkeypatch.chdir(tmp_path)

    assert prefq.load_rewards("starter").feature_space.version == REWARDS.version
    assert prefq.load_rewards("./starter").feature_space.version == "other"


def test_another_weight_is_another_feature_space() -> None:
    weights = REWARDS.weights.copy()
    weights[0, 0] += 1e-6

    assert replace(REWARDS, weights=weights).feature_space.digest != REWARDS.feature_space.digest
    assert replace(REWARDS, lexicon_text=REWARDS.lexicon_text + "\n").feature_space.digest != (
        REWARDS.feature_space.digest
    )


def test_values_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        REWARDS.weights[0, 0] = 1.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(STARTER_FOLDER, tmp_path / "rewards")
    return tmp_path / "rewards"


def edit(folder: Path, **fields: object) -> None:
    """Change the manifest, and its checksum with it, as someone would who wants to deceive."""
    manifest = json.loads((folder / MANIFEST).read_bytes()) | fields
    del manifest["checksum"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_no_such_folder() -> None:
    assert "there are no rewards in 'nowhere'" in sentence_of(lambda: prefq.load_rewards("nowhere"), NotFoundError)


@pytest.mark.parametrize("name", ["", None, 3, b"starter", "a\0b"])
def test_a_name_that_is_none(name: Any) -> None:
    assert "give 'starter' or a folder" in sentence_of(lambda: prefq.load_rewards(name))


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    assert "holds no rewards.json" in sentence_of(lambda: prefq.load_rewards(tmp_path))
    (tmp_path / MANIFEST).write_text('{"kind": "prefq pool"}', encoding="utf-8")
    assert "its kind is 'prefq pool'" in sentence_of(lambda: prefq.load_rewards(tmp_path))


def test_half_a_manifest(folder: Path) -> None:
    content = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(content[: len(content) // 2])

    assert "is no JSON object" in sentence_of(lambda: prefq.load_rewards(folder))


def test_a_changed_manifest(folder: Path) -> None:
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    (folder / MANIFEST).write_text(text.replace('"thorough"', '"lengthy"'), encoding="utf-8")

    assert "was changed after it was written" in sentence_of(lambda: prefq.load_rewards(folder))


def test_a_changed_lexicon(folder: Path) -> None:
    with (folder / LEXICON).open("a", encoding="utf-8") as file:
        file.write("more")

    assert "lexicon.txt of the rewards" in sentence_of(lambda: prefq.load_rewards(folder))


def test_a_lexicon_that_is_gone(folder: Path) -> None:
    (folder / LEXICON).unlink()

    assert "lexicon.txt of the rewards in" in sentence_of(lambda: prefq.load_rewards(folder))


@pytest.mark.parametrize("name", ["format_version", "statistics_version"])
def test_rewards_of_a_newer_prefq(folder: Path, name: str) -> None:
    edit(folder, **{name: 2})

    assert f"has {name} 2, and this prefq reads up to 1; install a newer" in sentence_of(
        lambda: prefq.load_rewards(folder)
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"version": "changed"}, "not what their rewards.json says"),
        ({"names": ["a"]}, "weights have shape"),
        ({"means": [0.0]}, "means have shape"),
        ({"scales": "x"}, "cannot be read as numbers"),
        ({"statistics": ["nothing"] * len(REWARDS.statistics)}, "'nothing' is not one that this prefq computes"),
        ({"opposites": 3}, "cannot be used"),
        ({"format_version": "1"}, "format_version '1'"),
        ({"files": {}}, "lexicon.txt of the rewards"),
    ],
)
def test_a_manifest_that_was_changed_with_its_checksum(folder: Path, fields: dict[str, object], sentence: str) -> None:
    edit(folder, **fields)

    assert sentence in sentence_of(lambda: prefq.load_rewards(folder))


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scales_must_be_positive(scale: float) -> None:
    scales = REWARDS.scales.copy()
    scales[3] = scale

    assert "not positive" in sentence_of(lambda: replace(REWARDS, scales=scales))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    assert "cannot be written" in sentence_of(lambda: REWARDS.save(tmp_path / "file"), StorageError)


def test_one_weight_worked_by_hand() -> None:
    d = len(REWARDS.names)
    weights = np.zeros((1, d))
    weights[0, 1] = 3.0
    one = StyleRewards(
        REWARDS.names, REWARDS.opposites, "by hand", REWARDS.lexicon_text, ("log_words",), np.array([1.0]),
        np.array([0.5]), weights,
    )  # fmt: skip
    z = (np.log(4) - 1.0) / 0.5

    expected = np.zeros(d)
    expected[1] = 3.0 * 2 * np.arcsinh(z / 2)
    np.testing.assert_allclose(one.features([""], ["just three words"])[0], expected, atol=1e-6)
