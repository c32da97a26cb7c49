"""Guards: checks that a measured gain is no leak of test answers, no accident of sides, and not too good to be true.

Each check returns findings in sentences. A strategy is made for the panel that it is put to, so that one that holds on
to that panel, as one that peeks must, is put to its altered copy in the same way.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from prefq.simulation.comparison import mean_and_error
from prefq.simulation.curves import MEASURES, learning_curve
from prefq.simulation.panels import History, Outcomes, Panel, Rows, Start, Study
from prefq.simulation.replay import Recorded, Replay
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import Belief, OwnBelief, Strategy, from_population
from prefq.simulation.votes import Votes
from prefq.vocabulary import Array, PopulationPrior

StrategyFor = Callable[[Panel], Strategy]

CHANCE_WITHIN = 0.03  # accuracy on shuffled labels: .50 give or take this, or three standard errors if they are more
ERRORS_WITHIN = 3.0
SAME_WITHIN = 1e-6  # of any measure when sides are swapped
SAME_ALONE_WITHIN = 1e-9  # of any prediction when a task is predicted without others
ALONE = 3  # test tasks that are predicted one by one
UNSEEN_BETTER_BY = 0.03  # accuracy on unseen replies above that on seen ones: an alarm


class Finding(NamedTuple):
    """What one guard found.

    Parameters
    ----------
    guard
        Its name.
    strategy
        That it looked at; empty where it looked at the panel alone.
    passed
        Whether all is well.
    sentence
        What was seen.
    """

    guard: str
    strategy: str
    passed: bool
    sentence: str


def check_strategy(
    strategy_for: StrategyFor, panel: Panel, start: Start, *, n_questions: int, rng: np.random.Generator
) -> list[Finding]:
    """Every guard that looks at a strategy.

    Parameters
    ----------
    strategy_for
        Makes the strategy for a panel; ``lambda panel: strategy`` for one that is bound to none.
    panel
        Users to try it on: fifty are enough.
    start
        Prior fitted on the panel's group.
    n_questions
        At least 1.
    rng
        Draws labels; copies of it serve as the strategy's own, so that two runs differ in what was altered only.

    Returns
    -------
    list of Finding
        Of `shuffled_labels`, `unseen_replies`, `swapped_sides`, `seen_and_unseen` and `one_by_one`, which can be
        called singly for strategies that one of them does not suit.
    """
    guards = (shuffled_labels, unseen_replies, swapped_sides, seen_and_unseen, one_by_one)
    return [guard(strategy_for, panel, start, n_questions=n_questions, rng=rng) for guard in guards]


def shuffled_labels(
    strategy_for: StrategyFor, panel: Panel, start: Start, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Replies and test labels replaced by fair coin flips: what is then predicted above chance was read, not learned.

    Parameters as in `check_strategy`. Tasks that are not there stay so.
    """
    labels = np.where(np.isnan(panel.test_truth), np.nan, _coins(panel.test_truth.shape, rng) > 0)
    shuffled = replace(
        _with_other_tastes(panel), outcomes=_coins(panel.outcomes.shape, rng), test_truth=labels, flips_at=None
    )
    strategy = strategy_for(shuffled)
    curve = learning_curve(strategy, shuffled, start, n_questions=n_questions, rng=copy.deepcopy(rng))
    what = "With replies and test labels replaced by coin flips"
    return _chance("shuffled labels", strategy.name, curve.measures["accuracy"][:, -1], _n_tests(panel), what)


