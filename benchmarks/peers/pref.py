"""PReF as released (Shenfeld et al. 2025, arXiv 2503.06358, and their code): onboarding on frozen base rewards.

Independent implementation from the paper and from what the released code was seen to do, which differ in places:

- the first question is random; then, at the current weights u, M = .001 I + Σ σ'(uᵀv) v vᵀ over the pairs v asked so
  far, and the next pair of the pool maximises σ'(uᵀv)² vᵀ M⁻¹ v (the paper speaks of the norm alone);
- after each answer u is fitted anew by maximum likelihood without a regulariser: 5,000 gradient steps of .01 on the
  mean cross-entropy, from a standard normal start. Where a hyperplane separates the answers, as it always does few of
  them, the maximum is at infinity: what comes out depends on the number of steps, the start and the features' unit;
- predictions are σ(uᵀv). A tie is half an answer each way. Before the first answer there is no estimate: one half.

Single precision there, double here. The training of the base rewards is not part of this: the features are the panel's.

With our prior: the Laplace posterior replaces the fit, its precision replaces M; the score and the random first
question stay.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from prefq.inference.laplace_batch import Gaussians
from prefq.simulation.panels import History, Outcomes, Rows, Study
from prefq.simulation.rules import best_rows
from prefq.simulation.strategies import Belief, Learner, LinearBelief, Strategy, from_group, posterior
from prefq.vocabulary import Array

STEPS = 5000
STEP_SIZE = 0.01
RIDGE = 0.001  # of the matrix that scores, not of the fit


def descend(start: Array, differences: Array, outcomes: Outcomes, *, steps: int = STEPS) -> Array:
    """Weights (n_users, n_features) after so many gradient steps on each user's mean cross-entropy.

    `differences` (n_users, n_answers, n_features); rows of zeros stand for nothing asked and do not count.
    """
    n_answers = np.maximum(differences.any(axis=2).sum(axis=1), 1)
    pulls = np.ascontiguousarray(differences.swapaxes(1, 2)) * (STEP_SIZE / n_answers)[:, None, None]
    wanted = (1 + outcomes[..., None]) / 2
    weights = start[..., None]
    for _ in range(steps):
        errors = expit(np.matmul(differences, weights)) - wanted
        weights = weights - np.matmul(pulls, errors)
    return np.asarray(weights[..., 0])


def ellipsoid(weights: Array, differences: Array) -> Gaussians:
    """Weights, and factors of M⁻¹ at them, M = .001 I + Σ σ'(uᵀv) v vᵀ over the pairs asked."""
    chances = expit(np.einsum("uad,ud->ua", differences, weights))
    curved = differences * (chances * (1 - chances))[..., None]
    matrix = RIDGE * np.eye(weights.shape[1]) + np.matmul(differences.swapaxes(1, 2), curved)
    roots = np.linalg.cholesky(matrix)
    return Gaussians(weights, np.linalg.inv(roots).swapaxes(1, 2))


def released_scores(mean: Array, variance: Array) -> Array:
    """σ'(uᵀv)² vᵀ M⁻¹ v from margins uᵀv and squared norms vᵀ M⁻¹ v, of any shape."""
    chances = expit(mean)
    return np.asarray(np.square(chances * (1 - chances)) * variance)


def next_rows(study: Study, history: History, belief: Gaussians, order: Array) -> Rows:
    """The first question by the random order, then those with the highest released score."""
    left = history.left(study.open)
    if not history.rows.shape[1]:
        return best_rows(order, left)
    return best_rows(released_scores(*belief.margins(study.differences)), left)


def begin_released(study: Study, *, rng: np.random.Generator) -> Learner:
    """The recipe as released."""
    order, fit = rng.random(study.open.shape), _maximum_likelihood(study, rng)

    def learn(history: History) -> Belief:
        weights, asked = fit(history)
        return LinearBelief(
            weights,
            lambda: next_rows(study, history, ellipsoid(weights.means, asked), order),
            integrated=False,
        )

    return learn


def begin_random(study: Study, *, rng: np.random.Generator) -> Learner:
    """Random questions, learned from as released."""
    order, fit = rng.random(study.open.shape), _maximum_likelihood(study, rng)

    def learn(history: History) -> Belief:
        weights, _ = fit(history)
        return LinearBelief(weights, lambda: best_rows(order, history.left(study.open)), integrated=False)

    return learn


def begin_with_prior(study: Study, *, rng: np.random.Generator) -> Learner:
    """The recipe on the Laplace posterior under the prior fitted on the group."""
    order, priors = rng.random(study.open.shape), from_group(study)

    def learn(history: History) -> Belief:
        belief = posterior(study, history, priors)
        return LinearBelief(belief, lambda: next_rows(study, history, belief, order))

    return learn


def _maximum_likelihood(study: Study, rng: np.random.Generator) -> Callable[[History], tuple[Gaussians, Array]]:
    """From a history to weights and the pairs asked; the same history always gets the same random start."""
    seed = int(rng.integers(2**63))

    def fit(history: History) -> tuple[Gaussians, Array]:
        asked = history.of(study.first) - history.of(study.second)
        n_users, n_answers, n_features = asked.shape
        weights = np.zeros((n_users, n_features))
        if n_answers:
            start = np.random.default_rng([seed, n_answers]).normal(size=weights.shape)
            weights = descend(start, asked, history.outcomes)
        return Gaussians(weights, np.zeros((n_users, n_features, n_features))), asked

    return fit


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "pref_released",
        begin_released,
        "PReF as released: first question random, then σ'² times the norm; weights by unregularised gradient descent",
        kind="peer",
    ),
    Strategy(
        "pref_released_random",
        begin_random,
        "PReF's weights as released, random questions",
        kind="peer",
    ),
    Strategy(
        "pref_released_with_prior",
        begin_with_prior,
        "PReF's choice of questions as released; our prior, posterior and predictions",
        kind="peer",
    ),
)
