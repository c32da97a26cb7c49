"""What takes the place of chance in choosing: hashes of pool, seed and pair, the same on every machine.

Nothing here draws from a generator; what a session leaves to chance as a whole is in `prefq.questions.draws`.
"""

import numpy as np
from numpy.typing import NDArray

from prefq.pool.candidate_pool import CandidatePool
from prefq.vocabulary import Array, Question, digest_of, question_id, whole_number


def random_order(pool: CandidatePool, seed: int, purpose: str = "order") -> Array:
    """A number in [0, 1) for each question (n_questions,), by hash of seed, pool, purpose and pair."""
    low, high = np.sort(pool.pairs, axis=1).T.astype(np.uint64)
    key = int(_seeded_digest(pool, seed, purpose)[:16], 16)
    bits = _mixed(_mixed(low + np.uint64(key)) ^ high)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


def shown_question(pool: CandidatePool, row: int, seed: int) -> Question:
    """The question in a row of the pool, its sides in the order that the seed fixes."""
    low, high = sorted(pool.pairs[row].tolist())
    swapped = int(_seeded_digest(pool, seed, "side", question_id(low, high))[0], 16) % 2
    return pool.question_of(high, low) if swapped else pool.question_of(low, high)


def _seeded_digest(pool: CandidatePool, seed: int, *purpose: str) -> str:
    """A hash of pool, seed and purpose, hexadecimal."""
    return digest_of(pool.digest(), str(whole_number(seed, "seed", "an integer")), *purpose)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea and Flood 2014), elementwise: a hash, not a generator."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))
