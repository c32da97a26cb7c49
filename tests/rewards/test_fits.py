"""Fits: stopped by pairs that nobody learned from, kept once finished, and the same whether made now or before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.rewards.fits import HELD_OUT, Fits, held_out_pairs
from prefq.rewards.group import GroupComparisons
from prefq.rewards.learning import LearnedRewards, learn_rewards, method_of
from prefq.vocabulary import Array

Wholes = dict[str, tuple[LearnedRewards, list[str]]]


class EndedError(Exception):
    """Raised where somebody ends a run."""


@pytest.fixture(scope="module")
def group() -> tuple[Array, GroupComparisons]:
    """24 people of two opposed tastes, 20 answers each, in 6 dimensions; half of the pairs are shared by two people."""
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(24), 20)
    encodings = rng.normal(size=(720, 6))
    numbers = rng.permutation(np.r_[np.arange(360), np.arange(120)])
    pairs = np.column_stack([2 * numbers, 2 * numbers + 1])
    pairs[::3] = pairs[::3, ::-1]
    margins = 2 * (encodings[pairs[:, 0]] - encodings[pairs[:, 1]])[:, 0] * np.where(users % 2, 1, -1)
    outcomes = np.where(rng.random(480) < 1 / (1 + np.exp(-margins)), 1, -1).astype(np.int8)
    ids = tuple(map(str, range(24)))
    return encodings, GroupComparisons(pairs, outcomes, users, ids, np.repeat(np.arange(360), 2))


def test_a_tenth_of_the_pairs_is_held_out_whoever_compared_them(group: tuple[Array, GroupComparisons]) -> None:
    _, comparisons = group
    aside = held_out_pairs(comparisons, np.random.default_rng(0))
    pairs = np.sort(comparisons.pairs, axis=1)[:, 0]
    assert not set(pairs[aside]) & set(pairs[~aside])
    assert len(set(pairs[aside])) / 360 == pytest.approx(HELD_OUT, abs=4 * 0.3 / np.sqrt(360))


def test_nothing_is_held_out_of_a_few_comparisons(group: tuple[Array, GroupComparisons]) -> None:
    few = group[1].of_rows(np.arange(100))
    assert not held_out_pairs(few, np.random.default_rng(0)).any()
    alone = replace(group[1], users=np.arange(480), user_ids=tuple(map(str, range(480))))
    assert not held_out_pairs(alone, np.random.default_rng(0)).any()  # nobody is known from other answers


def test_a_share_is_refused_where_it_makes_no_sense(group: tuple[Array, GroupComparisons]) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="'bayes' is not stopped by pairs held out"):
        learn_rewards(*group, stop_by=0.1, rng=rng)
    with pytest.raises(InputError, match=r"stop_by is 0\.6; give a share of the pairs, at most 0\.5"):
        learn_rewards(*group, method="rfm", stop_by=0.6, rng=rng)


def test_a_method_sees_no_pair_that_it_is_stopped_by(group: tuple[Array, GroupComparisons]) -> None:
    encodings, comparisons = group
    told: list[str] = []
    fits = Fits("pref", method_of("pref"), encodings, held_out=HELD_OUT, on_step=told.append)
    found = fits(comparisons, 2, " again", rng=np.random.default_rng(0))
    assert told[0] == "learning 2 features again"
    assert len(found.info.validation_losses) == len(found.info.train_losses) > 1
    # By hand: the same pairs aside, by the same generator.
    rng = np.random.default_rng(0)
    aside = held_out_pairs(comparisons, rng)
    learned, held = comparisons.of_rows(~aside), comparisons.of_rows(aside)
    again = method_of("pref")(encodings, learned, 2, rng=rng, validation=held)
    np.testing.assert_array_equal(found.heads, again.heads)
    assert found.info == again.info


def learn(
    group: tuple[Array, GroupComparisons], method: str, folder: Path | None, end_at: str = ""
) -> tuple[LearnedRewards, list[str]]:
    """Rewards, and what was told; ended where something is told that begins so."""
    told: list[str] = []

    def on_step(what: str) -> None:
        told.append(what)
        if end_at and what.startswith(end_at):
            raise EndedError

    try:
        rng = np.random.default_rng(3)
        found = learn_rewards(*group, method=method, n_features=2, rng=rng, checkpoints=folder, on_step=on_step)
    except EndedError as ended:
        ended.args = (told,)
        raise
    return found, told


@pytest.fixture(scope="module")
def wholes(group: tuple[Array, GroupComparisons]) -> Wholes:
    """By method, what comes of a run that nobody ended."""
    return {method: learn(group, method, None) for method in ("bayes", "pref")}


@pytest.mark.parametrize("method", ["bayes", "pref"])
def test_a_run_that_was_interrupted_goes_on_to_the_same_result(
    group: tuple[Array, GroupComparisons], wholes: Wholes, method: str, tmp_path: Path
) -> None:
    whole, everything = wholes[method]
    with pytest.raises(EndedError):
        learn(group, method, tmp_path, end_at="learning 2 features, fold 3")
    found, told = learn(group, method, tmp_path)

    fits = [what for what in told if what.startswith("learning 2 features")]
    assert [what.removeprefix("learning 2 features") for what in fits] == [
        ", fold 3 of 5",
        ", fold 4 of 5",
        ", fold 5 of 5",
        " from everybody",
    ]
    assert len([what for what in everything if what.startswith("learning 2 features")]) == 6
    np.testing.assert_array_equal(found.heads, whole.heads)
    assert found.prior.to_dict() == whole.prior.to_dict()
    assert found.curve == whole.curve


def test_a_descent_goes_on_in_the_middle(group: tuple[Array, GroupComparisons], wholes: Wholes, tmp_path: Path) -> None:
    whole, everything = wholes["pref"]
    steps = [what.split(" of")[0] for what in everything if what.startswith("pref: step")]
    with pytest.raises(EndedError):
        learn(group, "pref", tmp_path, end_at="pref: step 60")
    found, told = learn(group, "pref", tmp_path)
    assert [what.split(" of")[0] for what in told if what.startswith("pref: step")] == steps[
        steps.index("pref: step 55") :
    ]
    np.testing.assert_array_equal(found.heads, whole.heads)
    assert found.prior.to_dict() == whole.prior.to_dict()


def test_other_comparisons_or_encodings_are_learned_from_anew(
    group: tuple[Array, GroupComparisons], tmp_path: Path
) -> None:
    encodings, comparisons = group
    told: list[str] = []

    def fit(values: Array, answers: GroupComparisons, seed: int = 0) -> bool:
        """Whether it was made anew."""
        told.clear()
        fits = Fits("bayes", method_of("bayes"), values, folder=tmp_path, on_step=told.append)
        fits(answers, 2, rng=np.random.default_rng(seed))
        return "learning 2 features" in told

    assert fit(encodings, comparisons)
    assert not fit(encodings, comparisons)
    changed = encodings.copy()
    changed[comparisons.pairs[200, 0]] += 1.0  # a single text
    assert fit(changed, comparisons)
    assert fit(encodings, replace(comparisons, outcomes=-comparisons.outcomes))
    assert fit(encodings, comparisons, seed=1)
    assert not fit(encodings, comparisons)
