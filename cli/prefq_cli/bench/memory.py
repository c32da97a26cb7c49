"""Memory of selection, in a process that loads what a program that selects questions loads, and no more.

Run as ``python -m prefq_cli.bench.memory N_QUESTIONS N_FEATURES SEED`` it prints what a session of ten answers held.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import prefq
from prefq.pool.candidate_pool import CandidatePool

N_ANSWERS = 10
RESPONSES = 10  # to a prompt; all 45 pairs of them are questions
SEEN_PROMPTS = 200  # from which the default prior is made
PAIRS = np.stack(np.triu_indices(RESPONSES, 1), axis=1)


def make_pool(n_questions: int, n_features: int, rng: np.random.Generator) -> CandidatePool:
    """Ten responses to each prompt and all 45 pairs of them; prompts differ in spread by √Gamma(2, ½).

    Its prior is the Gaussian of the default prior, without those who have no taste: what recipes of others and plain
    NumPy can take.
    """
    n_prompts = -(-n_questions // len(PAIRS))
    features = rng.normal(size=(n_prompts, RESPONSES, n_features))
    features *= np.sqrt(rng.gamma(2, 0.5, size=(n_prompts, 1, 1)))
    pairs = (RESPONSES * np.arange(n_prompts)[:, None, None] + PAIRS).reshape(-1, 2)[:n_questions]
    prompts = np.repeat(np.arange(n_prompts), RESPONSES).tolist()
    narrow = features.reshape(-1, n_features).astype(np.float32)
    few = CandidatePool.from_arrays(narrow[: RESPONSES * SEEN_PROMPTS], pairs[: len(PAIRS) * SEEN_PROMPTS])
    gaussian, _nobody = few.starting_point().coefficients.components
    return CandidatePool.from_arrays(narrow, pairs, prompt_ids=prompts, prior=gaussian)


def session(
    pool: CandidatePool, rng: np.random.Generator, step: Callable[[Callable[[], Any]], Any]
) -> list[prefq.Answer]:
    """Ten answers of somebody; `step` makes each call from an answer to the next question."""
    prior = pool.starting_point().coefficients
    user = prefq.SimulatedUser(rng.multivariate_normal(prior.mean, prior.covariance))
    question = prefq.select_next_question(pool, [])
    answers: list[prefq.Answer] = []
    for _ in range(N_ANSWERS):
        assert question is not None
        answers.append(user.answer(pool, question, rng=rng))
        question = step(lambda: prefq.select_next_question(pool, answers, max_questions=None))
    return answers


def held(n_questions: int, n_features: int, seed: int) -> dict[str, float]:
    """MiB: features of a pool, all its arrays, what the process held before, and at most while it chose questions."""
    rng = np.random.default_rng([seed, n_questions, n_features])
    few = make_pool(len(PAIRS), 2, rng)
    prefq.select_next_question(few, [])  # which loads what it needs
    before = resident_memory()
    pool = make_pool(n_questions, n_features, rng)
    forget_peak_memory()
    session(pool, rng, lambda call: call())
    peak = peak_memory()
    margins, columns = 2 * 8 * pool.n_questions, 4 * N_ANSWERS * pool.n_questions
    arrays = pool.features.nbytes + pool.pairs.nbytes + margins + columns
    told_of = {"features": pool.features.nbytes, "arrays": arrays, "before": before, "peak": peak}
    return {name: mib(n_bytes) for name, n_bytes in told_of.items()}


def forget_peak_memory() -> None:
    """Have `peak_memory` count from now on, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_memory() -> int:
    """The memory that this process holds, in bytes; the most that it has held where the system tells no more."""
    return _status("VmRSS") or peak_memory()


def _status(name: str) -> int | None:
    """A number of bytes in what Linux says about this process."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines() if ":" in line)
    return int(lines[name].split()[0]) * 1024


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    if (peak := _status("VmHWM")) is not None:  # the kernel's other count goes on from the process that began this one
        return peak
    from resource import RUSAGE_SELF, getrusage

    peak = getrusage(RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def mib(n_bytes: int) -> float:
    return round(n_bytes / 2**20, 1)


def main(arguments: Sequence[str]) -> None:
    n_questions, n_features, seed = map(int, arguments)
    print(json.dumps(held(n_questions, n_features, seed)))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
