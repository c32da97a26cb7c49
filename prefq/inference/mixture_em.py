"""Expectation maximisation for the distribution of coefficients over a group's users, in units of the group's scales.

A population is a mixture of Gaussians, and perhaps a point: people without a taste of their own. Each step of the
search is stretched by how little the answers tell, without which it would take hundreds (docs/maths/population.md).
What is fitted, and how strongly it is shrunk, is decided in `population`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from prefq.inference.ep_batch import Sites, log_evidence, propagate
from prefq.inference.groups import Block, Group, Rows
from prefq.inference.laplace import curvatures
from prefq.inference.laplace_batch import Gaussians, same_for_all
from prefq.inference.likelihood import log_likelihood
from prefq.vocabulary import Array, Gaussian, ResponseModel

MEAN_SD = 2.0  # logits, of the common margin of a typical difference, before anything is known: a weak guess
GUESSED_VARIANCE = 1.5**2  # squared logits, of a typical personal margin before anything is known: as without a group
GUESSED_USERS = 2.0  # as many users' worth of evidence is this guess
LEAST_PERSONAL = 0.5  # logits, root mean square: people whose tastes differ less than so are better called alike
IMPERSONAL_RANGE = (0.01, 0.97)  # of the point's weight: no group is all of one kind beyond doubt
GUESSED_IMPERSONAL, GUESSED_GROUP = 0.1, 10  # the same before anything is known, and how many users' worth that is
MAX_ITERATIONS = 40
CONVERGED = 0.02  # largest change, in standard deviations of the prior, and of its covariance as a share
LEAST_KNOWN = 0.02  # share of a user's coefficients that answers tell: below it steps are not stretched further
MAX_GROWTH = 4.0  # of a variance in one step
SLOWEST, FASTEST = 0.25, 3.0  # times a step, as steps reverse or go on
FIRST_SWEEPS, NEXT_SWEEPS = 8, 3  # of expectation propagation; later ones start from the last sites
DIVIDING_STEPS = 20
WEIGHT_STEPS = 50  # of the weights alone, which cost nothing


class Population(NamedTuple):
    """Gaussians of personal tastes, and weights: one more, the last, where some people have none.

    Those are a point at the mean of the Gaussians.
    """

    weights: Array
    gaussians: tuple[Gaussian, ...]

    @property
    def has_point(self) -> bool:
        """Whether some people have no taste of their own."""
        return len(self.weights) > len(self.gaussians)

    @property
    def mean(self) -> Array:
        """Mean of the personal tastes (n_features,)."""
        shares = self.weights[: len(self.gaussians)]
        return np.asarray(shares @ np.stack([each.mean for each in self.gaussians]) / shares.sum())


class Search(NamedTuple):
    """Where a search ended: the population, its steps, and the log evidence of each user (n_users,) before the last.

    uncertainties are the covariances of the means, as far as the group tells these: one (n_features, n_features) for
    each Gaussian.
    """

    population: Population
    n_iterations: int
    log_evidence: Array
    uncertainties: tuple[Array, ...]


class _Sums(NamedTuple):
    """What a step needs of the users, each weighted by its share in a component."""

    n_users: float
    total: Array  # of deviations of posterior means from the component's mean
    scatter: Array  # of the same, outer products
    within: Array  # posterior covariances


class _Pull(NamedTuple):
    """Slope and curvature of the log likelihood of a point's users in its place."""

    slope: Array
    curvature: Array


def search(
    group: Group,
    response_model: ResponseModel,
    start: Population,
    *,
    shrinkage: float,
    max_iterations: int = MAX_ITERATIONS,
    converged: float = CONVERGED,
    on_step: Callable[[], None] | None = None,
) -> Search:
    """The population under which a group's answers are likeliest, shrunk.

    Parameters
    ----------
    group
        As its differences are felt.
    response_model
        How replies arise.
    start
        From where; it has as many Gaussians and a point or none, as what is found.
    shrinkage
        As many users' worth of evidence says that each covariance is a sphere, of whatever size.
    max_iterations, converged
        Steps at most, and the change below which the search ends.
    on_step
        Called after each step.
    """
    blocks, n_gaussians = list(group.blocks()), len(start.gaussians)
    sites = [[Sites.empty(*block.outcomes.shape) for block in blocks] for _ in range(n_gaussians)]
    paces = [_Pace() for _ in range(n_gaussians)]
    joint = start.has_point and n_gaussians == 1  # people of the point then tell the mean, too
    population, typical = start, group.typical
    for n_iterations in range(1, max_iterations + 1):
        n_sweeps = FIRST_SWEEPS if n_iterations == 1 else NEXT_SWEEPS
        logs, found = _expect(blocks, group.n_users, population, response_model, sites, n_sweeps)
        weights = _weights(logs, population)
        shares, evidence = _shares(logs, weights)
        pull = _pull(group, population.mean, shares[:, -1], response_model) if joint else None
        gaussians, uncertainties = [], []
        changes = [float(np.abs(weights - population.weights).max())]
        for k, (gaussian, pace) in enumerate(zip(population.gaussians, paces, strict=True)):
            sums = _sums(found[k], gaussian, shares[:, k])
            moved, uncertainty = _step(gaussian, sums, shrinkage, pull, pace)
            gaussians.append(at_least(LEAST_PERSONAL, moved, typical) if population.has_point else moved)
            uncertainties.append(uncertainty)
            changes.append(_change(gaussian, gaussians[-1]))
        population = Population(weights, tuple(gaussians))
        if on_step is not None:
            on_step()
        if max(changes) < converged:
            break
    return Search(population, n_iterations, evidence, tuple(uncertainties))


