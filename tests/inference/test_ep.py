"""Expectation propagation: against integrals and draws, in the span of the answers and out of it, under hard input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefq.errors import InferenceError, InputError
from prefq.inference import ep_batch, mixing
from prefq.inference.beliefs import Mixtures, ep_posteriors
from prefq.inference.ep import EpInfo, fit_posterior_ep
from prefq.inference.ep_batch import TOLERANCE, settle
from prefq.inference.laplace import fit_posterior
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import Felt, Replies, log_likelihood
from prefq.inference.predictive import preference_probability
from prefq.inference.tilted import tilted_moments
from prefq.vocabulary import Array, Comparisons, Gaussian, GaussianMixture, ResponseModel

MODELS = {
    "plain": ResponseModel(),
    "ties": ResponseModel(0.5, 0.3),
    "lapses": ResponseModel(0.4, 0.2, 0.02),
    "many lapses": ResponseModel(lapse_rate=0.2),
    "grades": ResponseModel(0.3, 0.0, 0.05, strength_threshold=1.0),
}


def random_problem(
    seed: int, model: ResponseModel, *, n_answers: int = 10, n_features: int = 6, scale: float = 1.2
) -> tuple[Gaussian, Comparisons]:
    """A taste drawn from the prior, and answers by the model to questions about which it says little."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)
    prior = Gaussian(0.4 * rng.normal(size=n_features), scale**2 * (root @ root.T + 0.1 * np.eye(n_features)))
    differences = 1.2 * rng.normal(size=(4 * n_answers, n_features))
    spread = np.einsum("ij,jk,ik->i", differences, prior.covariance, differences)
    differences = differences[np.argsort(-spread)[:n_answers]]
    taste = rng.multivariate_normal(prior.mean, prior.covariance)
    outcomes = np.where(rng.random(n_answers) < 1 / (1 + np.exp(-differences @ taste)), 1, -1)
    if model.lapse_rate:
        slips = rng.random(n_answers) < model.lapse_rate
        outcomes = np.where(slips, rng.choice([-1, 1], size=n_answers), outcomes)
    if model.tie_threshold:
        outcomes[rng.random(n_answers) < 0.15] = 0
    strengths = rng.choice([0.3, 0.8], size=n_answers) if model.strength_threshold else None
    return prior, Comparisons(differences, outcomes.astype(np.int8), strengths)


def log_likelihood_of(coefficients: Array, comparisons: Comparisons, model: ResponseModel) -> Array:
    """Of many coefficients (n, n_features) at once."""
    answers, total = Felt.of(comparisons, model), np.zeros(len(coefficients))
    for difference, outcome in zip(answers.differences, answers.outcomes, strict=True):
        replies = np.full(len(coefficients), outcome, dtype=np.int8)
        total += log_likelihood(coefficients @ difference, replies, model).value
    return total


def exact_line(mean: float, sd: float, comparisons: Comparisons, model: ResponseModel) -> tuple[float, float, float]:
    """Mean, sd and log evidence of one coefficient, by the trapezoidal rule, fine about 0 and far about the mean."""
    x = np.linspace(-np.arcsinh(abs(mean) + 12 * sd), np.arcsinh(abs(mean) + 12 * sd), 8_001)
    w, width = np.sinh(x), np.cosh(x) * (x[1] - x[0])
    logs = log_likelihood_of(w[:, None], comparisons, model) - ((w - mean) / sd) ** 2 / 2
    weights = np.exp(logs - logs.max()) * width
    total = weights.sum()
    centre = float(weights @ w / total)
    evidence = float(logs.max() + np.log(total / (sd * np.sqrt(2 * np.pi))))
    return centre, float(np.sqrt(weights @ (w - centre) ** 2 / total)), evidence


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sd", [1e-4, 0.5, 2.0, 5.0, 8.9, 9.1, 40.0, 1e4])
def test_moments_of_one_reply_are_those_of_the_integral(name: str, sd: float) -> None:
    model = MODELS[name]
    for shift in (-12.0, -8.5, -3.0, 0.0, 0.7, 4.0, 12.0):
        for outcome in (1, -1, 0, 2, -3) if model.strength_threshold else (1, -1, 0):
            comparisons = _graded(outcome)
            mean, exact_sd, evidence = exact_line(shift * sd, sd, comparisons, model)
            replies = Replies(np.array([outcome], dtype=np.int8), model)
            found = tilted_moments(np.array([shift * sd]), np.array([sd]), replies)
            assert found.log_evidence[0] == pytest.approx(evidence, abs=1e-6, rel=1e-9)
            assert found.shift[0] == pytest.approx((mean - shift * sd) / sd, abs=1e-6)
            assert found.ratio[0] == pytest.approx((exact_sd / sd) ** 2, abs=1e-6)


