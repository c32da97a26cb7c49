"""Distributions of coefficients: one Gaussian, or a mixture of several."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.vocabulary.checks import (
    Array,
    digest_of,
    exact_fields,
    frozen,
    real_array,
    rebuilt,
    shown,
    tuple_of,
)

SYMMETRY_TOLERANCE = 1e-8  # relative: covariances that went through JSON or float32 are still accepted
WEIGHTS_TOLERANCE = 1e-6  # by which weights that went through text may miss 1
ROUND_OFF = 1e-12  # by which a sum of weights may miss 1
DEFINITE_TOLERANCE = 1e-10  # relative: eigenvalues this far below zero are round-off


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """Mean and covariance of coefficients; the roles prior and posterior are names of arguments.

    Parameters
    ----------
    mean : (n_features,)
        In logits per unit of each feature.
    covariance : (n_features, n_features)
        Symmetric and positive semi-definite; made exactly symmetric at construction.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, or a matrix that is no covariance.

    Examples
    --------
    >>> from prefq import Gaussian
    >>> Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 4.0]]).sd
    array([1., 2.])
    """

    mean: Array
    covariance: Array
    _factor: Array | None = field(default=None, init=False, repr=False)  # derived, computed once, as the next
    _digest: str = field(default="", init=False, repr=False)

    if TYPE_CHECKING:

        def __init__(self, mean: ArrayLike, covariance: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        mean = real_array(self.mean, "mean", ndim=1)
        covariance = real_array(self.covariance, "covariance", ndim=2)
        if covariance.shape != (mean.size, mean.size):
            raise InputError(
                f"covariance has shape {covariance.shape}; a mean of {mean.size} coefficients "
                f"needs ({mean.size}, {mean.size})."
            )
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", frozen(_checked_covariance(covariance)))

    @classmethod
    def from_factor(cls, mean: Array, factor: Array) -> "Gaussian":
        """Gaussian whose covariance is F Fᵀ, which is one whatever F is: only that values are finite is checked.

        Parameters
        ----------
        mean : (n_features,)
            As of the constructor.
        factor : (n_features, n_columns)
            In logits per unit of each feature.

        Raises
        ------
        InputError
            For values that are not finite.
        """
        made, covariance = object.__new__(cls), factor @ factor.T
        object.__setattr__(made, "mean", real_array(mean, "mean", ndim=1))
        object.__setattr__(made, "covariance", real_array((covariance + covariance.T) / 2, "covariance", ndim=2))
        object.__setattr__(made, "_factor", None)
        object.__setattr__(made, "_digest", "")
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gaussian) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    @property
    def n_features(self) -> int:
        """Number of coefficients."""
        return self.mean.size

    @property
    def sd(self) -> Array:
        """Standard deviation of each coefficient (n_features,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def factor(self) -> Array:
        """A square L with L Lᵀ = covariance, also where that is singular; (n_features, n_features)."""
        if self._factor is None:
            object.__setattr__(self, "_factor", frozen(covariance_factor(self.covariance)))
        return cast(Array, self._factor)

    @property
    def weights(self) -> Array:
        """Those of a mixture of this one component: [1]."""
        return np.ones(1)

    @property
    def components(self) -> tuple["Gaussian", ...]:
        """Those of a mixture of this one component."""
        return (self,)

    def digest(self) -> str:
        """SHA-256 of mean and covariance, hexadecimal: the identity of a prior in a session's log."""
        if not self._digest:
            object.__setattr__(self, "_digest", digest_of(self.mean.tobytes(), self.covariance.tobytes()))
        return self._digest

    def to_dict(self) -> dict[str, Any]:
        """Mean and covariance as nested lists."""
        return {"mean": self.mean.tolist(), "covariance": self.covariance.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Gaussian":
        """Gaussian from the dictionary that `to_dict` writes."""
        return cls(**exact_fields(data, ("mean", "covariance"), "a Gaussian"))


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture:
    """Coefficients that come from one of several Gaussians; mean and covariance are those of the whole.

    Parameters
    ----------
    weights : (n_components,)
        Probability of each component; none negative, summing to 1 up to round-off, which is put right.
    components
        One `Gaussian` a weight, all of as many coefficients; a covariance of zero is a point.

    Raises
    ------
    InputError
        When weights and components do not match, or the weights are no probabilities.

    Examples
    --------
    >>> from prefq import Gaussian, GaussianMixture
    >>> camps = GaussianMixture([0.5, 0.5], [Gaussian([-1.0], [[0.25]]), Gaussian([1.0], [[0.25]])])
    >>> camps.mean, camps.covariance
    (array([0.]), array([[1.25]]))
    """

    weights: Array
    components: tuple[Gaussian, ...]
    mean: Array = field(init=False, repr=False)
    _covariance: Array | None = field(default=None, init=False, repr=False)  # derived, computed once

    if TYPE_CHECKING:

        def __init__(self, weights: ArrayLike, components: Iterable[Gaussian]) -> None: ...

    def __post_init__(self) -> None:
        components = tuple_of(self.components, Gaussian, "components", "values of type Gaussian")
        weights = real_array(self.weights, "weights", ndim=1)
        if not components or weights.size != len(components):
            raise InputError(
                f"there are {weights.size} weights and {len(components)} components; give one weight each."
            )
        if (sizes := {component.n_features for component in components}) != {components[0].n_features}:
            raise InputError(f"the components have {sorted(sizes)} coefficients; they must all have as many.")
        total = float(weights.sum())
        if (weights < 0).any() or abs(total - 1) > WEIGHTS_TOLERANCE:
            raise InputError(f"weights are {shown(weights.tolist())}; give probabilities that sum to 1.")
        if abs(total - 1) > ROUND_OFF:  # those put right before stay as they are, to the last bit
            weights = weights / total
        object.__setattr__(self, "components", components)
        object.__setattr__(self, "weights", frozen(weights))
        object.__setattr__(self, "mean", frozen(weights @ np.array([component.mean for component in components])))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.weights, self.components)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GaussianMixture) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    @property
    def n_features(self) -> int:
        """Number of coefficients."""
        return self.mean.size

    @property
    def covariance(self) -> Array:
        """Of the whole mixture (n_features, n_features): within its components and between them."""
        if self._covariance is None:
            deviations = np.array([each.mean for each in self.components]) - self.mean
            deviations *= np.sqrt(self.weights)[:, None]
            within = np.einsum("k,kij->ij", self.weights, np.array([each.covariance for each in self.components]))
            object.__setattr__(self, "_covariance", frozen(within + deviations.T @ deviations))
        return cast(Array, self._covariance)

    @property
    def sd(self) -> Array:
        """Standard deviation of each coefficient over the whole mixture (n_features,)."""
        return np.sqrt(np.diag(self.covariance))

    def digest(self) -> str:
        """SHA-256 of weights and components, hexadecimal."""
        return digest_of(self.weights.tobytes(), *(component.digest() for component in self.components))

    def to_dict(self) -> dict[str, Any]:
        """Weights and components as nested lists."""
        return {"weights": self.weights.tolist(), "components": [each.to_dict() for each in self.components]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "GaussianMixture":
        """Mixture from the dictionary that `to_dict` writes."""
        parts = exact_fields(data, ("weights", "components"), "a mixture of Gaussians")
        components = tuple_of(parts["components"], Mapping, "components", "Gaussians as `to_dict` writes them")
        return cls(parts["weights"], [Gaussian.from_dict(each) for each in components])


Coefficients = Gaussian | GaussianMixture
"""A distribution of coefficients: `weights` and `components` of either, mean and covariance of the whole."""


def coefficients_from_dict(data: Mapping[str, Any]) -> Coefficients:
    """Gaussian or mixture from the dictionary that its `to_dict` writes."""
    if isinstance(data, Mapping) and "components" in data:
        return GaussianMixture.from_dict(data)
    return Gaussian.from_dict(data)


def covariance_factor(covariance: Array) -> Array:
    """A square L with L Lᵀ = covariance, also where the covariance is singular; (n_features, n_features)."""
    variances = covariance.diagonal()
    sd = np.sqrt(np.where(variances > 0, variances, 1.0))
    correlation = covariance / sd / sd[:, None]  # so that units do not decide what counts as round-off
    try:
        factor = np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlation)
        factor = vectors * np.sqrt(np.clip(values, 0.0, None))
    return np.asarray(sd[:, None] * factor, dtype=np.float64)


