"""score_questions and select_next_question: from a pool and the answers so far to the next question.

Selection draws nothing: ties go to the lowest row, and what looks like chance (which side is shown first, the order
of the `random` rule) is a hash of seed, pool and pair, so that the same inputs give the same question everywhere.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, NotFoundError
from prefq.inference.laplace import fit_posterior
from prefq.pool.candidate_pool import CandidatePool, Rows, checked_answers
from prefq.questions.acquisition import ACQUISITIONS, AcquisitionFunction, information_gain
from prefq.questions.gain_bounds import information_gain_bound
from prefq.questions.margins import Margins, PoolMargins
from prefq.questions.stopping import StoppingRule, budget
from prefq.vocabulary import (
    Answer,
    Array,
    Choice,
    Coefficients,
    Gaussian,
    PopulationPrior,
    Question,
    ResponseModel,
    digest_of,
    question_id,
    require_text,
    whole_number,
)

ACQUISITION_NAMES: tuple[str, ...] = (*ACQUISITIONS, "random")
MAX_QUESTIONS = 10
REPLIES_PER_QUESTION = 2  # replies, skips included, after which a session ends whatever its budget: times the budget
FRESH_PROMPT_SHARE = 0.2  # of the spread of scores: what a question may lose for the sake of a prompt not yet shown
PRUNE_FROM = 2048  # questions; below it the integrals cost less than the table that would spare them
TIE_TOLERANCE = 1e-9  # relative: scores closer than this are equal, so that machines with other round-off agree
FIRST_CONTENDERS = 64  # integrals taken before bounds are compared with an exact score: mostly enough


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
    prior: Gaussian | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: str | AcquisitionFunction = "information_gain",
    max_questions: int | None = MAX_QUESTIONS,
    stopping: StoppingRule | None = None,
    seed: int = 0,
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
        ``"information_gain"``, ``"d_optimal"``, ``"pref"``, ``"max_norm"``, ``"margin_uncertainty"``, ``"random"``, or
        a callable ``(mean, variance, *, response_model) -> scores``.
    max_questions
        Budget; skips do not count, but twice as many replies of any kind end the session. None for no budget.
    stopping
        A further rule ``(posterior, n_answers, best_score) -> str | None`` that may end the session earlier.
    seed
        Fixes which side is shown first, and the order of ``"random"``.

    Returns
    -------
    Question or None
        Sides in the order in which they are to be shown.

    Raises
    ------
    InputError
        For an answer to a question that is not in the pool, two answers to one pair, a budget below 1, or scores
        that are NaN or of the wrong shape.
    NotFoundError
        For an unknown acquisition name.
    MismatchError
        For a prior of another feature space.
    InferenceError
        When the posterior does not converge.

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
    )
    return question


def select_with_info(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    prior: Gaussian | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: str | AcquisitionFunction = "information_gain",
    max_questions: int | None = MAX_QUESTIONS,
    stopping: StoppingRule | None = None,
    seed: int = 0,
    reserved: Sequence[str] = (),
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
    score = acquisition_function(acquisition, pool, seed)
    start = pool.starting_point(prior, response_model)
    info = SelectionInfo(acquisition_name(acquisition), float("nan"), start.digest(), None)
    asked, comparisons = pool.asked([*answers, *(Answer(question, Choice.SKIP) for question in reserved)])
    posterior, _ = fit_posterior(start.coefficients, comparisons, response_model=start.response_model)
    if (reason := _used_up(posterior, answers, max_questions, n_left=pool.n_questions - asked.size)) is not None:
        return None, info._replace(reason=reason)
    margins = PoolMargins.of(pool, start.coefficients).given(posterior, comparisons, start.response_model)
    row, best = _best_row(pool, margins, score, start.response_model, asked)
    if stopping is not None and (reason := stopping(posterior, _n_counted(answers), best)):
        require_text(reason, "what the stopping rule returned")
        return None, info._replace(reason=reason)
    return _shown(pool, row, seed), info._replace(score=best)


def score_questions(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    prior: Gaussian | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    acquisition: str | AcquisitionFunction = "information_gain",
    seed: int = 0,
) -> Array:
    """Acquisition score of every question of the pool, given the answers so far.

    Parameters
    ----------
    pool, answers, prior, response_model, acquisition, seed
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
    score = acquisition_function(acquisition, pool, seed)
    start = pool.starting_point(prior, response_model)
    comparisons = pool.comparisons(answers)
    posterior, _ = fit_posterior(start.coefficients, comparisons, response_model=start.response_model)
    margins = PoolMargins.of(pool, start.coefficients).given(posterior, comparisons, start.response_model)
    return _checked_scores(score(margins.mean, margins.variance, response_model=start.response_model), pool.n_questions)


def acquisition_function(acquisition: str | AcquisitionFunction, pool: CandidatePool, seed: int) -> AcquisitionFunction:
    """The acquisition function of a name, or itself; NotFoundError names those that exist."""
    if not isinstance(acquisition, str):
        if not callable(acquisition):
            raise InputError(f"acquisition is {acquisition!r}; give a name or a function of mean and variance.")
        return acquisition
    if acquisition == "random":
        return lambda mean, variance, *, response_model: random_order(pool, seed)
    require_acquisition(acquisition)
    return ACQUISITIONS[acquisition]


def require_acquisition(name: str) -> None:
    """Raise NotFoundError, which names those that exist, unless there is an acquisition function of this name."""
    if name not in ACQUISITION_NAMES:
        raise NotFoundError(f"there is no acquisition {name!r}; choose one of {', '.join(ACQUISITION_NAMES)}.")


