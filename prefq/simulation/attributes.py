"""The worlds `attributes` and `encoded_attributes`: personas of two traits, judged with noise, read with error.

A stand-in for the "Attributes" data of PReF (arXiv 2503.06358), which are not public: seven traits of two poles, the
84 personas that want two of the 14 in different traits, a judge that leans a little by itself, and features learned
from the answers of other personas. What is not published is tuned until the released recipe gives the published curve
(docs/decisions/0014), never to any curve of ours.
"""

from dataclasses import dataclass, fields
from itertools import combinations, product

import numpy as np

from prefq.errors import InputError
from prefq.simulation.panels import Candidates, GroupAnswers, Outcomes, Panel
from prefq.simulation.scenes import ENCODINGS, replies
from prefq.vocabulary import Array

TRAITS = ("length", "formality", "humour", "elicitation", "politeness", "enthusiasm", "confidence")
N_TRAINING_PERSONAS = 42  # half of the 84: the share of users that the released settings name for training
N_TRAINING_PAIRS = 2000  # answered by all training personas; the features are learned from them
N_TESTS = 100  # pairs, as in the released settings
N_ENCODING = 64  # dimensions of `encoded_attributes`
N_PROMPTS, N_CANDIDATES = 60, 16
GROUP_ANSWERS = 100  # of each training persona to questions of the pool, to fit a prior on
NOTES = (
    "Tuned until PReF's released recipe gives its published curve: the world is made for that recipe, not for ours.",
)


@dataclass(frozen=True, slots=True)
class AttributesSettings:
    """What is not published about the data, and is tuned.

    Parameters
    ----------
    strength
        How strongly a persona's two traits move the judge, in logits for a difference of one unit of a trait.
    lean
        The judge's own taste over the seven traits, the same for all personas of a world: the standard deviation that
        it alone gives to pairs' margins, in units of `strength`.
    trait_decay
        Standard deviation of the responses in the least varied trait, the most varied having 1.
    spread_shape
        Shape of the Gamma distribution of mean one of the pairs' squared spread: the smaller, the more pairs hardly
        differ.
    reading_error
        Standard deviation of the error with which the features read each trait of a response, in units of that
        trait's own.
    n_features
        How many factors of the answers are learned.
    feature_scale
        Root mean square norm of the pairs' feature differences. It matters to recipes whose regularisation depends on
        the features' unit, as the released one's does.
    """

    strength: float = 9.0  # a judge that seldom errs on pairs that differ: the level of the whole curve
    lean: float = 0.43  # the one shared reward, AUC .643
    trait_decay: float = 0.4  # how much five factors leave out, so how high the curve ends
    spread_shape: float = 1.2  # how much there is to choose from, so how far random questions stay behind
    reading_error: float = 0.3  # the end of the curve
    n_features: int = 5  # as in the released settings
    feature_scale: float = 0.65  # how soon 5,000 steps stop: random questions at 20 and 40

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0) or (value == 0 and name not in ("lean", "reading_error")):
                raise InputError(f"{name} is {value}; give a positive number.")
        if not 1 <= self.n_features <= len(TRAITS):
            raise InputError(f"n_features is {self.n_features}; there are 1 to {len(TRAITS)} factors to learn.")


TUNED = AttributesSettings()
TUNED_ENCODED = AttributesSettings(strength=7.0)  # heads learned by likelihood are better than `learned_features`


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """How responses differ in a world, and who judges them.

    Parameters
    ----------
    sds : (n_traits,)
        Standard deviations of the responses' traits, times the root of two.
    lean : (n_traits,)
        What the judge wishes for whoever asks.
    settings
        What is tuned.
    """

    sds: Array
    lean: Array
    settings: AttributesSettings

    @classmethod
    def drawn(cls, settings: AttributesSettings, rng: np.random.Generator) -> "Judge":
        """Which traits vary most, and where the judge leans."""
        sds = rng.permutation(np.geomspace(1, settings.trait_decay, len(TRAITS)))
        lean = rng.normal(size=len(TRAITS))
        lean *= settings.lean / np.linalg.norm(lean * sds)
        return cls(sds, lean, settings)

    def pairs(self, n: int, rng: np.random.Generator) -> Array:
        """Traits of both responses of each pair (2, n, n_traits)."""
        spread = np.sqrt(rng.gamma(self.settings.spread_shape, 1 / self.settings.spread_shape, size=n))
        return np.asarray(rng.normal(size=(2, n, len(TRAITS))) * self.sds * spread[:, None] / np.sqrt(2))

    def read(self, traits: Array, rng: np.random.Generator) -> Array:
        """Traits (…, n_traits) with the error of reading."""
        return np.asarray(traits + rng.normal(size=traits.shape) * self.sds * self.settings.reading_error / np.sqrt(2))

    def margins(self, wishes: Array, both: Array) -> Array:
        """In logits (n_personas, n_pairs)."""
        return np.asarray(self.settings.strength * (wishes + self.lean) @ (both[0] - both[1]).T)


def personas() -> Array:
    """The personas as wishes (84, 7): +1 or -1 in the two traits that each cares about, 0 elsewhere."""
    wishes = []
    for one, other in combinations(range(len(TRAITS)), 2):
        for poles in product((1.0, -1.0), repeat=2):
            wish = np.zeros(len(TRAITS))
            wish[[one, other]] = poles
            wishes.append(wish)
    return np.array(wishes)


def split_personas(rng: np.random.Generator) -> tuple[Array, Array]:
    """Personas that features and prior are learned from (42, 7), and those held out to be users (42, 7)."""
    order = rng.permutation(personas())
    return order[:N_TRAINING_PERSONAS], order[N_TRAINING_PERSONAS:]


