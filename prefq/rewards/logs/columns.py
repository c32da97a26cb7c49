"""Forms of rows: which columns a log has, by our names or by theirs, and what its rows therefore are."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from prefq.errors import InputError

PROMPTS = ("prompt", "prompt_id")


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of row: its name, the columns it needs, those it may have, and whether the texts are in another file."""

    name: str
    needs: tuple[str, ...]
    may_have: tuple[str, ...]
    by_items: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All that is read where it is there."""
        return self.needs + self.may_have


PAIRS = Form("pairs", ("user_id", "response_a", "response_b", "choice"), (*PROMPTS, "strength", "task_id"))
PREFERRED = Form("chosen and rejected", ("user_id", "chosen", "rejected"), (*PROMPTS, "strength", "task_id"))
RATINGS = Form("ratings", ("user_id", "response", "rating"), (*PROMPTS, "task_id"))
ITEM_PAIRS = Form("pairs of items", ("user_id", "item_a", "item_b", "choice"), ("strength", "task_id"), by_items=True)
ITEM_RATINGS = Form("ratings of items", ("user_id", "item_id", "rating"), ("task_id",), by_items=True)
FORMS = (PAIRS, PREFERRED, RATINGS, ITEM_PAIRS, ITEM_RATINGS)
ITEMS = Form("items", ("item_id", "response"), PROMPTS)
OTHER_WAYS = (
    "where one column holds what was preferred and one the other, --column chosen=NAME --column rejected=NAME; where "
    "each row rates one response, --column response=NAME --column rating=NAME"
)
"""What a log without choices may have instead."""

LIKELY: Mapping[str, tuple[str, ...]] = {
    "user_id": (
        "user",
        "annotator",
        "annotator_id",
        "worker",
        "worker_id",
        "rater",
        "rater_id",
        "judge",
        "participant",
    ),
    "prompt": ("question", "instruction", "query", "input", "context", "conversation"),
    "response_a": ("answer_a", "output_1", "output_a", "conversation_a", "first", "a", "response_1", "completion_a"),
    "response_b": ("answer_b", "output_2", "output_b", "conversation_b", "second", "b", "response_2", "completion_b"),
    "choice": ("winner", "preference", "label", "preferred", "answer", "vote", "better"),
    "response": ("answer", "output", "completion", "text"),
    "rating": ("score", "stars", "vote", "label"),
    "item_a": ("first", "left", "a"),
    "item_b": ("second", "right", "b"),
    "item_id": ("item", "id", "statement_id", "response_id"),
}
"""What columns are often called elsewhere; used in messages only, never taken without being told."""


def find_form(
    there: Sequence[str], columns: Mapping[str, str], name: str, *, by_items: bool
) -> tuple[Form, dict[str, str]]:
    """The form of a log's rows.

    Parameters
    ----------
    there
        Columns of the log.
    columns
        Their names by ours, where they are called otherwise; "" where there is no such column.
    name
        Of the log, for messages.
    by_items
        Whether texts of items are in another file.

    Returns
    -------
    Form, dict
        And their names by ours of its columns that are there.

    Raises
    ------
    InputError
        When no form fits: what is there, what is missing, and which column it may be.
    """
    named = our_names(there, columns)
    fitting = [form for form in FORMS if set(form.needs) <= set(named)]
    for form in fitting:
        if form.by_items == by_items:
            return form, {ours: named[ours] for ours in form.columns if ours in named}
    if fitting and not by_items:
        raise InputError(f"{name} names items by id; give the file with their texts, too: --items FILE.")
    if fitting:
        raise InputError(f"{name} holds the texts itself; leave out --items, or give a log with item_a and item_b.")
    forms = [form for form in FORMS if form.by_items == by_items]
    raise _missing(max(forms, key=lambda form: _fit(form, list(named))), list(named), name)


def item_columns(there: Sequence[str], columns: Mapping[str, str], name: str) -> dict[str, str]:
    """Their names by ours of the columns of a file with items; InputError where one is missing."""
    named = our_names(there, columns)
    if not set(ITEMS.needs) <= set(named):
        raise _missing(ITEMS, list(named), name)
    return {ours: named[ours] for ours in ITEMS.columns if ours in named}


def require_columns(there: Sequence[str], columns: Mapping[str, str], name: str) -> None:
    """Raise InputError when a mapping is of a name that does not exist, ours or theirs."""
    ours = dict.fromkeys(column for form in (*FORMS, ITEMS) for column in form.columns)
    for our_name, theirs in columns.items():
        if our_name not in ours:
            raise InputError(f"{our_name!r} is no column that is read; give one of {', '.join(ours)}.")
        if theirs and theirs not in there:
            raise InputError(f"{name} has no column {theirs!r} to take as {our_name}; it has {listed(there)}.")


def our_names(there: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Their names by ours; a column that is not mapped keeps its name."""
    taken = set(columns.values())
    kept = {column: column for column in there if column not in taken and column not in columns}
    return {**kept, **{ours: theirs for ours, theirs in columns.items() if theirs in there}}


def advice(missing: Sequence[str], there: Sequence[str]) -> str:
    """Which options would name columns that are missing; likely ones where there are any."""
    guesses = {column: _guess(column, there) for column in missing}
    options = " ".join(f"--column {column}={shlex.quote(guess or 'NAME')}" for column, guess in guesses.items())
    which = "which it is" if len(missing) == 1 else "which is which"
    return f"{'perhaps' if any(guesses.values()) else f'say {which}, such as'} {options}"


def listed(names: Sequence[str]) -> str:
    """Columns, the first twenty."""
    return ", ".join(map(str, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _fit(form: Form, there: Sequence[str]) -> tuple[int, int]:
    """How many of the columns that a form needs are there, and how many of the others may be, by other names."""
    missing = [column for column in form.needs if column not in there]
    return len(form.needs) - len(missing), sum(_guess(column, there) is not None for column in missing)


def _missing(form: Form, there: Sequence[str], name: str) -> InputError:
    missing = [column for column in form.needs if column not in there]
    other_ways = f"; {OTHER_WAYS}" if form is PAIRS and missing == ["choice"] and not _guess("choice", there) else ""
    return InputError(
        f"{name} has no column {' and no '.join(map(repr, missing))}; it has {listed(there)}, and {form.name} need "
        f"{', '.join(form.needs)}: {advice(missing, there)}{other_ways}."
    )


def _guess(column: str, there: Sequence[str]) -> str | None:
    """The column that may be meant, if one is likely."""
    lowered = {name.lower(): name for name in reversed(there)}
    for likely in (column, column.replace("_", ""), *LIKELY.get(column, ())):
        if likely in lowered:
            return lowered[likely]
    close = get_close_matches(column, list(lowered), n=1, cutoff=0.8)
    return lowered[close[0]] if close else None
