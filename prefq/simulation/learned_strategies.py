"""Strategies that first learn base rewards from the group's answers, on panels whose features are encodings.

Base rewards and prior are those of `prefq.rewards.learning`, or of one of its methods with less done to them; then
questions are asked and predictions made as by any other strategy. They are made once for a group, however many users,
strategies and checks begin with them.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from prefq.errors import InputError
from prefq.rewards.factorization.base import Factorization
from prefq.rewards.fits import HELD_OUT, Fits
from prefq.rewards.group import GroupComparisons
from prefq.rewards.learning import AVERAGE, METHODS, UNSTOPPED, learn_rewards, method_of
from prefq.simulation.controls import begin_random
from prefq.simulation.panels import GroupAnswers, Rows, Start, Study
from prefq.simulation.recovery import standardised
from prefq.simulation.rules import most_informative
from prefq.simulation.starts import fitted_prior
from prefq.simulation.strategies import Begin, Belief, Learner, Strategy, listening
from prefq.vocabulary import Array, Gaussian

N_FEATURES = 8  # base rewards that are learned unless a name says otherwise: RFM's fewest
RANKS = (1, 2, 4, 5, 6, 8, 12)  # that names may say
CHOOSES = "bayes"  # the method that is asked for as many base rewards as are best for people who are held out
KEPT = 64  # factorizations and priors in memory
RIDGE = 1e-6  # of the mean variance, so that point estimates on a line have a covariance
KIND = "ablation"


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Base rewards as linear functions of encodings, heads (n_dims, n_features), and where new users start on them."""

    heads: Array
    start: Start


BasisOf = Callable[[Study], Basis]


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


def learned(basis_of: BasisOf, begin: Begin) -> Begin:
    """A strategy on base rewards that are learned before the first question.

    Parameters
    ----------
    basis_of
        Learns them from what is known beforehand.
    begin
        How to ask and to learn of a user; it sees base rewards only.
    """

    def begin_learned(study: Study, *, rng: np.random.Generator) -> Learner:
        basis = basis_of(study)
        learner = begin(projected(study, basis), rng=rng)
        return lambda history: SeenThrough(learner(history), basis.heads)

    return begin_learned


def by(method: str, n_features: int | None = N_FEATURES, *, how: "How | None" = None) -> BasisOf:
    """Base rewards by a method of `prefq.rewards.learning`: as the product makes them, unless `how` says otherwise."""
    return lambda study: _made(how or as_product, method, n_features, _Known.of(oriented(study.group)))


def true_features(study: Study) -> Basis:
    """What the tastes weigh, with the prior that the product fits."""
    if study.true_heads is None:
        raise InputError(
            "what tastes weigh of encodings is known in worlds whose name begins with 'encoded_'; leave the strategy "
            "'true_features' out."
        )
    return _with_prior(_Known.of(oriented(study.group), study.true_heads))


def every_dimension(study: Study) -> Basis:
    """Each dimension of the encodings as a base reward, with the prior that the product fits."""
    return _with_prior(_Known.of(oriented(study.group), np.eye(study.first.shape[-1])))


@dataclass(frozen=True, slots=True)
class _Known:
    """A group's answers, and heads, known by their content, so that what was made of them is found again."""

    digest: str
    group: GroupAnswers = field(compare=False, repr=False)
    heads: Array | None = field(compare=False, repr=False)

    @classmethod
    def of(cls, group: GroupAnswers, heads: Array | None = None) -> "_Known":
        digest = hashlib.blake2b(digest_size=16)
        for each in (group.differences, group.outcomes, group.users, *(() if heads is None else (heads,))):
            digest.update(np.ascontiguousarray(each).data)
        return cls(digest.hexdigest(), group, heads)

    @property
    def rng(self) -> np.random.Generator:
        """The same answers always give the same base rewards."""
        return np.random.default_rng(int(self.digest, 16))


How = Callable[[str, int | None, _Known], Basis]
"""From a method, a number of base rewards and what is known to what users start with."""


def as_product(method: str, n_features: int | None, known: _Known) -> Basis:
    """As `prefq.rewards.learning` makes them: strengths by people who were held out."""
    encodings, group = comparisons_of(known.group)
    found = learn_rewards(encodings, group, method=method, n_features=n_features, rng=known.rng)
    return Basis(found.heads, found.prior)


