"""Anyone's Parquet: comparisons with features, in a described layout; what is wrong with it is said in one sentence."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, NotFoundError
from prefq.simulation.replay import Recorded
from prefq.vocabulary import Array

if TYPE_CHECKING:
    import pyarrow as pa

OUTCOME_OF_CHOICE: Mapping[str, int] = {"a": 1, "b": -1, "tie": 0}
COMPARISON_COLUMNS = ("user_id", "item_a", "item_b", "choice")
ID, PROMPT_ID, RESPONSE, PROMPT = "item_id", "prompt_id", "response", "prompt"
FEATURE, SIDES = "feature_", ("a_", "b_")


def load_comparisons(path: Path, features: Path | None = None) -> Recorded:
    """Anyone's comparisons.

    Parameters
    ----------
    path
        Parquet with the columns `user_id`, `item_a`, `item_b` and `choice` (a, b or tie), and perhaps `task_id` or
        `prompt_id`; without `features` also numeric columns `a_…` and `b_…`, the features of both sides. Comparisons
        that come from one choice, such as the best of three, must share a `task_id`: their outcomes tell each other.
    features
        Parquet with a row an item: `item_id`, and either numeric columns `feature_…` or the text `response` (and
        perhaps `prompt`), from which style features are computed.

    Raises
    ------
    NotFoundError
        When a file is not there.
    InputError
        When a file is no Parquet, or a column, a value, an item or a second user is missing or wrong.
    """
    table = read_table(path, COMPARISON_COLUMNS)
    words = None
    if features is None:
        first, second = _side_features(table, path)
    else:
        items = read_table(features, (ID,))
        matrix, lengths, prompt_lengths = _item_features(items, features)
        rows = item_rows(items, table, features)
        first, second = (matrix[rows[side]] for side in (0, 1))
        words = None if lengths is None else lengths[rows].sum(axis=0) + prompt_lengths[rows[0]]
    return recorded(path.stem, table, first, second, path, words)


def recorded(
    name: str, table: "pa.Table", first: Array, second: Array, path: Path, words: Array | None = None
) -> Recorded:
    """A record of the comparisons in a table that has `COMPARISON_COLUMNS`, with the features of both sides."""
    users = text_column(table, "user_id", path)
    user_ids, numbers = np.unique(users, return_inverse=True)
    choices = text_column(table, "choice", path)
    unknown = np.flatnonzero(~np.isin(choices, list(OUTCOME_OF_CHOICE)))
    if unknown.size:
        raise InputError(
            f"row {unknown[0]} of {path.name} has the choice {choices[unknown[0]]!r}; expected a, b or tie "
            f"({unknown.size} of {len(choices)} rows have another)."
        )
    outcomes = np.array([OUTCOME_OF_CHOICE[choice] for choice in choices], dtype=np.int8)
    sides = np.column_stack([text_column(table, side, path) for side in ("item_a", "item_b")])
    return Recorded(
        name,
        first,
        second,
        outcomes,
        numbers.astype(np.intp),
        tasks_of(table, path),
        tuple(user_ids.tolist()),
        words,
        _numbers(text_column(table, PROMPT_ID, path)) if PROMPT_ID in table.column_names else None,
        _numbers(sides),
    )


def tasks_of(table: "pa.Table", path: Path) -> NDArray[np.intp]:
    """Numbers of tasks (n,): by `task_id`, without it by `prompt_id`; without either the same two items are a task."""
    for name in ("task_id", PROMPT_ID):
        if name in table.column_names:
            keys = text_column(table, name, path)
            break
    else:
        pairs = np.sort(np.column_stack([text_column(table, name, path) for name in ("item_a", "item_b")]), axis=1)
        keys = np.array([f"{len(first)} {first} {second}" for first, second in pairs], dtype=object)
    return _numbers(keys)


def read_table(path: Path, columns: Sequence[str]) -> "pa.Table":
    """The table in a Parquet file, with these columns at least."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise NotFoundError(f"there is no file {str(path)!r}; give the path of a Parquet file.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path.name} cannot be read as Parquet ({' '.join(str(error).split())[:200]}).") from error
    require_columns(table.column_names, columns, path)
    if not table.num_rows:
        raise InputError(f"{path.name} has no rows; there is nothing to replay.")
    return table


