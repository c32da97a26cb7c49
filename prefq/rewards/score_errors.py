"""Declared errors of columns of scores: what is left of second moments without them (docs/maths/scores.md)."""

from collections.abc import Mapping

import numpy as np

from prefq.errors import InputError
from prefq.vocabulary import Array, frozen, real_number


def pair_errors(names: tuple[str, ...], error_sds: Mapping[str, float], sizes: Array) -> Array:
    """Variance (n_columns,) that the declared errors give to a difference, two of them."""
    unknown = [name for name in error_sds if name not in names]
    if unknown:
        raise InputError(f"an error is declared of {unknown[0]!r}; the columns are {', '.join(names)}.")
    sds = np.array([real_number(error_sds.get(name, 0.0), f"the error of {name!r}") for name in names])
    for name, sd, size in zip(names, sds, sizes, strict=True):
        if sd < 0:
            raise InputError(f"the error of {name!r} is {sd:g}; give a standard deviation of 0 or more.")
        if 2 * sd**2 >= size**2:
            raise InputError(
                f"the declared error of {name!r}, {sd:g}, explains all its differences within prompts, which errors of "
                f"{size / np.sqrt(2):.3g} would; leave the column out (--columns), or declare a smaller error "
                "(--score-error)."
            )
    return np.asarray(2 * sds**2)


def without_errors(observed: Array, errors: Array) -> Array:
    """Second moments of the true differences; what sampling makes negative of them is taken as zero."""
    if not errors.any():
        return observed
    values, vectors = np.linalg.eigh(observed - np.diag(errors))
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def definite(covariance: Array) -> Array:
    """The covariance without the negative eigenvalues that are round-off."""
    if not covariance.any():
        return frozen(covariance)
    values, vectors = np.linalg.eigh(covariance)
    return frozen(np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T))
