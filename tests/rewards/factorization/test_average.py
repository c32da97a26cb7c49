"""The average reward: that of a second method, and the ridge chosen on what was held out."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from prefq.errors import InputError
from prefq.inference.population import pooled_coefficients
from prefq.rewards.factorization.average import MARGIN_SDS, fit_average
from prefq.rewards.group import GroupComparisons


def test_it_is_the_pooled_regression_where_answers_are_many(known_group: Any) -> None:
    known = known_group(3, n_users=200, n_answers=50, n_dims=12, n_features=3)
    found = fit_average(known.encodings, known.group)
    pooled = pooled_coefficients(known.group.differences(known.encodings), known.group.outcomes)
    np.testing.assert_allclose(found.heads[:, 0], pooled, atol=0.005)  # 10,000 answers outweigh either ridge
    assert (found.coefficients == 1).all()


def test_it_is_the_minimum_under_its_ridge(small: Any) -> None:
    found = fit_average(small.encodings, small.group)
    differences = small.group.differences(small.encodings)
    unit, n_dims = np.sqrt((differences**2).mean()), 12

    def penalised(head: Any) -> float:
        loss = small.loss(small.group, found._replace(heads=head[:, None]))
        return float(loss + n_dims * ((head * unit) ** 2).sum() / (2 * len(differences)))

    np.testing.assert_allclose(approx_fprime(found.heads[:, 0], penalised), 0, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_found_where_encodings_vary_most_in_a_few_directions(seed: int) -> None:
    """As those of language models do. By its usual tolerance the search ends where the loss still falls."""
    rng, n = np.random.default_rng(seed), 2000
    spread = 2 * np.exp(-np.arange(256) / 20)
    encodings = (rng.normal(size=(2 * n, 256)) * spread).astype(np.float32)
    margins = (encodings[::2] - encodings[1::2]) @ (rng.normal(size=256) * spread / 20)
    outcomes = np.where(rng.random(n) < 1 / (1 + np.exp(-margins)), 1, -1).astype(np.int8)
    pairs, one = np.arange(2 * n).reshape(n, 2), np.zeros(n, dtype=np.int64)
    group = GroupComparisons(pairs, outcomes, one, ("one",), np.repeat(np.arange(n), 2))
    found = fit_average(encodings, group.of_rows(np.arange(1800)), validation=group.of_rows(np.arange(1800, n)))
    assert min(found.info.validation_losses) < np.log(2) - 0.01


def test_ties_are_half_a_preference_each_way(small: Any) -> None:
    """All comparisons twice, once won by each side, are as many ties: nobody prefers anything."""
    ties = small.group.of_rows(np.arange(small.group.n_comparisons))
    np.copyto(ties.outcomes, 0)
    np.testing.assert_allclose(fit_average(small.encodings, ties).heads, 0, atol=1e-6)


def test_the_ridge_with_the_lowest_held_out_loss_is_kept(known_group: Any) -> None:
    """Ten answers in 64 dimensions want a strong one: the weakest costs much."""
    known = known_group(4, n_users=10, n_answers=12, n_held_out=30)
    found = fit_average(known.encodings, known.group, validation=known.held_out)
    losses = found.info.validation_losses
    assert len(losses) == found.info.n_steps == len(MARGIN_SDS)
    assert losses[found.info.best_step - 1] == min(losses) < losses[-1] - 0.1
    assert known.loss(known.held_out, found) == pytest.approx(min(losses), abs=1e-5)
    assert list(found.info.train_losses) == sorted(found.info.train_losses, reverse=True)


def test_an_average_reward_is_one(small: Any) -> None:
    with pytest.raises(InputError, match="n_features is 2; an average reward is one"):
        fit_average(small.encodings, small.group, 2)
