"""A run of `prefq bench calibration`: worlds one by one in worker processes, and what they come to.

What is counted is in `prefq.simulation.calibration`. The summary of kind "calibration" has, besides what all have:

- `calibration`: {levels, answers, methods {name: {label, answers {k: {measure: {mean, se}, ece {mean, se}, reliability
  {count, predicted, share, se}}}}}}; reliability has one number for each tenth of predicted probability, null where no
  task fell into it;
- `sbc`: {answers, users, methods {name: {label, counts, chi_square, p_value}}}, null where the world has no true prior;
- `text` and `tables`, as `report` shows them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from prefq.errors import InputError
from prefq.simulation.calibration import (
    LEVELS,
    MEASURES,
    METHODS,
    N_BINS,
    ask,
    calibration,
    expected_calibration_error,
    jackknife,
    measures_of,
    over_panels,
    rank_test,
    sbc_ranks,
    true_coefficients,
)
from prefq.simulation.group_prior import fit_group_prior
from prefq.simulation.panels import Panel
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array
from prefq_cli.bench.folders import SUMMARY, Folder, Part, Unit
from prefq_cli.bench.progress import progress
from prefq_cli.bench.provenance import provenance
from prefq_cli.bench.strategies import Address
from prefq_cli.bench.workers import work
from prefq_cli.bench.worlds import starter_texts
from prefq_cli.console import tell
from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import Settings

FITTED, TRUE = "fitted", "true"
SBC_ANSWERS = 10
AT = 10  # answers that the sentences are about, or the last number before
EXACT = "exact, by importance sampling"
NOTHING = "–"
_ASKED, _TESTED, _RANKED = 1, 2, 3  # separate streams of a world


@dataclass(frozen=True, slots=True)
class Worlds:
    """What is measured on: worlds of one name (in full), users of each, numbers of answers, and which prior."""

    name: str
    users: int
    worlds: int
    answers: tuple[int, ...]
    prior: str
    seed: int

    def settings(self) -> dict[str, Any]:
        """All that changes numbers."""
        return {
            "world": self.name,
            "users": self.users,
            "worlds": self.worlds,
            "answers": list(self.answers),
            "prior": self.prior,
            "seed": self.seed,
        }

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
        if self.prior == TRUE and panel.true_prior is None:
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
        prior = fit_group_prior(panel.group, panel.response_model)
        if self.worlds.prior == TRUE:
            assert panel.true_prior is not None
            prior = panel.true_prior
        history = ask(panel, prior, max(self.worlds.answers), rng=np.random.default_rng([*seed, _ASKED]))
        rng = np.random.default_rng([*seed, _TESTED])
        found = calibration(panel, prior, history, self.worlds.answers, rng=rng)
        keys = [(name, k) for name in METHODS for k in self.worlds.answers]
        n = panel.n_users
        columns = {
            "world": np.full(n * len(keys), self.panel, dtype=np.int32),
            "user": np.tile(np.array(panel.user_ids, dtype=object), len(keys)),
            "method": np.repeat(np.array([name for name, _ in keys], dtype=object), n),
            "n_answers": np.repeat(np.array([k for _, k in keys], dtype=np.int32), n),
            **{each: np.concatenate([found.users[name][k][each] for name, k in keys]) for each in MEASURES},
        }
        ranks = {}
        if panel.true_prior is not None and true_coefficients(panel) is not None:
            drawn = sbc_ranks(panel, SBC_ANSWERS, rng=np.random.default_rng([*seed, _RANKED]))
            ranks = {name: each.tolist() for name, each in drawn.items()}
        bins = {name: {str(k): found.bins[name][k].tolist() for k in self.worlds.answers} for name in METHODS}
        self.folder.write_part(self.unit, columns, {"bins": bins, "ranks": ranks, "notes": list(panel.notes)})


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
        n_users, n_rows = self.worlds.users, self.worlds.users * len(METHODS) * len(self.worlds.answers)
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
        found = summed_up(self.worlds.answers, parts)
        _write_users(folder, parts)
        notes = [
            f"Prior {self.worlds.prior}: "
            + ("each world's own population, an ablation." if self.worlds.prior == TRUE else "learned from a group."),
            f"Questions are those of information_gain. ± is one standard error over {len(units)} worlds.",
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


def summed_up(answers: Sequence[int], parts: Sequence[Part]) -> dict[str, Any]:
    """Means and standard errors over worlds, reliability of all worlds together, and the test of ranks."""
    methods = {}
    for name, method in METHODS.items():
        told = {str(k): _at(name, k, parts) for k in answers}
        methods[name] = {"label": method.label, "answers": told}
    ranks = [part.about["ranks"] for part in parts]
    sbc = None
    if all(ranks):
        labels = {**{name: method.label for name, method in METHODS.items()}, "exact": EXACT}
        tests = {name: rank_test(np.concatenate([each[name] for each in ranks])) for name in ranks[0]}
        sbc = {
            "answers": SBC_ANSWERS,
            "users": sum(len(each["ep"]) for each in ranks),
            "methods": {
                name: {
                    "label": labels[name],
                    "counts": test.counts.tolist(),
                    "chi_square": _number(test.chi_square),
                    "p_value": _number(test.p_value),
                }
                for name, test in tests.items()
            },
        }
    return {"calibration": {"levels": list(LEVELS), "answers": list(answers), "methods": methods}, "sbc": sbc}


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """What was found, in words."""
    answers, methods = found["calibration"]["answers"], found["calibration"]["methods"]
    k = str(max((k for k in answers if k <= AT), default=min(answers)))
    of_what = "coefficient" if methods["ep"]["answers"][k]["coefficient_90"]["mean"] is not None else "margin"
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
        told = "; ".join(f"{each['label']}: p = {each['p_value']:.2g}" for each in found["sbc"]["methods"].values())
        yield (
            f"Simulation-based calibration, true prior, {found['sbc']['answers']} random questions, "
            f"{found['sbc']['users']:,} users; chi-square of {len(found['sbc']['methods']['ep']['counts'])} bins of "
            f"ranks, small where a posterior is wrong: {told}."
        )


def tables(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Tables of the report: coverage of coefficients and of margins, signs and reliability, ranks."""
    methods, answers = found["calibration"]["methods"], found["calibration"]["answers"]
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
            "title": f"Ranks of the truth among posterior draws, true prior and {found['sbc']['answers']} random "
            "questions: uniform if the posterior is right",
            "heading": ["posterior", "chi-square", "p"],
            "rows": [
                [each["label"], f"{each['chi_square']:.1f}", f"{each['p_value']:.2g}"]
                for each in found["sbc"]["methods"].values()
            ],
        }


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


def _share(bins: Array, place: int) -> float:
    """Share of first sides preferred in one bin; NaN in an empty one."""
    return float(bins[2, place] / bins[0, place]) if bins[0, place] else float("nan")


def _write_users(folder: Folder, parts: Sequence[Part]) -> None:
    import pyarrow as pa

    folder.write_users(pa.concat_tables([part.table for part in parts]).combine_chunks())


def _number(value: float) -> float | None:
    """As JSON has it, rounded; none where there is none."""
    return None if np.isnan(value) else float(f"{value:.4g}")


def _with_error(told: Mapping[str, float | None]) -> str:
    if told["mean"] is None:
        return NOTHING
    return f"{told['mean']:.3f}" + ("" if told["se"] is None else f" ± {told['se']:.3f}")
