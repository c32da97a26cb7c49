"""design_questionnaire: the same questions for everybody, chosen together against the prior before anyone answers.

For paper, and wherever answers cannot be heard one by one. How a sheet looks and is read back is the shell's affair.
"""

from typing import NamedTuple

import numpy as np

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool, Rows
from prefq.questions.hashes import shown_question
from prefq.questions.joint import most_informative_rows
from prefq.questions.selection import MAX_QUESTIONS
from prefq.vocabulary import Array, Coefficients, PopulationPrior, Question, ResponseModel, whole_number

MOST_CANDIDATES = 4096  # questions that are weighed; of a larger pool the widest fifth, thinned evenly to so many
WIDE_SHARE = 0.2


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
    prior: Coefficients | PopulationPrior | None = None,
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
    prior: Coefficients | PopulationPrior | None = None,
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
    candidates = _candidates(pool, start)
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


def _candidates(pool: CandidatePool, start: PopulationPrior) -> Rows:
    """Rows of the questions to weigh: all of a pool of `MOST_CANDIDATES`, of a larger one some of its widest."""
    if pool.n_questions <= MOST_CANDIDATES:
        return np.arange(pool.n_questions)
    covariance, felt = start.coefficients.covariance, start.response_model.felt
    widths = np.concatenate([((felt(block) @ covariance) * felt(block)).sum(axis=1) for _, block in pool.blocks()])
    n_wide = max(MOST_CANDIDATES, int(WIDE_SHARE * pool.n_questions))
    wide = np.sort(np.argpartition(-widths, n_wide - 1)[:n_wide])
    return np.asarray(wide[np.linspace(0, n_wide - 1, MOST_CANDIDATES).astype(np.int64)])
