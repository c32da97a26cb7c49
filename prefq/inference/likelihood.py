"""The response model as a likelihood: Bradley-Terry with ties, position bias and lapses, and its derivatives.

A margin m is the difference of two responses' scores, in logits. With a = m + b,

    P(first) = σ(a - τ),   P(second) = σ(-a - τ),   P(tie) = σ(a + τ) σ(τ - a) (1 - exp(-2τ)),

which is Rao and Kupper (1967) with θ = exp(τ); the product form of P(tie) keeps its logarithm exact for any margin. A
graded preference is clear with P(clearly first) = σ(a - τ - κ) and slight with the rest of P(first).
Margins are taken as they are felt: `ResponseModel.felt` comes before.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.vocabulary import Array, Comparisons, ResponseModel

BRADLEY_TERRY = ResponseModel()


class LogLikelihood(NamedTuple):
    """Log-likelihood of each answer and its derivatives with respect to the margin, each (n_answers,)."""

    value: Array
    first: Array
    second: Array


class Felt(NamedTuple):
    """Answers as the likelihood takes them: felt differences (n_answers, n_features), and graded outcomes."""

    differences: Array
    outcomes: NDArray[np.int8]

    @classmethod
    def of(cls, comparisons: Comparisons, response_model: ResponseModel) -> "Felt":
        """Differences after `ResponseModel.felt`, outcomes as `Comparisons.grades`."""
        return cls(response_model.felt(comparisons.differences), comparisons.grades)


class Intervals(NamedTuple):
    """Replies as intervals of the latent scale, each of the outcomes' shape.

    With a = sign (margin + b), a reply's probability is σ(a - low) - σ(a - high). A preference has no upper end, a tie
    reaches from -τ to τ, a slight preference from τ to τ + κ, a clear one begins at τ + κ. Where ended, the probability
    is σ(a - low) σ(low + width - a) (1 - exp(-width)), which is exact also far out; log_share is the logarithm of the
    last factor, 0 where there is no upper end.
    """

    sign: Array
    low: Array
    ended: NDArray[np.bool_]
    width: Array
    log_share: Array

    @classmethod
    def of(cls, outcomes: NDArray[np.int8], model: ResponseModel) -> "Intervals":
        """Of outcomes of any shape, none of them a tie where τ = 0."""
        grade, threshold, further = np.abs(outcomes), model.tie_threshold, model.strength_threshold
        is_tie = grade == 0
        ended = is_tie | (grade == 2)
        low = np.where(is_tie, -threshold, np.where(grade == 3, threshold + further, threshold))
        width = np.where(is_tie, 2 * threshold, further)
        log_share = np.log(-np.expm1(-np.where(ended, width, np.inf)))
        return cls(np.where(outcomes < 0, -1.0, 1.0), low, ended, width, log_share)


class Replies:
    """Outcomes made ready for integrals: their likelihood at many margins each, without derivatives."""

    __slots__ = ("_chance", "_decay", "_opposite", "_share", "_shift", "_sign", "_ties", "model", "outcomes")

    def __init__(self, outcomes: NDArray[np.int8], response_model: ResponseModel) -> None:
        self.outcomes, self.model = outcomes, response_model
        graded = outcomes if response_model.strength_threshold > 0 else np.sign(outcomes)
        self._ties: NDArray[np.bool_] | None = None
        if response_model.tie_threshold == 0 and not graded.all():  # one preference each way, as in log_likelihood
            self._ties = graded == 0
            self._opposite = Replies(np.where(self._ties, -1, graded).astype(np.int8), response_model)
            graded = np.where(self._ties, 1, graded)
        self._decay: Array | None = None
        if response_model.tie_threshold == 0 and response_model.strength_threshold == 0:
            self._sign = graded.astype(np.float64)
            self._shift = self._sign * response_model.position_bias
        else:
            intervals = Intervals.of(graded, response_model)
            self._sign, self._shift = intervals.sign, intervals.sign * response_model.position_bias - intervals.low
            if intervals.ended.any():
                self._decay = np.where(intervals.ended, np.exp(-intervals.width), 0.0)
                self._share = np.exp(intervals.log_share)
        self._chance = np.exp(_log_chances(graded, response_model)) if response_model.lapse_rate > 0 else None

    def at(self, which: Any) -> "Replies":
        """Some of them, by an index of the outcomes."""
        return Replies(self.outcomes[which], self.model)

    def probabilities(self, means: Array, sds: Array, nodes: Array) -> Array:
        """Probability of each reply at margins that are `nodes` standard deviations from the means.

        Parameters
        ----------
        means, sds
            In logits, of the outcomes' shape; margins beyond 700 logits overflow.
        nodes : (n_nodes,)
            In standard deviations.

        Returns
        -------
        Of the outcomes' shape with an axis of nodes added.
        """
        # odds against reaching the lower end of the reply's interval, exp(-(a - low)); see `Intervals`
        odds = np.multiply.outer(-self._sign * sds, nodes)
        odds -= (self._sign * means + self._shift)[..., None]
        np.exp(odds, out=odds)
        value = 1 + odds
        np.divide(1.0, value, out=value)
        if self._decay is not None:
            odds /= odds + self._decay[..., None]
            odds *= self._share[..., None]
            value *= odds
        if self._chance is not None:
            value *= 1 - self.model.lapse_rate
            value += self._chance[..., None]
        if self._ties is not None:
            value *= np.where(self._ties[..., None], self._opposite.probabilities(means, sds, nodes), 1.0)
        return value

    def log_probabilities(self, margins: Array) -> Array:
        """Value of `log_likelihood`, in nats, at margins of the outcomes' shape with an axis of nodes added."""
        above = margins * self._sign[..., None] + self._shift[..., None]
        value = log_sigmoid(above)
        if self._decay is not None:
            with np.errstate(divide="ignore"):
                width = -np.log(self._decay)[..., None]
            value += log_sigmoid(width - above) + np.log(self._share)[..., None]
        if self._chance is not None:
            value += np.log1p(-self.model.lapse_rate)
            value = np.asarray(np.logaddexp(value, np.log(self._chance)[..., None]))
        if self._ties is not None:
            value += np.where(self._ties[..., None], self._opposite.log_probabilities(margins), 0.0)
        return value


