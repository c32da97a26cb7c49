"""Stated preferences: what a person says about each axis, as Gaussian evidence about the coefficients.

Never as truth: how far people choose as they say is stated or fitted on a group, and sets how much a reading counts
(docs/maths/stated.md). When a person says what is in `prefq.session`, the words are in `prefq.profiles.stated_words`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.vocabulary import (
    Array,
    Coefficients,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    exact_fields,
    real_array,
    real_number,
    rebuilt,
    require_instance,
    shown,
    text_tuple,
)

RELIABILITY = 0.6  # where nothing was fitted: that of the benchmark worlds (docs/decisions/0025)
SPREAD = 0.5  # standard deviation of positions over people where nothing was fitted: sliders of which most is used
EMPTY_SHARE = 0.2  # of people whose words say nothing of their choices; docs/decisions/0025 has what it costs and saves


@dataclass(frozen=True, slots=True)
class StatedNoise:
    """How far people choose as they say, a property of the population.

    Parameters
    ----------
    reliability
        Correlation over people of a position with the coefficient it is about, above 0 and below 1.
    spread
        Standard deviation over people of the positions about one axis, above 0.
    offsets : (n_features,) or empty
        Position at which people stand for whom the axis does not matter; 0 everywhere if empty.
    empty_share
        Share of people, above 0 and below 1, whose words have nothing to do with their choices.

    Raises
    ------
    InputError
        For numbers that are not finite or out of range.
    """

    reliability: float = RELIABILITY
    spread: float = SPREAD
    offsets: tuple[float, ...] = ()
    empty_share: float = EMPTY_SHARE

    def __post_init__(self) -> None:
        reliability, spread = real_number(self.reliability, "reliability"), real_number(self.spread, "spread")
        if not 0 < reliability < 1:
            raise InputError(
                f"reliability is {reliability:g}; give a correlation above 0 and below 1, or leave what was stated out."
            )
        if spread <= 0:
            raise InputError(f"spread is {spread:g}; give a standard deviation of positions above 0.")
        offsets, empty = real_array(self.offsets, "offsets", ndim=1), _share(self.empty_share)
        for name, value in zip(
            ("reliability", "spread", "offsets", "empty_share"),
            (reliability, spread, tuple(offsets.tolist()), empty),
            strict=True,
        ):
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return {**asdict(self), "offsets": list(self.offsets)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "StatedNoise":
        """Noise from the dictionary that `to_dict` writes."""
        return cls(**exact_fields(data, [each.name for each in fields(cls)], "the noise of stated preferences"))


@dataclass(frozen=True, slots=True, eq=False)
class StatedEvidence:
    """What a person said, as readings of coefficients; axes about which nothing was said carry none.

    Parameters
    ----------
    feature_space
        Whose axes these are.
    names : (n_stated,)
        Features of the axes that were stated, by their positive poles.
    positions : (n_stated,)
        What was said, from -1, much more of the negative pole, over 0, no matter, to 1, much more of the positive.
    readings : (n_stated,)
        The coefficients that these positions stand for, in logits per unit of a feature.
    sd : (n_stated,)
        Standard deviation of each reading about the coefficient, above 0.
    empty_share
        Chance beforehand, above 0 and below 1, that these words have nothing to do with the person's choices.

    Raises
    ------
    InputError
        For an axis that is not in the feature space, one that is named twice, or numbers out of range.
    """

    feature_space: FeatureSpace
    names: tuple[str, ...]
    positions: Array
    readings: Array
    sd: Array
    empty_share: float = EMPTY_SHARE

    if TYPE_CHECKING:

        def __init__(
            self,
            feature_space: FeatureSpace,
            names: Sequence[str],
            positions: ArrayLike,
            readings: ArrayLike,
            sd: ArrayLike,
            empty_share: float = EMPTY_SHARE,
        ) -> None: ...

    def __post_init__(self) -> None:
        require_instance(self.feature_space, FeatureSpace, "feature_space")
        names = text_tuple(self.names, "names")
        for name in names:
            axis_of(self.feature_space, name)
        object.__setattr__(self, "names", names)
        for field in ("positions", "readings", "sd"):
            values = real_array(getattr(self, field), field, ndim=1)
            if values.size != len(names) or len(set(names)) < len(names):
                raise InputError(f"there are {len(set(names))} axes and {values.size} {field}; give one for each axis.")
            object.__setattr__(self, field, values)
        object.__setattr__(self, "empty_share", _share(self.empty_share))
        if (np.abs(self.positions) > 1).any() or (self.sd <= 0).any():
            raise InputError(
                f"positions are {shown(self.positions.tolist())} and sd {shown(self.sd.tolist())}; give positions from "
                "-1 to 1 and standard deviations above 0."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StatedEvidence) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.feature_space.digest, self.names, self.readings.tobytes(), self.sd.tobytes()))

    @property
    def axes(self) -> list[int]:
        """Numbers of the features that were stated, in the order of `names`."""
        return [self.feature_space.names.index(name) for name in self.names]

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return {
            "feature_space": self.feature_space.to_dict(),
            "names": list(self.names),
            "positions": self.positions.tolist(),
            "readings": self.readings.tolist(),
            "sd": self.sd.tolist(),
            "empty_share": self.empty_share,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "StatedEvidence":
        """Evidence from the dictionary that `to_dict` writes."""
        parts = exact_fields(data, [each.name for each in fields(cls)], "stated evidence")
        return cls(**{**parts, "feature_space": FeatureSpace.from_dict(parts["feature_space"])})


def stated_evidence(
    feature_space: FeatureSpace,
    positions: Mapping[str, float],
    *,
    prior: Coefficients | PopulationPrior,
    noise: StatedNoise | float = RELIABILITY,
) -> StatedEvidence:
    """What a person said about some axes, as evidence about the coefficients.

    A position p stands for the coefficient (p - offset)·s/(r·spread), read with the noise s·√(1/r² - 1), where s is the
    prior's standard deviation of the coefficient and r the reliability (docs/maths/stated.md, eqs. 2 and 3).

    Parameters
    ----------
    feature_space
        Whose axes these are.
    positions
        By either pole of an axis, from -1, much less of that pole, over 0, no matter, to 1, much more of it.
    prior
        Where the person starts without it, such as ``pool.starting_point()``.
    noise
        As fitted by `fit_stated_noise`, or a reliability alone.

    Returns
    -------
    StatedEvidence
        Axes in the order of the feature space.

    Raises
    ------
    InputError
        For an unknown axis, an axis that is named by both poles, or a number out of range.
    MismatchError
        When the prior is of another feature space.

    Examples
    --------
    >>> import prefq
    >>> pool = prefq.load_pool("starter")
    >>> said = prefq.stated_evidence(pool.feature_space, {"brief": 1, "formal": 0.5}, prior=pool.starting_point())
    >>> said.names, said.positions
    (('thorough', 'formal'), array([-1. ,  0.5]))
    """
    by_name = positions_by_axis(feature_space, positions)
    noise = noise if isinstance(noise, StatedNoise) else StatedNoise(noise)
    if isinstance(prior, PopulationPrior):
        feature_space.require(prior.feature_space, "the prior that stated preferences are read against")
        prior = prior.coefficients
    n_features = feature_space.n_features
    if prior.n_features != n_features or len(noise.offsets) not in (0, n_features):
        raise InputError(
            f"the feature space has {n_features} axes, the prior {prior.n_features} coefficients and the noise "
            f"{len(noise.offsets)} offsets; they must be as many."
        )
    axes = [feature_space.names.index(name) for name in by_name]
    given, sd = np.array(list(by_name.values())), prior.sd[axes]
    offsets = np.array(noise.offsets)[axes] if noise.offsets else np.zeros(len(axes))
    readings = (given - offsets) * sd / (noise.reliability * noise.spread)
    noise_sd = sd * np.sqrt(1 / noise.reliability**2 - 1)
    # A coefficient that nobody differs in cannot be moved by what is said about it, whatever the noise.
    noise_sd = np.where(noise_sd > 0, noise_sd, 1.0)
    return StatedEvidence(feature_space, tuple(by_name), given, readings, noise_sd, noise.empty_share)


def positions_by_axis(feature_space: FeatureSpace, positions: Mapping[str, float]) -> dict[str, float]:
    """Positions by the positive pole of each axis, in the order of the feature space.

    Raises
    ------
    InputError
        For an unknown axis, an axis that is named twice, or a number that is not one from -1 to 1.
    """
    if not isinstance(positions, Mapping):
        raise InputError(f"what was stated is {shown(positions)}; give a mapping of axes to numbers from -1 to 1.")
    found: dict[str, float] = {}
    for pole, value in positions.items():
        name, sign = axis_of(feature_space, pole)
        position = real_number(value, f"what was stated about {pole!r}")
        if abs(position) > 1:
            raise InputError(
                f"what was stated about {pole!r} is {position:g}; give a number from -1 (much less) to 1 (much more)."
            )
        if name in found:
            raise InputError(f"the axis {name!r} was stated twice; name each axis by one of its poles.")
        found[name] = sign * position + 0.0  # no negative zero
    return {name: found[name] for name in feature_space.names if name in found}


def axis_of(feature_space: FeatureSpace, pole: str) -> tuple[str, int]:
    """The feature that a pole belongs to, and 1 for its positive pole or -1; InputError, which names all, if none."""
    if pole in feature_space.names:
        return pole, 1
    if pole in feature_space.opposites:
        return feature_space.names[feature_space.opposites.index(pole)], -1
    known = ", ".join((*feature_space.names, *feature_space.opposites))
    raise InputError(f"there is no axis {shown(pole)}; name one of {known}.")


def with_stated(prior: PopulationPrior, stated: StatedEvidence | None) -> PopulationPrior:
    """Where a person starts who has stated this; the prior itself if nothing.

    A mixture: first the components of the prior, those of personal tastes conditioned on the readings, then these once
    more as they were, for people whose words say nothing (docs/maths/stated.md, eq. 5). That of no personal taste, or
    any other point, is the same either way and keeps its number.

    Raises
    ------
    MismatchError
        When the evidence is of another feature space.
    """
    if stated is None or not stated.names:
        return prior
    prior.feature_space.require(stated.feature_space, "what was stated")
    return _with_stated(prior, stated)


@lru_cache(maxsize=8)  # of a pure function: a session asks for the same start at every step
def _with_stated(prior: PopulationPrior, stated: StatedEvidence) -> PopulationPrior:
    before = prior.coefficients
    conditioned = [_conditioned(each, stated) for each in before.components]
    logs = np.log(np.maximum(before.weights, np.finfo(np.float64).tiny))
    logs += [log_evidence for _, log_evidence in conditioned]
    heard = (1 - stated.empty_share) * np.exp(logs - np.logaddexp.reduce(logs))
    spread = _spread(prior)
    unheard = stated.empty_share * before.weights
    heard[~spread] += unheard[~spread]
    told = zip(before.components, conditioned, spread, strict=True)
    components = [after if is_spread else each for each, (after, _), is_spread in told]
    components += [each for each, is_spread in zip(before.components, spread, strict=True) if is_spread]
    mixture = GaussianMixture(np.concatenate([heard, unheard[spread]]), components)
    return PopulationPrior(
        mixture, prior.feature_space, prior.response_model, prior.n_users, impersonal=prior.impersonal
    )


def origins(prior: PopulationPrior, stated: StatedEvidence | None) -> tuple[int, ...]:
    """Of each component that `with_stated` makes, the number of the prior's component that it comes from."""
    numbers = tuple(range(len(prior.coefficients.components)))
    if stated is None or not stated.names:
        return numbers
    return numbers + tuple(np.flatnonzero(_spread(prior)).tolist())


