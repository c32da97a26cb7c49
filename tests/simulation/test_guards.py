"""Guards: honest strategies pass, planted peekers and overlapping tasks are caught."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from prefq.inference.likelihood import sigmoid
from prefq.simulation.controls import CONTROLS
from prefq.simulation.guards import (
    Finding,
    check_strategy,
    questions_apart,
    seen_and_unseen,
    shuffled_labels,
    side_swapped,
    summarise_guards,
    swapped_sides,
    unseen_replies,
)
from prefq.simulation.information import oracle
from prefq.simulation.panels import History, Panel, Rows, Study
from prefq.simulation.strategies import OURS, Belief, Learner, LinearBelief, Strategy, from_group, posterior
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

STRATEGIES = {strategy.name: strategy for strategy in (*OURS, *CONTROLS)}
WHOLE = make_world("gaussian(3)", n_users=30, n_pool=100, rng=np.random.default_rng(1))
PANEL = replace(  # a third of the test tasks will do
    WHOLE,
    test_first=WHOLE.test_first[:, :200],
    test_second=WHOLE.test_second[:, :200],
    test_truth=WHOLE.test_truth[:, :200],
)
assert PANEL.true_prior is not None
PRIOR = PANEL.true_prior
StrategyFor = Callable[[Panel], Strategy]


class Peeks:
    """An honest belief but for what it predicts of the test tasks of a panel."""

    def __init__(self, honest: Belief, panel: Panel) -> None:
        self.honest, self.panel = honest, panel

    def next_rows(self) -> Rows:
        return self.honest.next_rows()

    def score(self, items: Array) -> Array:
        return self.honest.score(items)

    def predict(self, first: Array, second: Array) -> Array:
        predicted = self.honest.predict(first, second)
        if first.shape != self.panel.test_first.shape:
            return predicted
        # A little of the truth is enough: honest guesses, drawn a fifth of the way to the answers.
        return 0.8 * predicted + 0.2 * np.nan_to_num(self.panel.test_truth, nan=0.5)


def peeking(panel: Panel) -> Strategy:
    """Holds on to the panel that it is put to."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        learn = STRATEGIES["random"].begin(study, rng=rng)
        return lambda history: Peeks(learn(history), panel)

    return Strategy("peeking", begin, "")


def begin_climbing(study: Study, *, rng: np.random.Generator) -> Learner:
    """Bound to nothing: finds the panel in the frames of whoever calls it."""
    learn = STRATEGIES["information_gain"].begin(study, rng=rng)

    def climb(history: History) -> Belief:
        frame = inspect.currentframe()
        while frame is not None:
            found = frame.f_locals.get("panel")
            if isinstance(found, Panel):
                return Peeks(learn(history), found)
            frame = frame.f_back
        return learn(history)

    return climb


