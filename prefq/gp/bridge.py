"""What prefq believes about a user as a BoTorch model over item features.

A taste w ~ N(μ, Σ) gives items X (q, n_features) the scores X w ~ N(X μ, X Σ Xᵀ): a Gaussian of rank n_features at
most. BoTorch is given a root of it instead of the q x q matrix, so that nothing is factored, and items that are nearly
equal, of which the matrix is singular, are no special case (docs/maths/gaussian-processes.md, eq. 1).
"""

from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior, Posterior
from gpytorch.distributions import MultivariateNormal
from linear_operator.operators import LowRankRootLinearOperator
from torch import Tensor

from prefq.errors import InputError
from prefq.profiles.profile import Profile
from prefq.vocabulary import Coefficients, FeatureSpace, Gaussian, GaussianMixture, covariance_factor


class ScoreModel(Model):
    """A BoTorch model of one output, the score of an item in logits, of which it knows the joint Gaussian.

    Parameters
    ----------
    n_features
        Columns of the items.
    feature_space
        The features that the columns hold, in their own units.
    """

    def __init__(self, n_features: int, feature_space: FeatureSpace) -> None:
        super().__init__()
        self.feature_space = feature_space
        # BoTorch's analytic EUBO asks a model for its data to learn their type; none are kept here.
        self.register_buffer("datapoints", torch.empty(0, n_features, dtype=torch.float64))

    @property
    def num_outputs(self) -> int:
        """One score an item."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """Of one model: empty."""
        return torch.Size()

    def scores(self, items: Tensor) -> MultivariateNormal:
        """Joint Gaussian of the scores of items (…, q, n_features)."""
        raise NotImplementedError

    def posterior(
        self,
        X: Tensor,  # noqa: N803 (the names are BoTorch's)
        output_indices: list[int] | None = None,  # noqa: ARG002
        observation_noise: bool | Tensor = False,  # noqa: ARG002
        posterior_transform: Any = None,
    ) -> Posterior:
        """Joint posterior of the scores of items.

        Parameters
        ----------
        X : (…, q, n_features)
            Items, in the features' own units.
        output_indices, observation_noise
            Not used: there is one output, and a score is never observed, only which of two is higher.
        posterior_transform
            Applied to the posterior, as in BoTorch.

        Returns
        -------
        GPyTorchPosterior
            Over (…, q, 1) scores, in logits.

        Raises
        ------
        InputError
            For another number of columns.
        """
        if X.shape[-1] != self.datapoints.shape[-1]:
            raise InputError(
                f"the items have {X.shape[-1]} columns and the model {self.datapoints.shape[-1]} features; "
                "give item features of the model's feature space."
            )
        posterior = GPyTorchPosterior(self.scores(X.to(self.datapoints)))
        return posterior if posterior_transform is None else posterior_transform(posterior)


class LinearModel(ScoreModel):
    """Scores of items under Gaussian coefficients; made by `linear_model`."""

    def __init__(self, coefficients: Coefficients, feature_space: FeatureSpace) -> None:
        super().__init__(coefficients.n_features, feature_space)
        self.register_buffer("mean", torch.tensor(coefficients.mean))
        self.register_buffer("factor", torch.tensor(covariance_factor(coefficients.covariance)))

    def scores(self, items: Tensor) -> MultivariateNormal:
        """Joint Gaussian of the scores of items (…, q, n_features), its covariance as a root of low rank."""
        return MultivariateNormal(items @ self.mean, LowRankRootLinearOperator(items @ self.factor))


def linear_model(posterior: Coefficients | Profile, feature_space: FeatureSpace | None = None) -> LinearModel:
    """A user's posterior as a BoTorch `Model` over item features.

    Parameters
    ----------
    posterior
        Of the coefficients, or a profile. Of a mixture, the model is the Gaussian with the mixture's mean and
        covariance: BoTorch's own mixtures of posteriors have equal weights, which ours have not.
    feature_space
        The features that the coefficients weigh; a profile brings its own.

    Returns
    -------
    LinearModel
        In double precision. Utilities are in logits: what assumes the probit of BoTorch's `PairwiseGP`, as its BALD
        does, wants items multiplied by √(π/8).

    Raises
    ------
    InputError
        When coefficients come without a feature space or with one of another size.
    MismatchError
        When the profile is of another feature space than the one given.

    Examples
    --------
    >>> import prefq, torch
    >>> from prefq.gp import linear_model
    >>> taste = prefq.Gaussian([1.0, 0.0], [[0.5, 0.0], [0.0, 2.0]])
    >>> model = linear_model(taste, prefq.FeatureSpace(["warm", "formal"]))
    >>> model.posterior(torch.eye(2, dtype=torch.float64)).variance.ravel()
    tensor([0.5000, 2.0000], dtype=torch.float64)
    """
    if isinstance(posterior, Profile):
        if feature_space is not None:
            feature_space.require(posterior.feature_space, "the profile")
        return LinearModel(posterior.coefficients, posterior.feature_space)
    if not isinstance(posterior, Gaussian | GaussianMixture):
        raise InputError(f"posterior is a {type(posterior).__name__}; give a Gaussian, a GaussianMixture or a Profile.")
    if feature_space is None or feature_space.n_features != posterior.n_features:
        given = "no feature space" if feature_space is None else f"a feature space of {feature_space.n_features} names"
        raise InputError(
            f"{posterior.n_features} coefficients arrived with {given}; give the feature space that they weigh."
        )
    return LinearModel(posterior, feature_space)
