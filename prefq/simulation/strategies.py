"""Strategies: how the next question is chosen and what the answers are made of, for many users at once.

A strategy begins a study and returns a learner, a function from the history so far to a belief; the belief names the
next question and predicts. A learner keeps no state of its own, so any history can be put to it. Ours are here;
controls are in `controls`, the recipes of others are loaded by path.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prefq.inference.beliefs import Mixtures, ep_posteriors, laplace_posteriors, mixture_for_all
from prefq.inference.laplace_batch import Gaussians, fit_posteriors, same_for_all
from prefq.inference.predictive import preference_probability
from prefq.inference.surprise import checked
from prefq.questions.acquisition import ACQUISITIONS, information_gain
from prefq.simulation.panels import History, Rows, Study
from prefq.simulation.rules import RuleOf, best_utility, highest, least_target_variance, most_informative
from prefq.vocabulary import Array


class Belief(Protocol):
    """What a strategy believes about each user after a history."""

    def next_rows(self) -> Rows:
        """Row of the next question for each user (n_users,); -1 where nothing is left to ask."""

    def predict(self, first: Array, second: Array) -> Array:
        """Probability that each user prefers the first (n_users, n), from features (1 or n_users, n, n_features)."""

    def score(self, items: Array) -> Array:
        """Scores (n_users, n), higher is better for this user, of items (1 or n_users, n, n_features)."""


Learner = Callable[[History], Belief]
Update = Callable[[Study, History, Mixtures], Mixtures]
"""From what was believed before the answers to what is believed after them."""


class Begin(Protocol):
    """How a strategy begins."""

    def __call__(self, study: Study, *, rng: np.random.Generator) -> Learner:
        """A learner for this study; `rng` is the strategy's own."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way to ask and to learn.

    Parameters
    ----------
    name
        In tables and files.
    begin
        Makes a learner for a study.
    summary
        One line for readers of a table.
    users_at_once
        How many users one call handles well: many for arrays, few for recipes that fit one user at a time.
    kind
        ``"ours"``, ``"control"``, ``"ablation"`` or ``"peer"``.
    """

    name: str
    begin: Begin
    summary: str
    users_at_once: int = 100
    kind: str = "ours"


@dataclass(frozen=True, slots=True, eq=False)
class OwnBelief:
    """What prefq believes of each user, and the rule that chooses from it.

    Parameters
    ----------
    study
        What was known beforehand.
    told
        What predictions are made of; asked for once.
    choose
        Row of the next question for each user, called when it is asked for.
    """

    study: Study
    told: Callable[[], Mixtures]
    choose: Callable[[], Rows]

    def next_rows(self) -> Rows:
        """Row of the next question for each user (n_users,)."""
        return self.choose()

    def predict(self, first: Array, second: Array) -> Array:
        """Probability that each user prefers the first (n_users, n), margins being felt as those of questions are."""
        stretch = self.study.test_stretch
        felt = self.study.response_model.felt((first - second) / stretch) * stretch
        return self.told().preference_probability(felt)

    def score(self, items: Array) -> Array:
        """Scores of items (n_users, n): the mean reward."""
        return np.asarray(np.matmul(items, self.told().means[:, :, None])[..., 0])

    def no_personal_taste(self) -> Array:
        """Probability that a user has no taste of their own (n_users,); NaN where the prior knows no such users."""
        weights, number = self.told().weights, self.study.impersonal
        return np.full(len(weights), np.nan) if number is None else weights[:, number]


@dataclass(frozen=True, slots=True, eq=False)
class LinearBelief:
    """Gaussian coefficients for each user, and the rule that chooses from them; for recipes of others.

    Parameters
    ----------
    coefficients
        Mean and factor for each user.
    choose
        Row of the next question for each user, called when it is asked for.
    integrated
        Whether predictions average over the coefficients; otherwise they are those at the mean.
    """

    coefficients: Gaussians
    choose: Callable[[], Rows]
    integrated: bool = True

    def next_rows(self) -> Rows:
        """Row of the next question for each user (n_users,)."""
        return self.choose()

    def predict(self, first: Array, second: Array) -> Array:
        """Probability that each user prefers the first (n_users, n)."""
        if not self.integrated:
            mean = np.matmul(first - second, self.coefficients.means[:, :, None])[..., 0]
            return preference_probability(mean.ravel(), np.zeros(mean.size)).reshape(mean.shape)
        mean, variance = self.coefficients.margins(first - second)
        return preference_probability(mean.ravel(), variance.ravel()).reshape(mean.shape)

    def score(self, items: Array) -> Array:
        """Scores of items (n_users, n): the mean reward."""
        return np.asarray(np.matmul(items, self.coefficients.means[:, :, None])[..., 0])


@dataclass(frozen=True, slots=True, eq=False)
class SeparateBeliefs:
    """One belief a user, each made for that user alone."""

    beliefs: Sequence[Belief]

    def next_rows(self) -> Rows:
        """Row of the next question for each user (n_users,)."""
        return np.concatenate([belief.next_rows() for belief in self.beliefs])

    def predict(self, first: Array, second: Array) -> Array:
        """Probability that each user prefers the first (n_users, n)."""
        return np.concatenate(
            [belief.predict(_own(first, user), _own(second, user)) for user, belief in enumerate(self.beliefs)]
        )

    def score(self, items: Array) -> Array:
        """Scores of items (n_users, n)."""
        return np.concatenate([belief.score(_own(items, user)) for user, belief in enumerate(self.beliefs)])


def each_user(begin: Begin) -> Begin:
    """Put a recipe that knows one user at a time to many.

    Parameters
    ----------
    begin
        Handles studies of one user: arrays whose first axis is 1, histories of one row.

    Returns
    -------
    Begin
        Begins the recipe anew for every user, with a generator of its own, so that who is asked beside a user does not
        matter.
    """

    def begin_all(study: Study, *, rng: np.random.Generator) -> Learner:
        learners = [begin(_one_user(study, user), rng=own_rng) for user, own_rng in enumerate(rng.spawn(study.n_users))]

        def learn(history: History) -> Belief:
            own = [History(rows[None], outcomes[None]) for rows, outcomes in zip(*history, strict=True)]
            return SeparateBeliefs([learner(answers) for learner, answers in zip(learners, own, strict=True)])

        return learn

    return begin_all


def own_answers(study: Study, history: History) -> tuple[Array, Array, NDArray[np.int8]]:
    """What the user of a study of one replied: features of both sides (n_answers, n_features), and outcomes.

    Steps at which nothing was left to ask are left out.
    """
    asked = history.rows[0] >= 0
    rows = history.rows[0, asked]
    return study.first[0, rows], study.second[0, rows], history.outcomes[0, asked]


def from_group(study: Study) -> Gaussians:
    """Where users start, as one Gaussian: all at the moments of the prior that was fitted on the group."""
    return same_for_all(study.gaussian, study.n_users)


def posterior(study: Study, history: History, priors: Gaussians) -> Gaussians:
    """Laplace posteriors of all users after a history, from one Gaussian each."""
    return fit_posteriors(priors, felt_differences(study, history), history.outcomes, study.response_model)


def from_population(study: Study) -> Mixtures:
    """Where users start: all at the prior that was fitted on the group, one Gaussian or several."""
    return mixture_for_all(study.prior, study.n_users)


def by_laplace(study: Study, history: History, priors: Mixtures) -> Mixtures:
    """Laplace posteriors of all users after a history."""
    return _updated(laplace_posteriors, study, history, priors)


def by_propagation(study: Study, history: History, priors: Mixtures) -> Mixtures:
    """Posteriors of all users by expectation propagation: what questions are chosen by and predictions are made of."""
    return _updated(ep_posteriors, study, history, priors)


def _updated(posteriors: Callable[..., Mixtures], study: Study, history: History, priors: Mixtures) -> Mixtures:
    answers = (felt_differences(study, history), history.outcomes, study.response_model)
    return posteriors(checked(priors, *answers), *answers)


def felt_differences(study: Study, history: History) -> Array:
    """First minus second of what was asked (n_users, n_answers, n_features), as the response model has them felt."""
    return study.response_model.felt(history.of(study.first) - history.of(study.second))


def listening(
    rule_of: RuleOf,
    *,
    start: Callable[[Study], Mixtures] = from_population,
    heard: Update = by_propagation,
    told: Update = by_propagation,
) -> Begin:
    """A strategy of ours from a rule that names the next questions; all differ in the rule only, unless they say so.

    Parameters
    ----------
    rule_of
        Makes the rule for a study: from a history, and the posterior to choose by, called where it is needed, to rows
        of the next questions.
    start
        What is believed of each user before the first answer.
    heard
        How answers become what questions are chosen by.
    told
        How answers become what predictions are made of.
    """

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        priors, rule = start(study), rule_of(study, rng)

        def learn(history: History) -> Belief:
            chosen_by = cache(lambda: heard(study, history, priors))
            predicted_by = chosen_by if told is heard else cache(lambda: told(study, history, priors))
            return OwnBelief(study, predicted_by, lambda: rule(history, chosen_by))

        return learn

    return begin


def _own(values: Array, user: int) -> Array:
    """A user's own part of values (1 or n_users, …), first axis kept."""
    return values if len(values) == 1 else values[user : user + 1]


def _one_user(study: Study, user: int) -> Study:
    """The study as this user alone would have it."""
    stated = study.stated
    return replace(
        study,
        first=_own(study.first, user),
        second=_own(study.second, user),
        open=study.open[user : user + 1],
        stated=None if stated is None else stated._replace(readings=stated.readings[user : user + 1]),
        words=None if study.words is None else _own(study.words, user),
    )


def _ours(name: str, rule_of: RuleOf) -> Strategy:
    return Strategy(name, listening(rule_of), f"ours: `{name}`, fitted prior")


OURS: Sequence[Strategy] = (
    *(
        _ours(name, most_informative if acquisition is information_gain else highest(acquisition))
        for name, acquisition in ACQUISITIONS.items()
    ),
    _ours("target_variance", least_target_variance),
    _ours("expected_utility_of_best", best_utility),
)
