"""A logistic regression of the user's own, started afresh for every user: no group, no prior but its ridge.

The textbook method (Cox 1958) with the ridge that scikit-learn documents as its default, C = 1, on the features as they
are and without an intercept, because swapping the sides must swap the answer. Questions at random, or by uncertainty
sampling (Lewis and Gale 1994): the question whose answer is least certain, after a first one at random. A tie counts
as one preference each way. It knows nothing of a group, so it has no form with our prior.
"""

import numpy as np

from prefq.inference.laplace_batch import Gaussians, fit_posteriors, same_for_all
from prefq.simulation.panels import History, Rows, Study
from prefq.simulation.rules import best_rows
from prefq.simulation.strategies import Belief, Learner, LinearBelief, Strategy
from prefq.vocabulary import Gaussian, ResponseModel

C = 1.0  # minimise |w|² / 2 + C Σ log loss, which is the mode under a prior of variance C


def coefficients(study: Study, history: History) -> Gaussians:
    """Every user's ridge estimate, with the covariance that its Hessian gives."""
    n_features = study.first.shape[-1]
    ridge = same_for_all(Gaussian(np.zeros(n_features), C * np.eye(n_features)), study.n_users)
    differences = history.of(study.first) - history.of(study.second)
    return fit_posteriors(ridge, differences, history.outcomes, ResponseModel())


def begin_random(study: Study, *, rng: np.random.Generator) -> Learner:
    """Questions in random order, another for each user."""
    order = rng.random(study.open.shape)

    def learn(history: History) -> Belief:
        return LinearBelief(
            coefficients(study, history), lambda: best_rows(order, history.left(study.open)), integrated=False
        )

    return learn


def begin_uncertain(study: Study, *, rng: np.random.Generator) -> Learner:
    """The question whose predicted probability is nearest to one half; the first at random."""
    order, differences = rng.random(study.open.shape), study.differences

    def learn(history: History) -> Belief:
        estimate = coefficients(study, history)

        def choose() -> Rows:
            if not history.rows.shape[1]:
                return best_rows(order, study.open)
            margins, _ = estimate.margins(differences)
            return best_rows(-np.abs(margins), history.left(study.open))

        return LinearBelief(estimate, choose, integrated=False)

    return learn


STRATEGIES: tuple[Strategy, ...] = (
    Strategy("logistic_random", begin_random, "each user's own logistic regression, random questions", kind="peer"),
    Strategy(
        "logistic_uncertain",
        begin_uncertain,
        "each user's own logistic regression, the least certain question next",
        kind="peer",
    ),
)
