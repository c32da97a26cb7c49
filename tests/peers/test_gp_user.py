"""Curved users in the harness: without a residual they predict and choose as the linear posterior does."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from prefq.inference.ep import fit_posterior_ep
from prefq.inference.predictive import preference_probability
from prefq.questions.acquisition import information_gain
from prefq.simulation.panels import History, Panel, Study
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

pytest.importorskip("botorch")

Peer = Callable[[str], ModuleType]
MakePanel = Callable[..., Panel]
MODEL = ResponseModel(0.3, 0.2, 0.05, dissimilarity_noise=0.4, dissimilarity_scales=(1.0, 1.0))


def test_without_a_residual_it_is_the_linear_posterior(peer: Peer, small_panel: MakePanel, prior: Gaussian) -> None:
    panel = replace(small_panel(2), response_model=MODEL, test_stretch=1.3)
    study = Study.of(panel, prior, 5)
    rows = np.array([[3, 17, 30], [8, 1, 44]])
    outcomes = np.array([[1, -1, 0], [-1, -1, 1]], dtype=np.int8)
    belief = peer("gp_user").curved(linear=True)(study, rng=np.random.default_rng(0))(History(rows, outcomes))
    asked = (study.first - study.second)[0]
    tests = (panel.test_first - panel.test_second)[0]
    predicted, chosen = belief.predict(*panel.tests), belief.next_rows()

    for user in range(2):
        told = Comparisons(asked[rows[user]], outcomes[user])
        taste, _ = fit_posterior_ep(prior, told, response_model=MODEL)

        def moments(differences: Array, taste: Gaussian = taste) -> tuple[Array, Array]:
            felt = MODEL.felt(differences)
            return felt @ taste.mean, np.square(felt @ taste.factor).sum(axis=1)

        mean, variance = moments(tests)
        np.testing.assert_allclose(predicted[user], preference_probability(1.3 * mean, 1.3**2 * variance), atol=1e-7)
        gains = information_gain(*moments(asked), response_model=MODEL)
        gains[rows[user]] = -1
        assert chosen[user] == np.argmax(gains)
        items = panel.test_first
        np.testing.assert_allclose(belief.score(items)[user], items[0] @ taste.mean, atol=1e-7)


def test_the_residual_is_that_of_the_group_where_its_items_are_known(
    peer: Peer, small_panel: MakePanel, prior: Gaussian
) -> None:
    from prefq.gp import default_residual, fit_residual

    study = Study.of(small_panel(1), prior, 5)
    module, group = peer("gp_user"), study.group
    unknown = module.residual_of_group(study)
    first = group.differences + 1.0
    known = module.residual_of_group(replace(study, group=group._replace(first=first)))
    expected, _ = fit_residual(first, np.ones_like(first), group.outcomes, group.users, prior=prior)

    assert unknown.scale == default_residual(study.first[0], study.second[0], prior.covariance).scale
    assert known.scale == expected.scale
    np.testing.assert_allclose(known.lengthscales, expected.lengthscales)
