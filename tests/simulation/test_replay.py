"""Replay: who is asked, tested and learned from, and that votes and ties come out as what they are."""

from dataclasses import replace

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.inference.likelihood import reply_probabilities
from prefq.simulation.curves import learning_curve
from prefq.simulation.guards import coin_record, one_by_one, questions_apart, shuffled_record, tasks_apart
from prefq.simulation.panels import GroupAnswers, Outcomes, Panel, Rows, Study
from prefq.simulation.replay import (
    Recorded,
    Replay,
    divide,
    draw_folds,
    fit_tie_threshold,
    independent_rows,
    replay_panel,
)
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import OURS, Belief, Learner, Strategy
from prefq.simulation.votes import Votes, any_pairs, divide_votes, learn_item_features, pairs_once, votes_panel
from prefq.vocabulary import Array, ResponseModel

INFORMATION_GAIN = next(strategy for strategy in OURS if strategy.name == "information_gain")


def choices(margins: Array, model: ResponseModel, rng: np.random.Generator) -> Outcomes:
    """Replies drawn from a response model, one for each margin."""
    shares = np.cumsum(reply_probabilities(margins, model), axis=1)
    drawn = (rng.random(len(margins))[:, None] > shares[:, :-1]).sum(axis=1)
    return np.asarray(np.array(model.outcomes, dtype=np.int8)[drawn])


def people(
    n_users: int = 40, n_tasks: int = 12, per_task: int = 2, tau: float = 0.0, seed: int = 5, spread: float = 1.5
) -> Recorded:
    """People with tastes of their own in three features, of very different units."""
    rng = np.random.default_rng(seed)
    n = n_users * n_tasks * per_task
    users = np.repeat(np.arange(n_users), n_tasks * per_task)
    units = np.array([1.0, 100.0, 0.01])
    first, second = rng.normal(size=(2, n, 3))
    tastes = rng.normal(size=(n_users, 3)) * spread + [0.5, 0.0, 0.0]
    margins = ((first - second) * tastes[users]).sum(axis=1)
    outcomes = choices(margins, ResponseModel(tie_threshold=tau), rng)
    names = tuple(f"u{user:03d}" for user in range(n_users))
    tasks = np.arange(n) // per_task
    return Recorded("made", first * units, second * units, outcomes, users, tasks, names)


