"""One result of `prefq bench` as Markdown: what was found in sentences first, then the tables.

Nothing is computed here: every number and every verdict stands in the summary. The page of many results is in
`prefq_cli.bench.page`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefq.simulation.comparison import TARGETS
from prefq_cli.bench.markdown import NOTHING, bullets, signed, table, with_error

Summary = Mapping[str, Any]

RULE = "information_gain"  # the default rule: what is said in sentences is said of it
AT = 10  # answers: as many as an onboarding asks
ALONG = (0, 3, 5, 10, 20)
WORDS_PER_MINUTE = 240  # as in prefq.simulation.measures
KINDS = {"ours": "ours", "control": "controls", "peer": "peers"}
MEASURES = {
    "log_loss": "Log loss, nats (lower is better)",
    "best_of_n": "Share of the best-of-n gain",
    "accuracy": "Accuracy",
    "auc": "ROC AUC",
    "words": f"Minutes of reading ({WORDS_PER_MINUTE} words a minute)",
}
UNITS = {"log_loss": "nats of log loss saved a task", "best_of_n": "of the best-of-n gain", "accuracy": "of accuracy"}
REFERENCES = {
    "pooled": "one pooled regression for everybody",
    "random": "ten random questions",
    "spread_matched_random": "ten random questions of equal spread",
    "static": "the same ten questions for everybody",
    "swapped": "another person's profile",
}
NOT_SHOWN = {
    "learning-curve": "Not shown: anything about people. These users are simulated and answer as this world lays down; "
    "a gain here says that the method does what it should where the world is so.",
    "replay": "Not shown: what people do who are asked live. Only questions whose answer is on record can be asked, "
    "people gave these answers for another purpose, and the features are those of this set.",
}
STEPS = (1, 2, 3, 5, 9)  # answers after which adaptivity is shown
ADAPTIVITY = "Share of users whose next question would have been another if their last answer had been the opposite."
FORGET = 100_000  # users: more than anybody will ask
NOBODY_ASKED = ("pooled", "stated")  # they predict without questions, so nothing was read


def render(
    summary: Summary, *, level: int = 1, along: Sequence[str] = tuple(MEASURES), besides: bool = True, figures: str = ""
) -> str:
    """A result as Markdown.

    Parameters
    ----------
    summary
        As in ``summary.json``, of any kind; parts that are not there are left out.
    level
        Of the heading.
    along
        Measures to be shown after 0, 3, 5, 10 and 20 answers; all of them at ten.
    besides
        Whether to show the comparison with the group and with strangers, and the checks of the run.
    figures
        Markdown that shows the figures, below the sentences.

    Returns
    -------
    str
        Ends with one line break.
    """
    kind = summary.get("kind")
    if kind in NOT_SHOWN:
        parts = _measured(summary, level, along, figures, besides=besides)
    elif kind == "check":
        parts = [f"Goal: {summary['goal']}.", summary["text"]]
    else:
        notes = bullets(summary.get("notes") or [])
        parts = [str(summary.get("text") or ""), figures, *_tables(summary), notes]
    title = f"{'#' * level} {summary.get('title') or summary.get('name')}"
    return "\n\n".join([title, *filter(None, parts), source(summary)]) + "\n"


def source(summary: Summary) -> str:
    """The line that says where the numbers come from."""
    provenance = summary.get("provenance") or {}
    facts = [f"`{summary['command']}`"] if summary.get("command") else []
    if summary.get("seconds") is not None:
        facts.append(f"{summary['seconds']:.0f} s")
    if provenance.get("commit"):
        facts.append(f"commit {provenance['commit']}")
    if provenance.get("created"):
        facts.append(str(provenance["created"])[:10])
    facts += [
        ", ".join(f"{key} {value}" for key, value in (provenance.get(part) or {}).items())
        for part in ("machine", "versions")
    ]
    return " · ".join(filter(None, facts))


def findings(summary: Summary) -> list[str]:
    """Sentences on what ten answers of the default rule are worth, each with its error, interval and verdict."""
    wanted = [("log_loss", name) for name in REFERENCES] + [("best_of_n", name) for name in ("random", "static")]
    sentences = [
        finding(comparison, REFERENCES[name])
        for measure, name in wanted
        if (comparison := compared(summary, RULE, name, measure)) is not None
    ]
    equivalent = (summary.get("random_equivalents") or {}).get(RULE)
    if equivalent:
        value, low, high = (str(equivalent[key]).replace(">", "more than ") for key in ("value", "low", "high"))
        sentences.append(
            f"In random questions: {value} (95 % interval {low} to {high}) are as good as {equivalent['at']} of these."
        )
    return sentences


def finding(comparison: Summary, reference: str) -> str:
    """One comparison in a sentence."""
    unit = UNITS.get(comparison["measure"], comparison["measure"])
    interval = f"95 % interval {signed(comparison['low'])} to {signed(comparison['high'])}, {_n_users(comparison)}"
    verdict = f"**{comparison['verdict']}**"
    needed = _needed(comparison)
    told = f"{verdict} ({needed})" if needed else verdict
    difference = with_error(comparison["difference"], comparison["se"])
    return f"Against {reference}: {difference} {unit} ({interval}): {told}."


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


def verdict_cell(comparison: Summary | None) -> str:
    """A comparison as a cell: difference, error, verdict."""
    if comparison is None:
        return NOTHING
    return f"{with_error(comparison['difference'], comparison['se'])} {comparison['verdict']}"


def _measured(summary: Summary, level: int, along: Sequence[str], figures: str, *, besides: bool) -> list[str]:
    """The parts of a learning curve or a replay."""
    below = "#" * (level + 1)
    failed = [
        f"- `{name}` could not be run: {each['failed']}"
        for name, each in (summary.get("strategies") or {}).items()
        if each.get("failed")
    ]
    parts = [
        str(summary.get("text") or ""),
        *_worth(summary),
        NOT_SHOWN[summary["kind"]],
        figures,
        f"{below} After {AT} answers",
        _at_ten(summary),
        "\n".join(failed),
    ]
    for measure in along:
        shown = _along(summary, measure)
        parts += [f"{below} {MEASURES[measure]}", shown] if shown else []
    if besides:
        parts += _swap_and_equivalents(summary, below)
        parts += _checks(summary, below)
    notes = summary.get("notes") or []
    return [*parts, bullets(notes)]


def _worth(summary: Summary) -> list[str]:
    found = findings(summary)
    return [f"What {AT} answers to the questions of `{RULE}` are worth:", bullets(found)] if found else []


def _at_ten(summary: Summary) -> str:
    """Every strategy at ten answers, the paired differences first."""
    strategies = _by_kind(summary)
    shown = [
        measure for measure in MEASURES if any(value(each, measure, AT) is not None for each in strategies.values())
    ]
    with_best = "best_of_n" in shown
    not_all = len({each["n_users"] for each in strategies.values()}) > 1
    heading = ["strategy", "log loss saved against random", "against static"]
    heading += ["best-of-n share against random"] if with_best else []
    heading += [_SHORT[measure] for measure in shown] + ["ms a question"] + ["users"] * not_all
    rows = []
    for name, each in strategies.items():
        row = [_name_cell(name, each)]
        row += [verdict_cell(compared(summary, name, reference)) for reference in ("random", "static")]
        row += [verdict_cell(compared(summary, name, "random", "best_of_n"))] if with_best else []
        row += [_level(name, each, measure, AT, error=True) for measure in shown]
        ms = each.get("ms_per_question")
        row.append(NOTHING if ms is None else f"{ms:.3g}")
        rows.append([*row, *[f"{each['n_users']:,}"] * not_all])
    return table(heading, rows)


_SHORT = {
    "log_loss": "log loss",
    "best_of_n": "best-of-n share",
    "accuracy": "accuracy",
    "auc": "AUC",
    "words": "minutes of reading",
}


def _along(summary: Summary, measure: str) -> str:
    """One measure of every strategy after 0, 3, 5, … answers; empty where it was not measured."""
    strategies = {
        name: each for name, each in _by_kind(summary).items() if any(value(each, measure, at) for at in ALONG)
    }
    reached = [at for at in ALONG if any(value(each, measure, at) is not None for each in strategies.values())]
    rows = [
        [_name_cell(name, each), *(_level(name, each, measure, at, error=at == AT) for at in reached)]
        for name, each in strategies.items()
    ]
    return table(["answers", *map(str, reached)], rows) if rows else ""


def _swap_and_equivalents(summary: Summary, below: str) -> list[str]:
    """What each strategy's profile is worth against a stranger's, against the group, and in random questions."""
    equivalents = summary.get("random_equivalents") or {}
    rows = []
    for name, each in _by_kind(summary).items():
        cells = [verdict_cell(compared(summary, name, reference)) for reference in ("pooled", "swapped")]
        found = equivalents.get(name)
        cells.append(f"{found['value']} ({found['low']} to {found['high']})" if found else NOTHING)
        if any(cell != NOTHING for cell in cells):
            rows.append([_name_cell(name, each), *cells])
    if not rows:
        return []
    heading = [
        "strategy",
        "against pooled",
        "own against swapped profile",
        f"worth of {AT} answers in random questions",
    ]
    return [f"{below} Log loss saved against the group and against strangers", table(heading, rows)]


def _by_kind(summary: Summary) -> dict[str, Summary]:
    """Strategies with results: ours, controls, peers."""
    strategies = (summary.get("strategies") or {}).items()
    return {
        name: each for kind in KINDS for name, each in strategies if each.get("kind") == kind and each.get("curves")
    }


def _name_cell(name: str, strategy: Summary) -> str:
    return f"`{name}`" + {"control": " (control)", "peer": " (peer)"}.get(strategy["kind"], "")


def _level(name: str, strategy: Summary, measure: str, n_answers: int, *, error: bool) -> str:
    scale = 1 / WORDS_PER_MINUTE if measure == "words" else 1.0
    if measure == "words" and name in NOBODY_ASKED:
        return NOTHING
    mean, se = (value(strategy, measure, n_answers, which) for which in ("mean", "se"))
    if mean is None:
        return NOTHING
    digits = 1 if measure == "words" else 3
    return f"{mean * scale:.{digits}f}" + (f" ± {se * scale:.{digits}f}" if error and se is not None else "")


def _turned(comparison: Summary) -> Summary:
    """The same comparison, seen from the other side."""

    def less(number: float | None) -> float | None:
        return None if number is None else -number

    low, high = less(comparison["high"]), less(comparison["low"])
    verdict = "better" if low is not None and low > 0 else "worse" if high is not None and high < 0 else "cannot tell"
    turned = {"strategy": comparison["reference"], "reference": comparison["strategy"], "low": low, "high": high}
    return {**comparison, **turned, "difference": less(comparison["difference"]), "verdict": verdict}


def _needed(comparison: Summary) -> str:
    """How many users would tell, where it cannot be told."""
    if comparison["verdict"] != "cannot tell":
        return ""
    unit = "nats" if comparison["measure"] == "log_loss" else ""
    target = f"one of {TARGETS.get(comparison['measure'], 0):g} {unit}".rstrip()
    told = {comparison.get("users_needed"): "this difference"}
    told[comparison.get("users_for_target")] = target  # where "no harm" is asked, both are the same
    counts = [f"{count:,} users for {what}" for count, what in told.items() if count is not None and count <= FORGET]
    return f"it would take about {' and '.join(counts)}" if counts else ""


def _n_users(comparison: Summary) -> str:
    n_worlds = comparison.get("n_worlds", 1)
    return f"{comparison['n_users']:,} users" + (f", {n_worlds} worlds or repeats" if n_worlds > 1 else "")


def _tables(summary: Summary) -> list[str]:
    """The tables that a summary brings along: [{"title", "heading", "rows"}]."""
    return [
        "\n\n".join(filter(None, [each.get("title"), table(each["heading"], each["rows"])]))
        for each in summary.get("tables") or []
    ]


def _checks(summary: Summary, below: str) -> list[str]:
    """Information, adaptivity and guards, as far as they were looked at."""
    parts = []
    if found := summary.get("information"):
        parts += [f"{below} Information against its ceiling", *_information(found)]
    if found := summary.get("adaptivity"):
        parts += [f"{below} Adaptivity", ADAPTIVITY, _adaptivity(found)]
    if found := summary.get("guards"):
        parts += [f"{below} Guards", _guards(found)]
    return parts


def _information(found: Summary) -> list[str]:
    rows = [
        [f"`{name}`", *(_between(each.get(end), each.get(f"{end}_se")) for end in ("lower", "upper"))]
        for name, each in found["strategies"].items()
    ]
    told = (
        f"What {found['at']} answers told about the person's taste, in nats: bounds by nested Monte Carlo. As many "
        f"answers can tell {found['most']:.2f} at most."
    )
    if found.get("ceiling"):
        told += f" `{found['ceiling']}` knows each taste when it asks: a ceiling, not a strategy."
    return [told, table(["strategy", "at least", "at most"], rows)]


def _between(mean: float | None, error: float | None) -> str:
    return NOTHING if mean is None else f"{mean:.2f}" + ("" if error is None else f" ± {error:.2f}")


def _adaptivity(found: Summary) -> str:
    shares = {name: list(each) for name, each in found.items()}
    after = [k for k in STEPS if any(len(each) >= k for each in shares.values())]
    rows = [
        [f"`{name}`", *(_share(each[k - 1]) if len(each) >= k else NOTHING for k in after)]
        for name, each in shares.items()
    ]
    return table(["answers", *map(str, after)], rows)


def _share(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.2f}"


def _guards(found: Summary) -> str:
    if found["alarms"]:
        return "**Alarms**:\n\n" + bullets(found["alarms"])
    names = dict.fromkeys(each["guard"].replace("_", " ") for each in found["findings"])
    looked = len({each["strategy"] for each in found["findings"] if each["strategy"]})
    return f"No alarm. Looked at {looked} strategies: {', '.join(names)}."
