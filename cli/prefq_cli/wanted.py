"""What the flags of a session ask for: declared once for `onboard` and `ask`, which both begin and go on with sessions.

What comes of it is in `prefq_cli.opening`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Concatenate

import typer

from prefq_cli.settings import PoolOption, SessionOption, UserOption

PriorOption = Annotated[
    str | None,
    typer.Option(
        "--prior",
        metavar="FILE",
        help="Begin where this prior says, as prefq prior fit --output wrote it; kept with the session.",
    ),
]
MaxQuestionsOption = Annotated[
    int | None,
    typer.Option("--max-questions", metavar="N", help="Questions to ask, skips not counted; 10 by default."),
]
AcquisitionOption = Annotated[
    str | None,
    typer.Option("--acquisition", metavar="NAME", help="How questions are chosen; 'information_gain' by default."),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", help="Fixes which side is shown first, and random draws; drawn anew by default."
    ),
]
TestQuestionsOption = Annotated[
    int | None,
    typer.Option(
        "--test-questions",
        metavar="N",
        help="Random questions mixed in besides, to measure what the others teach; 0 by default.  "
        "[env var: PREFQ_TEST_QUESTIONS]",
    ),
]
RandomShareOption = Annotated[
    float | None,
    typer.Option(
        "--random-share",
        metavar="X",
        help="Chance that a new session asks at random instead, for prefq bench sessions; 0 by default.  "
        "[env var: PREFQ_RANDOM_SHARE]",
    ),
]
PerMinuteOption = Annotated[
    bool | None,
    typer.Option(
        "--per-minute/--per-question",
        help="Choose questions by what they tell for each second of reading, or (the default) by what they tell.",
    ),
]
TopicQuotaOption = Annotated[
    int | None, typer.Option("--topic-quota", metavar="N", help="Most questions about one prompt; no limit by default.")
]
MaxExposureOption = Annotated[
    float | None,
    typer.Option(
        "--max-exposure",
        metavar="X",
        help="Share of people, at most 1, who may be asked any one question; no limit by default.",
    ),
]
StopOption = Annotated[
    str | None,
    typer.Option(
        "--stop",
        metavar="RULE",
        help="What may end the session before its budget: 'settled', once the order of enough pairs is settled, or "
        "'little_left'; 'budget', the default, for nothing.",
    ),
]
SureOption = Annotated[
    float | None,
    typer.Option(
        "--sure", metavar="P", help="For --stop settled: share of pairs expected not to be wrong; 0.8 by default."
    ),
]
NewOption = Annotated[
    bool, typer.Option("--new", help="Begin a new session even if an unfinished one could go on; both are kept.")
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the flags ask for, None where they say nothing; InputError where they contradict each other."""

    user: UserOption = None
    pool: PoolOption = None
    prior: PriorOption = None
    session: SessionOption = None
    new: NewOption = False
    max_questions: MaxQuestionsOption = None
    acquisition: AcquisitionOption = None
    seed: SeedOption = None
    test_questions: TestQuestionsOption = None
    random_share: RandomShareOption = None
    per_minute: PerMinuteOption = None
    topic_quota: TopicQuotaOption = None
    max_exposure: MaxExposureOption = None
    stop: StopOption = None
    sure: SureOption = None

    def __post_init__(self) -> None:
        if self.session is not None and self.new:
            from prefq.errors import InputError

            raise InputError("--session goes on with a session and --new begins one; give one of them.")


def with_session_options(command: Callable[Concatenate[Wanted, ...], None]) -> Callable[..., None]:
    """The command, with an option for each field of `Wanted` before its own; it gets their values as one."""
    shared = inspect.signature(Wanted).parameters
    own = list(inspect.signature(command).parameters.values())[1:]

    @wraps(command)
    def run(**given: Any) -> None:
        command(Wanted(**{name: given.pop(name) for name in shared}), **given)

    options = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*shared.values(), *own)]
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # what Typer makes options of
    run.__annotations__ = {each.name: each.annotation for each in options}
    return run
