"""Constraints of selection: what may be asked at all, whatever it would tell.

A constraint is any callable ``(pool, asked, *, seed) -> allowed``; several are all heeded.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool, Rows
from prefq.questions.hashes import random_order
from prefq.vocabulary import real_number, shown, whole_number


class Constraint(Protocol):
    """Which questions may be asked now."""

    def __call__(self, pool: CandidatePool, asked: Rows, /, *, seed: int) -> NDArray[np.bool_]:
        """Which questions of the pool are allowed (n_questions,).

        Parameters
        ----------
        pool
            The questions.
        asked : (n_asked,)
            Rows of those that were asked or are kept for another use.
        seed
            The person's: what looks like chance must be a hash of it.
        """


def topic_quota(most: int, *, topics: ArrayLike | None = None) -> Constraint:
    """At most so many questions about one topic.

    Parameters
    ----------
    most
        Questions a topic, at least 1.
    topics : (n_items,) int, optional
        A number for the topic of each item; the prompts by default. A question has the topic of its first item.

    Raises
    ------
    InputError
        When `most` is below 1, topics are no such numbers, or (when it is put to a pool) there is not one an item.

    Examples
    --------
    >>> import prefq
    >>> from prefq.questions.balance import topic_quota
    >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [[0, 1], [1, 2]], prompt_ids=["a"] * 3)
    >>> first = prefq.select_next_question(pool, [], constraints=[topic_quota(1)])
    >>> prefq.select_next_question(pool, [first.answer("first")], constraints=[topic_quota(1)]) is None
    True
    """
    limit = whole_number(most, "most", "a quota of at least 1 question a topic", least=1)
    own = None if topics is None else _codes(topics)

    def within_quota(pool: CandidatePool, asked: Rows, /, *, seed: int) -> NDArray[np.bool_]:
        codes = pool.prompt_codes if own is None else own
        if codes is None:
            raise InputError("a topic quota needs topics, and the pool has no prompts; give topics=, a number an item.")
        if len(codes) != pool.n_items:
            raise InputError(f"there are {len(codes)} topics for {pool.n_items} items; give one an item.")
        of_questions = codes[pool.pairs[:, 0]]
        times = np.bincount(of_questions[asked], minlength=int(codes.max()) + 1)
        return np.asarray(times[of_questions] < limit)

    return within_quota


def exposure_limit(share: float) -> Constraint:
    """Let each person be asked from a part of the pool only, so that no question is seen by more than a share.

    Which part is a hash of seed, pool and pair: of many people with seeds of their own each question is open to this
    share, whatever the rule would ask them: the control of Sympson and Hetter (1985) with one probability for all.

    Parameters
    ----------
    share
        Above 0, at most 1.

    Raises
    ------
    InputError
        For a share out of range.
    """
    limit = real_number(share, "share")
    if not 0 < limit <= 1:
        raise InputError(f"share is {limit}; give a share of people above 0 and at most 1.")

    def open_to_this_person(pool: CandidatePool, asked: Rows, /, *, seed: int) -> NDArray[np.bool_]:
        return random_order(pool, seed, "exposure") < limit

    return open_to_this_person


def allowed_by(constraints: Iterable[Constraint], pool: CandidatePool, asked: Rows, *, seed: int) -> NDArray[np.bool_]:
    """Which questions were not asked and all constraints allow (n_questions,).

    Raises
    ------
    InputError
        When a constraint returns anything but one truth value a question.
    """
    allowed = np.ones(pool.n_questions, dtype=bool)
    allowed[asked] = False
    for constraint in constraints:
        part = np.asarray(constraint(pool, asked, seed=seed))
        if part.shape != allowed.shape or part.dtype != np.bool_:
            raise InputError(
                f"a constraint returned shape {part.shape} of {part.dtype} for {pool.n_questions} questions; it must "
                "return one truth value a question."
            )
        allowed &= part
    return allowed


def checked_constraints(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """The constraints as a tuple; InputError when they are not an iterable of callables."""
    given = tuple(constraints) if isinstance(constraints, Iterable) else (constraints,)
    strange = [each for each in given if not callable(each)]
    if strange:
        raise InputError(
            f"constraints hold {shown(strange[0])}; give callables, as prefq.questions.balance makes them."
        )
    return given


def _codes(topics: ArrayLike) -> Rows:
    codes = np.asarray(topics)
    if codes.ndim != 1 or not codes.size or not np.issubdtype(codes.dtype, np.integer) or (codes < 0).any():
        raise InputError(f"topics have shape {codes.shape} of {codes.dtype}; give a number of 0 or more for each item.")
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