def log_sigmoid(x: Array) -> Array:
    """Log σ(x), exact in both tails; any shape."""
    return np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))


def sigmoid(x: Array) -> Array:
    """σ(x), without overflow; any shape."""
    return np.exp(log_sigmoid(x))


def log_likelihood(margins: Array, outcomes: NDArray[np.int8], response_model: ResponseModel) -> LogLikelihood:
    """Log-likelihood of outcomes given margins, and its first two derivatives.

    Parameters
    ----------
    margins : (n_answers,)
        First minus second, in logits.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred; or graded as `Comparisons.grades`: ±2 slightly, ±3 clearly.
    response_model
        Tie threshold τ, position bias b, lapse rate ε and strength threshold κ; at κ = 0 grades tell nothing.

    Returns
    -------
    LogLikelihood
        In nats. At τ = 0 a tie counts as one preference each way, the limit of its likelihood up to a constant.
    """
    if response_model.strength_threshold == 0:
        outcomes = np.sign(outcomes)
    ties = outcomes == 0
    if response_model.tie_threshold > 0 or not ties.any():
        return _with_lapse(_lapse_free(margins, outcomes, response_model), outcomes, response_model)
    ones = np.ones_like(outcomes)
    as_first = log_likelihood(margins, np.where(ties, ones, outcomes), response_model)
    as_second = log_likelihood(margins, -ones, response_model)
    return LogLikelihood(*(one + np.where(ties, other, 0.0) for one, other in zip(as_first, as_second, strict=True)))


