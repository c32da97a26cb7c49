"""PReF's own parts: what its starts find before any step, its penalties, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.rewards.factorization import pref
from prefq.rewards.factorization.pref import fit_pref, observed_start, published_start
from prefq.rewards.factorization.training import unit_of
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array

Cosines = Callable[[Array, Array], Array]


@pytest.fixture(scope="module")
def sharing(known_group: Any) -> Any:
    """200 people who have all compared the same 150 pairs, but for ten that are held out."""
    return known_group(7, n_users=200, n_answers=140, n_held_out=10, n_dims=24, n_features=3, n_pairs=150)


def started(known: Any, start: pref.Starting, n_features: int) -> Any:
    return start(known.encodings, known.group, unit_of(known.encodings, known.group), n_features)


def test_the_observed_start_is_near_the_truth_without_shared_pairs(known_group: Any, cosines: Cosines) -> None:
    known = known_group(7, n_users=300, n_answers=50, n_dims=24, n_features=3)
    assert cosines(started(known, observed_start, 3).heads, known.heads).min() > 0.95


def test_the_observed_start_knows_the_size_of_small_margins(known_group: Any) -> None:
    """One user, 20,000 answers: twice the mean signed difference, whitened, is the regression near zero."""
    known = known_group(7, n_users=1, n_answers=20_000, n_held_out=1, n_dims=4, n_features=2)
    weak = 0.2 * known.heads @ known.tastes[0] / np.linalg.norm(known.heads @ known.tastes[0])
    differences = known.group.differences(known.encodings)
    won = np.random.default_rng(1).random(20_000) < 1 / (1 + np.exp(-differences @ weak))
    group = replace(known.group, outcomes=np.where(won, 1, -1).astype(np.int8))
    unit = unit_of(known.encodings, group)
    found = observed_start(known.encodings, group, unit, 1)
    # LEAST_VARIANCE shrinks by a tenth; standard errors are .01
    np.testing.assert_allclose(found.heads @ found.users[0] / unit, weak / (1 + pref.LEAST_VARIANCE), atol=0.04)


def test_the_published_start_spends_a_vector_on_the_constant(sharing: Any, cosines: Cosines) -> None:
    """The matrix is about one half everywhere; only with one feature more does it find all three directions."""
    as_many, one_more = (started(sharing, published_start, n).heads for n in (3, 4))
    assert cosines(as_many, sharing.heads).min() < 0.7
    assert cosines(one_more, sharing.heads).min() > 0.9


def test_the_published_start_is_that_of_a_dense_decomposition(sharing: Any) -> None:
    """By NumPy's singular values, on the matrix filled by hand."""
    pairs = sharing.group.pairs[:, 0] // 2
    matrix = np.full((200, 150), 0.5)
    for _ in range(10):
        matrix[sharing.group.users, pairs] = (1 + sharing.group.outcomes) / 2
        left, sizes, right = np.linalg.svd(matrix)
        matrix = np.clip((left[:, :3] * sizes[:3]) @ right[:3], 0, 1)
    found = started(sharing, published_start, 3)
    unit = unit_of(sharing.encodings, sharing.group)
    differences = (sharing.encodings[::2] - sharing.encodings[1::2]).astype(float) / unit
    fitted = differences @ np.linalg.pinv(differences) @ (right[:3].T * sizes[:3]) @ (left[:, :3] * 4).T
    np.testing.assert_allclose(differences @ found.heads @ found.users.T, fitted, atol=1e-8)


@pytest.mark.parametrize("start", [observed_start, published_start])
def test_starts_do_not_depend_on_which_side_was_shown_first(sharing: Any, start: pref.Starting) -> None:
    group: GroupComparisons = sharing.group
    turned = np.random.default_rng(0).random(group.n_comparisons) < 0.5
    pairs = np.where(turned[:, None], group.pairs[:, ::-1], group.pairs)
    other = sharing._replace(
        group=replace(group, pairs=pairs, outcomes=np.where(turned, -group.outcomes, group.outcomes).astype(np.int8))
    )
    one, same = (started(each, start, 3) for each in (sharing, other))
    np.testing.assert_allclose(one.heads @ one.users.T, same.heads @ same.users.T, atol=1e-6)


def test_without_a_penalty_it_fits_closer_and_predicts_worse(small: Any) -> None:
    plain, penalised = (
        fit_pref(small.encodings, small.group, 3, rng=np.random.default_rng(0), regularised=regularised)
        for regularised in (False, True)
    )
    assert small.loss(small.group, plain) < small.loss(small.group, penalised)
    assert small.loss(small.held_out, plain) > small.loss(small.held_out, penalised)


def test_features_have_little_in_common(small: Any) -> None:
    found = fit_pref(small.encodings, small.group, 3, rng=np.random.default_rng(0), n_steps=2000)
    features = small.group.differences(small.encodings) @ found.heads
    assert np.abs(np.corrcoef(features.T) - np.eye(3)).max() < 0.1


def test_more_features_than_users_or_dimensions_have_a_random_rest(small: Any) -> None:
    few = small.group.of_users(np.arange(60) < 4)
    group = replace(few, user_ids=few.user_ids[:4])
    found = fit_pref(small.encodings, group, 6, rng=np.random.default_rng(0), n_steps=20)
    assert np.linalg.matrix_rank(found.heads) == 6


def test_what_cannot_be_is_refused(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="start is 'svd'; give 'observed', 'published' or 'random'"):
        fit_pref(small.encodings, small.group, 3, rng=np.random.default_rng(0), start="svd")  # type: ignore[arg-type]
    monkeypatch.setattr(pref, "MOST_CELLS", 1000)
    with pytest.raises(InputError, match="60 users × 1800 pairs are more cells than the 1000"):
        fit_pref(small.encodings, small.group, 3, rng=np.random.default_rng(0), start="published")
