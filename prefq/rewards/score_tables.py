"""ScoreTable: responses with columns of scores that somebody already has, read from CSV or Parquet.

Which columns look like scores is told in `prefq.rewards.score_columns`; what they are worth as base rewards in
`prefq.rewards.scores`.
"""

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError, NotFoundError
from prefq.rewards.score_columns import numbers_of, what_else
from prefq.vocabulary import Array, counted, real_array, shown

PROMPT, RESPONSE = "prompt", "response"
KNOWN = "CSV (.csv) or Parquet (.parquet)"
LARGEST = 1e100  # of a score: squares of larger ones are no numbers

Columns = Mapping[str, Sequence[Any]]


class TableReport(NamedTuple):
    """What of a file was kept.

    n_rows counts all rows; n_incomplete those that lack a score, n_repeated those that say again what an earlier one
    said; left_aside are columns that were not asked for and look like no scores, with what they are instead.
    """

    n_rows: int
    n_incomplete: int
    n_repeated: int
    left_aside: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Responses and their scores.

    Parameters
    ----------
    prompts, responses : (n_items,)
        Texts, or any names that tell prompts and responses apart.
    names : (n_columns,)
        Of the columns.
    scores : (n_items, n_columns)
        In the units of whoever scored.
    report
        What of a file was kept, where there is one.

    Raises
    ------
    InputError
        When the parts do not fit together, or a score is not finite.

    Examples
    --------
    >>> from prefq.rewards.score_tables import ScoreTable
    >>> ScoreTable(("Why?",) * 3, ("So.", "Well.", "Hm."), ("judge",), [[1], [4], [2]]).pairs().tolist()
    [[0, 1], [0, 2], [1, 2]]
    """

    prompts: tuple[str, ...]
    responses: tuple[str, ...]
    names: tuple[str, ...]
    scores: Array
    report: TableReport | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            prompts: tuple[str, ...],
            responses: tuple[str, ...],
            names: tuple[str, ...],
            scores: ArrayLike,
            report: TableReport | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        scores = real_array(self.scores, "scores", ndim=2)
        if scores.shape != (len(self.prompts), len(self.names)) or len(self.responses) != len(self.prompts):
            raise InputError(
                f"scores have shape {scores.shape}, for {len(self.prompts)} prompts, {len(self.responses)} responses "
                f"and {len(self.names)} columns; give one row a response and one number a column."
            )
        if np.abs(scores).max(initial=0.0) > LARGEST:
            raise InputError(
                f"scores reach {np.abs(scores).max():.3g}; give them in a unit in which none is above {LARGEST:g}."
            )
        object.__setattr__(self, "scores", scores)

    @property
    def prompt_codes(self) -> NDArray[np.int64]:
        """A number for each item's prompt (n_items,), in order of first appearance."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(prompt, len(numbers)) for prompt in self.prompts], dtype=np.int64)

    def pairs(self) -> NDArray[np.int64]:
        """All pairs of responses to one prompt (n_pairs, 2), as rows of items."""
        return pairs_within(self.prompt_codes)


def pairs_within(prompt_codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """All pairs (n_pairs, 2) of items with the same code, prompt by prompt, the earlier item first."""
    order = np.argsort(prompt_codes, kind="stable")
    ends = np.flatnonzero(np.diff(prompt_codes[order])) + 1
    pairs = [items[np.column_stack(np.triu_indices(len(items), 1))] for items in np.split(order, ends)]
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs])


def moments_within(values: Array, prompt_codes: NDArray[np.int64]) -> Array:
    """Mean outer product of the differences of two responses to one prompt: twice the covariance within prompts.

    Every response counts alike, whereas over all pairs a prompt of 60 responses would count 1,770 times one of two.

    Parameters
    ----------
    values : (n_items, n_columns)
        Scores, attributes or features of responses.
    prompt_codes : (n_items,)
        A number, 0 or more, for each item's prompt.

    Returns
    -------
    (n_columns, n_columns)
        In the product of the columns' units; its diagonal holds the squares of typical differences.

    Raises
    ------
    InputError
        When no prompt has two responses.
    """
    counts = np.bincount(prompt_codes)
    freedom = int(np.maximum(counts - 1, 0).sum())
    if not freedom:
        raise InputError("no prompt has two responses; give the scores of at least two responses to one prompt.")
    means = np.stack([np.bincount(prompt_codes, column) for column in values.T], axis=1)
    deviations = values - (means / np.maximum(counts, 1)[:, None])[prompt_codes]
    return np.asarray(2 * deviations.T @ deviations / freedom)


