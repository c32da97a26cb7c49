"""select_next_questions: several questions to be shown side by side, which together tell most.

What several questions tell together is in `prefq.questions.joint`; one question at a time is
`prefq.questions.selection`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.person import believed
from prefq.inference.stated import StatedEvidence
from prefq.pool.candidate_pool import CandidatePool, Rows, checked_answers
from prefq.questions.balance import Constraint, allowed_by, checked_constraints
from prefq.questions.costs import Cost, costs_of
from prefq.questions.gain_bounds import mixture_information_gain_bound
from prefq.questions.hashes import shown_question
from prefq.questions.joint import Audience
from prefq.questions.search import Best
from prefq.questions.selection import (
    MAX_QUESTIONS,
    REPLIES_PER_QUESTION,
    SelectionInfo,
    best_row,
    chooser_among,
    margins_of,
    select_with_info,
)
from prefq.questions.stopping import StoppingRule
from prefq.vocabulary import (
    Answer,
    Choice,
    Coefficients,
    PopulationPrior,
    Question,
    ResponseModel,
    shown,
    whole_number,
)

INFORMATION, RANDOM = "information_gain", "random"
# Primes: simulated people, and half the draws for each. Sixteen times as many choose the same five of 400 questions.
# No two of the first 74 columns of the people's lattice are equal or mirror images, of the draws' the first 254.
N_PEOPLE, N_POINTS = 149, 509
N_CANDIDATES = 256  # questions weighed together: those that tell most alone, and no question adds more than that


def select_next_questions(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    n_questions: int,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    max_questions: int | None = MAX_QUESTIONS,
    stopping: StoppingRule | None = None,
    seed: int = 0,
    stated: StatedEvidence | None = None,
    cost: Cost | None = None,
    constraints: Iterable[Constraint] = (),
) -> tuple[Question, ...]:
    """Several questions to show side by side: the first as `select_next_question`, each next for what it adds.

    What a question adds is the information that its reply is expected to bring once those before it are answered,
    averaged over what they would be answered (greedy batch selection, Kirsch et al. 2019, here over fixed simulated
    people of the posterior); no reply is made up. No pair comes twice, and prompts are not repeated while questions
    with other prompts add nearly as much.

    Parameters
    ----------
    pool, answers, prior, response_model, max_questions, stopping, seed, stated, cost, constraints
        As in `select_next_question`.
    n_questions
        How many are wanted, at least 1.

    Returns
    -------
    tuple of Question
        Fewer where the budget, the pool or the constraints leave fewer; none when it is time to stop.

    Raises
    ------
    InputError, NotFoundError, MismatchError, InferenceError
        As in `select_next_question`; InputError also for fewer than one question.

    Examples
    --------
    >>> import prefq
    >>> items = [[0.0, 0.0], [3.0, 0.0], [3.1, 0.0], [0.0, 3.0]]
    >>> pool = prefq.CandidatePool.from_arrays(items, [[0, 1], [0, 2], [0, 3]])
    >>> together = prefq.select_next_questions(pool, [], n_questions=2)
    >>> sorted(question.first.item + question.second.item for question in together)  # 0-1 and 0-2 tell the same
    [2, 3]
    """
    questions, _ = select_together_with_info(
        pool,
        answers,
        n_questions=n_questions,
        prior=prior,
        response_model=response_model,
        max_questions=max_questions,
        stopping=stopping,
        seed=seed,
        stated=stated,
        cost=cost,
        constraints=constraints,
    )
    return questions


def select_together_with_info(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    n_questions: int,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: str = INFORMATION,
    max_questions: int | None = MAX_QUESTIONS,
    stopping: StoppingRule | None = None,
    seed: int = 0,
    reserved: Sequence[str] = (),
    stated: StatedEvidence | None = None,
    cost: Cost | None = None,
    constraints: Iterable[Constraint] = (),
) -> tuple[tuple[Question, ...], tuple[SelectionInfo, ...]]:
    """`select_next_questions`, with how each was chosen; of no question, with one value that says why.

    Parameters
    ----------
    acquisition
        ``"information_gain"``, or ``"random"`` for questions in random order; others, which do not say what questions
        are worth together, only for a single one.
    reserved
        As in `prefq.questions.selection.select_with_info`.

    Returns
    -------
    questions, infos
        The score of each question is what it adds to those before it, in nats.
    """
    wanted = whole_number(n_questions, "n_questions", "a number of at least 1 question", least=1)
    if wanted > 1 and acquisition not in (INFORMATION, RANDOM):
        raise InputError(
            f"acquisition is {shown(acquisition)}, which does not say what questions are worth together; ask one at a "
            f"time, or take {INFORMATION!r} or {RANDOM!r}."
        )
    answers, constraints = checked_answers(answers), checked_constraints(constraints)

    def alone(taken: Sequence[str]) -> tuple[Question | None, SelectionInfo]:
        return select_with_info(
            pool,
            answers,
            prior=prior,
            response_model=response_model,
            acquisition=acquisition,
            max_questions=max_questions,
            stopping=None if taken else stopping,
            seed=seed,
            reserved=(*reserved, *taken),
            stated=stated,
            cost=cost,
            constraints=constraints,
        )

    first, info = alone(())
    if first is None:
        return (), (info,)
    questions, infos = [first], [info]
    n_left = min(wanted, _n_left(answers, max_questions))
    if n_left > 1 and acquisition == INFORMATION:
        kept = [Answer(question, Choice.SKIP) for question in (*reserved, first.id)]
        group = pool.starting_point(prior, response_model)
        found = _added(pool, group, [*answers, *kept], n_left - 1, seed, stated, cost, constraints)
        questions += [shown_question(pool, best.row, seed) for best in found]
        infos += [info._replace(score=best.score) for best in found]
    while len(questions) < n_left:  # at random, or when none of the candidates is allowed beside those found
        question, info = alone([each.id for each in questions])
        if question is None:
            break
        questions.append(question)
        infos.append(info)
    return tuple(questions), tuple(infos)


def _n_left(answers: Sequence[Answer], max_questions: int | None) -> int:
    """Questions that the budget still has room for."""
    if max_questions is None:
        return np.iinfo(np.int64).max
    n_counted = sum(answer.choice is not Choice.SKIP for answer in answers)
    return min(max_questions - n_counted, REPLIES_PER_QUESTION * max_questions - len(answers))


def _added(
    pool: CandidatePool,
    group: PopulationPrior,
    answers: Sequence[Answer],
    n_questions: int,
    seed: int,
    stated: StatedEvidence | None,
    cost: Cost | None,
    constraints: Sequence[Constraint],
) -> list[Best]:
    """Rows of the questions to ask beside the last of the asked ones, and what each adds in nats."""
    asked, comparisons = pool.asked(answers)
    person, model = believed(group, comparisons, stated, to_tell=False), group.response_model
    margins = margins_of(pool, person, stated).all()
    costs = np.ones(pool.n_questions) if cost is None else costs_of(pool, cost)
    alone = mixture_information_gain_bound(*margins, response_model=model) / costs
    candidates = _best_alone(alone, allowed_by(constraints, pool, asked, seed=seed))
    rows = np.append(candidates, asked[-1])
    first, second = pool.pairs[rows].T
    differences = model.felt(pool.features[first].astype(np.float64) - pool.features[second])
    audience = Audience.begun(differences, person.posterior, n_questions, model, N_PEOPLE, N_POINTS)
    heard, found, latest = audience.nothing_heard(), list[Best](), candidates.size
    for step in range(n_questions):
        heard += audience.heard_from(latest, step)
        allowed = allowed_by(constraints, pool, asked, seed=seed)
        if not allowed[candidates].any():
            break
        scores = audience.gains(heard)[:-1]
        best_of = chooser_among(candidates, scores / costs[candidates])
        row, _ = best_row(pool, best_of, asked, allowed, 0.0)
        latest = int(np.flatnonzero(candidates == row)[0])
        found.append(Best(row, float(scores[latest])))
        asked = np.append(asked, row)
    return found


def _best_alone(scores: NDArray[np.float64], allowed: NDArray[np.bool_]) -> Rows:
    """Rows of the allowed questions with the highest scores, in their order."""
    rows = np.flatnonzero(allowed)
    if rows.size > N_CANDIDATES:
        rows = np.sort(rows[np.argpartition(scores[rows], -N_CANDIDATES)[-N_CANDIDATES:]])
    return rows
