"""One form for base rewards that say the same: the common taste first, then what people differ in, by how much.

Heads are known only up to how they are mixed: any invertible mixture of them, with coefficients mixed the other way,
predicts the same. `canonical` takes the one in which features are as uncorrelated over pairs as tastes are over people.
"""

from typing import NamedTuple

import numpy as np

from prefq.rewards.factorization.marginal import Directions
from prefq.vocabulary import Array, Gaussian

LEAST_SHARE = 1e-6  # of the mean square margin: an axis that moves margins by less is round-off
LEAST_MARGIN = 1e-6  # logits, root mean square, of a common taste: less is round-off, and no taste


class Canonical(NamedTuple):
    """Heads (n_dims, n_features), and root mean square margins of people on each (n_features,), in logits.

    Differences of features have root mean square 1 over the group's pairs. The first head is the common taste, and the
    others, uncorrelated with it and with each other over pairs, are ordered by how far tastes differ along them.
    """

    heads: Array
    strengths: Array


def canonical(directions: Directions, pooled: Array, personal: Array) -> Canonical:
    """Canonical heads of tastes pooled + personal @ z, z standard normal over people.

    Parameters
    ----------
    directions
        Second moments of the group's differences of encodings.
    pooled : (n_dims,)
        The common taste.
    personal : (n_dims, rank)
        How people differ; what of it lies along the common taste goes with that.
    """
    both = np.column_stack([pooled, personal])
    moments = directions.moments(both)
    if moments[0, 0] <= LEAST_MARGIN**2:
        first, along, size = np.zeros_like(pooled), np.zeros(personal.shape[1]), 0.0
    else:
        size = float(np.sqrt(moments[0, 0]))
        first, along = pooled / size, moments[0, 1:] / size
    rest = personal - np.outer(first, along)
    squares, mixes = np.linalg.eigh(directions.moments(rest))
    squares, mixes = np.maximum(squares[::-1], 0.0), mixes[:, ::-1]
    kept = squares > LEAST_SHARE * max(float(squares.sum()) + size**2, np.finfo(float).tiny)
    spreads = np.sqrt(squares[kept])
    heads = np.column_stack([first, rest @ mixes[:, kept] / spreads])
    largest = heads[np.abs(heads).argmax(axis=0), np.arange(heads.shape[1])]
    heads[:, 1:] *= np.where(
        largest[1:] < 0, -1.0, 1.0
    )  # which way an axis points is convention; the first has its own
    return Canonical(heads, np.array([np.hypot(size, np.linalg.norm(along)), *spreads]))


def parts_of(heads: Array, tastes: Gaussian) -> tuple[Array, Array]:
    """Common taste (n_dims,) and how people differ (n_dims, n_features), of coefficients from a Gaussian on heads."""
    values, vectors = np.linalg.eigh(tastes.covariance)
    return heads @ tastes.mean, heads @ (vectors * np.sqrt(np.maximum(values, 0.0)))
