"""read_comparisons: each form of rows gives the comparisons that it tells, whatever file it is in."""

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefq.errors import InputError, NotFoundError
from prefq.rewards.logs import TextComparisons, read_comparisons
from prefq.rewards.logs.compared import REPEATED
from prefq.rewards.logs.conversations import NO_PROMPT, NO_TEXT, TWO_PROMPTS
from prefq.rewards.logs.reading import BATCH, MAX_FIELD
from prefq.rewards.logs.report import LeftOut
from prefq.rewards.logs.rows import (
    EQUAL_TEXTS,
    NO_CHOICE,
    NO_ITEM,
    NO_USER,
    NOT_UNICODE,
    TWO_PROMPTS_OF_ITEMS,
    UNDECIDED,
    UNKNOWN_CHOICE,
)

Write = Any  # the fixture of conftest.py


def row(user: Any = "ada", choice: Any = "a", a: Any = "Yes.", b: Any = "No.", prompt: Any = "Well?") -> dict[str, Any]:
    return {"user_id": user, "prompt": prompt, "response_a": a, "response_b": b, "choice": choice}


def told(found: TextComparisons) -> list[tuple[str, str, str, str, int]]:
    """Every comparison in words: user, prompt, first, second, outcome."""
    group = found.group
    return [
        (
            group.user_ids[user],
            found.prompts[int(first)],
            found.responses[int(first)],
            found.responses[int(second)],
            int(outcome),
        )
        for user, (first, second), outcome in zip(group.users, group.pairs, group.outcomes, strict=True)
    ]


def preferred(found: TextComparisons) -> set[tuple[str, ...]]:
    """User, prompt, better and worse text of each comparison, whatever its sides."""
    return {(u, p, a, b) if outcome > 0 else (u, p, b, a) for u, p, a, b, outcome in told(found)}


ROWS = [
    row("ada", "a"),
    row("ben", "b", "Tea, please.\nNow.", 'Say "coffee", 日本'),
    row("ada", "tie", prompt="Really?"),
]
EXPECTED = [
    ("ada", "Well?", "Yes.", "No.", 1),
    ("ben", "Well?", "Tea, please.\nNow.", 'Say "coffee", 日本', -1),
    ("ada", "Really?", "Yes.", "No.", 0),
]


@pytest.mark.parametrize("name", ["log.parquet", "log.jsonl", "log.csv", "dataset"])
def test_every_kind_of_log_gives_the_same_comparisons(write: Write, name: str) -> None:
    found = read_comparisons(write(ROWS, name))

    assert told(found) == EXPECTED
    assert found.group.prompt_codes.tolist() == [0, 0, 0, 0, 1, 1], "a prompt is its text"
    assert found.group.strengths is None
    assert found.group.tasks is None
    assert (found.report.n_rows, found.report.n_ties, found.report.n_first, found.report.dropped) == (3, 1, 1, {})


def test_a_folder_of_files_is_read_in_the_order_of_names(write: Write, tmp_path: Path) -> None:
    for number in (1, 0, 2):
        write([ROWS[number]], f"part-{number}.csv")

    assert told(read_comparisons(tmp_path)) == EXPECTED
    write(ROWS, "other.jsonl")
    with pytest.raises(InputError, match="files of several kinds"):
        read_comparisons(tmp_path)


