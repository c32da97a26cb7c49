"""The words of prefq: frozen values that every other room speaks in.

Nothing here computes a posterior, reads a file or draws a random number.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import category

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError, MismatchError

Array = NDArray[np.float64]
_Scalar = TypeVar("_Scalar", bound=np.generic)

SYMMETRY_TOLERANCE = 1e-8  # relative: covariances that went through JSON or float32 are still accepted
LINE_BREAKERS = frozenset({"Cc", "Zl", "Zp"})  # Unicode's control characters, line and paragraph separators
DEFINITE_TOLERANCE = 1e-10  # relative: eigenvalues this far below zero are round-off
MAX_SHOWN = 200  # characters of what arrived that an error message repeats
_QUESTION_ID = re.compile(r"(0|[1-9][0-9]{0,29})-(0|[1-9][0-9]{0,29})")  # one spelling for each pair of rows


class Choice(StrEnum):
    """The reply to a question; sides are the sides as shown."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    SKIP = "skip"


OUTCOMES: Mapping[Choice, int] = {Choice.FIRST: 1, Choice.TIE: 0, Choice.SECOND: -1}
"""Replies that are comparison evidence, as numbers; BOTH_BAD and SKIP are stored and carry none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person replied to one question.

    Parameters
    ----------
    question_id
        Id of the question as shown, such as ``"12-47"``: item 12 was shown first, item 47 second.
    choice
        A `Choice` or its value: ``"first"``, ``"second"``, ``"tie"``, ``"both_bad"`` or ``"skip"``.
    strength
        How strong the preference is, in (0, 1], if it was asked; stored, not yet used by the likelihood.
    reason
        The person's own words, stored as they are.
    seconds
        Time from showing the question to the reply, in seconds.

    Raises
    ------
    InputError
        For an unknown choice, a strength outside (0, 1], negative seconds, or a reason that is not valid Unicode.

    Examples
    --------
    >>> from prefq import Answer
    >>> Answer("12-47", "first").choice
    <Choice.FIRST: 'first'>
    """

    question_id: str
    choice: Choice
    strength: float | None = field(default=None, kw_only=True)
    reason: str | None = field(default=None, kw_only=True)
    seconds: float | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # what the constructor accepts; the fields say what it makes of it

        def __init__(
            self,
            question_id: str,
            choice: Choice | str,
            *,
            strength: float | None = None,
            reason: str | None = None,
            seconds: float | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.question_id, str) or not self.question_id:
            raise InputError(f"question_id is {shown(self.question_id)}; give the id of the question, such as '12-47'.")
        require_unicode(self.question_id, "question_id")
        object.__setattr__(self, "choice", parse_choice(self.choice))
        if self.strength is not None:
            object.__setattr__(self, "strength", real_number(self.strength, "strength"))
            if not 0 < self.strength <= 1:
                raise InputError(f"strength is {self.strength}; give a number above 0 and at most 1, or None.")
        if self.seconds is not None:
            object.__setattr__(self, "seconds", real_number(self.seconds, "seconds"))
            if self.seconds < 0:
                raise InputError(f"seconds is {self.seconds}; give a time of 0 or more seconds, or None.")
        if self.reason is not None:
            require_text(self.reason, "reason")

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values; those that were not given are left out."""
        optional = {"strength": self.strength, "reason": self.reason, "seconds": self.seconds}
        given = {name: value for name, value in optional.items() if value is not None}
        return {"question_id": self.question_id, "choice": self.choice.value, **given}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Answer":
        """Answer from the dictionary that `to_dict` writes; InputError if a field is missing or unknown."""
        known = {"question_id", "choice", "strength", "reason", "seconds"}
        if not isinstance(data, Mapping) or not {"question_id", "choice"} <= data.keys() <= known:
            raise InputError(
                f"an answer is {shown(data)}; it needs question_id and choice, and may have {sorted(known)}."
            )
        return cls(**data)


def parse_choice(choice: object) -> Choice:
    """`Choice` from itself or its value; InputError names the five that exist."""
    for known in Choice:
        if isinstance(choice, str) and choice == known:
            return known
    raise InputError(f"choice is {shown(choice)}; give one of {', '.join(repr(c.value) for c in Choice)}.")


@dataclass(frozen=True, slots=True)
class Response:
    """A text that can be shown.

    Parameters
    ----------
    item
        Row of the item in the pool.
    text
        What is shown; empty if the pool was made without texts.
    """

    item: int
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt with two responses, in the order in which they are shown.

    Parameters
    ----------
    id
        The two items as shown, such as ``"12-47"``.
    prompt
        What the responses answer; empty if the pool was made without prompts.
    first, second
        The responses as shown.
    """

    id: str
    prompt: str
    first: Response
    second: Response

    def answer(
        self,
        choice: Choice | str,
        *,
        strength: float | None = None,
        reason: str | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """`Answer` to this question; parameters and errors are those of `Answer`."""
        return Answer(self.id, parse_choice(choice), strength=strength, reason=reason, seconds=seconds)


def question_id(first_item: int, second_item: int) -> str:
    """Id of the question that shows `first_item` first: ``question_id(12, 47) == "12-47"``."""
    return f"{first_item}-{second_item}"


def parse_question_id(text: str) -> tuple[int, int]:
    """Item rows (first, second) of a question id; InputError if it is not of the form ``"12-47"``."""
    match = _QUESTION_ID.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(f"question id is {shown(text)}; expected two item rows as shown, such as '12-47'.")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Answers as numbers.

    Parameters
    ----------
    differences : (n_answers, n_features)
        Features of the response shown first minus features of the one shown second, in the features' units.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    strengths : (n_answers,), optional
        Strength of each preference in (0, 1]; NaN where none was given. Carried, not yet used by the likelihood.

    Raises
    ------
    InputError
        For wrong shapes, other outcomes, or values that are not finite.

    Examples
    --------
    >>> from prefq import Comparisons
    >>> Comparisons([[1.0, 0.0], [0.5, -1.0]], [1, 0]).outcomes
    array([1, 0], dtype=int8)
    """

    differences: Array
    outcomes: NDArray[np.int8]
    strengths: Array | None = None

    if TYPE_CHECKING:

        def __init__(self, differences: ArrayLike, outcomes: ArrayLike, strengths: ArrayLike | None = None) -> None: ...

    def __post_init__(self) -> None:
        differences = real_array(self.differences, "differences", ndim=2)
        outcomes = real_array(self.outcomes, "outcomes", ndim=1)
        if outcomes.shape != differences.shape[:1]:
            raise InputError(
                f"outcomes have shape {outcomes.shape} and differences {differences.shape}; "
                "give one outcome for each row of differences."
            )
        if not np.isin(outcomes, (-1, 0, 1)).all():
            raise InputError("outcomes hold other values than 1 (first preferred), 0 (tie) and -1 (second preferred).")
        object.__setattr__(self, "differences", differences)
        object.__setattr__(self, "outcomes", _frozen(outcomes.astype(np.int8)))
        if self.strengths is not None:
            strengths = _numbers(self.strengths, "strengths", ndim=1)
            given = strengths[~np.isnan(strengths)]
            if strengths.shape != outcomes.shape or not ((given > 0) & (given <= 1)).all():
                raise InputError("strengths must hold one number in (0, 1] or NaN for each row of differences.")
            object.__setattr__(self, "strengths", _frozen(strengths))

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)


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
        object.__setattr__(self, "covariance", _frozen(_checked_covariance(covariance)))

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

    def digest(self) -> str:
        """SHA-256 of mean and covariance, hexadecimal: the identity of a prior in a session's log."""
        return digest_of(self.mean.tobytes(), self.covariance.tobytes())

    def to_dict(self) -> dict[str, Any]:
        """Mean and covariance as nested lists."""
        return {"mean": self.mean.tolist(), "covariance": self.covariance.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Gaussian":
        """Gaussian from the dictionary that `to_dict` writes."""
        return cls(**exact_fields(data, ("mean", "covariance"), "a Gaussian"))


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
        SHA-256 of the names and of what computes the features, hexadecimal; never of the items. Made of names and
        version when it is not given.
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
        names, opposites = _text_tuple(self.names, "names"), _text_tuple(self.opposites, "opposites")
        for name in (*names, *opposites):
            if any(category(character) in LINE_BREAKERS for character in name):
                raise InputError(f"feature name {shown(name)} holds control characters; give a name in one line.")
        if not names or not all(names) or len(set(names)) != len(names):
            given = shown(list(names))
            raise InputError(f"feature names are {given}; give one name a feature, none empty or repeated.")
        if opposites and len(opposites) != len(names):
            raise InputError(f"there are {len(opposites)} opposites for {len(names)} features; give one each, or none.")
        version, digest = _text_tuple((self.version, self.digest), "version and digest")
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
    (Rao and Kupper 1967, in logits); a lapse mixes in a reply drawn at random.

    Parameters
    ----------
    tie_threshold
        τ ≥ 0, in logits; at 0 there are no ties, and a tie that is observed all the same is taken as one preference
        each way, the limit of its likelihood.
    position_bias
        b, in logits, toward the response shown first.
    lapse_rate
        Chance ε in [0, 1) of a reply drawn at random among the possible ones.

    Raises
    ------
    InputError
        For values that are not finite or outside these ranges.
    """

    tie_threshold: float = 0.0
    position_bias: float = 0.0
    lapse_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tie_threshold", "position_bias", "lapse_rate"):
            object.__setattr__(self, name, real_number(getattr(self, name), name))
        if self.tie_threshold < 0:
            raise InputError(f"tie_threshold is {self.tie_threshold}; give a threshold of 0 logits or more.")
        if not 0 <= self.lapse_rate < 1:
            raise InputError(f"lapse_rate is {self.lapse_rate}; give a share from 0 to below 1.")

    @property
    def outcomes(self) -> tuple[int, ...]:
        """Outcomes that can occur, in the order of `Comparisons.outcomes`: (1, -1), or (1, 0, -1) with ties."""
        return (1, 0, -1) if self.tie_threshold > 0 else (1, -1)

    def to_dict(self) -> dict[str, float]:
        """Fields as JSON values."""
        return {name: getattr(self, name) for name in ("tie_threshold", "position_bias", "lapse_rate")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ResponseModel":
        """Response model from the dictionary that `to_dict` writes."""
        return cls(**exact_fields(data, ("tie_threshold", "position_bias", "lapse_rate"), "a response model"))


@dataclass(frozen=True, slots=True)
class PopulationPrior:
    """Where a new user starts.

    Parameters
    ----------
    coefficients
        Distribution of the coefficients over the population.
    feature_space
        The features the coefficients weigh.
    response_model
        How this population replies.
    n_users
        How many users it was fitted on; 0 says that it comes from no group.

    Raises
    ------
    InputError
        When a part is of another type, coefficients and feature space differ in length, or n_users is negative.
    """

    coefficients: Gaussian
    feature_space: FeatureSpace
    response_model: ResponseModel = field(default_factory=ResponseModel)
    n_users: int = 0

    def __post_init__(self) -> None:
        require_instance(self.coefficients, Gaussian, "coefficients")
        require_instance(self.feature_space, FeatureSpace, "feature_space")
        require_instance(self.response_model, ResponseModel, "response_model")
        if self.coefficients.n_features != self.feature_space.n_features:
            raise InputError(
                f"the prior has {self.coefficients.n_features} coefficients and its feature space "
                f"{self.feature_space.n_features} names; they must be as many."
            )
        n_users = whole_number(self.n_users, "n_users", "the number of users the prior was fitted on, or 0", least=0)
        object.__setattr__(self, "n_users", n_users)

    def digest(self) -> str:
        """SHA-256 over everything the prior says, hexadecimal."""
        parts = (repr(self.response_model.to_dict()), str(self.n_users))
        return digest_of(self.coefficients.digest(), self.feature_space.digest, *parts)

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return {
            "coefficients": self.coefficients.to_dict(),
            "feature_space": self.feature_space.to_dict(),
            "response_model": self.response_model.to_dict(),
            "n_users": self.n_users,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PopulationPrior":
        """Prior from the dictionary that `to_dict` writes."""
        names = ("coefficients", "feature_space", "response_model", "n_users")
        parts = exact_fields(data, names, "a population prior")
        return cls(
            Gaussian.from_dict(parts["coefficients"]),
            FeatureSpace.from_dict(parts["feature_space"]),
            ResponseModel.from_dict(parts["response_model"]),
            parts["n_users"],
        )


def digest_of(*parts: bytes | memoryview | str) -> str:
    """SHA-256 of the parts, each preceded by its length so that no two lists of parts collide; hexadecimal."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(len(raw).to_bytes(8, "little"))
        total.update(raw)
    return total.hexdigest()


def require_unicode(text: str, name: str) -> None:
    """Raise InputError if the text holds half a character (a lone surrogate), which no file or digest can take."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} hold a text that is not valid Unicode: {text[error.start]!r} at character {error.start}; "
            "decode the text again, replacing what cannot be decoded."
        ) from None


def shown(value: object) -> str:
    """What arrived, as an error message repeats it: its repr, cut short where it is long or nested too deeply."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # ValueError: an integer of more digits than Python writes
        return f"<{type(value).__name__} too large to show>"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def require_instance(value: object, kind: type, name: str) -> None:
    """Raise InputError unless the value is one of this class."""
    if not isinstance(value, kind):
        raise InputError(f"{name} is {shown(value)}; give a value of type {kind.__name__}.")


def require_text(value: object, name: str, *, min_length: int = 0) -> None:
    """Raise InputError unless the value is a text of valid Unicode, and as long as it must be."""
    if not isinstance(value, str) or len(value) < min_length:
        raise InputError(f"{name} is {shown(value)}; give a {'non-empty text' if min_length else 'text'}.")
    require_unicode(value, name)


def whole_number(value: object, name: str, wanted: str, *, least: int | None = None) -> int:
    """The integer; InputError, which says what is wanted, unless it is one and not below `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or (least is not None and value < least):
        raise InputError(f"{name} is {shown(value)}; give {wanted}.")
    return int(value)


def real_number(value: object, name: str) -> float:
    """The number as a float; InputError unless it is one and finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name} is {shown(value)}; give a number.")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the floats
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{name} is {number}; give a finite number.")
    return number


def real_array(values: ArrayLike, name: str, *, ndim: int) -> Array:
    """A read-only float64 copy of `values`; InputError unless they have `ndim` dimensions and are finite."""
    array = _numbers(values, name, ndim=ndim)
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite values; every value must be finite.")
    return _frozen(array)


def tuple_of(values: object, kind: type | UnionType, name: str, wanted: str) -> tuple[Any, ...]:
    """The values as a tuple; InputError, which says what is wanted, unless they are a sequence of this class."""
    held = None if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    if held is None or not all(isinstance(each, kind) for each in held):
        raise InputError(f"{name} are {shown(values)}; give a sequence of {wanted}.")
    return held


def exact_fields(data: object, names: Sequence[str], what: str) -> dict[str, Any]:
    """The mapping as a dictionary; InputError unless it has these fields and no others."""
    if not isinstance(data, Mapping) or set(data) != set(names):
        found = list(data) if isinstance(data, Mapping) else data
        raise InputError(f"{what} needs exactly the fields {list(names)}; found {shown(found)}.")
    return dict(data)


def rebuilt(value: Any) -> tuple[Any, ...]:
    """For ``__reduce__``: copies and unpickled values come from the constructor, so that their arrays are read-only."""
    cls: Callable[..., object] = type(value)
    return partial(cls, **{each.name: getattr(value, each.name) for each in fields(value)}), ()


def _numbers(values: ArrayLike, name: str, *, ndim: int) -> Array:
    try:
        given = np.asarray(values)
        objects = given.flat if given.dtype.kind == "O" else ()
        # A cast would drop imaginary parts and read numbers out of texts.
        if given.dtype.kind not in "biufO" or any(isinstance(each, str | bytes) for each in objects):
            raise TypeError
        array = np.array(given, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor that wants its gradient
        raise InputError(f"{name} cannot be read as numbers; give an array of {ndim} dimension(s).") from None
    if array.ndim != ndim:
        raise InputError(f"{name} has {array.ndim} dimension(s), shape {array.shape}; expected {ndim}.")
    return array


def _frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    array.setflags(write=False)
    return array


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


def _text_tuple(values: Iterable[str], name: str) -> tuple[str, ...]:
    texts = tuple_of(values, str, name, "texts")
    for text in texts:
        require_unicode(text, name)
    return texts


def _short(space: FeatureSpace) -> str:
    names = ", ".join(space.names[:3]) + (", …" if space.n_features > 3 else "")
    return f"{space.n_features} features {names}, digest {space.digest[:8]}"
