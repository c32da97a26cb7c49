"""The Laplace posterior: by hand, by an independent optimiser, by quadrature, and under hard scales."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.errors import InferenceError, InputError
from prefq.inference import laplace
from prefq.inference.laplace import fit_posterior
from prefq.inference.likelihood import log_likelihood
from prefq.vocabulary import Comparisons, Gaussian, GaussianMixture, ResponseModel


def random_problem(
    seed: int, *, n_answers: int = 8, n_features: int = 4, scale: float = 1.0, separable: bool = False
) -> tuple[Gaussian, Comparisons]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n_features, n_features))
    prior = Gaussian(rng.normal(size=n_features), scale**2 * (root @ root.T / n_features + 0.1 * np.eye(n_features)))
    differences = rng.normal(size=(n_answers, n_features))
    taste = rng.normal(size=n_features)
    outcomes = np.sign(differences @ taste) if separable else rng.integers(-1, 2, size=n_answers)
    return prior, Comparisons(differences, outcomes.astype(np.int8))


def objective(prior: Gaussian, comparisons: Comparisons, model: ResponseModel, w: np.ndarray) -> float:
    centred = w - prior.mean
    fit = log_likelihood(comparisons.differences @ w, comparisons.outcomes, model).value.sum()
    return float(centred @ np.linalg.solve(prior.covariance, centred) / 2 - fit)


@pytest.mark.parametrize("model", [ResponseModel(), ResponseModel(0.5, 0.3)])
@pytest.mark.parametrize("seed", range(5))
def test_the_mode_has_no_slope_by_finite_differences(seed: int, model: ResponseModel) -> None:
    # The objective in its textbook form, with Σ₀⁻¹; it is strictly convex, so a point without slope is the mode.
    prior, comparisons = random_problem(seed)
    posterior, info = fit_posterior(prior, comparisons, response_model=model)
    step = 1e-5
    slopes = [
        objective(prior, comparisons, model, posterior.mean + nudge)
        - objective(prior, comparisons, model, posterior.mean - nudge)
        for nudge in step * np.eye(prior.n_features)
    ]
    np.testing.assert_allclose(np.array(slopes) / (2 * step), 0, atol=1e-8)
    assert info.gradient_norm < 1e-7


def test_the_covariance_is_the_inverse_hessian_by_finite_differences() -> None:
    prior, comparisons = random_problem(1, n_features=3)
    model = ResponseModel(0.5)
    posterior, _ = fit_posterior(prior, comparisons, response_model=model)
    step, eye = 1e-3, np.eye(3)
    hessian = np.array(
        [
            [
                sum(
                    a * b * objective(prior, comparisons, model, posterior.mean + step * (a * eye[i] + b * eye[j]))
                    for a in (1, -1)
                    for b in (1, -1)
                )
                / (4 * step**2)
                for j in range(3)
            ]
            for i in range(3)
        ]
    )
    np.testing.assert_allclose(np.linalg.inv(hessian), posterior.covariance, rtol=1e-4, atol=1e-6)


def test_one_feature_worked_by_hand() -> None:
    # Mode of log N(w; 0, 1) + log σ(w): w = σ(-w), so w = 0.401058...; variance 1 / (1 + σ(w) σ(-w)).
    posterior, info = fit_posterior(Gaussian([0.0], [[1.0]]), Comparisons([[1.0]], [1]))
    mode = 0.4010581375
    assert posterior.mean[0] == pytest.approx(mode, abs=1e-9)
    assert posterior.covariance[0, 0] == pytest.approx(1 / (1 + mode * (1 - mode)), abs=1e-9)
    evidence = -(mode**2) / 2 + np.log(1 - mode) + np.log(posterior.covariance[0, 0]) / 2
    assert info.log_evidence == pytest.approx(evidence, abs=1e-9)


def test_the_evidence_is_close_to_the_integral_when_answers_are_weak() -> None:
    prior, comparisons = Gaussian([0.2], [[0.3]]), Comparisons([[1.0], [-0.5], [0.7]], [1, 1, -1])
    w = np.linspace(-6, 6, 20001)
    likelihood = np.prod(
        [
            np.exp(log_likelihood(w * x, np.full(w.shape, y, dtype=np.int8), ResponseModel()).value)
            for x, y in zip(comparisons.differences[:, 0], comparisons.outcomes, strict=True)
        ],
        axis=0,
    )
    density = np.exp(-((w - 0.2) ** 2) / 0.6) / np.sqrt(2 * np.pi * 0.3)
    exact = np.log((density * likelihood).sum() * (w[1] - w[0]))
    assert fit_posterior(prior, comparisons)[1].log_evidence == pytest.approx(exact, abs=5e-3)


def test_without_answers_the_posterior_is_the_prior() -> None:
    prior, _ = random_problem(0)
    posterior, info = fit_posterior(prior, Comparisons(np.empty((0, 4)), np.empty(0, dtype=np.int8)))
    assert posterior == prior
    assert info == (0, 0.0, 0.0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("separable", [True, False])
def test_it_converges_on_every_scale_and_on_separable_answers(scale: float, separable: bool) -> None:
    for seed in range(20):
        prior, comparisons = random_problem(seed, n_answers=12, scale=scale, separable=separable)
        posterior, info = fit_posterior(prior, comparisons)
        slopes = log_likelihood(comparisons.differences @ posterior.mean, comparisons.outcomes, ResponseModel()).first
        # At the mode Σ₀⁻¹(w - μ) = Xᵀs: an identity that the search never uses in this form.
        gap = posterior.mean - prior.mean - prior.covariance @ comparisons.differences.T @ slopes
        assert np.abs(gap / prior.sd).max() < 1e-5 * scale
        assert info.n_iterations <= laplace.MAX_ITERATIONS


def test_a_singular_prior_never_leaves_its_subspace() -> None:
    direction = np.array([1.0, 2.0])
    prior = Gaussian([0.5, -0.5], np.outer(direction, direction))
    posterior, _ = fit_posterior(prior, Comparisons([[1.0, 0.0], [0.0, 1.0]], [1, 1]))
    shift = posterior.mean - prior.mean
    assert shift[0] > 0
    assert shift[1] == pytest.approx(2 * shift[0])
    assert np.linalg.matrix_rank(posterior.covariance, tol=1e-8) == 1


@pytest.mark.parametrize("units", [(1e-6, 1.0, 1e6, 1.0), (1e6, 1e-6, 1.0, 1.0), (1.0, 1e6, 1e-6, 1e3)])
def test_a_singular_prior_in_mixed_units_keeps_its_variances(units: tuple[float, ...]) -> None:
    root = np.random.default_rng(0).normal(size=(4, 3))  # rank 3 of 4
    covariance = np.outer(units, units) * (root @ root.T)
    factor = Gaussian(np.zeros(4), covariance).factor
    np.testing.assert_allclose(factor @ factor.T / np.outer(units, units), root @ root.T, atol=1e-7)


def test_position_bias_explains_a_first_choice() -> None:
    # Someone who mostly picks the first side says little by picking it: mode of log N(w; 0, 1) + log σ(w + 2).
    prior, answer = Gaussian([0.0], [[1.0]]), Comparisons([[1.0]], [1])
    biased, _ = fit_posterior(prior, answer, response_model=ResponseModel(position_bias=2.0))
    mode = biased.mean[0]
    assert mode == pytest.approx(1 / (1 + np.exp(mode + 2)), abs=1e-9)
    assert mode == pytest.approx(0.108, abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_with_lapses_the_best_of_several_modes_is_found(seed: int) -> None:
    # One coefficient, so the whole objective can be searched; wide priors and lapses make several modes common.
    rng = np.random.default_rng(seed)
    prior, model = Gaussian([0.0], [[100.0]]), ResponseModel(lapse_rate=0.1)
    comparisons = Comparisons(rng.normal(scale=2, size=(9, 1)), rng.choice([1, -1], size=9))
    posterior, _ = fit_posterior(prior, comparisons, response_model=model)
    grid = np.linspace(-40, 40, 8001)
    best = min(objective(prior, comparisons, model, np.array([w])) for w in grid)
    assert objective(prior, comparisons, model, posterior.mean) <= best + 1e-9


def test_a_prior_beyond_double_precision_is_an_inference_error() -> None:
    # Contradictory answers and a mean a thousand million logits off: some searches end in a singular Hessian, the
    # others in round-off. None may end in a wrong posterior, or outside the error tree.
    for seed in range(10):
        differences = np.random.default_rng(seed).normal(size=(60, 5))
        comparisons = Comparisons(np.vstack([differences, differences]), [1] * 60 + [-1] * 60)
        with pytest.raises(InferenceError, match=r"did not converge|singular in double precision"):
            fit_posterior(Gaussian([1e9] * 5, 1e18 * np.eye(5)), comparisons)


def test_a_search_that_cannot_move_is_an_error_and_no_last_iterate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laplace, "MAX_BISECTIONS", 0)
    prior, comparisons = random_problem(0)
    with pytest.raises(InferenceError, match="did not converge"):
        fit_posterior(prior, comparisons)


def test_not_converging_is_an_error_with_the_gradient_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laplace, "MAX_ITERATIONS", 1)
    prior, comparisons = random_problem(0, scale=50.0, separable=True)
    with pytest.raises(InferenceError, match=r"8 answers did not converge: gradient norm \d\.\d\de"):
        fit_posterior(prior, comparisons)


def test_prior_and_comparisons_must_have_as_many_features() -> None:
    with pytest.raises(InputError, match="the comparisons have 2 features and the prior 1"):
        fit_posterior(Gaussian([0.0], [[1.0]]), Comparisons([[1.0, 2.0]], [1]))


@given(seed=st.integers(0, 10**6), order=st.permutations(range(8)))
def test_the_order_of_answers_is_irrelevant(seed: int, order: list[int]) -> None:
    prior, comparisons = random_problem(seed)
    shuffled = Comparisons(comparisons.differences[order], comparisons.outcomes[order])
    one, other = fit_posterior(prior, comparisons)[0], fit_posterior(prior, shuffled)[0]
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-7)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-7)


@given(seed=st.integers(0, 10**6))
def test_swapping_both_sides_and_every_choice_changes_nothing(seed: int) -> None:
    prior, comparisons = random_problem(seed)
    swapped = Comparisons(-comparisons.differences, -comparisons.outcomes)
    one, _ = fit_posterior(prior, comparisons, response_model=ResponseModel(0.4, 0.3))
    other, _ = fit_posterior(prior, swapped, response_model=ResponseModel(0.4, -0.3))
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-7)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-7)


@given(seed=st.integers(0, 10**6))
def test_rotating_features_and_prior_rotates_the_posterior(seed: int) -> None:
    prior, comparisons = random_problem(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(4, 4)))
    turned, _ = fit_posterior(
        Gaussian(rotation @ prior.mean, rotation @ prior.covariance @ rotation.T),
        Comparisons(comparisons.differences @ rotation.T, comparisons.outcomes),
    )
    straight, _ = fit_posterior(prior, comparisons)
    np.testing.assert_allclose(turned.mean, rotation @ straight.mean, atol=1e-7)
    np.testing.assert_allclose(turned.covariance, rotation @ straight.covariance @ rotation.T, atol=1e-7)


@given(seed=st.integers(0, 10**6), factor=st.sampled_from([1e-6, 1e-3, 1e3, 1e6]))
def test_units_of_a_feature_do_not_matter(seed: int, factor: float) -> None:
    prior, comparisons = random_problem(seed)
    units = np.array([factor, 1.0, 1.0, 1.0])
    scaled, _ = fit_posterior(
        Gaussian(prior.mean / units, prior.covariance / np.outer(units, units)),
        Comparisons(comparisons.differences * units, comparisons.outcomes),
    )
    straight, _ = fit_posterior(prior, comparisons)
    np.testing.assert_allclose(scaled.mean * units, straight.mean, atol=1e-7)
    np.testing.assert_allclose(scaled.covariance * np.outer(units, units), straight.covariance, atol=1e-7)


def test_flipping_every_answer_under_a_zero_mean_prior_flips_the_mean() -> None:
    prior, comparisons = random_problem(3)
    prior = Gaussian(np.zeros(4), prior.covariance)
    one, _ = fit_posterior(prior, comparisons)
    other, _ = fit_posterior(prior, Comparisons(comparisons.differences, -comparisons.outcomes))
    np.testing.assert_allclose(one.mean, -other.mean, atol=1e-8)


def test_with_lapses_a_contrary_answer_is_discounted() -> None:
    prior = Gaussian([0.0], [[25.0]])
    answers = Comparisons([[3.0]] * 8 + [[3.0]], [1] * 8 + [-1])
    careful, _ = fit_posterior(prior, answers, response_model=ResponseModel(lapse_rate=0.2))
    trusting, _ = fit_posterior(prior, answers)
    assert careful.mean[0] > 1.5 * trusting.mean[0]
    # The stationary point is a maximum along the line, found by search.
    w = np.linspace(-10, 10, 4001)
    model = ResponseModel(lapse_rate=0.2)
    values = [objective(prior, answers, model, np.array([x])) for x in w]
    assert careful.mean[0] == pytest.approx(w[int(np.argmin(values))], abs=6e-3)


def test_the_posterior_of_a_mixture_weighs_components_by_their_evidence() -> None:
    # One feature and two camps: quadrature over each gives evidence, weights and means.
    camps = GaussianMixture([0.3, 0.7], [Gaussian([-2.0], [[0.2]]), Gaussian([2.0], [[0.2]])])
    comparisons = Comparisons([[1.0], [0.5], [1.5]], [-1, -1, -1])
    posterior, info = fit_posterior(camps, comparisons)
    w = np.linspace(-8, 8, 4001)
    likelihood = np.prod([1 / (1 + np.exp(x * w)) for x in (1.0, 0.5, 1.5)], axis=0)
    densities = [np.exp(-((w - m) ** 2) / 0.4) / np.sqrt(0.4 * np.pi) for m in (-2.0, 2.0)]
    evidence = np.array([(likelihood * density).sum() * (w[1] - w[0]) for density in densities])
    exact = np.array([0.3, 0.7]) * evidence
    np.testing.assert_allclose(posterior.weights, exact / exact.sum(), atol=0.01)
    assert info.log_evidence == pytest.approx(np.log(exact.sum()), abs=0.01)


def test_a_component_without_spread_stays_and_is_weighed() -> None:
    prior = GaussianMixture([0.5, 0.5], [Gaussian([0.0], [[4.0]]), Gaussian([0.0], [[0.0]])])
    posterior, _ = fit_posterior(prior, Comparisons([[1.0]] * 6, [1, -1, 1, -1, 1, -1]))
    assert posterior.components[1] == prior.components[1]
    assert posterior.weights[1] > 0.6
