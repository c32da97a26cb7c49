"""The information gain of a pair as a BoTorch acquisition function with gradients."""

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.utils.transforms import t_batch_mode_transform
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefq.vocabulary import MAX_DISSIMILARITY, ResponseModel

REACH = 8.5  # standard deviations that the nodes span to either side; the tail beyond is below 1e-16
STEP_SDS = 0.25  # between nodes, in standard deviations of the margin, at most
STEP_LOGITS = 0.75  # and in logits: the poles of the logistic lie π off the real line, an error below 1e-11
MAX_NODES = 4096  # enough up to a standard deviation of 180 logits
SMALLEST_VARIANCE = 1e-12  # squared logits: the square root has no slope at 0


class PairInformation(AcquisitionFunction):
    """`information_gain` as a BoTorch acquisition function of pairs, with gradients, for `optimize_acqf`.

    BoTorch's own BALD of comparisons draws samples and assumes a probit; this one is an integral by quadrature under
    prefq's response model (Houlsby et al. 2011, eq. 2).

    Parameters
    ----------
    model
        A BoTorch model of one output whose posterior is Gaussian, its utilities in logits, such as `linear_model`
        makes.
    response_model
        How replies arise; plain Bradley-Terry by default.
    """

    def __init__(self, model: Model, response_model: ResponseModel | None = None) -> None:
        super().__init__(model=model)
        self.response_model = ResponseModel() if response_model is None else response_model

    @t_batch_mode_transform(expected_q=2)
    def forward(self, X: Tensor) -> Tensor:  # noqa: N803 (BoTorch's name)
        """Information gain (batch,), in nats, of pairs X (batch, 2, n_features), the item shown first coming first."""
        posterior = self.model.posterior(X)
        signs = torch.tensor([1.0, -1.0], dtype=posterior.mean.dtype)
        loudness = self._loudness(X[..., 0, :] - X[..., 1, :])
        variance = signs @ posterior.distribution.covariance_matrix @ signs
        return self.of_margins(posterior.mean.squeeze(-1) @ signs * loudness, variance * loudness**2)

    def of_margins(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Information gain (n,), in nats, of margins with this mean and variance (n,), by the trapezoidal rule."""
        sd = variance.clamp(min=SMALLEST_VARIANCE).sqrt()
        step = min(STEP_SDS, STEP_LOGITS / float(sd.max().detach()))
        nodes = torch.linspace(-REACH, REACH, min(2 * int(np.ceil(REACH / step)) + 1, MAX_NODES), dtype=mean.dtype)
        weights = torch.softmax(-(nodes**2) / 2, dim=0)
        logs = self._log_replies(mean[..., None] + sd[..., None] * nodes)
        replies = logs.exp()
        told = replies @ weights
        return -torch.special.xlogy(told, told).sum(dim=0) + (replies * logs).sum(dim=0) @ weights

    def _loudness(self, differences: Tensor) -> Tensor:
        """`ResponseModel.loudness` of differences (…, n_features), with gradients."""
        model = self.response_model
        if model.dissimilarity_noise == 0:
            return torch.ones(differences.shape[:-1], dtype=differences.dtype)
        scaled = differences / torch.tensor(model.dissimilarity_scales, dtype=differences.dtype)
        unlike = scaled.square().mean(dim=-1).clamp(min=SMALLEST_VARIANCE).sqrt().clamp(max=MAX_DISSIMILARITY)
        return torch.exp(-model.dissimilarity_noise * (unlike - 1))

    def _log_replies(self, margins: Tensor) -> Tensor:
        """`log_reply_probabilities` of margins (…): (n_replies, …), with gradients."""
        model = self.response_model
        threshold, lapse = model.tie_threshold, model.lapse_rate
        low, high = margins + model.position_bias - threshold, margins + model.position_bias + threshold
        logs = [logsigmoid(low), logsigmoid(-high)]
        if threshold > 0:
            logs.insert(1, logsigmoid(high) + logsigmoid(-low) + float(np.log(-np.expm1(-2 * threshold))))
        replies = torch.stack(logs)
        if lapse == 0:
            return replies
        return torch.logaddexp(replies + float(np.log1p(-lapse)), torch.tensor(np.log(lapse / len(logs))).to(replies))
