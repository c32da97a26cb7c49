"""A run of `prefq bench calibration`: worlds one by one in worker processes, and what they come to.

What is counted is in `prefq.simulation.calibration`. The summary of kind "calibration" has, besides what all have:

- `calibration`: {levels, answers, methods {name: {label, answers {k: {measure: {mean, se}, ece {mean, se}, reliability
  {count, predicted, share, se}}}}}}; reliability has one number for each tenth of predicted probability, null where no
  task fell into it;
- `sbc`: {answers, users, methods {name: {label, points, shares, lower, upper, p_value, passed}}}, null where the world
  has no true prior: the empirical distribution of posterior probabilities below the truth, and simultaneous 95 % bands;
- `goals`: {method, tolerance, checks [{what, answers, wanted, reached, se, within, met}]}, of the posterior that people
  are told from;
- `text` and `tables`, as `report` shows them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from prefq.errors import InputError
from prefq.simulation.calibration import (
    EXACT,
    EXACT_LABEL,
    LEVELS,
    MEASURES,
    METHODS,
    N_BINS,
    ask,
    calibration,
    expected_calibration_error,
    jackknife,
    over_panels,
    sbc_values,
    true_coefficients,
)
from prefq.simulation.exact_draws import MOST_FEATURES
from prefq.simulation.panels import Panel, Start
from prefq.simulation.starts import fitted_start
from prefq.simulation.synthetic import make_world
from prefq.simulation.uniformity import ecdf_test
from prefq.vocabulary import Array, Gaussian, ResponseModel
from prefq_cli.bench.calibration_goals import ENVELOPE, GOAL_METHOD, TRUE, checks, tolerance
from prefq_cli.bench.calibration_report import exact_notes, response_notes, sentences, tables
from prefq_cli.bench.folders import SUMMARY, Folder, Part, Unit
from prefq_cli.bench.progress import progress
from prefq_cli.bench.provenance import provenance
from prefq_cli.bench.strategies import Address
from prefq_cli.bench.workers import work
from prefq_cli.bench.worlds import starter_texts
from prefq_cli.console import tell
from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import Settings

SBC_ANSWERS = 10
_ASKED, _TESTED, _RANKED, _BANDS = 1, 2, 3, 4  # separate streams of a world


@dataclass(frozen=True, slots=True)
class Worlds:
    """What is measured on: worlds of one name (in full), users of each, numbers of answers, and which prior.

    exact is for how many users of each world the exact posterior is counted too.
    """

    name: str
    users: int
    worlds: int
    answers: tuple[int, ...]
    prior: str
    seed: int
    exact: int = 0

    def settings(self) -> dict[str, Any]:
        """All that changes numbers."""
        return {
            "world": self.name,
            "users": self.users,
            "worlds": self.worlds,
            "answers": list(self.answers),
            "prior": self.prior,
            "seed": self.seed,
            "exact": self.exact,
        }

    def methods(self, n_features: int) -> tuple[str, ...]:
        """Which posteriors are counted."""
        return (*METHODS, EXACT) if self.exact and n_features <= MOST_FEATURES else tuple(METHODS)

    def make(self, world: int, n_users: int) -> Panel:
        return make_world(
            self.name, n_users=n_users, rng=np.random.default_rng([self.seed, world]), texts=starter_texts
        )

    def check(self) -> None:
        """InputError when the worlds cannot be measured so."""
        panel = self.make(0, 1)
        if max(self.answers) > panel.outcomes.shape[1]:
            raise InputError(
                f"--answers has {max(self.answers)}, and a pool of the world {self.name!r} has "
                f"{panel.outcomes.shape[1]} questions; give {panel.outcomes.shape[1]} or fewer."
            )
        if self.prior == TRUE and not isinstance(panel.true_prior, Gaussian):
            raise InputError(
                f"the users of the world {self.name!r} have no one Gaussian prior; leave --true-prior out."
            )


@dataclass(frozen=True, slots=True)
class WorldTask:
    """One world: asked, fitted, counted, and written by the worker."""

    worlds: Worlds
    unit: Unit
    folder: Folder

    @property
    def panel(self) -> int:
        return self.unit.panel

    def __call__(self) -> None:
        panel, seed = self.worlds.make(self.panel, self.worlds.users), [self.worlds.seed, self.panel]
        start, model = self._start(panel)
        history = ask(panel, start, max(self.worlds.answers), rng=np.random.default_rng([*seed, _ASKED]))
        rng, n_exact = np.random.default_rng([*seed, _TESTED]), self.worlds.exact
        found = calibration(panel, start, history, self.worlds.answers, rng=rng, n_exact=n_exact)
        keys = [(name, k) for name in found.users for k in self.worlds.answers]
        n = panel.n_users
        columns = {
            "world": np.full(n * len(keys), self.panel, dtype=np.int32),
            "user": np.tile(np.array(panel.user_ids, dtype=object), len(keys)),
            "method": np.repeat(np.array([name for name, _ in keys], dtype=object), n),
            "n_answers": np.repeat(np.array([k for _, k in keys], dtype=np.int32), n),
            **{each: np.concatenate([found.users[name][k][each] for name, k in keys]) for each in MEASURES},
        }
        values = {}
        if isinstance(panel.true_prior, Gaussian) and true_coefficients(panel) is not None:
            rng = np.random.default_rng([*seed, _RANKED])
            drawn = sbc_values(panel, SBC_ANSWERS, rng=rng, response_model=model)
            values = {name: each.tolist() for name, each in drawn.items()}
        bins = {name: {str(k): each[k].tolist() for k in self.worlds.answers} for name, each in found.bins.items()}
        told = {"bins": bins, "values": values, "notes": list(panel.notes), "response_model": model.to_dict()}
        self.folder.write_part(self.unit, columns, told)

    def _start(self, panel: Panel) -> tuple[Start, ResponseModel]:
        """Where the users start, and how replies are taken to arise."""
        if self.worlds.prior == TRUE and panel.true_prior is not None:
            return panel.true_prior, panel.response_model
        fitted = fitted_start(panel)
        return fitted, fitted.response_model


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """A run that was asked for; calling it computes the worlds that are not there yet and gives the summary."""

    worlds: Worlds
    n_workers: int
    out: Path
    command: str
    settings: Settings

    def __call__(self) -> dict[str, Any]:
        """The summary, as in `summary.json`; Ctrl-C ends with exit code 130 and keeps finished worlds."""
        try:
            return self._run()
        except KeyboardInterrupt:
            kept = sum(1 for _ in self.out.glob("parts/*.parquet"))
            tell(f"Interrupted: {kept} finished worlds are kept in {self.out}; the same command goes on from there.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    def _run(self) -> dict[str, Any]:
        began, about = time.perf_counter(), provenance()
        folder = Folder.open(self.out, "calibration", self.worlds.settings(), about)
        n_users, methods = self.worlds.users, self.worlds.methods(self.worlds.make(0, 1).first.shape[-1])
        n_rows = n_users * len(methods) * len(self.worlds.answers)
        units = [Unit(world, Address("calibration"), 0, n_users) for world in range(self.worlds.worlds)]
        kept = {unit: part for unit in units if isinstance(part := folder.read_part(unit, n_rows), Part)}
        todo = [WorldTask(self.worlds, unit, folder) for unit in units if unit not in kept]
        with progress("Worlds", ["world"] * len(todo), self.n_workers, self.settings, kept=len(kept)) as shown:
            for _, done in work(todo, self.n_workers):
                done.value()
                shown.step("world", done.seconds)
        parts = [part for unit in units if isinstance(part := folder.read_part(unit, n_rows), Part)]
        if len(parts) < len(units):
            raise InputError(f"{len(units) - len(parts)} worlds were written and are gone; run the same command again.")
        found = summed_up(self.worlds, methods, parts)
        _write_users(folder, parts)
        notes = [
            f"Prior {self.worlds.prior}: "
            + ("each world's own population, an ablation." if self.worlds.prior == TRUE else "learned from a group."),
            f"Questions are those of information_gain. {_error_told(len(units), n_users)}",
            *exact_notes(self.worlds.exact, methods),
            *response_notes([part.about["response_model"] for part in parts]),
            *dict.fromkeys(note for part in parts for note in part.about["notes"]),
        ]
        summary = {
            "format_version": 1,
            "kind": "calibration",
            "name": f"{self.worlds.name}{', true prior' if self.worlds.prior == TRUE else ''}",
            "title": f"Calibration: {self.worlds.name}, {self.worlds.prior} prior",
            "command": self.command,
            "provenance": about,
            "settings": self.worlds.settings(),
            "seconds": round(time.perf_counter() - began, 1),
            **found,
            "text": " ".join(sentences(found)),
            "tables": list(tables(found)),
            "notes": notes,
        }
        folder.write_json(SUMMARY, summary)
        return summary


def summed_up(worlds: Worlds, methods: Sequence[str], parts: Sequence[Part]) -> dict[str, Any]:
    """Means and standard errors over worlds, reliability of all worlds together, the test of uniformity, the goals."""
    labels = {**{name: method.label for name, method in METHODS.items()}, EXACT: EXACT_LABEL}
    told = {
        name: {"label": labels[name], "answers": {str(k): _at(name, k, parts) for k in worlds.answers}}
        for name in methods
    }
    values, sbc = [part.about["values"] for part in parts], None
    if all(values):
        tests = {
            name: {"label": labels[name], **_tested(np.concatenate([each[name] for each in values]), worlds.seed)}
            for name in values[0]
        }
        sbc = {"answers": SBC_ANSWERS, "users": sum(len(each[GOAL_METHOD]) for each in values), "methods": tests}
    found = {"levels": list(LEVELS), "answers": list(worlds.answers), "methods": told}
    within = tolerance(worlds.name, worlds.prior)
    goals = {"method": GOAL_METHOD, "tolerance": within, "checks": list(checks(found, sbc, within))}
    return {"calibration": found, "sbc": sbc, "goals": goals}


def _tested(values: Array, seed: int) -> dict[str, Any]:
    """The test of uniformity, as JSON."""
    test = ecdf_test(values, rng=np.random.default_rng([seed, _BANDS]), level=ENVELOPE)
    arrays = {
        name: [float(f"{each:.4g}") for each in getattr(test, name)] for name in ("points", "shares", "lower", "upper")
    }
    return {**arrays, "p_value": _number(test.p_value), "passed": test.passed}


def _at(name: str, n_answers: int, parts: Sequence[Part]) -> dict[str, Any]:
    """What a method came to after so many answers."""

    def of_part(part: Part, measure: str) -> Array:
        table = part.table
        here = (table["method"].to_numpy() == name) & (table["n_answers"].to_numpy() == n_answers)
        return np.asarray(table[measure].to_numpy()[here], dtype=np.float64)

    bins = [np.array(part.about["bins"][name][str(n_answers)]) for part in parts]
    measured = {each: over_panels([of_part(part, each) for part in parts])._asdict() for each in MEASURES}
    measured["ece"] = jackknife(expected_calibration_error, bins)._asdict()
    count, predicted, _ = np.sum(bins, axis=0)
    shares = [jackknife(lambda each, place=place: _share(each, place), bins) for place in range(N_BINS)]  # type: ignore[misc]
    return {
        **{each: {key: _number(value) for key, value in told.items()} for each, told in measured.items()},
        "reliability": {
            "count": count.astype(int).tolist(),
            "predicted": [_number(p / n) if n else None for p, n in zip(predicted, count, strict=True)],
            "share": [_number(share.mean) for share in shares],
            "se": [_number(share.se) for share in shares],
        },
    }


def _error_told(n_worlds: int, n_users: int) -> str:
    if n_worlds == 1:
        return f"One world: ± is one standard error over its {n_users} users and says nothing of other worlds."
    return f"± is one standard error over {n_worlds} worlds."


def _share(bins: Array, place: int) -> float:
    """Share of first sides preferred in one bin; NaN in an empty one."""
    return float(bins[2, place] / bins[0, place]) if bins[0, place] else float("nan")


def _write_users(folder: Folder, parts: Sequence[Part]) -> None:
    import pyarrow as pa

    folder.write_users(pa.concat_tables([part.table for part in parts]).combine_chunks())


def _number(value: float) -> float | None:
    """As JSON has it, rounded; none where there is none."""
    return None if np.isnan(value) else float(f"{value:.4g}")
