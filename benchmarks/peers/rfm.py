"""RFM, the reward feature model (Barreto et al. 2025, arXiv 2503.17338): random questions, a new rater's logistic
regression over frozen features.

The paper learns features from many raters and then fits a newcomer's weights alone, a convex logistic regression; the
pairs to adapt on are drawn uniformly. There is no public code, and we know of no stated regulariser, while without one
ten answers that a hyperplane separates have no finite estimate. Assumed here: a ridge of one, with the features in
units of their root mean square difference over the group's answers. The frozen features are the panel's own. A tie
counts as one preference each way.

With our prior: the same questions and point estimate, the ridge replaced by the prior fitted on the group.
"""

from collections.abc import Callable

import numpy as np

from prefq.inference.laplace_batch import fit_posteriors, same_for_all
from prefq.simulation.panels import History, Study
from prefq.simulation.rules import best_rows
from prefq.simulation.strategies import Begin, Belief, Learner, LinearBelief, Strategy
from prefq.vocabulary import Gaussian, ResponseModel

RIDGE = 1.0  # on weights of features in standard units


def ridge(study: Study) -> Gaussian:
    """The prior whose mode is the ridge estimate in standard units of the features."""
    mean_squares = np.square(study.group.differences).mean(axis=0)
    return Gaussian(np.zeros(mean_squares.size), np.diag(1 / (RIDGE * np.where(mean_squares > 0, mean_squares, 1.0))))


def ours(study: Study) -> Gaussian:
    """The prior fitted on the group."""
    return study.gaussian


def recipe(prior_of: Callable[[Study], Gaussian]) -> Begin:
    """Random questions and the mode under a prior."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        order, priors = rng.random(study.open.shape), same_for_all(prior_of(study), study.n_users)

        def learn(history: History) -> Belief:
            differences = history.of(study.first) - history.of(study.second)
            weights = fit_posteriors(priors, differences, history.outcomes, ResponseModel())
            return LinearBelief(weights, lambda: best_rows(order, history.left(study.open)), integrated=False)

        return learn

    return begin


STRATEGIES: tuple[Strategy, ...] = (
    Strategy("rfm", recipe(ridge), "RFM: random questions, logistic regression over frozen features", kind="peer"),
    Strategy("rfm_with_prior", recipe(ours), "RFM, our prior for its ridge; predicts at the mode", kind="peer"),
)
