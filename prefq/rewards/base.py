"""BaseRewards, what every source of features offers, and load_rewards."""

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Protocol

from prefq.errors import InputError
from prefq.vocabulary import Array, FeatureSpace, shown

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


def load_rewards(name: str | PathLike[str], *, encoder: str | PathLike[str] | None = None) -> BaseRewards:
    """Base rewards by name or folder.

    Parameters
    ----------
    name
        ``"starter"`` for the bundled ones, even where a folder of this name exists, or a folder of rewards
        (``"./starter"``): learned from a group (`prefq.rewards.linear.LinearRewards`), of style
        (`prefq.rewards.style.StyleRewards`), or of scores (`prefq.rewards.scores.ScoreRewards`).
    encoder
        Folder or name of the encoder of learned rewards, where it is no longer where it was when they were learned. It
        is loaded, and checked to be the same, when the first text is given.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When the folder holds no rewards, or some that are incomplete, were changed, or are of a newer prefq; or when an
        encoder is given for rewards that read none.
    StorageError
        When a file cannot be read.
    """
    from prefq.rewards.folder import LINEAR, SCORES, kind_of
    from prefq.rewards.linear import load_linear_rewards
    from prefq.rewards.scores import load_score_rewards
    from prefq.rewards.style import load_style_rewards

    text = fspath(name) if isinstance(name, str | PathLike) else name
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"the rewards are {name!r}; give 'starter' or a folder, as a text or a path.")
    folder = STARTER_FOLDER if name == STARTER else Path(text)
    kind = kind_of(folder)
    if kind == LINEAR:
        return load_linear_rewards(folder, encoder=encoder)
    rewards = load_score_rewards(folder) if kind == SCORES else load_style_rewards(folder)
    if encoder is not None:
        raise InputError(f"encoder is {str(encoder)!r}, and the rewards {text!r} read no encoder; leave it out.")
    return rewards


def require_texts(prompts: Sequence[str], responses: Sequence[str]) -> None:
    """Raise InputError unless these are as many prompts as responses, all of them texts."""
    if isinstance(prompts, str) or isinstance(responses, str):
        raise InputError("prompts or responses are one text; give a list of texts for each.")
    if len(prompts) != len(responses):
        raise InputError(f"there are {len(prompts)} prompts and {len(responses)} responses; give as many of each.")
    for name, texts in (("prompts", prompts), ("responses", responses)):
        for text in texts:
            if not isinstance(text, str):
                raise InputError(f"{name} hold {shown(text)}; every one must be a text.")
