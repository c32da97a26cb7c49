"""What a profile rests on, in words: which answers it uses, and how the test of it, the sealed round, came out.

What the answers amount to is in `prefq.profiles.summary`.
"""

import math
from typing import NamedTuple

from prefq.errors import InputError
from prefq.vocabulary import counted


class SealedScore(NamedTuple):
    """Outcome of a sealed round that is over.

    Of n_questions, n_decided were answered with a preference; profile and group are how many of these the profile and
    the group's guess had right, a half standing for no guess. group is None where the group's guess says nothing.
    """

    n_questions: int
    n_decided: int
    profile: float
    group: float | None

    @property
    def backs_profile(self) -> bool:
        """Whether the profile did better than a coin."""
        return self.profile > self.n_decided / 2


class Evidence(NamedTuple):
    """Answers behind a profile.

    n_chosen and n_sealed count the comparisons from the chosen questions and from the sealed round, n_silent the
    replies that compare nothing (both bad, skip). score is that of the sealed round, None if there was none or it is
    not over.
    """

    n_chosen: int
    n_sealed: int = 0
    n_silent: int = 0
    score: SealedScore | None = None


def comparisons(n_answers: int) -> str:
    """The count in words."""
    return counted(n_answers, "comparison")


def basis(n_answers: int, evidence: Evidence | None = None, beside: str = "") -> str:
    """Which answers a profile of `n_answers` comparisons uses; the bare count where the evidence is of other answers.

    What it uses beside them stands where the count ends.

    Examples
    --------
    >>> basis(15, Evidence(n_chosen=9, n_sealed=6, n_silent=1))
    '15 comparisons: 9 from the questions, 6 from the test; 1 reply was both bad or skip, which compares nothing'
    """
    if evidence is None or evidence.n_chosen + evidence.n_sealed != n_answers:
        return f"{comparisons(n_answers)}{beside}"
    parts = f": {evidence.n_chosen} from the questions, {evidence.n_sealed} from the test" if evidence.n_sealed else ""
    silent = ""
    if n_silent := evidence.n_silent:
        replies = "1 reply was" if n_silent == 1 else f"{n_silent} replies were"
        silent = f"; {replies} both bad or skip, which compares nothing"
    return f"{comparisons(n_answers)}{parts}{beside}{silent}"


def score_sentence(score: SealedScore) -> str:
    """The score in words, with what so few questions can and cannot show.

    Raises
    ------
    InputError
        When more were right than were decided, or fewer than none.

    Examples
    --------
    >>> score_sentence(SealedScore(6, 5, 4, None))
    'A test of this profile: 4 of 5 right, 1 undecided; a coin gets 2½. Too few questions to be sure.'
    """
    n, right, group = score.n_decided, score.profile, score.group
    if not 0 <= min(right, group or 0) <= max(right, group or 0) <= n <= score.n_questions:
        raise InputError(f"{right} and {group} of {n} were right; give scores of at most {n}.")
    if n == 0:
        return "A test of this profile shows nothing: no question was decided."
    undecided = f", {score.n_questions - n} undecided" if score.n_questions > n else ""
    rival = f"a coin gets {_half(n / 2)}" if group is None else f"the group's guess {_half(group)}"
    told = f"{_half(right)} of {n} right{undecided}; {rival}"
    if not score.backs_profile:
        return (
            f"A test of this profile did not bear it out ({told}): treat it as a guess. So few questions prove little."
        )
    by_chance = sum(math.comb(n, k) for k in range(math.floor(right), n + 1)) / 2**n
    sure = "A good sign, but too few questions to say how good" if by_chance < 0.05 else "Too few questions to be sure"
    return f"A test of this profile: {told}. {sure}."


def _half(count: float) -> str:
    whole, rest = divmod(count, 1)
    return f"{int(whole) if whole or not rest else ''}{'½' if rest else ''}"
