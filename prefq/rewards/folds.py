"""What people tell who did not teach the heads: how far tastes reach along them, and how many heads there should be.

A group is folded; heads of each fold are learned without its people (`prefq.rewards.learning` says why), and features
by these heads are all that is kept of them here.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.likelihood import sigmoid
from prefq.inference.population import fit_population_prior
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import HeldOutCurve, held_out_curve
from prefq.vocabulary import Array, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

AFTER = 10  # answers by which the number of features is chosen
FOLDS = 5
FEW_PEOPLE = 20  # up to so many each is a fold: heads of four fifths of a few people are much worse than those of all
MOST_ANSWERS = 40_000  # of a group: beyond, three folds tell as much
CLOSE, CLOSE_NATS = 0.01, 0.005  # of accuracy, and of log loss: fewer features that are as good as this are taken
SIMULATED = 400  # people
SIMULATED_ANSWERS = 40  # of each; ten are learned from, the others predicted
PLAIN = ResponseModel()

Features = Callable[[GroupComparisons, GroupComparisons, int, str], Array]
"""From the others, a fold's own comparisons, a number of features and words for the fold: the own answers' features."""


class RankPoint(NamedTuple):
    """Held-out people after no and after ten answers, with so many features: means and standard errors over people.

    told is the mean number of answers of theirs that were used: ten, but where people gave fewer than twenty. Where
    that is too few to choose by, simulated are log loss and accuracy of people after ten answers whose tastes are drawn
    as strong as those of the people held out; else NaN.
    """

    n_features: int
    told: float
    log_loss_before: float
    log_loss: float
    log_loss_error: float
    accuracy_before: float
    accuracy: float
    accuracy_error: float
    simulated_log_loss: float = float("nan")
    simulated_accuracy: float = float("nan")


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
    told: GroupComparisons,
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
        Who preferred what; heads are learned from all of it.
    told
        The part of it that tells strengths and is predicted: what is `independent`.
    numbers
        Of features.
    features
        Learns heads from some of the people, and gives the others' features.
    nested
        Whether the first of many features are those of fewer, so that the largest number tells of all.
    rng
        Draws the folds.
    """
    many = FOLDS if group.n_comparisons <= MOST_ANSWERS else 3
    n_folds = group.n_users if group.n_users <= FEW_PEOPLE else many
    part = rng.permutation(np.arange(group.n_users) % n_folds)
    seen: dict[int, list[Seen]] = {number: [] for number in ((max(numbers),) if nested else numbers)}
    for fold in range(n_folds):
        others, own = group.of_users(part != fold), told.of_users(part == fold)
        if not others.n_comparisons or not own.n_comparisons:
            continue
        for number, of in seen.items():
            found = features(others, own, number, f", fold {fold + 1} of {n_folds}")
            of.append(Seen.of(found, own))
    held = {number: Held.of(of) for number, of in seen.items() if len(of) > 1}
    if not (nested and held):
        return held
    whole = held[max(numbers)]  # people may differ in fewer ways than were asked for
    return {number: whole.first(number) for number in sorted({min(n, len(whole.whole.mean)) for n in numbers})}


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
    """A point for each number of features, all tested on the same answers; simulated where there are too few."""
    seed = int(rng.integers(2**63))
    curve = tuple(_point(number, of, seed) for number, of in held.items())
    return curve if any(map(_is_told, curve)) or not curve else _simulated(curve, held, np.random.default_rng(seed))


def chosen(curve: tuple[RankPoint, ...]) -> int:
    """The fewest features about as good as any, after ten answers of people held out or simulated."""
    told = [(p.n_features, p.log_loss, p.accuracy) for p in curve if _is_told(p)]
    told = told or [(p.n_features, p.simulated_log_loss, p.simulated_accuracy) for p in curve]
    loss, accuracy = min(point[1] for point in told), max(point[2] for point in told)
    good = [n for n, own_loss, own in told if own_loss <= loss + CLOSE_NATS and own >= accuracy - CLOSE]
    return min(good or [min(told, key=lambda point: point[1])[0]])


def _is_told(point: RankPoint) -> bool:
    return bool(np.isfinite(point.log_loss) and point.told >= AFTER / 2)


def _simulated(curve: tuple[RankPoint, ...], held: dict[int, Held], rng: np.random.Generator) -> tuple[RankPoint, ...]:
    """The curve with what ten answers would tell, were people as the most features that were tried say.

    After two or three answers more features hardly help yet: to choose by these is to choose too few.
    """
    most = held[max(held)]
    mean, variances = most.whole
    features = np.concatenate([fold.features for fold in most.folds])
    shape = (SIMULATED, SIMULATED_ANSWERS)
    asked = features[rng.integers(len(features), size=shape)]
    tastes = mean + rng.normal(size=(SIMULATED, len(mean))) * np.sqrt(variances)
    likes = rng.random(shape) < sigmoid((asked @ tastes[:, :, None])[..., 0])
    everything = asked.reshape(-1, len(mean)), np.where(likes, 1, -1).astype(np.int8).ravel()
    users, order = np.repeat(np.arange(SIMULATED), SIMULATED_ANSWERS), int(rng.integers(2**63))
    seen = Seen(*everything, users, np.arange(len(users)))

    def simulated(point: RankPoint) -> RankPoint:
        own, who = seen.first(point.n_features), most.whole.first(point.n_features)
        found = own.curve(_prior(who), after=(AFTER,), rng=np.random.default_rng(order))
        loss, accuracy = float(found.log_loss[0]), float(found.accuracy[0])
        return point._replace(simulated_log_loss=loss, simulated_accuracy=accuracy)

    return tuple(map(simulated, curve))


def _prior(who: Strengths) -> PopulationPrior:
    """People of these strengths, who reply plainly."""
    space = FeatureSpace([f"x{j}" for j in range(len(who.mean))])
    return PopulationPrior(Gaussian(who.mean, np.diag(who.variances)), response_model=PLAIN, feature_space=space)


def _point(n_features: int, held: Held, seed: int) -> RankPoint:
    """Held-out people of all folds, each predicted with the strengths that the other folds tell."""
    curves: list[HeldOutCurve] = []
    for i, (fold, others) in enumerate(zip(held.folds, held.others, strict=True)):
        rng = np.random.default_rng([seed, i])
        try:
            curves.append(fold.curve(_prior(others), after=(0, AFTER), rng=rng))
        except InputError:  # nobody of this fold has enough answers
            continue
    if not curves:
        return RankPoint(n_features, 0.0, *[float("nan")] * 6)
    losses = np.concatenate([curve.log_losses for curve in curves])
    hits = np.concatenate([curve.accuracies for curve in curves])
    root = np.sqrt(max(len(losses) - 1, 1))
    told = np.concatenate([curve.told[:, 1] for curve in curves])
    return RankPoint(
        n_features,
        float(told.mean()),
        float(losses[:, 0].mean()),
        float(losses[:, 1].mean()),
        float(losses[:, 1].std() / root),
        float(hits[:, 0].mean()),
        float(hits[:, 1].mean()),
        float(hits[:, 1].std() / root),
    )
