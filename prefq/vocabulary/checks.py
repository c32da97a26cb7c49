"""What constructors ask of their arguments, what an error repeats of them, and digests."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import MappingProxyType, UnionType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError

Array = NDArray[np.float64]
_Scalar = TypeVar("_Scalar", bound=np.generic)

MAX_SHOWN = 200  # characters of what arrived that an error message repeats


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


def reason_of(error: Exception) -> str:
    """What an error of another library says, for a sentence of ours: in one line, and not for long."""
    return " ".join(str(error).split())[:MAX_SHOWN]


def counted(n: int, noun: str) -> str:
    """A number of things whose plural ends in s: 1 answer, 2 answers, 1,200 answers."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


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
    array = numbers(values, name, ndim=ndim)
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite values; every value must be finite.")
    return frozen(array)


def tuple_of(values: object, kind: type | UnionType, name: str, wanted: str) -> tuple[Any, ...]:
    """The values as a tuple; InputError, which says what is wanted, unless they are a sequence of this class."""
    held = None if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    if held is None or not all(isinstance(each, kind) for each in held):
        raise InputError(f"{name} are {shown(values)}; give a sequence of {wanted}.")
    return held


def exact_fields(
    data: object, names: Sequence[str], what: str, *, later: Mapping[str, object] = MappingProxyType({})
) -> dict[str, Any]:
    """The mapping as a dictionary; InputError unless it has these fields and no others.

    Fields in `later` may be missing, as they are in what earlier versions wrote, and then have the value there.
    """
    given = set(data) - set(later) if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or given != set(names):
        found = list(data) if isinstance(data, Mapping) else data
        raise InputError(f"{what} needs exactly the fields {list(names)}; found {shown(found)}.")
    return {**later, **data}


def rebuilt(value: Any) -> tuple[Any, ...]:
    """For ``__reduce__``: copies and unpickled values come from the constructor, so that their arrays are read-only."""
    cls: Callable[..., object] = type(value)
    return partial(cls, **{each.name: getattr(value, each.name) for each in fields(value) if each.init}), ()


def numbers(values: ArrayLike, name: str, *, ndim: int) -> Array:
    """A float64 copy of `values`, finite or not; InputError unless they are numbers in `ndim` dimensions."""
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


def frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The array, read-only from now on."""
    array.setflags(write=False)
    return array


def text_tuple(values: Iterable[str], name: str) -> tuple[str, ...]:
    """The texts as a tuple; InputError unless they are a sequence of valid texts."""
    texts = tuple_of(values, str, name, "texts")
    for text in texts:
        require_unicode(text, name)
    return texts
