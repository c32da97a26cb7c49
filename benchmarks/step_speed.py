"""One full step: answer in, posterior and next question out, beside one plain pass."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import prefq

TITLE = "One full step"
GOAL = "median at most 2 ms, posterior included, on 10,000 questions × 16 features under the default prior (2 cores)"
N_QUESTIONS, N_FEATURES = 10_000, 16
N_SESSIONS = 30
SEED = 3


def milliseconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def step_times(pool: prefq.CandidatePool, *, n_sessions: int, seed: int) -> list[float]:
    """Times, in milliseconds, of every step after the first of simulated sessions of ten questions."""
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

    def median(values: list[float]) -> float:
        return round(float(np.median(values)), 3)

    return {
        "n_questions": N_QUESTIONS,
        "n_features": N_FEATURES,
        "median_ms": median(times),
        "p95_ms": round(float(np.quantile(times, 0.95)), 3),
        "first_call_ms": round(first, 1),
        "one_pass_ms": round(float(np.median(one_pass)), 4),
        "starter_questions": starter.n_questions,
        "starter_median_ms": median(starter_times),
        "starter_p95_ms": round(float(np.quantile(starter_times, 0.95)), 3),
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    size = f"{figures['n_questions']:,} × {figures['n_features']}"
    told = {name: f"{figures[name]} ms" for name in figures if name.endswith("_ms")}
    return (
        f"{size}: median {told['median_ms']}, 95th percentile {told['p95_ms']}, in the same run in which one product "
        f"of the {size} differences with a vector took {told['one_pass_ms']}. The first call on a pool also makes its "
        f"tables: {told['first_call_ms']}. The starter pool ({figures['starter_questions']} questions): median "
        f"{told['starter_median_ms']}, 95th percentile {told['starter_p95_ms']}."
    )