def unseen_replies(
    strategy_for: StrategyFor, panel: Panel, start: Start, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Test labels and replies to questions not asked are altered: the same must be asked and predicted.

    Parameters as in `check_strategy`. Sharper than shuffled labels, and it also finds who reads replies without
    asking; but only for strategies that do the same again when they are handed the same generator.
    """
    outcomes = _coins(panel.outcomes.shape, rng)
    strategy, history, belief = _run(strategy_for, panel, start, n_questions, rng)
    users, answers = np.nonzero(history.rows >= 0)
    rows = history.rows[users, answers]
    outcomes[users, rows] = panel.outcomes[users, rows]
    altered = replace(_with_other_tastes(panel), outcomes=outcomes, test_truth=1 - panel.test_truth)
    _, again, other_belief = _run(strategy_for, altered, start, n_questions, rng)
    asked = float((history.rows == again.rows).all(axis=1).mean())
    moved = float(np.abs(belief.predict(*panel.tests) - other_belief.predict(*altered.tests)).max(initial=0))
    passed = asked == 1 and moved <= SAME_WITHIN
    sentence = "With other test labels and other replies to what it did not ask, it asks and predicts the same."
    if not passed:
        sentence = (
            f"With other test labels and other replies to what it did not ask, {asked:.0%} of users are asked the same "
            f"and predictions move by up to {moved:.2g}: it saw them, or it does not repeat itself."
        )
    return Finding("unseen replies", strategy.name, passed, sentence)


def swapped_sides(
    strategy_for: StrategyFor, panel: Panel, start: Start, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """First and second of every question and task exchanged, replies with them: no measure may change.

    Parameters as in `check_strategy`. Not for strategies that draw sides at random or read texts in their order.
    """
    first, second = (
        learning_curve(strategy_for(each), each, begun, n_questions=n_questions, rng=copy.deepcopy(rng)).measures
        for each, begun in ((panel, start), (side_swapped(panel), _side_swapped_start(start)))
    )
    moved = {name: _largest_change(first[name], second[name]) for name in MEASURES}
    worst = max(moved, key=lambda name: moved[name])
    passed = moved[worst] <= SAME_WITHIN
    change = "no measure changes" if passed else f"{worst} of a user changes by {moved[worst]:.2g}"
    sentence = f"With the sides of every question and task exchanged, {change}."
    return Finding("swapped sides", strategy_for(panel).name, passed, sentence)


def seen_and_unseen(
    strategy_for: StrategyFor, panel: Panel, start: Start, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Replies that the profile was made of, and test replies: it must not agree with the latter more often.

    Parameters as in `check_strategy`. Where a task's truth is a probability, agreement with the reply is expected over
    it, so that both kinds are equally noisy; ties are left out. Questions may be nearer to even than test tasks: what
    the prior alone, which no strategy can alter, expects to be right more often on the tests is no alarm.
    """
    strategy, history, last = _run(strategy_for, panel, start, n_questions, rng)
    study = Study.of(panel, start, n_questions)
    belief = strategy_for(panel).begin(study, rng=copy.deepcopy(rng))(history)
    asked = np.where(history.outcomes == 0, np.nan, (history.outcomes + 1) / 2)
    questions = history.of(panel.first), history.of(panel.second)
    truth = panel.truth(n_questions)
    seen, unseen = _agreement(belief.predict(*questions), asked), _agreement(last.predict(*panel.tests), truth)
    both = ~np.isnan(unseen - seen)
    if not both.any():
        sentence = "Nobody has both replies that were asked for and test replies."
        return Finding("seen and unseen", strategy.name, True, sentence)
    prior = OwnBelief(study, lambda: from_population(study), lambda: history.rows[:, -1])
    easier = _sureness(prior.predict(*panel.tests), truth) - _sureness(prior.predict(*questions), asked)
    allowed = max(float(easier[both].mean()), 0.0)
    gap, error = mean_and_error((unseen - seen)[both])
    passed = not gap - allowed > _within(UNSEEN_BETTER_BY, error)
    sentence = (
        f"It agrees with {seen[both].mean():.3f} of the replies that it was given and with {unseen[both].mean():.3f} "
        f"of the test replies{f', by the prior alone {allowed:.3f} easier' if allowed >= UNSEEN_BETTER_BY else ''}"
        f"{'.' if passed else ': unseen better than seen.'}"
    )
    return Finding("seen and unseen", strategy.name, passed, sentence)


def one_by_one(
    strategy_for: StrategyFor, panel: Panel, start: Start, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Test tasks predicted alone, and some without the others: each must be predicted as it is among all.

    Parameters as in `check_strategy`. What is tested together can tell more than each task: comparisons that come from
    one choice have the chosen item in common. Not for strategies that draw anew for each prediction.
    """
    strategy, _, belief = _run(strategy_for, panel, start, n_questions, rng)
    drawn = rng.permutation(np.flatnonzero(~np.isnan(panel.test_truth).all(axis=0)))
    parts = [*(drawn[place : place + 1] for place in range(min(ALONE, len(drawn)))), np.sort(drawn[len(drawn) // 2 :])]
    # The smallest first, so that nothing is remembered of the others.
    apart = [belief.predict(*(side[:, part] for side in panel.tests)) for part in parts]
    whole = belief.predict(*panel.tests)
    changes = (np.abs(whole[:, part] - alone).max(initial=0) for part, alone in zip(parts, apart, strict=True))
    moved = float(max(changes))
    passed = moved <= SAME_ALONE_WITHIN
    sentence = "Test tasks that are predicted without the others are predicted the same."
    if not passed:
        sentence = (
            f"Without the other test tasks predictions move by up to {moved:.2g}: it looks at the tasks together, or "
            "does not repeat itself."
        )
    return Finding("one by one", strategy.name, passed, sentence)


def coin_record(record: Recorded | Votes, *, rng: np.random.Generator) -> Recorded | Votes:
    """A record in which a coin turns each outcome, or each vote, into its opposite; ties and passes stay."""
    if isinstance(record, Votes):
        return replace(record, values=record.values * _coins(record.values.shape, rng))
    return replace(record, outcomes=record.outcomes * _coins(record.outcomes.shape, rng))


def shuffled_record(
    strategy: Strategy, panels: Iterable[Panel], *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Panels that were made of `coin_record`: a gain would have come by the way from the record to the prediction.

    `shuffled_labels` looks at the strategy; here the division, scales, factors and prior are made of coin flips, too.

    Parameters
    ----------
    strategy
        One that is known to be honest.
    panels
        Of the record, divided and learned from anew after the coins; at least one.
    n_questions
        At least 0.
    rng
        The strategy's.
    """
    shares, n_tests = [], []
    for panel in panels:
        start = fitted_start(panel)
        curve = learning_curve(strategy, panel, start, n_questions=n_questions, rng=rng)
        shares.append(curve.measures["accuracy"][:, -1])
        n_tests.append(_n_tests(panel))
    what = "With every outcome on record turned by a coin before anything is learned"
    return _chance("shuffled record", strategy.name, np.concatenate(shares), np.concatenate(n_tests), what)


def tasks_apart(replay: Replay) -> Finding:
    """No test task of a person on record may be among the tasks, or with votes the statements, that can be asked."""
    there = replay.test_tasks >= 0
    pairs = zip(replay.question_tasks, replay.test_tasks, there, strict=True)
    n_shared, n_tasks = sum(int(np.isin(own[real], asked).sum()) for asked, own, real in pairs), int(there.sum())
    count = n_shared or "none"
    sentence = f"Of {n_tasks} tasks behind the tests {count} {'is' if n_shared < 2 else 'are'} behind a question, too."
    return Finding("tasks apart", "", n_shared == 0, sentence)


def questions_apart(panel: Panel) -> Finding:
    """No test task of a user may be among the questions that the user can be asked.

    Two are taken for one when both items have exactly the same features, whatever the sides. Items that differ in
    nothing that prefq sees are so taken for one, too: what is learned of the one is known of the other.
    """
    there = ~np.isnan(panel.test_truth)
    n_shared, n_tasks, keys = 0, int(there.sum()), _keys(panel, 0)
    one_for_all = len(panel.first) == 1 and len(panel.test_first) == 1
    for user in range(panel.n_users):
        questions, tasks = keys if one_for_all else _keys(panel, user)
        n_shared += int(np.isin(tasks[there[user]], questions[panel.open[user]]).sum())
    count = n_shared or "none"
    sentence = f"Of {n_tasks} test tasks {count} {'is' if n_shared < 2 else 'are'} among what its user can be asked."
    return Finding("questions apart", "", n_shared == 0, sentence)


def side_swapped(panel: Panel) -> Panel:
    """The same panel with first and second exchanged everywhere, and everything that depends on the side with them."""
    group, model = panel.group, panel.response_model
    return replace(
        panel,
        first=panel.second,
        second=panel.first,
        outcomes=-panel.outcomes,
        test_first=panel.test_second,
        test_second=panel.test_first,
        test_truth=1 - panel.test_truth,
        group=group._replace(
            differences=-group.differences,
            outcomes=-group.outcomes,
            first=None if group.first is None else group.first - group.differences,
        ),
        response_model=replace(model, position_bias=-model.position_bias),
        margins=None if panel.margins is None else -panel.margins,
    )


def summarise_guards(findings: Sequence[Finding]) -> dict[str, Any]:
    """The part "guards" of a summary, in JSON types.

    Returns
    -------
    dict
        "passed", whether all did; "alarms", sentences of those that did not, with the strategy's name; "findings", each
        with "guard", "strategy" (null for those of the panel), "passed" and "sentence".
    """
    alarms = [f"{each.strategy or 'the panel'}: {each.sentence}" for each in findings if not each.passed]
    listed = [{**each._asdict(), "strategy": each.strategy or None} for each in findings]
    return {"passed": not alarms, "alarms": alarms, "findings": listed}


def _coins(shape: tuple[int, ...], rng: np.random.Generator) -> Outcomes:
    return np.where(rng.random(shape) < 0.5, 1, -1).astype(np.int8)


def _with_other_tastes(panel: Panel) -> Panel:
    """Margins and utilities, which no strategy sees, turned into their opposites: who reads them is misled."""
    candidates = panel.candidates
    return replace(
        panel,
        candidates=None if candidates is None else candidates._replace(utilities=-candidates.utilities),
        margins=None if panel.margins is None else -panel.margins,
    )


def _run(
    strategy_for: StrategyFor, panel: Panel, start: Start, n_questions: int, rng: np.random.Generator
) -> tuple[Strategy, History, Belief]:
    """What a strategy asks with a copy of the generator, and what it believes in the end."""
    strategy = strategy_for(panel)
    learn = strategy.begin(Study.of(panel, start, n_questions), rng=copy.deepcopy(rng))
    history = History.empty(panel.n_users)
    for n_answers in range(n_questions):
        rows = learn(history).next_rows()
        history = history.with_answers(rows, panel.replies(rows, n_answers))
    return strategy, history, learn(history)


def _chance(guard: str, strategy: str, accuracy: Array, n_tests: Rows, what: str) -> Finding:
    """Whether the accuracy of users (n_users,), NaN where there is none, is that of chance.

    Its standard error is that among users or, where it is larger, that of as many coins as there are tests: a few users
    can agree by accident.
    """
    there = n_tests > 0
    share, error = mean_and_error(accuracy[there])
    of_coins = 0.5 * math.sqrt(float((1 / n_tests[there]).sum())) / max(int(there.sum()), 1)
    within = max(_within(CHANCE_WITHIN, error), _within(CHANCE_WITHIN, of_coins))
    passed = abs(share - 0.5) <= within
    meaning = f"as chance has it (.5 ± {within:.3f})"
    if not passed:
        meaning = f"more than {within:.3f} from .5: it is reported as leaking"
    return Finding(guard, strategy, passed, f"{what}, accuracy is {share:.3f}, {meaning}.")


def _n_tests(panel: Panel) -> Rows:
    """Test tasks of each user (n_users,)."""
    return np.asarray((~np.isnan(panel.test_truth)).sum(axis=1), dtype=np.intp)


def _within(least: float, error: float) -> float:
    return max(least, 0.0 if math.isnan(error) else ERRORS_WITHIN * error)


def _largest_change(first: Array, second: Array) -> float:
    """NaN in both is no change, NaN in one an infinite one."""
    change = np.where(np.isnan(first) & np.isnan(second), 0.0, np.abs(first - second))
    return float(np.where(np.isnan(change), np.inf, change).max(initial=0))


def _agreement(predicted: Array, truth: Array) -> Array:
    """Share of replies (n_users,) on the side that is predicted, expected over truths that are probabilities."""
    there = ~np.isnan(truth)
    agreed = np.where(there, 0.5 + np.sign(predicted - 0.5) * (truth - 0.5), 0.0).sum(axis=1)
    return np.where(there.any(axis=1), agreed / np.maximum(there.sum(axis=1), 1), np.nan)


def _sureness(predicted: Array, truth: Array) -> Array:
    """Share of replies (n_users,) that the likelier sides are expected to be, over the tasks that have a truth."""
    there = ~np.isnan(truth)
    sure = np.where(there, np.maximum(predicted, 1 - predicted), 0.0).sum(axis=1)
    return np.where(there.any(axis=1), sure / np.maximum(there.sum(axis=1), 1), np.nan)


def _side_swapped_start(start: Start) -> Start:
    """A start for `side_swapped` panels: a pull to the first is one to the second there."""
    if not isinstance(start, PopulationPrior):
        return start
    model = start.response_model
    return replace(start, response_model=replace(model, position_bias=-model.position_bias))


def _keys(panel: Panel, user: int) -> tuple[Rows, Rows]:
    """Numbers of the questions and test tasks of a user; equal numbers for equal pairs of items."""

    def pairs(first: Array, second: Array) -> Array:
        first, second = (values[user if len(values) > 1 else 0] for values in (first, second))
        gaps = first - second
        leading = np.take_along_axis(gaps, (gaps != 0).argmax(axis=1)[:, None], axis=1)
        # Nought added, so that -0 is 0.
        return np.where(leading < 0, np.hstack([second, first]), np.hstack([first, second])) + 0.0

    questions = pairs(panel.first, panel.second)
    both = np.vstack([questions, pairs(panel.test_first, panel.test_second)])
    _, keys = np.unique(both, axis=0, return_inverse=True)
    keys = keys.reshape(-1).astype(np.intp)
    return keys[: len(questions)], keys[len(questions) :]
