"""The wheel: it holds the two packages with all their data and nothing else, and works from where it was unpacked."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as a release would have it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def tracked(folder: str) -> set[str]:
    """Files below a folder that git knows."""
    command = ["git", "ls-files", "--", folder]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def test_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"prefq", "prefq_cli"}


def test_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    files = tracked("prefq") | {name.removeprefix("cli/") for name in tracked("cli/prefq_cli")}

    assert files
    assert files - set(wheel.namelist()) == set()


def test_wheel_holds_license_and_type_marker(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()

    assert "prefq/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_unpacked_wheel_loads_its_own_data(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    program = (
        "import prefq; print(prefq.__file__); print(prefq.select_next_question(prefq.load_pool('starter'), []).id)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert finished.returncode == 0, finished.stderr
    place, question_id = finished.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path)
    assert question_id.count("-") == 1
