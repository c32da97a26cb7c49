"""The prior fitted on a group: near the population it came from, and nothing where there is nothing."""

import numpy as np

from prefq.simulation.group_prior import fit_group_prior, pooled_coefficients
from prefq.simulation.panels import GroupAnswers
from prefq.vocabulary import Gaussian, ResponseModel

PLAIN = ResponseModel()


def group_of(coefficients: np.ndarray, n_answers: int, rng: np.random.Generator) -> GroupAnswers:
    n_users, n_features = coefficients.shape
    differences = rng.normal(size=(n_users, n_answers, n_features))
    margins = np.einsum("uaf,uf->ua", differences, coefficients)
    outcomes = np.where(rng.random(margins.shape) < 1 / (1 + np.exp(-margins)), 1, -1).astype(np.int8)
    return GroupAnswers(differences.reshape(-1, n_features), outcomes.ravel(), np.repeat(np.arange(n_users), n_answers))


def test_it_finds_the_population() -> None:
    rng = np.random.default_rng(1)
    truth = Gaussian([1.0, -0.5, 0.0], [[2.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 0.2]])
    fits = [
        fit_group_prior(group_of(rng.multivariate_normal(truth.mean, truth.covariance, size=400), 20, rng), PLAIN)
        for _ in range(3)
    ]
    np.testing.assert_allclose(np.mean([fit.mean for fit in fits], axis=0), truth.mean, atol=0.12)
    np.testing.assert_allclose(np.mean([fit.covariance for fit in fits], axis=0), truth.covariance, atol=0.3)


def test_people_who_agree_get_a_narrow_prior() -> None:
    rng = np.random.default_rng(2)
    everybody = np.tile([1.5, -1.0], (300, 1))
    fit = fit_group_prior(group_of(everybody, 20, rng), PLAIN)
    np.testing.assert_allclose(fit.mean, [1.5, -1.0], atol=0.15)
    assert fit.sd.max() < 0.35


def test_it_does_not_depend_on_the_order_of_answers_or_on_names() -> None:
    rng = np.random.default_rng(3)
    group = group_of(rng.normal(size=(40, 2)), 8, rng)
    order = rng.permutation(len(group.users))
    shuffled = GroupAnswers(group.differences[order], group.outcomes[order], 1000 - group.users[order])
    one, other = fit_group_prior(group, PLAIN), fit_group_prior(shuffled, PLAIN)
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-6)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-6)


def test_it_follows_the_units_of_the_features() -> None:
    rng = np.random.default_rng(4)
    group = group_of(rng.normal(size=(60, 2)), 10, rng)
    units = np.array([100.0, 0.01])
    one = fit_group_prior(group, PLAIN)
    other = fit_group_prior(group._replace(differences=group.differences * units), PLAIN)
    np.testing.assert_allclose(other.mean * units, one.mean, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(other.covariance * np.outer(units, units), one.covariance, rtol=0.1, atol=0.05)


def test_users_with_few_answers_and_features_that_never_differ() -> None:
    rng = np.random.default_rng(5)
    group = group_of(rng.normal(size=(30, 3)), 6, rng)
    keep = rng.random(len(group.users)) < 0.5
    keep[:2] = True
    differences = group.differences.copy()
    differences[:, 2] = 0.0
    fit = fit_group_prior(GroupAnswers(differences[keep], group.outcomes[keep], group.users[keep]), PLAIN)
    assert np.isfinite(fit.covariance).all()
    assert fit.mean[2] == 0.0


def test_the_pooled_regression_is_the_maximum_of_its_likelihood() -> None:
    rng = np.random.default_rng(6)
    group = group_of(np.tile([0.8, -0.4], (200, 1)), 10, rng)
    pooled = pooled_coefficients(group)

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -group.outcomes * (group.differences @ w)).sum() + (w @ w) / 50)

    around = [loss(pooled + step) for step in 0.02 * np.vstack([np.eye(2), -np.eye(2)])]
    assert loss(pooled) < min(around)
    np.testing.assert_allclose(pooled, [0.8, -0.4], atol=0.12)
