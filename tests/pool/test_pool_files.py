"""Pools on disk: what is saved comes back; what was changed, cut short or made up is refused in one sentence."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prefq.pool.files as pool_files
from prefq.errors import InputError, NotFoundError, PrefqError, StorageError
from prefq.pool.candidate_pool import CandidatePool, DroppedPairs
from prefq.pool.files import load_pool, save_pool
from prefq.pool.starter import FOLDER
from prefq.vocabulary import FeatureSpace, Gaussian, PopulationPrior, ResponseModel

FILES = ["features.safetensors", "items.parquet", "manifest.json", "pairs.parquet"]
ODD_TEXTS = [
    "plain",
    "",
    "[bold]brackets[/bold]",
    "\x1b[31mescape\x1b[0m \x00 \x07 \x7f \x85",
    "שלום \u202eright to left\u202c",
    "宽字符 🙂‍↕️ e\u0301 é",
    "line\r\nline\u2028line\tend",
    "word " * 10_000,
]


@pytest.fixture
def pool() -> CandidatePool:
    space = FeatureSpace(("warm", "förmäl"), "3", opposites=("cold", "casual"))
    prior = PopulationPrior(
        Gaussian(np.array([0.1, -0.0]), np.array([[1 / 3, 0.1], [0.1, 2e-7 + 1.0]])),
        space,
        ResponseModel(0.3, 0.1, 0.02),
        12,
    )
    return CandidatePool.from_arrays(
        np.random.default_rng(5).normal(size=(8, 2)),
        [[0, 1], [1, 0], [2, 3], [5, 4], [7, 6]],
        prompts=["a", "a", "b", "b", "b", "b", "c", "c"],
        responses=ODD_TEXTS,
        feature_space=space,
        prior=prior,
    )


@pytest.fixture
def folder(pool: CandidatePool, tmp_path: Path) -> Path:
    pool.save(tmp_path / "pool")
    return tmp_path / "pool"


def sentence_of(call: Callable[[], object], kind: type[PrefqError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same(one: CandidatePool, other: CandidatePool) -> None:
    assert one.digest() == other.digest()
    assert one.features.dtype == other.features.dtype
    for name in ("features", "pairs", "prompt_codes"):
        left, right = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(left, right)
        assert left is None or not right.flags.writeable
    for name in ("feature_space", "prior", "prompts", "responses", "dropped"):
        assert getattr(one, name) == getattr(other, name), name


def forge(folder: Path, **fields: Any) -> None:
    """Change the manifest as someone would who knows how its checksum is made; None takes a field out."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest = {name: value for name, value in (manifest | fields).items() if value != "out"}
    rest = {name: value for name, value in manifest.items() if name != "checksum"}
    manifest["checksum"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Put other content into a file and its SHA-256 into the manifest."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_text("utf-8"))["files"]
    forge(folder, files=files | {name: hashlib.sha256(content).hexdigest()})


# --- round trips ---


def test_a_pool_comes_back_as_it_was(pool: CandidatePool, folder: Path) -> None:
    assert pool.dropped == DroppedPairs(1, 0)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert_same(pool, load_pool(folder))
    assert_same(pool, load_pool(str(folder)))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "texts", [{}, {"prompts": ["p"] * 3}, {"responses": ["a", "b", "c"]}, {"prompt_ids": [7, 7, 7]}]
)
def test_what_a_pool_does_not_have_does_not_appear(dtype: str, texts: dict[str, Any], tmp_path: Path) -> None:
    features: Any = np.array([[0.1, 1e-30], [1 / 3, 1e30], [-0.0, 2.0]], dtype=dtype)
    pool = CandidatePool.from_arrays(features, [[0, 1], [2, 0]], **texts)
    pool.save(tmp_path / "pool")
    assert_same(pool, load_pool(tmp_path / "pool"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["f4", "f8"]),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=6),
)
def test_any_text_and_any_number_come_back(seed: int, dtype: str, texts: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(len(texts), 3)) * 10.0 ** rng.integers(-30, 30, size=3)).astype(dtype)
    pairs = rng.permutation([(i, j) for i in range(len(texts)) for j in range(i)])
    pool = CandidatePool.from_arrays(features, pairs, prompts=[texts[0]] * len(texts), responses=texts)
    pool.save(tmp_path / "pool")
    assert_same(pool, load_pool(tmp_path / "pool"))


def test_prompt_codes_that_do_not_start_at_zero_come_back(tmp_path: Path) -> None:
    made = CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
    pool = CandidatePool(made.features, made.pairs, made.feature_space, prompt_codes=np.array([9, 9]))
    pool.save(tmp_path / "pool")
    assert_same(pool, load_pool(tmp_path / "pool"))


