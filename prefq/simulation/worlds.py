"""Worlds: where simulated users come from, and what prefq sees of the items they judge.

A world has two pools of the same questions: the one prefq sees, with measured features, and the truth, with the
features that the users' coefficients really weigh.
"""

from dataclasses import dataclass, replace

import numpy as np

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool
from prefq.simulation.users import SimulatedUser
from prefq.vocabulary import Array, FeatureSpace, ResponseModel


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A population of users over a pool.

    Parameters
    ----------
    seen
        The pool as prefq sees it.
    truth
        The same questions with the features that users weigh.
    coefficient_sds : (n_true_features,)
        Standard deviation of each coefficient over the population, about a mean of zero.
    response_model
        How the users reply.
    """

    seen: CandidatePool
    truth: CandidatePool
    coefficient_sds: Array
    response_model: ResponseModel

    def draw_user(self, *, rng: np.random.Generator) -> SimulatedUser:
        """One user of the population."""
        return SimulatedUser(rng.normal(scale=self.coefficient_sds), response_model=self.response_model)


def declared_levels_world(
    pool: CandidatePool,
    levels: Array,
    *,
    rms_margin: float,
    hidden_share: float,
    rng: np.random.Generator,
    response_model: ResponseModel | None = None,
) -> World:
    """The world `starter`: tastes live on declared levels, plus one dimension that nobody wrote down.

    Parameters
    ----------
    pool
        What prefq sees, with measured features.
    levels : (n_items, n_axes)
        What each response was written to be.
    rms_margin
        Root mean square of the true margins over pool and population, in logits.
    hidden_share
        Share of the mean square margin that comes from the dimension nobody wrote down, in [0, 1).
    rng
        Draws the hidden dimension.
    response_model
        Default: plain Bradley-Terry.

    Returns
    -------
    World
        Every axis has the same standard deviation in the population.

    Raises
    ------
    InputError
        When there is not one row of levels an item, or the share is outside [0, 1).
    """
    if levels.shape[:1] != (pool.n_items,) or levels.ndim != 2:
        raise InputError(f"levels have shape {levels.shape}; give one row for each of the {pool.n_items} items.")
    if not 0 <= hidden_share < 1:
        raise InputError(f"hidden_share is {hidden_share}; give a share from 0 to below 1.")
    features = np.column_stack([levels, rng.normal(size=pool.n_items)]).astype(np.float64)
    names = [*(f"axis{i}" for i in range(levels.shape[1])), "hidden"]
    truth = replace(pool, features=features, feature_space=FeatureSpace(names), prior=None)
    mean_squares = truth.feature_scales() ** 2
    declared = mean_squares[:-1].sum()
    shares = np.append(np.full(levels.shape[1], (1 - hidden_share) / declared), hidden_share / mean_squares[-1])
    return World(pool, truth, rms_margin * np.sqrt(shares), response_model or ResponseModel())
