"""Calibration: coverage and probabilities against exact posteriors, planted errors found, reliability by hand."""

from dataclasses import replace

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.inference.beliefs import Mixtures, ep_posteriors, mixture_for_all
from prefq.inference.laplace_batch import Gaussians
from prefq.simulation import calibration as module
from prefq.simulation.calibration import (
    LEVELS,
    METHODS,
    Method,
    ask,
    calibration,
    expected_calibration_error,
    jackknife,
    over_panels,
    reliability_bins,
    sbc_values,
    true_coefficients,
)
from prefq.simulation.exact_draws import exact_posteriors
from prefq.simulation.panels import Panel
from prefq.simulation.synthetic import make_world
from prefq.simulation.uniformity import ecdf_test
from prefq.vocabulary import FeatureSpace, Gaussian, GaussianMixture, PopulationPrior, ResponseModel


def world(n_users: int = 400, name: str = "gaussian(3)", seed: int = 0, n_pool: int = 300) -> Panel:
    return make_world(name, n_users=n_users, rng=np.random.default_rng(seed), n_pool=n_pool)


def true_prior(panel: Panel) -> Gaussian:
    assert isinstance(panel.true_prior, Gaussian)
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
    error = {name: jackknife(expected_calibration_error, [each.bins[name][10] for each in found]) for name in METHODS}
    assert error["ep"].mean < 0.01 < 0.03 < error["laplace"].mean
    for each in found:
        at = each.users["ep"][10]
        assert at["wrong_promised"].mean() == pytest.approx(at["wrong_true"].mean(), abs=0.02)


def test_exact_draws_have_the_moments_of_integrals_on_a_grid() -> None:
    rng = np.random.default_rng(3)
    camps = GaussianMixture(
        [0.5, 0.2, 0.3], [Gaussian([1.0], [[0.5]]), Gaussian([0.4], [[0.0]]), Gaussian([-1.5], [[0.2]])]
    )
    differences, outcomes = rng.normal(size=(2, 4, 1)) * 2, np.array([[1, -1, 1, 1], [-1, -1, 1, -1]], dtype=np.int8)
    model = ResponseModel(lapse_rate=0.1, position_bias=0.3)
    exact = exact_posteriors(mixture_for_all(camps, 2), differences, outcomes, model, rng=rng, n_draws=20_000)

    at = np.linspace(-8, 8, 8001)
    prior = 0.2 * (np.abs(at - 0.4) < 1e-9) / (at[1] - at[0]) * np.sqrt(2 * np.pi)
    for weight, each in zip(camps.weights[[0, 2]], (camps.components[0], camps.components[2]), strict=True):
        prior += weight * np.exp(-((at - each.mean[0]) ** 2) / (2 * each.covariance[0, 0])) / each.sd[0]
    for user in range(2):
        chance = 1 / (1 + np.exp(-(outcomes[user] * (at[:, None] * differences[user, :, 0] + 0.3))))
        density = prior * (0.9 * chance + 0.05).prod(axis=1)
        density /= density.sum()
        for place in (-1.0, 0.35, 0.45, 1.2):  # the point at .4 is between two of them
            below = exact.cdf(np.ones((1, 1, 1)), np.full((2, 1), place))[user, 0]
            assert below == pytest.approx(density[at <= place].sum(), abs=0.015)
        told = exact.preference_probability(np.full((1, 1, 1), 1.7))[user, 0]
        assert told == pytest.approx(float(density @ (1 / (1 + np.exp(-1.7 * at)))), abs=0.01)


