"""Summary of a run: from one row a user, strategy and number of answers to curves, comparisons and equivalents.

What comes out is plain JSON types with rounded numbers, small enough to be committed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from prefq.errors import InputError
from prefq.simulation.comparison import TARGETS, PairedDifference, means_of_units, paired_difference
from prefq.simulation.curves import MEASURES, MILESTONES
from prefq.simulation.strategies import Strategy
from prefq.vocabulary import Array

Table: TypeAlias = Mapping[str, NDArray[Any]]
Json: TypeAlias = dict[str, Any]

# From the least that a strategy must beat to the most; a pair of them is compared once, the later with the earlier.
REFERENCES = ("pooled", "random", "spread_matched_random", "static")
# Of ours, compared with all others but controls; the second learns base rewards first, where these are to be learned.
DEFAULT_RULES = ("information_gain", "learned_bayes")
DEFAULT_RULE = DEFAULT_RULES[0]
CEILING = "right_prior"  # what no prior can be ahead of, compared with priors of one Gaussian
BELOW_CEILING = ("one_gaussian", "right_gaussian")
COMPARED_MEASURES = ("log_loss", "accuracy", "auc", "best_of_n", "regret")
COMPARED_AT = tuple(sorted({1, 18, *(at for at in MILESTONES if at > 0)}))  # answers
LOWER_IS_BETTER = frozenset({"log_loss", "regret", "swapped_log_loss", "words"})
SWAPPED = "swapped"  # the reference's name where a profile is compared with that of another user
AT = 10  # answers whose worth is told in random questions, and in each part
ENOUGH = 2 * AT  # open questions from which a person has a choice of `AT` among more
COMPARED_BY_PART = ("pooled", "random", "static")
STATED = ("stated", "stated_then_questions")
LEAST_BOOTSTRAPPED = 5  # units: resamples of fewer are too few different ones to tell a spread from
DECIMALS = 4
NOT_REACHED = ">{}"


class Parts(NamedTuple):
    """What users on record have in common when they share a pool and a prior.

    Parameters
    ----------
    kind
        What a part is, in the singular: "conversation".
    of_users
        Name of the part, by the user's name.
    """

    kind: str
    of_users: Mapping[str, str]


class Results(NamedTuple):
    """A table of results as arrays, one row a person: a user of a world.

    Parameters
    ----------
    worlds, users : (n_people,)
        Numbers of the world and of the user's name.
    values
        By measure and strategy: (n_people, n_answers + 1), NaN where there is none.
    repeated
        Whether worlds are repeats over the same people.
    user_ids : (n_users,)
        Names, by the users' numbers.
    parts : (n_people,), optional
        Numbers of the parts.
    part_names
        By these numbers.
    part_kind
        What a part is, in the singular.
    """

    worlds: NDArray[np.intp]
    users: NDArray[np.intp]
    values: Mapping[str, Mapping[str, Array]]
    repeated: bool = False
    user_ids: tuple[str, ...] = ()
    parts: NDArray[np.intp] | None = None
    part_names: tuple[str, ...] = ()
    part_kind: str = ""

    @property
    def unit(self) -> str:
        """Of inference, in the plural."""
        if self.repeated:
            return f"{self.part_kind}s" if len(self.part_names) > 1 else "users"
        return "worlds" if np.unique(self.worlds).size > 1 else "users"

    def difference(self, strategy: Array, reference: Array) -> PairedDifference:
        """Strategy minus reference (n_people,), where higher is better."""
        return paired_difference(strategy, reference, worlds=self.worlds, users=self._people, parts=self._parts)

    def means_of_units(self, values: Array, there: NDArray[np.bool_]) -> Array:
        """Of the rows of values (n_people, …) that are there (n_people,): (n_units, …)."""
        return means_of_units(values, there, worlds=self.worlds, users=self._people, parts=self._parts)

    def gains(self, strategy: str, reference: str, measure: str, n_answers: int) -> tuple[Array, Array] | None:
        """Both measures (n_people,), higher being better; None where one was not measured."""
        of_both = [self.values[measure].get(name) for name in (strategy, reference)]
        if any(each is None or n_answers >= each.shape[1] for each in of_both):
            return None
        sign = -1.0 if measure in LOWER_IS_BETTER else 1.0
        own, others = (sign * each[:, n_answers] for each in of_both if each is not None)
        return own, others

    @property
    def _people(self) -> NDArray[np.intp] | None:
        return self.users if self.repeated else None

    @property
    def _parts(self) -> NDArray[np.intp] | None:
        return self.parts if self.repeated else None


def summarise(
    table: Table,
    strategies: Sequence[Strategy],
    *,
    rng: np.random.Generator,
    repeated: bool = False,
    parts: Parts | None = None,
    open_questions: Mapping[tuple[int, str], int] = MappingProxyType({}),
    no_harm_margin: float | None = None,
    ms_per_question: Mapping[str, float] = MappingProxyType({}),
    failed: Mapping[str, str] = MappingProxyType({}),
    n_bootstrap: int = 2000,
) -> Json:
    """The parts "unit", "strategies", "comparisons", "random_equivalents" and "notes" of a summary, and of some more.

    "unit" is the unit of inference: "worlds", "users", or parts such as "conversations".

    Where the record has several parts, "by_part" has what the rule gains in each, in nats of log loss, with the
    standard error over its people; differences are null where there are none:
    {"unit": "conversation", "strategy", "measure", "n_answers", "rows": [{"part": name, "n_users",
    "pooled": {"difference", "se"}, "random": {…}, "static": {…}}]}.

    Where some people have too few questions for a choice, "enough_questions" compares the rule among the others:
    {"at_least": 20, "n_users", "comparisons": [entries like those of "comparisons"]}.

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
    parts
        Of a record: where they are several, they are the unit.
    open_questions
        How many questions a user can be asked, by world and user; not needed where everybody has enough.
    no_harm_margin
        Nats of log loss. Where it is given, comparisons of log loss with `pooled` ask for "no harm": the verdict is
        "no harm" when the upper bound of the loss is below it, and the users needed are those that would show it.
    ms_per_question
        Milliseconds for a question, by strategy, where they were taken.
    failed
        Sentences, by strategy, where it could not be run.
    n_bootstrap
        Resamples of units.

    Returns
    -------
    dict
        JSON types; null where a number is not defined. A comparison that cannot tell says how many users would show
        the difference that was seen ("users_needed") and one worth finding ("users_for_target", `TARGETS`).

    Raises
    ------
    InputError
        When a column is missing, a user has no part, or a strategy was measured twice on one user after the same
        number of answers.
    """
    names = [strategy.name for strategy in strategies]
    results = read_results(table, names, repeated=repeated, parts=parts)
    present = [name for name in names if name in results.values[MEASURES[0]]]
    comparisons = list(_comparisons(results, strategies, no_harm_margin=no_harm_margin))
    by_part, enough = _by_part(results), _enough_questions(results, open_questions, no_harm_margin)
    return {
        "unit": results.unit,
        "strategies": {
            strategy.name: {
                "kind": strategy.kind,
                "summary": strategy.summary,
                "ms_per_question": _rounded(ms_per_question.get(strategy.name, math.nan)),
                "failed": failed.get(strategy.name, None if strategy.name in present else "Nobody was measured."),
                **_curves(results, strategy.name),
            }
            for strategy in strategies
        },
        "comparisons": comparisons,
        "random_equivalents": {
            name: equivalents
            for name in present
            if name != "random" and (equivalents := _random_equivalents(results, name, rng, n_bootstrap))
        },
        **({} if by_part is None else {"by_part": by_part}),
        **({} if enough is None else {"enough_questions": enough}),
        "notes": [*_notes(results, comparisons), *_notes_on_enough(enough)],
    }


def read_results(
    table: Table, strategies: Sequence[str], *, repeated: bool = False, parts: Parts | None = None
) -> Results:
    """Arrays of the strategies that are named, from a table in long form.

    Raises
    ------
    InputError
        When a column is missing, a user has no part, or a strategy was measured twice on one user after the same
        number of answers.
    """
    missing = [name for name in ("world", "user", "strategy", "n_answers", *MEASURES) if name not in table]
    if missing:
        raise InputError(f"the table of results has no column {', '.join(missing)}; give every column of a run.")
    user_ids, users = np.unique(np.asarray(table["user"]).astype(str), return_inverse=True)
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
    results = Results(pairs[0], pairs[1], values, repeated, tuple(user_ids.tolist()))
    if parts is None:
        return results
    without = [user for user in results.user_ids if user not in parts.of_users]
    if without:
        raise InputError(f"user {without[0]!r} has no {parts.kind}; give one for each user ({len(without)} have none).")
    part_names, numbers = np.unique([parts.of_users[user] for user in results.user_ids], return_inverse=True)
    return results._replace(
        parts=numbers.astype(np.intp)[results.users], part_names=tuple(part_names.tolist()), part_kind=parts.kind
    )


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


def _curves(results: Results, strategy: str) -> Json:
    curves: Json = {}
    n_users = n_worlds = 0
    for measure, arrays in results.values.items():
        if strategy not in arrays or np.isnan(arrays[strategy]).all():
            continue
        zero = np.zeros(len(results.worlds))
        found = [results.difference(values, zero) for values in arrays[strategy].T]
        n_users = max(n_users, *(each.n_users for each in found))
        n_worlds = max(n_worlds, *(each.n_worlds for each in found))
        curves[measure] = {
            "mean": [_rounded(each.estimate) for each in found],
            "se": [_rounded(each.se) for each in found],
        }
    return {"n_users": n_users, "n_worlds": n_worlds, "curves": curves}


def _pairs(strategies: Sequence[Strategy]) -> Iterator[tuple[str, str]]:
    """Names of strategies and what each is compared with."""
    names = [strategy.name for strategy in strategies if strategy.kind != "ablation"]
    for name in names:
        stop = REFERENCES.index(name) if name in REFERENCES else len(REFERENCES)
        yield from ((name, reference) for reference in REFERENCES[:stop] if reference in names)
    others = [strategy.name for strategy in strategies if strategy.kind != "control"]
    for place, rule in enumerate(DEFAULT_RULES):
        yield from ((rule, name) for name in others if rule in names and name not in DEFAULT_RULES[: place + 1])
    everybody = [strategy.name for strategy in strategies]
    yield from ((CEILING, name) for name in BELOW_CEILING if CEILING in everybody and name in everybody)


def _comparisons(results: Results, strategies: Sequence[Strategy], *, no_harm_margin: float | None) -> Iterator[Json]:
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
            found = results.difference(sign * own[:, n_answers], sign * others[:, n_answers])
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
        "n_units": found.n_units,
        # Only where they say something: there are a thousand entries in a summary.
        **({} if for_target is None else {"users_for_target": for_target}),
        **({"n_left_out": found.users_left_out} if found.users_left_out else {}),
    }


def _by_part(results: Results) -> Json | None:
    """What the rule gains in each part, with standard errors over its people."""
    if results.parts is None or len(results.part_names) < 2:
        return None
    references = {name: results.gains(DEFAULT_RULE, name, "log_loss", AT) for name in COMPARED_BY_PART}
    if not any(references.values()):
        return None
    rows = []
    for number, name in enumerate(results.part_names):
        within = results.parts == number
        # Within a part its people are the unit, each averaged over the repeats.
        found = {
            reference: None
            if both is None
            else paired_difference(
                both[0][within], both[1][within], worlds=results.worlds[within], users=results.users[within]
            )
            for reference, both in references.items()
        }
        rows.append(
            {
                "part": name,
                "n_users": max(each.n_users for each in found.values() if each is not None),
                **{
                    reference: None
                    if each is None
                    else {"difference": _rounded(each.estimate), "se": _rounded(each.se)}
                    for reference, each in found.items()
                },
            }
        )
    return {
        "unit": results.part_kind,
        "strategy": DEFAULT_RULE,
        "measure": "log_loss",
        "n_answers": AT,
        "rows": rows,
    }


def _enough_questions(
    results: Results, open_questions: Mapping[tuple[int, str], int], no_harm_margin: float | None
) -> Json | None:
    """The rule's comparisons among people with a choice; None where that is everybody, or nobody."""
    people = zip(results.worlds.tolist(), results.users.tolist(), strict=True)
    enough = np.array(
        [open_questions.get((world, results.user_ids[user]), ENOUGH) >= ENOUGH for world, user in people], dtype=bool
    )
    if enough.all() or not enough.any():
        return None
    comparisons = []
    for reference in COMPARED_BY_PART:
        both = results.gains(DEFAULT_RULE, reference, "log_loss", AT)
        if both is None:
            continue
        found = results.difference(np.where(enough, both[0], np.nan), np.where(enough, both[1], np.nan))
        margin = no_harm_margin if reference == "pooled" else None
        entry = {"strategy": DEFAULT_RULE, "reference": reference, "measure": "log_loss", "n_answers": AT}
        comparisons.append({**entry, **_entry(found, "log_loss", margin)})
    if not comparisons:
        return None
    n_users = max(entry["n_users"] for entry in comparisons)
    return {"at_least": ENOUGH, "n_users": n_users, "comparisons": comparisons}


