"""prefq bench replay: anyone's Parquet and the named sets, what is wrong with them, and what a report must say."""

import csv
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefq.errors import InputError, PrefqError
from prefq.simulation.curves import learning_curve
from prefq.simulation.replay import Recorded, divide, draw_folds, replay_panel
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import OURS
from prefq_cli.bench.datasets.public import load_personalllm, load_prism, load_rfm
from prefq_cli.bench.datasets.sets import SETS
from prefq_cli.bench.datasets.tables import load_comparisons
from prefq_cli.bench.replays import ReplayJob, Source, division, notes_of

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PREFQ_DATA") or ROOT.parent / "shared" / "data")
needs_data = pytest.mark.skipif(
    not (DATA / "cars_conjoint").is_dir(),
    reason="the real sets are not here: put them in ../shared/data beside the checkout, or name them by PREFQ_DATA",
)
D_OPTIMAL = next(strategy for strategy in OURS if strategy.name == "d_optimal")
Columns = dict[str, list[Any]]


def own_comparisons(n_users: int = 12, n_tasks: int = 12, seed: int = 4) -> Columns:
    """Comparisons with two features of both sides; tastes differ."""
    rng = np.random.default_rng(seed)
    n = n_users * n_tasks
    users = np.repeat(np.arange(n_users), n_tasks)
    first, second = rng.normal(size=(2, n, 2))
    tastes = rng.normal(size=(n_users, 2)) * 2
    margins = ((first - second) * tastes[users]).sum(axis=1)
    chosen = rng.random(n) < 1 / (1 + np.exp(-margins))
    return {
        "user_id": [f"u{user}" for user in users],
        "item_a": [f"a{row}" for row in range(n)],
        "item_b": [f"b{row}" for row in range(n)],
        "choice": ["a" if each else "b" for each in chosen],
        "task_id": [f"t{row}" for row in range(n)],
        "a_length": first[:, 0].tolist(),
        "b_length": second[:, 0].tolist(),
        "a_warmth": first[:, 1].tolist(),
        "b_warmth": second[:, 1].tolist(),
    }


