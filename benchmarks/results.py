"""Result files: figures with the machine, versions and commit they were measured on."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent


def save(name: str, figures: Mapping[str, Any], *, seconds: float) -> None:
    """Write ``results/<name>.json``."""
    FOLDER.mkdir(exist_ok=True)
    result = {
        "benchmark": name,
        "command": f"python -m benchmarks.run {name}",
        "seconds": round(seconds, 1),
        "machine": {
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            **{package: version(package) for package in ("prefq", "numpy", "scipy")},
        },
        "commit": _commit(),
        "figures": figures,
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def exists(name: str) -> bool:
    """Whether there is such a result."""
    return (FOLDER / f"{name}.json").exists()


def load(name: str) -> dict[str, Any]:
    """A result that `save` wrote."""
    result: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return result


def _commit() -> str:
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or "unknown"
