"""What was promised: each figure of acceptance beside its goal, read off the results, with where it stands.

Nothing is measured here. A goal that no result speaks to is listed as not measured.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from prefq_cli.bench.markdown import LEAST_SHOWN, NOTHING, signed, table, with_error
from prefq_cli.bench.summaries import AT, RULE, Summary, compared, equivalents_of, value

CARS_ONCE = "cars_conjoint, each task once"
FEW = 5  # answers after which a choice is left where each task is asked about once
FIRST_STEPS = 5  # of adaptivity
NOT_ASKED = ("wrong_prior", "drift", "equivalents", "pairwise_gp", "gp_user")  # about harm
RULES_OF_OTHERS = ("d_optimal", "pref", "max_norm", "margin_uncertainty", "target_variance", "expected_utility_of_best")
TOLD = (
    "Each goal was set before anything was measured. ± is one standard error. A figure that meets its goal is reached; "
    "one that does not, while its 95 % interval does, is within error; harm is judged by the interval alone. A figure "
    "that is shown as 0 is not above 0."
)


class Promise(NamedTuple):
    """A figure beside its goal. `reached` is "yes", "within error", "no", or "" where it was not measured."""

    where: str
    what: str
    goal: str
    found: str
    reached: str


def promises(results: Sequence[Summary]) -> list[Promise]:
    """Every promise, in the order of the list of acceptance; results may bring more, under "promises"."""
    by_name = {(each["kind"], each["name"]): each for each in results}
    worlds = {name: each for (kind, name), each in by_name.items() if kind == "learning-curve"}
    people = {name: each for (kind, name), each in by_name.items() if kind == "replay"}
    brought = [Promise(str(each["name"]), **found) for each in results for found in each.get("promises") or []]
    return [
        *_of_choosing(worlds),
        *_of_harm(worlds, people),
        *_of_mixtures(worlds),
        *_of_people(people),
        *_of_adaptivity(worlds),
        *brought,
    ]


def render_promises(results: Sequence[Summary]) -> str:
    """The promises as a table; empty where there are no results of strategies."""
    found = promises(results)
    if all(not each.reached for each in found):
        return ""
    counts = [f"{sum(each.reached == word for each in found)} {word}" for word in ("yes", "within error", "no")]
    missing = sum(not each.reached for each in found)
    rows = [
        [f"`{each.where}`", each.what, each.goal, each.found, f"**{each.reached}**" if each.reached else NOTHING]
        for each in found
    ]
    head = f"Reached: {', '.join(counts)}{f', {missing} not measured' if missing else ''}."
    return "\n\n".join([TOLD, head, table(["where", "figure", "goal", "found", "reached"], rows)]) + "\n"


def _of_choosing(worlds: Mapping[str, Summary]) -> Iterator[Promise]:
    plain = worlds.get("gaussian(6)", {})
    name = "gaussian(6)"
    yield _level(name, plain, "accuracy", 0.875)
    yield _level(name, plain, "auc", 0.88)
    for reference, least in (("random", 0.07), ("spread_matched_random", 0.045), ("static", 0.02)):
        yield _gain(name, plain, reference, "accuracy", least)
    yield _level(name, plain, "best_of_n", 0.91)
    yield _information(name, plain)
    unlike = worlds.get("unlike_noise", {})
    yield _gain("unlike_noise", unlike, "random", "accuracy", 0.04)
    yield _never_worse("unlike_noise", unlike, ("static",), "static at any number of answers")
    many = worlds.get("gaussian(16)", {})
    others = [
        strategy
        for strategy, each in (many.get("strategies") or {}).items()
        if each["kind"] in ("ours", "peer") and strategy != RULE
    ]
    yield _never_worse("gaussian(16)", many, others, "any strategy, by log loss", at=AT)
    yield _equivalents(worlds.get("equivalents", plain))


def _of_harm(worlds: Mapping[str, Summary], people: Mapping[str, Summary]) -> Iterator[Promise]:
    asked = {
        name: found
        for name, each in {**people, **worlds}.items()
        if not name.startswith(NOT_ASKED) and (found := compared(each, RULE, "pooled")) is not None
    }
    for where, group in (("worlds", worlds), ("people", people)):
        verdicts = {name: found for name, found in asked.items() if name in group}
        told = [name for name, found in verdicts.items() if not _harmless(found)]
        shown = f"no harm or better in {len(verdicts) - len(told)} of {len(verdicts)}"
        shown += f"; not on {', '.join(f'`{name}`' for name in told)}" if told else ""
        goal = "loss against pooled below .01 nats, by the interval, in each"
        reached = "" if not verdicts else "no" if told else "yes"
        yield Promise(where, f"harm after {AT} answers", goal, shown if verdicts else NOTHING, reached)
    yield _gain("agree(1)", worlds.get("agree(1)", {}), "pooled", "accuracy", -0.01)
    yield _gain("wrong_prior", worlds.get("wrong_prior", {}), "right_prior", "accuracy", -0.03)
    yield from _of_no_signal(worlds.get("no_signal", {}))


def _of_no_signal(summary: Summary) -> Iterator[Promise]:
    strategy = _rule(summary)
    before, after = (value(strategy, "log_loss", at) for at in (0, AT))
    what, goal = f"log loss after {AT} answers less that of the prior", "at most .02 nats"
    if before is None or after is None:
        yield Promise("no_signal", what, goal, NOTHING, "")
    else:
        yield Promise("no_signal", what, goal, signed(after - before), "yes" if after - before <= 0.02 else "no")
    yield _level("no_signal", summary, "no_personal_taste", 0.8)


def _of_mixtures(worlds: Mapping[str, Summary]) -> Iterator[Promise]:
    clustered = worlds.get("clustered", {})
    for at, least in ((1, 0.06), (3, 0.05)):
        found = compared(clustered, "right_prior", "one_gaussian", "accuracy", at)
        yield _beside(
            _gain("clustered", clustered, "one_gaussian", "accuracy", least, at=at),
            found,
            "starting from the true population",
        )
    for at in (1, 3, AT):
        yield _gain("gaussian(6)", worlds.get("gaussian(6)", {}), "one_gaussian", "accuracy", -0.01, at=at)


def _of_people(people: Mapping[str, Summary]) -> Iterator[Promise]:
    cars, cars_once, polis, llmfao = (people.get(name, {}) for name in ("cars_conjoint", CARS_ONCE, "polis", "llmfao"))
    yield _gain("cars_conjoint", cars, "pooled", "log_loss", 0.045)
    yield _gain("cars_conjoint", cars, "pooled", "log_loss", 0.07, at=18)
    for at in (AT, 18):
        yield _gain("cars_conjoint", cars, "laplace_em", "log_loss", 0.0, at=at)
    yield _beside(
        _gain("cars_conjoint", cars, "random", "log_loss", 0.01),
        compared(cars_once, RULE, "random", n_answers=FEW),
        f"each task once, after {FEW}",
    )
    yield _gain(CARS_ONCE, cars_once, "pooled", "log_loss", 0.045)
    yield _gain(CARS_ONCE, cars_once, "laplace_em", "log_loss", 0.0)
    yield _gain("polis", polis, "pooled", "log_loss", 0.04)
    yield _gain("llmfao", llmfao, "pooled", "log_loss", 0.0)
    yield _gain("llmfao", llmfao, "pooled", "accuracy", 0.0)
    for name, summary in (("cars_conjoint", cars), ("polis", polis), ("llmfao", llmfao)):
        found = compared(summary, RULE, "swapped")
        what = f"log loss saved against another person's profile after {AT} answers"
        reached = "" if found is None else "yes" if found["verdict"] == "better" else "no"
        yield Promise(name, what, "better, by the interval", _difference(found), reached)


def _of_adaptivity(worlds: Mapping[str, Summary]) -> Iterator[Promise]:
    summary = worlds.get("adaptivity", worlds.get("gaussian(6)", {}))
    shares, errors = ((summary.get(part) or {}).get(RULE) or [] for part in ("adaptivity", "adaptivity_se"))
    what = "share of sessions in which a flipped answer changes the next question, least of the first five steps"
    told = [(share, step) for step, share in enumerate(shares[:FIRST_STEPS]) if share is not None]
    if not told:
        yield Promise("gaussian(6)", what, "at least .75", NOTHING, "")
        return
    share, step = min(told)
    error = errors[step] if step < len(errors) else None
    found = f"{share:.2f}" + ("" if error is None else f" ± {error:.2f}") + f", after {step + 1}; others from "
    found += f"{min((other for other, at in told if at != step), default=share):.2f}"
    yield Promise("gaussian(6)", what, "at least .75", found, _met(share, error, 0.75))


_WORDS = {
    "accuracy": "accuracy",
    "auc": "ROC AUC",
    "best_of_n": "share of the best-of-16 gain",
    "log_loss": "log loss",
    "no_personal_taste": "stated probability of no personal taste",
}


def _rule(summary: Summary) -> Summary:
    return dict((summary.get("strategies") or {}).get(RULE) or {})


def _level(where: str, summary: Summary, measure: str, least: float) -> Promise:
    mean, error = (value(_rule(summary), measure, AT, which) for which in ("mean", "se"))
    found = NOTHING if mean is None else f"{mean:.3f}" + ("" if error is None else f" ± {error:.3f}")
    return Promise(
        where, f"{_WORDS[measure]} after {AT} answers", f"at least {least:g}", found, _met(mean, error, least)
    )


def _gain(where: str, summary: Summary, reference: str, measure: str, least: float, *, at: int = AT) -> Promise:
    found = compared(summary, RULE, reference, measure, at)
    above = measure == "log_loss" and not least
    unit = " nats" if measure == "log_loss" else ""
    goal = f"at least {signed(least)}{unit}" if least else f"above 0{unit}" if above else "not below 0"
    saved = "saved" if measure == "log_loss" else "gained"
    what = f"{_WORDS[measure]} {saved} against `{reference}` after {at} answer{'s' if at > 1 else ''}"
    difference, error = (None, None) if found is None else (found["difference"], found["se"])
    return Promise(where, what, goal, _difference(found), _met(difference, error, LEAST_SHOWN if above else least))


def _beside(promise: Promise, found: Summary | None, told: str) -> Promise:
    """The promise with another comparison beside its figure, where that was made."""
    return promise if found is None else promise._replace(found=f"{promise.found}; {told}: {_difference(found)}")


def _difference(found: Summary | None) -> str:
    return NOTHING if found is None else with_error(found["difference"], found["se"])


def _met(found: float | None, error: float | None, least: float) -> str:
    if found is None:
        return ""
    if found >= least:
        return "yes"
    return "within error" if error is not None and found + 1.96 * error >= least else "no"


def _harmless(found: Summary) -> bool:
    return found["verdict"] in ("better", "no harm")


def _never_worse(where: str, summary: Summary, others: Sequence[str], told: str, *, at: int | None = None) -> Promise:
    """Whether no comparison with these says that the default rule is worse."""
    found = [
        each
        for each in summary.get("comparisons") or []
        if (each["strategy"], each["measure"]) == (RULE, "log_loss")
        and each["reference"] in others
        and at in (None, each["n_answers"])
    ]
    worse = [f"`{each['reference']}` after {each['n_answers']}" for each in found if each["verdict"] == "worse"]
    shown = f"worse in {len(worse)} of {len(found)} comparisons" + (f": {', '.join(worse)}" if worse else "")
    reached = "" if not found else "no" if worse else "yes"
    return Promise(where, f"compared with {told}", "never worse, by the interval", shown if found else NOTHING, reached)


def _information(where: str, summary: Summary) -> Promise:
    what, goal = f"information after {AT} answers, share of the ceiling's", "no published rule tells more"
    found = (summary.get("information") or {}).get("strategies") or {}
    own, ceiling = found.get(RULE), found.get("oracle")
    if not own or not ceiling or own["lower"] is None or not ceiling["lower"]:
        return Promise(where, what, goal, NOTHING, "")
    others = {name: found[name] for name in RULES_OF_OTHERS if name in found and found[name]["lower"] is not None}
    most = max(others, key=lambda name: float(others[name]["lower"]), default=None)
    told, reached = f"{own['lower'] / ceiling['lower']:.2f}", "yes"
    if most is not None:
        told += f"; most of the others: `{most}`, {others[most]['lower'] / ceiling['lower']:.2f}"
        error = math.hypot(own.get("lower_se") or 0.0, others[most].get("lower_se") or 0.0)
        ahead = others[most]["lower"] - own["lower"]
        reached = "yes" if ahead <= 0 else "within error" if ahead <= 1.96 * error else "no"
    return Promise(where, what, goal, told, reached)


def _equivalents(summary: Summary) -> Promise:
    what, goal = f"worth of {AT} answers in random questions", "at least 30"
    found = equivalents_of(summary)
    if RULE not in found:
        return Promise("gaussian(6)", what, goal, NOTHING, "")
    told = f"{_worth(found[RULE])}" + (f"; `static` {_worth(found['static'])}" if "static" in found else "")
    worth, high = (_at_least(found[RULE][end]) for end in ("value", "high"))
    reached = "yes" if worth >= 30 else "within error" if high >= 30 else "no"
    return Promise("gaussian(6)", what, goal, told, reached)


def _worth(found: Summary) -> str:
    return str(found["value"]) + ("" if found["low"] is None else f" ({found['low']} to {found['high']})")


def _at_least(number: float | str | None) -> float:
    """A number of random questions; ">40" is at least 40."""
    return -math.inf if number is None else float(str(number).removeprefix(">"))
