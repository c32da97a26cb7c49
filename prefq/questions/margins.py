"""PoolMargins: mean and variance of every question's margin under the posterior, without d² work a question.

With prior N(μ, Σ₀), answers X (n_answers, n_features) and the likelihood's slope s and curvature K at the mode, the
posterior mean is μ + Σ₀Xᵀs, and the posterior covariance Σ₀ - Σ₀Xᵀ√K (I + √K XΣ₀Xᵀ √K)⁻¹ √K XΣ₀ (Rasmussen and
Williams 2006, eq. 3.27 with a linear kernel). A question's margin therefore needs its prior mean and variance, made
once for a pool and a prior, and one column δᵀΣ₀x for each answer (docs/maths/questions.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prefq.inference.laplace import covariance_factor, curvatures, singular_as_inference_error
from prefq.inference.likelihood import Felt, log_likelihood
from prefq.pool.candidate_pool import BLOCK, CandidatePool
from prefq.vocabulary import Array, Coefficients, Comparisons, Gaussian, ResponseModel

# Items multiplied at a time: products this small stay in cache and in one thread, whose start would cost more.
ITEM_BLOCK = 2048


class Margins(NamedTuple):
    """Mean (n_questions,) in logits and variance (n_questions,) in squared logits, sides as in ``pool.pairs``."""

    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True, eq=False)
class PoolMargins:
    """Margins of a whole pool under one prior, ready to be conditioned on answers.

    Parameters
    ----------
    pool
        The questions.
    prior
        Of the coefficients.
    at_prior
        Margins before any answer, for each component of the prior.
    """

    pool: CandidatePool
    prior: Coefficients
    at_prior: tuple[Margins, ...]

    @classmethod
    def of(cls, pool: CandidatePool, prior: Coefficients) -> "PoolMargins":
        """Margins of `pool` under `prior`; the pool remembers those of the last prior it was asked about."""
        latest = pool.derive("latest_margins", dict[str, PoolMargins])
        digest = prior.digest()
        margins = latest.get(digest)
        if margins is None:
            margins = cls(pool, prior, tuple(_prior_margins(pool, each) for each in prior.components))
            latest.clear()
            latest[digest] = margins
        return margins

    def given(self, posterior: Coefficients, comparisons: Comparisons, response_model: ResponseModel) -> Margins:
        """Margins under the Laplace posterior of these comparisons, which `fit_posterior` found from this prior.

        Parameters
        ----------
        posterior
            Modes, covariances and weights; only modes and weights are used.
        comparisons
            The answers it was fitted on.
        response_model
            The one it was fitted with.

        Returns
        -------
        Margins
            As they are felt; of a mixture, mean and variance of the whole. Variances that round-off would make negative
            are 0.
        """
        answers = Felt.of(comparisons, response_model)
        parts = [
            self._given(prior, margins, mode.mean, answers, response_model)
            for prior, margins, mode in zip(self.prior.components, self.at_prior, posterior.components, strict=True)
        ]
        mean, variance = _matched(posterior.weights, parts)
        if response_model.dissimilarity_noise == 0:
            return Margins(mean, variance)
        loudness = np.concatenate([response_model.loudness(differences) for _, differences in self.pool.blocks()])
        return Margins(mean * loudness, variance * loudness**2)

    def _given(
        self, prior: Gaussian, at_prior: Margins, mode: Array, answers: Felt, response_model: ResponseModel
    ) -> Margins:
        """Margins under one component."""
        if not answers.outcomes.size:
            return at_prior
        differences = answers.differences
        replies = log_likelihood(differences @ mode, answers.outcomes, response_model)
        weights = np.sqrt(curvatures(replies))
        loads = prior.covariance @ (differences.T * weights)  # (n_features, n_answers)
        with singular_as_inference_error(weights.size):
            root = np.linalg.cholesky(np.eye(weights.size) + (weights[:, None] * differences) @ loads)
            lost = np.linalg.solve(root, loads.T)
        # One product over the items gives both the mean's shift and the columns that the variance loses.
        projection = np.vstack([mode - prior.mean, lost]).T
        mean, variance = np.array(at_prior.mean), np.array(at_prior.variance)
        for questions, columns in _pair_differences(self.pool, _item_products(self.pool, projection)):
            mean[questions] += columns[:, 0]
            variance[questions] -= np.einsum("ij,ij->i", columns[:, 1:], columns[:, 1:])
        return Margins(mean, np.maximum(variance, 0.0, out=variance))


def _matched(weights: Array, parts: Sequence[Margins]) -> Margins:
    """Mean and variance of a mixture."""
    if len(parts) == 1:
        return parts[0]
    mean = np.asarray(sum(weight * part.mean for weight, part in zip(weights, parts, strict=True)))
    squares = sum(
        weight * (part.variance + np.square(part.mean - mean)) for weight, part in zip(weights, parts, strict=True)
    )
    return Margins(mean, np.asarray(squares))


def _prior_margins(pool: CandidatePool, prior: Gaussian) -> Margins:
    """Prior margins of all questions: the only step that costs d² a question, once for a pool and a prior."""
    factor = covariance_factor(prior.covariance)
    mean, variance = np.empty(pool.n_questions), np.empty(pool.n_questions)
    for rows, differences in pool.blocks():
        mean[rows] = differences @ prior.mean
        variance[rows] = np.square(differences @ factor).sum(axis=1)
    mean.setflags(write=False)
    variance.setflags(write=False)
    return Margins(mean, variance)


def _item_products(pool: CandidatePool, projection: Array) -> Array:
    """``features @ projection`` (n_items, n_columns) in float64, widening the features block by block."""
    products = np.empty((pool.n_items, projection.shape[1]))
    for start in range(0, pool.n_items, ITEM_BLOCK):
        items = slice(start, start + ITEM_BLOCK)
        np.matmul(pool.features[items].astype(np.float64, copy=False), projection, out=products[items])
    return products


def _pair_differences(pool: CandidatePool, products: Array) -> Iterator[tuple[slice, Array]]:
    """First minus second item of each question, block by block."""
    for start in range(0, pool.n_questions, BLOCK):
        questions = slice(start, start + BLOCK)
        first, second = pool.pairs[questions].T
        yield questions, products.take(first, axis=0) - products.take(second, axis=0)
