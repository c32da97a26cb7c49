"""The harness finds what is known to be there: the ordering of the rules on the worlds, on few users and fixed seeds.

Margins are wide: they are what should hold for any seeds, not what was measured for these. The benchmarks measure.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import prefq
from prefq.inference.population import fit_population_prior
from prefq.pool.starter import declared_levels
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import learning_curve
from prefq.simulation.panels import Panel
from prefq.simulation.strategies import OURS
from prefq.simulation.synthetic import make_world
from prefq.simulation.worlds import StarterTexts
from prefq.vocabulary import Array, PopulationPrior

STRATEGIES = {strategy.name: strategy for strategy in (*OURS, *CONTROLS)}
N_WORLDS, N_USERS, N_POOL, N_QUESTIONS = 4, 40, 400, 10
N_GROUP_USERS = 120  # of the group's 500: a prior is fitted quicker
N_TESTS = 200  # of 600


@cache
def world(name: str, seed: int) -> tuple[Panel, PopulationPrior]:
    def texts() -> StarterTexts:
        return StarterTexts(prefq.load_pool("starter"), declared_levels())

    panel = make_world(name, n_users=N_USERS, rng=np.random.default_rng([1, seed]), n_pool=N_POOL, texts=texts)
    kept = panel.group.users < N_GROUP_USERS
    differences, outcomes, users, _ = panel.group
    few = {name: getattr(panel, name)[:, :N_TESTS] for name in ("test_first", "test_second", "test_truth")}
    # What is known of replies and of the shrinkage is given, so that the fit takes a fraction of a second.
    answers = (differences[kept], outcomes[kept], users[kept])
    return replace(panel, **few), fit_population_prior(*answers, response_model=panel.response_model, shrinkage=1.0)


@cache
def after_ten(name: str, strategy: str, measure: str = "accuracy") -> Array:
    """A measure after 10 answers, mean over the users of each world (n_worlds,)."""
    means = []
    for seed in range(N_WORLDS):
        panel, prior = world(name, seed)
        rng = np.random.default_rng([2, seed])
        curve = learning_curve(STRATEGIES[strategy], panel, prior, n_questions=N_QUESTIONS, rng=rng)
        means.append(curve.measures[measure][:, -1].mean())
    return np.array(means)


def points(name: str, better: str, worse: str) -> float:
    """By how many points of accuracy one strategy is better than another, mean over worlds."""
    return float(100 * (after_ten(name, better) - after_ten(name, worse)).mean())


def test_active_questions_beat_every_control() -> None:
    assert points("gaussian", "information_gain", "random") > 4
    assert points("gaussian", "information_gain", "spread_matched_random") > 2
    assert points("gaussian", "information_gain", "static") > 0.5
    gains = after_ten("gaussian", "random", "log_loss") - after_ten("gaussian", "information_gain", "log_loss")
    assert gains.min() > 0.01


@pytest.mark.parametrize("other", ["d_optimal", "pref"])
def test_good_rules_differ_little(other: str) -> None:
    assert abs(points("gaussian", "information_gain", other)) < 2


def test_asking_what_is_least_certain_is_no_better_than_random() -> None:
    assert points("gaussian", "margin_uncertainty", "random") < 0.5


def test_noise_that_grows_with_unlikeness_takes_about_half_of_the_gain() -> None:
    left = points("unlike_noise", "information_gain", "random") / points("gaussian", "information_gain", "random")
    assert 0.25 < left < 0.8


def test_little_is_gained_where_all_pairs_are_equally_unlike() -> None:
    left = points("equal_norm", "information_gain", "random") / points("gaussian", "information_gain", "random")
    assert -0.2 < left < 0.7


@pytest.mark.parametrize("strategy", ["information_gain", "random", "static"])
def test_nothing_is_gained_where_there_is_nothing_to_learn(strategy: str) -> None:
    n_tasks = N_WORLDS * N_USERS * N_TESTS
    assert after_ten("no_signal", strategy).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(n_tasks))
    assert after_ten("no_signal", strategy, "log_loss").min() > np.log(2) - 0.001


def test_on_the_starter_pool_the_rules_stand_as_they_do_in_sessions() -> None:
    # benchmarks/starter_gain.py puts the same people to select_next_question: 3.2 points, both rules alike.
    assert points("starter", "information_gain", "random") > 1
    assert abs(points("starter", "information_gain", "d_optimal")) < 2
