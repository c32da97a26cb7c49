"""What is measured on, and the tasks that are made of it: learning curves of blocks of users, and times per question.

`learning-curve` and `replay` each have a `Job`; how its tasks become results is in `runs`.
"""

import time
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from prefq.errors import PrefqError
from prefq.simulation.curves import learning_curve
from prefq.simulation.panels import Panel, Study
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import Learner
from prefq.simulation.summary import Parts
from prefq.vocabulary import PopulationPrior
from prefq_cli.bench.folders import Folder, Unit
from prefq_cli.bench.provenance import loaded_versions
from prefq_cli.bench.strategies import Address, load

SPEED_QUESTIONS = 10  # of which the median is the time per question
SHOWN_WARNINGS = 3


class Job(Protocol):
    """What is measured on: picklable and hashable, as a frozen dataclass at the top of a module is.

    Panels are numbered from 0; each is made in worker processes, from `numpy.random.default_rng([seed, number])`.
    """

    @property
    def command(self) -> str:
        """The subcommand, which is also the kind of its results: `learning-curve`, `replay`."""

    @property
    def name(self) -> str:
        """World or set, in full: `gaussian(6)`, `polis`."""

    @property
    def title(self) -> str:
        """Heading of the report."""

    @property
    def seed(self) -> int:
        """From which all chance comes."""

    @property
    def n_questions(self) -> int:
        """Asked of each user."""

    @property
    def n_panels(self) -> int:
        """Panels numbered 0, 1, …"""

    @property
    def repeated(self) -> bool:
        """Whether worlds are repeats over the same people, so that users are the unit of inference."""

    @property
    def no_harm_margin(self) -> float | None:
        """Nats of log loss within which a profile does no harm against the pooled regression; None: not asked."""

    def __hash__(self) -> int: ...

    def settings(self) -> Mapping[str, Any]:
        """All that changes numbers, as JSON; with prefq's version it identifies the results."""

    def world(self, panel: int) -> int:
        """Number in the column `world` of the results; (world, user) must be one person once."""

    def parts(self) -> Parts | None:
        """What users share a pool and a prior with, where users are the same in every world; None: with everybody."""

    def open_questions(self) -> Mapping[tuple[int, str], int]:
        """How many questions a user can be asked, by world and user; empty: enough for all."""

    def n_users(self, panel: int) -> int:
        """How many users a panel has."""

    def make_panel(self, panel: int) -> Panel:
        """The panel; a PrefqError ends the run."""


class Finished(NamedTuple):
    """What a unit came to: its part is on disk, or one sentence says why the strategy failed."""

    failure: str | None = None


@dataclass(frozen=True, slots=True)
class CurveTask:
    """Learning curves of one unit; what it finds is written by the worker."""

    job: Job
    unit: Unit
    folder: Folder

    @property
    def panel(self) -> int:
        return self.unit.panel

    @property
    def name(self) -> str:
        return self.unit.strategy

    def __call__(self) -> Finished:
        unit, start, cpu_start = self.unit, time.perf_counter(), time.process_time()
        panel, prior = prepared(self.job, unit.panel)
        rng = np.random.default_rng([self.job.seed, unit.panel, zlib.crc32(unit.strategy.encode()), unit.start])
        block = panel.users(slice(unit.start, unit.stop))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                strategy = load(unit.address)
                curve = learning_curve(strategy, block, prior, n_questions=self.job.n_questions, rng=rng)
            except PrefqError as error:
                return Finished(str(error))
        n_rows = self.job.n_questions + 1
        columns = {
            "world": np.full(block.n_users * n_rows, self.job.world(unit.panel), dtype=np.int32),
            "user": np.repeat(np.array(block.user_ids, dtype=object), n_rows),
            "strategy": np.full(block.n_users * n_rows, unit.strategy, dtype=object),
            "n_answers": np.tile(np.arange(n_rows, dtype=np.int32), block.n_users),
            **{name: values.ravel() for name, values in curve.measures.items()},
        }
        about = {
            "seconds": round(time.perf_counter() - start, 3),
            "cpu_seconds": round(time.process_time() - cpu_start, 3),
            "warnings": sorted({f"{each.category.__name__}: {each.message}" for each in caught})[:SHOWN_WARNINGS],
            "versions": loaded_versions(),
            "notes": list(block.notes),
        }
        self.folder.write_part(unit, columns, about)
        return Finished()


@dataclass(frozen=True, slots=True)
class SpeedTask:
    """Time per question of one strategy for one user, learning included; nothing else should run meanwhile."""

    job: Job
    address: Address
    panel: int = 0

    @property
    def name(self) -> str:
        return self.address.name

    def __call__(self) -> dict[str, float] | None:
        panel, prior = prepared(self.job, self.panel)
        begin_seconds = 0.0

        def begin(study: Study, *, rng: np.random.Generator) -> Learner:
            nonlocal begin_seconds
            start = time.perf_counter()
            learner = strategy.begin(study, rng=rng)
            begin_seconds = time.perf_counter() - start
            return learner

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strategy = load(self.address)
            curve = learning_curve(
                replace(strategy, begin=begin),
                panel.users(slice(0, 1)),
                prior,
                n_questions=min(SPEED_QUESTIONS, self.job.n_questions),
                rng=np.random.default_rng([self.job.seed, zlib.crc32(self.name.encode())]),
                clock=time.perf_counter,
            )
        return {
            "ms_per_question": round(float(np.median(curve.seconds)) * 1e3, 3),
            "ms_to_begin": round(begin_seconds * 1e3, 3),
        }


def prepared(job: Job, panel: int) -> tuple[Panel, PopulationPrior]:
    """A panel and the prior fitted on its group; a worker keeps the last few panels, and priors, which take seconds."""
    return _made(job, panel), _start(job, panel)


@lru_cache(maxsize=8)
def _made(job: Job, panel: int) -> Panel:
    return job.make_panel(panel)


@lru_cache(maxsize=256)
def _start(job: Job, panel: int) -> PopulationPrior:
    return fitted_start(_made(job, panel))