def test_parts_of_a_folder_of_datasets(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    parts = {"train": Dataset.from_list(ROWS[:2]), "test": Dataset.from_list(ROWS[2:])}
    DatasetDict(parts).save_to_disk(str(tmp_path / "data"))

    assert told(read_comparisons(tmp_path / "data")) == EXPECTED
    assert told(read_comparisons(tmp_path / "data", dataset_split="test")) == EXPECTED[2:]
    with pytest.raises(InputError, match="no part 'dev'; it has 'train', 'test'"):
        read_comparisons(tmp_path / "data", dataset_split="dev")


def test_a_folder_of_datasets_needs_an_extra(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write(ROWS, "dataset")
    monkeypatch.setitem(sys.modules, "datasets", None)  # as where it is not installed
    with pytest.raises(InputError, match=r"to read it: pip install 'prefq\[data\]'"):
        read_comparisons(log)


@pytest.mark.parametrize(
    ("choice", "outcome"),
    [("A", 1), (" first ", 1), (1, 1), ("left", 1), ("model_b", -1), (2, -1), ("RIGHT", -1), ("Equal", 0)],
)
def test_choices_are_known_by_many_names(write: Write, choice: Any, outcome: int) -> None:
    assert [each[-1] for each in told(read_comparisons(write([row(choice=choice)])))] == [outcome]


def test_numbers_from_zero_must_be_explained(write: Write) -> None:
    log = write([row(choice=1), row("ben", 0)])

    with pytest.raises(
        InputError, match=r"row 2 has the choice '0', which leaves open.*such as --choice 0=first --choice 1=second\.$"
    ):
        read_comparisons(log)
    explained = read_comparisons(log, choices={"0": "first", "1": "second"})
    assert [each[-1] for each in told(explained)] == [-1, 1]


def test_columns_of_other_names(write: Write) -> None:
    log = write([{"annotator": "ada", "q": "Well?", "a": "Yes.", "b": "No.", "winner": "b"}])
    names = {"user_id": "annotator", "prompt": "q", "response_a": "a", "response_b": "b", "choice": "winner"}

    assert told(read_comparisons(log, columns=names)) == [("ada", "Well?", "Yes.", "No.", -1)]
    with pytest.raises(InputError, match=r"no column 'user_id' .*perhaps --column user_id=annotator .*choice=winner"):
        read_comparisons(log)
    with pytest.raises(InputError, match="has no column 'who' to take as user_id; it has annotator"):
        read_comparisons(log, columns={"user_id": "who"})
    with pytest.raises(InputError, match="'person' is no column that is read; give one of user_id"):
        read_comparisons(log, columns={"person": "annotator"})


def test_chosen_and_rejected_lose_their_places(write: Write) -> None:
    rows = [
        {"user_id": f"u{n % 7}", "prompt": f"Prompt {n}", "chosen": f"good {n}", "rejected": f"bad {n}"}
        for n in range(400)
    ]
    found = read_comparisons(write(rows))

    assert preferred(found) == {(f"u{n % 7}", f"Prompt {n}", f"good {n}", f"bad {n}") for n in range(400)}
    assert 160 <= found.report.n_first <= 240, "within four standard errors of a half"
    assert found.report.sides_were_drawn
    backwards = read_comparisons(write(rows[::-1], "backwards.jsonl"))
    assert set(told(found)) == set(told(backwards)), "a side does not depend on the other rows"
    other = read_comparisons(write(rows), seed=1)
    assert preferred(other) == preferred(found)
    assert set(told(other)) != set(told(found))


USER, YES, NO = ({"role": r, "content": c} for r, c in (("user", "Well?"), ("assistant", "Yes."), ("assistant", "No.")))
MORE = {"role": "user", "content": "Really?"}


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        ({"chosen": [USER, YES], "rejected": [USER, NO]}, "Well?"),
        ({"prompt": "Well?", "chosen": [USER, YES], "rejected": [USER, NO]}, "Well?"),
        ({"prompt": [USER], "chosen": [YES], "rejected": [NO]}, "Well?"),
        (
            {"chosen": [USER, NO, MORE, YES], "rejected": [USER, NO, MORE, NO]},
            "User: Well?\n\nAssistant: No.\n\nUser: Really?",
        ),
    ],
)
@pytest.mark.parametrize("name", ["log.jsonl", "log.parquet"])
def test_conversations_share_their_prompt(write: Write, name: str, given: dict[str, Any], prompt: str) -> None:
    found = read_comparisons(write([{"user_id": "ada", **given}], name))

    assert preferred(found) == {("ada", prompt, "Yes.", "No.")}


def test_items_are_named_by_id(write: Write) -> None:
    items = [
        {"item_id": 1, "prompt_id": "taxes", "response": "Lower them."},
        {"item_id": 2, "prompt_id": "taxes", "response": "Raise them."},
        {"item_id": 3, "prompt_id": "parks", "response": "Build more."},
        {"item_id": 4, "prompt_id": "taxes", "response": "Lower them. "},
    ]
    pairs = [(1, 2, "b"), (1, 3, "a"), (1, 4, "a"), (2, 9, "a")]
    log = write([{"user_id": "ada", "item_a": a, "item_b": b, "choice": c} for a, b, c in pairs])
    found = read_comparisons(log, items=write(items, "items.csv"))

    assert told(found) == [("ada", "", "Lower them.", "Raise them.", -1)]
    assert found.report.dropped == {
        TWO_PROMPTS_OF_ITEMS: LeftOut(1, "row 2 of log.jsonl"),
        EQUAL_TEXTS: LeftOut(1, "row 3 of log.jsonl"),
        NO_ITEM: LeftOut(1, "row 4 of log.jsonl"),
    }
    with pytest.raises(InputError, match="names items by id; give the file with their texts, too: --items FILE"):
        read_comparisons(log)
    twice = write([*items, {"item_id": 3, "prompt_id": "parks", "response": "Build none."}], "twice.csv")
    with pytest.raises(InputError, match=r"item '3' is in twice\.csv with two texts, one in row 5"):
        read_comparisons(log, items=twice)


