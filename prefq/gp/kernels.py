"""Kernels of curved tastes: the population's linear part, and a smooth residual that no weights can express.

A user's score of an item is f(x) = xᵀw + g(x), w ~ N(μ, Σ₀) and g a Gaussian process of mean zero, so that f has mean
xᵀμ and covariance xᵀΣ₀x' + s² exp(-½ Σⱼ (xⱼ - xⱼ')²/ℓⱼ²) (docs/maths/gaussian-processes.md, eq. 2).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gpytorch.kernels import Kernel, RBFKernel, ScaleKernel
from numpy.typing import ArrayLike
from torch import Tensor

from prefq.errors import InputError
from prefq.vocabulary import Array, Gaussian, real_array, real_number

DEFAULT_REACH = 1.0  # lengthscale in typical distances of items: at it, what two items share has fallen to e^-½
DEFAULT_SHARE = 0.3  # of the mean square prior margin: what the residual adds to a typical question, by default


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """How far a taste may depart from weights, and over which distances it does so smoothly.

    Parameters
    ----------
    scale
        s ≥ 0, standard deviation of the residual of one item's score, in logits; at 0 tastes are linear.
    lengthscales : (n_features,)
        ℓ > 0, in each feature's units: items much nearer than this have equal residuals.

    Raises
    ------
    InputError
        For a negative scale, or lengthscales that are not all above 0.
    """

    scale: float
    lengthscales: Array

    if TYPE_CHECKING:

        def __init__(self, scale: float, lengthscales: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        lengthscales = real_array(self.lengthscales, "lengthscales", ndim=1)
        scale = real_number(self.scale, "scale")
        if scale < 0 or not lengthscales.size or (lengthscales <= 0).any():
            raise InputError(
                f"the residual has scale {scale:g} and lengthscales from {lengthscales.min(initial=np.inf):g}; "
                "give a scale of 0 logits or more and lengthscales above 0."
            )
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "lengthscales", lengthscales)


class TasteKernel(Kernel):
    """GPyTorch kernel of item scores: the prior's linear kernel with its full covariance, plus an RBF residual.

    Parameters
    ----------
    prior
        Of the coefficients; the kernel has its covariance, the mean is xᵀμ.
    residual
        What weights cannot express.
    """

    def __init__(self, prior: Gaussian, residual: Residual) -> None:
        super().__init__()
        if residual.lengthscales.size != prior.n_features:
            raise InputError(
                f"the residual has {residual.lengthscales.size} lengthscales and the prior {prior.n_features} "
                "coefficients; give one lengthscale a feature."
            )
        self.register_buffer("factor", torch.tensor(prior.factor))
        self.register_buffer("scale", torch.tensor(residual.scale, dtype=torch.float64))
        self.residual = ScaleKernel(RBFKernel(ard_num_dims=prior.n_features)).double()
        self.residual.base_kernel.lengthscale = torch.tensor(residual.lengthscales)
        # A scale of exactly 0 has no place on GPyTorch's positive scale: there the residual is left out.
        self.residual.outputscale = max(residual.scale**2, np.finfo(np.float64).tiny)
        self.residual.requires_grad_(False)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """Covariances of scores (…, n1, n2), or their variances (…, n) with `diag`."""
        first, second = x1 @ self.factor, x2 @ self.factor
        linear = (first * second).sum(dim=-1) if diag else first @ second.mT
        if self.scale == 0:
            return linear
        residual: Tensor = self.residual(x1, x2, diag=diag, **params)
        return linear + (residual if diag else residual.to_dense())


def default_residual(first: Array, second: Array, covariance: Array) -> Residual:
    """A residual to begin with where no group has told how curved tastes are.

    Parameters
    ----------
    first, second : (n, n_features)
        Both items of typical pairs, which say what a typical distance is.
    covariance : (n_features, n_features)
        Of the coefficients: with the pairs it says what a typical margin is.

    Returns
    -------
    Residual
        `residual_of` a share of `DEFAULT_SHARE` and a reach of `DEFAULT_REACH`.
    """
    return residual_of(DEFAULT_SHARE, DEFAULT_REACH, first, second, covariance)


def residual_of(share: float, reach: float, first: Array, second: Array, covariance: Array) -> Residual:
    """A residual in units of typical pairs.

    Parameters
    ----------
    share
        s² over the mean variance of the linear margins of these pairs.
    reach
        ℓ over each feature's standard deviation times √n_features, the typical distance of items from their centre; a
        feature that does not vary counts as if its standard deviation were 1.
    first, second : (n, n_features)
        Both items of typical pairs.
    covariance : (n_features, n_features)
        Of the coefficients.
    """
    differences = first - second
    sd = np.concatenate([first, second]).std(axis=0)
    lengths = reach * np.sqrt(sd.size) * np.where(sd > 0, sd, 1.0)
    linear = np.einsum("ni,ij,nj->n", differences, covariance, differences).mean()
    return Residual(float(np.sqrt(share * linear)), lengths)
