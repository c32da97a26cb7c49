"""Exit codes, as documented in docs/reference/cli.md; which error has which is decided in `prefq_cli.app`."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    ENDED_EARLY = 4
    MISMATCH = 5
    INTERRUPTED = 130
