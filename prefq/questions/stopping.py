"""Stopping rules: predicates that end a session, each with the sentence that says why.

A rule is any callable ``(posterior, n_answers, best_score) -> str | None``; the string is its reason. What else a rule
needs to know, such as the pairs that it asks about, is bound beforehand. Those of a session's settings are in
`prefq.questions.stopping_names`.
"""

from typing import Protocol

import numpy as np

from prefq.errors import InputError
from prefq.inference.lattice import probability_best
from prefq.questions.acquisition import information_gain
from prefq.questions.joint import most_informative_rows
from prefq.vocabulary import Array, Coefficients, ResponseModel, real_array, real_number, whole_number

SURE = 0.8  # of the pairs: what few people reach after ten questions, and most after twenty
MIN_QUESTIONS = 3  # answers before which no rule but the budget stops: so few hardly test what is believed
N_AHEAD = 5
LITTLE = 0.15  # nats a question: about a fifth of the most that one preference can tell
# Primes: enough to weigh what is left, a few per cent off at most, in milliseconds.
N_PEOPLE, N_POINTS = 101, 263
N_CANDIDATES = 256  # questions weighed together: those that tell most alone, and together none adds more than that
N_BEST_POINTS = 1019  # prime: half the draws of the posterior that count how often a response is the best


