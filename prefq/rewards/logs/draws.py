"""Draws that depend on a seed and on what is drawn for, never on the order of rows or on the other rows."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
DIGEST_BYTES = 16  # two different texts get one digest once in 10^38 pairs


def digest(*parts: bytes) -> bytes:
    """A digest of 16 bytes of parts; all but the last are of a fixed length, so that no two lists of parts collide."""
    return hashlib.blake2b(b"".join(parts), digest_size=DIGEST_BYTES).digest()


def hashes_of(contents: Iterable[bytes], seed: int, label: str) -> Hashes:
    """A number for each content (n,), uniform over 64 bits; seeds and labels give unlike numbers."""
    key = hashlib.blake2b(f"{seed} {label}".encode(), digest_size=DIGEST_BYTES).digest()
    keyed = (hashlib.blake2b(content, digest_size=8, key=key).digest() for content in contents)
    return np.fromiter((int.from_bytes(each, "little") for each in keyed), dtype=np.uint64)


def mixed(*hashes: NDArray[Any]) -> Hashes:
    """One number for each row of several hashes (n,), in which their order counts (splitmix64, Steele et al. 2014)."""
    total = np.zeros(1, dtype=np.uint64)
    for each in hashes:
        total = (total ^ each.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        total = (total ^ (total >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        total = (total ^ (total >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        total = total ^ (total >> np.uint64(31))
    return total


def keep_order(users: Hashes, firsts: Hashes, seconds: Hashes) -> NDArray[np.bool_]:
    """Whether a pair stays as it is (n,), by a fair draw for each person and pair, however the pair came."""
    low, high = np.minimum(firsts, seconds), np.maximum(firsts, seconds)
    is_low_first = (mixed(users, low, high) >> np.uint64(63)).astype(bool)
    return np.asarray(is_low_first == (firsts <= seconds))
