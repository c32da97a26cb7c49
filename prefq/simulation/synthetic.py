"""Synthetic worlds: documented generators of panels, by name.

Each draws a population, a pool, users, a group to learn a prior from, and frozen test tasks, all from the generator
that is handed in; the same generator gives the same world.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from prefq.errors import InputError
from prefq.inference.likelihood import sigmoid
from prefq.simulation.panels import Candidates, GroupAnswers, Panel, Stated
from prefq.simulation.world_names import Generator, Parameter, read_world_name
from prefq.vocabulary import Array, Gaussian

N_POOL = 2000  # questions
N_TESTS = 600
N_PROMPTS, N_CANDIDATES = 60, 16
GROUP_USERS, GROUP_ANSWERS = 500, 30
STATED_RELIABILITY = 0.6  # correlation of what people state with what they choose by, over the population


def gaussian(d: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int = N_POOL) -> Panel:
    """The world `gaussian(d)`: coefficients from one Gaussian, pairs of unequal spread, logistic replies.

    Parameters
    ----------
    d
        Number of features.
    name
        Of the panel.
    n_users
        Users to measure on.
    rng
        Draws everything.
    n_pool
        Questions in the pool.
    """
    population, mixing = _population(d, rng)
    return _panel(name, population, mixing, n_users=n_users, n_pool=n_pool, rng=rng)


def _population(n_features: int, rng: np.random.Generator) -> tuple[Gaussian, Array]:
    """Where coefficients come from, and the mixing of the features."""
    rotation, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    mixing = np.eye(n_features) + 0.6 * rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)
    scale = 2.2 / np.sqrt(n_features / 6)
    covariance = rotation @ np.diag(np.geomspace(1, 0.15, n_features)) @ rotation.T * scale**2 / 1.3
    mean = rotation[:, 0] * 0.8 + (rotation[:, 1] * 0.4 if n_features > 1 else 0)
    return Gaussian(mean * scale / 1.3, covariance), mixing


def _panel(
    name: str, population: Gaussian, mixing: Array, *, n_users: int, n_pool: int, rng: np.random.Generator
) -> Panel:
    def items(*shape: int) -> Array:
        return np.asarray(rng.normal(size=(*shape, len(mixing))) @ mixing / np.sqrt(2))

    first, second = items(2, n_pool) * np.sqrt(rng.gamma(2, 0.5, size=n_pool))[:, None]
    test_first, test_second = items(2, N_TESTS)
    candidates = items(N_PROMPTS, N_CANDIDATES)
    coefficients = draw(population, n_users, rng)
    margins = coefficients @ (first - second).T
    group = _group(draw(population, GROUP_USERS, rng), first - second, rng)
    sd = np.sqrt(np.diag(population.covariance)) * np.sqrt(1 / STATED_RELIABILITY**2 - 1)
    return Panel(
        name,
        first[None],
        second[None],
        np.ones((n_users, n_pool), dtype=bool),
        replies(margins, rng),
        test_first[None],
        test_second[None],
        sigmoid(coefficients @ (test_first - test_second).T),
        group,
        candidates=Candidates(candidates[None], np.einsum("pcd,ud->upc", candidates, coefficients)),
        margins=margins,
        stated=Stated(coefficients + rng.normal(size=coefficients.shape) * sd, sd),
        true_prior=population,
    )


def draw(population: Gaussian, n_users: int, rng: np.random.Generator) -> Array:
    """Coefficients (n_users, n_features) of users of this population."""
    return rng.multivariate_normal(population.mean, population.covariance, size=n_users, method="eigh")


def replies(margins: Array, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Logistic replies to margins of any shape: +1 or -1."""
    return np.where(rng.random(margins.shape) < sigmoid(margins), 1, -1).astype(np.int8)


def _group(coefficients: Array, differences: Array, rng: np.random.Generator) -> GroupAnswers:
    """Replies of other people, each to as many questions of the pool at random."""
    n_users, n_answers = len(coefficients), min(GROUP_ANSWERS, len(differences))
    rows = np.argsort(rng.random((n_users, len(differences))), axis=1)[:, :n_answers]
    asked = differences[rows]
    outcomes = replies(np.einsum("uad,ud->ua", asked, coefficients), rng)
    users = np.repeat(np.arange(n_users), n_answers)
    return GroupAnswers(asked.reshape(-1, differences.shape[1]), outcomes.ravel(), users)


WORLDS: Mapping[str, Generator] = MappingProxyType(
    {
        "gaussian": Generator(
            gaussian,
            "tastes from one Gaussian, pairs of unequal spread, logistic replies",
            (Parameter("d", 6, 1, 128, whole=True),),
        ),
    }
)


def world_name(text: str) -> str:
    """Name of a world in full: ``gaussian`` and ``gaussian:6`` are ``"gaussian(6)"``; errors as in `make_world`."""
    return read_world_name(text, WORLDS).name


def make_world(text: str, *, n_users: int, rng: np.random.Generator, n_pool: int = N_POOL) -> Panel:
    """One world of those in `WORLDS`.

    Parameters
    ----------
    text
        Name, with parameters or without: ``"gaussian"``, ``"gaussian(6)"``, ``"agree:0.5"``.
    n_users
        Users to measure on, at least 1.
    rng
        Draws everything; the same generator gives the same world.
    n_pool
        Questions in the pool, at least 1.

    Raises
    ------
    NotFoundError
        When there is no such world; the message names those that exist.
    InputError
        When a parameter is unknown, not a number or out of range, or a count is below 1.
    """
    name, generator, values = read_world_name(text, WORLDS)
    for what, count in (("n_users", n_users), ("n_pool", n_pool)):
        if count < 1:
            raise InputError(f"{what} is {count}; give 1 or more.")
    return generator.generate(**values, name=name, n_users=n_users, rng=rng, n_pool=n_pool)