def test_the_default_prior_of_a_loaded_pool_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    features = np.asfortranarray(np.random.default_rng(2).normal(size=(400, 7)))
    pool = CandidatePool.from_arrays(features, [[i, i + 1] for i in range(399)])
    pool.save(tmp_path / "pool")
    assert load_pool(tmp_path / "pool").starting_point().digest() == pool.starting_point().digest()


def test_the_same_pool_gives_the_same_files(pool: CandidatePool, folder: Path, tmp_path: Path) -> None:
    load_pool(folder).save(tmp_path / "other")
    assert contents(folder) == contents(tmp_path / "other")


def test_the_manifest_says_what_the_pool_is(pool: CandidatePool, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert pool.prior is not None
    assert manifest.pop("checksum") == hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    assert manifest == {
        "kind": "prefq pool",
        "format_version": 1,
        "n_items": 8,
        "n_features": 2,
        "n_questions": 4,
        "dtype": "float64",
        "feature_space": pool.feature_space.to_dict(),
        "prior": pool.prior.to_dict(),
        "dropped": {"repeated": 1, "equal": 0},
        "digest": pool.digest(),
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES if name != "manifest.json"
        },
    }


def test_files_beside_those_of_the_pool_are_not_read(pool: CandidatePool, folder: Path) -> None:
    (folder / "README.md").write_text("About this pool")
    assert_same(pool, load_pool(folder))


def test_a_manifest_may_be_laid_out_in_another_way(pool: CandidatePool, folder: Path) -> None:
    path = folder / "manifest.json"
    fields = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(dict(sorted(fields.items(), reverse=True)), indent=1).replace("\n", "\r\n"), "utf-8")
    assert_same(pool, load_pool(folder))


