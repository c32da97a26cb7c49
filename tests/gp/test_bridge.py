"""The bridge to BoTorch: its model is our posterior, and BoTorch's acquisition functions say of it what ours do."""

import numpy as np
import pytest
from scipy.special import entr, ndtr

import prefq
from prefq.inference.likelihood import sigmoid
from prefq.questions.acquisition import expected_absolute, expected_utility_of_best, information_gain
from prefq.vocabulary import Array, FeatureSpace, Gaussian, GaussianMixture, ResponseModel

pytest.importorskip("botorch")

import torch
from botorch.acquisition import qUpperConfidenceBound
from botorch.acquisition.preference import (
    AnalyticExpectedUtilityOfBestOption,
    PairwiseBayesianActiveLearningByDisagreement,
    qExpectedUtilityOfBestOption,
)
from botorch.optim import optimize_acqf_discrete
from botorch.sampling.normal import SobolQMCNormalSampler

from prefq.gp import PairInformation, linear_model

SPACE = FeatureSpace(["warm", "formal", "long"])
TO_PROBIT = np.sqrt(np.pi / 8)  # logits in units of the probit that comes nearest (MacKay 1992)


def taste(n_features: int = 3, *, seed: int = 0, spread: float = 1.0) -> Gaussian:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) * spread
    return Gaussian(rng.normal(size=n_features), mixing @ mixing.T)


def pairs(n: int = 200, *, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=(n, 2, 3))


def margins(posterior: Gaussian, of: Array) -> tuple[Array, Array]:
    differences = of[:, 0] - of[:, 1]
    return differences @ posterior.mean, np.square(differences @ posterior.factor).sum(axis=1)


def test_scores_have_the_mean_and_covariance_of_the_coefficients() -> None:
    posterior, items = taste(), np.random.default_rng(2).normal(size=(4, 5, 3))
    found = linear_model(posterior, SPACE).posterior(torch.tensor(items))

    np.testing.assert_allclose(found.mean[..., 0].numpy(), items @ posterior.mean, atol=1e-12)
    expected = items @ posterior.covariance @ items.swapaxes(1, 2)
    np.testing.assert_allclose(found.distribution.covariance_matrix.numpy(), expected, atol=1e-12)


def test_draws_of_scores_have_that_covariance_too() -> None:
    posterior, items = taste(), np.random.default_rng(2).normal(size=(5, 3))
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([1 << 14]), seed=0)
    drawn = sampler(linear_model(posterior, SPACE).posterior(torch.tensor(items)))[..., 0].numpy()

    expected = items @ posterior.covariance @ items.T
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.01 * np.trace(expected))  # quasi-random: 16,384 draws


def test_of_a_mixture_the_model_is_the_gaussian_with_its_moments() -> None:
    mixture = GaussianMixture([0.3, 0.7], [taste(seed=1), taste(seed=2)])
    items = torch.tensor(pairs(1)[0])
    whole = linear_model(Gaussian(mixture.mean, mixture.covariance), SPACE).posterior(items)
    found = linear_model(mixture, SPACE).posterior(items)

    torch.testing.assert_close(found.mean, whole.mean)
    torch.testing.assert_close(found.distribution.covariance_matrix, whole.distribution.covariance_matrix)


def test_a_profile_brings_its_own_feature_space() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0, 1.0], [1.0, 0.0], [3.0, 1.0]], [[0, 1], [1, 2]])
    profile = prefq.fit_profile(pool, [prefq.Answer("1-0", "first")], user_id="ada")
    scores = profile.score(pool.features)
    found = linear_model(profile, pool.feature_space).posterior(torch.tensor(pool.features))

    np.testing.assert_allclose(found.mean[:, 0].numpy(), scores.mean, atol=1e-12)
    np.testing.assert_allclose(found.variance[:, 0].numpy(), scores.sd**2, atol=1e-12)
    with pytest.raises(prefq.MismatchError, match="the profile belongs to another feature space"):
        linear_model(profile, SPACE)


