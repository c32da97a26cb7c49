"""Rows of a log as numbers: who, which items, what was chosen or how they were rated; bad rows say what is wrong."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from prefq.errors import InputError
from prefq.rewards.group import Rows as Numbers
from prefq.rewards.logs.choices import spelled
from prefq.rewards.logs.conversations import NO_TEXT, compared_texts, prompt_of
from prefq.rewards.logs.draws import digest
from prefq.rewards.logs.texts import ItemWriter
from prefq.vocabulary import OUTCOMES, Choice

NO_USER = "no user_id"
NO_CHOICE, UNKNOWN_CHOICE = "no choice", "a choice that is not known"
UNDECIDED = "no preference told (both bad, or skipped)"
EQUAL_TEXTS = "both responses are equal"
NOT_UNICODE = "text that is not valid Unicode"
NO_ITEM = "an item that is not among the items"
TWO_PROMPTS_OF_ITEMS = "items of two prompts"
NO_RATING = "a rating that is no finite number"

Row = Mapping[str, Any]


class KnownItem(NamedTuple):
    """An item that another file names: its number, and a digest of its text without space around it."""

    number: int
    text: bytes


class Rows:
    """What good rows hold, in columns of numbers that grow."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.user, self.first, self.second, self.task = array("q"), array("q"), array("q"), array("q")
        self.value = array("d")  # of a comparison its outcome, of a rating the rating
        self.strength = array("d")
        self.n_wrong_strengths = self.n_strengths = self.n_tasks = 0
        self._numbers = array("q")
        self._sources: list[str] = []
        self._begins: list[int] = []

    def tasks(self) -> Numbers | None:
        """A number for each task (n,), None where no row names one."""
        return np.unique(np.asarray(self.task), return_inverse=True)[1] if self.n_tasks else None

    def begin(self, source: str) -> None:
        """Say that the rows to come are of this file."""
        if self._sources[-1:] != [source]:
            self._sources.append(source)
            self._begins.append(len(self.user))

    def place(self, index: int) -> str:
        """Where the row is that was added as this one."""
        return place(self._numbers[index], self._sources[bisect_right(self._begins, index) - 1])

    def add(self, number: int, row: Row, user: str, first: int, second: int, value: float) -> None:
        """Keep a row; `second` is -1 for a rating."""
        who = self.users.setdefault(user, len(self.users))
        self.user.append(who)
        self.first.append(first)
        self.second.append(second)
        self.value.append(value)
        self.task.append(self._task(who, row.get("task_id")))
        self.strength.append(self._strength(row.get("strength")) if value else math.nan)
        self._numbers.append(number)

    def _task(self, user: int, task_id: Any) -> int:
        """A number for a choice of one person: another's answer to the same question is another choice."""
        if task_id is None or task_id == "":
            return -1 - len(self.task)
        self.n_tasks += 1
        return int.from_bytes(digest(f"{user} {task_id}".encode(errors="replace"))[:7], "little")

    def _strength(self, given: Any) -> float:
        if given is None or given == "":
            return math.nan
        strength = as_number(given)
        if strength > 0:
            self.n_strengths += 1
            return strength
        self.n_wrong_strengths += 1
        return math.nan