def without_stated(posterior: Coefficients, prior: PopulationPrior, stated: StatedEvidence | None) -> Coefficients:
    """What would be believed had this not been stated, from the posterior of ``with_stated(prior, stated)``.

    That posterior holds it: its last components have not heard what was stated, and their weights still tell how well
    each predicted the answers (docs/maths/stated.md, eq. 6).
    """
    if stated is None or not stated.names:
        return posterior
    before, spread = prior.coefficients, _spread(prior)
    started = with_stated(prior, stated).coefficients
    alone = np.arange(spread.size)  # of each component of the prior, the number of the one that heard nothing
    alone[spread] = spread.size + np.arange(np.count_nonzero(spread))
    possible = started.weights[alone] > 0
    weights = before.weights * possible * posterior.weights[alone] / np.where(possible, started.weights[alone], 1.0)
    parts = [posterior.components[number] for number in alone]
    return parts[0] if len(parts) == 1 else GaussianMixture(weights / weights.sum(), parts)


def bearing(posterior: Coefficients, prior: PopulationPrior) -> float:
    """Posterior probability that what was stated bears on the choices, from the posterior of ``with_stated(prior, …)``.

    Among people with a taste of their own; NaN where the prior holds none.
    """
    spread = _spread(prior)
    heard, unheard = posterior.weights[: spread.size][spread].sum(), posterior.weights[spread.size :].sum()
    return float(heard / (heard + unheard)) if heard + unheard > 0 else float("nan")


