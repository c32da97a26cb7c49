"""Worlds: where simulated users come from, and what prefq sees of the items they judge.

A world has two pools of the same questions: the one prefq sees, with measured features, and the truth, with the
features that the users' coefficients really weigh.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.pool.candidate_pool import CandidatePool
from prefq.simulation.panels import Panel, Stated
from prefq.simulation.scenes import GROUP_ANSWERS, GROUP_USERS, LOGISTIC, Scene, group_answers, panel_of
from prefq.simulation.users import SimulatedUser
from prefq.vocabulary import (
    Array,
    FeatureSpace,
    ResponseModel,
    real_array,
    real_number,
    rebuilt,
    require_instance,
    shown,
)

N_TEST_PROMPTS = 14  # of the pool's prompts: all their questions are test tasks, and none is asked


class StarterTexts(NamedTuple):
    """What the world `starter` is made of: the starter pool, and the levels (n_items, n_axes) that it declares."""

    pool: CandidatePool
    levels: Array


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A population of users over a pool.

    Parameters
    ----------
    seen
        The pool as prefq sees it.
    truth
        The same questions with the features that users weigh.
    coefficient_sds : (n_true_features,)
        Standard deviation of each coefficient over the population, about a mean of zero.
    response_model
        How the users reply.

    Raises
    ------
    InputError
        When a part is of another type, the pools ask different questions, or there is not one standard deviation of
        0 or more for each feature of the truth.
    """

    seen: CandidatePool
    truth: CandidatePool
    coefficient_sds: Array
    response_model: ResponseModel

    if TYPE_CHECKING:  # what the constructor accepts

        def __init__(
            self,
            seen: CandidatePool,
            truth: CandidatePool,
            coefficient_sds: ArrayLike,
            response_model: ResponseModel,
        ) -> None: ...

    def __post_init__(self) -> None:
        require_instance(self.seen, CandidatePool, "seen")
        require_instance(self.truth, CandidatePool, "truth")
        require_instance(self.response_model, ResponseModel, "response_model")
        if not np.array_equal(self.seen.pairs, self.truth.pairs):
            raise InputError("the pools seen and truth have different pairs; they must ask the same questions.")
        sds = real_array(self.coefficient_sds, "coefficient_sds", ndim=1)
        if sds.size != self.truth.n_features or (sds < 0).any():
            raise InputError(
                f"coefficient_sds are {shown(sds.tolist())}; "
                f"give a number of 0 or more for each of the {self.truth.n_features} features of the truth."
            )
        object.__setattr__(self, "coefficient_sds", sds)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)

    def draw_coefficients(self, n_users: int, *, rng: np.random.Generator) -> Array:
        """Coefficients (n_users, n_true_features) of users of the population."""
        return rng.normal(scale=self.coefficient_sds, size=(n_users, self.coefficient_sds.size))

    def draw_user(self, *, rng: np.random.Generator) -> SimulatedUser:
        """One user of the population."""
        return SimulatedUser(rng.normal(scale=self.coefficient_sds), response_model=self.response_model)


def declared_levels_world(
    pool: CandidatePool,
    levels: ArrayLike,
    *,
    rms_margin: float,
    hidden_share: float,
    rng: np.random.Generator,
    response_model: ResponseModel | None = None,
) -> World:
    """The world `starter`: tastes live on declared levels, plus one dimension that nobody wrote down.

    Parameters
    ----------
    pool
        What prefq sees, with measured features.
    levels : (n_items, n_axes)
        What each response was written to be.
    rms_margin
        Root mean square of the true margins over pool and population, in logits.
    hidden_share
        Share of the mean square margin that comes from the dimension nobody wrote down, in [0, 1).
    rng
        Draws the hidden dimension.
    response_model
        Default: plain Bradley-Terry.

    Returns
    -------
    World
        Every axis has the same standard deviation in the population.

    Raises
    ------
    InputError
        When there is not one row of levels an item, or the share is outside [0, 1).
    """
    declared = real_array(levels, "levels", ndim=2)
    if len(declared) != pool.n_items:
        raise InputError(f"levels have shape {declared.shape}; give one row for each of the {pool.n_items} items.")
    rms_margin, hidden_share = real_number(rms_margin, "rms_margin"), real_number(hidden_share, "hidden_share")
    if not 0 <= hidden_share < 1:
        raise InputError(f"hidden_share is {hidden_share}; give a share from 0 to below 1.")
    features = np.column_stack([declared, rng.normal(size=pool.n_items)])
    n_axes = declared.shape[1]
    names = [*(f"axis{i}" for i in range(n_axes)), "hidden"]
    truth = replace(pool, features=features, feature_space=FeatureSpace(names), prior=None)
    mean_squares = truth.feature_scales() ** 2
    shares = np.append(np.full(n_axes, (1 - hidden_share) / mean_squares[:-1].sum()), hidden_share / mean_squares[-1])
    model = ResponseModel() if response_model is None else response_model
    return World(pool, truth, rms_margin * np.sqrt(shares), model)


