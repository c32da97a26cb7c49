"""PReF (Shenfeld et al. 2025, arXiv 2503.06358): a start by singular vectors, then penalised maximum likelihood.

The paper fills a matrix of users × pairs with answers, one half where there is none, and takes ten truncated singular
value decompositions, each clipped to [0, 1]; base rewards are first regressed on the pairs' vectors, then all is
refined by the Bradley-Terry likelihood (equation 5, algorithm 1). As released, the matrix is neither centred nor in
logits, so that one vector goes to the constant. Where people share no pairs, as in most logs, a column holds one
answer and the singular vectors say who answered most, nothing else.

Their penalty falls on the features. It could be had for nothing by smaller features and larger weights, and it hardly
falls on heads along directions in which encodings vary little. So weights and heads have the normal priors of RFM here
too, which fixes the scale, and a third penalty falls on what the differences of two features have in common, which
fixes the rotation.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from prefq.errors import InputError
from prefq.rewards.factorization.base import Factorization, OnStep
from prefq.rewards.factorization.descent import HEADS, USERS, Tensor, joint_step
from prefq.rewards.factorization.rfm import normal_priors
from prefq.rewards.factorization.training import (
    Encodings,
    Recipe,
    Start,
    checked,
    identity,
    learn,
    random_start,
    unit_of,
)
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, shown

StartName = Literal["observed", "published", "random"]
Starting = Callable[[Encodings, GroupComparisons, float, int], Start]

SIZE = 0.02  # their default: nats for a feature whose differences have mean square one
SHARED = 0.01  # nats for two features of one direction, of mean square one; small, since it moves only the rotation
RIDGE = 1.0  # precision of users' weights; of 0, .1, 1 and 3 the one whose held-out loss was lowest on two worlds
RATES = {HEADS: 0.02, USERS: 0.1}  # Adam's; users' larger, since few answers bear on each
N_STEPS, MEASURED_EVERY = 500, 5
ROUNDS = 10  # of decompositions, as published
MOST_CELLS = 50_000_000  # of users × pairs: 400 MB
LEAST_VARIANCE = 0.1  # of a direction, relative to the mean, up to which "observed" whitens


def fit_pref(
    encodings: Encodings,
    group: GroupComparisons,
    n_features: int,
    *,
    rng: np.random.Generator,
    validation: GroupComparisons | None = None,
    start: StartName = "observed",
    regularised: bool = True,
    n_steps: int = N_STEPS,
    device: str = "cpu",
    checkpoints: Path | None = None,
    on_step: OnStep | None = None,
) -> Factorization:
    """Base rewards by PReF.

    Parameters
    ----------
    encodings, group, n_features, validation, checkpoints, on_step
        As `Method` has them; validation decides which step is kept.
    rng
        For the random start, or what of a start has no singular vectors.
    start
        ``"published"``: singular vectors of users × pairs; needs people who share pairs. ``"observed"``: singular
        vectors of users × encoding dimensions, a user's row being the sum of differences, each with its answer's sign;
        needs neither shared pairs nor values for what was not asked. ``"random"``: the paper's ablation.
    regularised
        False for the paper's ablation without a penalty.
    n_steps
        Steps of Adam at most.
    device
        Where torch computes: ``"cpu"``, ``"cuda"``. The same seed gives the same heads on a CPU with one thread.

    Returns
    -------
    Factorization
        The best measured step.

    Raises
    ------
    InputError, MismatchError, InferenceError
        As `Method` has them; InputError for ``"published"`` on a matrix of more than 50 million cells, too.
    """
    import torch

    if start not in (*STARTS, "random"):
        raise InputError(f"start is {shown(start)}; give 'observed', 'published' or 'random'.")
    validation = checked(encodings, group, n_features, validation)
    state, unit, n_dims = rng.bit_generator.state, unit_of(encodings, group), encodings.shape[1]
    moments = torch.from_numpy(moments_of(encodings, group, unit).astype(np.float32)).to(device)

    priors = normal_priors(RIDGE, n_dims, group.n_comparisons)

    def penalty(heads: Tensor, weights: Tensor) -> Tensor:
        if not regularised:
            return heads.new_zeros(())
        products = heads.T @ moments @ heads
        common = products - torch.diag(products.diagonal())
        size = SIZE * products.trace() + SHARED * (common**2).sum() / 2
        return size + priors(heads, weights)

    begun = random_start(n_dims, group.n_users, n_features, rng)
    if start != "random":
        begun = _put_over(begun, STARTS[start](encodings, group, unit, n_features))
    options = {"n_features": n_features, "start": start, "regularised": regularised, "n_steps": n_steps}
    recipe = Recipe("pref", options, joint_step(RATES), penalty, identity, n_steps, MEASURED_EVERY)
    return learn(
        encodings,
        group,
        begun,
        recipe,
        unit=unit,
        rng_state=state,
        validation=validation,
        device=device,
        checkpoints=checkpoints,
        on_step=on_step,
    )


def observed_start(encodings: Encodings, group: GroupComparisons, unit: float, n_features: int) -> Start:
    """From users' sums of signed differences, whitened: one step of each user's regression from zero.

    In whitened units a user's expected sum is parallel to the user's coefficients while margins are small, and its
    noise alike in all directions, for which singular vectors are the estimate.
    """
    n_dims = encodings.shape[1]
    variances, axes = np.linalg.eigh(moments_of(encodings, group, unit) + LEAST_VARIANCE * np.eye(n_dims))
    whitening: Array = axes / np.sqrt(variances)
    sums = np.zeros((group.n_users, n_dims))
    for rows, block in group.blocks(encodings):
        signs = group.outcomes[rows] / unit
        places = (group.users[rows], np.arange(len(block)))
        sums += csr_array((signs, places), shape=(group.n_users, len(block))) @ block
    roots = np.sqrt(np.maximum(np.bincount(group.users, minlength=group.n_users), 1))[:, None]
    seen = sums @ whitening / roots
    _, _, vectors = np.linalg.svd(seen, full_matrices=False)
    kept = vectors[:n_features].T
    return Start(np.asarray(whitening @ kept), 2 * seen @ kept / roots)


def published_start(encodings: Encodings, group: GroupComparisons, unit: float, n_features: int) -> Start:
    """From the singular vectors of users × pairs; missing answers are ½, then what the round before says, clipped.

    A pair compared twice by a user counts with its last answer.
    """
    pairs, columns = np.unique(np.sort(group.pairs, axis=1), axis=0, return_inverse=True)
    if group.n_users * len(pairs) > MOST_CELLS:
        raise InputError(
            f"{group.n_users} users × {len(pairs)} pairs are more cells than the {MOST_CELLS} that are decomposed as "
            "published; start with 'observed'."
        )
    turned = np.where(group.pairs[:, 0] > group.pairs[:, 1], -1, 1)
    cells, answers = (group.users, columns.reshape(-1)), (1 + turned * group.outcomes) / 2
    matrix = np.full((group.n_users, len(pairs)), 0.5)
    for _ in range(ROUNDS):
        matrix[cells] = answers
        left, sizes, right = _truncated(matrix, n_features)
        matrix = np.clip((left * sizes) @ right, 0.0, 1.0)
    differences = (encodings[pairs[:, 0]] - encodings[pairs[:, 1]]).astype(np.float64) / unit
    heads, *_ = np.linalg.lstsq(differences, right.T * np.sqrt(sizes), rcond=None)
    slope = 4  # logits a unit of probability, near one half
    return Start(np.asarray(heads, dtype=np.float64), slope * left * np.sqrt(sizes))


def moments_of(encodings: Encodings, group: GroupComparisons, unit: float) -> Array:
    """Mean over comparisons of a difference's outer product with itself (n_dims, n_dims), in standard units."""
    moments = np.zeros((encodings.shape[1],) * 2)
    for _, block in group.blocks(encodings):
        single = block.astype(np.float32)
        moments += single.T @ single
    return moments / (unit**2 * group.n_comparisons)


STARTS: Mapping[str, Starting] = MappingProxyType({"observed": observed_start, "published": published_start})


def _truncated(matrix: Array, rank: int) -> tuple[Array, Array, Array]:
    """Largest singular values, and their vectors, by the products of the shorter side."""
    if len(matrix) > matrix.shape[1]:
        right, sizes, left = _truncated(matrix.T, rank)
        return left.T, sizes, right.T
    squares, vectors = np.linalg.eigh(matrix @ matrix.T)
    left, sizes = vectors[:, ::-1][:, :rank], np.sqrt(np.maximum(squares[::-1][:rank], 0.0))
    return left, sizes, (left / np.maximum(sizes, np.finfo(float).tiny)).T @ matrix


def _put_over(random: Start, found: Start) -> Start:
    """The random start with as many of its features replaced as were found."""
    heads, users = random.heads.copy(), random.users.copy()
    n_found = found.heads.shape[1]
    heads[:, :n_found], users[:, :n_found] = found
    return Start(heads, users)
