"""Fixed draws: moments of Gaussians and mixtures, and each component's share."""

import numpy as np
import pytest

from prefq.inference.lattice import lattice_points, normal_draws
from prefq.questions import batches, stopping
from prefq.vocabulary import Gaussian, GaussianMixture

MIXTURE = GaussianMixture(
    [0.2, 0.5, 0.3],
    [
        Gaussian([0.0, 0.0, 0.0], np.zeros((3, 3))),
        Gaussian([1.0, 2.0, 3.0], [[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 2.0]]),
        Gaussian([-1.0, -1.0, 0.0], np.diag([1.0, 0.5, 0.2])),
    ],
)


def test_points_fill_every_axis_evenly() -> None:
    points = lattice_points(101, 4)
    for column in points.T:
        np.testing.assert_allclose(np.sort(column), (np.arange(101) + 0.5) / 101)


@pytest.mark.parametrize(
    ("n_points", "n_columns"),
    [(batches.N_PEOPLE, 74), (batches.N_POINTS, 254), (stopping.N_BEST_POINTS, 500), (257, 128)],
)
def test_no_two_columns_are_equal_or_mirror_images(n_points: int, n_columns: int) -> None:
    steps = (lattice_points(n_points, n_columns)[1] * n_points).astype(
        int
    )  # of the first point, in n_points parts of 1
    assert len({*steps.tolist(), *(n_points - steps).tolist()}) == 2 * n_columns


def test_draws_of_a_mixture_have_its_moments() -> None:
    draws = normal_draws(MIXTURE)
    np.testing.assert_allclose(draws.mean(axis=0), MIXTURE.mean, atol=1e-3)
    np.testing.assert_allclose(np.cov(draws.T), MIXTURE.covariance, atol=0.01)


def test_each_component_has_its_share_of_the_draws() -> None:
    draws = normal_draws(MIXTURE, 1021)
    n_points = int((np.abs(draws) < 1e-12).all(axis=1).sum())
    assert abs(n_points - 0.2 * len(draws)) <= 2
    theirs = draws[:1021][round(0.2 * 1021) + 1 : round(0.7 * 1021) - 1]
    np.testing.assert_allclose(np.cov(theirs.T), MIXTURE.components[1].covariance, atol=0.15)


def test_one_component_draws_as_the_gaussian_itself() -> None:
    alone = GaussianMixture([1.0], [MIXTURE.components[1]])
    np.testing.assert_array_equal(normal_draws(alone, 101), normal_draws(MIXTURE.components[1], 101))
