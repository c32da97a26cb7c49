"""What people tell who did not teach the heads: how far tastes reach along them, and how many heads there should be.

A group is folded; heads of each fold are learned without its people (`prefq.rewards.learning` says why), and features
by these heads are all that is kept of them here.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.groups import Group
from prefq.inference.mixture_em import Population, evidence_of
from prefq.inference.population import fit_population_prior
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import HeldOutCurve, held_out_curve
from prefq.vocabulary import Array, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

AFTER = 10  # answers by which the number of features is chosen
FOLDS = 5
MOST_ANSWERS = 40_000  # of a group: beyond, three folds tell as much
CLOSE = 0.01  # of accuracy, and of log loss in nats: fewer features that are as good as this are taken
CLOSE_EVIDENCE = 0.0005  # nats an answer: the evidence is of all answers, and varies less
PLAIN = ResponseModel()

Features = Callable[[GroupComparisons, GroupComparisons, int, str], Array]
"""From the others, a fold's own comparisons, a number of features and words for the fold: the own answers' features."""


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


class Seen(NamedTuple):
    """Answers as features by heads that were learned without those who gave them."""

    features: Array
    outcomes: NDArray[np.int8]
    users: NDArray[np.int64]

    def first(self, n_features: int) -> "Seen":
        """The same of the first features."""
        return self._replace(features=self.features[:, :n_features])


class Strengths(NamedTuple):
    """Mean and variances of people's coefficients on canonical features (n_features,)."""

    mean: Array
    variances: Array

    def first(self, n_features: int) -> "Strengths":
        """The same of the first features."""
        return Strengths(self.mean[:n_features], self.variances[:n_features])


class Held(NamedTuple):
    """What the folds tell of a number of features: their people's answers, and strengths.

    others are the strengths that the people of all other folds tell, one for each fold, whole those of everybody.
    """

    folds: list[Seen]
    others: list[Strengths]
    whole: Strengths

    @classmethod
    def of(cls, folds: list[Seen]) -> "Held":
        """Strengths as the people of the folds tell them; people may differ in fewer ways than were asked for."""
        n_features = min(fold.features.shape[1] for fold in folds)
        folds = [fold.first(n_features) for fold in folds]
        others = [strengths(folds[:i] + folds[i + 1 :]) for i in range(len(folds))]
        return cls(folds, others, strengths(folds))

    def first(self, n_features: int) -> "Held":
        """The same of the first features."""
        folds, others = (
            [each.first(n_features) for each in self.folds],
            [each.first(n_features) for each in self.others],
        )
        return Held(folds, others, self.whole.first(n_features))


def held_out(
    group: GroupComparisons,
    numbers: tuple[int, ...],
    features: Features,
    *,
    nested: bool,
    rng: np.random.Generator,
) -> dict[int, Held]:
    """For each number of features, what the folds tell.

    Parameters
    ----------
    group
        Who preferred what.
    numbers
        Of features.
    features
        Learns heads from some of the people, and gives the others' features.
    nested
        Whether the first of many features are those of fewer, so that the largest number tells of all.
    rng
        Draws the folds.
    """
    n_folds = min(group.n_users, FOLDS if group.n_comparisons <= MOST_ANSWERS else 3)
    part = rng.permutation(np.arange(group.n_users) % n_folds)
    seen: dict[int, list[Seen]] = {number: [] for number in ((max(numbers),) if nested else numbers)}
    for fold in range(n_folds):
        others, own = group.of_users(part != fold), group.of_users(part == fold)
        if not others.n_comparisons or not own.n_comparisons:
            continue
        for number, of in seen.items():
            found = features(others, own, number, f", fold {fold + 1} of {n_folds}")
            of.append(Seen(found, own.outcomes, own.users))
    held = {number: Held.of(of) for number, of in seen.items() if len(of) > 1}
    if not (nested and held):
        return held
    whole = held[max(numbers)]  # people may differ in fewer ways than were asked for
    return {number: whole.first(number) for number in sorted({min(n, len(whole.whole.mean)) for n in numbers})}


def strengths(folds: list[Seen]) -> Strengths:
    """Of the people of these folds, whose axes are matched by their order.

    Which way an axis points differs from fold to fold, but for the first: means along the others are zero.
    """
    features, outcomes, users = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    believed = fit_population_prior(features, outcomes, users, response_model=PLAIN).coefficients
    mean = np.zeros(features.shape[1])
    mean[0] = believed.mean[0]
    return Strengths(mean, np.diag(believed.covariance).copy())


def curve_of(held: dict[int, Held], rng: np.random.Generator) -> tuple[RankPoint, ...]:
    """A point for each number of features, all tested on the same answers."""
    seed = int(rng.integers(2**63))
    return tuple(_point(number, of, seed) for number, of in held.items())


def chosen(curve: tuple[RankPoint, ...]) -> int:
    """The fewest features as good as any, within `CLOSE`; by the evidence where people gave too few answers."""
    told = [point for point in curve if np.isfinite(point.log_loss) and point.told >= AFTER / 2]
    if not told:
        most = max(point.log_evidence for point in curve)
        return min(point.n_features for point in curve if point.log_evidence >= most - CLOSE_EVIDENCE)
    loss, accuracy = min(point.log_loss for point in told), max(point.accuracy for point in told)
    good = [p.n_features for p in told if p.log_loss <= loss + CLOSE and p.accuracy >= accuracy - CLOSE]
    return min(good or [min(told, key=lambda point: point.log_loss).n_features])


def _point(n_features: int, held: Held, seed: int) -> RankPoint:
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


def _log_evidence(fold: Seen, start: Gaussian) -> float:
    """Log evidence of the answers of a fold's people, in nats, who start so."""
    order = np.argsort(fold.users, kind="stable")
    _, counts = np.unique(fold.users, return_counts=True)
    n_features = fold.features.shape[1]
    group = Group(fold.features[order], fold.outcomes[order], counts.astype(np.intp), np.ones(n_features), 0)
    return float(evidence_of(group, PLAIN, Population(np.ones(1), (start,))).sum())
