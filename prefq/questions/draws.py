"""What chance decides about a session: which questions test it and when they come, and which rule asks.

Nothing here draws from a generator: chance is a hash of the session's seed or id, so that every machine finds the same.
"""

from collections.abc import Iterable, Sequence

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool
from prefq.questions.selection import select_with_info
from prefq.vocabulary import Answer, Question, digest_of

_HASHED_DIGITS = 13  # hexadecimal digits of a hash that make a number in [0, 1): 52 bits, exact as a float


def random_questions(
    pool: CandidatePool, answers: Sequence[Answer], n_questions: int, *, seed: int, reserved: Sequence[str] = ()
) -> tuple[Question, ...]:
    """Fresh questions in the `random` order, each with a prompt of its own as far as there are some.

    Parameters
    ----------
    pool, answers, seed
        As in `select_next_question`.
    n_questions
        How many; fewer come when the pool has no more.
    reserved
        Ids of further questions that must not come.
    """
    questions: list[Question] = []
    for _ in range(n_questions):
        taken = (*reserved, *(question.id for question in questions))
        question, _info = select_with_info(
            pool, answers, acquisition="random", max_questions=None, seed=seed, reserved=taken
        )
        if question is None:
            break
        questions.append(question)
    return tuple(questions)


def questions_to_test_with(pool: CandidatePool, n_questions: int, *, seed: int) -> tuple[Question, ...]:
    """Questions that test a session, drawn before its first: they depend on pool and seed alone.

    Raises
    ------
    InputError
        When they would leave no question of the pool to learn from.
    """
    if n_questions >= pool.n_questions:
        raise InputError(
            f"there are {n_questions} test questions and {pool.n_questions} questions in the pool; "
            "leave at least one to learn from."
        )
    return random_questions(pool, (), n_questions, seed=seed)


def places_among(n_tests: int, n_others: int, *, seed: int) -> tuple[int, ...]:
    """How many of the other questions come before each test question, if all orders are as likely (n_tests,).

    Examples
    --------
    >>> places_among(3, 0, seed=1)
    (0, 0, 0)
    """
    keys = {place: digest_of(str(seed), "place of a test question", str(place)) for place in range(n_tests + n_others)}
    drawn = sorted(sorted(keys, key=keys.__getitem__)[:n_tests])
    return tuple(place - n_before for n_before, place in enumerate(drawn))


def falls_within(share: float, session_id: str) -> bool:
    """Whether a session is one of this share, by hash of its id alone."""
    return float.fromhex(f"0x0.{digest_of(session_id, 'arm')[:_HASHED_DIGITS]}") < share


def without(answers: Iterable[Answer], question_ids: Iterable[str]) -> tuple[Answer, ...]:
    """The answers to other questions than these."""
    left_out = set(question_ids)
    return tuple(answer for answer in answers if answer.question_id not in left_out)
