"""Worlds: where simulated users come from, and what prefq sees of the items they judge.

A world has two pools of the same questions: the one prefq sees, with measured features, and the truth, with the
features that the users' coefficients really weigh.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool
from prefq.simulation.users import SimulatedUser
from prefq.vocabulary import (
    Array,
    FeatureSpace,
    ResponseModel,
    real_array,
    real_number,
    rebuilt,
    require_instance,
    shown,
)


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

    Raises
    ------
    InputError
        When a part is of another type, the pools ask different questions, or there is not one standard deviation of
        0 or more for each feature of the truth.
    """

    seen: CandidatePool
    truth: CandidatePool
    coefficient_sds: Array
    response_model: ResponseModel

    if TYPE_CHECKING:  # what the constructor accepts

        def __init__(
            self,
            seen: CandidatePool,
            truth: CandidatePool,
            coefficient_sds: ArrayLike,
            response_model: ResponseModel,
        ) -> None: ...

    def __post_init__(self) -> None:
        require_instance(self.seen, CandidatePool, "seen")
        require_instance(self.truth, CandidatePool, "truth")
        require_instance(self.response_model, ResponseModel, "response_model")
        if not np.array_equal(self.seen.pairs, self.truth.pairs):
            raise InputError("the pools seen and truth have different pairs; they must ask the same questions.")
        sds = real_array(self.coefficient_sds, "coefficient_sds", ndim=1)
        if sds.size != self.truth.n_features or (sds < 0).any():
            raise InputError(
                f"coefficient_sds are {shown(sds.tolist())}; "
                f"give a number of 0 or more for each of the {self.truth.n_features} features of the truth."
            )
        object.__setattr__(self, "coefficient_sds", sds)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)

    def draw_user(self, *, rng: np.random.Generator) -> SimulatedUser:
        """One user of the population."""
        return SimulatedUser(rng.normal(scale=self.coefficient_sds), response_model=self.response_model)


def declared_levels_world(
    pool: CandidatePool,
    levels: ArrayLike,
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
    declared = real_array(levels, "levels", ndim=2)
    if len(declared) != pool.n_items:
        raise InputError(f"levels have shape {declared.shape}; give one row for each of the {pool.n_items} items.")
    rms_margin, hidden_share = real_number(rms_margin, "rms_margin"), real_number(hidden_share, "hidden_share")
    if not 0 <= hidden_share < 1:
        raise InputError(f"hidden_share is {hidden_share}; give a share from 0 to below 1.")
    features = np.column_stack([declared, rng.normal(size=pool.n_items)])
    n_axes = declared.shape[1]
    names = [*(f"axis{i}" for i in range(n_axes)), "hidden"]
    truth = replace(pool, features=features, feature_space=FeatureSpace(names), prior=None)
    mean_squares = truth.feature_scales() ** 2
    shares = np.append(np.full(n_axes, (1 - hidden_share) / mean_squares[:-1].sum()), hidden_share / mean_squares[-1])
    model = ResponseModel() if response_model is None else response_model
    return World(pool, truth, rms_margin * np.sqrt(shares), model)
