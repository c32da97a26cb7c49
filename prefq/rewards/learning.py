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
from prefq.inference.groups import Group
from prefq.inference.mixture_em import Population, evidence_of
from prefq.inference.population import fit_population_prior
from prefq.rewards.canonical import canonical, parts_of
from prefq.rewards.factorization.base import Factorization, OnStep
from prefq.rewards.factorization.marginal import ITEMS, Directions
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import HeldOutCurve, held_out_curve
from prefq.vocabulary import Array, FeatureSpace, Gaussian, GaussianMixture, PopulationPrior, ResponseModel, counted

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
CLOSE_EVIDENCE = 0.0005  # nats an answer: the evidence is of all answers, and varies less
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
    """Held-out people after no and after ten answers, with so many features: means and standard errors over people.

    log_evidence is that of all their answers together, in nats an answer; told is the mean number of answers of theirs
    that were used: ten, but where people gave fewer than twenty.
    """

    n_features: int
    log_evidence: float
    told: float
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


class _Seen(NamedTuple):
    """Answers as features by heads that were learned without those who gave them."""

    features: Array
    outcomes: NDArray[np.int8]
    users: NDArray[np.int64]

    def first(self, n_features: int) -> "_Seen":
        """The same of the first features."""
        return self._replace(features=self.features[:, :n_features])


class _Strengths(NamedTuple):
    """Mean and variances of people's coefficients on canonical features (n_features,)."""

    mean: Array
    variances: Array

    def first(self, n_features: int) -> "_Strengths":
        """The same of the first features."""
        return _Strengths(self.mean[:n_features], self.variances[:n_features])


class _Held(NamedTuple):
    """What the folds tell of a number of features: their people's answers, and strengths.

    others are the strengths that the people of all other folds tell, one for each fold, whole those of everybody.
    """

    folds: list[_Seen]
    others: list[_Strengths]
    whole: _Strengths

    def first(self, n_features: int) -> "_Held":
        """The same of the first features."""
        folds, others = (
            [each.first(n_features) for each in self.folds],
            [each.first(n_features) for each in self.others],
        )
        return _Held(folds, others, self.whole.first(n_features))


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
    if group.n_comparisons and not group.outcomes.any():
        raise InputError(f"all {group.n_comparisons} comparisons are ties, which tell no response from another.")
    say = on_step or _silent
    fit = method_of(method)
    numbers = (n_features,) if n_features is not None else tuple(n for n in CANDIDATES if n <= max_features)
    if method == "average":
        numbers = (1,)
    held: dict[int, _Held] = {}
    if group.n_users > 1:
        held = _folds(fit, encodings, group, numbers, nested=method == NESTED, rng=rng, say=say)
    seed = int(rng.integers(2**63))  # one for all: each number of features is tested on the same answers
    curve = tuple(_point(number, of, seed) for number, of in held.items())
    chosen = _chosen(curve) if curve else numbers[0]
    say(f"learning {counted(chosen, 'feature')} from everybody")
    learned = fit(encodings, group, chosen, rng=rng, on_step=on_step)
    heads = _canonical(learned, encodings, group) if method != NESTED else learned.heads
    if held:
        heads = heads[:, : len(held[chosen].whole.mean)]
    say("fitting where new people start")
    features = group.feature_differences(encodings, heads)
    prior = fit_population_prior(
        features, group.outcomes, group.users, strengths=group.strengths, n_components="auto", on_step=on_step
    )
    if held:
        taught = _strengths([_Seen(features, group.outcomes, group.users)])
        prior = narrowed(prior, *_shares(taught, held[chosen].whole.first(heads.shape[1])))
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


def _shares(taught: _Strengths, others: _Strengths) -> tuple[Array, Array]:
    """What of mean and standard deviation, as those who taught the heads show them, is left of people held out."""
    of_sd = np.sqrt(np.clip(others.variances / taught.variances, 0.0, 1.0))
    of_mean = of_sd.copy()
    of_mean[0] = np.clip(others.mean[0] / taught.mean[0], 0.0, 1.0) if taught.mean[0] > 0 else 0.0
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
) -> dict[int, _Held]:
    """For each number of features, what the folds tell."""
    n_folds = min(group.n_users, FOLDS if group.n_comparisons <= MOST_ANSWERS else 3)
    part = rng.permutation(np.arange(group.n_users) % n_folds)
    seen: dict[int, list[_Seen]] = {number: [] for number in ((max(numbers),) if nested else numbers)}
    for fold in range(n_folds):
        others, own = group.of_users(part != fold), group.of_users(part == fold)
        if not others.n_comparisons or not own.n_comparisons:
            continue
        for number, of in seen.items():
            say(f"learning {counted(number, 'feature')}, fold {fold + 1} of {n_folds}")
            learned = fit(encodings, others, number, rng=rng)
            heads = learned.heads if nested else _canonical(learned, encodings, others)
            of.append(_Seen(own.feature_differences(encodings, heads), own.outcomes, own.users))
    held = {number: _held(of) for number, of in seen.items() if len(of) > 1}
    if not (nested and held):
        return held
    whole = held[max(numbers)]  # people may differ in fewer ways than were asked for
    return {number: whole.first(number) for number in sorted({min(n, len(whole.whole.mean)) for n in numbers})}


