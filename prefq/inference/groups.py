"""A group's answers, ready to fit a prior on: checked, by user, in units in which every feature counts alike.

Rows without a difference tell nothing about anybody's taste; they are counted and left out. Nothing here fits.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel, counted, real_array

Rows = NDArray[np.intp]

BLOCK_ANSWERS = 6_000  # rows that are worked on at once: bounds memory, and keeps what is read again in cache
WIDEST = 1e150  # of differences: the squares of these, and of what is as much below 1, are numbers still
PADDED = 1.25  # users of up to so many times the fewest answers share a block, padded with rows of no evidence


class Block(NamedTuple):
    """Users with about as many answers: who they are (n_users,), and their answers, zero differences where they end.

    rows (n_users, n_answers) of the group, -1 where there is none; differences (n_users, n_answers, n_features),
    outcomes (n_users, n_answers) int8, graded as in `Comparisons`.
    """

    users: Rows
    rows: Rows
    differences: Array
    outcomes: NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Answers in order of users.

    Parameters
    ----------
    differences : (n_answers, n_features)
        First minus second, in units of `scales`.
    outcomes : (n_answers,) int8
        Graded as `Comparisons.grades`.
    counts : (n_users,)
        Answers of each user, all above 0; their rows follow one another.
    scales : (n_features,)
        Typical difference of each feature in the caller's units: what was given, or the root mean square of these.
    n_left_out
        Rows without a difference.
    """

    differences: Array
    outcomes: NDArray[np.int8]
    counts: Rows
    scales: Array
    n_left_out: int

    @classmethod
    def of(
        cls,
        differences: ArrayLike,
        outcomes: ArrayLike,
        users: Iterable[Hashable],
        *,
        strengths: ArrayLike | None = None,
        scales: ArrayLike | None = None,
    ) -> "Group":
        """Check and sort answers; parameters and errors are those of `prefq.fit_population_prior`."""
        comparisons = Comparisons(differences, outcomes, strengths)
        if not comparisons.differences.shape[1]:
            raise InputError("differences have no columns; give at least one feature.")
        _require_squares(comparisons.differences)
        numbers = _numbered(users, len(comparisons.outcomes))
        heard = np.abs(comparisons.differences).max(axis=1) > 0
        if not heard.any():
            raise InputError(
                f"none of the {len(heard)} rows of differences differs from zero, so nothing can be learned; "
                "give answers to questions whose responses differ in some feature."
            )
        order = np.flatnonzero(heard)
        order = order[np.argsort(numbers[order], kind="stable")]
        _, counts = np.unique(numbers[order], return_counts=True)
        own = typical_differences(comparisons.differences[order])
        units = own if scales is None else _checked_scales(scales, own)
        return cls(
            comparisons.differences[order] / units,
            comparisons.grades[order],
            counts.astype(np.intp),
            units,
            int((~heard).sum()),
        )

    @property
    def n_users(self) -> int:
        """Users with at least one answer that tells something."""
        return len(self.counts)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.differences.shape[1])

    @property
    def owners(self) -> Rows:
        """Number of the user of each row (n_answers,)."""
        return np.repeat(np.arange(self.n_users), self.counts)

    @property
    def typical(self) -> Array:
        """Second moments of the differences (n_features, n_features)."""
        return np.asarray(self.differences.T @ self.differences / len(self.outcomes))

    def felt(self, response_model: ResponseModel) -> "Group":
        """The group with its differences as they decide replies under this response model."""
        if response_model.dissimilarity_noise == 0:
            return self
        loudness = response_model.loudness(self.differences * self.scales)
        return replace(self, differences=self.differences * loudness[:, None])

    def of_users(self, users: Rows) -> "Group":
        """The group of some of its users, in the same units."""
        ends = np.cumsum(self.counts)
        rows = np.concatenate([np.arange(ends[user] - self.counts[user], ends[user]) for user in users])
        return replace(
            self, differences=self.differences[rows], outcomes=self.outcomes[rows], counts=self.counts[users]
        )

    def ranked(self) -> Rows:
        """Users in an order that neither their names nor the order of their answers decides.

        They are ranked by how many answers they gave, and how these add up; every second one is a fair half of them.
        """
        weights = np.linalg.norm(self.differences, axis=1) * self.outcomes
        return np.lexsort((np.bincount(self.owners, weights), self.counts)).astype(np.intp)

    def blocks(self) -> Iterator[Block]:
        """All users, those with about as many answers together."""
        order = np.argsort(self.counts, kind="stable")
        sorted_counts, starts = self.counts[order], (np.cumsum(self.counts) - self.counts)[order]
        first = 0
        while first < self.n_users:
            fewest = sorted_counts[first]
            alike = int(np.searchsorted(sorted_counts, PADDED * fewest, side="right"))
            longest = sorted_counts[alike - 1]
            last = min(alike, first + max(1, BLOCK_ANSWERS // int(longest)))
            places = np.arange(sorted_counts[last - 1])
            present = places < sorted_counts[first:last, None]
            rows = np.where(present, starts[first:last, None] + places, 0)
            yield Block(
                order[first:last],
                np.where(present, rows, -1),
                self.differences[rows] * present[..., None],
                np.where(present, self.outcomes[rows], 1).astype(np.int8),
            )
            first = last

    def in_units(self, scaled: Gaussian) -> Gaussian:
        """A Gaussian of coefficients in the caller's units, from one in units of `scales`."""
        return Gaussian(scaled.mean / self.scales, scaled.covariance / np.outer(self.scales, self.scales))


def typical_differences(differences: Array) -> Array:
    """Root mean square of each column (n_features,); that of a column of zeros is the median of the others."""
    largest = np.abs(differences).max(axis=0)  # squares of very large or small numbers would not be finite, or zero
    varies = largest > 0
    scales = np.where(varies, largest, 1.0)
    scales = scales * np.sqrt(np.square(differences / scales).mean(axis=0))
    return np.asarray(np.where(varies, scales, np.median(scales[varies])))


def _checked_scales(scales: ArrayLike, own: Array) -> Array:
    """Typical differences that were given, those of the answers where they are zero."""
    given = real_array(scales, "scales", ndim=1)
    if given.shape != own.shape or (given < 0).any():
        raise InputError(
            f"scales are {len(given)} numbers, the least {given.min(initial=np.inf):g}; give a typical difference of 0 "
            f"or more for each of the {len(own)} features."
        )
    return np.asarray(np.where(given > 0, given, own))


def _require_squares(differences: Array) -> None:
    """Raise InputError, which names the column, where differences are too large or too small to be squared."""
    largest = np.abs(differences).max(axis=0, initial=0.0)
    wrong = np.flatnonzero((largest > WIDEST) | ((largest > 0) & (largest < 1 / WIDEST)))
    if wrong.size:
        raise InputError(
            f"the differences in column {wrong[0] + 1} of {largest.size} go up to {largest[wrong[0]]:.3g}, and must "
            f"lie between {1 / WIDEST:g} and {WIDEST:g} to be squared; give this feature in another unit."
        )


def _numbered(users: Iterable[Hashable], n_answers: int) -> Rows:
    """A number for each row's user, in order of first appearance."""
    names = users.tolist() if isinstance(users, np.ndarray) else list(users)
    if len(names) != n_answers:
        raise InputError(
            f"{counted(len(names), 'user')} and {counted(n_answers, 'row')} of differences arrived; "
            "give the user of each row."
        )
    seen: dict[Hashable, int] = {}
    try:
        numbers = [seen.setdefault(name, len(seen)) for name in names]
    except TypeError:
        raise InputError("users hold values that cannot be told apart by hash; give text or numbers.") from None
    if any(name != name for name in seen):  # NaN is the one value that is not itself
        raise InputError("users hold NaN; give every row the id of its user.")
    return np.array(numbers, dtype=np.intp)
