"""ImportReport: what of a log was kept, what was dropped and why, and what is strange about it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from prefq.errors import InputError
from prefq.rewards.logs.splits import LEAST_PROMPTS, LEAST_USERS
from prefq.rewards.logs.texts import LONG_TEXT
from prefq.vocabulary import counted, exact_fields

LEAST_ONE_SIDED = 10  # preferences, all for one side, before it is taken for more than chance
FEW_ANSWERS = (5, 10, 20)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many, and where one of them is."""

    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import found.

    Parameters
    ----------
    log, form
        Name of the log, and what its rows are.
    seed
        That parts, sides and pairs were drawn with.
    n_rows, n_bytes
        That were read.
    dropped
        Rows that could not be used, by reason.
    left_out
        Comparisons that usable rows gave and that were not kept, by reason.
    n_comparisons, n_users, n_prompts, n_items, n_ties
        That were kept; users with comparisons, prompts and items that are known.
    n_first
        Comparisons in which the first is preferred.
    n_contradicting
        Pairs of which one person preferred one response, and another time the other: both are kept.
    n_empty_texts, n_long_texts
        Items whose response is empty, and items of `LONG_TEXT` characters and more: kept.
    n_strengths, n_wrong_strengths, largest_strength
        Strengths that were given; values that are none; what all were divided by (None: nothing).
    sides_were_drawn
        Whether the log told the preferred response by its place, so that sides were drawn anew.
    users_with_fewer
        Users with fewer comparisons than each of `FEW_ANSWERS`.
    parts
        Comparisons by part: train, validation, test, history (see `Splits`).
    users_by_part
        Users by part: train, validation, test.
    prompts_are_split
        Whether there are prompts that only test users are asked about.
    """

    log: str
    form: str
    seed: int
    n_rows: int
    n_bytes: int
    dropped: Mapping[str, LeftOut]
    left_out: Mapping[str, LeftOut]
    n_comparisons: int
    n_users: int
    n_prompts: int
    n_items: int
    n_ties: int
    n_first: int
    n_contradicting: int
    n_empty_texts: int
    n_long_texts: int
    n_strengths: int
    n_wrong_strengths: int
    largest_strength: float | None
    sides_were_drawn: bool
    users_with_fewer: Mapping[str, int]
    parts: Mapping[str, int]
    users_by_part: Mapping[str, int]
    prompts_are_split: bool

    @property
    def n_dropped(self) -> int:
        """Rows that could not be used."""
        return sum(each.count for each in self.dropped.values())

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ImportReport":
        """Report from the dictionary that `to_dict` writes; InputError if a field is missing or unknown."""
        fields = exact_fields(data, [each.name for each in dataclass_fields(cls)], "an import report")
        for name in ("dropped", "left_out"):
            try:
                fields[name] = {reason: LeftOut(**each) for reason, each in fields[name].items()}
            except (AttributeError, TypeError) as error:
                raise InputError(f"{name} of an import report is {fields[name]!r}; import the log again.") from error
        return cls(**fields)

    def sentences(self) -> Iterator[str]:
        """What was kept and dropped, in words."""
        kept = self.n_rows - self.n_dropped
        yield f"{self.log}: {counted(self.n_rows, 'row')} of {self.form}, {kept} of them usable."
        for reason, each in sorted(self.dropped.items(), key=lambda item: -item[1].count):
            yield f"Dropped {counted(each.count, 'row')}: {reason} ({each.example})."
        yield (
            f"Kept {counted(self.n_comparisons, 'comparison')} ({counted(self.n_ties, 'tie')}) of "
            f"{counted(self.n_users, 'user')} between {counted(self.n_items, 'item')} of "
            f"{counted(self.n_prompts, 'prompt')}."
        )
        for reason, each in sorted(self.left_out.items(), key=lambda item: -item[1].count):
            yield f"Left out {counted(each.count, 'comparison')}: {reason} ({each.example})."
        few = ", ".join(f"{n} of them fewer than {least}" for least, n in self.users_with_fewer.items() if n)
        yield f"Users with few comparisons: {few or 'none'}."
        yield (
            f"Parts, seed {self.seed}: {self.users_by_part['train']} users to train on, "
            f"{self.users_by_part['validation']} to validate with, {self.users_by_part['test']} to test, with "
            f"{self.parts['train']}, {self.parts['validation']} and {self.parts['test']} comparisons."
        )
        yield from self._notes()

    def _notes(self) -> Iterator[str]:
        """What was done to the log that a person may want to know."""
        if self.prompts_are_split:
            yield f"Test prompts are new, too; of test users {self.parts['history']} comparisons are on other prompts."
            if unused := self.n_comparisons - sum(self.parts.values()):
                yield f"{counted(unused, 'comparison')} of other users are on test prompts, and are not used."
        else:
            yield f"Prompts are not split: there are fewer than {LEAST_PROMPTS}, so users are tested on known prompts."
        if self.sides_were_drawn:
            yield "The log does not say which response was shown first: sides were drawn, and say nothing."
        if self.largest_strength is not None:
            yield f"Strengths reach {self.largest_strength:g}, and were divided by that."
        if self.n_contradicting:
            yield f"Answered one way and the other by the same user: {counted(self.n_contradicting, 'pair')}, kept."
        if self.n_empty_texts:
            yield f"{counted(self.n_empty_texts, 'item')} with an empty response: kept."

    def warnings(self) -> Iterator[str]:
        """What is strange, in words."""
        if self.n_users == 1:
            yield "there is one user only: what people have in common cannot be told from one, and no prior be learned."
        elif self.n_users < LEAST_USERS:
            yield f"there are fewer than {LEAST_USERS} users: all are trained on, and nobody is left to test with."
        else:
            yield from (
                f"no user is in the part {part}; import with another seed (--seed), or more users."
                for part, n in self.users_by_part.items()
                if not n
            )
        preferences = self.n_comparisons - self.n_ties
        if not self.sides_were_drawn and preferences >= LEAST_ONE_SIDED and self.n_first in (0, preferences):
            side, chosen, rejected = ("first", "a", "b") if self.n_first else ("second", "b", "a")
            columns = f"--column chosen=response_{chosen} --column rejected=response_{rejected}"
            yield (
                f"every preference is for the {side} response. That looks like a log of chosen and rejected ones; name "
                f"these columns so ({columns}), and sides are drawn."
            )
        if self.n_wrong_strengths:
            told = counted(self.n_wrong_strengths, "strength")
            yield f"{told} of preferences are no number above 0: taken as not given."
        if self.n_long_texts:
            yield f"{counted(self.n_long_texts, 'item')} with {LONG_TEXT} characters and more: no encoder reads so far."
