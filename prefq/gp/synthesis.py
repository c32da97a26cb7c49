"""synthesize_question: the most informative pair that feature space allows, and how near the pool comes to it."""

from dataclasses import dataclass

import numpy as np
import torch
from botorch.optim import optimize_acqf
from numpy.typing import ArrayLike
from torch import Tensor

from prefq.errors import InputError
from prefq.gp.bridge import ScoreModel
from prefq.gp.information import PairInformation
from prefq.pool.candidate_pool import CandidatePool
from prefq.vocabulary import Array, ResponseModel, real_array

COMMON = (0.05, 0.95)  # quantiles of each feature over the items: the box in which an item counts as a usual one
N_RESTARTS, N_RAW = 8, 256  # of the search: starting points, chosen among so many
MAX_STEPS = 100  # of each start
BLOCK = 4096  # questions scored at a time


@dataclass(frozen=True, slots=True, eq=False)
class SynthesizedQuestion:
    """An ideal pair of items, and what the pool has instead.

    Parameters
    ----------
    first, second : (n_features,)
        Features of the ideal pair, in the pool's units.
    information
        What its reply would tell, in nats.
    nearest_row, nearest_information
        The question of the pool whose difference is nearest to the ideal one's, each feature in units of its root mean
        square difference over the pool, and what it tells.
    best_row, best_information
        The most informative question of the pool, and what it tells.
    """

    first: Array
    second: Array
    information: float
    nearest_row: int
    nearest_information: float
    best_row: int
    best_information: float

    @property
    def reached(self) -> float:
        """Share of the ideal pair's information that the pool's best question tells; above 1 where it lies outside."""
        return self.best_information / self.information if self.information > 0 else 1.0


def synthesize_question(
    pool: CandidatePool,
    model: ScoreModel,
    *,
    rng: np.random.Generator,
    response_model: ResponseModel | None = None,
    bounds: ArrayLike | None = None,
) -> SynthesizedQuestion:
    """The pair of feature vectors whose comparison would tell most, and the nearest and the best question of the pool.

    Found by `botorch.optim.optimize_acqf` on `PairInformation`, from several starts: a local search, which may miss a
    better pair. No text need exist that has these features; what the answer shows is what the pool lacks.

    Parameters
    ----------
    pool
        Whose items bound the search, and whose questions are compared.
    model
        What is believed, such as ``linear_model(profile)`` or ``linear_model(prior, space)``.
    rng
        Draws the starting points.
    response_model
        How replies arise; plain Bradley-Terry by default.
    bounds : (2, n_features), optional
        Lowest and highest value of each feature; by default the quantiles `COMMON` over the pool's items.

    Raises
    ------
    MismatchError
        When the model is of another feature space than the pool.
    InputError
        For bounds of another shape, or with the lowest above the highest.
    """
    pool.feature_space.require(model.feature_space, "the model")
    box = _box(pool, bounds)
    acquisition = PairInformation(model, response_model)
    ideal, information = _optimized(acquisition, torch.tensor(box), rng)
    rows = torch.tensor(pool.pairs)
    features = torch.tensor(pool.features.astype(np.float64))
    with torch.no_grad():
        gains = torch.cat([acquisition(features[part]) for part in rows.split(BLOCK)]).numpy()
        nearest, swapped = _nearest(pool, ideal[0] - ideal[1])
        pair = features[rows[nearest]]
        nearest_gain = float(acquisition(pair.flip(0) if swapped else pair))
    best = int(np.argmax(gains))
    return SynthesizedQuestion(ideal[0], ideal[1], information, nearest, nearest_gain, best, float(gains[best]))


def _box(pool: CandidatePool, bounds: ArrayLike | None) -> Array:
    if bounds is None:
        return np.quantile(pool.features.astype(np.float64), COMMON, axis=0)
    box = real_array(bounds, "bounds", ndim=2)
    if box.shape != (2, pool.n_features) or (box[0] > box[1]).any():
        raise InputError(
            f"bounds of shape {box.shape} arrived; give the lowest and the highest value of each of the "
            f"{pool.n_features} features, (2, {pool.n_features})."
        )
    return np.array(box)


def _optimized(acquisition: PairInformation, box: Tensor, rng: np.random.Generator) -> tuple[Array, float]:
    """The best pair (2, n_features) in the box, and its information."""
    seed = int(rng.integers(2**31))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pair, value = optimize_acqf(
            acquisition,
            bounds=box,
            q=2,
            num_restarts=N_RESTARTS,
            raw_samples=N_RAW,
            options={"seed": seed, "maxiter": MAX_STEPS},
        )
    return pair.detach().numpy(), float(value)


def _nearest(pool: CandidatePool, difference: Array) -> tuple[int, bool]:
    """Row of the question whose difference, either way round, is nearest to this one; and whether it is the other."""
    scales = np.where(pool.feature_scales() > 0, pool.feature_scales(), 1.0)
    best = (np.inf, 0, False)
    for rows, differences in pool.blocks():
        for swapped, sign in ((False, 1), (True, -1)):
            distances = np.square((sign * differences - difference) / scales).sum(axis=1)
            row = int(np.argmin(distances))
            best = min(best, (float(distances[row]), rows.start + row, swapped))
    return best[1], best[2]
