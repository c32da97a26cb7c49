"""Recorded people as something to measure on: a panel for each repeat, fold and part of a record."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, NotFoundError
from prefq.simulation.comparison import NO_HARM_MARGIN
from prefq.simulation.panels import Panel
from prefq.simulation.replay import Division, Recorded, Replay, divide, draw_folds, replay_panel, require_people
from prefq.simulation.summary import AT, ENOUGH, Parts
from prefq.simulation.votes import MAX_QUESTIONS, Pairing, Votes, any_pairs, divide_votes, pairs_once, votes_panel
from prefq_cli.bench.datasets.public import PUBLIC
from prefq_cli.bench.datasets.sets import DEFAULT_FOLDER, SETS, folder_of, require_set
from prefq_cli.bench.datasets.tables import load_comparisons
from prefq_cli.bench.strategies import Chosen

# What a generator is for, at the end of its seed: [0, 0] alone would be the same as 0, by which users were numbered.
READING, FOLDS, DIVISION, MAKING = 11, 12, 13, 14
ONCE, ANY = "once", "any"
NEED_STATED = ("stated", "stated_then_questions")
SIMULATED = ("personalllm", "rfm")
PAIRINGS: Mapping[str, Pairing] = {ONCE: pairs_once, ANY: any_pairs}
PROMPT, TASK = "prompt", "task"
Measured = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a record is: a set's folder or files, or anyone's comparisons with or without features.

    `set_name` is None for the latter, whatever their file is called.
    """

    name: str
    path: str
    set_name: str | None = None
    features: str | None = None

    def load(self, seed: int) -> tuple[Recorded | Votes, ...]:
        """The record, in parts that have no people in common."""
        if self.set_name is None:
            return (load_comparisons(Path(self.path), None if self.features is None else Path(self.features)),)
        if self.set_name in SETS:
            return SETS[self.set_name](Path(self.path))
        return PUBLIC[self.set_name](Path(self.path), rng=np.random.default_rng([seed, READING]))

    def digest(self) -> str:
        """Of the files: other data are other results."""
        found = hashlib.sha256()
        for place in (self.path, self.features):
            path = None if place is None else Path(place)
            for file in () if path is None else sorted(path.rglob("*.*")) if path.is_dir() else (path,):
                if file.suffix in (".parquet", ".jsonl", ".csv") and file.is_file():
                    with file.open("rb") as content:
                        found.update(hashlib.file_digest(content, "sha256").digest())
        return found.hexdigest()[:16]


