"""Times of selection: each size in a fresh process with one thread, ours and other ways in turn; memory in another.

Run as ``python -m prefq_cli.bench.timing JSON`` it measures one size and prints what it found; `measured` runs it so.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import prefq
from prefq.inference.ep import fit_posterior_ep
from prefq.pool.candidate_pool import NO_TASTE, CandidatePool
from prefq.questions.acquisition import information_gain
from prefq.questions.hashes import shown_question
from prefq.questions.margins import PoolMargins
from prefq.questions.selection import choose
from prefq.simulation.panels import GroupAnswers, History, Study
from prefq.vocabulary import (
    OUTCOMES,
    Array,
    Coefficients,
    Comparisons,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    parse_question_id,
)
from prefq_cli.bench import plain_numpy
from prefq_cli.bench.memory import N_ANSWERS, PAIRS, RESPONSES, make_pool, mib, peak_memory, session
from prefq_cli.bench.strategies import Address, load
from prefq_cli.bench.workers import ONE_THREAD

LEAST_ROUNDS, LEAST_PLAIN, LEAST_SESSIONS = 5, 3, 1
SECONDS = 2.0  # after which no further round or session begins, the least done
N_USERS, USERS_ROUNDS = 220, 3  # twenty with 0 answers, twenty with 1, and so on up to 10
GROUP_USERS, GROUP_ANSWERS = 20, 30  # that recipes of others learn from before the clock runs
IMPORT_SECONDS = 30.0  # what the first call of a recipe may take besides, to import what it needs
SETUP_SECONDS = 120.0  # what a process may take besides the calls that are timed
BYTES_PER_QUESTION = 300  # besides features and differences: margins, prompts, answers to ten questions
BYTES_OF_LIBRARIES = 1 << 30  # address space that data of imported libraries take at most
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Size:
    """One size to measure, and how.

    `rounds` is the most repetitions of a call. `file` and `strategy` name a recipe of others; without them prefq and
    plain NumPy are measured.
    """

    n_questions: int
    n_features: int
    rounds: int
    seed: int
    memory_gib: float
    call_seconds: float
    file: str | None = None
    strategy: str | None = None


class NotRun(NamedTuple):
    """Why a size was not measured: a clause that begins small and ends without a stop."""

    reason: str


def measured(size: Size) -> dict[str, Any] | NotRun:
    """What a fresh process finds at this size, times in milliseconds and memory in MiB."""
    if (needed := bytes_needed(size)) > size.memory_gib * GIB:
        return NotRun(f"needs about {needed / GIB:.1f} GiB of memory, more than {size.memory_gib:g}")
    command = [sys.executable, "-m", "prefq_cli.bench.timing", json.dumps(asdict(size))]
    apart = [sys.executable, "-m", "prefq_cli.bench.memory", *map(str, (size.n_questions, size.n_features, size.seed))]
    limit = SETUP_SECONDS + 2 * size.rounds * size.call_seconds
    try:
        ended = subprocess.run(
            command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return NotRun(f"took more than {limit:.0f} s to prepare")
    if ended.returncode == -signal.SIGALRM:
        return NotRun(f"slower than {size.call_seconds:g} s a question")
    if ended.returncode:
        return NotRun(_why(ended.returncode, ended.stderr, size))
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    if size.strategy is None:
        told_apart = subprocess.run(
            apart, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
        )
        if told_apart.returncode:
            return NotRun(_why(told_apart.returncode, told_apart.stderr, size))
        found["mib"] = json.loads(told_apart.stdout)
    return found


def bytes_needed(size: Size) -> float:
    """An upper estimate of the memory of a process that measures this size."""
    n_items = size.n_questions * RESPONSES / len(PAIRS)
    features = n_items * size.n_features * (8 + 4)  # as drawn, and as the pool keeps them
    differences = (2.5 if size.strategy is None else 4) * size.n_questions * size.n_features * 8
    return features + differences + size.n_questions * BYTES_PER_QUESTION


def start_up(rounds: int) -> dict[str, list[float]]:
    """Seconds of fresh processes, in turn: Python alone, `import numpy`, `import prefq`, and to the first question."""
    programs = {
        "python": "pass",
        "import_numpy": "import numpy",
        "import_prefq": "import prefq",
        "first_question": "import prefq; prefq.select_next_question(prefq.load_pool('starter'), [])",
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
            times[name].append(time.perf_counter() - start)
    return times


# --- in the process that measures ----------------------------------------------------------------------------


def measure_prefq(size: Size) -> dict[str, Any]:
    """Our calls and plain NumPy's, each in turn with one pass over the differences of all questions."""
    rng = np.random.default_rng([size.seed, size.n_questions, size.n_features])
    pool = make_pool(size.n_questions, size.n_features, rng)
    clock = _Clock()
    clock("first", lambda: prefq.select_next_question(pool, []))
    answers = session(pool, rng, lambda call: call())
    plain = _Plain.of(pool, answers)
    one_pass = _one_pass(plain.differences, rng)
    steps = _sessions(pool, clock, one_pass, size, rng)
    calls = _Calls.of(pool, answers)
    chosen, theirs = None, None
    clock.restart()
    while clock.goes_on("select", LEAST_ROUNDS, size.rounds):
        chosen = clock("select", calls.select)
        clock("pass", one_pass)
        clock("select_of_two", calls.select_of_two)
        clock("choose", calls.choose)
        clock("posterior", calls.posterior)
        clock("laplace", calls.laplace)
        clock("plain_posterior", plain.fit)
        if clock.goes_on("plain", LEAST_PLAIN, size.rounds):
            theirs = clock("plain", plain.select)
    assert chosen is not None
    assert theirs is not None
    return {
        "n_items": pool.n_items,
        "ms": clock.told(),
        "steps": steps,
        "users_per_second": _users_per_second(pool, rng),
        "same_question": set(parse_question_id(chosen.id)) == set(pool.pairs[theirs].tolist()),
    }


