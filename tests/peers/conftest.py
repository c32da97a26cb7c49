"""Peers loaded as the command line loads them, and a small panel to put them to."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from prefq.inference.likelihood import sigmoid
from prefq.simulation.panels import Candidates, GroupAnswers, Panel
from prefq.vocabulary import Gaussian
from prefq_cli.bench.strategies import load_peers

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"
PRIOR = Gaussian([0.6, -0.3], [[2.0, 0.4], [0.4, 1.0]])


@pytest.fixture(scope="session")
def peer() -> Callable[[str], ModuleType]:
    """The module of a peers' file, by its name."""

    def load(name: str) -> ModuleType:
        path = str(PEERS / f"{name}.py")
        load_peers(path)
        return next(module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == path)

    return load


@pytest.fixture(scope="session")
def small_panel() -> Callable[..., Panel]:
    """Users of two features drawn from PRIOR; with `coin_flips` replies and truth have nothing to do with them."""

    def make(n_users: int = 4, *, coin_flips: bool = False, n_tests: int = 60) -> Panel:
        rng = np.random.default_rng(7)
        first, second = rng.normal(size=(2, 1, 50, 2))
        test_first, test_second = rng.normal(size=(2, 1, n_tests, 2))
        candidates = rng.normal(size=(1, 5, 4, 2))
        users = rng.multivariate_normal(PRIOR.mean, PRIOR.covariance, size=n_users)
        margins, test_margins = users @ (first - second)[0].T, users @ (test_first - test_second)[0].T
        replies = np.where(rng.random(margins.shape) < (0.5 if coin_flips else sigmoid(margins)), 1, -1)
        truth = np.where(rng.random(test_margins.shape) < 0.5, 1.0, 0.0) if coin_flips else sigmoid(test_margins)
        group_users = rng.multivariate_normal(PRIOR.mean, PRIOR.covariance, size=40)
        asked = rng.normal(size=(40, 12, 2))
        group_margins = np.einsum("uad,ud->ua", asked, group_users)
        group_replies = np.where(rng.random(group_margins.shape) < sigmoid(group_margins), 1, -1).astype(np.int8)
        return Panel(
            "small",
            first,
            second,
            np.ones((n_users, 50), dtype=bool),
            replies.astype(np.int8),
            test_first,
            test_second,
            truth,
            GroupAnswers(asked.reshape(-1, 2), group_replies.ravel(), np.repeat(np.arange(40), 12)),
            candidates=Candidates(candidates, np.einsum("upcd,vd->vpc", candidates, users)),
        )

    return make


@pytest.fixture(scope="session")
def prior() -> Gaussian:
    """Where the users of the small panel come from."""
    return PRIOR
