"""Expectation propagation over margins of any Gaussian process: what answers say, whatever gives margins a covariance.

A Gaussian process enters only by the mean m and the covariance K of the margins that were answered. With K = F Fᵀ they
are m + F u, u standard normal: a linear model whose features are the rows of F, for which
`prefq.inference.ep_batch` does the rest (docs/maths/gaussian-processes.md, eqs. 3 and 4).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.ep_batch import settle
from prefq.inference.laplace import singular_as_inference_error
from prefq.inference.laplace_batch import Gaussians
from prefq.vocabulary import Array, ResponseModel

JITTER = 1e-10  # of the largest variance, added to every one: equal questions make the covariance singular


class Told(NamedTuple):
    """What answers say about margins, for several users at once.

    A margin with prior mean m, prior variance v and covariances c (n_answers,) with the answered ones has, with
    b = root⁻¹ c, posterior mean m + b·mean and variance v - b·explained b. log_evidence (n_users,) is the log
    probability of the answers, in nats.

    root (n_users, n_answers, n_answers) lower triangular, mean (n_users, n_answers), explained like root, symmetric.
    """

    root: Array
    mean: Array
    explained: Array
    log_evidence: Array


def condition_margins(
    means: Array, covariances: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Told:
    """Condition Gaussian margins on replies.

    Parameters
    ----------
    means : (n_users, n_answers)
        Of the answered margins before any answer, as felt, in logits.
    covariances : (n_users, n_answers, n_answers)
        Positive semi-definite.
    outcomes : (n_users, n_answers) int8
        As `log_likelihood` takes them.
    response_model
        How replies arise.

    Raises
    ------
    InferenceError
        When it does not converge; never a last iterate instead.
    """
    n_users, n_answers = outcomes.shape
    if not n_answers:
        nothing = np.zeros((n_users, 0, 0))
        return Told(nothing, np.zeros((n_users, 0)), nothing, np.zeros(n_users))
    eye = np.eye(n_answers)
    largest = np.diagonal(covariances, axis1=1, axis2=2).max(axis=1)
    jitter = np.where(largest > 0, JITTER * largest, 1.0)  # where nothing varies any root will do
    # One more coefficient, known to be 1, carries the means.
    carried = np.broadcast_to(np.diag(np.append(np.ones(n_answers), 0.0)), (n_users, n_answers + 1, n_answers + 1))
    start = Gaussians(np.tile(np.append(np.zeros(n_answers), 1.0), (n_users, 1)), carried)
    with singular_as_inference_error(n_answers):
        root = np.linalg.cholesky(covariances + jitter[:, None, None] * eye)
        settled = settle(start, np.concatenate([root, means[..., None]], axis=2), outcomes, response_model)
    settled.required()
    mean, left = settled.posteriors.means[:, :n_answers], settled.posteriors.covariances[:, :n_answers, :n_answers]
    return Told(np.asarray(root, dtype=np.float64), mean, eye - left, settled.log_evidence)
