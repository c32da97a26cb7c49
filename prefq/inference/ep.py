"""The posterior by expectation propagation, honest about how far a taste is known.

Questions are chosen by it, and what people are told rests on it. The algebra is in docs/maths/posterior.md, to which
the equation numbers refer.
"""

from typing import NamedTuple, overload

import numpy as np

from prefq.inference.ep_batch import settle
from prefq.inference.laplace import mixed, require_same_features
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.likelihood import BRADLEY_TERRY, Felt
from prefq.vocabulary import Coefficients, Comparisons, Gaussian, GaussianMixture, ResponseModel


class EpInfo(NamedTuple):
    """How expectation propagation went.

    change is the largest that renewing an answer's site would still cause to its margin, as far as the last two sweeps
    tell: to the mean in standard deviations, to the variance by itself; mostly below 1e-6. log_evidence approximates
    the log marginal likelihood of the answers, in nats. Without answers all are zero.
    """

    n_sweeps: int
    change: float
    log_evidence: float


@overload
def fit_posterior_ep(
    prior: Gaussian, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Gaussian, EpInfo]: ...


@overload
def fit_posterior_ep(
    prior: Coefficients, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Coefficients, EpInfo]: ...


def fit_posterior_ep(
    prior: Coefficients, comparisons: Comparisons, *, response_model: ResponseModel | None = None
) -> tuple[Coefficients, EpInfo]:
    """Posterior over coefficients by expectation propagation.

    Each answer's likelihood is replaced by a Gaussian in its margin such that mean and variance of the margin are right
    given all the others (Minka 2001). Whatever the answers say lies in the span of their differences, so the work grows
    with the smaller of their number and that of the features.

    Parameters
    ----------
    prior
        Before the answers: a Gaussian, or a mixture of several, whose posterior is a mixture again.
    comparisons
        n_answers rows; zero rows return the prior unchanged.
    response_model
        Default: plain Bradley-Terry, without ties, bias or lapses.

    Returns
    -------
    posterior
        Mean and covariance of each component; components weigh what their evidence makes of them.
    info
        Sweeps, last change and log evidence.

    Raises
    ------
    InputError
        When prior and comparisons have different numbers of features.
    InferenceError
        When it does not converge; never a last iterate instead.

    Examples
    --------
    >>> from prefq import Comparisons, Gaussian
    >>> posterior, info = fit_posterior_ep(Gaussian([0.0], [[4.0]]), Comparisons([[1.0], [1.0]], [1, 1]))
    >>> round(float(posterior.mean[0]), 3), round(float(posterior.sd[0]), 3)
    (1.734, 1.409)
    """
    model = BRADLEY_TERRY if response_model is None else response_model
    require_same_features(prior, comparisons)
    n_answers = comparisons.outcomes.size
    if not n_answers:
        return prior, EpInfo(0, 0.0, 0.0)
    answers, components = Felt.of(comparisons, model), prior.components
    priors = Gaussians(np.array([each.mean for each in components]), np.array([each.factor for each in components]))
    outcomes = answers.outcomes[None].repeat(len(components), axis=0)
    settled = settle(priors, answers.differences[None], outcomes, model)
    change = settled.required()
    fits = [
        (Gaussian.from_factor(mean, factor), EpInfo(settled.n_sweeps, change, float(log_evidence)))
        for mean, factor, log_evidence in zip(*settled.posteriors, settled.log_evidence, strict=True)
    ]
    if not isinstance(prior, GaussianMixture):
        return fits[0]
    posterior, log_evidence = mixed(prior, fits)
    return posterior, EpInfo(settled.n_sweeps, change, log_evidence)
