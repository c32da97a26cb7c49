"""Answers of a group from a file (CSV, JSON lines, Parquet) or from the store, to fit a prior on."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prefq.errors import InputError, NotFoundError
from prefq.vocabulary import OUTCOMES, Answer, Array, Comparisons, FeatureSpace, parse_choice, parse_question_id

if TYPE_CHECKING:
    from prefq.pool.candidate_pool import CandidatePool
    from prefq.storage.sql import SqlStore

USER, CHOICE, QUESTION, STRENGTH, DIFFERENCE = "user_id", "choice", "question_id", "strength", "difference_"
KNOWN = "CSV (.csv), JSON lines (.jsonl) or Parquet (.parquet)"

Row = Mapping[str, Any]


class GroupFile(NamedTuple):
    """Answers as `prefq.fit_population_prior` takes them, and the features that their differences are of.

    scales are the typical differences in the pool, if it is known.
    """

    comparisons: Comparisons
    users: list[str]
    feature_space: FeatureSpace
    scales: Array | None = None


def load_answers(path: Path, pool: "CandidatePool | None") -> GroupFile:
    """Answers from a file.

    Parameters
    ----------
    path
        With the columns `user_id` and `choice` (first, second, tie; both_bad and skip are left out), perhaps
        `strength`, and either `question_id`, for which the pool is needed, or columns `difference_NAME`, first minus
        second.
    pool
        That the questions are in.

    Raises
    ------
    NotFoundError
        When there is no such file.
    InputError
        When the file is none of the three kinds, or a column or a value is missing or wrong.
    """
    rows = _rows(path)
    if not rows:
        raise InputError(f"{path.name} has no rows; give at least one answer.")
    columns = dict.fromkeys(name for row in rows for name in row)
    missing = [name for name in (USER, CHOICE) if name not in columns]
    if missing:
        raise InputError(f"{path.name} has the columns {', '.join(columns)}; expected {' and '.join(missing)} too.")
    answers = [_answer(row, number, path) for number, row in enumerate(rows, 1)]
    if QUESTION in columns:
        if pool is None:
            raise InputError(f"{path.name} names questions by {QUESTION}; say with --pool which pool they are of.")
        _require_questions(answers, pool, path)
        return of_pool(answers, pool)
    names = [name.removeprefix(DIFFERENCE) for name in columns if name.startswith(DIFFERENCE)]
    if not names:
        raise InputError(
            f"{path.name} has neither {QUESTION} nor columns {DIFFERENCE}NAME; give the questions or the differences."
        )
    return _of_differences(rows, answers, names, path, pool)


def load_sessions(store: "SqlStore", pool: "CandidatePool") -> GroupFile:
    """Answers of all sessions of the store whose questions are of this pool."""
    sessions = [store.load_session(summary.id) for summary in store.list_sessions()]
    answers = [
        (session.user_id, answer)
        for session in sessions
        if session.pool_digest == pool.digest()
        for answer in session.answers
    ]
    if not answers:
        raise InputError(f"none of the {len(sessions)} sessions in the store has answers to questions of this pool.")
    return of_pool(answers, pool)


def of_pool(answers: Sequence[tuple[str, Answer]], pool: "CandidatePool") -> GroupFile:
    """Answers to questions of a pool; of a pair that a person answered several times the last answer counts."""
    by_user: dict[str, dict[frozenset[str], Answer]] = {}
    for user, answer in answers:
        by_user.setdefault(user, {})[frozenset(answer.question_id.split("-"))] = answer
    parts = [(user, pool.comparisons(list(own.values()))) for user, own in by_user.items()]
    strengths = [np.full(part.outcomes.size, np.nan) if part.strengths is None else part.strengths for _, part in parts]
    comparisons = Comparisons(
        np.concatenate([part.differences for _, part in parts]),
        np.concatenate([part.outcomes for _, part in parts]),
        np.concatenate(strengths),
    )
    users = [user for user, part in parts for _ in range(part.outcomes.size)]
    if not users:
        raise InputError("no answer says which response was preferred, or that both are as good; nothing is learned.")
    return GroupFile(comparisons, users, pool.feature_space, pool.feature_scales())


def _require_questions(answers: Sequence[tuple[str, Answer]], pool: "CandidatePool", path: Path) -> None:
    """Raise InputError, which names the row, for a question that is not in the pool."""
    first_rows: dict[str, int] = {}
    for number, (_, answer) in enumerate(answers, 1):
        first_rows.setdefault(answer.question_id, number)
    for question, number in first_rows.items():
        try:
            pool.question_rows([parse_question_id(question)])
        except InputError as error:
            raise InputError(f"row {number} of {path.name}: {error}") from None


def _of_differences(
    rows: Sequence[Row],
    answers: Sequence[tuple[str, Answer]],
    names: Sequence[str],
    path: Path,
    pool: "CandidatePool | None",
) -> GroupFile:
    space = FeatureSpace(names) if pool is None else pool.feature_space
    if sorted(space.names) != sorted(names):
        raise InputError(
            f"{path.name} has differences of {', '.join(names)} and the pool the features {', '.join(space.names)}; "
            "they must be the same."
        )
    kept = [i for i, (_, answer) in enumerate(answers) if answer.choice in OUTCOMES]
    differences = np.array(
        [[_number(rows[i], DIFFERENCE + name, i + 1, path) for name in space.names] for i in kept]
    ).reshape(-1, space.n_features)
    outcomes = [OUTCOMES[answers[i][1].choice] for i in kept]
    strengths: Array = np.array([_strength(answers[i][1]) for i in kept], dtype=np.float64)
    scales = None if pool is None else pool.feature_scales()
    return GroupFile(Comparisons(differences, outcomes, strengths), [answers[i][0] for i in kept], space, scales)


def _answer(row: Row, number: int, path: Path) -> tuple[str, Answer]:
    """A row's user, and the answer; without questions they are numbered."""
    user, strength = row.get(USER), row.get(STRENGTH)
    if user is None or user == "" or user != user:
        raise InputError(f"row {number} of {path.name} has no {USER}; give every answer the name of its user.")
    given = None if strength in (None, "") or strength != strength else _number(row, STRENGTH, number, path)
    question = str(row.get(QUESTION) or number)
    try:
        return str(user), Answer(question, parse_choice(row.get(CHOICE)), strength=given)
    except InputError as error:
        raise InputError(f"row {number} of {path.name}: {error}") from None


def _strength(answer: Answer) -> float:
    return math.nan if answer.strength is None else answer.strength


def _number(row: Row, name: str, number: int, path: Path) -> float:
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"row {number} of {path.name} has {row.get(name)!r} as {name}; give a finite number.")
    return value


def _rows(path: Path) -> Sequence[Row]:
    if not path.is_file():
        raise NotFoundError(f"there is no file {str(path)!r}; give the path of a file with answers.")
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file))
        if path.suffix == ".jsonl":
            return _objects(path.read_text(encoding="utf-8").split("\n"), path)
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            found: list[Row] = pq.read_table(path).to_pylist()
            return found
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path.name} cannot be read ({' '.join(str(error).split())[:200]}).") from error
    raise InputError(f"{path.name} is of no known kind; give {KNOWN}.")


def _objects(lines: Iterable[str], path: Path) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InputError(f"line {number} of {path.name} is no JSON object; give one an answer.")
        rows.append(row)
    return rows
