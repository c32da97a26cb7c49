"""Every peer, put to a small panel: it learns where there is something to learn, and finds nothing in coin flips."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from prefq.simulation.curves import learning_curve
from prefq.simulation.guards import one_by_one
from prefq.simulation.panels import Panel
from prefq.simulation.strategies import Strategy
from prefq.vocabulary import Gaussian

FILES = {
    "logistic": ("logistic_random", "logistic_uncertain"),
    "rfm": ("rfm", "rfm_with_prior"),
    "lore": ("lore", "lore_with_prior"),
    "sampling": (
        "volume_removal",
        "sampled_information",
        "volume_removal_with_prior",
        "sampled_information_with_prior",
    ),
    "pairwise_gp": (
        "pairwise_gp_bald",
        "pairwise_gp_eubo",
        "pairwise_gp_bald_with_prior",
        "pairwise_gp_eubo_with_prior",
    ),
    "gp_user": ("gp_user", "gp_user_linear"),
}
SLOW = {"pairwise_gp", "gp_user"}
NAMES = [(file, name) for file, names in FILES.items() for name in names]
MakePanel = Callable[..., Panel]
Peer = Callable[[str], ModuleType]


def strategy(peer: Peer, file: str, name: str) -> Strategy:
    module = peer(file)
    assert {each.name for each in module.STRATEGIES} == set(FILES[file])
    found: Strategy = next(each for each in module.STRATEGIES if each.name == name)
    return found


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_answers_teach_something(peer: Peer, small_panel: MakePanel, prior: Gaussian, file: str, name: str) -> None:
    slow = file in SLOW
    curve = learning_curve(
        strategy(peer, file, name),
        small_panel(4 if slow else 12),
        prior,
        n_questions=6 if slow else 10,
        rng=np.random.default_rng(0),
    )
    before, after = curve.measures["accuracy"].mean(axis=0)[[0, -1]]

    assert after > before + 0.05
    # Volume removal as published likes items that are equal, and learns little from them.
    assert after > (0.55 if name == "volume_removal" else 0.75)
    if name.endswith("with_prior"):
        assert before > 0.55  # the group's mean is worth something


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_coin_flips_teach_nothing_about_test_tasks(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, file: str, name: str
) -> None:
    n_users, n_questions = (2, 2) if file in SLOW else (16, 6)
    panel = small_panel(n_users, coin_flips=True, n_tests=1600)
    curve = learning_curve(
        strategy(peer, file, name), panel, prior, n_questions=n_questions, rng=np.random.default_rng(0)
    )

    # At least 3,200 tasks: a standard error of .009 and less.
    assert np.abs(curve.measures["accuracy"].mean(axis=0) - 0.5).max() < 0.03


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_the_same_seed_gives_the_same_numbers(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, file: str, name: str
) -> None:
    once, twice = (
        learning_curve(strategy(peer, file, name), small_panel(2), prior, n_questions=2, rng=np.random.default_rng(3))
        for _ in range(2)
    )

    np.testing.assert_array_equal(once.history.rows, twice.history.rows)
    np.testing.assert_array_equal(once.measures["log_loss"], twice.measures["log_loss"])


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_a_task_is_predicted_alone_as_it_is_among_others(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, file: str, name: str
) -> None:
    made = strategy(peer, file, name)
    found = one_by_one(lambda _: made, small_panel(2), prior, n_questions=2, rng=np.random.default_rng(0))

    assert found.passed, found.sentence
