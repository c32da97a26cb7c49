"""fit_residual: curved groups get a residual and linear ones none, by an evidence that a second method confirms."""

import numpy as np
import pytest
from numpy.typing import NDArray

import prefq
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.likelihood import sigmoid
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

pytest.importorskip("botorch")

from prefq.gp import fit_residual
from prefq.gp import residuals as module
from prefq.gp.kernels import residual_of

PRIOR = Gaussian([0.5, 0.0, -0.5], np.eye(3))
N_USERS, N_ANSWERS = 40, 20


def group(product: float) -> tuple[Array, Array, NDArray[np.int_], NDArray[np.int_]]:
    """Users with tastes from PRIOR, and with a weight of this size, and either sign, on the product of two features."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, N_USERS, N_ANSWERS, 3))
    tastes = rng.multivariate_normal(PRIOR.mean, PRIOR.covariance, size=N_USERS)
    signs = rng.choice([-1.0, 1.0], N_USERS)[:, None]
    scores = [
        np.einsum("uad,ud->ua", side, tastes) + product * signs * side[..., 0] * side[..., 1]
        for side in (first, second)
    ]
    outcomes = np.where(rng.random((N_USERS, N_ANSWERS)) < sigmoid(scores[0] - scores[1]), 1, -1)
    users = np.repeat(np.arange(N_USERS), N_ANSWERS)
    return first.reshape(-1, 3), second.reshape(-1, 3), outcomes.ravel(), users


def test_a_curved_group_gets_a_residual_and_a_linear_one_none() -> None:
    grid = {"shares": (0.0, 0.3, 1.0), "reaches": (1.0,)}
    linear, _ = fit_residual(*group(0.0), prior=PRIOR, **grid)  # type: ignore[arg-type]
    curved, info = fit_residual(*group(2.0), prior=PRIOR, **grid)  # type: ignore[arg-type]

    assert linear.scale == 0
    assert curved.scale > 0
    assert info.log_evidence.max() - info.log_evidence[0] > 10
    assert info.n_users == N_USERS


def test_the_evidence_of_linear_tastes_is_that_of_the_linear_posterior() -> None:
    model = ResponseModel(0.3, 0.1, 0.05, dissimilarity_noise=0.3, dissimilarity_scales=(1.0, 1.0, 2.0))
    first, second, outcomes, users = group(1.0)
    kept = (users < 6) & (np.arange(users.size) % N_ANSWERS < 5 + users)  # unlike numbers of answers
    first, second, outcomes, users = first[kept], second[kept], outcomes[kept], users[kept]
    outcomes[::7] = 0
    _, info = fit_residual(first, second, outcomes, users, prior=PRIOR, response_model=model, shares=(0.0,))
    expected = 0.0
    for user in range(6):
        own = users == user
        told = Comparisons(first[own] - second[own], outcomes[own])
        expected += fit_posterior_ep(PRIOR, told, response_model=model)[1].log_evidence

    assert info.log_evidence[0] == pytest.approx(expected, abs=1e-4)


def test_names_and_order_of_users_do_not_matter() -> None:
    first, second, outcomes, users = (values[:100] for values in group(1.0))
    order = np.random.default_rng(1).permutation(100)
    names = [f"user {number}" for number in users[order]]
    grid = {"shares": (0.0, 0.5), "reaches": (1.0,)}
    _, one = fit_residual(first, second, outcomes, users, prior=PRIOR, **grid)  # type: ignore[arg-type]
    _, other = fit_residual(first[order], second[order], outcomes[order], names, prior=PRIOR, **grid)  # type: ignore[arg-type]

    np.testing.assert_allclose(one.log_evidence, other.log_evidence, atol=1e-4)


def test_of_many_users_those_with_most_answers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_USERS", 3)
    first, second, outcomes, users = group(1.0)
    kept = (users < 5) & ((np.arange(users.size) % N_ANSWERS < 4) | (users >= 2))
    few = users[kept] >= 2
    given = first[kept], second[kept], outcomes[kept], users[kept]
    _, whole = fit_residual(*given, prior=PRIOR, shares=(0.0, 1.0), reaches=(1.0,))
    _, part = fit_residual(*(values[few] for values in given), prior=PRIOR, shares=(0.0,))

    assert whole.n_users == 3
    assert whole.log_evidence[0] == pytest.approx(part.log_evidence[0], abs=1e-6)


def test_a_share_is_of_the_mean_square_margin_and_a_reach_of_the_spread_of_items() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 4000, 3)) * [1.0, 2.0, 0.0]
    found = residual_of(0.5, 1.5, first, second, PRIOR.covariance)

    assert found.scale == pytest.approx(np.sqrt(0.5 * (2 + 8)), rel=0.03)
    np.testing.assert_allclose(found.lengthscales, 1.5 * np.sqrt(3) * np.array([1, 2, 1]), rtol=0.03)


def test_what_does_not_fit_together_is_refused_in_a_sentence() -> None:
    first, second, outcomes, users = group(0.0)
    with pytest.raises(prefq.InputError, match=r"outcomes have shape \(9,\)"):
        fit_residual(first, second, outcomes[:9], users, prior=PRIOR)
    with pytest.raises(prefq.InputError, match=r"\(9, 3\) second items and 800 users arrived; give as many of each"):
        fit_residual(first, second[:9], outcomes, users, prior=PRIOR)
    with pytest.raises(prefq.InputError, match="0 users arrived"):
        fit_residual(first[:0], second[:0], outcomes[:0], users[:0], prior=PRIOR)
    with pytest.raises(prefq.InputError, match=r"with 2 features"):
        fit_residual(first, second, outcomes, users, prior=Gaussian([0.0, 0.0], np.eye(2)))
    with pytest.raises(prefq.InputError, match="outcomes hold other values than 1"):
        fit_residual(first, second, 2 * outcomes, users, prior=PRIOR)
