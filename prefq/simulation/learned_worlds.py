"""Worlds of text encodings: `text_factors`, `agree` and `raters`, and `encoded_text_factors` and `encoded_agree`.

Tastes weigh a few linear features of 64-dimensional encodings. In the first three prefq sees these features, and the
panels say so. In the others, made by the same draws, it sees the encodings: base rewards are to be learned from the
group, by the strategies of `learned_strategies`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from prefq.simulation.panels import GroupAnswers, Panel
from prefq.simulation.scenes import (
    ENCODINGS,
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


class Seen(NamedTuple):
    """What prefq sees of the items.

    scene: features, or encodings. heads (n_encoding, n_features): what tastes weigh of encodings; None where the scene
    holds just that.
    """

    scene: Scene
    heads: Array | None = None

    def coefficients(self, tastes: Array) -> Array:
        """On what is seen (n_users, n_seen), of tastes (n_users, n_features)."""
        return tastes if self.heads is None else tastes @ self.heads.T


See = Callable[[Scene, Array], Seen]
"""From encodings of the items and the factors (n_encoding, n_features) that tastes weigh to what prefq sees."""


def as_features(encodings: Scene, factors: Array) -> Seen:
    """The features that tastes weigh, and nothing else."""
    return Seen(Scene(*(items @ factors for items in encodings)))


def as_encodings(encodings: Scene, factors: Array) -> Seen:
    """Encodings; what tastes weigh of them is to be learned."""
    return Seen(encodings, factors)


def text_factors(n_group_users: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Tastes as in `gaussian(6)` over six features of encodings, the group's answers split over so many users."""
    return _text_factors(as_features, n_group_users, N_FEATURES, GROUP_TOTAL, name, n_users, n_pool, rng)


def encoded_text_factors(
    n_group_users: int, d: int, n_answers: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int
) -> Panel:
    """As `text_factors` with tastes of `gaussian(d)` and so many answers of the group; prefq sees the encodings."""
    return _text_factors(as_encodings, n_group_users, d, n_answers, name, n_users, n_pool, rng)


def agree(p: float, n_group_users: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Each rater has the common taste with chance p, otherwise one of two opposed ones; all of the same strength."""
    return _agree(as_features, p, n_group_users, name, n_users, n_pool, rng)


def encoded_agree(
    p: float, n_group_users: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int
) -> Panel:
    """As `agree`; prefq sees the encodings."""
    return _agree(as_encodings, p, n_group_users, name, n_users, n_pool, rng)


def raters(c: float, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Raters who share c of their taste's variance: each user is an eighth one, the group are the other seven."""
    population, seen = gaussian_population(N_FEATURES, rng), text_scene(as_features, n_pool, rng)
    nothing = np.zeros(N_FEATURES)
    common = draw(Gaussian(nothing, c * population.covariance), 1, rng)[0]
    around = Gaussian(common, (1 - c) * population.covariance)
    group = _group(draw(around, N_RATERS - 1, rng), seen, GROUP_TOTAL, rng)
    return _panel(name, seen, group, draw(around, n_users, rng), sd=population.sd, rng=rng, true_prior=around)


def text_scene(see: See, n_pool: int, rng: np.random.Generator, *, n_features: int = N_FEATURES) -> Seen:
    """Items as encodings x ~ N(0, 1.4²/2 I) in 64 dimensions, and features x A of them, A ~ N(0, 1)/8."""
    factors = rng.normal(size=(N_ENCODING, n_features)) / np.sqrt(N_ENCODING)

    def items(*shape: int) -> Array:
        return np.asarray(DIFFERENCE_SD / np.sqrt(2) * rng.normal(size=(*shape, N_ENCODING)))

    (first, second), (test_first, test_second) = items(2, n_pool), items(2, N_TESTS)
    return see(Scene(first, second, test_first, test_second, items(N_PROMPTS, N_CANDIDATES)), factors)


def _text_factors(
    see: See, n_group_users: int, d: int, n_answers: int, name: str, n_users: int, n_pool: int, rng: np.random.Generator
) -> Panel:
    population, seen = gaussian_population(d, rng), text_scene(see, n_pool, rng, n_features=d)
    group = _group(draw(population, n_group_users, rng), seen, n_answers, rng)
    return _panel(name, seen, group, draw(population, n_users, rng), sd=population.sd, rng=rng, true_prior=population)


def _agree(
    see: See, p: float, n_group_users: int, name: str, n_users: int, n_pool: int, rng: np.random.Generator
) -> Panel:
    population, seen = gaussian_population(N_FEATURES, rng), text_scene(see, n_pool, rng)
    strength = np.sqrt(np.trace(population.covariance) + population.mean @ population.mean)
    directions = rng.normal(size=(2, N_FEATURES))
    common, own = strength * directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def tastes(n: int) -> Array:
        sides = np.where(rng.random(n) < 0.5, 1.0, -1.0)
        return np.asarray(np.where((rng.random(n) < p)[:, None], common, sides[:, None] * own))

    group = _group(tastes(n_group_users), seen, GROUP_TOTAL, rng)
    sd = np.full(N_FEATURES, strength / np.sqrt(N_FEATURES))
    return _panel(name, seen, group, tastes(n_users), sd=sd, rng=rng)


def _group(tastes: Array, seen: Seen, total: int, rng: np.random.Generator) -> GroupAnswers:
    """So many answers, as evenly as may be over the users."""
    n_users, n_seen = len(tastes), seen.scene.first.shape[1]
    counts = total // n_users + (np.arange(n_users) < total % n_users)
    return group_answers(seen.coefficients(tastes), counts, seen.scene, LOGISTIC, n_seen, rng)


def _panel(
    name: str,
    seen: Seen,
    group: GroupAnswers,
    tastes: Array,
    *,
    sd: Array,
    rng: np.random.Generator,
    true_prior: Gaussian | None = None,
) -> Panel:
    """The panel of users with these tastes; nobody states a coefficient of an encoding."""
    if seen.heads is None:
        return panel_of(
            name, seen.scene, tastes, group, taste_sd=sd, rng=rng, true_prior=true_prior, notes=(TRUE_FEATURES,)
        )
    coefficients, unstated = seen.coefficients(tastes), np.zeros(len(seen.heads))
    panel = panel_of(name, seen.scene, coefficients, group, taste_sd=unstated, rng=rng, notes=(ENCODINGS,))
    return replace(panel, stated=None, true_heads=seen.heads)
