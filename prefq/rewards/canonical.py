"""One form for base rewards that say the same: the common taste first, then what people differ in, by how much.

Heads are known only up to how they are mixed: any invertible mixture of them, with coefficients mixed the other way,
predicts the same. `canonical` takes the one in which features are as uncorrelated over pairs as tastes are over people,
and of fewer features than there are heads the ones that keep most of what people's tastes say of pairs.
"""

from typing import NamedTuple

import numpy as np

from prefq.rewards.factorization.base import Tastes
from prefq.rewards.factorization.marginal import Directions
from prefq.vocabulary import Array

LEAST_SHARE = 1e-6  # of the mean square margin: an axis that moves margins by less is round-off
LEAST_MARGIN = 1e-6  # logits, root mean square, of a common taste: less is round-off, and no taste


class Canonical(NamedTuple):
    """Heads (n_dims, n_features), and people's tastes on them, a unit of a head being a logit of a typical pair.

    Differences of features have root mean square 1 over the group's pairs. The first head is the common taste, and the
    others, uncorrelated with it and with each other over pairs, are ordered by how far tastes differ along them.
    """

    heads: Array
    tastes: Tastes


def canonical(directions: Directions, pooled: Array, personal: Array, n_features: int | None = None) -> Canonical:
    """Canonical heads of tastes pooled + personal @ z, z standard normal over people.

    Parameters
    ----------
    directions
        Second moments of the group's differences of encodings.
    pooled : (n_dims,)
        The common taste.
    personal : (n_dims, rank)
        How people differ; what of it lies along the common taste goes with that.
    n_features
        How many at most: the space of so many that keeps most of the mean square margin over people and pairs, in
        which the first is the common taste as far as it lies there. By default all that is no round-off.
    """
    roots = np.sqrt(directions.spreads)[:, None]
    seen = (directions.axes.T @ np.column_stack([pooled, personal])) * roots  # root mean squares over pairs are norms
    if np.linalg.norm(seen[:, 0]) <= LEAST_MARGIN:
        seen[:, 0] = 0.0
    space, sizes, _ = np.linalg.svd(seen, full_matrices=False)
    kept = sizes**2 >= LEAST_SHARE * float(np.square(sizes).sum())
    space = space[:, kept][:, :n_features]
    inside = space.T @ seen
    turned = np.eye(len(inside))
    if size := float(np.linalg.norm(inside[:, 0])):
        turned[:, 0] = inside[:, 0] / size
    rest = inside[:, 1:] - np.outer(turned[:, 0], turned[:, 0] @ inside[:, 1:])
    turned[:, 1:] = np.linalg.svd(rest, full_matrices=False)[0][:, : len(inside) - 1]
    heads = directions.axes @ (space @ turned / roots)
    largest = heads[np.abs(heads).argmax(axis=0), np.arange(heads.shape[1])]
    signs = np.where(largest < 0, -1.0, 1.0)
    signs[:1] = 1.0  # which way an axis points is convention; the first has its own
    told = (turned * signs).T @ inside
    return Canonical(heads * signs, Tastes(told[:, 0], told[:, 1:]))
