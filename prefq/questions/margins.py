"""PoolMargins: mean and variance of every question's margin under the posterior, without d² work a question.

Answers change the covariance of a component in the span of Σ₀Xᵀ only, Σ₀ being the prior covariance and X
(n_answers, n_features) the differences that were answered (Rasmussen and Williams 2006, eq. 3.27 with a linear kernel).
A question's margin therefore needs its prior variance, made once for a pool and a prior, and one column for each answer
(docs/maths/questions.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.pool.candidate_pool import BLOCK, CandidatePool, Rows
from prefq.pool.recent import Recent
from prefq.vocabulary import Array, Coefficients, Gaussian, ResponseModel

REMEMBERED = 4  # priors for which a pool keeps its variances: some 20 bytes a question each
KEPT_DIFFERENCES = 2048  # questions whose differences are kept besides, those that vary most
FEW = 1024  # questions; for more it pays to look for what answers have lost, a column each, instead of what is left
ROUND_OFF = 1e-13  # of a variance, in units of the prior's
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
        factors = [each.factor for each in prior.components]
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
        return self.under(self.prior).all()

    def under(
        self,
        posterior: Coefficients,
        *,
        origins: Sequence[int] | None = None,
        factors: Sequence[Array] | None = None,
    ) -> "PosteriorMargins":
        """Margins under a posterior, by whatever approximation it was found.

        Parameters
        ----------
        posterior
            What the prior became by answers, and by what the person stated.
        origins
            Of each of its components, the number of the prior's component that it was; the same numbers by default.
        factors
            Of the components' covariances, each (n_features, n_columns), where they are known.
        """
        if factors is None:
            factors = [_factor(component) for component in posterior.components]
        kept = tuple(Change.kept(factor) for factor in factors)
        return PosteriorMargins(self, posterior, tuple(range(len(kept))) if origins is None else tuple(origins), kept)


class Change(NamedTuple):
    """What became of a component's covariance: a share, 0 or 1, of the prior's, plus columns diag(signs) columnsᵀ.

    columns are (n_features, n_columns), in logits per unit of each feature.
    """

    share: float
    columns: Array
    signs: Array

    @classmethod
    def kept(cls, factor: Array) -> "Change":
        """All that is left, by its factor."""
        return cls(0.0, factor, np.ones(factor.shape[1]))

    @classmethod
    def since(cls, prior: Gaussian, posterior: Gaussian) -> "Change":
        """What was lost since the prior, or gained where lapses widened it: as many columns as answers at most."""
        sd = np.sqrt(np.diag(prior.covariance))
        sd = np.where(sd > 0, sd, 1.0)
        values, vectors = np.linalg.eigh((posterior.covariance - prior.covariance) / np.outer(sd, sd))
        counts = np.abs(values) > ROUND_OFF
        columns = sd[:, None] * vectors[:, counts] * np.sqrt(np.abs(values[counts]))
        return cls(1.0, columns, np.sign(values[counts]))

    def variance(self, loads: Array, before: Array) -> Array:
        """Posterior variances (n,), given loads (n, n_columns) on the columns and prior variances (n,)."""
        return np.asarray(np.maximum(self.share * before + np.square(loads) @ self.signs, 0.0))


class PosteriorMargins(NamedTuple):
    """Margins under a posterior as they are felt, worked out for those questions that are asked about.

    of has the questions and their prior variances, origins the number of the prior's component that each component was,
    kept a factor of each component's covariance.
    """

    of: PoolMargins
    posterior: Coefficients
    origins: tuple[int, ...]
    kept: tuple[Change, ...]

    def at(self, places: slice) -> Margins:
        """Margins of the questions in these places of ``of.order``."""
        changes = self.kept if places.stop - places.start <= FEW else self._changes()
        loads = self.of.felt(places) @ self._columns(changes)
        return self._of_loads(loads, self._before(places), changes)

    def all(self) -> Margins:
        """Margins of all questions, rows as in ``pool.pairs``: one product over the items, not over the questions."""
        pool, model = self.of.pool, self.of.response_model
        changes = self._changes()
        before = self._before(slice(None))
        variances = np.empty_like(before)
        variances[:, self.of.order] = before
        means, products = np.empty_like(variances), _item_products(pool, self._columns(changes))
        for start in range(0, pool.n_questions, BLOCK):
            rows = slice(start, start + BLOCK)
            first, second = pool.pairs[rows].T
            loads = products.take(first, axis=0) - products.take(second, axis=0)
            if model.dissimilarity_noise != 0:
                loads *= model.loudness(_differences(pool, rows))[:, None]
            _, means[:, rows], variances[:, rows] = self._of_loads(loads, variances[:, rows], changes)
        return Margins(self.posterior.weights, means, variances)

    def widening(self) -> float:
        """How many times its prior variance the variance of a margin may be at most, within any component.

        1, unless people reply at random now and then: a reply that would be a wonder otherwise may then widen what is
        believed. It is the largest eigenvalue of a posterior covariance relative to the prior's.
        """
        if self.of.response_model.lapse_rate == 0:
            return 1.0
        pairs = zip(self.priors, self.posterior.components, strict=True)
        return max(1.0, *(_largest_ratio(before.covariance, after.covariance) for before, after in pairs))

    @property
    def priors(self) -> list[Gaussian]:
        """What each component was before."""
        return [self.of.prior.components[number] for number in self.origins]

    def _before(self, places: slice) -> Array:
        """Prior variances (n_components, n_places)."""
        variances = self.of.variances[:, places]
        return variances if len(self.origins) == len(variances) else variances[list(self.origins)]

    def _changes(self) -> list[Change]:
        """What became of the components, in as few columns as possible."""
        pairs = zip(self.priors, self.posterior.components, self.kept, strict=True)
        found = [(kept, Change.since(before, after)) for before, after, kept in pairs]
        return [kept if kept.signs.size <= change.signs.size else change for kept, change in found]

    def _columns(self, changes: Sequence[Change]) -> Array:
        """Means and what became of the components, side by side (n_features, n_columns)."""
        means = [component.mean[:, None] for component in self.posterior.components]
        return np.hstack([*means, *(each.columns for each in changes)])

    def _of_loads(self, loads: Array, before: Array, changes: Sequence[Change]) -> Margins:
        """Margins, given differences times `_columns` (n, n_columns) and prior variances (n_components, n)."""
        variances, end = np.empty_like(before), len(changes)
        means = loads[:, :end].T
        for k, each in enumerate(changes):
            start, end = end, end + each.signs.size
            variances[k] = each.variance(loads[:, start:end], before[k])
        return Margins(self.posterior.weights, means, variances)


def _factor(component: Gaussian) -> Array:
    """A factor of the covariance, without columns if that is zero."""
    return component.factor if component.covariance.any() else component.covariance[:, :0]


def _largest_ratio(before: Array, after: Array) -> float:
    """The largest eigenvalue of one covariance relative to another; infinite where the other has no inverse."""
    if not before.any():
        return 1.0
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(before))
    except np.linalg.LinAlgError:
        return np.inf
    return float(np.linalg.eigvalsh(inverse @ after @ inverse.T)[-1])


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
