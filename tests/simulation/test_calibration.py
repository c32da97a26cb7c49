"""Calibration: coverage and ranks against exact posteriors, planted errors found, reliability by hand."""

from dataclasses import replace

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.inference.laplace_batch import Gaussians, same_for_all
from prefq.simulation import calibration as module
from prefq.simulation.calibration import (
    LEVELS,
    METHODS,
    Method,
    ask,
    calibration,
    exact_draws,
    expected_calibration_error,
    jackknife,
    over_panels,
    rank_test,
    reliability_bins,
    sbc_ranks,
    true_coefficients,
)
from prefq.simulation.panels import Panel
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Gaussian, ResponseModel


def world(n_users: int = 400, name: str = "gaussian(3)", seed: int = 0, n_pool: int = 300) -> Panel:
    return make_world(name, n_users=n_users, rng=np.random.default_rng(seed), n_pool=n_pool)


def true_prior(panel: Panel) -> Gaussian:
    assert panel.true_prior is not None
    return panel.true_prior


def test_coefficients_are_read_off_margins() -> None:
    panel = world(50)
    coefficients = true_coefficients(panel)
    assert coefficients is not None
    assert panel.margins is not None
    np.testing.assert_allclose(coefficients @ (panel.first - panel.second)[0].T, panel.margins, atol=1e-9)
    tests = coefficients @ (panel.test_first - panel.test_second)[0].T
    np.testing.assert_allclose(1 / (1 + np.exp(-tests)), panel.test_truth, atol=1e-9)
    assert true_coefficients(replace(panel, margins=None)) is None
    assert true_coefficients(replace(panel, margins=np.tanh(panel.margins))) is None  # not linear
    own = replace(panel, first=np.tile(panel.first, (50, 1, 1)), second=np.tile(panel.second, (50, 1, 1)))
    of_own = true_coefficients(own)
    assert of_own is not None
    np.testing.assert_allclose(of_own, coefficients, atol=1e-9)


def test_before_any_answer_the_true_prior_covers_what_it_promises() -> None:
    panel = world(800)
    history = ask(panel, true_prior(panel), 0, rng=np.random.default_rng(1))
    found = calibration(panel, true_prior(panel), history, [0], rng=np.random.default_rng(2))
    for level in LEVELS:
        name = f"{round(100 * level)}"
        for method in ("laplace", "ep"):
            at = found.users[method][0]
            # 2,400 coefficients, 800 independent users: four standard errors.
            assert at[f"coefficient_{name}"].mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 800))
            assert at[f"margin_{name}"].mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 800))
    at = found.users["ep"][0]
    assert at["wrong_promised"].mean() == pytest.approx(at["wrong_true"].mean(), abs=0.02)
    assert expected_calibration_error(found.bins["ep"][0]) < 0.01


def test_after_ten_chosen_answers_ep_keeps_its_word_and_laplace_does_not() -> None:
    panels = [world(300, "gaussian(6)", seed, 500) for seed in range(3)]
    found = []
    for panel in panels:
        history = ask(panel, true_prior(panel), 10, rng=np.random.default_rng(1))
        found.append(calibration(panel, true_prior(panel), history, [10], rng=np.random.default_rng(2)))
    covered = {name: over_panels([each.users[name][10]["coefficient_90"] for each in found]).mean for name in METHODS}
    assert covered["ep"] == pytest.approx(0.9, abs=0.02)  # .90 in docs/maths
    assert covered["laplace"] == pytest.approx(0.82, abs=0.04)
    assert covered["laplace"] < covered["laplace_widened"] < covered["ep"]
    error = {name: jackknife(expected_calibration_error, [each.bins[name][10] for each in found]) for name in METHODS}
    assert error["ep"].mean < 0.01 < 0.03 < error["laplace"].mean
    for each in found:
        at = each.users["ep"][10]
        assert at["wrong_promised"].mean() == pytest.approx(at["wrong_true"].mean(), abs=0.02)


def test_ep_has_the_moments_of_the_exact_posterior() -> None:
    panel = world(6)
    history = ask(panel, true_prior(panel), 8, rng=np.random.default_rng(1))
    differences = history.of(panel.first) - history.of(panel.second)
    priors = same_for_all(true_prior(panel), panel.n_users)
    ep = METHODS["ep"].fit(priors, differences, history.outcomes, panel.response_model)
    for user in range(panel.n_users):
        answers = differences[user], history.outcomes[user]
        draws = exact_draws(true_prior(panel), *answers, ResponseModel(), 20_000, rng=np.random.default_rng(user))
        sds = draws.std(axis=0)
        np.testing.assert_allclose((ep.means[user] - draws.mean(axis=0)) / sds, 0, atol=0.12)
        np.testing.assert_allclose(np.sqrt(np.diag(ep.covariances[user])) / sds, 1, atol=0.1)


