"""The bundled pool: its texts, that it is what its scripts make, and the figures that the docs state."""

import json
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest

import prefq
from benchmarks.starter.build import AXES, TEXTS, fit, read_rows, starter_pool
from benchmarks.starter.report import (
    BEGIN,
    END,
    FOREIGN,
    PAGE,
    RESULT,
    agreement,
    count_words,
    foreign_check,
    independence,
    out_of_fold,
    tables,
)
from prefq.rewards.base import STARTER_FOLDER
from prefq.rewards.style import LEXICON, load_style_rewards

ROWS = read_rows(TEXTS)
LEXICON_TEXT = (STARTER_FOLDER / LEXICON).read_text(encoding="utf-8")
POOL = prefq.load_pool("starter")


def by_prompt() -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in ROWS:
        groups[row["prompt_id"]].append(row)
    return groups


def test_texts_are_enough_and_of_the_right_length() -> None:
    words = [count_words(row["response"]) for row in ROWS]

    assert len(by_prompt()) >= 48
    assert len({row["area"] for row in ROWS}) >= 8
    assert {len(rows) for rows in by_prompt().values()} == {6}
    assert min(words) >= 25
    assert max(words) <= 90
    assert 40 <= np.mean(words) <= 48


def test_texts_are_all_different_and_belong_to_one_prompt_and_area() -> None:
    assert len({row["response"] for row in ROWS}) == len(ROWS)
    for rows in by_prompt().values():
        assert len({(row["prompt"], row["area"]) for row in rows}) == 1
    assert [row["prompt_id"] for row in ROWS] == sorted(row["prompt_id"] for row in ROWS)


def test_texts_are_plain() -> None:
    for row in ROWS:
        assert set(row) == {"prompt_id", "area", "prompt", "response", "levels"}
        assert row["response"].isascii()
        assert row["response"] == row["response"].strip()
        assert not any(mark in row["response"] for mark in ("**", "##", "`", "\t", "  "))


def test_levels_follow_the_design() -> None:
    for rows in by_prompt().values():
        levels = np.array([[row["levels"][axis] for axis in AXES] for row in rows])
        assert all(list(row["levels"]) == list(AXES) for row in rows)
        assert set(levels.flat) == {-1, 0, 1}
        assert (np.count_nonzero(levels, axis=0) == 3).all()
        assert (np.count_nonzero(levels, axis=1) == 4).all()
        assert (levels.min(axis=0) == -1).all()
        assert (levels.max(axis=0) == 1).all()


def test_every_level_is_used_about_equally() -> None:
    for axis in AXES:
        counts = Counter(row["levels"][axis] for row in ROWS)
        assert counts[0] == len(ROWS) // 2
        assert abs(counts[1] - counts[-1]) <= 4


def test_the_weights_are_those_that_the_script_fits() -> None:
    fitted, shipped = fit(ROWS, LEXICON_TEXT), load_style_rewards(STARTER_FOLDER)

    assert fitted.statistics == shipped.statistics
    np.testing.assert_allclose(fitted.weights, shipped.weights, rtol=1e-3, atol=1e-5)  # solvers round differently


def test_the_pool_is_what_its_sources_make() -> None:
    rebuilt = starter_pool(ROWS, load_style_rewards(STARTER_FOLDER))

    assert POOL.feature_space == rebuilt.feature_space
    assert (POOL.prompts, POOL.responses) == (rebuilt.prompts, rebuilt.responses)
    np.testing.assert_array_equal(POOL.pairs, rebuilt.pairs)
    np.testing.assert_allclose(POOL.features, rebuilt.features, atol=2e-6)  # rounded to six decimals
    assert POOL.n_questions == 750 - POOL.dropped.equal


def test_the_pool_claims_no_group() -> None:
    assert POOL.prior is None
    assert POOL.starting_point().n_users == 0


def test_measured_axes_are_independent_of_one_another_and_of_length() -> None:
    found = independence(np.asarray(POOL.features), ROWS)

    assert found["largest_but_thorough_and_length"] <= 0.35
    assert found["condition_number"] < 5
    first, second = POOL.features[POOL.pairs.T]
    differences = np.corrcoef((first - second).T)  # over the questions themselves
    assert np.abs(differences - np.eye(len(AXES))).max() <= 0.35


def test_declared_levels_are_read_from_texts_of_unseen_prompts() -> None:
    unseen = out_of_fold(ROWS, LEXICON_TEXT)
    correlations = agreement(unseen, ROWS)["within_prompt"]

    assert min(correlations.values()) >= 0.5, correlations
    assert np.mean(list(correlations.values())) >= 0.7
    assert independence(unseen, ROWS)["largest_but_thorough_and_length"] <= 0.35


def test_foreign_texts_are_told_apart() -> None:
    found = foreign_check(read_rows(FOREIGN), POOL)

    assert found["pairs_an_axis"] == 12
    assert min(found["share_high_above_low"].values()) > 0.5  # what is reported is far above; this guards the sign
    assert found["share_high_above_low"] == pytest.approx(result()["foreign"]["share_high_above_low"])


def result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return found


def test_the_result_file_is_of_the_bundled_pool_and_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert result()["feature_space"] == POOL.feature_space.digest
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == tables(result())


def test_ten_questions_cost_four_minutes_at_most() -> None:
    reading = result()["reading"]

    assert reading["words_per_minute"] == 240
    assert reading["minutes_of_ten_random"]["mean"] <= 4.0
    assert reading["minutes_of_ten_chosen"]["mean"] <= 4.0
