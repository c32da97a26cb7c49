"""How well people who were held out are predicted after some of their own answers: what choices here are judged by."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.inference.beliefs import ep_posteriors, mixture_for_all
from prefq.inference.likelihood import sigmoid
from prefq.vocabulary import Array, Comparisons, PopulationPrior

AFTER = (0, 5, 10, 20)
LEAST_TESTS = 2  # of a person: with fewer, nothing is tested on them
AT_ONCE = 256  # people whose beliefs are worked out together
CERTAIN = 1e-6  # probabilities are kept so far from 0 and 1
UNDECIDED = 1e-9  # of a probability from a half: nearer it is round-off, and half right


class HeldOutCurve(NamedTuple):
    """Log loss in nats and accuracy of each person (n_people, n_counts), after so many of their own answers.

    people (n_people,) are their numbers among the users; told (n_people, n_counts) how many answers were used: fewer
    than `after` says where a person has fewer. The tests of a person are the same in every column.
    """

    after: tuple[int, ...]
    people: NDArray[np.int64]
    log_losses: Array
    accuracies: Array
    told: NDArray[np.int64]

    @property
    def log_loss(self) -> Array:
        """Mean over people (n_counts,)."""
        return np.asarray(self.log_losses.mean(axis=0))

    @property
    def accuracy(self) -> Array:
        """Mean over people (n_counts,)."""
        return np.asarray(self.accuracies.mean(axis=0))

    @property
    def errors(self) -> tuple[Array, Array]:
        """Standard errors of both means over people (n_counts,)."""
        root = np.sqrt(max(len(self.people) - 1, 1))
        return self.log_losses.std(axis=0) / root, self.accuracies.std(axis=0) / root


def held_out_curve(
    differences: ArrayLike,
    outcomes: ArrayLike,
    users: NDArray[np.int64],
    prior: PopulationPrior,
    *,
    after: tuple[int, ...] = AFTER,
    rng: np.random.Generator,
) -> HeldOutCurve:
    """Learn from some answers of each person, drawn at random, and predict the others.

    A person's answers are put in random order; the first ones are learned from, at most max(after) and at most half of
    them, and the others are the tests. Ties are learned from, and not tested: a probability is that of a preference
    given that there is one, whose odds at margin m and tie threshold τ are e^(2σ(τ)m), to second order in m.

    Parameters
    ----------
    differences : (n_answers, n_features)
        First minus second, in the features' units.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    users : (n_answers,)
        Number of the person who gave each answer.
    prior
        Where everybody starts; not fitted on these people, if the curve is to be honest.
    after
        Numbers of answers, ascending.
    rng
        Draws the orders.

    Raises
    ------
    InputError
        When nobody has two preferences to be tested on.
    """
    comparisons = Comparisons(differences, outcomes)
    order = np.lexsort((rng.random(len(users)), users))
    people, starts, counts = np.unique(users[order], return_index=True, return_counts=True)
    own = [order[start : start + min(max(after), count // 2)] for start, count in zip(starts, counts, strict=True)]
    rest = [order[start + len(used) : start + count] for start, count, used in zip(starts, counts, own, strict=True)]
    return curve_of(comparisons, prior, people, own, rest, after=after)


def curve_of(
    comparisons: Comparisons,
    prior: PopulationPrior,
    people: NDArray[np.int64],
    own: Sequence[NDArray[np.int64]],
    tests: Sequence[NDArray[np.int64]],
    *,
    after: tuple[int, ...] = AFTER,
) -> HeldOutCurve:
    """Learn from the first of some answers, and predict others; which is for the caller to say.

    Parameters
    ----------
    comparisons
        Everybody's answers.
    prior
        Where everybody starts.
    people : (n_people,)
        Their numbers.
    own
        For each of them, rows of the answers to learn from (n,), in order; those of another person tell what a profile
        that is not one's own is worth.
    tests
        For each of them, rows of the answers to predict (n,); ties among them are left out, and people with fewer than
        two others.
    after
        Numbers of answers, ascending.

    Raises
    ------
    InputError
        When nobody has two preferences to be tested on.
    """
    tests = [rows[comparisons.outcomes[rows] != 0] for rows in tests]
    kept = [i for i in range(len(people)) if len(tests[i]) >= LEAST_TESTS]
    if not kept:
        raise InputError("nobody who was held out has enough preferences to be tested on; give more answers a person.")
    shape = (len(kept), len(after))
    losses, hits, told = np.empty(shape), np.empty(shape), np.empty(shape, dtype=np.int64)
    for column, most in enumerate(after):
        for first in range(0, len(kept), AT_ONCE):
            at = slice(first, first + AT_ONCE)
            used, asked = [own[i][:most] for i in kept[at]], [tests[i] for i in kept[at]]
            chances = _chances(comparisons, prior, used, asked)
            for row, (rows, chance) in enumerate(zip(asked, chances, strict=True), first):
                right = np.where(comparisons.outcomes[rows] > 0, chance, 1 - chance)
                losses[row, column] = -np.log(np.clip(right, CERTAIN, 1.0)).mean()
                hits[row, column] = np.where(np.abs(right - 0.5) < UNDECIDED, 0.5, right > 0.5).mean()
            told[at, column] = [len(rows) for rows in used]
    return HeldOutCurve(after, people[kept], losses, hits, told)


def _chances(
    comparisons: Comparisons, prior: PopulationPrior, used: list[NDArray[np.int64]], asked: list[NDArray[np.int64]]
) -> list[Array]:
    """Probability that the first is preferred in each row that is asked, by person, given those that are used."""
    model = prior.response_model

    def padded(rows: list[NDArray[np.int64]]) -> tuple[Array, NDArray[np.int8]]:
        longest = max(map(len, rows))
        differences = np.zeros((len(rows), longest, comparisons.differences.shape[1]))
        outcomes = np.ones((len(rows), longest), dtype=np.int8)
        for i, own in enumerate(rows):
            differences[i, : len(own)] = model.felt(comparisons.differences[own])
            outcomes[i, : len(own)] = comparisons.outcomes[own]
        return differences, outcomes

    beliefs = ep_posteriors(mixture_for_all(prior.coefficients, len(used)), *padded(used), model)
    chances = beliefs.preference_probability(padded(asked)[0] * (2 * sigmoid(np.array(model.tie_threshold))))
    return [chances[i, : len(rows)] for i, rows in enumerate(asked)]
