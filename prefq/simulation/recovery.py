"""Recovery: how much of what tastes weigh, learned base rewards can say."""

import numpy as np

from prefq.vocabulary import Array

DEAD = 1e-10  # of the largest eigenvalue: below it a direction is a copy of others, or nothing


def smallest_cosine(heads: Array, factors: Array, covariance: Array) -> float:
    """Cosine of the largest principal angle from the true features to the space of the learned ones.

    Angles are between features, correlation being the cosine, so that neither the unit nor the basis of encodings
    matters: between the columns of C^½ heads and of C^½ factors (Björck and Golub 1973, theorem 1).

    Parameters
    ----------
    heads : (n_dims, n_heads)
        Learned features are encodings @ heads.
    factors : (n_dims, n_factors)
        True ones are encodings @ factors.
    covariance : (n_dims, n_dims)
        C, of the encodings or of their differences.

    Returns
    -------
    float
        Correlation of the true direction that is learned worst with what comes nearest to it: 1 where the heads span
        the factors, 0 where there are fewer independent heads than factors.
    """
    root = _root(covariance)
    learned, true = _orthonormal(root @ heads), _orthonormal(root @ factors)
    if learned.shape[1] < true.shape[1]:
        return 0.0
    return float(min(np.linalg.svd(true.T @ learned, compute_uv=False)[-1], 1.0))


def standardised(heads: Array, differences: Array) -> Array:
    """The same space with uncorrelated base rewards of unit root mean square: (n_dims, n_kept).

    Parameters
    ----------
    heads : (n_dims, n_features)
        Learned base rewards.
    differences : (n, n_dims)
        Over which they are to be uncorrelated.

    Returns
    -------
    (n_dims, n_kept)
        Those that vary most come first; copies of others, and heads that never differ, are left out.
    """
    values = differences @ heads
    variances, directions = np.linalg.eigh(values.T @ values / len(values))
    kept = variances > DEAD * variances[-1]
    return np.asarray((heads @ (directions[:, kept] / np.sqrt(variances[kept])))[:, ::-1])


def _root(covariance: Array) -> Array:
    variances, directions = np.linalg.eigh(covariance)
    return np.asarray((directions * np.sqrt(np.maximum(variances, 0.0))).T)


def _orthonormal(columns: Array) -> Array:
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > np.sqrt(DEAD) * sizes[0]] if sizes[0] > 0 else left[:, :0]
