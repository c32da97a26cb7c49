"""Real people's choices by the name of the set, from a folder of such sets in one layout (a folder a set)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, NotFoundError
from prefq.simulation.replay import Recorded
from prefq.simulation.votes import Votes
from prefq_cli.bench.datasets.tables import (
    COMPARISON_COLUMNS,
    ID,
    RESPONSE,
    item_rows,
    number_column,
    read_table,
    recorded,
    style_features,
    text_column,
    word_counts,
)

DEFAULT_FOLDER = Path("../shared/data")
CAR_FEATURES = (
    "hev", "phev10", "phev20", "phev40", "bev75", "bev100", "bev150", "phevFastcharge", "bevFastcharge", "price",
    "opCost", "accelTime", "american", "japanese", "chinese", "skorean",
)  # fmt: skip
VOTE_COLUMNS = ("user_id", "item_id", "prompt_id", "vote")


def load_cars(folder: Path) -> tuple[Recorded]:
    """Choices among three cars: two comparisons a task, on sixteen numeric features. There are no words."""
    comparisons, items = folder / "comparisons.parquet", folder / "items.parquet"
    table = read_table(comparisons, (*COMPARISON_COLUMNS, "task_id"))
    cars = read_table(items, (ID, *CAR_FEATURES))
    features = np.column_stack([number_column(cars, name, items) for name in CAR_FEATURES])
    rows = item_rows(cars, table, items)
    return (recorded("cars_conjoint", table, features[rows[0]], features[rows[1]], comparisons),)


def load_llmfao(folder: Path) -> tuple[Recorded]:
    """Crowd comparisons of answers of language models, ties included, on style features."""
    comparisons, items = folder / "comparisons.parquet", folder / "items.parquet"
    table = read_table(comparisons, (*COMPARISON_COLUMNS, "task_id"))
    texts = read_table(items, (ID, "prompt", "response"))
    prompts, responses = (text_column(texts, name, items).tolist() for name in ("prompt", "response"))
    features, lengths = style_features(prompts, responses)
    rows = item_rows(texts, table, items)
    words = lengths[rows].sum(axis=0) + word_counts(prompts)[rows[0]]
    return (recorded("llmfao", table, features[rows[0]], features[rows[1]], comparisons, words),)


def load_polis(folder: Path) -> tuple[Votes, ...]:
    """Votes of each conversation, a record each: a person belongs to one. What is read are the two statements."""
    path, texts = folder / "votes.parquet", folder / "items.parquet"
    table = read_table(path, VOTE_COLUMNS)
    conversations, users, items = (text_column(table, name, path) for name in ("prompt_id", "user_id", "item_id"))
    values = number_column(table, "vote", path).astype(np.int8)
    words = _words_of_statements(texts, np.unique(items))
    parts = []
    for conversation in np.unique(conversations):
        rows = np.flatnonzero(conversations == conversation)
        user_ids, own = np.unique(users[rows], return_inverse=True)
        statements, theirs = np.unique(items[rows], return_inverse=True)
        parts.append(
            Votes(
                f"polis {conversation}",
                own.astype(np.intp),
                theirs.astype(np.intp),
                values[rows],
                tuple(user_ids.tolist()),
                len(statements),
                np.array([words[statement] for statement in statements]),
            )
        )
    return tuple(parts)


SETS: Mapping[str, Callable[[Path], tuple[Recorded | Votes, ...]]] = MappingProxyType(
    {"cars_conjoint": load_cars, "llmfao": load_llmfao, "polis": load_polis}
)


def _words_of_statements(path: Path, statements: NDArray[Any]) -> dict[str, int]:
    """Words by statement; InputError for a statement whose text is not there."""
    table = read_table(path, (ID, RESPONSE))
    texts = dict(zip(text_column(table, ID, path), text_column(table, RESPONSE, path), strict=True))
    missing = [statement for statement in statements if statement not in texts]
    if missing:
        raise InputError(f"{path.name} has no text of {len(missing)} statements voted on, such as {missing[0]!r}.")
    return {statement: len(texts[statement].split()) for statement in statements}


def folder_of(name: str, data_folder: Path) -> Path:
    """Where a set lies; NotFoundError says where to put it."""
    where = "put the folder of the sets there, or name it by --data-folder or the environment variable PREFQ_DATA"
    if not data_folder.is_dir():
        raise NotFoundError(f"there is no data folder {str(data_folder)!r}; {where}.")
    folder = data_folder / name
    if not folder.is_dir():
        raise NotFoundError(f"the data folder {str(data_folder)!r} has no folder {name!r}; {where}.")
    return folder


def require_set(name: str, others: tuple[str, ...] = ()) -> None:
    """Raise NotFoundError for a set that is not known."""
    if name not in (*SETS, *others):
        raise NotFoundError(
            f"no set is called {name!r}; choose among {', '.join((*SETS, *others))}, or give --data FILE."
        )
