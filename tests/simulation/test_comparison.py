"""Paired comparisons: intervals against SciPy, power against tables and trials, verdicts that keep their promise."""

import numpy as np
import pytest
from scipy import stats

from prefq.errors import InputError
from prefq.simulation.comparison import PairedDifference, paired_difference, units_needed
from prefq.vocabulary import Array


def one_world(strategy: Array, reference: Array) -> PairedDifference:
    return paired_difference(strategy, reference, worlds=np.zeros(strategy.size, dtype=np.intp))


def test_in_one_world_the_interval_is_the_paired_t_test_over_users() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=40)
    strategy = reference + rng.normal(0.1, 0.4, size=40)
    found = one_world(strategy, reference)
    test = stats.ttest_rel(strategy, reference)
    interval = test.confidence_interval(0.95)
    assert found.estimate == pytest.approx((strategy - reference).mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.estimate / found.se == pytest.approx(test.statistic)
    assert (found.n_users, found.n_worlds, found.n_units) == (40, 1, 40)


def test_with_several_worlds_the_unit_is_the_mean_of_a_world() -> None:
    rng = np.random.default_rng(2)
    worlds = np.repeat([3, 5, 9], [10, 20, 30])
    strategy, reference = rng.normal(size=(2, 60))
    means = [(strategy - reference)[worlds == world].mean() for world in (3, 5, 9)]
    interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    found = paired_difference(strategy, reference, worlds=worlds)
    assert found.estimate == pytest.approx(np.mean(means))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.n_users, found.n_worlds, found.n_units) == (60, 3, 3)


def test_repeats_over_the_same_people_are_averaged_before_anything_else() -> None:
    rng = np.random.default_rng(3)
    once = rng.normal(0.3, 1, size=25)
    noise = rng.normal(size=25)
    users = np.tile(np.arange(25), 2)
    # Two repeats whose noise cancels: the interval is that of the people, not of fifty independent numbers.
    strategy = np.concatenate([once + noise, once - noise])
    worlds = np.repeat([0, 1], 25)
    found = paired_difference(strategy, np.zeros(50), worlds=worlds, users=users)
    alone = one_world(once, np.zeros(25))
    assert found[:4] == pytest.approx(alone[:4])
    assert (found.n_users, found.n_units) == (25, 25)


def test_people_of_one_part_are_one_unit_however_many_repeats_they_have() -> None:
    rng = np.random.default_rng(10)
    users = np.tile(np.arange(12), 2)
    parts = np.array([0, 1, 2])[users % 3]
    strategy = rng.normal(size=24)
    strategy[5] = np.nan  # one repeat of user 5: the other one counts
    people = [np.nanmean(strategy[users == user]) for user in range(12)]
    interval = stats.ttest_1samp([np.mean(people[part::3]) for part in range(3)], 0).confidence_interval(0.95)
    found = paired_difference(strategy, np.zeros(24), worlds=np.repeat([0, 1], 12), users=users, parts=parts)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.n_users, found.n_worlds, found.n_units) == (12, 2, 3)
    # One part for all is no unit of inference: its people are.
    same = paired_difference(strategy, np.zeros(24), worlds=np.repeat([0, 1], 12), users=users, parts=np.zeros(24, int))
    assert same.n_units == 12


def test_the_unit_stays_the_world_for_who_was_measured_in_one_of_several() -> None:
    rng = np.random.default_rng(11)
    worlds = np.repeat([0, 1, 2], 10)
    strategy = np.where(worlds == 0, rng.normal(5, 1, size=30), np.nan)
    found = paired_difference(strategy, np.zeros(30), worlds=worlds)
    assert (found.n_users, found.n_units, found.verdict) == (10, 1, "cannot tell")
    assert found.users_needed() is None


def test_who_is_missing_under_one_of_the_two_is_left_out_and_counted() -> None:
    worlds = np.array([0, 0, 0, 1, 1, 2, 2])
    strategy = np.array([1.0, np.nan, 3.0, 1.0, 2.0, np.nan, np.nan])
    reference = np.array([0.0, 1.0, np.nan, 0.0, 0.0, 1.0, np.nan])
    found = paired_difference(strategy, reference, worlds=worlds)
    assert found.estimate == pytest.approx((1.0 + 1.5) / 2)
    assert (found.n_users, found.n_worlds) == (3, 2)
    assert found.users_left_out == 3  # of world 2 the last has no number under either, and was never in
    assert found.worlds_left_out == 1


