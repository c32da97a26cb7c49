"""What stands in a run's summary: points of curves, comparisons seen from either side, and the unit of inference.

Nothing is computed here but a comparison turned round. How it is shown is in `report`, `page` and `figures`.
"""

from collections.abc import Mapping
from typing import Any

Summary = Mapping[str, Any]

RULE = "information_gain"  # the default rule: what is said in sentences is said of it
AT = 10  # answers: as many as an onboarding asks
KINDS = {"ours": "ours", "control": "controls", "peer": "peers"}


def compared(
    summary: Summary, strategy: str, reference: str, measure: str = "log_loss", n_answers: int = AT
) -> Summary | None:
    """A comparison of a summary, turned round where it was made the other way; None where it was not made."""
    for each in summary.get("comparisons") or []:
        if (each["measure"], each["n_answers"]) != (measure, n_answers):
            continue
        if (each["strategy"], each["reference"]) == (strategy, reference):
            return dict(each)
        if (each["strategy"], each["reference"]) == (reference, strategy):
            return _turned(each)
    return None


def value(strategy: Summary, measure: str, n_answers: int, which: str = "mean") -> float | None:
    """A point of a strategy's learning curve, or its standard error; None where there is none."""
    curve = ((strategy.get("curves") or {}).get(measure) or {}).get(which) or []
    return curve[n_answers] if n_answers < len(curve) else None


def by_kind(summary: Summary) -> dict[str, Summary]:
    """Strategies with results: ours, controls, peers."""
    strategies = (summary.get("strategies") or {}).items()
    return {
        name: each for kind in KINDS for name, each in strategies if each.get("kind") == kind and each.get("curves")
    }


def n_units(summary: Summary, entry: Summary) -> int:
    """Units of inference of a comparison or a strategy: what it says, else worlds where there are several, or people.

    Repeats over the same people are no units.
    """
    if entry.get("n_units") is not None:
        return int(entry["n_units"])
    unit = unit_of(summary, entry)
    if unit not in ("user", "world"):
        return len((summary.get("by_part") or {}).get("rows") or [])
    return int(entry["n_users"] if unit == "user" else entry["n_worlds"])


def unit_of(summary: Summary, entry: Summary) -> str:
    """Name of the unit of inference: "user", "world", or what a record is divided into, such as "conversation"."""
    several_worlds = (entry.get("n_worlds") or 1) > 1 and summary.get("kind") == "learning-curve"
    unit = str(summary.get("unit") or ("worlds" if several_worlds else "users")).removesuffix("s")
    return "user" if unit == "world" and not several_worlds else unit


def equivalents_of(summary: Summary) -> dict[str, Summary]:
    """Worth in random questions, by strategy; none where no more random questions were asked than it is told for."""
    found = summary.get("random_equivalents") or {}
    random = (summary.get("strategies") or {}).get("random") or {}
    curve = ((random.get("curves") or {}).get("log_loss") or {}).get("mean") or []
    return {name: each for name, each in found.items() if not curve or len(curve) - 1 > each["at"]}


def _turned(comparison: Summary) -> Summary:
    """The same comparison, seen from the other side."""

    def less(number: float | None) -> float | None:
        return None if number is None else -number

    low, high = less(comparison["high"]), less(comparison["low"])
    verdict = "better" if low is not None and low > 0 else "worse" if high is not None and high < 0 else "cannot tell"
    turned = {"strategy": comparison["reference"], "reference": comparison["strategy"], "low": low, "high": high}
    return {**comparison, **turned, "difference": less(comparison["difference"]), "verdict": verdict}
