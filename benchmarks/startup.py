"""Start-up: how long the command takes to say anything, each in fresh processes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TITLE = "Start-up"
GOAL = "`prefq --help` under 0.4 s; the first question under 1.5 s after the command starts"
N_RUNS = 15
PREFQ = str(Path(sys.executable).with_name("prefq"))


def seconds_of(*command: str) -> float:
    """Wall time of a command, from start to exit."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def seconds_to_first_question() -> float:
    """From the start of `prefq onboard` on a fresh store to the first question, in a pseudo-terminal."""
    import pexpect

    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PREFQ_STORE": str(Path(folder) / "store.db"), "TERM": "xterm-256color"}
        start = time.perf_counter()
        child = pexpect.spawn(PREFQ, ["onboard", "--user", "bench"], env=env, dimensions=(40, 120), encoding="utf-8")
        child.expect("skip", timeout=20)
        elapsed = time.perf_counter() - start
        child.send("q")
        child.expect(pexpect.EOF, timeout=20)
    return elapsed


def measure() -> dict[str, Any]:
    """Figures of the run."""
    runs = {
        "python": [seconds_of(sys.executable, "-c", "pass") for _ in range(N_RUNS)],
        "import_numpy": [seconds_of(sys.executable, "-c", "import numpy") for _ in range(N_RUNS)],
        "import_prefq": [seconds_of(sys.executable, "-c", "import prefq") for _ in range(N_RUNS)],
        "help": [seconds_of(PREFQ, "--help") for _ in range(N_RUNS)],
        "first_question": [seconds_to_first_question() for _ in range(N_RUNS)],
    }
    return {
        "n_runs": N_RUNS,
        **{f"{name}_s": round(float(np.median(times)), 3) for name, times in runs.items()},
        **{f"{name}_max_s": round(float(np.max(times)), 3) for name, times in runs.items()},
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    return (
        f"Medians of {figures['n_runs']} fresh processes: `prefq --help` {figures['help_s']} s, the first question "
        f"{figures['first_question_s']} s after the command starts (slowest {figures['first_question_max_s']} s), "
        f"`import prefq` {figures['import_prefq_s']} s; in the same run `import numpy` took "
        f"{figures['import_numpy_s']} s and Python itself {figures['python_s']} s."
    )