def read_scores(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    prompt: str = PROMPT,
    response: str = RESPONSE,
) -> ScoreTable:
    """Scores from a file, one row a response.

    Parameters
    ----------
    path
        CSV or Parquet with the columns `prompt` and `response` and columns of scores.
    columns
        Names of the columns of scores, in the order wanted; by default all others but those that look like no scores:
        without any number, the same for all responses to each prompt, or whole numbers of which no two responses share
        one, in order, without a gap or of 200 responses and more (ids). These are named in the report.
    prompt, response
        Names of the columns with the texts, or with ids that tell prompts and responses apart.

    Returns
    -------
    ScoreTable
        Rows that lack a score, and rows that repeat an earlier one, are left out and counted in its report.

    Raises
    ------
    NotFoundError
        When there is no such file.
    InputError
        When the file is of neither kind or cannot be read, a column is missing, a score is no number, a response is
        scored twice and differently, or no row is left.
    """
    file = Path(path)
    table = _columns_of(file)
    missing = [name for name in (prompt, response, *(columns or ())) if name not in table]
    if missing:
        raise InputError(f"{file.name} has the columns {', '.join(table)}; expected {', '.join(missing)} too.")
    wanted = [name for name in table if name not in (prompt, response)] if columns is None else list(columns)
    found = {name: numbers_of(table[name]) for name in wanted}
    for name, (numbers, row) in found.items():
        if row is not None and (columns is not None or np.isfinite(numbers).any()):
            raise InputError(
                f"row {row + 1} of {file.name} has {shown(table[name][row])} as {name}; give a finite number or leave "
                "it empty, or say which columns are scores (--columns)."
            )
    texts = list(zip(map(str, table[prompt]), map(str, table[response]), strict=True))
    left_aside: dict[str, str] = {}
    if columns is None:
        judged = {name: what_else(numbers, texts) for name, (numbers, _) in found.items()}
        left_aside = {name: what for name, what in judged.items() if what is not None}
    names = tuple(name for name in wanted if name not in left_aside)
    if not names:
        others = f" ({'; '.join(f'{name}: {what}' for name, what in left_aside.items())})" if left_aside else ""
        raise InputError(
            f"{file.name} has no column of scores beside {prompt} and {response}{others}; give some, or say which "
            "columns are scores (--columns)."
        )
    return _table(file, texts, names, np.column_stack([found[name][0] for name in names]), left_aside)


def _table(
    file: Path,
    keys: Sequence[tuple[str, str]],
    names: tuple[str, ...],
    scores: Array,
    left_aside: Mapping[str, str],
) -> ScoreTable:
    """The table of the rows that are complete and say something new."""
    seen: dict[tuple[str, str], int] = {}
    n_incomplete = n_repeated = 0
    for row, key in enumerate(keys):
        if np.isnan(scores[row]).any():
            n_incomplete += 1
        elif key not in seen:
            seen[key] = row
        elif (scores[row] == scores[seen[key]]).all():
            n_repeated += 1
        else:
            raise InputError(
                f"rows {seen[key] + 1} and {row + 1} of {file.name} score the same response differently; give one row "
                "a response, such as their mean."
            )
    if not seen:
        raise InputError(f"{file.name} has {counted(len(scores), 'row')} and none with every score; give some.")
    report = TableReport(len(scores), n_incomplete, n_repeated, left_aside)
    texts = tuple(key[0] for key in seen), tuple(key[1] for key in seen)
    return ScoreTable(*texts, names, scores[list(seen.values())], report)


def _columns_of(file: Path) -> Columns:
    """Every column by name."""
    if not file.is_file():
        raise NotFoundError(f"there is no file {str(file)!r}; give the path of a table of scores.")
    try:
        if file.suffix == ".csv":
            with file.open(encoding="utf-8-sig", newline="") as opened:
                head, *rows = list(csv.reader(opened)) or [[]]
            if again := [name for name, n in Counter(head).items() if n > 1]:
                raise InputError(f"{file.name} has several columns {again[0]!r}; give each a name of its own.")
            uneven = [number for number, row in enumerate(rows, 1) if len(row) != len(head)]
            if uneven:
                raise InputError(f"row {uneven[0]} of {file.name} has another number of fields than its head.")
            return dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(head, ())
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            found: Columns = pq.read_table(file).to_pydict()
            return found
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{file.name} cannot be read ({' '.join(str(error).split())[:200]}).") from error
    raise InputError(f"{file.name} is of no known kind; give {KNOWN}.")
