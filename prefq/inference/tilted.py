"""A Gaussian margin after one reply: the moments of N(mean, sd²) times the likelihood, by quadrature.

This is the one integral that expectation propagation needs (docs/maths/posterior.md, eq. 8). Where the margin is narrow
the nodes are spread evenly over it. Where it is wide the likelihood is nearly a step, and the nodes crowd about the
step, each as far from its neighbour as a share of its distance from there. Where it is wide and far from the step, the
log-likelihood is a straight line, and no integral is needed.
"""

from functools import lru_cache
from math import ceil, hypot, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.likelihood import Replies
from prefq.vocabulary import Array

WIDE_SD = 9.0  # logits: above it the nodes crowd about the step
REACH = 6.0  # standard deviations: the tail beyond it has less than 4e-8 of the second moment
STEP_SDS = 0.9  # of a narrow margin, in standard deviations
STEP_LOGITS = 1.1  # of a wide one: the poles of the logistic lie π off the real line
FINENESS = 4  # nodes to a standard deviation are a whole number of quarters, so that few sets of nodes occur
FAR_SDS = 8.0  # from the step, of a wide margin: beyond, there is no step to see
STEP_WIDE = 0.05  # of the distance from the step
SAFE = 300.0  # logits: a reply that surprises by less has a probability that a double can hold
BLOCK = 1024  # margins at a time, so that margins x nodes stay in the cache


class Tilted(NamedTuple):
    """Moments of a margin after one reply, each of the margins' shape.

    log_evidence is the log probability of the reply, in nats; shift the mean's move in standard deviations before the
    reply; ratio the variance after the reply by that before.
    """

    log_evidence: Array
    shift: Array
    ratio: Array


def tilted_moments(mean: Array, sd: Array, replies: Replies) -> Tilted:
    """Moments of margins after one reply each.

    Parameters
    ----------
    mean, sd : any shape
        Of the margin before the reply, in logits; sd above 0.
    replies
        Outcomes of the same shape, and how they arise.

    Returns
    -------
    Tilted
        Errors below 1e-6 of the moments.
    """
    if mean.size <= BLOCK and sd.max() <= WIDE_SD:
        return _narrow(mean, sd, replies)
    wide = sd > WIDE_SD
    parts = np.empty((3, mean.size))
    means, sds, flat = mean.ravel(), sd.ravel(), Replies(replies.outcomes.ravel(), replies.model)
    far = np.zeros_like(wide)
    far[wide] = _is_far(mean[wide], sd[wide], replies.at(wide))
    for chosen, moments in ((~wide, _narrow), (wide & ~far, _wide), (far, _far)):
        rows = np.flatnonzero(chosen)
        for first in range(0, rows.size, BLOCK):
            block = rows[first : first + BLOCK]
            parts[:, block] = moments(means[block], sds[block], flat.at(block))
    return Tilted(*parts.reshape(3, *mean.shape))


def _narrow(mean: Array, sd: Array, replies: Replies) -> Tilted:
    """By the trapezoidal rule on even nodes, further out where a reply that surprises drags the margin along."""
    # The slope of a log-likelihood is at most 1 a logit, so the mean moves by at most sd standard deviations, and no
    # further than to where the reply is no surprise.
    widest, furthest = float(sd.max()), float(np.abs(mean + replies.model.position_bias).max())
    reach = REACH + min(widest, sqrt(furthest))  # as min(sd, distance / sd) is at most the root of the distance
    fineness = ceil(FINENESS * hypot(1 / STEP_SDS, widest / STEP_LOGITS))
    nodes, moments = _even_nodes(ceil(reach * fineness / FINENESS), FINENESS / fineness)
    if furthest <= SAFE:
        weights, most = replies.probabilities(mean, sd, nodes), 0.0
    else:
        weights = replies.log_probabilities(mean[..., None] + sd[..., None] * nodes)
        most = weights.max(axis=-1)
        weights = np.exp(weights - most[..., None])
    found = weights @ moments
    total = found[..., 0]
    shift = found[..., 1] / total
    return Tilted(most + np.log(total), shift, found[..., 2] / total - shift * shift)


@lru_cache(maxsize=256)  # of a pure function: 1 to 6 kB for each range of standard deviations and of surprise
def _even_nodes(n_nodes: int, step: float) -> tuple[Array, Array]:
    """Nodes from -n_nodes to n_nodes steps (n,), and what makes mass and first two moments of values there (n, 3)."""
    nodes = np.arange(-n_nodes, n_nodes + 1, dtype=np.float64) * step
    density = np.exp(-nodes * nodes / 2) * (step / np.sqrt(2 * np.pi))
    return nodes, np.stack((density, density * nodes, density * nodes * nodes), axis=1)


def _wide(mean: Array, sd: Array, replies: Replies) -> Tilted:
    """By the trapezoidal rule in x, where the nodes are sinh(x) from the step of the likelihood."""
    bias = replies.model.position_bias
    far = np.arcsinh(float((np.abs(mean + bias) + 2 * REACH * sd).max()))
    grid = np.linspace(-far, far, 2 * int(np.ceil(far / STEP_WIDE)) + 1)
    margins, widths = np.sinh(grid) - bias, np.cosh(grid)
    z = (margins - mean[..., None]) / sd[..., None]
    logs = replies.log_probabilities(np.broadcast_to(margins, z.shape)) - z**2 / 2
    most = logs.max(axis=-1)
    weights = np.exp(logs - most[..., None]) * widths
    total = weights.sum(axis=-1)
    shift = (weights * z).sum(axis=-1) / total
    ratio = (weights * (z - shift[..., None]) ** 2).sum(axis=-1) / total
    return Tilted(most + np.log(total * (grid[1] - grid[0]) / (sd * np.sqrt(2 * np.pi))), shift, ratio)


def _far(mean: Array, sd: Array, replies: Replies) -> Tilted:
    """Of a straight line with this slope: it moves the mean by slope x sd² and leaves the variance."""
    value, slope = _line(mean, replies)
    return Tilted(value + (slope * sd) ** 2 / 2, slope * sd, np.ones_like(sd))


def _is_far(mean: Array, sd: Array, replies: Replies) -> NDArray[np.bool_]:
    """Whether the log-likelihood is a straight line both around the mean and where it moves the mean to."""
    _, slope = _line(mean, replies)
    return np.asarray(np.abs(mean + replies.model.position_bias) - np.abs(slope) * sd**2 > FAR_SDS * sd)


def _line(mean: Array, replies: Replies) -> tuple[Array, Array]:
    """Value and slope of the log-likelihood at the mean, by differences."""
    value, ahead, behind = (replies.log_probabilities((mean + each)[..., None])[..., 0] for each in (0.0, 1.0, -1.0))
    return value, (ahead - behind) / 2
