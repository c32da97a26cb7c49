"""LoRe, low-rank reward modelling (Bose et al. 2025, arXiv 2504.14439): base rewards of a group, simplex weights.

Independent implementation from the paper and its project's documentation. The base rewards are linear in the panel's
features, the columns of V (n_features, n_bases); a user's coefficients are V w with w on the simplex by a softmax. V
and the group's weights are learned together from the group's answers by the Bradley-Terry likelihood (no regulariser
towards a reference head: the panels have none), then V is frozen and a newcomer's w alone is fitted to the newcomer's
answers, from equal weights. Adam with the documented 500 steps of size .5 for V; as many smaller steps for a newcomer.
Questions are random: the paper chooses none. A tie counts as half an answer each way. Nothing holds a newcomer's
weights back from a corner of the simplex, so few answers give sharp probabilities: judge it by accuracy, as the paper
does.

With our prior: the newcomer's loss gains -log N(V w; μ, Σ), so that the prior acts within the simplex of base rewards.
"""

from collections.abc import Callable

import numpy as np

from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import sigmoid
from prefq.simulation.panels import GroupAnswers, History, Outcomes, Study
from prefq.simulation.rules import best_rows
from prefq.simulation.strategies import Begin, Belief, Learner, LinearBelief, Strategy
from prefq.vocabulary import Array, Gaussian

N_BASES = 5  # of 3, 5, 7, 10 and 25 the most accurate at ten answers, in its favour (two gaussian(6) worlds)
STEPS = 500
GROUP_STEP = 0.5
USER_STEP = 0.1
MOMENTUM, SECOND_MOMENTUM, FLOOR = 0.9, 0.999, 1e-8  # Adam's usual settings (Kingma and Ba 2015)


def base_rewards(group: GroupAnswers, n_bases: int, *, rng: np.random.Generator) -> Array:
    """Base rewards (n_features, n_bases) that fit the group's answers best, with simplex weights for each user."""
    order = np.argsort(group.users, kind="stable")
    _, starts, counts = np.unique(group.users[order], return_index=True, return_counts=True)
    differences, wanted = group.differences[order], (1 + group.outcomes[order]) / 2
    n_users, n_features = len(counts), differences.shape[1]

    def gradients(bases: Array, logits: Array) -> tuple[Array, Array]:
        margins = differences @ bases  # of every base reward
        weights = np.repeat(softmax(logits), counts, axis=0)
        errors = sigmoid((margins * weights).sum(axis=1)) - wanted
        to_bases = differences.T @ (errors[:, None] * weights)
        to_weights = np.add.reduceat(errors[:, None] * margins, starts, axis=0)
        return to_bases / len(errors), through_softmax(logits, to_weights) / len(errors)

    bases, _ = adam(gradients, rng.normal(size=(n_features, n_bases)), rng.random((n_users, n_bases)), size=GROUP_STEP)
    return bases


def simplex_weights(bases: Array, differences: Array, outcomes: Outcomes, prior: Gaussian | None = None) -> Array:
    """Weights (n_users, n_bases) of newcomers on frozen base rewards, from their answers (n_users, n_answers, …)."""
    margins, wanted = differences @ bases, (1 + outcomes) / 2

    def gradients(logits: Array) -> tuple[Array]:
        weights = softmax(logits)
        errors = sigmoid(np.einsum("uab,ub->ua", margins, weights)) - wanted
        to_weights = np.einsum("ua,uab->ub", errors, margins)
        if prior is not None:
            pull = np.linalg.solve(prior.covariance, (weights @ bases.T - prior.mean).T)
            to_weights = to_weights + pull.T @ bases
        return (through_softmax(logits, to_weights),)

    (logits,) = adam(gradients, np.zeros((len(differences), bases.shape[1])), size=USER_STEP)
    return softmax(logits)


def adam(gradients: Callable[..., tuple[Array, ...]], *start: Array, size: float) -> tuple[Array, ...]:
    """Parameters after `STEPS` steps of Adam."""
    values = [array.copy() for array in start]
    slopes, squares = [np.zeros_like(array) for array in start], [np.zeros_like(array) for array in start]
    for step in range(1, STEPS + 1):
        for i, gradient in enumerate(gradients(*values)):
            slopes[i] += (1 - MOMENTUM) * (gradient - slopes[i])
            squares[i] += (1 - SECOND_MOMENTUM) * (gradient**2 - squares[i])
            scale = np.sqrt(squares[i] / (1 - SECOND_MOMENTUM**step)) + FLOOR
            values[i] -= size * slopes[i] / (1 - MOMENTUM**step) / scale
    return tuple(values)


def softmax(logits: Array) -> Array:
    """Softmax over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def through_softmax(logits: Array, gradient: Array) -> Array:
    """Gradient with respect to the logits from that with respect to their softmax."""
    weights = softmax(logits)
    return np.asarray(weights * (gradient - (weights * gradient).sum(axis=-1, keepdims=True)))


def nothing(study: Study) -> None:
    """No prior."""


def ours(study: Study) -> Gaussian:
    """The prior fitted on the group."""
    return study.gaussian


def recipe(prior_of: Callable[[Study], Gaussian | None]) -> Begin:
    """LoRe, with or without a prior on a newcomer's coefficients."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        order, prior = rng.random(study.open.shape), prior_of(study)
        bases = base_rewards(study.group, N_BASES, rng=rng)

        def learn(history: History) -> Belief:
            differences = history.of(study.first) - history.of(study.second)
            means = simplex_weights(bases, differences, history.outcomes, prior) @ bases.T
            sure = Gaussians(means, np.zeros((*means.shape, means.shape[1])))
            return LinearBelief(sure, lambda: best_rows(order, history.left(study.open)), integrated=False)

        return learn

    return begin


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "lore", recipe(nothing), "LoRe: simplex weights on the group's base rewards, random questions", kind="peer"
    ),
    Strategy("lore_with_prior", recipe(ours), "LoRe, our prior on what the simplex weights give", kind="peer"),
)
