"""What every method gives: linear base rewards, the group's coefficients on them, and how it went."""

from collections.abc import Callable
from typing import NamedTuple

from prefq.vocabulary import Array

OnStep = Callable[[str], None]
"""Told in a few words, again and again, what is being done; may raise to end it."""


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


class Factorization(NamedTuple):
    """Base rewards as linear functions of an item's encoding.

    heads (n_dims, n_features): features are encodings @ heads. coefficients (n_users, n_features): those of the group's
    users, in logits a unit of each feature; rows of NaN for users without comparisons.
    """

    heads: Array
    coefficients: Array
    info: FactorizationInfo
