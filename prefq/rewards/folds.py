"""What people tell who did not teach the heads: how far tastes reach along them, and how many heads there should be.

A group is folded; heads of each fold are learned without its people (`prefq.rewards.learning` says why), and features
by these heads are all that is kept of them here.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.ep_batch import settle
from prefq.inference.groups import Group
from prefq.inference.laplace_batch import same_for_all
from prefq.inference.population import fit_population_prior
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import HeldOutCurve, held_out_curve
from prefq.vocabulary import Array, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

AFTER = 10  # answers by which the number of features is chosen
FOLDS = 5
FEW_PEOPLE = 20  # up to so many each is a fold: heads of four fifths of a few people are much worse than those of all
MOST_ANSWERS = 40_000  # of a group: beyond, three folds tell as much, and own answers hardly change strengths
CLOSE, CLOSE_NATS = 0.01, 0.005  # of accuracy, and of log loss: fewer features that are as good as this are taken
CLOSE_EVIDENCE = 1.0  # nats of all answers, where these are too few for that
PLAIN = ResponseModel()

Features = Callable[[GroupComparisons, GroupComparisons, tuple[int, ...], str], list[Array]]
"""From the others, a fold's own comparisons, numbers of features and words for the fold: the own answers' features."""


class RankPoint(NamedTuple):
    """Held-out people after no and after ten answers, with so many features: means and standard errors over people.

    told is the mean number of answers of theirs that were used: ten, but where people gave fewer than twenty. Where
    that is too few to choose by, evidence is the log-probability, in nats, of all their answers before any was heard.
    """

    n_features: int
    told: float
    log_loss_before: float
    log_loss: float
    log_loss_error: float
    accuracy_before: float
    accuracy: float
    accuracy_error: float
    evidence: float = float("nan")


class Seen(NamedTuple):
    """Answers as features by heads that were learned without those who gave them; `GroupComparisons.occasions`."""

    features: Array
    outcomes: NDArray[np.int8]
    users: NDArray[np.int64]
    occasions: NDArray[np.int64]

    @classmethod
    def of(cls, features: Array, group: GroupComparisons) -> "Seen":
        """The answers of a group, whose features these are."""
        return cls(features, group.outcomes, group.users, group.occasions())

    def first(self, n_features: int) -> "Seen":
        """The same of the first features."""
        return self._replace(features=self.features[:, :n_features])

    def curve(self, prior: PopulationPrior, *, after: tuple[int, ...], rng: np.random.Generator) -> HeldOutCurve:
        """Those who gave them, predicted after some of them."""
        own = self.features, self.outcomes, self.users
        return held_out_curve(*own, prior, occasions=self.occasions, after=after, rng=rng)


class Strengths(NamedTuple):
    """Mean and variances of people's coefficients on canonical features (n_features,)."""

    mean: Array
    variances: Array

    def first(self, n_features: int) -> "Strengths":
        """The same of the first features."""
        return Strengths(self.mean[:n_features], self.variances[:n_features])


class Held(NamedTuple):
    """What the folds tell of a number of features: their people's answers, and strengths.

    others are the strengths that the people of all other folds tell, one for each fold, or of large groups those of
    everybody, which are whole.
    """

    folds: list[Seen]
    others: list[Strengths]
    whole: Strengths

    @classmethod
    def of(cls, folds: list[Seen]) -> "Held":
        """Strengths as the people of the folds tell them; people may differ in fewer ways than were asked for."""
        n_features = min(fold.features.shape[1] for fold in folds)
        folds = [fold.first(n_features) for fold in folds]
        whole = strengths(folds)
        if sum(len(fold.outcomes) for fold in folds) > MOST_ANSWERS:
            return cls(folds, [whole] * len(folds), whole)
        return cls(folds, [strengths(folds[:i] + folds[i + 1 :]) for i in range(len(folds))], whole)


def held_out(
    group: GroupComparisons,
    told: GroupComparisons,
    numbers: tuple[int, ...],
    features: Features,
    *,
    rng: np.random.Generator,
) -> dict[int, Held]:
    """For each number of features, what the folds tell.

    Parameters
    ----------
    group
        Who preferred what; heads are learned from all of it.
    told
        The part of it that tells strengths and is predicted: what is `independent`.
    numbers
        Of features.
    features
        Learns heads from some of the people, and gives the others' features.
    rng
        Draws the folds.
    """
    many = FOLDS if group.n_comparisons <= MOST_ANSWERS else 3
    n_folds = group.n_users if group.n_users <= FEW_PEOPLE else many
    part = rng.permutation(np.arange(group.n_users) % n_folds)
    seen: dict[int, list[Seen]] = {number: [] for number in numbers}
    for fold in range(n_folds):
        others, own = group.of_users(part != fold), told.of_users(part == fold)
        if not others.n_comparisons or not own.n_comparisons:
            continue
        found = features(others, own, numbers, f", fold {fold + 1} of {n_folds}")
        for of, each in zip(seen.values(), found, strict=True):
            of.append(Seen.of(each, own))
    held = [Held.of(of) for of in seen.values() if len(of) > 1]
    return {len(each.whole.mean): each for each in held}  # people may differ in fewer ways than were asked for