def acquisition_name(acquisition: str | AcquisitionFunction) -> str:
    """What a session's log calls an acquisition function."""
    return acquisition if isinstance(acquisition, str) else getattr(acquisition, "__name__", type(acquisition).__name__)


def random_order(pool: CandidatePool, seed: int) -> Array:
    """A number in [0, 1) for each question (n_questions,), by hash of seed, pool and pair: scores of `random`."""
    low, high = np.sort(pool.pairs, axis=1).T.astype(np.uint64)
    key = int(_seeded_digest(pool, seed, "order")[:16], 16)
    bits = _mixed(_mixed(low + np.uint64(key)) ^ high)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


def _n_counted(answers: Sequence[Answer]) -> int:
    return sum(answer.choice is not Choice.SKIP for answer in answers)


def _used_up(
    posterior: Coefficients, answers: Sequence[Answer], max_questions: int | None, *, n_left: int
) -> str | None:
    """Why no further question can be asked, whatever it might tell."""
    if max_questions is not None:
        if reason := budget(max_questions)(posterior, _n_counted(answers), float("nan")):
            return reason
        if len(answers) >= REPLIES_PER_QUESTION * max_questions:
            return f"{len(answers)} replies were given, skips included, for a budget of {max_questions} questions."
    return None if n_left else "every question of the pool has been asked."


def _best_row(
    pool: CandidatePool, margins: Margins, score: AcquisitionFunction, response_model: ResponseModel, asked: Rows
) -> tuple[int, float]:
    """Row and score of the question to ask: the best, or the best with a new prompt if that is nearly as good."""

    def exact(rows: Rows) -> Array:
        scores = score(margins.mean[rows], margins.variance[rows], response_model=response_model)
        return _checked_scores(scores, rows.size)

    pruned = score is information_gain and pool.n_questions >= PRUNE_FROM
    cheap = information_gain_bound if pruned else score
    values = cheap(margins.mean, margins.variance, response_model=response_model)
    values = _checked_scores(values, pool.n_questions)
    is_open = np.ones(pool.n_questions, dtype=bool)
    is_open[asked] = False
    open_rows = np.flatnonzero(is_open)

    def best_of(rows: Rows) -> tuple[int, float]:
        return _first_best_by_bound(rows, values[rows], exact) if pruned else _first_best(rows, values[rows])

    best = best_of(open_rows)
    repeats = _repeats_prompt(pool, open_rows, asked)
    if repeats.all() or not repeats[np.searchsorted(open_rows, best[0])]:
        return best
    fresh = best_of(open_rows[~repeats])
    # Information starts at 0, which is known without an integral; any other score starts where the pool's scores do.
    lowest = 0.0 if score is information_gain else float(values[open_rows].min())
    spread = best[1] - lowest
    return fresh if best[1] - fresh[1] <= FRESH_PROMPT_SHARE * spread else best


def _repeats_prompt(pool: CandidatePool, rows: Rows, asked: Rows) -> NDArray[np.bool_]:
    """Which questions show a prompt that an asked question has shown (n_rows,)."""
    if pool.prompt_codes is None:
        return np.zeros(rows.size, dtype=bool)
    return np.isin(pool.prompt_codes[pool.pairs[rows, 0]], pool.prompt_codes[pool.pairs[asked, 0]])


def _first_best(rows: Rows, scores: Array) -> tuple[int, float]:
    """The lowest row whose score is the highest, up to round-off."""
    top = float(scores.max())
    at = int(np.argmax(scores >= top - TIE_TOLERANCE * abs(top)))
    return int(rows[at]), float(scores[at])


def _first_best_by_bound(rows: Rows, bounds: Array, exact: Callable[[Rows], Array]) -> tuple[int, float]:
    """`_first_best` by exact scores, taken only where an upper bound does not rule the question out."""
    few = min(FIRST_CONTENDERS, rows.size)
    contenders = np.sort(np.argpartition(bounds, -few)[-few:])
    scores = exact(rows[contenders])
    not_ruled_out = bounds >= scores.max() - TIE_TOLERANCE * abs(scores.max())
    if np.count_nonzero(not_ruled_out) > np.count_nonzero(not_ruled_out[contenders]):
        contenders = np.flatnonzero(not_ruled_out)
        scores = exact(rows[contenders])
    return _first_best(rows[contenders], scores)


def _checked_scores(scores: Array, n_questions: int) -> Array:
    if np.shape(scores) != (n_questions,) or not np.isfinite(scores).all():
        raise InputError(
            f"the acquisition function returned shape {np.shape(scores)}, or scores that are not finite, for "
            f"{n_questions} questions; it must return one finite number a question."
        )
    return np.asarray(scores, dtype=np.float64)


def _shown(pool: CandidatePool, row: int, seed: int) -> Question:
    """The question in a row of the pool, its sides in the order that the seed fixes."""
    low, high = sorted(pool.pairs[row].tolist())
    swapped = int(_seeded_digest(pool, seed, "side", question_id(low, high))[0], 16) % 2
    return pool.question(question_id(high, low) if swapped else question_id(low, high))


def _seeded_digest(pool: CandidatePool, seed: int, *purpose: str) -> str:
    """What takes the place of chance: a hash of pool, seed and purpose, hexadecimal."""
    return digest_of(pool.digest(), str(whole_number(seed, "seed", "an integer")), *purpose)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea and Flood 2014), elementwise: a hash, not a generator."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))
