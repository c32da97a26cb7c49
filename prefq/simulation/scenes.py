"""What the synthetic worlds share: items to ask about, tastes, replies, groups, and a panel of them all.

Which worlds there are is in `synthetic`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.likelihood import reply_probabilities, sigmoid
from prefq.simulation.panels import Candidates, GroupAnswers, Outcomes, Panel, Stated
from prefq.vocabulary import Array, Coefficients, Gaussian, ResponseModel

N_TESTS = 600
N_PROMPTS, N_CANDIDATES = 60, 16
GROUP_USERS, GROUP_ANSWERS = 500, 30
STATED_RELIABILITY = 0.6  # correlation of what people state with what they choose by, over the population
TASTE_SCALE = 2.2  # logits a unit of each feature at six features

ENCODINGS = (
    "Features are encodings of texts. Strategies that learn no base rewards start from the pooled regression and one "
    "spread for all dimensions."
)


class Scene(NamedTuple):
    """Items of a world, with every feature that tastes weigh.

    first, second (n_pool, n_features): the pool's questions; test_first, test_second (n_tests, n_features): test
    tasks, made of other items; candidates (n_prompts, n_candidates, n_features): answers to choose the best of.
    """

    first: Array
    second: Array
    test_first: Array
    test_second: Array
    candidates: Array

    @property
    def differences(self) -> Array:
        """First minus second of each question (n_pool, n_features)."""
        return self.first - self.second


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """How margins become replies.

    Parameters
    ----------
    model
        Ties, side bias and lapses.
    loudness
        From differences (…, n_features) what their margins are multiplied by (…); by default 1 everywhere.
    """

    model: ResponseModel = field(default_factory=ResponseModel)
    loudness: Callable[[Array], Array] | None = None

    def felt(self, margins: Array, differences: Array) -> Array:
        """Margins (n_users, n) as they decide replies to differences, (n, d) or (n_users, n, d)."""
        return margins if self.loudness is None else margins * self.loudness(differences)

    def draw(self, felt: Array, rng: np.random.Generator) -> Outcomes:
        """Replies to felt margins of any shape, from one random number each."""
        thrown, model = rng.random(felt.shape), self.model
        if model == ResponseModel():  # the same, quicker
            return np.where(thrown < sigmoid(felt), 1, -1).astype(np.int8)
        chances = np.cumsum(reply_probabilities(felt, model), axis=-1)
        places = (thrown[..., None] >= chances[..., :-1]).sum(axis=-1)
        return np.asarray(np.array(model.outcomes, dtype=np.int8)[places])


LOGISTIC = ReplyRule()


def draw(population: Gaussian, n_users: int, rng: np.random.Generator) -> Array:
    """Coefficients (n_users, n_features) of users of this population."""
    return rng.multivariate_normal(population.mean, population.covariance, size=n_users, method="eigh")


def replies(margins: Array, rng: np.random.Generator) -> Outcomes:
    """Logistic replies to margins of any shape: +1 or -1."""
    return LOGISTIC.draw(margins, rng)


def gaussian_population(n_features: int, rng: np.random.Generator) -> Gaussian:
    """Where tastes come from in `gaussian(d)`: a mean off zero, and spread that differs by direction."""
    rotation, _ = np.linalg.qr(rng.normal(size=(n_features, n_features)))
    scale = TASTE_SCALE / np.sqrt(n_features / 6)
    covariance = rotation @ np.diag(np.geomspace(1, 0.15, n_features)) @ rotation.T * scale**2 / 1.3
    mean = rotation[:, 0] * 0.8 + (rotation[:, 1] * 0.4 if n_features > 1 else 0)
    return Gaussian(mean * scale / 1.3, covariance)


def gaussian_scene(n_features: int, n_pool: int, rng: np.random.Generator, *, n_hidden: int = 0) -> Scene:
    """Items of `gaussian(d)`: N(0, I) mixed by A = I + .6 G/√d over √2; a pair's items are scaled by √Gamma(2, ½).

    Hidden features come last, unmixed, and so say nothing about the others.
    """
    mixing = np.eye(n_features + n_hidden)
    mixing[:n_features, :n_features] += 0.6 * rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)

    def items(*shape: int) -> Array:
        return np.asarray(rng.normal(size=(*shape, len(mixing))) @ mixing / np.sqrt(2))

    first, second = items(2, n_pool) * np.sqrt(rng.gamma(2, 0.5, size=n_pool))[:, None]
    test_first, test_second = items(2, N_TESTS)
    return Scene(first, second, test_first, test_second, items(N_PROMPTS, N_CANDIDATES))


def group_answers(
    coefficients: Array,
    n_answers: NDArray[np.intp],
    scene: Scene,
    rule: ReplyRule,
    n_seen: int,
    rng: np.random.Generator,
) -> GroupAnswers:
    """Replies of other people to questions of the pool, drawn at random for each.

    Parameters
    ----------
    coefficients : (n_users, n_features)
        Of the group.
    n_answers : (n_users,)
        How many questions each answers; a question comes twice only where one answers more than there are.
    scene, rule
        What is asked and how it is replied to.
    n_seen
        Features that prefq sees: the first ones.
    rng
        Draws questions and replies.
    """
    differences, n_pool = scene.differences, len(scene.first)
    most = int(n_answers.max())
    rounds = [np.argsort(rng.random((len(coefficients), n_pool)), axis=1)[:, :most] for _ in range(-(-most // n_pool))]
    wanted = np.arange(most) < n_answers[:, None]
    rows = np.concatenate(rounds, axis=1)[:, :most][wanted]
    users = np.repeat(np.arange(len(coefficients)), n_answers)
    asked = differences[rows]
    margins = (asked * coefficients[users]).sum(axis=1)
    outcomes = rule.draw(rule.felt(margins, asked), rng)
    return GroupAnswers(asked[:, :n_seen], outcomes, users, scene.first[rows, :n_seen])


def panel_of(
    name: str,
    scene: Scene,
    coefficients: Array,
    group: GroupAnswers,
    *,
    taste_sd: Array,
    rng: np.random.Generator,
    rule: ReplyRule = LOGISTIC,
    assumed: ResponseModel = LOGISTIC.model,
    true_prior: Coefficients | None = None,
    notes: tuple[str, ...] = (),
    flips_at: int | None = None,
) -> Panel:
    """The panel of users with these coefficients in this scene.

    Parameters
    ----------
    name
        Of the panel.
    scene
        Every feature that tastes weigh; prefq sees as many as the group's differences have, the first ones.
    coefficients : (n_users, n_features)
        Of the users to measure on.
    group
        Answers of other people.
    taste_sd : (n_features,)
        Spread of tastes that stated preferences are read against.
    rng
        Draws replies and readings.
    rule
        How margins become replies; by default logistic.
    assumed
        How prefq assumes that they do.
    true_prior, notes, flips_at
        As in `Panel`.

    Returns
    -------
    Panel
        Its `test_truth` is the probability of preferring the first at the margin as felt, without ties, side bias
        and lapses; `margins` are as felt; utilities are noiseless.
    """
    n_seen = group.differences.shape[1]
    tests = scene.test_first - scene.test_second
    margins = rule.felt(coefficients @ scene.differences.T, scene.differences)
    # A reading is the coefficient plus noise of which the correlation over the population is as wanted.
    sd = taste_sd[:n_seen] * np.sqrt(1 / STATED_RELIABILITY**2 - 1)
    return Panel(
        name,
        scene.first[None, :, :n_seen],
        scene.second[None, :, :n_seen],
        np.ones(margins.shape, dtype=bool),
        rule.draw(margins, rng),
        scene.test_first[None, :, :n_seen],
        scene.test_second[None, :, :n_seen],
        sigmoid(rule.felt(coefficients @ tests.T, tests)),
        group,
        assumed,
        Candidates(scene.candidates[None, ..., :n_seen], np.einsum("pcd,ud->upc", scene.candidates, coefficients)),
        margins,
        Stated(coefficients[:, :n_seen] + rng.normal(size=(len(coefficients), n_seen)) * sd, sd),
        flips_at=flips_at,
        true_prior=true_prior,
        notes=notes,
    )
