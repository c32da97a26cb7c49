"""Stopping rules: predicates that end a session, each with the sentence that says why.

A rule is any callable ``(posterior, n_answers, best_score) -> str | None``; the string is its reason.
"""

from typing import Protocol

from prefq.vocabulary import Coefficients, whole_number


class StoppingRule(Protocol):
    """When to stop asking."""

    def __call__(self, posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        """Why to stop, in one sentence; None or an empty text to go on.

        Parameters
        ----------
        posterior
            What is believed about the coefficients now.
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


def little_left_to_gain(min_score: float = 0.02, *, min_questions: int = 3) -> StoppingRule:
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


def any_of(*rules: StoppingRule) -> StoppingRule:
    """Stop as soon as one of the rules says so, with the reason of the first that does."""

    def rule(posterior: Coefficients, n_answers: int, best_score: float, /) -> str | None:
        return next((reason for each in rules if (reason := each(posterior, n_answers, best_score))), None)

    return rule