def _checked_covariance(covariance: Array) -> Array:
    if covariance.size == 0:
        raise InputError("the Gaussian has no coefficients; give at least one.")
    # Judged on the correlation scale, so that features in very different units hide neither fault.
    diagonal = np.diag(covariance)
    sd = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    with np.errstate(over="ignore"):
        correlation = np.clip(covariance / sd / sd[:, None], -9, 9)
        asymmetry = np.abs(correlation - correlation.T).max()
    if asymmetry > SYMMETRY_TOLERANCE * np.abs(correlation).max():
        raise InputError("covariance is not symmetric; give a covariance matrix.")
    # The correlations of a covariance are at most 1, and the factor of far larger entries would not be exact.
    far_out = (diagonal < 0).any() or np.abs(correlation).max() > 2
    if far_out or not _is_semidefinite((correlation + correlation.T) / 2):
        raise InputError("covariance has a negative eigenvalue; give a positive semi-definite matrix.")
    return np.asarray((covariance + covariance.T) / 2)


def _is_semidefinite(correlation: Array) -> bool:
    """Whether no eigenvalue is further below zero than round-off: then the matrix, lifted by so much, has a factor."""
    try:
        np.linalg.cholesky(correlation + DEFINITE_TOLERANCE * len(correlation) * np.eye(len(correlation)))
    except np.linalg.LinAlgError:
        return False
    return True
