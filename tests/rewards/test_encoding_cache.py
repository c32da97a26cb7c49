"""Encodings on disk: the same numbers, no text twice, whatever ends a run, and never two encoders' in one file."""

import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from benchmarks.scale import Corpus
from prefq.errors import MismatchError, StorageError
from prefq.rewards import encoding_cache
from prefq.rewards.encoders import Encoder, load_encoder
from prefq.rewards.encoding_cache import encode_items

TinyModel = Callable[..., Path]
N = 60
PROMPTS = [f"question {k % 7}" for k in range(N)]
RESPONSES = [f"answer {k} " * (k % 5) for k in range(N)]
TOLERANCE = 1e-5  # of an encoding's length: what the batch may change in float32


@pytest.fixture(scope="module")
def folder(tiny_model: TinyModel) -> Path:
    return tiny_model(chat=True)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return load_encoder(folder, device="cpu", max_tokens=80)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 items, so that few items are several."""
    monkeypatch.setattr(encoding_cache, "BLOCK", 16)


def test_a_run_that_was_ended_comes_to_the_same_bits(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of many lengths, wherever the run ends: what is left is read in the batches it would have been read in."""
    monkeypatch.setattr(encoding_cache, "BLOCK", 64)
    monkeypatch.setattr(encoding_cache, "BATCHES", 1)
    encoder = load_encoder(folder, device="cpu", max_tokens=80, batch_tokens=200)
    rng = np.random.default_rng(0)
    responses = ["".join(rng.choice(list("abc de"), size=rng.integers(1, 90))) for _ in range(100)]
    whole, _ = encode_items(encoder, [""] * 100, responses)
    for end in (30, 50, 80):

        def interrupt(done: int, _: int, end: int = end) -> None:
            if done > end:
                raise KeyboardInterrupt

        cache = tmp_path / str(end)
        with pytest.raises(KeyboardInterrupt):
            encode_items(encoder, [""] * 100, responses, cache=cache, on_progress=interrupt)
        found, report = encode_items(encoder, [""] * 100, responses, cache=cache)
        assert 0 < report.n_from_cache < 100
        np.testing.assert_array_equal(found, whole)


@pytest.fixture
def passes(encoder: Encoder) -> Any:
    """How many texts each pass of the model had."""
    sizes: list[int] = []
    hook = encoder.network.model.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    yield sizes
    hook.remove()


def expected(encoder: Encoder) -> Any:
    return encoder.encode(PROMPTS, RESPONSES).encodings


def near(found: Any, true: Any) -> bool:
    return bool((np.linalg.norm(found - true, axis=1) <= TOLERANCE * np.linalg.norm(true, axis=1)).all())


def data(cache: Path, suffix: str) -> Path:
    (path,) = cache.glob(f"*/*.{suffix}")
    return path


