"""`bayes`: the pooled reward first, then residual features, learned with everybody's coefficients integrated out.

Ours; the others estimate a point for each user and each feature, and where answers are few these fit noise. The
likelihood is in `marginal`; how many features there are to be, and how strong, is decided by `prefq.rewards.learning`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.canonical import canonical
from prefq.rewards.factorization.base import Factorization, FactorizationInfo, OnStep
from prefq.rewards.factorization.likeliest import likeliest
from prefq.rewards.factorization.marginal import Answers, Directions, Evidence
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array

MAX_STEPS = 40


def fit_bayes(
    encodings: NDArray[np.floating[Any]],
    group: GroupComparisons,
    n_features: int,
    *,
    rng: np.random.Generator,
    validation: GroupComparisons | None = None,  # noqa: ARG001  (nothing to stop early)
    checkpoints: Path | None = None,  # noqa: ARG001  (ten or twenty steps)
    max_steps: int = MAX_STEPS,
    on_step: OnStep | None = None,
) -> Factorization:
    """Base rewards of the largest marginal likelihood: tastes are h + B z, z standard normal over people.

    Parameters
    ----------
    encodings, group, on_step
        As `Method` has them.
    n_features
        As many axes are searched for along which people may differ besides the pooled reward, and of the space of both
        so many are kept; fewer where they do not differ in so many.
    rng
        Draws who chooses how strong the pooled reward may be.
    validation, checkpoints
        Not used: nothing is stopped early, and ten or twenty steps are soon taken again.
    max_steps
        Of each search.

    Returns
    -------
    Factorization
        Heads as `canonical` orders them; coefficients are posterior means, tastes those of the largest evidence.

    Raises
    ------
    InputError
        When no answer is about two items whose encodings differ.
    """
    answers, directions = Answers.of(encodings, group), Directions.of(encodings, group)
    if not answers.n_answers:
        raise InputError("no comparison is of two items whose encodings differ, so nothing can be learned from them.")
    losses: list[float] = []

    def on_evidence(step: int, value: float) -> None:
        losses.append(-value)
        if on_step is not None:
            on_step(f"bayes, {n_features} features: step {step}, {-value:.4f} nats an answer")

    both = likeliest(answers, directions, n_features, rng=rng, max_steps=max_steps, on_evidence=on_evidence)
    found = canonical(directions, both[:, 0], both[:, 1:], n_features)
    info = FactorizationInfo("bayes", len(losses), tuple(losses), (), len(losses), "the evidence rose no more")
    coefficients = _coefficients(answers, directions, found.heads, both, group.n_users)
    return Factorization(found.heads, coefficients, info, found.tastes)


def _coefficients(answers: Answers, directions: Directions, heads: Array, both: Array, n_users: int) -> Array:
    """Posterior means (n_users, n_features) of coefficients on heads, given them as [h | B]; NaN for the silent.

    What `both` says beyond the heads' space is left out, by least squares over pairs.
    """
    evidence = Evidence(answers)
    evidence(both)
    n_features = heads.shape[1]
    moments = directions.moments(np.column_stack([heads, both]))
    mixture = np.linalg.lstsq(moments[:n_features, :n_features], moments[:n_features, n_features:], rcond=None)[0]
    found = np.full((n_users, n_features), np.nan)
    found[answers.users] = evidence.weights @ mixture.T
    return found