def _one_pass(differences: Array, rng: np.random.Generator) -> Callable[[], object]:
    """One product of the differences of all questions, in single precision, with a vector."""
    narrow = differences.astype(np.float32)
    direction = rng.normal(size=(narrow.shape[1],)).astype(np.float32)
    return lambda: narrow @ direction


def _sessions(
    pool: CandidatePool, clock: "_Clock", one_pass: Callable[[], object], size: Size, rng: np.random.Generator
) -> dict[str, float]:
    """Sessions of ten answers, the time of each step kept as `step`; the slowest and the median step in passes.

    The time of a step is the median over the sessions of processor time.
    """
    while clock.goes_on("step", LEAST_SESSIONS * N_ANSWERS, size.rounds * N_ANSWERS):
        session(pool, rng, lambda call: (clock("step", call), clock("pass", one_pass))[0])
    of_steps = np.median(np.reshape(clock.cpu["step"], (-1, N_ANSWERS)), axis=0) / np.median(clock.cpu["pass"])
    return {name: float(f"{value:.3g}") for name, value in (("most", of_steps.max()), ("median", np.median(of_steps)))}


def _users_per_second(pool: CandidatePool, rng: np.random.Generator) -> float:
    """Next questions a second of many users with 0 to 10 answers each, worked out together: the best of some rounds."""
    prior = pool.starting_point().coefficients
    people = [prefq.SimulatedUser(rng.multivariate_normal(prior.mean, prior.covariance)) for _ in range(N_USERS)]
    answers: list[list[prefq.Answer]] = [[] for _ in people]
    for n_answers in range(N_ANSWERS):
        going_on = [user for user in range(N_USERS) if user % (N_ANSWERS + 1) > n_answers]
        questions = prefq.select_for_users(pool, [answers[user] for user in going_on], seeds=going_on)
        for user, question in zip(going_on, questions, strict=True):
            assert question is not None
            answers[user].append(people[user].answer(pool, question, rng=rng))
    clock = _Clock()
    for _ in range(USERS_ROUNDS):
        clock("users", lambda: prefq.select_for_users(pool, answers, max_questions=None))
    return float(f"{N_USERS / min(clock.cpu['users']):.3g}")


