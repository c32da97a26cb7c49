"""Canonical heads: the same tastes in another form, features and tastes uncorrelated, in order of strength."""

from typing import Any

import numpy as np

from prefq.rewards.canonical import canonical, parts_of
from prefq.rewards.factorization.marginal import Directions
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Gaussian


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
    np.testing.assert_allclose(covariance, np.diag(found.strengths[1:] ** 2), atol=1e-9)
    assert (np.diff(found.strengths[1:]) < 0).all()


def test_mixing_the_heads_changes_nothing() -> None:
    _, directions, pooled, personal = drawn(3)
    expected = canonical(directions, pooled, personal).heads
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    np.testing.assert_allclose(canonical(directions, pooled, personal @ turned).heads, expected, atol=1e-8)
    heads = rng.normal(size=(7, 7))  # any base rewards, and tastes as coefficients on them
    inverse = np.linalg.inv(heads)
    tastes = Gaussian(inverse @ pooled, inverse @ personal @ personal.T @ inverse.T)
    np.testing.assert_allclose(canonical(directions, *parts_of(heads, tastes)).heads, expected, atol=1e-5)


def test_axes_along_which_nobody_differs_are_left_out() -> None:
    _, directions, pooled, personal = drawn(4)
    flat = personal * [1.0, 1e-9, 0.0]
    assert canonical(directions, pooled, flat).heads.shape == (7, 2)
    along = np.column_stack([pooled, 2 * pooled])  # people who agree, more or less strongly
    found = canonical(directions, pooled, along)
    assert found.heads.shape == (7, 1)
    assert found.strengths[0] > np.sqrt(directions.moments(pooled[:, None])[0, 0])
