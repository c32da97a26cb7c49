"""A run of `prefq bench speed`: every size in turn, and what the times come to.

How a size is timed is in `timing`. The summary of kind "speed" has, besides what all have:

- `sizes`: one entry for each pool, {n_questions, n_items, n_features, not_run (a clause or null), ms {call: {p50, p95,
  n, cpu}}, ratio (processor time of `select` over that of `pass`), steps {most, median} (of ten steps, in passes),
  users_per_second, same_question, mib {features, arrays, before, peak}, peers {name: {not_run, ms, ratio, mib}}}; p50
  and p95 are by the clock, cpu is the median of processor time; the calls are `first` (on a new pool, tables included),
  `step` (from an answer to the next question, answers 1 to 10), `select` (after ten answers), `select_of_two` (the same
  under the default prior, of whose people one in ten has no taste), `choose` (of `select`, from the posterior to the
  question), `posterior` (of ten answers), `laplace` (the same by Laplace's method), `pass` (one product of the
  differences of all questions, in single precision, with a vector), `plain` and `plain_posterior` (plain NumPy's
  `select` and its posterior, by Laplace's method);
- `start_up`: {call: {p50, p95, n}}, in ms;
- `text` and `tables`, as `report` shows them.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from prefq.errors import InputError
from prefq_cli.bench.folders import SUMMARY, Folder
from prefq_cli.bench.memory import N_ANSWERS
from prefq_cli.bench.progress import Shown, progress
from prefq_cli.bench.provenance import provenance
from prefq_cli.bench.strategies import ALL, PEER, Chosen, choose
from prefq_cli.bench.timing import NotRun, Size, measured, start_up, told
from prefq_cli.console import tell
from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import Settings

TIMED = ("pairwise_gp_bald", "pairwise_gp_eubo", "pref_released")  # peers, unless others are named
START_ROUNDS = 5
HOPELESS = 3  # times the limit: a peer that is expected to take longer is not tried
NOTHING = "–"
POOLS = (
    "Pools have prompts of ten responses, all 45 pairs of which are questions, and features in single precision. A "
    "pass is one product of the differences of all questions, in single precision, with a vector. Times are medians in "
    "milliseconds by the clock, on one thread; those of a size were taken in turn in one process. Ratios and users a "
    "second are by processor time, which other programs on the machine disturb less."
)


@dataclass(frozen=True, slots=True)
class SpeedRun:
    """A run that was asked for; calling it measures all sizes and writes and gives the summary.

    Parameters
    ----------
    sizes, features
        Questions in a pool, and features; every pair of them is measured.
    repeats
        Most repetitions of a call.
    peers
        Recipes of others to time, and for how long at most.
    memory
        GiB that a size may need.
    seed, out, command, settings
        As everywhere in prefq bench.
    """

    sizes: Sequence[int]
    features: Sequence[int]
    repeats: int
    peers: Sequence[Chosen]
    limit: float
    memory: float
    seed: int
    out: Path
    command: str
    settings: Settings

    def __call__(self) -> dict[str, Any]:
        """The summary; Ctrl-C ends with exit code 130 and keeps nothing, as times are compared within a run."""
        try:
            return self._run()
        except KeyboardInterrupt:
            tell("Interrupted: times are compared within a run, so none are kept.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    def _run(self) -> dict[str, Any]:
        began, about = time.perf_counter(), provenance()
        settings = {
            "questions_in_pool": list(self.sizes),
            "features": list(self.features),
            "repeats": self.repeats,
            "strategies": [peer.name for peer in self.peers],
            "limit": self.limit,
            "memory": self.memory,
            "seed": self.seed,
        }
        folder = Folder.open(self.out, "speed", settings, about)
        ways = [name for name in ("prefq", *(peer.name for peer in self.peers)) for _ in self.features]
        names = ["start-up", *(f"{name}, {n}" for name in ways for n in self.sizes)]
        with progress("Times", names, 1, self.settings) as shown:
            starting = {name: told(times) for name, times in start_up(START_ROUNDS).items()}
            shown.step("start-up", time.perf_counter() - began)
            entries = [entry for d in self.features for entry in self._of_features(d, shown)]
        found = {"sizes": entries, "start_up": starting}
        summary = {
            "format_version": 1,
            "kind": "speed",
            "name": "speed",
            "title": "Speed of the next question",
            "command": self.command,
            "provenance": about,
            "settings": settings,
            "seconds": round(time.perf_counter() - began, 1),
            **found,
            "text": " ".join(sentences(found)),
            "tables": list(tables(found)),
            "notes": [POOLS]
            + [f"{peer.name} could not be run: {peer.unavailable}" for peer in self.peers if peer.unavailable],
        }
        folder.write_json(SUMMARY, summary)
        return summary

    def _of_features(self, n_features: int, shown: Shown) -> list[dict[str, Any]]:
        """All sizes with so many features: prefq at each, then each peer from the smallest on."""
        size = Size(0, n_features, self.repeats, self.seed, self.memory, self.limit)
        entries = []
        for n_questions in self.sizes:
            found = self._timed(replace(size, n_questions=n_questions), "prefq", shown)
            entries.append({"n_questions": n_questions, "n_features": n_features, **found, "peers": {}})
        for peer in self.peers:
            before: dict[str, Any] | None = None
            for entry in sorted(entries, key=lambda entry: entry["n_questions"]):
                hope = peer.unavailable or _hopeless(before, entry["n_questions"], self.limit)
                peer_size = replace(size, n_questions=entry["n_questions"], strategy=peer.name, file=peer.address.file)
                found = {"not_run": hope} if hope else self._timed(peer_size, peer.name, shown)
                entry["peers"][peer.name] = found
                before = {"n_questions": entry["n_questions"], **found}
        return entries

    def _timed(self, size: Size, name: str, shown: Shown) -> dict[str, Any]:
        began = time.perf_counter()
        found = measured(size)
        shown.step(f"{name}, {size.n_questions}", time.perf_counter() - began)
        if isinstance(found, NotRun):
            return {"not_run": found.reason}
        ratio = found["ms"]["select"]["cpu"] / found["ms"]["pass"]["cpu"]
        return {"not_run": None, **found, "ratio": float(f"{ratio:.3g}")}


def peers_to_time(names: Sequence[str] | None, folder: Path | None) -> tuple[Chosen, ...]:
    """The peers of these names, `all` being all; None is those of `TIMED` that are there, or all where none is.

    Raises
    ------
    NotFoundError, InputError
        As `choose`; InputError also for names without a folder of peers, or of what is no peer.
    """
    if folder is None:
        if names is not None:
            raise InputError("--strategies names the peers to time; give their folder with --peers.")
        return ()
    if names is not None and ALL not in names:
        chosen = choose(names, folder)
        if ours := [each.name for each in chosen if each.kind != PEER]:
            raise InputError(f"{ours[0]!r} is no peer, and prefq is always timed; name peers only with --strategies.")
        return chosen
    peers = tuple(each for each in choose(None, folder) if each.kind == PEER)
    timed = tuple(each for each in peers if each.name in TIMED)
    return peers if names is not None or not timed else timed


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """What was found, in words."""
    entries = [entry for entry in found["sizes"] if entry["not_run"] is None]
    sizes = sorted({entry["n_questions"] for entry in entries})
    for n_questions in dict.fromkeys([*sizes[:1], *sizes[-1:]]):
        at = [entry for entry in entries if entry["n_questions"] == n_questions]
        yield (
            f"With {n_questions:,} questions the next one after {N_ANSWERS} answers takes "
            f"{_range(entry['ms']['select']['p50'] for entry in at)} ms, {_range(entry['ratio'] for entry in at)} "
            f"times one pass over their differences; plain NumPy takes {_range(map(_against, at))} times as long as "
            f"prefq. Of that the posterior takes {_range(entry['ms']['posterior']['p50'] for entry in at)} ms, the "
            f"choice {_range(entry['ms']['choose']['p50'] for entry in at)} ms; under the default prior, a mixture, "
            f"the whole takes {_range(entry['ms']['select_of_two']['p50'] for entry in at)} ms."
        )
        yield (
            f"Of the ten steps of a session with {n_questions:,} questions the slowest takes "
            f"{_range(entry['steps']['most'] for entry in at)} passes and the median one "
            f"{_range(entry['steps']['median'] for entry in at)}; many users' next questions come at "
            f"{_range(entry['users_per_second'] for entry in at)} a second."
        )
    if entries:
        same = sum(entry["same_question"] for entry in entries)
        yield f"Plain NumPy chose the same question in {same} of {len(entries)} sizes."
    for peer in dict.fromkeys(name for entry in entries for name in entry["peers"]):
        run = [(entry, entry["peers"][peer]) for entry in entries if not entry["peers"][peer]["not_run"]]
        if run:
            times = [found["ms"]["select"]["cpu"] / entry["ms"]["select"]["cpu"] for entry, found in run]
            yield f"{peer} takes {_range(times)} times as long as prefq."
    start = {name: times["p50"] / 1e3 for name, times in found["start_up"].items()}
    yield (
        f"A fresh Python has the first question of the starter pool after {start['first_question']:.2f} s and `import "
        f"prefq` after {start['import_prefq']:.2f} s; `import numpy` takes {start['import_numpy']:.2f} s, Python alone "
        f"{start['python']:.2f} s."
    )


def tables(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Tables of the report: the next question, recipes of others, memory, the posterior."""
    entries = found["sizes"]
    run = [entry for entry in entries if entry["not_run"] is None]
    yield {
        "title": f"The next question after {N_ANSWERS} answers",
        "heading": ["questions", "features", "prefq", "95th percentile", "one pass", "prefq : pass", "plain NumPy",
                    "NumPy : prefq"],
        "rows": [
            [*_name(entry), *_cells(entry, "select", "select p95", "pass"), _ratio(entry), *_cells(entry, "plain"),
             NOTHING if entry["not_run"] else _number(_against(entry))]
            for entry in entries
        ],
    }  # fmt: skip
    yield {
        "title": "What it is made of: the posterior, and the choice; and the whole under the default prior, a mixture",
        "heading": [
            "questions",
            "features",
            "posterior",
            "95th percentile",
            "choice",
            "95th percentile",
            "mixture",
        ],
        "rows": [
            [*_name(entry), *_cells(entry, "posterior", "posterior p95", "choose", "choose p95", "select_of_two")]
            for entry in entries
        ],
    }
    yield {
        "title": "Ten steps of a session in passes, and next questions of many users a second",
        "heading": ["questions", "features", "slowest step", "median step", "users a second"],
        "rows": [
            [*_name(entry), *(_number(entry["steps"][name]) for name in ("most", "median")),
             _number(entry["users_per_second"])]
            for entry in run
        ],
    }  # fmt: skip
    if peers := list(dict.fromkeys(name for entry in entries for name in entry["peers"])):
        yield {
            "title": "The same by recipes of others, in brackets in passes",
            "heading": ["questions", "features", "prefq", *peers],
            "rows": [
                [*_name(entry), _with_ratio(entry), *(_with_ratio(entry["peers"][name]) for name in peers)]
                for entry in entries
            ],
        }
    yield {
        "title": "Sessions: from an answer to the next question, and the first question on a pool, its tables included",
        "heading": ["questions", "features", "step", "95th percentile", "first question"],
        "rows": [[*_name(entry), *_cells(entry, "step", "step p95", "first")] for entry in entries],
    }
    yield {
        "title": "Memory, in MiB: features of the pool; all its arrays (features, pairs, mean and variance of every "
        "margin, one column an answer in single precision); the most that a process has held that selects questions "
        "for a session, all that Python needs included; and what it held before there was a pool",
        "heading": ["questions", "features", "features of the pool", "arrays", "most held", "before the pool"],
        "rows": [
            [*_name(entry), *(_number(entry["mib"][name]) for name in ("features", "arrays", "peak", "before"))]
            for entry in run
        ],
    }
    yield {
        "title": f"Posterior of {N_ANSWERS} answers, by expectation propagation and by Laplace's method",
        "heading": ["features", "expectation propagation", "95th percentile", "Laplace", "plain NumPy's, Laplace"],
        "rows": [
            [str(entry["n_features"]), *_cells(entry, "posterior", "posterior p95", "laplace", "plain_posterior")]
            for entry in _smallest(run)
        ],
    }
    yield {
        "title": "Fresh processes",
        "heading": ["", "ms", "95th percentile"],
        "rows": [
            [name.replace("_", " "), f"{times['p50']:.0f}", f"{times['p95']:.0f}"]
            for name, times in found["start_up"].items()
        ],
    }


