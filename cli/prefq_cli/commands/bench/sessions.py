"""prefq bench sessions: did choosing questions teach more than asking at random, on the people in the store?

What is compared is laid down in docs/decisions/0012; the statistics are those of `prefq.simulation.arms`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from prefq_cli.settings import JsonOption, PlainOption, Settings, StoreOption, read_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prefq.pool.candidate_pool import CandidatePool
    from prefq.predictions import HeldOutScore
    from prefq.session import Session
    from prefq.settings import SessionSettings
    from prefq.simulation.arms import Difference, SessionsNeeded

RULE, AT_RANDOM = "rule", "random"
ASSUMED_TESTS, ASSUMED_SHARE = 4, 0.5  # of which the power is told while the store has no sessions to compare
POWER, LEVEL = 0.8, 0.05

NOT_RANDOMISED = "chance did not decide how they ask"
NO_TESTS = "no test questions"
UNFINISHED = "unfinished"
NO_POOL = "their pool was not found"
OTHER_POOL = "their pool has changed"
UNDECIDED = "no test question was answered with a preference"

PointsOption = Annotated[
    float, typer.Option("--points", metavar="X", min=0.1, max=50, help="Difference in accuracy to show, in points.")
]


class _Scored(NamedTuple):
    """A session that counts."""

    user_id: str
    score: "HeldOutScore"


@dataclass(slots=True)
class _Experiment:
    """Sessions of one pool begun with the same settings, in two arms that chance made."""

    pool_name: str
    pool_digest: str
    settings: "SessionSettings"
    scored: dict[str, list[_Scored]] = field(default_factory=lambda: {RULE: [], AT_RANDOM: []})
    left_out: dict[str, dict[str, int]] = field(default_factory=lambda: {RULE: {}, AT_RANDOM: {}})

    def numbers(self, arm: str, name: str) -> "NDArray[np.float64]":
        """One field of every session's score (n_sessions,)."""
        import numpy as np

        return np.array([getattr(each.score, name) for each in self.scored[arm]], dtype=np.float64)


class _Planned(NamedTuple):
    """Sessions it takes, at the share in use and at an even one, and what the count rests on."""

    at_share: "SessionsNeeded"
    even: "SessionsNeeded"
    n_tests: int
    random_share: float
    variance: float
    rests_on: str


