"""The best question of a pool without a look at most of them, for rules whose score the prior variance bounds.

Answers never raise a margin's variance under a component above its prior variance, or with lapses by no more than a
factor that is known (docs/maths/questions.md), so that a question's prior variance says how much it could tell at most.
Questions are taken from the largest prior variance down, until none that is left could be better than what was found.
The question found is the best of all; nothing is approximated.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.predictive import entropy
from prefq.pool.candidate_pool import Rows
from prefq.questions.acquisition import AcquisitionFunction, d_optimal, information_gain, max_norm, pref
from prefq.questions.gain_bounds import (
    information_gain_bounds,
    least_variance_beside_a_point,
    least_variance_to_gain,
    mixture_information_gain_bounds,
)
from prefq.questions.margins import Margins, PosteriorMargins
from prefq.questions.scoring import score_margins
from prefq.vocabulary import Array, ResponseModel

TIE_TOLERANCE = 1e-9  # relative: scores closer than this are equal, so that machines with other round-off agree
FIRST_STEP, LARGEST_STEP, GROWTH = 256, 8192, 4  # questions looked at together: few, then more, as many as fit a cache
FIRST_CONTENDERS = 16  # exact scores taken before bounds are compared with the best of them: mostly all there are


class Best(NamedTuple):
    """A question's row in the pool, and its score."""

    row: int
    score: float


def starts_at_zero(rule: object) -> bool:
    """Whether the rule's scores start at 0, for a question that tells nothing."""
    return rule is information_gain or any(rule is known for known in LEAST_VARIANCE)


def can_search(rule: object) -> bool:
    """Whether a `Search` knows a bound for the rule: for those that start at 0."""
    return starts_at_zero(rule)


class Search:
    """A search for the best question, which goes on from where it stopped when it is asked for another one.

    Parameters
    ----------
    rule
        One that `can_search`.
    margins
        Of the pool.
    costs : (n_questions,), optional
        Above 0; then the score per cost counts.
    """

    def __init__(self, rule: AcquisitionFunction, margins: PosteriorMargins, costs: Array | None = None) -> None:
        self._rule, self._margins, self._costs = rule, margins, costs
        self._cheapest = 1.0 if costs is None else float(costs.min())
        self._widening, self._spread = margins.widening(), _spread(margins)
        self._seen, self._end, self._step = list[_Seen](), len(margins.of.order), FIRST_STEP

    def best(self, is_allowed: Callable[[Rows], NDArray[np.bool_]], at_least: float = 0.0) -> Best | None:
        """The allowed question of the highest score, the lowest row among equals; None where none scores `at_least`.

        Parameters
        ----------
        is_allowed
            Which rows of the pool may be asked, given some of them.
        at_least
            Scores below it are of no use.
        """
        found, cut, n_used = list[_Seen](), lowered(at_least), 0
        while n_used < len(self._seen) or self._saw_more(cut):
            seen = self._seen[n_used]
            n_used += 1
            likely = np.flatnonzero(seen.most >= cut)
            seen = seen.at(likely[is_allowed(seen.rows[likely])])
            cut = max(cut, lowered(seen.least.max(initial=-np.inf)))
            found.append(seen)
        best = self._best_of(_Seen.joined(found).above(cut)) if found else None
        return best if best is not None and best.score >= lowered(at_least) else None

    def _saw_more(self, cut: float) -> bool:
        """Look at the next questions, unless none that is left can have such a score; whether there were any."""
        reach = _reach(self._rule, self._margins, self._widening, self._spread, cut * self._cheapest)
        start = max(self._end - self._step, reach)
        if start >= self._end:
            return False
        places = slice(start, self._end)
        rows, part = self._margins.of.rows(places), self._margins.at(places)
        least, most = _bounds(self._rule, part, self._margins.of.response_model)
        if self._costs is not None:
            least, most = least / self._costs[rows], most / self._costs[rows]
        self._seen.append(_Seen(rows, part, least, most))
        self._end, self._step = start, min(GROWTH * self._step, LARGEST_STEP)
        return True

    def _best_of(self, seen: "_Seen") -> Best | None:
        """`first_best` by exact scores, taken only where a bound does not rule the question out."""
        if not seen.rows.size:
            return None
        if seen.rows.size > FIRST_CONTENDERS:
            likely = np.argpartition(seen.most, -FIRST_CONTENDERS)[-FIRST_CONTENDERS:]
            seen = seen.above(lowered(self._scores(seen.at(likely)).max()))
        return first_best(seen.rows, self._scores(seen))

    def _scores(self, seen: "_Seen") -> Array:
        scores = score_margins(self._rule, seen.margins, self._margins.of.response_model)
        return scores if self._costs is None else scores / self._costs[seen.rows]