def unfolded(method: str, n_features: int | None, known: _Known) -> Basis:
    """Standardised, with the prior that the same answers say: as if heads that they taught were known beforehand."""
    return _with_prior(_Known.of(known.group, _factorized(method, n_features, known).heads))


def from_points(method: str, n_features: int | None, known: _Known) -> Basis:
    """As the method gave them, with mean and covariance of its users' coefficients for a prior."""
    found = _factorized(method, n_features, known)
    return Basis(found.heads, moments(found.coefficients))


def as_found(method: str, n_features: int | None, known: _Known) -> Basis:
    """As the method gave them, with nothing known of users: for recipes that have no prior."""
    heads = _factorized(method, n_features, known).heads
    return Basis(heads, Gaussian(np.zeros(heads.shape[1]), np.eye(heads.shape[1])))


def moments(coefficients: Array) -> Gaussian:
    """Mean and covariance of point estimates (n_users, n_features), rows of NaN left out."""
    points = coefficients[~np.isnan(coefficients).any(axis=1)]
    covariance = np.atleast_2d(np.cov(points.T))
    covariance += RIDGE * max(np.trace(covariance), RIDGE) / len(covariance) * np.eye(len(covariance))
    return Gaussian(points.mean(axis=0), covariance)


def factorized(study: Study, method: str, n_features: int) -> Factorization:
    """What a method finds in a group's answers."""
    return _factorized(method, n_features, _Known.of(oriented(study.group)))


def projected(study: Study, basis: Basis) -> Study:
    """The study as it is on learned base rewards; a pull to the first side is what its own prior says of it.

    What base rewards are learned from is `oriented`, so that its sides are not those that people were shown.
    """
    seen = replace(
        study,
        first=study.first @ basis.heads,
        second=study.second @ basis.heads,
        group=seen_through(basis.heads, study.group),
        stated=None,
        true_prior=None,
        true_heads=None,
    )
    started = seen.starting_from(basis.start)
    bias = study.response_model.position_bias
    return replace(started, response_model=replace(started.response_model, position_bias=bias))


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


@lru_cache(maxsize=KEPT)  # of a pure function
def _factorized(method: str, n_features: int | None, known: _Known) -> Factorization:
    encodings, group = comparisons_of(known.group)
    fits = Fits(method, method_of(method), encodings, held_out=0.0 if method in UNSTOPPED else HELD_OUT)
    return fits(group, n_features or N_FEATURES, rng=known.rng)


@lru_cache(maxsize=KEPT)  # of a pure function, too
def _made(how: How, method: str, n_features: int | None, known: _Known) -> Basis:
    return how(method, n_features, known)


@lru_cache(maxsize=KEPT)
def _with_prior(known: _Known) -> Basis:
    assert known.heads is not None
    heads = standardised(known.heads, known.group.differences)
    return Basis(heads, fitted_prior(seen_through(heads, known.group)))


def _learned(name: str, basis_of: BasisOf, what: str, *, kind: str = "ours") -> Strategy:
    return Strategy(name, learned(basis_of, listening(most_informative)), f"{what}, then `information_gain`", kind=kind)


def _strategies(method: str) -> Iterator[Strategy]:
    """Of a method: with informative and with random questions, with less done to its base rewards, of other numbers."""
    number = None if method == CHOOSES else 1 if method == AVERAGE else N_FEATURES
    what = f"base rewards by `{method}`"
    yield _learned(f"learned_{method}", by(method, number), what)
    yield Strategy(f"learned_{method}_random", learned(by(method, number), begin_random), f"{what}, random questions")
    if method == AVERAGE:
        return
    for name, how, prior in (
        ("unfolded", unfolded, "prior fitted on those who taught them"),
        ("points", from_points, "moments of point estimates as prior"),
    ):
        basis_of = by(method, N_FEATURES, how=how)
        yield _learned(f"learned_{method}_{name}", basis_of, f"{N_FEATURES} {what}, {prior}", kind=KIND)
    for rank in RANKS:
        yield _learned(f"learned_{method}_{rank}", by(method, rank), f"{rank} {what}", kind=KIND)


LEARNED: Sequence[Strategy] = (
    *(strategy for method in METHODS for strategy in _strategies(method)),
    _learned("true_features", true_features, "the features that tastes weigh, not learned", kind=KIND),
    _learned("every_dimension", every_dimension, "every dimension of the encodings", kind=KIND),
)
"""Strategies that learn base rewards, and what these are compared with; they run only where they are named."""