def _graded(outcome: int) -> Comparisons:
    strength = {1: np.nan, 2: 0.3, 3: 0.9}.get(abs(outcome), np.nan)
    return Comparisons([[1.0]], [int(np.sign(outcome))], [strength])


@pytest.mark.parametrize(
    ("name", "scale", "n_answers", "of_mean", "of_sd", "of_evidence"),
    [
        *((name, 1.0, 18, 0.1, 0.1, 0.1) for name in MODELS),
        *((name, 5.0, 18, 0.25, 0.35, 0.35) for name in MODELS),
        # With lapses and no prior to speak of the posterior has several modes, and no Gaussian is near it.
        *((name, scale, 3, 0.25, 0.3, 0.25) for name in ("plain", "ties") for scale in (1e3, 1e6)),
    ],
)
def test_parallel_questions_are_near_the_exact_posterior(
    name: str, scale: float, n_answers: int, of_mean: float, of_sd: float, of_evidence: float
) -> None:
    """One coefficient, duplicates and contradictions: EP is not exact here, and must not be far off either."""
    model = MODELS[name]
    for outcomes in ([1], [1, 1, -1], [1, -1, 1, 1, -1, -1], [1] * 15 + [-1, 0]):
        comparisons = Comparisons(np.resize([[1.0], [2.0], [0.5]], (n_answers, 1)), np.resize(outcomes, n_answers))
        posterior, info = fit_posterior_ep(Gaussian([0.3], [[scale**2]]), comparisons, response_model=model)
        mean, sd, evidence = exact_line(0.3, scale, comparisons, model)
        assert posterior.mean[0] == pytest.approx(mean, abs=of_mean * sd)
        assert posterior.sd[0] == pytest.approx(sd, rel=of_sd)
        assert info.log_evidence == pytest.approx(evidence, abs=of_evidence)


@pytest.mark.parametrize("name", MODELS)
def test_ten_chosen_answers_agree_with_draws_from_the_prior(name: str) -> None:
    """Importance sampling is exact up to noise below .01; Laplace is many times further off."""
    model, rng = MODELS[name], np.random.default_rng(0)
    errors = []
    for seed in range(4):
        prior, comparisons = random_problem(seed, model)
        draws = rng.standard_normal((25_000, 6)) @ np.linalg.cholesky(prior.covariance).T
        coefficients = np.concatenate([prior.mean + draws, prior.mean - draws])
        logs = log_likelihood_of(coefficients, comparisons, model)
        weights = np.exp(logs - logs.max())
        evidence = logs.max() + np.log(weights.mean())
        weights /= weights.sum()
        mean = weights @ coefficients
        sd = np.sqrt(weights @ (coefficients - mean) ** 2)
        tests = rng.normal(size=(20, 6))
        exact = weights @ (1 / (1 + np.exp(-coefficients @ tests.T)))
        for fit in (fit_posterior_ep, fit_posterior):
            found, info = fit(prior, comparisons, response_model=model)
            variance = np.einsum("ij,jk,ik->i", tests, found.covariance, tests)
            predicted = preference_probability(tests @ found.mean, variance)
            errors.append(
                (
                    np.abs((found.mean - mean) / sd).max(),
                    np.abs(found.sd / sd - 1).max(),
                    np.abs(predicted - exact).max(),
                    abs(info.log_evidence - evidence),
                )
            )
    ep, laplace = np.array(errors[::2]), np.array(errors[1::2])
    assert (ep.max(axis=0) < [0.15, 0.3, 0.08, 0.2]).all()
    assert (ep.mean(axis=0) < [0.08, 0.12, 0.03, 0.12]).all()
    assert (ep.mean(axis=0) < laplace.mean(axis=0) * [0.4, 0.8, 0.4, 0.6]).all()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("fit", [fit_posterior_ep, fit_posterior])
