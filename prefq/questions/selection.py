"""score_questions and select_next_question: from a pool and the answers so far to the next question.

Selection draws nothing: ties go to the lowest row, and what looks like chance (which side is shown first, the order
of the `random` rule) is a hash (`prefq.questions.hashes`), so that the same inputs give the same question everywhere.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.person import Believed, believed
from prefq.inference.stated import StatedEvidence, origins, with_stated
from prefq.pool.candidate_pool import CandidatePool, Rows, checked_answers
from prefq.questions.acquisition import AcquisitionFunction
from prefq.questions.balance import Constraint, allowed_by, checked_constraints
from prefq.questions.costs import Cost, costs_of
from prefq.questions.hashes import shown_question
from prefq.questions.margins import PoolMargins, PosteriorMargins
from prefq.questions.scoring import (
    Acquisition,
    PoolAcquisition,
    Situation,
    acquisition_name,
    acquisition_named,
    score_situation,
)
from prefq.questions.search import Best, Search, can_search, first_best, starts_at_zero
from prefq.questions.stopping import StoppingRule, budget
from prefq.vocabulary import (
    Answer,
    Array,
    Choice,
    Coefficients,
    PopulationPrior,
    Question,
    ResponseModel,
    require_text,
)

MAX_QUESTIONS = 10
REPLIES_PER_QUESTION = 2  # replies, skips included, after which a session ends whatever its budget: times the budget
FRESH_PROMPT_SHARE = 0.2  # of the spread of scores: what a question may lose for the sake of a prompt not yet shown


class SelectionInfo(NamedTuple):
    """How a question was chosen, or why none was.

    score is that of the chosen question (NaN without one), prior the digest of the starting point, reason the
    stopping rule's sentence (None with a question).
    """

    acquisition: str
    score: float
    prior: str
    reason: str | None


def select_next_question(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: Acquisition = "information_gain",
    max_questions: int | None = MAX_QUESTIONS,
    stopping: StoppingRule | None = None,
    seed: int = 0,
    stated: StatedEvidence | None = None,
    cost: Cost | None = None,
    constraints: Iterable[Constraint] = (),
) -> Question | None:
    """The question that is worth most, given the answers so far; None when it is time to stop.

    A pair is asked at most once, skipped ones included. A prompt is not repeated while a question with another prompt
    scores nearly as well. The same inputs give the same question in every process. Safe to call from several threads.

    Parameters
    ----------
    pool
        What can be asked.
    answers
        So far, in any order.
    prior
        Where the user starts: the argument, else the pool's, else the default (`CandidatePool.starting_point`).
    response_model
        How replies arise: the argument, else the prior's.
    acquisition
        ``"information_gain"``, ``"d_optimal"``, ``"target_variance"``, ``"expected_utility_of_best"``, ``"pref"``,
        ``"max_norm"``, ``"margin_uncertainty"``, ``"random"``, or a rule of your own: a callable ``(mean, variance, *,
        response_model) -> scores``, or what needs more (`prefq.questions.scoring.PoolAcquisition`).
    max_questions
        Budget; skips do not count, but twice as many replies of any kind end the session. None for no budget.
    stopping
        A further rule ``(posterior, n_answers, best_score) -> str | None`` that may end the session earlier.
    seed
        Fixes which side is shown first, and the order of ``"random"``.
    stated
        What the person said about the axes (`prefq.stated_evidence`).
    cost
        What a question costs the person: ``"reading"``, seconds by the length of its texts, or a callable
        ``(pool) -> costs``; then the question with the highest score per cost is asked. None for all alike.
    constraints
        What may be asked at all, such as `prefq.questions.balance.topic_quota` and `exposure_limit`.

    Returns
    -------
    Question or None
        Sides in the order in which they are to be shown.

    Raises
    ------
    InputError
        For an answer to a question that is not in the pool, two answers to one pair, a budget below 1, scores or
        costs that are NaN or of the wrong shape, or scores below 0 where there are costs.
    NotFoundError
        For an unknown name of an acquisition or a cost.
    MismatchError
        For a prior or stated evidence of another feature space.
    InferenceError
        When a prior is so wide that the posterior is singular in double precision.

    Examples
    --------
    >>> import prefq
    >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [[0, 1], [1, 2]])
    >>> prefq.select_next_question(pool, []).id in ("1-2", "2-1")
    True
    """
    question, _ = select_with_info(
        pool,
        answers,
        prior=prior,
        response_model=response_model,
        acquisition=acquisition,
        max_questions=max_questions,
        stopping=stopping,
        seed=seed,
        stated=stated,
        cost=cost,
        constraints=constraints,
    )
    return question


def select_with_info(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: Acquisition = "information_gain",
    max_questions: int | None = MAX_QUESTIONS,
    stopping: StoppingRule | None = None,
    seed: int = 0,
    reserved: Sequence[str] = (),
    stated: StatedEvidence | None = None,
    cost: Cost | None = None,
    constraints: Iterable[Constraint] = (),
) -> tuple[Question | None, SelectionInfo]:
    """`select_next_question`, with how the question was chosen or why none was; same parameters and errors.

    Parameters
    ----------
    reserved
        Ids of questions kept for another use, such as a test, and in none of the answers: they are not selected, and
        their prompts count as shown.
    """
    answers = checked_answers(answers)
    if stopping is not None and not callable(stopping):
        raise InputError(f"stopping is {stopping!r}; give a rule, such as those of prefq.questions.stopping, or None.")
    rule, constraints = acquisition_named(acquisition), checked_constraints(constraints)
    costs = None if cost is None else costs_of(pool, cost)
    group = pool.starting_point(prior, response_model)
    start = with_stated(group, stated)
    info = SelectionInfo(acquisition_name(acquisition), float("nan"), start.digest(), None)
    asked, comparisons = pool.asked([*answers, *(Answer(question, Choice.SKIP) for question in reserved)])
    n_left = pool.n_questions - asked.size
    if (reason := reason_to_end(start.coefficients, answers, max_questions, n_left=n_left)) is not None:
        return None, info._replace(reason=reason)
    allowed = allowed_by(constraints, pool, asked, seed=seed)
    if not allowed.any():
        return None, info._replace(reason="the constraints allow no further question of the pool.")
    found = believed(group, comparisons, stated, to_tell=False)

    row, best = choose(rule, margins_of(pool, found, stated), asked, allowed, costs=costs, seed=seed)
    if costs is not None:
        best *= float(costs[row])
    if stopping is not None and (reason := stopping(found.posterior, _n_counted(answers), best)):
        require_text(reason, "what the stopping rule returned")
        return None, info._replace(reason=reason)
    return shown_question(pool, row, seed), info._replace(score=best)


def score_questions(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: Acquisition = "information_gain",
    seed: int = 0,
    stated: StatedEvidence | None = None,
) -> Array:
    """Acquisition score of every question of the pool, given the answers so far.

    Parameters
    ----------
    pool, answers, prior, response_model, acquisition, seed, stated
        As in `select_next_question`.

    Returns
    -------
    (n_questions,)
        In the order of ``pool.pairs``; higher is better; nats for `information_gain` and `d_optimal`. Questions that
        were already asked are scored like the others.

    Raises
    ------
    InputError, NotFoundError, MismatchError, InferenceError
        As in `select_next_question`.
    """
    rule = acquisition_named(acquisition)
    group = pool.starting_point(prior, response_model)
    found = believed(group, pool.comparisons(answers), stated, to_tell=False)
    margins = margins_of(pool, found, stated).all()
    return score_situation(rule, Situation(pool, found.posterior, margins, found.group.response_model, seed))


def margins_of(pool: CandidatePool, found: Believed, stated: StatedEvidence | None) -> PosteriorMargins:
    """Margins of a pool under what is believed of a person, who has stated this."""
    group = found.group
    margins = PoolMargins.of(pool, group.coefficients, group.response_model)
    return margins.under(found.posterior, origins=origins(group, stated))


def _n_counted(answers: Sequence[Answer]) -> int:
    return sum(answer.choice is not Choice.SKIP for answer in answers)


def reason_to_end(
    believed: Coefficients, answers: Sequence[Answer], max_questions: int | None, *, n_left: int
) -> str | None:
    """Why no further question can be asked, whatever it might tell."""
    if max_questions is not None:
        if reason := budget(max_questions)(believed, _n_counted(answers), float("nan")):
            return reason
        if len(answers) >= REPLIES_PER_QUESTION * max_questions:
            return f"{len(answers)} replies were given, skips included, for a budget of {max_questions} questions."
    return None if n_left else "every question of the pool has been asked."


Allowed = Callable[[Rows], NDArray[np.bool_]]  # which of these rows may be asked
Chooser = Callable[[Allowed, float], Best | None]  # the best allowed question that scores so much at least


def choose(
    rule: AcquisitionFunction | PoolAcquisition,
    margins: PosteriorMargins,
    asked: Rows,
    allowed: NDArray[np.bool_],
    *,
    costs: Array | None = None,
    seed: int = 0,
) -> Best:
    """The question to ask by a rule, the rule of fresh prompts heeded: found by search where that is possible.

    Parameters
    ----------
    rule
        How questions are scored.
    margins
        Of the pool, under what is believed.
    asked : (n_asked,)
        Rows whose prompts were shown.
    allowed : (n_questions,)
        Which questions may be asked; at least one.
    costs : (n_questions,), optional
        Above 0; then the score per cost counts.
    seed
        For rules that are hashes.
    """
    pool = margins.of.pool
    if can_search(rule):
        return best_row(pool, Search(cast(AcquisitionFunction, rule), margins, costs).best, asked, allowed, 0.0)
    situation = Situation(pool, margins.posterior, margins.all(), margins.of.response_model, seed)
    values = score_situation(rule, situation)
    values = values if costs is None else _per_cost(values, costs)
    rows = np.flatnonzero(allowed)
    lowest = 0.0 if starts_at_zero(rule) else float(values[rows].min())
    return best_row(pool, chooser_among(rows, values[rows]), asked, allowed, lowest)


def chooser_among(rows: Rows, scores: Array) -> Chooser:
    """How to find the best of some questions (n_rows,) whose scores are known."""

    def best_of(is_allowed: Allowed, at_least: float) -> Best | None:
        some = is_allowed(rows)
        return first_best(rows[some], scores[some]) if some.any() else None

    return best_of


def best_row(pool: CandidatePool, best_of: Chooser, asked: Rows, allowed: NDArray[np.bool_], lowest: float) -> Best:
    """Row and score of the question to ask: the best, or the best with a new prompt if that is nearly as good."""
    best = best_of(lambda rows: allowed[rows], lowest)
    assert best is not None
    if not _repeats_prompt(pool, np.array([best.row]), asked)[0]:
        return best
    enough = best.score - FRESH_PROMPT_SHARE * (best.score - lowest)
    fresh = best_of(lambda rows: allowed[rows] & ~_repeats_prompt(pool, rows, asked), enough)
    return fresh if fresh is not None and fresh.score >= enough else best


def _per_cost(scores: Array, costs: Array) -> Array:
    if (scores < 0).any():
        raise InputError(
            f"the acquisition function gave a score of {scores.min():.3g}, and scores per cost must not be below 0; "
            "take another acquisition, such as 'information_gain', or no cost."
        )
    return scores / costs


def _repeats_prompt(pool: CandidatePool, rows: Rows, asked: Rows) -> NDArray[np.bool_]:
    """Which questions show a prompt that an asked question has shown (n_rows,)."""
    if pool.prompt_codes is None:
        return np.zeros(rows.size, dtype=bool)
    shown = np.unique(pool.prompt_codes[pool.pairs[asked, 0]])
    return np.asarray((pool.prompt_codes[pool.pairs[rows, 0]][:, None] == shown).any(axis=1))
