"""Beliefs about many users at once are those that the product has of each of them."""

import numpy as np
import pytest

from prefq.inference.beliefs import ep_posteriors, laplace_posteriors, mixture_for_all
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.laplace import fit_posterior
from prefq.inference.surprise import checked, checked_prior
from prefq.vocabulary import (
    Array,
    Coefficients,
    Comparisons,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
)

CAMPS = GaussianMixture(
    [0.5, 0.3, 0.2],
    [
        Gaussian([1.5, 0.0], [[0.6, 0.1], [0.1, 0.3]]),
        Gaussian([-1.0, 0.5], np.eye(2)),
        Gaussian([0.4, 0.1], np.zeros((2, 2))),
    ],
)
ONE = Gaussian([2.5, -0.5], [[0.4, 0.1], [0.1, 0.3]])
MODELS = (
    ResponseModel(),
    ResponseModel(0.4, 0.2, 0.05),
    ResponseModel(dissimilarity_noise=0.5, dissimilarity_scales=(1.0, 2.0)),
)


def answers_of(n_users: int, n_answers: int, model: ResponseModel, seed: int) -> tuple[Array, np.ndarray]:
    rng = np.random.default_rng(seed)
    differences = rng.normal(size=(n_users, n_answers, 2)) * 1.5
    return differences, rng.choice(np.array(model.outcomes, dtype=np.int8), size=(n_users, n_answers))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prior", [ONE, CAMPS])
def test_every_user_has_the_posterior_of_the_product(prior: Coefficients, model: ResponseModel) -> None:
    """Replies are coin flips, so that some users surprise the prior and have a wider one."""
    differences, outcomes = answers_of(40, 6, model, seed=3)
    felt = model.felt(differences)
    start = PopulationPrior(prior, FeatureSpace(["a", "b"]), model, n_users=500)
    priors = checked(mixture_for_all(prior, 40), felt, outcomes, model)
    propagated, at_modes = (update(priors, felt, outcomes, model) for update in (ep_posteriors, laplace_posteriors))
    n_surprised = 0
    for user in range(40):
        comparisons = Comparisons(differences[user], outcomes[user])
        own, surprise = checked_prior(start, comparisons)
        n_surprised += surprise is not None
        for found, fit in ((propagated, fit_posterior_ep), (at_modes, fit_posterior)):
            expected, _ = fit(own.coefficients, comparisons, response_model=model)
            np.testing.assert_allclose(found.means[user], expected.mean, atol=2e-4)
            np.testing.assert_allclose(found.covariances[user], expected.covariance, atol=2e-4)
            np.testing.assert_allclose(found.weights[user, : len(expected.weights)], expected.weights, atol=2e-4)
    assert (n_surprised > 0) == (len(priors.components) > len(prior.components))
    assert prior is CAMPS or n_surprised > 0


def test_a_point_predicts_its_own_taste_and_weights_are_probabilities() -> None:
    differences, outcomes = answers_of(5, 4, MODELS[0], seed=5)
    found = ep_posteriors(mixture_for_all(CAMPS, 5), differences, outcomes, MODELS[0])
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)
    only_the_point = found._replace(weights=np.tile([0.0, 0.0, 1.0], (5, 1)))
    tests = np.random.default_rng(1).normal(size=(1, 7, 2))
    expected = 1 / (1 + np.exp(-tests[0] @ CAMPS.components[2].mean))
    np.testing.assert_allclose(only_the_point.preference_probability(tests), np.tile(expected, (5, 1)))