def test_working_in_the_span_of_the_answers_is_exact(name: str, fit: object) -> None:
    """Differences of zero add evidence that is known and make as many answers as features: the d x d form is used."""
    model = MODELS[name]
    prior, comparisons = random_problem(5, model, n_answers=4, n_features=9)
    strengths = None if comparisons.strengths is None else np.append(comparisons.strengths, [np.nan] * 6)
    padded = Comparisons(
        np.vstack([comparisons.differences, np.zeros((6, 9))]), np.append(comparisons.outcomes, [1] * 6), strengths
    )
    (few, few_info), (many, many_info) = (fit(prior, each, response_model=model) for each in (comparisons, padded))  # type: ignore[operator]
    np.testing.assert_allclose(few.mean, many.mean, atol=1e-8)
    np.testing.assert_allclose(few.covariance, many.covariance, atol=1e-8)
    known = 6 * log_likelihood(np.zeros(1), np.ones(1, dtype=np.int8), model).value[0]
    assert many_info.log_evidence - few_info.log_evidence == pytest.approx(known, abs=1e-8)


def test_a_lapse_may_widen_the_margin_and_is_told_so() -> None:
    """One answer against all expectation: the exact variance grows, and so does that of EP, which is exact here."""
    model, prior = ResponseModel(lapse_rate=0.1), Gaussian([6.0], [[4.0]])
    comparisons = Comparisons([[1.0]], [-1])
    mean, sd, evidence = exact_line(6.0, 2.0, comparisons, model)
    posterior, info = fit_posterior_ep(prior, comparisons, response_model=model)
    assert sd > 2.2
    assert (posterior.mean[0], posterior.sd[0], info.log_evidence) == pytest.approx((mean, sd, evidence), abs=1e-5)


def test_a_mixture_is_weighed_by_evidence_and_a_point_stays_a_point() -> None:
    camps = GaussianMixture(
        [0.3, 0.5, 0.2], [Gaussian([-2.0], [[0.2]]), Gaussian([2.0], [[0.2]]), Gaussian([0], [[0]])]
    )
    comparisons = Comparisons([[1.0], [0.5], [1.5]], [-1, -1, 1])
    posterior, info = fit_posterior_ep(camps, comparisons)
    exact = [exact_line(m, np.sqrt(0.2), comparisons, ResponseModel()) for m in (-2.0, 2.0)]
    evidence = np.array([*(each[2] for each in exact), 3 * np.log(0.5)]) + np.log([0.3, 0.5, 0.2])
    np.testing.assert_allclose(posterior.weights, np.exp(evidence - np.logaddexp.reduce(evidence)), atol=1e-3)
    assert info.log_evidence == pytest.approx(np.logaddexp.reduce(evidence), abs=1e-3)
    for component, (mean, sd, _) in zip(posterior.components, exact, strict=False):
        assert (component.mean[0], component.sd[0]) == pytest.approx((mean, sd), abs=1e-3)
    assert posterior.components[2] == camps.components[2]


def test_without_answers_the_posterior_is_the_prior() -> None:
    prior = Gaussian([1.0, 0.0], np.eye(2))
    posterior, info = fit_posterior_ep(prior, Comparisons(np.empty((0, 2)), np.empty(0, dtype=np.int8)))
    assert posterior is prior
    assert info == EpInfo(0, 0.0, 0.0)


def test_what_is_known_for_sure_is_not_changed_by_answers() -> None:
    point = Gaussian([1.0, 0.5], np.zeros((2, 2)))
    posterior, info = fit_posterior_ep(point, Comparisons([[2.0, 0.0], [0.0, 1.0]], [1, -1]))
    assert posterior == point
    assert info.log_evidence == pytest.approx(-np.log1p(np.exp(-2)) - np.log1p(np.exp(0.5)), abs=1e-9)


def test_a_singular_prior_moves_only_where_it_can() -> None:
    direction = np.array([1.0, 2.0, 0.0])
    prior = Gaussian([0.0, 0.0, 1.0], np.outer(direction, direction))
    posterior, _ = fit_posterior_ep(prior, Comparisons([[1.0, 0.0, 3.0], [0.0, 1.0, -1.0]], [1, 1]))
    along = posterior.mean[0]
    np.testing.assert_allclose(posterior.mean, [along, 2 * along, 1.0], atol=1e-12)
    line, _ = fit_posterior_ep(
        Gaussian([0.0, 1.0], [[1.0, 0.0], [0.0, 0.0]]), Comparisons([[1.0, 3.0], [2.0, -1.0]], [1, 1])
    )
    assert along == pytest.approx(line.mean[0], abs=1e-8)


