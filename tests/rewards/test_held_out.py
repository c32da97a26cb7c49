"""Held-out curves: the same tests after any number of answers, chances that are right where everything is known."""

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.inference.likelihood import sigmoid
from prefq.rewards.held_out import HeldOutCurve, curve_of, divided, held_out_curve
from prefq.vocabulary import Comparisons, Gaussian, GaussianMixture, PopulationPrior, ResponseModel

SPACE = prefq.FeatureSpace(["a", "b"])
PRIOR = PopulationPrior(Gaussian([0.5, 0.0], [[1.0, 0.0], [0.0, 4.0]]), feature_space=SPACE)


def people(n_users: int, n_answers: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tastes = rng.multivariate_normal(PRIOR.coefficients.mean, PRIOR.coefficients.covariance, size=n_users)
    users = np.repeat(np.arange(n_users), n_answers)
    differences = rng.normal(size=(len(users), 2))
    margins = (differences * tastes[users]).sum(axis=1)
    return differences, np.where(rng.random(len(users)) < sigmoid(margins), 1, -1).astype(np.int8), users


def test_people_are_predicted_better_the_more_they_tell() -> None:
    curve = held_out_curve(*people(200, 60, np.random.default_rng(1)), PRIOR, rng=np.random.default_rng(2))
    assert curve.after == (0, 5, 10, 20)
    assert (np.diff(curve.log_loss) < -0.01).all()
    assert (np.diff(curve.accuracy) > 0.005).all()
    assert curve.told.tolist() == [[0, 5, 10, 20]] * 200
    # before any answer a chance is that of the prior alone: by a second method, over draws of tastes
    differences, outcomes, _ = people(200, 60, np.random.default_rng(1))
    draws = np.random.default_rng(0).multivariate_normal([0.5, 0], [[1, 0], [0, 4]], size=4000)
    chances = sigmoid((outcomes[:, None] * differences) @ draws.T).mean(axis=1)
    assert curve.log_loss[0] == pytest.approx(-np.log(chances).mean(), abs=0.02)


def test_tests_are_the_same_in_every_column_and_for_every_prior() -> None:
    data = people(30, 40, np.random.default_rng(3))
    once = held_out_curve(*data, PRIOR, after=(0, 5), rng=np.random.default_rng(4))
    never = PopulationPrior(Gaussian([0.5, 0.0], np.zeros((2, 2))), feature_space=SPACE)
    alone = held_out_curve(*data, never, after=(0, 5), rng=np.random.default_rng(4))
    np.testing.assert_array_equal(alone.log_losses[:, 0], alone.log_losses[:, 1])  # nothing can be learned
    assert once.people.tolist() == alone.people.tolist()


def test_people_of_few_answers_give_half_of_them() -> None:
    differences, outcomes, users = people(3, 10, np.random.default_rng(5))
    kept = (users != 1) | (np.arange(30) < 13)  # the second has three answers
    curve = held_out_curve(differences[kept], outcomes[kept], users[kept], PRIOR, rng=np.random.default_rng(0))
    assert curve.people.tolist() == [0, 1, 2]
    assert curve.told.tolist() == [[0, 5, 5, 5], [0, 1, 1, 1], [0, 5, 5, 5]]


def test_ties_are_learned_from_and_not_tested() -> None:
    differences, outcomes, users = people(1, 4, np.random.default_rng(6))
    tied = np.zeros(4, dtype=np.int8)
    with pytest.raises(InputError, match="enough preferences"):
        held_out_curve(differences, tied, users, PRIOR, rng=np.random.default_rng(0))
    model = ResponseModel(tie_threshold=1.0)
    sure = PopulationPrior(Gaussian([0.5, 0.0], np.zeros((2, 2))), response_model=model, feature_space=SPACE)
    curve = held_out_curve(differences, outcomes, users, sure, after=(0,), rng=np.random.default_rng(0))
    # P(first) / P(second) given no tie, exactly, against what is second order in the margin
    margins = differences @ [0.5, 0.0]
    exact = sigmoid(margins - 1) / (sigmoid(margins - 1) + sigmoid(-margins - 1))
    right = np.where(outcomes > 0, exact, 1 - exact)
    assert curve.log_loss[0] == pytest.approx(-np.log(right).mean(), abs=0.01)


def test_the_answers_of_another_person_mislead() -> None:
    differences, outcomes, users = people(200, 40, np.random.default_rng(8))
    rows = [np.flatnonzero(users == user) for user in range(200)]
    own, tests = [each[:20] for each in rows], [each[20:] for each in rows]
    told = (Comparisons(differences, outcomes), PRIOR, np.arange(200))
    mine = curve_of(*told, own, tests)
    theirs = curve_of(*told, [*own[1:], own[0]], tests)
    np.testing.assert_array_equal(mine.log_losses[:, 0], theirs.log_losses[:, 0])
    assert (theirs.log_loss[1:] - theirs.log_loss[0] > 0.02).all()
    assert (mine.log_loss[1:] - mine.log_loss[0] < -0.05).all()


def test_who_knows_nothing_is_right_in_half_of_the_tests() -> None:
    differences, outcomes, users = people(20, 10, np.random.default_rng(9))
    # 0.97 / 2 + 0.03 / 2 is less than a half by round-off, which is no opinion that the second is preferred
    unknown = [Gaussian([0.0, 0.0], np.eye(2) * variance) for variance in (1.0, 2.0)]
    prior = PopulationPrior(GaussianMixture([0.97, 0.03], unknown), feature_space=SPACE)
    curve = held_out_curve(differences, outcomes, users, prior, after=(0,), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(curve.accuracies[:, 0], np.full(20, 0.5))


def test_nothing_is_tested_on_an_occasion_that_was_heard() -> None:
    rng = np.random.default_rng(10)
    users, occasions = rng.integers(5, size=300), rng.integers(12, size=300)
    people, own, tests = divided(users, occasions, most=4, rng=rng)
    assert people.tolist() == [0, 1, 2, 3, 4]
    for person, heard, asked in zip(people, own, tests, strict=True):
        assert (users[np.r_[heard, asked]] == person).all()
        assert len(set(heard) | set(asked)) == len(heard) + len(asked)
        assert len(set(occasions[heard])) == len(heard) == 4  # each occasion once before one is heard again
        assert not set(occasions[heard]) & set(occasions[asked])
        assert set(occasions[users == person]) - set(occasions[heard]) == set(occasions[asked])
    _, own, tests = divided(np.zeros(12, dtype=np.int64), np.arange(12) // 6, most=20, rng=rng)
    assert len(own[0]) == len(tests[0]) == 6  # of two occasions one is heard, all of it
    _, own, tests = divided(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64), most=20, rng=rng)
    assert len(own[0]) == 0
    assert len(tests[0]) == 3


def test_what_may_be_heard_can_be_given() -> None:
    rng = np.random.default_rng(12)
    users, occasions = rng.integers(5, size=300), rng.integers(12, size=300)
    may = occasions < 3
    people, own, tests = divided(users, occasions, most=20, heard=may, rng=rng)
    for person, heard, asked in zip(people, own, tests, strict=True):
        mine = users == person
        assert sorted(asked) == np.flatnonzero(mine & ~may).tolist()
        assert may[heard].all()
        assert len(set(heard)) == len(heard) == min(20, (mine & may).sum())
        assert len(set(occasions[heard[:3]])) == 3
    _, own, tests = divided(users[~may], occasions[~may], most=20, heard=may[~may], rng=rng)
    assert [len(each) for each in own] == [0] * 5
    assert sum(map(len, tests)) == (~may).sum()


def test_somebody_who_was_tested_twice_counts_once() -> None:
    values = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 6.0]])
    curve = HeldOutCurve((0, 5), np.array([4, 1, 4]), values, values / 10, values * 10).by_person()
    assert curve.people.tolist() == [1, 4]
    np.testing.assert_allclose(curve.log_losses, [[3.0, 5.0], [1.5, 4.0]])
    np.testing.assert_allclose(curve.accuracies, [[0.3, 0.5], [0.15, 0.4]])
    np.testing.assert_allclose(curve.told, [[30.0, 50.0], [15.0, 40.0]])
    np.testing.assert_allclose(curve.errors[0], np.array([0.75, 0.5]))  # spread over two people, root of one


