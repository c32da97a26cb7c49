"""The documentation agrees with the program: examples run, versions match, names have their place."""

import re
import subprocess
import sys
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import prefq
from prefq_cli.bench.page import read_results, render_page

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CHANGELOG = ROOT / "docs" / "changelog.md"
INSTALL = ROOT / "docs" / "guide" / "install.md"
REFERENCE = ROOT / "docs" / "reference"


def test_readme_example_runs_as_written(tmp_path: Path) -> None:
    example = re.search(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert example, "README.md has no python example"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.group(1)],
        input="1\n2\n" * 20,  # for an example that asks its reader
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


def test_package_index_shows_the_readme() -> None:
    assert metadata("prefq")["Description-Content-Type"] == "text/markdown"


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


@pytest.mark.parametrize("name", [name for name in prefq.__all__ if not name.startswith("__")])
def test_public_name_has_its_place_in_the_reference(name: str) -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))

    assert len(re.findall(rf"^\.\. auto\w+:: prefq\.{name}$", pages, re.MULTILINE)) == 1


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))

    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [page.read_text("utf-8").split(" ", 2)[1] for page in pages] == [page.name[:4] for page in pages]


@pytest.mark.parametrize("name", [name for name in prefq.__all__ if not name.startswith("__")])
def test_public_name_stands_in_the_changelog(name: str) -> None:
    assert f"`{name}`" in CHANGELOG.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:prefq|cli|benchmarks|tests|docs)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8"))

    assert [path for path in named if "NNNN" not in path and not (ROOT / path).exists()] == []


def test_benchmarks_page_is_what_the_committed_results_say() -> None:
    results = read_results(ROOT / "benchmarks" / "results")

    assert render_page(results) == (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_every_house_check_has_a_committed_result() -> None:
    code = "from benchmarks import suite; print(*suite.CHECKS, *suite.LONG_CHECKS)"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    checks = [each["name"] for each in read_results(ROOT / "benchmarks" / "results") if each["kind"] == "check"]

    assert sorted(made.stdout.split()) == sorted(checks)


def test_figures_of_the_benchmarks_page_are_there() -> None:
    page = ROOT / "docs" / "benchmarks.md"
    shown = set(re.findall(r"\]\((images/bench/[^)]+)\)", page.read_text(encoding="utf-8")))

    assert shown == {f"images/bench/{path.name}" for path in (page.parent / "images" / "bench").glob("*")}
