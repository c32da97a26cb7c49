"""The events of a session, and what a list of them comes to.

Asking, predicting and everything else that needs a pool is in `prefq.session`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, NamedTuple

from prefq.errors import InputError
from prefq.inference.stated import StatedNoise
from prefq.vocabulary import (
    Answer,
    digest_of,
    exact_fields,
    parse_question_id,
    real_number,
    require_instance,
    require_text,
    shown,
    tuple_of,
    whole_number,
)

TEST = "test"  # stands in the log for the acquisition function of a test question


@dataclass(frozen=True, slots=True)
class Drawn:
    """What chance decided before the first question: which rule asks, and which questions test it.

    Parameters
    ----------
    time
        When, in ISO 8601.
    acquisition
        The rule that asks: that of the settings, or ``"random"`` in the share of sessions that they send there.
    tests
        Ids of the test questions, in their order.
    places
        How many of the rule's questions come before each of them.
    """

    time: str
    acquisition: str
    tests: tuple[str, ...]
    places: tuple[int, ...]

    def __post_init__(self) -> None:
        require_texts(self, "time", "acquisition")
        tests = tuple_of(self.tests, str, "tests", "ids of questions")
        pairs = {frozenset(parse_question_id(test)) for test in tests}
        places = tuple_of(self.places, int, "places", "counts")
        places = tuple(whole_number(place, "places", "counts of 0 or more", least=0) for place in places)
        if len(pairs) < len(tests) or len(places) != len(tests) or list(places) != sorted(places):
            raise InputError(
                f"tests are {shown(list(tests))} at places {shown(list(places))}; "
                "give different questions, and a place for each, none before the last."
            )
        object.__setattr__(self, "tests", tests)
        object.__setattr__(self, "places", places)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question was shown; score is that of its acquisition function, prior the digest of the starting point.

    acquisition is ``"test"`` for a test question and ``"sealed"`` for one of the sealed round.
    """

    time: str
    question_id: str
    acquisition: str
    score: float | None
    prior: str

    def __post_init__(self) -> None:
        require_texts(self, "time", "question_id", "acquisition", "prior")
        parse_question_id(self.question_id)
        if self.score is not None:
            object.__setattr__(self, "score", real_number(self.score, "score"))


@dataclass(frozen=True, slots=True)
class AlsoAsked:
    """A further question was shown beside those that are open; fields as of `Asked`."""

    time: str
    question_id: str
    acquisition: str
    score: float | None
    prior: str

    def __post_init__(self) -> None:
        Asked(self.time, self.question_id, self.acquisition, self.score, self.prior)


@dataclass(frozen=True, slots=True)
class Answered:
    """An open question was answered."""

    time: str
    answer: Answer

    def __post_init__(self) -> None:
        require_texts(self, "time")
        require_instance(self.answer, Answer, "answer")


@dataclass(frozen=True, slots=True)
class Undone:
    """The last answer was taken back; its question is open again."""

    time: str
    question_id: str

    def __post_init__(self) -> None:
        require_texts(self, "time", "question_id")


@dataclass(frozen=True, slots=True)
class Edited:
    """An earlier answer was replaced."""

    time: str
    answer: Answer

    def __post_init__(self) -> None:
        require_texts(self, "time")
        require_instance(self.answer, Answer, "answer")


@dataclass(frozen=True, slots=True)
class WhyOpened:
    """The person asked why this question is asked."""

    time: str
    question_id: str

    def __post_init__(self) -> None:
        require_texts(self, "time", "question_id")


@dataclass(frozen=True, slots=True)
class Prediction:
    """Probabilities, fixed beforehand, that the side shown first is preferred: by the profile, and by the group."""

    question_id: str
    profile: float
    group: float

    def __post_init__(self) -> None:
        parse_question_id(self.question_id)
        for name in ("profile", "group"):
            object.__setattr__(self, name, real_number(getattr(self, name), name))
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; give a probability from 0 to 1.")


