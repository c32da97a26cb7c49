"""BoTorch's PairwiseGP against our posterior and against integrals: it is the same mathematics, so it must agree."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.special import entr, ndtr

from prefq.inference.laplace import fit_posterior
from prefq.questions.acquisition import information_gain
from prefq.simulation.panels import History, Panel, Study
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

pytest.importorskip("botorch")

Peer = Callable[[str], ModuleType]
MakePanel = Callable[..., Panel]


def answers(prior: Gaussian, n_answers: int) -> tuple[Array, Array, Any]:
    rng = np.random.default_rng(n_answers)
    first, second = rng.normal(size=(2, n_answers, prior.n_features))
    taste = rng.multivariate_normal(prior.mean, prior.covariance)
    outcomes = np.where(rng.logistic(size=n_answers) < (first - second) @ taste, 1, -1)
    outcomes[n_answers // 2] = 0
    return first, second, outcomes.astype(np.int8)


@pytest.mark.parametrize("n_answers", [1, 5, 20])
def test_with_our_prior_it_has_our_laplace_posterior(peer: Peer, n_answers: int) -> None:
    module = peer("pairwise_gp")
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(4, 4))
    prior = Gaussian(rng.normal(size=4), mixing @ mixing.T / 2)
    first, second, outcomes = answers(prior, n_answers)
    panel_like = Study(
        first[None],
        second[None],
        np.ones((1, n_answers), dtype=bool),
        n_answers,
        prior,
        ResponseModel(),
        None,  # type: ignore[arg-type]
    )
    learn = module.with_prior(module.eubo)(panel_like, rng=np.random.default_rng(0))
    (belief,) = learn(History(np.arange(n_answers)[None], outcomes[None])).beliefs
    expected, _ = fit_posterior(prior, Comparisons(first - second, outcomes))

    differences = rng.normal(size=(50, 4))
    mean, variance = belief.weights.margins(differences[None])
    np.testing.assert_allclose(mean[0], differences @ expected.mean, atol=1e-4)
    np.testing.assert_allclose(
        variance[0], np.einsum("ni,ij,nj->n", differences, expected.covariance, differences), atol=1e-4
    )
    assert belief.repairs == ()


def a_model(module: ModuleType, n_answers: int) -> tuple[Any, Gaussian]:
    """The published model after some answers, and what it believes about its weights."""
    first, second, outcomes = answers(Gaussian(np.zeros(3), np.eye(3)), n_answers)
    with module.as_in_botorch(0):
        model, repairs = module.published_model(first, second, outcomes)
        mean, covariance = module.coefficients(model, 3, 3)
    assert repairs == ()
    return model, Gaussian(mean, module.symmetric(covariance))


def test_its_eubo_is_the_mean_of_the_better_one(peer: Peer) -> None:
    import torch

    module = peer("pairwise_gp")
    model, weights = a_model(module, 8)
    pairs = np.random.default_rng(5).normal(size=(6, 2, 3))
    drawn = np.random.default_rng(6).multivariate_normal(weights.mean, weights.covariance, size=400_000)
    with torch.no_grad():
        scores = module.eubo(model, torch.from_numpy(pairs)).numpy()
    by_sampling = np.maximum(drawn @ pairs[:, 0].T, drawn @ pairs[:, 1].T).mean(axis=0)

    np.testing.assert_allclose(scores, by_sampling, atol=0.006)


def test_its_bald_is_the_mutual_information_of_a_probit_answer(peer: Peer) -> None:
    import torch

    module = peer("pairwise_gp")
    model, weights = a_model(module, 8)
    pairs = np.random.default_rng(5).normal(size=(6, 2, 3))
    difference = pairs[:, 0] - pairs[:, 1]
    sd = np.sqrt(np.einsum("ni,ij,nj->n", difference, weights.covariance, difference))
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(80)
    chances = ndtr((difference @ weights.mean)[:, None] + sd[:, None] * nodes)
    node_weights = node_weights / node_weights.sum()
    exact = binary_entropy(chances @ node_weights) - binary_entropy(chances) @ node_weights
    with module.as_in_botorch(0), torch.no_grad():
        scores = module.bald(model, torch.from_numpy(pairs)).numpy()

    # 1,024 samples of an entropy between 0 and log 2
    np.testing.assert_allclose(scores, exact, atol=0.025)


def test_its_bald_with_our_prior_ranks_as_information_gain(peer: Peer) -> None:
    import torch

    module = peer("pairwise_gp")
    prior = Gaussian(np.zeros(3), np.diag([3.0, 1.0, 0.3]))
    factor = prior.factor
    pairs = np.random.default_rng(5).normal(size=(300, 2, 3))
    columns = np.concatenate([pairs @ factor, (pairs @ prior.mean)[..., None]], axis=-1)
    with module.as_in_botorch(0), torch.no_grad():
        model, _ = module.prior_model(np.empty((0, 4)), np.empty((0, 4)), np.empty(0, dtype=np.int8), 3)
        scores = module.bald_of_logits(model, torch.from_numpy(columns)).numpy()
    difference = pairs[:, 0] - pairs[:, 1]
    variance = np.einsum("ni,ij,nj->n", difference, prior.covariance, difference)
    exact = information_gain(np.zeros(300), variance, response_model=ResponseModel())

    # The probit stands in for the logistic, and there are 1,024 samples.
    np.testing.assert_allclose(scores, exact, atol=0.06)
    assert np.corrcoef(scores, exact)[0, 1] > 0.97


@pytest.mark.parametrize("recipe", ["as_published", "with_prior"])
def test_near_twins_and_contradictions_do_not_stop_it(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, recipe: str
) -> None:
    panel = small_panel(1)
    first = np.repeat(panel.first[:, :1], 12, axis=1) + 1e-9 * np.arange(12)[None, :, None]
    second = np.repeat(panel.second[:, :1], 12, axis=1)
    second[0, 6:9] = first[0, 6:9] + 1e-7
    second[0, 9:] = first[0, 9:] + 1e-3
    history = History(np.arange(11)[None], np.array([[1, -1] * 5 + [1]], dtype=np.int8))
    study = Study(first, second, np.ones((1, 12), dtype=bool), 12, prior, ResponseModel(), panel.group)
    module = peer("pairwise_gp")
    learn = getattr(module, recipe)(module.bald)(study, rng=np.random.default_rng(0))
    belief = learn(history)
    probabilities = belief.predict(panel.test_first, panel.test_second)

    assert belief.next_rows().tolist() == [11]
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert belief.beliefs[0].repairs[0] == "3 answers between equal items left out"


def test_an_answer_between_equal_items_tells_it_nothing(peer: Peer, small_panel: MakePanel, prior: Gaussian) -> None:
    panel = small_panel(1)
    second = panel.second.copy()
    second[0, 3] = panel.first[0, 3]
    study = Study(panel.first, second, panel.open, 5, prior, ResponseModel(), panel.group)
    module = peer("pairwise_gp")
    learn = module.with_prior(module.eubo)(study, rng=np.random.default_rng(0))
    with_it, without = (
        learn(History(np.array([rows]), np.array([outcomes], dtype=np.int8))).predict(
            panel.test_first, panel.test_second
        )
        for rows, outcomes in (([8, 3, 20], [1, 1, -1]), ([8, 20], [1, -1]))
    )

    np.testing.assert_allclose(with_it, without, atol=1e-6)
    only_it = History(np.array([[3]]), np.array([[1]], dtype=np.int8))
    published = module.as_published(module.bald)(study, rng=np.random.default_rng(0))(only_it)
    assert published.predict(panel.test_first, panel.test_second) == pytest.approx(0.5)
    assert published.next_rows() != [3]


def test_the_global_generators_are_left_as_they_were(peer: Peer) -> None:
    import torch

    before = torch.random.get_rng_state()
    state = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    a_model(peer("pairwise_gp"), 3)

    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


def binary_entropy(p: Array) -> Array:
    return np.asarray(entr(p) + entr(1 - p))