def log_reply_probabilities(margins: Array, response_model: ResponseModel) -> list[Array]:
    """Logarithm of the probability of each reply at known margins, finite also where the probability underflows.

    Parameters
    ----------
    margins : any shape
        First minus second, in logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    list of arrays of the margins' shape
        One for each of ``response_model.outcomes``, in that order.
    """
    threshold, lapse = response_model.tie_threshold, response_model.lapse_rate
    low, high = margins + response_model.position_bias - threshold, margins + response_model.position_bias + threshold
    first = log_sigmoid(low)
    above = first if threshold == 0 else log_sigmoid(high)
    logs = [first, above - high]  # log σ(-x) = log σ(x) - x
    if threshold > 0:
        logs.insert(1, above + first - low + np.log(-np.expm1(-2 * threshold)))
    if lapse > 0:
        logs = [np.logaddexp(np.log1p(-lapse) + log_p, np.log(lapse / len(logs))) for log_p in logs]
    return logs


def reply_probabilities(margins: Array, response_model: ResponseModel) -> Array:
    """Probability of each reply at known margins.

    Parameters
    ----------
    margins : (n_questions,)
        First minus second, in logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions, n_replies)
        Columns in the order of ``response_model.outcomes``; rows sum to 1.
    """
    return np.exp(np.stack(log_reply_probabilities(margins, response_model), axis=-1))


def _lapse_free(margins: Array, outcomes: NDArray[np.int8], model: ResponseModel) -> LogLikelihood:
    if model.tie_threshold == 0 and model.strength_threshold == 0:  # plain preferences, the most common case
        side = np.where(outcomes < 0, -1.0, 1.0)
        value, slope, bend = _log_sigmoid_derivatives(side * (margins + model.position_bias))
        return LogLikelihood(value, side * slope, bend)
    intervals = Intervals.of(outcomes, model)
    sign, ended = intervals.sign, intervals.ended
    above = sign * (margins + model.position_bias) - intervals.low
    value, slope, bend = _log_sigmoid_derivatives(above)
    first, second = sign * slope, bend
    if ended.any():
        other, other_slope, other_bend = _log_sigmoid_derivatives(intervals.width - above)
        value = value + np.where(ended, other, 0.0) + intervals.log_share
        first = first - np.where(ended, sign * other_slope, 0.0)
        second = second + np.where(ended, other_bend, 0.0)
    return LogLikelihood(value, first, second)


def _log_sigmoid_derivatives(x: Array) -> LogLikelihood:
    """Value, slope σ(-x) and bend -σ(x)σ(-x) of log σ(x), from one exponential."""
    small = np.exp(-np.abs(x))
    near = 1 / (1 + small)  # σ(|x|)
    far = small * near
    return LogLikelihood(np.minimum(x, 0.0) - np.log1p(small), np.where(x >= 0, far, near), -near * far)


def _with_lapse(clean: LogLikelihood, outcomes: NDArray[np.int8], response_model: ResponseModel) -> LogLikelihood:
    """Mix in a reply drawn at random: q = (1 - ε) p + the chance of `_log_chances`."""
    lapse = response_model.lapse_rate
    if lapse == 0:
        return clean
    value = np.logaddexp(np.log1p(-lapse) + clean.value, _log_chances(outcomes, response_model))
    attentive = np.exp(np.log1p(-lapse) + clean.value - value)  # chance that the reply was no lapse
    first = attentive * clean.first
    return LogLikelihood(value, first, attentive * (clean.second + clean.first**2) - first**2)


def _log_chances(outcomes: NDArray[np.int8], model: ResponseModel) -> Array:
    """Log of the chance that a lapse gives each outcome: ε / n_replies, half of it for each grade of a preference."""
    chance = float(np.log(model.lapse_rate / len(model.outcomes)))
    return np.asarray(np.where(np.abs(outcomes) > 1, chance - np.log(2), chance))