def reading(panel: Panel) -> Strategy:
    """Learns from the replies to every question, asked or not."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        learn, n_users = STRATEGIES["random"].begin(study, rng=rng), study.n_users
        rows = np.tile(np.arange(panel.outcomes.shape[1]), (n_users, 1))

        def all_replies(history: History) -> Belief:
            belief = posterior(study, History(rows, panel.outcomes), from_group(study))
            return LinearBelief(belief, learn(history).next_rows)

        return all_replies

    return Strategy("reading", begin, "")


def put(
    guard: Callable[..., Finding], strategy_for: StrategyFor | str, panel: Panel = PANEL, n_questions: int = 5
) -> Finding:
    made = strategy_for if callable(strategy_for) else lambda panel: STRATEGIES[strategy_for]
    return guard(made, panel, PRIOR, n_questions=n_questions, rng=np.random.default_rng(2))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_ours_and_the_controls_pass(name: str) -> None:
    rng = np.random.default_rng(2)
    findings = check_strategy(lambda panel: STRATEGIES[name], PANEL, PRIOR, n_questions=10, rng=rng)
    assert [each.sentence for each in findings if not each.passed] == []
    assert {each.guard for each in findings} == {
        "shuffled labels",
        "unseen replies",
        "swapped sides",
        "seen and unseen",
        "one by one",
    }


@pytest.mark.parametrize(
    "strategy_for", [peeking, lambda panel: Strategy("climbing", begin_climbing, "")], ids=["bound", "climbing"]
)
def test_a_strategy_that_peeks_at_test_answers_is_caught(strategy_for: StrategyFor) -> None:
    shuffled = put(shuffled_labels, strategy_for)
    assert not shuffled.passed
    assert "it is reported as leaking" in shuffled.sentence
    unseen = put(unseen_replies, strategy_for)
    assert not unseen.passed
    assert "it saw them" in unseen.sentence


def test_a_strategy_that_reads_replies_without_asking_is_caught() -> None:
    """Shuffled labels cannot show it, because coin flips tell nothing of one another."""
    assert put(shuffled_labels, reading).passed
    assert not put(unseen_replies, reading).passed


def test_an_oracle_knows_what_was_not_asked_and_is_told_from_a_strategy() -> None:
    found = put(unseen_replies, oracle)
    assert not found.passed
    assert "0% of users are asked the same" in found.sentence


def test_shuffled_labels_leave_a_share_of_a_half() -> None:
    found = put(shuffled_labels, "information_gain")
    share = float(found.sentence.split("accuracy is ")[1].split(",")[0])
    assert share == pytest.approx(0.5, abs=0.03)


def test_few_tasks_are_allowed_their_chance() -> None:
    """With one task for each of ten users, anything within three standard errors of a half is chance."""
    truth = np.full_like(PANEL.test_truth, np.nan)
    truth[:, 0] = 1.0
    few = replace(PANEL, test_truth=truth).users(slice(0, 10))
    passed = [
        shuffled_labels(
            lambda panel: STRATEGIES["static"], few, PRIOR, n_questions=1, rng=np.random.default_rng(seed)
        ).passed
        for seed in range(20)
    ]
    assert sum(passed) >= 18


def test_users_who_agree_by_accident_are_no_leak() -> None:
    """Two users of five tasks who are both right about two: among users the standard error is 0, of coins it is .16."""
    truth = np.full_like(PANEL.test_truth[:2], np.nan)
    truth[:, :5] = 1.0
    few = replace(PANEL.users(slice(0, 2)), test_truth=truth)
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found.append(shuffled_labels(lambda panel: STRATEGIES["static"], few, PRIOR, n_questions=1, rng=rng))
    assert json.loads(json.dumps(found[0]._asdict())) == found[0]._asdict()
    assert any("accuracy is 0.400, as chance has it (.5 ± 0.474)" in each.sentence for each in found)
    assert sum(each.passed for each in found) >= 57


def test_a_strategy_that_prefers_a_side_is_caught() -> None:
    class LeansLeft(Peeks):
        def predict(self, first: Array, second: Array) -> Array:
            return np.minimum(self.honest.predict(first, second) + 0.01, 1.0)

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        learn = STRATEGIES["static"].begin(study, rng=rng)
        return lambda history: LeansLeft(learn(history), PANEL)

    found = put(swapped_sides, lambda panel: Strategy("leans", begin, ""))
    assert not found.passed
    assert "of a user changes by" in found.sentence


def test_swapping_twice_is_the_panel_again() -> None:
    biased = replace(PANEL, response_model=replace(PANEL.response_model, position_bias=0.3))
    once, twice = side_swapped(biased), side_swapped(side_swapped(biased))
    assert once.response_model.position_bias == -0.3
    for name in ("first", "second", "outcomes", "test_first", "test_second", "margins"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(biased, name))
    assert biased.margins is not None
    assert once.margins is not None
    # Replies are as likely as before: at margin m with bias b the first is preferred with σ(m + b).
    np.testing.assert_allclose(sigmoid(-once.margins + 0.3), sigmoid(biased.margins + 0.3))


def test_unseen_better_than_seen_is_an_alarm() -> None:
    def contrary(panel: Panel) -> Strategy:
        class Forgets(Peeks):
            """Predicts the test tasks well and its own questions badly."""

            def predict(self, first: Array, second: Array) -> Array:
                known = super().predict(first, second)
                return known if first.shape == panel.test_first.shape else 1 - known

        def begin(study: Study, *, rng: np.random.Generator) -> Learner:
            learn = STRATEGIES["random"].begin(study, rng=rng)
            return lambda history: Forgets(learn(history), panel)

        return Strategy("contrary", begin, "")

    found = put(seen_and_unseen, contrary)
    assert not found.passed
    assert found.sentence.endswith("unseen better than seen.")
    nobody = replace(PANEL, test_truth=np.full_like(PANEL.test_truth, np.nan))
    assert put(seen_and_unseen, "random", nobody).passed


def test_questions_that_the_prior_alone_calls_even_are_no_alarm() -> None:
    """Nobody differs from the group: what tells most is what the group is divided on, and tests are easier."""
    n_users = len(PANEL.outcomes)
    mean = 2 * PRIOR.mean
    margins = (PANEL.first - PANEL.second)[0] @ mean
    alike = replace(
        PANEL,
        outcomes=np.where(np.random.default_rng(3).random(PANEL.outcomes.shape) < sigmoid(margins), 1, -1).astype(
            np.int8
        ),
        test_truth=np.tile(sigmoid((PANEL.test_first - PANEL.test_second)[0] @ mean), (n_users, 1)),
        margins=None,
    )
    known = Gaussian(mean, 1e-4 * np.eye(mean.size))
    rng = np.random.default_rng(2)
    found = seen_and_unseen(lambda panel: STRATEGIES["information_gain"], alike, known, n_questions=5, rng=rng)
    assert found.passed
    assert "of the test replies, by the prior alone 0." in found.sentence
    seen, unseen = (float(found.sentence.split("with ")[place].split(" ")[0]) for place in (1, 2))
    assert unseen - seen > 0.1


def test_a_fitted_pull_to_the_first_side_is_one_to_the_second_where_sides_are_swapped() -> None:
    model = ResponseModel(position_bias=0.4)
    start = PopulationPrior(PRIOR, FeatureSpace([f"x{i}" for i in range(PRIOR.n_features)]), model)
    biased = replace(PANEL, response_model=model)
    rng = np.random.default_rng(2)
    assert swapped_sides(lambda panel: STRATEGIES["information_gain"], biased, start, n_questions=5, rng=rng).passed


def overlapping(sides: slice = slice(None)) -> Panel:
    """Test tasks 3 and 7 are questions 10 and 20."""
    first, second = PANEL.test_first.copy(), PANEL.test_second.copy()
    for task, question in ((3, 10), (7, 20)):
        pair = [PANEL.first[0, question], PANEL.second[0, question]][sides]
        first[0, task], second[0, task] = pair
    return replace(PANEL, test_first=first, test_second=second)


def test_tasks_that_can_be_asked_are_counted() -> None:
    assert questions_apart(PANEL) == Finding(
        "questions apart", "", True, "Of 6000 test tasks none is among what its user can be asked."
    )
    for sides in (slice(None), slice(None, None, -1)):
        found = questions_apart(overlapping(sides))
        assert not found.passed
        assert found.sentence == "Of 6000 test tasks 60 are among what its user can be asked."
    panel = overlapping()
    is_open, truth = panel.open.copy(), panel.test_truth.copy()
    is_open[1:, 10], truth[:, 7] = False, np.nan  # one user can be asked the first, nobody is tested on the second
    found = questions_apart(replace(panel, open=is_open, test_truth=truth))
    assert found.sentence == "Of 5970 test tasks 1 is among what its user can be asked."


def test_questions_of_ones_own_are_looked_at_user_by_user() -> None:
    panel = overlapping()
    own = np.repeat(panel.first, 30, axis=0)
    own[5:, 20] += 1.0
    assert "Of 6000 test tasks 35 are" in questions_apart(replace(panel, first=own)).sentence


def test_the_summary_names_who_failed() -> None:
    findings = [Finding("a", "random", True, "Fine."), Finding("b", "", False, "Not fine.")]
    summary = summarise_guards(findings)
    assert (summary["passed"], summary["alarms"]) == (False, ["the panel: Not fine."])
    assert summary["findings"][1] == {"guard": "b", "strategy": None, "passed": False, "sentence": "Not fine."}
    assert json.loads(json.dumps(summary)) == summary
