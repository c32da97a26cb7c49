"""What a Gaussian margin predicts: reply probabilities and the entropy of replies, averaged over the margin.

Both are one-dimensional integrals over m ~ N(mean, variance), taken with the trapezoidal rule, whose error falls
exponentially in the number of nodes for integrands that are analytic in a strip (Trefethen and Weideman 2014). Where
the margin is narrow the nodes follow the Gaussian; where it is wide they follow the logistic, which is then the
narrower of the two. Nothing here knows where margins come from.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from prefq.inference.likelihood import log_reply_probabilities, sigmoid
from prefq.vocabulary import Array, Coefficients, ResponseModel

WIDE_SD = 3.0  # logits; from here on the nodes follow the logistic
# In standard deviations; error below 1e-11 up to WIDE_SD.
NODES_OF_GAUSSIAN: Array = np.linspace(-8.5, 8.5, 69, dtype=np.float64)
LOGISTIC_STEP = 0.5  # logits; error below 1e-15
LOGISTIC_REACH = 42.0  # logits; the logistic's tail beyond it is below 1e-18
BLOCK = 8192  # margins at a time, so that margins x nodes stay in cache-sized blocks

_WEIGHTS = np.exp(-(NODES_OF_GAUSSIAN**2) / 2)
_WEIGHTS /= _WEIGHTS.sum()
_NODES_OF_LOGISTIC = np.arange(-LOGISTIC_REACH, LOGISTIC_REACH + LOGISTIC_STEP, LOGISTIC_STEP, dtype=np.float64)
_LOGISTIC = sigmoid(_NODES_OF_LOGISTIC) * sigmoid(-_NODES_OF_LOGISTIC) * LOGISTIC_STEP  # density times step


def preference_probability(mean: Array, variance: Array) -> Array:
    """E σ(m) for m ~ N(mean, variance): without ties, bias and lapses, so that swapping sides gives the complement.

    Parameters
    ----------
    mean, variance : (n,)
        Of the margin, in logits and squared logits.

    Returns
    -------
    (n,)
        Probability that the first is preferred; absolute error below 1e-10.
    """
    return _expected_sigmoid(np.asarray(mean, dtype=np.float64), np.asarray(variance, dtype=np.float64))


def expected_preference(coefficients: Coefficients, differences: Array) -> Array:
    """Probability that the first of two responses is preferred, averaged over what is believed of a user.

    Parameters
    ----------
    coefficients
        Of the user; of a mixture, each component counts as much as it weighs.
    differences : (n, n_features)
        First minus second.

    Returns
    -------
    (n,)
        As `preference_probability`.
    """
    total = np.zeros(len(differences))
    for weight, component in zip(coefficients.weights, coefficients.components, strict=True):
        variance = np.einsum("ij,ij->i", differences @ component.covariance, differences)
        total += weight * preference_probability(differences @ component.mean, np.maximum(variance, 0.0))
    return total


def predicted_replies(mean: Array, variance: Array, response_model: ResponseModel) -> Array:
    """Probability of each reply, averaged over the margin.

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions, n_replies)
        Columns in the order of ``response_model.outcomes``; rows sum to 1.
    """
    shifted, threshold = mean + response_model.position_bias, response_model.tie_threshold
    first = _expected_sigmoid(shifted - threshold, variance)
    columns = [first, 1 - first]
    if threshold > 0:
        second = _expected_sigmoid(-shifted - threshold, variance)
        columns = [first, np.clip(1 - first - second, 0.0, None), second]
    lapse = response_model.lapse_rate
    return (1 - lapse) * np.stack(columns, axis=-1) + lapse / len(columns)


def predicted_slopes(mean: Array, variance: Array, response_model: ResponseModel) -> Array:
    """Slope of each reply's probability in the margin, averaged over the margin.

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions, n_replies)
        In 1 / logits; columns in the order of ``response_model.outcomes``; rows sum to 0.
    """
    shifted, threshold = mean + response_model.position_bias, response_model.tie_threshold
    first = _expected_slope(shifted - threshold, variance)
    columns = [first, -first]
    if threshold > 0:
        second = _expected_slope(-shifted - threshold, variance)
        columns = [first, second - first, -second]
    return (1 - response_model.lapse_rate) * np.stack(columns, axis=-1)


def expected_entropy(mean: Array, variance: Array, response_model: ResponseModel) -> Array:
    """E H(reply | m) for m ~ N(mean, variance): what would stay uncertain even if the taste were known.

    Parameters
    ----------
    mean, variance : (n_questions,)
        Of the margin, in logits and squared logits.
    response_model
        Tie threshold, position bias and lapse rate.

    Returns
    -------
    (n_questions,)
        In nats.
    """
    shifted = np.asarray(mean + response_model.position_bias, dtype=np.float64)
    model = response_model
    if model.position_bias != 0:
        model = ResponseModel(model.tie_threshold, 0.0, model.lapse_rate)
    return _by_width(
        lambda m, s: _entropy_by_gaussian(m, s, model),
        lambda m, s: _entropy_by_logistic(m, s, model),
        shifted,
        np.sqrt(variance),
    )


def entropy(probabilities: Array) -> Array:
    """Entropy in nats of the distributions in the last axis; a probability of 0 contributes 0."""
    return np.asarray(-np.sum(probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0)), axis=-1))


_Integral = Callable[[Array, Array], Array]  # from means and sds (n,) of margins to values (n,)


def _by_width(narrow: _Integral, wide: _Integral, mean: Array, sd: Array) -> Array:
    """Integrals by the rule that suits each margin's width."""
    is_wide = sd > WIDE_SD
    if not is_wide.any():
        return _in_blocks(narrow, mean, sd)
    if is_wide.all():
        return _in_blocks(wide, mean, sd)
    values = np.empty_like(mean)
    values[~is_wide] = _in_blocks(narrow, mean[~is_wide], sd[~is_wide])
    values[is_wide] = _in_blocks(wide, mean[is_wide], sd[is_wide])
    return values


