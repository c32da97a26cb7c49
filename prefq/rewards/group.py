"""GroupComparisons: what a group compared, by rows of items; texts and encodings of the items are elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.vocabulary import Array

Rows = NDArray[np.int64]
BLOCK = 8192  # comparisons whose differences are made at a time: 25 MB of 384 dimensions in double precision


@dataclass(frozen=True, slots=True, eq=False)
class GroupComparisons:
    """What the people of a group preferred, item against item.

    Parameters
    ----------
    pairs : (n_comparisons, 2) int64
        Rows of the first and of the second item.
    outcomes : (n_comparisons,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    users : (n_comparisons,) int64
        Rows of `user_ids`.
    user_ids : (n_users,)
        Names of the users.
    prompt_codes : (n_items,) int64
        A number for each item's prompt; both items of a pair have the same.
    strengths : (n_comparisons,), optional
        Strength of each preference in (0, 1], NaN where none was given.
    tasks : (n_comparisons,) int64, optional
        Comparisons of one number are of one choice (best of four, one set of ratings), and so depend on each other.

    Raises
    ------
    InputError
        When the parts do not fit together.
    """

    pairs: Rows
    outcomes: NDArray[np.int8]
    users: Rows
    user_ids: tuple[str, ...]
    prompt_codes: Rows
    strengths: Array | None = None
    tasks: Rows | None = None

    def __post_init__(self) -> None:
        n = len(self.outcomes)
        per_row = {"users": self.users, "strengths": self.strengths, "tasks": self.tasks}
        for name, values in per_row.items():
            if values is not None and np.shape(values) != (n,):
                raise InputError(f"{name} has shape {np.shape(values)}; there are {n} comparisons.")
        if np.shape(self.pairs) != (n, 2):
            raise InputError(f"pairs has shape {np.shape(self.pairs)}; expected ({n}, 2), two items a comparison.")
        if n and not 0 <= self.pairs.min() <= self.pairs.max() < self.n_items:
            raise InputError(f"pairs holds a row that is no item; there are {self.n_items} items.")
        if n and not 0 <= self.users.min() <= self.users.max() < self.n_users:
            raise InputError(f"users holds a row that is no user; there are {self.n_users} users.")
        if not np.isin(self.outcomes, (-1, 0, 1)).all():
            raise InputError("outcomes holds a value that is not 1, 0 or -1.")
        if n and (np.diff(self.prompt_codes[self.pairs], axis=1) != 0).any():
            raise InputError("a comparison is of items of two prompts; both must answer the same prompt.")

    @property
    def n_comparisons(self) -> int:
        """Number of comparisons."""
        return len(self.outcomes)

    @property
    def n_items(self) -> int:
        """Number of items, compared or not."""
        return len(self.prompt_codes)

    @property
    def n_users(self) -> int:
        """Number of users, with comparisons or without."""
        return len(self.user_ids)

    def of_rows(self, rows: NDArray[Any]) -> "GroupComparisons":
        """Some of the comparisons, by row or by mask; users and items keep their rows."""
        strengths, tasks = self.strengths, self.tasks
        return replace(
            self,
            pairs=self.pairs[rows],
            outcomes=self.outcomes[rows],
            users=self.users[rows],
            strengths=None if strengths is None else strengths[rows],
            tasks=None if tasks is None else tasks[rows],
        )

    def of_users(self, chosen: NDArray[np.bool_]) -> "GroupComparisons":
        """The comparisons of some users, given as a mask (n_users,); users and items keep their rows."""
        return self.of_rows(chosen[self.users])

    def occasions(self) -> Rows:
        """A number (n_comparisons,) that comparisons of one person share where they may depend on each other.

        It is that of the prompt: who liked one response to it is likelier to like it again. Of people whose comparisons
        are all of one prompt it is that of the task, and where there are no tasks each comparison has its own.
        """
        prompts = self.prompt_codes[self.pairs[:, 0]].astype(np.int64)
        lowest, highest = np.full(self.n_users, np.iinfo(np.int64).max), np.full(self.n_users, -1)
        np.minimum.at(lowest, self.users, prompts)
        np.maximum.at(highest, self.users, prompts)
        others = np.arange(self.n_comparisons) if self.tasks is None else self.tasks
        return np.where((lowest == highest)[self.users], others, prompts)

    def independent(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which of a person's comparisons of one task have no item in common, drawn at random; all without tasks.

        They share an item's luck, and all of them would count for more than what was said (decision 0032).
        """
        if self.tasks is None or not self.n_comparisons:
            return np.ones(self.n_comparisons, dtype=bool)
        kept = np.zeros(self.n_comparisons, dtype=bool)
        order = np.lexsort((rng.random(self.n_comparisons), self.tasks, self.users))
        tasks = np.column_stack([self.users, self.tasks])[order]
        begins = np.r_[True, (np.diff(tasks, axis=0) != 0).any(axis=1)]
        seen: set[int] = set()
        for row, begin in zip(order.tolist(), begins.tolist(), strict=True):
            seen = set() if begin else seen
            ends = self.pairs[row].tolist()
            if seen.isdisjoint(ends):
                seen.update(ends)
                kept[row] = True
        return kept

    def of_heard(self) -> "GroupComparisons":
        """The same with no users but those who made comparisons; these get other rows."""
        numbers, users = np.unique(self.users, return_inverse=True)
        ids = tuple(self.user_ids[number] for number in numbers)
        return replace(self, users=users.astype(np.int64), user_ids=ids)

    def differences(self, encodings: NDArray[np.floating[Any]]) -> Array:
        """First minus second (n_comparisons, n_dims) of encodings (n_items, n_dims) or features, in float64."""
        found = np.empty((self.n_comparisons, encodings.shape[1]))
        for rows, block in self.blocks(encodings):
            found[rows] = block
        return found

    def feature_differences(self, encodings: NDArray[np.floating[Any]], heads: Array) -> Array:
        """First minus second (n_comparisons, n_features) of encodings @ heads, block by block."""
        found = np.empty((self.n_comparisons, heads.shape[1]))
        for rows, block in self.blocks(encodings):
            found[rows] = block @ heads
        return found

    def blocks(
        self, encodings: NDArray[np.floating[Any]], *, size: int = BLOCK
    ) -> Iterator[tuple[slice, NDArray[np.floating[Any]]]]:
        """Rows, and first minus second of these, block by block: encodings may be mapped and larger than memory."""
        for start in range(0, self.n_comparisons, size):
            rows = slice(start, min(start + size, self.n_comparisons))
            first, second = self.pairs[rows].T
            yield rows, encodings[first] - encodings[second]
