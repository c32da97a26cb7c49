"""The page of all benchmarks, from small result files: three numbers first, then what they rest on, in a fixed order.

The page says only what the files say, so that it can be made anew and compared. One result is rendered in
`prefq_cli.bench.report`.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from prefq.errors import InputError, MismatchError, NotFoundError
from prefq_cli.bench import figures
from prefq_cli.bench.markdown import NOTHING, table
from prefq_cli.bench.promises import render_promises
from prefq_cli.bench.report import WORDS_PER_MINUTE, render, told_users, verdict_cell
from prefq_cli.bench.summaries import AT, RULE, Summary, compared, value

FORMAT_VERSION = 1
NOT_YET = "Not measured yet."
HEAD = """# Benchmarks

This page is generated from the files in `benchmarks/results/` by `prefq bench report`; nothing on it is typed by hand.
Every figure names the command that made it. ± is one standard error; differences are paired over the same users and
positive where the strategy named first is better. Verdicts are those of 95 % t intervals over the units that are named:
worlds, people, or the conversations of a record. The suite behind this page is sized for a quarter of an hour on two
cores, so worlds have few users and recipes of others fewer; each table says how many. Compare times within a run, not
between machines.
"""
PEOPLE = ("cars_conjoint", "polis", "llmfao")
FIRST_WORLDS = ("gaussian(6)", "unlike_noise")
ABLATION = "ablation"
BESIDE_WORLDS = ("equivalents", "adaptivity", ABLATION)  # more of gaussian(6), for one purpose
ATTRIBUTES = "attributes"  # the world that is tuned until PReF's recipe gives PReF's published curve
CHECKS = (
    *("startup", "step_speed", "newton", "prior_fit", "starter_gain", "words", "kill", "noisy_scores", "encoding"),
    *("scale", "recovery", "feature_count", "leave_one_rater_out", "rfm_scenarios", "real_people", "starter_prior"),
)
CAPTIONS = {
    "curves": "Learning curves; bands are 95 % t intervals of the level, wider than those of paired differences.",
    "gains": "Log loss saved against one pooled regression for everybody, paired; bars are 95 % intervals.",
    "peers": "Log loss that the default rule saves against each peer, paired; 95 % intervals, cut at the frame.",
    "reading": "Log loss saved against one pooled regression, paired, against minutes of reading; bars as above.",
    "calibration": "What was predicted against what came true.",
    "speed": "Time against the size of the pool.",
}
LIMITS = """- Worlds are simulated. They show that the method finds what is there under known rules, and where it fails;
  they say nothing about how people answer.
- Records of real people replay answers given for another purpose: only questions on record can be asked. Nobody has yet
  answered, for this page, questions that were chosen as they went.
- Log loss and accuracy on held-out comparisons are not a person's satisfaction with an answer.
- Peers are our own implementations from papers and documentation; their authors may run them better.
- Base reward features are given in every world and set; prefq learned none, save where a title says so."""
NUMBERS = f"""{AT} own answers to the questions of `{RULE}`, the default rule:

1. What they save in log loss, in nats a task, against one pooled regression for everybody.
2. What choosing each question by the answers so far saves against {AT} questions fixed beforehand: in worlds the same
   for everybody, on record a list for each person of what that person can be asked.
3. How many minutes it takes to read them, at {WORDS_PER_MINUTE} words a minute."""
PEERS = f"""What `{RULE}` gains against each recipe after {AT} answers, paired; "better" is said of prefq. Each recipe
comes as published and, where it can take one, with the prior that prefq fitted (`…_with_prior`), so that a rule is not
credited for a prior. Log loss judges probabilities, and some recipes do not promise any that are calibrated (`lore`,
`volume_removal`, `sampled_information` and what fits without a regulariser): judge those by accuracy and the best-of-n
share. Milliseconds are those of the same run, with other runs on the other cores."""
PEER_MEASURES = {
    "log_loss": "log loss saved",
    "accuracy": "accuracy gained",
    "best_of_n": "best-of-n share gained",
    "regret": "regret saved",
}
VERDICTS = ("better", "worse", "cannot tell")


def read_results(folder: Path) -> list[Summary]:
    """Every result in a folder and those below it; other JSON files are left alone.

    Raises
    ------
    NotFoundError
        When there is no such folder, or no result in it.
    InputError
        When a file is no JSON.
    MismatchError
        When a file is of another format version.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {str(folder)!r} of results; give one with --results.")
    found = [read_result(path) for path in sorted(folder.rglob("*.json"))]
    results = [each for each in found if "kind" in each]
    if not results:
        raise NotFoundError(f"the folder {str(folder)!r} holds no results of prefq bench; give another with --results.")
    return results


