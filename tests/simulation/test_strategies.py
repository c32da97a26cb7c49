"""Strategies for many users: the same questions as the product asks, the same beliefs, and controls that control."""

import numpy as np
import pytest

import prefq
from prefq.errors import InputError
from prefq.inference.laplace_batch import same_for_all
from prefq.inference.likelihood import reply_probabilities, sigmoid
from prefq.inference.stated import EMPTY_SHARE
from prefq.questions.acquisition import ACQUISITIONS, target_variance
from prefq.simulation.controls import CONTROLS, SPREAD_SHARE
from prefq.simulation.curves import learning_curve
from prefq.simulation.panels import GroupAnswers, History, Panel, Stated, Study
from prefq.simulation.strategies import OURS, OwnBelief, Strategy
from prefq.vocabulary import Choice, Gaussian, ResponseModel

BY_NAME = {strategy.name: strategy for strategy in (*OURS, *CONTROLS)}
PRIOR = Gaussian([0.6, -0.2, 0.1], [[1.5, 0.3, 0.0], [0.3, 0.8, 0.1], [0.0, 0.1, 0.4]])


def small_panel(seed: int, n_users: int = 5, n_questions: int = 60, *, stated: bool = False) -> Panel:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 1, n_questions, 3))
    coefficients = rng.multivariate_normal(PRIOR.mean, PRIOR.covariance, size=n_users)
    test_first, test_second = rng.normal(size=(2, 1, 40, 3))
    margins = coefficients @ (first - second)[0].T
    return Panel(
        "small",
        first,
        second,
        np.ones((n_users, n_questions), dtype=bool),
        np.where(rng.random(margins.shape) < sigmoid(margins), 1, -1).astype(np.int8),
        test_first,
        test_second,
        sigmoid(coefficients @ (test_first - test_second)[0].T),
        GroupAnswers(rng.normal(size=(50, 3)), rng.choice(np.array([-1, 1], dtype=np.int8), 50), np.arange(50) // 5),
        margins=margins,
        stated=Stated(coefficients + rng.normal(size=coefficients.shape), np.ones(3)) if stated else None,
    )


def asked(name: str, panel: Panel, n_questions: int, seed: int = 0) -> np.ndarray:
    curve = learning_curve(BY_NAME[name], panel, PRIOR, n_questions=n_questions, rng=np.random.default_rng(seed))
    return curve.history.rows


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_the_questions_are_those_that_select_next_question_asks(name: str) -> None:
    panel = small_panel(1)
    rows = asked(name, panel, 8)
    features = np.concatenate([panel.first[0], panel.second[0]])
    n = len(panel.first[0])
    pool = prefq.CandidatePool.from_arrays(features, [[i, n + i] for i in range(n)])
    for user in range(panel.n_users):
        answers: list[prefq.Answer] = []
        for row in rows[user]:
            question = prefq.select_next_question(pool, answers, prior=PRIOR, acquisition=name, max_questions=None)
            assert question is not None
            assert {question.first.item, question.second.item} == {row, n + row}
            first_wins = (panel.outcomes[user, row] > 0) == (question.first.item == row)
            answers.append(question.answer(Choice.FIRST if first_wins else Choice.SECOND))


def test_predictions_are_those_of_the_exact_posterior() -> None:
    panel = small_panel(2, n_users=2)
    study, history = Study.of(panel, PRIOR, 4), History.empty(2)
    learn = BY_NAME["information_gain"].begin(study, rng=np.random.default_rng(0))
    for k in range(4):
        rows = learn(history).next_rows()
        history = history.with_answers(rows, panel.replies(rows, k))
    belief = learn(history)
    differences = (panel.first - panel.second)[0][history.rows[1]]
    draws = np.random.default_rng(1).multivariate_normal(PRIOR.mean, PRIOR.covariance, size=400_000)
    weights = sigmoid(draws @ differences.T * history.outcomes[1]).prod(axis=1)
    weights /= weights.sum()
    expected = weights @ sigmoid(draws @ (panel.test_first - panel.test_second)[0].T)
    predicted = belief.predict(panel.test_first, panel.test_second)[1]
    np.testing.assert_allclose(predicted, expected, atol=0.02)  # what expectation propagation is off by
    assert np.abs(predicted - expected).mean() < 0.005
    scores = panel.test_first[0] @ (weights @ draws)
    np.testing.assert_allclose(belief.score(panel.test_first)[1], scores, atol=0.06)


def grid_of(prior: Gaussian) -> tuple[np.ndarray, np.ndarray]:
    """Points (401², 2) and weights of a Gaussian in two dimensions."""
    axis = np.linspace(-6.5, 6.5, 401)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = np.exp(-0.5 * (z**2).sum(axis=1))
    return prior.mean + z @ np.linalg.cholesky(prior.covariance).T, weights / weights.sum()


@pytest.mark.parametrize("model", [ResponseModel(), ResponseModel(0.6, 0.2, 0.05)])
def test_every_acquisition_agrees_with_brute_force_in_two_dimensions(model: ResponseModel) -> None:
    rng = np.random.default_rng(8)
    prior = Gaussian([0.7, -0.4], [[2.0, 0.6], [0.6, 1.0]])
    questions, targets = rng.normal(size=(12, 2)) * 1.3, rng.normal(size=(7, 2))
    points, weights = grid_of(prior)
    mean, variance = questions @ prior.mean, np.einsum("ij,jk,ik->i", questions, prior.covariance, questions)
    fisher = -np.array([_mean_curvature(m, model) for m in mean])
    brute: dict[str, list[float]] = {name: [] for name in (*ACQUISITIONS, "target_variance")}
    for question, curvature in zip(questions, fisher, strict=True):
        margins = points @ question
        replies = reply_probabilities(margins, model)  # (n_points, n_replies)
        told = weights @ replies
        posteriors = weights[:, None] * replies / told
        entropy_before = -(told * np.log(told)).sum()
        noise = -(weights @ (replies * np.log(replies)).sum(axis=1))
        brute["information_gain"].append(entropy_before - noise)
        spread = float(weights @ (margins - weights @ margins) ** 2)
        centre = float(weights @ margins)
        slope = float(sigmoid(np.array(centre)) * sigmoid(np.array(-centre)))
        brute["max_norm"].append(spread)
        brute["margin_uncertainty"].append(-abs(centre))
        brute["pref"].append(slope**2 * spread)
        precision = np.linalg.inv(prior.covariance)
        more = precision + curvature * np.outer(question, question)
        brute["d_optimal"].append(0.5 * float(np.linalg.slogdet(more)[1] - np.linalg.slogdet(precision)[1]))
        at_targets = points @ targets.T
        before = weights @ at_targets**2 - (weights @ at_targets) ** 2
        after = sum(p * (w @ at_targets**2 - (w @ at_targets) ** 2) for p, w in zip(told, posteriors.T, strict=True))
        brute["target_variance"].append(float((before - after).mean()))
    for name, acquisition in ACQUISITIONS.items():
        np.testing.assert_allclose(acquisition(mean, variance, response_model=model), brute[name], rtol=0.02)
    squares = np.square(questions @ prior.covariance @ targets.T).mean(axis=1)
    scores = target_variance(mean, variance, squares, response_model=model)
    np.testing.assert_allclose(scores, brute["target_variance"], rtol=0.05)
    assert max(brute["target_variance"]) > 1.5 * min(brute["target_variance"])


def _mean_curvature(margin: float, model: ResponseModel) -> float:
    """Expected second derivative of the log-likelihood at a margin, by finite differences."""
    step = 1e-4
    p = reply_probabilities(np.array([margin - step, margin, margin + step]), model)
    return float((p[1] * (np.log(p[0]) - 2 * np.log(p[1]) + np.log(p[2]))).sum() / step**2)


def test_target_variance_asks_what_lowers_the_variance_of_predictions_most() -> None:
    panel = small_panel(9, n_users=1, n_questions=25)
    row = asked("target_variance", panel, 1)[0, 0]
    differences = (panel.first - panel.second)[0]
    draws = np.random.default_rng(2).multivariate_normal(PRIOR.mean, PRIOR.covariance, size=40_000)
    margins = draws @ differences.T
    predicted = sigmoid(margins)
    falls = []
    for question in range(25):
        p = sigmoid(margins[:, question])
        after = 0.0
        for chance in (p, 1 - p):
            weights = chance / chance.sum()
            mean = weights @ predicted
            after = after + chance.mean() * (weights @ predicted**2 - mean**2)
        falls.append((predicted.var(axis=0) - after).mean())
    assert falls[row] > 0.95 * max(falls)
    assert np.median(falls) < 0.7 * max(falls)


def test_spread_matched_random_draws_from_the_widest_fifth_first() -> None:
    panel = small_panel(10, n_users=3)
    rows = asked("spread_matched_random", panel, 15)
    _, variance = same_for_all(PRIOR, 1).margins(panel.first - panel.second)
    widest = set(np.argsort(-variance[0])[: int(SPREAD_SHARE * 60)].tolist())
    for user in range(3):
        assert set(rows[user, :12].tolist()) == widest
        assert not widest & set(rows[user, 12:].tolist())
    assert not np.array_equal(rows[0, :12], rows[1, :12])


def test_the_static_design_ignores_answers_and_tells_more_than_random_ones() -> None:
    panel = small_panel(11, n_users=4)
    rows = asked("static", panel, 6)
    assert (rows == rows[0]).all()
    flipped = Panel(
        "flipped",
        panel.first,
        panel.second,
        panel.open,
        -panel.outcomes,
        panel.test_first,
        panel.test_second,
        panel.test_truth,
        panel.group,
    )
    assert np.array_equal(asked("static", flipped, 6), rows)
    differences = (panel.first - panel.second)[0]
    draws = np.random.default_rng(3).multivariate_normal(PRIOR.mean, PRIOR.covariance, size=200)

    def expected_log_determinant(chosen: np.ndarray) -> float:
        slopes = sigmoid(draws @ differences[chosen].T) * sigmoid(-(draws @ differences[chosen].T))
        precision = np.linalg.inv(PRIOR.covariance) + np.einsum(
            "si,ij,ik->sjk", slopes, differences[chosen], differences[chosen]
        )
        return float(np.linalg.slogdet(precision)[1].mean())

    others = [expected_log_determinant(np.random.default_rng(i).choice(60, 6, replace=False)) for i in range(200)]
    assert expected_log_determinant(rows[0]) > max(others)


def test_batches_do_not_listen_until_they_are_complete() -> None:
    panel = small_panel(12, n_users=2)
    study = Study.of(panel, PRIOR, 10)
    learn = BY_NAME["batches_of_five"].begin(study, rng=np.random.default_rng(0))
    rows = asked("batches_of_five", panel, 10)
    outcomes = np.take_along_axis(panel.outcomes, rows, axis=1)
    for k in range(10):
        other = outcomes[:, :k].copy()
        other[:, 5 * (k // 5) :] *= -1  # what the open batch has brought so far
        assert np.array_equal(learn(History(rows[:, :k], other)).next_rows(), rows[:, k])
    flipped = outcomes[:, :5] * np.array([-1, 1, -1, 1, -1], dtype=np.int8)
    assert not np.array_equal(learn(History(rows[:, :5], flipped)).next_rows(), rows[:, 5])


def test_stated_preferences_are_gaussian_evidence_and_part_of_it_is_doubted() -> None:
    panel = small_panel(13, n_users=2, stated=True)
    assert panel.stated is not None
    study = Study.of(panel, PRIOR, 1)
    belief = BY_NAME["stated"].begin(study, rng=np.random.default_rng(0))(History.empty(2))
    assert isinstance(belief, OwnBelief)
    precision = np.linalg.inv(PRIOR.covariance) + np.diag(1 / panel.stated.sd**2)
    for user in range(2):
        pull = np.linalg.inv(PRIOR.covariance) @ PRIOR.mean + panel.stated.readings[user] / panel.stated.sd**2
        heard, unheard = belief.told().components
        np.testing.assert_allclose(belief.told().weights[user], [1 - EMPTY_SHARE, EMPTY_SHARE])
        np.testing.assert_allclose(heard.means[user], np.linalg.solve(precision, pull))
        np.testing.assert_allclose(heard.covariances[user], np.linalg.inv(precision))
        np.testing.assert_allclose(unheard.means[user], PRIOR.mean)
        np.testing.assert_allclose(unheard.covariances[user], PRIOR.covariance)


def test_stated_preferences_need_a_panel_that_has_them() -> None:
    with pytest.raises(InputError, match="has none; leave the strategies 'stated'"):
        asked("stated", small_panel(14), 1)


def test_pooled_and_stated_do_not_listen() -> None:
    panel = small_panel(15, stated=True)
    for name in ("pooled", "stated"):
        curve = learning_curve(BY_NAME[name], panel, PRIOR, n_questions=5, rng=np.random.default_rng(0))
        assert np.ptp(curve.measures["log_loss"], axis=1).max() == 0


def test_users_without_questions_left_keep_their_profile() -> None:
    panel = small_panel(16, n_users=3)
    few = panel.open.copy()
    few[1, 2:] = False
    panel = Panel(
        "few",
        panel.first,
        panel.second,
        few,
        panel.outcomes,
        panel.test_first,
        panel.test_second,
        panel.test_truth,
        panel.group,
    )
    for name in ("information_gain", "static", "batches_of_five", "spread_matched_random", "random"):
        curve = learning_curve(BY_NAME[name], panel, PRIOR, n_questions=6, rng=np.random.default_rng(0))
        assert sorted(curve.history.rows[1].tolist()) == [-1, -1, -1, -1, 0, 1]
        assert np.ptp(curve.measures["log_loss"][1, 2:]) < 1e-6
        assert np.ptp(curve.measures["log_loss"][0, 2:]) > 0


def test_every_strategy_says_what_it_is() -> None:
    assert len(BY_NAME) == len(OURS) + len(CONTROLS)
    assert all(isinstance(strategy, Strategy) and strategy.summary for strategy in BY_NAME.values())
