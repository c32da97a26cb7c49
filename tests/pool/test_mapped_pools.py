"""Pools with large features: mapped and not read, the same questions as from memory, changes found when asked for."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool
from prefq.pool.files import MAP_FROM, load_pool, verify_pool
from prefq_cli.app import app


@pytest.fixture(scope="module")
def pool() -> CandidatePool:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120_000, 16)).astype(np.float32)
    return CandidatePool.from_arrays(
        features, np.arange(6000).reshape(-1, 2), prompt_ids=np.repeat(np.arange(60_000), 2).tolist()
    )


@pytest.fixture
def folder(pool: CandidatePool, tmp_path: Path) -> Path:
    pool.save(tmp_path / "pool")
    assert (tmp_path / "pool" / "features.safetensors").stat().st_size > MAP_FROM
    return tmp_path / "pool"


def resident_bytes(path: Path) -> int:
    """How much of a mapped file this process holds in memory, of the one mapping of it."""
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.endswith(str(path))]
    return next(int(line.split()[1]) * 1024 for line in lines[at:] if line.startswith("Rss:"))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is resident")
def test_opening_a_pool_does_not_read_its_features(folder: Path) -> None:
    loaded = load_pool(folder)
    path = folder / "features.safetensors"
    assert resident_bytes(path) < path.stat().st_size / 10
    loaded.features.sum()
    assert resident_bytes(path) > path.stat().st_size / 2


def test_a_mapped_pool_asks_what_the_pool_in_memory_asks(pool: CandidatePool, folder: Path) -> None:
    mapped = load_pool(folder)
    assert not mapped.features.flags.owndata
    assert mapped.digest() == pool.digest() == verify_pool(folder).digest()
    assert mapped.starting_point().digest() == pool.starting_point().digest()
    np.testing.assert_array_equal(mapped.pairs, pool.pairs)
    answers: list[prefq.Answer] = []
    for _ in range(4):
        question = prefq.select_next_question(pool, answers)
        assert question == prefq.select_next_question(mapped, answers)
        assert question is not None
        answers.append(question.answer("first"))
    scores = prefq.score_questions(pool, answers)
    np.testing.assert_array_equal(prefq.score_questions(mapped, answers), scores)
    with pytest.raises(ValueError, match="read-only"):
        mapped.features[0, 0] = 1.0


def test_a_flipped_bit_is_found_by_who_checks_the_whole(folder: Path) -> None:
    path = folder / "features.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    load_pool(folder)
    with pytest.raises(InputError, match=r"features.safetensors .* was changed or cut short after it was written"):
        verify_pool(folder)


def test_numbers_that_are_none_are_found_at_the_first_question(folder: Path) -> None:
    path = folder / "features.safetensors"
    content = bytearray(path.read_bytes())
    start = len(content) - 120_000 * 16 * 4
    content[start : start + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    loaded = load_pool(folder)
    with pytest.raises(InputError, match="hold NaN or infinite values"):
        prefq.select_next_question(loaded, [], prior=prefq.Gaussian(np.zeros(16), np.eye(16)))


@pytest.mark.parametrize("change", ["cut", "longer", "header", "header length", "dtype", "other tensor"])
def test_a_file_of_another_length_or_shape_is_refused_unread(folder: Path, change: str) -> None:
    path = folder / "features.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length]
    changed = {
        "cut": content[:-4],
        "longer": content + b"\0" * 4,
        "header": content[:8] + b"x" * length + content[8 + length :],
        "header length": (2**60).to_bytes(8, "little") + content[8:],
        "dtype": content[:8] + header.replace(b"F32", b"I32") + content[8 + length :],
        "other tensor": content[:8] + header.replace(b"features", b"Features") + content[8 + length :],
    }[change]
    path.write_bytes(changed)
    with pytest.raises(InputError, match=r"does not hold the features that its manifest.json tells of"):
        load_pool(folder)


def test_a_manifest_of_other_pairs_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["n_questions"] += 1
    del manifest["checksum"]
    manifest["checksum"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(InputError, match=r"its files hold another pool than its manifest.json says"):
        load_pool(folder)


def test_the_command_that_validates_reads_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "features.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        app(["pool", "validate", str(folder)], prog_name="prefq")
    assert ended.value.code == 2
    assert "was changed or cut short" in capsys.readouterr().err
