"""Settings: flags over PREFQ_* environment variables over defaults, read once into one frozen value.

The options that several commands share are declared here, so that they look alike everywhere.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_USER = "me"
DEFAULT_POOL = "starter"
STORE_FILE = "prefq.db"

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="PREFQ_STORE",
        metavar="URL",
        help="Database URL or file with sessions and profiles; by default a file in your data directory.",
    ),
]
PlainOption = Annotated[
    bool,
    typer.Option("--plain", envvar="PREFQ_PLAIN", help="No boxes and no cursor movement; for screen readers and logs."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
AlwaysJsonOption = Annotated[bool, typer.Option("--json", help="Accepted and not needed: the result is always JSON.")]
UserOption = Annotated[
    str | None,
    typer.Option("--user", envvar="PREFQ_USER", metavar="NAME", help=f"Whose taste; {DEFAULT_USER!r} by default."),
]
SessionOption = Annotated[
    str | None,
    typer.Option("--session", metavar="ID", help="Go on with this session; see prefq sessions."),
]
PoolOption = Annotated[
    str | None,
    typer.Option("--pool", envvar="PREFQ_POOL", metavar="POOL", help="'starter' (bundled, the default) or a folder."),
]
EncoderOption = Annotated[
    str | None,
    typer.Option("--encoder", metavar="FOLDER", help="Where the encoder of the rewards is now, if it was moved since."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="NAME", help="That the encoder runs on: 'auto', 'cpu', 'cuda', ….")
]
SECONDS_BETWEEN_LINES = 5.0  # of what a command says while it works


@dataclass(frozen=True, slots=True)
class Settings:
    """How this run talks, and where it keeps things.

    A store that was named must be there for commands that only read; the default one is made when it is looked at.
    """

    store: str
    plain: bool = False
    colour: bool = True
    as_json: bool = False
    store_is_named: bool = False


def read_settings(
    *,
    store: str | None = None,
    plain: bool = False,
    as_json: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from flags (whose own PREFQ_* variables Typer has read) and the rest of the environment."""
    return Settings(
        store=store or str(data_folder(environ) / STORE_FILE),
        plain=plain or environ.get("TERM") == "dumb",
        colour=not environ.get("NO_COLOR"),
        as_json=as_json,
        store_is_named=bool(store),
    )


def number_setting(name: str, environ: Mapping[str, str] = os.environ) -> float | None:
    """The number in an environment variable that only a new session reads, None without one; InputError if it is none.

    A flag that is given when a session goes on must agree with it, and such a variable need not.
    """
    given = environ.get(name)
    if not given:
        return None
    try:
        return float(given)
    except ValueError:
        from prefq.errors import InputError

        raise InputError(f"{name} is {given!r}; give a number, or unset it.") from None


def program() -> str:
    """What calls prefq in a later command: its name where the shell finds it, else the path that it was called by."""
    called = Path(sys.argv[0])
    return "prefq" if shutil.which("prefq") or called.stem != "prefq" else shlex.quote(str(called))


def user_option(user_id: str, environ: Mapping[str, str] = os.environ) -> str:
    """What names this user in a later command, after a space; nothing where nothing is needed."""
    return "" if user_id == (environ.get("PREFQ_USER") or DEFAULT_USER) else f" --user {shlex.quote(user_id)}"


def store_option(settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """What names this store in a later command, after a space; nothing where nothing is needed."""
    default = read_settings(store=environ.get("PREFQ_STORE"), environ=environ).store
    return "" if settings.store == default else f" --store {shlex.quote(settings.store)}"


def data_folder(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where this platform keeps a user's data."""
    home = Path.home()
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "prefq"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "prefq"
    given = Path(environ.get("XDG_DATA_HOME") or ".")
    # The XDG base directory specification: a relative path is invalid and must be ignored.
    return (given if given.is_absolute() else home / ".local" / "share") / "prefq"