def starter(
    rms_margin: float,
    hidden_share: float,
    *,
    name: str,
    n_users: int,
    rng: np.random.Generator,
    texts: StarterTexts,
) -> Panel:
    """The world `starter` as a panel: the questions of 14 prompts are test tasks, those of the others can be asked.

    Parameters
    ----------
    rms_margin, hidden_share
        As in `declared_levels_world`.
    name
        Of the panel.
    n_users
        Users to measure on.
    rng
        Draws everything.
    texts
        The pool, in which every question belongs to a prompt with as many responses as each other, and its levels.

    Returns
    -------
    Panel
        prefq sees the measured features; stated preferences are about the declared axes that these measure.
    """
    pool, levels = texts
    world = declared_levels_world(pool, levels, rms_margin=rms_margin, hidden_share=hidden_share, rng=rng)
    n_seen, n_axes = pool.n_features, levels.shape[1]
    if pool.prompt_codes is None or n_seen != n_axes:
        raise InputError("the world 'starter' needs a pool with prompts, and one declared axis for each feature.")
    prompts = rng.permutation(np.unique(pool.prompt_codes))[:N_TEST_PROMPTS]
    held_out = np.isin(pool.prompt_codes[pool.pairs[:, 0]], prompts)
    turned = rng.random(len(pool.pairs)) < 0.5  # which side is shown first tells nothing
    pairs = np.where(turned[:, None], pool.pairs[:, ::-1], pool.pairs)
    # What is measured comes first and weighs nothing; what is weighed comes after it and is not seen.
    items = np.column_stack([pool.features, world.truth.features])
    candidates = np.stack([items[pool.prompt_codes == prompt] for prompt in prompts])
    (first, second), (test_first, test_second) = items[pairs[~held_out].T], items[pairs[held_out].T]
    scene = Scene(first, second, test_first, test_second, candidates)

    def tastes(n: int) -> Array:
        weights = world.draw_coefficients(n, rng=rng)
        return np.column_stack([np.zeros((n, n_seen)), weights])

    counts = np.full(GROUP_USERS, min(GROUP_ANSWERS, len(scene.first)))
    group = group_answers(tastes(GROUP_USERS), counts, scene, LOGISTIC, n_seen, rng)
    coefficients = tastes(n_users)
    sd = world.coefficient_sds[:n_axes]
    panel = panel_of(name, scene, coefficients, group, taste_sd=sd, rng=rng)
    assert panel.stated is not None
    # The readings so far are noise about zero, for the measured features weigh nothing.
    stated = Stated(panel.stated.readings + coefficients[:, n_seen : n_seen + n_axes], panel.stated.sd)
    notes = (
        "The group's prior is fitted on measured features; tastes live on declared levels and a hidden dimension.",
    )
    return replace(panel, stated=stated, words=_words(pool)[~held_out][None].astype(np.float64), notes=notes)


def _words(pool: CandidatePool) -> Array:
    """Words that each question makes a person read, prompt and both responses (n_questions,)."""

    def counts(texts: tuple[str, ...] | None) -> Array:
        return np.array([len(text.split()) for text in texts] if texts else [0] * pool.n_items, dtype=np.float64)

    return np.asarray(counts(pool.responses)[pool.pairs].sum(axis=1) + counts(pool.prompts)[pool.pairs[:, 0]])