def _smallest(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The smallest pool of each number of features."""
    by_features: dict[int, Mapping[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: (entry["n_features"], entry["n_questions"])):
        by_features.setdefault(entry["n_features"], entry)
    return list(by_features.values())


def _name(entry: Mapping[str, Any]) -> list[str]:
    return [f"{entry['n_questions']:,}", str(entry["n_features"])]


def _cells(entry: Mapping[str, Any], *calls: str) -> list[str]:
    """Times of calls such as `select`, or `select p95`; the first says why where there are none."""
    if entry["not_run"]:
        return [f"not run: {entry['not_run']}", *(NOTHING for _ in calls[1:])]
    found = []
    for call in calls:
        name, _, quantile = call.partition(" ")
        found.append(_number(entry["ms"][name][quantile or "p50"]))
    return found


def _ratio(entry: Mapping[str, Any]) -> str:
    return NOTHING if entry["not_run"] else _number(entry["ratio"])


def _with_ratio(entry: Mapping[str, Any]) -> str:
    (time_taken,) = _cells(entry, "select")
    return time_taken if entry["not_run"] else f"{time_taken} ({_ratio(entry)})"


def _against(entry: Mapping[str, Any]) -> float:
    """Time of plain NumPy in times of prefq, by the processor."""
    return float(entry["ms"]["plain"]["cpu"] / entry["ms"]["select"]["cpu"])


def _range(numbers: Iterable[float]) -> str:
    """Least and most of some numbers."""
    values = sorted(numbers)
    low, high = _number(values[0]), _number(values[-1])
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else f"{value:.1g}"


def _hopeless(before: Mapping[str, Any] | None, n_questions: int, limit: float) -> str | None:
    """Why a peer need not be tried at a size, by how it fared at the size before; None where it may do."""
    if before is None:
        return None
    if before["not_run"]:
        return str(before["not_run"])
    expected = before["ms"]["select"]["p50"] / 1e3 * n_questions / before["n_questions"]
    if expected <= HOPELESS * limit:
        return None
    return f"slower than {limit:g} s a question: {expected:.0f} s expected by the size before"
