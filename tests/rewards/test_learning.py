"""Learning base rewards: no harm where people agree, camps where they do not, strengths as others tell them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.inference.likelihood import sigmoid
from prefq.rewards.folds import RankPoint, chosen
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import held_out_curve
from prefq.rewards.learning import learn_rewards, method_of, narrowed
from prefq.vocabulary import Array, Gaussian, GaussianMixture, PopulationPrior

N_DIMS = 24


def group_of(tastes: Array, n_answers: int, rng: np.random.Generator) -> tuple[Array, GroupComparisons]:
    """Encodings, and answers of people of these tastes (n_users, n_dims)."""
    users = np.repeat(np.arange(len(tastes)), n_answers)
    encodings = rng.normal(size=(2 * len(users), N_DIMS)) / np.sqrt(2)
    pairs = np.arange(len(encodings)).reshape(-1, 2)
    margins = ((encodings[::2] - encodings[1::2]) * tastes[users]).sum(axis=1)
    outcomes = np.where(rng.random(len(users)) < sigmoid(margins), 1, -1).astype(np.int8)
    ids = tuple(map(str, range(len(tastes))))
    return encodings, GroupComparisons(pairs, outcomes, users, ids, np.repeat(np.arange(len(users)), 2))


def camps(share: float, n: int, rng: np.random.Generator) -> Array:
    """People of a common taste with this chance, otherwise of one of two opposed ones."""
    common, own = 2.5 * np.eye(N_DIMS)[:2]
    sides = np.where(rng.random(n) < 0.5, 1.0, -1.0)[:, None]
    return np.asarray(np.where(rng.random(n)[:, None] < share, common, sides * own))


def accuracies(learned: Any, tastes: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Of new people after 0 and 10 answers; log losses, accuracies."""
    encodings, group = group_of(tastes, 50, rng)
    differences = group.differences(encodings) @ learned.heads
    curve = held_out_curve(differences, group.outcomes, group.users, learned.prior, after=(0, 10), rng=rng)
    return curve.log_loss, curve.accuracy


def test_where_people_agree_nothing_is_lost() -> None:
    rng = np.random.default_rng(1)
    encodings, group = group_of(camps(1.0, 120, rng), 20, rng)
    learned = learn_rewards(encodings, group, rng=rng)
    loss, accuracy = accuracies(learned, camps(1.0, 100, rng), rng)
    assert learned.heads.shape[1] == 1
    assert loss[1] <= loss[0] + 0.002
    assert accuracy[1] >= accuracy[0] - 0.005


def test_many_people_of_few_answers_are_given_what_ten_answers_would_use() -> None:
    rng = np.random.default_rng(21)

    def people(n: int) -> Array:
        return np.asarray(np.column_stack([rng.normal(size=(n, 3)) * [2.5, 2.0, 1.6], np.zeros((n, N_DIMS - 3))]))

    encodings, group = group_of(people(900), 4, rng)
    learned = learn_rewards(encodings, group, max_features=6, rng=rng)
    assert learned.curve[0].told == pytest.approx(2.0)  # half of four
    assert learned.heads.shape[1] == 3  # a taste of all there is hardly, of each person three
    evidence = {point.n_features: point.evidence for point in learned.curve}
    assert evidence[3] > max(evidence[1], evidence[2], evidence[4]) + 5
    loss, _ = accuracies(learned, people(100), rng)
    assert loss[1] < loss[0] - 0.1


def test_a_mean_along_what_people_differ_in_is_found() -> None:
    rng = np.random.default_rng(23)
    tastes = np.zeros((40, N_DIMS))
    tastes[:, 0] = 2 + 2 * rng.normal(size=40)
    encodings, group = group_of(tastes, 40, rng)
    found = method_of("bayes")(encodings, group, 3, rng=rng)
    assert found.tastes is not None
    common = found.heads @ found.tastes.mean
    assert 1.2 < common[0] < 2.8
    assert abs(common[0]) > 0.9 * np.linalg.norm(common)


def test_few_people_are_left_out_one_by_one() -> None:
    rng = np.random.default_rng(22)
    encodings, group = group_of(camps(0.0, 12, rng), 30, rng)
    told: list[str] = []
    learn_rewards(encodings, group, n_features=2, rng=rng, on_step=told.append)
    assert any("fold 12 of 12" in step for step in told)


def test_more_features_than_people_differ_in_do_no_harm() -> None:
    rng = np.random.default_rng(2)
    encodings, group = group_of(camps(1.0, 120, rng), 20, rng)
    learned = learn_rewards(encodings, group, n_features=6, rng=rng)
    loss, _ = accuracies(learned, camps(1.0, 100, rng), rng)
    assert loss[1] <= loss[0] + 0.005
    assert (learned.prior.coefficients.sd[1:] < 0.5).all()


