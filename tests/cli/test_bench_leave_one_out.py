"""prefq bench leave-one-out: a row a rater, from a table of scores."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefq.simulation.left_out_raters import sharing_raters

Prefq = Any  # the fixture of conftest.py

QUICK = ("--questions", "10", "--answers", "100", "--splits", "2", "--visits", "1")


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Four raters who share .6 of their taste, three of its six features, and a column of words."""
    table, encodings = sharing_raters(0.6, n_prompts=60, n_responses=4, rng=np.random.default_rng(4))
    path = tmp_path / "scores.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "response", "a", "b", "c", "d", "length", "warmth", "model"])
        for item in range(len(table.prompts)):
            values = [*table.scores[item, :4], *encodings[item, :2]]
            rows.writerow([table.prompts[item], table.responses[item], *values, "some"])
    return path


def test_a_row_for_each_rater(scores: Path, prefq_: Prefq) -> None:
    ended = prefq_("bench", "leave-one-out", str(scores), "--columns", "a,b,c", *QUICK)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["a", "b", "c", "all"]
    assert "pooled" in lines[1]
    assert "chosen 10" in lines[1]
    assert lines[-2].startswith("After 10 chosen questions: ")


def test_json_and_features_of_ones_own(scores: Path, prefq_: Prefq) -> None:
    arguments = ("--columns", "a,b,c", "--features", "d,length", "--json", *QUICK)
    ended = prefq_("bench", "leave-one-out", str(scores), *arguments)
    assert ended.code == 0, ended.err
    told = ended.json
    assert told["after"] == [0, 5, 10]
    assert [rater["name"] for rater in told["raters"]] == ["a", "b", "c"]
    pooled, chosen = (
        np.mean([rater["accuracy"][name][-1] for rater in told["raters"]]) for name in ("pooled", "information_gain")
    )
    assert told["gain_points"]["information_gain"]["mean"] == pytest.approx(100 * (chosen - pooled))


def test_a_feature_that_looks_like_an_id_is_taken_where_it_is_asked_for(scores: Path, prefq_: Prefq) -> None:
    head, *rows = scores.read_text(encoding="utf-8").splitlines()
    lines = [f"{head},number", *(f"{row},{number}" for number, row in enumerate(rows))]
    scores.write_text("\n".join(lines), encoding="utf-8")
    ended = prefq_("bench", "leave-one-out", str(scores), "--features", "d,number", "--json", *QUICK)
    assert ended.code == 0, ended.err
    assert [rater["name"] for rater in ended.json["raters"]] == ["a", "b", "c", "length", "warmth"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--columns", "a,b"), "there are 2 columns of scores; give at least 3"),
        (("--columns", "a,b,c", "--features", "c"), "'c' is in --columns and in --features"),
        (("--features", "warm"), "expected warm too"),
        (("--columns", "a,,a"), "give names of columns with commas between, each once"),
        (("--strength", "0"), "--strength is 0; give a number above 0"),
        (("--splits", "0"), "--splits is 0; give 1 or more"),
        (("--prompt", "task"), "expected task too"),
    ],
)
def test_bad_input_is_one_sentence(scores: Path, prefq_: Prefq, arguments: tuple[str, ...], said: str) -> None:
    ended = prefq_("bench", "leave-one-out", str(scores), *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
