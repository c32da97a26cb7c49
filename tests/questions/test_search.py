"""Search by prior variance finds what a look at everything finds, whatever the prior, the answers and the rule."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefq
from prefq.inference.beliefs import ep_posteriors, mixture_for_all
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.likelihood import Felt
from prefq.inference.predictive import entropy
from prefq.questions import search as search_module
from prefq.questions.acquisition import information_gain
from prefq.questions.gain_bounds import information_gain_bounds, least_variance_to_gain
from prefq.questions.margins import Margins, PoolMargins
from prefq.questions.scoring import score_margins
from prefq.questions.search import LEAST_VARIANCE, Search, can_search, lowered
from prefq.questions.selection import choose
from prefq.vocabulary import Array, Coefficients, Comparisons, Gaussian, GaussianMixture, ResponseModel

RULES = (information_gain, *LEAST_VARIANCE)


def random_pool(rng: np.random.Generator, n_features: int, *, dtype: Any = np.float64) -> prefq.CandidatePool:
    n_prompts, per_prompt = int(rng.integers(2, 30)), int(rng.integers(2, 7))
    spreads = rng.gamma(1.0, size=(n_prompts, 1, 1)) * rng.choice([0.1, 1.0, 5.0])
    features = (rng.normal(size=(n_prompts, per_prompt, n_features)) * spreads).reshape(-1, n_features).astype(dtype)
    pairs = per_prompt * np.arange(n_prompts)[:, None, None] + np.stack(np.triu_indices(per_prompt, 1), axis=1)
    prompts = np.repeat(np.arange(n_prompts), per_prompt).tolist() if rng.random() < 0.7 else None
    return prefq.CandidatePool.from_arrays(features, pairs.reshape(-1, 2), prompt_ids=prompts)


def random_gaussian(rng: np.random.Generator, n_features: int) -> Gaussian:
    root = rng.normal(size=(n_features, n_features)) * rng.choice([0.0, 0.3, 1.0, 3.0], p=[0.1, 0.3, 0.5, 0.1])
    return Gaussian(rng.normal(size=n_features), root @ root.T)


def random_prior(rng: np.random.Generator, n_features: int) -> Coefficients:
    n_components = int(rng.choice([1, 1, 2, 3]))
    parts = [random_gaussian(rng, n_features) for _ in range(n_components)]
    if n_components == 2 and rng.random() < 0.5:  # the second says that there is no taste
        parts[1] = Gaussian(np.zeros(n_features), np.zeros((n_features, n_features)))
    return parts[0] if n_components == 1 else GaussianMixture(rng.dirichlet(np.ones(n_components)), parts)


def random_model(rng: np.random.Generator, n_features: int) -> ResponseModel:
    return ResponseModel(
        tie_threshold=float(rng.choice([0.0, 0.6])),
        position_bias=float(rng.normal() * rng.choice([0.0, 0.5])),
        lapse_rate=float(rng.choice([0.0, 0.1])),
        dissimilarity_noise=float(rng.choice([0.0, 0.5])),
        dissimilarity_scales=tuple(rng.uniform(0.5, 2.0, size=n_features).tolist()),
    )


class Case:
    """A pool, a prior, some answers, and what is believed then."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n_features = int(rng.integers(1, 6))
        self.pool = random_pool(rng, n_features, dtype=(np.float32, np.float64)[rng.integers(2)])
        self.prior, self.model = random_prior(rng, n_features), random_model(rng, n_features)
        n_asked = int(rng.integers(0, min(8, self.pool.n_questions)))
        self.asked = rng.choice(self.pool.n_questions, n_asked, replace=False)
        first, second = self.pool.features[self.pool.pairs[self.asked]].astype(np.float64).swapaxes(0, 1)
        self.comparisons = Comparisons(first - second, rng.choice(self.model.outcomes, size=n_asked))
        answers = Felt.of(self.comparisons, self.model)
        alone = mixture_for_all(self.prior, 1)  # as selection has it, also where propagation does not converge
        self.posterior = ep_posteriors(alone, answers.differences[None], answers.outcomes[None], self.model).of_user(0)
        self.margins = PoolMargins.of(self.pool, self.prior, self.model).under(self.posterior)
        self.costs = rng.uniform(1, 9, size=self.pool.n_questions) if rng.random() < 0.5 else None
        self.allowed = rng.random(self.pool.n_questions) < 0.8
        self.allowed[self.asked] = False
        self.allowed[self.allowed.size - 1] |= not self.allowed.any()


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=80, deadline=None)
@given(seed=seeds)
def test_search_finds_the_best_of_all(seed: int) -> None:
    case = Case(seed)
    everything = case.margins.all()
    for rule in RULES:
        if not can_search(rule):
            continue
        scores = score_margins(rule, everything, case.model)
        scores = scores if case.costs is None else scores / case.costs
        open_scores = np.where(case.allowed, scores, -np.inf)
        best = Search(rule, case.margins, case.costs).best(lambda rows: case.allowed[rows])
        assert best is not None
        assert case.allowed[best.row]
        assert best.score == pytest.approx(open_scores.max(), rel=1e-7, abs=1e-10)
        near = np.flatnonzero(open_scores >= open_scores.max() - 1e-7 * abs(open_scores.max()))
        assert best.row in near
        if near.size == 1:
            assert best.row == int(open_scores.argmax())


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_choosing_by_search_is_choosing_by_all_scores(seed: int) -> None:
    case = Case(seed)
    with pytest.MonkeyPatch.context() as patch:
        found = choose(information_gain, case.margins, case.asked, case.allowed, costs=case.costs)
        patch.setattr("prefq.questions.selection.can_search", lambda rule: False)
        expected = choose(information_gain, case.margins, case.asked, case.allowed, costs=case.costs)
    scores = score_margins(information_gain, case.margins.all(), case.model)
    equal = scores[expected.row] == pytest.approx(scores[found.row], rel=1e-6, abs=1e-9)
    assert found.row == expected.row or equal


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_margins_of_some_are_those_of_all(seed: int) -> None:
    case = Case(seed)
    everything, n = case.margins.all(), case.pool.n_questions
    places = slice(n // 3, n - n // 4)
    some = case.margins.at(places)
    rows = case.margins.of.rows(places)
    scale = case.margins.of.variances.max() + 1
    np.testing.assert_allclose(some.means, everything.means[:, rows], atol=1e-9 * scale)
    np.testing.assert_allclose(some.variances, everything.variances[:, rows], atol=1e-9 * scale)
    felt = case.model.felt(
        np.subtract(*case.pool.features[case.pool.pairs].astype(np.float64).swapaxes(0, 1))
    )  # the same by the full covariances
    for k, component in enumerate(case.posterior.components):
        direct = np.einsum("ij,jk,ik->i", felt, component.covariance, felt)
        np.testing.assert_allclose(everything.means[k], felt @ component.mean, atol=1e-9 * scale)
        np.testing.assert_allclose(everything.variances[k], direct, atol=1e-8 * scale)


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_answers_raise_a_margins_variance_by_no_more_than_is_known(seed: int) -> None:
    case = Case(seed)
    everything = case.margins.all()
    before = PoolMargins.of(case.pool, case.prior, case.model).at_prior()
    assert (everything.variances <= before.variances * case.margins.widening() * (1 + 1e-9)).all()
    assert case.model.lapse_rate > 0 or case.margins.widening() == 1
    assert (np.diff(case.margins.of.ceilings) >= 0).all()
    np.testing.assert_allclose(case.margins.of.ceilings, before.variances.max(axis=0)[case.margins.of.order], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_bounds_hold_and_are_tight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = ResponseModel(float(rng.choice([0.0, rng.uniform(0.1, 4)])), rng.normal(), float(rng.choice([0.0, 0.2])))
    sd = 10 ** rng.uniform(-3, 3.2, size=50)
    mean = rng.normal(size=50) * 3 * np.sqrt(1 + sd**2)
    gain = information_gain(mean, sd**2, response_model=model)
    least, most = information_gain_bounds(mean, sd**2, response_model=model)
    assert (least <= gain + 1e-12).all()
    assert (most >= gain - 1e-12).all()
    assert (most - least)[sd < 1000].max() < 0.002
    for some in rng.choice(gain, 5):
        assert (sd**2 >= least_variance_to_gain(float(some), response_model=model))[gain >= some].all()


def test_search_sees_little_of_a_pool_whose_variances_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40_000, 8)) * np.sqrt(rng.gamma(2, 0.5, size=(20_000, 1))).repeat(2, axis=0)
    pool = prefq.CandidatePool.from_arrays(features, np.arange(40_000).reshape(-1, 2))
    answers: list[prefq.Answer] = []
    seen: list[int] = []
    bounds = search_module._bounds

    def counted(rule: Any, margins: Margins, model: ResponseModel) -> tuple[Array, Array]:
        seen.append(margins.means.shape[1])
        return bounds(rule, margins, model)

    monkeypatch.setattr(search_module, "_bounds", counted)
    for _ in range(10):
        question = prefq.select_next_question(pool, answers)
        assert question is not None
        answers.append(question.answer("first"))
    assert sum(seen) / 10 < 0.05 * pool.n_questions