def test_opposed_camps_are_found() -> None:
    rng = np.random.default_rng(3)
    encodings, group = group_of(camps(0.0, 120, rng), 20, rng)
    learned = learn_rewards(encodings, group, rng=rng)
    _, accuracy = accuracies(learned, camps(0.0, 100, rng), rng)
    assert learned.heads.shape[1] <= 4
    assert accuracy[0] < 0.6
    assert accuracy[1] > 0.8
    own = learned.heads / np.linalg.norm(learned.heads, axis=0)
    assert np.linalg.norm(own[1]) > 0.9  # the axis on which they are opposed
    numbers = [point.n_features for point in learned.curve]
    assert numbers[:2] == [1, 2]
    assert numbers == sorted(set(numbers))  # no number stands for more than the folds found


@pytest.mark.parametrize("method", ["pref", "average"])
def test_other_methods_take_the_same_form(method: str) -> None:
    rng = np.random.default_rng(4)
    encodings, group = group_of(camps(0.5, 24, rng), 10, rng)
    learned = learn_rewards(encodings, group, method=method, n_features=3, rng=rng)
    assert learned.method == method
    assert learned.heads.shape[1] == (1 if method == "average" else 3)
    features = group.differences(encodings) @ learned.heads
    moments = features.T @ features / len(features)
    np.testing.assert_allclose(moments, np.eye(len(moments)), atol=1e-6)


