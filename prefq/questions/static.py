"""design_questionnaire: the same questions for everybody, chosen together against the prior before anyone answers.

For paper, and wherever answers cannot be heard one by one. How a sheet looks and is read back is the shell's affair.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool, Rows
from prefq.questions.hashes import shown_question
from prefq.questions.joint import Audience
from prefq.questions.search import TIE_TOLERANCE
from prefq.questions.selection import MAX_QUESTIONS
from prefq.vocabulary import Array, Coefficients, Gaussian, PopulationPrior, Question, ResponseModel, whole_number

# Primes, in whose lattices no two columns are equal up to 256 features and questions together.
N_PEOPLE = 257
N_POINTS = 1019  # half the draws that stand for what a person may be
MOST_CANDIDATES = 4096  # questions that are weighed; of a larger pool the widest fifth, thinned evenly to so many
WIDE_SHARE = 0.2
NOTHING_LEFT = -1


class DesignInfo(NamedTuple):
    """What a questionnaire is expected to tell, and what it was designed against.

    information (n_questions,) is what each question adds to those before it, in nats; prior the digest of the starting
    point.
    """

    information: Array
    prior: str


def design_questionnaire(
    pool: CandidatePool,
    *,
    prior: Gaussian | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    n_questions: int = MAX_QUESTIONS,
    seed: int = 0,
) -> tuple[Question, ...]:
    """Questions to put to everybody alike, which together tell most about a person of the prior.

    Each question is the one that adds most to what those before it tell, averaged over people of the prior and what
    they would reply (docs/maths/stopping.md, eqs. 1 to 3). A prompt comes again only when all have come.

    Parameters
    ----------
    pool, prior, response_model
        As in `select_next_question`.
    n_questions
        At least 1, at most as many as the pool has.
    seed
        Fixes which side is shown first.

    Returns
    -------
    tuple of Question
        In the order in which they are best asked; the same for the same inputs.

    Raises
    ------
    InputError
        When the pool has fewer questions.
    MismatchError
        For a prior of another feature space.

    Examples
    --------
    >>> import prefq
    >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [[0, 1], [1, 2]])
    >>> [question.id for question in prefq.design_questionnaire(pool, n_questions=1)] in (["1-2"], ["2-1"])
    True
    """
    questions, _ = design_with_info(
        pool, prior=prior, response_model=response_model, n_questions=n_questions, seed=seed
    )
    return questions


def design_with_info(
    pool: CandidatePool,
    *,
    prior: Gaussian | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    n_questions: int = MAX_QUESTIONS,
    seed: int = 0,
) -> tuple[tuple[Question, ...], DesignInfo]:
    """`design_questionnaire`, with what the questions are expected to tell; same parameters and errors."""
    wanted = whole_number(n_questions, "n_questions", "a number of at least 1 question", least=1)
    if wanted > pool.n_questions:
        raise InputError(
            f"n_questions is {wanted} and the pool has {pool.n_questions} questions; ask for that many or fewer."
        )
    start = pool.starting_point(prior, response_model)
    candidates = _candidates(pool, start.coefficients)
    first, second = pool.pairs[candidates].T
    rows, information = most_informative_rows(
        pool.features[first].astype(np.float64) - pool.features[second],
        start.coefficients,
        wanted,
        response_model=start.response_model,
        topics=None if pool.prompt_codes is None else pool.prompt_codes[first],
    )
    questions = tuple(shown_question(pool, int(row), seed) for row in candidates[rows])
    return questions, DesignInfo(information, start.digest())


def most_informative_rows(
    differences: Array,
    prior: Coefficients,
    n_questions: int,
    *,
    response_model: ResponseModel,
    is_open: NDArray[np.bool_] | None = None,
    topics: Rows | None = None,
    n_people: int = N_PEOPLE,
    n_points: int = N_POINTS,
) -> tuple[Rows, Array]:
    """Rows of the questions that together tell most, each chosen after those before it.

    Parameters
    ----------
    differences : (n_questions_of_pool, n_features)
        First minus second.
    prior
        Of the coefficients.
    n_questions
        How many are wanted.
    response_model
        How replies arise.
    is_open : (n_questions_of_pool,) bool, optional
        Which may be chosen; all by default.
    topics : (n_questions_of_pool,), optional
        A number for what each question is about: one that came more often than another must wait.
    n_people, n_points
        Primes: simulated people whose replies are averaged over, and half the draws that stand for what is known of
        each.

    Returns
    -------
    rows : (n_questions,)
        -1 once all open questions are in it.
    information : (n_questions,)
        What each adds to those before it, in nats; 0 where there is none.
    """
    sheet = Audience.begun(response_model.felt(differences), prior, n_questions, response_model, n_people, n_points)
    left = np.ones(len(differences), dtype=bool) if is_open is None else is_open.copy()
    topics = np.zeros(len(differences), dtype=np.int64) if topics is None else np.unique(topics, return_inverse=True)[1]
    times, heard = np.zeros(topics.max(initial=0) + 1), sheet.nothing_heard()
    rows, information = np.full(n_questions, NOTHING_LEFT, dtype=np.int64), np.zeros(n_questions)
    for step in range(n_questions):
        if not left.any():
            break
        fresh = np.flatnonzero(left & (times[topics] == times[topics[left]].min()))
        gains = sheet.gains(heard[:1] if step == 0 else heard)[fresh]  # before the first reply all people are alike
        best = int(np.argmax(gains >= gains.max() - TIE_TOLERANCE * abs(gains.max())))
        rows[step], information[step] = fresh[best], gains[best]
        left[rows[step]] = False
        times[topics[rows[step]]] += 1
        heard += sheet.heard_from(rows[step], step)
    return rows, information


def _candidates(pool: CandidatePool, prior: Coefficients) -> Rows:
    """Rows of the questions to weigh: all of a pool of `MOST_CANDIDATES`, of a larger one some of its widest."""
    if pool.n_questions <= MOST_CANDIDATES:
        return np.arange(pool.n_questions)
    widths = np.concatenate([((block @ prior.covariance) * block).sum(axis=1) for _, block in pool.blocks()])
    n_wide = max(MOST_CANDIDATES, int(WIDE_SHARE * pool.n_questions))
    wide = np.sort(np.argpartition(-widths, n_wide - 1)[:n_wide])
    return np.asarray(wide[np.linspace(0, n_wide - 1, MOST_CANDIDATES).astype(np.int64)])
