"""The world of the declared levels: the scale it promises, and a truth that prefq does not see."""

import copy
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.pool.starter import declared_levels
from prefq.simulation.worlds import World, declared_levels_world
from prefq.vocabulary import Array, ResponseModel

POOL = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [(0, 1)])
OTHER = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [(0, 2)])


def make_world(hidden_share: float = 0.1) -> World:
    pool = prefq.load_pool("starter")
    rng = np.random.default_rng(4)
    return declared_levels_world(pool, declared_levels(), rms_margin=3.0, hidden_share=hidden_share, rng=rng)


def mean_squares(world: World, columns: slice) -> float:
    """Mean square margin from some of the true features, over users and questions."""
    first, second = world.truth.pairs.T
    differences = (world.truth.features[first] - world.truth.features[second])[:, columns]
    rng = np.random.default_rng(1)
    tastes: Array = np.array([world.draw_user(rng=rng).coefficients[columns] for _ in range(4000)])
    return float(np.square(differences @ tastes.T).mean())


def test_margins_have_the_scale_that_was_asked_for() -> None:
    world = make_world()
    assert mean_squares(world, slice(None)) == pytest.approx(9.0, rel=0.05)
    assert mean_squares(world, slice(8, None)) == pytest.approx(0.9, rel=0.05)


def test_prefq_sees_measured_features_and_the_users_weigh_declared_ones() -> None:
    world = make_world(hidden_share=0.0)
    assert world.seen.n_features == 8
    assert world.truth.n_features == 9
    np.testing.assert_array_equal(world.truth.features[:, :8], declared_levels())
    assert world.coefficient_sds[8] == 0
    np.testing.assert_array_equal(world.seen.pairs, world.truth.pairs)


def test_bad_input_has_a_sentence() -> None:
    pool, rng = prefq.load_pool("starter"), np.random.default_rng(0)
    with pytest.raises(InputError, match=r"levels have shape \(3, 8\); give one row for each of the 300 items"):
        declared_levels_world(pool, np.zeros((3, 8)), rms_margin=1.0, hidden_share=0.0, rng=rng)
    with pytest.raises(InputError, match="hidden_share is 1"):
        declared_levels_world(pool, declared_levels(), rms_margin=1.0, hidden_share=1.0, rng=rng)
    with pytest.raises(InputError, match="levels cannot be read as numbers"):
        declared_levels_world(pool, [["high"]], rms_margin=1.0, hidden_share=0.0, rng=rng)
    with pytest.raises(InputError, match="rms_margin is nan; give a finite number"):
        declared_levels_world(pool, declared_levels(), rms_margin=np.nan, hidden_share=0.0, rng=rng)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seen": None}, "seen is None; give a value of type CandidatePool."),
        ({"truth": 3}, "truth is 3; give a value of type CandidatePool."),
        ({"truth": OTHER}, "the pools seen and truth have different pairs; they must ask the same questions."),
        ({"response_model": None}, "response_model is None; give a value of type ResponseModel."),
        ({"coefficient_sds": ["1"]}, "coefficient_sds cannot be read as numbers; give an array of 1 dimension(s)."),
        (
            {"coefficient_sds": [1.0, 2.0]},
            "coefficient_sds are [1.0, 2.0]; give a number of 0 or more for each of the 1 features of the truth.",
        ),
        (
            {"coefficient_sds": [-1.0]},
            "coefficient_sds are [-1.0]; give a number of 0 or more for each of the 1 features of the truth.",
        ),
    ],
)
def test_a_world_that_exists_is_valid(change: dict[str, Any], sentence: str) -> None:
    parts: dict[str, Any] = {"seen": POOL, "truth": POOL, "coefficient_sds": [1.0], "response_model": ResponseModel()}
    with pytest.raises(InputError) as caught:
        World(**(parts | change))
    assert str(caught.value) == sentence


def test_a_world_holds_arrays_of_its_own_that_cannot_be_written() -> None:
    sds = np.ones(1)
    world = World(POOL, POOL, sds, ResponseModel())
    for each in (world, copy.deepcopy(world)):
        assert not np.shares_memory(each.coefficient_sds, sds)
        with pytest.raises(ValueError, match="read-only"):
            each.coefficient_sds[0] = 2.0
