"""PoolMargins: mean and variance of every question's margin under the posterior, without d² work a question.

With prior N(μ, Σ₀), answers X (n_answers, n_features) and the likelihood's slope s and curvature K at the mode, the
posterior mean is μ + Σ₀Xᵀs, and the posterior covariance Σ₀ - Σ₀Xᵀ√K (I + √K XΣ₀Xᵀ √K)⁻¹ √K XΣ₀ (Rasmussen and
Williams 2006, eq. 3.27 with a linear kernel). A question's margin therefore needs its prior mean and variance, made
once for a pool and a prior, and one column δᵀΣ₀x for each answer (docs/maths/questions.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.laplace import covariance_factor, curvatures, singular_as_inference_error
from prefq.inference.likelihood import Felt, log_likelihood
from prefq.pool.candidate_pool import BLOCK, CandidatePool
from prefq.vocabulary import Array, Coefficients, Comparisons, Gaussian, ResponseModel

# Items multiplied at a time: products this small stay in cache and in one thread, whose start would cost more.
ITEM_BLOCK = 2048


class Margins(NamedTuple):
    """Margins of questions under a belief of one or several components, sides as in ``pool.pairs``.

    weights (n_components,) sum to 1; means (n_components, n_questions) in logits, variances (n_components, n_questions)
    in squared logits.
    """

    weights: Array
    means: Array
    variances: Array

    @property
    def mean(self) -> Array:
        """Mean of the whole (n_questions,), in logits."""
        return self.means[0] if len(self.means) == 1 else np.asarray(self.weights @ self.means)

    @property
    def variance(self) -> Array:
        """Variance of the whole (n_questions,), in squared logits: within components and between them."""
        if len(self.means) == 1:
            return self.variances[0]
        return np.asarray(self.weights @ (self.variances + np.square(self.means - self.mean)))

    def at(self, rows: NDArray[np.integer[Any]]) -> "Margins":
        """Those of some questions, by their rows (n_rows,)."""
        return Margins(self.weights, self.means[:, rows], self.variances[:, rows])


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
        Margins before any answer.
    """

    pool: CandidatePool
    prior: Coefficients
    at_prior: Margins

    @classmethod
    def of(cls, pool: CandidatePool, prior: Coefficients) -> "PoolMargins":
        """Margins of `pool` under `prior`; the pool remembers those of the last prior it was asked about."""
        latest = pool.derive("latest_margins", dict[str, PoolMargins])
        digest = prior.digest()
        margins = latest.get(digest)
        if margins is None:
            margins = cls(pool, prior, _prior_margins(pool, prior))
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
            As they are felt, of each component. Variances that round-off would make negative are 0.
        """
        answers = Felt.of(comparisons, response_model)
        means, variances = np.array(self.at_prior.means), np.array(self.at_prior.variances)
        if answers.outcomes.size:
            for k, (prior, mode) in enumerate(zip(self.prior.components, posterior.components, strict=True)):
                self._condition(means[k], variances[k], prior, mode.mean, answers, response_model)
        if response_model.dissimilarity_noise != 0:
            loudness = np.concatenate([response_model.loudness(differences) for _, differences in self.pool.blocks()])
            means, variances = means * loudness, variances * loudness**2
        return Margins(posterior.weights, means, variances)

    def _condition(
        self, mean: Array, variance: Array, prior: Gaussian, mode: Array, answers: Felt, response_model: ResponseModel
    ) -> None:
        """Turn prior margins of one component, in place, into margins under its Laplace posterior."""
        differences = answers.differences
        replies = log_likelihood(differences @ mode, answers.outcomes, response_model)
        weights = np.sqrt(curvatures(replies))
        loads = prior.covariance @ (differences.T * weights)  # (n_features, n_answers)
        with singular_as_inference_error(weights.size):
            root = np.linalg.cholesky(np.eye(weights.size) + (weights[:, None] * differences) @ loads)
            lost = np.linalg.solve(root, loads.T)
        # One product over the items gives both the mean's shift and the columns that the variance loses.
        projection = np.vstack([mode - prior.mean, lost]).T
        for questions, columns in _pair_differences(self.pool, _item_products(self.pool, projection)):
            mean[questions] += columns[:, 0]
            variance[questions] -= np.einsum("ij,ij->i", columns[:, 1:], columns[:, 1:])
        np.maximum(variance, 0.0, out=variance)


def _prior_margins(pool: CandidatePool, prior: Coefficients) -> Margins:
    """Prior margins of all questions: the only step that costs d² a question, once for a pool and a prior."""
    shape = (len(prior.components), pool.n_questions)
    means, variances = np.empty(shape), np.empty(shape)
    factors = [covariance_factor(each.covariance) for each in prior.components]
    for rows, differences in pool.blocks():
        for k, (component, factor) in enumerate(zip(prior.components, factors, strict=True)):
            means[k, rows] = differences @ component.mean
            variances[k, rows] = np.square(differences @ factor).sum(axis=1)
    means.setflags(write=False)
    variances.setflags(write=False)
    return Margins(prior.weights, means, variances)


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
