"""Names of worlds with their parameters: `gaussian`, `gaussian(6)`, `gaussian:6` and `gaussian(d=6)` are the same.

What a world holds is in `synthetic`; here a name is only read and checked.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from prefq.errors import InputError, NotFoundError
from prefq.simulation.panels import Panel
from prefq.vocabulary import shown

_NAME = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(?:\((?P<inside>[^()]*)\)|:(?P<after>[^()]*))?\s*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a world's name may carry.

    Parameters
    ----------
    name
        As in ``name(key=value)`` and as the generator's argument.
    default
        Taken when the name does not give it.
    low, high
        Smallest and largest value that has a meaning.
    whole
        Whether it is a count.
    """

    name: str
    default: float
    low: float
    high: float
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Generator:
    """A world that can be made by name.

    Parameters
    ----------
    generate
        Called with the parameters by name, and ``name``, ``n_users``, ``rng`` and ``n_pool``.
    summary
        One line for readers of a table.
    parameters
        In the order in which a name gives them.
    """

    generate: Callable[..., Panel]
    summary: str
    parameters: tuple[Parameter, ...] = ()


class NamedWorld(NamedTuple):
    """What a name says: the name in full, its generator, and the values of its parameters."""

    name: str
    generator: Generator
    values: Mapping[str, float]


def read_world_name(text: str, worlds: Mapping[str, Generator]) -> NamedWorld:
    """The world that a name means.

    Parameters
    ----------
    text
        Such as ``"gaussian"``, ``"agree(0.5)"``, ``"raters:0.6"`` or ``"noisy(0.2, known=1)"``.
    worlds
        What exists.

    Returns
    -------
    NamedWorld
        Its `name` shows the first parameter, and those of the others that are not at their defaults.

    Raises
    ------
    NotFoundError
        When there is no such world; the message names those that exist.
    InputError
        When the text is no name, or a parameter is unknown, given twice, not a number or out of range.
    """
    match = _NAME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(f"the world is {shown(text)}; give a name such as 'gaussian(6)' or 'agree:0.5'.")
    base = match[1]
    if base not in worlds:
        near = get_close_matches(base, worlds, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise NotFoundError(f"there is no world {base!r}; {hint}there are {', '.join(worlds)}.")
    generator = worlds[base]
    inside = match["inside"] if match["inside"] is not None else match["after"]
    values = _values(base, (inside or "").strip(), generator.parameters)
    return NamedWorld(_full_name(base, generator.parameters, values), generator, values)


def _values(base: str, inside: str, parameters: tuple[Parameter, ...]) -> dict[str, float]:
    names = [parameter.name for parameter in parameters]
    given: dict[str, str] = {}
    for place, part in enumerate(inside.split(",") if inside else ()):
        key, equals, value = part.partition("=")
        key, value = (key.strip(), value.strip()) if equals else (names[place] if place < len(names) else "", key)
        if key not in names or key in given:
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise InputError(f"{shown(part.strip())} is no parameter of the world {base!r}, or given twice; {has}.")
        given[key] = value
    return {each.name: _value(base, each, given.get(each.name)) for each in parameters}


def _value(base: str, parameter: Parameter, text: str | None) -> float:
    if text is None:
        value = parameter.default
    else:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
    if not parameter.low <= value <= parameter.high or (parameter.whole and value != int(value)):
        raise InputError(
            f"{parameter.name} of the world {base!r} is {shown(text)}; give a {'whole ' if parameter.whole else ''}"
            f"number from {parameter.low:g} to {parameter.high:g}."
        )
    return int(value) if parameter.whole else value


def _full_name(base: str, parameters: tuple[Parameter, ...], values: Mapping[str, float]) -> str:
    shown_values = [
        f"{values[each.name]:g}" if place == 0 else f"{each.name}={values[each.name]:g}"
        for place, each in enumerate(parameters)
        if place == 0 or values[each.name] != each.default
    ]
    return f"{base}({', '.join(shown_values)})" if shown_values else base
