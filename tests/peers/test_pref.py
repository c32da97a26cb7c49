"""PReF's released recipe: its score and fit against worked cases, and its published curve in the world made for it."""

import math
from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import pytest

from prefq.inference.laplace import fit_posterior
from prefq.inference.population import pooled_coefficients
from prefq.questions.acquisition import pref as pref_score
from prefq.simulation.attributes import attributes
from prefq.simulation.curves import learning_curve
from prefq.simulation.measures import auc
from prefq.simulation.panels import History, Panel, Study
from prefq.simulation.rules import highest
from prefq.simulation.strategies import Begin, LinearBelief, by_laplace, listening
from prefq.vocabulary import Array, Comparisons, Gaussian

MakePanel = Callable[..., Panel]


@pytest.fixture(scope="module")
def pref(peer: Callable[[str], ModuleType]) -> ModuleType:
    return peer("pref")


@pytest.fixture
def study(small_panel: MakePanel, prior: Gaussian) -> Study:
    return Study.of(small_panel(), prior, 10)


@pytest.fixture
def history() -> History:
    rows = np.array([[3, 8, 11], [3, 9, 20], [0, 1, 2], [49, 48, -1]])
    return History(rows, np.array([[1, -1, 1], [1, 1, 1], [-1, 0, 1], [1, -1, 0]], dtype=np.int8))


def learned(begin: Begin, study: Study, history: History, seed: int = 0) -> LinearBelief:
    belief = begin(study, rng=np.random.default_rng(seed))(history)
    assert isinstance(belief, LinearBelief)
    return belief


def test_the_score_of_a_case_worked_by_hand(pref: ModuleType) -> None:
    # u = (ln 3, 0) and (1, 0) asked: σ' = ¾ · ¼ = .1875, so M = diag(.1885, .001).
    weights = np.array([[math.log(3), 0.0]])
    belief = pref.ellipsoid(weights, np.array([[[1.0, 0.0]]]))
    scores = pref.released_scores(*belief.margins(np.array([[[2.0, 0.0], [0.0, 0.1], [0.0, 0.0]]])))

    # (2, 0): margin 2 ln 3, σ' = .9 · .1, norm 4 / .1885. (0, .1): σ' = ¼, norm .01 / .001.
    assert scores[0] == pytest.approx([0.09**2 * 4 / 0.1885, 0.25**2 * 10, 0.0])


def test_the_fit_is_that_of_a_plain_loop(pref: ModuleType) -> None:
    rng = np.random.default_rng(2)
    differences, starts = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 2))
    outcomes = np.array([[1, -1, 1, 1], [0, 1, 0, -1], [1, 1, 0, 0]], dtype=np.int8)
    differences[2, 2:] = 0.0  # the third user was asked two questions only

    fitted = pref.descend(starts, differences, outcomes)

    for user, n_answers in enumerate((4, 4, 2)):
        asked = list(zip(differences[user, :n_answers].tolist(), outcomes[user].tolist(), strict=False))
        assert fitted[user] == pytest.approx(_descend_plainly(starts[user].tolist(), asked), abs=1e-10)


def test_answers_that_a_line_separates_have_no_maximum_so_steps_decide(pref: ModuleType) -> None:
    difference = np.array([[[1.0, 0.0]]])
    early, late = (
        pref.descend(np.array([[0.0, 0.7]]), difference, np.array([[1]], dtype=np.int8), steps=steps)[0]
        for steps in (5000, 20000)
    )
    # du/dt = σ(-u) from 0 has u + exp(u) = 1 + t, t = .01 · steps; the other direction keeps its random start.
    assert early[0] + math.exp(early[0]) == pytest.approx(51, abs=0.1)
    assert late[0] > early[0] + 1
    assert early[1] == late[1] == 0.7


def test_swapped_sides_and_replies_change_nothing(pref: ModuleType) -> None:
    rng = np.random.default_rng(3)
    differences, starts = rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 3))
    outcomes = rng.integers(-1, 2, size=(2, 6)).astype(np.int8)

    assert pref.descend(starts, -differences, -outcomes) == pytest.approx(pref.descend(starts, differences, outcomes))


def test_the_next_question_is_the_best_of_all_that_are_left(pref: ModuleType, study: Study, history: History) -> None:
    belief = learned(pref.begin_released, study, history)
    rows, weights, differences = belief.next_rows(), belief.coefficients.means, study.differences[0]

    for user in range(4):
        matrix = 0.001 * np.eye(2)
        for row in history.rows[user]:
            if row >= 0:
                matrix += _slope(weights[user] @ differences[row]) * np.outer(differences[row], differences[row])
        scores = [_slope(weights[user] @ v) ** 2 * v @ np.linalg.solve(matrix, v) for v in differences]
        allowed = [row for row in range(50) if row not in history.rows[user]]
        assert rows[user] == max(allowed, key=lambda row: scores[row])


def test_the_first_question_is_random_and_nothing_is_predicted_before_it(pref: ModuleType, study: Study) -> None:
    beliefs = [learned(pref.begin_released, study, History.empty(4), seed) for seed in range(30)]
    firsts = np.concatenate([belief.next_rows() for belief in beliefs])

    assert len(set(firsts.tolist())) > 40  # of 50: 120 draws leave out 4 or 5
    assert (beliefs[0].predict(study.first, study.second) == 0.5).all()


