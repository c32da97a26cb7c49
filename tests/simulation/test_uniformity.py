"""Simultaneous bands of an empirical distribution: their level, by hand for one value, and what they catch."""

import numpy as np
import pytest
from scipy.stats import kstest

from prefq.errors import InputError
from prefq.simulation.uniformity import ecdf_test


def test_bands_hold_uniform_samples_as_often_as_they_say() -> None:
    rng, bands = np.random.default_rng(0), np.random.default_rng(1)
    tests = [ecdf_test(rng.random(150), rng=bands, level=0.9) for _ in range(120)]

    assert np.mean([test.passed for test in tests]) == pytest.approx(0.9, abs=0.085)  # three standard errors
    assert np.mean([test.p_value for test in tests]) == pytest.approx(0.5, abs=0.08)
    assert all(test.passed == (test.p_value > 0.1) for test in tests if abs(test.p_value - 0.1) > 0.005)


def test_one_value_by_hand() -> None:
    # One value above z has chance 1 - z; the least likely point of a value at .999 is z = .99, of two-sided chance .02.
    test = ecdf_test(np.array([0.999]), rng=np.random.default_rng(0))

    assert test.shares.tolist() == [0.0] * 99
    assert test.p_value == pytest.approx(0.02, abs=0.008)
    assert not test.passed
    assert ecdf_test(np.array([0.5]), rng=np.random.default_rng(0)).passed


@pytest.mark.parametrize("power", [0.7, 1.5])
def test_what_is_not_even_is_caught_as_surely_as_by_another_test(power: float) -> None:
    values = np.random.default_rng(2).random(400) ** power

    assert not ecdf_test(values, rng=np.random.default_rng(3)).passed
    assert kstest(values, "uniform").pvalue < 0.01


def test_too_narrow_and_too_wide_posteriors_are_caught_in_the_middle() -> None:
    rng = np.random.default_rng(4)
    for shape in (0.6, 1.6):  # of a symmetric beta: too sure of itself, not sure enough
        test = ecdf_test(rng.beta(shape, shape, size=600), rng=rng)
        assert not test.passed
        assert test.p_value < 0.01


def test_what_is_no_probability_is_refused() -> None:
    for wrong in (np.array([]), np.array([0.5, 1.1]), np.array([np.nan])):
        with pytest.raises(InputError, match="are not all from 0 to 1"):
            ecdf_test(wrong, rng=np.random.default_rng(0))
