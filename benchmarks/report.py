"""docs/benchmarks.md, generated from the committed result files."""

from collections.abc import Sequence
from importlib import import_module

from benchmarks import results

PAGE = results.ROOT / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

This page is generated from the files in `benchmarks/results/` by `python -m benchmarks.run --report`; every figure
names the command that made it. Times are medians on the machine named beside them: compare them within a run, not
between machines.
"""


def render(names: Sequence[str]) -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *(_section(name) for name in names if results.exists(name))])


def write(names: Sequence[str]) -> None:
    """Write the page."""
    PAGE.write_text(render(names), encoding="utf-8")


def _section(name: str) -> str:
    benchmark, result = import_module(f"benchmarks.{name}"), results.load(name)
    machine = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    return "\n".join(
        [
            f"## {benchmark.TITLE}",
            "",
            f"Goal: {benchmark.GOAL}.",
            "",
            benchmark.sentence(result["figures"]),
            "",
            f"`{result['command']}` · `benchmarks/results/{name}.json` · commit {result['commit']} · {machine}",
            "",
        ]
    )
