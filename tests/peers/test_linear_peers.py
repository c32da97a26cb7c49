"""Logistic regression, RFM and LoRe against second methods."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
from scipy.optimize import minimize

from prefq.simulation.panels import GroupAnswers, History, Panel, Study
from prefq.vocabulary import Array, Gaussian

Peer = Callable[[str], ModuleType]
MakePanel = Callable[..., Panel]
HISTORY = History(
    np.array([[3, 8, 21, 40, 17], [5, 6, 7, 8, -1]]), np.array([[1, -1, 0, 1, 1], [-1, 1, 1, 1, 0]], dtype=np.int8)
)


def minimised(differences: Array, outcomes: Array, precision: Array, mean: Array) -> Array:
    """Ridge logistic regression by SciPy's general minimiser; a tie counts once each way."""

    def loss(w: Array) -> float:
        margins = differences @ w
        one = np.logaddexp(0, -margins)[outcomes >= 0].sum() + np.logaddexp(0, margins)[outcomes <= 0].sum()
        return float(one + (w - mean) @ precision @ (w - mean) / 2)

    return np.asarray(minimize(loss, mean, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).x)


def test_logistic_regression_is_scikit_learns_ridge(peer: Peer, small_panel: MakePanel, prior: Gaussian) -> None:
    study = Study.of(small_panel(2), prior, 5)
    estimates = peer("logistic").coefficients(study, HISTORY).means

    for user in range(2):
        asked = HISTORY.rows[user] >= 0
        differences = study.differences[0, HISTORY.rows[user, asked]]
        expected = minimised(differences, HISTORY.outcomes[user, asked], np.eye(2), np.zeros(2))
        np.testing.assert_allclose(estimates[user], expected, atol=1e-5)


def test_uncertainty_sampling_asks_the_most_even_question(peer: Peer, small_panel: MakePanel, prior: Gaussian) -> None:
    study = Study.of(small_panel(2), prior, 5)
    module = peer("logistic")
    belief = module.begin_uncertain(study, rng=np.random.default_rng(0))(HISTORY)
    probabilities = belief.predict(study.first, study.second)

    for user, row in enumerate(belief.next_rows()):
        unasked = np.setdiff1d(np.arange(50), HISTORY.rows[user])
        assert row == unasked[np.abs(probabilities[user, unasked] - 0.5).argmin()]


def test_rfm_does_not_depend_on_the_unit_of_a_feature(peer: Peer, small_panel: MakePanel, prior: Gaussian) -> None:
    panel = small_panel(2)
    study = Study.of(panel, prior, 5)
    stretch = np.array([100.0, 0.01])
    group = panel.group._replace(differences=panel.group.differences * stretch)
    other = Study(study.first * stretch, study.second * stretch, study.open, 5, prior, study.response_model, group)
    module = peer("rfm")
    one, two = (module.recipe(module.ridge)(each, rng=np.random.default_rng(0))(HISTORY) for each in (study, other))

    np.testing.assert_allclose(
        one.predict(study.first, study.second), two.predict(other.first, other.second), atol=1e-6
    )


def test_rfm_with_our_prior_is_the_mode_under_it(peer: Peer, small_panel: MakePanel, prior: Gaussian) -> None:
    study = Study.of(small_panel(2), prior, 5)
    module = peer("rfm")
    belief = module.recipe(module.ours)(study, rng=np.random.default_rng(0))(HISTORY)
    precision = np.asarray(np.linalg.inv(prior.covariance), dtype=np.float64)
    asked = study.differences[0, HISTORY.rows[0]]
    expected = minimised(asked, HISTORY.outcomes[0], precision, prior.mean)

    np.testing.assert_allclose(belief.score(np.eye(2)[None])[0], expected, atol=1e-5)


def test_lore_finds_the_best_point_of_the_simplex(peer: Peer) -> None:
    rng = np.random.default_rng(2)
    bases, differences = rng.normal(size=(4, 3)), rng.normal(size=(2, 8, 4))
    outcomes = np.where(rng.random((2, 8)) < 0.5, 1, -1).astype(np.int8)
    weights = peer("lore").simplex_weights(bases, differences, outcomes)

    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert (weights >= 0).all()
    grid = np.array([(i, j, 200 - i - j) for i in range(201) for j in range(201 - i)]) / 200
    for user in range(2):
        losses = np.logaddexp(0, -outcomes[user, :, None] * (differences[user] @ bases @ grid.T)).sum(axis=0)
        mine = np.logaddexp(0, -outcomes[user] * (differences[user] @ bases @ weights[user])).sum()
        assert mine < losses.min() + 2e-3


def test_lore_starts_from_equal_weights_and_a_strong_prior_holds_it(peer: Peer) -> None:
    rng = np.random.default_rng(3)
    bases = rng.normal(size=(2, 3))
    module = peer("lore")
    np.testing.assert_allclose(
        module.simplex_weights(bases, np.empty((1, 0, 2)), np.empty((1, 0), dtype=np.int8)), 1 / 3
    )

    inside = bases @ np.array([0.5, 0.2, 0.3])
    strong = Gaussian(inside, 1e-4 * np.eye(2))
    differences, outcomes = rng.normal(size=(1, 6, 2)), np.ones((1, 6), dtype=np.int8)
    held = module.simplex_weights(bases, differences, outcomes, strong) @ bases.T
    free = module.simplex_weights(bases, differences, outcomes) @ bases.T

    assert np.linalg.norm(held - inside) < 0.02 < np.linalg.norm(free - inside)


def test_base_rewards_of_two_camps_point_both_ways(peer: Peer) -> None:
    """Half of a group likes what the other half does not: some base rewards are for it, some against."""
    rng = np.random.default_rng(4)
    taste = np.array([2.0, -1.0, 0.0])
    differences, users = rng.normal(size=(1200, 3)), np.repeat(np.arange(60), 20)
    margins = np.where(users % 2, 1, -1) * (differences @ taste)
    outcomes = np.where(margins > 0, 1, -1).astype(np.int8)
    group = GroupAnswers(differences, outcomes, users)
    bases = peer("lore").base_rewards(group, 4, rng=np.random.default_rng(0))
    along = (taste @ bases) / np.linalg.norm(taste) / np.linalg.norm(bases, axis=0)

    assert along.max() > 0.9
    assert along.min() < -0.9
