"""Mixtures of Gaussians and what priors made of them hold, refuse, and say in JSON."""

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.errors import InputError
from prefq.vocabulary import (
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
    coefficients_from_dict,
)

ONE, OTHER = Gaussian([1.0, 0.0], np.eye(2)), Gaussian([-1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])
POINT = Gaussian([0.0, 0.0], np.zeros((2, 2)))
MIXTURE = GaussianMixture([0.25, 0.75], [ONE, OTHER])
SPACE = FeatureSpace(["a", "b"])


def test_moments_agree_with_draws() -> None:
    rng = np.random.default_rng(5)
    which = rng.random(400_000) < 0.25
    first, second = (rng.multivariate_normal(each.mean, each.covariance, size=which.size) for each in (ONE, OTHER))
    drawn = np.where(which[:, None], first, second)
    np.testing.assert_allclose(MIXTURE.mean, drawn.mean(axis=0), atol=0.015)
    np.testing.assert_allclose(MIXTURE.covariance, np.cov(drawn.T), atol=0.03)
    np.testing.assert_allclose(MIXTURE.sd, drawn.std(axis=0), atol=0.015)


def test_a_gaussian_is_a_mixture_of_itself() -> None:
    assert ONE.components == (ONE,)
    assert ONE.weights.tolist() == [1.0]
    alone = GaussianMixture([1.0], [ONE])
    assert (alone.mean.tolist(), alone.covariance.tolist()) == (ONE.mean.tolist(), ONE.covariance.tolist())


def test_json_and_copies_keep_a_prior_with_a_mixture() -> None:
    prior = PopulationPrior(
        GaussianMixture([0.5, 0.25, 0.25], [ONE, OTHER, POINT]),
        SPACE,
        ResponseModel(0.3, 0.1, 0.02, 0.7, 0.2, (1.0, 2.0)),
        40,
        impersonal=2,
    )
    again = PopulationPrior.from_dict(json.loads(json.dumps(prior.to_dict())))
    assert again == prior == copy.deepcopy(prior)
    assert again.digest() == prior.digest() != PopulationPrior(prior.coefficients, SPACE, n_users=40).digest()
    assert coefficients_from_dict(ONE.to_dict()) == ONE
    assert coefficients_from_dict(MIXTURE.to_dict()) == MIXTURE != ONE


def test_a_prior_of_an_earlier_version_is_read() -> None:
    told = PopulationPrior(ONE, SPACE, ResponseModel(0.3, 0.1, 0.02), 7).to_dict()
    assert set(told) == {"coefficients", "feature_space", "response_model", "n_users"}
    assert set(told["response_model"]) == {"tie_threshold", "position_bias", "lapse_rate"}
    assert PopulationPrior.from_dict(told).response_model == ResponseModel(0.3, 0.1, 0.02)


@pytest.mark.parametrize(
    ("weights", "components", "sentence"),
    [
        ([0.5], [ONE, OTHER], "there are 1 weights and 2 components; give one weight each."),
        ([0.5, 0.6], [ONE, OTHER], "weights are [0.5, 0.6]; give probabilities that sum to 1."),
        ([-0.5, 1.5], [ONE, OTHER], "weights are [-0.5, 1.5]; give probabilities that sum to 1."),
        ([0.5, 0.5], [ONE, Gaussian([0.0], [[1.0]])], "the components have [1, 2] coefficients; they must all have as"),
        ([], [], "there are 0 weights and 0 components; give one weight each."),
    ],
)
def test_what_is_no_mixture_is_refused(weights: list[float], components: list[Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        GaussianMixture(weights, components)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"strength_threshold": -1}, "strength_threshold is -1.0; give a threshold of 0 logits or more."),
        ({"dissimilarity_noise": 0.1}, "dissimilarity_scales are []; give the typical difference of each feature"),
        (
            {"dissimilarity_noise": -3.1, "dissimilarity_scales": [1.0]},
            "dissimilarity_noise is -3.1; give a number from -3 to 3, 0 where pairs are judged alike.",
        ),
        ({"dissimilarity_noise": 5}, "dissimilarity_noise is 5.0; give a number from -3 to 3"),
        ({"dissimilarity_scales": [1.0, 0.0]}, "dissimilarity_scales are [1.0, 0.0]; give the typical difference"),
    ],
)
def test_what_is_no_response_model_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        ResponseModel(**fields)
    assert str(caught.value).startswith(sentence)


def test_a_component_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"^impersonal is 2; the mixture has components 0 to 1\.$"):
        PopulationPrior(MIXTURE, SPACE, impersonal=2)
    with pytest.raises(InputError, match=r"^the response model has 1 dissimilarity_scales and the feature space 2 "):
        PopulationPrior(ONE, SPACE, ResponseModel(dissimilarity_noise=0.1, dissimilarity_scales=(1.0,)))


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=6))
def test_weights_that_were_put_right_stay_as_they_are(shares: list[float]) -> None:
    weights = np.array(shares) / sum(shares)
    mixture = GaussianMixture(weights, [ONE] * len(shares))
    again = GaussianMixture.from_dict(mixture.to_dict())
    assert again == mixture
    assert abs(mixture.weights.sum() - 1) < 1e-12
