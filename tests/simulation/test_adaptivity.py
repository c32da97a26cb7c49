"""Adaptivity: nought where it must be by design or by symmetry, and by hand in a case of two questions."""

from dataclasses import replace

import numpy as np
import pytest

from prefq.simulation.adaptivity import adaptivity
from prefq.simulation.controls import CONTROLS
from prefq.simulation.panels import GroupAnswers, History, Panel, Rows, Start, Study
from prefq.simulation.strategies import OURS, Belief, Learner, LinearBelief, Strategy, from_group
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Gaussian

STRATEGIES = {strategy.name: strategy for strategy in (*OURS, *CONTROLS)}
PANEL = make_world("gaussian(3)", n_users=30, n_pool=120, rng=np.random.default_rng(1))
assert PANEL.true_prior is not None
PRIOR = PANEL.true_prior


def of(name: str, prior: Start = PRIOR, n_questions: int = 7) -> list[float]:
    rng = np.random.default_rng(2)
    return list(adaptivity(STRATEGIES[name], PANEL, prior, n_questions=n_questions, rng=rng))


def test_what_does_not_listen_does_not_adapt() -> None:
    for name in ("random", "spread_matched_random", "static", "pooled", "stated"):
        assert of(name) == [0.0] * 6


def test_batches_adapt_when_a_batch_ends() -> None:
    shares = of("batches_of_five")
    assert shares[:4] == [0.0] * 4  # after 1, 2, 3 and 4 answers the batch goes on
    assert shares[4] > 0.2


def test_under_a_prior_of_mean_nought_the_first_answer_cannot_matter() -> None:
    """By symmetry: flipping it turns the posterior into its mirror image, in which every question scores the same."""
    shares = of("information_gain", Gaussian(np.zeros(3), PRIOR.covariance))
    assert shares[0] == 0
    assert max(shares) > 0.5
    assert max(of("information_gain")) > 0.5


def test_users_with_nothing_to_flip_or_to_ask_are_not_counted() -> None:
    """Asks 0, then 1 or 2 as the answer was; two of four users reply with a tie, the third has one question."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        def learn(history: History) -> Belief:
            def choose() -> Rows:
                if not history.rows.shape[1]:
                    return np.zeros(study.n_users, dtype=np.intp)
                rows = np.where(history.outcomes[:, -1] > 0, 1, 2)
                return np.where(study.open[:, 1], rows, -1)

            return LinearBelief(from_group(study), choose)

        return learn

    ones = np.ones((1, 3, 1))
    is_open = np.array([[True] * 3, [True] * 3, [True, False, False], [True] * 3])
    outcomes = np.array([[0, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]], dtype=np.int8)
    nobody = GroupAnswers(np.empty((0, 1)), np.empty(0, dtype=np.int8), np.empty(0, dtype=np.intp))
    panel = Panel("by hand", ones, 0 * ones, is_open, outcomes, ones, 0 * ones, np.ones((4, 3)), nobody)
    strategy, prior = Strategy("by hand", begin, ""), Gaussian(np.zeros(1), np.eye(1))
    found = adaptivity(strategy, panel, prior, n_questions=2, rng=np.random.default_rng(0))
    assert found.tolist() == [1.0]  # of the one user who counts
    ties = replace(panel, outcomes=np.zeros((4, 3), dtype=np.int8))
    found = adaptivity(strategy, ties, prior, n_questions=2, rng=np.random.default_rng(0))
    assert found == pytest.approx([np.nan], nan_ok=True)