def _random_equivalents(results: Results, strategy: str, rng: np.random.Generator, n_bootstrap: int) -> Json | None:
    """By log loss: what `random` needs for what the strategy reaches, with a bootstrap interval over units.

    Percentiles of a bootstrap over n units make a mean's interval too narrow, for a resample's variance is (n - 1) / n
    of the estimate and has no t behind it. So the percentiles are those that a normal distribution has beyond
    √(n / (n - 1)) times the t quantile (the expanded percentile interval: Hesterberg 2015, "What teachers should know
    about the bootstrap", The American Statistician 69). There is none with fewer than `LEAST_BOOTSTRAPPED` units.
    """
    values = results.values["log_loss"]
    if "random" not in values:
        return None
    random = -values["random"]
    at = min(AT, random.shape[1] - 1)
    reached = -values[strategy][:, at]
    there = ~np.isnan(random).any(axis=1) & ~np.isnan(reached)
    if not there.any():
        return None
    units = results.means_of_units(np.column_stack([random, reached]), there)
    n_units = len(units)
    samples = units.mean(axis=0)[None]
    if n_units >= LEAST_BOOTSTRAPPED:
        shares = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_bootstrap) / n_units
        samples = np.vstack([samples, shares @ units])
    value, *others = random_equivalent(samples[:, :-1], samples[:, -1])
    low = high = np.nan
    if others:
        tail = float(ndtr(-math.sqrt(n_units / (n_units - 1)) * stdtrit(n_units - 1, 0.975)))
        # No interpolation between a number and infinity: the interval's ends are samples.
        low, high = np.quantile(others, [tail, 1 - tail], method="nearest")
    limit = NOT_REACHED.format(random.shape[1] - 1)
    ends = {"value": value, "low": low, "high": high}
    shown = {name: limit if np.isposinf(end) else _rounded(end, 1) for name, end in ends.items()}
    return {"at": at, "measure": "log_loss", **shown, "n_units": n_units}