def test_the_same_seed_and_history_give_the_same_weights(pref: ModuleType, study: Study, history: History) -> None:
    learn = pref.begin_released(study, rng=np.random.default_rng(5))
    once = learn(history).coefficients.means
    learn(History.empty(4))  # a learner keeps no state
    other_start = learned(pref.begin_released, study, history, seed=6).coefficients.means

    assert (learn(history).coefficients.means == once).all()
    assert (learned(pref.begin_released, study, history, seed=5).coefficients.means == once).all()
    assert not np.allclose(other_start, once, atol=1e-3)


def test_predictions_plug_the_weights_in(pref: ModuleType, study: Study, history: History) -> None:
    belief = learned(pref.begin_random, study, history)
    margins = belief.coefficients.means @ study.differences[0].T

    assert belief.predict(study.first, study.second) == pytest.approx(1 / (1 + np.exp(-margins)))


def test_with_the_prior_it_asks_as_our_acquisition_of_that_name(
    pref: ModuleType, study: Study, history: History
) -> None:
    ours = listening(highest(pref_score), heard=by_laplace)
    belief = learned(pref.begin_with_prior, study, history)
    posterior, _ = fit_posterior(study.prior, Comparisons(study.differences[0][history.rows[0]], history.outcomes[0]))

    assert belief.coefficients.means[0] == pytest.approx(posterior.mean, abs=1e-7)
    assert (belief.next_rows() == ours(study, rng=np.random.default_rng(0))(history).next_rows()).all()


def test_with_the_prior_the_first_question_is_still_random(pref: ModuleType, study: Study) -> None:
    firsts = [learned(pref.begin_with_prior, study, History.empty(4), seed).next_rows() for seed in range(5)]
    assert len(set(np.concatenate(firsts).tolist())) > 10


def test_the_published_curve_in_the_world_made_for_it(pref: ModuleType, prior: Gaussian) -> None:
    # Few users, for time: the standard error is near .015; docs/decisions/0014 has the figures of many.
    panels = [attributes(n_users=10, rng=np.random.default_rng([14, world]), n_pool=2000) for world in range(5)]
    together = _joined(panels)

    shared = np.concatenate([_shared_auc(panel) for panel in panels]).mean()
    released = next(each for each in pref.STRATEGIES if each.name == "pref_released")
    curve = learning_curve(released, together, prior, n_questions=10, rng=np.random.default_rng(0))
    active = curve.measures["auc"].mean(axis=0)
    drawn = {k: _auc_of_random(pref, together, k) for k in (5, 10, 20, 40)}

    assert shared == pytest.approx(0.643, abs=0.04)
    assert active[[5, 10]] == pytest.approx([0.775, 0.83], abs=0.035)
    assert list(drawn.values()) == pytest.approx([0.71, 0.75, 0.795, 0.82], abs=0.04)


def _slope(margin: float) -> float:
    return math.exp(-margin) / (1 + math.exp(-margin)) ** 2


def _descend_plainly(weights: Sequence[float], asked: list[tuple[list[float], int]]) -> list[float]:
    u = list(weights)
    for _ in range(5000):
        gradient = [0.0] * len(u)
        for difference, outcome in asked:
            margin = sum(a * b for a, b in zip(u, difference, strict=True))
            wanted = {1: 1.0, 0: 0.5, -1: 0.0}[outcome]
            error = 1 / (1 + math.exp(-margin)) - wanted
            gradient = [g + error * v / len(asked) for g, v in zip(gradient, difference, strict=True)]
        u = [a - 0.01 * g for a, g in zip(u, gradient, strict=True)]
    return u


def _joined(panels: Sequence[Panel]) -> Panel:
    """One panel of the users of several worlds: much quicker to descend for than one world after another."""

    def spread(name: str) -> Array:
        return np.concatenate([np.repeat(getattr(panel, name), panel.n_users, axis=0) for panel in panels])

    return Panel(
        "joined",
        spread("first"),
        spread("second"),
        np.concatenate([panel.open for panel in panels]),
        np.concatenate([panel.outcomes for panel in panels]),
        spread("test_first"),
        spread("test_second"),
        np.concatenate([panel.test_truth for panel in panels]),
        panels[0].group,
    )


def _shared_auc(panel: Panel) -> Array:
    margins = (panel.test_first - panel.test_second)[0] @ pooled_coefficients(
        panel.group.differences, panel.group.outcomes
    )
    return auc(np.tile(margins, (panel.n_users, 1)), panel.test_truth)


def _auc_of_random(pref: ModuleType, panel: Panel, n_answers: int) -> float:
    rng = np.random.default_rng([2, n_answers])
    rows = np.argsort(rng.random(panel.open.shape), axis=1)[:, :n_answers]
    asked = History(rows, np.take_along_axis(panel.outcomes, rows, axis=1))
    differences = asked.of(panel.first) - asked.of(panel.second)
    weights = pref.descend(rng.normal(size=differences[:, 0].shape), differences, asked.outcomes)
    margins = np.einsum("utd,ud->ut", panel.test_first - panel.test_second, weights)
    return float(auc(margins, panel.test_truth).mean())