def test_each_bad_row_is_dropped_and_counted(write: Write) -> None:
    rows = [
        row(),
        row(user=None),
        row(user=["ada"]),
        row(choice="maybe"),
        row(choice=None),
        row(choice="both_bad"),
        row(a=None),
        row(a="No."),
        row(b="\ud800"),
        row(prompt=None),
        row(a=[USER, YES], b=[MORE, NO]),
    ]
    report = read_comparisons(write(rows)).report

    assert {reason: each.count for reason, each in report.dropped.items()} == {
        NO_USER: 2,
        UNKNOWN_CHOICE: 1,
        NO_CHOICE: 1,
        UNDECIDED: 1,
        NO_TEXT: 1,
        EQUAL_TEXTS: 1,
        NOT_UNICODE: 1,
        NO_PROMPT: 1,
        TWO_PROMPTS: 1,
    }
    assert report.dropped[NO_USER].example == "row 2 of log.jsonl"
    assert (report.n_rows, report.n_comparisons) == (11, 1)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([row(user=None)] * 3, "no row of log.jsonl can be used: 3 no user_id"),
        (
            [row(choice="maybe")] * 3,
            "no choice is known, such as 'maybe' in row 1; say what each means, such as --choice maybe=first, each",
        ),
        (
            [row(prompt=None)],
            r"1 no prompt \(row 1 .*say which it is, such as --column prompt=NAME, or --column prompt=",
        ),
        ([row(prompt=None) | {"question": "Well?"}], r": perhaps --column prompt=question, or --column prompt= where"),
        ([row(choice="skip")], "1 no preference told"),
    ],
)
def test_where_every_row_is_bad_it_is_an_error(write: Write, rows: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_comparisons(write(rows))


def test_it_can_be_said_that_there_are_no_prompts(write: Write) -> None:
    rows = [{name: value for name, value in row().items() if name != "prompt"}]

    assert told(read_comparisons(write(rows, "log.csv"), columns={"prompt": ""})) == [("ada", "", "Yes.", "No.", 1)]


def test_repeated_rows_are_left_out_and_contradictions_kept(write: Write) -> None:
    rows = [row(), row(choice="b"), row(), row(choice="b", a="No.", b="Yes."), row("ben"), row(choice="tie")]
    found = read_comparisons(write(rows))

    assert [each[-1] for each in told(found)] == [1, -1, 1, 0]
    assert found.report.left_out == {REPEATED: LeftOut(2, "row 3 of log.jsonl")}
    assert found.report.n_contradicting == 1
    turned = read_comparisons(write([row(), row(choice="b", a="No.", b="Yes.")]))
    assert (turned.group.n_comparisons, turned.report.n_contradicting) == (1, 0), "the same answer, shown the other way"
    judged_anew = [each | {"task_id": f"t{number}"} for number, each in enumerate(rows)]
    assert read_comparisons(write(judged_anew)).group.n_comparisons == 6, "another task is another answer"


def test_strengths_are_shares_of_the_largest(write: Write) -> None:
    rows = [row(a=f"{n}") | {"strength": strength} for n, strength in enumerate([2, 1, None, 0, -1, "x"])]
    found = read_comparisons(write([*rows, row("ben", "tie") | {"strength": 2}]))

    assert found.group.strengths is not None
    np.testing.assert_array_equal(found.group.strengths, [1, 0.5, *[np.nan] * 5])
    report = found.report
    assert (report.n_strengths, report.n_wrong_strengths, report.largest_strength) == (2, 3, 2)
    of_five = read_comparisons(write(rows), largest_strength=5).group.strengths
    assert of_five is not None
    np.testing.assert_allclose(of_five[:2], [0.4, 0.2])
    with pytest.raises(InputError, match="a strength is 2 and the largest is said to be 1"):
        read_comparisons(write(rows), largest_strength=1)


def test_a_task_is_one_choice_of_one_person(write: Write) -> None:
    rows = [row(a=a) | {"task_id": task} for a, task in (("1", "x"), ("2", "x"), ("3", "y"), ("4", None), ("5", None))]
    tasks = read_comparisons(write([*rows, row("ben") | {"task_id": "x"}])).group.tasks

    assert tasks is not None
    assert tasks[0] == tasks[1]
    assert len(set(tasks[1:].tolist())) == 5


def test_users_are_the_same_whatever_type_their_ids_have(write: Write) -> None:
    rows = [row(user=user, a=f"{n}") for n, user in enumerate([12, 12.0, "12", " 12 "])]

    assert read_comparisons(write(rows)).group.user_ids == ("12",)


def test_what_is_strange_is_said(write: Write) -> None:
    alone = read_comparisons(write([row(a=f"{n}", b="x" * 100_000 if n else " ") for n in range(12)]))
    warnings = " ".join(alone.report.warnings())

    assert "there is one user only" in warnings
    assert "every preference is for the first response" in warnings
    assert "1 item with 100000 characters" in warnings
    assert alone.report.n_empty_texts == 1
    assert alone.report.users_with_fewer == {"5": 0, "10": 0, "20": 1}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("log.jsonl", b"", "log.jsonl is empty"),
        ("log.csv", b"", "log.csv is empty"),
        ("log.csv", b"user_id,prompt,response_a,response_b,choice\n", "log.csv has no rows"),
        ("log.txt", b"hello", "log.txt is of no known kind; give Parquet"),
        ("log.parquet", b"no parquet at all", "log.parquet cannot be read"),
        ("log.jsonl", "{}\n".encode("utf-16"), "none is a JSON object"),
        ("log.jsonl", b'{"a": 1}\n[1]\n', "has no column 'user_id'"),
    ],
)
def test_files_that_are_no_logs(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=reason):
        read_comparisons(tmp_path / name)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file or folder"):
        read_comparisons(tmp_path / "log.csv")