def test_items_have_the_encodings_of_their_texts(encoder: Encoder, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found, report = encode_items(
        encoder, PROMPTS, RESPONSES, cache=tmp_path, on_progress=lambda done, total: told.append((done, total))
    )
    assert near(found, expected(encoder))
    assert isinstance(found, np.memmap)
    assert found.dtype == np.float32
    assert not found.flags.writeable
    assert (report.n_items, report.n_encoded, report.n_from_cache, report.n_halvings) == (N, N - 5, 0, 0)
    assert told[-1] == (N, N)
    assert sorted(told) == told
    in_memory, _ = encode_items(encoder, PROMPTS, RESPONSES)
    assert (in_memory == found).all()
    assert not in_memory.flags.writeable


def test_equal_texts_are_encoded_once_and_known_ones_never(encoder: Encoder, tmp_path: Path, passes: list[int]) -> None:
    first, _ = encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    assert sum(passes) == len(set(zip(PROMPTS, RESPONSES, strict=True))) == N - 5
    passes.clear()
    again, report = encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    assert (passes, report.n_encoded, report.n_from_cache) == ([], 0, N - 5)
    assert (again == first).all()
    others, report = encode_items(encoder, [*PROMPTS[:20:-1], "new"], [*RESPONSES[:20:-1], ""], cache=tmp_path)
    assert (sum(passes), report.n_encoded) == (1, 1)
    assert (others[:-1] == first[:20:-1]).all()


def test_no_item_is_no_row(encoder: Encoder, tmp_path: Path) -> None:
    found, report = encode_items(encoder, [], [], cache=tmp_path)
    assert found.shape == (0, 32)
    assert report.sentence() == "0 items: 0 encoded, 0 from the cache."


def test_an_interrupted_run_goes_on(encoder: Encoder, tmp_path: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path, on_progress=interrupt)
    found, report = encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    assert 0 < report.n_encoded < N - 5
    assert report.n_encoded + report.n_from_cache == N - 5
    assert near(found, expected(encoder))


def test_a_short_list_that_was_interrupted_keeps_what_was_encoded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding_cache, "BLOCK", 2048)  # all are read at once
    encoder = load_encoder(folder, device="cpu", max_tokens=80, batch_tokens=10)
    texts = (
        ["x" * 40] * 60,
        [f"{k:040d}" for k in range(60)],
    )  # 80 characters each; four of them are eight batches' worth
    told = list[int]()

    def interrupt(done: int, _: int) -> None:
        told.append(done)
        if done >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_items(encoder, *texts, cache=tmp_path, on_progress=interrupt)
    assert max(np.diff([0, *told])) <= 4
    found, report = encode_items(encoder, *texts, cache=tmp_path)
    assert (report.n_encoded, report.n_from_cache) == (60 - told[-2], told[-2])
    assert told[-2] >= 26
    assert near(found, encoder.encode(*texts).encodings)
    assert len(list(tmp_path.rglob("*.f32"))) == 1


RUN = """
import sys
from prefq.rewards import encoding_cache
from prefq.rewards.encoders import load_encoder
encoding_cache.BLOCK = 16
encoder = load_encoder(sys.argv[1], device="cpu", max_tokens=80)
prompts = [f"question {k % 7}" for k in range(60)]
responses = [f"answer {k} " * (k % 5) for k in range(60)]
"""


def running(code: str, folder: Path, cache: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RUN + code, str(folder), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


WAITING = """
def wait(done, total):
    print(done, flush=True)
    if done > 30:
        sys.stdin.read()
encoding_cache.encode_items(encoder, prompts, responses, cache=sys.argv[2], on_progress=wait)
"""


def test_a_killed_run_goes_on_and_a_running_one_is_alone(encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    with running(WAITING, folder, tmp_path) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) <= 30:
            pass
        with pytest.raises(StorageError, match="another process is encoding the same items"):
            encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    found, report = encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    assert 0 < report.n_from_cache < N - 5
    assert near(found, expected(encoder))


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files cannot be limited")
def test_a_disk_that_is_full_is_told_and_the_run_goes_on_later(encoder: Encoder, tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40 * 32 * 4, limits[1]))
    try:
        with pytest.raises(
            StorageError, match=r"cannot be read or written \(File too large\); what was written before"
        ):
            encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    found, report = encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    assert report.n_from_cache > 0
    assert near(found, expected(encoder))


def stopped(encoder: Encoder, cache: Path) -> None:
    """A run that ended after 48 of 60 items."""

    def interrupt(done: int, _: int) -> None:
        if done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_items(encoder, PROMPTS, RESPONSES, cache=cache, on_progress=interrupt)


