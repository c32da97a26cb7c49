"""select_for_users: the next questions of many users against one pool, worked out together.

What `prefq.questions.selection` does for one, with posteriors fitted together and the pool's tables looked up once.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from prefq.errors import InputError
from prefq.inference.beliefs import ep_posteriors, mixture_for_all
from prefq.inference.likelihood import Felt
from prefq.inference.surprise import checked, widened
from prefq.pool.candidate_pool import CandidatePool, checked_answers
from prefq.questions.balance import allowed_by
from prefq.questions.hashes import shown_question
from prefq.questions.margins import PoolMargins, PosteriorMargins
from prefq.questions.scoring import Acquisition, acquisition_named
from prefq.questions.selection import MAX_QUESTIONS, choose, reason_to_end
from prefq.vocabulary import (
    Answer,
    Coefficients,
    Comparisons,
    PopulationPrior,
    Question,
    ResponseModel,
)

USERS_AT_ONCE = 128  # fitted together


def select_for_users(
    pool: CandidatePool,
    answers: Sequence[Iterable[Answer]],
    *,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: Acquisition = "information_gain",
    max_questions: int | None = MAX_QUESTIONS,
    seeds: int | Sequence[int] = 0,
) -> tuple[Question | None, ...]:
    """The next question of each of many users: what `select_next_question` gives one by one, in less time.

    Parameters
    ----------
    pool
        What can be asked.
    answers
        For each user, their answers so far, in any order.
    prior, response_model, acquisition, max_questions
        As in `select_next_question`, the same for all users.
    seeds
        One for each user, or one for all.

    Returns
    -------
    tuple of (Question or None)
        One a user; None where it is time to stop.

    Raises
    ------
    InputError
        When there are not as many seeds as users, and as in `select_next_question`.
    NotFoundError, MismatchError, InferenceError
        As in `select_next_question`.

    Examples
    --------
    >>> import prefq
    >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [[0, 1], [1, 2]])
    >>> first = prefq.select_next_question(pool, [])
    >>> questions = prefq.select_for_users(pool, [[], [first.answer("first")]])
    >>> questions[0] == first, questions[1] == first
    (True, False)
    """
    answers_of = [checked_answers(each) for each in answers]
    seeds_of = [seeds] * len(answers_of) if isinstance(seeds, int) else list(seeds)
    if len(seeds_of) != len(answers_of):
        raise InputError(f"there are {len(seeds_of)} seeds for {len(answers_of)} users; give one each, or one for all.")
    start = pool.starting_point(prior, response_model)
    rule = acquisition_named(acquisition)
    margins = PoolMargins.of(pool, start.coefficients, start.response_model)
    asked = [pool.asked(each) for each in answers_of]
    ends = [
        reason_to_end(start.coefficients, each, max_questions, n_left=pool.n_questions - rows.size)
        for each, (rows, _) in zip(answers_of, asked, strict=True)
    ]
    going_on = [user for user, reason in enumerate(ends) if reason is None]
    questions: list[Question | None] = [None] * len(answers_of)
    for first in range(0, len(going_on), USERS_AT_ONCE):
        users = going_on[first : first + USERS_AT_ONCE]
        believed = _believed(margins, start, [asked[user][1] for user in users])
        for user, under in zip(users, believed, strict=True):
            rows, seed = asked[user][0], seeds_of[user]
            best = choose(rule, under, rows, allowed_by((), pool, rows, seed=seed), seed=seed)
            questions[user] = shown_question(pool, best.row, seed)
    return tuple(questions)


def _believed(
    margins: PoolMargins, start: PopulationPrior, comparisons: Sequence[Comparisons]
) -> Iterator[PosteriorMargins]:
    """Margins for each user, posteriors fitted together."""
    model, n_components = start.response_model, len(start.coefficients.components)
    answers = [Felt.of(each, model) for each in comparisons]
    n_answers = max(each.outcomes.size for each in answers)
    differences = np.zeros((len(answers), n_answers, start.coefficients.n_features))
    outcomes = np.ones((len(answers), n_answers), dtype=np.int8)
    for user, (felt, grades) in enumerate(answers):
        differences[user, : grades.size], outcomes[user, : grades.size] = felt, grades
    priors = mixture_for_all(start.coefficients, len(answers))
    if start.n_users:
        priors = checked(priors, differences, outcomes, model)
    posteriors = ep_posteriors(priors, differences, outcomes, model)
    surprised = priors.weights[:, n_components:].sum(axis=1) > 0
    wider = PoolMargins.of(margins.pool, widened(start).coefficients, model) if surprised.any() else margins
    for user in range(len(answers)):
        own = wider if surprised[user] else margins
        n_own = len(own.prior.components)
        factors = [component.factors[user] for component in posteriors.components[:n_own]]
        yield own.under(posteriors.of_user(user, n_own), factors=factors)
