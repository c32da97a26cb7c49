"""Where numbers come from: versions, machine, commit and date of a run."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import prefq

ALWAYS = ("prefq", "numpy", "scipy")
WHERE_LOADED = ("torch", "botorch", "gpytorch", "sklearn", "matplotlib")


def provenance() -> dict[str, Any]:
    """Versions, machine, git commit (null outside a checkout) and the time in UTC."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ALWAYS}},
        "machine": {"cores": n_cores(), "system": f"{platform.system()} {platform.machine()}"},
        "commit": _commit(Path(prefq.__file__).parents[1]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def n_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def loaded_versions() -> dict[str, str]:
    """Versions of the large packages that a strategy has loaded into this process."""
    found = {}
    for name in WHERE_LOADED:
        if name in sys.modules:
            try:
                found[name] = version({"sklearn": "scikit-learn"}.get(name, name))
            except PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found


def _commit(root: Path) -> str | None:
    """The commit of the checkout that prefq runs from, with a + where its code has been changed since."""
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "prefq", "cli")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
