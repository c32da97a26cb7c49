"""Replay of votes in several conversations: what is read, who has a choice, and that a conversation is one unit."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from prefq.errors import InputError
from prefq.simulation.summary import AT, ENOUGH
from prefq.simulation.votes import Votes
from prefq_cli.bench.datasets.sets import load_llmfao, load_polis
from prefq_cli.bench.datasets.tables import load_comparisons
from prefq_cli.bench.replays import ReplayJob, Source, notes_of

CONVERSATIONS = ("bees", "cars", "dogs")


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def polis_folder(folder: Path, n_users: int = 40, n_items: int = 16, seed: int = 3) -> Path:
    """Three conversations of two camps each; statement k of a conversation has k + 1 words."""
    rng = np.random.default_rng(seed)
    votes: dict[str, list[Any]] = {"user_id": [], "item_id": [], "prompt_id": [], "vote": []}
    statements: dict[str, list[Any]] = {"item_id": [], "response": []}
    for conversation in CONVERSATIONS:
        sides = rng.choice([-1.0, 0.0, 1.0], size=n_items)
        for item in range(n_items):
            statements["item_id"].append(f"{conversation}|{item}")
            statements["response"].append(" ".join(["word"] * (item + 1)))
        for user in range(n_users):
            felt = 0.3 + (-1) ** user * sides + rng.normal(size=n_items) * 0.5
            for item in np.flatnonzero(rng.random(n_items) < 0.8).tolist():
                row = (f"{conversation}-u{user}", f"{conversation}|{item}", conversation, int(np.sign(felt[item])))
                for column, value in zip(votes, row, strict=True):
                    votes[column].append(value)
    (folder / "polis").mkdir()
    write(folder / "polis" / "votes.parquet", votes)
    write(folder / "polis" / "items.parquet", statements)
    return folder


def polis_job(folder: Path, pairs: str = "any") -> ReplayJob:
    source = Source("polis", str(folder / "polis"), "polis")
    return ReplayJob(source, "", folds=2, repeats=2, n_questions=10, min_questions=2, seed=1, pairs=pairs)


def test_a_question_of_votes_makes_people_read_both_statements(tmp_path: Path) -> None:
    job = polis_job(polis_folder(tmp_path))
    replay = job.replay(0)
    panel = replay.panel
    statements = replay.question_tasks.reshape(panel.n_users, -1, 2)
    (part, *_) = load_polis(tmp_path / "polis")

    assert panel.words is not None
    assert isinstance(part, Votes)
    assert part.words is not None
    assert sorted(part.words) == list(range(1, 17))
    np.testing.assert_array_equal(panel.words[panel.open], part.words[statements].sum(axis=2)[panel.open])
    assert not panel.words[~panel.open].any()


def test_statements_without_a_text_are_refused(tmp_path: Path) -> None:
    folder = polis_folder(tmp_path) / "polis"
    write(folder / "items.parquet", {"item_id": ["bees|0"], "response": ["Bees sting."]})

    with pytest.raises(InputError, match="has no text of 47 statements voted on"):
        load_polis(folder)
    with pytest.raises(InputError, match="words of 'few' are 1; expected 2, one a statement"):
        Votes("few", np.array([0]), np.array([1]), np.array([1], dtype=np.int8), ("a",), 2, np.array([4]))


def test_the_prompt_is_read_too(tmp_path: Path) -> None:
    pairs = {"user_id": ["u0", "u1"], "item_a": ["i0", "i1"], "item_b": ["i2", "i2"], "choice": ["a", "tie"]}
    comparisons = write(tmp_path / "comparisons.parquet", pairs | {"task_id": ["t0", "t1"], "prompt_id": ["p0", "p0"]})
    texts = {
        "item_id": ["i0", "i1", "i2"],
        "prompt": ["Why is it so?"] * 3,
        "response": ["No.", "Who knows.", "It is."],
    }
    items = write(tmp_path / "items.parquet", texts)
    without = write(tmp_path / "no_prompts.parquet", {name: texts[name] for name in ("item_id", "response")})

    for record in (load_comparisons(comparisons, items), load_llmfao(tmp_path)[0]):
        assert record.words is not None
        assert record.words.tolist() == [4 + 1 + 2, 4 + 2 + 2]
    words = load_comparisons(comparisons, without).words
    assert words is not None
    assert words.tolist() == [1 + 2, 2 + 2]


def test_people_with_a_small_choice_are_counted_as_their_panels_have_it(tmp_path: Path) -> None:
    job = polis_job(polis_folder(tmp_path), pairs="once")
    n_open = job.open_questions()
    by_panel: dict[tuple[int, str], int] = {}
    for panel in range(job.n_panels):
        made = job.make_panel(panel)
        by_panel |= {
            (job.world(panel), user): int(there.sum()) for user, there in zip(made.user_ids, made.open, strict=True)
        }
    few, some = (sum(count < least for count in by_panel.values()) / job.repeats for least in (AT, ENOUGH))
    notes = " ".join(notes_of(job))

    assert n_open == by_panel
    assert f"{few:.0f} of the people measured have fewer than 10 questions and {some:.0f} fewer than 20" in notes
    assert "decided by gains on the tests of four of these conversations" in notes
    assert "holds no words" not in notes


def test_a_record_without_words_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    columns: dict[str, list[Any]] = {
        "user_id": [f"u{row % 4}" for row in range(48)],
        "item_a": [f"a{row}" for row in range(48)],
        "item_b": [f"b{row}" for row in range(48)],
        "choice": rng.choice(["a", "b", "tie"], size=48).tolist(),
        **{name: rng.normal(size=48).tolist() for name in ("a_x", "b_x")},
    }
    source = Source("mine", str(write(tmp_path / "mine.parquet", columns)))
    job = ReplayJob(source, "", folds=2, repeats=1, n_questions=5, min_questions=2, seed=1)
    notes = " ".join(notes_of(job))

    assert job.parts() is None
    assert "how long a question takes to read is not known" in notes
    assert "count one as a win and a loss" in notes


@pytest.mark.skipif(sys.platform == "win32", reason="starts processes; measured on POSIX")
def test_the_summary_of_a_replay_averages_people_within_conversations(tmp_path: Path, prefq_: Any) -> None:
    run = [
        "bench",
        "replay",
        "--set",
        "polis",
        "--data-folder",
        polis_folder(tmp_path),
        "--questions",
        10,
        "--folds",
        2,
    ]
    asked = ["--seeds", 2, "--min-questions", 2, "--strategies", "pooled,information_gain", "--workers", 1, "--plain"]
    result = prefq_(*run, *asked, "--out", tmp_path / "out", "--json")
    assert result.code == 0, result.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    rows = pq.read_table(tmp_path / "out" / "users.parquet").to_pylist()

    # By hand: seeds within a person, people within a conversation, t over three conversations.
    losses: dict[str, dict[str, list[float]]] = {"pooled": {}, "information_gain": {}}
    for row in rows:
        if row["n_answers"] == 10:
            losses[row["strategy"]].setdefault(row["user"], []).append(row["log_loss"])
    gains = {user: np.mean(losses["pooled"][user]) - np.mean(ours) for user, ours in losses["information_gain"].items()}
    people = {name: [gain for user, gain in gains.items() if user.startswith(name)] for name in CONVERSATIONS}
    interval = stats.ttest_1samp([np.mean(each) for each in people.values()], 0).confidence_interval(0.95)
    (met,) = (
        entry
        for entry in summary["comparisons"]
        if (entry["strategy"], entry["reference"], entry["measure"], entry["n_answers"])
        == ("information_gain", "pooled", "log_loss", 10)
    )

    assert summary["unit"] == "conversations"
    assert (met["n_units"], met["n_worlds"], met["n_users"]) == (3, 2, len(gains))
    assert (met["low"], met["high"]) == pytest.approx((interval.low, interval.high), abs=1e-4)
    parts = summary["by_part"]["rows"]
    assert [row["part"] for row in parts] == list(CONVERSATIONS)
    assert [row["n_users"] for row in parts] == [len(each) for each in people.values()]
    assert [row["pooled"]["se"] for row in parts] == pytest.approx(
        [stats.sem(each) for each in people.values()], abs=1e-4
    )