def opinions(n_users: int = 120, n_items: int = 40, seed: int = 3) -> Votes:
    """Two camps that disagree on half of the statements; two votes in three are cast."""
    rng = np.random.default_rng(seed)
    camps = np.repeat([-1.0, 1.0], n_users // 2)
    sides = np.where(np.arange(n_items) % 2 == 0, 1.5, 0.0)
    felt = 0.4 + camps[:, None] * sides * rng.choice([-1, 1], size=n_items) + rng.normal(size=(n_users, n_items)) * 0.7
    users, items = np.nonzero(rng.random((n_users, n_items)) < 2 / 3)
    values = (np.sign(felt) * (np.abs(felt) > 0.3))[users, items].astype(np.int8)
    return Votes("camps", users, items, values, tuple(f"v{user}" for user in range(n_users)), n_items)


def first_fold(recorded: Recorded, n_questions: int = 5, seed: int = 1) -> Replay:
    measured = draw_folds(len(recorded.user_ids), 4, rng=np.random.default_rng([seed, 9])) == 0
    division = divide(recorded, measured, n_questions=n_questions, rng=np.random.default_rng([seed, 1]))
    return replay_panel(recorded, measured, division, rng=np.random.default_rng([seed, 2]))


def votes_fold(votes: Votes, pairing: object = pairs_once) -> Replay:
    measured = draw_folds(len(votes.user_ids), 4, rng=np.random.default_rng([1, 9])) == 0
    assert callable(pairing)
    division = divide_votes(votes, measured, n_questions=5, pairing=pairing, rng=np.random.default_rng([1, 1]))
    return votes_panel(votes, measured, division, rng=np.random.default_rng([1, 2]))


def curve_of(panel: Panel, strategy: Strategy = INFORMATION_GAIN, n_questions: int = 8) -> dict[str, Array]:
    prior = fitted_start(panel)
    return learning_curve(strategy, panel, prior, n_questions=n_questions, rng=np.random.default_rng(4)).measures


def shares_tasks(replay: Replay) -> bool:
    """Whether anybody is tested on a task that can be asked about."""
    return any(
        (set(asked[asked >= 0].tolist()) & set(tested[tested >= 0].tolist()))
        for asked, tested in zip(replay.question_tasks, replay.test_tasks, strict=True)
    )


@pytest.mark.parametrize("replay", [first_fold(people()), votes_fold(opinions()), votes_fold(opinions(), any_pairs)])
def test_nobody_is_tested_on_a_task_that_can_be_asked_about_or_teaches_the_prior(replay: Replay) -> None:
    assert not shares_tasks(replay)
    assert not set(replay.panel.user_ids) & set(replay.group_ids)
    assert replay.panel.n_users == replay.counts["measured"] > 5


def best_of_three(utilities: Array, n_tasks: int, n_users: int = 2) -> Recorded:
    """Choices among the same three items, multinomial logit: the chosen item against each of the others."""
    rng = np.random.default_rng(8)
    chosen = (utilities + rng.gumbel(size=(n_tasks, 3))).argmax(axis=1)
    others = np.array([[1, 2], [0, 2], [0, 1]])[chosen]
    items = np.column_stack([np.repeat(chosen, 2), others.ravel()])
    swap = rng.random(len(items)) < 0.5
    items = np.where(swap[:, None], items[:, ::-1], items)
    features, tasks = np.eye(3)[items], np.repeat(np.arange(n_tasks), 2)
    outcomes = np.where(swap, -1, 1).astype(np.int8)
    names = tuple(f"u{user}" for user in range(n_users))
    return Recorded("three", features[:, 0], features[:, 1], outcomes, tasks % n_users, tasks, names, items=items)


def test_one_comparison_of_a_choice_among_three_replies_as_if_it_had_been_asked_alone() -> None:
    utilities = np.array([1.2, 0.0, -0.5])
    recorded = best_of_three(utilities, 20_000)
    assert recorded.items is not None
    rows = independent_rows(recorded, np.arange(40_000), rng=np.random.default_rng(1))
    assert len(np.unique(recorded.tasks[rows])) == len(rows) == 20_000
    for one, other in ((0, 1), (0, 2), (1, 2)):
        of_pair = rows[np.isin(recorded.items[rows], [one, other]).all(axis=1)]
        won = np.where(recorded.items[of_pair, 0] == one, recorded.outcomes[of_pair], -recorded.outcomes[of_pair]) > 0
        share = 1 / (1 + np.exp(utilities[other] - utilities[one]))
        assert abs(won.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(of_pair))


def test_comparisons_of_a_task_without_a_common_item_are_all_kept() -> None:
    recorded = replace(best_of_three(np.zeros(3), 40), items=np.arange(160).reshape(80, 2))
    rows = np.arange(10, 70)
    assert independent_rows(recorded, rows, rng=np.random.default_rng(1)).tolist() == rows.tolist()
    unknown = independent_rows(replace(recorded, items=None), rows, rng=np.random.default_rng(1))
    assert sorted(recorded.tasks[unknown]) == list(range(5, 35))


def test_the_group_is_heard_once_a_choice_and_people_may_be_asked_so_with_the_same_tests() -> None:
    recorded, measured = people(), np.arange(40) < 10
    both, once = (
        divide(recorded, measured, n_questions=5, rng=np.random.default_rng(1), once=once) for once in (False, True)
    )
    assert [each.tolist() for each in both.tests] == [each.tolist() for each in once.tests]
    for more, fewer in zip(both.questions, once.questions, strict=True):
        assert set(fewer) < set(more)
        assert sorted(recorded.tasks[fewer]) == sorted(set(recorded.tasks[more]))
    group = replay_panel(recorded, measured, both, rng=np.random.default_rng(2)).panel.group
    assert len(group.outcomes) == 30 * 12


def test_every_person_is_in_one_fold_and_folds_are_of_one_size() -> None:
    folds = draw_folds(103, 5, rng=np.random.default_rng([1, 2]))

    assert sorted(np.bincount(folds)) == [20, 20, 21, 21, 21]
    assert not np.array_equal(folds, draw_folds(103, 5, rng=np.random.default_rng([2, 2])))


def test_replies_are_those_on_record_whichever_side_is_shown_first() -> None:
    recorded = people(n_users=8, per_task=1)
    panel = first_fold(recorded).panel
    names = np.array(recorded.user_ids)[recorded.users]
    others = ~np.isin(names, panel.user_ids)
    unit = np.concatenate([recorded.first[others], recorded.second[others]]).std(axis=0)
    own = np.flatnonzero(names == panel.user_ids[0])
    preferred = (recorded.first[own] - recorded.second[own]) * recorded.outcomes[own, None]
    shown = ((panel.first - panel.second)[0] * panel.outcomes[0, :, None])[panel.open[0]] * unit
    tested = ((panel.test_first - panel.test_second)[0] * (2 * panel.test_truth[0, :, None] - 1)) * unit

    # Each task is one line of preferred less other, and nothing is there twice: eight questions and four tests of 12.
    lines = np.concatenate([shown, tested[~np.isnan(panel.test_truth[0])]])
    matches = np.isclose(lines[:, None], preferred[None]).all(axis=2)
    assert (matches.sum(axis=1) == 1).all()
    assert sorted(matches.argmax(axis=1)) == list(range(12))


def test_what_is_measured_does_not_depend_on_the_measured_peoples_answers_to_others() -> None:
    recorded = people()
    before = first_fold(recorded)
    outcomes = recorded.outcomes.copy()
    theirs = np.isin(np.array(recorded.user_ids)[recorded.users], before.panel.user_ids)
    outcomes[theirs] *= -1
    after = first_fold(replace(recorded, outcomes=outcomes))

    np.testing.assert_array_equal(before.panel.group.differences, after.panel.group.differences)
    np.testing.assert_array_equal(before.panel.first, after.panel.first)
    np.testing.assert_array_equal(before.panel.outcomes, -after.panel.outcomes)


def test_own_answers_help_where_people_differ_and_coin_flips_teach_nothing() -> None:
    panel = first_fold(people(n_users=160, n_tasks=20), n_questions=8).panel
    measures = curve_of(panel)
    gain = measures["log_loss"][:, 0] - measures["log_loss"][:, -1]
    flips = np.random.default_rng(8)
    shuffled = replace(
        panel,
        outcomes=np.where(flips.random(panel.outcomes.shape) < 0.5, 1, -1).astype(np.int8),
        test_truth=np.where(np.isnan(panel.test_truth), np.nan, flips.random(panel.test_truth.shape) < 0.5),
    )

    assert gain.mean() > 5 * gain.std(ddof=1) / np.sqrt(len(gain))
    assert curve_of(shuffled)["accuracy"][:, -1].mean() == pytest.approx(0.5, abs=0.06)


def test_ties_are_replies_and_no_tests_and_their_threshold_is_found() -> None:
    recorded = people(n_users=80, n_tasks=30, tau=0.8, spread=0.3)
    replay = first_fold(recorded)

    assert (replay.panel.outcomes[replay.panel.open] == 0).any()
    assert set(np.unique(replay.panel.test_truth[~np.isnan(replay.panel.test_truth)])) == {0.0, 1.0}
    assert replay.counts["test_ties_left_out"] > 0
    assert replay.panel.response_model.tie_threshold == pytest.approx(0.8, abs=0.1)


def test_decided_tests_are_predicted_as_often_as_they_come_true_in_spite_of_ties() -> None:
    # At the true coefficients and threshold, σ of the stretched margin is the chance given that it is no tie.
    tau, rng = 0.8, np.random.default_rng(2)
    margins = rng.normal(size=200_000)
    outcomes = choices(margins, ResponseModel(tie_threshold=tau), rng)
    decided = outcomes != 0
    stretched = 2 / (1 + np.exp(-tau)) * margins[decided]
    predicted = 1 / (1 + np.exp(-stretched))
    for low in (0.1, 0.3, 0.5, 0.7):
        there = (predicted > low) & (predicted < low + 0.2)
        assert (outcomes[decided][there] > 0).mean() == pytest.approx(predicted[there].mean(), abs=0.01)


def test_a_group_without_ties_has_threshold_zero() -> None:
    group = GroupAnswers(np.ones((4, 1)), np.array([1, -1, 1, 1], dtype=np.int8), np.array([0, 0, 1, 1]))

    assert fit_tie_threshold(group) == 0.0


def test_people_with_few_answers_stop_early_or_are_left_out_and_counted() -> None:
    full = people(n_users=20, n_tasks=12, per_task=1)
    keep = np.ones(len(full.users), dtype=bool)
    for user, n_answers in ((0, 3), (1, 9)):
        keep[np.flatnonzero(full.users == user)[n_answers:]] = False
    recorded = Recorded(
        "short",
        full.first[keep],
        full.second[keep],
        full.outcomes[keep],
        full.users[keep],
        full.tasks[keep],
        full.user_ids,
    )
    measured = np.arange(20) < 10
    division = divide(recorded, measured, n_questions=8, rng=np.random.default_rng([1, 1]))
    replay = replay_panel(recorded, measured, division, rng=np.random.default_rng([1, 2]))
    asked = learning_curve(
        INFORMATION_GAIN,
        replay.panel,
        fitted_start(replay.panel),
        n_questions=8,
        rng=np.random.default_rng(1),
    ).history.rows

    assert replay.counts["people"] == 10
    assert replay.counts["left_out"] == 1
    assert replay.counts["fewer_than_asked"] == 1
    assert "u000" not in replay.panel.user_ids
    assert (asked[replay.panel.user_ids.index("u001")] >= 0).sum() == 6  # two thirds of nine tasks


def test_one_user_is_refused() -> None:
    recorded = people(n_users=2)
    alone = recorded.users == 0

    with pytest.raises(InputError, match="answers of 1 user"):
        replace(
            recorded,
            first=recorded.first[alone],
            second=recorded.second[alone],
            outcomes=recorded.outcomes[alone],
            users=recorded.users[alone],
            tasks=recorded.tasks[alone],
        )


def test_features_that_are_not_finite_are_refused() -> None:
    recorded = people(n_users=4)
    first = recorded.first.copy()
    first[3, 1] = np.nan

    with pytest.raises(InputError, match="not finite"):
        replace(recorded, first=first)


def test_nobody_with_enough_answers_is_an_error_that_says_what_to_do() -> None:
    recorded = people(n_users=6, n_tasks=2, per_task=1)
    measured = np.arange(6) < 2
    division = divide(recorded, measured, n_questions=5, rng=np.random.default_rng([1, 1]))

    with pytest.raises(InputError, match="--min-questions"):
        replay_panel(recorded, measured, division, rng=np.random.default_rng([1, 2]))


@pytest.mark.parametrize("n_folds", [1, 7])
def test_folds_that_cannot_be_are_refused(n_folds: int) -> None:
    with pytest.raises(InputError, match=f"there are {n_folds} folds for 6 users"):
        draw_folds(6, n_folds, rng=np.random.default_rng(1))


def test_each_vote_is_asked_about_once_and_every_pair_differs() -> None:
    votes = opinions()
    rows = np.flatnonzero(votes.users == 7)
    pairs = pairs_once(rows, votes.values, np.random.default_rng(1))

    assert len(np.unique(pairs)) == pairs.size
    assert (votes.values[pairs[:, 0]] != votes.values[pairs[:, 1]]).all()
    # What is left over all voted the same: no pair was missed.
    assert len(np.unique(votes.values[np.setdiff1d(rows, pairs)])) <= 1


def test_any_two_different_votes_may_be_asked_about_up_to_a_cap() -> None:
    values = np.array([1, 1, -1, 0], dtype=np.int8)
    pairs = any_pairs(np.arange(4), values, np.random.default_rng(1))

    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == {(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)}


def test_the_factor_that_divides_the_camps_is_found_from_some_of_the_votes() -> None:
    votes = opinions()
    features = learn_item_features(votes.users, votes.items, votes.values, votes.n_items, rng=np.random.default_rng(1))
    # By a second way: the difference of the two camps' mean votes on each statement.
    camp = votes.users >= 60
    means = [
        np.bincount(votes.items[side], votes.values[side], 40) / np.bincount(votes.items[side], minlength=40)
        for side in (camp, ~camp)
    ]

    assert abs(np.corrcoef(features[:, 1], means[0] - means[1])[0, 1]) > 0.97
    assert np.corrcoef(features[:, 0], (means[0] + means[1]) / 2)[0, 1] > 0.95


def test_own_votes_help_where_two_camps_are_opposed() -> None:
    measures = curve_of(votes_fold(opinions()).panel, n_questions=5)

    assert measures["log_loss"][:, -1].mean() < measures["log_loss"][:, 0].mean() - 0.05
    assert measures["swapped_log_loss"][:, -1].mean() > measures["log_loss"][:, -1].mean() + 0.05


def test_factors_do_not_know_the_votes_of_the_measured() -> None:
    votes = opinions()
    before = votes_fold(votes)
    theirs = np.isin(np.array(votes.user_ids)[votes.users], before.panel.user_ids)
    after = votes_fold(replace(votes, values=np.where(theirs, -votes.values, votes.values).astype(np.int8)))

    np.testing.assert_array_equal(before.panel.group.differences, after.panel.group.differences)


@pytest.mark.parametrize(
    ("field", "value", "message"), [("values", 2, "has a vote 2"), ("items", 0, "voted twice on one statement")]
)
def test_votes_that_cannot_be_are_refused(field: str, value: int, message: str) -> None:
    votes = Votes("few", np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1, -1, 1], dtype=np.int8), ("a", "b"), 2)
    wrong = getattr(votes, field).copy()
    wrong[1] = value

    with pytest.raises(InputError, match=message):
        replace(votes, **{field: wrong})


