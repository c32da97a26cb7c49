"""Recipes that know one user at a time: what they are shown, and that putting them together changes nothing."""

import numpy as np

from prefq.simulation.panels import GroupAnswers, History, Study
from prefq.simulation.strategies import OURS, each_user, own_answers
from prefq.vocabulary import Array, Gaussian, ResponseModel


def a_study(n_users: int = 3) -> Study:
    first, second = np.random.default_rng(0).normal(size=(2, 1, 40, 3))
    nobody = GroupAnswers(np.empty((0, 3)), np.empty(0, dtype=np.int8), np.empty(0, dtype=np.intp))
    prior = Gaussian([0.5, -1.0, 0.0], np.diag([1.0, 2.0, 0.5]))
    return Study(first, second, np.ones((n_users, 40), dtype=bool), 5, prior, ResponseModel(), nobody)


def test_one_user_at_a_time_is_the_same_as_all_at_once() -> None:
    study = a_study()
    d_optimal = next(strategy for strategy in OURS if strategy.name == "d_optimal")
    history = History(np.array([[4, 7], [1, 2], [30, 4]]), np.array([[1, -1], [-1, 0], [1, 1]], dtype=np.int8))
    items = np.random.default_rng(1).normal(size=(2, 3, 10, 3))

    together = d_optimal.begin(study, rng=np.random.default_rng(2))(history)
    apart = each_user(d_optimal.begin)(study, rng=np.random.default_rng(2))(history)

    assert apart.next_rows().tolist() == together.next_rows().tolist()
    np.testing.assert_allclose(apart.predict(*items), together.predict(*items), atol=1e-6)
    np.testing.assert_allclose(apart.predict(*items[:, :1]), together.predict(*items[:, :1]), atol=1e-6)
    np.testing.assert_allclose(apart.score(items[0]), together.score(items[0]), atol=1e-6)


def test_users_have_generators_of_their_own_whoever_is_beside_them() -> None:
    drawn: list[Array] = []

    def begin(study: Study, *, rng: np.random.Generator) -> object:
        drawn.append(rng.random(3))
        return None

    each_user(begin)(a_study(), rng=np.random.default_rng(0))  # type: ignore[arg-type]
    each_user(begin)(a_study(2), rng=np.random.default_rng(0))  # type: ignore[arg-type]

    assert len({tuple(values) for values in drawn[:3]}) == 3
    np.testing.assert_array_equal(drawn[:2], drawn[3:])


def test_own_answers_leave_out_steps_without_a_question() -> None:
    study = a_study(1)
    history = History(np.array([[5, -1, 9]]), np.array([[1, 0, -1]], dtype=np.int8))

    first, second, outcomes = own_answers(study, history)

    np.testing.assert_array_equal(first, study.first[0, [5, 9]])
    np.testing.assert_array_equal(second, study.second[0, [5, 9]])
    assert outcomes.tolist() == [1, -1]
