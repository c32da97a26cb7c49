"""Summary of a run: from one row a user, strategy and number of answers to curves, comparisons and equivalents.

What comes out is plain JSON types with rounded numbers, small enough to be committed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.simulation.comparison import TARGETS, PairedDifference, paired_difference, unit_means
from prefq.simulation.curves import MEASURES, MILESTONES
from prefq.simulation.strategies import Strategy
from prefq.vocabulary import Array

Table: TypeAlias = Mapping[str, NDArray[Any]]
Json: TypeAlias = dict[str, Any]

# From the least that a strategy must beat to the most; a pair of them is compared once, the later with the earlier.
REFERENCES = ("pooled", "random", "spread_matched_random", "static")
DEFAULT_RULE = "information_gain"  # of ours, compared with every peer
COMPARED_MEASURES = ("log_loss", "accuracy", "auc", "best_of_n", "regret")
COMPARED_AT = tuple(at for at in MILESTONES if at > 0)  # answers
LOWER_IS_BETTER = frozenset({"log_loss", "regret", "swapped_log_loss", "words"})
SWAPPED = "swapped"  # the reference's name where a profile is compared with that of another user
EQUIVALENT_AT = 10  # answers whose worth is told in random questions
DECIMALS = 4
NOT_REACHED = ">{}"


class Results(NamedTuple):
    """A table of results as arrays, one row a person: a user of a world.

    Parameters
    ----------
    worlds, users : (n_people,)
        Numbers of the world and of the user's name.
    values
        By measure and strategy: (n_people, n_answers + 1), NaN where there is none.
    """

    worlds: NDArray[np.intp]
    users: NDArray[np.intp]
    values: Mapping[str, Mapping[str, Array]]

    def difference(self, strategy: Array, reference: Array, *, repeated: bool) -> PairedDifference:
        """Strategy minus reference (n_people,), where higher is better."""
        return paired_difference(strategy, reference, worlds=self.worlds, users=self.users if repeated else None)


def summarise(
    table: Table,
    strategies: Sequence[Strategy],
    *,
    rng: np.random.Generator,
    repeated: bool = False,
    no_harm_margin: float | None = None,
    ms_per_question: Mapping[str, float] = MappingProxyType({}),
    failed: Mapping[str, str] = MappingProxyType({}),
    n_bootstrap: int = 1000,
) -> Json:
    """The parts "strategies", "comparisons", "random_equivalents" and "notes" of a summary.

    Parameters
    ----------
    table
        Columns world, user, strategy, n_answers and one for each of `MEASURES`, all of the same length.
    strategies
        To be summarised; rows of others are left out.
    rng
        Draws the bootstrap of random equivalents.
    repeated
        Whether worlds are repeats over the same people, as the seeds of a replay are, so that users are the unit.
    no_harm_margin
        Nats of log loss. Where it is given, comparisons of log loss with `pooled` ask for "no harm": the verdict is
        "no harm" when the upper bound of the loss is below it, and the users needed are those that would show it.
    ms_per_question
        Milliseconds for a question, by strategy, where they were taken.
    failed
        Sentences, by strategy, where it could not be run.
    n_bootstrap
        Resamples of worlds, or of users where they are the unit.

    Returns
    -------
    dict
        JSON types; null where a number is not defined. A comparison that cannot tell says how many users would show
        the difference that was seen ("users_needed") and one worth finding ("users_for_target", `TARGETS`).

    Raises
    ------
    InputError
        When a column is missing, or a strategy was measured twice on one user after the same number of answers.
    """
    names = [strategy.name for strategy in strategies]
    results = read_results(table, names)
    present = [name for name in names if name in results.values[MEASURES[0]]]
    comparisons = list(_comparisons(results, strategies, repeated=repeated, no_harm_margin=no_harm_margin))
    return {
        "strategies": {
            strategy.name: {
                "kind": strategy.kind,
                "summary": strategy.summary,
                "ms_per_question": _rounded(ms_per_question.get(strategy.name, math.nan)),
                "failed": failed.get(strategy.name, None if strategy.name in present else "Nobody was measured."),
                **_curves(results, strategy.name, repeated=repeated),
            }
            for strategy in strategies
        },
        "comparisons": comparisons,
        "random_equivalents": {
            name: equivalents
            for name in present
            if name != "random"
            and (equivalents := _random_equivalents(results, name, rng, n_bootstrap, repeated=repeated))
        },
        "notes": _notes(results, comparisons, repeated=repeated),
    }


def read_results(table: Table, strategies: Sequence[str]) -> Results:
    """Arrays of the strategies that are named, from a table in long form.

    Raises
    ------
    InputError
        When a column is missing, or a strategy was measured twice on one user after the same number of answers.
    """
    missing = [name for name in ("world", "user", "strategy", "n_answers", *MEASURES) if name not in table]
    if missing:
        raise InputError(f"the table of results has no column {', '.join(missing)}; give every column of a run.")
    _, users = np.unique(np.asarray(table["user"]).astype(str), return_inverse=True)
    worlds, n_answers = np.asarray(table["world"], dtype=np.intp), np.asarray(table["n_answers"], dtype=np.intp)
    pairs, people = np.unique(np.stack([worlds, users]), axis=1, return_inverse=True)
    people = people.reshape(-1)
    shape = (pairs.shape[1], int(n_answers.max(initial=-1)) + 1)
    names = np.asarray(table["strategy"]).astype(str)
    values: dict[str, dict[str, Array]] = {measure: {} for measure in MEASURES}
    for strategy in strategies:
        rows = np.flatnonzero(names == strategy)
        cells = people[rows] * shape[1] + n_answers[rows]
        if np.unique(cells).size < cells.size:
            raise InputError(
                f"strategy {strategy!r} was measured twice on one user of one world after the same number of answers; "
                "merge each finished part once."
            )
        for measure in MEASURES if rows.size else ():
            array = np.full(shape, np.nan)
            array.flat[cells] = np.asarray(table[measure], dtype=np.float64)[rows]
            values[measure][strategy] = array
    return Results(pairs[0], pairs[1], values)


def random_equivalent(curve: Array, target: Array) -> Array:
    """How many random questions reach a target, read off the mean curve of `random` by linear interpolation.

    Parameters
    ----------
    curve : (n_samples, n_answers + 1)
        Mean after 0, 1, … random questions, higher is better.
    target : (n_samples,)
        To be reached.

    Returns
    -------
    (n_samples,)
        Where the curve first reaches the target: 0 where it starts there, infinite where it does not get there.

    Examples
    --------
    >>> random_equivalent(np.array([[0.5, 0.6, 0.7]]), np.array([0.675]))
    array([1.75])
    """
    reached = curve >= target[:, None]
    step = reached.argmax(axis=1)
    at = np.arange(len(curve))
    before, after = curve[at, np.maximum(step - 1, 0)], curve[at, step]
    rise = np.where(after > before, after - before, 1.0)
    between = np.where(step > 0, step - 1 + (target - before) / rise, 0.0)
    return np.where(reached.any(axis=1), between, np.inf)


def _curves(results: Results, strategy: str, *, repeated: bool) -> Json:
    curves: Json = {}
    n_users = n_worlds = 0
    for measure, arrays in results.values.items():
        if strategy not in arrays or np.isnan(arrays[strategy]).all():
            continue
        zero = np.zeros(len(results.worlds))
        found = [results.difference(values, zero, repeated=repeated) for values in arrays[strategy].T]
        n_users = max(n_users, *(each.n_users for each in found))
        n_worlds = max(n_worlds, *(each.n_worlds for each in found))
        curves[measure] = {
            "mean": [_rounded(each.estimate) for each in found],
            "se": [_rounded(each.se) for each in found],
        }
    return {"n_users": n_users, "n_worlds": n_worlds, "curves": curves}


def _pairs(strategies: Sequence[Strategy]) -> Iterator[tuple[str, str]]:
    """Names of strategies and what each is compared with."""
    names = [strategy.name for strategy in strategies]
    for name in names:
        stop = REFERENCES.index(name) if name in REFERENCES else len(REFERENCES)
        yield from ((name, reference) for reference in REFERENCES[:stop] if reference in names)
    if DEFAULT_RULE in names:
        yield from ((DEFAULT_RULE, strategy.name) for strategy in strategies if strategy.kind == "peer")


def _comparisons(
    results: Results, strategies: Sequence[Strategy], *, repeated: bool, no_harm_margin: float | None
) -> Iterator[Json]:
    values = results.values
    wanted = [
        (name, reference, measure, values[measure].get(name), values[measure].get(reference))
        for name, reference in _pairs(strategies)
        for measure in COMPARED_MEASURES
    ]
    wanted += [
        (strategy.name, SWAPPED, measure, values[measure].get(strategy.name), values[other].get(strategy.name))
        for strategy in strategies
        if strategy.name != REFERENCES[0]  # one profile for everybody is its own swap
        for measure, other in (("log_loss", "swapped_log_loss"), ("accuracy", "swapped_accuracy"))
    ]
    for name, reference, measure, own, others in wanted:
        if own is None or others is None:
            continue
        sign = -1.0 if measure in LOWER_IS_BETTER else 1.0
        for n_answers in (at for at in COMPARED_AT if at < own.shape[1]):
            found = results.difference(sign * own[:, n_answers], sign * others[:, n_answers], repeated=repeated)
            margin = no_harm_margin if (reference, measure) == ("pooled", "log_loss") else None
            if found.n_users:
                entry = {"strategy": name, "reference": reference, "measure": measure, "n_answers": n_answers}
                yield {**entry, **_entry(found, measure, margin)}


def _entry(found: PairedDifference, measure: str, no_harm_margin: float | None) -> Json:
    verdict = found.verdict if no_harm_margin is None else found.no_harm_verdict(no_harm_margin)
    needed = for_target = None
    if verdict == "cannot tell":
        needed = found.users_needed(no_harm_margin)
        for_target = found.users_needed(TARGETS[measure]) if measure in TARGETS else None
    return {
        "difference": _rounded(found.estimate),
        "se": _rounded(found.se),
        "low": _rounded(found.low),
        "high": _rounded(found.high),
        "verdict": verdict,
        "users_needed": needed,
        "n_users": found.n_users,
        "n_worlds": found.n_worlds,
        # Only where they say something: there are a thousand entries in a summary.
        **({} if for_target is None else {"users_for_target": for_target}),
        **({"n_left_out": found.users_left_out} if found.users_left_out else {}),
    }


def _random_equivalents(
    results: Results, strategy: str, rng: np.random.Generator, n_bootstrap: int, *, repeated: bool
) -> Json | None:
    """By log loss: what `random` needs for what the strategy reaches, with a bootstrap interval over units."""
    values = results.values["log_loss"]
    if "random" not in values:
        return None
    random = -values["random"]
    at = min(EQUIVALENT_AT, random.shape[1] - 1)
    reached = -values[strategy][:, at]
    there = ~np.isnan(random).any(axis=1) & ~np.isnan(reached)
    if not there.any():
        return None
    worlds = results.worlds[there]
    by_user = repeated or np.unique(worlds).size == 1
    units = unit_means(np.column_stack([random, reached])[there], results.users[there] if by_user else worlds)
    shares = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=n_bootstrap) / len(units)
    samples = np.vstack([units.mean(axis=0), shares @ units])
    needed = random_equivalent(samples[:, :-1], samples[:, -1])
    # No interpolation between a number and infinity: the interval's ends are samples.
    low, high = np.quantile(needed[1:], [0.025, 0.975], method="nearest") if len(units) > 1 else (np.nan, np.nan)
    limit = NOT_REACHED.format(random.shape[1] - 1)
    ends = {"value": needed[0], "low": low, "high": high}
    shown = {name: limit if np.isposinf(end) else _rounded(end, 1) for name, end in ends.items()}
    return {"at": at, "measure": "log_loss", **shown}


def _notes(results: Results, comparisons: Sequence[Json], *, repeated: bool) -> list[str]:
    n_worlds, n_users = np.unique(results.worlds).size, np.unique(results.users).size
    if repeated:
        unit = f"Intervals are t intervals over {n_users} users, each averaged over {n_worlds} repeats first."
    elif n_worlds > 1:
        unit = f"Intervals are t intervals over the means of {n_worlds} worlds."
    else:
        unit = f"One world: intervals are t intervals over its {n_users} users and say nothing of other worlds."
    notes = [unit]
    if comparisons:
        notes.append(
            f"Each of {len(comparisons)} comparisons has a 95 % interval of its own: of equals, about one in twenty is "
            "told apart by chance."
        )
    left_out = max((entry.get("n_left_out", 0) for entry in comparisons), default=0)
    if left_out:
        notes.append(f"Users measured under one strategy only are left out of its comparisons: at most {left_out}.")
    return notes


def _rounded(value: float, decimals: int = DECIMALS) -> float | None:
    return round(float(value), decimals) if math.isfinite(value) else None