def attributes(
    *,
    n_users: int,
    rng: np.random.Generator,
    n_pool: int,
    name: str = "attributes",
    settings: AttributesSettings = TUNED,
) -> Panel:
    """Personas with two traits each, and reward features learned from other personas' answers.

    Parameters
    ----------
    n_users
        Users to measure on. Half of the personas are held out and become users in random order; beyond 42 users they
        come round again, with replies of their own.
    rng
        Draws everything.
    n_pool
        Questions in the pool; the tuning holds for 2,000.
    name
        Of the panel.
    settings
        What is tuned.
    """
    training, held_out = split_personas(rng)
    users = np.resize(held_out, (n_users, len(TRAITS)))
    judge = Judge.drawn(settings, rng)

    trained = judge.pairs(N_TRAINING_PAIRS, rng)
    read_trained = judge.read(trained, rng)
    answers = replies(judge.margins(training, trained), rng)
    loadings = learned_features(read_trained[0] - read_trained[1], answers, settings)

    pool, tests = judge.pairs(n_pool, rng), judge.pairs(N_TESTS, rng)
    first, second = judge.read(pool, rng) @ loadings
    test_first, test_second = judge.read(tests, rng) @ loadings
    asked = np.argsort(rng.random((len(training), n_pool)), axis=1)[:, :GROUP_ANSWERS]
    group = GroupAnswers(
        (first - second)[asked].reshape(-1, settings.n_features),
        replies(np.take_along_axis(judge.margins(training, pool), asked, axis=1), rng).ravel(),
        np.repeat(np.arange(len(training)), asked.shape[1]),
    )
    candidates = rng.normal(size=(N_PROMPTS, N_CANDIDATES, len(TRAITS))) * judge.sds / np.sqrt(2)
    pool_margins = judge.margins(users, pool)
    return Panel(
        name,
        first[None],
        second[None],
        np.ones((n_users, n_pool), dtype=bool),
        replies(pool_margins, rng),
        test_first[None],
        test_second[None],
        (replies(judge.margins(users, tests), rng) > 0).astype(np.float64),
        group,
        candidates=Candidates(
            (judge.read(candidates, rng) @ loadings)[None],
            settings.strength * np.einsum("pcd,ud->upc", candidates, users + judge.lean),
        ),
        margins=pool_margins,
        notes=NOTES,
    )


def encoded_attributes(
    *,
    n_users: int,
    rng: np.random.Generator,
    n_pool: int,
    name: str = "encoded_attributes",
    settings: AttributesSettings = TUNED_ENCODED,
) -> Panel:
    """As `attributes`, but prefq sees encodings: traits as read, and what nobody cares about, turned.

    The group are the training personas, each with a reply to every question of the pool; base rewards and prior are
    learned from these. Tuned anew, so that the released recipe gives the published curve on five base rewards that PReF
    learns here. `feature_scale` and `n_features` of the settings are not used.

    Parameters
    ----------
    n_users, rng, n_pool, name, settings
        As in `attributes`.
    """
    training, held_out = split_personas(rng)
    users = np.resize(held_out, (n_users, len(TRAITS)))
    judge = Judge.drawn(settings, rng)
    turn, _ = np.linalg.qr(rng.normal(size=(N_ENCODING, N_ENCODING)))
    idle_sds = np.geomspace(1, settings.trait_decay, N_ENCODING - len(TRAITS)) / np.sqrt(2)

    def encode(traits: Array) -> Array:
        idle = rng.normal(size=(*traits.shape[:-1], idle_sds.size)) * idle_sds
        return np.asarray(np.concatenate([judge.read(traits, rng), idle], axis=-1) @ turn)

    pool, tests = judge.pairs(n_pool, rng), judge.pairs(N_TESTS, rng)
    (first, second), (test_first, test_second) = encode(pool), encode(tests)
    group = GroupAnswers(
        np.tile(first - second, (len(training), 1)),
        replies(judge.margins(training, pool), rng).ravel(),
        np.repeat(np.arange(len(training)), n_pool),
    )
    candidates = rng.normal(size=(N_PROMPTS, N_CANDIDATES, len(TRAITS))) * judge.sds / np.sqrt(2)
    pool_margins = judge.margins(users, pool)
    return Panel(
        name,
        first[None],
        second[None],
        np.ones((n_users, n_pool), dtype=bool),
        replies(pool_margins, rng),
        test_first[None],
        test_second[None],
        (replies(judge.margins(users, tests), rng) > 0).astype(np.float64),
        group,
        candidates=Candidates(
            encode(candidates)[None], settings.strength * np.einsum("pcd,ud->upc", candidates, users + judge.lean)
        ),
        margins=pool_margins,
        notes=(*NOTES, ENCODINGS),
        true_heads=turn[: len(TRAITS)].T.copy(),
    )


def learned_features(differences: Array, answers: Outcomes, settings: AttributesSettings) -> Array:
    """Loadings (n_traits, n_features) that make reward features of traits as they were read.

    As PReF starts (section 4 and the released settings): factors of the answers' matrix by singular value
    decomposition, pairs scaled by the roots of the singular values, and a regression of these on what is read. The
    likelihood steps that follow there are left out; `feature_scale` stands for what they do to the features' size.

    Parameters
    ----------
    differences : (n_pairs, n_traits)
        First minus second, as read.
    answers : (n_users, n_pairs)
        +1 or -1.
    settings
        Number and scale of the features.
    """
    _, values, factors = np.linalg.svd(answers / 2, full_matrices=False)
    kept = slice(0, settings.n_features)
    loadings, *_ = np.linalg.lstsq(differences, factors[kept].T * np.sqrt(values[kept]), rcond=None)
    size = np.sqrt(np.square(differences @ loadings).sum(axis=1).mean())
    return np.asarray(loadings * settings.feature_scale / size)