def test_readers_and_writers_are_imported_only_when_a_pool_is_read_or_written() -> None:
    program = (
        "import sys, prefq.pool.files, prefq.pool.candidate_pool\n"
        "print([name for name in ('pyarrow', 'safetensors', 'torch', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- names of pools ---


def test_starter_is_the_bundled_pool_wherever_one_is(
    pool: CandidatePool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
    bundled.save(tmp_path / "bundled")
    monkeypatch.setattr(pool_files, "STARTER_FOLDER", tmp_path / "bundled")
    monkeypatch.chdir(tmp_path)
    pool.save("./starter")
    assert_same(bundled, load_pool("starter"))
    assert_same(pool, load_pool("./starter"))
    assert_same(pool, load_pool(Path("starter")))


def test_a_missing_starter_pool_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_files, "STARTER_FOLDER", tmp_path / "nowhere")
    assert sentence_of(lambda: load_pool("starter"), NotFoundError) == (
        "the starter pool is not part of this installation; install prefq again, or give the folder of a pool."
    )


def test_the_starter_pool_is_package_data() -> None:
    assert Path(pool_files.__file__).parent / "starter" / "pool" == FOLDER


def test_no_pool_is_saved_under_the_name_of_the_bundled_one(pool: CandidatePool) -> None:
    assert sentence_of(lambda: pool.save("starter")) == (
        "'starter' always means the bundled pool; give the folder another name, or './starter'."
    )


@pytest.mark.parametrize("name", ["no such pool", "no/such/pool", "tab\there", "nul\0"])
def test_an_unknown_pool_is_told(name: str) -> None:
    assert sentence_of(lambda: load_pool(name), NotFoundError) == (
        f"there is no pool {name!r}; give 'starter', or a folder that pool.save() wrote."
    )


@pytest.mark.parametrize("name", ["", None, 3, b"folder"])
def test_a_pool_is_named_by_a_text_or_a_path(name: Any, pool: CandidatePool) -> None:
    expected = f"the pool is {name!r}; give 'starter' or a folder, as a text or a path."
    assert sentence_of(lambda: load_pool(name)) == expected
    assert sentence_of(lambda: pool.save(name)) == expected


def test_a_file_is_no_pool(folder: Path) -> None:
    manifest = folder / "manifest.json"
    assert sentence_of(lambda: load_pool(manifest)) == (
        f"pool {str(manifest)!r} is a file; give the folder that holds its manifest.json."
    )


# --- tampering ---


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_one_flipped_bit_is_refused(folder: Path, name: str, where: str) -> None:
    content = bytearray((folder / name).read_bytes())
    at = {"start": 0, "middle": len(content) // 2, "end": len(content) - 2}[where]
    content[at] ^= 1
    (folder / name).write_bytes(content)
    sentence = sentence_of(lambda: load_pool(folder))
    if name == "manifest.json":
        assert sentence.startswith("manifest.json in ")
    else:
        assert sentence == (
            f"{name} of the pool in {str(folder)!r} was changed or cut short after it was written "
            "(its SHA-256 is not the one in the manifest); fetch or make the pool again."
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_a_changed_manifest_is_refused_or_says_the_same(data: st.DataObject, pool: CandidatePool, folder: Path) -> None:
    path = folder / "manifest.json"
    original = path.read_bytes()
    changed = bytearray(original)
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        loaded = load_pool(folder)
    except InputError as error:
        assert "manifest.json in " in str(error)  # noqa: PT017 - or it says the same
    else:
        assert_same(pool, loaded)  # white space for white space
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_refused(folder: Path, name: str, share: float) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    sentence = sentence_of(lambda: load_pool(folder))
    if name == "manifest.json":
        assert sentence == (
            f"manifest.json in {str(folder)!r} is no JSON object; it was damaged or cut short, "
            "so fetch or make the pool again."
        )
    else:
        assert sentence.startswith(
            f"{name} of the pool in {str(folder)!r} was changed or cut short after it was written"
        )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("instead", ["nothing", "a folder"])
def test_a_missing_file_is_told(folder: Path, name: str, instead: str) -> None:
    (folder / name).unlink()
    if instead == "a folder":
        (folder / name).mkdir()
    if name == "manifest.json":
        expected = f"folder {str(folder)!r} holds no manifest.json; give a folder that pool.save() wrote."
    else:
        expected = f"{name} of the pool in {str(folder)!r} is not there; fetch or make the pool again."
    assert sentence_of(lambda: load_pool(folder)) == expected


@pytest.mark.parametrize("content", ["", "[]", "null", '"pool"', "{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\0"])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    assert "manifest.json in " in (sentence := sentence_of(lambda: load_pool(folder)))
    assert "is no JSON object; it was damaged or cut short, so fetch or make the pool again." in sentence


def test_a_manifest_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b'{"kind": "\xff\xfe"}')
    assert "is no JSON object" in sentence_of(lambda: load_pool(folder))


def test_a_manifest_of_something_else_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"name": "an app", "start_url": "/"}')
    assert sentence_of(lambda: load_pool(folder)) == (
        f"manifest.json in {str(folder)!r} is not that of a pool (its kind is None, not 'prefq pool')."
    )


def test_a_newer_format_is_told_before_anything_else(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text('{"kind": "prefq pool", "format_version": 2, "parts": []}')
    assert sentence_of(lambda: load_pool(folder)) == (
        f"manifest.json in {str(folder)!r} has format_version 2, and this prefq reads up to 1; install a newer one."
    )


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.5])
def test_a_format_version_that_never_was_is_refused(folder: Path, version: Any) -> None:
    forge(folder, format_version=version)
    assert sentence_of(lambda: load_pool(folder)) == (
        f"manifest.json in {str(folder)!r} has format_version {version!r}, and this prefq reads 1; "
        "fetch or make the pool again."
    )


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt", "..", ".", "", "/etc/hostname", "a/b", "a\\b", "..\\secret.txt", "C:secret.txt", "C:\\secret",
        "\\\\host\\share", "nul\0", "items.parquet/", "half\ud800",
    ],
)  # fmt: skip
def test_a_file_listed_outside_the_folder_is_refused_unread(folder: Path, name: str) -> None:
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    files = json.loads((folder / "manifest.json").read_text("utf-8"))["files"]
    forge(folder, files=files | {name: hashlib.sha256(b"secret").hexdigest()})
    assert sentence_of(lambda: load_pool(folder)) == (
        f"manifest.json in {str(folder)!r} lists {name!r}, a file outside the folder; do not use this pool."
    )


@pytest.mark.parametrize("files", [None, [], {}, "items.parquet", {"items.parquet": "0"}])
def test_a_manifest_lists_every_file_of_a_pool(folder: Path, files: Any) -> None:
    forge(folder, files=files)
    missing = "pairs.parquet" if isinstance(files, dict) and files else "items.parquet"
    assert sentence_of(lambda: load_pool(folder)) == (
        f"manifest.json in {str(folder)!r} lists no {missing}; fetch or make the pool again."
    )