def choice_sets(n_users: int = 60, n_tasks: int = 15, n_others: int = 2, seed: int = 5) -> Recorded:
    """Of each set of items one is chosen; each of the others is compared with it, as a record of choices would be."""
    rng = np.random.default_rng(seed)
    n_sets = n_users * n_tasks
    tastes = rng.normal(size=(n_users, 3))
    shown = rng.normal(size=(n_sets, 1 + n_others, 3))
    felt = np.einsum("sif,sf->si", shown, np.repeat(tastes, n_tasks, axis=0)) + rng.gumbel(size=shown.shape[:2])
    best_first = np.take_along_axis(shown, np.argsort(-felt, axis=1)[..., None], axis=1)
    n = n_sets * n_others
    return Recorded(
        "sets",
        np.repeat(best_first[:, 0], n_others, axis=0),
        best_first[:, 1:].reshape(n, 3),
        np.ones(n, dtype=np.int8),
        np.repeat(np.arange(n_users), n_tasks * n_others),
        np.repeat(np.arange(n_sets), n_others),
        tuple(f"u{user}" for user in range(n_users)),
    )


class CountsItems:
    """Believes that of two items the one is preferred that is in more of the tasks it is asked to predict."""

    def __init__(self, honest: Belief) -> None:
        self.honest = honest

    def next_rows(self) -> Rows:
        return self.honest.next_rows()

    def score(self, items: Array) -> Array:
        return self.honest.score(items)

    def predict(self, first: Array, second: Array) -> Array:
        items = np.stack([first, second], axis=2)  # (n_users, n_tests, 2, n_features)
        alike = (items[:, :, :, None, None] == items[:, None, None]).all(axis=-1)
        often = alike.sum(axis=(3, 4))
        return np.asarray(0.5 + 0.4 * np.sign(often[..., 0] - often[..., 1]))


