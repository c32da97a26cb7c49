"""The exact posterior by importance sampling: the referee of approximations where features are few.

Draws come from the posterior by expectation propagation, widened, and some from the prior, so that nothing is missed (a
defensive mixture, Hesterberg 1995).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from prefq.inference.beliefs import Mixtures, ep_posteriors
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import log_likelihood, sigmoid
from prefq.simulation.panels import Outcomes
from prefq.vocabulary import Array, ResponseModel

N_DRAWS = 2000
WIDENED = 1.3  # standard deviations of what is drawn from, times those of the approximation
FROM_PRIOR = 0.2  # share of the draws
MOST_FEATURES = 8  # beyond it few draws would carry any weight


class WeightedDraws(NamedTuple):
    """Draws of coefficients (n_users, n_draws, n_features) with weights that sum to one (n_users, n_draws)."""

    draws: Array
    weights: Array

    @property
    def effective_sizes(self) -> Array:
        """How many equally weighted draws each user's are worth (n_users,): one over the sum of squared weights."""
        return np.asarray(1 / np.square(self.weights).sum(axis=1))

    def cdf(self, differences: Array, values: Array) -> Array:
        """Probability (n_users, n) that margins of differences (1 or n_users, n, n_features) are at most these values.

        An equal margin counts as being below.
        """
        below = [
            (x @ draws.T <= value[:, None]) @ weights
            for x, draws, weights, value in zip(self._own(differences), self.draws, self.weights, values, strict=True)
        ]
        return np.asarray(np.clip(np.stack(below), 0.0, 1.0))

    def preference_probability(self, differences: Array) -> Array:
        """Probability (n_users, n) that the first of each pair is preferred."""
        chances = [
            sigmoid(x @ draws.T) @ weights
            for x, draws, weights in zip(self._own(differences), self.draws, self.weights, strict=True)
        ]
        return np.asarray(np.clip(np.stack(chances), 0.0, 1.0))

    def _own(self, differences: Array) -> Array:
        return np.broadcast_to(differences, (len(self.draws), *differences.shape[1:]))


def exact_posteriors(
    priors: Mixtures,
    differences: Array,
    outcomes: Outcomes,
    response_model: ResponseModel,
    *,
    rng: np.random.Generator,
    n_draws: int = N_DRAWS,
) -> WeightedDraws:
    """Posteriors of many users by self-normalised importance sampling.

    Parameters
    ----------
    priors
        Before the answers, one mixture a user, of which components may be points, but not all.
    differences : (n_users, n_answers, n_features)
        As felt.
    outcomes : (n_users, n_answers) int8
        As in `Comparisons`.
    response_model
        How replies arise.
    rng
        Draws.
    n_draws
        For each user.
    """
    near = ep_posteriors(priors, differences, outcomes, response_model)
    spread = [bool(each.factors.any()) for each in priors.components]
    wide = [Gaussians(each.means, each.factors * WIDENED) for each in _kept(near.components, spread)]
    before = Mixtures(priors.weights[:, spread], tuple(_kept(priors.components, spread)))
    found = near.weights[:, spread] / near.weights[:, spread].sum(axis=1, keepdims=True)
    share = FROM_PRIOR * before.weights / before.weights.sum(axis=1, keepdims=True)
    proposal = Mixtures(np.hstack([(1 - FROM_PRIOR) * found, share]), (*wide, *before.components))
    draws = _drawn(proposal, n_draws, rng)
    logs = _log_density(before, draws) - _log_density(proposal, draws) - np.log(n_draws)
    points = [number for number, is_spread in enumerate(spread) if not is_spread]
    if points:  # of these the whole mass is known without drawing
        draws = np.hstack([draws, np.stack([priors.components[number].means for number in points], axis=1)])
        with np.errstate(divide="ignore"):
            logs = np.hstack([logs, np.log(priors.weights[:, points])])
    if outcomes.shape[1]:
        margins = np.matmul(draws, differences.swapaxes(1, 2))
        replies = np.broadcast_to(outcomes[:, None], margins.shape)
        logs += log_likelihood(margins, replies, response_model).value.sum(axis=2)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return WeightedDraws(draws, weights / weights.sum(axis=1, keepdims=True))


def _kept(components: Sequence[Gaussians], wanted: Sequence[bool]) -> list[Gaussians]:
    """The components that are wanted, none without spread: a user's of weight 0 may have factor 0, and is given one."""
    kept = [each for each, is_wanted in zip(components, wanted, strict=True) if is_wanted]
    filled = []
    for means, factors in kept:
        missing = np.square(factors).sum(axis=(1, 2), keepdims=True) == 0
        filled.append(Gaussians(means, np.where(missing, np.eye(means.shape[1]), factors)))
    return filled


def _drawn(mixtures: Mixtures, n_draws: int, rng: np.random.Generator) -> Array:
    """Draws (n_users, n_draws, n_features) from each user's mixture."""
    n_users, n_features = mixtures.components[0].means.shape
    thrown, standard = rng.random((n_users, n_draws, 1)), rng.normal(size=(n_users, n_draws, n_features))
    which = (thrown > np.cumsum(mixtures.weights, axis=1)[:, None, :-1]).sum(axis=2)
    draws = np.empty((n_users, n_draws, n_features))
    for number, component in enumerate(mixtures.components):
        users, places = np.nonzero(which == number)
        moved = np.einsum("nij,nj->ni", component.factors[users], standard[users, places])
        draws[users, places] = component.means[users] + moved
    return draws


def _log_density(mixtures: Mixtures, at: Array) -> Array:
    """Log density (n_users, n) of each user's mixture at points (n_users, n, n_features), but for a constant."""
    logs = np.empty((len(mixtures.components), *at.shape[:2]))
    for number, (means, factors) in enumerate(mixtures.components):
        off = np.linalg.solve(factors, (at - means[:, None]).swapaxes(1, 2))
        with np.errstate(divide="ignore"):
            heights = np.log(mixtures.weights[:, number]) - np.linalg.slogdet(factors)[1]
        logs[number] = heights[:, None] - np.square(off).sum(axis=1) / 2
    return np.asarray(np.logaddexp.reduce(logs, axis=0))
