"""What the methods share: the loss of linear base rewards with each user's weights on them, and its minimum.

The loss is a mean over comparisons, and so are penalties, in nats a comparison. Every step reads all comparisons, block
by block: over frozen encodings that costs milliseconds, and nothing depends on how they are shuffled. A tie is half a
preference each way; strengths are not read. Encodings are divided by the root mean square of the comparisons'
differences, one number for all dimensions, so that steps and penalties mean the same for every encoder.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InferenceError, InputError
from prefq.rewards.factorization.base import Factorization, FactorizationInfo, OnStep
from prefq.rewards.factorization.checkpoints import Checkpoint
from prefq.rewards.factorization.descent import HEADS, USERS, Run, Slope, Step, Tensor, Values, descend
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, digest_of, whole_number

Encodings = NDArray[np.floating[Any]]

HELD_BYTES = 1 << 30  # of differences kept in memory; more are read anew in each step
START_WEIGHT = 0.1  # logits of margins at a random start
SAVED_EVERY = 10  # measurements
IDENTIFYING = 16  # encodings by which a checkpoint knows them


class Block(NamedTuple):
    """Some comparisons, as tensors or arrays.

    differences (n, n_dims) in standard units, single precision; wanted (n,): 1 for the first, ½ for a tie, 0 for the
    second; users (n,).
    """

    differences: Any
    wanted: Any
    users: Any


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How a method learns.

    Parameters
    ----------
    method
        Its name.
    options
        A checkpoint of other options is refused.
    step
        One step of its descent.
    penalty
        Of heads (n_dims, n_features) in standard units and of the users' weights (n_users, n_features), in nats a
        comparison.
    weights
        From the users' parameters (n_users, n_features) to their weights.
    n_steps
        At most.
    measured_every
        Steps between measurements of the losses.
    """

    method: str
    options: Mapping[str, Any]
    step: Step
    penalty: Callable[[Tensor, Tensor], Tensor]
    weights: Callable[[Tensor], Tensor]
    n_steps: int
    measured_every: int


class Start(NamedTuple):
    """Heads (n_dims, n_features) in standard units and parameters of the users (n_users, n_features) to start from."""

    heads: Array
    users: Array


def checked(
    encodings: Encodings, group: GroupComparisons, n_features: int, validation: GroupComparisons | None
) -> GroupComparisons | None:
    """The comparisons to validate on: of those given, the ones of users who have others to learn from.

    Raises
    ------
    InputError
        When the parts do not fit together or there is nothing to learn from or to validate on.
    """
    n_items, n_dims = encodings.shape
    whole_number(n_features, "n_features", f"a number from 1 to {n_dims}, as many as dimensions", least=1)
    if n_features > n_dims:
        raise InputError(f"n_features is {n_features} and encodings have {n_dims} dimensions; give at most as many.")
    for each in (group, validation):
        if each is not None and (each.n_items, each.n_users) != (n_items, group.n_users):
            raise InputError(
                f"there are encodings of {n_items} items and {group.n_users} users, and comparisons among "
                f"{each.n_items} items by {each.n_users} users; give the encodings and the group they belong to."
            )
    if not group.n_comparisons:
        raise InputError("there are no comparisons to learn from; give at least one.")
    if validation is None:
        return None
    known = validation.of_users(np.bincount(group.users, minlength=group.n_users) > 0)
    if not known.n_comparisons:
        raise InputError("no comparison to validate on is of a user to learn from; leave it out, or split otherwise.")
    return known


def unit_of(encodings: Encodings, group: GroupComparisons) -> float:
    """Root mean square of the comparisons' differences in a dimension; InputError where nothing differs."""
    total = 0.0
    for _, block in group.blocks(encodings):
        total += float(np.square(block, dtype=np.float64).sum())
    if not np.isfinite(total):
        raise InputError("the encodings hold values that are not finite; encode the texts again.")
    if total == 0:
        raise InputError(
            f"none of {group.n_comparisons} comparisons is of encodings that differ, so nothing can be learned; give "
            "comparisons of different texts."
        )
    return float(np.sqrt(total / (group.n_comparisons * encodings.shape[1])))


def random_start(n_dims: int, n_users: int, n_features: int, rng: np.random.Generator) -> Start:
    """Heads whose features differ by about one, and users' weights small beside that: margins start near nothing."""
    heads = rng.normal(size=(n_dims, n_features)) / np.sqrt(n_dims)
    return Start(heads, START_WEIGHT / np.sqrt(n_features) * rng.normal(size=(n_users, n_features)))


def identity(users: Tensor) -> Tensor:
    """Users' parameters as their weights."""
    return users


def nats(block: Block, heads: Tensor, weights: Tensor) -> Tensor:
    """Summed negative log-likelihood of a block's comparisons under Bradley-Terry, in nats."""
    from torch.nn.functional import binary_cross_entropy_with_logits, linear

    features = linear(block.differences, heads.T.contiguous())  # of heads as rows the slope takes a third of the time
    margins = (features * weights.index_select(0, block.users)).sum(dim=1)
    return binary_cross_entropy_with_logits(margins, block.wanted, reduction="sum")


