"""Measures of a profile against frozen test tasks: one number a user, from predictions and what is true.

`truth` is the probability that a user prefers the first item of a task: 0 or 1 where a choice was recorded, the true
probability where it is known, NaN where the user has no such task. A user without tasks gets NaN.
"""

import numpy as np

from prefq.vocabulary import Array

SMALLEST_PROBABILITY = 1e-12  # what a prediction of 0 or 1 is taken as, so that one error does not cost everything


def log_loss(predicted: Array, truth: Array) -> Array:
    """Mean cross-entropy of the predicted preferences, in nats (n_users,); both arguments (n_users, n_tests)."""
    p = np.clip(predicted, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return _mean(-(truth * np.log(p) + (1 - truth) * np.log1p(-p)), truth)


def accuracy(predicted: Array, truth: Array) -> Array:
    """Share of tasks whose likelier side is predicted (n_users,); a prediction of one half is half right.

    Tasks on which the truth itself is one half count as half right, whatever is predicted.
    """
    return _mean(0.5 + 0.5 * np.sign(predicted - 0.5) * np.sign(truth - 0.5), truth)


def auc(predicted: Array, truth: Array) -> Array:
    """Area under the ROC curve (n_users,): expected over replies where `truth` is a probability.

    Chance that a task whose first item is preferred is scored above one whose second is, ties counted half; NaN where
    a user's tasks are all of one kind.
    """
    areas = np.full(len(predicted), np.nan)
    for user, (scores, chances) in enumerate(zip(predicted, truth, strict=True)):
        there = ~np.isnan(chances)
        areas[user] = _area(scores[there], chances[there])
    return areas


def best_of_n(scores: Array, utilities: Array) -> tuple[Array, Array]:
    """How good the best-scored candidates are.

    Parameters
    ----------
    scores, utilities : (n_users, n_prompts, n_candidates)
        What the profile says, and what the user feels, in logits.

    Returns
    -------
    share : (n_users,)
        (picked - mean) / (best - mean), the ratio of the sums over prompts: 1 picks the best, 0 no better than chance.
    regret : (n_users,)
        Mean of best - picked over the prompts, in logits.
    """
    picked = np.take_along_axis(utilities, scores.argmax(axis=2)[..., None], axis=2)[..., 0]
    best, mean = utilities.max(axis=2), utilities.mean(axis=2)
    room = (best - mean).sum(axis=1)
    share = np.where(room > 0, (picked - mean).sum(axis=1) / np.where(room > 0, room, 1.0), np.nan)
    return share, (best - picked).mean(axis=1)


def _mean(values: Array, truth: Array) -> Array:
    there = ~np.isnan(truth)
    n_there = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(n_there > 0, total / np.maximum(n_there, 1), np.nan)


def _area(scores: Array, chances: Array) -> float:
    ups, downs = chances.sum(), (1 - chances).sum()
    if ups == 0 or downs == 0:
        return float("nan")
    _, place = np.unique(scores, return_inverse=True)
    up = np.bincount(place, weights=chances)
    down = np.bincount(place, weights=1 - chances)
    below = np.cumsum(down) - down
    # A task is not compared with itself.
    pairs = ups * downs - (chances * (1 - chances)).sum()
    wins = (up * (below + down / 2)).sum() - (chances * (1 - chances)).sum() / 2
    return float(wins / pairs) if pairs > 0 else float("nan")
