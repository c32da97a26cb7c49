"""Two arms of sessions: differences and power, against hand-worked numbers, SciPy's tests and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from prefq.errors import InputError
from prefq.simulation.arms import (
    LEAST_SESSIONS,
    accuracy_variance,
    mean_difference,
    pooled_variance,
    sessions_needed,
    shrunk_accuracy,
)


def test_the_interval_is_welchs() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.3, 1.0, size=12), rng.normal(0.0, 3.0, size=40)
    found = mean_difference(first, second)
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)
    assert found.estimate == pytest.approx(first.mean() - second.mean())
    assert found.se == pytest.approx(math.sqrt(first.var(ddof=1) / 12 + second.var(ddof=1) / 40))


def test_an_arm_is_not_believed_to_vary_less_than_it_must() -> None:
    same, other = np.full(10, 1.0), np.array([0.5, 1.0] * 20)
    found = mean_difference(same, other, least_variance=0.05)
    seen = other.var(ddof=1)
    assert found.se == pytest.approx(math.sqrt(0.05 / 10 + max(seen, 0.05) / 40))
    assert mean_difference(same, same + 1).verdict == "cannot tell"  # no spread at all is no evidence of certainty


def test_too_few_sessions_have_no_interval_or_no_verdict() -> None:
    assert math.isnan(mean_difference([1.0], [0.0, 0.5]).se)
    assert math.isnan(mean_difference([], [0.0, 0.5]).estimate)
    assert mean_difference([1.0], [0.0, 0.5]).verdict == "cannot tell"
    far = np.array([5.0, 5.1] * LEAST_SESSIONS)
    assert mean_difference(far[: LEAST_SESSIONS - 1], far - 5).verdict == "cannot tell"
    assert mean_difference(far[:LEAST_SESSIONS], far - 5).verdict == "better"
    assert mean_difference(far - 5, far).verdict == "worse"


def test_power_by_hand() -> None:
    # (1.959964 + 0.841621)² = 7.84888; times 0.0625 / 0.03² is 545.06; times 1/0.1 + 1/0.9 is 6056.2 sessions.
    assert sessions_needed(0.03, variance=0.0625, random_share=0.1) == (5451, 606)
    assert sessions_needed(0.03, variance=0.0625, random_share=0.5) == (1091, 1091)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_so_many_sessions_show_the_difference_four_times_in_five(share: float) -> None:
    rng, n_tests, trials = np.random.default_rng(2), 6, 1500
    needed = sessions_needed(0.15, variance=accuracy_variance([n_tests], accuracy=0.7), random_share=share)
    by_rule = rng.binomial(n_tests, 0.775, size=(trials, needed.by_rule)) / n_tests
    at_random = rng.binomial(n_tests, 0.625, size=(trials, needed.at_random)) / n_tests
    shown = np.mean([mean_difference(a, b).verdict == "better" for a, b in zip(by_rule, at_random, strict=True)])
    # Normal approximation and unequal binomial variances: 3 points; Monte Carlo: 4 standard errors of 1 point.
    assert abs(shown - 0.8) < 0.07


@pytest.mark.parametrize(
    ("sizes", "n_tests", "accuracy"), [((45, 10), 1, 0.85), ((90, 10), 4, 0.7), ((30, 30), 4, 0.6)]
)
def test_equal_arms_are_rarely_told_apart(sizes: tuple[int, int], n_tests: int, accuracy: float) -> None:
    rng, trials, false_alarms = np.random.default_rng(3), 1500, 0
    for _ in range(trials):
        chances = [np.clip(rng.normal(accuracy, 0.1, size=size), 0.02, 0.98) for size in sizes]
        arms = [rng.binomial(n_tests, chance) / n_tests for chance in chances]
        counts = np.full(sum(sizes), n_tests)
        least = accuracy_variance(counts, accuracy=shrunk_accuracy(np.concatenate(arms), counts))
        false_alarms += mean_difference(*arms, least_variance=least).verdict != "cannot tell"
    assert false_alarms / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_variance_of_a_session_is_that_of_its_answers() -> None:
    rng = np.random.default_rng(4)
    counts = np.array([2, 4, 8] * 40_000)
    seen = rng.binomial(counts, 0.7) / counts
    assert accuracy_variance(counts, accuracy=0.7) == pytest.approx(seen.var(), rel=0.02)
    assert accuracy_variance([4]) == 0.25 / 4
    assert shrunk_accuracy([1.0, 0.5], [4, 2]) == (4 + 1 + 2) / 10
    assert 0 < shrunk_accuracy([1.0] * 50, [4] * 50) < 1


def test_pooled_variance_is_within_arms() -> None:
    first, second = np.array([0.0, 1.0, 2.0]), np.array([10.0, 12.0])
    assert pooled_variance(first, second) == pytest.approx((2 + 2) / 3)
    assert math.isnan(pooled_variance(first[:1], second[:1]))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sessions_needed(0.0, variance=1.0, random_share=0.5), "difference is 0.0; give a number above 0"),
        (lambda: sessions_needed(0.1, variance=-1.0, random_share=0.5), "variance is -1.0; give a number of 0 or more"),
        (
            lambda: sessions_needed(0.1, variance=1.0, random_share=0.0),
            "random_share is 0.0; give a number above 0 and",
        ),
        (lambda: accuracy_variance([0, 3]), "give counts of at least 1"),
        (lambda: mean_difference([0.1, math.nan], [0.2]), "first"),
    ],
)
def test_bad_numbers_are_refused(call: object, sentence: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=sentence):
        call()
