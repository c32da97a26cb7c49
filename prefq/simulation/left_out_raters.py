"""Leave one rater out: of several columns of scores each is a rater once, and the others are what is known before.

The experiment of RFM with reward models as raters (arXiv 2503.17338), from any table of scores, with active questions
beside random ones and the raters' average beside both. Where features come from is handed in.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from prefq.errors import InputError
from prefq.rewards.group import GroupComparisons, Rows
from prefq.rewards.score_tables import ScoreTable
from prefq.rewards.scores import score_rewards
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import learning_curve
from prefq.simulation.learned_worlds import DIFFERENCE_SD, N_ENCODING, N_FEATURES, N_RATERS
from prefq.simulation.panels import Start
from prefq.simulation.scenes import draw, gaussian_population
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import OURS, Strategy
from prefq.simulation.text_raters import SURE, rater_scene
from prefq.vocabulary import Array, Gaussian

LEAST_RATERS = 3  # one left out, and two to know how raters differ
POOLED = "pooled"

FeaturesOf = Callable[[GroupComparisons, Rows, np.random.Generator], tuple[Array, Start | None]]
"""What prefq sees of the items (n_items, n_features), from the training raters' answers and their columns.

And where a new rater starts, if whoever makes the features knows; otherwise it is fitted on the same answers."""

OnStep = Callable[[str], None]


class LeftOutSizes(NamedTuple):
    """How much is asked: splits of the prompts, visits to the rater in each, answers of each training rater, and so on.

    strength is the root mean square margin of a rater in logits, or `SURE`: then answers go with the scores always.
    """

    n_splits: int = 4
    n_repeats: int = 4
    n_answers: int = 300
    n_questions: int = 30
    n_pool: int = 600
    n_tests: int = 300
    strength: float = SURE


USUAL = LeftOutSizes()


class LeftOutRater(NamedTuple):
    """How well a rater was met who was left out.

    accuracy and log_loss have for each strategy an array (n_splits, n_questions + 1): after 0, 1, … answers, the mean
    over the visits; log loss in nats a task.
    """

    name: str
    accuracy: dict[str, Array]
    log_loss: dict[str, Array]


def sharing_raters(c: float, *, n_prompts: int, n_responses: int, rng: np.random.Generator) -> tuple[ScoreTable, Array]:
    """A table of eight raters who share c of their taste's variance, and the encodings (n_items, 64) it is made of.

    Tastes are those of the world `raters(c)`, over six features of encodings as there (docs/maths/worlds.md); a score
    is a taste's utility, without noise.
    """
    population = gaussian_population(N_FEATURES, rng)
    common = draw(Gaussian(np.zeros(N_FEATURES), c * population.covariance), 1, rng)[0]
    tastes = draw(Gaussian(common, (1 - c) * population.covariance), N_RATERS, rng)
    factors = rng.normal(size=(N_ENCODING, N_FEATURES)) / np.sqrt(N_ENCODING)
    n_items = n_prompts * n_responses
    encodings = np.asarray(DIFFERENCE_SD / np.sqrt(2) * rng.normal(size=(n_items, N_ENCODING)))
    prompts = tuple(f"p{item // n_responses}" for item in range(n_items))
    responses, names = tuple(f"r{item}" for item in range(n_items)), tuple(f"rater {i + 1}" for i in range(N_RATERS))
    return ScoreTable(prompts, responses, names, encodings @ factors @ tastes.T), encodings


def strategies_to_compare() -> tuple[Strategy, ...]:
    """Chosen questions, random ones, and the average of the training raters."""
    wanted = ("information_gain", "random", POOLED)
    return tuple(strategy for strategy in (*OURS, *CONTROLS) if strategy.name in wanted)


def other_columns(table: ScoreTable) -> FeaturesOf:
    """Features are the training raters' own scores, in standard units: no text is read."""

    def features(group: GroupComparisons, training: Rows, rng: np.random.Generator) -> tuple[Array, None]:
        names = tuple(table.names[column] for column in training)
        seen = ScoreTable(table.prompts, table.responses, names, table.scores[:, training])
        return score_rewards(seen)[0].of_table(seen), None

    return features


