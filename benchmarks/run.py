"""Run the suite, or parts of it by name: keep each result in results/ and write docs/benchmarks.md anew."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks import results
from benchmarks.suite import CHECKS, LINES, LONG_CHECKS, Line

PREFQ = str(Path(sys.executable).with_name("prefq"))
RUNS = results.ROOT / "build" / "bench"
PAGE = results.ROOT / "docs" / "benchmarks.md"
STRATEGY_FAILED = 1  # exit code of prefq bench; the others are there, and the summary says which is not
NO_NUMBERS = (  # changing how a result is shown does not make it another
    "report.py",
    "page.py",
    "markdown.py",
    "figures.py",
    "speed_figure.py",
    "calibration_figure.py",
)


def main() -> int:
    """Command line: names of parts; exit code 1 when one of them failed."""
    lines = {line.name: line for line in LINES}
    names = [*CHECKS, *lines]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(names)}; by name only: {', '.join(LONG_CHECKS)}; default: all but those",
    )
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in (*names, *LONG_CHECKS)]:
        parser.error(f"there is no {unknown[0]!r}; choose among {', '.join((*names, *LONG_CHECKS))}")
    failed = []
    for name in options.names or names:
        start, cpu_start = time.perf_counter(), _cpu_seconds()
        print(f"{name} …", flush=True)
        done = run_line(lines[name]) if name in lines else run_check(name)
        took = f"{time.perf_counter() - start:.0f} s ({_cpu_seconds() - cpu_start:.0f} s of processor time)"
        print(f"{name}: {'done' if done else 'failed'} in {took}", flush=True)
        failed += [] if done else [name]
    subprocess.run([PREFQ, "bench", "report", "--page", str(PAGE)], cwd=results.ROOT, check=True)
    if failed:
        print(f"Not measured: {', '.join(failed)}; their results are those of an earlier run, if there are any.")
    return len(failed) > 0


def run_check(name: str) -> bool:
    """Measure a house check and keep its result."""
    start, check = time.perf_counter(), import_module(f"benchmarks.{name}")
    figures = check.measure()
    results.save_check(name, check, figures, seconds=time.perf_counter() - start)
    return True


def run_line(line: Line) -> bool:
    """Run a command of the suite, going on where it was interrupted, and keep its summary.

    Its folder is named after the code that makes the numbers, so that no number of other code is kept.
    """
    folder = RUNS / code_digest() / line.name
    told = folder / "summary.json"
    told.unlink(missing_ok=True)
    for arguments in line.commands():
        command = [PREFQ, "bench", *arguments, "--out", str(folder)]
        ended = subprocess.run(command, cwd=results.ROOT, stdout=subprocess.DEVNULL, check=False)
        if ended.returncode not in (0, STRATEGY_FAILED):
            return False
    if not told.exists():
        return False
    summary = json.loads(told.read_text(encoding="utf-8"))
    summary["command"] = f"python -m benchmarks.run {line.name}"
    results.save_summary(summary)
    return True


def code_digest() -> str:
    """Digest of the code that results depend on."""
    digest = hashlib.sha256()
    folders = ("prefq", "cli/prefq_cli/bench", "cli/prefq_cli/commands/bench", "benchmarks/peers")
    for path in sorted(path for folder in folders for path in (results.ROOT / folder).rglob("*.py")):
        if path.name not in NO_NUMBERS:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu_seconds() -> float:
    """Processor time of this process and of all that have ended below it."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