def begin_counting(study: Study, *, rng: np.random.Generator) -> Learner:
    learn = INFORMATION_GAIN.begin(study, rng=rng)
    return lambda history: CountsItems(learn(history))


COUNTING = Strategy("counting", begin_counting, "")


def test_who_counts_items_among_the_tests_knows_nothing_and_is_caught_where_it_would() -> None:
    recorded = choice_sets()
    replay = first_fold(recorded)
    # The same people with both comparisons of a task as tests: the item in both is the chosen one.
    measured = np.arange(60) < 15
    division = divide(recorded, measured, n_questions=5, rng=np.random.default_rng(1))
    both = [np.flatnonzero(np.isin(recorded.tasks, recorded.tasks[test])) for test in division.tests]
    leaking = replay_panel(recorded, measured, division._replace(tests=both), rng=np.random.default_rng(2)).panel
    prior = fitted_start(leaking)
    honest = curve_of(replay.panel, COUNTING, n_questions=0)["accuracy"]
    told = curve_of(leaking, COUNTING, n_questions=0)["accuracy"]

    assert replay.counts["test_repeats_set_aside"] == replay.counts["tests"]
    assert honest.mean() == pytest.approx(0.5, abs=0.01)
    assert told.mean() == 1.0
    caught = one_by_one(lambda _: COUNTING, leaking, prior, n_questions=2, rng=np.random.default_rng(1))
    assert not caught.passed
    assert "it looks at the tasks together" in caught.sentence
    assert one_by_one(lambda _: INFORMATION_GAIN, leaking, prior, n_questions=2, rng=np.random.default_rng(1)).passed


