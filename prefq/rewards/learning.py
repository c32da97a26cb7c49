"""Base rewards of a group from its comparisons: heads, how many, how strong they are for people who were held out.

People who taught the heads look as if they differed along them more than others do: heads fit their noise. So the
group is folded: the heads of each fold are learned without its people, who then tell how far tastes reach along them,
and how well people are predicted after ten answers. What that says of a group is used on heads learned from everybody.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.population import fit_population_prior
from prefq.rewards.canonical import canonical, parts_of
from prefq.rewards.factorization.base import Factorization, OnStep
from prefq.rewards.factorization.marginal import Directions
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import HeldOutCurve, held_out_curve
from prefq.vocabulary import Array, FeatureSpace, Gaussian, GaussianMixture, PopulationPrior, ResponseModel

METHODS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        name: (f"prefq.rewards.factorization.{name}", f"fit_{name}")
        for name in ("bayes", "average", "pref", "rfm", "lore")
    }
)
DEFAULT = "bayes"
NESTED = "bayes"  # whose first features are those of fewer features: one fit tells of all numbers
CANDIDATES = (1, 2, 3, 4, 6, 8, 12)
AFTER = 10  # answers by which the number of features is chosen
FOLDS = 5
MOST_ANSWERS = 40_000  # of a group: beyond, three folds tell as much
CLOSE = 0.01  # of accuracy, and of log loss in nats: fewer features that are as good as this are taken
PLAIN = ResponseModel()


class Method(Protocol):
    """Learns heads from encodings; one of `prefq.rewards.factorization`."""

    def __call__(
        self,
        encodings: NDArray[np.floating[Any]],
        group: GroupComparisons,
        n_features: int,
        *,
        rng: np.random.Generator,
        validation: GroupComparisons | None = None,
        on_step: OnStep | None = None,
    ) -> Factorization:
        """Heads and coefficients."""


class RankPoint(NamedTuple):
    """Held-out people after no and after ten answers, with so many features: means and standard errors over people."""

    n_features: int
    log_loss_before: float
    log_loss: float
    log_loss_error: float
    accuracy_before: float
    accuracy: float
    accuracy_error: float


class LearnedRewards(NamedTuple):
    """Base rewards of a group.

    mean (n_dims,) of the encodings of the compared items and heads (n_dims, n_features), canonical: a feature is
    (encoding - mean) @ heads. prior is where new people start; curve is what the number of features was chosen by.
    """

    mean: Array
    heads: Array
    prior: PopulationPrior
    curve: tuple[RankPoint, ...]
    method: str


class _Fold(NamedTuple):
    """Heads learned without some people, these people's answers as features, and what they say of the strengths."""

    features: Array
    outcomes: NDArray[np.int8]
    users: NDArray[np.int64]
    mean: Array
    variances: Array
    n_users: int

    def first(self, n_features: int) -> "_Fold":
        """The same of the first features."""
        kept = slice(n_features)
        return self._replace(features=self.features[:, kept], mean=self.mean[kept], variances=self.variances[kept])


def method_of(name: str) -> Method:
    """A method by name; InputError where there is none."""
    if name not in METHODS:
        raise InputError(f"there is no method {name!r}; choose among {', '.join(METHODS)}.")
    module, function = METHODS[name]
    found: Method = getattr(import_module(module), function)
    return found


