"""RFM (Barreto et al. 2025, arXiv 2503.17338): features and every rater's weights by joint maximum likelihood.

Equation 7 of the paper maximises the Bradley-Terry likelihood in the features' parameters and in the matrix W of the
raters' weights. The paper leaves open how: here by blocks (users' weights given features, a convex problem for each
user, then features given weights, another convex one) or jointly, with one rate for features and one for users.

It states no regulariser, while the weights of a user whose answers a hyperplane separates have no finite estimate.
Here both have normal priors, of precision `ridge` for weights and of one for features of differences in standard units;
with a ridge of 0 neither has.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from prefq.errors import InputError
from prefq.rewards.factorization.base import Factorization, OnStep
from prefq.rewards.factorization.descent import HEADS, USERS, Tensor, block_step, joint_step
from prefq.rewards.factorization.training import Encodings, Recipe, checked, identity, learn, random_start, unit_of
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import shown

RIDGE = 10.0  # of 1, 3, 10 and 30 the one whose held-out loss was near the lowest on both of two worlds
RATES = (0.02, 0.1)  # of features and users; users' larger, since few answers bear on each
N_STEPS, MEASURED_EVERY = 500, 5  # jointly
N_ROUNDS = 60  # by blocks


def fit_rfm(
    encodings: Encodings,
    group: GroupComparisons,
    n_features: int,
    *,
    rng: np.random.Generator,
    validation: GroupComparisons | None = None,
    optimiser: Literal["joint", "block"] = "joint",
    rates: tuple[float, float] = RATES,
    ridge: float = RIDGE,
    n_steps: int | None = None,
    device: str = "cpu",
    checkpoints: Path | None = None,
    on_step: OnStep | None = None,
) -> Factorization:
    """Base rewards by RFM.

    Parameters
    ----------
    encodings, group, validation, checkpoints, on_step
        As `Method` has them; validation decides which step is kept.
    n_features
        Number of base rewards; 8, 32 and 128 in the paper.
    rng
        For the random start.
    optimiser
        ``"joint"``: Adam on features and users at once; ``"block"``: one given the other in turn, by L-BFGS.
    rates
        Adam's, of features and of users; not read by ``"block"``.
    ridge
        Precision of users' weights; 0 for maximum likelihood without a prior on anything.
    n_steps
        Steps, or rounds of both blocks, at most; by default 500 or 60.
    device
        Where torch computes: ``"cpu"``, ``"cuda"``. The same seed gives the same heads on a CPU with one thread.

    Returns
    -------
    Factorization
        The best measured step.

    Raises
    ------
    InputError, MismatchError, InferenceError
        As `Method` has them.
    """
    if optimiser not in ("joint", "block"):
        raise InputError(f"optimiser is {shown(optimiser)}; give 'joint' or 'block'.")
    validation = checked(encodings, group, n_features, validation)
    state, unit, n_dims = rng.bit_generator.state, unit_of(encodings, group), encodings.shape[1]
    penalty = normal_priors(ridge, n_dims, group.n_comparisons)
    if optimiser == "block":
        step, most, every = block_step((USERS, HEADS)), n_steps or N_ROUNDS, 1
    else:
        step, most, every = joint_step({HEADS: rates[0], USERS: rates[1]}), n_steps or N_STEPS, MEASURED_EVERY
    options = {"n_features": n_features, "optimiser": optimiser, "rates": rates, "ridge": ridge, "n_steps": most}
    recipe = Recipe("rfm", options, step, penalty, identity, most, every)
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


def normal_priors(ridge: float, n_dims: int, n_comparisons: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Of heads in standard units and weights, the priors of `fit_rfm` in nats a comparison."""
    of_heads = n_dims if ridge else 0

    def penalty(heads: Tensor, weights: Tensor) -> Tensor:
        return (ridge * (weights**2).sum() + of_heads * (heads**2).sum()) / (2 * n_comparisons)

    return penalty
