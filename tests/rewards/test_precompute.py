"""Pools from texts and base rewards: features of each response, runs that go on, workers that may be killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.compute import ray as ray_engine
from prefq.compute.blocks import Arrays, Block, Work
from prefq.errors import InputError, MismatchError, NotFoundError, StorageError
from prefq.rewards.encoders import EncoderIdentity, load_encoder
from prefq.rewards.linear import LinearRewards
from prefq.rewards.precompute import BuildReport, build_pool

TOLERANCE = 1e-4  # of a feature's spread: what float32 and the number of threads may change
WORDS = ("cold", "warm", "quick", "slow", "kind", "plain", "long", "short", "old", "new")
# Ray's own settings warn of one another, and Ray leaves open what it started; none of it is ours.
OF_RAY = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)  # fmt: skip


def texts(path: Path, n_prompts: int = 12, n_responses: int = 4) -> Path:
    """Prompts with responses that differ."""
    rows = [
        {
            "prompt": f"What is a {WORDS[i % 10]} day {i}?",
            "responses": [
                f"A {WORDS[(i + j) % 10]} one, {WORDS[(3 * i + 7 * j) % 10]} too. " * (1 + j)
                for j in range(n_responses)
            ],
        }
        for i in range(n_prompts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def learned(minilm_folder: Path) -> LinearRewards:
    """Three features of the real encoder, with a prior."""
    encoder = load_encoder(minilm_folder, device="cpu")
    rng = np.random.default_rng(0)
    heads = 20 * rng.normal(size=(384, 3)) / np.sqrt(384)
    rewards = LinearRewards(encoder.identity, str(minilm_folder), np.zeros(384), heads, ("a", "b", "c"))
    prior = prefq.PopulationPrior(
        prefq.Gaussian(np.zeros(3), np.diag([4.0, 1.0, 0.25])), rewards.feature_space, n_users=40
    )
    return LinearRewards(encoder.identity, str(minilm_folder), np.zeros(384), heads, ("a", "b", "c"), prior=prior)


@pytest.fixture
def starter() -> Any:
    """Rewards that need no encoder."""
    return prefq.load_rewards("starter")


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(("pool", ".prefq")))


def test_a_pool_has_the_features_of_its_texts(tmp_path: Path, learned: LinearRewards) -> None:
    pool, report = build_pool(learned, texts(tmp_path / "t.jsonl"), tmp_path / "pool", block_items=20)

    assert report.texts.n_items == 48
    assert report == BuildReport(report.texts, 0, 0, 0, 72, 0, 0, 72, 48)
    loaded = prefq.load_pool(tmp_path / "pool")
    assert loaded.digest() == pool.digest()
    assert loaded.prior is not None
    assert loaded.prior.n_users == 40
    assert loaded.prompts is not None
    assert loaded.responses is not None
    expected = learned.features(loaded.prompts, loaded.responses)
    np.testing.assert_allclose(loaded.features, expected, atol=TOLERANCE * expected.std())
    assert all(loaded.prompts[first] == loaded.prompts[second] for first, second in loaded.pairs.tolist())
    assert left_behind(tmp_path) == ["pool"]


def test_fewer_pairs_and_no_item_without_one(tmp_path: Path, learned: LinearRewards) -> None:
    pool, report = build_pool(learned, texts(tmp_path / "t.jsonl"), tmp_path / "pool", limit_pairs=15)

    assert (report.n_pairs, report.n_not_chosen, pool.n_questions) == (72, 57, 15)
    assert pool.prompt_codes is not None
    assert len(np.unique(pool.prompt_codes)) == 12
    np.testing.assert_array_equal(np.unique(pool.pairs), np.arange(pool.n_items))
    assert pool.n_items < 48
    assert pool.prompts is not None
    assert pool.responses is not None
    expected = learned.features(pool.prompts, pool.responses)
    np.testing.assert_allclose(pool.features, expected, atol=TOLERANCE * expected.std())


def test_rewards_without_encoder_or_prior(tmp_path: Path, starter: Any) -> None:
    pool, report = build_pool(starter, texts(tmp_path / "t.jsonl"), tmp_path / "pool", limit_pairs=20)

    assert pool.prior is None
    assert pool.feature_space == starter.feature_space
    assert pool.n_questions == 20
    assert report.n_near_equal + report.n_not_chosen == 52
    np.testing.assert_array_equal(pool.features, starter.features(pool.prompts, pool.responses).astype(np.float32))


def test_texts_that_the_rewards_cannot_tell_apart(tmp_path: Path, starter: Any) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"prompt": "p", "responses": ["The cat sat.", "The dog sat."]}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"no two responses to a prompt differ for these base rewards \(1 pairs"):
        build_pool(starter, path, tmp_path / "pool")


def test_a_run_that_was_ended_goes_on_and_gives_the_same_pool(tmp_path: Path, starter: Any) -> None:
    path = texts(tmp_path / "t.jsonl")
    whole, _ = build_pool(starter, path, tmp_path / "whole", block_items=10)

    def end(n_done: int, n_items: int) -> None:
        if n_done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_pool(starter, path, tmp_path / "pool", block_items=10, on_progress=end)
    assert left_behind(tmp_path) == ["pool.parts"]
    told: list[tuple[int, int]] = []
    again, report = build_pool(
        starter, path, tmp_path / "pool", block_items=10, on_progress=lambda done, of: told.append((done, of))
    )
    assert told == [(20, 48), (30, 48), (40, 48), (48, 48)]
    assert report.n_from_before == 20
    assert again.digest() == whole.digest()
    assert left_behind(tmp_path) == ["pool"]


HOLDING = """
import sys
import prefq
from prefq.rewards.precompute import build_pool
def wait(done, total):
    print(done, flush=True)
    sys.stdin.read()
