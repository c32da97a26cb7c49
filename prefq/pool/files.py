"""A pool on disk: a folder with a manifest, texts and pairs as Parquet, and features as safetensors.

What a pool is lives in `prefq.pool.candidate_pool`. The folder, format version 1:

manifest.json         what the pool is, the SHA-256 of each file beside it, and a checksum over its own fields
items.parquet         item (its row), and prompt, response, prompt_code where the pool has them
pairs.parquet         first, second: item rows of each question
features.safetensors  one tensor, features (n_items, n_features), float32 or float64

Other files in the folder are not read. Large features are mapped into memory and read where they are needed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, NotFoundError, PrefqError, StorageError
from prefq.pool.candidate_pool import CandidatePool, DroppedPairs
from prefq.pool.manifests import FolderKind, manifest_of, read_listed, read_manifest, replacing
from prefq.pool.starter import FOLDER as STARTER_FOLDER
from prefq.vocabulary import FeatureSpace, PopulationPrior

STARTER = "starter"
FORMAT_VERSION = 1
MANIFEST, ITEMS, PAIRS, FEATURES = "manifest.json", "items.parquet", "pairs.parquet", "features.safetensors"
POOL = FolderKind(
    "prefq pool",
    MANIFEST,
    MappingProxyType({"format_version": FORMAT_VERSION}),
    "a pool",
    "the pool",
    "a folder that pool.save() wrote",
    "fetch or make the pool again",
)
MAP_FROM = 1 << 22  # bytes of a file of features from which on it is mapped: smaller ones are read in milliseconds
DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType({"F32": np.dtype("<f4"), "F64": np.dtype("<f8")})
OTHER_POOL = f"its files hold another pool than its {MANIFEST} says; fetch or make the pool again."


def save_pool(pool: CandidatePool, folder: str | os.PathLike[str]) -> None:
    """Write a pool to a folder that `load_pool` reads.

    The files are written into a temporary folder beside it, the manifest last, and then take the folder's place in
    one rename, so that no reader ever sees half a pool. A pool that is already there is replaced; if that fails, it
    stays. The same pool gives the same files.

    Raises
    ------
    InputError
        When the folder holds anything else than a pool, or is called ``"starter"``.
    StorageError
        When the folder cannot be written.
    """
    if folder == STARTER:
        raise InputError("'starter' always means the bundled pool; give the folder another name, or './starter'.")
    shown = _path(folder)
    try:
        with replacing(shown, POOL) as new:
            contents = _contents(pool)
            contents[MANIFEST] = _manifest(pool, contents)
            for name, content in contents.items():
                _write(new / name, content)
    except PrefqError:
        raise
    except (OSError, ValueError) as error:
        raise StorageError(
            f"the pool cannot be written to {_name(shown)} ({_reason(error)}); give a folder that can be written."
        ) from error


def load_pool(path_or_name: str | os.PathLike[str]) -> CandidatePool:
    """Read a pool: ``"starter"`` for the bundled one, or the folder that `CandidatePool.save` wrote.

    ``"starter"`` is the bundled pool even where a folder of this name exists; ``"./starter"`` is that folder. All
    files are checked against their SHA-256, and the pool against its digest, before anything is returned. A file of
    features of 4 MiB and more is the exception: it is mapped into memory, read where it is needed, and only its shape
    and length are checked; `verify_pool` checks its content. It must not change while the pool is in use.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When the folder is not a pool, is incomplete, was changed, or was written by a newer prefq.
    StorageError
        When a file cannot be read.
    """
    return _loaded(path_or_name, map_from=MAP_FROM)


def verify_pool(path_or_name: str | os.PathLike[str]) -> CandidatePool:
    """`load_pool`, but every file is read and checked whole, whatever its size; same errors."""
    return _loaded(path_or_name, map_from=None)


def _loaded(path_or_name: str | os.PathLike[str], *, map_from: int | None) -> CandidatePool:
    if path_or_name == STARTER:
        folder = STARTER_FOLDER
        missing = (
            "the starter pool is not part of this installation; install prefq again, or give the folder of a pool."
        )
    else:
        folder = _path(path_or_name)
        missing = f"there is no pool {_name(folder)}; give 'starter', or a folder that pool.save() wrote."
    try:
        if not folder.exists():
            raise NotFoundError(missing)
        if not folder.is_dir():
            raise InputError(f"pool {_name(folder)} is a file; give the folder that holds its {MANIFEST}.")
        manifest = read_manifest(folder, POOL)
        _require_listed(manifest.get("files"), f"{MANIFEST} in {_name(folder)}")
        path = folder / FEATURES
        is_mapped = map_from is not None and path.is_file() and path.stat().st_size >= map_from
        features = _mapped_features(folder, manifest) if is_mapped else None
        listed = {name: digest for name, digest in manifest["files"].items() if not (is_mapped and name == FEATURES)}
        contents = {name: read_listed(folder, name, digest, POOL) for name, digest in listed.items()}
    except OSError as error:
        raise StorageError(
            f"the pool in {_name(folder)} cannot be read ({_reason(error)}); check that its files may be read."
        ) from error
    try:
        return _assembled(manifest, contents, features)
    except InputError as error:
        raise InputError(f"the pool in {_name(folder)} cannot be used: {error}") from error


def _path(path: str | os.PathLike[str]) -> Path:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str) or not text:
        raise InputError(f"the pool is {path!r}; give 'starter' or a folder, as a text or a path.")
    return Path(text)


def _name(folder: Path) -> str:
    return repr(str(folder))  # quoted, and with control characters made visible


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _contents(pool: CandidatePool) -> dict[str, bytes]:
    """Content of each file but the manifest."""
    import pyarrow as pa
    from safetensors.numpy import save

    items = {"item": pa.array(np.arange(pool.n_items))}
    for column, texts in (("prompt", pool.prompts), ("response", pool.responses)):
        if texts is not None:
            items[column] = pa.array(texts, pa.large_string())
    if pool.prompt_codes is not None:
        items["prompt_code"] = pa.array(pool.prompt_codes)
    pairs = {"first": pa.array(pool.pairs[:, 0]), "second": pa.array(pool.pairs[:, 1])}
    return {
        ITEMS: _parquet(items),
        PAIRS: _parquet(pairs),
        FEATURES: save({"features": np.ascontiguousarray(pool.features)}),
    }


def _parquet(columns: Mapping[str, Any]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(dict(columns)), sink)
    return bytes(sink.getvalue().to_pybytes())


def _manifest(pool: CandidatePool, contents: Mapping[str, bytes]) -> bytes:
    fields = {
        "kind": POOL.kind,
        "format_version": FORMAT_VERSION,
        "n_items": pool.n_items,
        "n_features": pool.n_features,
        "n_questions": pool.n_questions,
        "dtype": pool.features.dtype.name,
        "feature_space": pool.feature_space.to_dict(),
        "prior": None if pool.prior is None else pool.prior.to_dict(),
        "dropped": pool.dropped._asdict(),
        "digest": pool.digest(),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())},
    }
    return manifest_of(fields)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _require_listed(files: object, of_pool: str) -> None:
    listed = files if isinstance(files, dict) else {}
    for name in listed:
        if not (name and name.isprintable() and name == PurePosixPath(name).name == PureWindowsPath(name).name != ".."):
            raise InputError(f"{of_pool} lists {name!r}, a file outside the folder; do not use this pool.")
    missing = [name for name in (ITEMS, PAIRS, FEATURES) if name not in listed]
    if missing:
        raise InputError(f"{of_pool} lists no {missing[0]}; fetch or make the pool again.")


def _mapped_features(folder: Path, manifest: Mapping[str, Any]) -> NDArray[np.floating[Any]]:
    """Features (n_items, n_features) where they lie in their file, unread; InputError unless they lie as they should.

    A file of safetensors is the length of its header, the header in JSON, and the numbers
    (https://huggingface.co/docs/safetensors, Format).
    """
    path = folder / FEATURES
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MAP_FROM:  # no header of one tensor is so long
                raise ValueError("its header is too long")
            tensor = json.loads(file.read(length))["features"]
        dtype, shape = DTYPES[tensor["dtype"]], (manifest["n_items"], manifest["n_features"])
        n_bytes = dtype.itemsize * shape[0] * shape[1]
        whole = path.stat().st_size == 8 + length + n_bytes
        fits = (tuple(tensor["shape"]), dtype.name, tensor["data_offsets"]) == (shape, manifest["dtype"], [0, n_bytes])
        if not (whole and fits):
            raise ValueError("its length or shape is another")
        return np.asarray(np.memmap(path, dtype, mode="r", offset=8 + length, shape=shape))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{FEATURES} of the pool in {_name(folder)} does not hold the features that its {MANIFEST} tells of "
            f"({error}); fetch or make the pool again."
        ) from None


def _assembled(
    manifest: Mapping[str, Any], contents: Mapping[str, bytes], mapped: NDArray[np.floating[Any]] | None
) -> CandidatePool:
    items, pairs = _tables(contents)
    try:
        prior = None if manifest["prior"] is None else PopulationPrior.from_dict(manifest["prior"])
        feature_space = FeatureSpace.from_dict(manifest["feature_space"])
        dropped = DroppedPairs(**manifest["dropped"])
        stated = (manifest["dtype"], *(manifest[name] for name in ("n_items", "n_features", "n_questions", "digest")))
    except (KeyError, TypeError) as error:
        raise InputError(f"its {MANIFEST} lacks a field or holds a wrong one ({error}).") from None
    if mapped is not None:
        return _of_mapped(mapped, pairs, items, stated, feature_space=feature_space, prior=prior, dropped=dropped)
    checked = CandidatePool.from_arrays(
        _features(contents[FEATURES]),
        pairs,
        prompts=items.get("prompt"),
        responses=items.get("response"),
        prompt_ids=items.get("prompt_code"),
        feature_space=feature_space,
        prior=prior,
    )
    pool = CandidatePool(
        checked.features,
        checked.pairs,
        feature_space,
        prompts=checked.prompts,
        responses=checked.responses,
        prompt_codes=items.get("prompt_code"),
        prior=prior,
        dropped=dropped,
    )
    if stated != (pool.features.dtype.name, pool.n_items, pool.n_features, pool.n_questions, pool.digest()):
        raise InputError(OTHER_POOL)
    return pool


def _of_mapped(
    features: NDArray[np.floating[Any]],
    pairs: NDArray[Any],
    items: Mapping[str, Any],
    stated: tuple[Any, ...],
    *,
    feature_space: FeatureSpace,
    prior: PopulationPrior | None,
    dropped: DroppedPairs,
) -> CandidatePool:
    """The pool with its features unread, its digest taken from the manifest, and as much checked as that allows."""
    pairs = np.ascontiguousarray(pairs, dtype=np.int64)
    pool = CandidatePool(
        features,
        pairs,
        feature_space,
        prompts=None if "prompt" not in items else tuple(items["prompt"]),
        responses=None if "response" not in items else tuple(items["response"]),
        prompt_codes=items.get("prompt_code"),
        prior=prior,
        dropped=dropped,
    )
    *others, digest = stated
    if others != [features.dtype.name, pool.n_items, pool.n_features, pool.n_questions]:
        raise InputError(OTHER_POOL)
    pool.derive("digest", lambda: digest)
    return pool


def _tables(contents: Mapping[str, bytes]) -> tuple[dict[str, Any], Any]:
    """Columns of the items, and pairs (n_questions, 2), as they are in the files."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        tables = [
            parquet.ParquetFile(pa.BufferReader(contents[name])).read(use_threads=False) for name in (ITEMS, PAIRS)
        ]
        items, pairs = tables[0].to_pydict(), tables[1]
        if items.pop("item") != list(range(tables[0].num_rows)):
            raise ValueError("items are not in the order of their rows")
        if "prompt_code" in items:
            items["prompt_code"] = np.array(items["prompt_code"], dtype=np.int64)
            items["prompt_code"].setflags(write=False)
        return items, np.column_stack([pairs[side].to_numpy() for side in ("first", "second")])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _unparsable(error) from None


def _features(content: bytes) -> Any:
    """Features (n_items, n_features), as they are in their file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)["features"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _unparsable(error) from None


def _unparsable(error: Exception) -> InputError:
    return InputError(f"its files cannot be parsed ({' '.join(str(error).split())}).")
