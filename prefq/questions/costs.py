"""What a question costs the person who is asked: seconds of reading and of making up their mind.

A cost turns scores into scores per unit of cost; by default questions count alike.
"""

from collections.abc import Callable

import numpy as np

from prefq.errors import InputError, NotFoundError
from prefq.pool.candidate_pool import CandidatePool
from prefq.vocabulary import Array, shown

WORDS_PER_MINUTE = 240  # silent reading of plain English, Brysbaert 2019
SECONDS_TO_CHOOSE = 5.0  # for making up one's mind once all is read: an assumption, the same for every question

Cost = str | Callable[[CandidatePool], Array]
"""``"reading"``, or a function from the pool to a cost above 0 for each question (n_questions,)."""


def words_of_questions(pool: CandidatePool) -> Array:
    """Words that each question makes a person read, prompt and both responses (n_questions,); 0 without texts."""
    return pool.derive("words_of_questions", lambda: _words(pool))


def reading_seconds(pool: CandidatePool) -> Array:
    """Seconds that each question takes (n_questions,): its words at 240 a minute, and `SECONDS_TO_CHOOSE`.

    Raises
    ------
    InputError
        When the pool has no texts.
    """
    if pool.responses is None:
        raise InputError(
            "the pool has no texts, so that nobody can tell how long its questions take to read; make it with its "
            "responses, or give cost= a function of the pool."
        )
    return words_of_questions(pool) * (60 / WORDS_PER_MINUTE) + SECONDS_TO_CHOOSE


def costs_of(pool: CandidatePool, cost: Cost) -> Array:
    """What each question costs (n_questions,), above 0.

    Raises
    ------
    NotFoundError
        For an unknown name.
    InputError
        For what is neither name nor function, or costs that are not one finite number above 0 a question.
    """
    if isinstance(cost, str):
        if cost != "reading":
            raise NotFoundError(f"there is no cost {shown(cost)}; choose 'reading', or give a function of the pool.")
        return reading_seconds(pool)
    if not callable(cost):
        raise InputError(f"cost is {shown(cost)}; give 'reading', a function of the pool, or None.")
    costs = np.asarray(cost(pool))
    numbers = costs.shape == (pool.n_questions,) and costs.dtype.kind in "iuf"
    if not numbers or not (np.isfinite(costs) & (costs > 0)).all():
        raise InputError(
            f"the cost function returned shape {costs.shape} of {costs.dtype}, or costs that are not above 0, for "
            f"{pool.n_questions} questions; it must return one finite number above 0 a question."
        )
    return costs.astype(np.float64)


def _words(pool: CandidatePool) -> Array:
    def counts(texts: tuple[str, ...] | None) -> Array:
        return np.array([len(text.split()) for text in texts] if texts else [0] * pool.n_items, dtype=np.float64)

    words = counts(pool.responses)[pool.pairs].sum(axis=1) + counts(pool.prompts)[pool.pairs[:, 0]]
    words.setflags(write=False)
    return np.asarray(words)