@dataclass(frozen=True, slots=True)
class Sealed:
    """Predictions of the sealed round, fixed before its first question was shown, and their SHA-256."""

    time: str
    predictions: tuple[Prediction, ...]
    digest: str

    def __post_init__(self) -> None:
        require_texts(self, "time", "digest")
        predictions = tuple_of(self.predictions, Prediction, "predictions", "Prediction")
        object.__setattr__(self, "predictions", predictions)

    def asks(self, question_id: str) -> bool:
        """Whether a question belongs to the round."""
        return any(prediction.question_id == question_id for prediction in self.predictions)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Asking ended, and why."""

    time: str
    reason: str

    def __post_init__(self) -> None:
        require_texts(self, "time", "reason")


@dataclass(frozen=True, slots=True)
class StatedTaste:
    """The person said something about some axes; all that they said before about any is taken back.

    Parameters
    ----------
    time
        When, in ISO 8601.
    positions
        Pairs of a feature's name and a number from -1 to 1, as `prefq.stated_evidence` takes them; none takes back.
    noise
        How far people are taken to choose as they say.
    """

    time: str
    positions: tuple[tuple[str, float], ...]
    noise: StatedNoise = field(default_factory=StatedNoise)

    def __post_init__(self) -> None:
        require_texts(self, "time")
        require_instance(self.noise, StatedNoise, "noise")
        pairs = tuple_of(self.positions, tuple, "positions", "pairs of an axis and a number")
        for pair in pairs:
            if len(pair) != 2 or not isinstance(pair[0], str):
                raise InputError(f"positions hold {shown(pair)}; give pairs of an axis and a number.")
        held = tuple((name, real_number(value, f"what was stated about {name!r}")) for name, value in pairs)
        object.__setattr__(self, "positions", held)


Event = Drawn | StatedTaste | Asked | AlsoAsked | Answered | Undone | Edited | WhyOpened | Sealed | Stopped


EVENT_KINDS: Mapping[str, type[Event]] = MappingProxyType(
    {
        "asked": Asked,
        "answered": Answered,
        "undone": Undone,
        "edited": Edited,
        "why_opened": WhyOpened,
        "sealed": Sealed,
        "stopped": Stopped,
        "drawn": Drawn,
        "stated": StatedTaste,
        "also_asked": AlsoAsked,
    }
)


class SessionState(NamedTuple):
    """What the events of a session come to.

    answers are in the order given, open_question is the id of the question that waits for an answer, stopped the
    reason why asking ended, sealed the sealed round if it was begun, drawn what chance decided at the start if it had
    anything to decide, stated what the person said last about the axes if they did; also_open are the ids of the
    questions that were shown beside the open one and wait, too; n_when_asked is how many answers there were when the
    open questions were asked.
    """

    answers: tuple[Answer, ...]
    open_question: str | None
    stopped: str | None
    sealed: Sealed | None
    drawn: Drawn | None = None
    stated: StatedTaste | None = None
    also_open: tuple[str, ...] = ()
    n_when_asked: int = 0

    @property
    def open_questions(self) -> tuple[str, ...]:
        """Ids of all questions that wait for an answer, in the order in which they were asked."""
        return () if self.open_question is None else (self.open_question, *self.also_open)


_NOTHING_YET = SessionState((), None, None, None)


def fold(events: Sequence[Event]) -> SessionState:
    """What events come to.

    Raises
    ------
    InputError
        When an event contradicts those before it, such as an answer to a question that is not open.
    """
    state = _NOTHING_YET
    for event in events:
        state = _after(state, event)
    return state


def event_to_dict(event: Event) -> dict[str, Any]:
    """An event as JSON values, its kind under "kind"."""
    kind = next(name for name, cls in EVENT_KINDS.items() if cls is type(event))
    values = {each.name: getattr(event, each.name) for each in fields(event)}
    if isinstance(event, Answered | Edited):
        values["answer"] = event.answer.to_dict()
    if isinstance(event, Sealed):
        values["predictions"] = [asdict(prediction) for prediction in event.predictions]
    if isinstance(event, StatedTaste):
        values |= {"positions": dict(event.positions), "noise": event.noise.to_dict()}
    return {"kind": kind, **values}


def event_from_dict(data: Mapping[str, Any]) -> Event:
    """Event from the dictionary that `event_to_dict` writes; InputError if it is none."""
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in EVENT_KINDS:
        raise InputError(f"event kind is {shown(kind)}; expected one of {', '.join(EVENT_KINDS)}.")
    values = exact_fields(data, ("kind", *field_names(EVENT_KINDS[kind])), f"an event of kind {kind!r}")
    del values["kind"]
    if "answer" in values:
        values["answer"] = Answer.from_dict(values["answer"])
    if "predictions" in values:
        values["predictions"] = [
            Prediction(**exact_fields(each, field_names(Prediction), "a prediction"))
            for each in tuple_of(values["predictions"], Mapping, "predictions", "objects")
        ]
    if "positions" in values:
        require_instance(values["positions"], dict, "positions")
        values |= {"positions": tuple(values["positions"].items()), "noise": StatedNoise.from_dict(values["noise"])}
    return EVENT_KINDS[kind](**values)


def seal_of(predictions: Sequence[Prediction]) -> str:
    """SHA-256 of predictions, hexadecimal: shown before the round, it proves that they were not changed."""
    return digest_of(json.dumps([asdict(prediction) for prediction in predictions], sort_keys=True))


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """Names of a dataclass's fields, in order."""
    return tuple(each.name for each in fields(cls))


