"""ScoredTexts: which response to which prompt has which scores, known by digests; no text is kept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.score_tables import ScoreTable
from prefq.vocabulary import Array, real_array, shown


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTexts:
    """Scores by text.

    Parameters
    ----------
    digests : (n_texts,) uint64
        Of prompts and responses, ascending, each once.
    scores : (n_texts, n_columns)
        In the units of whoever scored.

    Raises
    ------
    InputError
        When there are no texts, the parts do not fit together, or digests are not ascending.
    """

    digests: NDArray[np.uint64]
    scores: Array

    def __post_init__(self) -> None:
        scores = real_array(self.scores, "scores", ndim=2)
        digests = np.asarray(self.digests)
        fits = digests.dtype == np.uint64 and digests.shape == scores.shape[:1] and digests.size
        if not fits or not (digests[1:] > digests[:-1]).all():
            raise InputError(
                f"digests are {digests.dtype} of shape {digests.shape} for {len(scores)} rows of scores; expected one "
                "uint64 a row, ascending and each once, and at least one."
            )
        object.__setattr__(self, "scores", scores)

    @classmethod
    def of(cls, table: ScoreTable) -> "ScoredTexts":
        """What a table says; its prompts and responses must be texts, and not ids."""
        digests = _digests(table.prompts, table.responses)
        order = np.argsort(digests)
        return cls(digests[order], table.scores[order])

    def rows(self, prompts: Sequence[str], responses: Sequence[str]) -> NDArray[np.int64]:
        """Row of `scores` of each response to its prompt (n,); -1 where it was not scored."""
        wanted = _digests(prompts, responses)
        places = np.minimum(np.searchsorted(self.digests, wanted), len(self.digests) - 1)
        return np.where(self.digests[places] == wanted, places, -1)

    def of_texts(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        """Scores (n, n_columns) of responses to their prompts.

        Raises
        ------
        InputError
            When one was not scored; it shows the first, and counts them.
        """
        rows = self.rows(prompts, responses)
        if (rows < 0).any():
            first, n_missing = int((rows < 0).argmax()), int((rows < 0).sum())
            raise InputError(
                f"{n_missing} of {len(rows)} responses have no scores, such as {shown(responses[first])} to the prompt "
                f"{shown(prompts[first])}; these rewards know the texts of the table they were made from and no "
                "others, so make them anew from a table that has these texts too."
            )
        return np.asarray(self.scores[rows])


def _digests(prompts: Sequence[str], responses: Sequence[str]) -> NDArray[np.uint64]:
    """Of each prompt with its response (n,)."""
    return np.array(
        [_digest(prompt, response) for prompt, response in zip(prompts, responses, strict=True)], dtype=np.uint64
    )


def _digest(prompt: str, response: str) -> int:
    raw = prompt.encode(errors="surrogatepass")
    total = hashlib.blake2b(len(raw).to_bytes(8, "little") + raw, digest_size=8)
    total.update(response.encode(errors="surrogatepass"))
    return int.from_bytes(total.digest(), "little")
