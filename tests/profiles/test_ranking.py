"""Ranking: probabilities of being best against closed forms and random draws, ties, rewards of another space."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from scipy.stats import norm

import prefq
from prefq.errors import InputError, MismatchError
from prefq.inference.lattice import normal_draws, probability_best
from prefq.profiles.profile import Profile
from prefq.vocabulary import Array, FeatureSpace, Gaussian, PopulationPrior

SPACE = FeatureSpace(["length", "questions"])
BELIEF = Gaussian([1.0, -2.0], [[0.5, 0.1], [0.1, 0.3]])


class CountingRewards:
    """Length in words and number of question marks: as small as base rewards can be."""

    feature_space = SPACE

    def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        return np.array([[len(text.split()), text.count("?")] for text in responses], dtype=np.float64)


def make_profile(space: FeatureSpace = SPACE) -> Profile:
    prior = PopulationPrior(Gaussian([0.0, 0.0], np.eye(2)), space)
    return Profile("ada", BELIEF, prior, 10, np.ones(2), "f" * 64)


def test_rank_orders_by_mean_and_keeps_texts() -> None:
    texts = ["one?", "one two three", "one two", "one two"]
    ranked = prefq.rank(make_profile(), "count", texts, rewards=CountingRewards())
    assert [r.text for r in ranked] == ["one two three", "one two", "one two", "one?"]
    assert [r.index for r in ranked] == [1, 2, 3, 0]
    assert [r.mean for r in ranked] == pytest.approx([3.0, 2.0, 2.0, -1.0])
    assert ranked[0].sd == pytest.approx(3 * np.sqrt(0.5))
    assert sum(r.probability_best for r in ranked) == pytest.approx(1, abs=1e-12)
    assert ranked[1].probability_best == ranked[2].probability_best


def test_two_responses_against_the_normal_distribution() -> None:
    features = np.array([[1.0, 0.4], [0.2, 0.1]])
    difference = features[0] - features[1]
    margin = difference @ BELIEF.mean / np.sqrt(difference @ BELIEF.covariance @ difference)
    assert probability_best(BELIEF, features)[0] == pytest.approx(norm.cdf(margin), abs=0.005)


def test_many_responses_against_random_draws() -> None:
    rng = np.random.default_rng(8)
    belief = Gaussian(rng.normal(size=8), np.diag(rng.gamma(2, size=8)))
    features = rng.normal(size=(12, 8))
    draws = rng.multivariate_normal(belief.mean, belief.covariance, size=200_000)
    sampled = np.bincount((features @ draws.T).argmax(axis=0), minlength=12) / 200_000
    np.testing.assert_allclose(probability_best(belief, features), sampled, atol=0.01)


def test_equal_responses_share_and_one_response_is_best() -> None:
    assert probability_best(BELIEF, np.ones((4, 2))).tolist() == pytest.approx([0.25] * 4)
    assert probability_best(BELIEF, np.ones((1, 2))).tolist() == [1.0]


@pytest.mark.parametrize("n_features", [1, 2, 8, 32])
def test_draws_have_the_moments_of_the_posterior(n_features: int) -> None:
    rng = np.random.default_rng(n_features)
    root = rng.normal(size=(n_features, n_features))
    belief = Gaussian(rng.normal(size=n_features), root @ root.T / n_features)
    draws = normal_draws(belief)
    np.testing.assert_allclose(draws.mean(axis=0), belief.mean, atol=1e-9)  # mirror images: exact but for round-off
    scale = np.outer(belief.sd, belief.sd)
    np.testing.assert_allclose(np.cov(draws.T).reshape(n_features, -1) / scale, belief.covariance / scale, atol=0.02)


def test_rewards_of_another_space_or_none_are_refused_in_one_sentence() -> None:
    stranger = make_profile(FeatureSpace(["a", "b"]))
    with pytest.raises(MismatchError, match=r"^rewards= belongs to another feature space"):
        prefq.rank(stranger, "p", ["x"], rewards=CountingRewards())
    with pytest.raises(MismatchError, match=r"pass the ones they came from as rewards=\.$"):
        prefq.rank(stranger, "p", ["x"])


def test_nothing_to_rank_is_refused() -> None:
    with pytest.raises(InputError, match="there are no responses to rank"):
        prefq.rank(make_profile(), "p", [], rewards=CountingRewards())
    with pytest.raises(InputError, match="there are no responses to rank; give a list"):
        prefq.rank(make_profile(), "p", "one text", rewards=CountingRewards())
    with pytest.raises(InputError, match="prompt and responses must all be texts"):
        prefq.rank(make_profile(), "p", ["x", 3], rewards=CountingRewards())  # type: ignore[list-item]
    with pytest.raises(InputError, match="there are no responses to rank"):
        prefq.rank(make_profile(), "p", 5, rewards=CountingRewards())  # type: ignore[arg-type]


@pytest.mark.parametrize("as_given", [np.array, tuple, iter, lambda texts: (text for text in texts)])
def test_responses_may_be_any_iterable_of_texts(as_given: Callable[[list[str]], Iterable[str]]) -> None:
    texts = ["one", "one two three", "one two"]
    ranked = prefq.rank(make_profile(), "count", as_given(texts), rewards=CountingRewards())
    assert [(r.text, r.index) for r in ranked] == [("one two three", 1), ("one two", 2), ("one", 0)]
    assert {type(r.text) for r in ranked} == {str}


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (np.ones((1, 2)), r"the rewards returned features of shape \(1, 2\) for 3 responses; expected \(3, 2\)"),
        (np.ones((3, 1)), r"the rewards returned features of shape \(3, 1\) for 3 responses; expected \(3, 2\)"),
        (np.ones(2), r"features of the rewards has 1 dimension\(s\), shape \(2,\); expected 2"),
        (np.full((3, 2), np.nan), "features of the rewards holds NaN or infinite values"),
    ],
)
def test_rewards_that_drop_responses_are_refused(returned: Array, sentence: str) -> None:
    class DroppingRewards(CountingRewards):
        def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
            return returned

    with pytest.raises(InputError, match=sentence):
        prefq.rank(make_profile(), "p", ["a", "b", "c"], rewards=DroppingRewards())


def test_rewards_by_name_are_not_loaded_by_guess() -> None:
    with pytest.raises(InputError, match=r"rewards is 'starter'; give base rewards, such as"):
        prefq.rank(make_profile(), "p", ["x"], rewards="starter")  # type: ignore[arg-type]