def learn(
    encodings: Encodings,
    group: GroupComparisons,
    start: Start,
    recipe: Recipe,
    *,
    unit: float,
    rng_state: object,
    validation: GroupComparisons | None,
    device: str,
    checkpoints: Path | None,
    on_step: OnStep | None,
) -> Factorization:
    """The heads and users of the best measured step, from a start.

    The best step is that of the lowest loss on `validation`, without it that of the lowest penalised loss. It ends
    after so many measurements that were no better, after the recipe's steps, or where the loss is not finite or has
    risen by a nat a comparison (`descent`). `rng_state` is that of the generator before anything was drawn: with data
    and options it tells whether a checkpoint is of this very run.
    """
    data = Blocks(encodings, group, unit, device=device)
    held_out = None if validation is None else Blocks(encodings, validation, unit, device=device)
    run = Run(
        {HEADS: _tensor(start.heads.astype(np.float32), device), USERS: _tensor(start.users.astype(np.float32), device)}
    )
    checkpoint = None
    if checkpoints is not None:
        told = json.dumps([recipe.method, dict(recipe.options), rng_state], sort_keys=True, default=str)
        parts = [each.identity() for each in (data, held_out) if each is not None]
        checkpoint = Checkpoint(checkpoints, digest_of(told, *parts))
        saved = checkpoint.load()
        run = run if saved is None else Run.of(*saved, device)
    descend(
        run,
        recipe.method,
        recipe.step,
        _slope_of(recipe, data),
        lambda run: _measure(run, recipe, data, held_out),
        n_steps=recipe.n_steps,
        measured_every=recipe.measured_every,
        saved_every=SAVED_EVERY,
        checkpoint=checkpoint,
        on_step=on_step,
    )
    if not run.best:
        raise InferenceError(
            f"the loss of {recipe.method} is {run.train[-1]} nats at its start; check that all encodings are finite."
        )
    heads = run.best[HEADS].double().cpu().numpy() / unit
    users = recipe.weights(run.best[USERS]).double().cpu().numpy()
    users[np.bincount(group.users, minlength=group.n_users) == 0] = np.nan
    stopped = run.stopped(recipe.n_steps)
    losses = tuple(run.train), tuple(run.validation)
    return Factorization(heads, users, FactorizationInfo(recipe.method, run.step, *losses, run.best_step, stopped))


class Blocks:
    """Comparisons block by block in the order of rows, held in memory where they are few enough.

    Parameters
    ----------
    encodings : (n_items, n_dims)
        Of the items.
    group
        At least one comparison.
    unit
        By which differences are divided.
    device
        Where tensors are to be; None for arrays.
    """

    def __init__(self, encodings: Encodings, group: GroupComparisons, unit: float, *, device: str | None) -> None:
        self._encodings, self._group, self._unit, self._device = encodings, group, unit, device
        few = 4 * group.n_comparisons * encodings.shape[1] <= HELD_BYTES
        self._held = list(self._read()) if few else None

    def __len__(self) -> int:
        """Number of comparisons."""
        return self._group.n_comparisons

    def __iter__(self) -> Iterator[Block]:
        """Block by block."""
        return self._read() if self._held is None else iter(self._held)

    def identity(self) -> str:
        """SHA-256 of the comparisons, and of a few of the encodings."""
        rows = np.linspace(0, len(self._encodings) - 1, min(IDENTIFYING, len(self._encodings))).astype(np.intp)
        arrays = (self._group.pairs, self._group.outcomes, self._group.users, self._encodings[rows])
        return digest_of(str(self._encodings.shape), *(np.ascontiguousarray(each).tobytes() for each in arrays))

    def _read(self) -> Iterator[Block]:
        for rows, block in self._group.blocks(self._encodings):
            wanted = (1 + self._group.outcomes[rows].astype(np.float32)) / 2
            arrays = (block.astype(np.float32) / np.float32(self._unit), wanted, self._group.users[rows])
            yield Block(*arrays) if self._device is None else Block(*(_tensor(each, self._device) for each in arrays))


def _measure(run: Run, recipe: Recipe, data: Blocks, held_out: Blocks | None) -> None:
    """Record the losses of the run's values, in nats a comparison."""
    import torch

    with torch.no_grad():
        heads, weights = run.values[HEADS], recipe.weights(run.values[USERS])

        def loss(blocks: Blocks) -> float:
            return sum(float(nats(block, heads, weights)) for block in blocks) / len(blocks)

        validation = None if held_out is None else loss(held_out)
        run.record(loss(data), validation, float(recipe.penalty(heads, weights)))


def _slope_of(recipe: Recipe, data: Blocks) -> Slope:
    """Penalised loss and its slopes, a block at a time so that memory holds the work of one."""

    def slope(values: Values, names: Collection[str]) -> tuple[float, Values]:
        leaves = {name: value.detach().requires_grad_(name in names) for name, value in values.items()}
        penalty = recipe.penalty(leaves[HEADS], recipe.weights(leaves[USERS]))
        loss = float(penalty.detach())
        if penalty.requires_grad:
            penalty.backward()
        for block in data:
            part = nats(block, leaves[HEADS], recipe.weights(leaves[USERS])) / len(data)
            part.backward()
            loss += float(part.detach())
        return loss, {name: leaves[name].grad for name in names}

    return slope


def _tensor(array: NDArray[Any], device: str) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
