"""Splits: who is learned from and who is tested, by user and by prompt, made once and the same ever after."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.group import GroupComparisons, Rows
from prefq.rewards.logs.draws import Hashes

USER_SHARES = (0.7, 0.15, 0.15)
PROMPT_SHARES = (0.8, 0.0, 0.2)
LEAST_USERS = 10  # below, a part of users would often be empty: nobody is set aside
LEAST_PROMPTS = 20  # below, a fifth of the prompts says little about new ones: prompts are not split


class Part(IntEnum):
    """What a user or a prompt is for."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """The part of each user and of each prompt.

    A comparison is of a part only where its user and its prompt are: what is trained on holds no test user and no test
    prompt, whatever the log.

    Parameters
    ----------
    users : (n_users,) int8
        0 train, 1 validation, 2 test.
    prompts : (n_prompts,) int8
        The same of each prompt code; all 0 where prompts are not split.

    Raises
    ------
    InputError
        For any other number.
    """

    users: NDArray[np.int8]
    prompts: NDArray[np.int8]

    def __post_init__(self) -> None:
        for name, parts in (("users", self.users), ("prompts", self.prompts)):
            if parts.ndim != 1 or not np.isin(parts, list(Part)).all():
                raise InputError(f"{name} hold another part than 0 (train), 1 (validation) and 2 (test); give these.")
            parts.setflags(write=False)

    @property
    def prompts_are_split(self) -> bool:
        """Whether there are test prompts."""
        return bool((self.prompts == Part.TEST).any())

    def train(self, group: GroupComparisons) -> Rows:
        """Rows of train users on train prompts."""
        return self._rows(group, Part.TRAIN, Part.TRAIN)

    def validation(self, group: GroupComparisons) -> Rows:
        """Rows of validation users on train prompts."""
        return self._rows(group, Part.VALIDATION, Part.TRAIN)

    def test(self, group: GroupComparisons) -> Rows:
        """Rows of test users on test prompts, or on any prompt where prompts are not split."""
        return self._rows(group, Part.TEST, Part.TEST if self.prompts_are_split else Part.TRAIN)

    def history(self, group: GroupComparisons) -> Rows:
        """Rows of test users on train prompts: answers to learn a test user's taste from, before `test`.

        Empty where prompts are not split; then a test user's rows are to be divided.
        """
        if not self.prompts_are_split:
            return np.empty(0, dtype=np.int64)
        return self._rows(group, Part.TEST, Part.TRAIN)

    def _rows(self, group: GroupComparisons, user: Part, prompt: Part) -> Rows:
        prompts = self.prompts[group.prompt_codes[group.pairs[:, 0]]]
        return np.flatnonzero((self.users[group.users] == user) & (prompts == prompt))


def make_splits(
    users: Hashes,
    prompts: Hashes,
    *,
    user_shares: Sequence[float] = USER_SHARES,
    prompt_shares: Sequence[float] = PROMPT_SHARES,
) -> Splits:
    """Splits by numbers that are uniform over 64 bits, one for each user and each prompt.

    A user's part depends on their own number only: who joins later moves nobody, but for the day on which there are
    enough (`LEAST_USERS`, `LEAST_PROMPTS`) to split at all.

    Parameters
    ----------
    users, prompts : (n_users,), (n_prompts,)
        From a seed and the user's id or the prompt's text (`prefq.rewards.logs.draws`).
    user_shares, prompt_shares
        Of train, validation and test; they sum to one. Prompts are for train or test.

    Raises
    ------
    InputError
        When shares are no shares.
    """
    require_shares(user_shares, prompt_shares)
    return Splits(_parts(users, user_shares, LEAST_USERS), _parts(prompts, prompt_shares, LEAST_PROMPTS))


def require_shares(user_shares: Sequence[float], prompt_shares: Sequence[float]) -> None:
    """Raise InputError unless both are shares of train, validation and test; prompts have no validation."""
    _require(user_shares, "user_shares")
    _require(prompt_shares, "prompt_shares")


def _require(shares: Sequence[float], name: str) -> None:
    fits = len(shares) == len(Part) and all(0 <= share <= 1 for share in shares) and abs(sum(shares) - 1) < 1e-9
    if not fits or (name == "prompt_shares" and shares[Part.VALIDATION]):
        middle = "0" if name == "prompt_shares" else "validation"
        raise InputError(f"{name} are {tuple(shares)}; give (train, {middle}, test), shares that sum to one.")


def _parts(hashes: Hashes, shares: Sequence[float], least: int) -> NDArray[np.int8]:
    if len(hashes) < least:
        return np.zeros(len(hashes), dtype=np.int8)
    uniform = (hashes >> np.uint64(11)) * 2.0**-53
    return np.searchsorted(np.cumsum(shares)[:-1], uniform, side="right").astype(np.int8)
