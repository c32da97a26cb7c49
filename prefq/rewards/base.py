"""BaseRewards, what every source of features offers, and load_rewards."""

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Protocol

from prefq.errors import InputError
from prefq.vocabulary import Array, FeatureSpace

STARTER = "starter"
STARTER_FOLDER = Path(__file__).parent / "starter"


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
        ``"starter"`` for the bundled ones, even where a folder of this name exists, or a folder of rewards
        (``"./starter"``).

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When the folder holds no rewards, or some that are incomplete, were changed, or are of a newer prefq.
    StorageError
        When a file cannot be read.
    """
    from prefq.rewards.style import load_style_rewards

    text = fspath(name) if isinstance(name, str | PathLike) else name
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"the rewards are {name!r}; give 'starter' or a folder, as a text or a path.")
    return load_style_rewards(STARTER_FOLDER if name == STARTER else Path(text))
