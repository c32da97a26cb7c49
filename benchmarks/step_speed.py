"""One full step: answer in, posterior, next question out, beside one plain pass over the same features."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import prefq

TITLE = "One full step"
GOAL = "median under 2 ms on 10,000 questions × 16 features (2 cores)"
N_QUESTIONS, N_FEATURES = 10_000, 16
N_SESSIONS = 30
SEED = 3


def milliseconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def step_times(pool: prefq.CandidatePool, *, n_sessions: int, seed: int) -> list[float]:
    """Times of every step after the first of simulated sessions of ten questions, in milliseconds."""
    rng = np.random.default_rng(seed)
    prior = pool.starting_point().coefficients
    times: list[float] = []
    for session in range(n_sessions):
        user = prefq.SimulatedUser(2 * rng.multivariate_normal(prior.mean, prior.covariance))
        question = prefq.select_next_question(pool, [], seed=session)
        answers: list[prefq.Answer] = []
        while question is not None and len(answers) < 10:
            answers.append(user.answer(pool, question, rng=rng))
            start = time.perf_counter()
            question = prefq.select_next_question(pool, answers, seed=session, max_questions=None)
            times.append(1e3 * (time.perf_counter() - start))
    return times


def measure() -> dict[str, Any]:
    """Figures of the run."""
    rng = np.random.default_rng(SEED)
    features = rng.normal(size=(2 * N_QUESTIONS, N_FEATURES))
    pool = prefq.CandidatePool.from_arrays(features, np.arange(2 * N_QUESTIONS).reshape(-1, 2))
    first = milliseconds(lambda: prefq.select_next_question(pool, []))
    times = step_times(pool, n_sessions=N_SESSIONS, seed=SEED)
    differences, direction = features[::2] - features[1::2], rng.normal(size=N_FEATURES)
    one_pass = [milliseconds(lambda: differences @ direction) for _ in range(200)]
    starter = prefq.load_pool("starter")
    starter_times = step_times(starter, n_sessions=N_SESSIONS, seed=SEED)
    return {
        "n_questions": N_QUESTIONS,
        "n_features": N_FEATURES,
        "median_ms": round(float(np.median(times)), 3),
        "p95_ms": round(float(np.quantile(times, 0.95)), 3),
        "first_call_ms": round(first, 1),
        "one_pass_ms": round(float(np.median(one_pass)), 4),
        "starter_questions": starter.n_questions,
        "starter_median_ms": round(float(np.median(starter_times)), 3),
        "starter_p95_ms": round(float(np.quantile(starter_times, 0.95)), 3),
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    size = f"{figures['n_questions']:,} × {figures['n_features']}"
    return (
        f"{size}: median {figures['median_ms']} ms, 95th percentile {figures['p95_ms']} ms, in the same run in which "
        f"one product of the {size} differences with a vector took {figures['one_pass_ms']} ms. The first call on a "
        f"pool also makes its tables: {figures['first_call_ms']} ms. The starter pool ({figures['starter_questions']} "
        f"questions): median {figures['starter_median_ms']} ms, 95th percentile {figures['starter_p95_ms']} ms."
    )
