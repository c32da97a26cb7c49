"""prefq bench: what choosing questions gains, in simulated worlds, on recorded people and on those in the store.

Each subcommand is a function in a file of its own here, imported when it is called for.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

# One line a subcommand: `learning-curve` is the function `learning_curve` of the file learning_curve.py.
NAMES: tuple[str, ...] = ("calibration", "learning-curve", "leave-one-out", "replay", "report", "sessions", "speed")


class _OnDemand(Mapping[str, Any]):
    """The subcommands by name, each imported when it is looked up: `prefq --help` needs none of them."""

    def __getitem__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(name)
        function = name.replace("-", "_")
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(name)(getattr(import_module(f"{__name__}.{function}"), function))
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


class _Bench(TyperGroup):
    """The group of the subcommands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _OnDemand()  # type: ignore[assignment]


app = typer.Typer(
    cls=_Bench, no_args_is_help=True, rich_markup_mode=None, help="Measure what choosing questions gains."
)