def first_best(rows: Rows, scores: Array) -> Best:
    """The lowest row whose score is the highest, up to round-off."""
    rows_of_best = rows[scores >= lowered(scores.max())]
    row = rows_of_best.min()
    return Best(int(row), float(scores[rows == row][0]))


def lowered(score: float) -> float:
    """The least score that counts as equal."""
    return float(score - TIE_TOLERANCE * abs(score))


class _Seen(NamedTuple):
    """Questions that were looked at: rows (n,), margins, and the least and the most that each may score (n,)."""

    rows: Rows
    margins: Margins
    least: Array
    most: Array

    def at(self, some: NDArray[Any]) -> "_Seen":
        """Some of them, by number or mask."""
        return _Seen(self.rows[some], self.margins.at(some), self.least[some], self.most[some])

    def above(self, cut: float) -> "_Seen":
        """Those that may score as much."""
        return self.at(self.most >= cut)

    @classmethod
    def joined(cls, parts: Sequence["_Seen"]) -> "_Seen":
        """All of them."""
        if len(parts) == 1:
            return parts[0]
        rows, least, most = (np.concatenate([part[i] for part in parts]) for i in (0, 2, 3))
        means, variances = (np.concatenate([part.margins[i] for part in parts], axis=1) for i in (1, 2))
        return cls(rows, Margins(parts[0].margins.weights, means, variances), least, most)


def _bounds(rule: AcquisitionFunction, margins: Margins, model: ResponseModel) -> tuple[Array, Array]:
    """The least and the most that each question may score (n_questions,)."""
    if rule is not information_gain:
        scores = score_margins(rule, margins, model)
        return scores, scores
    if len(margins.weights) > 1:
        return mixture_information_gain_bounds(*margins, response_model=model)
    return information_gain_bounds(margins.means[0], margins.variances[0], response_model=model)


def _spread(margins: PosteriorMargins) -> float:
    """How many times its ceiling the variance of a question's margin can be between the components, at most.

    It is δᵀBδ with B the covariance of the components' means, at most λ times the ceiling, λ the largest eigenvalue of
    B relative to the average prior covariance (eq. 4).
    """
    weights, components = margins.posterior.weights, margins.posterior.components
    if len(components) == 1:
        return 0.0
    deviations = np.stack([each.mean for each in components]) - margins.posterior.mean
    deviations *= np.sqrt(weights)[:, None]
    within = np.einsum("k,kij->ij", weights, np.stack([each.covariance for each in margins.priors]))
    try:
        inverse = np.linalg.solve(np.linalg.cholesky(within), deviations.T)
    except np.linalg.LinAlgError:
        return np.inf
    return float(np.linalg.eigvalsh(inverse.T @ inverse)[-1])


def _reach(rule: AcquisitionFunction, margins: PosteriorMargins, widening: float, spread: float, score: float) -> int:
    """The first place in the order of prior variance from which on a question may have such a score."""
    model = margins.of.response_model
    if rule is not information_gain:  # by the moments of the whole
        least = LEAST_VARIANCE[rule](score, model) / (widening + spread)
    elif len(margins.kept) == 1:
        least = least_variance_to_gain(score, response_model=model) / widening
    else:
        # A reply tells at most what it tells about the component and within the components (eq. 3), and never more than
        # half the largest curvature times the variance of the margin (eq. 5).
        about_component = float(entropy(margins.posterior.weights))
        within = least_variance_to_gain(score - about_component, response_model=model) / widening
        least = max(within, 2 * score / _most_curvature(model) / (widening + spread))
        if (share := _share_without_margin(margins)) is not None:  # eq. 6
            least = max(least, least_variance_beside_a_point(score, share, response_model=model) / widening)
    return int(np.searchsorted(margins.of.ceilings, least))


def _share_without_margin(margins: PosteriorMargins) -> float | None:
    """Weight of the components in which no question has a margin; None unless the rest is one, and replies are even."""
    model, belief = margins.of.response_model, margins.posterior
    if model.tie_threshold or model.position_bias:
        return None
    without = [not (each.mean.any() or each.covariance.any()) for each in belief.components]
    return float(belief.weights[without].sum()) if without.count(False) == 1 else None


def _most_curvature(model: ResponseModel) -> float:
    """Of a reply's expected curvature (Fisher information) in the margin; lapses only ever lower it."""
    return 0.25 if model.tie_threshold == 0 else 0.5


LEAST_VARIANCE: Mapping[AcquisitionFunction, Callable[[float, ResponseModel], float]] = MappingProxyType(
    {
        d_optimal: lambda score, model: float(np.expm1(2 * score)) / _most_curvature(model),
        pref: lambda score, model: 16 * score,
        max_norm: lambda score, model: score,
    }
)
"""By rule, the variance that a margin must have at least for a question to have this score."""