def learn_rewards(
    encodings: NDArray[np.floating[Any]],
    group: GroupComparisons,
    *,
    method: str = DEFAULT,
    n_features: int | None = None,
    max_features: int = CANDIDATES[-1],
    rng: np.random.Generator,
    on_step: OnStep | None = None,
) -> LearnedRewards:
    """Heads, and the prior of people's coefficients on them.

    Parameters
    ----------
    encodings : (n_items, n_dims)
        May be mapped.
    group
        Who preferred what.
    method
        One of `METHODS`.
    n_features
        How many base rewards; by default the fewest, of `CANDIDATES` up to `max_features`, with which people who were
        held out are predicted after ten answers as well as with any other number, within `CLOSE`.
    rng
        Draws the folds, and what a method draws.
    on_step
        Told what is being done; may raise to end it.

    Raises
    ------
    InputError
        When there is no such method, or nothing to learn from.
    """
    say = on_step or _silent
    fit = method_of(method)
    numbers = (n_features,) if n_features is not None else tuple(n for n in CANDIDATES if n <= max_features)
    if method == "average":
        numbers = (1,)
    folds: dict[int, list[_Fold]] = {}
    if group.n_users > 1:
        folds = _folds(fit, encodings, group, numbers, nested=method == NESTED, rng=rng, say=say)
    seed = int(rng.integers(2**63))  # one for all: each number of features is tested on the same answers
    curve = tuple(_point(number, of, seed) for number, of in folds.items())
    chosen = _chosen(curve) if curve else numbers[0]
    say(f"learning {chosen} features from everybody")
    learned = fit(encodings, group, chosen, rng=rng, on_step=on_step)
    heads = _canonical(learned, encodings, group) if method != NESTED else learned.heads
    if folds:
        heads = heads[:, : len(folds[chosen][0].mean)]
    say("fitting where new people start")
    prior = fit_population_prior(
        group.differences(encodings) @ heads,
        group.outcomes,
        group.users,
        strengths=group.strengths,
        n_components="auto",
        on_step=on_step,
    )
    if folds:
        taught = _fold(group, group.differences(encodings) @ heads)
        prior = narrowed(prior, *_shares(taught, folds[chosen]))
    compared = np.unique(group.pairs)
    return LearnedRewards(_mean(encodings, compared), heads, prior, curve, method)


def narrowed(prior: PopulationPrior, of_mean: Array, of_sd: Array) -> PopulationPrior:
    """The prior of people who taught the heads, as it is for others: its mean and its spread along each axis reduced.

    The map w → S m + F (w - m) carries every component with it, m being the mean of all, S and F diagonal.

    Parameters
    ----------
    prior
        Fitted on those who taught them.
    of_mean, of_sd : (n_features,)
        Shares of mean and standard deviation that are left, S and F.
    """
    whole = prior.coefficients
    parts = [
        Gaussian(of_mean * whole.mean + of_sd * (each.mean - whole.mean), of_sd[:, None] * each.covariance * of_sd)
        for each in whole.components
    ]
    return PopulationPrior(
        GaussianMixture(whole.weights, parts),
        response_model=prior.response_model,
        feature_space=prior.feature_space,
        n_users=prior.n_users,
        impersonal=prior.impersonal,
    )


def _shares(taught: _Fold, folds: list[_Fold]) -> tuple[Array, Array]:
    """What of mean and standard deviation, as those who taught the heads show them, is left of people held out."""
    mean, variances = _strengths(folds)
    n_features = len(taught.mean)
    of_sd = np.sqrt(np.clip(variances[:n_features] / taught.variances, 0.0, 1.0))
    of_mean = of_sd.copy()
    of_mean[0] = np.clip(mean[0] / taught.mean[0], 0.0, 1.0) if taught.mean[0] > 0 else 0.0
    return of_mean, of_sd


def _folds(
    fit: Method,
    encodings: NDArray[np.floating[Any]],
    group: GroupComparisons,
    numbers: tuple[int, ...],
    *,
    nested: bool,
    rng: np.random.Generator,
    say: Callable[[str], None],
) -> dict[int, list[_Fold]]:
    """For each number of features, what each fold tells."""
    n_folds = min(group.n_users, FOLDS if group.n_comparisons <= MOST_ANSWERS else 3)
    part = rng.permutation(np.arange(group.n_users) % n_folds)
    found: dict[int, list[_Fold]] = {number: [] for number in numbers}
    for fold in range(n_folds):
        others, own = group.of_users(part != fold), group.of_users(part == fold)
        if not others.n_comparisons or not own.n_comparisons:
            continue
        for number in (max(numbers),) if nested else numbers:
            say(f"learning {number} features, fold {fold + 1} of {n_folds}")
            learned = fit(encodings, others, number, rng=rng)
            heads = learned.heads if nested else _canonical(learned, encodings, others)
            told = _fold(own, own.differences(encodings) @ heads)
            for fewer in numbers if nested else (number,):
                found[fewer].append(told.first(fewer))
    for number, of in found.items():  # people of a fold may differ in fewer ways than were asked for
        least = min((len(fold.mean) for fold in of), default=0)
        found[number] = [fold.first(least) for fold in of]
    return found