def read_result(path: Path) -> Summary:
    """A result file; InputError when it cannot be read, MismatchError when it is of another format version."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read: {error.strerror}; give the file or folder of a run."
        ) from error
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not JSON ({error}); run its command again.") from error
    if not isinstance(found, dict):
        raise InputError(f"{str(path)!r} holds no JSON object; give the summary of a run.")
    if "kind" in found and found.get("format_version") != FORMAT_VERSION:
        raise MismatchError(
            f"{str(path)!r} has format version {found.get('format_version')}, and this prefq reads {FORMAT_VERSION}; "
            "run its command again with this version."
        )
    return found


def render_page(results: Sequence[Summary], *, images: str = "images/bench") -> str:
    """The page as Markdown.

    Parameters
    ----------
    results
        Summaries of any kind, in any order.
    images
        Folder of the figures, from the page.
    """
    people = _of_kind(results, "replay", PEOPLE)
    worlds = [
        each
        for each in _of_kind(results, "learning-curve", FIRST_WORLDS)
        if not _is_attributes(each) and each["name"] not in BESIDE_WORLDS
    ]
    attributes = [each for each in _of_kind(results, "learning-curve", ()) if _is_attributes(each)]
    sections = [
        ("Three numbers", [_headline(people, worlds)]),
        ("What was promised", [render_promises(results)]),
        ("What is shown, and what is not", [_shown(people, worlds)]),
        ("Real people", [_whole(each, images) for each in people]),
        ("Worlds", [_whole(each, images) if each["name"] in FIRST_WORLDS else _brief(each) for each in worlds]),
        ("Ablation", [_brief(each) for each in results if each["name"] == ABLATION]),
        ("Recipes of others", [_peers([*people, *worlds, *attributes])]),
        ("PReF's world", [_whole(each, images) for each in attributes]),
        *(
            (title, [_whole(each, images) for each in _of_kind(results, kind, ())])
            for kind, title in (("speed", "Speed"), ("calibration", "Calibration"), ("sessions", "Evidence from use"))
        ),
        ("House checks", [render(each, level=3) for each in _of_kind(results, "check", CHECKS)]),
    ]
    told = (f"## {title}\n\n" + ("\n".join(filter(None, parts)) or f"{NOT_YET}\n") for title, parts in sections)
    return "\n".join([HEAD, *told])


def draw_page(results: Sequence[Summary], folder: Path) -> list[Path]:
    """Draw the figures that the page shows, as SVG; those of results that are gone are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {
        folder / figure_file(summary, name): (name, summary)
        for summary in results
        if _is_figured(summary)
        for name in figures.names_of(summary)
    }
    for path, (name, summary) in wanted.items():
        figures.draw_one(name, summary, path)
    for path in set(folder.glob("*.svg")) - set(wanted):
        path.unlink()
    return list(wanted)


def figure_file(summary: Summary, name: str) -> str:
    """File of a figure on the page."""
    return f"{slug(summary['name'])}-{name}.svg"


def result_file(summary: Summary) -> str:
    """Where a result is kept, in the folder of results."""
    return f"{summary['kind']}/{slug(summary['name'])}.json"


def slug(name: str) -> str:
    """A name as a file name: ``gaussian(6)`` is ``gaussian-6``."""
    return re.sub(r"[^a-z0-9_.]+", "-", name.lower()).strip("-")


def _of_kind(results: Iterable[Summary], kind: str, first: Sequence[str]) -> list[Summary]:
    """Results of a kind: those named first, then the others by name."""
    found = [each for each in results if each["kind"] == kind]
    return sorted(
        found, key=lambda each: (first.index(each["name"]) if each["name"] in first else len(first), each["name"])
    )


def _is_attributes(summary: Summary) -> bool:
    return str(summary["name"]).startswith(ATTRIBUTES)


def _is_figured(summary: Summary) -> bool:
    """Whether the page shows figures of a result."""
    return summary["kind"] != "learning-curve" or summary["name"] in FIRST_WORLDS or _is_attributes(summary)


def _whole(summary: Summary, images: str) -> str:
    shown = "\n\n".join(
        f"![{CAPTIONS[name]}]({images}/{figure_file(summary, name)})\n\n*{CAPTIONS[name]}*"
        for name in figures.names_of(summary)
    )
    return render(summary, level=3, along=("auc",) if _is_attributes(summary) else ("log_loss",), figures=shown)


def _brief(summary: Summary) -> str:
    return render(summary, level=3, along=(), besides=False)


