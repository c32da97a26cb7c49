"""LoRe, low-rank reward modelling (Bose et al. 2025, arXiv 2504.14439): base rewards that every user mixes.

The base rewards are the columns of V, linear in the encoding; a user's weights on them are on the simplex, by a
softmax. V and the weights are learned together by the Bradley-Terry likelihood with Adam. What users' coefficients
span is then of one dimension less than there are base rewards, beside the point that they mix around: tastes that
spread in d directions about any mean want d + 1 base rewards.

Their anchor keeps V near a reference reward by the cosine. Independent implementation from the paper and its project's
documentation; users' logits are not divided there by 100 but have their own rate here, which says the same.
"""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.rewards.factorization.base import Factorization, OnStep
from prefq.rewards.factorization.descent import HEADS, USERS, Tensor, joint_step
from prefq.rewards.factorization.training import Encodings, Recipe, checked, learn, random_start, unit_of
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, real_array

RATES = {HEADS: 0.2, USERS: 0.2}  # Adam's; a simplex takes large base rewards
RIDGE = 0.1  # of 0, .03, .1, .3 and 1 the one whose held-out loss was near the lowest on all of three worlds
N_STEPS, MEASURED_EVERY = 500, 5
TINY = 1e-6  # of a norm, so that the cosine of nothing is nothing


def fit_lore(
    encodings: Encodings,
    group: GroupComparisons,
    n_features: int,
    *,
    rng: np.random.Generator,
    validation: GroupComparisons | None = None,
    ridge: float = RIDGE,
    reference: ArrayLike | None = None,
    anchor: float = 1.0,
    n_steps: int = N_STEPS,
    device: str = "cpu",
    checkpoints: Path | None = None,
    on_step: OnStep | None = None,
) -> Factorization:
    """Base rewards by LoRe.

    Parameters
    ----------
    encodings, group, n_features, validation, checkpoints, on_step
        As `Method` has them; validation decides which step is kept.
    rng
        For the random start.
    ridge
        Precision of a normal prior on base rewards whose differences have mean square one; 0 as published.
    reference : (n_dims,), optional
        Coefficients of a reward that all base rewards are to point along.
    anchor
        Nats for a base reward at a right angle to the reference.
    n_steps
        Steps of Adam at most.
    device
        Where torch computes: ``"cpu"``, ``"cuda"``. The same seed gives the same heads on a CPU with one thread.

    Returns
    -------
    Factorization
        The best measured step; coefficients are not negative and sum to one.

    Raises
    ------
    InputError, MismatchError, InferenceError
        As `Method` has them.
    """
    import torch

    validation = checked(encodings, group, n_features, validation)
    state, unit, n_dims = rng.bit_generator.state, unit_of(encodings, group), encodings.shape[1]
    pole = None if reference is None else torch.from_numpy(_pole(reference, n_dims).astype(np.float32)).to(device)

    def penalty(heads: Tensor, _weights: Tensor) -> Tensor:
        size = ridge * n_dims * (heads**2).sum() / (2 * group.n_comparisons)
        if pole is None:
            return size
        return size + anchor * (1 - (pole @ heads) / (heads.norm(dim=0) + TINY)).sum()

    towards = None if pole is None else [anchor, *pole.tolist()]
    options = {"n_features": n_features, "ridge": ridge, "towards": towards, "n_steps": n_steps}
    recipe = Recipe("lore", options, joint_step(RATES), penalty, simplex_weights, n_steps, MEASURED_EVERY)
    return learn(
        encodings,
        group,
        random_start(n_dims, group.n_users, n_features, rng),
        recipe,
        unit=unit,
        rng_state=state,
        validation=validation,
        device=device,
        checkpoints=checkpoints,
        on_step=on_step,
    )


def simplex_weights(users: Tensor) -> Tensor:
    """Users' parameters (n_users, n_features) as weights that are not negative and sum to one."""
    return users.softmax(dim=1)


def _pole(reference: ArrayLike, n_dims: int) -> Array:
    """The reference's direction (n_dims,)."""
    values = real_array(reference, "reference", ndim=1)
    if values.shape != (n_dims,) or not values.any():
        raise InputError(f"reference has shape {values.shape}; give {n_dims} coefficients that are not all zero.")
    return np.asarray(values / np.linalg.norm(values))