class Believed(NamedTuple):
    """What is believed of each answer's margin: shares of the components, means and variances, each (n_answers, K)."""

    shares: Array
    means: Array
    variances: Array


def believed_margins(group: Group, response_model: ResponseModel, population: Population) -> Believed:
    """Margins of a group's answers given all answers of their users; those of the point vary by nothing."""
    blocks = list(group.blocks())
    sites = [[Sites.empty(*block.outcomes.shape) for block in blocks] for _ in population.gaussians]
    logs, found = _expect(blocks, group.n_users, population, response_model, sites, FIRST_SWEEPS)
    shape = (len(group.outcomes), len(population.weights))
    means, variances = np.zeros(shape), np.zeros(shape)
    for k, (centres, factors) in enumerate(found):
        for block, own in factors:
            rows = block.rows[block.rows >= 0]
            mean, variance = Gaussians(centres[block.users], own).margins(block.differences)
            means[rows, k], variances[rows, k] = mean[block.rows >= 0], variance[block.rows >= 0]
    if population.has_point:
        means[:, -1] = group.differences @ population.mean
    return Believed(_shares(logs, population.weights)[0][group.owners], means, variances)


def evidence_of(group: Group, response_model: ResponseModel, population: Population) -> Array:
    """Log evidence of each user's answers (n_users,), in nats."""
    blocks = list(group.blocks())
    sites = [[Sites.empty(*block.outcomes.shape) for block in blocks] for _ in population.gaussians]
    logs, _ = _expect(blocks, group.n_users, population, response_model, sites, FIRST_SWEEPS)
    return _shares(logs, population.weights)[1]


def divided(group: Group, response_model: ResponseModel, whole: Population, n_gaussians: int) -> list[Population]:
    """Where to search for several Gaussians from: users divided by where they are believed to be, in a few ways.

    Parameters
    ----------
    group
        As its differences are felt.
    response_model
        How replies arise.
    whole
        What was found with one Gaussian.
    n_gaussians
        At most as many as there are users.

    Returns
    -------
    list of Population
        `N_STARTS` at most; with a point if `whole` has one.
    """
    (gaussian,) = whole.gaussians
    blocks = list(group.blocks())
    sites = [[Sites.empty(*block.outcomes.shape) for block in blocks]]
    _, ((means, factors),) = _expect(blocks, group.n_users, whole, response_model, sites, FIRST_SWEEPS)
    root = np.linalg.cholesky(gaussian.covariance)
    places = np.linalg.solve(root, (means - gaussian.mean).T).T
    starts = []
    for first in _firsts(places):
        near = _nearest(places, _spread_out(places, first, n_gaussians))
        gaussians, weights = [], []
        for k in range(n_gaussians):
            own = near == k
            sums = _sums((means, factors), gaussian, own.astype(np.float64))
            sums = _plus(sums, gaussian, group.n_features)
            mean = sums.total / sums.n_users
            covariance = (sums.scatter + sums.within) / sums.n_users - np.outer(mean, mean)
            gaussians.append(Gaussian(gaussian.mean + mean, covariance))
            weights.append(sums.n_users)
        shares = np.array(weights) / np.sum(weights)
        if whole.has_point:
            shares = np.append(shares * (1 - whole.weights[-1]), whole.weights[-1])
        starts.append(Population(shares, tuple(gaussians)))
    return starts


def _plus(sums: _Sums, gaussian: Gaussian, n_more: int) -> _Sums:
    """Sums with a few users more who are as everybody, so that no part of few users is flat."""
    return sums._replace(n_users=sums.n_users + n_more, within=sums.within + n_more * gaussian.covariance)