def require_columns(there: Iterable[str], columns: Sequence[str], path: Path) -> None:
    """Raise InputError when a column is missing."""
    there = list(there)
    missing = [name for name in columns if name not in there]
    if missing:
        raise InputError(
            f"{path.name} has no column {missing[0]!r}; it needs {', '.join(columns)} and has {', '.join(there[:20])}."
        )


def text_column(table: "pa.Table", name: str, path: Path) -> NDArray[Any]:
    """A column as texts (n,); InputError where a value is missing."""
    column = table[name]
    if column.null_count:
        raise InputError(
            f"column {name!r} of {path.name} lacks {column.null_count} values; fill or leave out the rows."
        )
    return np.array([str(value) for value in column.to_pylist()], dtype=object)


def number_column(table: "pa.Table", name: str, path: Path) -> Array:
    """A column as finite numbers (n,); InputError where it is none."""
    import pyarrow.types as types

    kind = table[name].type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
        raise InputError(f"column {name!r} of {path.name} holds {kind}; a feature must be numbers.")
    values = np.array([np.nan if value is None else value for value in table[name].to_pylist()], dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise InputError(
            f"column {name!r} of {path.name} is missing, NaN or infinite in {wrong.size} rows, the first of them row "
            f"{wrong[0]}; fill or leave out these rows."
        )
    return values


def item_rows(items: "pa.Table", table: "pa.Table", path: Path) -> NDArray[np.intp]:
    """Rows of both sides' items (2, n); InputError for an item that is not there, or there twice."""
    ids = text_column(items, ID, path)
    row_of = {item: row for row, item in enumerate(ids.tolist())}
    if len(row_of) < len(ids):
        twice = next(item for row, item in enumerate(ids.tolist()) if row_of[item] != row)
        raise InputError(f"item {twice!r} is in {path.name} more than once; keep one row an item.")
    sides = [text_column(table, name, path).tolist() for name in ("item_a", "item_b")]
    missing = sorted({item for side in sides for item in side if item not in row_of})
    if missing:
        raise InputError(
            f"{len(missing)} items that were compared are not in {path.name}, such as {missing[0]!r}; add a row for "
            "each."
        )
    return np.array([[row_of[item] for item in side] for side in sides], dtype=np.intp)


def style_features(prompts: Sequence[str], responses: Sequence[str]) -> tuple[Array, Array]:
    """The bundled style features of texts (n, n_features), and their lengths in words (n,)."""
    from prefq.rewards.base import load_rewards

    return load_rewards("starter").features(prompts, responses), word_counts(responses)


def word_counts(texts: Sequence[str]) -> Array:
    """Words of each text (n,)."""
    return np.array([len(text.split()) for text in texts], dtype=np.float64)


def _numbers(names: NDArray[Any]) -> NDArray[np.intp]:
    """A number for each different name, in the same shape."""
    _, found = np.unique(names.astype(str), return_inverse=True)
    return found.reshape(names.shape).astype(np.intp)


def _side_features(table: "pa.Table", path: Path) -> tuple[Array, Array]:
    """Features (n, n_features) of both sides, from the columns a_… and b_…."""
    names = [[name.removeprefix(side) for name in table.column_names if re.match(f"{side}.", name)] for side in SIDES]
    if not any(names):
        raise InputError(
            f"{path.name} has no features: it needs numeric columns a_… and b_…, or a table of items (--features)."
        )
    alone = sorted(set(names[0]) ^ set(names[1]))
    if alone:
        raise InputError(f"{path.name} has the feature {alone[0]!r} for one side only; every a_… needs its b_….")
    first, second = (np.column_stack([number_column(table, side + name, path) for name in names[0]]) for side in SIDES)
    return first, second


def _item_features(items: "pa.Table", path: Path) -> tuple[Array, Array | None, Array]:
    """Features (n_items, n_features) of items; words of the responses where they are texts, and of the prompts."""
    names = [name for name in items.column_names if name.startswith(FEATURE)]
    if names:
        return np.column_stack([number_column(items, name, path) for name in names]), None, np.zeros(items.num_rows)
    if RESPONSE not in items.column_names:
        raise InputError(
            f"{path.name} has neither numeric columns {FEATURE}… nor a text column {RESPONSE!r}; one of both is needed."
        )
    responses = text_column(items, RESPONSE, path).tolist()
    prompts = text_column(items, PROMPT, path).tolist() if PROMPT in items.column_names else [""] * len(responses)
    return *style_features(prompts, responses), word_counts(prompts)
