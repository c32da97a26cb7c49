"""The noise of stated preferences, fitted on people who both said what they prefer and chose.

What a reading then counts is in `prefq.inference.stated`; the derivation in docs/maths/stated.md.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.inference.stated import StatedNoise
from prefq.vocabulary import Array, Coefficients, numbers

LEAST_RELIABILITY, MOST_RELIABILITY = 0.01, 0.99  # of what is fitted: beyond them a reading is nothing, or the truth
MAX_ITERATIONS, CONVERGED = 2000, 1e-9  # of expectation maximisation, the second on the slope
JACKKNIFE_BLOCKS = 20


class StatedNoiseInfo(NamedTuple):
    """How well a `StatedNoise` is known.

    standard_error is that of the reliability, by leaving out blocks of people; gain is how much better the positions
    are predicted than without the answers, in nats a position; n_people and n_positions are what it rests on.
    """

    standard_error: float
    gain: float
    n_people: int
    n_positions: int


def fit_stated_noise(
    positions: ArrayLike, posteriors: Sequence[Coefficients], *, prior: Coefficients
) -> tuple[StatedNoise, StatedNoiseInfo]:
    """Fit, on people who stated and answered, how far the one goes with the other.

    Maximises the likelihood of the positions given the answers, p ~ N(c_j + β z, τ²) with z the coefficient in prior
    standard deviations, known as far as the answers tell, by expectation maximisation (docs/maths/stated.md, eq. 7).

    Parameters
    ----------
    positions : (n_people, n_features)
        From -1 to 1; NaN where nothing was said.
    posteriors : (n_people,)
        Of the answers alone, without what was stated; by expectation propagation rather than Laplace, which shrinks.
    prior
        That these started from.

    Returns
    -------
    noise
        With an offset for each axis; reliability kept between `LEAST_RELIABILITY` and `MOST_RELIABILITY`.
    info
        How well the reliability is known, and what it rests on.

    Raises
    ------
    InputError
        For shapes that do not match, positions out of range, fewer than three people, or positions that never differ.
    """
    given = numbers(positions, "positions", ndim=2)
    if given.shape != (len(posteriors), prior.n_features) or any(
        each.n_features != prior.n_features for each in posteriors
    ):
        raise InputError(
            f"positions have shape {given.shape}, for {len(posteriors)} posteriors and {prior.n_features} coefficients "
            "of the prior; give a row for each person and a column for each coefficient."
        )
    if np.isinf(given).any() or (np.abs(given) > 1).any():
        raise InputError(
            "positions hold numbers beyond -1 and 1; give numbers from -1 to 1, NaN where nothing was said."
        )
    sd = np.where(prior.sd > 0, prior.sd, 1.0)
    known = ~np.isnan(given) & (prior.sd > 0)
    people = np.flatnonzero(known.any(axis=1))
    centred = np.where(known, given, 0.0) - _column_means(given, known)
    if people.size < 3 or not np.square(centred)[known].sum() > 0:
        raise InputError(
            f"{people.size} people stated anything; give at least 3 whose positions differ, or a reliability."
        )
    means = np.stack([(each.mean - prior.mean) / sd for each in posteriors])
    variances = np.stack([np.square(each.sd / sd) for each in posteriors])
    fitted = _fit(given, known, means, variances)
    without = np.array(
        [
            _fit(given[kept], known[kept], means[kept], variances[kept]).correlation
            for block in np.array_split(people, min(JACKKNIFE_BLOCKS, people.size))
            if known[kept := np.setdiff1d(people, block)].any()
        ]
    )
    n, spread = len(without), np.sqrt(fitted.slope**2 + fitted.noise)
    error = float(np.sqrt((n - 1) / n * np.square(without - without.mean()).sum()))
    offsets = np.where(known.any(axis=0), fitted.centres - fitted.slope * prior.mean / sd, 0.0)
    info = StatedNoiseInfo(error, fitted.gain, int(people.size), int(known.sum()))
    reliability = float(np.clip(fitted.correlation, LEAST_RELIABILITY, MOST_RELIABILITY))
    return StatedNoise(reliability, float(spread), tuple(offsets.tolist())), info


class _Fitted(NamedTuple):
    """Slope β, noise variance τ² and centres c (n_features,) of positions on standardised coefficients."""

    slope: float
    noise: float
    centres: Array
    gain: float

    @property
    def correlation(self) -> float:
        """Correlation, negative where people choose against what they say."""
        return float(self.slope / np.sqrt(self.slope**2 + self.noise))


def _fit(given: Array, known: NDArray[np.bool_], means: Array, variances: Array) -> _Fitted:
    """Expectation maximisation; positions that are not known count as nothing."""
    said, n = np.where(known, given, 0.0), int(known.sum())
    centres = _column_means(given, known)
    total = float(np.square(said - centres)[known].sum() / n)
    slope, noise = float(np.sqrt(total / 2)), total / 2
    for _ in range(MAX_ITERATIONS):
        left = variances * noise / (noise + slope**2 * variances)  # of the coefficient, once the position is known
        z = means + left * slope / noise * (said - centres - slope * means)
        previous = slope
        z_centred = z - _column_means(z, known)
        slope = float(((said - _column_means(given, known)) * z_centred)[known].sum())
        slope /= float((np.square(z_centred) + left)[known].sum())
        centres = _column_means(given - slope * z, known)
        noise = float((np.square(said - centres - slope * z) + slope**2 * left)[known].sum() / n)
        noise = max(noise, total * (1 - MOST_RELIABILITY**2))
        if abs(slope - previous) <= CONVERGED * np.sqrt(total):
            break
    variance = noise + slope**2 * variances
    alone = np.log(total / variance) + np.square(said - _column_means(given, known)) / total
    gain = float((alone - np.square(said - centres - slope * means) / variance)[known].mean() / 2)
    return _Fitted(slope, noise, centres, gain)


def _column_means(values: Array, known: NDArray[np.bool_]) -> Array:
    """Mean of each column's known values; 0 where there is none."""
    return np.asarray(np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
