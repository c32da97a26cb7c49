"""Run the suite, or parts of it by name: keep each result in results/ and write docs/benchmarks.md anew."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import results
from benchmarks.suite import CHECKS, LINES, LONG_CHECKS, LONG_LINES, PEERS, Line
from prefq_cli.bench.provenance import code_digest

PREFQ = str(Path(sys.executable).with_name("prefq"))
RUNS = results.ROOT / "build" / "bench"
PAGE = results.ROOT / "docs" / "benchmarks.md"
AT_ONCE = os.cpu_count() or 1  # lines, of one process each; numbers do not depend on it
INTERRUPTED = 130
STRATEGY_FAILED = 1  # exit code of prefq bench; the others are there, and the summary says which is not


class Ended(NamedTuple):
    """How a line ended: its summary, or None with what its command said; and what it took, in seconds."""

    summary: dict[str, Any] | None
    said: str
    seconds: float
    cpu_seconds: float


def main() -> int:
    """Command line: names of parts; exit code 1 when one of them failed."""
    lines = {line.name: line for line in (*LINES, *LONG_LINES)}
    names, long = [*CHECKS, *(line.name for line in LINES)], [*LONG_CHECKS, *(line.name for line in LONG_LINES)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(names)}; by name only: {', '.join(long)}; default: all but those",
    )
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in (*names, *long)]:
        parser.error(f"there is no {unknown[0]!r}; choose among {', '.join((*names, *long))}")
    wanted, start = options.names or names, time.perf_counter()
    for name in wanted:
        if name not in lines:
            run_check(name)
    try:
        failed = run_lines([lines[name] for name in wanted if name in lines])
    except KeyboardInterrupt:
        print("Interrupted: what is finished is kept, and the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED
    subprocess.run([PREFQ, "bench", "report", "--page", str(PAGE)], cwd=results.ROOT, check=True)
    print(f"All in {time.perf_counter() - start:.0f} s.")
    if failed:
        print(f"Not measured: {', '.join(failed)}; their results are those of an earlier run, if there are any.")
    return len(failed) > 0


def run_check(name: str) -> None:
    """Measure a house check, with nothing else running, and keep its result."""
    start, cpu_start = time.perf_counter(), _cpu_seconds()
    check = import_module(f"benchmarks.{name}")
    figures = check.measure()
    seconds = time.perf_counter() - start
    results.save_check(name, check, figures, seconds=seconds)
    _tell(name, "done", seconds, _cpu_seconds() - cpu_start)


def run_lines(lines: Sequence[Line]) -> list[str]:
    """Run lines, those that time something alone and the others side by side, and keep their results.

    Returns the names of those that failed.
    """
    failed, digest = [], digest_with_peers()
    for at_once, group in ((1, [line for line in lines if line.alone]), (AT_ONCE, [x for x in lines if not x.alone])):
        with ThreadPoolExecutor(at_once) as pool:
            running = {pool.submit(run_line, line, RUNS / digest / line.name): line for line in group}
            try:
                for done in as_completed(running):
                    line, ended = running[done], done.result()
                    _tell(line.name, "failed" if ended.summary is None else "done", ended.seconds, ended.cpu_seconds)
                    if ended.summary is None:
                        print(ended.said, flush=True)
                        failed.append(line.name)
                    else:
                        results.save_summary(ended.summary)
            except KeyboardInterrupt:
                pool.shutdown(cancel_futures=True)  # what runs was interrupted too, and keeps what it has
                raise
    return failed


def run_line(line: Line, folder: Path) -> Ended:
    """Run a line's commands into its folder, going on where it was interrupted.

    The folder is named after the code that makes the numbers, so that no number of other code is kept.
    """
    told, said = folder / "summary.json", folder.with_name(f"{folder.name}.log")
    told.unlink(missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    start, cpu = time.perf_counter(), 0.0
    for arguments in line.commands():
        code, taken = _run([PREFQ, "bench", *arguments, "--plain", "--out", str(folder)], said)
        cpu += taken
        if code not in (0, STRATEGY_FAILED) or not told.exists():
            return Ended(None, said.read_text(encoding="utf-8")[-1000:], time.perf_counter() - start, cpu)
    summary = json.loads(told.read_text(encoding="utf-8"))
    summary["command"] = f"python -m benchmarks.run {line.name}"
    if line.title is not None:
        summary |= {"name": line.name, "title": line.title}
    return Ended(summary, "", time.perf_counter() - start, cpu)


def _run(command: Sequence[str], said: Path) -> tuple[int, float]:
    """Exit code of a command and the processor time of all its processes; what it says goes to a file."""
    with said.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=results.ROOT, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def _tell(name: str, how: str, seconds: float, cpu_seconds: float) -> None:
    print(f"{name}: {how} in {seconds:.0f} s ({cpu_seconds:.0f} s of processor time)", flush=True)


def digest_with_peers() -> str:
    """Digest of the code that results depend on, the recipes of others included."""
    digest = hashlib.sha256(code_digest().encode())
    for path in sorted(PEERS.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu_seconds() -> float:
    """Processor time of this process and of all that have ended below it."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