class _Calls(NamedTuple):
    """What is timed of ours after ten answers."""

    pool: CandidatePool
    answers: Sequence[prefq.Answer]
    start: PopulationPrior
    comparisons: Comparisons
    found: Coefficients
    of_two: GaussianMixture

    @classmethod
    def of(cls, pool: CandidatePool, answers: Sequence[prefq.Answer]) -> "_Calls":
        start, comparisons = pool.starting_point(), pool.comparisons(answers)
        believed, n_features = start.coefficients, pool.n_features
        nobody = Gaussian(np.zeros(n_features), np.zeros((n_features, n_features)))
        of_two = GaussianMixture([1 - NO_TASTE, NO_TASTE], [*believed.components, nobody])
        return cls(pool, answers, start, comparisons, fit_posterior_ep(believed, comparisons)[0], of_two)

    def select(self) -> prefq.Question | None:
        """All that a program calls to get the next question."""
        return prefq.select_next_question(self.pool, self.answers, max_questions=None)

    def select_of_two(self) -> prefq.Question | None:
        """The same where the prior is a mixture: some people have no taste."""
        return prefq.select_next_question(self.pool, self.answers, prior=self.of_two, max_questions=None)

    def choose(self) -> prefq.Question:
        """From the posterior to the question."""
        rows, _ = self.pool.asked(self.answers)
        allowed = np.ones(self.pool.n_questions, dtype=bool)
        allowed[rows] = False
        margins = PoolMargins.of(self.pool, self.start.coefficients, self.start.response_model)
        best = choose(information_gain, margins.under(self.found), rows, allowed)
        return shown_question(self.pool, best.row, 0)

    def posterior(self) -> object:
        """From the answers to the posterior."""
        return fit_posterior_ep(self.start.coefficients, self.comparisons)

    def laplace(self) -> object:
        """The same by Laplace's method, which nothing here waits for."""
        return prefq.fit_posterior(self.start.coefficients, self.comparisons)


def measure_peer(size: Size) -> dict[str, Any]:
    """The next question of a recipe of others after ten answers, learning included, in turn with one pass."""
    assert size.file is not None
    assert size.strategy is not None
    strategy = load(Address(size.strategy, size.file))
    _score_all(size.file, size.n_questions)
    rng = np.random.default_rng([size.seed, size.n_questions, size.n_features])
    pool = make_pool(size.n_questions, size.n_features, rng)
    study, history = one_user(pool, rng)
    one_pass = _one_pass(study.first[0] - study.second[0], rng)
    learn = strategy.begin(study, rng=rng)
    clock = _Clock()

    def call(name: str, more: float = 0.0) -> None:
        _alarm(size.call_seconds + more)
        clock(name, lambda: learn(history).next_rows())
        _alarm(0)
        clock("pass", one_pass)

    call("first", IMPORT_SECONDS)
    clock.restart()
    while clock.goes_on("select", 1, size.rounds):
        call("select")
    return {"ms": clock.told(), "mib": {"peak": mib(peak_memory())}}


def one_user(pool: CandidatePool, rng: np.random.Generator) -> tuple[Study, History]:
    """A user who has answered ten random questions of a pool, as recipes of others are given one."""
    prior = pool.starting_point()
    first, second = (pool.features[rows].astype(np.float64, copy=False)[None] for rows in pool.pairs.T)

    def replies(rows: NDArray[np.intp]) -> NDArray[np.int8]:
        taste = rng.multivariate_normal(prior.coefficients.mean, prior.coefficients.covariance)
        margins = (first[0, rows] - second[0, rows]) @ taste
        return np.where(rng.random(rows.size) < 1 / (1 + np.exp(-margins)), 1, -1).astype(np.int8)

    def some(n: int) -> NDArray[np.intp]:
        return rng.choice(pool.n_questions, min(n, pool.n_questions - 1), replace=False)

    asked = [some(GROUP_ANSWERS) for _ in range(GROUP_USERS)]
    group = GroupAnswers(
        np.concatenate([first[0, rows] - second[0, rows] for rows in asked]),
        np.concatenate([replies(rows) for rows in asked]),
        np.repeat(np.arange(GROUP_USERS), [rows.size for rows in asked]),
    )
    open_rows = np.ones((1, pool.n_questions), dtype=bool)
    start = Gaussian(prior.coefficients.mean, prior.coefficients.covariance)
    study = Study(first, second, open_rows, N_ANSWERS + 1, start, prior.response_model, group)
    own = some(N_ANSWERS)
    return study, History(own[None], replies(own)[None])


