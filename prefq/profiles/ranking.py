"""rank: order responses to a prompt by a profile, with how sure the order is.

The only room above `prefq.rewards` that reaches it, to score texts that were never in a pool.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prefq.errors import InputError, MismatchError
from prefq.inference.lattice import probability_best
from prefq.profiles.profile import Profile
from prefq.rewards.base import BaseRewards, load_rewards
from prefq.vocabulary import FeatureSpace, real_array

BUNDLED_REWARDS = ("starter",)


@dataclass(frozen=True, slots=True)
class RankedResponse:
    """A response with its score.

    Parameters
    ----------
    text
        The response.
    mean, sd
        Of its score, in logits; only differences within one ranking have a meaning.
    probability_best
        Probability that it is the best of those ranked; equal responses share it.
    index
        Its place in the list that was given.
    """

    text: str
    mean: float
    sd: float
    probability_best: float
    index: int


def rank(
    profile: Profile, prompt: str, responses: Iterable[str], *, rewards: BaseRewards | None = None
) -> list[RankedResponse]:
    """Responses to a prompt, the one the user is expected to like best first.

    Parameters
    ----------
    profile
        Whose taste decides.
    prompt
        What the responses answer.
    responses
        At least one text; any iterable of them.
    rewards
        The base rewards that the profile's features come from; not needed for those that prefq bundles.

    Returns
    -------
    list of RankedResponse
        By mean score; equal scores keep the order given.

    Raises
    ------
    InputError
        For no responses, a response that is no text, or rewards that do not return one row of features a response.
    MismatchError
        When the rewards are of another feature space.
    """
    texts = [] if isinstance(responses, str) or not isinstance(responses, Iterable) else list(responses)
    if not texts:
        raise InputError("there are no responses to rank; give a list of at least one text.")
    if not all(isinstance(text, str) for text in (prompt, *texts)):
        raise InputError("prompt and responses must all be texts.")
    known = _bundled_rewards(profile.feature_space) if rewards is None else rewards
    if not isinstance(getattr(known, "feature_space", None), FeatureSpace):
        raise InputError(f"rewards is {known!r}; give base rewards, such as prefq.load_rewards(...) returns.")
    profile.feature_space.require(known.feature_space, "rewards=")
    features = real_array(known.features([prompt] * len(texts), texts), "features of the rewards", ndim=2)
    expected = (len(texts), profile.coefficients.n_features)
    if features.shape != expected:
        raise InputError(
            f"the rewards returned features of shape {features.shape} for {len(texts)} responses; "
            f"expected {expected}, one row a response."
        )
    scores = profile.score(features)
    best = probability_best(profile.coefficients, features)
    order = np.argsort(-scores.mean, kind="stable")
    return [
        RankedResponse(str(texts[i]), float(scores.mean[i]), float(scores.sd[i]), float(best[i]), i)
        for i in order.tolist()
    ]


def _bundled_rewards(space: FeatureSpace) -> BaseRewards:
    for name in BUNDLED_REWARDS:
        rewards = load_rewards(name)
        if rewards.feature_space.digest == space.digest:
            return rewards
    raise MismatchError(
        f"the profile's features ({', '.join(space.names[:3])}, …) are not those of base rewards that prefq bundles; "
        "pass the ones they came from as rewards=."
    )
