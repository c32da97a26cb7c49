"""A Gaussian margin after one reply: the moments of N(mean, sd²) times the likelihood, by quadrature.

This is the one integral that expectation propagation needs (docs/maths/posterior.md, eq. 8). Where the margin is narrow
the nodes are spread evenly over it. Where it is wide the likelihood is nearly a step, and the nodes crowd about the
step, each as far from its neighbour as a share of its distance from there.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.likelihood import log_probabilities
from prefq.vocabulary import Array, ResponseModel

WIDE_SD = 9.0  # logits: above it the nodes crowd about the step
REACH = 7.5  # standard deviations: the tail beyond it is below 1e-13
STEP_SDS = 0.7  # at most, in standard deviations
STEP_LOGITS = 1.0  # at most: the poles of the logistic lie π off the real line
STEP_WIDE = 0.05  # of the distance from the step
BLOCK = 1024  # margins at a time, so that margins x nodes stay in the cache


class Tilted(NamedTuple):
    """Moments of a margin after one reply, each of the margins' shape.

    log_evidence is the log probability of the reply, in nats; shift the mean's move in standard deviations before the
    reply; ratio the variance after the reply by that before.
    """

    log_evidence: Array
    shift: Array
    ratio: Array


def tilted_moments(mean: Array, sd: Array, outcomes: NDArray[np.int8], response_model: ResponseModel) -> Tilted:
    """Moments of margins after one reply each.

    Parameters
    ----------
    mean, sd : any shape
        Of the margin before the reply, in logits; sd above 0.
    outcomes : same shape, int8
        As `log_likelihood` takes them.
    response_model
        How replies arise.

    Returns
    -------
    Tilted
        Errors below 1e-6 of the moments.
    """
    wide = sd > WIDE_SD
    if mean.size <= BLOCK and not wide.any():
        return _narrow(mean, sd, outcomes, response_model)
    parts = np.empty((3, *mean.shape))
    flat = parts.reshape(3, -1)
    mean, sd, outcomes, wide = (each.ravel() for each in (mean, sd, outcomes, wide))
    for rows, moments in ((np.flatnonzero(~wide), _narrow), (np.flatnonzero(wide), _wide)):
        for first in range(0, rows.size, BLOCK):
            block = rows[first : first + BLOCK]
            flat[:, block] = moments(mean[block], sd[block], outcomes[block], response_model)
    return Tilted(*parts)


def _narrow(mean: Array, sd: Array, outcomes: NDArray[np.int8], model: ResponseModel) -> Tilted:
    """By the trapezoidal rule on even nodes, further out where a reply that surprises drags the margin along."""
    # The slope of a log-likelihood is at most 1 a logit, so the mean moves by at most sd standard deviations, and no
    # further than to where the reply is no surprise.
    dragged = float(np.minimum(sd, np.abs(mean + model.position_bias) / sd).max())
    reach = REACH + dragged
    step = min(STEP_SDS, STEP_LOGITS / float(sd.max()))
    nodes = np.linspace(-reach, reach, 2 * int(np.ceil(reach / step)) + 1)
    logs = log_probabilities(mean[..., None] + sd[..., None] * nodes, outcomes[..., None], model)
    logs -= nodes**2 / 2
    most = logs.max(axis=-1, keepdims=True)
    logs -= most
    weights = np.exp(logs, out=logs)
    sums = weights @ np.stack((np.ones_like(nodes), nodes, nodes**2), axis=1)
    total = sums[..., 0]
    shift = sums[..., 1] / total
    ratio = sums[..., 2] / total - shift**2
    return Tilted(most[..., 0] + np.log(total * ((nodes[1] - nodes[0]) / np.sqrt(2 * np.pi))), shift, ratio)


def _wide(mean: Array, sd: Array, outcomes: NDArray[np.int8], model: ResponseModel) -> Tilted:
    """By the trapezoidal rule in x, where the nodes are sinh(x) from the step of the likelihood."""
    far = np.arcsinh(float((np.abs(mean + model.position_bias) + 2 * REACH * sd).max()))
    grid = np.linspace(-far, far, 2 * int(np.ceil(far / STEP_WIDE)) + 1)
    margins, widths = np.sinh(grid) - model.position_bias, np.cosh(grid)
    z = (margins - mean[..., None]) / sd[..., None]
    logs = log_probabilities(np.broadcast_to(margins, z.shape), outcomes[..., None], model) - z**2 / 2
    most = logs.max(axis=-1)
    weights = np.exp(logs - most[..., None]) * widths
    total = weights.sum(axis=-1)
    shift = (weights * z).sum(axis=-1) / total
    ratio = (weights * (z - shift[..., None]) ** 2).sum(axis=-1) / total
    return Tilted(most + np.log(total * (grid[1] - grid[0]) / (sd * np.sqrt(2 * np.pi))), shift, ratio)
