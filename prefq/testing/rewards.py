"""check_base_rewards: what base rewards must do, whoever writes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prefq.errors import InputError
from prefq.rewards.base import BaseRewards
from prefq.vocabulary import Array, FeatureSpace


def check_base_rewards(
    rewards: BaseRewards, prompts: Sequence[str], responses: Sequence[str], *, tolerance: float = 0.0
) -> None:
    """Put base rewards to their contract; see `prefq.rewards.base.BaseRewards`.

    There is a finite number for each response and feature, the same whenever it is asked for and whatever the other
    texts are; responses are told apart; no texts have no rows, and what is no list of texts is refused in a sentence.

    Parameters
    ----------
    rewards
        To be checked.
    prompts, responses : (n,)
        Texts that they have features of, at least two, and not all alike.
    tolerance
        By how much a feature may depend on the other texts, as a share of its range over these: 0 for the same to the
        last bit, 1e-4 for an encoder in single precision.

    Raises
    ------
    AssertionError
        With the rule that is broken.

    Examples
    --------
    >>> import prefq
    >>> from prefq.testing.rewards import check_base_rewards
    >>> check_base_rewards(prefq.load_rewards("starter"), ["Why?", "How?"], ["Because it is so.", "Well, mate, rest!"])
    """
    texts = list(prompts), list(responses)
    features = _check_features(rewards, *texts)
    _check_the_same_again(rewards, texts, features, tolerance)
    _check_refusals(rewards, *texts)


def _check_features(rewards: BaseRewards, prompts: list[str], responses: list[str]) -> Array:
    """Their space, shape, and that they are finite and differ."""
    space = rewards.feature_space
    _require(isinstance(space, FeatureSpace), "feature_space is a FeatureSpace")
    before = prompts.copy(), responses.copy()
    features: Any = rewards.features(prompts, responses)
    _require((prompts, responses) == before, "the texts that are given stay as they are")
    is_array = isinstance(features, np.ndarray) and features.dtype.kind == "f"
    _require(is_array, "features are an array of floats")
    _require(
        features.shape == (len(responses), space.n_features),
        f"features have a row for each response and a column for each of the {space.n_features} names; here "
        f"{features.shape} for {len(responses)} responses",
    )
    _require(bool(np.isfinite(features).all()), "features are finite")
    _require(bool(np.ptp(features, axis=0).any()), "two of the responses differ in a feature")
    _require(rewards.features([], []).shape == (0, space.n_features), "no texts have no rows, and as many columns")
    _require(rewards.feature_space == space, "feature_space stays the same")
    return np.array(features, dtype=np.float64)


def _check_the_same_again(
    rewards: BaseRewards, texts: tuple[list[str], list[str]], features: Array, tolerance: float
) -> None:
    """At once, after somebody wrote into what was given, turned round, and one by one."""
    margin = tolerance * np.ptp(features, axis=0)

    def agrees(found: Array) -> bool:
        return bool((np.abs(found - features) <= margin).all())

    given = rewards.features(*texts)
    _require(agrees(given), "the same texts have the same features again")
    if given.flags.writeable:
        given[:] = 0.0
    _require(agrees(rewards.features(*texts)), "what is given is the caller's: writing to it changes nothing")
    turned = rewards.features(texts[0][::-1], texts[1][::-1])[::-1]
    _require(agrees(turned), "features of a response do not depend on the order of the texts")
    alone = np.concatenate([rewards.features([prompt], [text]) for prompt, text in zip(*texts, strict=True)])
    _require(agrees(alone), "features of a response do not depend on the other texts")


def _check_refusals(rewards: BaseRewards, prompts: list[str], responses: list[str]) -> None:
    """Lists that are no texts, or not as many."""
    wrong: dict[str, tuple[Any, Any]] = {
        "fewer prompts than responses": (prompts[1:], responses),
        "a response that is no text": (prompts, [None, *responses[1:]]),
        "a prompt that is no text": ([3, *prompts[1:]], responses),
        "one text for a list of them": ([*responses[0]], responses[0]),
    }
    for what, given in wrong.items():
        try:
            rewards.features(*given)
        except InputError as error:
            sentence = str(error)
            _require(sentence.endswith(".") and "\n" not in sentence, f"{what} is refused in one sentence")
        except Exception as error:
            raise AssertionError(f"{what} is refused with an InputError; here {type(error).__name__}.") from error
        else:
            raise AssertionError(f"{what} is refused with an InputError; here it was taken.")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(f"{rule}.")
