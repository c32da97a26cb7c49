"""Synthetic worlds by name: documented generators of panels, those with Gaussian features here.

Each draws a population, a pool, users, a group to learn a prior from, and frozen test tasks, all from the generator
that is handed in; the same generator gives the same world. Worlds of text encodings are in `learned_worlds`, the one of
the starter pool in `worlds`; formulas and what each tests are in docs/maths/worlds.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from scipy.optimize import brentq

from prefq.errors import InputError
from prefq.inference.likelihood import reply_probabilities, sigmoid
from prefq.simulation.attributes import attributes, encoded_attributes
from prefq.simulation.learned_worlds import (
    GROUP_TOTAL,
    agree,
    encoded_agree,
    encoded_text_factors,
    raters,
    text_factors,
)
from prefq.simulation.panels import GroupAnswers, Panel, Stated
from prefq.simulation.scenes import (
    GROUP_ANSWERS,
    GROUP_USERS,
    LOGISTIC,
    ReplyRule,
    Scene,
    draw,
    gaussian_population,
    gaussian_scene,
    group_answers,
    panel_of,
)
from prefq.simulation.world_names import Generator, Parameter, read_world_name
from prefq.simulation.worlds import StarterTexts, starter
from prefq.vocabulary import Array, Gaussian, GaussianMixture, ResponseModel

N_POOL = 2000  # questions
N_FEATURES = 6  # of the worlds whose names do not say
N_CENTRES, CENTRE_SD, INNER_SD = 3, 1.6, 0.4
UNKNOWN = "How people reply (ties, side bias, lapses) is fitted on the group; recipes of others know nothing of it."
KNOWN = "prefq is told how people reply: tie threshold, side bias and lapse rate."
_QUANTILES: Array = np.linspace(-6, 6, 121, dtype=np.float64)  # of a standard normal, for means over the population
_MASS = np.exp(-(_QUANTILES**2) / 2)
_MASS /= _MASS.sum()


def gaussian(d: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Tastes from one Gaussian, pairs of unequal spread, logistic replies."""
    population, scene = gaussian_population(d, rng), gaussian_scene(d, n_pool, rng)
    return _panel(name, scene, population, n_users=n_users, rng=rng)


