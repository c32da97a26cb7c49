"""Why a question is asked: which coefficients its answer would settle. Never what the person is expected to answer."""

import numpy as np

from prefq.pool.candidate_pool import CandidatePool
from prefq.questions.acquisition import fisher_information
from prefq.vocabulary import Array, Coefficients, Question, ResponseModel


def settled_shares(
    pool: CandidatePool, question: Question, posterior: Coefficients, response_model: ResponseModel
) -> Array:
    """Share of each coefficient's variance that the answer is expected to remove.

    Parameters
    ----------
    pool
        The question comes from it.
    question
        That would be asked.
    posterior
        Before its answer.
    response_model
        How replies arise.

    Returns
    -------
    (n_features,)
        Between 0 and 1: k (Σδ)_j² / ((1 + k δᵀΣδ) Σ_jj), the rank-one fall of a Gaussian's covariance, with k the
        expected curvature of the reply.
    """
    difference = pool.features[question.first.item].astype(np.float64) - pool.features[question.second.item]
    reach = posterior.covariance @ difference
    mean, variance = difference @ posterior.mean, difference @ reach
    curvature = float(fisher_information(np.array([mean]), response_model)[0])
    own = np.diag(posterior.covariance)
    return np.asarray(curvature * reach**2 / ((1 + curvature * variance) * np.where(own > 0, own, 1.0)))
