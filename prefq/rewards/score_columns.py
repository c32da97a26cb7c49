"""Columns of a table as numbers, and whether they look like scores of responses or like something else."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from prefq.vocabulary import Array

MISSING = ("", "nan", "na", "n/a", "null", "none")  # how files without types write that there is no score
LEAST, MANY = 8, 200  # responses: of fewer, whole numbers in order may be chance; of so many, scores would repeat
NO_NUMBERS = "no numbers"
ID = "another whole number for each response, like an id"
OF_PROMPTS = "the same for all responses to a prompt"


def numbers_of(values: Sequence[Any]) -> tuple[Array, int | None]:
    """A column as numbers (n,), NaN where there is none, and the first row that is something else."""
    numbers, other = np.full(len(values), np.nan), None
    for row, value in enumerate(values):
        if value is None or value != value or (isinstance(value, str) and value.strip().lower() in MISSING):
            continue
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            numbers[row] = number
        elif other is None:
            other = row
    return numbers, other


def what_else(numbers: Array, texts: Sequence[tuple[str, str]]) -> str | None:
    """What a column is that looks like no score, in words; None for a score.

    Parameters
    ----------
    numbers : (n_rows,)
        NaN where there is none.
    texts : (n_rows,)
        Prompt and response of each row.
    """
    if not np.isfinite(numbers).any():
        return NO_NUMBERS
    if _is_id(numbers, texts):
        return ID
    return OF_PROMPTS if _is_of_prompts(numbers, texts) else None


def _is_id(numbers: Array, texts: Sequence[tuple[str, str]]) -> bool:
    """Whether no two responses share a whole number, and these are in order, without a gap, or many."""
    text_of: dict[float, tuple[str, str]] = {}
    for number, text in zip(numbers.tolist(), texts, strict=True):
        if not math.isnan(number) and (number % 1 or text_of.setdefault(number, text) != text):
            return False
    values = np.array(list(text_of))
    steps = np.diff(values)
    in_order = bool((steps > 0).all() or (steps < 0).all())
    return len(values) >= LEAST and (in_order or bool(np.ptp(values) == len(values) - 1) or len(values) >= MANY)


def _is_of_prompts(numbers: Array, texts: Sequence[tuple[str, str]]) -> bool:
    """Whether no two responses to a prompt have different numbers, and some prompt has two responses."""
    number_of: dict[str, float] = {}
    is_one = all(number_of.setdefault(text[0], number) == number for text, number in zip(texts, numbers, strict=True))
    return is_one and len(number_of) < len(set(texts))