def test_what_is_said_of_one_set_of_ratings_teaches_nothing_of_another() -> None:
    """Ratings are noise: the ten comparisons of five rated responses agree with each other and with nothing else."""
    rng = np.random.default_rng(11)
    n_users, n_sets = 60, 6
    first, second = np.triu_indices(5, 1)
    encodings, ratings = rng.normal(size=(2, n_users, n_sets, 5, 3))
    differences = (encodings[:, :, first] - encodings[:, :, second]).reshape(-1, 3)
    likes = (ratings[..., 0][:, :, first] > ratings[..., 0][:, :, second]).ravel()
    users = np.repeat(np.arange(n_users), n_sets * 10)
    occasions = np.tile(np.repeat(np.arange(n_sets), 10), n_users)
    data = differences, np.where(likes, 1, -1).astype(np.int8), users
    space = prefq.FeatureSpace(["a", "b", "c"])
    prior = PopulationPrior(Gaussian(np.zeros(3), np.eye(3)), feature_space=space)
    apart = held_out_curve(*data, prior, occasions=occasions, after=(0, 20), rng=np.random.default_rng(0))
    mixed = held_out_curve(*data, prior, after=(0, 20), rng=np.random.default_rng(0))
    assert abs(apart.accuracy[1] - 0.5) < 3 * apart.errors[1][1]
    assert mixed.accuracy[1] - 0.5 > 4 * mixed.errors[1][1]  # what a test must not be made of