def test_what_a_crash_left_half_written_is_encoded_again(encoder: Encoder, tmp_path: Path) -> None:
    cases = [("part", 3 * 32 * 4, None), ("part", None, 10 * 32 * 4), ("part", None, 0)]
    cases += [("index", 5, None), ("index", None, 100), ("index", None, 0)]
    for number, (suffix, flipped, length) in enumerate(cases):
        cache = tmp_path / str(number)
        stopped(encoder, cache)
        path = data(cache, suffix)
        content = bytearray(path.read_bytes())
        if flipped is not None:
            content[flipped] ^= 255
        path.write_bytes(content[:length])
        found, report = encode_items(encoder, PROMPTS, RESPONSES, cache=cache)
        assert near(found, expected(encoder))
        assert report.n_encoded + report.n_from_cache == N - 5


def test_a_whole_file_that_was_cut_is_made_anew(encoder: Encoder, tmp_path: Path) -> None:
    encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    path = data(tmp_path, "f32")
    path.write_bytes(path.read_bytes()[:-4])
    found, report = encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    assert near(found, expected(encoder))
    assert report.n_encoded == N - 5


def test_an_encoder_that_changed_is_never_mixed_with_what_it_was(
    encoder: Encoder, tiny_model: TinyModel, tmp_path: Path
) -> None:
    def shift(model: Any) -> None:
        model.model.norm.weight.data += 0.5

    encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)
    other = load_encoder(tiny_model(chat=True, change=shift), device="cpu", max_tokens=80)
    found, report = encode_items(other, PROMPTS, RESPONSES, cache=tmp_path)
    assert report.n_from_cache == 0
    assert near(found, expected(other))
    assert not near(found, expected(encoder))
    theirs, ours = (tmp_path / e.identity.key[:16] for e in (other, encoder))
    (theirs / "encoder.json").replace(ours / "encoder.json")
    with pytest.raises(MismatchError, match="are of another encoder than 'tiny"):
        encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path)


def test_a_cache_that_cannot_be_written_is_told(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be read or written"):
        encode_items(encoder, PROMPTS, RESPONSES, cache=tmp_path / "file")


def test_pairs_that_became_equal_are_counted(encoder: Encoder, tmp_path: Path) -> None:
    long = "one two three " * 40
    responses = [f"{long} yes {long}", f"{long} no {long}", f"{long} no {long} indeed", "short", "short "]
    _, report = encode_items(encoder, [""] * 5, responses, cache=tmp_path)
    pairs = np.array([[0, 1], [1, 2], [3, 0], [3, 4]])
    assert report.truncated.tolist() == [True, True, True, False, False]
    assert report.equal_pairs(pairs).tolist() == [True, False, False, True]  # the last by the template, which strips
    assert report.n_equal_pairs(pairs) == 1
    assert report.sentence(pairs) == (
        "5 items: 5 encoded, 0 from the cache; 3 cut because they are too long, by which 1 pair became equal."
    )
    _, again = encode_items(encoder, [""] * 5, responses, cache=tmp_path)
    assert (again.truncated == report.truncated).all()
    assert again.n_equal_pairs(pairs) == 1


class Texts(Corpus):
    """Texts of 1,400 words that exist only while they are looked at."""

    def __iter__(self) -> NoReturn:
        raise AssertionError("texts are to be read by slices")


def test_memory_does_not_grow_with_the_texts(encoder: Encoder, tmp_path: Path) -> None:
    def peak(n: int) -> int:
        tracemalloc.start()
        encode_items(encoder, Texts(n, 1400), Texts(n, 1400), cache=tmp_path / str(n))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few = Texts(20, 1400)
    encode_items(encoder, few, few, cache=tmp_path / "first")  # what the first run loads is not counted
    assert peak(120) - peak(20) < 100 * 2000  # bytes; their texts are 20,000 characters an item


def test_files_of_a_killed_run_are_a_source_for_other_lists(encoder: Encoder, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    stopped(encoder, cache)
    found, report = encode_items(encoder, PROMPTS[:30], RESPONSES[:30], cache=cache)
    assert report.n_encoded == 0
    assert near(found, expected(encoder)[:30])
    assert data(cache, "f32").stat().st_size == 30 * 32 * 4
