"""One result of `prefq bench` as Markdown: what was found in sentences first, then the tables.

Nothing is computed here: every number and every verdict stands in the summary. The page of many results is in
`prefq_cli.bench.page`.
"""

import math
from collections.abc import Sequence

from prefq.simulation.comparison import TARGETS
from prefq_cli.bench.ablation import ablation_parts
from prefq_cli.bench.markdown import NOTHING, bullets, signed, table, with_error
from prefq_cli.bench.summaries import (
    AT,
    RULE,
    Summary,
    by_kind,
    compared,
    equivalents_of,
    n_units,
    unit_of,
    value,
)

ALONG = (0, 3, 5, 10, 20)
WORDS_PER_MINUTE = 240  # as in prefq.questions.costs
MEASURES = {
    "log_loss": "Log loss, nats (lower is better)",
    "best_of_n": "Share of the best-of-n gain",
    "regret": "Regret of the response picked among the candidates of a prompt, logits (lower is better)",
    "accuracy": "Accuracy",
    "auc": "ROC AUC",
    "words": f"Minutes of reading ({WORDS_PER_MINUTE} words a minute)",
}
UNITS = {
    "log_loss": "nats of log loss saved a task",
    "best_of_n": "of the best-of-n gain",
    "regret": "logits of regret saved a prompt",
    "accuracy": "of accuracy",
}
REFERENCES = {
    "pooled": "one pooled regression for everybody",
    "random": "ten random questions",
    "spread_matched_random": "ten random questions of equal spread",
    "static": "the same ten questions for everybody",
    "swapped": "another person's profile",
}
ON_RECORD = {"static": "ten questions fixed beforehand, a list for each person of what that person can be asked"}
NOT_SHOWN = {
    "learning-curve": "Not shown: anything about people. These users are simulated and answer as this world lays down; "
    "a gain here says that the method does what it should where the world is so.",
    "replay": "Not shown: what people do who are asked live. Only questions whose answer is on record can be asked, "
    "people gave these answers for another purpose, and the features are those of this set.",
}
STEPS = (1, 2, 3, 4, 5, 9)  # answers after which adaptivity is shown
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
    references = _references(summary)
    wanted = [("log_loss", name) for name in references]
    wanted += [(measure, name) for measure in ("best_of_n", "regret") for name in ("random", "static")]
    sentences = [
        finding(summary, comparison, references[name])
        for measure, name in wanted
        if (comparison := compared(summary, RULE, name, measure)) is not None
    ]
    if equivalent := equivalents_of(summary).get(RULE):
        worth, low, high = (str(equivalent[key]).replace(">", "more than ") for key in ("value", "low", "high"))
        interval = "" if equivalent["low"] is None else f" (95 % interval {low} to {high})"
        sentence = f"In random questions: {worth}{interval} are as good as {equivalent['at']} of these"
        if static := equivalents_of(summary).get("static"):
            sentence += f"; for as many fixed beforehand it is {_worth_cell(static)}"
        sentences.append(f"{sentence}.")
    return sentences


def _references(summary: Summary) -> dict[str, str]:
    """What the default rule is compared with, in words that are true of this kind of summary."""
    return REFERENCES | (ON_RECORD if summary.get("kind") == "replay" else {})


def finding(summary: Summary, comparison: Summary, reference: str) -> str:
    """One comparison of a summary in a sentence."""
    unit = UNITS.get(comparison["measure"], comparison["measure"])
    whom = told_users(summary, comparison)
    interval = f"95 % interval {signed(comparison['low'])} to {signed(comparison['high'])}, {whom}"
    if comparison["low"] is None:
        interval = f"no interval, {whom}"
    verdict = f"**{comparison['verdict']}**"
    needed = _needed(summary, comparison)
    told = f"{verdict} ({needed})" if needed else verdict
    difference = with_error(comparison["difference"], comparison["se"])
    return f"Against {reference}: {difference} {unit} ({interval}): {told}."