def test_ranks_are_uniform_under_the_truth_and_not_under_a_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_sure(priors: Gaussians, *answers: object) -> Gaussians:
        found = METHODS["ep"].fit(priors, *answers)  # type: ignore[arg-type]
        return Gaussians(found.means, found.factors * 0.7)

    planted = {**METHODS, "too sure": Method("a lie", too_sure)}
    monkeypatch.setattr(module, "METHODS", planted)
    panel = world(500)
    p_values = {
        name: rank_test(ranks).p_value for name, ranks in sbc_ranks(panel, 8, rng=np.random.default_rng(3)).items()
    }
    assert set(p_values) == {*planted, "exact"}
    assert min(p_values["exact"], p_values["ep"]) > 1e-3
    assert p_values["too sure"] < 1e-4

    turned = replace(panel.users(slice(200)), outcomes=-panel.outcomes[:200])  # who answer the wrong way round
    wrong = sbc_ranks(turned, 8, rng=np.random.default_rng(3))
    assert rank_test(wrong["exact"]).p_value < 1e-6


def test_ranks_need_a_true_prior_and_few_features_for_the_exact_ones() -> None:
    wide = sbc_ranks(world(20, "gaussian(9)"), 3, rng=np.random.default_rng(0))
    assert set(wide) == set(METHODS)
    with pytest.raises(InputError, match="takes a world such as gaussian"):
        sbc_ranks(replace(world(20), true_prior=None), 3, rng=np.random.default_rng(0))


def test_p_values_of_uniform_ranks_are_uniform() -> None:
    rng = np.random.default_rng(0)
    p_values = np.array([rank_test(rng.integers(100, size=400)).p_value for _ in range(400)])
    assert (p_values < 0.05).mean() == pytest.approx(0.05, abs=0.035)  # three standard errors
    assert p_values.mean() == pytest.approx(0.5, abs=0.05)


def test_reliability_by_hand() -> None:
    predicted = np.array([[0.05, 0.08, 0.95], [1.0, 0.55, 0.31]])
    replies = np.array([[0.0, 1.0, 1.0], [1.0, np.nan, 0.0]])
    bins = reliability_bins(predicted, replies)
    assert bins[0].tolist() == [2, 0, 0, 1, 0, 0, 0, 0, 0, 2]
    np.testing.assert_allclose(bins[1, [0, 3, 9]], [0.13, 0.31, 1.95])
    assert bins[2].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert expected_calibration_error(bins) == pytest.approx((0.87 + 0.31 + 0.05) / 5)
    assert np.isnan(expected_calibration_error(np.zeros((3, 10))))


def test_means_and_errors_over_panels() -> None:
    told = over_panels([np.array([1.0, 3.0]), np.array([4.0, np.nan]), np.array([np.nan])])
    assert (told.mean, told.se) == (3.0, 1.0)  # of the means 2 and 4
    alone = over_panels([np.array([1.0, 3.0])])
    assert (alone.mean, alone.se) == (2.0, 1.0)
    assert np.isnan(over_panels([np.array([np.nan])]).mean)

    # Of a mean, the jackknife's error is the usual one.
    values = np.array([1.0, 2.0, 4.0, 9.0])
    bins = [np.array([1.0, value]) for value in values]
    found = jackknife(lambda total: float(total[1] / total[0]), bins)
    assert found.mean == values.mean()
    assert found.se == pytest.approx(values.std(ddof=1) / 2)


def test_a_taste_that_turns_is_measured_as_it_is_by_then() -> None:
    panel = replace(world(200), flips_at=4)
    history = ask(panel, true_prior(panel), 6, rng=np.random.default_rng(1))
    before, after = (
        calibration(panel, true_prior(panel), history, [k], rng=np.random.default_rng(2)).users["ep"][k] for k in (3, 4)
    )
    assert before["wrong_true"].mean() < 0.35
    assert after["wrong_true"].mean() > 0.6  # four answers of before, tested after
    assert after["coefficient_90"].mean() < before["coefficient_90"].mean() - 0.1
