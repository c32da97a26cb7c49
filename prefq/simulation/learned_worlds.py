"""Worlds of text encodings: `text_factors`, `agree` and `raters`.

Tastes weigh six linear features of 64-dimensional encodings. Where a method is to learn its features from the group,
it starts from the encodings; until it does, prefq sees the true features, and the panels say so.
"""

import numpy as np

from prefq.simulation.panels import GroupAnswers, Panel
from prefq.simulation.scenes import (
    LOGISTIC,
    N_CANDIDATES,
    N_PROMPTS,
    N_TESTS,
    Scene,
    draw,
    gaussian_population,
    group_answers,
    panel_of,
)
from prefq.vocabulary import Array, Gaussian

N_ENCODING, N_FEATURES = 64, 6
DIFFERENCE_SD = 1.4  # of each dimension of a pair's difference of encodings
GROUP_TOTAL = 6000  # answers of the whole group, however many its users are
N_RATERS = 8
TRUE_FEATURES = "prefq sees the world's true features; it does not learn them from the encodings."


def text_factors(n_group_users: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Tastes as in `gaussian(6)` over six features of encodings, the group's answers split over so many users."""
    population, scene = gaussian_population(N_FEATURES, rng), text_scene(n_pool, rng)
    group = _group(draw(population, n_group_users, rng), scene, rng)
    tastes = draw(population, n_users, rng)
    return panel_of(
        name, scene, tastes, group, taste_sd=population.sd, rng=rng, true_prior=population, notes=(TRUE_FEATURES,)
    )


def agree(p: float, n_group_users: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Each rater has the common taste with chance p, otherwise one of two opposed ones; all of the same strength."""
    population, scene = gaussian_population(N_FEATURES, rng), text_scene(n_pool, rng)
    strength = np.sqrt(np.trace(population.covariance) + population.mean @ population.mean)
    directions = rng.normal(size=(2, N_FEATURES))
    common, own = strength * directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def tastes(n: int) -> Array:
        sides = np.where(rng.random(n) < 0.5, 1.0, -1.0)
        return np.asarray(np.where((rng.random(n) < p)[:, None], common, sides[:, None] * own))

    group = _group(tastes(n_group_users), scene, rng)
    sd = np.full(N_FEATURES, strength / np.sqrt(N_FEATURES))
    return panel_of(name, scene, tastes(n_users), group, taste_sd=sd, rng=rng, notes=(TRUE_FEATURES,))


def raters(c: float, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Raters who share c of their taste's variance: each user is an eighth one, the group are the other seven."""
    population, scene = gaussian_population(N_FEATURES, rng), text_scene(n_pool, rng)
    nothing = np.zeros(N_FEATURES)
    common = draw(Gaussian(nothing, c * population.covariance), 1, rng)[0]
    around = Gaussian(common, (1 - c) * population.covariance)
    group = _group(draw(around, N_RATERS - 1, rng), scene, rng)
    tastes = draw(around, n_users, rng)
    return panel_of(
        name, scene, tastes, group, taste_sd=population.sd, rng=rng, true_prior=around, notes=(TRUE_FEATURES,)
    )


def text_scene(n_pool: int, rng: np.random.Generator) -> Scene:
    """Items as six features x A of encodings x ~ N(0, 1.4²/2 I) in 64 dimensions, A ~ N(0, 1)/8."""
    factors = rng.normal(size=(N_ENCODING, N_FEATURES)) / np.sqrt(N_ENCODING)

    def items(*shape: int) -> Array:
        return np.asarray(DIFFERENCE_SD / np.sqrt(2) * rng.normal(size=(*shape, N_ENCODING)) @ factors)

    (first, second), (test_first, test_second) = items(2, n_pool), items(2, N_TESTS)
    return Scene(first, second, test_first, test_second, items(N_PROMPTS, N_CANDIDATES))


def _group(coefficients: Array, scene: Scene, rng: np.random.Generator) -> GroupAnswers:
    """6,000 answers, as evenly as may be over the users."""
    n_users = len(coefficients)
    counts = GROUP_TOTAL // n_users + (np.arange(n_users) < GROUP_TOTAL % n_users)
    return group_answers(coefficients, counts, scene, LOGISTIC, N_FEATURES, rng)
