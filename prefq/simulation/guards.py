"""Guards: checks that a measured gain is no leak of test answers, no accident of sides, and not too good to be true.

Each check returns findings in sentences. A strategy is made for the panel that it is put to, so that one that holds on
to that panel, as one that peeks must, is put to its altered copy in the same way.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from prefq.simulation.comparison import mean_and_error
from prefq.simulation.curves import MEASURES, learning_curve
from prefq.simulation.panels import History, Outcomes, Panel, Rows, Study
from prefq.simulation.strategies import Strategy
from prefq.vocabulary import Array, Gaussian

StrategyFor = Callable[[Panel], Strategy]

CHANCE_WITHIN = 0.03  # accuracy on shuffled labels: .50 give or take this, or three standard errors if they are more
ERRORS_WITHIN = 3.0
SAME_WITHIN = 1e-6  # of any measure when sides are swapped
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
    strategy_for: StrategyFor, panel: Panel, prior: Gaussian, *, n_questions: int, rng: np.random.Generator
) -> list[Finding]:
    """Every guard that looks at a strategy.

    Parameters
    ----------
    strategy_for
        Makes the strategy for a panel; ``lambda panel: strategy`` for one that is bound to none.
    panel
        Users to try it on: fifty are enough.
    prior
        Fitted on the panel's group.
    n_questions
        At least 1.
    rng
        Draws labels; copies of it serve as the strategy's own, so that two runs differ in what was altered only.

    Returns
    -------
    list of Finding
        Of `shuffled_labels`, `unseen_replies`, `swapped_sides` and `seen_and_unseen`, which can be called one by one
        for strategies that one of them does not suit.
    """
    guards = (shuffled_labels, unseen_replies, swapped_sides, seen_and_unseen)
    return [guard(strategy_for, panel, prior, n_questions=n_questions, rng=rng) for guard in guards]


def shuffled_labels(
    strategy_for: StrategyFor, panel: Panel, prior: Gaussian, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Replies and test labels replaced by fair coin flips: what is then predicted above chance was read, not learned.

    Parameters as in `check_strategy`. Tasks that are not there stay so.
    """
    labels = np.where(np.isnan(panel.test_truth), np.nan, _coins(panel.test_truth.shape, rng) > 0)
    shuffled = replace(
        _with_other_tastes(panel), outcomes=_coins(panel.outcomes.shape, rng), test_truth=labels, flips_at=None
    )
    strategy = strategy_for(shuffled)
    curve = learning_curve(strategy, shuffled, prior, n_questions=n_questions, rng=copy.deepcopy(rng))
    values = curve.measures["accuracy"][:, -1]
    share, error = mean_and_error(values[~np.isnan(values)])
    within = _within(CHANCE_WITHIN, error)
    passed = abs(share - 0.5) <= within
    meaning = "as chance has it" if passed else f"more than {within:.3f} from .5: it is reported as leaking"
    sentence = f"With replies and test labels replaced by coin flips, accuracy is {share:.3f}, {meaning}."
    return Finding("shuffled labels", strategy.name, passed, sentence)


def unseen_replies(
    strategy_for: StrategyFor, panel: Panel, prior: Gaussian, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Test labels and replies to questions not asked are altered: the same must be asked and predicted.

    Parameters as in `check_strategy`. Sharper than shuffled labels, and it also finds who reads replies without
    asking; but only for strategies that do the same again when they are handed the same generator.
    """
    outcomes = _coins(panel.outcomes.shape, rng)
    strategy, history, predicted = _run(strategy_for, panel, prior, n_questions, rng)
    users, answers = np.nonzero(history.rows >= 0)
    rows = history.rows[users, answers]
    outcomes[users, rows] = panel.outcomes[users, rows]
    altered = replace(_with_other_tastes(panel), outcomes=outcomes, test_truth=1 - panel.test_truth)
    _, again, other = _run(strategy_for, altered, prior, n_questions, rng)
    asked = float((history.rows == again.rows).all(axis=1).mean())
    moved = float(np.abs(predicted - other).max(initial=0))
    passed = asked == 1 and moved <= SAME_WITHIN
    sentence = "With other test labels and other replies to what it did not ask, it asks and predicts the same."
    if not passed:
        sentence = (
            f"With other test labels and other replies to what it did not ask, {asked:.0%} of users are asked the same "
            f"and predictions move by up to {moved:.2g}: it saw them, or it does not repeat itself."
        )
    return Finding("unseen replies", strategy.name, passed, sentence)


def swapped_sides(
    strategy_for: StrategyFor, panel: Panel, prior: Gaussian, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """First and second of every question and task exchanged, replies with them: no measure may change.

    Parameters as in `check_strategy`. Not for strategies that draw sides at random or read texts in their order.
    """
    first, second = (
        learning_curve(strategy_for(each), each, prior, n_questions=n_questions, rng=copy.deepcopy(rng)).measures
        for each in (panel, side_swapped(panel))
    )
    moved = {name: _largest_change(first[name], second[name]) for name in MEASURES}
    worst = max(moved, key=lambda name: moved[name])
    passed = moved[worst] <= SAME_WITHIN
    change = "no measure changes" if passed else f"{worst} of a user changes by {moved[worst]:.2g}"
    sentence = f"With the sides of every question and task exchanged, {change}."
    return Finding("swapped sides", strategy_for(panel).name, passed, sentence)


def seen_and_unseen(
    strategy_for: StrategyFor, panel: Panel, prior: Gaussian, *, n_questions: int, rng: np.random.Generator
) -> Finding:
    """Replies that the profile was made of, and test replies: it must not agree with the latter more often.

    Parameters as in `check_strategy`. Where a task's truth is a probability, agreement with the reply is expected over
    it, so that both kinds are equally noisy; ties are left out. A strategy that asks what is hardest to predict can
    set this alarm off by itself; then look at the other guards.
    """
    strategy, history, predicted = _run(strategy_for, panel, prior, n_questions, rng)
    belief = strategy_for(panel).begin(Study.of(panel, prior, n_questions), rng=copy.deepcopy(rng))(history)
    asked = np.where(history.outcomes == 0, np.nan, (history.outcomes + 1) / 2)
    seen = _agreement(belief.predict(history.of(panel.first), history.of(panel.second)), asked)
    unseen = _agreement(predicted, panel.truth(n_questions))
    both = ~np.isnan(unseen - seen)
    gap, error = mean_and_error((unseen - seen)[both])
    passed = not gap > _within(UNSEEN_BETTER_BY, error)
    sentence = "Nobody has both replies that were asked for and test replies."
    if both.any():
        sentence = (
            f"It agrees with {seen[both].mean():.3f} of the replies that it was given and with "
            f"{unseen[both].mean():.3f} of the test replies{'.' if passed else ': unseen better than seen.'}"
        )
    return Finding("seen and unseen", strategy.name, passed, sentence)


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
        group=group._replace(differences=-group.differences, outcomes=-group.outcomes),
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
    strategy_for: StrategyFor, panel: Panel, prior: Gaussian, n_questions: int, rng: np.random.Generator
) -> tuple[Strategy, History, Array]:
    """What a strategy asks with a copy of the generator, and what it predicts of the test tasks in the end."""
    strategy = strategy_for(panel)
    learn = strategy.begin(Study.of(panel, prior, n_questions), rng=copy.deepcopy(rng))
    history = History.empty(panel.n_users)
    for n_answers in range(n_questions):
        rows = learn(history).next_rows()
        history = history.with_answers(rows, panel.replies(rows, n_answers))
    return strategy, history, learn(history).predict(*panel.tests)


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
