"""Strategies that first learn base rewards from the group's answers, on panels whose features are encodings.

The heads come from a method of `prefq.rewards.factorization`, the prior is fitted on the group as these show it, and
then questions are asked and predictions made as by any other strategy. Base rewards and prior are made once for a
group, however many users, strategies and checks begin with them.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from prefq.errors import InputError
from prefq.rewards.factorization.base import Factorization, FactorizationInfo
from prefq.rewards.group import GroupComparisons
from prefq.simulation.controls import begin_random
from prefq.simulation.panels import GroupAnswers, Rows, Start, Study
from prefq.simulation.recovery import standardised
from prefq.simulation.rules import most_informative
from prefq.simulation.starts import fitted_prior
from prefq.simulation.strategies import Begin, Belief, Learner, Strategy, listening
from prefq.vocabulary import Array, Gaussian

N_FEATURES = 8  # base rewards that are learned unless a name says otherwise: RFM's fewest
RANKS = (1, 2, 4, 5, 6, 12)  # that names may say
HELD_OUT = 0.1  # of the group's pairs, by which a method sees when to stop
KEPT = 64  # factorizations and priors in memory
RIDGE = 1e-6  # of the mean variance, so that point estimates on a line have a covariance
KIND = "ablation"
AVERAGE = "average"  # a method that learns one base reward
UNSTOPPED = ("bayes",)  # methods that have no use for answers that are held out


class Method(Protocol):
    """Learns base rewards; as in `prefq.rewards.factorization`."""

    def __call__(
        self,
        encodings: Any,
        group: GroupComparisons,
        n_features: int,
        *,
        rng: np.random.Generator,
        validation: GroupComparisons | None,
    ) -> Factorization:
        """Heads from encodings (n_items, n_dims) and what a group compared."""


class Basis(NamedTuple):
    """Base rewards as linear functions of encodings, (n_dims, n_features), and where new users start on them."""

    heads: Array
    start: Start


HeadsOf = Callable[[Study], Factorization]
BasisOf = Callable[[Factorization, GroupAnswers], Basis]


@dataclass(frozen=True, slots=True, eq=False)
class SeenThrough:
    """A belief on learned base rewards, asked about items as encodings.

    Parameters
    ----------
    belief
        On the base rewards.
    heads : (n_dims, n_features)
        What they are of an encoding.
    """

    belief: Belief
    heads: Array

    def next_rows(self) -> Rows:
        """Row of the next question for each user (n_users,)."""
        return self.belief.next_rows()

    def predict(self, first: Array, second: Array) -> Array:
        """Probability that each user prefers the first (n_users, n)."""
        return self.belief.predict(first @ self.heads, second @ self.heads)

    def score(self, items: Array) -> Array:
        """Scores of items (n_users, n), given as encodings (1 or n_users, n, n_dims)."""
        return self.belief.score(items @ self.heads)


def loaded(name: str) -> Method:
    """The method of this name in `prefq.rewards.factorization`, loaded when it is first used."""

    def method(
        encodings: Any,
        group: GroupComparisons,
        n_features: int,
        *,
        rng: np.random.Generator,
        validation: GroupComparisons | None,
    ) -> Factorization:
        fit: Method = getattr(import_module(f"prefq.rewards.factorization.{name}"), f"fit_{name}")
        return fit(encodings, group, n_features, rng=rng, validation=validation)

    return method


METHODS: Mapping[str, Method] = MappingProxyType(
    {name: loaded(name) for name in ("bayes", "pref", "rfm", "lore", AVERAGE)}
)


def learned(heads_of: HeadsOf, begin: Begin, *, basis_of: BasisOf | None = None) -> Begin:
    """A strategy on base rewards that are learned from the group before the first question.

    Parameters
    ----------
    heads_of
        Learns them.
    begin
        How to ask and to learn of a user; it sees base rewards only.
    basis_of
        What is made of them: by default standardised base rewards with a fitted prior, as the product makes them.
    """

    def begin_learned(study: Study, *, rng: np.random.Generator) -> Learner:
        basis = _basis(basis_of or fitted, _Known.of(study.group, heads_of(study)))
        learner = begin(projected(study, basis), rng=rng)
        return lambda history: SeenThrough(learner(history), basis.heads)

    return begin_learned


def by(method: str, n_features: int = N_FEATURES) -> HeadsOf:
    """Heads by a method of `METHODS`."""
    return lambda study: _factorized(method, n_features, _Known.of(oriented(study.group)))


def true_heads(study: Study) -> Factorization:
    """What the tastes weigh."""
    if study.true_heads is None:
        raise InputError(
            "what tastes weigh of encodings is known in worlds whose name begins with 'encoded_'; leave the strategy "
            "'true_features' out."
        )
    return _untrained(study.true_heads, "true")


def every_dimension(study: Study) -> Factorization:
    """Each dimension of the encodings as a base reward."""
    return _untrained(np.eye(study.first.shape[-1]), "none")


def fitted(found: Factorization, group: GroupAnswers) -> Basis:
    """Standardised, with the prior that the product fits on the group's answers."""
    heads = standardised(found.heads, group.differences)
    return Basis(heads, fitted_prior(seen_through(heads, group)))


def from_points(found: Factorization, group: GroupAnswers) -> Basis:
    """As the method gave them, with mean and covariance of its users' coefficients for a prior."""
    points = found.coefficients[~np.isnan(found.coefficients).any(axis=1)]
    covariance = np.atleast_2d(np.cov(points.T))
    covariance += RIDGE * max(np.trace(covariance), RIDGE) / len(covariance) * np.eye(len(covariance))
    return Basis(found.heads, Gaussian(points.mean(axis=0), covariance))


