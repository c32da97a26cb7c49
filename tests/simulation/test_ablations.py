"""Ablations exchange the part that their name says and nothing else; panels they do not suit are refused."""

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.inference.laplace import fit_posterior
from prefq.questions.acquisition import information_gain
from prefq.questions.costs import SECONDS_TO_CHOOSE
from prefq.simulation.ablations import BY_NAME_ONLY
from prefq.simulation.curves import learning_curve
from prefq.simulation.panels import GroupAnswers, History, Panel, Start, Study
from prefq.simulation.starts import fit_laplace_em, isotropic, true_moments, true_prior
from prefq.simulation.strategies import OURS
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Comparisons, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

STRATEGIES = {strategy.name: strategy for strategy in (*OURS, *BY_NAME_ONLY)}
PANEL = make_world("gaussian(2)", n_users=4, n_pool=60, rng=np.random.default_rng(3))
PRIOR = Gaussian([0.5, -0.2], [[1.0, 0.3], [0.3, 2.0]])


def curve_of(name: str, panel: Panel = PANEL, prior: Start = PRIOR) -> dict[str, np.ndarray]:
    curve = learning_curve(STRATEGIES[name], panel, prior, n_questions=4, rng=np.random.default_rng(0))
    return {**curve.measures, "rows": curve.history.rows}


def test_laplace_predicts_otherwise_and_asks_the_same_at_first() -> None:
    panel = make_world("gaussian(2)", n_users=8, n_pool=600, rng=np.random.default_rng(3))
    default, laplace, chosen = (
        curve_of(name, panel) for name in ("information_gain", "information_gain_laplace", "chosen_by_laplace")
    )
    np.testing.assert_array_equal(default["rows"][:, 0], laplace["rows"][:, 0])
    assert (default["rows"] != laplace["rows"]).any()
    np.testing.assert_array_equal(chosen["rows"], laplace["rows"])
    np.testing.assert_array_equal(chosen["log_loss"][:, 0], default["log_loss"][:, 0])
    assert np.abs(default["log_loss"] - laplace["log_loss"])[:, 1:].max() > 1e-3
    np.testing.assert_allclose(default["log_loss"][:, 0], laplace["log_loss"][:, 0])


def test_the_right_prior_is_that_of_the_population_whatever_was_fitted() -> None:
    assert PANEL.true_prior is not None
    right, as_if_fitted = curve_of("right_prior"), curve_of("information_gain", prior=PANEL.true_prior)
    np.testing.assert_allclose(right["log_loss"], as_if_fitted["log_loss"])
    with pytest.raises(InputError, match="leave the strategies 'right_prior'"):
        true_prior(Study.of(make_world("agree(1)", n_users=2, n_pool=20, rng=np.random.default_rng(1)), PRIOR, 1))


def test_the_population_of_clustered_is_where_its_users_are_and_one_gaussian_has_its_moments() -> None:
    panel = make_world("clustered", n_users=600, n_pool=60, rng=np.random.default_rng(1))
    population = panel.true_prior
    assert population is not None
    tastes = np.linalg.lstsq((panel.first - panel.second)[0], np.asarray(panel.margins).T, rcond=None)[0].T
    distances = np.stack([np.linalg.norm(tastes - each.mean, axis=1) for each in population.components])
    nearest = distances.min(axis=0)
    # Within a cluster squared distances are .4² times chi-squared with six degrees of freedom.
    assert abs(np.square(nearest).mean() - 6 * 0.16) < 4 * 0.16 * np.sqrt(12 / 600)
    counts = np.bincount(distances.argmin(axis=0), minlength=3)
    assert (abs(counts - 200) < 4 * np.sqrt(600 * 2 / 9)).all()
    study = Study.of(panel, PopulationPrior(population, FeatureSpace([f"x{i}" for i in range(6)]), impersonal=1), 1)
    moments = true_moments(study)
    np.testing.assert_allclose(moments.prior.mean, population.mean)
    np.testing.assert_allclose(moments.prior.covariance, population.covariance)
    assert len(moments.prior.components) == 1
    assert (true_prior(study).impersonal, moments.impersonal) == (None, None)


def test_the_isotropic_guess_is_that_of_a_pool_without_a_prior_for_people_with_a_taste() -> None:
    items = np.concatenate([PANEL.first[0], PANEL.second[0]]) * [1.0, 40.0]
    pool = prefq.CandidatePool.from_arrays(items, [[i, 60 + i] for i in range(60)])
    expected, _ = pool.starting_point().coefficients.components
    study = Study.of(PANEL, PRIOR, 1)
    scaled = Study(
        study.first * [1.0, 40.0], study.second * [1.0, 40.0], study.open, 1, PRIOR, ResponseModel(), study.group
    )
    found = isotropic(scaled).prior
    np.testing.assert_allclose(found.mean, expected.mean)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9)


def test_laplace_em_is_a_fixed_point_of_single_posteriors() -> None:
    rng = np.random.default_rng(5)
    tastes = rng.multivariate_normal(PRIOR.mean, PRIOR.covariance, size=80)
    differences, users = rng.normal(size=(80 * 12, 2)), np.repeat(np.arange(80), 12)
    chances = 1 / (1 + np.exp(-(differences * tastes[users]).sum(axis=1)))
    outcomes = np.where(rng.random(chances.size) < chances, 1, -1).astype(np.int8)
    found = fit_laplace_em(GroupAnswers(differences, outcomes, users), ResponseModel())
    single = [fit_posterior(found, Comparisons(differences[users == i], outcomes[users == i]))[0] for i in range(80)]
    means = np.stack([each.mean for each in single])
    covariance = np.mean([each.covariance for each in single], axis=0) + np.cov(means.T, bias=True)
    np.testing.assert_allclose(means.mean(axis=0), found.mean, atol=0.02)
    np.testing.assert_allclose(covariance, found.covariance, atol=0.03)
    assert np.trace(found.covariance) < 0.9 * np.trace(PRIOR.covariance)  # modes lie too near zero


def test_information_per_second_prefers_what_is_read_sooner() -> None:
    words = np.full((1, 60), 400.0)
    words[0, :30] = 40.0
    study = Study.of(PANEL, PRIOR, 1)
    told = Study(study.first, study.second, study.open, 1, PRIOR, ResponseModel(), study.group, words=words)
    rows = STRATEGIES["information_per_second"].begin(told, rng=np.random.default_rng(0))(History.empty(4)).next_rows()
    differences = (PANEL.first - PANEL.second)[0]
    mean = differences @ PRIOR.mean
    variance = np.einsum("ij,jk,ik->i", differences, PRIOR.covariance, differences)
    gains = information_gain(mean, variance, response_model=ResponseModel())
    assert (rows == (gains / (words[0] / 4 + SECONDS_TO_CHOOSE)).argmax()).all()
    with pytest.raises(InputError, match="leave the strategy 'information_per_second' out"):
        STRATEGIES["information_per_second"].begin(study, rng=np.random.default_rng(0))


def test_utility_of_best_asks_for_what_is_expected_to_be_worth_most() -> None:
    rows = curve_of("expected_utility_of_best")["rows"][:, 0]
    draws = np.random.default_rng(4).multivariate_normal(PRIOR.mean, PRIOR.covariance, size=40_000)
    best = np.maximum(draws @ PANEL.first[0].T, draws @ PANEL.second[0].T).mean(axis=0)
    assert (best[rows] > np.sort(best)[-2] - 0.02).all()
