"""What a run of `prefq bench calibration` must find of the posterior that people are told from."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from prefq.simulation.calibration import LEVELS, measures_of

FITTED, TRUE = "fitted", "true"
GOAL_METHOD = "ep"  # what people are told comes from it
LAPSING = "noisy("  # worlds whose people slip
TOLERANCES: Mapping[str, float] = MappingProxyType({TRUE: 0.02, FITTED: 0.03, "lapses": 0.04})  # of coverage
SIGN_ANSWERS = (5, 10, 20)
WRONG_SIGNS_WITHIN = 0.02
MOST_CALIBRATION_ERROR = 0.02
ENVELOPE = 0.95


def tolerance(world: str, prior: str) -> float:
    """By how much coverage may miss its level in a world of this name."""
    return TOLERANCES["lapses" if world.startswith(LAPSING) else prior]


def checks(found: Mapping[str, Any], sbc: Mapping[str, Any] | None, tolerance: float) -> Iterator[dict[str, Any]]:
    """Each promise of the posterior that people are told from, and whether it is kept."""

    def check(
        what: str, k: int | None, wanted: float, told: Mapping[str, float | None], within: float
    ) -> dict[str, Any]:
        reached = told["mean"]
        met = reached is not None and abs(reached - wanted) <= within
        return {
            "what": what,
            "answers": k,
            "wanted": wanted,
            "reached": reached,
            "se": told["se"],
            "within": within,
        } | {"met": met}

    for k in found["answers"]:
        at = found["methods"][GOAL_METHOD]["answers"][str(k)]
        kind = "coefficient" if at["coefficient_90"]["mean"] is not None else "margin"
        for level, name in zip(LEVELS, measures_of(kind), strict=True):
            yield _check(f"coverage of {kind}s' {level:.0%} intervals", k, level, at[name], tolerance)
        if k in SIGN_ANSWERS:
            promised = at["wrong_promised"]["mean"]
            yield _check("share of wrong signs, as promised", k, promised, at["wrong_true"], WRONG_SIGNS_WITHIN)
        yield _check("expected calibration error", k, 0.0, at["ece"], MOST_CALIBRATION_ERROR)
    if sbc is not None:
        test = sbc["methods"][GOAL_METHOD]
        yield {
            "what": f"simulation-based calibration inside its {ENVELOPE:.0%} bands",
            "answers": sbc["answers"],
            "wanted": None,
            "reached": test["p_value"],
            "se": None,
            "within": None,
            "met": test["passed"],
        }


def _check(what: str, k: int, wanted: float, told: Mapping[str, float | None], within: float) -> dict[str, Any]:
    reached = told["mean"]
    return {
        "what": what,
        "answers": k,
        "wanted": wanted,
        "reached": reached,
        "se": told["se"],
        "within": within,
        "met": reached is not None and abs(reached - wanted) <= within,
    }