def _headline(people: Sequence[Summary], worlds: Sequence[Summary]) -> str:
    """Gain of ten own answers, adaptive minus static, and minutes, each where it was measured."""
    rows = []
    both = [*people, *(each for each in worlds if each["name"] in FIRST_WORLDS)]
    for summary in both:
        words, error = (value(_default(summary), "words", AT, which) for which in ("mean", "se"))
        minutes = NOTHING
        if words is not None:
            minutes = f"{words / WORDS_PER_MINUTE:.1f}" + (f" ± {error / WORDS_PER_MINUTE:.1f}" if error else "")
        where = "people" if summary["kind"] == "replay" else "simulated"
        source = f"`benchmarks/results/{result_file(summary)}`"
        gains = [verdict_cell(compared(summary, RULE, reference)) for reference in ("pooled", "static")]
        rows.append([f"`{summary['name']}` ({where})", *gains, minutes, source])
    heading = ["where", "1 · own answers", "2 · adaptive minus static", "3 · minutes", "source"]
    told = [NUMBERS, table(heading, rows) if rows else NOT_YET]
    missing = [name for name in PEOPLE if name not in {each["name"] for each in people}]
    if missing:
        told.append(f"Not measured yet on people: {', '.join(f'`{name}`' for name in missing)}.")
    return "\n\n".join(told) + "\n"


def _default(summary: Summary) -> Summary:
    return dict((summary.get("strategies") or {}).get(RULE) or {})


def _shown(people: Sequence[Summary], worlds: Sequence[Summary]) -> str:
    """Verdicts counted over sets and worlds, then what none of it shows."""
    questions = (
        ("pooled", f"{AT} own answers against one pooled regression"),
        ("random", "chosen questions against random ones"),
        ("static", "chosen questions against ones fixed beforehand"),
        ("swapped", "own profile against that of another person"),
    )
    lines = []
    for summaries, where in ((people, "Real people"), (worlds, "Simulated worlds")):
        for reference, question in questions:
            verdicts: dict[str, list[str]] = {}
            for summary in summaries:
                found = compared(summary, RULE, reference)
                if found is not None:
                    verdicts.setdefault(found["verdict"], []).append(f"`{summary['name']}`")
            told = "; ".join(f"{verdict} on {', '.join(names)}" for verdict, names in verdicts.items())
            lines += [f"- {where}, {question}: {told}."] if told else []
    measured = "\n".join(lines) or NOT_YET
    return f"By log loss after {AT} answers of `{RULE}`, with 95 % intervals:\n\n{measured}\n\nNot shown:\n\n{LIMITS}\n"


def _peers(results: Sequence[Summary]) -> str:
    """What the default rule gains against each peer: verdicts counted over all results, then result by result."""
    names = list(
        dict.fromkeys(
            name for each in results for name, one in (each.get("strategies") or {}).items() if one["kind"] == "peer"
        )
    )
    tables = [f"### {summary['name']}\n\n{shown}" for summary in results if (shown := _against(summary))]
    if not tables:
        return ""
    return "\n\n".join([PEERS, *_counted(results, names), *_failed(results, names), *tables]) + "\n"


def _counted(results: Sequence[Summary], names: Sequence[str]) -> list[str]:
    """How often the default rule was better, worse or neither, by log loss and by accuracy."""
    rows = []
    for name in names:
        cells = []
        for measure in ("log_loss", "accuracy"):
            verdicts = [each["verdict"] for one in results if (each := compared(one, RULE, name, measure))]
            cells += [str(verdicts.count(verdict)) if verdicts else NOTHING for verdict in VERDICTS]
        if any(cell != NOTHING for cell in cells):
            rows.append([f"`{name}`", *cells])
    heading = [f"{measure}: {verdict}" for measure in ("log loss", "accuracy") for verdict in VERDICTS]
    return [f"In so many of the results below `{RULE}` is:", table(["against", *heading], rows)]


def _against(summary: Summary) -> str:
    """One result's peers: differences in every measure, whom they were measured on, and times."""
    strategies = summary.get("strategies") or {}
    names = [name for name, one in strategies.items() if one["kind"] == "peer" and compared(summary, RULE, name)]
    shown = [measure for measure in PEER_MEASURES if any(compared(summary, RULE, name, measure) for name in names)]
    rows = []
    for name in names:
        found = [compared(summary, RULE, name, measure) for measure in shown]
        whom = next(told_users(summary, each) for each in found if each)
        rows.append([f"`{name}`", *map(verdict_cell, found), whom, _time(strategies[name])])
    if not rows:
        return ""
    rows.append([f"`{RULE}` (prefq)", *[NOTHING] * (len(shown) + 1), _time(strategies.get(RULE) or {})])
    return table(["peer", *(PEER_MEASURES[measure] for measure in shown), "measured on", "ms a question"], rows)


def _time(strategy: Summary) -> str:
    ms = strategy.get("ms_per_question")
    return NOTHING if ms is None else f"{ms:.3g}"


def _failed(results: Iterable[Summary], names: Iterable[str]) -> list[str]:
    """Peers that could not be run, with the reason, once."""
    reasons = {
        name: failed
        for each in results
        for name in names
        if (failed := ((each.get("strategies") or {}).get(name) or {}).get("failed"))
    }
    told = "\n".join(f"- `{name}` could not be run: {reason}" for name, reason in reasons.items())
    return [told] if told else []
