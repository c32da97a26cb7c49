"""PoolMargins: mean and variance of every question's margin under the posterior, without d² work a question.

With prior N(μ, Σ₀), answers X (n_answers, n_features) and the likelihood's slope s and curvature K at the mode, the
posterior mean is μ + Σ₀Xᵀs, and the posterior covariance Σ₀ - Σ₀Xᵀ√K (I + √K XΣ₀Xᵀ √K)⁻¹ √K XΣ₀ (Rasmussen and
Williams 2006, eq. 3.27 with a linear kernel). A question's margin therefore needs its prior mean and variance, made
once for a pool and a prior, and one column δᵀΣ₀x for each answer (docs/maths/questions.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.laplace import covariance_factor, curvatures, singular_as_inference_error
from prefq.inference.likelihood import Felt, log_likelihood
from prefq.pool.candidate_pool import BLOCK, CandidatePool, Rows
from prefq.pool.recent import Recent
from prefq.vocabulary import Array, Coefficients, Comparisons, Gaussian, ResponseModel

REMEMBERED = 4  # priors for which a pool keeps its variances: some 20 bytes a question each
KEPT_DIFFERENCES = 2048  # questions whose differences are kept besides, those that vary most
FEW = 1024  # questions; for more it pays to look for what answers have lost, a column each, instead of what is left
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
        return np.asarray(self.means[0] if len(self.means) == 1 else self.weights @ self.means)

    @property
    def variance(self) -> Array:
        """Variance of the whole (n_questions,), in squared logits: within components and between them."""
        if len(self.means) == 1:
            return np.asarray(self.variances[0])
        return np.asarray(self.weights @ (self.variances + np.square(self.means - self.mean)))

    def at(self, rows: NDArray[Any]) -> "Margins":
        """Those of some questions, by row numbers or a mask."""
        return Margins(self.weights, self.means[:, rows], self.variances[:, rows])


@dataclass(frozen=True, slots=True, eq=False)
class PoolMargins:
    """Questions of a pool by how much they vary under one prior, ready to be conditioned on answers.

    Parameters
    ----------
    pool
        The questions.
    prior
        Of the coefficients.
    response_model
        How replies arise, and how differences are felt.
    order : (n_questions,)
        Rows of the pool, the largest prior variance of any component rising.
    ceilings : (n_questions,)
        That variance, in this order, in squared logits.
    variances : (n_components, n_questions)
        Prior variances under each component, in this order, in squared logits.
    last : (n_last, n_features)
        Felt differences of the last questions in this order, which every search looks at.
    """

    pool: CandidatePool
    prior: Coefficients
    response_model: ResponseModel
    order: NDArray[np.int32]
    ceilings: Array
    variances: Array
    last: Array

    @classmethod
    def of(cls, pool: CandidatePool, prior: Coefficients, response_model: ResponseModel) -> "PoolMargins":
        """Those of a pool under a prior; the pool remembers them for the latest priors that it was asked about."""
        recent = pool.derive("recent_margins", lambda: Recent[PoolMargins](REMEMBERED))
        return recent.get((prior.digest(), response_model), lambda: cls._ordered(pool, prior, response_model))

    @classmethod
    def _ordered(cls, pool: CandidatePool, prior: Coefficients, response_model: ResponseModel) -> "PoolMargins":
        """The only step that costs d² a question, once for a pool and a prior."""
        variances = np.empty((len(prior.components), pool.n_questions))
        factors = [covariance_factor(each.covariance) for each in prior.components]
        for rows, differences in pool.blocks():
            felt = response_model.felt(differences)
            for k, factor in enumerate(factors):
                variances[k, rows] = np.square(felt @ factor).sum(axis=1)
        if not np.isfinite(variances).all():
            raise InputError(
                "the features of the pool hold NaN or infinite values, or are too large for the prior; check the pool "
                "with prefq.pool.files.verify_pool."
            )
        order = np.argsort(variances.max(axis=0), kind="stable").astype(np.int32)
        for component in variances:
            component[:] = component[order]
        ceilings = variances[0] if len(variances) == 1 else variances.max(axis=0)
        last = response_model.felt(_differences(pool, order[-KEPT_DIFFERENCES:].astype(np.int64)))
        for array in (order, ceilings, variances, last):
            array.setflags(write=False)
        return cls(pool, prior, response_model, order, ceilings, variances, last)

    def rows(self, places: slice) -> Rows:
        """Rows of the pool in some places of the order."""
        return np.asarray(self.order[places], dtype=np.int64)

    def felt(self, places: slice) -> Array:
        """Felt differences (n_places, n_features) of the questions in some places of the order."""
        first_kept = len(self.order) - len(self.last)
        if places.start >= first_kept:
            return self.last[places.start - first_kept : places.stop - first_kept]
        return self.response_model.felt(_differences(self.pool, self.rows(places)))

    def at_prior(self) -> Margins:
        """Margins of all questions before any answer, rows as in ``pool.pairs``."""
        return self.given(self.prior, Comparisons(np.empty((0, self.pool.n_features)), np.empty(0, dtype=np.int8)))

    def given(self, posterior: Coefficients, comparisons: Comparisons) -> Margins:
        """Margins of all questions under a posterior, rows as in ``pool.pairs``; parameters as of `under`."""
        return self.under(posterior, comparisons).all()

    def under(
        self, posterior: Coefficients, comparisons: Comparisons, *, factors: Sequence[Array] | None = None
    ) -> "PosteriorMargins":
        """Margins under a Laplace posterior.

        Parameters
        ----------
        posterior
            What `fit_posterior` found from this prior with this response model.
        comparisons
            The answers it was fitted on.
        factors
            Of the components' covariances, each (n_features, n_columns), where they are known.
        """
        if factors is None:
            kept = tuple(_kept(component) for component in posterior.components)
        else:
            kept = tuple(Narrowed(factor, is_what_is_kept=True) for factor in factors)
        return PosteriorMargins(self, posterior, comparisons, kept)


class Narrowed(NamedTuple):
    """A component after the answers: a margin's variance has lost the squares of δᵀcolumns, or has kept just them.

    columns are (n_features, n_columns), in logits per unit of each feature.
    """

    columns: Array
    is_what_is_kept: bool

    def variance(self, loads: Array, before: Array) -> Array:
        """Posterior variances (n,), given loads (n, n_columns) on the columns and prior variances (n,)."""
        squares = np.einsum("ij,ij->i", loads, loads)
        left = np.minimum(squares, before) if self.is_what_is_kept else np.maximum(before - squares, 0.0)
        return np.asarray(left)


class PosteriorMargins(NamedTuple):
    """Margins under a posterior as they are felt, worked out for those questions that are asked about.

    of has the questions and their prior variances; posterior was found from comparisons; kept has a factor of each
    component's covariance.
    """

    of: PoolMargins
    posterior: Coefficients
    comparisons: Comparisons
    kept: tuple[Narrowed, ...]

    def at(self, places: slice) -> Margins:
        """Margins of the questions in these places of ``of.order``."""
        narrowed = self.kept if places.stop - places.start <= FEW else self._narrowed()
        loads = self.of.felt(places) @ self._columns(narrowed)
        return self._of_loads(loads, self.of.variances[:, places], narrowed)

    def all(self) -> Margins:
        """Margins of all questions, rows as in ``pool.pairs``: one product over the items, not over the questions."""
        pool, model = self.of.pool, self.of.response_model
        narrowed = self._narrowed()
        variances = np.empty_like(self.of.variances)
        variances[:, self.of.order] = self.of.variances
        means, products = np.empty_like(variances), _item_products(pool, self._columns(narrowed))
        for start in range(0, pool.n_questions, BLOCK):
            rows = slice(start, start + BLOCK)
            first, second = pool.pairs[rows].T
            loads = products.take(first, axis=0) - products.take(second, axis=0)
            if model.dissimilarity_noise != 0:
                loads *= model.loudness(_differences(pool, rows))[:, None]
            _, means[:, rows], variances[:, rows] = self._of_loads(loads, variances[:, rows], narrowed)
        return Margins(self.posterior.weights, means, variances)

    def _narrowed(self) -> list[Narrowed]:
        """What became of the components, in as few columns as possible."""
        model, answers = self.of.response_model, Felt.of(self.comparisons, self.of.response_model)
        components = zip(self.of.prior.components, self.posterior.components, self.kept, strict=True)
        return [_narrowed(before, after, kept, answers, model) for before, after, kept in components]

    def _columns(self, narrowed: Sequence[Narrowed]) -> Array:
        """Modes and what became of the components, side by side (n_features, n_columns)."""
        modes = [component.mean[:, None] for component in self.posterior.components]
        return np.hstack([*modes, *(each.columns for each in narrowed)])

    def _of_loads(self, loads: Array, before: Array, narrowed: Sequence[Narrowed]) -> Margins:
        """Margins, given differences times `_columns` (n, n_columns) and prior variances (n_components, n)."""
        variances, end = np.empty_like(before), len(narrowed)
        means = loads[:, :end].T
        for k, each in enumerate(narrowed):
            start, end = end, end + each.columns.shape[1]
            variances[k] = each.variance(loads[:, start:end], before[k])
        return Margins(self.posterior.weights, means, variances)


def _kept(component: Gaussian) -> Narrowed:
    """What a component has kept: a factor of its covariance, without columns if that is zero."""
    is_point = not component.covariance.any()
    return Narrowed(component.covariance[:, :0] if is_point else covariance_factor(component.covariance), True)


def _narrowed(before: Gaussian, after: Gaussian, kept: Narrowed, answers: Felt, model: ResponseModel) -> Narrowed:
    """What a component has lost, or kept if that is fewer columns.

    With answers X of curvature K, Σ₀Xᵀ√K R⁻ᵀ is lost, R Rᵀ = I + √K XΣ₀Xᵀ√K.
    """
    if len(answers.outcomes) >= kept.columns.shape[1]:
        return kept
    replies = log_likelihood(answers.differences @ after.mean, answers.outcomes, model)
    weighted = answers.differences * np.sqrt(curvatures(replies))[:, None]
    loads = before.covariance @ weighted.T  # (n_features, n_answers)
    with singular_as_inference_error(len(weighted)):
        root = np.linalg.cholesky(np.eye(len(weighted)) + weighted @ loads)
        return Narrowed(np.linalg.solve(root, loads.T).T, is_what_is_kept=False)


def _differences(pool: CandidatePool, rows: slice | Rows) -> Array:
    """First minus second item's features in float64, of some questions (n_rows, n_features)."""
    first, second = pool.pairs[rows].T
    difference = np.subtract(pool.features.take(first, axis=0), pool.features.take(second, axis=0), dtype=np.float64)
    return np.asarray(difference)


def _item_products(pool: CandidatePool, projection: Array) -> Array:
    """``features @ projection`` (n_items, n_columns) in float64, widening the features block by block."""
    products = np.empty((pool.n_items, projection.shape[1]))
    for start in range(0, pool.n_items, ITEM_BLOCK):
        items = slice(start, start + ITEM_BLOCK)
        np.matmul(pool.features[items].astype(np.float64, copy=False), projection, out=products[items])
    return products
