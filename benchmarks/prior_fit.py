"""How long a prior takes to fit, and how that grows with the group."""

import time
from typing import Any

import numpy as np

import prefq
from prefq.inference.likelihood import sigmoid

TITLE = "A prior from the answers of a group"
GOAL = "5,000 users × 30 answers × 16 features in at most 20 s of processor time, and time in proportion to the users"
SIZES = (1_250, 2_500, 5_000, 10_000)
PROMISED = 5_000
N_ANSWERS, N_FEATURES = 30, 16
LAPSE_RATE = 0.05
MARGIN = 2.0  # root mean square, in logits
SEED = 5


def draw(n_users: int, rng: np.random.Generator) -> tuple[prefq.Comparisons, np.ndarray, np.ndarray]:
    """A group's answers, whose each, and the covariance of their tastes: correlated, about a common mean."""
    root = rng.normal(size=(N_FEATURES, N_FEATURES)) / N_FEATURES
    covariance = root @ root.T + 0.05 * np.eye(N_FEATURES)
    mean = 0.3 * rng.normal(size=N_FEATURES)
    scale = MARGIN / np.sqrt(2 * (np.trace(covariance) + mean @ mean))
    tastes = scale * rng.multivariate_normal(mean, covariance, size=n_users)
    users = np.repeat(np.arange(n_users), N_ANSWERS)
    differences = np.sqrt(2) * rng.normal(size=(len(users), N_FEATURES))
    margins = np.einsum("ij,ij->i", differences, tastes[users])
    kept = rng.random(len(users)) < sigmoid(margins)
    lapsed = rng.random(len(users)) < LAPSE_RATE
    first = np.where(lapsed, rng.random(len(users)) < 0.5, kept)
    return prefq.Comparisons(differences, np.where(first, 1, -1).astype(np.int8)), users, scale**2 * covariance


def measure() -> dict[str, Any]:
    """Figures of the run."""
    rng = np.random.default_rng(SEED)
    groups = []
    for n_users in SIZES:
        comparisons, users, covariance = draw(n_users, rng)
        start, cpu_start = time.perf_counter(), time.process_time()
        prior = prefq.fit_population_prior(comparisons.differences, comparisons.outcomes, users)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        found = prior.coefficients.covariance
        groups.append(
            {
                "n_users": n_users,
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu_seconds, 2),
                "variance_ratio": round(float(np.trace(found) / np.trace(covariance)), 3),
            }
        )
    slope = np.polyfit(np.log(SIZES), np.log([group["cpu_seconds"] for group in groups]), 1)[0]
    return {
        "n_answers": N_ANSWERS,
        "n_features": N_FEATURES,
        "groups": groups,
        "growth_exponent": round(float(slope), 2),
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    took = ", ".join(f"{each['n_users']:,} users {each['cpu_seconds']:.1f} s" for each in figures["groups"])
    asked = next(each for each in figures["groups"] if each["n_users"] == PROMISED)
    return (
        f"{figures['n_answers']} answers each, {figures['n_features']} features, processor time: {took} "
        f"({PROMISED:,} users: {asked['seconds']:.1f} s by the clock). Time grows as the number of users to the power "
        f"{figures['growth_exponent']:.2f}. The fitted variance of all tastes, of {PROMISED:,} users, is "
        f"{asked['variance_ratio']:.2f} times the true one."
    )