def test_ep_says_what_the_exact_posterior_says() -> None:
    panel = world(30, "gaussian(6)", n_pool=400)
    history = ask(panel, true_prior(panel), 10, rng=np.random.default_rng(1))
    found = calibration(panel, true_prior(panel), history, [10], rng=np.random.default_rng(2), n_exact=20)
    exact, ep = found.users["exact"][10], found.users["ep"][10]

    assert np.isnan(exact["coefficient_90"][20:]).all()
    assert not np.isnan(exact["coefficient_90"][:20]).any()
    for name in ("wrong_promised", "log_loss"):
        np.testing.assert_allclose(ep[name][:20], exact[name][:20], atol=0.04)
    assert found.bins["exact"][10][0].sum() == 20 * 600
    priors, differences = mixture_for_all(true_prior(panel), 30), history.of(panel.first) - history.of(panel.second)
    belief = ep_posteriors(priors, differences, history.outcomes, panel.response_model)
    draws = exact_posteriors(priors, differences, history.outcomes, panel.response_model, rng=np.random.default_rng(0))
    assert draws.effective_sizes.min() > 200
    tests = panel.test_first - panel.test_second
    off = belief.cdf(tests, np.zeros((30, 600))) - draws.cdf(tests, np.zeros((30, 600)))
    assert np.abs(off).mean() < 0.015  # of which the draws' own error is about .01


def test_simulation_based_calibration_passes_and_finds_a_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_sure(priors: Mixtures, *answers: object) -> Mixtures:
        found = ep_posteriors(priors, *answers)  # type: ignore[arg-type]
        return Mixtures(found.weights, tuple(Gaussians(each.means, each.factors * 0.7) for each in found.components))

    planted = {**METHODS, "too sure": Method("a lie", too_sure)}
    monkeypatch.setattr(module, "METHODS", planted)
    panel = world(500)
    values = sbc_values(panel, 8, rng=np.random.default_rng(3))
    tests = {name: ecdf_test(each, rng=np.random.default_rng(4)) for name, each in values.items()}
    assert set(tests) == {*planted, "exact"}
    assert tests["ep"].passed
    assert tests["exact"].passed
    assert not tests["too sure"].passed
    np.testing.assert_allclose(values["ep"], values["exact"], atol=0.12)

    turned = replace(panel.users(slice(200)), outcomes=-panel.outcomes[:200])  # who answer the wrong way round
    wrong = sbc_values(turned, 8, rng=np.random.default_rng(3))
    assert ecdf_test(wrong["exact"], rng=np.random.default_rng(4)).p_value < 0.001


def test_simulation_based_calibration_finds_lapses_that_nobody_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "METHODS", {"ep": METHODS["ep"]})
    panel = world(300, "noisy(0.3)")
    rng = [np.random.default_rng(5) for _ in range(2)]
    assumed = sbc_values(panel, 12, rng=rng[0], response_model=ResponseModel(lapse_rate=0.3))
    ignored = sbc_values(panel, 12, rng=rng[1])
    tests = {
        (name, method): ecdf_test(values[method], rng=np.random.default_rng(6))
        for name, values in (("assumed", assumed), ("ignored", ignored))
        for method in ("ep", "exact")
    }
    assert tests["assumed", "ep"].passed
    assert tests["assumed", "exact"].passed
    assert not tests["ignored", "ep"].passed
    assert not tests["ignored", "exact"].passed


def test_intervals_of_mixtures_are_those_of_the_mixture() -> None:
    panel = world(400, n_pool=50)
    wide = Gaussian(true_prior(panel).mean, true_prior(panel).covariance * 9)
    doubt = GaussianMixture([0.5, 0.5], [true_prior(panel), wide])
    start = PopulationPrior(doubt, FeatureSpace(["a", "b", "c"]))
    history = ask(panel, start, 0, rng=np.random.default_rng(1))
    found = calibration(panel, start, history, [0], rng=np.random.default_rng(2)).users["ep"][0]

    # The truth comes from the narrow half: its 90 % interval of the mixture reaches 2.7 of the narrow deviations.
    assert found["coefficient_90"].mean() > 0.97


def test_simulation_based_calibration_needs_a_true_prior_and_few_features_for_the_exact_one() -> None:
    wide = sbc_values(world(20, "gaussian(9)"), 3, rng=np.random.default_rng(0))
    assert set(wide) == set(METHODS)
    with pytest.raises(InputError, match="takes a world such as gaussian"):
        sbc_values(replace(world(20), true_prior=None), 3, rng=np.random.default_rng(0))


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
