"""A store, a small pool and a runner for each test; nothing outside the test's own folder is touched."""

import io
import json
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.storage.sql import SqlStore
from prefq_cli.app import app

AXES = prefq.FeatureSpace(("thorough", "warm", "playful"), opposites=("brief", "neutral", "serious"))


class Result:
    """What a run of prefq left: exit code, output, messages."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        assert found["schema_version"] == 1
        return found


Prefq = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside, and a store that goes with the test."""
    for name in (*(name for name in os.environ if name.startswith("PREFQ_")), "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFQ_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture(scope="session")
def prefq_() -> Prefq:
    """Runs prefq with some arguments and standard input that is no terminal."""

    def run(*arguments: object, keys: str = "") -> Result:
        code, out, err = 0, io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr("sys.stdin", io.StringIO(keys))
            try:
                app([str(each) for each in arguments], prog_name="prefq")
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Result(code, out.getvalue(), err.getvalue())

    return run


def small_pool(n_prompts: int = 12, seed: int = 0, responses: list[str] | None = None) -> prefq.CandidatePool:
    """Two responses to each of some prompts, on three named axes."""
    n_items = 2 * n_prompts
    return prefq.CandidatePool.from_arrays(
        np.random.default_rng(seed).normal(size=(n_items, 3)),
        [[i, i + 1] for i in range(0, n_items, 2)],
        prompts=[f"Prompt number {i // 2}?" for i in range(n_items)],
        responses=responses or [f"Response {'ab'[i % 2]} to prompt {i // 2}." for i in range(n_items)],
        feature_space=AXES,
    )


@pytest.fixture
def empty_store() -> None:
    """A store in which nothing is yet, where this test keeps things."""
    SqlStore.open(os.environ["PREFQ_STORE"]).close()


@pytest.fixture
def pool_folder(tmp_path: Path) -> Path:
    """A small pool on disk."""
    small_pool().save(tmp_path / "pool")
    return tmp_path / "pool"
