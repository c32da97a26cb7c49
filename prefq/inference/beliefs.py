"""Beliefs about many users at once: a mixture of Gaussians for each, by expectation propagation or by Laplace.

What is believed of one user is in `prefq.inference.ep` and `prefq.inference.laplace`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.ep_batch import settle
from prefq.inference.laplace import curvatures
from prefq.inference.laplace_batch import Gaussians, fit_posteriors, same_for_all
from prefq.inference.likelihood import log_likelihood, sigmoid
from prefq.inference.predictive import preference_probability
from prefq.vocabulary import Array, Coefficients, Gaussian, GaussianMixture, ResponseModel


class Mixtures(NamedTuple):
    """One mixture a user: weights (n_users, n_components), and for each component one Gaussian a user."""

    weights: Array
    components: tuple[Gaussians, ...]

    @property
    def means(self) -> Array:
        """Means of the whole (n_users, n_features)."""
        of_components = np.stack([each.means for each in self.components])
        return np.asarray(np.einsum("uk,kuj->uj", self.weights, of_components))

    @property
    def covariances(self) -> Array:
        """Covariances of the whole (n_users, n_features, n_features)."""
        mean, total = self.means, np.zeros(self.components[0].factors.shape)
        for weight, component in zip(self.weights.T, self.components, strict=True):
            off = component.means - mean
            total += weight[:, None, None] * (component.covariances + off[:, :, None] * off[:, None, :])
        return total

    def of_users(self, users: slice | NDArray[np.intp]) -> "Mixtures":
        """Those of some users."""
        parts = tuple(Gaussians(means[users], factors[users]) for means, factors in self.components)
        return Mixtures(self.weights[users], parts)

    def of_user(self, user: int, n_components: int | None = None) -> Coefficients:
        """That of one user, of the first components only where the others have no weight."""
        parts = [Gaussian.from_factor(means[user], factors[user]) for means, factors in self.components[:n_components]]
        return parts[0] if len(parts) == 1 else GaussianMixture(self.weights[user, :n_components], parts)

    def of_components(self, differences: Array) -> tuple[Array, Array]:
        """Mean and variance (n_components, n_users, n) of margins of differences (1 or n_users, n, n_features)."""
        found = [component.margins(differences) for component in self.components]
        return np.stack([mean for mean, _ in found]), np.stack([variance for _, variance in found])

    def margins(self, differences: Array) -> tuple[Array, Array]:
        """Mean and variance of the whole (n_users, n) of margins of differences (1 or n_users, n, n_features)."""
        if len(self.components) == 1:
            return self.components[0].margins(differences)
        return whole(self.weights, *self.of_components(differences))

    def cdf(self, differences: Array, values: Array) -> Array:
        """Probability (n_users, n) that margins of differences (1 or n_users, n, n_features) are at most these values.

        That of a margin that is known is 0, ½ where it is the value, or 1.
        """
        from scipy.special import ndtr  # here, because it costs 0.1 s and choosing a question does without it

        means, variances = self.of_components(differences)
        with np.errstate(divide="ignore", invalid="ignore"):
            away = np.where(values == means, 0.0, (values - means) / np.sqrt(variances))
        return np.asarray((self.weights.T[:, :, None] * ndtr(away)).sum(axis=0).clip(0.0, 1.0))

    def preference_probability(self, differences: Array) -> Array:
        """Probability (n_users, n) that the first of each pair is preferred, averaged over components and margins."""
        chances = np.zeros((len(self.weights), differences.shape[1]))
        for weight, component in zip(self.weights.T, self.components, strict=True):
            users = np.flatnonzero(weight > 0)
            own = Gaussians(*(values[users] for values in component))
            mean, variance = own.margins(differences if len(differences) == 1 else differences[users])
            if variance.any():
                found = preference_probability(mean.ravel(), variance.ravel()).reshape(mean.shape)
            else:  # a point, as of those without a taste of their own
                found = sigmoid(mean)
            chances[users] += weight[users, None] * found
        return np.clip(chances, 0.0, 1.0)


def whole(weights: Array, means: Array, variances: Array) -> tuple[Array, Array]:
    """Mean and variance (n_users, n) of mixtures, from weights (n_users, n_components) and those of components."""
    shares = weights.T[:, :, None]
    mean = (shares * means).sum(axis=0)
    return mean, (shares * (variances + np.square(means - mean))).sum(axis=0)


def mixture_for_all(prior: Coefficients, n_users: int) -> Mixtures:
    """The prior, once for each user."""
    components = tuple(same_for_all(component, n_users) for component in prior.components)
    return Mixtures(np.tile(prior.weights, (n_users, 1)), components)


def laplace_posteriors(
    priors: Mixtures, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Mixtures:
    """Laplace posteriors of every component, weighed by their evidence.

    Parameters
    ----------
    priors
        Before the answers, one mixture a user.
    differences : (n_users, n_answers, n_features)
        As felt; a row of zeros carries no evidence.
    outcomes : (n_users, n_answers) int8
        As in `Comparisons`.
    response_model
        How replies arise.
    """
    components = tuple(fit_posteriors(each, differences, outcomes, response_model) for each in priors.components)
    if len(components) == 1:
        return Mixtures(priors.weights, components)
    evidence = [
        _log_evidence(before, after, differences, outcomes, response_model)
        for before, after in zip(priors.components, components, strict=True)
    ]
    return Mixtures(reweighed(priors.weights, np.stack(evidence, axis=1)), components)


def ep_posteriors(
    priors: Mixtures, differences: Array, outcomes: NDArray[np.int8], response_model: ResponseModel
) -> Mixtures:
    """Posteriors of every component by expectation propagation, weighed by evidence; parameters as above.

    Of a user for whom it does not converge, once in thousands where people slip often, they are the ones that came
    closest: good enough to choose a question by, and to measure with. `prefq.fit_posterior_ep` raises an error there.
    """
    if not outcomes.shape[1]:
        return priors
    settled = [settle(each, differences, outcomes, response_model) for each in priors.components]
    evidence = np.stack([each.log_evidence for each in settled], axis=1)
    return Mixtures(reweighed(priors.weights, evidence), tuple(each.posteriors for each in settled))


def reweighed(weights: Array, evidence: Array) -> Array:
    """Weights times evidence, whose logarithm is given (n_users, n_components)."""
    with np.errstate(divide="ignore"):
        logs = np.log(weights) + evidence
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _log_evidence(
    priors: Gaussians,
    posteriors: Gaussians,
    differences: Array,
    outcomes: NDArray[np.int8],
    response_model: ResponseModel,
) -> Array:
    """Log evidence (n_users,) by Laplace's method, in function space, where a point needs no case of its own.

    At the mode w = μ + Σ Xᵀ α with α the slopes of the log-likelihood, so the prior's part is α X Σ Xᵀ α / 2 and the
    determinant that of I + √K X Σ Xᵀ √K (Rasmussen and Williams 2006, eq. 3.32).
    """
    margins = np.matmul(differences, posteriors.means[:, :, None])[..., 0]
    likelihood = log_likelihood(margins, outcomes, response_model)
    loads = np.matmul(differences, priors.factors)
    kernel = np.matmul(loads, loads.swapaxes(1, 2))
    root = np.sqrt(curvatures(likelihood))
    bent = np.eye(root.shape[1]) + root[:, :, None] * kernel * root[:, None, :]
    pull = np.einsum("ui,uij,uj->u", likelihood.first, kernel, likelihood.first)
    return np.asarray(likelihood.value.sum(axis=1) - pull / 2 - np.linalg.slogdet(bent)[1] / 2)