def test_our_expected_utility_of_best_is_that_of_botorch() -> None:
    posterior, of = taste(), pairs()
    mean, variance = margins(posterior, of)
    ours = expected_utility_of_best(expected_absolute(mean, variance), (of @ posterior.mean).mean(axis=1))
    model = linear_model(posterior, SPACE)
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([4096]), seed=0)
    with torch.no_grad():
        analytic = AnalyticExpectedUtilityOfBestOption(model)(torch.tensor(of)).numpy()
        by_sampling = qExpectedUtilityOfBestOption(model, sampler=sampler)(torch.tensor(of)).numpy()

    np.testing.assert_allclose(ours, analytic, atol=1e-7)
    np.testing.assert_allclose(ours, by_sampling, atol=0.02 * np.sqrt(variance.max()))


def test_our_information_gain_is_what_draws_of_the_model_tell() -> None:
    posterior, of = taste(), pairs(60)
    ours = information_gain(*margins(posterior, of), response_model=ResponseModel())
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([1 << 14]), seed=0)
    drawn = sampler(linear_model(posterior, SPACE).posterior(torch.tensor(of)))[..., 0].numpy()
    first = sigmoid(drawn[..., 0] - drawn[..., 1])
    told = first.mean(axis=0)
    by_sampling = entr(told) + entr(1 - told) - (entr(first) + entr(1 - first)).mean(axis=0)

    np.testing.assert_allclose(ours, by_sampling, atol=2e-3)


def test_bald_of_botorch_is_its_probit_of_our_margins_and_close_to_our_logistic() -> None:
    posterior, of = taste(), pairs(60)
    mean, variance = margins(posterior, of)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    at = ndtr(TO_PROBIT * (mean[:, None] + np.sqrt(variance)[:, None] * nodes))
    weights = weights / weights.sum()
    exact = entr(at @ weights) + entr(1 - at @ weights) - (entr(at) + entr(1 - at)) @ weights
    torch.manual_seed(0)
    rule = PairwiseBayesianActiveLearningByDisagreement(linear_model(posterior, SPACE), num_samples=20_000)
    with torch.no_grad():
        theirs = rule(torch.tensor(of * TO_PROBIT)).numpy()

    np.testing.assert_allclose(theirs, exact, atol=8e-3)  # entropies vary by .25 at most: four standard errors
    # The probit has lighter tails than the logistic, and so tells up to .03 nats more; the order is the same.
    ours = information_gain(mean, variance, response_model=ResponseModel())
    np.testing.assert_allclose(theirs, ours, atol=0.03 + 8e-3)
    assert np.corrcoef(theirs, ours)[0, 1] > 0.999


@pytest.mark.parametrize(
    "model",
    [
        ResponseModel(),
        ResponseModel(0.4, -0.3, 0.0),
        ResponseModel(0.4, 0.2, 0.1),
        ResponseModel(0.0, 0.5, 0.2),
        ResponseModel(dissimilarity_noise=0.7, dissimilarity_scales=(1.0, 0.5, 2.0)),
    ],
)
@pytest.mark.parametrize("spread", [0.1, 1.0, 12.0])
def test_pair_information_is_information_gain(model: ResponseModel, spread: float) -> None:
    posterior, of = taste(spread=spread), pairs(50)
    mean, variance = margins(posterior, of)
    loudness = model.loudness(of[:, 0] - of[:, 1])
    expected = information_gain(mean * loudness, variance * loudness**2, response_model=model)
    with torch.no_grad():
        found = PairInformation(linear_model(posterior, SPACE), model)(torch.tensor(of)).numpy()

    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_the_gradient_of_pair_information_is_that_of_finite_differences() -> None:
    model = ResponseModel(0.3, 0.1, 0.05, dissimilarity_noise=0.4, dissimilarity_scales=(1.0, 1.0, 1.0))
    rule = PairInformation(linear_model(taste(), SPACE), model)
    of = torch.tensor(pairs(5), requires_grad=True)

    assert torch.autograd.gradcheck(rule, (of,), eps=1e-5, atol=1e-6)


