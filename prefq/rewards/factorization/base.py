"""What every method gives: linear base rewards, the group's coefficients on them, and how it went."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, Gaussian

OnStep = Callable[[str], None]
"""Told in a few words, again and again, what is being done; may raise to end it."""


def silent(_what: str) -> None:
    """Tell nobody."""


class FactorizationInfo(NamedTuple):
    """How base rewards were found.

    Losses are in nats a comparison, one a step that was measured; validation losses are empty where nothing was held
    out. best_step is the step whose heads were kept; stopped says in a clause why no further step was taken.
    """

    method: str
    n_steps: int
    train_losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    best_step: int
    stopped: str


class Tastes(NamedTuple):
    """How people's coefficients on some heads spread: mean + axes @ z, with z standard normal over people.

    mean (n_features,), axes (n_features, rank).
    """

    mean: Array
    axes: Array

    @classmethod
    def of(cls, spread: Gaussian) -> "Tastes":
        """People whose coefficients are from a Gaussian."""
        values, vectors = np.linalg.eigh(spread.covariance)
        return cls(spread.mean, vectors * np.sqrt(np.maximum(values, 0.0)))


class Factorization(NamedTuple):
    """Base rewards as linear functions of an item's encoding.

    heads (n_dims, n_features): features are encodings @ heads. coefficients (n_users, n_features): those of the group's
    users, in logits a unit of each feature; rows of NaN for users without comparisons. tastes are how these spread,
    where the method tells it without estimating anybody's.
    """

    heads: Array
    coefficients: Array
    info: FactorizationInfo
    tastes: Tastes | None = None


class Method(Protocol):
    """Learns heads from encodings: what all methods have in common; what else each takes is told there."""

    def __call__(
        self,
        encodings: NDArray[np.floating[Any]],
        group: GroupComparisons,
        n_features: int,
        *,
        rng: np.random.Generator,
        validation: GroupComparisons | None = None,
        checkpoints: Path | None = None,
        on_step: OnStep | None = None,
    ) -> Factorization:
        """Base rewards, and the group's coefficients on them.

        Parameters
        ----------
        encodings : (n_items, n_dims)
            Of the items; may be mapped and larger than memory.
        group
            What to learn from. A tie is half a preference each way; strengths are not read.
        n_features
            Number of base rewards.
        rng
            For what is drawn.
        validation
            Other comparisons of the same users, whose lowest loss decides what is kept.
        checkpoints
            A folder to keep the run in; a run that was ended goes on from there and comes to the same result.
        on_step
            Told in a few words, again and again, what is being done; may raise to end it.

        Raises
        ------
        InputError
            For parts that do not fit together, or no comparison of encodings that differ.
        MismatchError
            When the checkpoint is of another run.
        InferenceError
            When nothing is found: the loss is no number from the beginning, or does not converge.
        """