def test_a_reply_that_may_be_a_lapse_can_widen_a_margin() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0], [1.0], [2.0]], [(1, 0), (2, 0)])
    prior, model = Gaussian([4.0], [[4.0]]), ResponseModel(lapse_rate=0.1)
    wonder = Comparisons([[1.0]], [-1])
    posterior, _ = fit_posterior_ep(prior, wonder, response_model=model)
    margins = PoolMargins.of(pool, prior, model).under(posterior)
    assert margins.widening() == pytest.approx(float(posterior.covariance[0, 0]) / 4)
    assert margins.widening() > 1.2
    np.testing.assert_allclose(margins.all().variance, float(posterior.covariance[0, 0]) * np.array([1, 4]))


def test_a_mixture_whose_component_is_unknown_is_searched_further() -> None:
    # Under each component nothing varies, so that all there is to learn is which of the two it is.
    camps = GaussianMixture([0.5, 0.5], [Gaussian([m], [[1e-12]]) for m in (-2.0, 2.0)])
    pool = prefq.CandidatePool.from_arrays([[0.0], [0.1], [0.2], [3.0]], [(0, 1), (1, 2), (0, 3)])
    margins = PoolMargins.of(pool, camps, ResponseModel()).under(camps)
    best = Search(information_gain, margins).best(lambda rows: np.ones(rows.size, dtype=bool))
    assert best is not None
    assert best.row == 2
    assert 0.6 < best.score < float(entropy(np.array([0.5, 0.5])))


def test_nothing_is_found_where_nothing_is_good_enough_or_allowed() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [(0, 1)])
    start = pool.starting_point().coefficients
    search = Search(information_gain, PoolMargins.of(pool, start, ResponseModel()).under(start))
    best = search.best(lambda rows: np.ones(rows.size, dtype=bool))
    assert best is not None
    assert search.best(lambda rows: np.zeros(rows.size, dtype=bool)) is None
    assert search.best(lambda rows: np.ones(rows.size, dtype=bool), best.score * 1.001) is None
    assert search.best(lambda rows: np.ones(rows.size, dtype=bool), best.score) == best
    assert lowered(best.score) < best.score