def test_the_one_test_of_a_task_is_any_of_its_comparisons() -> None:
    recorded = choice_sets(n_users=40, n_others=3)
    measured = np.ones(40, dtype=bool)
    division = divide(recorded, measured, n_questions=5, rng=np.random.default_rng(1))
    rows = np.concatenate(division.tests)

    assert all(len(np.unique(recorded.tasks[test])) == len(test) == 5 for test in division.tests)
    # 200 tests among three comparisons each: 67 of every place are expected, with a standard deviation of 6.7.
    assert np.bincount(rows % 3).min() > 45


def test_divided_by_prompt_nothing_of_a_tested_prompt_can_be_asked() -> None:
    recorded = replace(people(n_users=20), prompts=np.tile(np.repeat(np.arange(6), 4), 20))
    measured = np.arange(20) < 10
    options = {"n_questions": 5, "rng": np.random.default_rng(1)}
    by_task, by_prompt = (
        divide(recorded, measured, apart=apart, **options)  # type: ignore[arg-type]
        for apart in (None, recorded.prompts)
    )

    assert recorded.prompts is not None
    for asked, test in zip(by_prompt.questions, by_prompt.tests, strict=True):
        assert not set(recorded.prompts[asked]) & set(recorded.prompts[test])
        assert len(set(recorded.prompts[test])) == 2  # a third of six
    assert by_prompt.counts["tests_sharing_prompt"] == 0
    assert by_task.counts["tests_sharing_prompt"] > by_task.counts["tests"] / 2