def _hard(kind: str, seed: int) -> tuple[Gaussian, Comparisons]:
    """Many answers that contradict, repeat or tell nothing, under priors of any width."""
    rng = np.random.default_rng(seed)
    n_features, n_answers = int(rng.integers(1, 16)), int(rng.integers(1, 40))
    root = rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)
    covariance = root @ root.T + 0.1 * np.eye(n_features)
    scale = {"wide": 1e3, "tiny": 1e-6}.get(kind, 1.0)
    differences = 2 * rng.normal(size=(n_answers, n_features))
    if kind == "repeated":
        differences = differences[rng.integers(0, max(1, n_answers // 4), size=n_answers)]
    if kind == "zero":
        differences[rng.random(n_answers) < 0.5] = 0
    outcomes = rng.integers(-1, 2, size=n_answers)
    if kind == "separable":
        outcomes = np.sign(differences @ rng.normal(size=n_features))
    return Gaussian(rng.normal(size=n_features), scale**2 * covariance), Comparisons(differences, outcomes)


@pytest.mark.parametrize("kind", ["wide", "tiny", "repeated", "zero", "separable", "random"])
def test_hard_answers_settle_at_a_fixed_point(kind: str) -> None:
    for seed, model in enumerate([*MODELS.values()] * 3):
        prior, comparisons = _hard(kind, seed)
        posterior, info = fit_posterior_ep(prior, comparisons, response_model=model)
        assert info.change < 1e-6
        assert np.isfinite(info.log_evidence)
        assert np.isfinite(posterior.mean).all()
        if not model.lapse_rate:  # a log-concave likelihood never widens anything
            assert (posterior.sd <= prior.sd * (1 + 1e-6)).all()


def test_steps_that_are_mixed_find_the_fixed_point_that_whole_steps_find() -> None:
    prior, comparisons = random_problem(3, MODELS["lapses"])
    posterior, _ = fit_posterior_ep(prior, comparisons, response_model=MODELS["lapses"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ep_batch, "WHOLE_SWEEPS", 0)
        mixed, _ = fit_posterior_ep(prior, comparisons, response_model=MODELS["lapses"])
    np.testing.assert_allclose(mixed.mean, posterior.mean, atol=1e-5)
    np.testing.assert_allclose(mixed.covariance, posterior.covariance, atol=1e-5)


def test_not_settling_is_an_error_with_the_last_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ep_batch, "WHOLE_SWEEPS", 1)
    monkeypatch.setattr(mixing, "MAX_SWEEPS", 1)
    prior, comparisons = random_problem(0, ResponseModel())
    with pytest.raises(InferenceError, match=r"did not converge: a posterior still changed by \d"):
        fit_posterior_ep(prior, comparisons)


def test_users_who_do_not_settle_leave_the_others_as_they_are_alone() -> None:
    hopeless, comparisons = _hard("wide", 114)
    rng, (n_answers, n_features) = np.random.default_rng(1), comparisons.differences.shape
    means = np.stack([hopeless.mean, np.zeros(n_features)])
    factors = np.stack([1e3 * hopeless.factor, np.eye(n_features)])
    differences = np.stack([comparisons.differences, rng.normal(size=(n_answers, n_features))])
    outcomes = np.stack([comparisons.outcomes, rng.choice([-1, 1], size=n_answers).astype(np.int8)])
    together = settle(Gaussians(means, factors), differences, outcomes, MODELS["grades"])
    alone = settle(Gaussians(means[1:], factors[1:]), differences[1:], outcomes[1:], MODELS["grades"])
    assert together.change[0] > 1e-2
    with pytest.raises(InferenceError, match="did not converge"):
        together.required()
    believed = Mixtures(np.ones((2, 1)), (Gaussians(means, factors),))
    closest = ep_posteriors(believed, differences, outcomes, MODELS["grades"])
    np.testing.assert_array_equal(closest.components[0].means, together.posteriors.means)
    assert together.change[1] <= TOLERANCE
    np.testing.assert_allclose(together.posteriors.means[1], alone.posteriors.means[0], atol=1e-5)
    np.testing.assert_allclose(together.posteriors.covariances[1], alone.posteriors.covariances[0], atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_what_one_more_renewal_would_change_is_told_in_advance(name: str) -> None:
    """The estimate that ends the search, against a search that goes on far beyond it."""
    for seed in range(8):
        prior, comparisons = random_problem(seed, MODELS[name], scale=2.0)
        posterior, info = fit_posterior_ep(prior, comparisons, response_model=MODELS[name])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ep_batch, "TOLERANCE", 1e-11)
            patch.setattr(ep_batch, "WHOLE_SWEEPS", 60)
            settled, more = fit_posterior_ep(prior, comparisons, response_model=MODELS[name])
        assert more.n_sweeps > info.n_sweeps
        assert np.abs((posterior.mean - settled.mean) / settled.sd).max() < 1e-5
        assert np.abs(posterior.sd / settled.sd - 1).max() < 1e-5
        assert info.log_evidence == pytest.approx(more.log_evidence, abs=1e-8)


def test_prior_and_comparisons_must_have_as_many_features() -> None:
    with pytest.raises(InputError, match="the comparisons have 2 features and the prior 1"):
        fit_posterior_ep(Gaussian([0.0], [[1.0]]), Comparisons([[1.0, 2.0]], [1]))


names = st.sampled_from(sorted(MODELS))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), name=names, order=st.permutations(range(8)))
def test_the_order_of_answers_is_irrelevant(seed: int, name: str, order: list[int]) -> None:
    prior, comparisons = random_problem(seed, MODELS[name], n_answers=8, n_features=4)
    strengths = None if comparisons.strengths is None else comparisons.strengths[order]
    shuffled = Comparisons(comparisons.differences[order], comparisons.outcomes[order], strengths)
    _assert_same(fit_posterior_ep(prior, comparisons, response_model=MODELS[name])[0], prior, shuffled, MODELS[name])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), name=names)