def verdict_cell(comparison: Summary | None) -> str:
    """A comparison as a cell: difference, error, verdict."""
    if comparison is None:
        return NOTHING
    return f"{with_error(comparison['difference'], comparison['se'])} {comparison.get('verdict', '')}".rstrip()


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
        *_with_choice(summary),
        NOT_SHOWN[summary["kind"]],
        figures,
        *_by_part(summary, below),
        f"{below} After {AT} answers",
        _at_ten(summary),
        "\n".join(failed),
    ]
    for measure in along:
        shown = _along(summary, measure)
        parts += [f"{below} {MEASURES[measure]}", shown] if shown else []
    parts += ablation_parts(summary, below)
    if besides:
        parts += _swap_and_equivalents(summary, below)
        parts += _checks(summary, below)
    notes = summary.get("notes") or []
    return [*parts, bullets(notes)]


def _worth(summary: Summary) -> list[str]:
    found = findings(summary)
    return [f"What {AT} answers to the questions of `{RULE}` are worth:", bullets(found)] if found else []


def _with_choice(summary: Summary) -> list[str]:
    """The same among people whose questions leave a choice, where some have too few."""
    found = summary.get("enough_questions")
    if not found:
        return []
    references = _references(summary)
    sentences = [finding(summary, each, references[each["reference"]]) for each in found["comparisons"]]
    head = f"Among the {found['n_users']:,} people with at least {found['at_least']} questions to choose from:"
    return [head, bullets(sentences)]


def _by_part(summary: Summary, below: str) -> list[str]:
    """What the default rule saves in each part of a record, which are the units of inference."""
    found = summary.get("by_part")
    if not found:
        return []
    references = [name for name in ("pooled", "random", "static") if any(each.get(name) for each in found["rows"])]
    rows = [
        [str(each["part"]), f"{each['n_users']:,}", *(verdict_cell(each.get(name)) for name in references)]
        for each in found["rows"]
    ]
    told = (
        f"Log loss saved by `{RULE}` after {AT} answers in each {found['unit']}, ± one standard error over its people. "
        f"People of a {found['unit']} share its questions and its prior, so intervals are over {found['unit']}s."
    )
    return [f"{below} By {found['unit']}", told, table([found["unit"], "people", *map(_against, references)], rows)]


def _against(reference: str) -> str:
    return f"against {reference}"


def _at_ten(summary: Summary) -> str:
    """Every strategy at ten answers, the paired differences first."""
    strategies = by_kind(summary)
    shown = [
        measure for measure in MEASURES if any(value(each, measure, AT) is not None for each in strategies.values())
    ]
    with_best, with_regret = "best_of_n" in shown, "regret" in shown
    not_all = len({each["n_users"] for each in strategies.values()}) > 1
    heading = ["strategy", "log loss saved against random", "against static"]
    heading += ["best-of-n share against random"] if with_best else []
    heading += ["regret saved against random"] if with_regret else []
    heading += [_SHORT[measure] for measure in shown] + ["ms a question"] + ["measured on"] * not_all
    rows = []
    for name, each in strategies.items():
        row = [_name_cell(name, each)]
        row += [verdict_cell(compared(summary, name, reference)) for reference in ("random", "static")]
        row += [verdict_cell(compared(summary, name, "random", "best_of_n"))] if with_best else []
        row += [verdict_cell(compared(summary, name, "random", "regret"))] if with_regret else []
        row += [_level(name, each, measure, AT, error=True) for measure in shown]
        ms = each.get("ms_per_question")
        row.append(NOTHING if ms is None else f"{ms:.3g}")
        rows.append([*row, *[told_users(summary, each)] * not_all])
    return table(heading, rows)


_SHORT = {
    "log_loss": "log loss",
    "best_of_n": "best-of-n share",
    "regret": "regret, logits",
    "accuracy": "accuracy",
    "auc": "AUC",
    "words": "minutes of reading",
}


def _along(summary: Summary, measure: str) -> str:
    """One measure of every strategy after 0, 3, 5, … answers; empty where it was not measured."""
    strategies = {
        name: each for name, each in by_kind(summary).items() if any(value(each, measure, at) for at in ALONG)
    }
    reached = [at for at in ALONG if any(value(each, measure, at) is not None for each in strategies.values())]
    rows = [
        [_name_cell(name, each), *(_level(name, each, measure, at, error=at == AT) for at in reached)]
        for name, each in strategies.items()
    ]
    return table(["answers", *map(str, reached)], rows) if rows else ""