def test_the_same_seed_gives_the_same() -> None:
    rng = np.random.default_rng(5)
    encodings, group = group_of(camps(0.5, 20, rng), 10, rng)
    once, again = (learn_rewards(encodings, group, n_features=3, rng=np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(once.heads, again.heads)
    assert once.prior.to_dict() == again.prior.to_dict()


def test_one_person_alone_teaches_a_reward() -> None:
    rng = np.random.default_rng(6)
    encodings, group = group_of(camps(1.0, 1, rng), 40, rng)
    learned = learn_rewards(encodings, group, n_features=1, rng=rng)
    assert learned.heads.shape == (N_DIMS, 1)
    assert learned.curve == ()


def test_a_prior_is_narrowed_part_by_part() -> None:
    parts = [Gaussian([2.0, 1.0], np.diag([1.0, 4.0])), Gaussian([4.0, -1.0], np.diag([1.0, 4.0]))]
    space = prefq.FeatureSpace(["a", "b"])
    prior = PopulationPrior(GaussianMixture([0.5, 0.5], parts), feature_space=space, n_users=9)
    found = narrowed(prior, np.array([0.5, 1.0]), np.array([1.0, 0.5])).coefficients
    np.testing.assert_allclose(found.mean, [1.5, 0.0])
    np.testing.assert_allclose(found.components[0].mean, [0.5, 0.5])
    np.testing.assert_allclose(found.components[0].covariance, np.diag([1.0, 1.0]))
    np.testing.assert_allclose(np.diag(found.covariance), [2.0, 1.25])  # of 2 and 5: by 1, and by ½²


def test_nothing_is_learned_from_ties_alone() -> None:
    rng = np.random.default_rng(7)
    encodings, group = group_of(camps(1.0, 4, rng), 6, rng)
    with pytest.raises(InputError, match="all 24 comparisons are ties"):
        learn_rewards(encodings, replace(group, outcomes=np.zeros(24, np.int8)), method="rfm", rng=rng)


@pytest.mark.parametrize("method", ["bayes", "average"])
def test_answers_that_cancel_out_teach_nothing(method: str) -> None:
    rng = np.random.default_rng(8)
    encodings, group = group_of(camps(1.0, 6, rng), 10, rng)
    rows = np.r_[np.arange(60), np.arange(60)]
    twice = replace(group.of_rows(rows), outcomes=np.repeat([1, -1], 60).astype(np.int8))
    with pytest.raises(InputError, match=r"answers cancel out: for all that is said for a response as much"):
        learn_rewards(encodings, twice, method=method, rng=rng)


def test_no_more_features_are_tried_than_there_are_dimensions() -> None:
    rng = np.random.default_rng(9)
    encodings, group = group_of(camps(0.5, 12, rng), 10, rng)
    learned = learn_rewards(encodings[:, :2], group, method="rfm", rng=rng)
    assert [point.n_features for point in learned.curve] == [1, 2]


def test_a_habit_of_taking_the_first_is_a_habit_and_no_taste() -> None:
    rng = np.random.default_rng(10)
    encodings, group = group_of(camps(1.0, 60, rng), 20, rng)
    margins = group.differences(encodings)[:, 0] * 2.5 + 1.0
    habit = np.where(rng.random(len(margins)) < sigmoid(margins), 1, -1).astype(np.int8)
    learned = learn_rewards(encodings, replace(group, outcomes=habit), n_features=1, rng=rng)
    assert learned.prior.response_model.position_bias == pytest.approx(1.0, abs=0.25)  # of which the error is about .08
    assert abs(learned.heads[0, 0]) / np.linalg.norm(learned.heads[:, 0]) > 0.95


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="no method 'magic'; choose among bayes"):
        method_of("magic")


@pytest.mark.parametrize(
    ("losses", "accuracies", "expected"),
    [
        ((0.60, 0.504, 0.50), (0.65, 0.745, 0.75), 4),  # about as good as eight, by both
        ((0.60, 0.507, 0.50), (0.65, 0.745, 0.75), 8),  # its probabilities are worse
        ((0.60, 0.504, 0.50), (0.65, 0.735, 0.75), 8),  # it errs more often
        ((0.50, 0.50, 0.50), (0.75, 0.75, 0.75), 1),
        ((0.50, 0.60, 0.60), (0.70, 0.75, 0.75), 1),  # none is good by both: the loss decides
    ],
)
def test_the_fewest_that_are_about_as_good(
    losses: tuple[float, ...], accuracies: tuple[float, ...], expected: int
) -> None:
    points = zip((1, 4, 8), losses, accuracies, strict=True)
    curve = tuple(RankPoint(n, 10.0, 0.69, loss, 0.01, 0.5, accuracy, 0.01, 0.0) for n, loss, accuracy in points)
    assert chosen(curve) == expected
    few = tuple(p._replace(told=2.0, evidence=e) for p, e in zip(curve, (-90.0, -80.5, -80.0), strict=True))
    assert chosen(few) == 4  # what few answers say is not asked, but how likely they all are; a nat is no matter


def test_comparisons_of_one_task_count_once_and_share_no_item() -> None:
    rng = np.random.default_rng(12)
    first, second = np.triu_indices(6, 1)
    pairs = np.column_stack([first, second])
    twice, n = np.r_[pairs, pairs], 2 * len(pairs)
    group = GroupComparisons(
        np.r_[twice, pairs + 6],
        np.ones(n + len(pairs), np.int8),
        np.r_[np.zeros(n, np.int64), np.ones(len(pairs), np.int64)],
        ("u", "v"),
        np.zeros(12, np.int64),
        tasks=np.r_[np.repeat([0, 1], len(pairs)), np.full(len(pairs), 1)],
    )
    kept = group.independent(rng)
    for user, task in ((0, 0), (0, 1), (1, 1)):
        own = group.pairs[kept & (group.users == user) & (np.asarray(group.tasks) == task)]
        assert len(np.unique(own)) == own.size  # no item twice
        assert own.size == 6  # and none could be added: of six items two that are left would be a pair
    assert replace(group, tasks=None).independent(rng).all()


def test_an_occasion_is_a_prompt_or_a_task_or_a_comparison() -> None:
    pairs = np.array([[0, 1], [0, 1], [2, 3], [0, 1], [0, 1]])
    group = GroupComparisons(
        pairs, np.ones(5, np.int8), np.array([0, 0, 0, 1, 1]), ("u", "v"), np.array([7, 7, 8, 8]), tasks=np.arange(5)
    )
    numbers = group.occasions()
    assert numbers[0] == numbers[1] != numbers[2]  # two prompts
    assert numbers[3] != numbers[4]  # one prompt, two tasks
    alone = replace(group, tasks=None).occasions()
    assert alone[3] != alone[4]


def test_noise_in_sets_of_ratings_is_no_taste() -> None:
    """People rate six sets of five texts by chance: nobody held out is predicted better than a coin does."""
    rng = np.random.default_rng(13)
    n_users, n_sets, n_texts = 40, 6, 5
    encodings = rng.normal(size=(n_users * n_sets * n_texts, 12))
    first, second = np.triu_indices(n_texts, 1)
    starts = np.repeat(np.arange(n_users * n_sets) * n_texts, len(first))
    pairs = starts[:, None] + np.tile(np.column_stack([first, second]), (n_users * n_sets, 1))
    ratings = rng.normal(size=len(encodings))
    group = GroupComparisons(
        pairs,
        np.where(ratings[pairs[:, 0]] > ratings[pairs[:, 1]], 1, -1).astype(np.int8),
        np.repeat(np.arange(n_users), n_sets * len(first)),
        tuple(f"u{i}" for i in range(n_users)),
        np.repeat(np.arange(n_users * n_sets), n_texts),
        tasks=starts,
    )
    learned = learn_rewards(encodings, group, rng=rng)
    for point in learned.curve:
        assert abs(point.accuracy - 0.5) < 3.5 * point.accuracy_error
        assert point.log_loss > np.log(2) - 0.01
