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
    told: Array

    def by_person(self) -> "HeldOutCurve":
        """One row a person, ascending, where somebody was tested in several ways: the mean of theirs."""
        people, row, times = np.unique(self.people, return_inverse=True, return_counts=True)

        def mean(values: Array) -> Array:
            total = np.zeros((len(people), len(self.after)))
            np.add.at(total, row, values)
            return total / times[:, None]

        return HeldOutCurve(self.after, people, *map(mean, (self.log_losses, self.accuracies, self.told)))

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
    occasions: NDArray[np.int64] | None = None,
    after: tuple[int, ...] = AFTER,
    rng: np.random.Generator,
) -> HeldOutCurve:
    """Learn from some answers of each person, drawn at random, and predict those on other occasions.

    Which are learned from and which are tests is `divided`'s. Ties are learned from, and not tested: a probability is
    that of a preference given that there is one, whose odds at margin m and tie threshold τ are e^(2σ(τ)m), to second
    order in m.

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
    occasions : (n_answers,), optional
        As `GroupComparisons.occasions` has them; by default each answer is of its own.
    after
        Numbers of answers, ascending.
    rng
        Draws the orders.

    Raises
    ------
    InputError
        When nobody has two preferences to be tested on.
    """
    if occasions is None:
        occasions = np.arange(len(users))
    people, own, tests = divided(users, occasions, most=max(after), rng=rng)
    return curve_of(Comparisons(differences, outcomes), prior, people, own, tests, after=after)


def divided(
    users: NDArray[np.int64],
    occasions: NDArray[np.int64],
    *,
    most: int,
    heard: NDArray[np.bool_] | None = None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Whose answers, which are learned from, in order, and which are tests: never both of one occasion.

    A person's occasions are put in random order; the first ones are learned from, at most `most` and at most half of
    them, and all answers of the others are tests. As in use, each occasion is heard once before one is heard again;
    at most `most` answers are heard, and at most half of all.

    Parameters
    ----------
    users : (n_answers,)
        Number of the person who gave each answer.
    occasions : (n_answers,)
        Answers of one person with one number may depend on each other.
    most
        Answers of a person to learn from.
    heard : (n_answers,), optional
        Where it is given, what may be learned from, whole occasions: all other answers are tests, and no others.
    rng
        Draws the orders.

    Returns
    -------
    people, own, tests
        Their numbers (n_people,), and for each rows (n,) to learn from and rows (n,) to predict.
    """
    _, both = np.unique(np.stack([users, occasions]), axis=1, return_inverse=True)
    both = both.reshape(-1)
    turns = rng.random(int(both.max(initial=-1)) + 1)[both] + (0 if heard is None else ~heard)
    order = np.lexsort((rng.random(len(users)), both, turns, users))
    people, starts = np.unique(users[order], return_index=True)
    own, tests = [], []
    for rows in np.split(order, starts[1:]) if len(people) else []:
        begins = np.flatnonzero(np.diff(both[rows], prepend=-1))
        n_heard = min(most, len(begins) // 2 if heard is None else int(heard[rows[begins]].sum()))
        end = begins[n_heard] if n_heard < len(begins) else len(rows)
        again = np.arange(end) - begins[np.searchsorted(begins, np.arange(end), side="right") - 1]
        in_turn = rows[:end][np.argsort(again, kind="stable")]
        own.append(in_turn[: min(most, max(len(rows) // 2, n_heard) if heard is None else most)])
        tests.append(rows[end:] if heard is None else rows[~heard[rows]])
    return people, own, tests


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
    losses, hits, told = np.empty((3, *shape))
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