class StoppingRule(Protocol):
    """When to stop asking."""

    def __call__(self, posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        """Why to stop, in one sentence; None or an empty text to go on.

        Parameters
        ----------
        posterior
            What is believed about the coefficients now, by expectation propagation.
        n_answers
            Replies so far, skips not counted.
        best_score
            Acquisition score of the question that would be asked next.
        """


def budget(max_questions: int) -> StoppingRule:
    """Stop after `max_questions` answers; skips do not count."""
    limit = whole_number(max_questions, "max_questions", "a budget of at least 1 question", least=1)

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        return f"the budget of {limit} questions is used up." if n_answers >= limit else None

    return rule


def little_left_to_gain(min_score: float = 0.02, *, min_questions: int = MIN_QUESTIONS) -> StoppingRule:
    """Stop when no question left scores at least `min_score`.

    Parameters
    ----------
    min_score
        In the unit of the acquisition function: nats for `information_gain` and `d_optimal`. The default, 0.02 nats,
        is 3 % of the most that one preference can tell.
    min_questions
        Never stop before this many answers.
    """

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        if n_answers < min_questions or best_score >= min_score:
            return None
        return f"the best question left would tell {best_score:.3f}, less than {min_score:g}."

    return rule


def information_left(
    differences: Array,
    response_model: ResponseModel,
    *,
    little: float = LITTLE,
    n_ahead: int = N_AHEAD,
    min_questions: int = MIN_QUESTIONS,
) -> StoppingRule:
    """Stop when the next questions together are expected to tell little (docs/maths/stopping.md).

    Parameters
    ----------
    differences : (n_questions, n_features)
        Of questions that may still be asked, or of a few thousand that stand for them.
    response_model
        How replies arise.
    little
        Nats a question, on average over the next `n_ahead`.
    n_ahead
        How many questions to look ahead.
    min_questions
        Never stop before this many answers.

    Raises
    ------
    InputError
        For differences that are no matrix of numbers, or a number out of range.
    """
    questions = real_array(differences, "differences", ndim=2)
    felt = response_model.felt(questions)
    least = real_number(little, "little")
    if least <= 0:
        raise InputError(f"little is {least}; give a number of nats above 0.")
    ahead = min(whole_number(n_ahead, "n_ahead", "at least 1 question to look ahead", least=1), len(questions))

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        if n_answers < min_questions:
            return None
        mean = felt @ posterior.mean
        variance = np.maximum(((felt @ posterior.covariance) * felt).sum(axis=1), 0.0)
        alone = information_gain(mean, variance, response_model=response_model)
        likely = np.argsort(-alone, kind="stable")[: max(N_CANDIDATES, ahead)]
        _, information = most_informative_rows(
            questions[likely], posterior, ahead, response_model=response_model, n_people=N_PEOPLE, n_points=N_POINTS
        )
        left = float(information.mean())
        if left >= least:
            return None
        return (
            f"little is left to learn: each of the next {ahead} questions would tell {left:.3f} nats, "
            f"less than {least:g}."
        )

    return rule


def settled_order(targets: Array, sure: float = SURE, *, min_questions: int = MIN_QUESTIONS) -> StoppingRule:
    """Stop when the order within pairs is settled: few of them are expected to be put the wrong way round.

    Parameters
    ----------
    targets : (n_pairs, n_features)
        Differences of the pairs whose order matters.
    sure
        Share of the pairs, above one half and below 1, that must be expected not to be the wrong way round.
    min_questions
        Never stop before this many answers.

    Raises
    ------
    InputError
        For targets that are no matrix of numbers, or a share out of range.
    """
    pairs, wanted = real_array(targets, "targets", ndim=2), required_share(sure)

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        if n_answers < min_questions:
            return None
        wrong = float(promised_wrong(posterior, pairs).mean())
        if 1 - wrong < wanted:
            return None
        return f"the order is settled: {wrong:.0%} of pairs are expected the wrong way round, {1 - wanted:.0%} may be."

    return rule


def settled_best(candidates: Array, sure: float = SURE, *, min_questions: int = MIN_QUESTIONS) -> StoppingRule:
    """Stop when the best of each set is settled: the one that is picked is likely the best.

    Parameters
    ----------
    candidates : (n_sets, n_candidates, n_features)
        Features of what there is to choose from.
    sure
        Probability, above one half and below 1, that the pick is the best of its set, on average over the sets.
    min_questions
        Never stop before this many answers.

    Raises
    ------
    InputError
        For candidates of another shape, or a probability out of range.
    """
    sets, wanted = real_array(candidates, "candidates", ndim=3), required_share(sure)

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        if n_answers < min_questions:
            return None
        right = float(promised_best(posterior, sets).mean())
        if right < wanted:
            return None
        return f"the best is settled: it is found with probability {right:.2f}, {wanted:g} was asked for."

    return rule


def any_of(*rules: StoppingRule) -> StoppingRule:
    """Stop as soon as one of the rules says so, with the reason of the first that does."""

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        return next((reason for each in rules if (reason := each(posterior, n_answers, best_score))), None)

    return rule


def promised_wrong(posterior: Coefficients, differences: Array) -> Array:
    """Probability that the likelier order of each pair is wrong (n_pairs,): docs/maths/stopping.md, eq. 4.

    No order of a pair without a margin is wrong, as for a person without a taste.

    Parameters
    ----------
    posterior
        Of the coefficients.
    differences : (n_pairs, n_features)
        First minus second.
    """
    from scipy.special import ndtr  # here, because it costs 0.1 s and choosing a question does without it

    orders = np.zeros((2, len(differences)))  # the chance that the margin is above zero, and below
    for weight, component in zip(posterior.weights, posterior.components, strict=True):
        mean = differences @ component.mean
        sd = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", differences, component.covariance, differences), 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):  # a margin that is known, or is known to be zero
            distance = mean / sd
        orders += weight * np.nan_to_num(ndtr([distance, -distance]))
    return np.asarray(orders.min(axis=0))


def promised_best(posterior: Coefficients, candidates: Array) -> Array:
    """Probability that the candidate of the highest mean score is the best of its set (n_sets,).

    Parameters
    ----------
    posterior
        Of the coefficients.
    candidates : (n_sets, n_candidates, n_features)
        Features.

    Returns
    -------
    (n_sets,)
        By fixed quasi-random draws; candidates with equal scores share.
    """
    found = [
        probability_best(posterior, features, N_BEST_POINTS)[np.argmax(features @ posterior.mean)]
        for features in candidates
    ]
    return np.array(found)


def required_share(sure: float) -> float:
    """The share as a float; InputError unless it is above one half and below 1."""
    wanted = real_number(sure, "sure")
    if not 0.5 < wanted < 1:
        raise InputError(f"sure is {wanted}; give a share above 0.5 and below 1, such as 0.9.")
    return wanted