def written(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def job_of(source: Source, **options: Any) -> ReplayJob:
    settings = {"folds": 4, "repeats": 2, "n_questions": 6, "min_questions": 5, "seed": 1} | options
    return ReplayJob(source, "", **settings)


def test_comparisons_with_features_of_both_sides_are_read_as_they_are(tmp_path: Path) -> None:
    columns = own_comparisons()
    columns["choice"][5] = "tie"
    record = load_comparisons(written(tmp_path / "mine.parquet", columns))
    row = 17

    assert record.user_ids[record.users[row]] == columns["user_id"][row]
    np.testing.assert_allclose(record.first[row], [columns["a_length"][row], columns["a_warmth"][row]])
    np.testing.assert_allclose(record.second[row], [columns["b_length"][row], columns["b_warmth"][row]])
    assert record.outcomes[row] == (1 if columns["choice"][row] == "a" else -1)
    assert record.outcomes[5] == 0


def test_features_of_items_come_by_id_and_texts_become_style_features(tmp_path: Path) -> None:
    columns = {name: values for name, values in own_comparisons().items() if name[:2] not in ("a_", "b_")}
    ids = sorted({*columns["item_a"], *columns["item_b"]})
    comparisons = written(tmp_path / "mine.parquet", columns)
    numbers = written(tmp_path / "n.parquet", {"item_id": ids, "feature_x": [float(item[1:]) for item in ids]})
    texts = {"item_id": ids, "response": ["Yes." if item[0] == "a" else "Well, perhaps not." for item in ids]}

    by_number = load_comparisons(comparisons, numbers)
    np.testing.assert_allclose(by_number.first[:, 0], [float(item[1:]) for item in columns["item_a"]])
    by_text = load_comparisons(comparisons, written(tmp_path / "t.parquet", texts))
    assert by_text.first.shape[1] == 8
    assert (by_text.first != by_text.second).any(axis=1).all()
    assert by_text.words is not None
    assert set(by_text.words) == {4.0}


def test_without_task_ids_the_same_two_items_are_one_task_whichever_way_round(tmp_path: Path) -> None:
    columns = own_comparisons(n_users=2, n_tasks=3)
    del columns["task_id"]
    columns["item_a"][0], columns["item_b"][0] = "x", "y"
    columns["item_a"][1], columns["item_b"][1] = "y", "x"
    tasks = load_comparisons(written(tmp_path / "mine.parquet", columns)).tasks

    assert tasks[0] == tasks[1]
    assert len(set(tasks)) == 5


def without(name: str) -> Callable[[Columns], None]:
    return lambda columns: columns.__delitem__(name)


def with_value(name: str, row: int, value: object) -> Callable[[Columns], None]:
    return lambda columns: columns[name].__setitem__(row, value)


def one_user(columns: Columns) -> None:
    columns["user_id"] = ["me"] * len(columns["user_id"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("choice"), "has no column 'choice'"),
        (with_value("choice", 3, "left"), "row 3 of mine.parquet has the choice 'left'; expected a, b or tie"),
        (with_value("a_length", 2, float("nan")), "column 'a_length' of mine.parquet is missing, NaN or infinite in 1"),
        (with_value("user_id", 2, None), "column 'user_id' of mine.parquet lacks 1 values"),
        (without("b_warmth"), "has the feature 'warmth' for one side only"),
        (one_user, "answers of 1 user"),
        (lambda columns: columns.update(a_length=["long"] * len(columns["choice"])), "a feature must be numbers"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(spoil: Callable[[Columns], None], message: str, tmp_path: Path) -> None:
    columns = own_comparisons()
    spoil(columns)

    with pytest.raises(InputError, match=message):
        load_comparisons(written(tmp_path / "mine.parquet", columns))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"item_id": ["a0"], "feature_x": [1.0]}, "items that were compared are not in items.parquet, such as"),
        ({"item_id": ["a0", "a0"], "feature_x": [1.0, 2.0]}, "item 'a0' is in items.parquet more than once"),
        ({"item_id": ["a0"], "length": [1.0]}, "neither numeric columns feature_"),
    ],
)
def test_what_is_wrong_with_a_table_of_items_is_said(items: Columns, message: str, tmp_path: Path) -> None:
    comparisons = written(tmp_path / "mine.parquet", own_comparisons())

    with pytest.raises(InputError, match=message):
        load_comparisons(comparisons, written(tmp_path / "items.parquet", items))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "nothing to replay"),
        (("--set", "movies"), 3, "no set is called 'movies'; choose among cars_conjoint, llmfao, polis"),
        (("--set", "polis", "--data-folder", "nowhere"), 3, "PREFQ_DATA"),
        (("--set", "polis", "--data-folder", "."), 3, "has no folder 'polis'"),
        (("--set", "prism"), 2, "give the path of its files by --data"),
        (("--data", "gone.parquet"), 3, "there is no file"),
        (("--data", "text.parquet"), 2, "cannot be read as Parquet"),
        (("--data", "mine.parquet", "--folds", "40"), 2, "40 folds for 12 users"),
        (("--data", "mine.parquet", "--min-questions", "30"), 2, "lower --min-questions"),
        (("--data", "mine.parquet", "--pairs", "twice"), 2, "--pairs is 'twice'"),
        (("--data", "mine.parquet", "--apart", "item"), 2, "--apart is 'item'; give prompt or task"),
        (("--data", "mine.parquet", "--strategies", "stated"), 2, "needs what people said about themselves"),
        (("--set", "polis", "--data", "mine.parquet"), 2, "were both given"),
    ],
)
def test_a_replay_that_cannot_be_says_why(
    arguments: tuple[str, ...], code: int, message: str, tmp_path: Path, prefq_: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "mine.parquet", own_comparisons())
    (tmp_path / "text.parquet").write_text("no Parquet", encoding="utf-8")
    result = prefq_("bench", "replay", *arguments)

    assert result.code == code, result.err
    assert message in " ".join(result.err.split())
    assert not result.out


def test_a_set_folder_without_its_files_says_which_file_is_missing(tmp_path: Path, prefq_: Any) -> None:
    (tmp_path / "cars_conjoint").mkdir()
    result = prefq_("bench", "replay", "--set", "cars_conjoint", "--data-folder", tmp_path)

    assert result.code == 3
    assert "comparisons.parquet" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="starts processes; measured on POSIX")
def test_a_replay_of_own_comparisons_is_whole_and_says_how_the_record_was_used(tmp_path: Path, prefq_: Any) -> None:
    path = written(tmp_path / "mine.parquet", own_comparisons(n_users=24))
    run = ["bench", "replay", "--data", path, "--questions", 6, "--folds", 3, "--seeds", 2, "--workers", 1, "--plain"]
    result = prefq_(*run, "--strategies", "pooled,random,static,stated", "--out", tmp_path / "out", "--json")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    users = pq.read_table(tmp_path / "out" / "users.parquet").to_pydict()

    assert result.code == 0, result.err
    assert summary["kind"] == "replay"
    assert set(summary["strategies"]) == {"pooled", "random", "static"}
    # Every person once in each of two repeats, under three strategies, after 0 to 6 answers.
    assert len(users["user"]) == 24 * 2 * 3 * 7
    notes = " ".join(summary["notes"])
    assert "Of 24 people 24 are measured" in notes
    assert "Left out, since nobody on record said anything about themselves: stated." in notes
    guards = {(each["guard"], each["strategy"]) for each in summary["guards"]["findings"]}
    assert {("questions apart", None), ("tasks apart", None), ("shuffled record", "information_gain")} <= guards
    assert {("one by one", name) for name in ("pooled", "random", "static")} <= guards
    swapped = [each for each in summary["comparisons"] if each["reference"] == "swapped"]
    assert {each["strategy"] for each in swapped} == {"random", "static"}


