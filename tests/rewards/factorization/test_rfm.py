"""RFM's own parts: both ways to its maximum, and their rates."""

from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.rewards.factorization.rfm import fit_rfm


def test_blocks_and_joint_steps_come_to_one_maximum(small: Any) -> None:
    """Heads differ by a rotation; margins do not."""
    block, joint = (
        fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), optimiser=optimiser, n_steps=3000)
        for optimiser in ("block", "joint")
    )
    np.testing.assert_allclose(small.margins(small.held_out, block), small.margins(small.held_out, joint), atol=0.1)


def test_a_round_of_blocks_never_raises_the_penalised_loss(small: Any) -> None:
    """Told by the losses on the group with a ridge too small to matter."""
    found = fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), optimiser="block", ridge=1e-6)
    assert (np.diff(found.info.train_losses) < 1e-3).all()


def test_each_part_has_its_own_rate(small: Any) -> None:
    """A rate of nothing leaves users, or heads, where they started."""
    begun, users_held, heads_held = (
        fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), rates=rates, n_steps=20)
        for rates in ((0.0, 0.0), (0.02, 0.0), (0.0, 0.1))
    )
    np.testing.assert_array_equal(users_held.coefficients, begun.coefficients)
    np.testing.assert_array_equal(heads_held.heads, begun.heads)
    assert not np.array_equal(users_held.heads, begun.heads)
    assert not np.array_equal(heads_held.coefficients, begun.coefficients)


def test_losses_are_told_every_fifth_step_or_every_round(small: Any) -> None:
    joint = fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), n_steps=23)
    block = fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), optimiser="block", n_steps=4)
    assert len(joint.info.train_losses) == 1 + 4 + 1  # the start, 5 to 20, and the last
    assert len(block.info.train_losses) == 1 + 4
    assert joint.info.train_losses[0] == block.info.train_losses[0] == pytest.approx(np.log(2), abs=0.01)
    assert (joint.info.n_steps, joint.info.stopped) == (23, "all steps were taken")


def test_another_optimiser_is_refused(small: Any) -> None:
    with pytest.raises(InputError, match="optimiser is 'sgd'; give 'joint' or 'block'"):
        fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), optimiser="sgd")  # type: ignore[arg-type]