def test_a_further_file_that_is_listed_is_checked_too(pool: CandidatePool, folder: Path) -> None:
    replace_file(folder, "levels.json", b"[1, 2]")
    assert_same(pool, load_pool(folder))
    (folder / "levels.json").write_bytes(b"[1, 3]")
    assert "levels.json of the pool" in sentence_of(lambda: load_pool(folder))


# --- manifests and files made up with the right checksums ---


@pytest.mark.parametrize("field", ["dtype", "n_items", "n_features", "n_questions", "digest"])
@pytest.mark.parametrize("value", [5, "5", None, [], "out"])
def test_a_manifest_and_its_files_must_agree(folder: Path, field: str, value: Any) -> None:
    forge(folder, **{field: value})
    sentence = sentence_of(lambda: load_pool(folder))
    start = f"the pool in {str(folder)!r} cannot be used: its "
    if value == "out":
        assert sentence == f"{start}manifest.json lacks a field or holds a wrong one ({field!r})."
    else:
        expected = "files hold another pool than its manifest.json says; fetch or make the pool again."
        assert sentence == start + expected


@pytest.mark.parametrize(
    "fields",
    [
        {"feature_space": None},
        {"feature_space": "out"},
        {"feature_space": {"names": 3, "version": "1", "digest": "", "opposites": []}},
        {"feature_space": {"names": ["a"], "version": "1", "digest": "", "opposites": []}},
        {"prior": "out"},
        {"prior": {}},
        {"prior": [1]},
        {"dropped": None},
        {"dropped": {"repeated": 1}},
        {"dropped": {"repeated": 1, "equal": 0, "lost": 2}},
    ],
)
def test_wrong_fields_are_refused(folder: Path, fields: dict[str, Any]) -> None:
    forge(folder, **fields)
    assert sentence_of(lambda: load_pool(folder)).startswith(f"the pool in {str(folder)!r} cannot be used: ")


@pytest.mark.parametrize("name", ["features.safetensors", "items.parquet", "pairs.parquet"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff" * 64, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_files_that_cannot_be_parsed_are_refused(folder: Path, name: str, content: bytes) -> None:
    replace_file(folder, name, content)
    expected = f"the pool in {str(folder)!r} cannot be used: its files cannot be parsed ("
    assert sentence_of(lambda: load_pool(folder)).startswith(expected)


def parquet(**columns: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as format_

    sink = pa.BufferOutputStream()
    format_.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("name", "columns", "expected"),
    [
        ("items.parquet", {"item": [0, 1]}, "files hold another pool"),
        ("items.parquet", {"prompt": ["a"] * 8}, "files cannot be parsed ('item')"),
        ("items.parquet", {"item": list(range(8))[::-1]}, "items are not in the order of their rows"),
        ("items.parquet", {"item": list(range(8)), "prompt": ["a"] * 7 + [None]}, "prompts hold None"),
        ("items.parquet", {"item": list(range(8)), "prompt_code": [0] * 7 + [None]}, "files cannot be parsed ("),
        ("pairs.parquet", {"first": [0], "third": [1]}, "files cannot be parsed ("),
        ("pairs.parquet", {"first": [0, 1], "second": [1, None]}, "pairs have shape (2, 2) of float64"),
        ("pairs.parquet", {"first": ["0"], "second": ["1"]}, "pairs have shape (1, 2) of"),
        ("pairs.parquet", {"first": [0], "second": [8]}, "pair (0, 8) is out of range; items are 0 to 7."),
        ("pairs.parquet", {"first": [0, 1], "second": [1, 0]}, "files hold another pool"),
    ],
)
def test_other_tables_are_refused(folder: Path, name: str, columns: dict[str, Any], expected: str) -> None:
    replace_file(folder, name, parquet(**columns))
    sentence = sentence_of(lambda: load_pool(folder))
    assert sentence.startswith(f"the pool in {str(folder)!r} cannot be used: ")
    assert expected in sentence


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"other": np.zeros((8, 2))}, "files cannot be parsed ('features')"),
        ({"features": np.full((8, 2), np.nan)}, "features of 8 item(s) hold NaN or infinite values, first in row 0"),
        ({"features": np.ones((3, 2))}, "is out of range; items are 0 to 2"),
        ({"features": np.arange(16.0).reshape(8, 2)}, "files hold another pool"),
    ],
)
def test_other_features_are_refused(folder: Path, tensors: dict[str, Any], expected: str) -> None:
    from safetensors.numpy import save

    forge_without_codes = {"item": list(range(8))}  # or the prompt codes would be too many first
    replace_file(folder, "items.parquet", parquet(**forge_without_codes))
    replace_file(folder, "features.safetensors", save(tensors))
    assert expected in sentence_of(lambda: load_pool(folder))


