"""The one reward for everybody: at the scale of answers its head was not fitted on, and moved by nobody."""

import numpy as np
import pytest

from prefq.inference.likelihood import sigmoid
from prefq.rewards.group import GroupComparisons
from prefq.rewards.shared_reward import fit_shared_reward

N_DIMS, N_ITEMS = 60, 400


def group_of(taste: np.ndarray, n_answers: int, rng: np.random.Generator) -> tuple[np.ndarray, GroupComparisons]:
    encodings = rng.normal(size=(N_ITEMS, N_DIMS))
    pairs = np.array([rng.choice(N_ITEMS, 2, replace=False) for _ in range(n_answers)])
    margins = (encodings[pairs[:, 0]] - encodings[pairs[:, 1]]) @ taste
    outcomes = np.where(rng.random(n_answers) < sigmoid(margins), 1, -1).astype(np.int8)
    users = np.arange(n_answers, dtype=np.int64) % 10
    return encodings, GroupComparisons(pairs, outcomes, users, tuple("abcdefghij"), np.zeros(N_ITEMS, dtype=np.int64))


def test_a_head_of_many_dimensions_and_few_answers_is_not_as_sure_as_its_own_answers_make_it() -> None:
    rng = np.random.default_rng(3)
    taste = rng.normal(size=N_DIMS) * 1.5 / np.sqrt(2 * N_DIMS)  # margins of typical size 1.5
    encodings, group = group_of(taste, 700, rng)
    head, prior = fit_shared_reward(encodings, group, rng=np.random.default_rng(4))
    assert not prior.coefficients.covariance.any()
    first, second = rng.normal(size=(2, 20_000, N_DIMS))
    chances = sigmoid((first - second) @ taste)
    margins = (first - second) @ head[:, 0]

    def loss(scale: float) -> float:
        wanted = sigmoid(scale * margins)
        return float(-(chances * np.log(wanted) + (1 - chances) * np.log1p(-wanted)).mean())

    found = float(prior.coefficients.mean[0])
    scales = np.linspace(0.05, 3, 60)
    best = min(loss(scale) for scale in scales)
    # a hundred answers tell the scale to about a quarter, which costs little
    assert loss(found) == pytest.approx(best, abs=0.02)
    # the scale that the answers that taught the head would say is larger, and worse
    rows = encodings[group.pairs[:, 0]] - encodings[group.pairs[:, 1]]
    own = [float(np.logaddexp(0, -group.outcomes * scale * (rows @ head[:, 0])).mean()) for scale in scales]
    assert scales[int(np.argmin(own))] > found
