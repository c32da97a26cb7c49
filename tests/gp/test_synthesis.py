"""Questions made up in feature space: better than any that was drawn, told apart from what the pool has."""

import numpy as np
import pytest

import prefq
from prefq.questions.acquisition import information_gain
from prefq.vocabulary import Array, Gaussian, ResponseModel

pytest.importorskip("botorch")

from prefq.gp import fit_curved_user, linear_model, synthesize_question

POSTERIOR = Gaussian([1.5, 0.0, -0.5], np.diag([0.5, 2.0, 0.3]))


def gain(differences: Array, model: ResponseModel | None = None) -> Array:
    spread = np.square(differences @ POSTERIOR.factor).sum(axis=1)
    return information_gain(differences @ POSTERIOR.mean, spread, response_model=model or ResponseModel())


def a_pool(n: int = 120) -> prefq.CandidatePool:
    items = np.random.default_rng(0).normal(size=(2 * n, 3))
    return prefq.CandidatePool.from_arrays(items, np.arange(2 * n).reshape(-1, 2))


def test_the_ideal_pair_tells_more_than_any_of_many_in_the_same_box() -> None:
    pool, rng = a_pool(), np.random.default_rng(1)
    found = synthesize_question(pool, linear_model(POSTERIOR, pool.feature_space), rng=np.random.default_rng(0))
    low, high = np.quantile(pool.features, [0.05, 0.95], axis=0)
    drawn = rng.uniform(low, high, size=(2, 20_000, 3))

    assert (found.first >= low - 1e-9).all()
    assert (found.second <= high + 1e-9).all()
    assert found.information > gain(drawn[0] - drawn[1]).max()
    assert found.information == pytest.approx(gain((found.first - found.second)[None])[0], abs=1e-8)


def test_nearest_and_best_question_are_those_of_the_pool() -> None:
    pool = a_pool()
    model = linear_model(POSTERIOR, pool.feature_space)
    biased = ResponseModel(position_bias=0.8)
    found = synthesize_question(pool, model, rng=np.random.default_rng(0), response_model=biased)
    differences = pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]]
    away = np.stack([sign * differences - (found.first - found.second) for sign in (1, -1)])
    distances = np.square(away / pool.feature_scales()).sum(axis=2)
    side, row = np.unravel_index(np.argmin(distances), distances.shape)
    gains = gain(differences, biased)

    assert found.nearest_row == row
    assert found.nearest_information == pytest.approx(gain((1 - 2 * side) * differences[[row]], biased)[0], abs=1e-8)
    assert found.best_row == np.argmax(gains)
    assert found.best_information == pytest.approx(gains.max(), abs=1e-8)
    assert found.reached == pytest.approx(gains.max() / found.information)


def test_a_pool_that_has_the_ideal_pair_lacks_nothing() -> None:
    plain = a_pool()
    model = linear_model(POSTERIOR, plain.feature_space)
    ideal = synthesize_question(plain, model, rng=np.random.default_rng(0))
    features = np.concatenate([plain.features, [ideal.first, ideal.second]])
    pairs = [*plain.pairs.tolist(), [240, 241]]
    box = np.quantile(plain.features, [0.05, 0.95], axis=0)
    found = synthesize_question(
        prefq.CandidatePool.from_arrays(features, pairs), model, rng=np.random.default_rng(0), bounds=box
    )

    assert found.nearest_row == 120
    assert found.nearest_information == pytest.approx(found.information, abs=1e-6)


def test_the_same_generator_gives_the_same_pair_and_the_global_one_is_left_alone() -> None:
    import torch

    pool = a_pool()
    model = linear_model(POSTERIOR, pool.feature_space)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, other = (synthesize_question(pool, model, rng=np.random.default_rng(2)) for _ in range(2))

    np.testing.assert_array_equal(one.first, other.first)
    torch.testing.assert_close(torch.rand(3), expected)


def test_features_that_never_vary_stay_as_they_are() -> None:
    items = np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 0.0, 1.0]
    pool = prefq.CandidatePool.from_arrays(items, np.arange(60).reshape(-1, 2))
    found = synthesize_question(pool, linear_model(POSTERIOR, pool.feature_space), rng=np.random.default_rng(0))

    assert found.first[1] == found.second[1] == 0
    assert found.information > 0


def test_curved_tastes_have_an_ideal_pair_too() -> None:
    pool = a_pool()
    user = fit_curved_user(pool, [prefq.Answer("0-1", "first"), prefq.Answer("2-3", "second")])
    found = synthesize_question(pool, user.model, rng=np.random.default_rng(0))
    margins = user.margins(found.first[None], found.second[None])
    expected = information_gain(margins.mean, margins.variance, response_model=ResponseModel())

    assert found.information == pytest.approx(expected[0], abs=1e-6)
    assert found.information >= found.nearest_information


def test_bounds_and_spaces_that_do_not_fit_are_refused_in_a_sentence() -> None:
    pool, rng = a_pool(), np.random.default_rng(0)
    model = linear_model(POSTERIOR, pool.feature_space)
    with pytest.raises(prefq.InputError, match=r"bounds of shape \(2, 2\) arrived; give the lowest and the highest"):
        synthesize_question(pool, model, rng=rng, bounds=np.zeros((2, 2)))
    with pytest.raises(prefq.InputError, match="give the lowest and the highest value"):
        synthesize_question(pool, model, rng=rng, bounds=[[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]])
    with pytest.raises(prefq.MismatchError, match="the model belongs to another feature space"):
        synthesize_question(pool, linear_model(POSTERIOR, prefq.FeatureSpace(["a", "b", "c"])), rng=rng)
