"""Options that the subcommands which run strategies share, and what is checked of them."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from prefq.errors import InputError

StrategiesOption = Annotated[str, typer.Option("--strategies", metavar="A,B,…", help="Names of strategies, or all.")]
QuestionsOption = Annotated[int, typer.Option("--questions", metavar="N", help="Questions for each user.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Processes; one for each core by default.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="From which all chance comes.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the results; one below bench by default.")
]
PeersOption = Annotated[
    Path | None, typer.Option("--peers", metavar="PATH", help="Folder of Python files with strategies of others.")
]
PeerUsersOption = Annotated[
    int | None, typer.Option("--peer-users", metavar="N", help="Peers on the first so many users of each world only.")
]
PeerWorldsOption = Annotated[
    int | None, typer.Option("--peer-worlds", metavar="N", help="Peers on the first so many worlds only.")
]


def check_counts(**counts: int | None) -> None:
    """InputError when a count, by the name of its option, is below 1; None is no count."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InputError(f"--{name.replace('_', '-')} is {count}; give 1 or more.")


def check_seed(seed: int) -> None:
    """InputError when it is negative."""
    if seed < 0:
        raise InputError(f"--seed is {seed}; give 0 or more.")


def check_positive(**numbers: float) -> None:
    """InputError when a number, by the name of its option, is not above 0."""
    for name, number in numbers.items():
        if not 0 < number < float("inf"):
            raise InputError(f"--{name.replace('_', '-')} is {number:g}; give a number above 0.")


def whole_numbers(text: str, option: str, *, least: int) -> tuple[int, ...]:
    """Whole numbers between commas, each once, in their order; InputError when one is none or below `least`."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) < 19 and int(part) >= least for part in parts):
        raise InputError(f"{option} is {text!r}; give whole numbers of {least} or more with commas between.")
    return tuple(dict.fromkeys(int(part) for part in parts))


def strategy_names(text: str) -> list[str]:
    """Names between commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"--strategies is {text!r}; give names with commas between, or all.")
    return names


def default_folder(command: str, name: str) -> Path:
    """Where results go if nothing is said: `bench/learning-curve-gaussian-6` for the world `gaussian(6)`."""
    return Path("bench") / f"{command}-{re.sub(r'[^0-9A-Za-z._]+', '-', name).strip('-')}"


def command_line(command: str, options: Mapping[str, object]) -> str:
    """A command as one would type it; options that are None are left out, folders outside of this one cut to a name."""
    words = ["prefq", "bench", command]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(_near(value) if isinstance(value, Path) else value)]
    return shlex.join(words)


def _near(path: Path) -> Path | str:
    """A path as it is from here, or its last name."""
    whole = Path.cwd() / path
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole.name
