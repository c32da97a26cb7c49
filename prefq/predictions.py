"""What answers predict about other questions, and how right that turned out: the sealed round and test questions.

When questions are drawn and predictions fixed is in `prefq.session`, how arms of sessions compare in
`prefq.simulation.arms`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from prefq.events import Prediction
from prefq.inference.predictive import expected_preference
from prefq.inference.stated import StatedEvidence
from prefq.pool.candidate_pool import CandidatePool
from prefq.profiles.profile import fit_profile
from prefq.vocabulary import Answer, Choice, PopulationPrior, Question

NO_GUESS = 1e-9  # a prediction this close to one half says nothing
LEAST_PROBABILITY = 1e-12  # that a log loss is taken of, so that one error does not cost everything
_DECIDED = (Choice.FIRST, Choice.SECOND)


class SealedResult(NamedTuple):
    """Score of the sealed round: of n_decided questions with a preference, how many were predicted right.

    A prediction of exactly one half is half right; group is the score of the group's guess.
    """

    n_questions: int
    n_decided: int
    profile: float
    group: float


class HeldOut(NamedTuple):
    """A test question: what the answers to the rule's questions predict about it, and the reply, None without one."""

    prediction: Prediction
    choice: Choice | None


class HeldOutScore(NamedTuple):
    """How right the predictions of a session's test questions were.

    n_decided questions were answered with a preference, and n_ties, n_both_bad, n_skips and n_waiting otherwise or not
    at all. Of the decided: accuracy is the share predicted right (a prediction of one half is half right) and log_loss
    the mean of -log of the probability given to the reply, in nats; group_accuracy is that of the group's guess. All
    three are NaN where nothing is decided.
    """

    n_decided: int
    n_ties: int
    n_both_bad: int
    n_skips: int
    n_waiting: int
    accuracy: float
    log_loss: float
    group_accuracy: float


def predict(
    pool: CandidatePool,
    answers: Sequence[Answer],
    questions: Sequence[Question],
    *,
    prior: PopulationPrior | None = None,
    stated: StatedEvidence | None = None,
) -> tuple[Prediction, ...]:
    """What answers, and what was stated, predict about other questions of the pool; and what the group's guess does.

    The prior is the pool's starting point where none is given.
    """
    profile = fit_profile(pool, answers, user_id="-", prior=prior, stated=stated)
    first, second = (
        pool.features[[getattr(question, side).item for question in questions]] for side in ("first", "second")
    )
    differences = first.astype(np.float64) - second
    by_profile = profile.preference_probability(first, second)
    by_group = expected_preference(profile.prior.coefficients, profile.prior.response_model.felt(differences))
    return tuple(
        Prediction(question.id, float(mine), float(theirs))
        for question, mine, theirs in zip(questions, by_profile, by_group, strict=True)
    )


def sealed_result(predictions: Sequence[Prediction], answers: Iterable[Answer]) -> SealedResult:
    """Score of a sealed round whose replies are among the answers."""
    given = {answer.question_id: answer.choice for answer in answers}
    decided = [p for p in predictions if given.get(p.question_id) in (Choice.FIRST, Choice.SECOND)]
    firsts = [given[p.question_id] is Choice.FIRST for p in decided]
    return SealedResult(
        len(predictions),
        len(decided),
        sum(_credit(p.profile, first) for p, first in zip(decided, firsts, strict=True)),
        sum(_credit(p.group, first) for p, first in zip(decided, firsts, strict=True)),
    )


def held_out_score(held_out: Sequence[HeldOut]) -> HeldOutScore:
    """How right the predictions of test questions were.

    Examples
    --------
    >>> tested = [HeldOut(Prediction("0-1", 0.8, 0.5), Choice.FIRST), HeldOut(Prediction("2-3", 0.6, 0.5), Choice.TIE)]
    >>> score = held_out_score(tested)
    >>> score.n_decided, score.n_ties, score.accuracy, round(score.log_loss, 3)
    (1, 1, 1.0, 0.223)
    """
    decided = [(each.prediction, each.choice is Choice.FIRST) for each in held_out if each.choice in _DECIDED]
    others = [each.choice for each in held_out if each.choice not in _DECIDED]

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(decided) if decided else math.nan

    return HeldOutScore(
        len(decided),
        others.count(Choice.TIE),
        others.count(Choice.BOTH_BAD),
        others.count(Choice.SKIP),
        others.count(None),
        mean(_credit(prediction.profile, first) for prediction, first in decided),
        mean(-math.log(_given(prediction.profile, first)) for prediction, first in decided),
        mean(_credit(prediction.group, first) for prediction, first in decided),
    )


def _credit(probability_first: float, first_preferred: bool) -> float:
    """1 for a right prediction, ½ for none, 0 for a wrong one."""
    if abs(probability_first - 0.5) < NO_GUESS:
        return 0.5
    return float((probability_first > 0.5) == first_preferred)


def _given(probability_first: float, first_preferred: bool) -> float:
    """The probability that was given to the reply, kept above `LEAST_PROBABILITY`."""
    return max(probability_first if first_preferred else 1 - probability_first, LEAST_PROBABILITY)
