"""Populations: the features that coefficients weigh, how people reply, and where a new user starts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unicodedata import category

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError, MismatchError
from prefq.vocabulary.checks import (
    Array,
    counted,
    digest_of,
    exact_fields,
    real_array,
    real_number,
    require_instance,
    shown,
    text_tuple,
    whole_number,
)
from prefq.vocabulary.gaussians import Coefficients, Gaussian, GaussianMixture, coefficients_from_dict

LINE_BREAKERS = frozenset({"Cc", "Zl", "Zp"})  # Unicode's control characters, line and paragraph separators
MAX_DISSIMILARITY = 3.0  # in units of a typical pair: beyond it nothing was measured
MAX_DISSIMILARITY_NOISE = 3.0  # either way: the most unlike pairs then count e^-6 of a typical one; fits go up to 1


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """Identity of the base reward features: coefficients of one space mean nothing in another.

    Parameters
    ----------
    names
        One name a feature; where a feature has poles, the name of the positive one.
    version
        Version of the base rewards, free text.
    digest
        SHA-256 of what computes the features, and of the names where these cannot be changed; hexadecimal, and never
        of the items. Made of names and version when it is not given.
    opposites
        Names of the negative poles, or empty. Words for people; not part of the identity.

    Raises
    ------
    InputError
        For no names, empty or repeated names, or as many opposites as there are not names.

    Examples
    --------
    >>> from prefq import FeatureSpace
    >>> FeatureSpace(["warm", "formal"]).names
    ('warm', 'formal')
    """

    names: tuple[str, ...]
    version: str = "1"
    digest: str = ""
    opposites: tuple[str, ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self, names: Iterable[str], version: str = "1", digest: str = "", opposites: Iterable[str] = ()
        ) -> None: ...

    def __post_init__(self) -> None:
        names, opposites = text_tuple(self.names, "names"), text_tuple(self.opposites, "opposites")
        for name in (*names, *opposites):
            if any(category(character) in LINE_BREAKERS for character in name):
                raise InputError(f"feature name {shown(name)} holds control characters; give a name in one line.")
        if not names or not all(names) or len(set(names)) != len(names):
            given = shown(list(names))
            raise InputError(f"feature names are {given}; give one name a feature, none empty or repeated.")
        if opposites and len(opposites) != len(names):
            raise InputError(f"there are {len(opposites)} opposites for {len(names)} features; give one each, or none.")
        version, digest = text_tuple((self.version, self.digest), "version and digest")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "opposites", opposites)
        object.__setattr__(self, "digest", digest or digest_of(*names, version))

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.names)

    def require(self, other: "FeatureSpace", what: str) -> None:
        """Raise MismatchError, naming `what` came from elsewhere, unless `other` is this same space."""
        if other.digest != self.digest:
            raise MismatchError(
                f"{what} belongs to another feature space ({_short(other)}, not {_short(self)}); "
                "use one made with the same base rewards."
            )

    def rows(self, features: ArrayLike, name: str) -> Array:
        """Features of responses as numbers (n, n_features); InputError, calling them `name`, where they are none."""
        matrix = real_array(features, name, ndim=2)
        if matrix.shape[1] != self.n_features:
            raise InputError(f"{name} have shape {matrix.shape}; expected (n, {self.n_features}), one row a response.")
        return matrix

    def pairs(self, first_features: ArrayLike, second_features: ArrayLike) -> tuple[Array, Array]:
        """Features of both responses of some pairs, each (n, n_features); InputError unless there are as many."""
        first, second = self.rows(first_features, "first_features"), self.rows(second_features, "second_features")
        if first.shape != second.shape:
            raise InputError(f"there are {len(first)} first and {len(second)} second responses; give as many of each.")
        return first, second

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return {
            "names": list(self.names),
            "version": self.version,
            "digest": self.digest,
            "opposites": list(self.opposites),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FeatureSpace":
        """Feature space from the dictionary that `to_dict` writes."""
        return cls(**exact_fields(data, ("names", "version", "digest", "opposites"), "a feature space"))


@dataclass(frozen=True, slots=True)
class ResponseModel:
    """How a margin becomes a reply; a property of the population, fitted with the prior and carried by it.

    With margin m in logits, P(first) = σ(m + b - τ), P(second) = σ(-m - b - τ) and P(tie) is the rest
    (Rao and Kupper 1967, in logits). Of a preference that was graded, P(clearly first) = σ(m + b - τ - κ), and the rest
    of P(first) is a slight one. A lapse mixes in a reply drawn at random.

    Parameters
    ----------
    tie_threshold
        τ ≥ 0, in logits; at 0 there are no ties, and a tie that is observed all the same is taken as one preference
        each way, the limit of its likelihood.
    position_bias
        b, in logits, toward the response shown first.
    lapse_rate
        Chance ε in [0, 1) of a reply drawn at random among the possible ones.
    strength_threshold
        κ ≥ 0, in logits beyond the tie threshold, from which on a preference is a clear one; at 0 it does not matter
        how strong an answer says that its preference is.
    dissimilarity_noise
        γ: margins count exp(-γ (D - 1)) times, D being how unlike the two responses are in units of a typical pair.
        Above 0 unlike pairs are judged less reliably than typical ones, and like pairs more; from -3 to 3.
    dissimilarity_scales
        Typical difference of each feature, above 0, which D is measured with; needed where γ is not 0.

    Raises
    ------
    InputError
        For values that are not finite or outside these ranges.
    """

    tie_threshold: float = 0.0
    position_bias: float = 0.0
    lapse_rate: float = 0.0
    strength_threshold: float = 0.0
    dissimilarity_noise: float = 0.0
    dissimilarity_scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in _RESPONSE_NUMBERS:
            object.__setattr__(self, name, real_number(getattr(self, name), name))
        if self.tie_threshold < 0:
            raise InputError(f"tie_threshold is {self.tie_threshold}; give a threshold of 0 logits or more.")
        if not 0 <= self.lapse_rate < 1:
            raise InputError(f"lapse_rate is {self.lapse_rate}; give a share from 0 to below 1.")
        if self.strength_threshold < 0:
            raise InputError(f"strength_threshold is {self.strength_threshold}; give a threshold of 0 logits or more.")
        if abs(self.dissimilarity_noise) > MAX_DISSIMILARITY_NOISE:
            limits = f"from {-MAX_DISSIMILARITY_NOISE:g} to {MAX_DISSIMILARITY_NOISE:g}"
            raise InputError(
                f"dissimilarity_noise is {self.dissimilarity_noise}; give a number {limits}, 0 where pairs are judged "
                "alike."
            )
        scales = real_array(self.dissimilarity_scales, "dissimilarity_scales", ndim=1)
        if (scales <= 0).any() or (self.dissimilarity_noise != 0 and not scales.size):
            raise InputError(
                f"dissimilarity_scales are {shown(scales.tolist())}; give the typical difference of each feature, all "
                "above 0, or no dissimilarity_noise."
            )
        object.__setattr__(self, "dissimilarity_scales", tuple(scales.tolist()))

    @property
    def outcomes(self) -> tuple[int, ...]:
        """Outcomes that can occur, in the order of `Comparisons.outcomes`: (1, -1), or (1, 0, -1) with ties."""
        return (1, 0, -1) if self.tie_threshold > 0 else (1, -1)

    def felt(self, differences: Array) -> Array:
        """Differences as they decide replies, shrunk or stretched by how unlike the responses are.

        Parameters
        ----------
        differences : (…, n_features)
            First minus second.

        Returns
        -------
        (…, n_features)
            exp(-γ (D - 1)) times the differences, D the root mean square over the features of difference by scale,
            taken as `MAX_DISSIMILARITY` where it is larger; the differences themselves at γ = 0.

        Raises
        ------
        InputError
            When the differences have another number of features than the scales.
        """
        return differences if self.dissimilarity_noise == 0 else differences * self.loudness(differences)[..., None]

    def loudness(self, differences: Array) -> Array:
        """What the margin of each difference (…, n_features) counts as: exp(-γ (D - 1)), see `felt`; (…)."""
        if self.dissimilarity_noise == 0:
            return np.ones(differences.shape[:-1])
        if differences.shape[-1] != len(self.dissimilarity_scales):
            raise InputError(
                f"the differences have {differences.shape[-1]} features and the response model scales for "
                f"{len(self.dissimilarity_scales)}; they must be as many."
            )
        squares = np.square(differences / np.array(self.dissimilarity_scales)).mean(axis=-1)
        unlike = np.minimum(np.sqrt(squares), MAX_DISSIMILARITY)
        return np.asarray(np.exp(-self.dissimilarity_noise * (unlike - 1)))

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values, those left out that earlier versions did not have and that say nothing."""
        told = {name: getattr(self, name) for name in _RESPONSE_NUMBERS[:3]}
        told |= {name: getattr(self, name) for name in _RESPONSE_NUMBERS[3:] if getattr(self, name)}
        return told | ({"dissimilarity_scales": list(self.dissimilarity_scales)} if self.dissimilarity_scales else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ResponseModel":
        """Response model from the dictionary that `to_dict` writes, now or in earlier versions."""
        later = {**dict.fromkeys(_RESPONSE_NUMBERS[3:], 0.0), "dissimilarity_scales": ()}
        return cls(**exact_fields(data, _RESPONSE_NUMBERS[:3], "a response model", later=later))


_RESPONSE_NUMBERS = (  # the first three are always stored
    "tie_threshold",
    "position_bias",
    "lapse_rate",
    "strength_threshold",
    "dissimilarity_noise",
)


@dataclass(frozen=True, slots=True)
class PopulationPrior:
    """Where a new user starts.

    Parameters
    ----------
    coefficients
        Distribution of the coefficients over the population: a Gaussian, or a mixture of several.
    feature_space
        The features the coefficients weigh.
    response_model
        How this population replies.
    n_users
        How many users it was fitted on; 0 says that it comes from no group.
    impersonal
        Which component of the mixture, counted from 0, says that a person has no taste of their own and chooses as the
        group does on average, or by chance where there is no group; None where none does. Its spread is not one of
        people: it is how uncertain the group's average is.

    Raises
    ------
    InputError
        When a part is of another type, coefficients and feature space differ in length, n_users is negative, or
        there is no component of that number.
    """

    coefficients: Coefficients
    feature_space: FeatureSpace
    response_model: ResponseModel = field(default_factory=ResponseModel)
    n_users: int = 0
    impersonal: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.coefficients, Gaussian | GaussianMixture):
            raise InputError(
                f"coefficients is {shown(self.coefficients)}; give a value of type Gaussian or GaussianMixture."
            )
        require_instance(self.feature_space, FeatureSpace, "feature_space")
        require_instance(self.response_model, ResponseModel, "response_model")
        n_features = self.feature_space.n_features
        if self.coefficients.n_features != n_features:
            raise InputError(
                f"the prior has {self.coefficients.n_features} coefficients and its feature space "
                f"{n_features} names; they must be as many."
            )
        if len(self.response_model.dissimilarity_scales) not in (0, n_features):
            raise InputError(
                f"the response model has {len(self.response_model.dissimilarity_scales)} dissimilarity_scales and the "
                f"feature space {n_features} names; they must be as many."
            )
        n_users = whole_number(self.n_users, "n_users", "the number of users the prior was fitted on, or 0", least=0)
        object.__setattr__(self, "n_users", n_users)
        if self.impersonal is not None:
            n_components = len(self.coefficients.components)
            number = whole_number(self.impersonal, "impersonal", "the number of a component, or None", least=0)
            if number >= n_components:
                raise InputError(f"impersonal is {number}; the mixture has components 0 to {n_components - 1}.")
            object.__setattr__(self, "impersonal", number)

    def digest(self) -> str:
        """SHA-256 over everything the prior says, hexadecimal."""
        parts = [repr(self.response_model.to_dict()), str(self.n_users)]
        if self.impersonal is not None:
            parts.append(str(self.impersonal))
        return digest_of(self.coefficients.digest(), self.feature_space.digest, *parts)

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values; `impersonal` only where there is such a component."""
        told = {
            "coefficients": self.coefficients.to_dict(),
            "feature_space": self.feature_space.to_dict(),
            "response_model": self.response_model.to_dict(),
            "n_users": self.n_users,
        }
        return told if self.impersonal is None else {**told, "impersonal": self.impersonal}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PopulationPrior":
        """Prior from the dictionary that `to_dict` writes, now or in earlier versions."""
        names = ("coefficients", "feature_space", "response_model", "n_users")
        parts = exact_fields(data, names, "a population prior", later={"impersonal": None})
        return cls(
            coefficients_from_dict(parts["coefficients"]),
            FeatureSpace.from_dict(parts["feature_space"]),
            ResponseModel.from_dict(parts["response_model"]),
            parts["n_users"],
            parts["impersonal"],
        )


def _short(space: FeatureSpace) -> str:
    names = ", ".join(space.names[:3]) + (", …" if space.n_features > 3 else "")
    return f"{counted(space.n_features, 'feature')} {names}, digest {space.digest[:8]}"