def source_of(set_name: str | None, data: Path | None, features: Path | None, data_folder: Path | None) -> Source:
    """The source that these options name.

    Raises
    ------
    InputError
        When they name none, more than one, or an unknown set.
    NotFoundError
        When the folder or the file is not there.
    """
    if set_name is None:
        if data is None:
            raise InputError(f"there is nothing to replay; give --set ({', '.join(SETS)}) or --data FILE.")
        if data.is_dir():
            raise InputError(f"{str(data)!r} is a folder; give the Parquet file of your comparisons.")
        return Source(data.stem, str(data.absolute()), features=None if features is None else str(features.absolute()))
    require_set(set_name, tuple(PUBLIC))
    if features is not None:
        raise InputError(f"--features goes with your own --data; the set {set_name!r} brings its features.")
    if set_name in PUBLIC:
        if data is None:
            raise InputError(f"the set {set_name!r} is not here; fetch it, and give the path of its files by --data.")
        if not data.exists():
            raise NotFoundError(f"there is no {str(data)!r}; give the path of the set's files.")
        return Source(set_name, str(data.absolute()), set_name)
    if data is not None:
        raise InputError(f"the set {set_name!r} and --data were both given; give one, or --data-folder for the sets.")
    return Source(set_name, str(folder_of(set_name, data_folder or DEFAULT_FOLDER).absolute()), set_name)


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """Folds of a record, drawn anew in each repeat; every person is measured once in a repeat, if at all."""

    source: Source
    digest: str
    folds: int
    repeats: int
    n_questions: int
    min_questions: int
    seed: int
    pairs: str = ANY
    apart: str = PROMPT
    command: str = "replay"
    repeated: bool = True
    no_harm_margin: float | None = NO_HARM_MARGIN

    @property
    def name(self) -> str:
        unit = "vote" if isinstance(record(self)[0], Votes) else "task"
        pairs = "" if self.pairs == ANY else f", each {unit} {self.pairs}"
        return f"{self.source.name}{pairs}{'' if self.apart == PROMPT else ', divided by task'}"

    @property
    def title(self) -> str:
        return f"{'Simulated' if self.source.set_name in SIMULATED else 'Recorded'} people: {self.name}"

    @property
    def n_panels(self) -> int:
        return self.repeats * self.folds * len(record(self))

    def settings(self) -> Mapping[str, Any]:
        return {
            "set": self.source.name,
            "data": self.digest,
            "questions": self.n_questions,
            "min_questions": self.min_questions,
            "folds": self.folds,
            "seeds": self.repeats,
            "pairs": self.pairs,
            "apart": self.apart,
            "seed": self.seed,
        }

    def world(self, panel: int) -> int:
        """The repeat: in each, every person has one place."""
        return panel // (self.folds * len(record(self)))

    def parts(self) -> Parts | None:
        """Conversations, where the record has several: each has its own statements, factors and prior."""
        parts = record(self)
        if len(parts) == 1:
            return None
        names = {part: part.name.removeprefix(f"{self.source.name} ") for part in parts}
        return Parts("conversation", {user: name for part, name in names.items() for user in part.user_ids})

    def open_questions(self) -> Mapping[tuple[int, str], int]:
        """How many questions each person has, by repeat and name."""
        found: dict[tuple[int, str], int] = {}
        for panel in range(self.n_panels):
            user_ids, theirs = _place(self, panel)[0].user_ids, division(self, panel)
            for user, questions in zip(theirs.users, theirs.questions, strict=True):
                found[self.world(panel), user_ids[user]] = len(questions)
        return found

    def n_users(self, panel: int) -> int:
        return len(division(self, panel).users)

    def make_panel(self, panel: int) -> Panel:
        return self.replay(panel).panel

    def replay(self, panel: int, parts: Sequence[Recorded | Votes] | None = None) -> Replay:
        """The panel, and how the record was used; `parts` are used in place of the record's own."""
        part, measured, key = _place(self, panel)
        divided, rng = division(self, panel), np.random.default_rng([*key, MAKING])
        if parts is not None:
            part = parts[panel % len(parts)]
            divided = _divided(self, part, measured, key)
        if isinstance(part, Votes):
            return votes_panel(part, measured, divided, rng=rng)
        return replay_panel(part, measured, divided, rng=rng)

    def unsuited(self, chosen: Sequence[Chosen]) -> tuple[str, ...]:
        """Names of the strategies that need what no record has: what people said about themselves.

        Raises
        ------
        InputError
            When there is no other strategy.
        """
        names = tuple(each.name for each in chosen if each.name in NEED_STATED)
        if len(names) == len(chosen):
            raise InputError(
                f"{names[0]!r} needs what people said about themselves, which a record does not have; name other "
                "strategies."
            )
        return names

    def check(self) -> None:
        """InputError when the record cannot be folded, or nobody has enough answers."""
        if self.pairs not in PAIRINGS:
            raise InputError(f"--pairs is {self.pairs!r}; give any or once.")
        if self.apart not in (PROMPT, TASK):
            raise InputError(f"--apart is {self.apart!r}; give prompt or task.")
        divisions = [division(self, panel) for panel in range(self.n_panels)]
        if not any(len(each.users) for each in divisions):
            require_people(self.source.name, divisions[0])


def notes_of(job: ReplayJob, unsuited: Sequence[str] = ()) -> list[str]:
    """What a reader of the numbers has to know: how the record was used, counts being means over the seeds."""
    counts: dict[str, float] = {}
    for panel in range(job.n_panels):
        for name, count in division(job, panel).counts.items():
            counts[name] = counts.get(name, 0) + count / job.repeats
    n_open = np.array(list(job.open_questions().values()))
    for least in (AT, ENOUGH):
        counts[f"fewer_than_{least}"] = float((n_open < least).sum() / job.repeats)
    shown = next(panel for panel in range(job.n_panels) if job.n_users(panel))
    threshold = job.make_panel(shown).response_model.tie_threshold if counts.get("question_ties") else 0.0
    notes = list(_notes(job, counts, threshold))
    if unsuited:
        notes.append(f"Left out, since nobody on record said anything about themselves: {', '.join(unsuited)}.")
    return notes


@lru_cache(maxsize=1)
def record(job: ReplayJob) -> tuple[Recorded | Votes, ...]:
    """The parts of the job's record; a process reads them once."""
    return job.source.load(job.seed)


@lru_cache(maxsize=1024)
def division(job: ReplayJob, panel: int) -> Division:
    """Who is measured in a panel, on what."""
    return _divided(job, *_place(job, panel))


def _divided(job: ReplayJob, part: Recorded | Votes, measured: Measured, key: list[int]) -> Division:
    rng, asked, least = np.random.default_rng([*key, DIVISION]), job.n_questions, job.min_questions
    if isinstance(part, Votes):
        pairing = PAIRINGS[job.pairs]
        return divide_votes(part, measured, n_questions=asked, min_questions=least, pairing=pairing, rng=rng)
    apart, once = part.prompts if job.apart == PROMPT else None, job.pairs == ONCE
    return divide(part, measured, n_questions=asked, min_questions=least, apart=apart, once=once, rng=rng)


