"""The evidence of a group's answers: by quadrature, by finite differences, and laws; what `bayes` makes of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.inference.likelihood import sigmoid
from prefq.rewards.factorization.bayes import fit_bayes
from prefq.rewards.factorization.likeliest import USUAL_POOLED_MARGIN, pooled_margin, together
from prefq.rewards.factorization.marginal import Answers, Directions, Evidence
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array


def by_quadrature(differences: Array, outcomes: Array, heads: Array) -> float:
    """Log of the integral, over z, of the chance of one person's answers, [h | B] of one personal axis."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    margins = (differences @ heads[:, :1]) + (differences @ heads[:, 1:]) * nodes
    return float(np.log((sigmoid(outcomes[:, None] * margins).prod(axis=0) * weights).sum() / weights.sum()))


def test_evidence_is_the_integral_over_tastes(small: Any) -> None:
    rng = np.random.default_rng(0)
    heads = 0.4 * rng.normal(size=(12, 2))
    one = small.group.of_users(np.arange(60) == 7)
    differences = one.differences(small.encodings)
    found, _ = Evidence(Answers.of(small.encodings, one))(heads)
    assert found == pytest.approx(by_quadrature(differences, one.outcomes, heads), abs=0.02)  # what propagation is off
    alone = one.of_rows(np.arange(1))
    found, _ = Evidence(Answers.of(small.encodings, alone))(heads)
    expected = by_quadrature(differences[:1], alone.outcomes, heads)
    assert found == pytest.approx(expected, abs=1e-5)  # of one answer it is exact


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_the_slope_is_that_of_finite_differences(small: Any, rank: int) -> None:
    rng = np.random.default_rng(rank)
    group = replace(
        small.group, outcomes=np.where(rng.random(small.group.n_comparisons) < 0.1, 0, small.group.outcomes)
    )
    answers = Answers.of(small.encodings.astype(np.float64), group)
    heads, way = 0.3 * rng.normal(size=(2, 12, 1 + rank))
    evidence = Evidence(answers)
    for _ in range(6):  # until the sites have settled
        _, slope = evidence(heads)
    sides = []
    for step in (1e-4, -1e-4):
        for _ in range(6):
            value, _ = evidence(heads + step * way)
        sides.append(value)
    assert (slope * way).sum() == pytest.approx((sides[0] - sides[1]) / 2e-4, rel=1e-4)


def test_neither_order_nor_sides_matter(small: Any) -> None:
    group, rng = small.group, np.random.default_rng(3)
    heads = 0.3 * rng.normal(size=(12, 3))
    expected, slope = Evidence(Answers.of(small.encodings, group))(heads)
    order = rng.permutation(group.n_comparisons)
    mixed = group.of_rows(order)
    swapped = replace(mixed, pairs=mixed.pairs[:, ::-1], outcomes=-mixed.outcomes)
    found, other = Evidence(Answers.of(small.encodings, swapped))(heads)
    assert found == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(other, slope, atol=1e-3)


def test_tastes_that_are_turned_are_the_same_tastes(small: Any) -> None:
    rng = np.random.default_rng(4)
    heads = 0.3 * rng.normal(size=(12, 4))
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    answers = Answers.of(small.encodings, small.group)
    other = np.column_stack([heads[:, 0], heads[:, 1:] @ turned])
    assert Evidence(answers)(other)[0] == pytest.approx(Evidence(answers)(heads)[0], rel=1e-6)


def test_pairs_of_equal_encodings_tell_nothing(small: Any) -> None:
    group = small.group
    more = GroupComparisons(
        np.concatenate([group.pairs, [[0, 0]]]),
        np.append(group.outcomes, 1).astype(np.int8),
        np.append(group.users, 5),
        group.user_ids,
        group.prompt_codes,
    )
    heads = np.ones((12, 2)) / 4
    assert Answers.of(small.encodings, more).n_answers == group.n_comparisons
    assert (
        Evidence(Answers.of(small.encodings, more))(heads)[0] == Evidence(Answers.of(small.encodings, group))(heads)[0]
    )
    with pytest.raises(InputError, match="nothing can be learned"):
        fit_bayes(small.encodings, more.of_rows(np.array([more.n_comparisons - 1])), 2, rng=np.random.default_rng(0))


def test_the_first_guess_finds_the_axes(known_group: Any, cosines: Any) -> None:
    known = known_group(5, n_users=400, n_answers=30, n_held_out=1, n_dims=16, n_features=3)
    answers, directions = Answers.of(known.encodings, known.group), Directions.of(known.encodings, known.group)
    pooled = np.zeros((16, 1))
    found = together(answers, directions, pooled, 3, 1.0)
    assert cosines(found, known.heads).min() > 0.9


@pytest.mark.parametrize(("strength", "least", "most"), [(0.0, 0.2, 0.4), (1.0, 0.4, 3.0), (6.0, 0.8, 6.0)])
def test_a_common_taste_may_be_as_strong_as_people_held_out_say(strength: float, least: float, most: float) -> None:
    """Everybody has one taste, of these logits; of chance the least is believed."""
    rng = np.random.default_rng(11)
    encodings = rng.normal(size=(4000, 32))
    pairs = np.arange(4000).reshape(-1, 2)
    taste = rng.normal(size=32)
    margins = (encodings[pairs[:, 0]] - encodings[pairs[:, 1]]) @ taste
    chances = sigmoid(strength * margins / np.sqrt(np.square(margins).mean()))
    outcomes = np.where(rng.random(2000) < chances, 1, -1).astype(np.int8)
    users, names = np.arange(2000) % 50, tuple(f"u{i}" for i in range(50))
    group = GroupComparisons(pairs, outcomes, users, names, np.repeat(np.arange(2000), 2))
    answers, directions = Answers.of(encodings, group), Directions.of(encodings, group)
    for seed in range(3):
        found = pooled_margin(answers, directions, rng=np.random.default_rng(seed), max_steps=25)
        assert least <= found <= most


def test_too_few_people_do_not_choose(small: Any) -> None:
    few = small.group.of_users(np.arange(60) < 4)
    answers, directions = Answers.of(small.encodings, few), Directions.of(small.encodings, few)
    assert pooled_margin(answers, directions, rng=np.random.default_rng(0), max_steps=25) == USUAL_POOLED_MARGIN


def test_it_recovers_and_predicts(known_group: Any, cosines: Any) -> None:
    known = known_group(6, n_users=300, n_answers=40, n_held_out=10, n_dims=24, n_features=4)
    found = fit_bayes(known.encodings, known.group, 5, rng=np.random.default_rng(0))
    assert cosines(found.heads, known.heads).min() > 0.95
    truth = found._replace(heads=known.heads, coefficients=known.tastes)
    assert known.accuracy(known.held_out, found) > known.accuracy(known.held_out, truth) - 0.04
    losses = np.array(found.info.train_losses)
    assert (np.diff(losses) < 1e-4).all()  # the evidence rises from step to step


def test_users_without_answers_have_no_coefficients(small: Any) -> None:
    found = fit_bayes(small.encodings, small.group.of_users(np.arange(60) < 50), 3, rng=np.random.default_rng(0))
    assert np.isnan(found.coefficients[50:]).all()
    assert np.isfinite(found.coefficients[:50]).all()


def test_a_step_may_end_it(small: Any) -> None:
    def end(what: str) -> None:
        raise KeyboardInterrupt(what)

    with pytest.raises(KeyboardInterrupt, match="step 1"):
        fit_bayes(small.encodings, small.group, 3, rng=np.random.default_rng(0), on_step=end)