def _spread(prior: PopulationPrior) -> NDArray[np.bool_]:
    """Which components are of personal tastes (n_components,): neither that of nobody's own taste nor a point."""
    components = prior.coefficients.components
    return np.array([k != prior.impersonal and bool(each.covariance.any()) for k, each in enumerate(components)])


def _conditioned(prior: Gaussian, stated: StatedEvidence) -> tuple[Gaussian, float]:
    """The Gaussian times the readings' (docs/maths/stated.md, eq. 4), and the log density of the readings under it.

    The latter in nats, up to what all Gaussians share. With L Lᵀ the prior covariance the work is done for u of
    w = mean + L u, of which the readings, in units of their noise, are off = loads u and noise.
    """
    axes = stated.axes
    loads, off = prior.factor[axes] / stated.sd[:, None], (stated.readings - prior.mean[axes]) / stated.sd
    root = np.linalg.cholesky(np.eye(prior.n_features) + loads.T @ loads)
    inverse = np.linalg.inv(root)
    moved = inverse.T @ (inverse @ (off @ loads))
    missed = off - loads @ moved
    log_evidence = -(missed @ missed + moved @ moved) / 2 - np.log(root.diagonal()).sum()
    return Gaussian.from_factor(prior.mean + prior.factor @ moved, prior.factor @ inverse.T), float(log_evidence)


def _share(value: float) -> float:
    share = real_number(value, "empty_share")
    if not 0 < share < 1:
        raise InputError(f"empty_share is {share:g}; give a share of people above 0 and below 1.")
    return share