def sessions(
    store: StoreOption = None,
    points: PointsOption = 3.0,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the arms of stored sessions. Questions that were chosen, and questions at random.

    Only sessions count whose arm was drawn by chance and that have answered their test questions; the others are
    counted, with the reason. First comes the power: how many sessions would show a difference of so many points.

    \b
    Examples:
      prefq onboard --random-share 0.5 --test-questions 4
      prefq bench sessions
      prefq bench sessions --store study.db --points 5 --json
    """
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import write, write_json, write_words

    settings = read_settings(store=store, plain=plain, as_json=as_json)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        stored = [opened.load_session(each.id) for each in opened.list_sessions()]
    experiments, others = _sorted_out(stored)
    if as_json:
        return write_json(_as_json(experiments, others, points / 100))
    if not experiments:
        write_words(_power_sentence(_planned(None, points / 100), points))
    for experiment in experiments:
        write_words(_power_sentence(_planned(experiment, points / 100), points))
        write("")
        _write(experiment, settings)
        write("")
    return write_words(_left_out_sentence(len(stored), experiments, others))


def _sorted_out(stored: "Iterable[Session]") -> tuple[list[_Experiment], dict[str, int]]:
    """Experiments, and how many other sessions are left out for which reason."""
    found: dict[tuple[str, SessionSettings], _Experiment] = {}
    others: dict[str, int] = {}
    pools: dict[str, CandidatePool | None] = {}
    for session in stored:
        settings = session.settings
        reason = NOT_RANDOMISED if not settings.random_share else NO_TESTS if not settings.test_questions else None
        if reason is not None:
            others[reason] = others.get(reason, 0) + 1
            continue
        key = (session.pool_digest, settings)
        experiment = found.setdefault(key, _Experiment(session.pool_name, session.pool_digest, settings))
        arm = RULE if session.acquisition == settings.acquisition else AT_RANDOM
        score = _score(session, pools)
        if isinstance(score, str):
            experiment.left_out[arm][score] = experiment.left_out[arm].get(score, 0) + 1
        else:
            experiment.scored[arm].append(_Scored(session.user_id, score))
    return list(found.values()), others


def _score(session: "Session", pools: "dict[str, CandidatePool | None]") -> "HeldOutScore | str":
    """How right the predictions of a session's test questions were, or why that cannot be told."""
    import prefq
    from prefq.errors import MismatchError, PrefqError
    from prefq.predictions import held_out_score

    answered = {answer.question_id for answer in session.answers}
    over = session.state.stopped is not None or session.state.sealed is not None
    if not over or not answered.issuperset(session.test_questions):
        return UNFINISHED
    if session.pool_name not in pools:
        try:
            pools[session.pool_name] = prefq.load_pool(session.pool_name)
        except PrefqError:
            pools[session.pool_name] = None
    if (pool := pools[session.pool_name]) is None:
        return NO_POOL
    try:
        score = held_out_score(session.held_out(pool))
    except MismatchError:
        return OTHER_POOL
    return score if score.n_decided else UNDECIDED


def _planned(experiment: _Experiment | None, difference: float) -> _Planned:
    """The power at the settings of an experiment, or at assumed ones."""
    from prefq.simulation.arms import LEAST_SESSIONS, accuracy_variance, pooled_variance, sessions_needed

    n_tests = ASSUMED_TESTS if experiment is None else experiment.settings.test_questions
    share = ASSUMED_SHARE if experiment is None else experiment.settings.random_share
    variance = accuracy_variance([n_tests])
    rests_on = (
        "assumed: half of the predictions right, which is the worst case, and answers of one session no more alike "
        "than those of two; people who differ in how well they can be predicted make it more"
    )
    if experiment is not None and min(map(len, experiment.scored.values())) >= LEAST_SESSIONS:
        seen = pooled_variance(*(experiment.numbers(arm, "accuracy") for arm in (RULE, AT_RANDOM)))
        variance = max(seen, _least_variance(experiment))
        n_seen = sum(map(len, experiment.scored.values()))
        rests_on = f"by the spread between the {n_seen} sessions in the store"
    needed = [
        sessions_needed(difference, variance=variance, random_share=each, power=POWER, level=LEVEL)
        for each in (share, 0.5)
    ]
    return _Planned(needed[0], needed[1], n_tests, share, variance, rests_on)


def _least_variance(experiment: _Experiment) -> float:
    """Variance of a session's accuracy if its answers were independent, at the accuracy of both arms."""
    from prefq.simulation.arms import accuracy_variance, shrunk_accuracy

    shares, counts = (
        [value for arm in (RULE, AT_RANDOM) for value in experiment.numbers(arm, name).tolist()]
        for name in ("accuracy", "n_decided")
    )
    return accuracy_variance(counts, accuracy=shrunk_accuracy(shares, counts)) if counts else 0.0


def _compared(experiment: _Experiment) -> "dict[str, Difference]":
    """Gain of the rule over asking at random: in accuracy, and in log loss that it saves."""
    from prefq.simulation.arms import mean_difference

    rule, at_random = ({name: experiment.numbers(arm, name) for name in ("accuracy", "log_loss")} for arm in _ARMS)
    return {
        "accuracy": mean_difference(
            rule["accuracy"], at_random["accuracy"], least_variance=_least_variance(experiment), level=LEVEL
        ),
        "log_loss": mean_difference(at_random["log_loss"], rule["log_loss"], level=LEVEL),
    }


_ARMS = (RULE, AT_RANDOM)


def _power_sentence(planned: _Planned, points: float) -> str:
    def counts(needed: "SessionsNeeded") -> str:
        return f"{needed.by_rule} sessions by the rule and {needed.at_random} at random"

    even = "" if planned.random_share == 0.5 else f" (at an even share: {planned.even.by_rule} each)"
    return (
        f"Power: to show {points:g} points of accuracy with {planned.n_tests} test questions a session and a random "
        f"share of {planned.random_share:g} takes {counts(planned.at_share)}{even}, at {POWER:.0%} power and "
        f"{LEVEL:.0%} false alarms, two-sided; {planned.rests_on}."
    )


def _write(experiment: _Experiment, settings: Settings) -> None:
    from prefq_cli.console import write, write_table, write_words

    chosen, compared = experiment.settings, _compared(experiment)
    write_words(
        f"Pool {experiment.pool_name or experiment.pool_digest[:8]}, {chosen.acquisition} against random, "
        f"{chosen.max_questions} questions and {chosen.test_questions} test questions a session:"
    )
    heading = (
        "arm",
        "sessions",
        "users",
        "test answers",
        "ties",
        "both bad",
        "skips",
        "accuracy",
        "log loss",
        "group's guess",
    )
    write_table([_row(experiment, arm) for arm in _ARMS], heading, settings)
    accuracy, log_loss = compared["accuracy"], compared["log_loss"]
    write("")
    write_words(_verdict_sentence("accuracy", accuracy, 100, "points"))
    write_words(_verdict_sentence("log loss saved", log_loss, 1, "nats"))


def _row(experiment: _Experiment, arm: str) -> tuple[str, ...]:
    def total(name: str) -> str:
        return str(sum(getattr(each.score, name) for each in scored))

    scored = experiment.scored[arm]
    name = experiment.settings.acquisition if arm == RULE else "random"
    accuracy, log_loss, group = (_mean_and_se(experiment.numbers(arm, each)) for each in _MEASURES)
    counts = [total(each) for each in ("n_decided", "n_ties", "n_both_bad", "n_skips")]
    return (
        name,
        str(len(scored)),
        str(len({each.user_id for each in scored})),
        *counts,
        *(_with_se(*each) for each in (accuracy, log_loss)),
        "–" if math.isnan(group[0]) else f"{group[0]:.3f}",
    )


_COUNTED = ("sessions", "users", "test answers", "ties", "both bad", "skips")
_HEADING = ("arm", *_COUNTED, "accuracy", "log loss", "group's guess")
_MEASURES = ("accuracy", "log_loss", "group_accuracy")


def _mean_and_se(values: "NDArray[np.float64]") -> tuple[float, float]:
    if not values.size:
        return math.nan, math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan


def _with_se(mean: float, se: float) -> str:
    return "–" if math.isnan(mean) else f"{mean:.3f}" if math.isnan(se) else f"{mean:.3f} ±{se:.3f}"


def _verdict_sentence(name: str, difference: "Difference", scale: float, unit: str) -> str:
    from prefq.simulation.arms import LEAST_SESSIONS

    digits = 1 if scale == 100 else 3
    if math.isnan(difference.se):
        return f"Gain in {name}: cannot tell; an interval takes two sessions in each arm."
    estimate, low, high = (f"{value * scale:+.{digits}f}" for value in difference[2:3] + difference[4:])
    few = min(difference.n_first, difference.n_second) < LEAST_SESSIONS
    why = f" (a verdict takes {LEAST_SESSIONS} sessions in each arm)" if few else ""
    return f"Gain in {name}: {estimate} {unit}, 95 % interval {low} to {high}: {difference.verdict}{why}."


def _left_out_sentence(n_stored: int, experiments: list[_Experiment], others: Mapping[str, int]) -> str:
    if not n_stored:
        return "The store has no sessions; begin some with prefq onboard --random-share 0.5 --test-questions 4."
    told = [f"{count} ({reason})" for reason, count in sorted(others.items())]
    for experiment in experiments:
        told += [
            f"{count} of the arm {experiment.settings.acquisition if arm == RULE else 'random'} ({reason})"
            for arm in _ARMS
            for reason, count in sorted(experiment.left_out[arm].items())
        ]
    n_counted = sum(len(scored) for experiment in experiments for scored in experiment.scored.values())
    return f"{n_counted} of {n_stored} sessions count" + (f"; left out: {', '.join(told)}." if told else ".")


def _as_json(experiments: list[_Experiment], others: Mapping[str, int], difference: float) -> dict[str, Any]:
    def needed(experiment: _Experiment | None) -> dict[str, Any]:
        planned = _planned(experiment, difference)
        return {
            **planned._asdict(),
            "at_share": planned.at_share._asdict(),
            "even": planned.even._asdict(),
        }

    return {
        "difference": difference,
        "power": POWER,
        "level": LEVEL,
        "assumed": needed(None) if not experiments else None,
        "experiments": [
            {
                "pool_name": each.pool_name,
                "pool_digest": each.pool_digest,
                "settings": each.settings.to_dict(),
                "needed": needed(each),
                "arms": {arm: _arm_json(each, arm) for arm in _ARMS},
                "gain": {name: _difference_json(found) for name, found in _compared(each).items()},
            }
            for each in experiments
        ],
        "left_out": dict(sorted(others.items())),
    }


def _arm_json(experiment: _Experiment, arm: str) -> dict[str, Any]:
    scored = experiment.scored[arm]
    counts = ("n_decided", "n_ties", "n_both_bad", "n_skips")
    values = {name: _mean_and_se(experiment.numbers(arm, name)) for name in _MEASURES}
    return {
        "n_sessions": len(scored),
        "n_users": len({each.user_id for each in scored}),
        **{name: sum(getattr(each.score, name) for each in scored) for name in counts},
        **{name: {"mean": _number(mean), "se": _number(se)} for name, (mean, se) in values.items()},
        "left_out": experiment.left_out[arm],
    }


def _difference_json(found: "Difference") -> dict[str, Any]:
    numbers = {name: _number(getattr(found, name)) for name in ("estimate", "se", "low", "high")}
    return {**numbers, "verdict": found.verdict}


def _number(value: float) -> float | None:
    """The number as JSON has it: none where there is none."""
    return None if math.isnan(value) else value