def test_broken_lines_are_counted_with_their_number(write: Write) -> None:
    log = write(ROWS)
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([lines[0], b"", b'{"user_id": "ada", ', b'{"user_id": "\xff"}', *lines[1:]]))
    found = read_comparisons(log)

    assert told(found) == EXPECTED
    assert found.report.dropped == {
        "a line that is no JSON object": LeftOut(1, "row 3 of log.jsonl"),
        "text that is not UTF-8": LeftOut(1, "row 4 of log.jsonl"),
    }


def test_csv_that_is_not_utf8_or_not_as_wide(write: Write) -> None:
    log = write(ROWS, "log.csv")
    log.write_bytes(log.read_bytes() + b"ada,Well?,\xff,No.,a\nada,Well?,Yes.,a\n")
    report = read_comparisons(log).report

    assert {reason: each.count for reason, each in report.dropped.items()} == {
        NOT_UNICODE: 1,
        "not as many fields as the first line": 1,
    }


def test_enormous_fields_of_csv_are_read_up_to_a_limit(write: Write) -> None:
    limit = csv.field_size_limit()
    found = read_comparisons(write([row(a="x" * 200_000)], "log.csv"))

    assert len(found.responses[0]) == 200_000
    assert csv.field_size_limit() == limit
    log = write([row()], "open.csv")
    log.write_text(log.read_text() + 'ada,Well?,"an open quote' + ",and more" * (MAX_FIELD // 9))
    with pytest.raises(InputError, match=r"open\.csv cannot be read \(field larger than field limit"):
        read_comparisons(log)


def test_parquet_with_text_that_is_not_utf8(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    broken = pa.array([b"Yes.", b"\xff", b"Yes."]).view(pa.string())
    pq.write_table(table.set_column(2, "response_a", broken), tmp_path / "log.parquet")
    found = read_comparisons(tmp_path / "log.parquet")

    assert told(found) == [EXPECTED[0], EXPECTED[2]]
    assert found.report.dropped == {"text that is not UTF-8": LeftOut(1, "row 2 of log.parquet")}


def test_progress_is_told_and_can_end_the_import(write: Write, tmp_path: Path) -> None:
    log = write([row(a=f"{n}") for n in range(3 * BATCH - 100)], "log.csv")
    told_rows: list[int] = []
    read_comparisons(log, on_progress=told_rows.append)
    assert told_rows == [BATCH, 2 * BATCH, 3 * BATCH - 100]

    def stop(n_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_comparisons(log, scratch=tmp_path, on_progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize(
    ("name", "n_kept", "n_users", "n_prompts"),
    [("llmfao", 5230, 74, 13), ("polis", 28570, 2499, 8), ("tulu_eval", 1101, 16, 332)],
)
def test_public_sets_are_read_as_they_are(
    real_data: Path, name: str, n_kept: int, n_users: int, n_prompts: int
) -> None:
    folder = real_data / name
    report = read_comparisons(folder / "comparisons.parquet", items=folder / "items.parquet").report

    assert (report.n_comparisons, report.n_users, report.n_prompts) == (n_kept, n_users, n_prompts)
    assert report.n_comparisons + report.n_dropped == report.n_rows
