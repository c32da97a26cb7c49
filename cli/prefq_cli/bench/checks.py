"""Checks beside the curves, on a few users of a few panels: guards against leaks, adaptivity, information in nats."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.simulation.ablations import KIND as ABLATION
from prefq.simulation.adaptivity import adaptivity
from prefq.simulation.comparison import mean_and_error
from prefq.simulation.guards import (
    Finding,
    check_strategy,
    coin_record,
    one_by_one,
    questions_apart,
    shuffled_labels,
    shuffled_record,
    summarise_guards,
    tasks_apart,
)
from prefq.simulation.information import (
    MEASURED_AT,
    Information,
    information,
    oracle,
    summarise_information,
    why_not,
)
from prefq.simulation.panels import History, Panel, Study
from prefq.simulation.strategies import OURS, Strategy
from prefq.vocabulary import PopulationPrior
from prefq_cli.bench.jobs import Job, prepared
from prefq_cli.bench.replays import ReplayJob, record
from prefq_cli.bench.strategies import PEER, Address, Chosen, load

USERS, PEER_USERS = 50, 4
PANELS = 4  # on which adaptivity and information are measured, the default rule's adaptivity on all; guards: the first
GUARD_QUESTIONS = 5
COIN_PANELS = 2  # that are made again of coin flips, which takes as long as making them did
RULE = next(strategy for strategy in OURS if strategy.name == "information_gain")
ORACLE = "oracle"
CHECKS = "checks.json"
HEARD = ("stated", "stated_then_questions")  # what they heard of a taste beforehand is not in the replies


@dataclass(frozen=True, slots=True)
class CheckTask:
    """What is checked of one strategy on one panel; an address of None stands for the panel itself and the oracle.

    `digest` is that of a peer's file.
    """

    job: Job
    panel: int
    address: Address | None
    is_peer: bool = False
    digest: str | None = None

    @property
    def name(self) -> str:
        return "" if self.address is None else self.address.name

    @property
    def key(self) -> str:
        """In the file of checks that were made."""
        return f"{self.panel}/{self.name}"

    def __call__(self) -> dict[str, Any]:
        panel, prior = prepared(self.job, self.panel)
        few = panel.users(slice(0, PEER_USERS if self.is_peer else USERS))
        n_questions = min(self.job.n_questions, MEASURED_AT)
        found: dict[str, Any] = {"findings": []}
        if self.address is None:
            if self.panel == 0:
                findings = [questions_apart(few)]
                if isinstance(self.job, ReplayJob):
                    findings += self._record_guards(self.job)
                found["findings"] = [each._asdict() for each in findings]
            found["n_outcomes"] = len(few.response_model.outcomes)
            found["why_not"] = why_not(few)
            if found["why_not"] is None:
                found["information"] = self._information(oracle(few), few, prior, n_questions)
            return found
        strategy = load(self.address)
        if self.panel == 0:
            found["findings"] = [each._asdict() for each in self._guards(strategy, few, prior)]
        if not self.is_peer:
            if n_questions > 1:
                shares = adaptivity(strategy, few, prior, n_questions=n_questions, rng=self._rng())
                found["adaptivity"] = [None if np.isnan(share) else round(float(share), 4) for share in shares]
            if self.panel < PANELS and self.name not in HEARD and why_not(few) is None:
                found["information"] = self._information(strategy, few, prior, n_questions)
        return found

    def _rng(self, purpose: str = "check") -> np.random.Generator:
        """The strategy's own, or one for another purpose."""
        words = (purpose, self.name)
        return np.random.default_rng([self.job.seed, self.panel, *(zlib.crc32(word.encode()) for word in words)])

    def _guards(self, strategy: Strategy, panel: Panel, prior: PopulationPrior) -> Sequence[Finding]:
        n_questions = min(self.job.n_questions, GUARD_QUESTIONS)
        if self.is_peer:  # the others ask for more than a recipe that draws as it likes can keep
            guards = (shuffled_labels, one_by_one)
            return [
                guard(lambda _: strategy, panel, prior, n_questions=n_questions, rng=self._rng()) for guard in guards
            ]
        return check_strategy(lambda _: strategy, panel, prior, n_questions=n_questions, rng=self._rng())

    def _record_guards(self, job: ReplayJob) -> list[Finding]:
        """Of the way from a record to its panels; coins are drawn once for all of them."""
        coins = [coin_record(part, rng=self._rng("coins")) for part in record(job)]
        numbers = [panel for panel in range(job.n_panels) if job.n_users(panel)][:COIN_PANELS]
        panels = (job.replay(panel, coins).panel for panel in numbers)
        return [
            tasks_apart(job.replay(self.panel)),
            shuffled_record(RULE, panels, n_questions=min(job.n_questions, GUARD_QUESTIONS), rng=self._rng()),
        ]

    def _information(
        self, strategy: Strategy, panel: Panel, prior: PopulationPrior, n_questions: int
    ) -> dict[str, Any]:
        learn = strategy.begin(Study.of(panel, prior, n_questions), rng=self._rng())
        history = History.empty(panel.n_users)
        for n_answers in range(n_questions):
            rows = learn(history).next_rows()
            history = history.with_answers(rows, panel.replies(rows, n_answers))
        bounds = information(panel, history, rng=self._rng("contrasts"))
        return {name: np.round(values, 4).tolist() for name, values in bounds._asdict().items()}


