"""Worlds of encodings are those of their features, seen otherwise."""

import numpy as np
import pytest

from prefq.inference.likelihood import sigmoid
from prefq.simulation.attributes import TUNED_ENCODED, AttributesSettings, encoded_attributes, split_personas
from prefq.simulation.panels import Panel
from prefq.simulation.starts import around_pooled, fitted_start
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array


def make(name: str, *, n_users: int = 12, n_pool: int = 300) -> Panel:
    return make_world(name, n_users=n_users, n_pool=n_pool, rng=np.random.default_rng(4))


def personas(n_pool: int = 300, settings: AttributesSettings = TUNED_ENCODED) -> Panel:
    return encoded_attributes(n_users=42, n_pool=n_pool, rng=np.random.default_rng(6), settings=settings)


@pytest.mark.parametrize("name", ["text_factors", "text_factors(60)", "agree(0.3)", "agree(0, n_group_users=40)"])
def test_encodings_of_the_same_people_pool_and_tests_as_where_features_are_seen(name: str) -> None:
    plain, encoded = make(name), make(f"encoded_{name}")
    heads = encoded.true_heads
    assert heads is not None
    assert plain.margins is not None
    assert encoded.margins is not None
    assert plain.candidates is not None
    assert encoded.candidates is not None

    for seen, features in (
        (encoded.first, plain.first),
        (encoded.test_second, plain.test_second),
        (encoded.candidates.features, plain.candidates.features),
        (encoded.group.differences, plain.group.differences),
    ):
        assert seen.shape[-1] == 64
        np.testing.assert_allclose(seen @ heads, features, atol=1e-9)
    np.testing.assert_array_equal(encoded.outcomes, plain.outcomes)
    np.testing.assert_array_equal(encoded.group.outcomes, plain.group.outcomes)
    np.testing.assert_array_equal(encoded.group.users, plain.group.users)
    np.testing.assert_allclose(encoded.margins, plain.margins, atol=1e-9)
    np.testing.assert_allclose(encoded.test_truth, plain.test_truth, atol=1e-9)
    np.testing.assert_allclose(encoded.candidates.utilities, plain.candidates.utilities, atol=1e-9)


def test_a_name_says_how_many_factors_and_answers_there_are() -> None:
    panel = make("encoded_text_factors(50, d=8, n_answers=2500)", n_users=30)
    assert panel.margins is not None
    assert panel.true_heads is not None

    assert np.bincount(panel.group.users).tolist() == [50] * 50
    assert panel.true_heads.shape == (64, 8)
    sizes = np.linalg.svd(panel.margins, compute_uv=False)
    assert sizes[8] < 1e-9 * sizes[0] < sizes[7]


def test_nobody_states_a_coefficient_of_an_encoding_and_users_keep_the_truth() -> None:
    panel = make("encoded_agree")

    assert panel.stated is None
    assert panel.true_prior is None
    assert panel.users(slice(2, 5)).true_heads is panel.true_heads


def test_without_base_rewards_users_start_at_the_pooled_regression_with_one_logit_of_spread() -> None:
    panel = make("encoded_text_factors(40)")
    start = fitted_start(panel)
    differences = panel.group.differences

    variances = ((differences @ start.coefficients.covariance) * differences).sum(axis=1)
    assert variances.mean() == pytest.approx(1)
    margins = differences @ start.coefficients.mean
    surplus = (panel.group.outcomes == 1) - sigmoid(margins)
    np.testing.assert_allclose(differences.T @ surplus / len(surplus), 0, atol=2e-3)  # where the likelihood is flat
    assert around_pooled(panel.group).n_users == 40


def test_traits_are_read_with_the_error_of_the_settings_and_nothing_else_tells_of_them() -> None:
    panel = personas(2000)
    assert panel.true_heads is not None
    assert panel.margins is not None
    differences, margins = (panel.first - panel.second)[0], panel.margins.T

    def unexplained(features: Array) -> float:
        fitted = features @ np.linalg.lstsq(features, margins, rcond=None)[0]
        return float(np.square(margins - fitted).sum() / np.square(margins).sum())

    np.testing.assert_allclose(panel.true_heads.T @ panel.true_heads, np.eye(7), atol=1e-12)
    # Of each trait the error has .09 of the variance: what is left after the best regression is .09 / 1.09.
    assert unexplained(differences @ panel.true_heads) == pytest.approx(0.09 / 1.09, rel=0.1)
    assert unexplained(differences) == pytest.approx(0.09 / 1.09, rel=0.15)
    assert unexplained(differences @ np.linalg.svd(panel.true_heads.T)[2][7:].T) > 0.95
    exact = personas(settings=AttributesSettings(reading_error=0.0))
    assert exact.true_heads is not None
    read = (exact.first - exact.second)[0] @ exact.true_heads
    assert exact.margins is not None
    np.testing.assert_allclose(read @ np.linalg.lstsq(read, exact.margins.T, rcond=None)[0], exact.margins.T, atol=1e-8)


def test_the_group_are_the_training_personas_who_reply_to_every_question() -> None:
    panel, n_pool = personas(), 300
    assert panel.margins is not None
    group, differences = panel.group, (panel.first - panel.second)[0]
    training, held_out = split_personas(np.random.default_rng(6))

    assert np.bincount(group.users).tolist() == [n_pool] * 42
    np.testing.assert_array_equal(group.differences[group.users == 7], differences)
    # Margins differ between personas as their wishes do, so the seventh's are those of a user moved by the wishes.
    traits = np.linalg.lstsq(held_out - held_out.mean(axis=0), panel.margins - panel.margins.mean(axis=0), rcond=None)[
        0
    ]
    margins = panel.margins.mean(axis=0) + (training - held_out.mean(axis=0)) @ traits
    outcomes = group.outcomes.reshape(42, n_pool)
    right = (outcomes == np.sign(margins)).mean()
    assert right == pytest.approx(sigmoid(np.abs(margins)).mean(), abs=4 * 0.5 / np.sqrt(outcomes.size))
