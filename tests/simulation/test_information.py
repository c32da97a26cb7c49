"""Information: bounds around cases worked out exactly, an oracle that is a ceiling, and worlds that are refused."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.inference.likelihood import reply_probabilities, sigmoid
from prefq.simulation.comparison import paired_difference
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import Curve, learning_curve
from prefq.simulation.information import Information, information, oracle, summarise_information, why_not
from prefq.simulation.panels import GroupAnswers, History, Panel
from prefq.simulation.strategies import OURS, Strategy
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array, Gaussian, ResponseModel

STRATEGIES = {strategy.name: strategy for strategy in (*OURS, *CONTROLS)}
N_USERS = 150
WHOLE = make_world("gaussian(3)", n_users=N_USERS, n_pool=300, rng=np.random.default_rng(1))
PANEL = replace(  # a third of the test tasks will do
    WHOLE,
    test_first=WHOLE.test_first[:, :200],
    test_second=WHOLE.test_second[:, :200],
    test_truth=WHOLE.test_truth[:, :200],
    candidates=None,
)
assert PANEL.true_prior is not None
PRIOR = PANEL.true_prior
NO_TIES, TIES = ResponseModel(), ResponseModel(tie_threshold=0.7)


def panel_of(population: Gaussian, differences: Array, n_users: int, model: ResponseModel) -> Panel:
    """Users of a population, who reply by the model."""
    rng = np.random.default_rng(3)
    coefficients = rng.multivariate_normal(population.mean, population.covariance, size=n_users)
    margins = coefficients @ differences.T
    chances = reply_probabilities(margins.ravel(), model).cumsum(axis=1)
    replies = np.array(model.outcomes)[(rng.random(margins.size)[:, None] > chances).sum(axis=1)]
    features, nothing = differences[None], np.empty((1, 0, differences.shape[1]))
    nobody = GroupAnswers(nothing[0], np.empty(0, dtype=np.int8), np.empty(0, dtype=np.intp))
    return Panel(
        "small",
        features,
        0 * features,
        np.ones(margins.shape, dtype=bool),
        replies.reshape(margins.shape).astype(np.int8),
        nothing,
        nothing,
        np.empty((n_users, 0)),
        nobody,
        response_model=model,
        margins=margins,
        true_prior=population,
    )


def next_row(outcomes: tuple[int, ...]) -> int:
    """A design that listens: 0, then 1 or 2 as the first reply was, then 3 unless both replies were alike."""
    if not outcomes:
        return 0
    if len(outcomes) == 1:
        return 1 if outcomes[0] > 0 else 2
    return 3 if outcomes[0] != outcomes[1] else 4


def history_of(panel: Panel, n_answers: int) -> History:
    history = History.empty(panel.n_users)
    for step in range(n_answers):
        rows = np.array([next_row(tuple(given)) for given in history.outcomes.tolist()])
        history = history.with_answers(rows, panel.replies(rows, step))
    return history


def exact_information(population: Gaussian, differences: Array, model: ResponseModel, n_answers: int) -> float:
    """Σ over strings of replies of ∫ p(w) p(h | w) log(p(h | w) / p(h)), the integral on a grid."""
    d, nodes = len(population.mean), np.linspace(-6, 6, 121)
    z = np.stack(np.meshgrid(*[nodes] * d, indexing="ij"), axis=-1).reshape(-1, d)
    weights = np.exp(-np.square(z).sum(axis=1) / 2)
    weights /= weights.sum()
    coefficients = population.mean + z @ np.linalg.cholesky(population.covariance).T
    total = 0.0
    for string in itertools.product(range(len(model.outcomes)), repeat=n_answers):
        outcomes = tuple(model.outcomes[reply] for reply in string)
        chance = np.ones(len(z))
        for step, reply in enumerate(string):
            margins = coefficients @ differences[next_row(outcomes[:step])]
            chance = chance * reply_probabilities(margins, model)[:, reply]
        total += float(weights @ (chance * np.log(chance / (weights @ chance))))
    return total


@pytest.mark.parametrize("model", [NO_TIES, TIES])
@pytest.mark.parametrize("d", [1, 2])
def test_the_bounds_hold_what_is_worked_out_on_a_grid(d: int, model: ResponseModel) -> None:
    rng = np.random.default_rng(4)
    differences = rng.normal(size=(5, d)) * 1.5
    root = rng.normal(size=(d, d)) + np.eye(d)
    population = Gaussian(np.full(d, 0.4), root @ root.T)
    panel = panel_of(population, differences, 6000, model)
    history = history_of(panel, 3)
    for n_contrasts in (8, 512):
        bounds = information(panel, history, rng=np.random.default_rng(5), n_contrasts=n_contrasts)
        for n_answers in (1, 3):
            exact = exact_information(population, differences, model, n_answers)
            lower, upper = bounds.lower[:, n_answers], bounds.upper[:, n_answers]
            error = 4 * max(lower.std(), upper.std()) / np.sqrt(6000)
            assert lower.mean() <= exact + error
            assert upper.mean() >= exact - error
            assert bounds.lower.max() <= np.log(n_contrasts + 1)
            if n_contrasts == 512:  # with many contrasts both are the information
                assert lower.mean() == pytest.approx(exact, abs=error)
                assert upper.mean() == pytest.approx(exact, abs=error)
            elif n_answers == 3:
                assert upper.mean() - lower.mean() > 0.02


def test_nothing_asked_tells_nothing() -> None:
    bounds = information(PANEL, History.empty(N_USERS), rng=np.random.default_rng(6))
    assert bounds.lower.tolist() == bounds.upper.tolist() == [[0.0]] * N_USERS
    nobody_left = History(np.full((N_USERS, 2), -1), np.zeros((N_USERS, 2), dtype=np.int8))
    bounds = information(PANEL, nobody_left, rng=np.random.default_rng(6))
    np.testing.assert_allclose(bounds.lower, 0, atol=1e-12)


def curve_of(strategy: Strategy) -> Curve:
    return learning_curve(strategy, PANEL, PRIOR, n_questions=6, rng=np.random.default_rng(7))


def test_the_oracle_is_a_ceiling_and_random_is_below_ours() -> None:
    strategies = (STRATEGIES["random"], STRATEGIES["information_gain"], oracle(PANEL))
    curves = [curve_of(strategy) for strategy in strategies]
    told = [
        information(PANEL, curve.history, rng=np.random.default_rng(8), n_contrasts=512).upper[:, 6] for curve in curves
    ]
    losses = [-curve.measures["log_loss"][:, 6] for curve in curves]
    for values in (told, losses):
        for worse, better in itertools.pairwise(values):
            found = paired_difference(better, worse, worlds=np.zeros(N_USERS, dtype=np.intp))
            assert found.verdict == "better"
    assert oracle(PANEL).kind == "control"
    assert "not a strategy" in oracle(PANEL).summary


def test_the_oracle_asks_what_it_expects_to_learn_most_from() -> None:
    """Its first question, against the divergence of the reply's true chances from those that the prior predicts."""
    rows = curve_of(oracle(PANEL)).history.rows[:, 0]
    differences, prior = PANEL.first[0] - PANEL.second[0], PRIOR
    draws = np.random.default_rng(9).multivariate_normal(prior.mean, prior.covariance, size=20_000)
    predicted = sigmoid(draws @ differences.T).mean(axis=0)
    assert PANEL.margins is not None
    true = sigmoid(PANEL.margins)
    gains = true * np.log(true / predicted) + (1 - true) * np.log((1 - true) / (1 - predicted))
    # The probit approximation moves a chance by up to a few hundredths.
    np.testing.assert_array_less(gains.max(axis=1) * 0.93 - 0.01, gains[np.arange(N_USERS), rows])


