"""LoRe's own parts: weights on the simplex, and the anchor."""

from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.rewards.factorization.lore import fit_lore


def test_weights_are_not_negative_and_sum_to_one(small: Any) -> None:
    found = fit_lore(small.encodings, small.group, 4, rng=np.random.default_rng(0), n_steps=50)
    assert (found.coefficients >= 0).all()
    np.testing.assert_allclose(found.coefficients.sum(axis=1), 1, atol=1e-6)


def test_an_anchor_turns_base_rewards_towards_the_reference(small: Any) -> None:
    reference = np.arange(12.0) - 4

    def cosines(anchor: float) -> Any:
        heads = fit_lore(
            small.encodings, small.group, 4, rng=np.random.default_rng(0), reference=reference, anchor=anchor
        ).heads
        return reference @ heads / np.linalg.norm(reference) / np.linalg.norm(heads, axis=0)

    assert cosines(10.0).min() > 0.99
    assert cosines(0.0).min() < 0.9


@pytest.mark.parametrize("reference", [np.zeros(12), np.ones(11), np.full(12, np.nan)])
def test_a_reference_is_a_direction_of_the_encodings(small: Any, reference: Any) -> None:
    with pytest.raises(InputError, match="reference"):
        fit_lore(small.encodings, small.group, 4, rng=np.random.default_rng(0), reference=reference)
