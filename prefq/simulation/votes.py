"""Votes: panels from people's votes on statements, with item factors learned from the votes of other people.

A person who agreed with one statement and disagreed with another has told which of the two is preferred. Statements
have no features of their own here: what other people voted gives each its mean and its place on a few factors.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.simulation.panels import GroupAnswers, Outcomes, Rows
from prefq.simulation.replay import (
    MIN_QUESTIONS,
    MIN_TESTS,
    TEST_SHARE,
    Division,
    Replay,
    padded,
    panel_of_rows,
    require_people,
)
from prefq.vocabulary import Array

MAX_QUESTIONS, MAX_TESTS = 200, 60  # pairs of one person, drawn at random from all
N_FACTORS = (1, 2, 3, 4, 6)  # tried, on votes of the others that are held back
RIDGES = (2.0, 5.0, 12.0)  # likewise: precision of factors and loadings, in votes
HELD_BACK = 0.1  # of the others' votes
MEAN_RIDGE = 5.0  # votes by which a statement's mean is shrunk toward that of all statements
SWEEPS = 15  # of alternating least squares


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Votes of people on statements, each statement at most once by one person.

    Parameters
    ----------
    name
        Of the set and the conversation.
    users, items : (n_votes,)
        Rows of `user_ids`, numbers of the statements.
    values : (n_votes,)
        1 agree, 0 pass, -1 disagree.
    user_ids
        Names of the people.
    n_items
        Number of statements.
    words : (n_items,), optional
        Words of each statement.

    Raises
    ------
    InputError
        When shapes do not fit, a vote is something else, or a person voted twice on a statement.
    """

    name: str
    users: Rows
    items: Rows
    values: NDArray[np.int8]
    user_ids: tuple[str, ...]
    n_items: int
    words: NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        if not len(self.users) == len(self.items) == len(self.values):
            raise InputError(
                f"users, items and values of {self.name!r} have {len(self.users)}, {len(self.items)} and "
                f"{len(self.values)} rows; expected one for each vote in all three."
            )
        if self.words is not None and len(self.words) != self.n_items:
            raise InputError(f"words of {self.name!r} are {len(self.words)}; expected {self.n_items}, one a statement.")
        unknown = sorted(set(np.unique(self.values).tolist()) - {-1, 0, 1})
        if unknown:
            raise InputError(f"{self.name!r} has a vote {unknown[0]}; expected 1 agree, 0 pass or -1 disagree.")
        if len(np.unique(self.users * np.intp(self.n_items) + self.items)) != len(self.users):
            raise InputError(f"a person of {self.name!r} voted twice on one statement; keep the last of the votes.")


Pairing = Callable[[Rows, NDArray[np.int8], np.random.Generator], Rows]
"""Makes pairs (n, 2) of rows of votes that differ, from some rows of one person, the values of all, and a generator."""


def pairs_once(rows: Rows, values: NDArray[np.int8], rng: np.random.Generator) -> Rows:
    """Pairs at random in which every vote is used at most once, so that no vote is counted as several answers."""
    pairs: list[tuple[int, int]] = []
    waiting: list[int] = []
    for row in rng.permutation(rows):
        if waiting and values[waiting[-1]] != values[row]:
            pairs.append((waiting.pop(), row))
        else:
            waiting.append(row)
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def any_pairs(rows: Rows, values: NDArray[np.int8], rng: np.random.Generator) -> Rows:
    """All pairs, up to `MAX_QUESTIONS` of them drawn at random."""
    return _some_pairs(rows, values, MAX_QUESTIONS, rng)


