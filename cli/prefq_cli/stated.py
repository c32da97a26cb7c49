"""What a person says about axes on the command line: `--stated formal=0.5,brief=-1`, or alone for a page of sliders."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from prefq.session import Session

SLIDERS = "sliders"  # what `--stated` alone stands for
_OPTION = "--stated"

StatedOption = Annotated[
    str | None,
    typer.Option(
        _OPTION,
        metavar="AXES",
        help="What you say about your taste beforehand, such as formal=0.5,brief=-1: -1 much less, 0 no matter, 1 much "
        "more. Alone, a page of sliders.",
    ),
]
StatedAxesOption = Annotated[
    str | None,
    typer.Option(
        _OPTION,
        metavar="AXES",
        help="What the person says about their taste beforehand, such as formal=0.5,brief=-1: -1 much less, 0 no "
        "matter, 1 much more.",
    ),
]


class OptionalStated(TyperCommand):
    """A command whose `--stated`, if it has one, may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in what `--stated` alone stands for."""
        has_option = any(_OPTION in parameter.opts for parameter in self.params)
        places = [i for i, each in enumerate(args) if each == _OPTION] if has_option else []
        for i in reversed(places):
            if i + 1 == len(args) or args[i + 1].startswith("-"):
                args.insert(i + 1, SLIDERS)
        return super().parse_args(ctx, args)


def read_axes(text: str) -> dict[str, float]:
    """The axes and numbers in a text such as ``formal=0.5,brief=-1``; InputError if it holds none."""
    from prefq.errors import InputError

    if text == SLIDERS:
        raise InputError("--stated alone opens sliders, for which there is no place here; give axes, such as brief=-1.")
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        axis, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not axis or axis in found:
            raise InputError(
                f"--stated has {part!r}; give each axis once with a number from -1 to 1, such as formal=0.5,brief=-1."
            )
        found[axis] = value
    return found


def restated(session: "Session", positions: Mapping[str, float], time: str) -> "Session":
    """The session with this stated; itself where it says the same already."""
    said = session.state_taste(positions, time=time)
    before, after = session.state.stated, said.state.stated
    assert after is not None
    return session if (before.positions if before else ()) == after.positions else said
