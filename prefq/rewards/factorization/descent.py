"""Descents on heads and users: Adam on both at once, or one given the other in turn; and when they end."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize

from prefq.rewards.factorization.base import OnStep
from prefq.rewards.factorization.checkpoints import Checkpoint
from prefq.vocabulary import Array

Tensor = Any  # torch.Tensor
Values = dict[str, Tensor]

HEADS, USERS = "heads", "users"
PATIENCE = 10  # measurements without a better one
LEAST_GAIN = 1e-5  # nats a comparison that count as better
RISEN = 1.0  # nats a comparison above the start: no descent that works goes there
INNER_STEPS = 20  # of each half of a block step: near enough to its minimum for the other half to move
SLOPES, SQUARES, FLOOR = 0.9, 0.999, 1e-8  # of Adam (Kingma and Ba 2015)

Slope = Callable[[Values, Collection[str]], tuple[float, Values]]
"""From values to the penalised loss in nats a comparison, and its slopes in those of them that are named."""


@dataclass(slots=True, eq=False)
class Run:
    """Where a descent has come to. Its tensors are replaced, never written to.

    values are those to go on from, best those of the best measurement; slopes and squares are Adam's. judged are the
    losses that decide: on what was held out, or penalised where nothing was. since_best counts measurements.
    """

    values: Values
    slopes: Values = field(default_factory=dict)
    squares: Values = field(default_factory=dict)
    best: Values = field(default_factory=dict)
    step: int = 0
    best_step: int = 0
    since_best: int = 0
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    judged: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, numbers: Mapping[str, Any], arrays: Mapping[str, Array], device: str) -> "Run":
        """The run whose `saved` these are."""
        import torch

        parts: dict[str, Any] = {part: {} for part in ("values", "slopes", "squares", "best")}
        for name, array in arrays.items():
            part, key = name.split(".")
            parts[part][key] = torch.from_numpy(array).to(device)
        return cls(**parts, **numbers)

    def saved(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Numbers, and arrays by name, to write."""
        parts = {"values": self.values, "slopes": self.slopes, "squares": self.squares, "best": self.best}
        names = ("step", "best_step", "since_best", "train", "validation", "judged")
        arrays = {f"{part}.{key}": each.cpu().numpy() for part, values in parts.items() for key, each in values.items()}
        return {name: getattr(self, name) for name in names}, arrays

    def record(self, train: float, validation: float | None, penalty: float) -> None:
        """Take down the losses of the values as they are, and the values themselves if none were better."""
        judged = train + penalty if validation is None else validation
        least = self.judged[-1 - self.since_best] if self.best else np.inf
        if judged < least - LEAST_GAIN:
            self.best, self.best_step, self.since_best = dict(self.values), self.step, 0
        elif self.best:
            self.since_best += 1
        self.train.append(train)
        self.judged.append(judged)
        if validation is not None:
            self.validation.append(validation)

    def stopped(self, n_steps: int) -> str:
        """Why no further step is taken, as a clause; empty while there should be one."""
        if self.judged and not np.isfinite(self.train[-1] + self.judged[-1]):
            return "the loss was no number any more; the best step before was kept"
        if self.judged and self.judged[-1] > self.judged[0] + RISEN:
            return "the loss rose far above that of the start; the best step before was kept"
        if self.since_best >= PATIENCE:
            return "no better step followed"
        return "all steps were taken" if self.step >= n_steps else ""

    def told(self, what: str, n_steps: int) -> str:
        """Where it has come to, in a few words."""
        held_out = f", {self.validation[-1]:.4f} held out" if self.validation else ""
        return f"{what}: step {self.step} of at most {n_steps}, {self.train[-1]:.4f} nats{held_out}"


class Step(Protocol):
    """One step of a descent: replaces the values of a run."""

    def __call__(self, run: Run, slope: Slope) -> None:
        """Take it."""


def joint_step(rates: Mapping[str, float]) -> Step:
    """Adam on all values at once, each with its own rate (Kingma and Ba 2015, algorithm 1)."""

    def step(run: Run, slope: Slope) -> None:
        _, slopes = slope(run.values, tuple(run.values))
        count = run.step + 1
        for name, value in run.values.items():
            first = SLOPES * run.slopes.get(name, 0.0) + (1 - SLOPES) * slopes[name]
            second = SQUARES * run.squares.get(name, 0.0) + (1 - SQUARES) * slopes[name] ** 2
            scale = (second / (1 - SQUARES**count)).sqrt() + FLOOR
            run.slopes[name], run.squares[name] = first, second
            run.values[name] = value - rates[name] / (1 - SLOPES**count) * first / scale

    return step


def block_step(order: Collection[str]) -> Step:
    """Each of the values in turn by L-BFGS, the others held: for heads and users, two convex problems."""

    def step(run: Run, slope: Slope) -> None:
        for name in order:
            run.values[name] = _minimised(run.values, name, slope)

    return step


def descend(
    run: Run,
    what: str,
    step: Step,
    slope: Slope,
    measure: Callable[[Run], None],
    *,
    n_steps: int,
    measured_every: int,
    saved_every: int,
    checkpoint: Checkpoint | None,
    on_step: OnStep | None,
) -> None:
    """Steps until one is the last, with measurements, savings and what is told between them.

    Parameters
    ----------
    run
        Where to begin; where it ended, afterwards.
    what
        Is being done, in words.
    step, slope
        That are taken, and what they go by.
    measure
        Records the losses of the run's values.
    n_steps
        At most.
    measured_every
        Steps between measurements.
    saved_every
        Measurements between savings: what an ended run repeats at most.
    checkpoint
        Where it is saved, if at all.
    on_step
        Told of every measurement; may raise to end the run.
    """
    if not run.judged:
        measure(run)
    while not run.stopped(n_steps):
        step(run, slope)
        run.step += 1
        if run.step % measured_every == 0 or run.step == n_steps:
            measure(run)
            if checkpoint is not None and ((len(run.judged) - 1) % saved_every == 0 or run.stopped(n_steps)):
                checkpoint.save(*run.saved())
            if on_step is not None:
                on_step(run.told(what, n_steps))


def _minimised(values: Values, name: str, slope: Slope) -> Tensor:
    import torch

    start = values[name]

    def tensor(flat: Array) -> Tensor:
        return torch.from_numpy(flat).to(start.dtype).to(start.device).reshape(start.shape)

    def of(flat: Array) -> tuple[float, Array]:
        loss, slopes = slope({**values, name: tensor(flat)}, (name,))
        return loss, slopes[name].reshape(-1).double().cpu().numpy()

    found = minimize(
        of, start.reshape(-1).double().cpu().numpy(), jac=True, method="L-BFGS-B", options={"maxiter": INNER_STEPS}
    )
    return tensor(found.x)