def test_near_twins_and_twins_crash_nothing() -> None:
    model, rng = linear_model(taste(), SPACE), np.random.default_rng(3)
    item = rng.normal(size=(40, 1, 3))
    apart = np.array([0.0, 1e-14, 1e-10, 1e-6])[np.arange(40) % 4]
    twins = torch.tensor(np.concatenate([item, item + apart[:, None, None] * rng.normal(size=(40, 1, 3))], axis=1))
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([64]), seed=0)
    rules = (
        AnalyticExpectedUtilityOfBestOption(model),
        qExpectedUtilityOfBestOption(model, sampler=sampler),
        PairwiseBayesianActiveLearningByDisagreement(model),
        PairInformation(model),
    )
    with torch.no_grad():
        scores = [rule(twins) for rule in rules]
        best = scores[0] - model.posterior(twins).mean.amax(dim=(1, 2))

    assert all(bool(each.isfinite().all()) for each in scores)
    assert float(scores[-1].abs().max()) < 1e-10  # what is equal tells nothing
    assert float(best.abs().max()) < 1e-4  # and neither is better than the other


def test_optimize_acqf_discrete_finds_the_best_items_of_a_pool_with_twins() -> None:
    posterior, rng = taste(), np.random.default_rng(4)
    items = rng.normal(size=(80, 3))
    items = np.concatenate([items, items, items + 1e-12])
    model = linear_model(posterior, SPACE)
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([4096]), seed=0)
    rule = qExpectedUtilityOfBestOption(model, sampler=sampler)
    chosen, value = optimize_acqf_discrete(rule, q=2, choices=torch.tensor(items), unique=False)

    # Greedy: the item with the best mean, then the one that makes the better of the two best.
    best = items[np.argmax(items @ posterior.mean)]
    both = np.stack([np.broadcast_to(best, items.shape), items], axis=1)
    mean, variance = margins(posterior, both)
    utility = expected_utility_of_best(expected_absolute(mean, variance), (both @ posterior.mean).mean(axis=1))
    np.testing.assert_allclose(chosen[0].numpy(), best, atol=1e-9)
    np.testing.assert_allclose(chosen[1].numpy(), items[np.argmax(utility)], atol=1e-9)
    assert float(value[-1]) == pytest.approx(utility.max(), abs=0.03)


def test_an_upper_confidence_bound_of_botorch_ranks_single_items() -> None:
    posterior, items = taste(), np.random.default_rng(5).normal(size=(50, 3))
    sampler = SobolQMCNormalSampler(sample_shape=torch.Size([4096]), seed=0)
    rule = qUpperConfidenceBound(linear_model(posterior, SPACE), beta=4.0, sampler=sampler)
    chosen, _ = optimize_acqf_discrete(rule, q=1, choices=torch.tensor(items))

    bounds = items @ posterior.mean + 2 * np.sqrt(np.einsum("ni,ij,nj->n", items, posterior.covariance, items))
    np.testing.assert_allclose(chosen[0].numpy(), items[np.argmax(bounds)])


def test_what_is_no_posterior_of_the_space_is_refused_in_a_sentence() -> None:
    with pytest.raises(prefq.InputError, match="3 coefficients arrived with no feature space; give the feature space"):
        linear_model(taste())
    with pytest.raises(prefq.InputError, match="2 coefficients arrived with a feature space of 3 names"):
        linear_model(taste(2), SPACE)
    with pytest.raises(prefq.InputError, match="posterior is a str; give a Gaussian, a GaussianMixture or a Profile"):
        linear_model("ada", SPACE)  # type: ignore[arg-type]
    with pytest.raises(prefq.InputError, match="the items have 2 columns and the model 3 features"):
        linear_model(taste(), SPACE).posterior(torch.zeros(4, 2, dtype=torch.float64))