def test_an_oracle_is_bound_to_its_users() -> None:
    with pytest.raises(InputError, match="this oracle knows 10 users and met 150; make one for each panel"):
        curve_of(oracle(PANEL.users(slice(0, 10))))
    with pytest.raises(InputError, match=r"an oracle needs true margins, and panel 'gaussian\(3\)' has none"):
        oracle(replace(PANEL, margins=None))


def test_worlds_of_another_form_are_refused() -> None:
    assert why_not(PANEL) is None
    assert PANEL.margins is not None
    coin = np.where(np.random.default_rng(10).random(PANEL.margins.shape) < 0.5, 1, -1).astype(np.int8)
    refused = {
        "needs true margins": replace(PANEL, true_prior=None),
        "tastes that stay as they are": replace(PANEL, flips_at=15),
        "linear in the features": replace(PANEL, margins=np.tanh(PANEL.margins)),
        "follow the response model": replace(PANEL, outcomes=coin),
    }
    for sentence, panel in refused.items():
        reason = why_not(panel)
        assert reason is not None
        assert sentence in reason
        with pytest.raises(InputError, match=sentence):
            information(panel, History.empty(N_USERS), rng=np.random.default_rng(0))
    lapses = ResponseModel(lapse_rate=0.1)
    assert why_not(replace(PANEL, response_model=lapses)) is not None


def test_users_with_questions_of_their_own() -> None:
    """The same panel, its questions written out once a user, is measured the same."""
    own = replace(PANEL, first=np.repeat(PANEL.first, N_USERS, axis=0), second=np.repeat(PANEL.second, N_USERS, axis=0))
    history = curve_of(STRATEGIES["random"]).history
    bounds = [information(panel, history, rng=np.random.default_rng(1), n_contrasts=64) for panel in (PANEL, own)]
    np.testing.assert_allclose(bounds[0].upper, bounds[1].upper)
    assert own.margins is not None
    shuffled = own.margins.copy()
    shuffled[7, 3] += 0.1
    assert "linear" in (why_not(replace(own, margins=shuffled)) or "")


def test_the_summary_averages_over_worlds_and_is_json() -> None:
    values = np.zeros((4, 11))
    values[:, 10] = [1.0, 2.0, 4.0, np.nan]
    bounds = {"random": Information(values, values + 1), "oracle": Information(values + 2, values + 3)}
    summary = summarise_information(bounds, np.array([0, 0, 1, 1]))
    assert summary["strategies"]["random"] == {"lower": 2.75, "lower_se": 1.25, "upper": 3.75, "upper_se": 1.25}
    assert (summary["at"], summary["ceiling"], summary["most"]) == (10, "oracle", 6.9315)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summarise_information(bounds, np.array([0, 0, 1, 1]), n_outcomes=3)["most"] == 10.9861  # ten log 3