def _held(folds: list[_Seen]) -> _Held:
    """Strengths as the people of the folds tell them; people may differ in fewer ways than were asked for."""
    n_features = min(fold.features.shape[1] for fold in folds)
    folds = [fold.first(n_features) for fold in folds]
    others = [_strengths(folds[:i] + folds[i + 1 :]) for i in range(len(folds))]
    return _Held(folds, others, _strengths(folds))


def _strengths(folds: list[_Seen]) -> _Strengths:
    """Of the people of these folds, whose axes are matched by their order.

    Which way an axis points differs from fold to fold, but for the first: means along the others are zero.
    """
    features, outcomes, users = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    believed = fit_population_prior(features, outcomes, users, response_model=PLAIN).coefficients
    mean = np.zeros(features.shape[1])
    mean[0] = believed.mean[0]
    return _Strengths(mean, np.diag(believed.covariance).copy())


def _point(n_features: int, held: _Held, seed: int) -> RankPoint:
    """Held-out people of all folds, each predicted with the strengths that the other folds tell."""
    curves: list[HeldOutCurve] = []
    total, n_answers = 0.0, 0
    for i, (fold, (mean, variances)) in enumerate(zip(held.folds, held.others, strict=True)):
        space = FeatureSpace([f"x{j}" for j in range(len(mean))])
        start = PopulationPrior(Gaussian(mean, np.diag(variances)), response_model=PLAIN, feature_space=space)
        total += _log_evidence(fold, Gaussian(mean, np.diag(variances)))
        n_answers += len(fold.outcomes)
        rng = np.random.default_rng([seed, i])
        try:
            curves.append(held_out_curve(fold.features, fold.outcomes, fold.users, start, after=(0, AFTER), rng=rng))
        except InputError:  # nobody of this fold has enough answers
            continue
    evidence = total / max(n_answers, 1)
    if not curves:
        return RankPoint(n_features, evidence, 0.0, *[float("nan")] * 6)
    losses = np.concatenate([curve.log_losses for curve in curves])
    hits = np.concatenate([curve.accuracies for curve in curves])
    root = np.sqrt(max(len(losses) - 1, 1))
    told = np.concatenate([curve.told[:, 1] for curve in curves])
    return RankPoint(
        n_features,
        evidence,
        float(told.mean()),
        float(losses[:, 0].mean()),
        float(losses[:, 1].mean()),
        float(losses[:, 1].std() / root),
        float(hits[:, 0].mean()),
        float(hits[:, 1].mean()),
        float(hits[:, 1].std() / root),
    )


def _log_evidence(fold: _Seen, start: Gaussian) -> float:
    """Log evidence of the answers of a fold's people, in nats, who start so."""
    order = np.argsort(fold.users, kind="stable")
    _, counts = np.unique(fold.users, return_counts=True)
    n_features = fold.features.shape[1]
    group = Group(fold.features[order], fold.outcomes[order], counts.astype(np.intp), np.ones(n_features), 0)
    return float(evidence_of(group, PLAIN, Population(np.ones(1), (start,))).sum())


def _chosen(curve: tuple[RankPoint, ...]) -> int:
    """The fewest features as good as any, within `CLOSE`; by the evidence where people gave too few answers."""
    told = [point for point in curve if np.isfinite(point.log_loss) and point.told >= AFTER / 2]
    if not told:
        most = max(point.log_evidence for point in curve)
        return min(point.n_features for point in curve if point.log_evidence >= most - CLOSE_EVIDENCE)
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
    for start in range(0, len(items), ITEMS):
        total += encodings[items[start : start + ITEMS]].sum(axis=0, dtype=np.float64)
    return total / max(len(items), 1)


def _silent(what: str) -> None:
    """Tell nobody."""