def equal_norm(d: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """As `gaussian`, every question's difference of norm one; test tasks as they are."""
    population, scene = gaussian_population(d, rng), gaussian_scene(d, n_pool, rng)
    norms = np.linalg.norm(scene.differences, axis=1, keepdims=True)
    return _panel(
        name,
        scene._replace(first=scene.first / norms, second=scene.second / norms),
        population,
        n_users=n_users,
        rng=rng,
    )


def unlike_noise(*, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """As `gaussian(6)`, replies being the noisier the less alike the two items are, at the same mean reliability."""
    population, scene = gaussian_population(N_FEATURES, rng), gaussian_scene(N_FEATURES, n_pool, rng)
    rule = ReplyRule(loudness=unlike_loudness(population, scene.differences))
    return _panel(name, scene, population, n_users=n_users, rng=rng, rule=rule)


def clustered(*, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """Tastes around three centres; items as in `gaussian(6)`."""
    scene = gaussian_scene(N_FEATURES, n_pool, rng)
    centres = CENTRE_SD * rng.normal(size=(N_CENTRES, N_FEATURES))

    def tastes(n: int) -> Array:
        return centres[rng.integers(N_CENTRES, size=n)] + INNER_SD * rng.normal(size=(n, N_FEATURES))

    group = _group(tastes(GROUP_USERS), scene, rng)
    sd = np.sqrt(centres.var(axis=0) + INNER_SD**2)
    inner = INNER_SD**2 * np.eye(N_FEATURES)
    population = GaussianMixture(np.full(N_CENTRES, 1 / N_CENTRES), [Gaussian(centre, inner) for centre in centres])
    return panel_of(name, scene, tastes(n_users), group, taste_sd=sd, rng=rng, true_prior=population)


def noisy(
    lapses: float,
    ties: float,
    bias: float,
    known: int,
    *,
    name: str,
    n_users: int,
    rng: np.random.Generator,
    n_pool: int,
) -> Panel:
    """As `gaussian(6)`, with lapses, ties and a pull toward the side shown first."""
    population, scene = gaussian_population(N_FEATURES, rng), gaussian_scene(N_FEATURES, n_pool, rng)
    model = _model_with_ties(population, scene.differences, ties, ResponseModel(0.0, bias, lapses))
    panel = _panel(
        name,
        scene,
        population,
        n_users=n_users,
        rng=rng,
        rule=ReplyRule(model),
        assumed=model if known else LOGISTIC.model,
        notes=(KNOWN if known else UNKNOWN,),
    )
    return replace(panel, response_model_known=bool(known))


def no_signal(*, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """As `gaussian(6)`, but users and group throw a coin, also over the test tasks, and say anything of themselves."""
    population, scene = gaussian_population(N_FEATURES, rng), gaussian_scene(N_FEATURES, n_pool, rng)
    panel = _panel(name, scene, population, n_users=n_users, rng=rng, rule=ReplyRule(loudness=_silence))
    assert panel.stated is not None
    sd = population.sd + panel.stated.sd
    return replace(
        panel,
        test_truth=rng.integers(2, size=panel.test_truth.shape).astype(np.float64),
        candidates=None,
        stated=Stated(rng.normal(size=panel.stated.readings.shape) * sd, panel.stated.sd),
        true_prior=None,
        notes=("Users and group throw a coin: there is nothing to learn.",),
    )


def outside_span(share: float, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """As `gaussian(6)`, a share of the mean square margin coming from a feature that prefq does not see."""
    population = gaussian_population(N_FEATURES, rng)
    scene = gaussian_scene(N_FEATURES, n_pool, rng, n_hidden=1)
    seen, hidden = scene.differences[:, :N_FEATURES], scene.differences[:, N_FEATURES]
    hidden_sd = np.sqrt(share * _mean_square_margin(population, seen) / np.square(hidden).mean())
    visible = _dimmed(population, 1 - share)

    def tastes(n: int) -> Array:
        return np.column_stack([draw(visible, n, rng), rng.normal(size=n) * hidden_sd])

    group = _group(tastes(GROUP_USERS), scene, rng, n_seen=N_FEATURES)
    return panel_of(name, scene, tastes(n_users), group, taste_sd=visible.sd, rng=rng, true_prior=visible)


def interactions(share: float, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """As `gaussian(6)`, a share of the mean square margin coming from products of two features, weighed by each user.

    prefq sees the features and not their products: no weights express these tastes.
    """
    population, plain = gaussian_population(N_FEATURES, rng), gaussian_scene(N_FEATURES, n_pool, rng)
    one, other = np.triu_indices(N_FEATURES, 1)
    scene = Scene(*(np.concatenate([items, items[..., one] * items[..., other]], axis=-1) for items in plain))
    visible = _dimmed(population, 1 - share)
    squares = np.square(scene.differences[:, N_FEATURES:]).mean(axis=0).sum()
    product_sd = np.sqrt(share * _mean_square_margin(population, plain.differences) / squares)

    def tastes(n: int) -> Array:
        return np.column_stack([draw(visible, n, rng), rng.normal(size=(n, one.size)) * product_sd])

    group = _group(tastes(GROUP_USERS), scene, rng, n_seen=N_FEATURES)
    return panel_of(name, scene, tastes(n_users), group, taste_sd=visible.sd, rng=rng, true_prior=visible)


def wrong_prior(*, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """As `gaussian(6)`, but the group's mean taste is the opposite of the users'."""
    population, scene = gaussian_population(N_FEATURES, rng), gaussian_scene(N_FEATURES, n_pool, rng)
    others = Gaussian(-population.mean, population.covariance)
    notes = ("The group that the prior is fitted on has the opposite mean taste.",)
    return _panel(name, scene, population, n_users=n_users, rng=rng, others=others, notes=notes)


def drift(at: int, *, name: str, n_users: int, rng: np.random.Generator, n_pool: int) -> Panel:
    """As `gaussian(6)`; after so many answers every taste turns into its opposite."""
    population, scene = gaussian_population(N_FEATURES, rng), gaussian_scene(N_FEATURES, n_pool, rng)
    return _panel(name, scene, population, n_users=n_users, rng=rng, flips_at=at)


def mean_reliability(population: Gaussian, differences: Array, loudness: Array) -> float:
    """Chance of a reply that goes the way of the taste, E σ(loudness · abs(margin)), over population and questions.

    Parameters
    ----------
    population
        Of coefficients.
    differences : (n_questions, n_features)
        First minus second.
    loudness : (n_questions,)
        What margins are multiplied by.

    Returns
    -------
    float
        In (½, 1); the mean over the population by a trapezoidal rule in each question's Gaussian margin.
    """
    return float(sigmoid(np.abs(_margins(population, differences)) * loudness[:, None]).mean(axis=0) @ _MASS)


def unlike_loudness(population: Gaussian, differences: Array) -> Callable[[Array], Array]:
    """What margins are multiplied by in `unlike_noise`: c exp(-‖δ‖ / 2r), r the pool's root mean square norm.

    c makes the mean reliability of replies over population and pool what it is at loudness 1.

    Parameters
    ----------
    population
        Of coefficients.
    differences : (n_questions, n_features)
        Of the pool.

    Returns
    -------
    callable
        From differences (…, n_features) to what their margins are multiplied by (…).
    """
    radius = np.sqrt(np.square(differences).sum(axis=1).mean())

    def decay(values: Array) -> Array:
        return np.asarray(np.exp(-np.linalg.norm(values, axis=-1) / (2 * radius)))

    aim, shape = mean_reliability(population, differences, np.ones(len(differences))), decay(differences)
    factor = brentq(lambda c: mean_reliability(population, differences, c * shape) - aim, 0.01, 100, xtol=1e-6)
    return lambda values: factor * decay(values)


WORLDS: Mapping[str, Generator] = MappingProxyType(
    {
        "gaussian": Generator(
            gaussian,
            "tastes from one Gaussian, pairs of unequal spread, logistic replies",
            (Parameter("d", N_FEATURES, 1, 128, whole=True),),
        ),
        "unlike_noise": Generator(unlike_noise, "gaussian(6), replies the noisier the less alike the two items are"),
        "equal_norm": Generator(
            equal_norm,
            "gaussian, every question's difference of norm one",
            (Parameter("d", N_FEATURES, 1, 128, whole=True),),
        ),
        "text_factors": Generator(
            text_factors,
            "six features of 64-dimensional encodings, 6,000 group answers",
            (Parameter("n_group_users", 300, 2, 6000, whole=True),),
        ),
        "agree": Generator(
            agree,
            "a common taste with chance p, otherwise one of two opposed ones",
            (Parameter("p", 0.5, 0, 1), Parameter("n_group_users", 300, 2, 6000, whole=True)),
        ),
        "encoded_text_factors": Generator(
            encoded_text_factors,
            "text_factors, prefq seeing the encodings: base rewards are to be learned",
            (
                Parameter("n_group_users", 300, 2, 6000, whole=True),
                Parameter("d", 6, 1, 64, whole=True),
                Parameter("n_answers", GROUP_TOTAL, 2, 1_000_000, whole=True),
            ),
        ),
        "encoded_agree": Generator(
            encoded_agree,
            "agree, prefq seeing the encodings: base rewards are to be learned",
            (Parameter("p", 0.5, 0, 1), Parameter("n_group_users", 300, 2, 6000, whole=True)),
        ),
        "raters": Generator(
            raters,
            "eight raters who share c of their taste; the group is the other seven",
            (Parameter("c", 0.6, 0, 1),),
        ),
        "attributes": Generator(attributes, "two-trait personas and learned features, tuned to PReF's published curve"),
        "encoded_attributes": Generator(
            encoded_attributes, "attributes, prefq seeing encodings: base rewards are to be learned"
        ),
        "clustered": Generator(clustered, "tastes around three centres"),
        "starter": Generator(
            starter,
            "the starter pool: tastes on its declared levels and a hidden dimension",
            (Parameter("rms_margin", 2, 0, 100), Parameter("hidden_share", 0.1, 0, 0.99)),
        ),
        "noisy": Generator(
            noisy,
            "gaussian(6) with lapses, ties and side bias",
            (
                Parameter("lapses", 0.1, 0, 0.9),
                Parameter("ties", 0.2, 0, 0.9),
                Parameter("bias", 0.3, -10, 10),
                Parameter("known", 0, 0, 1, whole=True),
            ),
        ),
        "no_signal": Generator(no_signal, "users and group throw a coin"),
        "outside_span": Generator(
            outside_span, "gaussian(6), part of the taste outside the features", (Parameter("share", 0.3, 0, 0.99),)
        ),
        "interactions": Generator(
            interactions,
            "gaussian(6), part of the taste in products of two features",
            (Parameter("share", 0.5, 0, 0.99),),
        ),
        "wrong_prior": Generator(wrong_prior, "gaussian(6), the group's mean taste has the wrong sign"),
        "drift": Generator(
            drift, "gaussian(6), tastes turn into their opposites", (Parameter("at", 15, 1, 1000, whole=True),)
        ),
    }
)


def world_name(text: str) -> str:
    """Name of a world in full: ``gaussian`` and ``gaussian:6`` are ``"gaussian(6)"``; errors as in `make_world`."""
    return read_world_name(text, WORLDS).name


def make_world(
    text: str,
    *,
    n_users: int,
    rng: np.random.Generator,
    n_pool: int = N_POOL,
    texts: Callable[[], StarterTexts] | None = None,
) -> Panel:
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
        Questions in the pool, at least 1; `starter` has its own.
    texts
        Loads what `starter` is made of; no other world needs it. Worlds themselves read no files.

    Returns
    -------
    Panel
        Named by the world's name in full.

    Raises
    ------
    NotFoundError
        When there is no such world; the message names those that exist.
    InputError
        When a parameter is unknown, not a number or out of range, a count is below 1, or `texts` is missing.
    """
    name, generator, values = read_world_name(text, WORLDS)
    for what, count in (("n_users", n_users), ("n_pool", n_pool)):
        if count < 1:
            raise InputError(f"{what} is {count}; give 1 or more.")
    if generator.generate is not starter:
        return generator.generate(**values, name=name, n_users=n_users, rng=rng, n_pool=n_pool)
    if texts is None:
        raise InputError("the world 'starter' needs the starter pool's texts; give a function that loads them.")
    return starter(**values, name=name, n_users=n_users, rng=rng, texts=texts())


def _panel(
    name: str,
    scene: Scene,
    population: Gaussian,
    *,
    n_users: int,
    rng: np.random.Generator,
    rule: ReplyRule = LOGISTIC,
    others: Gaussian | None = None,
    assumed: ResponseModel = LOGISTIC.model,
    notes: tuple[str, ...] = (),
    flips_at: int | None = None,
) -> Panel:
    """The panel of users of this population, and of a group that is drawn from it too, or from `others`."""
    group = _group(draw(others or population, GROUP_USERS, rng), scene, rng, rule=rule)
    return panel_of(
        name,
        scene,
        draw(population, n_users, rng),
        group,
        taste_sd=population.sd,
        rng=rng,
        rule=rule,
        assumed=assumed,
        true_prior=population,
        notes=notes,
        flips_at=flips_at,
    )


def _group(
    coefficients: Array,
    scene: Scene,
    rng: np.random.Generator,
    *,
    rule: ReplyRule = LOGISTIC,
    n_seen: int | None = None,
) -> GroupAnswers:
    counts = np.full(len(coefficients), min(GROUP_ANSWERS, len(scene.first)))
    return group_answers(coefficients, counts, scene, rule, n_seen or coefficients.shape[1], rng)


def _mean_square_margin(population: Gaussian, differences: Array) -> float:
    """Over population and questions, in squared logits."""
    second_moment = population.covariance + np.outer(population.mean, population.mean)
    return float(((differences @ second_moment) * differences).sum(axis=1).mean())


def _dimmed(population: Gaussian, share: float) -> Gaussian:
    """The population with this share of its mean square margin."""
    return Gaussian(np.sqrt(share) * population.mean, share * population.covariance)


def _silence(differences: Array) -> Array:
    return np.zeros(differences.shape[:-1])


def _model_with_ties(population: Gaussian, differences: Array, ties: float, model: ResponseModel) -> ResponseModel:
    """The model with the threshold at which this share of replies, lapses included, are ties."""
    if ties == 0:
        return model
    margins = _margins(population, differences)

    def surplus(threshold: float) -> float:
        tried = replace(model, tie_threshold=threshold)
        return float(reply_probabilities(margins, tried)[..., 1].mean(axis=0) @ _MASS) - ties

    if surplus(1e-9) > 0:
        raise InputError(
            f"a share of {ties:g} ties is below what {model.lapse_rate:g} lapses bring alone, a third of them; "
            "ask for more ties, for none, or for fewer lapses."
        )
    return replace(model, tie_threshold=float(brentq(surplus, 1e-9, 50, xtol=1e-6)))


def _margins(population: Gaussian, differences: Array) -> Array:
    """Quantiles of each question's margin over the population (n_questions, n_quantiles)."""
    sd = np.sqrt(np.maximum(((differences @ population.covariance) * differences).sum(axis=1), 0))
    return np.asarray((differences @ population.mean)[:, None] + sd[:, None] * _QUANTILES)
