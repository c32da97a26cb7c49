"""The best question of a pool without a look at most of them, for rules whose score the prior variance bounds.

Answers never raise a margin's variance under a component above its prior variance (docs/maths/questions.md), so that
a question's prior variance says how much it could tell at most, whatever was answered. Questions are taken from the
largest prior variance down, until none that is left could be better than what was found. The question found is the
best of all; nothing is approximated.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.predictive import entropy
from prefq.pool.candidate_pool import Rows
from prefq.questions.acquisition import AcquisitionFunction, d_optimal, information_gain, max_norm, pref
from prefq.questions.gain_bounds import (
    information_gain_bounds,
    least_variance_to_gain,
    mixture_information_gain_bound,
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


def can_search(rule: object, margins: PosteriorMargins) -> bool:
    """Whether `search` knows a bound for the rule; of a mixture only for information gain."""
    return rule is information_gain or (rule in LEAST_VARIANCE and len(margins.weights) == 1)


def search(
    rule: AcquisitionFunction,
    margins: PosteriorMargins,
    is_allowed: Callable[[Rows], NDArray[np.bool_]],
    *,
    costs: Array | None = None,
    at_least: float = 0.0,
) -> Best | None:
    """The allowed question of the highest score, the lowest row among equals; None where none scores `at_least`.

    Parameters
    ----------
    rule
        One that `can_search`.
    margins
        Of the pool.
    is_allowed
        Which rows of the pool may be asked, given some of them.
    costs : (n_questions,), optional
        Above 0; then the score per cost counts.
    at_least
        Scores below it are of no use.
    """
    model, order = margins.of.response_model, margins.of.order
    cheapest = 1.0 if costs is None else float(costs.min())
    found, cut = list[_Found](), _lowered(at_least)
    end, step = len(order), FIRST_STEP
    while (start := max(end - step, _reach(rule, margins, cut * cheapest))) < end:
        rows = order[start:end]
        allowed = is_allowed(rows)
        part = _looked_at(rule, rows[allowed], margins.at(slice(start, end)).at(allowed), model, costs)
        cut = max(cut, _lowered(part.least.max(initial=-np.inf)))
        found.append(part.above(cut))
        end, step = start, min(GROWTH * step, LARGEST_STEP)
    best = _best_of(rule, _Found.joined(found).above(cut), model, costs) if found else None
    return best if best is not None and best.score >= _lowered(at_least) else None


def first_best(rows: Rows, scores: Array) -> Best:
    """The lowest row whose score is the highest, up to round-off."""
    rows_of_best = rows[scores >= _lowered(scores.max())]
    row = rows_of_best.min()
    return Best(int(row), float(scores[rows == row][0]))


class _Found(NamedTuple):
    """Questions that may be the best: rows (n,), margins, and the least and the most that each may score (n,)."""

    rows: Rows
    margins: Margins
    least: Array
    most: Array

    def above(self, cut: float) -> "_Found":
        """Those that may score as much."""
        kept = self.most >= cut
        return _Found(self.rows[kept], self.margins.at(kept), self.least[kept], self.most[kept])

    @classmethod
    def joined(cls, parts: Sequence["_Found"]) -> "_Found":
        """All of them."""
        rows, least, most = (np.concatenate([part[i] for part in parts]) for i in (0, 2, 3))
        means, variances = (np.concatenate([part.margins[i] for part in parts], axis=1) for i in (1, 2))
        return cls(rows, Margins(parts[0].margins.weights, means, variances), least, most)


def _lowered(score: float) -> float:
    """The least score that counts as equal."""
    return float(score - TIE_TOLERANCE * abs(score))


def _looked_at(
    rule: AcquisitionFunction, rows: Rows, margins: Margins, model: ResponseModel, costs: Array | None
) -> _Found:
    """Questions, with what each may score."""
    if rule is not information_gain:
        least = most = score_margins(rule, margins, model)
    elif len(margins.weights) == 1:
        least, most = information_gain_bounds(*margins[1:], response_model=model)
        least, most = least[0], most[0]
    else:
        within, _ = information_gain_bounds(margins.means, margins.variances, response_model=model)
        least = margins.weights @ within
        most = mixture_information_gain_bound(*margins, response_model=model)
    if costs is not None:
        least, most = least / costs[rows], most / costs[rows]
    return _Found(rows, margins, least, most)


def _reach(rule: AcquisitionFunction, margins: PosteriorMargins, score: float) -> int:
    """The first place in the order of prior variance from which on a question may have such a score."""
    model = margins.of.response_model
    if rule is information_gain:
        # A reply tells at most what it tells about the component, and what it tells within the components.
        gain = score - float(entropy(margins.weights))
        least = least_variance_to_gain(gain, response_model=model)
    else:
        least = LEAST_VARIANCE[rule](score, model)
    return int(np.searchsorted(margins.of.ceilings, least))


def _best_of(rule: AcquisitionFunction, found: _Found, model: ResponseModel, costs: Array | None) -> Best | None:
    """`first_best` by exact scores, taken only where a bound does not rule the question out."""
    if not found.rows.size:
        return None
    if rule is not information_gain:
        return first_best(found.rows, found.most)

    def exact(rows: Rows, margins: Margins) -> Array:
        scores = score_margins(rule, margins, model)
        return scores if costs is None else scores / costs[rows]

    if found.rows.size > FIRST_CONTENDERS:
        likely = np.argpartition(found.most, -FIRST_CONTENDERS)[-FIRST_CONTENDERS:]
        found = found.above(_lowered(exact(found.rows[likely], found.margins.at(likely)).max()))
    return first_best(found.rows, exact(found.rows, found.margins))


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
