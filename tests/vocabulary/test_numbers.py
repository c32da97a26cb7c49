"""Comparisons, Gaussians and population priors: arrays checked, copied, read-only, and through JSON unchanged."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.errors import InputError
from prefq.vocabulary import Array, Comparisons, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

SPACE = FeatureSpace(("a", "b"))
UNIT = Gaussian(np.zeros(2), np.eye(2))
SEEDS = st.integers(0, 2**32 - 1)


def sentence_of(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def gaussian(mean: Any, covariance: Any) -> Gaussian:
    return Gaussian(mean, covariance)  # from lists, which type checkers would refuse


def random_covariance(seed: int, n_features: int) -> Array:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n_features, n_features)) * 10.0 ** rng.uniform(-6, 6, size=(n_features, 1))
    return root @ root.T


# --- comparisons ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([1.0], [1]), "differences has 1 dimension(s), shape (1,); expected 2."),
        (([["1.0"]], [1]), "differences cannot be read as numbers; give an array of 2 dimension(s)."),
        (([[1j]], [1]), "differences cannot be read as numbers; give an array of 2 dimension(s)."),
        (([[1.0], [1.0, 2.0]], [1, 1]), "differences cannot be read as numbers; give an array of 2 dimension(s)."),
        (
            (np.array([["1"]], dtype=object), [1]),
            "differences cannot be read as numbers; give an array of 2 dimension(s).",
        ),
        (([[10**400]], [1]), "differences cannot be read as numbers; give an array of 2 dimension(s)."),
        (([[np.inf]], [1]), "differences holds NaN or infinite values; every value must be finite."),
        (
            ([[1.0]], [1, 0]),
            "outcomes have shape (2,) and differences (1, 1); give one outcome for each row of differences.",
        ),
        (([[1.0]], [[1]]), "outcomes has 2 dimension(s), shape (1, 1); expected 1."),
        (([[1.0]], ["first"]), "outcomes cannot be read as numbers; give an array of 1 dimension(s)."),
        (([[1.0]], [np.nan]), "outcomes holds NaN or infinite values; every value must be finite."),
        (
            ([[1.0]], [0.5]),
            "outcomes hold other values than 1 (first preferred), 0 (tie) and -1 (second preferred).",
        ),
        (
            ([[1.0]], [2]),
            "outcomes hold other values than 1 (first preferred), 0 (tie) and -1 (second preferred).",
        ),
        (([[1.0]], [1], [0.0]), "strengths must hold one number in (0, 1] or NaN for each row of differences."),
        (([[1.0]], [1], [np.inf]), "strengths must hold one number in (0, 1] or NaN for each row of differences."),
        (([[1.0]], [1], [0.5, 0.5]), "strengths must hold one number in (0, 1] or NaN for each row of differences."),
        (([[1.0]], [1], ["much"]), "strengths cannot be read as numbers; give an array of 1 dimension(s)."),
    ],
)
def test_comparisons_refuse(arguments: tuple[Any, ...], sentence: str) -> None:
    assert sentence_of(lambda: Comparisons(*arguments)) == sentence


def test_comparisons_keep_their_numbers() -> None:
    comparisons = Comparisons(np.array([[1, 2], [3, 4]]), np.array([1, -1]), np.array([0.5, np.nan]))
    assert comparisons.differences.dtype == np.float64
    assert comparisons.outcomes.dtype == np.int8
    np.testing.assert_array_equal(comparisons.differences, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(comparisons.outcomes, [1, -1])
    assert comparisons.strengths is not None
    np.testing.assert_array_equal(comparisons.strengths, [0.5, np.nan])


def test_comparisons_may_be_empty() -> None:
    comparisons = Comparisons(np.empty((0, 3)), np.empty(0, dtype=np.int8), np.empty(0))
    assert comparisons.differences.shape == (0, 3)


def test_arrays_of_values_are_copies_that_cannot_be_written() -> None:
    differences, outcomes, strengths = np.ones((2, 2)), np.ones(2, dtype=np.int8), np.ones(2)
    mean, covariance = np.zeros(2), np.eye(2)
    comparisons, prior = Comparisons(differences, outcomes, strengths), Gaussian(mean, covariance)
    given_arrays: list[Any] = [differences, outcomes, strengths, mean, covariance]
    held: list[Any] = [comparisons.differences, comparisons.outcomes, comparisons.strengths]
    held += [prior.mean, prior.covariance]
    for mine, theirs in zip(held, given_arrays, strict=True):
        assert not np.shares_memory(mine, theirs)
        assert theirs.flags.writeable  # the caller's array stays the caller's
        with pytest.raises(ValueError, match="read-only"):
            mine[...] = 0


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_and_unpickled_values_cannot_be_written_either(copied: Callable[[Any], Any]) -> None:
    comparisons = Comparisons(np.ones((2, 2)), np.array([1, 0]), np.array([0.5, np.nan]))
    prior = PopulationPrior(gaussian([0.1, 0.2], [[1.0, 0.3], [0.3, 2.0]]), SPACE, ResponseModel(0.3), 7)
    again, other = copied(prior), copied(comparisons)
    assert again == prior
    np.testing.assert_array_equal(other.strengths, comparisons.strengths)
    held = [again.coefficients.mean, again.coefficients.covariance, other.differences, other.outcomes, other.strengths]
    for array in held:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


# --- Gaussians ---


@pytest.mark.parametrize(
    ("mean", "covariance", "sentence"),
    [
        ([], np.empty((0, 0)), "the Gaussian has no coefficients; give at least one."),
        ([[0.0]], [[1.0]], "mean has 2 dimension(s), shape (1, 1); expected 1."),
        ([np.nan], [[1.0]], "mean holds NaN or infinite values; every value must be finite."),
        ([None], [[1.0]], "mean holds NaN or infinite values; every value must be finite."),
        (["0"], [[1.0]], "mean cannot be read as numbers; give an array of 1 dimension(s)."),
        ([0.0], [1.0], "covariance has 1 dimension(s), shape (1,); expected 2."),
        ([0.0], [[np.inf]], "covariance holds NaN or infinite values; every value must be finite."),
        ([0.0], np.eye(2), "covariance has shape (2, 2); a mean of 1 coefficients needs (1, 1)."),
        ([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], "covariance is not symmetric; give a covariance matrix."),
        ([0.0], [[-1.0]], "covariance has a negative eigenvalue; give a positive semi-definite matrix."),
        (
            [0.0, 0.0],
            [[1.0, 1.1], [1.1, 1.0]],
            "covariance has a negative eigenvalue; give a positive semi-definite matrix.",
        ),
        (
            [0.0, 0.0],
            [[0.0, 1e-4], [1e-4, 1.0]],
            "covariance has a negative eigenvalue; give a positive semi-definite matrix.",
        ),
        (
            [0.0, 0.0],
            [[1e-300, 1e300], [1e300, 1e-300]],
            "covariance has a negative eigenvalue; give a positive semi-definite matrix.",
        ),
    ],
)
def test_a_gaussian_refuses(mean: Any, covariance: Any, sentence: str) -> None:
    assert sentence_of(lambda: Gaussian(mean, covariance)) == sentence


def test_large_units_of_one_feature_hide_no_fault_in_others() -> None:
    covariance = np.diag([1e14, 1.0, 1.0])
    covariance[1, 2], covariance[2, 1] = 0.5, -0.5
    assert "not symmetric" in sentence_of(lambda: Gaussian(np.zeros(3), covariance))
    covariance[1, 2], covariance[2, 1] = 1.1, 1.1
    assert "negative eigenvalue" in sentence_of(lambda: Gaussian(np.zeros(3), covariance))


@given(SEEDS, st.integers(1, 6))
def test_a_covariance_in_any_units_is_accepted_and_survives_json(seed: int, n_features: int) -> None:
    made = Gaussian(np.random.default_rng(seed).normal(size=n_features), random_covariance(seed, n_features))
    again = Gaussian.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.digest() == made.digest()
    np.testing.assert_array_equal(again.covariance, made.covariance)
    np.testing.assert_array_equal(made.covariance, made.covariance.T)


def test_a_singular_covariance_is_accepted() -> None:
    assert gaussian([0.0, 0.0], [[0.0, 0.0], [0.0, 1.0]]).sd.tolist() == [0.0, 1.0]
    assert gaussian([0.0, 0.0], np.ones((2, 2))).n_features == 2


def test_float32_round_off_in_a_covariance_is_made_symmetric() -> None:
    covariance = np.array([[1.0, 0.3], [0.3 * (1 + 1e-9), 1.0]])
    held = Gaussian(np.zeros(2), covariance).covariance
    assert held[0, 1] == held[1, 0] == pytest.approx(0.3)


def test_gaussians_are_equal_by_value() -> None:
    assert gaussian([0.0], [[1.0]]) == Gaussian(np.zeros(1), np.eye(1))
    assert len({gaussian([0.0], [[1.0]]), gaussian([0.0], [[1.0]]), gaussian([0.0], [[2.0]])}) == 2
    assert gaussian([0.0], [[1.0]]) != "a Gaussian"


@given(SEEDS, st.integers(1, 5))
def test_a_gaussian_from_a_factor_is_the_one_of_its_covariance(seed: int, n_features: int) -> None:
    factor = np.random.default_rng(seed).normal(size=(n_features, 3))  # singular where there are more features
    covariance = factor @ factor.T
    made, held = Gaussian.from_factor(np.ones(n_features), factor), Gaussian(np.ones(n_features), covariance)
    assert made == held
    for each in (made, pickle.loads(pickle.dumps(made)), copy.deepcopy(held)):
        np.testing.assert_allclose(each.factor @ each.factor.T, covariance, atol=1e-7)
        assert each.factor is each.factor
        assert not each.factor.flags.writeable
        assert each == held
        assert not each.covariance.flags.writeable


def test_a_factor_of_numbers_that_are_none_is_refused() -> None:
    assert sentence_of(lambda: Gaussian.from_factor(np.zeros(1), np.array([[np.nan]]))) == (
        "covariance holds NaN or infinite values; every value must be finite."
    )


# --- population priors ---


def test_a_prior_has_as_many_coefficients_as_names() -> None:
    assert sentence_of(lambda: PopulationPrior(UNIT, FeatureSpace(("a",)))) == (
        "the prior has 2 coefficients and its feature space 1 names; they must be as many."
    )


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((None, None), "coefficients is None; give a value of type Gaussian or GaussianMixture."),
        ((UNIT, ("a", "b")), "feature_space is ('a', 'b'); give a value of type FeatureSpace."),
        ((UNIT, SPACE, None), "response_model is None; give a value of type ResponseModel."),
    ],
)
def test_a_prior_is_made_of_words(parts: tuple[Any, ...], sentence: str) -> None:
    assert sentence_of(lambda: PopulationPrior(*parts)) == sentence


@pytest.mark.parametrize("n_users", [-1, 2.5, "3", None, True])
def test_the_number_of_users_is_a_count(n_users: Any) -> None:
    assert sentence_of(lambda: PopulationPrior(UNIT, SPACE, n_users=n_users)) == (
        f"n_users is {n_users!r}; give the number of users the prior was fitted on, or 0."
    )


@given(SEEDS, st.integers(1, 5), st.integers(0, 10**9), st.floats(0, 3))
def test_a_prior_survives_json(seed: int, n_features: int, n_users: int, tie_threshold: float) -> None:
    space = FeatureSpace(tuple(f"f{i}" for i in range(n_features)), opposites=("–",) * n_features)
    coefficients = Gaussian(np.zeros(n_features), random_covariance(seed, n_features))
    prior = PopulationPrior(coefficients, space, ResponseModel(tie_threshold, 0.1, 0.02), n_users)
    again = PopulationPrior.from_dict(json.loads(json.dumps(prior.to_dict())))
    assert again == prior
    assert again.digest() == prior.digest()


def test_the_digest_of_a_prior_is_over_everything_it_says() -> None:
    prior = PopulationPrior(UNIT, SPACE)
    others = [
        replace(prior, coefficients=gaussian([0.0, 1.0], np.eye(2))),
        replace(prior, coefficients=gaussian([0.0, 0.0], 2 * np.eye(2))),
        replace(prior, feature_space=FeatureSpace(("a", "c"))),
        replace(prior, response_model=ResponseModel(0.1)),
        replace(prior, n_users=7),
    ]
    assert len({prior.digest(), *(other.digest() for other in others)}) == 6


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (Gaussian.from_dict, "a Gaussian needs exactly the fields ['mean', 'covariance']; found ['mean']."),
        (
            PopulationPrior.from_dict,
            (
                "a population prior needs exactly the fields "
                "['coefficients', 'feature_space', 'response_model', 'n_users']; found ['mean']."
            ),
        ),
    ],
)
def test_values_are_read_from_exactly_their_fields(read: Callable[[Any], Any], sentence: str) -> None:
    assert sentence_of(lambda: read({"mean": [0.0]})) == sentence
