"""Raters of texts that exist: what each says about every pair, who of them is trained on, and a panel of the others.

A rater has a utility for each text: a weighing of attributes of the texts, or a score that a reward model gave it. How
the features that prefq sees come about, and what follows from them, is not decided here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.likelihood import sigmoid
from prefq.rewards.group import GroupComparisons, Rows
from prefq.rewards.score_tables import moments_within, pairs_within
from prefq.simulation.panels import GroupAnswers, Outcomes, Panel
from prefq.vocabulary import Array, ResponseModel

HELD_OUT_SHARE = 0.4  # of the prompts, whose pairs are test tasks
SURE = float("inf")  # strength of raters who always go with their taste


@dataclass(frozen=True, slots=True, eq=False)
class RaterScene:
    """Raters and pairs of texts, before anything is known of features.

    Parameters
    ----------
    group
        Answers of the training raters, to pairs of the prompts that may be asked about.
    pool : (n_questions, 2)
        Items of the questions that new raters can be asked; of the same prompts.
    tests : (n_tests, 2)
        Items of the test tasks, of the other prompts.
    open : (n_users, n_questions) bool
        Which questions each new rater can be asked.
    outcomes : (n_users, n_questions) int8
        What new raters reply.
    truth : (n_users, n_tests)
        Probability with which new raters prefer the first of a test task.
    """

    group: GroupComparisons
    pool: Rows
    tests: Rows
    open: NDArray[np.bool_]
    outcomes: Outcomes
    truth: Array

    def panel(self, name: str, features: Array, *, notes: tuple[str, ...] = ()) -> Panel:
        """The panel of the new raters, where prefq sees these features (n_items, n_features)."""
        group = GroupAnswers(self.group.differences(features), self.group.outcomes, self.group.users)
        (first, second), (test_first, test_second) = features[self.pool.T], features[self.tests.T]
        return Panel(
            name,
            first[None],
            second[None],
            self.open,
            self.outcomes,
            test_first[None],
            test_second[None],
            self.truth,
            group,
            ResponseModel(),
            notes=notes,
        )


def common_or_camps(p: float, n_raters: int, n_attributes: int, *, rng: np.random.Generator) -> Array:
    """Tastes (n_raters, n_attributes): the common one with chance p, otherwise that of one of two opposed camps.

    All have norm one. At p = 0 whoever pools the raters learns nothing: RFM's second scenario (arXiv 2503.17338); near
    1 they mostly agree: its first.
    """
    common, camp = _directions(2, n_attributes, rng)
    sides = np.where(rng.random(n_raters) < 0.5, 1.0, -1.0)
    return np.asarray(np.where((rng.random(n_raters) < p)[:, None], common, sides[:, None] * camp))


def common_or_own(p: float, n_raters: int, n_attributes: int, *, rng: np.random.Generator) -> Array:
    """Tastes (n_raters, n_attributes): the common one with chance p, otherwise one of their own, in any direction.

    All have norm one.
    """
    common, own = _directions(1, n_attributes, rng), _directions(n_raters, n_attributes, rng)
    return np.asarray(np.where((rng.random(n_raters) < p)[:, None], common, own))


def rated_by_attributes(attributes: Array, prompt_codes: Rows, tastes: Array) -> Array:
    """Utilities (n_items, n_raters) of tastes (n_raters, n_attributes) over attributes (n_items, n_attributes).

    Every attribute is first put in units of its typical difference within a prompt; one that never differs there
    weighs nothing.
    """
    scales = np.sqrt(np.diag(moments_within(attributes, prompt_codes)))
    return np.asarray((attributes / np.where(scales > 0, scales, np.inf)) @ tastes.T)


def rater_scene(
    utilities: Array,
    prompt_codes: Rows,
    *,
    training: Rows,
    users: Rows,
    n_answers: int,
    n_pool: int,
    n_tests: int,
    rng: np.random.Generator,
    strength: float = SURE,
    open_share: float = 1.0,
) -> RaterScene:
    """Split prompts and raters, and draw who answers what.

    Parameters
    ----------
    utilities : (n_items, n_raters)
        What each rater thinks of each text, in any unit.
    prompt_codes : (n_items,)
        A number for each item's prompt.
    training, users
        Columns of the raters who come before, and of the new ones; a column that comes twice in `users` is a rater who
        is met twice.
    n_answers
        Of each training rater, to pairs drawn for each; fewer where there are not so many pairs.
    n_pool, n_tests
        Questions and test tasks, at most; prompts with many responses have no more of them than others.
    rng
        Draws the split and all else.
    strength
        Root mean square margin of a rater's pairs, in logits, or `SURE`.
    open_share
        Of the questions, what each new rater can be asked, drawn for each.

    Returns
    -------
    RaterScene
        The prompts of its tests are in neither group nor pool.

    Raises
    ------
    InputError
        When a rater is on both sides, or there are fewer than two prompts with two responses.
    """
    both = np.intersect1d(training, users)
    if both.size:
        raise InputError(f"rater {both[0]} is among the training raters and among the users; a rater is one of them.")
    pairs = pairs_within(prompt_codes)
    prompts = rng.permutation(np.unique(prompt_codes[pairs[:, 0]]))
    if len(prompts) < 2:
        raise InputError(f"there are {len(prompts)} prompts with two responses; give at least two, one to test on.")
    n_held_out = min(max(1, round(HELD_OUT_SHARE * len(prompts))), len(prompts) - 1)
    held_out = np.isin(prompt_codes[pairs[:, 0]], prompts[:n_held_out])
    asked, tested = pairs[~held_out], pairs[held_out]
    margins = _Margins(utilities, prompt_codes, strength)
    rows = np.concatenate([_some(asked, prompt_codes, n_answers, rng) for _ in training])
    raters = np.repeat(np.arange(len(training)), len(rows) // max(1, len(training)))
    group = GroupComparisons(
        rows,
        _replies(margins.chances(rows, training[raters]), rng),
        raters,
        tuple(str(rater) for rater in training.tolist()),
        prompt_codes,
    )
    pool, tests = _some(asked, prompt_codes, n_pool, rng), _some(tested, prompt_codes, n_tests, rng)
    everyone = users[:, None]
    order = np.argsort(rng.random((len(users), len(pool))), axis=1)
    return RaterScene(
        group,
        pool,
        tests,
        order < max(1, round(open_share * len(pool))),
        _replies(margins.chances(pool, everyone), rng),
        margins.chances(tests, everyone),
    )


class _Margins:
    """Chances that raters prefer the first of a pair, by utilities that are scaled to one strength."""

    def __init__(self, utilities: Array, prompt_codes: Rows, strength: float) -> None:
        sizes = np.array([np.sqrt(moments_within(column[:, None], prompt_codes)[0, 0]) for column in utilities.T])
        self._utilities = utilities / np.where(sizes > 0, sizes, 1.0)
        self._strength = strength

    def chances(self, pairs: Rows, raters: Rows) -> Array:
        """For pairs (n, 2) and raters (n,) or (n_users, 1): one half where a rater finds both as good."""
        differences = self._utilities[pairs[:, 0], raters] - self._utilities[pairs[:, 1], raters]
        if np.isinf(self._strength):
            return np.asarray((np.sign(differences) + 1) / 2)
        return sigmoid(self._strength * differences)


def _directions(n: int, n_attributes: int, rng: np.random.Generator) -> Array:
    drawn = rng.normal(size=(n, n_attributes))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def _some(pairs: Rows, prompt_codes: Rows, n: int, rng: np.random.Generator) -> Rows:
    """At most so many of the pairs, in random order and on random sides; prompts count alike, whatever their pairs."""
    codes = prompt_codes[pairs[:, 0]]
    shares = 1 / np.bincount(codes)[codes]
    rows = rng.choice(len(pairs), size=min(n, len(pairs)), replace=False, p=shares / shares.sum())
    turned = rng.random(len(rows)) < 0.5
    return np.asarray(np.where(turned[:, None], pairs[rows, ::-1], pairs[rows]))


def _replies(chances: Array, rng: np.random.Generator) -> Outcomes:
    return np.where(rng.random(chances.shape) < chances, 1, -1).astype(np.int8)
