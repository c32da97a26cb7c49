"""The declared levels of the starter pool: which style each response is written to.

Every prompt has six responses and every axis has, within a prompt, three responses at its middle and three
away from it; every response leaves the middle on four of the eight axes. Among all such designs the search
keeps the one whose within-prompt differences are closest to uncorrelated, so that what a person prefers on
one axis can be told from what they prefer on another.

Run ``python -m benchmarks.starter.design`` to print the design as JSON; it takes about four minutes.
"""

import json

import numpy as np

AXES = ("thorough", "formal", "technical", "structured", "warm", "decisive", "example", "playful")
N_PROMPTS = 50
N_RESPONSES = 6
N_AWAY = 3  # responses of a prompt that leave the middle, on each axis
N_PASSES = 6
N_TRIES = 400


def draw_prompt(rng: np.random.Generator) -> np.ndarray:
    """One prompt's levels (6, 8) in {-1, 0, 1}: three non-zero a column, four a row."""
    away = np.zeros((N_RESPONSES, len(AXES)), dtype=bool)
    while not (away.sum(axis=1) == N_AWAY * len(AXES) // N_RESPONSES).all():
        away = np.stack([rng.permutation(N_RESPONSES) < N_AWAY for _ in AXES], axis=1)
    levels = np.zeros(away.shape, dtype=np.int8)
    for axis in range(len(AXES)):
        signs = np.array([1, -1, rng.choice((-1, 1))], dtype=np.int8)
        levels[away[:, axis], axis] = rng.permutation(signs)
    return levels


def within_prompt_scatter(levels: np.ndarray) -> np.ndarray:
    """Sum of outer products of levels about their prompt's mean, (8, 8)."""
    centred = levels - levels.mean(axis=0)
    return np.asarray(centred.T @ centred)


def imbalance(scatter: np.ndarray, poles: np.ndarray) -> float:
    """How far a design is from balanced: squared correlations, and poles used unequally often."""
    scale = np.sqrt(np.diag(scatter))
    correlation = scatter / np.outer(scale, scale)
    return float((np.tril(correlation, -1) ** 2).sum() + (poles**2).sum() / 1e4)


def search(seed: int) -> np.ndarray:
    """Levels of all prompts (50, 6, 8): each prompt in turn is redrawn and the best draw is kept."""
    rng = np.random.default_rng(seed)
    design = np.stack([draw_prompt(rng) for _ in range(N_PROMPTS)])
    for _ in range(N_PASSES):
        for row in range(N_PROMPTS):
            rest = np.delete(design, row, axis=0)
            scatter = sum(within_prompt_scatter(levels) for levels in rest)
            poles = rest.sum(axis=(0, 1))
            tries = [design[row], *(draw_prompt(rng) for _ in range(N_TRIES // N_PASSES))]
            costs = [imbalance(scatter + within_prompt_scatter(t), poles + t.sum(axis=0)) for t in tries]
            design[row] = tries[int(np.argmin(costs))]
    return design


if __name__ == "__main__":
    print(json.dumps(search(seed=20261).tolist()))
