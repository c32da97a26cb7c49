"""Damped Newton on 10,000 random problems: prior scales from 0.1 to 100, half of them perfectly separable."""

from typing import Any

import numpy as np

from prefq import Comparisons, Gaussian, InferenceError, ResponseModel, fit_posterior
from prefq.inference.laplace import _find_mode, _find_modes, _Margins
from prefq.inference.likelihood import log_likelihood, sigmoid

TITLE = "The posterior's mode is found"
GOAL = "converges on 10,000 random problems with prior scales from 0.1 to 100 and separable answers; no wrong mode"
N_PROBLEMS = 10_000
N_LAPSE_PROBLEMS = 300
LAPSES = (0.02, 0.1, 0.2)
SEED = 7
WRONG_MODE = 1e-6  # prior standard deviations: a hundred times what the search promises at the widest scale


def draw(rng: np.random.Generator, separable: bool) -> tuple[Gaussian, Comparisons, ResponseModel]:
    """A random problem: 2 to 32 features, 1 to 40 answers, a correlated prior of random scale and mean."""
    n_features, n_answers = int(rng.integers(2, 33)), int(rng.integers(1, 41))
    scale = 10 ** rng.uniform(-1, 2)
    root = rng.normal(size=(n_features, n_features))
    prior = Gaussian(
        scale * rng.normal(size=n_features), scale**2 * (root @ root.T / n_features + 0.05 * np.eye(n_features))
    )
    differences = rng.normal(size=(n_answers, n_features))
    taste = rng.normal(size=n_features)
    outcomes = np.sign(differences @ taste) if separable else rng.integers(-1, 2, size=n_answers)
    return prior, Comparisons(differences, outcomes), ResponseModel(tie_threshold=float(rng.choice([0.0, 0.5, 2.0])))


def distance_from_mode(prior: Gaussian, comparisons: Comparisons, model: ResponseModel, posterior: Gaussian) -> float:
    """An upper bound of the distance to the mode in prior sds, recomputed in plain coordinates.

    The objective in whitened coordinates has a Hessian of at least 1, so its gradient's norm bounds the distance.
    """
    replies = log_likelihood(comparisons.differences @ posterior.mean, comparisons.outcomes, model)
    root = np.linalg.cholesky(prior.covariance)
    whitened = np.linalg.solve(root, posterior.mean - prior.mean)
    return float(np.linalg.norm(whitened - root.T @ (comparisons.differences.T @ replies.first)))


def missed_modes(rng: np.random.Generator) -> int:
    """How often, of hard problems with lapses, one of twenty further starts finds a better mode."""
    missed = 0
    for _ in range(N_LAPSE_PROBLEMS):
        n_features, n_answers, scale = int(rng.integers(1, 9)), int(rng.integers(5, 21)), 10 ** rng.uniform(0, 1)
        differences = rng.normal(size=(n_answers, n_features))
        sure = rng.random(n_answers) < sigmoid(differences @ rng.normal(scale=scale, size=n_features))
        lapsed = rng.random(n_answers) < 0.2
        outcomes = np.where(np.where(lapsed, rng.random(n_answers) < 0.5, sure), 1, -1)
        model = ResponseModel(lapse_rate=float(rng.choice(LAPSES)))
        margins = _Margins(np.zeros(n_answers), scale * differences, outcomes.astype(np.int8))
        found = min(mode.iterate.objective for mode in _find_modes(margins, model))
        others = (
            _find_mode(margins, model, rng.normal(scale=1.5, size=n_features)).iterate.objective for _ in range(20)
        )
        missed += min(others) < found - 1e-6
    return missed


def measure() -> dict[str, Any]:
    """Figures of the run."""
    rng = np.random.default_rng(SEED)
    failed, iterations, distances = 0, [], []
    for problem in range(N_PROBLEMS):
        prior, comparisons, model = draw(rng, separable=problem % 2 == 0)
        try:
            posterior, info = fit_posterior(prior, comparisons, response_model=model)
        except InferenceError:
            failed += 1
            continue
        iterations.append(info.n_iterations)
        distances.append(distance_from_mode(prior, comparisons, model, posterior))
    return {
        "n_lapse_problems": N_LAPSE_PROBLEMS,
        "lapse_modes_missed": missed_modes(np.random.default_rng(SEED)),
        "n_problems": N_PROBLEMS,
        "raised": failed,
        "wrong_modes": int((np.array(distances) > WRONG_MODE).sum()),
        "largest_distance_in_prior_sds": float(np.max(distances)),
        "iterations_median": float(np.median(iterations)),
        "iterations_max": int(np.max(iterations)),
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    return (
        f"Of {figures['n_problems']:,} problems {figures['raised']} raised an error and {figures['wrong_modes']} ended "
        f"at a wrong mode (the farthest was at most {figures['largest_distance_in_prior_sds']:.0e} prior standard "
        f"deviations away). Newton steps: median {figures['iterations_median']:.0f}, at most "
        f"{figures['iterations_max']}. With lapses there may be several modes: of {figures['n_lapse_problems']} hard "
        f"problems, twenty further random starts found a better one in {figures['lapse_modes_missed']}."
    )
