"""The Typer app `prefq`; a PrefqError becomes one line and an exit code here and nowhere else.

Commands import what they need when they run, so that `prefq --help` stays quick.
"""

import os
import sys
from contextlib import suppress
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from prefq_cli.commands import (
    ask,
    bench,
    data,
    onboard,
    pool,
    prior,
    profile,
    rank,
    rewards,
    sessions,
    tell,
    train,
)
from prefq_cli.exit_codes import ExitCode
from prefq_cli.stated import OptionalStated

DEBUG = "--debug"


class _Root(TyperGroup):
    """The top of the command tree: where errors end."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take --debug wherever it stands among the options."""
        options = args[: args.index("--")] if "--" in args else args
        if DEBUG in options[1:]:
            args.remove(DEBUG)
            args.insert(0, DEBUG)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; say what went wrong in one line."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from prefq.errors import PrefqError

            if not isinstance(error, PrefqError) or ctx.params["debug"]:
                raise
            typer.echo(f"Error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(exit_code(error)) from None


app = typer.Typer(
    cls=_Root,
    name="prefq",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: quick to start, and the same for every terminal and screen reader
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (onboard.onboard, ask.ask, tell.tell, rank.rank, sessions.sessions, train.train):
    app.command(cls=OptionalStated)(command)
app.add_typer(profile.app, name="profile")
app.add_typer(pool.app, name="pool")
app.add_typer(prior.app, name="prior")
app.add_typer(data.app, name="data")
app.add_typer(rewards.app, name="rewards")
app.add_typer(bench.app, name="bench")


def exit_code(error: Exception) -> ExitCode:
    """Exit code of an error; the most specific kind decides."""
    from prefq.errors import InputError, MismatchError, NotFoundError

    codes = {
        MismatchError: ExitCode.MISMATCH,
        InputError: ExitCode.USAGE,
        NotFoundError: ExitCode.NOT_FOUND,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), ExitCode.FAILURE)


def _show_version(wanted: bool) -> None:
    if wanted:
        import prefq

        typer.echo(f"prefq {prefq.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, envvar="PREFQ_DEBUG", help="Show the traceback of an error.")] = False,
) -> None:
    """Learn a person's taste in about ten comparisons, and rank new answers by it.

    \b
    prefq onboard                        answer ten comparisons; about four minutes
    prefq profile show                   what was learned, and how sure it is
    prefq profile export --format prompt the same as a system prompt
    prefq rank --prompt "…" a.txt b.txt  which answer this person would rather get

    Results go to standard output, everything else to standard error; --json gives one JSON object. Exit codes: 0 done,
    1 failure, 2 usage or bad input, 3 not found, 4 ended early and saved, 5 pool or settings differ, 130 interrupted
    and saved.
    """


def main() -> None:
    """Run the command line; a standard stream that cannot be written to ends it with one line."""
    _stand_in_for_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a narrow locale must not end a session
    try:
        app()
    except OSError as error:
        if error.filename is not None:
            raise
        with suppress(OSError):
            typer.echo(f"Error: the output cannot be written: {error.strerror}.", err=True)
        for stream in (sys.stdout, sys.stderr):
            _empty(stream)
        sys.exit(ExitCode.FAILURE)


def _stand_in_for_closed_streams() -> None:
    """Where a stream was closed: input that is empty, messages that go nowhere, output that refuses to be written."""
    for name, access, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode, encoding="utf-8"))


def _empty(stream: TextIO) -> None:
    """Let go of what a stream holds and cannot write; it would fail again at the exit."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