class RowReader:
    """Makes numbers of the rows of a log.

    Parameters
    ----------
    writer
        Where texts go.
    choices
        What the log's choices mean (`prefq.rewards.logs.choices.choice_table`).
    items
        Items by their id, where another file names them.
    without_prompts
        Whether it was said that there are no prompts, so that all responses answer one.
    """

    def __init__(
        self,
        writer: ItemWriter,
        choices: Mapping[str, Choice],
        items: Mapping[str, KnownItem],
        *,
        without_prompts: bool = False,
    ) -> None:
        self.writer, self.choices, self.items = writer, choices, items
        self.prompt = "" if without_prompts else None
        self.rows = Rows()
        self.unknown: dict[str, str] = {}  # choices that are not known, and where each was seen first
        self.n_known = 0

    def pair(self, number: int, row: Row) -> None:
        """A row with both responses and a choice; this and the others raise InputError, which says what is wrong."""
        user, outcome = identifier(row["user_id"]), self._outcome(row["choice"], number)
        first, second = self._compared(row, row["response_a"], row["response_b"])
        self.rows.add(number, row, user, first, second, outcome)

    def preferred(self, number: int, row: Row) -> None:
        """A row with the chosen and the rejected response."""
        user = identifier(row["user_id"])
        first, second = self._compared(row, row["chosen"], row["rejected"])
        self.rows.add(number, row, user, first, second, 1)

    def rating(self, number: int, row: Row) -> None:
        """A row with one response and its rating."""
        user, value = identifier(row["user_id"]), _rating(row["rating"])
        self.rows.add(number, row, user, self.item(row), -1, value)

    def item_pair(self, number: int, row: Row) -> None:
        """A row with the ids of two items and a choice."""
        user, outcome = identifier(row["user_id"]), self._outcome(row["choice"], number)
        first, second = (self._known(row[side]) for side in ("item_a", "item_b"))
        codes = self.writer.prompt_codes
        if codes[first.number] != codes[second.number]:
            raise InputError(TWO_PROMPTS_OF_ITEMS)
        if first.text == second.text:
            raise InputError(EQUAL_TEXTS)
        self.rows.add(number, row, user, first.number, second.number, outcome)

    def item_rating(self, number: int, row: Row) -> None:
        """A row with the id of an item and its rating."""
        user, value = identifier(row["user_id"]), _rating(row["rating"])
        self.rows.add(number, row, user, self._known(row["item_id"]).number, -1, value)

    def known_item(self, row: Row) -> KnownItem:
        """The item in a row of another file with items."""
        return KnownItem(self.item(row), digest(row["response"].strip().encode()))

    def item(self, row: Row) -> int:
        """Number of the item in a row with prompt and response."""
        response = row["response"]
        if not isinstance(response, str):
            raise InputError(NO_TEXT)
        prompt, prompt_id = prompt_of(row.get("prompt", self.prompt), row.get("prompt_id"))
        try:
            return self.writer.item(self.writer.prompt(prompt, prompt_id), prompt, response)
        except UnicodeEncodeError:
            raise InputError(NOT_UNICODE) from None

    def _compared(self, row: Row, first: Any, second: Any) -> tuple[int, int]:
        given = row.get("prompt", self.prompt)
        found, one, other = compared_texts(given, first, second)
        prompt, prompt_id = prompt_of(found, row.get("prompt_id"))
        _require_unlike(one, other)
        try:
            one.encode(), other.encode()
            known = self.writer.prompt(prompt, prompt_id)
        except UnicodeEncodeError:
            raise InputError(NOT_UNICODE) from None
        return self.writer.item(known, prompt, one), self.writer.item(known, prompt, other)

    def _outcome(self, value: Any, number: int) -> int:
        """1, 0 or -1; what is no preference is refused."""
        word = "" if value is None else spelled(value)
        if word in ("", "nan"):
            raise InputError(NO_CHOICE)
        choice = self.choices.get(word)
        if choice is None:
            self.unknown.setdefault(word[:100], f"row {number}")
            raise InputError(UNKNOWN_CHOICE)
        self.n_known += 1
        if choice not in OUTCOMES:
            raise InputError(UNDECIDED)
        return OUTCOMES[choice]

    def _known(self, item_id: Any) -> KnownItem:
        try:
            return self.items[identifier(item_id)]
        except (KeyError, InputError):
            raise InputError(NO_ITEM) from None


def place(number: int, source: str) -> str:
    """Where a row is, in words."""
    return f"row {number} of {source}"


def identifier(value: Any) -> str:
    """The id of a user or an item as text; whole numbers have no point, whatever type a file gave them.

    Raises
    ------
    InputError
        `NO_USER` where there is none, `NOT_UNICODE` where it is no text.
    """
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    text = "" if value is None or isinstance(value, bool | bytes | list | dict) else str(value).strip()
    if not text:
        raise InputError(NO_USER)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(NOT_UNICODE) from None
    return text


def as_number(value: Any) -> float:
    """A finite number, NaN for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _rating(value: Any) -> float:
    rating = as_number(value)
    if math.isnan(rating):
        raise InputError(NO_RATING)
    return rating


def _require_unlike(first: str, second: str) -> None:
    if first == second or first.strip() == second.strip():
        raise InputError(EQUAL_TEXTS)
