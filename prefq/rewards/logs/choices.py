"""What logs call a choice, and which `prefq.vocabulary.Choice` it is."""

import shlex
from collections.abc import Mapping
from types import MappingProxyType

from prefq.errors import InputError
from prefq.vocabulary import Choice, parse_choice

SPELLINGS: Mapping[Choice, tuple[str, ...]] = {
    Choice.FIRST: ("first", "a", "1", "left", "response_a", "response_1", "model_a", "chosen_a"),
    Choice.SECOND: ("second", "b", "2", "right", "response_b", "response_2", "model_b", "chosen_b"),
    Choice.TIE: ("tie", "equal", "same", "draw", "both", "both_good"),
    Choice.BOTH_BAD: ("both_bad", "both bad", "bothbad", "tie (bothbad)", "neither"),
    Choice.SKIP: ("skip", "skipped", "unsure", "no preference given"),
}
"""Spellings that are known, in small letters; numbers may be written as numbers."""

CHOICE_OF: Mapping[str, Choice] = {word: choice for choice, words in SPELLINGS.items() for word in words}
AMBIGUOUS: Mapping[str, str] = MappingProxyType(
    {"0": "--choice 0=first --choice 1=second", "-1": "--choice 1=first --choice -1=second"}
)
"""Beside them a 1 may be the first response or the second, so it must be said: how, for one of both."""


def spelled(value: object) -> str:
    """A value as it is looked up: small letters, no space around it, whole numbers without a point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()


def choice_table(given: Mapping[str, str] | None) -> Mapping[str, Choice]:
    """The spellings and those that a person adds, ``{"0": "first"}``; theirs count where both have one.

    Raises
    ------
    InputError
        When a value that is given is no `Choice`.
    """
    return {**CHOICE_OF, **{spelled(theirs): parse_choice(ours) for theirs, ours in (given or {}).items()}}


def require_known(unknown: Mapping[str, str], *, n_known: int) -> None:
    """Raise InputError for choices that may mean one thing or its opposite, or where not one choice is known.

    Parameters
    ----------
    unknown
        Choices that no spelling fits, and where each was first seen.
    n_known
        How many choices were known.
    """
    for value, example in AMBIGUOUS.items():
        if value in unknown:
            raise InputError(
                f"{unknown[value]} has the choice {value!r}, which leaves open which number is which response; say it "
                f"for each number, such as {example}."
            )
    if unknown and not n_known:
        value, where = next(iter(unknown.items()))
        raise InputError(
            f"no choice is known, such as {value!r} in {where}; say what each means, such as --choice "
            f"{shlex.quote(f'{value}=first')}, each one of {', '.join(words[0] for words in SPELLINGS.values())}, or "
            "which other column holds choices, --column choice=NAME."
        )
