"""The documentation agrees with the program: examples run, versions match, names and commands are all described."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import pytest
import typer

import prefq
from prefq_cli.app import app

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CHANGELOG = ROOT / "docs" / "changelog.md"
INSTALL = ROOT / "docs" / "guide" / "install.md"
REFERENCE = ROOT / "docs" / "reference"
COMMANDS = REFERENCE / "cli.md"


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


def test_readme_example_runs_as_written(tmp_path: Path) -> None:
    example = re.search(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert example, "README.md has no python example"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.group(1)],
        input="first\nsecond\n" * 20,  # for an example that asks its reader
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        timeout=60,
    )

    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("command", ["make onboard", "make test", "pip install prefq", "pip install 'prefq[all]'"])
def test_readme_says_how_to_begin(command: str) -> None:
    assert command in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [README, INSTALL], ids=lambda page: page.name)
def test_extras_named_in_a_page_exist(page: Path) -> None:
    named = {extra for group in re.findall(r"prefq\[([\w,]+)\]", page.read_text("utf-8")) for extra in group.split(",")}

    assert named
    assert named <= set(metadata("prefq").get_all("Provides-Extra") or [])


def test_extras_are_all_described() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", INSTALL.read_text("utf-8"), re.MULTILINE))

    assert described == set(metadata("prefq").get_all("Provides-Extra") or []) - {"all", "dev"}


def test_changelog_begins_with_the_installed_version() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)

    assert versions
    assert versions[0] == version("prefq") == prefq.__version__


@pytest.mark.parametrize("name", prefq.__all__)
def test_public_name_has_its_place_in_the_reference(name: str) -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))

    assert len(re.findall(rf"^\.\. auto\w+:: prefq\.{name}$", pages, re.MULTILINE)) == 1


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))

    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [page.read_text("utf-8").split(" ", 2)[1] for page in pages] == [page.name[:4] for page in pages]


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
