"""Tables of scores: what is read, what is left out and counted, and what is refused."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prefq
from prefq.rewards.score_tables import ScoreTable, pairs_within, read_scores

HEAD = "prompt,response,helpful,model,short\n"
ROWS = [
    'Why?,"So, well.",1.5,a,0\n',
    "Why?,Hm.,-2,b,1\n",
    "How?,Like this.,,a,1\n",  # lacks a score
    "Why?,Hm.,-2,b,1\n",  # said before
    "How?,Not so.,3e-1,c,0\n",
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text("﻿" + HEAD + "".join(ROWS), encoding="utf-8")
    return path


def test_csv(file: Path) -> None:
    table = read_scores(file)
    assert table.prompts == ("Why?", "Why?", "How?")
    assert table.responses == ("So, well.", "Hm.", "Not so.")
    assert table.names == ("helpful", "short")
    np.testing.assert_array_equal(table.scores, [[1.5, 0], [-2, 1], [0.3, 0]])
    assert table.report == (5, 1, 1, {"model": "no numbers"})
    assert table.prompt_codes.tolist() == [0, 0, 1]


def test_parquet_gives_the_same(file: Path, tmp_path: Path) -> None:
    columns = {
        "prompt": ["Why?", "Why?", "How?", "Why?", "How?"],
        "response": ["So, well.", "Hm.", "Like this.", "Hm.", "Not so."],
        "helpful": [1.5, -2.0, None, -2.0, 0.3],
        "model": ["a", "b", "a", "b", "c"],
        "short": [0, 1, 1, 1, 0],
    }
    pq.write_table(pa.table(columns), tmp_path / "scores.parquet")
    one, other = read_scores(file), read_scores(tmp_path / "scores.parquet")
    assert (one.prompts, one.responses, one.names, one.report) == (
        other.prompts,
        other.responses,
        other.names,
        other.report,
    )
    np.testing.assert_array_equal(one.scores, other.scores)


def test_a_column_that_is_not_wanted_drops_no_row(file: Path) -> None:
    table = read_scores(file, columns=["short"])
    assert table.names == ("short",)
    assert len(table.scores) == 4


def test_other_names_for_the_texts(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("task,model,score\n1,a,2\n1,b,3\n", encoding="utf-8")
    table = read_scores(path, prompt="task", response="model")
    assert (table.prompts, table.responses, table.names) == (("1", "1"), ("a", "b"), ("score",))


def test_all_pairs_within_prompts_and_none_across() -> None:
    codes = np.array([0, 1, 0, 2, 1, 0])
    assert pairs_within(codes).tolist() == [[0, 2], [0, 5], [2, 5], [1, 4]]
    assert pairs_within(np.arange(3)).shape == (0, 2)


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        ("prompt,score\nWhy?,1\n", None, "has the columns prompt, score; expected response too"),
        (HEAD + "".join(ROWS), ["warm"], "expected warm too"),
        (HEAD + "".join(ROWS), ["model"], "row 1 of scores.csv has 'a' as model; give a finite number"),
        ("prompt,response,s\nWhy?,So.,1\nWhy?,Hm.,inf\n", ["s"], "row 2 of scores.csv has 'inf' as s"),
        (
            "prompt,response,s\nWhy?,So.,good\n",
            None,
            r"no column of scores beside prompt and response \(s: no numbers\)",
        ),
        ("prompt,response\nWhy?,So.\n", None, "beside prompt and response; give some, or say which columns are scores"),
        (
            "prompt,response,id\n" + "".join(f"Why?,{n},{n}\n" for n in range(8)),
            None,
            r"\(id: another whole number for each response, like an id\); give some, or say .* \(--columns\)",
        ),
        ("prompt,response,s\nWhy?,So.,1\nWhy?,So.,2\n", None, "rows 1 and 2 of scores.csv score the same response"),
        ("prompt,response,s,t\nWhy?,So.,,1\nWhy?,Hm.,2,nan\n", None, "has 2 rows and none with every score"),
        ("prompt,response,s\nWhy?,So.\n", None, "row 1 of scores.csv has another number of fields than its head"),
        ("", None, "scores.csv has the columns ; expected prompt, response too"),
        (
            "prompt,response,s\nWhy?,So.,1\nWhy?,Hm.,bad\n",
            None,
            "row 2 of scores.csv has 'bad' as s; give a finite",
        ),
        ("prompt,response,s,s\nWhy?,So.,1,2\n", None, "has several columns 's'"),
        ("prompt,response,s\nWhy?,So.,1e300\nWhy?,Hm.,2\n", None, "scores reach 1e.300; give them in a unit"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str, columns: list[str] | None, said: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(prefq.InputError, match=said):
        read_scores(path, columns=columns)


def test_columns_without_numbers_are_left_aside_and_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("prompt,response,by,s\nWhy?,So.,ann,n/a\nWhy?,Hm.,bob,2\n", encoding="utf-8")
    found = read_scores(path)
    assert found.names == ("s",)
    assert found.report is not None
    assert (found.report.left_aside, found.report.n_incomplete) == ({"by": "no numbers"}, 1)


def table_of(tmp_path: Path, columns: dict[str, list[object]], n_a_prompt: int = 4) -> Path:
    """A file of responses, so many to a prompt, with these columns."""
    n = len(next(iter(columns.values())))
    texts = {"prompt": [f"p{i // n_a_prompt}" for i in range(n)], "response": [f"r{i}" for i in range(n)]}
    pq.write_table(pa.table(texts | columns), tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


def test_numbers_of_rows_and_of_prompts_are_no_scores_unless_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {
        "id": list(range(100, 124)),
        "shuffled": rng.permutation(24).tolist(),
        "database": list(range(5000, 200, -200)),
        "prompt_id": [i // 4 for i in range(24)],
        "empty": [None] * 24,
        "judge": rng.integers(1, 11, size=24).tolist(),
        "length": (10 * rng.permutation(100)[:24] + 3).tolist(),  # all differ, in no order, and with gaps
        "place": [i % 4 for i in range(24)],
        "logit": np.sort(rng.normal(size=24)).tolist(),
    }
    file = table_of(tmp_path, columns)
    found = read_scores(file)
    assert found.names == ("judge", "length", "place", "logit")
    assert found.report is not None
    an_id = "another whole number for each response, like an id"
    of_prompts = "the same for all responses to a prompt"
    assert found.report.left_aside == {
        "id": an_id,
        "shuffled": an_id,
        "database": an_id,
        "prompt_id": of_prompts,
        "empty": "no numbers",
    }
    asked_for = read_scores(file, columns=["shuffled", "judge"])  # such as everybody's place in one ranking of all
    assert asked_for.names == ("shuffled", "judge")
    assert asked_for.report is not None
    assert not asked_for.report.left_aside
    np.testing.assert_array_equal(asked_for.scores[:, 0], columns["shuffled"])


def test_what_is_chance_in_a_few_rows_is_none_in_many(tmp_path: Path) -> None:
    assert read_scores(table_of(tmp_path, {"s": [1, 2, 3, 4, 5, 6, 7]})).names == ("s",)  # seven scores in order
    hashes: list[object] = np.random.default_rng(1).permutation(10**6)[:200].tolist()
    judge: list[object] = [0.5, 1.5] * 100
    assert read_scores(table_of(tmp_path, {"hash": hashes, "judge": judge})).names == ("judge",)
    few = {"hash": hashes[:-1], "judge": judge[:-1]}
    assert read_scores(table_of(tmp_path, few)).names == ("hash", "judge")
    repeated = {"hash": [*hashes[:-1], hashes[0]], "judge": judge}  # as a score may be
    assert read_scores(table_of(tmp_path, repeated)).names == ("hash", "judge")
    alone = table_of(tmp_path, {"s": [1.0, 1.0, 3.5]}, n_a_prompt=1)  # one response a prompt tells nothing of that
    assert read_scores(alone).names == ("s",)


def test_an_id_of_responses_that_come_again_is_one(tmp_path: Path) -> None:
    rows = "".join(f"Why?,r{n},{n + 1},{n % 3}\n" for n in range(9))
    (tmp_path / "scores.csv").write_text("prompt,response,response_id,s\n" + rows + rows, encoding="utf-8")
    found = read_scores(tmp_path / "scores.csv")
    assert found.names == ("s",)
    assert found.report is not None
    assert found.report.n_repeated == 9


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(prefq.NotFoundError, match="there is no file"):
        read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.xlsx").write_bytes(b"PK")
    with pytest.raises(prefq.InputError, match=r"is of no known kind; give CSV \(.csv\) or Parquet \(.parquet\)"):
        read_scores(tmp_path / "scores.xlsx")
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(prefq.InputError, match=r"scores\.parquet cannot be read"):
        read_scores(tmp_path / "scores.parquet")


def test_tables_whose_parts_do_not_fit_are_refused() -> None:
    with pytest.raises(prefq.InputError, match=r"scores have shape \(1, 2\), for 1 prompts, 1 responses and 1 columns"):
        ScoreTable(("Why?",), ("So.",), ("s",), [[1.0, 2.0]])
    with pytest.raises(prefq.InputError, match="scores holds NaN or infinite values"):
        ScoreTable(("Why?",), ("So.",), ("s",), [[np.nan]])