def _firsts(places: Array) -> list[int]:
    """Users to begin a division with: the one furthest out, and those furthest along the longest axis, either way."""
    _, _, axes = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)
    along = places @ axes[0]
    return list(dict.fromkeys(int(i) for i in (np.square(places).sum(axis=1).argmax(), along.argmax(), along.argmin())))


def _spread_out(places: Array, first: int, n: int) -> Array:
    """Centres (n, n_features), each next one the user furthest from those before."""
    chosen = [first]
    while len(chosen) < n:
        distances = np.square(places[:, None] - places[chosen]).sum(axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    return places[chosen]


def _nearest(places: Array, centres: Array) -> Rows:
    """Number of each user's centre after the centres have moved to the middle of theirs; MacQueen 1967."""
    near = np.zeros(len(places), dtype=np.intp)
    for _ in range(DIVIDING_STEPS):
        near = np.square(places[:, None] - centres).sum(axis=2).argmin(axis=1)
        centres = np.stack(
            [places[near == k].mean(axis=0) if (near == k).any() else centres[k] for k in range(len(centres))]
        )
    return near


class _Pace:
    """How far a component goes of each step: further while it keeps its direction, less far when it turns back."""

    def __init__(self) -> None:
        self.share = 1.0
        self.last: Array | None = None

    def renew(self, step: Array) -> None:
        """Note a step that was taken (n_features, n_features)."""
        if self.last is not None:
            turned = float(np.sum(step * self.last)) < 0
            self.share = max(self.share / 2, SLOWEST) if turned else min(self.share * 1.25, FASTEST)
        self.last = step


_Posteriors = tuple[Array, list[tuple[Block, Array]]]  # means of all users; factors of each block


def _expect(
    blocks: Sequence[Block],
    n_users: int,
    population: Population,
    model: ResponseModel,
    sites: list[list[Sites]],
    n_sweeps: int,
) -> tuple[Array, list[_Posteriors]]:
    """Log evidence of each user under each component (n_users, n_components), and posteriors; renews the sites."""
    logs = np.empty((n_users, len(population.weights)))
    found: list[_Posteriors] = []
    for k, gaussian in enumerate(population.gaussians):
        means, factors = np.empty((n_users, gaussian.n_features)), []
        for i, block in enumerate(blocks):
            priors = same_for_all(gaussian, len(block.users))
            posteriors, sites[k][i] = propagate(
                priors, block.differences, block.outcomes, model, sites[k][i], n_sweeps=n_sweeps
            )
            means[block.users] = posteriors.means
            factors.append((block, posteriors.factors))
            logs[block.users, k] = log_evidence(priors, block.differences, block.outcomes, model, sites[k][i])
        found.append((means, factors))
    if population.has_point:
        for block in blocks:
            value = log_likelihood(block.differences @ population.mean, block.outcomes, model).value
            logs[block.users, -1] = value.sum(axis=1)
    for block in blocks:  # rows of padding were taken for replies at a margin of 0
        silent = ~block.differences.any(axis=2)
        value = log_likelihood(np.zeros(silent.shape), block.outcomes, model).value
        logs[block.users] -= (silent * value).sum(axis=1)[:, None]
    return logs, found


def _weights(logs: Array, population: Population) -> Array:
    """The weights under which these evidences are likeliest, as if each Gaussian had one user more."""
    weights = population.weights
    n_gaussians = len(population.gaussians)
    for _ in range(WEIGHT_STEPS if len(weights) > 1 else 0):
        counts = _shares(logs, weights)[0].sum(axis=0)
        personal = (counts[:n_gaussians] + 1) / (counts[:n_gaussians] + 1).sum()
        if not population.has_point:
            weights = personal
            continue
        point = (counts[-1] + GUESSED_IMPERSONAL * GUESSED_GROUP) / (len(logs) + GUESSED_GROUP)
        point = float(np.clip(point, *IMPERSONAL_RANGE))
        weights = np.append(personal * (1 - point), point)
    return weights


def _shares(logs: Array, weights: Array) -> tuple[Array, Array]:
    """Probability of each component for each user, and the log evidence of each user."""
    joint = logs + np.log(weights)
    total = np.logaddexp.reduce(joint, axis=1)
    return np.exp(joint - total[:, None]), total


def _sums(posteriors: _Posteriors, gaussian: Gaussian, shares: Array) -> _Sums:
    means, factors = posteriors
    deviations = means - gaussian.mean
    within = np.zeros((gaussian.n_features, gaussian.n_features))
    for block, own in factors:
        wide = (own * np.sqrt(shares[block.users])[:, None, None]).swapaxes(0, 1).reshape(gaussian.n_features, -1)
        within += wide @ wide.T
    weighted = deviations * shares[:, None]
    return _Sums(float(shares.sum()), weighted.sum(axis=0), weighted.T @ deviations, within)


def _pull(group: Group, centre: Array, shares: Array, model: ResponseModel) -> _Pull:
    likelihood = log_likelihood(group.differences @ centre, group.outcomes, model)
    weights = shares[group.owners]
    bent = group.differences * (weights * curvatures(likelihood))[:, None]
    return _Pull(group.differences.T @ (weights * likelihood.first), bent.T @ group.differences)


def uncertainty_of(group: Group, response_model: ResponseModel, common: Array) -> Array:
    """Covariance (n_features, n_features) of the taste of a group of one taste, as far as its answers tell it."""
    told = _pull(group, common, np.ones(group.n_users), response_model).curvature
    return np.asarray(np.linalg.inv(told + np.eye(group.n_features) * (group.n_features / MEAN_SD**2)))


def at_least(margin: float, gaussian: Gaussian, typical: Array) -> Gaussian:
    """The Gaussian, widened where the personal part of a margin is smaller, root mean square, than this many logits.

    typical (n_features, n_features) holds the second moments of differences.
    """
    square = float(np.sum(gaussian.covariance * typical))
    if square >= margin**2:
        return gaussian
    return Gaussian(gaussian.mean, gaussian.covariance * (margin**2 / square))


def _step(prior: Gaussian, sums: _Sums, shrinkage: float, joint: _Pull | None, pace: _Pace) -> tuple[Gaussian, Array]:
    """The next Gaussian, and the covariance of its mean.

    A posterior mean holds a share ρ of where the user is, so that what an ordinary step of expectation maximisation
    gains is a share ρ of what is missing of the mean, and ρ² of the covariance; it is divided by that
    (docs/maths/population.md, eq. 4); what is believed beforehand is in eqs. 5 to 7.
    """
    n_users, n_features = max(sums.n_users, 1e-9), prior.n_features
    identity = np.eye(n_features)
    root = np.linalg.cholesky(prior.covariance)
    inverse = np.linalg.inv(root)
    known, axes = np.linalg.eigh(identity - inverse @ (sums.within / n_users) @ inverse.T)
    known = np.clip(known, LEAST_KNOWN, 1.0)
    inverse, root = axes.T @ inverse, root @ axes
    hold = n_features / MEAN_SD**2
    pull = inverse @ sums.total - hold * root.T @ prior.mean
    curvature = n_users * np.diag(known) + hold * root.T @ root
    if joint is not None:
        pull, curvature = pull + root.T @ joint.slope, curvature + root.T @ joint.curvature @ root
    uncertainty = np.linalg.inv(curvature)
    shift = inverse @ sums.total / n_users
    seen = inverse @ (sums.within + sums.scatter) @ inverse.T / n_users - np.outer(shift, shift) - identity
    seen += np.outer(known, known) * uncertainty
    precision = inverse @ inverse.T
    sphere = n_features / np.trace(precision) * precision - identity
    guess = GUESSED_VARIANCE / n_features * precision - identity
    size = (n_users * np.trace(seen) + GUESSED_USERS * np.trace(guess)) / (
        n_users * np.square(known).sum() + GUESSED_USERS * n_features
    )
    shape = (
        n_users * (seen - size * np.diag(known**2))
        + shrinkage * sphere
        + GUESSED_USERS * (guess - np.trace(guess) / n_features * identity)
    )
    step = shape / (shrinkage + GUESSED_USERS + n_users * (np.outer(known, known) + LEAST_KNOWN)) + size * identity
    step = pace.share * (step + step.T) / 2
    values, vectors = np.linalg.eigh(step)
    factor = root @ vectors * np.sqrt(np.clip(1 + values, 1 / MAX_GROWTH, MAX_GROWTH))
    moved = Gaussian(prior.mean + root @ uncertainty @ pull, factor @ factor.T)
    pace.renew(moved.covariance - prior.covariance)
    return moved, root @ uncertainty @ root.T


def _change(before: Gaussian, after: Gaussian) -> float:
    """Largest change in coordinates in which the Gaussian before is standard normal."""
    inverse = np.linalg.inv(np.linalg.cholesky(before.covariance))
    of_covariance = inverse @ (after.covariance - before.covariance) @ inverse.T
    return float(max(np.abs(of_covariance).max(), np.abs(inverse @ (after.mean - before.mean)).max()))