def given_features(features: Array) -> FeaturesOf:
    """Features (n_items, n_features) are these, whoever is left out."""
    return lambda group, training, rng: (features, None)


def leave_one_rater_out(
    table: ScoreTable,
    features_of: FeaturesOf,
    *,
    rng: np.random.Generator,
    sizes: LeftOutSizes = USUAL,
    strategies: Sequence[Strategy] | None = None,
    on_step: OnStep | None = None,
) -> tuple[LeftOutRater, ...]:
    """Meet every rater as if for the first time, the others having come before.

    In each split of the prompts the training raters answer pairs of one part; features and prior come from these
    answers alone. The rater who was left out is then asked about pairs of the same part, half of them open at each
    visit, and tested on pairs of the other prompts.

    Parameters
    ----------
    table
        One column a rater.
    features_of
        `other_columns`, `given_features`, or a method that learns them.
    rng
        Draws everything.
    sizes
        How much is asked.
    strategies
        By default `strategies_to_compare`.
    on_step
        Told in a few words, again and again, what is being done; may raise to end it.

    Returns
    -------
    tuple of LeftOutRater
        One a column, in their order.

    Raises
    ------
    InputError
        When there are fewer than three columns or than two prompts with two responses.
    """
    n_raters = len(table.names)
    if n_raters < LEAST_RATERS:
        raise InputError(f"there are {n_raters} columns of scores; give at least {LEAST_RATERS}, one to leave out.")
    compared = strategies_to_compare() if strategies is None else tuple(strategies)
    found = []
    for rater, own_rng in zip(range(n_raters), rng.spawn(n_raters), strict=True):
        splits = []
        for split, split_rng in enumerate(own_rng.spawn(sizes.n_splits), 1):
            if on_step is not None:
                on_step(f"without {table.names[rater]}, split {split} of {sizes.n_splits}")
            splits.append(_one_split(table, rater, features_of, sizes, compared, split_rng))
        accuracy, log_loss = (
            {each.name: np.stack([split[each.name][which] for split in splits]) for each in compared}
            for which in range(2)
        )
        found.append(LeftOutRater(table.names[rater], accuracy, log_loss))
    return tuple(found)


def gain_over_pooled(raters: Sequence[LeftOutRater], strategy: str, n_answers: int) -> tuple[float, float]:
    """Points of accuracy that a strategy gains on the training raters' average, and their standard error.

    The gain is the mean over raters and splits. The error is that over raters, who differ more than splits of prompts
    do; NaN for one rater.
    """
    gains = [100 * (rater.accuracy[strategy] - rater.accuracy[POOLED])[:, n_answers].mean() for rater in raters]
    error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.nan
    return float(np.mean(gains)), float(error)


def _one_split(
    table: ScoreTable,
    rater: int,
    features_of: FeaturesOf,
    sizes: LeftOutSizes,
    strategies: Sequence[Strategy],
    rng: np.random.Generator,
) -> dict[str, tuple[Array, Array]]:
    """Accuracy and log loss (n_questions + 1,) of each strategy, the mean over the visits."""
    scene_rng, feature_rng, strategy_rng = rng.spawn(3)
    training = np.delete(np.arange(len(table.names)), rater)
    scene = rater_scene(
        table.scores,
        table.prompt_codes,
        training=training,
        users=np.full(sizes.n_repeats, rater),
        n_answers=sizes.n_answers,
        n_pool=sizes.n_pool,
        n_tests=sizes.n_tests,
        strength=sizes.strength,
        open_share=0.5,
        rng=scene_rng,
    )
    features, known = features_of(scene.group, training, feature_rng)
    panel = scene.panel(f"without {table.names[rater]}", features)
    start, met = known or fitted_start(panel), {}
    for strategy, own_rng in zip(strategies, strategy_rng.spawn(len(strategies)), strict=True):
        measures = learning_curve(strategy, panel, start, n_questions=sizes.n_questions, rng=own_rng).measures
        met[strategy.name] = measures["accuracy"].mean(axis=0), measures["log_loss"].mean(axis=0)
    return met