def require_texts(value: object, *names: str) -> None:
    """Raise InputError unless each of these fields of `value` is a text."""
    for name in names:
        require_text(getattr(value, name), name)


def _after(state: SessionState, event: Event) -> SessionState:
    match event:
        case Drawn():
            _require(state == _NOTHING_YET, "a session is drawn once, before anything else")
            return state._replace(drawn=event)
        case StatedTaste():
            _require(state.sealed is None, "what was stated before the sealed round stays, its predictions rest on it")
            return state._replace(stated=event)
        case Asked() | AlsoAsked():
            return _asked(state, event)
        case Answered(answer=answer):
            _require(
                answer.question_id in state.open_questions,
                f"the answer is to question {answer.question_id!r} and the open question is {_named(state)}",
            )
            left = tuple(each for each in state.open_questions if each != answer.question_id)
            return _opened(state._replace(answers=(*state.answers, answer)), left)
        case Undone(question_id=undone):
            _require(
                bool(state.answers) and state.answers[-1].question_id == undone,
                f"the last answer is not to question {undone!r}",
            )
            _require(
                state.sealed is None or state.sealed.asks(undone),
                "answers before the sealed round cannot be undone, its predictions rest on them",
            )
            # Questions asked on the strength of this answer are closed: another answer may ask others, or none.
            beside = () if state.n_when_asked == len(state.answers) else state.open_questions
            n_when_asked = min(state.n_when_asked, len(state.answers) - 1)
            before = state._replace(answers=state.answers[:-1], stopped=None, n_when_asked=n_when_asked)
            return _opened(before, (undone, *beside))
        case Edited(answer=edited):
            _require(
                edited.question_id in {answer.question_id for answer in state.answers},
                f"question {edited.question_id!r} was not answered",
            )
            _require(
                state.sealed is None or state.sealed.asks(edited.question_id),
                "answers before the sealed round cannot be edited, its predictions rest on them",
            )
            kept = (edited if answer.question_id == edited.question_id else answer for answer in state.answers)
            return state._replace(answers=tuple(kept))
        case WhyOpened(question_id=opened):
            _require(opened in state.open_questions, f"question {opened!r} is not open")
            return state
        case Sealed():
            _require(state.stopped is not None and state.sealed is None, "a session is sealed once, after it stopped")
            _require(event.digest == seal_of(event.predictions), "the sealed predictions were changed")
            return state._replace(sealed=event, stopped=None)
        case Stopped(reason=reason):
            return _opened(state._replace(stopped=reason), ())


def _asked(state: SessionState, event: Asked | AlsoAsked) -> SessionState:
    asked = event.question_id
    if isinstance(event, Asked):
        _require(state.open_question is None, f"question {state.open_question!r} is still open")
        return _opened(state._replace(stopped=None, n_when_asked=len(state.answers)), (asked,))
    _require(state.open_question is not None, "no question is open that another could be shown beside")
    _require(asked not in state.open_questions, f"question {asked!r} is still open")
    return state._replace(also_open=(*state.also_open, asked))


def _opened(state: SessionState, questions: tuple[str, ...]) -> SessionState:
    """The state with these open questions, and no others."""
    return state._replace(open_question=questions[0] if questions else None, also_open=questions[1:])


def _named(state: SessionState) -> str:
    """The open question, or the open questions, for a message."""
    return " or ".join(map(repr, state.open_questions)) or "None"


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise InputError(f"{problem}; reload the session and go on from there.")
