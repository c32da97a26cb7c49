"""What all methods keep: the loss by hand, its minimum by a second method, laws of comparisons, ends, bad input."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.rewards.factorization import training
from prefq.rewards.factorization.average import fit_average
from prefq.rewards.factorization.base import Factorization
from prefq.rewards.factorization.lore import fit_lore
from prefq.rewards.factorization.pref import fit_pref
from prefq.rewards.factorization.rfm import fit_rfm
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array

Fit = Callable[..., Factorization]
METHODS: Mapping[str, Fit] = MappingProxyType(
    {
        "average": lambda encodings, group, _n, **options: fit_average(encodings, group, **options),
        "lore": fit_lore,
        "pref": fit_pref,
        "pref published": partial(fit_pref, start="published"),
        "rfm": fit_rfm,
        "rfm block": partial(fit_rfm, optimiser="block"),
    }
)
LEARNED = [name for name in METHODS if name != "average"]
every_method = pytest.mark.parametrize("fit", METHODS.values(), ids=METHODS.keys())


def swapped(group: GroupComparisons) -> GroupComparisons:
    """Second against first, and the other way round preferred."""
    return replace(group, pairs=group.pairs[:, ::-1].copy(), outcomes=-group.outcomes)


def test_loss_of_three_comparisons_by_hand() -> None:
    import torch

    block = training.Block(
        torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0, 1, 1])
    )
    heads, weights = torch.tensor([[1.0], [-0.5]]), torch.tensor([[2.0], [3.0]])
    # margins: 1·2 = 2, preferred; -1·3 = -3, the second preferred; ½·3 = 1½, a tie
    expected = np.log1p(np.exp(-2)) + np.log1p(np.exp(-3)) + (np.log1p(np.exp(-1.5)) + np.log1p(np.exp(1.5))) / 2
    assert float(training.nats(block, heads, weights)) == pytest.approx(expected, rel=1e-6)


def test_slopes_of_the_loss_are_those_of_finite_differences() -> None:
    import torch

    rng = np.random.default_rng(0)
    block = training.Block(
        torch.from_numpy(rng.normal(size=(7, 4))),
        torch.from_numpy(rng.choice([0.0, 0.5, 1.0], size=7)),
        torch.from_numpy(rng.integers(3, size=7)),
    )
    heads, users = (torch.from_numpy(rng.normal(size=shape)).requires_grad_() for shape in ((4, 2), (3, 2)))
    assert torch.autograd.gradcheck(lambda h, u: training.nats(block, h, u), (heads, users))
    assert torch.autograd.gradcheck(lambda h, u: training.nats(block, h, u.softmax(dim=1)), (heads, users))


def penalty_of(name: str, differences: Array, heads: Array, weights: Array) -> float:
    """The methods' penalties as their documentation has them, written anew; heads in the encodings' units."""
    n = len(differences)
    unit = float(np.sqrt((differences**2).mean()))
    squares = float(heads.shape[0] * ((heads * unit) ** 2).sum())
    if name == "rfm block":
        return float((10 * (weights**2).sum() + squares) / (2 * n))
    if name == "lore":
        return float(0.1 * squares / (2 * n))
    features: Array = differences @ heads
    products: Array = features.T @ features / n
    shared = float(np.square(np.tril(products, -1)).sum())
    return float(0.02 * np.trace(products) + 0.01 * shared) + (float((weights**2).sum()) + squares) / (2 * n)


@pytest.mark.parametrize("name", ["rfm block", "pref", "lore"])
def test_what_is_found_is_a_minimum_of_the_penalised_loss(small: Any, name: str) -> None:
    """Of its value in double precision, in directions of each user and of the heads."""
    rng = np.random.default_rng(3)
    found = METHODS[name](small.encodings, small.group, 3, rng=rng, n_steps=2000)
    differences = small.group.differences(small.encodings)

    def loss(heads: Array, weights: Array) -> float:
        penalty = penalty_of(name, differences, heads, weights)
        return float(small.loss(small.group, found._replace(heads=heads, coefficients=weights))) + penalty

    least = loss(found.heads, found.coefficients)
    for _ in range(20):
        heads, weights = (rng.normal(size=each.shape) for each in found[:2])
        if name == "lore":  # within the simplex
            weights = found.coefficients * (weights - (found.coefficients * weights).sum(axis=1, keepdims=True))
        for step in (0.05, -0.05):
            moved_heads, moved_weights = found.heads + step * heads, found.coefficients + step * weights
            assert loss(moved_heads, found.coefficients) > least
            assert loss(found.heads, moved_weights) > least
            assert loss(moved_heads, moved_weights) > least


@every_method
def test_measured_losses_are_those_of_what_is_kept(small: Any, fit: Fit) -> None:
    found = fit(small.encodings, small.group, 3, rng=np.random.default_rng(0), validation=small.held_out)
    least = min(found.info.validation_losses)
    assert small.loss(small.held_out, found) == pytest.approx(least, abs=2e-5)  # less than the gain that counts
    assert small.loss(small.group, found) == pytest.approx(
        found.info.train_losses[found.info.validation_losses.index(least)], abs=5e-4
    )


@every_method
def test_swapping_both_sides_and_outcomes_changes_nothing(small: Any, fit: Fit) -> None:
    one, other = (
        fit(small.encodings, group, 3, rng=np.random.default_rng(0), validation=small.held_out)
        for group in (small.group, swapped(small.group))
    )
    np.testing.assert_allclose(
        small.margins(small.held_out, one), small.margins(small.held_out, other), atol=0.02
    )  # logits; round-off


@every_method
def test_scale_of_the_encodings_changes_no_margin(small: Any, fit: Fit) -> None:
    one, other = (
        fit(encodings, small.group, 3, rng=np.random.default_rng(0))
        for encodings in (small.encodings, 64 * small.encodings)
    )
    np.testing.assert_allclose(one.heads, 64 * other.heads, rtol=1e-6)  # a power of two: the same round-off
    np.testing.assert_array_equal(one.coefficients, other.coefficients)


@every_method
def test_mapped_encodings_read_anew_in_each_step_give_the_same(
    small: Any, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "encodings.npy", small.encodings)
    held = fit(small.encodings, small.group, 3, rng=np.random.default_rng(0))
    monkeypatch.setattr(training, "HELD_BYTES", 0)
    mapped = np.load(tmp_path / "encodings.npy", mmap_mode="r")
    read = fit(mapped, small.group, 3, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(held.heads, read.heads)


@pytest.mark.parametrize("name", LEARNED)
def test_a_seed_gives_the_same_bits_and_another_seed_others(small: Any, name: str) -> None:
    one, same, other = (
        METHODS[name](small.encodings, small.group, 3, rng=np.random.default_rng(seed), validation=small.held_out)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.heads, same.heads)
    np.testing.assert_array_equal(one.coefficients, same.coefficients)
    if not name.startswith("pref"):  # whose singular vectors leave nothing to chance
        assert not np.array_equal(one.heads, other.heads)


@every_method
def test_permuted_labels_teach_nothing(known_group: Any, fit: Fit) -> None:
    rng = np.random.default_rng(2)
    known = known_group(2, n_users=150, n_answers=40, n_held_out=40, n_dims=32, n_features=4, n_pairs=400)
    group, held_out = (replace(each, outcomes=rng.permutation(each.outcomes)) for each in (known.group, known.held_out))
    found = fit(
        known.encodings, group, 4, rng=rng, validation=held_out.of_rows(np.arange(0, held_out.n_comparisons, 2))
    )
    judged = held_out.of_rows(np.arange(1, held_out.n_comparisons, 2))
    assert known.accuracy(judged, found) == pytest.approx(0.5, abs=0.03)  # three standard errors of 3,000


@every_method
def test_users_without_comparisons_have_no_coefficients_and_validate_nothing(small: Any, fit: Fit) -> None:
    known = np.arange(60) < 50
    group = small.group.of_users(known)
    found = fit(small.encodings, group, 3, rng=np.random.default_rng(0), validation=small.held_out)
    same = fit(small.encodings, group, 3, rng=np.random.default_rng(0), validation=small.held_out.of_users(known))
    np.testing.assert_array_equal(np.isnan(found.coefficients).any(axis=1), ~known)
    assert found.info == same.info


def test_it_ends_after_fifty_steps_that_were_no_better(small: Any) -> None:
    said: list[str] = []
    found = fit_rfm(
        small.encodings,
        small.group,
        3,
        rng=np.random.default_rng(0),
        validation=small.held_out,
        on_step=said.append,
    )
    assert found.info.stopped == "no better step followed"
    assert found.info.n_steps == found.info.best_step + 50 < 500
    losses = found.info.train_losses[-1], found.info.validation_losses[-1]
    last = "rfm: step {} of at most 500, {:.4f} nats, {:.4f} held out".format(found.info.n_steps, *losses)
    assert said[-1] == last
    assert len(said) == found.info.n_steps // 5


@every_method
def test_what_is_told_may_end_it(small: Any, fit: Fit) -> None:
    def stop(_what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(small.encodings, small.group, 3, rng=np.random.default_rng(0), on_step=stop)


def test_steps_too_large_end_it_with_the_best_step_before(small: Any) -> None:
    found = fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), rates=(50.0, 50.0))
    assert found.info.stopped == "the loss rose far above that of the start; the best step before was kept"
    assert small.loss(small.group, found) < 0.7


def test_a_loss_that_is_no_number_ends_it_with_the_best_step_before(small: Any) -> None:
    found = fit_rfm(small.encodings, small.group, 3, rng=np.random.default_rng(0), rates=(1e30, 1e30))
    assert found.info.stopped == "the loss was no number any more; the best step before was kept"
    assert np.isfinite(found.heads).all()


@every_method
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encodings": np.zeros((4800, 12), np.float32)}, "none of 1800 comparisons is of encodings that differ"),
        ({"encodings": np.full((4800, 12), np.nan, np.float32)}, "not finite"),
        ({"encodings": np.zeros((7, 12), np.float32)}, "there are encodings of 7 items"),
        ({"group": "nothing"}, "there are no comparisons to learn from"),
        ({"validation": "strangers"}, "no comparison to validate on is of a user to learn from"),
    ],
)
def test_bad_input_is_refused(small: Any, fit: Fit, change: dict[str, Any], message: str) -> None:
    given = {"encodings": small.encodings, "group": small.group, "validation": None} | change
    if "group" in change:
        given["group"] = small.group.of_rows(np.arange(0))
    if "validation" in change:
        early = np.arange(60) < 30
        given |= {"group": small.group.of_users(early), "validation": small.held_out.of_users(~early)}
    encodings, group, validation = given.values()
    with pytest.raises(InputError, match=message):
        fit(encodings, group, 3, rng=np.random.default_rng(0), validation=validation)


@pytest.mark.parametrize("fit", [METHODS[name] for name in LEARNED], ids=LEARNED)
@pytest.mark.parametrize("n_features", [0, 13, 2.5, True])
def test_a_number_of_features_is_at_most_that_of_dimensions(small: Any, fit: Fit, n_features: Any) -> None:
    with pytest.raises(InputError, match=f"n_features is {n_features}"):
        fit(small.encodings, small.group, n_features, rng=np.random.default_rng(0))