def divide_votes(
    votes: Votes,
    measured: NDArray[np.bool_],
    *,
    n_questions: int,
    rng: np.random.Generator,
    pairing: Pairing = pairs_once,
    min_questions: int = MIN_QUESTIONS,
    test_share: float = TEST_SHARE,
) -> Division:
    """Divide the statements of each measured person at random into some to ask about and some to test on.

    Tests are any two test statements with different votes, up to `MAX_TESTS` of them drawn at random. People with fewer
    than `min_questions` pairs to ask about or fewer than two test pairs are left out and counted.

    Parameters
    ----------
    votes
        Of everybody.
    measured : (n_users,)
        Who is to be measured, one value for each of `votes.user_ids`.
    n_questions
        How many will be asked; only to count who has fewer.
    rng
        Draws which statements are for tests, and the pairs.
    pairing
        Makes the pairs to ask about: `pairs_once` or `any_pairs`.
    min_questions
        At least 1.
    test_share
        Of each person's statements.
    """
    users, questions, tests = [], [], []
    people = [user for user in np.flatnonzero(measured) if (votes.users == user).any()]
    for user in people:
        rows = rng.permutation(np.flatnonzero(votes.users == user))
        n_tests = round(test_share * len(rows))
        test = _some_pairs(rows[:n_tests], votes.values, MAX_TESTS, rng)
        asked = pairing(rows[n_tests:], votes.values, rng)
        if len(asked) >= min_questions and len(test) >= MIN_TESTS:
            users.append(user)
            questions.append(asked)
            tests.append(test)
    counts = {
        "people": len(people),
        "measured": len(users),
        "left_out": len(people) - len(users),
        "fewer_than_asked": sum(len(each) < n_questions for each in questions),
        "questions": sum(map(len, questions)),
        "tests": sum(map(len, tests)),
    }
    return Division(np.array(users, dtype=np.intp), questions, tests, counts)


