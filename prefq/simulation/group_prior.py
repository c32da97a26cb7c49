"""The prior of a new user from a group's answers, by moments of the group's coefficients.

A first estimate: empirical Bayes replaces it once it exists. Each user's answers give a ridge estimate with a known
error; the covariance of the group is that of the estimates, less what their errors explain.
"""

import numpy as np

from prefq.inference.laplace import fit_posterior
from prefq.inference.laplace_batch import fit_posteriors, same_for_all
from prefq.simulation.panels import GroupAnswers, Outcomes
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

WIDE_SD = 2.0  # logits a standard unit of each feature: the ridge under which users' own coefficients are estimated
POOLED_SD = 5.0  # the same for the pooled regression, which has many more answers


def pooled_coefficients(group: GroupAnswers) -> Array:
    """One coefficient vector (n_features,) for everybody: a ridge logistic regression on all answers of the group.

    Parameters
    ----------
    group
        At least one answer.

    Returns
    -------
    (n_features,)
        In logits per unit of each feature.
    """
    scales = _scales(group)
    prior = Gaussian(np.zeros(scales.size), np.diag((POOLED_SD / scales) ** 2))
    pooled, _ = fit_posterior(prior, Comparisons(group.differences, group.outcomes))
    return pooled.mean


def fit_group_prior(group: GroupAnswers, response_model: ResponseModel) -> Gaussian:
    """Mean and covariance of a group's coefficients.

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
    scales = _scales(group)
    n_features = scales.size
    differences, outcomes = _by_user(group)
    start = Gaussian(pooled_coefficients(group), np.diag((WIDE_SD / scales) ** 2))
    fitted = fit_posteriors(same_for_all(start, len(differences)), differences, outcomes, response_model)
    # A ridge estimate is the user's coefficients, shrunk by R = I - P Σ⁻¹, plus an error of covariance R P.
    shrink = np.eye(n_features) - np.linalg.solve(start.covariance, fitted.covariances).mean(axis=0).T
    spread = np.linalg.solve(shrink, np.cov(fitted.means.T).reshape(n_features, n_features))
    values, vectors = np.linalg.eigh((spread + spread.T) / 2)
    mean = start.mean + np.linalg.solve(shrink, fitted.means.mean(axis=0) - start.mean)
    return Gaussian(mean, (vectors * np.maximum(values, values.max() * 1e-3)) @ vectors.T)


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
