"""The command line explains itself: every command and option has help and its place in docs/reference/cli.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from prefq_cli.app import app

COMMANDS = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def commands_below(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each command that does something, with the words that call it."""
    for name, child in sorted(getattr(command, "commands", {}).items()):
        if hasattr(child, "commands"):
            yield from commands_below(child, (*path, name))
        else:
            yield " ".join((*path, name)), child


COMMAND_LINES = dict(commands_below(typer.main.get_command(app)))


def section_of(page: str, heading: str) -> str:
    """The text under a heading that names a command, up to the next such heading; empty if there is none."""
    found = re.search(rf"^#+ `{re.escape(heading)}`$(.*?)(?=^#+ `prefq|\Z)", page, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_and_its_options_have_help(line: str) -> None:
    command = COMMAND_LINES[line]

    assert (command.help or "").strip(), f"prefq {line} has no help"
    without = [option.name for option in command.params if not getattr(option, "help", None)]
    assert without == [], f"prefq {line}: no help for {without}"


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_and_its_options_are_documented(line: str) -> None:
    section = section_of(COMMANDS.read_text(encoding="utf-8"), f"prefq {line}")

    assert section, f"docs/reference/cli.md has no heading `prefq {line}`"
    long_options = {name for option in COMMAND_LINES[line].params for name in option.opts if name.startswith("--")}
    missing = sorted(name for name in long_options - {"--help"} if f"`{name}" not in section)
    assert missing == [], f"docs/reference/cli.md, `prefq {line}`: says nothing about {missing}"


def test_no_documented_command_is_gone() -> None:
    documented = set(re.findall(r"^#+ `prefq ([a-z ]+)`$", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE))

    assert documented - set(COMMAND_LINES) == set()
