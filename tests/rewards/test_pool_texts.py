"""Texts of a pool: three forms of rows in three kinds of files, what is dropped and counted, and bad input."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefq.errors import InputError, NotFoundError
from prefq.rewards.logs.texts import PROMPT, RESPONSE
from prefq.rewards.pool_texts import PoolTexts, TextReport, read_pool_texts

TEXTS = {"How?": ["Like so.", "Quite so!", "No."], "Why?": ["Because.", "Ask, [a] cook 🐦"]}


def jsonl(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def csv_file(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    names = list(rows[0])

    def cell(value: Any) -> str:
        text = json.dumps(value) if isinstance(value, list) else "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"'

    lines = [",".join(names), *(",".join(cell(row[name]) for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LISTS = [{"prompt": prompt, "responses": responses} for prompt, responses in TEXTS.items()]
LONG = [{"prompt": prompt, "response": text} for prompt, responses in TEXTS.items() for text in responses]
WIDE: list[dict[str, Any]] = [
    {"prompt": "How?", "response_1": "Like so.", "response_2": "Quite so!", "response_3": "No."},
    {"prompt": "Why?", "response_1": "Because.", "response_2": "Ask, [a] cook 🐦", "response_3": None},
]


def read(path: Path, folder: Path, **options: Any) -> tuple[dict[str, list[str]], PoolTexts, TextReport]:
    """Responses by prompt as they were kept, and what else came back."""
    texts, report = read_pool_texts(path, folder, **options)
    found: dict[str, list[str]] = {}
    for row in texts.rows.tolist():
        (prompt,), (response,) = (texts.file.texts(column, row, row + 1) for column in (PROMPT, RESPONSE))
        found.setdefault(prompt, []).append(response)
    return found, texts, report


@pytest.mark.parametrize("rows", [LISTS, LONG, WIDE], ids=["lists", "long", "wide"])
@pytest.mark.parametrize("write", [jsonl, parquet, csv_file])
def test_each_form_in_each_kind_of_file(tmp_path: Path, rows: Any, write: Callable[..., Path]) -> None:
    kinds = {jsonl: "jsonl", parquet: "parquet", csv_file: "csv"}
    found, texts, report = read(write(tmp_path / f"texts.{kinds[write]}", rows), tmp_path)

    assert found == TEXTS
    assert texts.prompt_codes.tolist() == [0, 0, 0, 1, 1]
    empty = int(rows is not LISTS and write is csv_file and "response_3" in rows[0])  # an empty cell of CSV is a text
    assert report == TextReport(n_rows=len(rows), n_responses=5 + empty, n_empty=empty, n_prompts=2, n_items=5)


def test_what_is_dropped_is_counted(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"prompt": "p", "responses": ["One", " one\n", "ONE", "two", "", " \t"]},
        {"prompt": "alone", "responses": ["only"]},
        {"prompt": "q", "responses": [f"number {i}" for i in range(70)]},
        {"prompt": "p", "responses": ["two", "three"]},
        {"prompt": "p", "responses": []},
        {"prompt": "p", "responses": "no list"},
        {"prompt": "p", "responses": ["good", 3]},
        {"prompt": None, "responses": ["a", "b"]},
        {"responses": ["a", "b"]},
        {"prompt": "p", "responses": ["half \ud800", "whole"]},
        [1],
    ]
    found, texts, report = read(jsonl(tmp_path / "t.jsonl", rows), tmp_path)

    assert found == {"p": ["One", "two", "three"], "q": [f"number {i}" for i in range(64)]}
    assert report == TextReport(
        n_rows=11, n_bad_rows=7, n_responses=6 + 1 + 70 + 2, n_empty=2, n_repeated=3, n_beyond=6, n_prompts=2,
        n_single=1, n_items=67,
    )  # fmt: skip
    assert texts.rows.tolist() == [0, 1, *range(3, 67), 67]  # the third is the prompt with one response


def test_columns_of_other_names_and_prompts_as_conversations(tmp_path: Path) -> None:
    conversation = [{"role": "user", "content": "How?"}]
    rows = [{"question": conversation, "answers": ["a", "b"]}]
    columns = {"prompt": "question", "responses": "answers"}
    assert read(jsonl(tmp_path / "t.jsonl", rows), tmp_path, columns=columns)[0] == {"How?": ["a", "b"]}


def test_the_same_texts_have_the_same_digests_whatever_their_form(tmp_path: Path) -> None:
    forms: list[Any] = [LISTS, LONG, WIDE]
    digests = [read(jsonl(tmp_path / f"{i}.jsonl", rows), tmp_path)[1].digests for i, rows in enumerate(forms)]
    assert digests[0].tolist() == digests[1].tolist() == digests[2].tolist()
    assert len(set(map(bytes, digests[0]))) == 5


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"prompt": "p", "answer": "a"}], "has the columns prompt, answer; expected prompt and responses"),
        ([{"responses": ["a", "b"]}], "has the columns responses; expected"),
        ([{"prompt": "p", "response_1": "a"}], "expected prompt and responses"),
        ([{"prompt": "p", "responses": ["a", "A "]}], "no prompt with two responses that differ"),
        ([{"prompt": "p", "responses": "x"}], r"1 row, 1 of them unusable"),
    ],
)
def test_texts_of_which_no_pool_can_be_made(tmp_path: Path, rows: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_pool_texts(jsonl(tmp_path / "t.jsonl", rows), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def test_numbered_responses_of_other_names(tmp_path: Path) -> None:
    rows = [{"prompt": "How?", "chosen": "a", "rejected": "b", "response_3": "c"}]
    columns = {"response_1": "chosen", "response_2": "rejected"}
    found = read(jsonl(tmp_path / "t.jsonl", rows), tmp_path, columns=columns)[0]
    assert {prompt: sorted(responses) for prompt, responses in found.items()} == {"How?": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({}, "expected prompt and responses .*: perhaps --column prompt=question --column response=answer.$"),
        ({"prompt": "question"}, ": perhaps --column response=answer.$"),
        ({"prompt": "query"}, "has no column 'query' to take as prompt; it has question, answer.$"),
        ({"question": "prompt"}, "'question' is no column that is read; give one of prompt and responses"),
    ],
)
def test_columns_that_are_not_found_are_said_with_what_to_give(
    tmp_path: Path, columns: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        read_pool_texts(jsonl(tmp_path / "t.jsonl", [{"question": "p", "answer": "a"}]), tmp_path, columns=columns)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_pool_texts(tmp_path / "none.jsonl", tmp_path)