def test_swapping_both_sides_and_every_choice_changes_nothing(seed: int, name: str) -> None:
    model = MODELS[name]
    prior, comparisons = random_problem(seed, model, n_answers=8, n_features=4)
    swapped = Comparisons(-comparisons.differences, -comparisons.outcomes, comparisons.strengths)
    mirrored = ResponseModel(model.tie_threshold, -model.position_bias, model.lapse_rate, model.strength_threshold)
    _assert_same(fit_posterior_ep(prior, comparisons, response_model=model)[0], prior, swapped, mirrored)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), name=names)
def test_rotating_features_and_prior_rotates_the_posterior(seed: int, name: str) -> None:
    model = MODELS[name]
    prior, comparisons = random_problem(seed, model, n_answers=5, n_features=4)
    q, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(4, 4)))
    straight, _ = fit_posterior_ep(prior, comparisons, response_model=model)
    turned = Comparisons(comparisons.differences @ q.T, comparisons.outcomes, comparisons.strengths)
    rotated = Gaussian(q @ prior.mean, q @ prior.covariance @ q.T)
    _assert_same(Gaussian(q @ straight.mean, q @ straight.covariance @ q.T), rotated, turned, model)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), name=names, factor=st.sampled_from([1e-6, 1e-3, 1e3, 1e6]))
def test_units_of_a_feature_do_not_matter(seed: int, name: str, factor: float) -> None:
    model, units = MODELS[name], np.array([factor, 1.0, 1.0, 1.0])
    prior, comparisons = random_problem(seed, model, n_answers=5, n_features=4)
    straight, _ = fit_posterior_ep(prior, comparisons, response_model=model)
    scaled, _ = fit_posterior_ep(
        Gaussian(prior.mean / units, prior.covariance / np.outer(units, units)),
        Comparisons(comparisons.differences * units, comparisons.outcomes, comparisons.strengths),
        response_model=model,
    )
    np.testing.assert_allclose(scaled.mean * units, straight.mean, atol=1e-6)
    np.testing.assert_allclose(scaled.covariance * np.outer(units, units), straight.covariance, atol=1e-6)


def _assert_same(expected: Gaussian, prior: Gaussian, comparisons: Comparisons, model: ResponseModel) -> None:
    found, _ = fit_posterior_ep(prior, comparisons, response_model=model)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(found.covariance, expected.covariance, atol=1e-6)
