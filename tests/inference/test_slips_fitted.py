"""A group whose people slip: thresholds and spread of tastes are found as if they did not."""

import numpy as np
import pytest

from prefq.inference.likelihood import reply_probabilities
from prefq.inference.population import fit_population_prior
from prefq.vocabulary import Gaussian, ResponseModel

SLIPPING = ResponseModel(tie_threshold=0.75, position_bias=0.3, lapse_rate=0.2)
TASTES = Gaussian([0.8, -0.6, 0.3], np.diag([3.0, 2.0, 1.0]))


def test_slips_do_not_hide_how_far_tastes_reach() -> None:
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(250), 30)
    tastes = rng.multivariate_normal(TASTES.mean, TASTES.covariance, size=250)
    differences = rng.normal(size=(users.size, 3)) * 1.2
    chances = reply_probabilities((differences * tastes[users]).sum(axis=1), SLIPPING).cumsum(axis=1)
    outcomes = np.array([1, 0, -1])[(rng.random((users.size, 1)) >= chances[:, :2]).sum(axis=1)]
    prior = fit_population_prior(differences, outcomes, users, n_components=1)

    found = prior.response_model
    assert found.lapse_rate == pytest.approx(0.2, abs=0.051)
    assert found.tie_threshold == pytest.approx(0.75, abs=0.12)  # .6 and below where it is fitted as if nobody slipped
    assert found.position_bias == pytest.approx(0.3, abs=0.12)
    assert np.trace(prior.coefficients.covariance) == pytest.approx(6.0, rel=0.25)
