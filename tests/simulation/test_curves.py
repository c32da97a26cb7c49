"""Learning curves: what is measured, and every way in which a strategy is refused."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from prefq.errors import InputError, PrefqError
from prefq.inference.ep_batch import Sites, propagate
from prefq.inference.laplace_batch import same_for_all
from prefq.inference.predictive import preference_probability
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import MEASURES, Curve, learning_curve
from prefq.simulation.panels import History, Panel, Rows, Study
from prefq.simulation.strategies import OURS, Belief, Learner, LinearBelief, Strategy, from_group
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array, Comparisons, Gaussian

STRATEGIES = {strategy.name: strategy for strategy in (*OURS, *CONTROLS)}
PANEL = make_world("gaussian(3)", n_users=6, n_pool=40, rng=np.random.default_rng(1))
assert isinstance(PANEL.true_prior, Gaussian)
PRIOR = PANEL.true_prior


def run(strategy: Strategy, panel: Panel = PANEL, n_questions: int = 4) -> Curve:
    return learning_curve(strategy, panel, PRIOR, n_questions=n_questions, rng=np.random.default_rng(2))


def asking(choose: Callable[[Study, History], Rows]) -> Strategy:
    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        return lambda history: LinearBelief(from_group(study), lambda: choose(study, history))

    return Strategy("planted", begin, "")


def predicting(predict: Callable[[Array], Array]) -> Strategy:
    class Predicts:
        def __init__(self, study: Study, history: History) -> None:
            self.n_users, self.n_answers = study.n_users, history.rows.shape[1]

        def next_rows(self) -> Rows:
            return np.full(self.n_users, self.n_answers)

        def predict(self, first: Array, second: Array) -> Array:
            return predict(np.full((self.n_users, first.shape[1]), 0.5))

        def score(self, items: Array) -> Array:
            return np.zeros((self.n_users, items.shape[1]))

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        def learn(history: History) -> Belief:
            return Predicts(study, history)

        return learn

    return Strategy("planted", begin, "")


def refused(strategy: Strategy, match: str, kind: type[PrefqError] = InputError, panel: Panel = PANEL) -> None:
    with pytest.raises(kind, match=re.escape(match)) as caught:
        run(strategy, panel)
    assert type(caught.value) is kind


def by_hand(curve: Curve, user: int, n_answers: int) -> tuple[Array, Array]:
    """Mean coefficients and predictions for the test tasks, of this user alone and after many sweeps."""
    rows = curve.history.rows[user, :n_answers]
    comparisons = Comparisons((PANEL.first - PANEL.second)[0, rows], PANEL.outcomes[user, rows])
    sites = Sites.empty(1, n_answers)
    start, answers = same_for_all(PRIOR, 1), (comparisons.differences[None], comparisons.outcomes[None])
    belief, _ = propagate(start, *answers, PANEL.response_model, sites, n_sweeps=100)
    tests = (PANEL.test_first - PANEL.test_second)[0]
    sd = np.linalg.norm(tests @ belief.factors[0], axis=1)
    return belief.means[0], preference_probability(tests @ belief.means[0], sd**2)


def cross_entropy(predicted: Array, truth: Array) -> float:
    return float(-(truth * np.log(predicted) + (1 - truth) * np.log(1 - predicted)).mean())


def test_the_measures_are_those_of_the_single_posterior() -> None:
    curve, user = run(STRATEGIES["information_gain"]), 4
    mean, predicted = by_hand(curve, user, 4)
    truth = PANEL.test_truth[user]
    assert curve.measures["log_loss"][user, 4] == pytest.approx(cross_entropy(predicted, truth), abs=1e-4)
    assert curve.measures["accuracy"][user, 4] == pytest.approx(((predicted > 0.5) == (truth > 0.5)).mean())
    assert PANEL.candidates is not None
    utilities = PANEL.candidates.utilities[user]
    picked = (PANEL.candidates.features[0] @ mean).argmax(axis=1)
    regret = (utilities.max(axis=1) - utilities[np.arange(len(picked)), picked]).mean()
    assert curve.measures["regret"][user, 4] == pytest.approx(regret)


def test_a_swapped_profile_is_judged_by_the_tasks_of_the_next_user() -> None:
    curve = run(STRATEGIES["information_gain"])
    _, predicted = by_hand(curve, 4, 3)
    assert curve.measures["swapped_log_loss"][5, 3] == pytest.approx(
        cross_entropy(predicted, PANEL.test_truth[5]), abs=1e-4
    )
    _, predicted = by_hand(curve, 5, 3)
    right = ((predicted > 0.5) == (PANEL.test_truth[0] > 0.5)).mean()
    assert curve.measures["swapped_accuracy"][0, 3] == pytest.approx(right)
    assert np.isnan(curve.measures["swapped_log_loss"][:, 4]).all()  # taken at milestones only


def test_every_question_is_asked_once_and_replied_to_by_its_user() -> None:
    curve = run(STRATEGIES["information_gain"], n_questions=40)
    users = np.arange(6)[:, None]
    np.testing.assert_array_equal(np.sort(curve.history.rows, axis=1), np.tile(np.arange(40), (6, 1)))
    np.testing.assert_array_equal(curve.history.outcomes, PANEL.outcomes[users, curve.history.rows])
    assert {name: values.shape for name, values in curve.measures.items()} == dict.fromkeys(MEASURES, (6, 41))


def test_users_with_fewer_questions_stop_and_keep_their_profile() -> None:
    is_open = PANEL.open.copy()
    is_open[2, 2:] = False
    curve = run(STRATEGIES["d_optimal"], replace(PANEL, open=is_open))
    assert (curve.history.rows[2, 2:] == -1).all()
    assert (curve.history.outcomes[2, 2:] == 0).all()
    assert np.ptp(curve.measures["log_loss"][2, 2:]) < 1e-6
    whole = run(STRATEGIES["d_optimal"])
    np.testing.assert_allclose(curve.measures["log_loss"][3], whole.measures["log_loss"][3], atol=1e-6)


def test_users_measured_together_or_apart_get_the_same() -> None:
    together = run(STRATEGIES["information_gain"])
    for rows in (slice(0, 2), slice(2, 6)):
        apart = run(STRATEGIES["information_gain"], PANEL.users(rows))
        np.testing.assert_array_equal(apart.history.rows, together.history.rows[rows])
        np.testing.assert_allclose(apart.measures["log_loss"], together.measures["log_loss"][rows], atol=1e-6)


def test_tastes_that_turn_are_tested_as_they_are_then() -> None:
    turned = replace(PANEL, flips_at=2)
    curve, steady = run(STRATEGIES["random"], turned), run(STRATEGIES["random"])
    np.testing.assert_array_equal(curve.history.outcomes[:, :2], steady.history.outcomes[:, :2])
    np.testing.assert_array_equal(curve.history.outcomes[:, 2:], -steady.history.outcomes[:, 2:])
    same, other = curve.measures["accuracy"], steady.measures["accuracy"]
    np.testing.assert_allclose(same[:, :2], other[:, :2])
    # After two answers both know the same, and one is tested on the opposite.
    np.testing.assert_allclose(same[:, 2], 1 - other[:, 2])


def test_seconds_are_those_of_the_clock_that_is_handed_in() -> None:
    ticks = count()
    rng = np.random.default_rng(2)
    curve = learning_curve(STRATEGIES["random"], PANEL, PRIOR, n_questions=3, rng=rng, clock=lambda: float(next(ticks)))
    assert curve.seconds.tolist() == [1, 1, 1]
    assert run(STRATEGIES["random"]).seconds.size == 0


def test_an_asked_row_is_refused() -> None:
    again = asking(lambda study, history: np.full(study.n_users, 7))
    refused(again, "strategy 'planted' returned question 7 for user '0', which was asked before")


def test_a_row_that_is_not_open_is_refused() -> None:
    is_open = np.ones_like(PANEL.open)
    is_open[3, 5] = False
    panel = replace(PANEL, open=is_open, user_ids=tuple("abcdef"))
    strategy = asking(lambda study, history: np.full(study.n_users, 5 + history.rows.shape[1]))
    refused(strategy, "returned question 5 for user 'd', which this user cannot be asked", panel=panel)


@pytest.mark.parametrize("row", [-2, -1, 40, 10**6])
def test_a_row_that_does_not_exist_is_refused(row: int) -> None:
    strategy = asking(lambda study, history: np.full(study.n_users, row))
    refused(strategy, f"returned question {row} for user '0', which this user cannot be asked")


def test_rows_that_are_not_one_integer_a_user_are_refused() -> None:
    sentence = "it must return one integer for each of the 6 users"
    refused(asking(lambda study, history: np.zeros(5, dtype=np.intp)), sentence)
    refused(asking(lambda study, history: np.zeros(6, dtype=np.float64)), sentence)
    refused(asking(lambda study, history: np.zeros((6, 1), dtype=np.intp)), sentence)


def test_predictions_that_are_no_probabilities_are_refused() -> None:
    sentence = "expected probabilities of shape (6, 600)"
    refused(predicting(lambda half: half * np.nan), sentence)
    refused(predicting(lambda half: half + 0.6), sentence)
    refused(predicting(lambda half: -half), sentence)
    refused(predicting(lambda half: half[:, :5]), sentence)


def test_a_strategy_that_raises_is_named() -> None:
    def divide(study: Study, history: History) -> Rows:
        raise ZeroDivisionError("by nought")

    sentence = "strategy 'planted' raised ZeroDivisionError: by nought; mend it or leave it out."
    refused(asking(divide), sentence, PrefqError)


def test_an_error_of_prefq_keeps_its_sentence() -> None:
    refused(STRATEGIES["stated"], "stated preferences need what people said", panel=replace(PANEL, stated=None))
