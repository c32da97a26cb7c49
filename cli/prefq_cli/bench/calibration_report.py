"""What a run of `prefq bench calibration` found, in sentences and tables."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from prefq.simulation.calibration import EXACT, LEVELS, measures_of
from prefq_cli.bench.calibration_goals import ENVELOPE, GOAL_METHOD

AT = 10  # answers that the sentences are about, or the last number before
NOTHING = "–"
RESPONSE_WORDS: Mapping[str, str] = MappingProxyType(
    {"lapse_rate": "lapses", "tie_threshold": "a tie threshold", "position_bias": "a side bias"}
)


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """What was found, in words."""
    answers, methods = found["calibration"]["answers"], found["calibration"]["methods"]
    every = found["goals"]["checks"]
    missed = [each for each in every if not each["met"]]
    label = methods[GOAL_METHOD]["label"]
    yield f"{label}: {len(every) - len(missed)} of {len(every)} promises kept" + (
        f"; missed: {', '.join(_named(each) for each in missed)}." if missed else "."
    )
    k = str(max((k for k in answers if k <= AT), default=min(answers)))
    of_what = "coefficient" if methods[GOAL_METHOD]["answers"][k]["coefficient_90"]["mean"] is not None else "margin"
    covered = "; ".join(
        f"{each['label']}: {_with_error(each['answers'][k][f'{of_what}_90'])}" for each in methods.values()
    )
    yield f"After {k} chosen answers, nominal 90 % intervals of {of_what}s cover a share of: {covered}."
    wrong = "; ".join(
        f"{each['label']}: {_with_error(each['answers'][k]['wrong_promised'])} promised, "
        f"{_with_error(each['answers'][k]['wrong_true'])} true"
        for each in methods.values()
    )
    yield f"Share of test choices predicted the wrong way round: {wrong}."
    if found["sbc"] is None:
        yield "Simulation-based calibration takes users whose coefficients come from one Gaussian, as these do not."
    else:
        told = "; ".join(
            f"{each['label']}: {'inside' if each['passed'] else 'outside'}, p = {each['p_value']:.2g}"
            for each in found["sbc"]["methods"].values()
        )
        n_answers, n_users = found["sbc"]["answers"], found["sbc"]["users"]
        yield (
            f"Simulation-based calibration, true prior, {n_answers} random questions, {n_users:,} users; posterior "
            f"probabilities below the truth are spread evenly if inside the {ENVELOPE:.0%} bands of all points: {told}."
        )


def tables(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Tables of the report: goals, coverage of coefficients and of margins, signs and reliability, uniformity."""
    methods, answers = found["calibration"]["methods"], found["calibration"]["answers"]
    yield {
        "title": f"What is promised of {methods[GOAL_METHOD]['label']}, and whether it is kept",
        "heading": ["promise", "answers", "wanted", "reached", "within", "kept"],
        "rows": [
            [
                each["what"],
                str(each["answers"]),
                NOTHING if each["wanted"] is None else f"{each['wanted']:.3f}",
                f"p = {each['reached']:.2g}"
                if each["wanted"] is None
                else _with_error({"mean": each["reached"], **each}),
                NOTHING if each["within"] is None else f"{each['within']:.2f}",
                "yes" if each["met"] else "no",
            ]
            for each in found["goals"]["checks"]
        ],
    }
    rows = [(each["label"], str(k), each["answers"][str(k)]) for k in answers for each in methods.values()]
    for kind, what in (("coefficient", "coefficients"), ("margin", "the margins of test tasks")):
        if rows[0][2][f"{kind}_90"]["mean"] is not None:
            yield {
                "title": f"Coverage of central intervals of {what}, by nominal level",
                "heading": ["posterior", "answers", *(f"{level:.2f}" for level in LEVELS)],
                "rows": [[label, k, *(_with_error(at[name]) for name in measures_of(kind))] for label, k, at in rows],
            }
    yield {
        "title": "Test choices predicted the wrong way round, promised and true; expected calibration error of "
        "preference probabilities against drawn replies; log loss in nats",
        "heading": ["posterior", "answers", "wrong, promised", "wrong, true", "calibration error", "log loss"],
        "rows": [
            [label, k, *(_with_error(at[name]) for name in ("wrong_promised", "wrong_true", "ece", "log_loss"))]
            for label, k, at in rows
        ],
    }
    if found["sbc"] is not None:
        yield {
            "title": "Posterior probabilities below the truth, true prior and "
            f"{found['sbc']['answers']} random questions: whether they are spread evenly, inside simultaneous "
            f"{ENVELOPE:.0%} bands (Säilynoja et al. 2022)",
            "heading": ["posterior", "inside", "p"],
            "rows": [
                [each["label"], "yes" if each["passed"] else "no", f"{each['p_value']:.2g}"]
                for each in found["sbc"]["methods"].values()
            ],
        }


def _named(check: Mapping[str, Any]) -> str:
    reached = f" ({check['reached']:.3f})" if check["reached"] is not None else ""
    return f"{check['what']} after {check['answers']}{reached}"


def exact_notes(n_users: int, methods: Sequence[str]) -> Iterator[str]:
    """For whom the exact posterior is counted."""
    if EXACT in methods:
        yield f"The exact posterior is counted for the first {n_users} users of each world."


def response_notes(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was assumed, on average over worlds, of how replies arise."""
    for name, what in RESPONSE_WORDS.items():
        values = [model[name] for model in models]
        if any(values):
            yield f"Posteriors assume {what} of {np.mean(values):.3f}, from {min(values):.3f} to {max(values):.3f}."


def _with_error(told: Mapping[str, float | None], name: str = "mean") -> str:
    if told[name] is None:
        return NOTHING
    return f"{told[name]:.3f}" + ("" if told["se"] is None else f" ± {told['se']:.3f}")
