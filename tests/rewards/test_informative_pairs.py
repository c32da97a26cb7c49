"""Pairs of a pool: all there are, near-equal ones by hand, and a choice that asks about every axis and prompt."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

import prefq
from prefq.inference.predictive import entropy, expected_entropy, predicted_replies
from prefq.rewards.informative_pairs import _highest, _telling, most_informative, near_equal, pairs_within
from prefq.vocabulary import Array, ResponseModel

SPREADS = np.array([2.0, 1.0, 0.5, 0.25])


def prior_of(spreads: Array, mean: Array | None = None) -> prefq.PopulationPrior:
    space = prefq.FeatureSpace([f"x{j}" for j in range(len(spreads))])
    return prefq.PopulationPrior(
        prefq.Gaussian(np.zeros(len(spreads)) if mean is None else mean, np.diag(spreads**2)), space
    )


def group(n_prompts: int = 60, n_responses: int = 6, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    """Features of responses, and prompt codes."""
    codes = np.repeat(np.arange(n_prompts), n_responses)
    return np.random.default_rng(seed).normal(size=(len(codes), len(SPREADS))), codes


@given(st.lists(st.integers(0, 6), max_size=40))
def test_all_pairs_within_prompts_and_no_others(codes: list[int]) -> None:
    expected = [pair for pair in combinations(range(len(codes)), 2) if codes[pair[0]] == codes[pair[1]]]
    found = pairs_within(np.array(codes, dtype=np.int64))
    assert list(map(tuple, found.tolist())) == sorted(expected, key=lambda pair: (codes[pair[0]], pair))


def test_near_equal_pairs_by_hand() -> None:
    # Differences 4 and 3, .4 and 0, 0 and 0: typical are √(16.16 / 3) and √(9 / 3), so that the second pair is
    # √(½ · .16 / 5.387) = .122 of typical.
    features = np.array([[0.0, 0.0], [4.0, 3.0], [1.0, 1.0], [1.4, 1.0], [2.0, 2.0], [2.0, 2.0]])
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    assert near_equal(features, pairs, share=0.12).tolist() == [False, False, True]
    assert near_equal(features, pairs, share=0.125).tolist() == [False, True, True]
    assert near_equal(features, pairs, share=0.0).tolist() == [False, False, True]
    assert near_equal(features * [1e6, 1e-6], pairs, share=0.125).tolist() == [False, True, True]  # units do not count


@pytest.mark.parametrize("model", [ResponseModel(), ResponseModel(0.5), ResponseModel(0.0, 0.3, 0.05)])
def test_pairs_are_ordered_as_by_their_expected_information(model: ResponseModel) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 4)) * np.exp(rng.normal(size=(400, 1)))
    pairs, mean = np.arange(400).reshape(-1, 2), np.array([0.8, -0.4, 0.0, 0.0])
    differences = features[pairs[:, 0]] - features[pairs[:, 1]]
    spread, slopes = _telling(differences, mean, np.diag(SPREADS**2), model)

    means, variances = differences @ mean, np.square(differences * SPREADS).sum(axis=1)
    exact = entropy(predicted_replies(means, variances, model)) - expected_entropy(means, variances, model)
    assert spearmanr(spread * slopes, exact).statistic > 0.995
    plain = predicted_replies(means, variances, ResponseModel(0.0, model.position_bias))[:, 0]
    nudged = predicted_replies(means + 1e-4, variances, ResponseModel(0.0, model.position_bias))[:, 0]
    np.testing.assert_allclose(slopes, (nudged - plain) / 1e-4, atol=0.015)  # the slope itself is up to .25


def test_choosing_takes_few_bytes_a_pair() -> None:
    """Of all pairs, their own 16 and what tells them apart; work on blocks, and on what is chosen, does not grow."""

    def peak(n_prompts: int) -> int:
        features = np.random.default_rng(0).normal(size=(8 * n_prompts, 4)).astype(np.float32)
        codes = np.repeat(np.arange(n_prompts), 8)
        pairs, prior = pairs_within(codes), prior_of(SPREADS)
        tracemalloc.start()
        assert len(most_informative(features, pairs, codes, prior, 3000)) == 3000
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert (peak(6000) - peak(2000)) / (28 * 4000) < 50


def test_every_prompt_keeps_a_pair_and_no_pair_comes_twice() -> None:
    features, codes = group()
    pairs = pairs_within(codes)
    for n_pairs in (60, 61, 100, 500, len(pairs) - 1):
        chosen = most_informative(features, pairs, codes, prior_of(SPREADS), n_pairs)
        assert len(np.unique(chosen)) == n_pairs
        assert (np.diff(chosen) > 0).all()
        assert len(np.unique(codes[pairs[chosen, 0]])) == 60


def test_with_fewer_pairs_than_prompts_each_has_one_at_most() -> None:
    features, codes = group()
    pairs = pairs_within(codes)
    chosen = most_informative(features, pairs, codes, prior_of(SPREADS), 20)
    assert len(chosen) == 20
    assert len(np.unique(codes[pairs[chosen, 0]])) == 20


def test_prompts_whose_pairs_were_left_out_are_owed_none() -> None:
    features, codes = group()
    pairs = pairs_within(codes)
    pairs = pairs[(codes[pairs[:, 0]] % 3 > 0) & (codes[pairs[:, 0]] < 58)]
    chosen = most_informative(features, pairs, codes * 7 + 5, prior_of(SPREADS), 38)
    np.testing.assert_array_equal(np.unique(codes[pairs[chosen, 0]]), np.unique(codes[pairs[:, 0]]))
    assert len(chosen) == 38


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20), st.integers(0, 20))
def test_the_highest_are_those_of_a_full_sort(values: list[tuple[int, bool]], n: int) -> None:
    expected = sorted((-told, row) for row, (told, is_free) in enumerate(values) if is_free)[:n]
    told, free = np.array([told for told, _ in values], dtype=float), np.array([each for _, each in values], dtype=bool)
    assert _highest(told, free, n).tolist() == [row for _, row in expected]


def test_nothing_is_chosen_where_all_may_stay() -> None:
    features, codes = group(2, 3)
    pairs = pairs_within(codes)
    np.testing.assert_array_equal(most_informative(features, pairs, codes, prior_of(SPREADS), 6), np.arange(6))
    np.testing.assert_array_equal(most_informative(features, pairs, codes, prior_of(SPREADS), 99), np.arange(6))


def test_the_order_of_pairs_and_units_of_features_do_not_matter() -> None:
    features, codes = group(seed=3)
    pairs, units = pairs_within(codes), np.array([10.0, 0.1, 3.0, 1.0])
    chosen = {tuple(pair) for pair in pairs[most_informative(features, pairs, codes, prior_of(SPREADS), 150)]}
    order = np.random.default_rng(1).permutation(len(pairs))
    shuffled = pairs[order]
    again = most_informative(features * units, shuffled, codes, prior_of(SPREADS / units), 150)
    assert {tuple(pair) for pair in shuffled[again]} == chosen


def session_spread(features: Array, pairs: NDArray[np.int64], n_questions: int = 10) -> Array:
    """Standard deviations of a taste after so many of the best questions of these, asked one after another."""
    differences = features[pairs[:, 0]] - features[pairs[:, 1]]
    precision = np.diag(SPREADS**-2.0)
    for _ in range(n_questions):
        variances = np.einsum("ij,jk,ik->i", differences, np.linalg.inv(precision), differences)
        slopes = 0.25 / np.sqrt(1 + np.pi / 8 * variances)
        best = int((variances * slopes).argmax())
        precision = precision + slopes[best] * np.outer(differences[best], differences[best])
    return np.sqrt(np.diag(np.linalg.inv(precision)))


def test_a_session_learns_almost_as_much_from_the_chosen_pairs_as_from_all() -> None:
    features, codes = group(300, 8, seed=5)
    pairs = pairs_within(codes)
    chosen = pairs[most_informative(features, pairs, codes, prior_of(SPREADS), len(pairs) // 14)]
    drawn = pairs[np.random.default_rng(0).choice(len(pairs), len(chosen), replace=False)]
    of_all, of_chosen, of_drawn = (session_spread(features, each) for each in (pairs, chosen, drawn))

    def left(spreads: Array) -> float:
        return float(np.log(spreads).sum())  # the taste's entropy but for a constant, were its axes independent

    assert left(of_chosen) - left(of_all) < 0.5 * (left(of_drawn) - left(of_all))
    assert (of_chosen < SPREADS * [0.6, 0.75, 0.95, 1]).all()  # every axis that matters was asked about