def test_a_test_with_the_features_of_a_question_is_left_out_whatever_the_sides() -> None:
    recorded = people(n_users=24, n_tasks=12, per_task=1)
    first, second = recorded.first.copy(), recorded.second.copy()
    # The last three of everybody's tasks show what the first three showed, the other way round.
    for user in range(24):
        rows = np.flatnonzero(recorded.users == user)
        first[rows[9:]], second[rows[9:]] = second[rows[:3]], first[rows[:3]]
    doubled = replace(recorded, first=first, second=second)
    replay = first_fold(doubled, n_questions=5)

    assert replay.counts["tests_like_questions"] > 0
    assert questions_apart(replay.panel).passed
    assert tasks_apart(replay).passed


def test_what_tests_and_questions_have_in_common_is_counted() -> None:
    # Two people; the measured one answers three pairs, of items 0 1, 1 2 and 3 4; the other answers 4 3.
    numbers = np.random.default_rng(1).normal(size=(5, 1))
    items = np.array([[0, 1], [1, 2], [3, 4], [4, 3]])
    recorded = Recorded(
        "few",
        numbers[items[:, 0]],
        numbers[items[:, 1]],
        np.array([1, 1, 1, 1], dtype=np.int8),
        np.array([0, 0, 0, 1]),
        np.arange(4),
        ("a", "b"),
        prompts=np.array([0, 0, 1, 1]),
        items=items,
    )
    seen = set()
    for seed in range(20):
        division = divide(
            recorded,
            np.array([True, False]),
            n_questions=1,
            min_questions=1,
            test_share=2 / 3,
            rng=np.random.default_rng(seed),
        )
        (asked,) = division.questions
        names = ("tests_sharing_prompt", "tests_sharing_item", "tests_judged_by_others")
        found = tuple(division.counts[name] for name in names)
        assert found == {0: (1, 1, 1), 1: (1, 1, 1), 2: (0, 0, 0)}[int(asked[0])]
        seen.add(int(asked[0]))
    assert seen == {0, 1, 2}