def test_nothing_and_one_user_cannot_tell() -> None:
    for values in (np.empty(0), np.array([np.nan]), np.array([0.5])):
        found = one_world(values, np.zeros(values.size))
        assert found.verdict == found.no_harm_verdict() == "cannot tell"
        assert found.users_needed() is None
        assert np.isnan(found.se)


def test_rounding_is_no_difference() -> None:
    reference = np.random.default_rng(4).normal(size=30)
    found = one_world(reference + 1e-15, reference)
    assert found.verdict == "cannot tell"
    assert found.no_harm_verdict() == "no harm"


def test_two_users_who_happen_to_agree_prove_nothing() -> None:
    assert one_world(np.array([0.75, 0.5]), np.array([0.5, 0.25])).verdict == "cannot tell"


def test_a_planted_difference_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(5)
    reference = rng.normal(size=100)
    better = reference + rng.normal(0.1, 0.2, size=100)
    assert one_world(better, reference).verdict == "better"
    assert one_world(reference, better).verdict == "worse"
    assert one_world(reference, better).no_harm_verdict() == "worse"


@pytest.mark.parametrize("n_worlds", [1, 8])
def test_equal_strategies_are_told_apart_in_five_percent_of_trials(n_worlds: int) -> None:
    """2,000 trials: the share of false alarms lies in .05 ± .02, four standard errors."""
    rng = np.random.default_rng(6)
    worlds = np.repeat(np.arange(n_worlds), 20)
    alarms = 0
    for _ in range(2000):
        of_world = rng.normal(size=n_worlds)[worlds]
        strategy, reference = rng.exponential(size=(2, worlds.size)) + of_world
        alarms += paired_difference(strategy, reference, worlds=worlds).verdict != "cannot tell"
    assert alarms / 2000 == pytest.approx(0.05, abs=0.02)


def test_no_harm_needs_a_narrow_interval_not_just_no_finding() -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(size=400)
    noise -= noise.mean()
    assert one_world(0.2 * noise, np.zeros(400)).no_harm_verdict(0.01) == "cannot tell"
    assert one_world(0.02 * noise, np.zeros(400)).no_harm_verdict(0.01) == "no harm"
    # A loss that is certain and certainly small is no harm; one that is certain and may be large is not.
    assert one_world(0.02 * noise - 0.005, np.zeros(400)).no_harm_verdict(0.01) == "no harm"
    assert one_world(0.02 * noise - 0.009, np.zeros(400)).no_harm_verdict(0.01) == "worse"


def test_units_needed_are_those_of_cohens_tables() -> None:
    assert [units_needed(effect) for effect in (0.2, 0.5, 0.8)] == [199, 34, 15]
    assert units_needed(0.5, power=0.95) == 54
    # On either side of the change from the exact to the normal power: 10.5 / 0.0169 and 7.85 / 0.01.
    assert units_needed(0.1) == 787


def test_so_many_users_show_the_difference_four_times_in_five() -> None:
    rng = np.random.default_rng(8)
    pilot = rng.normal(0.05, 0.2, size=50)
    found = one_world(pilot, np.zeros(50))
    needed = found.users_needed()
    assert needed is not None
    trials = rng.normal(found.estimate, pilot.std(ddof=1), size=(2000, needed))
    shown = [one_world(trial, np.zeros(needed)).verdict == "better" for trial in trials]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.04)
    smaller = found.users_needed(found.estimate / 2)
    assert smaller is not None
    assert smaller == pytest.approx(4 * needed, rel=0.1)


def test_users_needed_come_in_worlds_of_the_same_size() -> None:
    rng = np.random.default_rng(9)
    of_world = rng.normal(0.5, 1.0, size=8)
    strategy = np.repeat(of_world, 25)
    found = paired_difference(strategy, np.zeros(200), worlds=np.repeat(np.arange(8), 25))
    effect = of_world.mean() / of_world.std(ddof=1)
    assert found.users_needed() == 25 * units_needed(abs(effect))


def test_bad_input_has_a_sentence() -> None:
    with pytest.raises(InputError, match="one number a row, in the same rows for all"):
        paired_difference(np.zeros(3), np.zeros(2), worlds=np.zeros(3, dtype=np.intp))
    with pytest.raises(InputError, match="parts arrived without users"):
        paired_difference(np.zeros(2), np.zeros(2), worlds=np.zeros(2, int), parts=np.zeros(2, int))
    with pytest.raises(InputError, match="effect is 0; give a number above 0"):
        units_needed(0)