build_pool(prefq.load_rewards("starter"), sys.argv[1], sys.argv[2], block_items=10, on_progress=wait)
"""


def test_one_process_builds_a_pool_at_a_time(tmp_path: Path, starter: Any) -> None:
    path = texts(tmp_path / "t.jsonl")
    command = [sys.executable, "-c", HOLDING, str(path), str(tmp_path / "pool")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        with pytest.raises(StorageError, match=r"^another process is building '.*pool' \(busy.lock in .* wait until"):
            build_pool(starter, path, tmp_path / "pool", block_items=10)
        assert process.communicate("\n", timeout=60)[0].splitlines() == ["10", "20", "30", "40", "48"]
    assert process.returncode == 0
    assert left_behind(tmp_path) == ["pool"]


def test_nothing_is_left_where_nothing_was_computed(tmp_path: Path, starter: Any) -> None:
    (tmp_path / "t.jsonl").write_text('{"prompt": "p", "responses": ["alone"]}\n', encoding="utf-8")
    with pytest.raises(InputError, match="has no prompt with two responses"):
        build_pool(starter, tmp_path / "t.jsonl", tmp_path / "pool")
    assert left_behind(tmp_path) == []


def test_other_texts_or_rewards_take_nothing_from_before(tmp_path: Path, starter: Any, learned: LinearRewards) -> None:
    def end(n_done: int, n_items: int) -> None:
        if n_done:
            raise KeyboardInterrupt

    path = texts(tmp_path / "t.jsonl")
    with pytest.raises(KeyboardInterrupt):
        build_pool(starter, path, tmp_path / "pool", block_items=10, on_progress=end)
    path.write_text(path.read_text(encoding="utf-8").replace("cold", "icy"), encoding="utf-8")
    pool, report = build_pool(starter, path, tmp_path / "pool", block_items=10)
    assert report.n_from_before == 0
    assert pool.responses is not None
    np.testing.assert_array_equal(pool.features, starter.features(pool.prompts, pool.responses).astype(np.float32))
    with pytest.raises(KeyboardInterrupt):
        build_pool(starter, path, tmp_path / "other", block_items=10, on_progress=end)
    assert build_pool(learned, path, tmp_path / "other", block_items=10)[1].n_from_before == 0


def test_what_cannot_be(tmp_path: Path, starter: Any, learned: LinearRewards, minilm_folder: Path) -> None:
    path = texts(tmp_path / "t.jsonl", 1)
    with pytest.raises(InputError, match="limit_pairs is 0"):
        build_pool(starter, path, tmp_path / "pool", limit_pairs=0)
    with pytest.raises(NotFoundError):
        build_pool(starter, tmp_path / "none.jsonl", tmp_path / "pool")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot be written"):
        build_pool(starter, path, tmp_path / "file" / "pool")
    other = EncoderIdentity.from_dict(learned.encoder_identity.to_dict() | {"digest": "0"})
    changed = LinearRewards(other, str(minilm_folder), learned.mean, learned.heads, learned.names)
    with pytest.raises(MismatchError, match="is not the one that these rewards were learned on"):
        build_pool(changed, path, tmp_path / "pool")


class KillsItself:
    """An engine's work that kills its own process at one block, the first time."""

    def __init__(self, make_work: Any, at: str, note: Path) -> None:
        self.make_work, self.at, self.note = make_work, at, note

    def __call__(self) -> Work:
        work = self.make_work()

        def killing(content: Any) -> Arrays:
            found: Arrays = work(content)
            if str(int(content.rows[0])) == self.at and not self.note.exists():
                self.note.write_text(str(os.getpid()), encoding="utf-8")
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return killing


@pytest.mark.slow
@OF_RAY
def test_ray_gives_the_same_pool_and_a_killed_worker_loses_nothing(tmp_path: Path, learned: LinearRewards) -> None:
    from ray import cloudpickle

    # Workers cannot import tests.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]
    path = texts(tmp_path / "t.jsonl", 20)
    here, _ = build_pool(learned, path, tmp_path / "local", block_items=8)
    note, calls = tmp_path / "killed", list[int]()

    def map_blocks(make_work: Any, blocks: Sequence[Block], folder: Path, *, on_done: Any = None) -> None:
        killer = KillsItself(make_work, "24", note)
        ray_engine.map_blocks(killer, blocks, folder, on_done=on_done, n_workers=2)

    there, report = build_pool(
        learned, path, tmp_path / "ray", block_items=8, map_blocks=map_blocks,
        on_progress=lambda done, of: calls.append(done),
    )  # fmt: skip

    assert note.exists()  # it was killed
    assert int(note.read_text(encoding="utf-8")) != os.getpid()
    assert sorted(calls) == list(range(0, 81, 8))
    assert report.texts.n_items == 80
    np.testing.assert_array_equal(there.pairs, here.pairs)
    assert (there.prompts, there.responses) == (here.prompts, here.responses)
    np.testing.assert_allclose(there.features, here.features, atol=TOLERANCE * here.features.std())
    assert left_behind(tmp_path) == []
