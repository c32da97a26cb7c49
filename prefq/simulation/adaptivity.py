"""Adaptivity: how often another answer would have led to another next question."""

import numpy as np

from prefq.simulation.panels import History, Panel, Start, Study
from prefq.simulation.strategies import Strategy
from prefq.vocabulary import Array


def adaptivity(strategy: Strategy, panel: Panel, start: Start, *, n_questions: int, rng: np.random.Generator) -> Array:
    """Share of users whose next question changes when the last answer is flipped, step by step.

    Parameters
    ----------
    strategy
        How to ask; its learner is put to both histories.
    panel
        Users and replies.
    start
        Prior fitted on the panel's group.
    n_questions
        At least 1.
    rng
        The strategy's own generator.

    Returns
    -------
    (n_questions - 1,)
        After 1, 2, … answers; 0 for a questionnaire fixed beforehand. NaN where nobody had an answer to flip (a tie is
        its own opposite) and a question left to ask.
    """
    learn = strategy.begin(Study.of(panel, start, n_questions), rng=rng)
    history, shares = History.empty(panel.n_users), []
    for n_answers in range(n_questions):
        rows = learn(history).next_rows()
        if n_answers:
            flipped = history.outcomes.copy()
            flipped[:, -1] *= -1
            other = learn(History(history.rows, flipped)).next_rows()
            counted = (flipped[:, -1] != 0) & (rows >= 0)
            shares.append(float((rows != other)[counted].mean()) if counted.any() else np.nan)
        history = history.with_answers(rows, panel.replies(rows, n_answers))
    return np.array(shares)
