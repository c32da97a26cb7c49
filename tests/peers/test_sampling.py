"""The belief of samples against a grid at two features, and what its rules prefer."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from prefq.inference.likelihood import sigmoid
from prefq.vocabulary import Array, Gaussian

Peer = Callable[[str], ModuleType]
DIFFERENCES = np.array([[[1.5, 0.3], [-0.4, 2.0], [1.0, -1.0], [0.0, 0.0]]])
OUTCOMES = np.array([[1, -1, 0, 1]], dtype=np.int8)
N_SAMPLES = 6000


def grid_moments(log_prior: Callable[[Array], Array], reach: float) -> tuple[Array, Array]:
    """Mean and covariance of the posterior by summing over a grid."""
    axis = np.linspace(-reach, reach, 401)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    margins = points @ DIFFERENCES[0].T
    chances = [sigmoid(margins[:, 0]), sigmoid(-margins[:, 1]), sigmoid(margins[:, 2]) * sigmoid(-margins[:, 2])]
    weights = np.exp(log_prior(points)) * np.prod(chances, axis=0)
    mean = np.average(points, weights=weights, axis=0)
    return mean, np.cov(points.T, aweights=weights, ddof=0)


def test_samples_on_the_ball_agree_with_a_grid(peer: Peer) -> None:
    samples = peer("sampling").unit_ball_samples(
        DIFFERENCES, OUTCOMES, rng=np.random.default_rng(0), n_samples=N_SAMPLES
    )[0]
    mean, covariance = grid_moments(lambda w: np.where(np.square(w).sum(axis=1) > 1, -np.inf, 0.0), 1.0)

    assert np.square(samples).sum(axis=1).max() <= 1
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.06)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.03)


def test_samples_under_our_prior_agree_with_a_grid(peer: Peer, prior: Gaussian) -> None:
    samples = peer("sampling").gaussian_samples(
        prior, DIFFERENCES, OUTCOMES, rng=np.random.default_rng(0), n_samples=N_SAMPLES
    )[0]
    precision = np.linalg.inv(prior.covariance)
    mean, covariance = grid_moments(
        lambda w: -np.einsum("ni,ij,nj->n", w - prior.mean, precision, w - prior.mean) / 2, 7.0
    )

    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.06)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.12)


def test_volume_removal_likes_two_equal_items_best(peer: Peer, prior: Gaussian) -> None:
    """Its known degeneracy (1910.04365): nothing is learned from them, and nothing scores higher."""
    module = peer("sampling")
    rng = np.random.default_rng(0)
    samples = module.gaussian_samples(prior, np.zeros((1, 0, 2)), np.zeros((1, 0), dtype=np.int8), rng=rng)
    differences = np.vstack([np.zeros((1, 2)), rng.normal(size=(200, 2))])
    (probabilities,) = module.by_user(samples, differences[None])

    assert module.volume_removal(probabilities).argmax() == 0
    assert module.volume_removal(probabilities)[0] == pytest.approx(0.5)
    assert module.mutual_information(probabilities).argmin() == 0
    assert module.mutual_information(probabilities)[0] == pytest.approx(0.0, abs=1e-12)


def test_mutual_information_is_what_its_definition_says(peer: Peer) -> None:
    """Σ p(w, answer) log [p(answer | w) / p(answer)], over two equally likely tastes."""
    probabilities = np.array([[0.9, 0.5], [0.2, 0.5]])
    expected = 0.0
    for one in (0.9, 0.2):
        for chance, mean in ((one, 0.55), (1 - one, 0.45)):
            expected += chance * np.log(chance / mean) / 2

    np.testing.assert_allclose(peer("sampling").mutual_information(probabilities), [expected, 0.0], atol=1e-12)
