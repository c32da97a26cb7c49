"""A run: strategies put to the panels of a job, block by block, kept on disk, merged and summed up.

What is measured on is a `Job`; what a run leaves is described in docs/reference/cli.md.
"""

import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import typer

from prefq.errors import PrefqError
from prefq.simulation.ablations import BY_NAME_ONLY
from prefq.simulation.ablations import KIND as ABLATION
from prefq.simulation.controls import CONTROLS, begin_pooled
from prefq.simulation.strategies import OURS, Strategy
from prefq.simulation.summary import summarise
from prefq_cli.bench.checks import CHECKS, check_tasks, summarise_checks
from prefq_cli.bench.folders import SUMMARY, Folder, Part, Unit
from prefq_cli.bench.jobs import CurveTask, Job, SpeedTask
from prefq_cli.bench.progress import progress
from prefq_cli.bench.provenance import provenance
from prefq_cli.bench.strategies import PEER, Address, Chosen
from prefq_cli.bench.workers import WorkerLostError, Workers
from prefq_cli.console import tell
from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

SPEED = "speed.json"
SHOWN_WARNINGS = 3  # of each strategy
REPORT = "report.md"


@dataclass(frozen=True, slots=True)
class Limits:
    """Peers may be slow: the first so many users of the first so many worlds are theirs; None is all."""

    users: int | None = None
    worlds: int | None = None


