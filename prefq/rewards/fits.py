"""Fits: how a method learns heads here. Pairs that it does not see may stop it, and what it found may be kept.

A folder of fits has a folder for each, named by the digest of all that the fit depends on; there `finished` holds what
was found, in the form of a checkpoint, and beside it is that of a descent which was interrupted.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.rewards.factorization.base import Factorization, FactorizationInfo, Method, OnStep, Tastes, silent
from prefq.rewards.factorization.checkpoints import Checkpoint
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import counted, digest_of

HELD_OUT = 0.1  # of the pairs, where a method is to see when to stop
LEAST_HELD_OUT = 20  # comparisons: fewer do not tell one step from another
FINISHED = "finished"
VERSION = 2  # of what methods find; another number where a change of theirs makes other heads of the same answers
ROWS = 16_384  # encodings hashed at a time


class Fits:
    """Fits of one method on one set of encodings.

    Parameters
    ----------
    name
        Of the method.
    method
        What learns.
    encodings : (n_items, n_dims)
        Of the items; may be mapped.
    held_out
        Share of each fit's pairs that the method does not see and is stopped by.
    folder
        Keeps what was found, so that a run which was interrupted goes on; made if need be.
    on_step
        Told what is being done; may raise to end it.
    """

    def __init__(
        self,
        name: str,
        method: Method,
        encodings: NDArray[np.floating[Any]],
        *,
        held_out: float = 0.0,
        folder: Path | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        self._name, self._method, self._encodings, self._held_out = name, method, encodings, held_out
        self._folder, self._on_step = folder, on_step or silent
        self._of_encodings = "" if folder is None else _digest(encodings)

    def __call__(
        self, group: GroupComparisons, n_features: int, which: str = "", *, rng: np.random.Generator
    ) -> Factorization:
        """What the method finds in a group; `which` fit it is, where there are several, in a clause to be told.

        The generator is afterwards where it would be in any case, whether it was found now or before.
        """
        if self._folder is None:
            return self._learned(group, n_features, which, rng, None)
        key = self._key(group, n_features, rng)
        place = self._folder / key
        finished = Checkpoint(place / FINISHED, key)
        kept = finished.load()
        if kept is None:
            found = self._learned(group, n_features, which, rng, place)
            numbers = {"info": found.info._asdict(), "rng": rng.bit_generator.state}
            arrays = {"heads": found.heads, "coefficients": found.coefficients}
            finished.save(numbers, arrays | ({} if found.tastes is None else found.tastes._asdict()))
            return found
        numbers, arrays = kept
        rng.bit_generator.state = numbers["rng"]
        info: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each for name, each in numbers["info"].items()
        }
        tastes = Tastes(arrays["mean"], arrays["axes"]) if "mean" in arrays else None
        return Factorization(arrays["heads"], arrays["coefficients"], FactorizationInfo(**info), tastes)

    def _learned(
        self,
        group: GroupComparisons,
        n_features: int,
        which: str,
        rng: np.random.Generator,
        place: Path | None,
    ) -> Factorization:
        self._on_step(f"learning {counted(n_features, 'feature')}{which}")
        aside = held_out_pairs(group, rng, share=self._held_out)
        options: dict[str, Any] = {"validation": group.of_rows(aside)} if aside.any() else {}
        return self._method(
            self._encodings,
            group.of_rows(~aside),
            n_features,
            rng=rng,
            checkpoints=place,
            on_step=self._on_step,
            **options,
        )

    def _key(self, group: GroupComparisons, n_features: int, rng: np.random.Generator) -> str:
        told = json.dumps(
            [VERSION, self._name, n_features, self._held_out, rng.bit_generator.state], sort_keys=True, default=str
        )
        arrays = (group.pairs, group.outcomes, group.users)
        contents = (np.ascontiguousarray(each).tobytes() for each in arrays)
        return digest_of(told, str(group.n_users), self._of_encodings, *contents)


def held_out_pairs(group: GroupComparisons, rng: np.random.Generator, *, share: float = HELD_OUT) -> NDArray[np.bool_]:
    """Which comparisons (n_comparisons,) are set aside: those of a share of the pairs; none where that are too few.

    Of a pair that several people compared all comparisons are on one side.
    """
    if not share:
        return np.zeros(group.n_comparisons, dtype=bool)
    _, numbers = np.unique(np.sort(group.pairs, axis=1), axis=0, return_inverse=True)
    numbers = numbers.reshape(-1)
    aside = (rng.random(int(numbers.max(initial=-1)) + 1) < share)[numbers]
    known = np.bincount(group.users[~aside], minlength=group.n_users) > 0  # of others nothing can be predicted
    return aside if (aside & known[group.users]).sum() >= LEAST_HELD_OUT else np.zeros_like(aside)


def _digest(encodings: NDArray[np.floating[Any]]) -> str:
    """SHA-256 of all encodings, block by block."""
    blocks = (encodings[start : start + ROWS] for start in range(0, len(encodings), ROWS))
    return digest_of(str(encodings.shape), *(digest_of(np.ascontiguousarray(each).tobytes()) for each in blocks))
