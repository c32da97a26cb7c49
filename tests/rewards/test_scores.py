"""Scores as base rewards: units, declared errors, predictions that count them, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

import prefq
from prefq.inference.likelihood import sigmoid
from prefq.rewards.score_tables import ScoreTable
from prefq.rewards.scores import ScoreRewards, load_score_rewards, pool_of_scores, score_rewards
from prefq.vocabulary import Array

N_PROMPTS, N_RESPONSES = 3000, 4
TRUE_SD = np.array([1.0, 2.0, 0.5])  # of a response's true scores within a prompt
CORRELATION = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]])
ERRORS = {"harsh": 1.0, "loud": 1.5}  # the third column has none
NAMES = ("harsh", "loud", "exact")
ERROR_SDS = np.array([1.0, 1.5, 0.0])


def table_of(scores: Array, n_responses: int = N_RESPONSES) -> ScoreTable:
    """Scores of prompt after prompt, all with as many responses."""
    numbers = range(len(scores))
    prompts = tuple(f"prompt {row // n_responses}" for row in numbers)
    return ScoreTable(prompts, tuple(f"response {row}" for row in numbers), NAMES[: scores.shape[1]], scores)


@pytest.fixture(scope="module")
def truth() -> Array:
    """True scores: what differs within prompts, and prompts that differ far more."""
    rng = np.random.default_rng(3)
    within = rng.normal(size=(N_PROMPTS * N_RESPONSES, 3)) @ np.linalg.cholesky(CORRELATION).T * TRUE_SD
    return np.asarray(within + np.repeat(rng.normal(scale=20, size=(N_PROMPTS, 3)), N_RESPONSES, axis=0))


@pytest.fixture(scope="module")
def scored(truth: Array) -> ScoreTable:
    """The scores with their errors."""
    return table_of(truth + np.random.default_rng(4).normal(size=truth.shape) * ERROR_SDS)


def test_a_feature_is_a_column_in_units_of_its_typical_difference_within_prompts() -> None:
    scores = np.array([[0.0, 10.0], [2.0, 10.0], [100.0, 14.0], [104.0, 12.0]])
    rewards, report = score_rewards(table_of(scores, n_responses=2))
    # Differences are 2 and 4 in the first column, 0 and 2 in the second; prompts differ by more and do not count.
    np.testing.assert_allclose(report.scales, [np.sqrt(10), np.sqrt(2)])
    differences = np.diff(rewards.of_scores(scores).reshape(2, 2, 2), axis=1)[:, 0]
    np.testing.assert_allclose(differences, [[2 / np.sqrt(10), 0], [4 / np.sqrt(10), -2 / np.sqrt(2)]], atol=1e-12)
    np.testing.assert_allclose(rewards.of_scores(scores).mean(axis=0), 0, atol=1e-12)
    assert not rewards.noise.any()


def test_columns_without_error_are_left_as_they_are_even_when_two_say_the_same(truth: Array) -> None:
    twice = np.column_stack([truth[:, 0], truth[:, 0], truth[:, 2]])
    rewards, report = score_rewards(table_of(twice))
    np.testing.assert_array_equal(rewards.weights, np.diag(np.diag(rewards.weights)))
    np.testing.assert_allclose(report.correlations[0, 1], 1)
    np.testing.assert_array_equal(report.recovered, 1)


def test_declared_errors_are_taken_off(truth: Array, scored: ScoreTable) -> None:
    _, report = score_rewards(scored, error_sds=ERRORS)
    expected = 2 * TRUE_SD**2
    # 9,000 degrees of freedom: a variance is known to 1.5 per cent.
    np.testing.assert_allclose(report.scales, np.sqrt(expected), rtol=0.03)
    np.testing.assert_allclose(report.reliabilities, TRUE_SD**2 / (TRUE_SD**2 + ERROR_SDS**2), rtol=0.04)


def test_features_are_the_regression_of_true_differences_on_the_scores(truth: Array, scored: ScoreTable) -> None:
    """What is derived from declared errors is what least squares finds where the truth is known."""
    rewards, report = score_rewards(scored, error_sds=ERRORS)
    true, observed = (np.diff(values.reshape(-1, 2, 3), axis=1)[:, 0] for values in (truth, scored.scores))
    true = true / report.scales
    fitted, *_ = np.linalg.lstsq(observed, true, rcond=None)
    np.testing.assert_allclose(rewards.weights * report.scales[:, None], fitted * report.scales[:, None], atol=0.04)
    residuals = true - observed @ fitted
    np.testing.assert_allclose(rewards.noise, residuals.T @ residuals / len(residuals), atol=0.02)
    np.testing.assert_allclose(report.recovered, 1 - np.square(residuals).mean(axis=0), atol=0.02)
    assert rewards.weights[0, 1] > 0.01  # a noisy column hears its neighbour
    np.testing.assert_array_equal(rewards.weights[:2, 2], 0)  # an exact one hears nobody


def test_predictions_that_count_the_errors_are_calibrated(truth: Array, scored: ScoreTable) -> None:
    """Coefficients of the true scores, put to noisy ones: shrunk and with noise carried, against taken as they are."""
    rewards, report = score_rewards(scored, error_sds=ERRORS)
    coefficients = prefq.Gaussian([2.0, -1.5, 1.0], np.zeros((3, 3)))
    true, (first, second) = (
        np.diff(truth.reshape(-1, 2, 3), axis=1)[:, 0],
        scored.scores.reshape(-1, 2, 3).swapaxes(0, 1),
    )
    chances = sigmoid(-(true / report.scales) @ coefficients.mean)
    outcomes = np.random.default_rng(5).random(len(chances)) < chances
    told = rewards.preference_probability(coefficients, first, second)
    naive = sigmoid((first - second) / report.scales @ coefficients.mean)
    shrunk = sigmoid((rewards.of_scores(first) - rewards.of_scores(second)) @ coefficients.mean)

    def miscalibration(predicted: Array) -> float:
        """Mean distance of predicted and observed shares, in ten bins of as many pairs."""
        bins = np.array_split(np.argsort(predicted), 10)
        return float(np.mean([abs(predicted[rows].mean() - outcomes[rows].mean()) for rows in bins]))

    def log_loss(predicted: Array) -> float:
        return float(-np.log(np.where(outcomes, predicted, 1 - predicted)).mean())

    # 600 pairs a bin: a share is known to .02 at most, and the mean distance of ten right bins is about .013.
    assert miscalibration(told) < 0.02
    assert miscalibration(naive) > 0.08
    assert miscalibration(shrunk) > 2 * miscalibration(told)
    assert log_loss(told) < log_loss(shrunk) < log_loss(naive)


def test_noise_of_a_margin_by_hand() -> None:
    rewards = ScoreRewards(("a", "b"), [0, 0], np.eye(2), [[0.5, 0.1], [0.1, 0.25]])
    known = prefq.Gaussian([2.0, -1.0], np.zeros((2, 2)))
    assert rewards.margin_variance(known) == pytest.approx(4 * 0.5 + 0.25 - 2 * 2 * 0.1)
    unsure = prefq.Gaussian([0.0, 0.0], np.diag([3.0, 4.0]))
    assert rewards.margin_variance(unsure) == pytest.approx(3 * 0.5 + 4 * 0.25)


def test_probabilities_of_both_orders_add_up_to_one(scored: ScoreTable) -> None:
    rewards, _ = score_rewards(scored, error_sds=ERRORS)
    first, second = scored.scores[:50], scored.scores[50:100]
    prior = rewards.default_prior().coefficients
    both = rewards.preference_probability(prior, first, second) + rewards.preference_probability(prior, second, first)
    np.testing.assert_allclose(both, 1, atol=1e-9)


def test_without_a_group_a_noisy_column_moves_margins_less(scored: ScoreTable) -> None:
    rewards, report = score_rewards(scored, error_sds=ERRORS)
    pool = pool_of_scores(scored, rewards)
    assert pool.n_questions == N_PROMPTS * 6
    prior = pool.starting_point()
    assert prior.impersonal == 1
    spread = pool.feature_scales() * prior.coefficients.components[0].sd
    # Each true score may move margins by as much; of that the features carry the share that they recover.
    np.testing.assert_allclose(spread, 1.5 / np.sqrt(3) * np.sqrt(report.recovered), rtol=0.04)


def test_a_pool_of_scores_can_be_asked_from(scored: ScoreTable) -> None:
    rewards, _ = score_rewards(scored, error_sds=ERRORS)
    pool = pool_of_scores(scored, rewards, pairs=scored.pairs()[:30])
    user = prefq.SimulatedUser([0.0, 0.0, 6.0])
    answers: list[prefq.Answer] = []
    for _ in range(10):
        question = prefq.select_next_question(pool, answers)
        assert question is not None
        answers.append(user.answer(pool, question, rng=np.random.default_rng(len(answers))))
    means = prefq.fit_profile(pool, answers, user_id="simulated").coefficients.mean
    assert means[2] > np.abs(means[:2]).max()


def test_a_table_with_more_columns_in_another_order_has_the_same_features(scored: ScoreTable) -> None:
    rewards, _ = score_rewards(scored)
    other = ScoreTable(
        scored.prompts, scored.responses, ("exact", "x", "loud", "harsh"), scored.scores[:, [2, 2, 1, 0]]
    )
    np.testing.assert_array_equal(rewards.of_table(other), rewards.of_table(scored))


def test_a_row_does_not_depend_on_the_others_of_its_prompt(scored: ScoreTable) -> None:
    rewards, _ = score_rewards(scored, error_sds=ERRORS)
    np.testing.assert_allclose(rewards.of_scores(scored.scores[5:6]), rewards.of_table(scored)[5:6], rtol=1e-12)


def test_what_is_saved_is_what_is_loaded(scored: ScoreTable, tmp_path: Path) -> None:
    rewards, _ = score_rewards(scored, error_sds=ERRORS)
    rewards = ScoreRewards(rewards.names, rewards.means, rewards.weights, rewards.noise, "2", rewards.default_prior())
    rewards.save(tmp_path / "rewards")
    loaded = load_score_rewards(tmp_path / "rewards")
    assert loaded.feature_space == rewards.feature_space
    assert loaded.prior is not None
    assert loaded.prior.digest() == rewards.default_prior().digest()
    np.testing.assert_array_equal(loaded.of_table(scored), rewards.of_table(scored))


def test_a_changed_folder_is_refused(scored: ScoreTable, tmp_path: Path) -> None:
    score_rewards(scored)[0].save(tmp_path)
    manifest = json.loads((tmp_path / "rewards.json").read_text(encoding="utf-8"))
    manifest["means"][0] += 1
    (tmp_path / "rewards.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(prefq.InputError, match="was changed after it was written"):
        load_score_rewards(tmp_path)


def test_anything_that_decides_features_or_noise_is_in_the_digest(scored: ScoreTable) -> None:
    spaces = {score_rewards(scored, error_sds=errors)[0].feature_space.digest for errors in ({}, ERRORS, {"loud": 0.1})}
    assert len(spaces) == 3


def test_text_alone_is_refused(scored: ScoreTable) -> None:
    rewards, _ = score_rewards(scored)
    with pytest.raises(prefq.InputError, match=r"given from outside \(harsh, loud, exact\); texts alone have none"):
        rewards.features(["Why?"], ["So."])


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"quiet": 1.0}, "an error is declared of 'quiet'; the columns are harsh, loud, exact"),
        ({"loud": -1.0}, "the error of 'loud' is -1; give a standard deviation of 0 or more"),
        ({"exact": 0.6}, "the declared error of 'exact', 0.6, explains all its differences"),
        ({"loud": float("nan")}, "the error of 'loud' is nan; give a finite number"),
    ],
)
def test_errors_that_cannot_be_are_refused(scored: ScoreTable, errors: dict[str, float], said: str) -> None:
    with pytest.raises(prefq.InputError, match=said):
        score_rewards(scored, error_sds=errors)


def test_columns_and_tables_that_say_nothing_are_refused() -> None:
    with pytest.raises(prefq.InputError, match="column 'loud' never differs between two responses to one prompt"):
        score_rewards(table_of(np.array([[0.0, 7.1], [1.0, 7.1], [2.0, 3.3], [5.0, 3.3]]), n_responses=2))
    with pytest.raises(prefq.InputError, match="no prompt has two responses"):
        score_rewards(table_of(np.array([[0.0], [1.0]]), n_responses=1))
    with pytest.raises(prefq.InputError, match="expected loud too"):
        score_rewards(table_of(np.arange(4.0).reshape(2, 2) ** 2, 2))[0].of_table(table_of(np.arange(2.0)[:, None], 2))
