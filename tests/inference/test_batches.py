"""Posteriors of many users at once: equal to those of one, and to integrals on a grid."""

import numpy as np
import pytest
from numpy.typing import NDArray

from prefq.inference.ep import fit_posterior_ep
from prefq.inference.ep_batch import Sites, log_evidence, propagate
from prefq.inference.laplace import fit_posterior
from prefq.inference.laplace_batch import Gaussians, fit_posteriors, same_for_all
from prefq.inference.likelihood import Felt, log_likelihood
from prefq.inference.sites import Margins, approximation, renew, result
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

PLAIN = ResponseModel()


def random_problem(rng: np.random.Generator, wide: float = 1.0) -> tuple[Gaussian, Array, NDArray[np.int8]]:
    n_users, n_answers, n_features = 6, 7, 3
    factor = rng.normal(size=(n_features, n_features))
    prior = Gaussian(rng.normal(size=n_features), wide**2 * factor @ factor.T)
    differences = rng.normal(size=(n_users, n_answers, n_features))
    outcomes = rng.choice(np.array([-1, 0, 1], dtype=np.int8), size=(n_users, n_answers))
    return prior, differences, outcomes


@pytest.mark.parametrize("wide", [0.3, 1.0, 30.0])
@pytest.mark.parametrize("model", [PLAIN, ResponseModel(0.5, 0.3), ResponseModel(0.4, -0.2, 0.05)])
def test_each_user_gets_the_posterior_that_is_found_alone(wide: float, model: ResponseModel) -> None:
    prior, differences, outcomes = random_problem(np.random.default_rng(3), wide=wide)
    together = fit_posteriors(same_for_all(prior, len(outcomes)), differences, outcomes, model)
    for user in range(len(outcomes)):
        alone, _ = fit_posterior(prior, Comparisons(differences[user], outcomes[user]), response_model=model)
        np.testing.assert_allclose(together.means[user], alone.mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(together.covariances[user], alone.covariance, rtol=1e-5, atol=1e-8)


def test_users_searched_for_alone_have_grades_and_are_felt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, model = np.random.default_rng(8), ResponseModel(0.3, 0.2, 0.05, 0.7, 0.4, (1.0, 1.0, 1.0))
    prior, differences, outcomes = random_problem(rng)
    strengths = rng.choice([np.nan, 0.2, 0.9], size=outcomes.shape)
    given = [Comparisons(*each) for each in zip(differences, outcomes, strengths, strict=True)]
    felt = [Felt.of(each, model) for each in given]
    answers = np.stack([each.differences for each in felt]), np.stack([each.outcomes for each in felt])
    monkeypatch.setattr("prefq.inference.laplace_batch.MAX_ITERATIONS", 0)  # nobody is found together
    together = fit_posteriors(same_for_all(prior, len(given)), *answers, model)
    for mean, covariance, each in zip(together.means, together.covariances, given, strict=True):
        alone, _ = fit_posterior(prior, each, response_model=model)
        np.testing.assert_allclose(mean, alone.mean, rtol=1e-9)
        np.testing.assert_allclose(covariance, alone.covariance, rtol=1e-9, atol=1e-12)


def test_a_difference_of_zero_tells_nothing() -> None:
    prior, differences, outcomes = random_problem(np.random.default_rng(4))
    padded = np.concatenate([differences, np.zeros_like(differences[:, :2])], axis=1)
    more = np.concatenate([outcomes, outcomes[:, :2]], axis=1)
    start = same_for_all(prior, len(outcomes))
    plain, with_padding = (fit_posteriors(start, d, o, PLAIN) for d, o in ((differences, outcomes), (padded, more)))
    np.testing.assert_allclose(plain.means, with_padding.means, atol=1e-9)
    np.testing.assert_allclose(plain.covariances, with_padding.covariances, atol=1e-9)
    for d, o in ((differences, outcomes), (padded, more)):
        propagated, _ = propagate(start, d, o, PLAIN, Sites.empty(*o.shape), n_sweeps=60)
        np.testing.assert_allclose(propagated.means, _propagated(start, differences, outcomes).means, atol=1e-8)


def test_no_answers_leave_the_prior() -> None:
    prior, differences, outcomes = random_problem(np.random.default_rng(5))
    start = same_for_all(prior, len(outcomes))
    assert fit_posteriors(start, differences[:, :0], outcomes[:, :0], PLAIN) is start


def test_margins_are_those_of_each_users_gaussian() -> None:
    rng = np.random.default_rng(6)
    factors = rng.normal(size=(2, 3, 3))
    users = Gaussians(rng.normal(size=(2, 3)), factors)
    differences = rng.normal(size=(1, 5, 3))
    mean, variance = users.margins(differences)
    for user in range(2):
        np.testing.assert_allclose(mean[user], differences[0] @ users.means[user])
        covariance = factors[user] @ factors[user].T
        np.testing.assert_allclose(variance[user], np.diag(differences[0] @ covariance @ differences[0].T))


def _propagated(start: Gaussians, differences: Array, outcomes: NDArray[np.int8]) -> Gaussians:
    return propagate(start, differences, outcomes, PLAIN, Sites.empty(*outcomes.shape), n_sweeps=60)[0]


@pytest.mark.parametrize("model", [PLAIN, ResponseModel(0.5, 0.3), ResponseModel(0.0, 0.0, 0.1)])
def test_expectation_propagation_is_near_the_exact_posterior(model: ResponseModel) -> None:
    """Against integrals on a grid in two dimensions, where Laplace is several times further off."""
    rng = np.random.default_rng(7)
    prior = Gaussian([0.3, -0.5], [[4.0, 1.0], [1.0, 2.0]])
    differences = rng.normal(size=(5, 6, 2))
    outcomes = rng.choice(np.array([-1, 1], dtype=np.int8), size=(5, 6))
    start = same_for_all(prior, 5)
    propagated, _ = propagate(start, differences, outcomes, model, Sites.empty(5, 6), n_sweeps=80)
    laplace = fit_posteriors(start, differences, outcomes, model)
    axis = np.linspace(-14, 14, 281)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    offset = grid - prior.mean
    log_prior = -0.5 * np.einsum("gi,ij,gj->g", offset, np.linalg.inv(prior.covariance), offset)
    errors = {"ep": 0.0, "laplace": 0.0}
    for user in range(5):
        margins = grid @ differences[user].T
        replies = np.broadcast_to(outcomes[user], margins.shape)
        log_p = log_prior + log_likelihood(margins, replies, model).value.sum(axis=1)
        weights = np.exp(log_p - log_p.max())
        weights /= weights.sum()
        mean = weights @ grid
        covariance = (grid - mean).T @ ((grid - mean) * weights[:, None])
        for name, found in (("ep", propagated), ("laplace", laplace)):
            errors[name] += float(
                np.abs(found.means[user] - mean).sum() + np.abs(found.covariances[user] - covariance).sum()
            )
    assert errors["ep"] < 0.35 * errors["laplace"]
    np.testing.assert_allclose(propagated.means[-1], mean, atol=0.06)


@pytest.mark.parametrize(("sd", "tolerance"), [(1.5, 1e-4), (3.0, 1e-2)])
def test_expectation_propagation_of_one_answer_has_the_exact_moments(sd: float, tolerance: float) -> None:
    grid = np.linspace(-25 * sd, 25 * sd, 200_001)
    weights = np.exp(-0.5 * (grid - 0.4) ** 2 / sd**2 - np.logaddexp(0, -2 * grid))
    weights /= weights.sum()
    mean = weights @ grid
    propagated, _ = propagate(
        same_for_all(Gaussian([0.4], [[sd**2]]), 1),
        np.array([[[2.0]]]),
        np.ones((1, 1), dtype=np.int8),
        PLAIN,
        Sites.empty(1, 1),
        n_sweeps=60,
    )
    assert propagated.means[0, 0] == pytest.approx(mean, abs=tolerance)
    assert propagated.covariances[0, 0, 0] == pytest.approx(weights @ (grid - mean) ** 2, abs=tolerance * sd)


@pytest.mark.parametrize("model", [PLAIN, ResponseModel(0.4, -0.2, 0.1), ResponseModel(0.3, 0.1, 0.05, 0.8)])
def test_settled_users_are_those_of_the_single_fit(model: ResponseModel) -> None:
    """Sweeps with a fixed count, and their evidence, arrive where the single fit does; grades and lapses included."""
    prior, differences, outcomes = random_problem(np.random.default_rng(9))
    grades = np.where(outcomes == 0, 0, outcomes * np.array([1, 2, 3, 1, 2, 3, 2])).astype(np.int8)
    start = same_for_all(prior, len(outcomes))
    together, sites = propagate(start, differences, grades, model, Sites.empty(*outcomes.shape), n_sweeps=80)
    evidence = log_evidence(start, differences, grades, model, sites)
    strengths = np.array([np.nan, 0.3, 0.9, np.nan, 0.3, 0.9, 0.3])
    for user in range(len(outcomes)):
        comparisons = Comparisons(differences[user], outcomes[user], strengths)
        alone, info = fit_posterior_ep(prior, comparisons, response_model=model)
        np.testing.assert_allclose(together.means[user], alone.mean, atol=1e-5)
        np.testing.assert_allclose(together.covariances[user], alone.covariance, atol=1e-5)
        assert evidence[user] == pytest.approx(info.log_evidence, abs=1e-6)


def test_many_users_with_lapses_get_modes_as_good_as_alone() -> None:
    rng = np.random.default_rng(10)
    model = ResponseModel(0.3, 0.1, 0.15)
    differences = 2 * rng.normal(size=(40, 12, 3))
    outcomes = rng.choice(np.array([-1, 0, 1], dtype=np.int8), size=(40, 12))
    prior = Gaussian(np.zeros(3), 4 * np.eye(3))
    together = fit_posteriors(same_for_all(prior, 40), differences, outcomes, model)
    worse = 0
    for user in range(40):
        alone, _ = fit_posterior(prior, Comparisons(differences[user], outcomes[user]), response_model=model)
        heights = []
        for mean in (together.means[user], alone.mean):
            likelihood = log_likelihood(differences[user] @ mean, outcomes[user], model)
            slope = mean / 4 - differences[user].T @ likelihood.first
            np.testing.assert_allclose(slope, 0, atol=1e-6)
            heights.append(likelihood.value.sum() - mean @ mean / 8)
        worse += heights[0] < heights[1] - 1e-6
    assert worse <= 2  # of several modes, the searches may find different ones


@pytest.mark.parametrize("seed", [444, 716, 1030])
def test_evidence_at_sites_whose_renewal_would_leave_no_gaussian_is_that_at_the_sites_themselves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_features, n_answers = int(rng.integers(1, 4)), int(rng.integers(2, 12))
    differences = rng.normal(size=(1, n_answers, n_features)) * rng.choice([1, 3, 8])
    outcomes = rng.choice([-1, 1], size=(1, n_answers)).astype(np.int8)
    prior = Gaussians(rng.normal(size=(1, n_features)) * 2, np.eye(n_features)[None] * rng.choice([1.0, 3.0, 6.0]))
    model = ResponseModel(lapse_rate=float(rng.choice([0.05, 0.1, 0.3, 0.6])))
    answers, empty = (differences, outcomes, model), Sites.empty(1, n_answers)
    early = propagate(prior, *answers, empty, n_sweeps=int(rng.integers(1, 4)))[1]
    late = propagate(prior, *answers, empty, n_sweeps=200)[1]
    margins = Margins.of(
        np.matmul(differences, prior.means[..., None])[..., 0], np.matmul(differences, prior.factors), outcomes, model
    )
    with pytest.raises(np.linalg.LinAlgError):
        result(margins, renew(margins, approximation(margins, early), early).sites)

    draws = np.random.default_rng(0).normal(size=(200_000, n_features)) @ prior.factors[0].T + prior.means[0]
    chances = np.exp(log_likelihood(draws @ differences[0].T, outcomes, model).value.sum(axis=1))
    evidence = float(log_evidence(prior, *answers, early)[0])
    assert evidence == pytest.approx(np.log(chances.mean()), abs=2)  # three sweeps from nothing
    assert float(log_evidence(prior, *answers, late)[0]) == pytest.approx(np.log(chances.mean()), abs=0.5)