@needs_data
@pytest.mark.parametrize("name", list(SETS))
def test_on_real_people_nobody_is_tested_on_what_was_asked_or_taught_by_themselves(name: str) -> None:
    job = job_of(Source(name, str(DATA / name), name), folds=5, repeats=1)
    replays = [job.replay(panel) for panel in range(job.n_panels) if job.n_users(panel)]
    measured = [user for replay in replays for user in replay.panel.user_ids]

    assert len(measured) == len(set(measured))
    for replay in replays:
        assert not set(replay.panel.user_ids) & set(replay.group_ids)
        for asked, tested in zip(replay.question_tasks, replay.test_tasks, strict=True):
            assert not set(asked[asked >= 0].tolist()) & set(tested[tested >= 0].tolist())


@needs_data
def test_people_of_the_cars_are_all_measured_and_folds_are_not_those_of_their_numbers() -> None:
    job = job_of(Source("cars_conjoint", str(DATA / "cars_conjoint"), "cars_conjoint"), folds=5, repeats=2, seed=0)
    sizes = [job.n_users(panel) for panel in range(job.n_panels)]
    folds = [{*division(job, panel).users.tolist()} for panel in range(job.n_panels)]
    numbered = np.random.default_rng(0).permutation(np.arange(499) % 5)

    assert sum(sizes) == 2 * 499
    assert not any(fold == {*np.flatnonzero(numbered == number).tolist()} for fold in folds for number in range(5))
    assert folds[0] != folds[5]
    assert any("not independent" in note for note in notes_of(job))
    # Ten tasks are asked about, two comparisons each; of the five that are tested, one each.
    first = division(job, 0)
    assert [{len(rows) for rows in part} for part in (first.questions, first.tests)] == [{20}, {5}]


@needs_data
def test_coin_flips_of_real_people_teach_nothing() -> None:
    (record,) = SETS["cars_conjoint"](DATA / "cars_conjoint")
    assert isinstance(record, Recorded)
    flips = np.random.default_rng(6).choice(np.array([-1, 1], dtype=np.int8), size=len(record.outcomes))
    shuffled = replace(record, outcomes=flips)
    folds = draw_folds(len(record.user_ids), 5, rng=np.random.default_rng(6))
    shares = []
    for fold in range(3):
        divided = divide(shuffled, folds == fold, n_questions=10, rng=np.random.default_rng([6, fold]))
        panel = replay_panel(shuffled, folds == fold, divided, rng=np.random.default_rng([7, fold])).panel
        prior = fitted_start(panel)
        curve = learning_curve(D_OPTIMAL, panel, prior, n_questions=10, rng=np.random.default_rng([8, fold]))
        shares.append(curve.measures["accuracy"][:, -1])

    # 3,000 tests: the standard error is .009.
    assert np.concatenate(shares).mean() == pytest.approx(0.5, abs=0.03)


def test_prism_compares_the_chosen_response_with_the_others_of_its_turn(tmp_path: Path) -> None:
    rows = [
        {
            "utterance_id": f"ut{user}{talk}{turn}{k}",
            "interaction_id": f"int{user}{talk}{turn}",
            "conversation_id": f"c{user}{talk}",
            "user_id": f"user{user}",
            "turn": turn,
            "within_turn_id": k,
            "user_prompt": "Why?",
            "model_response": f"Because of {user} {talk} {turn} {k}.",
            "model_name": f"model{k}",
            "score": 80 - k,
            "if_chosen": k == 1,
        }
        for user in range(2)
        for talk in range(2)
        for turn, n_responses in ((0, 4), (1, 2))
        for k in range(n_responses)
    ]
    rows.append(rows[0] | {"interaction_id": "alone", "if_chosen": True, "model_response": "Alone."})
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (record,) = load_prism(tmp_path, rng=np.random.default_rng(1))

    assert record.user_ids == ("user0", "user1")
    assert len(record.outcomes) == 2 * 2 * (3 + 1)
    assert set(record.outcomes) == {1}
    assert record.prompts is not None
    assert (len(set(record.tasks)), len(set(record.prompts))) == (8, 4)  # turns, conversations


