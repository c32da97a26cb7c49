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


def grid_moments(points: Array, log_prior: Array) -> tuple[Array, Array]:
    """Mean and covariance of the posterior by summing over points (n, 2)."""
    margins = points @ DIFFERENCES[0].T
    chances = [sigmoid(margins[:, 0]), sigmoid(-margins[:, 1]), sigmoid(margins[:, 2]) * sigmoid(-margins[:, 2])]
    weights = np.exp(log_prior) * np.prod(chances, axis=0)
    mean = np.average(points, weights=weights, axis=0)
    return mean, np.cov(points.T, aweights=weights, ddof=0)


def test_samples_on_the_sphere_agree_with_a_grid(peer: Peer) -> None:
    n_chains = 300  # one walk moves slowly: many start all over the sphere
    samples = peer("sampling").unit_sphere_samples(
        np.repeat(DIFFERENCES, n_chains, axis=0),
        np.repeat(OUTCOMES, n_chains, axis=0),
        rng=np.random.default_rng(0),
        n_samples=200,
    )[:, 100:]
    samples = samples.reshape(-1, 2)
    angles = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    mean, covariance = grid_moments(np.column_stack([np.cos(angles), np.sin(angles)]), np.zeros(angles.size))

    np.testing.assert_allclose(np.square(samples).sum(axis=1), 1)
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.06)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.03)


def test_samples_under_our_prior_agree_with_a_grid(peer: Peer, prior: Gaussian) -> None:
    samples = peer("sampling").gaussian_samples(
        prior, DIFFERENCES, OUTCOMES, rng=np.random.default_rng(0), n_samples=N_SAMPLES
    )[0]
    precision = np.linalg.inv(prior.covariance)
    axis = np.linspace(-7.0, 7.0, 401)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    off = points - prior.mean
    mean, covariance = grid_moments(points, -np.einsum("ni,ij,nj->n", off, precision, off) / 2)

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