def check_tasks(job: Job, chosen: Sequence[Chosen]) -> list[CheckTask]:
    """What there is to check of these strategies."""
    panels = range(min(job.n_panels, PANELS))
    tasks = [CheckTask(job, panel, None) for panel in panels]
    for each in chosen:
        if each.kind == ABLATION:
            continue  # of the same parts as those that are checked
        if each.kind == PEER:
            tasks.append(CheckTask(job, 0, each.address, is_peer=True, digest=each.digest))
        else:
            theirs = range(job.n_panels) if each.name == RULE.name else panels
            tasks += [CheckTask(job, panel, each.address) for panel in theirs]
    return sorted(tasks, key=lambda task: task.panel)


def summarise_checks(found: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The parts "guards", "adaptivity", "adaptivity_se" and "information" of a summary, of these strategies.

    `found` has what each task gave under its `key`.
    """
    by_name: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for key, each in found.items():
        panel, _, name = key.partition("/")
        if name in names or not name:
            by_name.setdefault(name, []).append((int(panel), each))
    findings = [Finding(**finding) for each in by_name.values() for _, told in each for finding in told["findings"]]
    summary: dict[str, Any] = {"guards": summarise_guards(findings)} if findings else {}
    steps = {
        name: np.array([told["adaptivity"] for _, told in by_name[name] if "adaptivity" in told], dtype=np.float64)
        for name in names
        if name in by_name
    }
    shares = {name: _shares(values) for name, values in steps.items() if values.size}
    summary["adaptivity"] = {name: [mean for mean, _ in found] for name, found in shares.items()}
    summary["adaptivity_se"] = {name: [error for _, error in found] for name, found in shares.items()}
    summary |= _information(by_name, names)
    return summary


def _shares(values: NDArray[np.float64]) -> list[tuple[float | None, float | None]]:
    """Of one strategy after 1, 2, … answers: mean and standard error over the panels.

    From shares (n_panels, n_steps) that are NaN where nobody was counted.
    """
    found = (mean_and_error(step[~np.isnan(step)]) for step in values.T)
    return [(_rounded(mean), _rounded(error)) for mean, error in found]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _information(
    by_name: Mapping[str, Sequence[tuple[int, Mapping[str, Any]]]], names: Sequence[str]
) -> dict[str, Any]:
    ceiling = {panel: told["information"] for panel, told in by_name.get("", ()) if "information" in told}
    if not ceiling:
        reasons = {told["why_not"] for _, told in by_name.get("", ()) if told.get("why_not")}
        return {"notes": sorted(f"Not measured: {reason}" for reason in reasons)}
    bounds = {}
    for name in (*names, ORACLE):
        own = (
            ceiling if name == ORACLE else {p: t["information"] for p, t in by_name.get(name, ()) if "information" in t}
        )
        if own.keys() == ceiling.keys():
            ends = (np.concatenate([np.array(own[panel][end]) for panel in sorted(own)]) for end in ("lower", "upper"))
            bounds[name] = Information(*ends)
    worlds = np.concatenate([np.full(len(ceiling[panel]["lower"]), panel) for panel in sorted(ceiling)])
    n_outcomes = max(told.get("n_outcomes", 2) for _, told in by_name[""])
    return {"information": summarise_information(bounds, worlds, n_outcomes=n_outcomes)}
