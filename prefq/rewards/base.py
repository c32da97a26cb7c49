"""BaseRewards, what every source of features offers, and load_rewards."""

from collections.abc import Sequence
from os import PathLike
from typing import Protocol

from prefq.vocabulary import Array, FeatureSpace


class BaseRewards(Protocol):
    """Base reward functions φ(prompt, response)."""

    @property
    def feature_space(self) -> FeatureSpace:
        """Identity and names of the features."""

    def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        """Features of each response to its prompt.

        Parameters
        ----------
        prompts, responses : (n,)
            As many of each.

        Returns
        -------
        (n, n_features)
            A response's row does not depend on the others.

        Raises
        ------
        InputError
            When there are not as many prompts as responses, or one is no text.
        """


def load_rewards(name: str | PathLike[str]) -> BaseRewards:
    """Base rewards by name or folder.

    Parameters
    ----------
    name
        ``"starter"`` for the bundled ones (always), or a folder of rewards.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When the folder holds no rewards, or some that were changed.
    """
    raise NotImplementedError
