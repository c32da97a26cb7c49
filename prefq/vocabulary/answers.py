"""Answers: what was asked, what a person replied, and the same as numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.vocabulary.checks import (
    Array,
    frozen,
    numbers,
    real_array,
    real_number,
    rebuilt,
    require_text,
    require_unicode,
    shown,
)

SLIGHT = 0.5  # strength up to which a preference is slight; above, it is clear
_QUESTION_ID = re.compile(r"(0|[1-9][0-9]{0,29})-(0|[1-9][0-9]{0,29})")  # one spelling for each pair of rows


class Choice(StrEnum):
    """The reply to a question; sides are the sides as shown."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    SKIP = "skip"


OUTCOMES: Mapping[Choice, int] = {Choice.FIRST: 1, Choice.TIE: 0, Choice.SECOND: -1}
"""Replies that are comparison evidence, as numbers; BOTH_BAD and SKIP are stored and carry none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person replied to one question.

    Parameters
    ----------
    question_id
        Id of the question as shown, such as ``"12-47"``: item 12 was shown first, item 47 second.
    choice
        A `Choice` or its value: ``"first"``, ``"second"``, ``"tie"``, ``"both_bad"`` or ``"skip"``.
    strength
        How strong the preference is, in (0, 1], if it was asked: up to `SLIGHT` a slight one, above a clear one; used
        where the response model has a strength threshold.
    reason
        The person's own words, stored as they are.
    seconds
        Time from showing the question to the reply, in seconds.

    Raises
    ------
    InputError
        For an unknown choice, a strength outside (0, 1], negative seconds, or a reason that is not valid Unicode.

    Examples
    --------
    >>> from prefq import Answer
    >>> Answer("12-47", "first").choice
    <Choice.FIRST: 'first'>
    """

    question_id: str
    choice: Choice
    strength: float | None = field(default=None, kw_only=True)
    reason: str | None = field(default=None, kw_only=True)
    seconds: float | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # what the constructor accepts; the fields say what it makes of it

        def __init__(
            self,
            question_id: str,
            choice: Choice | str,
            *,
            strength: float | None = None,
            reason: str | None = None,
            seconds: float | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.question_id, str) or not self.question_id:
            raise InputError(f"question_id is {shown(self.question_id)}; give the id of the question, such as '12-47'.")
        require_unicode(self.question_id, "question_id")
        object.__setattr__(self, "choice", parse_choice(self.choice))
        if self.strength is not None:
            object.__setattr__(self, "strength", real_number(self.strength, "strength"))
            if not 0 < self.strength <= 1:
                raise InputError(f"strength is {self.strength}; give a number above 0 and at most 1, or None.")
        if self.seconds is not None:
            object.__setattr__(self, "seconds", real_number(self.seconds, "seconds"))
            if self.seconds < 0:
                raise InputError(f"seconds is {self.seconds}; give a time of 0 or more seconds, or None.")
        if self.reason is not None:
            require_text(self.reason, "reason")

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values; those that were not given are left out."""
        optional = {"strength": self.strength, "reason": self.reason, "seconds": self.seconds}
        given = {name: value for name, value in optional.items() if value is not None}
        return {"question_id": self.question_id, "choice": self.choice.value, **given}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Answer":
        """Answer from the dictionary that `to_dict` writes; InputError if a field is missing or unknown."""
        known = {"question_id", "choice", "strength", "reason", "seconds"}
        if not isinstance(data, Mapping) or not {"question_id", "choice"} <= data.keys() <= known:
            raise InputError(
                f"an answer is {shown(data)}; it needs question_id and choice, and may have {sorted(known)}."
            )
        return cls(**data)


def parse_choice(choice: object) -> Choice:
    """`Choice` from itself or its value; InputError names the five that exist."""
    for known in Choice:
        if isinstance(choice, str) and choice == known:
            return known
    raise InputError(f"choice is {shown(choice)}; give one of {', '.join(repr(c.value) for c in Choice)}.")


@dataclass(frozen=True, slots=True)
class Response:
    """A text that can be shown.

    Parameters
    ----------
    item
        Row of the item in the pool.
    text
        What is shown; empty if the pool was made without texts.
    """

    item: int
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt with two responses, in the order in which they are shown.

    Parameters
    ----------
    id
        The two items as shown, such as ``"12-47"``.
    prompt
        What the responses answer; empty if the pool was made without prompts.
    first, second
        The responses as shown.
    """

    id: str
    prompt: str
    first: Response
    second: Response

    def answer(
        self,
        choice: Choice | str,
        *,
        strength: float | None = None,
        reason: str | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """`Answer` to this question; parameters and errors are those of `Answer`."""
        return Answer(self.id, parse_choice(choice), strength=strength, reason=reason, seconds=seconds)


def question_id(first_item: int, second_item: int) -> str:
    """Id of the question that shows `first_item` first: ``question_id(12, 47) == "12-47"``."""
    return f"{first_item}-{second_item}"


def parse_question_id(text: str) -> tuple[int, int]:
    """Item rows (first, second) of a question id; InputError if it is not of the form ``"12-47"``."""
    match = _QUESTION_ID.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(f"question id is {shown(text)}; expected two item rows as shown, such as '12-47'.")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Answers as numbers.

    Parameters
    ----------
    differences : (n_answers, n_features)
        Features of the response shown first minus features of the one shown second, in the features' units.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    strengths : (n_answers,), optional
        Strength of each preference in (0, 1]; NaN where none was given. Up to `SLIGHT` it is a slight preference, above
        a clear one; used where the response model has a strength threshold.

    Raises
    ------
    InputError
        For wrong shapes, other outcomes, or values that are not finite.

    Examples
    --------
    >>> from prefq import Comparisons
    >>> Comparisons([[1.0, 0.0], [0.5, -1.0]], [1, 0]).outcomes
    array([1, 0], dtype=int8)
    """

    differences: Array
    outcomes: NDArray[np.int8]
    strengths: Array | None = None

    if TYPE_CHECKING:

        def __init__(self, differences: ArrayLike, outcomes: ArrayLike, strengths: ArrayLike | None = None) -> None: ...

    def __post_init__(self) -> None:
        differences = real_array(self.differences, "differences", ndim=2)
        outcomes = real_array(self.outcomes, "outcomes", ndim=1)
        if outcomes.shape != differences.shape[:1]:
            raise InputError(
                f"outcomes have shape {outcomes.shape} and differences {differences.shape}; "
                "give one outcome for each row of differences."
            )
        if not ((outcomes == 0) | (np.abs(outcomes) == 1)).all():
            raise InputError("outcomes hold other values than 1 (first preferred), 0 (tie) and -1 (second preferred).")
        object.__setattr__(self, "differences", differences)
        object.__setattr__(self, "outcomes", frozen(outcomes.astype(np.int8)))
        if self.strengths is not None:
            strengths = numbers(self.strengths, "strengths", ndim=1)
            given = strengths[~np.isnan(strengths)]
            if strengths.shape != outcomes.shape or not ((given > 0) & (given <= 1)).all():
                raise InputError("strengths must hold one number in (0, 1] or NaN for each row of differences.")
            object.__setattr__(self, "strengths", frozen(strengths))

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)

    @property
    def grades(self) -> NDArray[np.int8]:
        """Outcomes with their strength (n_answers,): 0 tie, ±1 not graded, ±2 slight, ±3 clear (above `SLIGHT`)."""
        if self.strengths is None:
            return self.outcomes
        with np.errstate(invalid="ignore"):
            grade = np.where(np.isnan(self.strengths), 1, np.where(self.strengths > SLIGHT, 3, 2))
        return np.asarray(self.outcomes * grade, dtype=np.int8)