def _notes(results: Results, comparisons: Sequence[Json]) -> Iterator[str]:
    n_worlds, n_users = np.unique(results.worlds).size, np.unique(results.users).size
    seeds = "" if n_worlds == 1 else f", each averaged over {n_worlds} repeats first"
    if results.repeated and results.unit != "users":
        yield (
            f"Intervals are t intervals over {len(results.part_names)} {results.unit}, each the mean of its people"
            f"{seeds}: {n_users} people in all, who share the pool and the prior of their {results.part_kind}."
        )
    elif results.repeated:
        yield f"Intervals are t intervals over {n_users} users{seeds}."
    elif n_worlds > 1:
        yield f"Intervals are t intervals over the means of {n_worlds} worlds."
    else:
        yield f"One world: intervals are t intervals over its {n_users} users and say nothing of other worlds."
    yield from _fewer_units(results)
    if comparisons:
        yield (
            f"Each of {len(comparisons)} comparisons has a 95 % interval of its own: of equals, about one in twenty is "
            "told apart by chance."
        )
    left_out = max((entry.get("n_left_out", 0) for entry in comparisons), default=0)
    if left_out:
        yield f"Users measured under one strategy only are left out of its comparisons: at most {left_out}."
    if any(name in results.values["log_loss"] for name in STATED):
        yield (
            "What a user states of themselves is given before the first question and counted as no reading time, and "
            "the spread of its error is handed over exactly: both flatter the strategies that start from it."
        )


def _notes_on_enough(enough: Json | None) -> Iterator[str]:
    if enough is not None:
        yield (
            f"The {enough['n_users']} users with at least {ENOUGH} questions to choose from are also compared by "
            f"themselves, after {AT} answers of {DEFAULT_RULE}."
        )


def _fewer_units(results: Results) -> Iterator[str]:
    """Which strategies were measured on fewer units than others, as slow peers are."""
    of_strategies = {
        name: len(results.means_of_units(values, np.asarray(~np.isnan(values).all(axis=1))))
        for name, values in results.values["log_loss"].items()
    }
    most = max(of_strategies.values(), default=0)
    for n_units in sorted({count for count in of_strategies.values() if 0 < count < most}):
        names = ", ".join(name for name, count in of_strategies.items() if count == n_units)
        if n_units == 1:
            yield f"{names}: measured on one of the {most} {results.unit}, so no interval and no verdict."
        else:
            yield f"Intervals of {names} and of comparisons with them are over {n_units} {results.unit}, not {most}."


def _rounded(value: float, decimals: int = DECIMALS) -> float | None:
    return round(float(value), decimals) if math.isfinite(value) else None