def strengths(folds: list[Seen]) -> Strengths:
    """Of the people of these folds, whose axes are matched by their order.

    Which way an axis points differs from fold to fold, but for the first: means along the others are zero.
    """
    features, outcomes, users, _ = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    believed = fit_population_prior(features, outcomes, users, response_model=PLAIN).coefficients
    mean = np.zeros(features.shape[1])
    mean[0] = believed.mean[0]
    return Strengths(mean, np.diag(believed.covariance).copy())


def curve_of(held: dict[int, Held], rng: np.random.Generator) -> tuple[RankPoint, ...]:
    """A point for each number of features, all tested on the same answers."""
    seed = int(rng.integers(2**63))
    return tuple(_point(number, of, seed) for number, of in held.items())


def chosen(curve: tuple[RankPoint, ...]) -> int:
    """The fewest features about as good as any, after ten answers of people held out; by evidence where they gave few.

    After two or three answers all numbers predict about alike, while all answers of all people may well tell.
    """
    if all(_is_told(point) for point in curve):
        loss, accuracy = min(point.log_loss for point in curve), max(point.accuracy for point in curve)
        good = [p for p in curve if p.log_loss <= loss + CLOSE_NATS and p.accuracy >= accuracy - CLOSE]
        return min(good or [min(curve, key=lambda point: point.log_loss)]).n_features
    most = max(point.evidence for point in curve)
    return min(point.n_features for point in curve if point.evidence >= most - CLOSE_EVIDENCE)


def _is_told(point: RankPoint) -> bool:
    return bool(np.isfinite(point.log_loss) and point.told >= AFTER / 2)


def _evidence(fold: Seen, prior: Gaussian) -> float:
    """Log-probability of a fold's answers before any of them was heard, in nats."""
    if not fold.features.any():
        return float(len(fold.outcomes) * np.log(0.5))
    group = Group.of(fold.features, fold.outcomes, fold.users, scales=np.ones(fold.features.shape[1]))
    total = group.n_left_out * np.log(0.5)
    for block in group.blocks():
        settled = settle(same_for_all(prior, len(block.users)), block.differences, block.outcomes, PLAIN)
        total += float(settled.log_evidence.sum()) - (block.rows < 0).sum() * np.log(0.5)
    return float(total)


def _point(n_features: int, held: Held, seed: int) -> RankPoint:
    """Held-out people of all folds, each predicted with the strengths that the other folds tell."""
    space = FeatureSpace([f"x{j}" for j in range(len(held.whole.mean))])
    people = [Gaussian(others.mean, np.diag(others.variances)) for others in held.others]
    curves: list[HeldOutCurve] = []
    for i, (fold, who) in enumerate(zip(held.folds, people, strict=True)):
        prior = PopulationPrior(who, response_model=PLAIN, feature_space=space)
        try:
            curves.append(fold.curve(prior, after=(0, AFTER), rng=np.random.default_rng([seed, i])))
        except InputError:  # nobody of this fold has enough answers
            continue
    point = _measured(n_features, curves)
    return point if _is_told(point) else point._replace(evidence=sum(map(_evidence, held.folds, people)))


def _measured(n_features: int, curves: list[HeldOutCurve]) -> RankPoint:
    """The point that the folds' curves make."""
    if not curves:
        return RankPoint(n_features, 0.0, *[float("nan")] * 6)
    losses = np.concatenate([curve.log_losses for curve in curves])
    hits = np.concatenate([curve.accuracies for curve in curves])
    root = np.sqrt(max(len(losses) - 1, 1))
    return RankPoint(
        n_features,
        float(np.concatenate([curve.told[:, 1] for curve in curves]).mean()),
        float(losses[:, 0].mean()),
        float(losses[:, 1].mean()),
        float(losses[:, 1].std() / root),
        float(hits[:, 0].mean()),
        float(hits[:, 1].mean()),
        float(hits[:, 1].std() / root),
    )
