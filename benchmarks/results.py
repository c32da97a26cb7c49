"""The committed result files: house checks, and what the page needs of the summaries of runs."""

import json
from collections.abc import Mapping, Set
from pathlib import Path
from types import ModuleType
from typing import Any

from prefq_cli.bench.figures import LOOKS
from prefq_cli.bench.page import result_file
from prefq_cli.bench.provenance import provenance
from prefq_cli.bench.summaries import AT, RULE

FOLDER = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
LED_BY = ("log_loss", "best_of_n", "regret")


def save_check(name: str, check: ModuleType, figures: Mapping[str, Any], *, seconds: float) -> None:
    """Write ``results/check/<name>.json``, which says in words what it holds, so that a page needs nothing else."""
    result = {
        "format_version": 1,
        "kind": "check",
        "name": name,
        "title": check.TITLE,
        "goal": check.GOAL,
        "text": check.sentence(figures),
        "command": f"python -m benchmarks.run {name}",
        "seconds": round(seconds, 1),
        "provenance": provenance(),
        "figures": figures,
    }
    write(FOLDER / "check" / f"{name}.json", result)


def save_summary(summary: Mapping[str, Any]) -> None:
    """Keep what the page needs of a run's summary as ``results/<kind>/<name>.json``.

    Of a thousand comparisons those after ten answers stay, of other strategies than the default rule in two measures,
    and those that a figure or a promise shows.
    """
    ablations = {name for name, each in (summary.get("strategies") or {}).items() if each["kind"] == "ablation"}
    comparisons = [each for each in summary.get("comparisons") or [] if _is_kept(each, ablations)]
    kept = {**summary, "comparisons": comparisons} if comparisons else summary
    write(FOLDER / result_file(summary), kept)


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result file, one line for each innermost object or list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(result) + "\n", encoding="utf-8")


def _is_kept(comparison: Mapping[str, Any], ablations: Set[str]) -> bool:
    reference, measure = comparison["reference"], comparison["measure"]
    if comparison["n_answers"] == AT:
        return comparison["strategy"] == RULE or measure in LED_BY
    if (reference, measure) == ("pooled", "log_loss"):
        return comparison["strategy"] in LOOKS
    of_promise = reference == "static" or reference in ablations
    return comparison["strategy"] in {RULE, *ablations} and of_promise and measure in ("log_loss", "accuracy")


def _text(value: Any, indent: str = "") -> str:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    if not any(isinstance(each, Mapping | list) for each in inner):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    if isinstance(value, Mapping):
        lines = [f"{deeper}{json.dumps(key, ensure_ascii=False)}: {_text(each, deeper)}" for key, each in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _text(each, deeper) for each in value) + f"\n{indent}]"