class Results(NamedTuple):
    """What the curves came to: parts by unit, the names of strategies that are whole, and why others failed."""

    parts: dict[Unit, Part]
    whole: list[str]
    failed: dict[str, str]
    n_computed: int


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was asked for; calling it computes what is not there yet and writes all results.

    Parameters
    ----------
    job, chosen
        What is measured on, and what is measured.
    out
        Folder of the results.
    n_workers
        Processes.
    command
        As a reader would type it; stands in the summary.
    settings
        How this run talks.
    limits
        For peers.
    notes
        Sentences for readers of the numbers, added to those of the summary.
    """

    job: Job
    chosen: Sequence[Chosen]
    out: Path
    n_workers: int
    command: str
    settings: Settings
    limits: Limits = Limits()
    notes: Sequence[str] = ()

    def __call__(self) -> dict[str, Any]:
        """The summary, as it is in `summary.json`; Ctrl-C ends with exit code 130 and keeps what was finished."""
        try:
            return self._run()
        except KeyboardInterrupt:
            kept = sum(1 for _ in self.out.glob("parts/*.parquet"))
            parts = "1 finished part is" if kept == 1 else f"{kept} finished parts are"
            tell(f"Interrupted: {parts} kept in {self.out}; the same command goes on from there.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    def _run(self) -> dict[str, Any]:
        start, about = time.perf_counter(), provenance()
        folder = Folder.open(self.out, self.job.command, self.job.settings(), about)
        folder.keep_strategies({each.name: _entry(each, self.limits) for each in self.chosen})
        try:
            summary = self._results(folder, about)
        finally:
            folder.add_seconds(time.perf_counter() - start)
        summary["seconds"] = folder.record["seconds"]
        folder.write_json(SUMMARY, summary)
        return summary

    def _results(self, folder: Folder, about: dict[str, Any]) -> dict[str, Any]:
        with Workers(self.n_workers) as workers:
            results = self._curves(folder, workers)
            table = self._merged(folder, results)
            checks = self._checks(folder, results, workers)
            speed = self._speed(folder, results, workers)
        summary = self._summary(folder, results, table, speed)
        summary["notes"] += checks.pop("notes")
        for part in results.parts.values():
            about["versions"].update(part.about["versions"])
        return {
            "format_version": 1,
            "kind": self.job.command,
            "name": self.job.name,
            "title": self.job.title,
            "command": self.command,
            "provenance": about,
            "settings": dict(self.job.settings()),
            "seconds": None,
            "cpu_seconds": round(sum(part.about["cpu_seconds"] for part in results.parts.values()), 1),
            "parts": {"computed": results.n_computed, "kept": len(results.parts) - results.n_computed},
            **summary,
            **checks,
        }

    def _curves(self, folder: Folder, workers: Workers) -> Results:
        """Every unit, kept or computed now."""
        units = {name: list(self._units(name, entry)) for name, entry in folder.strategies().items()}
        parts = self._kept(folder, [unit for each in units.values() for unit in each])
        failed = {each.name: each.unavailable for each in self.chosen if each.unavailable is not None}
        wanted = [unit for each in self.chosen if each.name not in failed for unit in units[each.name]]
        todo = [
            CurveTask(self.job, unit, folder)
            for unit in sorted(wanted, key=lambda unit: unit.panel)
            if unit not in parts
        ]
        names = [task.name for task in todo]
        with progress("Learning curves", names, self.n_workers, self.settings, kept=len(wanted) - len(todo)) as shown:
            for task, done in workers.work(todo, skip=lambda task: task.name in failed):
                shown.step(task.name, done.seconds)
                if isinstance(done.error, WorkerLostError):
                    failed[task.name] = str(done.error)
                elif (failure := done.value().failure) is not None:
                    failed[task.name] = failure
                else:
                    parts[task.unit] = self._written(folder, task.unit)
        n_computed = sum(task.unit in parts for task in todo)
        whole = [name for name in units if name not in failed and all(unit in parts for unit in units[name])]
        return Results(parts, sorted(whole, key=_rank), failed, n_computed)

    def _units(self, name: str, entry: Mapping[str, Any]) -> Iterator[Unit]:
        """The units of a strategy, by its entry in the settings."""
        size, address = entry["users_at_once"], Address(name, self._files().get(name))
        for panel in range(self.job.n_panels):
            if entry["worlds"] is not None and self.job.world(panel) >= entry["worlds"]:
                continue
            n_users = self.job.n_users(panel)
            n_users = n_users if entry["users"] is None else min(n_users, entry["users"])
            for start in range(0, n_users, size):
                yield Unit(panel, address, start, min(start + size, n_users), entry["digest"])

    def _files(self) -> dict[str, str | None]:
        return {each.name: each.address.file for each in self.chosen}

    def _kept(self, folder: Folder, units: Sequence[Unit]) -> dict[Unit, Part]:
        """Parts of earlier runs; says which cannot be used."""
        parts: dict[Unit, Part] = {}
        useless: dict[str, list[Unit]] = {}
        for unit in units:
            part = folder.read_part(unit, self._n_rows(unit))
            if isinstance(part, Part):
                parts[unit] = part
            elif part is not None:
                useless.setdefault(part, []).append(unit)
        for why, found in useless.items():
            which = f"{found[0].file_name} is" if len(found) == 1 else f"{len(found)} parts are"
            tell(f"{which} {why}: computed anew.")
        return parts

    def _written(self, folder: Folder, unit: Unit) -> Part:
        part = folder.read_part(unit, self._n_rows(unit))
        if not isinstance(part, Part):
            raise PrefqError(f"{unit.file_name} was written, and is {part or 'gone'}; run the same command again.")
        return part

    def _n_rows(self, unit: Unit) -> int:
        return (unit.stop - unit.start) * (self.job.n_questions + 1)

    def _checks(self, folder: Folder, results: Results, workers: Workers) -> dict[str, Any]:
        """Guards, adaptivity and information; those that an earlier run made of the same strategies are kept."""
        whole = [each for each in self.chosen if each.name in results.whole]
        tasks = check_tasks(self.job, whole)
        kept = folder.read_json(CHECKS) or {}
        found = {
            task.key: kept[task.key]
            for task in tasks
            if task.key in kept and kept[task.key].get("digest") == task.digest
        }
        todo = [task for task in tasks if task.key not in found]
        notes = []
        with progress("Checks", [task.name for task in todo], self.n_workers, self.settings) as shown:
            for task, done in workers.work(todo):
                shown.step(task.name, done.seconds)
                if done.error is None:
                    found[task.key] = {**done.result, "digest": task.digest}
                else:
                    notes.append(f"{task.name or 'The panel'} could not be checked: {done.error}")
        found = {**kept, **found}
        folder.write_json(CHECKS, found)
        summary = summarise_checks(found, results.whole)
        return {**summary, "notes": [*summary.get("notes", []), *sorted(notes)]}

    def _speed(self, folder: Folder, results: Results, workers: Workers) -> dict[str, dict[str, float]]:
        """Times by strategy: taken now, one after the other with nothing else running, or kept where nothing is new."""
        kept = (folder.read_json(SPEED) or {}).get("strategies", {})
        able = [each.address for each in self.chosen if each.name in results.whole and each.kind != ABLATION]
        if not results.n_computed and all(address.name in kept for address in able):
            return dict(kept)
        taken = {}
        names = [address.name for address in able]
        with progress("Time per question", names, 1, self.settings) as shown:
            for task, done in workers.work([SpeedTask(self.job, address) for address in able], at_once=1):
                shown.step(task.name, done.seconds)
                if done.error is None:
                    taken[task.name] = done.result
        folder.write_json(SPEED, {"strategies": {**kept, **taken}})
        return {**kept, **taken}

    def _merged(self, folder: Folder, results: Results) -> "pa.Table":
        """Rows of all whole strategies, in an order that does not depend on who computed what when."""
        import pyarrow as pa

        place = {name: i for i, name in enumerate(results.whole)}
        units = [unit for unit in results.parts if unit.strategy in place]
        units.sort(key=lambda unit: (place[unit.strategy], unit.panel, unit.start))
        if not units:
            raise PrefqError(
                f"no strategy could be measured: {next(iter(results.failed.values()), 'none was asked for')}"
            )
        table = pa.concat_tables([results.parts[unit].table for unit in units]).combine_chunks()
        folder.write_users(table)
        return table

    def _summary(
        self, folder: Folder, results: Results, table: "pa.Table", speed: Mapping[str, Mapping[str, float]]
    ) -> dict[str, Any]:
        entries = folder.strategies()
        names = sorted({*results.whole, *results.failed}, key=_rank)
        summary: dict[str, Any] = summarise(
            {name: table[name].to_numpy() for name in table.column_names},
            [Strategy(name, begin_pooled, entries[name]["summary"], kind=entries[name]["kind"]) for name in names],
            rng=np.random.default_rng([self.job.seed, zlib.crc32(b"summary")]),
            repeated=self.job.repeated,
            parts=self.job.parts(),
            open_questions=self.job.open_questions(),
            no_harm_margin=self.job.no_harm_margin,
            ms_per_question={name: each["ms_per_question"] for name, each in speed.items()},
            failed=results.failed,
        )
        for name, told in summary["strategies"].items():
            told["ms_to_begin"] = speed.get(name, {}).get("ms_to_begin")
        summary["notes"] += [*_notes(entries, results, repeated=self.job.repeated), *self.notes]
        return summary


def _entry(chosen: Chosen, limits: Limits) -> dict[str, Any]:
    """What the settings keep of a strategy."""
    limits = limits if chosen.kind == PEER else Limits()
    return {
        "kind": chosen.kind,
        "summary": chosen.summary,
        "users_at_once": chosen.users_at_once,
        "digest": chosen.digest,
        "users": limits.users,
        "worlds": limits.worlds,
    }


_KNOWN = {strategy.name: place for place, strategy in enumerate((*OURS, *CONTROLS, *BY_NAME_ONLY))}


def _rank(name: str) -> tuple[int, str]:
    """Place in the tables: ours, controls, peers by name."""
    return _KNOWN.get(name, len(_KNOWN)), name


def _notes(entries: Mapping[str, Mapping[str, Any]], results: Results, *, repeated: bool) -> Iterator[str]:
    """What a reader of the numbers has to know."""
    for name in entries:
        if name not in results.whole and name not in results.failed:
            yield f"{name} was begun in an earlier run and is not finished; name it again to have it here."
    limited = {
        (entry["users"], entry["worlds"])
        for name, entry in entries.items()
        if name in results.whole and (entry["users"], entry["worlds"]) != (None, None)
    }
    for users, worlds in sorted(limited, key=str):
        yield (
            f"Peers were measured on the {_whom(users, worlds, repeated=repeated)} only: their means are over these, "
            "and comparisons with them are paired on these."
        )
    yield from sorted({note for part in results.parts.values() for note in part.about["notes"]})
    warned: dict[str, set[str]] = {}
    for unit, part in results.parts.items():
        if unit.strategy in results.whole:
            warned.setdefault(unit.strategy, set()).update(part.about["warnings"])
    for name, told in warned.items():
        yield from (f"{name} warned: {' '.join(each.split())[:200]}" for each in sorted(told)[:SHOWN_WARNINGS])


def _whom(users: int | None, worlds: int | None, *, repeated: bool) -> str:
    """The limits of peers in words; where worlds are repeats, users are counted in each fold."""
    first = {None: "", 1: "the first"}.get(worlds, f"the first {worlds}")
    noun = "repeat" if repeated else "world"
    which = f"{first} {noun}{'s' if worlds != 1 else ''}" if first else f"each {noun}"
    if not users:
        return f"users of {which}"
    whose = f"first {users} users"
    if repeated:
        return f"{whose} of each fold" + (f" of {which}" if first else "")
    return f"{whose} of {which}" if worlds in (None, 1) else f"{whose} of each of {which}"
