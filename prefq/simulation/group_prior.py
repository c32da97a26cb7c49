"""The prior of a new user from a group's answers: empirical Bayes by expectation maximisation.

The E-step is expectation propagation: Laplace posteriors would shrink the covariance at every step (maths page on the
posterior). The search starts at a quarter of the covariance of the users' ridge estimates and ends when a step changes
little: from below, because the likelihood of few answers keeps growing with the covariance when features are many
(measured with 500 users of 30 answers: trace 1.3 times the true one at 16 features, more than 3 at 32, if searched to
the end; 1.0 and 1.3 this way).
"""

import numpy as np

from prefq.inference.ep_batch import Sites, propagate
from prefq.inference.laplace import fit_posterior
from prefq.inference.laplace_batch import fit_posteriors, same_for_all
from prefq.simulation.panels import GroupAnswers, Outcomes
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

WIDE_SD = 2.0  # logits a standard unit of each feature: the ridge under which users' own coefficients are estimated
POOLED_SD = 5.0  # the same for the pooled regression, which has many more answers
SMALLEST_SHARE = 1e-2  # of the largest variance, in the units of the features: where the search for the others starts
START_SHARE = 0.25  # of the covariance of the ridge estimates
MAX_ITERATIONS = 30
CONVERGED = 1e-2  # largest change of the covariance, relative to its largest variance
FIRST_SWEEPS, NEXT_SWEEPS = 8, 3  # of expectation propagation; later ones start from the last sites


def pooled_coefficients(group: GroupAnswers, response_model: ResponseModel | None = None) -> Array:
    """One coefficient vector (n_features,) for everybody: a ridge logistic regression on all answers of the group.

    Parameters
    ----------
    group
        At least one answer.
    response_model
        How replies arise; plain Bradley-Terry by default, in which a tie is one preference each way.

    Returns
    -------
    (n_features,)
        In logits per unit of each feature.
    """
    scales = _scales(group)
    prior = Gaussian(np.zeros(scales.size), np.diag((POOLED_SD / scales) ** 2))
    pooled, _ = fit_posterior(prior, Comparisons(group.differences, group.outcomes), response_model=response_model)
    return pooled.mean


def fit_group_prior(group: GroupAnswers, response_model: ResponseModel) -> Gaussian:
    """Mean and covariance of a group's coefficients, by expectation maximisation over its users.

    The covariance is shrunk toward its diagonal as if the group had as many more users, with independent coefficients,
    as there are features.

    Parameters
    ----------
    group
        Answers of at least two users.
    response_model
        How replies arise.

    Returns
    -------
    Gaussian
        Where a new user of this group starts.
    """
    differences, outcomes = _by_user(group)
    n_users, _, n_features = differences.shape
    prior = _moments(group, differences, outcomes, response_model)
    sites, n_sweeps = Sites.empty(*outcomes.shape), FIRST_SWEEPS
    for _ in range(MAX_ITERATIONS):
        start = same_for_all(prior, n_users)
        users, sites = propagate(start, differences, outcomes, response_model, sites, n_sweeps=n_sweeps)
        deviations = users.means - users.means.mean(axis=0)
        covariance = users.covariances.mean(axis=0) + deviations.T @ deviations / n_users
        covariance = (n_users * covariance + n_features * np.diag(np.diag(covariance))) / (n_users + n_features)
        change = np.abs(covariance - prior.covariance).max() / np.diag(covariance).max()
        prior, n_sweeps = Gaussian(users.means.mean(axis=0), covariance), NEXT_SWEEPS
        if change < CONVERGED:
            break
    return prior


def _moments(group: GroupAnswers, differences: Array, outcomes: Outcomes, response_model: ResponseModel) -> Gaussian:
    """Where the search starts: a share of the covariance of ridge estimates, less what their errors explain."""
    scales = _scales(group)
    n_features = scales.size
    start = Gaussian(pooled_coefficients(group, response_model), np.diag((WIDE_SD / scales) ** 2))
    fitted = fit_posteriors(same_for_all(start, len(differences)), differences, outcomes, response_model)
    # A ridge estimate is the user's coefficients, shrunk by R = I - P Σ⁻¹, plus an error of covariance R P.
    shrink = np.eye(n_features) - np.linalg.solve(start.covariance, fitted.covariances).mean(axis=0).T
    shrink += SMALLEST_SHARE * np.eye(n_features)  # directions in which nobody was asked stay solvable
    spread = np.linalg.solve(shrink, np.cov(fitted.means.T).reshape(n_features, n_features))
    values, vectors = np.linalg.eigh((spread + spread.T) / 2 * np.outer(scales, scales))
    values = np.clip(values, max(values.max() * SMALLEST_SHARE, SMALLEST_SHARE), WIDE_SD**2)
    covariance = START_SHARE * (vectors * values) @ vectors.T / np.outer(scales, scales)
    return Gaussian(start.mean, (covariance + covariance.T) / 2)


def _scales(group: GroupAnswers) -> Array:
    """Root mean square of each feature's differences (n_features,), 1 where it is 0."""
    scales = np.sqrt(np.square(group.differences).mean(axis=0))
    return np.asarray(np.where(scales > 0, scales, 1.0))


def _by_user(group: GroupAnswers) -> tuple[Array, Outcomes]:
    """Differences (n_users, n_answers, n_features) and outcomes, padded with zero differences."""
    _, users, counts = np.unique(group.users, return_inverse=True, return_counts=True)
    order = np.argsort(users, kind="stable")
    starts = np.cumsum(counts) - counts
    position = np.empty(len(users), dtype=np.intp)
    position[order] = np.arange(len(users)) - np.repeat(starts, counts)
    differences = np.zeros((counts.size, counts.max(), group.differences.shape[1]))
    outcomes = np.ones((counts.size, counts.max()), dtype=np.int8)
    differences[users, position] = group.differences
    outcomes[users, position] = group.outcomes
    return differences, outcomes
