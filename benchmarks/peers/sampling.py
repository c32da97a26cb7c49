"""Volume removal and mutual information with a belief of samples, as APReL has them (Bıyık, Talati and Sadigh 2021,
arXiv 2108.07259; the rules: Sadigh et al. 2017, and Bıyık et al. 2019, arXiv 1910.04365).

Independent implementation from the papers, with the settings of the released library. The belief is 100 samples by
Metropolis-Hastings, drawn anew after every answer. As published, the weights have norm one: the prior is uniform on the
unit ball, but every proposal is scaled back to the sphere. Choices follow a softmax with rationality 1; the walk is
Gaussian with sd .05 before the scaling, 200 steps are thrown away and every 20th is kept. Weights of norm one make
small margins, so probabilities stay near one half whatever is answered: judge it by accuracy. The release starts each
walk at the last belief's mean; here every walk starts at a random point, because a learner keeps no state. A tie counts
as one preference each way. Predictions are averaged over the samples.

With our prior: samples of the posterior under the prior fitted on the group, walking in units of that prior.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prefq.inference.likelihood import log_sigmoid, sigmoid
from prefq.inference.predictive import entropy
from prefq.simulation.panels import History, Outcomes, Rows, Study
from prefq.simulation.rules import best_rows
from prefq.simulation.strategies import Begin, Belief, Learner, Strategy
from prefq.vocabulary import Array, Gaussian

N_SAMPLES = 100
BURN_IN, THINNING = 200, 20
SPHERE_STEP = 0.05
WHITE_STEP = 1.2  # over √d, in standard deviations of the prior: half the best step for a Gaussian

LogPrior = Callable[[Array], Array]
Rule = Callable[[Array], Array]


def metropolis(
    log_density: Callable[[Array], Array],
    start: Array,
    *,
    step: float,
    rng: np.random.Generator,
    n_samples: int = N_SAMPLES,
    onto: Callable[[Array], Array] = lambda point: point,
) -> Array:
    """Samples (n_users, n_samples, n_features) of densities of points (n_users, n_features), one chain a user.

    `onto` is where a proposal is put before it is judged.
    """
    point, density = start, log_density(start)
    kept = np.empty((len(start), n_samples, start.shape[1]))
    for walk in range(BURN_IN + n_samples * THINNING):
        proposed = onto(point + step * rng.normal(size=point.shape))
        proposed_density = log_density(proposed)
        taken = np.log(rng.random(len(point))) < proposed_density - density
        point = np.where(taken[:, None], proposed, point)
        density = np.where(taken, proposed_density, density)
        place, rest = divmod(walk - BURN_IN + 1, THINNING)
        if place > 0 and not rest:
            kept[:, place - 1] = point
    return kept


def log_likelihood(weights: Array, differences: Array, outcomes: Outcomes) -> Array:
    """Of the answers of each user (n_users, n_answers, …) to weights (n_users, n_features)."""
    margins = np.matmul(differences, weights[:, :, None])[..., 0]
    log_first = log_sigmoid(margins)
    log_second = log_first - margins  # log σ(-m)
    # A row of zeros, where nothing was asked, adds a constant.
    of_first = np.where(outcomes >= 0, log_first, 0.0).sum(axis=1)
    return np.asarray(of_first + np.where(outcomes <= 0, log_second, 0.0).sum(axis=1))


def unit_sphere_samples(
    differences: Array, outcomes: Outcomes, *, rng: np.random.Generator, n_samples: int = N_SAMPLES
) -> Array:
    """The belief as published: uniform on the unit sphere before the answers."""

    def log_density(weights: Array) -> Array:
        return log_likelihood(weights, differences, outcomes)

    start = on_sphere(rng.normal(size=(len(differences), differences.shape[2])))
    return metropolis(log_density, start, step=SPHERE_STEP, rng=rng, n_samples=n_samples, onto=on_sphere)


def on_sphere(points: Array) -> Array:
    """Points (n, n_features) scaled to norm one."""
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def gaussian_samples(
    prior: Gaussian, differences: Array, outcomes: Outcomes, *, rng: np.random.Generator, n_samples: int = N_SAMPLES
) -> Array:
    """The belief with a Gaussian prior."""
    factor = prior.factor

    def log_density(white: Array) -> Array:
        likely = log_likelihood(prior.mean + white @ factor.T, differences, outcomes)
        return np.asarray(likely - np.square(white).sum(axis=1) / 2)

    start = np.zeros((len(differences), prior.n_features))
    step = WHITE_STEP / np.sqrt(prior.n_features)
    white = metropolis(log_density, start, step=step, rng=rng, n_samples=n_samples)
    return np.asarray(prior.mean + white @ factor.T)


def volume_removal(probabilities: Array) -> Array:
    """1 - Σ over answers of (mean probability)², from probabilities (n_samples, n_questions) of the first answer."""
    mean = probabilities.mean(axis=0)
    return np.asarray(1 - mean**2 - (1 - mean) ** 2)


def mutual_information(probabilities: Array) -> Array:
    """Entropy of the mean less mean entropy, in nats, from probabilities (n_samples, n_questions) of the first."""
    both = np.stack([probabilities, 1 - probabilities], axis=-1)
    return np.asarray(entropy(both.mean(axis=0)) - entropy(both).mean(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class SampledBelief:
    """Equally likely coefficients (n_users, n_samples, n_features), and the rule that chooses by them."""

    samples: Array
    choose: Callable[[], Rows]

    def next_rows(self) -> Rows:
        """Row of the next question for each user."""
        return self.choose()

    def predict(self, first: Array, second: Array) -> Array:
        """Mean over the samples."""
        differences = first - second
        return np.stack([probabilities.mean(axis=0) for probabilities in by_user(self.samples, differences)])

    def score(self, items: Array) -> Array:
        """Mean reward."""
        return np.asarray(np.matmul(items, self.samples.mean(axis=1)[:, :, None])[..., 0])


def by_user(samples: Array, differences: Array) -> list[Array]:
    """For each user, the probability (n_samples, n) of the first answer under every sample."""
    users = range(len(samples))
    return [sigmoid(samples[user] @ differences[user if len(differences) > 1 else 0].T) for user in users]


def recipe(rule: Rule, *, with_prior: bool) -> Begin:
    """A rule over a belief of samples."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        seed, differences = int(rng.integers(2**63)), study.differences

        def learn(history: History) -> Belief:
            asked = history.of(study.first) - history.of(study.second)
            own = np.random.default_rng([seed, history.rows.shape[1]])
            if with_prior:
                samples = gaussian_samples(study.gaussian, asked, history.outcomes, rng=own)
            else:
                samples = unit_sphere_samples(asked, history.outcomes, rng=own)

            def choose() -> Rows:
                scores = np.stack([rule(probabilities) for probabilities in by_user(samples, differences)])
                return best_rows(scores, history.left(study.open))

            return SampledBelief(samples, choose)

        return learn

    return begin


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "volume_removal",
        recipe(volume_removal, with_prior=False),
        "volume removal, 100 samples on a sphere",
        kind="peer",
    ),
    Strategy(
        "sampled_information",
        recipe(mutual_information, with_prior=False),
        "mutual information, 100 samples on a sphere",
        kind="peer",
    ),
    Strategy(
        "volume_removal_with_prior",
        recipe(volume_removal, with_prior=True),
        "volume removal, 100 samples, our prior",
        kind="peer",
    ),
    Strategy(
        "sampled_information_with_prior",
        recipe(mutual_information, with_prior=True),
        "mutual information, 100 samples, our prior",
        kind="peer",
    ),
)