def votes_panel(votes: Votes, measured: NDArray[np.bool_], division: Division, *, rng: np.random.Generator) -> Replay:
    """A panel of the people of a division, on item factors that the votes of others teach.

    Of those who are not measured, one half teaches the factors and the other half the prior, on pairs in which every
    vote is used at most once: people fit the factors that were made of their own votes too well, and a prior fitted on
    them is too wide (measured on four conversations of `polis`: the largest standard deviation of a factor 1.4 to 2.8
    times as large, and ten chosen answers gain .003 to .004 nats less on the pooled regression).

    Parameters
    ----------
    votes
        Of everybody.
    measured : (n_users,)
        Who is not to be learned from, whether or not the division kept them.
    division
        From `divide_votes`.
    rng
        Draws the halves, the group's pairs, the votes on which factors are chosen, and the sides.

    Raises
    ------
    InputError
        When the others are too few to learn from, or nobody is measured.
    """
    require_people(votes.name, division)
    others = rng.permutation(np.unique(votes.users[~measured[votes.users]]))
    teachers = np.isin(votes.users, others[: len(others) // 2])
    group_pairs = [
        pairs_once(np.flatnonzero(votes.users == user), votes.values, rng) for user in others[len(others) // 2 :]
    ]
    if not teachers.any() or sum(map(bool, map(len, group_pairs))) < 2:
        raise InputError(
            f"too few of the {len(others)} people of {votes.name!r} who are not measured voted in more than one way to "
            "learn factors and a prior from; take more folds, or leave this conversation out."
        )
    features = learn_item_features(
        votes.users[teachers], votes.items[teachers], votes.values[teachers], votes.n_items, rng=rng
    )
    spread = features.std(axis=0)
    features = features / np.where(spread > 0, spread, 1.0)
    # One table of pairs, sides at random: the group's, then everybody's questions and tests.
    blocks = [np.concatenate(group_pairs), *division.questions, *division.tests]
    table = np.concatenate(blocks)
    table = np.where(rng.random(len(table))[:, None] < 0.5, table, table[:, ::-1])
    ends = np.cumsum([len(block) for block in blocks])
    theirs, *rows = [np.arange(end - len(block), end) for end, block in zip(ends, blocks, strict=True)]
    questions, tests = padded(rows[: len(division.users)]), padded(rows[len(division.users) :])
    first, second = (features[votes.items[table[:, side]]] for side in (0, 1))
    outcomes: Outcomes = np.sign(votes.values[table[:, 0]] - votes.values[table[:, 1]]).astype(np.int8)
    panel = panel_of_rows(
        votes.name,
        first,
        second,
        outcomes,
        questions,
        tests,
        group=GroupAnswers((first - second)[theirs], outcomes[theirs], votes.users[table[theirs, 0]]),
        user_ids=tuple(votes.user_ids[user] for user in division.users),
        words=None if votes.words is None else votes.words[votes.items[table]].sum(axis=1).astype(np.float64),
    )
    counts = {
        **division.counts,
        "group_people": sum(map(bool, map(len, group_pairs))),
        "group_answers": len(theirs),
        "factor_people": len(others) // 2,
        "factors": features.shape[1] - 1,
    }
    items = votes.items[table]
    question_items, test_items = (
        np.where(part[..., None] >= 0, items[np.maximum(part, 0)], -1).reshape(len(part), -1)
        for part in (questions, tests)
    )
    return Replay(panel, question_items, test_items, tuple(votes.user_ids[user] for user in np.sort(others)), counts)


def learn_item_features(
    users: Rows, items: Rows, values: NDArray[np.int8], n_items: int, *, rng: np.random.Generator
) -> Array:
    """The mean vote on each statement and its loadings on a few factors.

    Votes less the statement's mean are factorised by regularised alternating least squares (equivalent to a singular
    value decomposition with a penalty on the singular values, Hastie et al. 2015, "Matrix completion and low-rank SVD
    via fast alternating least squares"); the number of factors and the ridge are those with the least squared error
    on a tenth of the votes.

    Returns
    -------
    (n_items, 1 + n_factors)
        The shrunk mean first; factors in the order of their strength.
    """
    _, users = np.unique(users, return_inverse=True)
    held = rng.random(len(users)) < HELD_BACK
    best, chosen = np.inf, (N_FACTORS[0], RIDGES[-1])
    for n_factors in N_FACTORS:
        for ridge in RIDGES:
            means, loadings, scores = _factorised(
                users[~held], items[~held], values[~held], n_items, users.max() + 1, n_factors, ridge
            )
            guesses = means[items[held]] + (loadings[items[held]] * scores[users[held]]).sum(axis=1)
            error = float(np.square(values[held] - guesses).sum())
            if error < best * (1 - 1e-3):  # of equals, the smaller model
                best, chosen = error, (n_factors, ridge)
    means, loadings, scores = _factorised(users, items, values, n_items, users.max() + 1, *chosen)
    gram = scores.T @ scores + 1e-9 * np.eye(scores.shape[1])
    left, sizes, _ = np.linalg.svd(loadings @ np.linalg.cholesky(gram), full_matrices=False)
    return np.column_stack([means, left * sizes])


def _factorised(
    users: Rows, items: Rows, values: NDArray[np.int8], n_items: int, n_users: int, n_factors: int, ridge: float
) -> tuple[Array, Array, Array]:
    """Shrunk means (n_items,), loadings (n_items, n_factors) and scores (n_users, n_factors)."""
    overall = values.mean()
    counts = np.bincount(items, minlength=n_items)
    means = (np.bincount(items, values, n_items) + MEAN_RIDGE * overall) / (counts + MEAN_RIDGE)
    rest, there = np.zeros((n_users, n_items)), np.zeros((n_users, n_items))
    rest[users, items], there[users, items] = values - means[items], 1.0
    # A start from the data, not from chance: the same votes give the same factors.
    left, sizes, right = np.linalg.svd(rest, full_matrices=False)
    n_factors = min(n_factors, len(sizes))
    scores, loadings = (
        left[:, :n_factors] * np.sqrt(sizes[:n_factors]),
        right[:n_factors].T * np.sqrt(sizes[:n_factors]),
    )
    for _ in range(SWEEPS):
        scores = _solved(loadings, rest, there, ridge)
        loadings = _solved(scores, rest.T, there.T, ridge)
    return means, loadings, scores


def _solved(known: Array, rest: Array, there: Array, ridge: float) -> Array:
    """Ridge regressions of each row of `rest` on the columns of `known`, over the entries that are there."""
    n_factors = known.shape[1]
    products = (known[:, :, None] * known[:, None, :]).reshape(len(known), -1)
    grams = (there @ products).reshape(-1, n_factors, n_factors) + ridge * np.eye(n_factors)
    return np.asarray(np.linalg.solve(grams, (rest @ known)[..., None])[..., 0])


def _some_pairs(rows: Rows, values: NDArray[np.int8], at_most: int, rng: np.random.Generator) -> Rows:
    """Pairs (n, 2) of rows of votes that differ, at most so many, drawn at random."""
    first, second = np.triu_indices(len(rows), 1)
    differ = values[rows[first]] != values[rows[second]]
    pairs = np.column_stack([rows[first[differ]], rows[second[differ]]])
    return rng.permutation(pairs)[:at_most]