def as_found(found: Factorization, group: GroupAnswers) -> Basis:
    """As the method gave them, with nothing known of users: for recipes that have no prior."""
    n_features = found.heads.shape[1]
    return Basis(found.heads, Gaussian(np.zeros(n_features), np.eye(n_features)))


def projected(study: Study, basis: Basis) -> Study:
    """The study as it is on learned base rewards."""
    seen = replace(
        study,
        first=study.first @ basis.heads,
        second=study.second @ basis.heads,
        group=seen_through(basis.heads, study.group),
        stated=None,
        true_prior=None,
        true_heads=None,
    )
    return seen.starting_from(basis.start)


def seen_through(heads: Array, group: GroupAnswers) -> GroupAnswers:
    """A group's answers on base rewards."""
    first = None if group.first is None else group.first @ heads
    return group._replace(differences=group.differences @ heads, first=first)


def oriented(group: GroupAnswers) -> GroupAnswers:
    """The same answers with sides that depend on the two items and not on who was shown which first."""
    differences = group.differences
    leading = np.take_along_axis(differences, (differences != 0).argmax(axis=1)[:, None], axis=1)
    signs = np.where(leading < 0, -1, 1)
    outcomes = (group.outcomes * signs[:, 0]).astype(np.int8)
    return GroupAnswers(differences * signs + 0.0, outcomes, group.users)  # no zero with a sign


def comparisons_of(group: GroupAnswers) -> tuple[Array, GroupComparisons]:
    """A group's answers as comparisons of items: encodings (n_items, n_dims), and the comparisons.

    Two items a pair, half of the difference and its opposite; equal differences are one pair.
    """
    pairs, numbers = np.unique(group.differences, axis=0, return_inverse=True)
    user_ids, users = np.unique(group.users, return_inverse=True)
    encodings = np.stack([pairs / 2, -pairs / 2], axis=1).reshape(-1, pairs.shape[1])
    rows = 2 * numbers.reshape(-1).astype(np.int64)
    found = GroupComparisons(
        np.column_stack([rows, rows + 1]),
        group.outcomes,
        users.astype(np.int64),
        tuple(str(user) for user in user_ids),
        np.arange(len(encodings), dtype=np.int64) // 2,
    )
    return encodings, found


@dataclass(frozen=True, slots=True)
class _Known:
    """A group's answers, and base rewards, known by their content: what was made of them is found again."""

    digest: str
    group: GroupAnswers = field(compare=False, repr=False)
    found: Factorization | None = field(compare=False, repr=False)

    @classmethod
    def of(cls, group: GroupAnswers, found: Factorization | None = None) -> "_Known":
        digest = hashlib.blake2b(digest_size=16)
        for each in (group.differences, group.outcomes, group.users, *(() if found is None else found[:2])):
            digest.update(np.ascontiguousarray(each).data)
        return cls(digest.hexdigest(), group, found)


@lru_cache(maxsize=KEPT)  # of a pure function
def _factorized(method: str, n_features: int, known: _Known) -> Factorization:
    encodings, group = comparisons_of(known.group)
    rng = np.random.default_rng(int(known.digest, 16))  # the same answers always give the same base rewards
    if method in UNSTOPPED:
        return METHODS[method](encodings, group, n_features, rng=rng, validation=None)
    held_out = (rng.random(len(encodings) // 2) < HELD_OUT)[group.pairs[:, 0] // 2]
    return METHODS[method](encodings, group.of_rows(~held_out), n_features, rng=rng, validation=group.of_rows(held_out))


@lru_cache(maxsize=KEPT)  # of a pure function, too
def _basis(basis_of: BasisOf, known: _Known) -> Basis:
    assert known.found is not None
    return basis_of(known.found, known.group)


def _untrained(heads: Array, method: str) -> Factorization:
    return Factorization(heads, np.empty((0, heads.shape[1])), FactorizationInfo(method, 0, (), (), 0, "nothing to do"))


def _learned(name: str, heads_of: HeadsOf, what: str, *, kind: str = "ours") -> Strategy:
    return Strategy(name, learned(heads_of, listening(most_informative)), f"{what}, then `information_gain`", kind=kind)


def _strategies(method: str) -> Iterator[Strategy]:
    """Of a method: with informative and with random questions, without a fitted prior, and of other ranks."""
    heads_of, what = by(method, 1 if method == AVERAGE else N_FEATURES), f"base rewards by `{method}`"
    yield _learned(f"learned_{method}", heads_of, what)
    yield Strategy(f"learned_{method}_random", learned(heads_of, begin_random), f"{what}, then random questions")
    if method == AVERAGE:
        return
    points = learned(heads_of, listening(most_informative), basis_of=from_points)
    yield Strategy(f"learned_{method}_points", points, f"{what}, moments of point estimates as prior", kind=KIND)
    for rank in RANKS:
        yield _learned(f"learned_{method}_{rank}", by(method, rank), f"{rank} {what}", kind=KIND)


LEARNED: Sequence[Strategy] = (
    *(strategy for method in METHODS for strategy in _strategies(method)),
    _learned("true_features", true_heads, "the features that tastes weigh, not learned", kind=KIND),
    _learned("every_dimension", every_dimension, "every dimension of the encodings", kind=KIND),
)
"""Strategies that learn base rewards, and what these are compared with; they run only where they are named."""
