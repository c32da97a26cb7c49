"""The likeliest tastes of a group, h + B z: a search in which all directions of the encodings curve about alike.

The common taste is h = h₀ + B m: a part of its own, and what lies along the ways in which people differ, which costs
next to nothing, since a mean of z is all that it takes. How strong h₀ may be is chosen by people who did not teach it:
of a group that agrees much can be believed, of one that does not hardly anything. What is raised is in `marginal`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.inference.likelihood import log_likelihood, sigmoid
from prefq.rewards.factorization.marginal import ANSWER, ITEMS, Answers, Directions, Evidence
from prefq.vocabulary import Array

POOLED_MARGINS = (0.2, 0.4, 0.8, 1.5, 3.0, 6.0)  # logits, root mean square, that a common taste may have
USUAL_POOLED_MARGIN = 2.0  # where there are too few people to tell
PERSONAL_MARGIN = 2 / 3  # logits, of each axis in which people differ: five of them make 1.5
PARTS = 5  # of the people, each held out once, who choose among pooled margins
CLOSE = 1.0  # nats of all answers: a smaller margin that is as good as this is taken
LARGEST_SCALE = 2.0
CURVATURE = 0.2  # of a typical answer: what the search is preconditioned with
CONVERGED = 1e-5  # of what is raised, as a share, between two steps: of 10,000 answers a twentieth of a nat
MEMORY = 12  # steps that the search remembers the slope of

OnEvidence = Callable[[int, float], None]
"""Told the number of a step, and the log evidence in nats an answer."""

Rise = Callable[[Array], tuple[float, Array]]
"""From heads (n_dims, k): what is to be raised, in nats, and its slope (n_dims, k)."""


def likeliest(
    answers: Answers,
    directions: Directions,
    rank: int,
    *,
    rng: np.random.Generator,
    max_steps: int,
    on_evidence: OnEvidence,
) -> Array:
    """Heads [h | B] (n_dims, 1 + rank) of the largest evidence, shrunk.

    First h alone, the pooled taste; then B from what answers of the same person say together (`together`), and all.
    Squares of h₀ and B cost as much as a Gaussian prior of a common margin of `pooled_margin`, and one of
    `PERSONAL_MARGIN` for each column of B; those of m as if it were drawn as z is.

    Parameters
    ----------
    answers, directions
        Of the group.
    rank
        Columns of B.
    rng
        Draws who chooses how strong the common taste may be.
    max_steps
        Of each search.
    on_evidence
        Told how the last one goes.
    """
    common = price_of(directions, pooled_margin(answers, directions, rng=rng, max_steps=max_steps))
    personal = price_of(directions, PERSONAL_MARGIN)
    evidence, start = Evidence(answers), np.zeros((len(directions.axes), 1))
    pooled = _climb(evidence, answers.n_answers, directions, start, np.array([common]), max_steps)
    if not rank:
        return pooled
    personal_start = together(answers, directions, pooled, rank, personal)
    return _climb(
        evidence,
        answers.n_answers,
        directions,
        np.column_stack([pooled, personal_start]),
        np.array([common, *[personal] * rank]),
        max_steps,
        mean_scale=_mean_scale(answers, directions, personal_start),
        on_evidence=on_evidence,
    )


def _mean_scale(answers: Answers, directions: Directions, personal: Array) -> Array:
    """Inverse roots (rank,) of how a mean of z curves: a person tells of it at most what one z is worth."""
    n_people = len(answers.counts)
    told = CURVATURE * answers.n_answers / n_people * np.diag(directions.moments(personal))
    return np.asarray(1 / np.sqrt(1 + n_people * told / (1 + told)))


def price_of(directions: Directions, margin: float) -> float:
    """Half the price of a square of a head, in nats, that a prior of this margin puts on it, in logits."""
    return directions.total / margin**2


def pooled_margin(answers: Answers, directions: Directions, *, rng: np.random.Generator, max_steps: int) -> float:
    """How strong the common taste may be, in logits: as people say who did not teach it.

    The people are folded, and each part is predicted by one taste for everybody, learned from the others, at the scale
    that suits all parts best: how far a taste is believed is told later, and here only where it points.
    """
    n_people = len(answers.counts)
    if n_people < PARTS:
        return USUAL_POOLED_MARGIN
    part = np.repeat(rng.permutation(np.arange(n_people) % PARTS), answers.counts)
    taught = part[:, None] != np.arange(PARTS)
    outcomes = answers.outcomes[:, None]

    def rise(heads: Array) -> tuple[float, Array]:
        told = log_likelihood(answers.features(heads), outcomes, ANSWER)
        return float(told.value[taught].sum()), answers.toward_heads(np.where(taught, told.first, 0.0))

    heads, held_out = np.zeros((len(directions.axes), PARTS)), []
    for margin in POOLED_MARGINS:  # each search begins where the last one ended
        prices = np.full(PARTS, price_of(directions, margin))
        heads = _climb(rise, answers.n_answers, directions, heads, prices, max_steps)
        margins = answers.features(heads)
        held_out.append(_at_best_scale(margins[~taught], np.broadcast_to(outcomes, taught.shape)[~taught]))
    good = np.array(held_out) >= max(held_out) - CLOSE
    return POOLED_MARGINS[int(np.argmax(good))]


def _at_best_scale(margins: Array, outcomes: NDArray[np.int8]) -> float:
    """Log likelihood of outcomes, in nats, of margins times whatever makes them likeliest."""
    from scipy.optimize import minimize_scalar

    def loss(scale: float) -> float:
        return -float(log_likelihood(scale * margins, outcomes, ANSWER).value.sum())

    return -float(minimize_scalar(loss, bounds=(0.0, LARGEST_SCALE), method="bounded").fun)


def together(answers: Answers, directions: Directions, pooled: Array, rank: int, price: float) -> Array:
    """A first B (n_dims, rank): the main axes of how people differ from the pooled taste.

    To first order in tastes, what two answers a, b of one person leave unexplained, r_a and r_b, has E[r_a r_b x_a
    x_bᵀ] = κ² x_a x_aᵀ Cov[taste] x_b x_bᵀ; sums over pairs of answers, in whitened coordinates, estimate the
    covariance without the noise of single answers (docs/maths/base-rewards.md, eq. 4).
    """
    margins = answers.features(pooled)[:, 0]
    left = log_likelihood(margins, answers.outcomes, ANSWER).first
    curvature = float((sigmoid(margins) * sigmoid(-margins)).mean())
    whiten = directions.axes / np.sqrt(directions.spreads + price / (curvature * answers.n_answers))
    totals = np.zeros((len(answers.counts), whiten.shape[1]))
    alone = np.zeros((whiten.shape[1], whiten.shape[1]))
    owners = np.repeat(np.arange(len(answers.counts)), answers.counts)
    encodings, items = answers.encodings, answers.items
    for start in range(0, answers.n_answers, ITEMS):
        rows = slice(start, start + ITEMS)
        block = encodings[items[answers.first[rows]]] - encodings[items[answers.second[rows]]]
        seen = (block @ whiten) * left[rows, None]
        alone += seen.T @ seen
        np.add.at(totals, owners[rows], seen)
    n_pairs = max(float((answers.counts * (answers.counts - 1)).sum()), 1.0)
    values, vectors = np.linalg.eigh((totals.T @ totals - alone) / (n_pairs * curvature**2))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    least = 1e-3 * max(float(values[0]), 1e-3)
    found = whiten @ vectors * np.sqrt(np.maximum(values, least))
    missing = rank - found.shape[1]
    return np.pad(found, ((0, 0), (0, missing))) if missing else found


def _climb(
    rise: Rise,
    n_answers: int,
    directions: Directions,
    start: Array,
    prices: Array,
    max_steps: int,
    *,
    mean_scale: Array | None = None,
    on_evidence: OnEvidence | None = None,
) -> Array:
    """Heads (n_dims, k) from which nothing rises further, less prices (k,) of their squares; by L-BFGS.

    Liu and Nocedal 1989, in coordinates in which all directions of the encodings curve alike. With a mean_scale
    (k - 1,) the first head is a part of its own and the others times a mean, which is searched for on this scale, too.
    """
    from scipy.optimize import minimize

    scale = 1 / np.sqrt(CURVATURE * n_answers * directions.spreads[:, None] + prices)
    mean_scale = np.empty(0) if mean_scale is None else mean_scale
    axes, n_own, n_steps = directions.axes, scale.size, 0

    def parts(flat: Array) -> tuple[Array, Array, Array]:
        inner, mean = flat[:n_own].reshape(scale.shape) * scale, flat[n_own:] * mean_scale
        heads = axes @ inner
        heads[:, 0] += heads[:, 1 : 1 + len(mean)] @ mean
        return inner, mean, heads

    def cost(flat: Array) -> tuple[float, Array]:
        inner, mean, heads = parts(flat)
        value, slope = rise(heads)
        value -= float((prices * np.square(inner)).sum() + mean @ mean) / 2
        of_inner = axes.T @ slope
        of_mean = inner[:, 1 : 1 + len(mean)].T @ of_inner[:, 0] - mean
        of_inner[:, 1 : 1 + len(mean)] += np.outer(of_inner[:, 0], mean)
        return -value, -np.concatenate([((of_inner - prices * inner) * scale).ravel(), of_mean * mean_scale])

    def told(intermediate_result: Any) -> None:
        nonlocal n_steps
        n_steps += 1
        if on_evidence is not None:
            on_evidence(n_steps, -float(intermediate_result.fun) / n_answers)

    found = minimize(
        cost,
        np.concatenate([((axes.T @ start) / scale).ravel(), np.zeros_like(mean_scale)]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps, "ftol": CONVERGED, "maxcor": MEMORY},
        callback=told,
    )
    return parts(found.x)[2]
