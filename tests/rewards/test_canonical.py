"""Canonical heads: the same tastes in another form, features and tastes uncorrelated, in order of strength."""

from typing import Any

import numpy as np

from prefq.rewards.canonical import canonical
from prefq.rewards.factorization.base import Tastes
from prefq.rewards.factorization.marginal import Directions
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, Gaussian


def drawn(seed: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    encodings = rng.normal(size=(400, 7)) @ rng.normal(size=(7, 7))
    pairs = np.arange(400).reshape(-1, 2)
    group = GroupComparisons(
        pairs, np.ones(200, np.int8), np.zeros(200, np.int64), ("u",), np.repeat(np.arange(200), 2)
    )
    return group.differences(encodings), Directions.of(encodings, group), rng.normal(size=7), rng.normal(size=(7, 3))


def test_features_are_uncorrelated_over_pairs_and_of_one_size() -> None:
    differences, directions, pooled, personal = drawn(1)
    features = differences @ canonical(directions, pooled, personal).heads
    np.testing.assert_allclose(features.T @ features / len(features), np.eye(4), atol=1e-9)


def test_margins_of_people_are_what_they_were() -> None:
    differences, directions, pooled, personal = drawn(2)
    found = canonical(directions, pooled, personal)
    features = differences @ found.heads
    # tastes pooled + personal z as coefficients on the heads, which span them
    common = np.linalg.lstsq(features, differences @ pooled, rcond=None)[0]
    own = np.linalg.lstsq(features, differences @ personal, rcond=None)[0]
    np.testing.assert_allclose(features @ common, differences @ pooled, atol=1e-9)
    np.testing.assert_allclose(features @ own, differences @ personal, atol=1e-9)
    np.testing.assert_allclose(common[1:], 0, atol=1e-9)  # the common taste is the first axis, and no other
    covariance = (own @ own.T)[1:, 1:]
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)
    assert (np.diff(np.diag(covariance)) < 0).all()
    np.testing.assert_allclose(found.tastes.mean, common, atol=1e-9)  # and so it says
    np.testing.assert_allclose(found.tastes.axes @ found.tastes.axes.T, own @ own.T, atol=1e-9)


def test_mixing_the_heads_changes_nothing() -> None:
    _, directions, pooled, personal = drawn(3)
    expected = canonical(directions, pooled, personal).heads
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    np.testing.assert_allclose(canonical(directions, pooled, personal @ turned).heads, expected, atol=1e-8)
    heads = rng.normal(size=(7, 7))  # any base rewards, and tastes as coefficients on them
    inverse = np.linalg.inv(heads)
    tastes = Gaussian(inverse @ pooled, inverse @ personal @ personal.T @ inverse.T)
    mean, axes = Tastes.of(tastes)
    np.testing.assert_allclose(canonical(directions, heads @ mean, heads @ axes).heads, expected, atol=1e-5)


def test_fewer_features_keep_most_of_what_people_say_of_pairs() -> None:
    differences, directions, pooled, personal = drawn(5)
    rng = np.random.default_rng(1)

    def kept(heads: Array) -> float:
        """Mean square over people and pairs of what is left of margins by least squares on features."""
        features, tastes = differences @ heads, differences @ np.column_stack([pooled, personal])
        return float(np.square(features @ np.linalg.lstsq(features, tastes, rcond=None)[0]).sum())

    for n_features in (1, 2, 3):
        found = canonical(directions, pooled, personal, n_features)
        assert found.heads.shape == (7, n_features)
        others = [np.column_stack([pooled, personal]) @ rng.normal(size=(4, n_features)) for _ in range(50)]
        assert kept(found.heads) >= max(map(kept, others))
        features = differences @ found.heads  # the first is what of the common taste lies there
        common = np.linalg.lstsq(features, differences @ pooled, rcond=None)[0]
        np.testing.assert_allclose(common[1:], 0, atol=1e-9)
        np.testing.assert_allclose(found.tastes.mean, common, atol=1e-9)
    whole, cut = canonical(directions, pooled, personal), canonical(directions, pooled, personal, 2)
    again = canonical(directions, whole.heads @ whole.tastes.mean, whole.heads @ whole.tastes.axes, 2)
    np.testing.assert_allclose(again.heads, cut.heads, atol=1e-9)  # one fit of many tells of fewer


def test_axes_along_which_nobody_differs_are_left_out() -> None:
    _, directions, pooled, personal = drawn(4)
    flat = personal * [1.0, 1e-9, 0.0]
    assert canonical(directions, pooled, flat).heads.shape == (7, 2)
    along = np.column_stack([pooled, 2 * pooled])  # people who agree, more or less strongly
    found = canonical(directions, pooled, along)
    assert found.heads.shape == (7, 1)
    size = np.sqrt(directions.moments(pooled[:, None])[0, 0])
    np.testing.assert_allclose(found.tastes.mean, [size])
    np.testing.assert_allclose(np.linalg.norm(found.tastes.axes), np.sqrt(5) * size)