def _in_blocks(integral: _Integral, mean: Array, sd: Array) -> Array:
    if mean.size <= BLOCK:
        return integral(mean, sd)
    return np.concatenate([integral(mean[i : i + BLOCK], sd[i : i + BLOCK]) for i in range(0, mean.size, BLOCK)])


def _entropy_at(margins: Array, model: ResponseModel) -> Array:
    """Entropy of the reply at known margins; any shape."""
    total = np.zeros_like(margins)
    for log_p in log_reply_probabilities(margins, model):
        total -= np.exp(log_p) * log_p
    return total


def _entropy_by_gaussian(mean: Array, sd: Array, model: ResponseModel) -> Array:
    return np.asarray(_entropy_at(mean[:, None] + sd[:, None] * NODES_OF_GAUSSIAN, model) @ _WEIGHTS)


def _entropy_by_logistic(mean: Array, sd: Array, model: ResponseModel) -> Array:
    """E H = H(∞) + E[H - H(∞)]; the bracket has vanished where the nodes end."""
    nodes, heights = _entropy_at_nodes(model)
    z = (nodes - mean[:, None]) / sd[:, None]
    density = np.exp(-(z**2) / 2) / (np.sqrt(2 * np.pi) * sd[:, None])
    return np.asarray(heights[-1] + density @ (heights - heights[-1]) * LOGISTIC_STEP)


@lru_cache(maxsize=8)  # of a pure function: for each response model in use
def _entropy_at_nodes(model: ResponseModel) -> tuple[Array, Array]:
    """Margins (n_nodes,) that reach as far as the reply is uncertain, and the entropy of the reply there (n_nodes,)."""
    n_nodes = int(np.ceil((LOGISTIC_REACH + model.tie_threshold) / LOGISTIC_STEP))
    nodes = LOGISTIC_STEP * np.arange(-n_nodes, n_nodes + 1, dtype=np.float64)
    return nodes, _entropy_at(nodes, model)


def _expected_slope(mean: Array, variance: Array) -> Array:
    """E σ'(m)."""
    return _by_width(_slope_by_gaussian, _slope_by_logistic, mean, np.sqrt(variance))


def _slope_by_gaussian(mean: Array, sd: Array) -> Array:
    margins = mean[:, None] + sd[:, None] * NODES_OF_GAUSSIAN
    return np.asarray((sigmoid(margins) * sigmoid(-margins)) @ _WEIGHTS)


def _slope_by_logistic(mean: Array, sd: Array) -> Array:
    """∫ σ'(x) N(x; mean, sd²) dx at the nodes of the logistic."""
    z = (_NODES_OF_LOGISTIC - mean[:, None]) / sd[:, None]
    return np.asarray(np.exp(-(z**2) / 2) @ _LOGISTIC / (np.sqrt(2 * np.pi) * sd))


def _expected_sigmoid(mean: Array, variance: Array) -> Array:
    return _by_width(_sigmoid_by_gaussian, _sigmoid_by_logistic, mean, np.sqrt(variance))


def _sigmoid_by_gaussian(mean: Array, sd: Array) -> Array:
    return np.asarray(sigmoid(mean[:, None] + sd[:, None] * NODES_OF_GAUSSIAN) @ _WEIGHTS)


def _sigmoid_by_logistic(mean: Array, sd: Array) -> Array:
    """E σ(m) = P(u < m) for a logistic u: the logistic density times the Gaussian's tail at each node."""
    from scipy.special import ndtr  # here, because it costs 0.1 s and only wide margins need it

    return np.asarray(ndtr((mean[:, None] - _NODES_OF_LOGISTIC) / sd[:, None]) @ _LOGISTIC)