def _swap_and_equivalents(summary: Summary, below: str) -> list[str]:
    """What each strategy's profile is worth against a stranger's, against the group, and in random questions."""
    equivalents = equivalents_of(summary)
    rows = []
    for name, each in by_kind(summary).items():
        cells = [verdict_cell(compared(summary, name, reference)) for reference in ("pooled", "swapped")]
        cells += [_worth_cell(equivalents.get(name))] if equivalents else []
        if any(cell != NOTHING for cell in cells):
            rows.append([_name_cell(name, each), *cells])
    if not rows:
        return []
    heading = ["strategy", "against pooled", "own against swapped profile"]
    heading += [f"worth of {AT} answers in random questions"] if equivalents else []
    return [f"{below} Log loss saved against the group and against strangers", table(heading, rows)]


def _name_cell(name: str, strategy: Summary) -> str:
    return f"`{name}`" + {"control": " (control)", "peer": " (peer)"}.get(strategy["kind"], "")


def _worth_cell(found: Summary | None) -> str:
    if found is None:
        return NOTHING
    return str(found["value"]) + ("" if found["low"] is None else f" ({found['low']} to {found['high']})")


def _level(name: str, strategy: Summary, measure: str, n_answers: int, *, error: bool) -> str:
    scale = 1 / WORDS_PER_MINUTE if measure == "words" else 1.0
    if measure == "words" and name in NOBODY_ASKED:
        return NOTHING
    mean, se = (value(strategy, measure, n_answers, which) for which in ("mean", "se"))
    if mean is None:
        return NOTHING
    digits = 1 if measure == "words" else 3
    return f"{mean * scale:.{digits}f}" + (f" ± {se * scale:.{digits}f}" if error and se is not None else "")


def _needed(summary: Summary, comparison: Summary) -> str:
    """How many users would tell, where it cannot be told, and in how many of the units that intervals are over."""
    if comparison["verdict"] != "cannot tell":
        return ""
    scale = "nats" if comparison["measure"] == "log_loss" else ""
    target = f"one of {TARGETS.get(comparison['measure'], 0):g} {scale}".rstrip()
    told = {comparison.get("users_needed"): "this difference"}
    told[comparison.get("users_for_target")] = target  # where "no harm" is asked, both are the same
    counts = []
    for count, what in told.items():
        if count is not None and count <= FORGET:
            counts.append(f"{_in_units(summary, comparison, count)} for {what}")
    return f"it would take about {' and '.join(counts)}" if counts else ""


def _in_units(summary: Summary, comparison: Summary, n_users: int) -> str:
    units, unit = n_units(summary, comparison), unit_of(summary, comparison)
    told = f"{n_users:,} users"
    return told if unit == "user" else f"{told} in {math.ceil(n_users * units / comparison['n_users']):,} {unit}s"


def told_users(summary: Summary, entry: Summary) -> str:
    """Whom a comparison or a strategy was measured on: users, units of inference, repeats."""
    unit, n_worlds = unit_of(summary, entry), entry.get("n_worlds") or 1
    told = f"{entry['n_users']:,} users"
    if unit != "user":
        told += f" in {n_units(summary, entry)} {unit}s"
    return told + (f", {n_worlds} repeats" if n_worlds > 1 and summary.get("kind") == "replay" else "")


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
    ceiling = (found["strategies"].get(found.get("ceiling")) or {}).get("lower")
    rows = [
        [
            f"`{name}`",
            *(_between(each.get(end), each.get(f"{end}_se")) for end in ("lower", "upper")),
            f"{each['lower'] / ceiling:.2f}" if ceiling and each.get("lower") is not None else NOTHING,
        ]
        for name, each in found["strategies"].items()
    ]
    told = (
        f"What {found['at']} answers told about the person's taste, in nats: bounds by nested Monte Carlo. As many "
        f"answers can tell {found['most']:.2f} at most."
    )
    if found.get("ceiling"):
        told += (
            f" `{found['ceiling']}` knows each taste when it asks, so its row is a log density ratio of a design that "
            "knows the taste, and no information: a ceiling in practice, not a bound. Designs that heard a taste "
            "beforehand are left out."
        )
    return [told, table(["strategy", "at least", "at most", "share of the ceiling"], rows)]


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