def test_tests_are_compared_with_questions_as_they_are_and_predicted_stretched() -> None:
    panel = first_fold(people(n_users=80, n_tasks=30, tau=0.8)).panel
    tau = panel.response_model.tie_threshold
    overlapping = replace(
        panel,
        test_first=panel.first[:, : panel.test_truth.shape[1]],
        test_second=panel.second[:, : panel.test_truth.shape[1]],
    )

    assert panel.test_stretch == pytest.approx(2 / (1 + np.exp(-tau)))
    assert panel.users(slice(0, 3)).test_stretch == panel.test_stretch > 1.1
    np.testing.assert_array_equal(panel.tests[0], panel.test_first * panel.test_stretch)
    assert questions_apart(panel).passed
    assert not questions_apart(overlapping).passed


def test_a_statement_on_both_sides_is_found() -> None:
    replay = votes_fold(opinions())
    tests = replay.test_tasks.copy()
    tests[2, 0] = replay.question_tasks[2, 0]

    assert tasks_apart(replay).passed
    found = tasks_apart(replay._replace(test_tasks=tests))
    assert not found.passed
    assert "1 is behind a question, too" in found.sentence


def coin_panels(record: Recorded | Votes, n_folds: int = 2) -> list[Panel]:
    coins = coin_record(record, rng=np.random.default_rng(3))
    if isinstance(coins, Votes):
        return [votes_fold(coins, any_pairs).panel]
    return [first_fold(coins, seed=seed).panel for seed in range(n_folds)]


@pytest.mark.parametrize("record", [people(n_users=160, n_tasks=20, per_task=1), opinions()], ids=["taste", "camps"])
def test_coins_for_a_whole_record_leave_chance(record: Recorded | Votes) -> None:
    found = shuffled_record(INFORMATION_GAIN, coin_panels(record), n_questions=5, rng=np.random.default_rng(1))

    assert found.passed, found.sentence
    assert 0.45 < float(found.sentence.split("accuracy is ")[1].split(",")[0]) < 0.55


def test_a_way_to_the_panel_that_tells_the_outcome_is_caught_by_coins_for_the_record() -> None:
    # Planted: a feature that was made of the outcomes, as a mean vote over everybody would be.
    coins = coin_record(people(n_users=120, n_tasks=20, per_task=1), rng=np.random.default_rng(3))
    assert isinstance(coins, Recorded)
    told = np.column_stack([coins.first, coins.outcomes + np.random.default_rng(4).normal(size=len(coins.outcomes))])
    leaking = replace(coins, first=told, second=np.column_stack([coins.second, np.zeros(len(told))]))
    found = shuffled_record(INFORMATION_GAIN, [first_fold(leaking).panel], n_questions=5, rng=np.random.default_rng(1))

    assert not found.passed
    assert "turned by a coin" in found.sentence
