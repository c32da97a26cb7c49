"""Learning curves: put a strategy to a panel, question by question, and measure after each number of answers."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from prefq.errors import InputError, PrefqError
from prefq.simulation.learned_strategies import SeenThrough
from prefq.simulation.measures import accuracy, auc, best_of_n, log_loss
from prefq.simulation.panels import History, Panel, Rows, Start, Study
from prefq.simulation.strategies import Belief, OwnBelief, Strategy
from prefq.vocabulary import Array

MILESTONES = (0, 3, 5, 10, 20, 40)  # numbers of answers after which profiles are swapped too, and tables are made
MEASURES = (
    "log_loss",
    "accuracy",
    "auc",
    "best_of_n",
    "regret",
    "swapped_log_loss",
    "swapped_accuracy",
    "no_personal_taste",
    "words",
)


class Curve(NamedTuple):
    """What came of one strategy on one panel.

    Parameters
    ----------
    measures
        By name, each (n_users, n_questions + 1): after 0, 1, … answers; NaN where a measure is not defined.
    history
        What was asked and replied.
    seconds
        Time for each question, learning included, for all users together (n_questions,); empty without a clock.
    """

    measures: dict[str, Array]
    history: History
    seconds: Array


def learning_curve(
    strategy: Strategy,
    panel: Panel,
    start: Start,
    *,
    n_questions: int,
    rng: np.random.Generator,
    clock: Callable[[], float] | None = None,
) -> Curve:
    """Ask `n_questions` of every user of a panel by a strategy, and measure before the first and after each answer.

    Parameters
    ----------
    strategy
        How to ask and learn; it sees the panel's `Study`, never replies to questions that it has not asked.
    panel
        Users, replies and frozen test tasks.
    start
        Prior fitted on the panel's group.
    n_questions
        At least 0; users with fewer questions stop earlier and keep their last profile.
    rng
        The strategy's own generator.
    clock
        Seconds of a steady clock, if times are wanted.

    Returns
    -------
    Curve
        One row a user.

    Raises
    ------
    PrefqError
        When the strategy raises, names a question that does not exist, is not open or was asked before, or predicts
        something that is not a probability.
    """
    study = Study.of(panel, start, n_questions)
    tick = clock or _no_clock
    try:
        learn = strategy.begin(study, rng=rng)
        history, seconds, taken = History.empty(panel.n_users), [], []
        for n_answers in range(n_questions + 1):
            began = tick()
            belief = learn(history)
            rows = belief.next_rows() if n_answers < n_questions else None
            if clock and isinstance(own := _own_belief(belief), OwnBelief):
                own.told()  # which would wait until something is predicted; what is learned is asked for only once
            seconds.append(tick() - began)
            taken.append(measure(belief, panel, history))
            if rows is not None:
                rows = _checked_rows(rows, strategy, panel, history)
                history = history.with_answers(rows, panel.replies(rows, n_answers))
    except PrefqError:
        raise
    except Exception as error:
        raise PrefqError(
            f"strategy {strategy.name!r} raised {type(error).__name__}: {error}; mend it or leave it out."
        ) from error
    measures = {name: np.stack([values[name] for values in taken], axis=1) for name in MEASURES}
    return Curve(measures, history, np.array(seconds[:-1]) if clock else np.empty(0))


def measure(belief: Belief, panel: Panel, history: History) -> dict[str, Array]:
    """Every measure of `MEASURES` for each user (n_users,), NaN where it is not defined."""
    truth = panel.truth(history.rows.shape[1])
    predicted = _checked_probabilities(belief.predict(*panel.tests), truth)
    nothing = np.full(panel.n_users, np.nan)
    share, regret = _candidates(belief, panel, history.rows.shape[1])
    swapped, swapped_truth = _swapped(belief, panel, truth, history.rows.shape[1])
    own = _own_belief(belief)
    return {
        "log_loss": log_loss(predicted, truth),
        "accuracy": accuracy(predicted, truth),
        "auc": auc(predicted, truth),
        "best_of_n": share,
        "regret": regret,
        "swapped_log_loss": np.roll(log_loss(swapped, swapped_truth), 1),
        "swapped_accuracy": np.roll(accuracy(swapped, swapped_truth), 1),
        "no_personal_taste": own.no_personal_taste() if isinstance(own, OwnBelief) else nothing,
        "words": nothing if panel.words is None else history.of(panel.words).sum(axis=1),
    }


def _no_clock() -> float:
    return 0.0


def _own_belief(belief: Belief) -> Belief:
    """Without the encodings that it is asked about."""
    return belief.belief if isinstance(belief, SeenThrough) else belief


def _candidates(belief: Belief, panel: Panel, n_answers: int) -> tuple[Array, Array]:
    if panel.candidates is None:
        nothing = np.full(panel.n_users, np.nan)
        return nothing, nothing
    features, utilities = panel.candidates
    scores = belief.score(features.reshape(len(features), -1, features.shape[-1])).reshape(utilities.shape)
    flipped = panel.flips_at is not None and n_answers >= panel.flips_at
    return best_of_n(scores, -utilities if flipped else utilities)


def _swapped(belief: Belief, panel: Panel, truth: Array, n_answers: int) -> tuple[Array, Array]:
    """What each user's profile predicts for the next user's tasks, and the truth of these.

    Only at `MILESTONES`, and only where there is a next user.
    """

    def of_next(values: Array) -> Array:
        return values if len(values) == 1 else np.roll(values, -1, axis=0)

    if n_answers not in MILESTONES or panel.n_users < 2:
        return np.full(truth.shape, 0.5), np.full(truth.shape, np.nan)
    predicted = belief.predict(*map(of_next, panel.tests))
    return predicted, np.roll(truth, -1, axis=0)


def _checked_rows(rows: Rows, strategy: Strategy, panel: Panel, history: History) -> Rows:
    rows = np.asarray(rows)
    if rows.shape != (panel.n_users,) or rows.dtype.kind not in "iu":
        raise InputError(
            f"strategy {strategy.name!r} returned rows of shape {rows.shape} and type {rows.dtype}; it must return "
            f"one integer for each of the {panel.n_users} users."
        )
    left = history.left(panel.open)
    none_left = ~left.any(axis=1)
    known = (rows >= 0) & (rows < panel.open.shape[1])
    users = np.arange(panel.n_users)
    wrong = np.flatnonzero(~np.where(none_left, rows == -1, known & left[users, np.where(known, rows, 0)]))
    if wrong.size:
        user = wrong[0]
        asked = rows[user] in history.rows[user]
        what = "which was asked before" if asked else "which this user cannot be asked"
        raise InputError(
            f"strategy {strategy.name!r} returned question {rows[user]} for user {panel.user_ids[user]!r}, {what}; "
            "it must choose among the open questions."
        )
    return rows.astype(np.intp)


def _checked_probabilities(predicted: Array, truth: Array) -> Array:
    predicted = np.asarray(predicted, dtype=np.float64)
    if predicted.shape != truth.shape or not ((predicted >= 0) & (predicted <= 1)).all():
        raise InputError(
            f"predictions of shape {predicted.shape} arrived; expected probabilities of shape {truth.shape}, one for "
            "each user and test task."
        )
    return predicted
