"""Base rewards that are scores: the prior of a log's people on them, texts that are known, and texts that are not."""

import json
from pathlib import Path

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.rewards.logs import TextComparisons, read_comparisons
from prefq.rewards.precompute import build_pool
from prefq.rewards.score_tables import ScoreTable
from prefq.rewards.scored_texts import ScoredTexts
from prefq.rewards.scores import ScoreRewards, score_rewards
from prefq.rewards.train_scores import train_scores

N_PROMPTS, N_RESPONSES = 60, 4
TASTE = np.array([1.5, -0.5])  # in logits a typical difference, on average over people
SPREAD = np.array([0.3, 3.0])


@pytest.fixture(scope="module")
def table() -> ScoreTable:
    """Two columns, of which the second has ten times the units."""
    scores = np.random.default_rng(0).normal(size=(N_PROMPTS * N_RESPONSES, 2)) * [1.0, 10.0]
    prompts = tuple(f"prompt {row // N_RESPONSES}" for row in range(len(scores)))
    return ScoreTable(prompts, tuple(f"response {row}" for row in range(len(scores))), ("kind", "long"), scores)


@pytest.fixture(scope="module")
def comparisons(table: ScoreTable, tmp_path_factory: pytest.TempPathFactory) -> TextComparisons:
    """240 people who weigh the columns, 40 answers each."""
    place, rng = tmp_path_factory.mktemp("log"), np.random.default_rng(1)
    rewards, _ = score_rewards(table)
    features, pairs = rewards.of_table(table), table.pairs()
    rows = []
    for user in range(240):
        taste = TASTE + SPREAD * rng.normal(size=2)
        for first, second in pairs[rng.permutation(len(pairs))[:40]].tolist():
            is_first = rng.random() < 1 / (1 + np.exp(-(features[first] - features[second]) @ taste))
            row = {"user_id": f"u{user}", "prompt": table.prompts[first], "choice": "ba"[int(is_first)]}
            row |= {"response_a": table.responses[first], "response_b": table.responses[second]}
            rows.append(json.dumps(row))
    (place / "log.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return read_comparisons(place / "log.jsonl")


@pytest.fixture(scope="module")
def rewards(comparisons: TextComparisons, table: ScoreTable) -> ScoreRewards:
    return train_scores(comparisons, table)


def test_the_prior_is_that_of_the_people(rewards: ScoreRewards, comparisons: TextComparisons) -> None:
    assert rewards.prior is not None
    learned = np.unique(comparisons.group.users[np.union1d(comparisons.train, comparisons.validation)])
    assert rewards.prior.n_users == rewards.report["n_users"] == len(learned) < 240
    error = SPREAD / np.sqrt(len(learned)) + 0.1
    assert (np.abs(rewards.prior.coefficients.mean - TASTE) < 3 * error).all()
    np.testing.assert_allclose(rewards.prior.coefficients.sd, SPREAD, atol=0.7)


def test_test_people_are_predicted_better_than_by_one_shared_reward(rewards: ScoreRewards) -> None:
    test = rewards.report["test"]
    assert test["after"] == [0, 5, 10, 20]
    assert test["gain_over_shared"][2] > 3 * test["gain_error"][2] > 0
    assert abs(test["gain_over_shared"][0]) < 0.05  # before any answer there is nothing else to know


def test_units_and_errors_are_those_of_the_table(comparisons: TextComparisons, table: ScoreTable) -> None:
    found = train_scores(comparisons, table, error_sds={"kind": 0.5})
    expected, worth = score_rewards(table, error_sds={"kind": 0.5})
    assert found.feature_space.digest == expected.feature_space.digest
    assert [each["name"] for each in found.report["columns"]] == ["kind", "long"]
    assert found.report["columns"][0]["reliability"] == pytest.approx(worth.reliabilities[0])
    assert found.report["columns"][1]["reliability"] == 1.0
    assert found.report["error_sds"] == {"kind": 0.5}


def test_scored_texts_have_features_and_others_are_refused(
    rewards: ScoreRewards, table: ScoreTable, tmp_path: Path
) -> None:
    rewards.save(tmp_path / "rewards")
    loaded = prefq.load_rewards(tmp_path / "rewards")
    assert isinstance(loaded, ScoreRewards)
    assert loaded.report == rewards.report
    rows = [7, 3, 3, 200]
    texts = ([column[row] for row in rows] for column in (table.prompts, table.responses))
    np.testing.assert_array_equal(loaded.features(*texts), rewards.of_scores(table.scores[rows]))
    with pytest.raises(
        InputError, match=r"1 of 2 responses have no scores, such as 'response 0' to the prompt 'other'"
    ):
        loaded.features(["prompt 0", "other"], ["response 0", "response 0"])
    (tmp_path / "rewards" / "scores.safetensors").write_bytes(b"changed")
    with pytest.raises(InputError, match="was changed or cut short"):
        prefq.load_rewards(tmp_path / "rewards")


def test_a_pool_of_scored_texts_starts_where_people_do(
    rewards: ScoreRewards, table: ScoreTable, tmp_path: Path
) -> None:
    lines = [json.dumps({"prompt": table.prompts[i], "response": table.responses[i]}) for i in range(20)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    pool, _ = build_pool(rewards, tmp_path / "texts.jsonl", tmp_path / "pool")
    assert pool.prior is not None
    assert pool.responses is not None
    assert rewards.prior is not None
    assert pool.prior.to_dict() == rewards.prior.to_dict()
    places = [table.responses.index(response) for response in pool.responses]
    np.testing.assert_allclose(pool.features, rewards.of_scores(table.scores[places]), rtol=1e-6)


def test_comparisons_of_texts_without_scores_are_left_out(comparisons: TextComparisons, table: ScoreTable) -> None:
    half = ScoreTable(table.prompts[:120], table.responses[:120], table.names, table.scores[:120])
    found = train_scores(comparisons, half)
    rows = np.union1d(comparisons.train, comparisons.validation)
    known = [comparisons.prompts[int(item)] in set(half.prompts) for item in comparisons.group.pairs[rows, 0]]
    assert found.report["n_comparisons"] == sum(known)
    assert found.report["n_left_out"] == len(rows) - sum(known)
    other = ScoreTable(tuple(f"{prompt}?" for prompt in table.prompts), table.responses, table.names, table.scores)
    with pytest.raises(
        InputError, match=r"none is of two responses that the table scores \(0 of 240 are found in it\)"
    ):
        train_scores(comparisons, other)


def test_texts_are_told_apart_by_both_parts() -> None:
    texts = ScoredTexts.of(ScoreTable(("a", "ab"), ("bc", "c"), ("x",), [[1], [2]]))
    assert texts.of_texts(["ab", "a"], ["c", "bc"]).tolist() == [[2], [1]]
    assert texts.rows(["a", "ab", "abc"], ["c", "bc", ""]).tolist() == [-1, -1, -1]
    with pytest.raises(InputError, match="ascending and each once"):
        ScoredTexts(texts.digests[::-1], texts.scores)
