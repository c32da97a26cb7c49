"""Recovery is the correlation of the worst learned direction; standardised base rewards are uncorrelated."""

import numpy as np
import pytest

from prefq.simulation.recovery import smallest_cosine, standardised

RNG = np.random.default_rng(5)
ROOT = RNG.normal(size=(5, 5))
COVARIANCE = ROOT @ ROOT.T


def test_one_head_and_one_factor_worked_by_hand() -> None:
    head, factor = np.array([[0.6], [0.8]]), np.array([[1.0], [0.0]])

    assert smallest_cosine(head, factor, np.eye(2)) == pytest.approx(0.6)
    # Features x1 and .6 x1 + .8 x2 with variances 4 and 1: covariance 2.4, standard deviations 2 and √2.08.
    assert smallest_cosine(head, factor, np.diag([4.0, 1.0])) == pytest.approx(2.4 / (2 * np.sqrt(2.08)))


def test_the_worst_of_two_directions_counts() -> None:
    factors = np.eye(3)[:, :2]
    heads = np.array([[1.0, 0.0], [0.0, 0.8], [0.0, 0.6]])

    assert smallest_cosine(heads, factors, np.eye(3)) == pytest.approx(0.8)
    assert smallest_cosine(heads @ [[2.0, 1.0], [-1.0, 3.0]], factors, np.eye(3)) == pytest.approx(0.8)


def test_it_is_the_smallest_canonical_correlation_of_the_features() -> None:
    items = RNG.normal(size=(400, 5)) @ ROOT.T
    heads, factors = RNG.normal(size=(2, 5, 2))
    learned, true = (np.linalg.qr(items @ each)[0] for each in (heads, factors))
    canonical = np.linalg.svd(learned.T @ true, compute_uv=False)

    assert smallest_cosine(heads, factors, items.T @ items) == pytest.approx(canonical[-1])


def test_another_basis_of_the_encodings_changes_nothing() -> None:
    heads, factors = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))
    turn = RNG.normal(size=(5, 5))
    back = np.linalg.inv(turn)

    assert smallest_cosine(back @ heads, back @ factors, turn.T @ COVARIANCE @ turn) == pytest.approx(
        smallest_cosine(heads, factors, COVARIANCE)
    )


def test_heads_that_span_the_factors_have_one_and_too_few_have_nothing() -> None:
    factors = RNG.normal(size=(5, 2))
    more = np.column_stack([factors @ RNG.normal(size=(2, 2)), RNG.normal(size=(5, 1))])

    assert smallest_cosine(more, factors, COVARIANCE) == pytest.approx(1)
    assert smallest_cosine(factors[:, :1], factors, COVARIANCE) == 0
    assert smallest_cosine(factors[:, [0, 0]], factors, COVARIANCE) == 0  # a copy is no second head
    assert smallest_cosine(np.zeros((5, 2)), factors, COVARIANCE) == 0


def test_standardised_heads_are_uncorrelated_and_span_the_same() -> None:
    differences, heads = RNG.normal(size=(300, 5)) @ ROOT.T, RNG.normal(size=(5, 3)) * [1.0, 100.0, 0.1]
    found = standardised(heads, differences)
    values = differences @ found

    np.testing.assert_allclose(values.T @ values / 300, np.eye(3), atol=1e-6)
    assert smallest_cosine(found, heads, COVARIANCE) == pytest.approx(1)
    # The first is what varied most before, which is nearly the second head alone.
    assert abs(np.corrcoef(values[:, 0], differences @ heads[:, 1])[0, 1]) > 0.99


def test_copies_and_heads_of_nothing_are_left_out() -> None:
    differences, head = RNG.normal(size=(50, 5)), RNG.normal(size=(5, 1))

    assert standardised(np.column_stack([head, -2 * head, 0 * head]), differences).shape == (5, 1)
