"""The Attributes-like world: personas, the judge, and features that are learned from others."""

from dataclasses import replace

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.inference.likelihood import sigmoid
from prefq.simulation.attributes import (
    TUNED,
    AttributesSettings,
    attributes,
    learned_features,
    personas,
    split_personas,
)
from prefq.simulation.panels import Panel
from prefq.simulation.scenes import replies
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array


def world(seed: int = 0, n_users: int = 42, settings: AttributesSettings = TUNED, n_pool: int = 300) -> Panel:
    return attributes(n_users=n_users, rng=np.random.default_rng(seed), n_pool=n_pool, settings=settings)


def explained(panel: Panel) -> float:
    """Share of the true margins' variance over the pool that the features can say, best weights for each user."""
    assert panel.margins is not None
    differences, margins = (panel.first - panel.second)[0], panel.margins.T
    fitted = differences @ np.linalg.lstsq(differences, margins, rcond=None)[0]
    return float(1 - np.square(margins - fitted).sum() / np.square(margins).sum())


def test_there_are_84_personas_each_of_two_poles_in_different_traits() -> None:
    wishes = personas()

    assert len({tuple(wish) for wish in wishes.tolist()}) == 84  # 21 pairs of traits, 4 pairs of poles
    assert (np.abs(wishes).sum(axis=1) == 2).all()
    assert set(np.unique(wishes).tolist()) == {-1.0, 0.0, 1.0}
    assert wishes.sum(axis=0).tolist() == [0.0] * 7  # no pole is wished for more often than its opposite


def test_users_are_personas_that_nothing_was_learned_from() -> None:
    training, held_out = split_personas(np.random.default_rng(3))
    seen, new = ({tuple(wish) for wish in part.tolist()} for part in (training, held_out))

    assert len(seen) == len(new) == 42
    assert not seen & new


def test_beyond_42_users_personas_come_round_again_with_replies_of_their_own() -> None:
    panel = world(n_users=50)
    assert panel.margins is not None

    assert panel.margins[42:] == pytest.approx(panel.margins[:8])
    assert (panel.outcomes[42:] != panel.outcomes[:8]).any(axis=1).all()
    assert len(np.unique(panel.margins[:42, 0])) == 42


def test_the_judge_errs_as_often_as_its_margins_say() -> None:
    panel = world(n_pool=2000)
    assert panel.margins is not None
    agrees = np.sign(panel.margins) == panel.outcomes
    expected = sigmoid(np.abs(panel.margins)).mean()

    assert agrees.mean() == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(agrees.size))


def test_all_factors_of_traits_read_without_error_say_everything() -> None:
    exact = replace(TUNED, n_features=7, reading_error=0.0)

    assert explained(world(settings=exact)) == pytest.approx(1, abs=1e-9)
    assert explained(world(settings=replace(exact, reading_error=1.0))) < 0.7
    assert explained(world(settings=replace(exact, n_features=3))) < 0.8


def test_factors_are_those_of_the_answers_and_as_long_as_asked() -> None:
    # Two camps that disagree about the first trait alone: the one factor is that trait.
    rng = np.random.default_rng(1)
    differences = rng.normal(size=(3000, 7))
    margins = 5 * np.array([[1.0], [-1.0]] * 15) * differences[:, 0]
    loadings = learned_features(differences, replies(margins, rng), replace(TUNED, n_features=1, feature_scale=0.4))

    lengths: Array = np.linalg.norm(differences @ loadings, axis=1)
    assert np.sqrt(np.square(lengths).mean()) == pytest.approx(0.4)
    assert abs(loadings[0, 0]) > 20 * np.abs(loadings[1:, 0]).max()


def test_the_same_seed_makes_the_same_world_by_name_too() -> None:
    one = make_world("attributes", n_users=5, rng=np.random.default_rng(8), n_pool=60)
    other = attributes(n_users=5, rng=np.random.default_rng(8), n_pool=60)

    assert one.name == "attributes"
    assert (one.first == other.first).all()
    assert (one.outcomes == other.outcomes).all()
    assert (one.test_truth == other.test_truth).all()
    assert (one.first != world(9, 5, n_pool=60).first).any()


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(InputError, match="trait_decay is 0"):
        AttributesSettings(trait_decay=0.0)
    with pytest.raises(InputError, match="n_features is 8; there are 1 to 7"):
        AttributesSettings(n_features=8)
    with pytest.raises(InputError, match="strength is nan"):
        AttributesSettings(strength=float("nan"))
