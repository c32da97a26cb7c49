"""One reward for everybody: Bradley-Terry on all comparisons, its ridge chosen on those held out. The baseline."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from prefq.errors import InferenceError, InputError
from prefq.rewards.factorization.base import Factorization, FactorizationInfo, OnStep, silent
from prefq.rewards.factorization.training import Blocks, Encodings, checked, unit_of
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, shown

MARGIN_SDS = (0.03, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0)  # logits: from all but no taste to answers hardly ever in doubt
USUAL_MARGIN_SD = 1.0
MAX_STEPS = 1000
NO_FALL = 1e-12  # of the loss, as a share, between two steps; by what is usual, 2e-9, a search may end too early
FLAT = 1e-4  # nats a comparison for a unit of the head: the slope at which it is found; single precision gives 1e-6


class _Fit(NamedTuple):
    head: Array
    train: float
    validation: float | None


def fit_average(
    encodings: Encodings,
    group: GroupComparisons,
    n_features: int = 1,
    *,
    rng: np.random.Generator | None = None,
    validation: GroupComparisons | None = None,
    checkpoints: Path | None = None,
    on_step: OnStep | None = None,
) -> Factorization:
    """The one base reward that fits all comparisons best, whoever made them.

    Parameters
    ----------
    encodings, group, on_step
        As `Method` has them.
    n_features
        1; there for the signature that all methods share.
    rng, checkpoints
        Not used: the problem is convex, and soon solved again.
    validation
        Other comparisons, whose lowest loss chooses among eight ridges; without them, margins have a prior of one
        logit.

    Returns
    -------
    Factorization
        heads (n_dims, 1), in logits, and coefficients of one; a step is a ridge, from the strongest on.

    Raises
    ------
    InputError, InferenceError
        As `Method` has them.
    """
    del rng, checkpoints
    if n_features != 1:
        raise InputError(f"n_features is {shown(n_features)}; an average reward is one, so give 1.")
    validation = checked(encodings, group, n_features, validation)
    unit, tell = unit_of(encodings, group), on_step or silent
    data = Blocks(encodings, group, unit, device=None)
    held_out = None if validation is None else Blocks(encodings, validation, unit, device=None)
    fits: list[_Fit] = []
    head = np.zeros(encodings.shape[1])
    for margin_sd in (USUAL_MARGIN_SD,) if held_out is None else MARGIN_SDS:
        head = _minimum(data, head, margin_sd)
        fits.append(_Fit(head, _loss(data, head)[0], None if held_out is None else _loss(held_out, head)[0]))
        tell(f"average: ridge {len(fits)}, {fits[-1].train:.4f} nats")
    validations = tuple(fit.validation for fit in fits if fit.validation is not None)
    best = int(np.argmin(validations)) if validations else 0
    info = FactorizationInfo(
        "average", len(fits), tuple(fit.train for fit in fits), validations, best + 1, "all ridges were tried"
    )
    heard = np.bincount(group.users, minlength=group.n_users) > 0
    return Factorization(fits[best].head[:, None] / unit, np.where(heard, 1.0, np.nan)[:, None], info)


def _minimum(data: Blocks, start: Array, margin_sd: float) -> Array:
    """The head of least loss under a normal prior that gives margins this standard deviation, in logits."""
    strength = len(start) / margin_sd**2 / len(data)

    def penalised(head: Array) -> tuple[float, Array]:
        loss, slope = _loss(data, head)
        return loss + strength * float(head @ head) / 2, slope + strength * head

    found = minimize(penalised, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS, "ftol": NO_FALL})
    slope = float(np.abs(penalised(found.x)[1]).max())
    if not slope <= FLAT:
        raise InferenceError(f"the average reward was not found (its loss still falls by {slope:.2g} nats a unit).")
    return np.asarray(found.x)


def _loss(data: Blocks, head: Array) -> tuple[float, Array]:
    """Mean loss, in nats a comparison, and its slope (n_dims,)."""
    loss, slope = 0.0, np.zeros_like(head)
    for differences, wanted, _ in data:
        margins = (differences @ head.astype(np.float32)).astype(np.float64)
        loss += float((np.logaddexp(0.0, margins) - wanted * margins).sum())
        slope += (expit(margins) - wanted).astype(np.float32) @ differences
    return loss / len(data), slope / len(data)
