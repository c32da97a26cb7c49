"""Raters of texts: tastes, utilities, who answers what, and that nothing leaks from the test prompts."""

import numpy as np
import pytest

import prefq
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import learning_curve
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import OURS
from prefq.simulation.text_raters import (
    SURE,
    RaterScene,
    common_or_camps,
    common_or_own,
    rated_by_attributes,
    rater_scene,
)
from prefq.vocabulary import Array

CODES = np.repeat(np.arange(60), 5)
N_ATTRIBUTES = 4


def attributes() -> Array:
    return np.random.default_rng(8).normal(size=(CODES.size, N_ATTRIBUTES))


def scene(p: float, *, n_training: int = 30, n_users: int = 40, strength: float = SURE, seed: int = 1) -> RaterScene:
    rng = np.random.default_rng(seed)
    tastes = common_or_camps(p, n_training + n_users, N_ATTRIBUTES, rng=rng)
    return rater_scene(
        rated_by_attributes(attributes(), CODES, tastes),
        CODES,
        training=np.arange(n_training),
        users=np.arange(n_training, n_training + n_users),
        n_answers=50,
        n_pool=200,
        n_tests=150,
        strength=strength,
        rng=rng,
    )


def accuracies(panel: prefq.simulation.panels.Panel, name: str, n_questions: int) -> Array:
    """Mean accuracy over the users after 0, 1, … answers."""
    strategy = next(each for each in (*OURS, *CONTROLS) if each.name == name)
    curve = learning_curve(strategy, panel, fitted_start(panel), n_questions=n_questions, rng=np.random.default_rng(2))
    return np.asarray(curve.measures["accuracy"].mean(axis=0))


def test_all_agree_at_one_and_are_opposed_at_zero() -> None:
    rng = np.random.default_rng(1)
    np.testing.assert_allclose(np.ptp(common_or_camps(1, 20, 3, rng=rng), axis=0), 0)
    cosines = (camps := common_or_camps(0, 20, 3, rng=rng)) @ camps[0]
    np.testing.assert_allclose(np.abs(cosines), 1)
    assert {-1, 1} == set(np.round(cosines).astype(int).tolist())


def test_as_many_share_the_common_taste_as_are_said_to() -> None:
    for make in (common_or_camps, common_or_own):
        tastes = make(0.3, 4000, 5, rng=np.random.default_rng(4))
        np.testing.assert_allclose(np.linalg.norm(tastes, axis=1), 1)
        _, counts = np.unique(tastes.round(9), axis=0, return_counts=True)
        shares = np.sort(counts / len(tastes))[::-1]
        commonest = shares[0] if make is common_or_own else shares[2]  # camps: two of .35, and the common one
        assert abs(commonest - 0.3) < 0.03  # four standard errors


def test_attributes_weigh_by_their_difference_within_prompts() -> None:
    # Differences of 2 and 4 in the first attribute, of which only 1/√10 a unit counts; the second never differs.
    values = np.array([[0.0, 5.0], [2.0, 5.0], [90.0, 7.0], [94.0, 7.0]])
    utilities = rated_by_attributes(values, np.array([0, 0, 1, 1]), np.array([[1.0, 9.0]]))
    np.testing.assert_allclose(np.diff(utilities.reshape(2, 2), axis=1)[:, 0], np.array([2, 4]) / np.sqrt(10))
    other_units = rated_by_attributes(values * [1000, 0.1], np.array([0, 0, 1, 1]), np.array([[1.0, 9.0]]))
    np.testing.assert_allclose(other_units, utilities)


def test_test_prompts_are_in_neither_group_nor_pool() -> None:
    made = scene(0.5)
    tested = set(CODES[made.tests].ravel().tolist())
    assert tested.isdisjoint(CODES[made.pool].ravel().tolist())
    assert tested.isdisjoint(CODES[made.group.pairs].ravel().tolist())
    assert (CODES[made.pool[:, 0]] == CODES[made.pool[:, 1]]).all()
    assert len(np.unique(np.sort(made.pool, axis=1), axis=0)) == len(made.pool) == 200
    assert made.group.n_comparisons == 30 * 50


def test_sure_raters_always_go_with_their_taste() -> None:
    tastes = common_or_camps(1, 2, N_ATTRIBUTES, rng=np.random.default_rng(3))
    utilities = rated_by_attributes(attributes(), CODES, tastes)
    utilities[:, 1] *= -1e-9  # the other way round, in another unit
    made = rater_scene(
        utilities,
        CODES,
        training=np.array([0]),
        users=np.array([1, 1]),
        n_answers=300,
        n_pool=100,
        n_tests=100,
        rng=np.random.default_rng(5),
    )
    differences = np.diff(utilities[:, 0][made.group.pairs], axis=1)[:, 0]
    np.testing.assert_array_equal(made.group.outcomes, -np.sign(differences))
    np.testing.assert_array_equal(made.outcomes[0], np.sign(np.diff(utilities[:, 0][made.pool], axis=1)[:, 0]))
    np.testing.assert_array_equal(made.truth[1] == 1, np.diff(utilities[:, 0][made.tests], axis=1)[:, 0] > 0)


def test_strength_is_the_root_mean_square_margin() -> None:
    made = scene(0, strength=2.5)
    margins = np.log(made.truth) - np.log1p(-made.truth)
    assert np.sqrt(np.square(margins).mean()) == pytest.approx(2.5, rel=0.15)  # on 150 of the pairs
    agreed = np.where(made.truth > 0.5, 1, -1)
    assert 0.7 < (made.truth * (agreed > 0) + (1 - made.truth) * (agreed < 0)).mean() < 0.9


def test_equal_texts_are_a_coin() -> None:
    made = rater_scene(
        np.zeros((CODES.size, 2)),
        CODES,
        training=np.array([0]),
        users=np.array([1]),
        n_answers=400,
        n_pool=100,
        n_tests=10,
        rng=np.random.default_rng(1),
    )
    np.testing.assert_array_equal(made.truth, 0.5)
    assert abs(made.group.outcomes.mean()) < 4 / np.sqrt(made.group.n_comparisons)


def test_pooled_knows_those_who_agree_and_nothing_of_opposed_camps() -> None:
    everybody = scene(1, n_users=10, strength=4).panel("agree", attributes())
    assert accuracies(everybody, "pooled", 0)[0] > 0.95
    camps = scene(0, n_users=20, strength=4).panel("camps", attributes())
    assert accuracies(camps, "pooled", 0)[0] == pytest.approx(0.5, abs=0.15)  # camps are not of one size
    assert accuracies(camps, "information_gain", 5)[5] > 0.85


def test_a_rater_cannot_be_on_both_sides() -> None:
    with pytest.raises(prefq.InputError, match="rater 3 is among the training raters and among the users"):
        rater_scene(
            np.zeros((CODES.size, 5)),
            CODES,
            training=np.array([1, 3]),
            users=np.array([3, 4]),
            n_answers=1,
            n_pool=1,
            n_tests=1,
            rng=np.random.default_rng(1),
        )


def test_one_prompt_is_too_few() -> None:
    with pytest.raises(prefq.InputError, match="there are 1 prompts with two responses; give at least two"):
        rater_scene(
            np.zeros((4, 2)),
            np.array([0, 0, 1, 2]),
            training=np.array([0]),
            users=np.array([1]),
            n_answers=1,
            n_pool=1,
            n_tests=1,
            rng=np.random.default_rng(1),
        )