# --- where a pool may be written ---


def test_folders_above_are_made(pool: CandidatePool, tmp_path: Path) -> None:
    pool.save(tmp_path / "a" / "b" / "pool")
    assert_same(pool, load_pool(tmp_path / "a" / "b" / "pool"))


def test_an_empty_folder_is_taken_and_a_pool_replaced(pool: CandidatePool, tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    other = CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
    for each in (other, pool, other):
        each.save(tmp_path / "pool")
        assert_same(each, load_pool(tmp_path / "pool"))
        assert [path.name for path in tmp_path.iterdir()] == ["pool"]


def test_a_pool_whose_files_are_damaged_is_replaced(pool: CandidatePool, folder: Path) -> None:
    (folder / "items.parquet").write_bytes(b"")
    (folder / "pairs.parquet").unlink()
    pool.save(folder)
    assert_same(pool, load_pool(folder))


def test_a_link_to_a_folder_stays_a_link(pool: CandidatePool, folder: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    other = CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
    other.save(link)
    assert link.is_symlink()
    assert_same(other, load_pool(folder))


def test_a_saved_pool_may_be_read_as_any_folder_made_here(folder: Path) -> None:
    (folder.parent / "ordinary").mkdir()
    assert folder.stat().st_mode == (folder.parent / "ordinary").stat().st_mode


@pytest.mark.parametrize("beside", ["nothing", "a pool"])
def test_files_that_are_no_part_of_a_pool_are_never_lost(pool: CandidatePool, folder: Path, beside: str) -> None:
    if beside == "nothing":
        for path in folder.iterdir():
            path.unlink()
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    assert sentence_of(lambda: pool.save(folder)) == (
        f"folder {str(folder)!r} holds 'notes.txt', which is no part of a pool and would be lost; "
        "give a new or empty folder, or one that holds nothing but a pool."
    )
    assert contents(folder) == before


def test_the_folder_of_a_newer_or_another_manifest_is_not_replaced(pool: CandidatePool, folder: Path) -> None:
    forge(folder, format_version=2)
    assert "install a newer one" in sentence_of(lambda: pool.save(folder))
    (folder / "manifest.json").write_text("{}")
    assert "is not that of a pool" in sentence_of(lambda: pool.save(folder))


def test_a_file_is_not_replaced_by_a_pool(pool: CandidatePool, tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("mine")
    assert sentence_of(lambda: save_pool(pool, tmp_path / "pool")) == (
        f"{str(tmp_path / 'pool')!r} is a file; give the name of a folder to save the pool in."
    )
    assert (tmp_path / "pool").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(pool: CandidatePool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = sentence_of(lambda: pool.save(tmp_path / "file" / "pool"), StorageError)
    assert sentence.startswith(f"the pool cannot be written to {str(tmp_path / 'file' / 'pool')!r} (")
    assert sentence.endswith("); give a folder that can be written.")
    assert "cannot be written" in sentence_of(lambda: pool.save(tmp_path / "nul\0"), StorageError)


def test_a_pool_that_may_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert sentence_of(lambda: load_pool(folder), StorageError) == (
        f"the pool in {str(folder)!r} cannot be read (Permission denied); check that its files may be read."
    )


# --- failing half way ---


@pytest.mark.parametrize("failing", ["write", "rename to the side", "rename into place"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_pool_that_was_there(
    folder: Path, failing: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    target = "_write" if failing == "write" else "rename"
    owner: Any = pool_files if failing == "write" else Path
    real, calls = getattr(owner, target), []
    fails_at = {"write": 4, "rename to the side": 1, "rename into place": 2}[failing]

    def fail(path: Path, *rest: Any) -> Any:
        calls.append(path.name)
        if len(calls) == fails_at:
            raise error
        return real(path, *rest)

    monkeypatch.setattr(owner, target, fail)
    other = CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
    if isinstance(error, OSError):
        assert sentence_of(lambda: other.save(folder), StorageError) == (
            f"the pool cannot be written to {str(folder)!r} (No space left on device); "
            "give a folder that can be written."
        )
    else:
        with pytest.raises(KeyboardInterrupt):
            other.save(folder)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    if failing == "write":
        assert calls[-1] == "manifest.json"  # the manifest is written last


def test_a_new_pool_that_fails_leaves_nothing(
    pool: CandidatePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pool_files, "_write", full)
    assert "No space left on device" in sentence_of(lambda: pool.save(tmp_path / "pool"), StorageError)
    assert list(tmp_path.iterdir()) == []