def _place(job: ReplayJob, panel: int) -> tuple[Recorded | Votes, Measured, list[int]]:
    """The part of a panel, who of it is measured, and what the panel's generators begin with."""
    parts = record(job)
    repeat, rest = divmod(panel, job.folds * len(parts))
    fold, number = divmod(rest, len(parts))
    drawn = np.random.default_rng([job.seed, repeat, number, FOLDS])
    folds = draw_folds(len(parts[number].user_ids), job.folds, rng=drawn)
    return parts[number], folds == fold, [job.seed, repeat, fold, number]


def _notes(job: ReplayJob, counts: Mapping[str, float], tie_threshold: float) -> Iterator[str]:
    """What a reader of the numbers has to know of the record."""
    told = {name: f"{count:.0f}" for name, count in counts.items()}
    n_measured = max(counts["measured"], 1)
    yield (
        f"Of {told['people']} people {told['measured']} are measured (means over the seeds). {told['left_out']} have "
        f"fewer than {job.min_questions} questions or two decided tests: they are left out, though the prior learns "
        f"from them. {told['fewer_than_asked']} have fewer than {job.n_questions} questions: they stop early and keep "
        "their last profile."
    )
    yield (
        f"Each person measured has {counts['questions'] / n_measured:.1f} questions to choose from and "
        f"{counts['tests'] / n_measured:.1f} tests on average. Once all are asked, every rule has asked the same."
    )
    if counts[f"fewer_than_{ENOUGH}"]:
        yield (
            f"{told[f'fewer_than_{AT}']} of the people measured have fewer than {AT} questions and "
            f"{told[f'fewer_than_{ENOUGH}']} fewer than {ENOUGH}: after {AT} answers the rules have asked these the "
            "same, or nearly, which draws differences towards 0."
        )
    if all(part.words is None for part in record(job)):
        yield "The record holds no words, so how long a question takes to read is not known."
    yield f"The prior is fitted on the other people: {job.folds} folds, drawn anew for each of {job.repeats} seeds."
    if counts.get("question_ties") or counts.get("test_ties_left_out"):
        yield (
            f"{told['question_ties']} of {told['questions']} replies are ties and are learned from (threshold "
            f"{tie_threshold:.2f} logits in the first panel); {told['test_ties_left_out']} ties among the tests are "
            "left out. Most recipes of others know no ties and count one as a win and a loss, or half of each: a mild "
            "handicap."
        )
    yield from _notes_on_tests(job, counts)
    if job.source.set_name == "cars_conjoint":
        can_be_asked = (
            "One of them, drawn at random, can be asked, and what is asked is independent; after ten questions every "
            "rule has asked the same."
            if job.pairs == ONCE
            else "Both can be asked, and the car that they have in common is the chosen one: who counts cars among the "
            "open questions knows the replies without asking. They are not independent, so posteriors are somewhat "
            "too sure."
        )
        yield (
            "A task shows three cars and gives two comparisons, the chosen car with either of the others. "
            f"{can_be_asked} Prior and pooled regression are fitted on one comparison a task."
        )
    if job.source.set_name == "polis":
        pairs = "each of a person's votes is in one question at most"
        if job.pairs == ANY:
            pairs = (
                f"any two statements voted on differently may be asked, up to {MAX_QUESTIONS} pairs a person, and a "
                "vote counts again in each of its pairs"
            )
        yield (
            f"Replies are derived from votes; {pairs}. Statements asked about and tested on are disjoint. Factors and "
            "prior are learned within each conversation, from different people: that half of them teaches the one and "
            "half the other was decided by gains on the tests of four of these conversations (.003 to .004 nats after "
            "ten answers)."
        )
    if job.source.set_name in SIMULATED:
        yield "These people are simulated from scores of reward models."


def _notes_on_tests(job: ReplayJob, counts: Mapping[str, float]) -> Iterator[str]:
    """What was left out of the tests, and what they have in common with the questions and with the prior's people."""
    told = {name: f"{count:.0f}" for name, count in counts.items()}
    if counts.get("test_repeats_set_aside"):
        yield (
            f"Of the tests of one task one is kept, drawn at random, and {told['test_repeats_set_aside']} are set "
            "aside: an item that they have in common could be known as the chosen one."
        )
    if counts.get("tests_like_questions"):
        yield (
            f"{told['tests_like_questions']} tests are left out because a question of the same person shows the same "
            "features on both sides."
        )
    if "tests_sharing_prompt" in counts:
        prompts, items, others = (
            f"{counts[name] / max(counts['tests'], 1):.0%}"
            for name in ("tests_sharing_prompt", "tests_sharing_item", "tests_judged_by_others")
        )
        yield (
            f"Tests and questions of a person are divided by {job.apart}: {prompts} of the tests share a prompt and "
            f"{items} an item with a question of the same person. {others} of the test pairs were also judged by "
            "people that the prior is learned from."
        )