def _fold(own: GroupComparisons, features: Array) -> _Fold:
    """Strengths as the people of a fold tell them; a Gaussian, cautious where they are few."""
    prior = fit_population_prior(features, own.outcomes, own.users, response_model=PLAIN)
    believed = prior.coefficients
    return _Fold(features, own.outcomes, own.users, believed.mean, np.diag(believed.covariance).copy(), prior.n_users)


def _strengths(folds: list[_Fold]) -> tuple[Array, Array]:
    """Mean and variances of coefficients over folds, by how many people tell; axes are taken in their order."""
    shares = np.array([fold.n_users for fold in folds], dtype=np.float64)
    shares /= shares.sum()
    variances = np.stack([fold.variances for fold in folds])
    mean = np.zeros(variances.shape[1])
    mean[0] = shares @ [fold.mean[0] for fold in folds]  # which way the other axes point differs from fold to fold
    return mean, np.asarray(shares @ variances)


def _point(n_features: int, folds: list[_Fold], seed: int) -> RankPoint:
    """Held-out people of all folds, each predicted with the strengths that the other folds tell."""
    curves: list[HeldOutCurve] = []
    for i, fold in enumerate(folds):
        mean, variances = _strengths([other for j, other in enumerate(folds) if j != i] or folds)
        space = FeatureSpace([f"x{j}" for j in range(len(mean))])
        start = PopulationPrior(Gaussian(mean, np.diag(variances)), response_model=PLAIN, feature_space=space)
        rng = np.random.default_rng([seed, i])
        try:
            curves.append(held_out_curve(fold.features, fold.outcomes, fold.users, start, after=(0, AFTER), rng=rng))
        except InputError:  # nobody of this fold has enough answers
            continue
    if not curves:
        return RankPoint(n_features, *[float("nan")] * 6)
    losses = np.concatenate([curve.log_losses for curve in curves])
    hits = np.concatenate([curve.accuracies for curve in curves])
    root = np.sqrt(max(len(losses) - 1, 1))
    return RankPoint(
        n_features,
        float(losses[:, 0].mean()),
        float(losses[:, 1].mean()),
        float(losses[:, 1].std() / root),
        float(hits[:, 0].mean()),
        float(hits[:, 1].mean()),
        float(hits[:, 1].std() / root),
    )


def _chosen(curve: tuple[RankPoint, ...]) -> int:
    """The fewest features as good as any, within `CLOSE`."""
    told = [point for point in curve if np.isfinite(point.log_loss)]
    if not told:
        return curve[0].n_features
    loss, accuracy = min(point.log_loss for point in told), max(point.accuracy for point in told)
    good = [p.n_features for p in told if p.log_loss <= loss + CLOSE and p.accuracy >= accuracy - CLOSE]
    return min(good or [min(told, key=lambda point: point.log_loss).n_features])


def _canonical(learned: Factorization, encodings: NDArray[np.floating[Any]], group: GroupComparisons) -> Array:
    """Canonical heads, tastes being what the method says of the group's people."""
    known = learned.coefficients[~np.isnan(learned.coefficients).any(axis=1)]
    covariance = np.atleast_2d(np.cov(known.T)) if len(known) > 1 else np.eye(known.shape[1])
    pooled, personal = parts_of(
        learned.heads, Gaussian(known.mean(axis=0), covariance + 1e-9 * np.eye(len(covariance)))
    )
    return canonical(Directions.of(encodings, group), pooled, personal).heads


def _mean(encodings: NDArray[np.floating[Any]], items: NDArray[np.int64]) -> Array:
    """Mean encoding (n_dims,) of some items."""
    total = np.zeros(encodings.shape[1])
    for start in range(0, len(items), 16_384):
        total += encodings[items[start : start + 16_384]].sum(axis=0, dtype=np.float64)
    return total / max(len(items), 1)


def _silent(what: str) -> None:
    """Tell nobody."""