def test_the_same_response_to_two_prompts_of_prism_is_read_with_each(tmp_path: Path) -> None:
    prompts = {"c0": "Why?", "c1": "Please explain to me why the sky is blue."}
    rows = [
        {
            "interaction_id": f"{user}{talk}",
            "conversation_id": talk,
            "user_id": user,
            "user_prompt": prompt,
            "model_response": text,
            "if_chosen": text == "The sky is blue.",
        }
        for user in ("u0", "u1")
        for talk, prompt in prompts.items()
        for text in ("The sky is blue.", "No.")
    ]
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (record,) = load_prism(tmp_path, rng=np.random.default_rng(1))

    # One or nine words of the prompt, four of one response and one of the other; items of two prompts are two.
    assert record.words is not None
    assert record.words.tolist() == [1 + 4 + 1, 9 + 4 + 1] * 2
    assert record.items is not None
    assert record.items.tolist() == [[0, 1], [2, 3]] * 2


@pytest.mark.parametrize("apart", ["prompt", "task"])
def test_a_person_is_tested_on_prompts_of_their_own_unless_tasks_are_enough(tmp_path: Path, apart: str) -> None:
    columns = own_comparisons()
    columns["prompt_id"] = [f"p{row % 12 // 3}" for row in range(12 * 12)]  # of three tasks each
    job = job_of(Source("mine", str(written(tmp_path / "mine.parquet", columns))), apart=apart)
    (record,) = job.source.load(1)
    assert isinstance(record, Recorded)
    assert record.prompts is not None
    both = [
        set(record.prompts[asked]) & set(record.prompts[test])
        for panel in range(job.n_panels)
        for asked, test in zip(division(job, panel).questions, division(job, panel).tests, strict=True)
    ]

    assert len(both) == 2 * 12
    assert any(both) == (apart == "task")
    told = next(note for note in notes_of(job) if f"are divided by {apart}" in note)
    assert ("0% of the tests share a prompt" in told) == (apart == "prompt")


def scored_rows(n_prompts: int, responses: list[str], score_column: Callable[[str, str], str]) -> list[dict[str, Any]]:
    """Responses of growing length; one rater likes them long, the other short."""
    return [
        {"prompt": f"Prompt {row}, please?"}
        | {side: "word " * (1 + (row + place) % len(responses)) for place, side in enumerate(responses)}
        | {
            score_column(side, rater): sign * float(1 + (row + place) % len(responses))
            for rater, sign in (("gemma_2b", 1), ("oasst_pythia_1b", -1))
            for place, side in enumerate(responses)
        }
        for row in range(n_prompts)
    ]


def longer_is_preferred(record: Recorded) -> np.ndarray[Any, np.dtype[np.float64]]:
    """For each person, how often the first is preferred when its first feature (thorough) is the larger one."""
    agree = np.sign(record.first[:, 0] - record.second[:, 0]) == record.outcomes
    return np.array([agree[record.users == user].mean() for user in range(len(record.user_ids))])


def test_people_of_personalllm_weigh_the_scores_of_the_reward_models(tmp_path: Path) -> None:
    rows = scored_rows(30, [f"response_{k}" for k in range(1, 9)], lambda side, rater: f"{side}_{rater}")
    rows = [row | {"prompt_id": number, "response_1_model": "gpt-4"} for number, row in enumerate(rows)]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "train-00000-of-00001.parquet")
    (record,) = load_personalllm(tmp_path, rng=np.random.default_rng(1))
    shares = longer_is_preferred(record)

    assert len(record.user_ids) == 200
    # Weights of two raters who are opposed: nearly everybody is with the one or the other throughout.
    assert ((shares > 0.95) | (shares < 0.05)).all()
    assert 0.3 < (shares > 0.5).mean() < 0.7


@pytest.mark.parametrize("score_column", [lambda side, rater: f"{rater}_{side}", lambda side, rater: f"{side}_{rater}"])
def test_reward_models_of_rfm_are_one_person_each(tmp_path: Path, score_column: Callable[[str, str], str]) -> None:
    rows = scored_rows(20, ["chosen", "rejected"], score_column)
    with (tmp_path / "merged_reward_model_as_user_test.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"prompt": row["prompt"] + "\nOn two lines."} for row in rows)
    (record,) = load_rfm(tmp_path, rng=np.random.default_rng(1))

    assert record.user_ids == ("gemma_2b", "oasst_pythia_1b")
    assert len(record.tasks) == 2 * 20
    np.testing.assert_array_equal(longer_is_preferred(record), [1.0, 0.0])


@pytest.mark.parametrize(
    ("load", "name", "content", "message"),
    [
        (load_prism, "utterances.jsonl", '{"user_id": 1}\n', "has no column 'conversation_id'"),
        (load_prism, "utterances.jsonl", "no JSON\n", "line 1 of utterances.jsonl is no JSON"),
        (load_rfm, "test.csv", "prompt,text\nWhy?,Because.\n", "no scores of two or more reward models"),
    ],
)
def test_public_sets_of_another_layout_say_what_is_missing(
    load: Callable[..., Any], name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")

    with pytest.raises(PrefqError, match=message):
        load(tmp_path, rng=np.random.default_rng(1))
