"""What `make bench` measures: the house checks, and the commands of prefq bench with settings that fit ten minutes.

To measure something more, add a line.
"""

from typing import NamedTuple

CHECKS = ("startup", "step_speed", "newton")
LONG_CHECKS = ("starter_gain", "words", "kill")  # minutes; by name only


class Line(NamedTuple):
    """One command of the suite: its name here, and what stands after `prefq bench`."""

    name: str
    arguments: tuple[str, ...]


PEERS = ("--peers", "benchmarks/peers")


LINES: tuple[Line, ...] = ()
