"""Flags over environment over defaults, and where data lie."""

from pathlib import Path
from typing import Any

import pytest

from prefq_cli.settings import Settings, data_folder, read_settings


def test_defaults_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(environ={"XDG_DATA_HOME": "/data"}) == Settings("/data/prefq/prefq.db")
    told = Settings("x", plain=True, as_json=True, store_is_named=True)
    assert read_settings(store="x", plain=True, as_json=True, environ={}) == told
    assert read_settings(store="x", environ={"TERM": "dumb"}).plain
    assert not read_settings(store="x", environ={"NO_COLOR": "1"}).colour
    assert read_settings(store="x", environ={"NO_COLOR": ""}).colour  # no-color.org: when set and not empty


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {}, ".local/share/prefq"),
        ("linux", {"XDG_DATA_HOME": "relative"}, ".local/share/prefq"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "Library/Application Support/prefq"),
        ("win32", {}, "AppData/Local/prefq"),
    ],
)
def test_data_folder_by_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, environ: dict[str, str], folder: str
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    assert data_folder(environ, platform) == tmp_path / folder


def test_flags_win_over_the_environment(
    prefq_: Any, pool_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFQ_USER", "ada")
    monkeypatch.setenv("PREFQ_POOL", str(pool_folder))
    from_environment = prefq_("ask").json
    flagged = prefq_("ask", "--user", "bo", "--store", tmp_path / "other.db").json

    assert (from_environment["user_id"], flagged["user_id"]) == ("ada", "bo")
    assert (tmp_path / "other.db").exists()
