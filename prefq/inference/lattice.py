"""Fixed quasi-random draws of coefficients, from a lattice instead of a generator, and what is counted over them."""

import numpy as np

from prefq.vocabulary import Array, Coefficients

N_DRAWS = 16381  # a prime, so that the lattice has no short cycles
LATTICE_MULTIPLIER = 10617  # of 250 tried, the one whose draws' covariance is closest to the identity up to d = 64


def lattice_points(n_points: int, n_columns: int) -> Array:
    """Points (n_points, n_columns) of a Korobov lattice in the open unit cube; n_points must be a prime.

    Reference: Niederreiter (1992), Random Number Generation and Quasi-Monte Carlo Methods, sec. 5.
    """
    generator = np.array([pow(LATTICE_MULTIPLIER, j, n_points) for j in range(n_columns)], dtype=np.float64)
    return np.asarray((np.arange(n_points)[:, None] * generator % n_points + 0.5) / n_points)


def normal_draws(coefficients: Coefficients, n_points: int = N_DRAWS) -> Array:
    """Fixed quasi-random draws of coefficients (2 n_points, n_features): a Korobov lattice and its mirror image.

    n_points must be a prime. Of a mixture, each component has its share of the draws, to within one.
    """
    n_more = int(len(coefficients.components) > 1)  # the first column, which runs evenly from 0 to 1
    points = lattice_points(n_points, n_more + coefficients.n_features)
    shares, places = points[:, 0], points[:, n_more:]
    return np.concatenate([coefficients_at(coefficients, shares, each) for each in (places, 1 - places)])


def coefficients_at(coefficients: Coefficients, shares: Array, places: Array) -> Array:
    """Coefficients (n, n_features) at points of the unit cube, uniform points giving draws of the distribution.

    Parameters
    ----------
    coefficients
        Their distribution.
    shares : (n,)
        Between 0 and 1: which component, as their weights divide that range.
    places : (n, n_features)
        Between 0 and 1, both excluded: where within the component.
    """
    from scipy.special import ndtri  # here, because it costs 0.1 s and choosing a question does without it

    of = np.searchsorted(np.cumsum(coefficients.weights)[:-1], shares)
    normal, draws = ndtri(places), np.empty(places.shape)
    for number, component in enumerate(coefficients.components):
        draws[of == number] = component.mean + normal[of == number] @ component.factor.T
    return draws


def probability_best(coefficients: Coefficients, features: Array, n_points: int = N_DRAWS) -> Array:
    """Probability that each response is the best one, over the posterior.

    Parameters
    ----------
    coefficients
        Of the user.
    features : (n, n_features)
        Of the responses.
    n_points
        Half the number of draws, a prime.

    Returns
    -------
    (n,)
        Sums to 1; responses with equal scores share. By fixed quasi-random draws, so the same input gives the same
        numbers; off by about 0.01, or by 0.02 with 1,019 points.
    """
    scores = features @ normal_draws(coefficients, n_points).T
    is_best = scores >= scores.max(axis=0) - 1e-12 * np.abs(scores).max(initial=1.0)
    shares = (is_best / is_best.sum(axis=0)).mean(axis=1)
    return np.asarray(shares / shares.sum())