def told(times: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and number of times, from seconds to milliseconds."""
    p50, p95 = np.quantile(times, [0.5, 0.95]) * 1e3
    return {"p50": float(f"{p50:.4g}"), "p95": float(f"{p95:.4g}"), "n": len(times)}


def _alarm(seconds: float) -> None:
    """Have the system end this process after so many seconds, whatever it is in; 0 calls it off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


class _Clock:
    """Times of calls by name, in seconds by the wall clock and of the processor, and when to stop."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}
        self.restart()

    def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        start, cpu_start = time.perf_counter(), time.process_time()
        found = call()
        cpu_end, end = time.process_time(), time.perf_counter()
        self.times.setdefault(name, []).append(end - start)
        self.cpu.setdefault(name, []).append(cpu_end - cpu_start)
        return found

    def told(self) -> dict[str, dict[str, float]]:
        """By name what `told` tells, and the median time of the processor as `cpu`."""
        return {name: told(times) | {"cpu": told(self.cpu[name])["p50"]} for name, times in self.times.items()}

    def restart(self) -> None:
        self.began = time.perf_counter()

    def goes_on(self, name: str, least: int, most: int) -> bool:
        """Whether there are too few times of this name, or not too many and time is left."""
        n = len(self.times.get(name, ()))
        return n < least or (n < most and time.perf_counter() - self.began < SECONDS)


class _Plain(NamedTuple):
    """What plain NumPy is given: made once for a pool, but the answers."""

    differences: Array
    prompts: NDArray[np.int64]
    mean: Array
    covariance: Array
    asked: NDArray[np.int64]
    outcomes: NDArray[np.int8]

    @classmethod
    def of(cls, pool: CandidatePool, answers: Sequence[prefq.Answer]) -> "_Plain":
        prior = pool.starting_point().coefficients
        first, second = pool.pairs.T
        assert pool.prompt_codes is not None
        rows, _ = pool.asked(answers)
        # As the pool has the pair, whichever side was shown first.
        shown = np.array([parse_question_id(answer.question_id)[0] for answer in answers])
        signs = np.where(shown == first[rows], 1, -1)
        outcomes = (signs * [OUTCOMES[answer.choice] for answer in answers]).astype(np.int8)
        differences = pool.features.take(first, axis=0).astype(np.float64)
        differences -= pool.features.take(second, axis=0)
        return cls(differences, pool.prompt_codes[first], prior.mean, prior.covariance, rows, outcomes)

    def select(self) -> int:
        return plain_numpy.select(*self)

    def fit(self) -> tuple[Array, Array]:
        return plain_numpy.fit(self.mean, self.covariance, self.differences[self.asked], self.outcomes)


def _score_all(file: str, n_questions: int) -> None:
    """Have a recipe that scores a sample of large pools, of MAX_CANDIDATES questions, score them all."""
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == file and hasattr(module, "MAX_CANDIDATES"):
            vars(module)["MAX_CANDIDATES"] = n_questions


def _cap_memory(gib: float) -> None:
    """Have allocations beyond a limit fail rather than take memory from others; where the system can."""
    if sys.platform == "linux":
        from resource import RLIMIT_DATA, getrlimit, setrlimit

        _, hard = getrlimit(RLIMIT_DATA)
        setrlimit(RLIMIT_DATA, (int(gib * GIB) + BYTES_OF_LIBRARIES, hard))


def _why(code: int, messages: str, size: Size) -> str:
    """Why a process ended as it did, in a clause."""
    last = (messages.strip().splitlines() or ["no message"])[-1]
    memory = ("MemoryError", "can't allocate memory", "not enough memory", "Cannot allocate memory", "bad_alloc")
    if code == -signal.SIGKILL or any(each in messages for each in memory):
        return f"needs more than {size.memory_gib:g} GiB of memory"
    told = re.sub(r"(?<!\S)/\S*/", "", last)  # names of files without their folders, which are this machine's own
    return f"ended with exit code {code}: {told[:200]}"


def main(arguments: Sequence[str]) -> None:
    size = Size(**json.loads(arguments[0]))
    _cap_memory(size.memory_gib)
    found: Mapping[str, Any] = measure_prefq(size) if size.strategy is None else measure_peer(size)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
