"""Where numbers come from: versions, machine, code, commit and date of a run."""

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import prefq
import prefq_cli

ALWAYS = ("prefq", "numpy", "scipy")
CODE = ("prefq", "prefq_cli/bench", "prefq_cli/commands/bench")  # packages that results depend on
NO_NUMBERS = (  # changing how a result is shown does not make it another
    "report.py",
    "page.py",
    "promises.py",
    "ablation.py",
    "markdown.py",
    "figures.py",
    "speed_figure.py",
    "calibration_figure.py",
    "calibration_report.py",
    "summaries.py",
)
WHERE_LOADED = ("torch", "botorch", "gpytorch", "sklearn", "matplotlib")


def provenance() -> dict[str, Any]:
    """Versions, machine, digest of the code, git commit (null outside a checkout) and the time in UTC."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ALWAYS}},
        "machine": {"cores": n_cores(), "system": f"{platform.system()} {platform.machine()}"},
        "code": code_digest(),
        "commit": _commit(Path(prefq.__file__).parents[1]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def code_digest() -> str:
    """Digest of the code that results depend on: numbers of other code are not mixed with those of this one."""
    digest = hashlib.sha256()
    roots = {"prefq": Path(prefq.__file__).parent, "prefq_cli": Path(prefq_cli.__file__).parent}
    for package in CODE:
        name, _, below = package.partition("/")
        for path in sorted((roots[name] / below).rglob("*.py")):
            if path.name not in NO_NUMBERS:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


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
