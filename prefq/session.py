"""Session as a value: an append-only list of events, folded into a posterior, a profile and the next question.

Every shell (terminal, service, tests) runs the same loop: load the session, `ask`, show the question, `tell` the
answer, store the new events. Time and ids enter as arguments; nothing here reads a clock, a file or a generator.
Sessions are immutable, so they may be shared between threads; two writers of one session are a store's affair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from prefq.errors import InputError, MismatchError
from prefq.events import (
    Answered,
    Asked,
    Edited,
    Event,
    Prediction,
    Sealed,
    SessionState,
    Stopped,
    Undone,
    WhyOpened,
    event_from_dict,
    event_to_dict,
    field_names,
    fold,
    require_texts,
    seal_of,
)
from prefq.inference.laplace import fit_posterior
from prefq.inference.predictive import preference_probability
from prefq.pool.candidate_pool import CandidatePool
from prefq.profiles.profile import Profile, fit_profile
from prefq.questions.selection import (
    MAX_QUESTIONS,
    REPLIES_PER_QUESTION,
    require_acquisition,
    select_next_question,
    select_with_info,
)
from prefq.questions.stopping import StoppingRule
from prefq.vocabulary import (
    Answer,
    Choice,
    FeatureSpace,
    Gaussian,
    Question,
    exact_fields,
    require_instance,
    require_text,
    shown,
    tuple_of,
    whole_number,
)

FORMAT_VERSION = 1


SEALED_QUESTIONS = 6


WORDS_PER_MINUTE = 240  # silent reading of plain English, Brysbaert 2019


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session asks; fixed when it starts.

    Parameters
    ----------
    max_questions
        Budget of questions; skips do not count.
    acquisition
        Name of the acquisition function.
    """

    max_questions: int = MAX_QUESTIONS
    acquisition: str = "information_gain"

    def __post_init__(self) -> None:
        limit = whole_number(self.max_questions, "max_questions", "a budget of at least 1 question", least=1)
        object.__setattr__(self, "max_questions", limit)
        require_text(self.acquisition, "acquisition")
        require_acquisition(self.acquisition)


class Progress(NamedTuple):
    """How far a session is.

    n_answers counts replies without skips, those of the sealed round left out; max_questions adds the questions that
    may still come before the session stops, none once it has; remaining maps each feature to the share of its prior
    variance that is left; minutes_left is reading time for the questions that may still come.
    """

    n_answers: int
    max_questions: int
    remaining: Mapping[str, float]
    minutes_left: float


class SealedResult(NamedTuple):
    """Score of the sealed round: of n_decided questions with a preference, how many were predicted right.

    A prediction of exactly one half is half right; group is the score of the group's guess.
    """

    n_questions: int
    n_decided: int
    profile: float
    group: float


@dataclass(frozen=True, slots=True)
class Session:
    """One onboarding of one user.

    Parameters
    ----------
    id, user_id
        Of the session and of the person.
    pool_digest, feature_space
        Of the pool that is asked from; another pool is refused.
    created
        When, in ISO 8601.
    pool_name
        Name or folder of the pool as the shell knows it, to find it again; not part of its identity.
    seed
        Fixes sides and the `random` order.
    settings
        How questions are chosen.
    events
        Everything that happened, in order; never changed, only added to.

    Raises
    ------
    InputError
        For an empty id, a field of another type, or events that contradict each other.
    """

    id: str
    user_id: str
    pool_digest: str
    feature_space: FeatureSpace
    created: str
    pool_name: str = ""
    seed: int = 0
    settings: SessionSettings = field(default_factory=SessionSettings)
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        require_text(self.id, "id", min_length=1)
        require_text(self.user_id, "user_id", min_length=1)
        require_texts(self, "pool_digest", "created", "pool_name")
        require_instance(self.feature_space, FeatureSpace, "feature_space")
        require_instance(self.settings, SessionSettings, "settings")
        object.__setattr__(self, "seed", whole_number(self.seed, "seed", "an integer"))
        object.__setattr__(self, "events", tuple_of(self.events, Event, "events", "events"))
        fold(self.events)

    @classmethod
    def start(
        cls,
        session_id: str,
        user_id: str,
        pool: CandidatePool,
        *,
        time: str,
        pool_name: str = "",
        seed: int = 0,
        settings: SessionSettings | None = None,
    ) -> "Session":
        """A session without events."""
        settings = SessionSettings() if settings is None else settings
        return cls(session_id, user_id, pool.digest(), pool.feature_space, time, pool_name, seed, settings)

    @property
    def state(self) -> SessionState:
        """What the events come to."""
        return fold(self.events)

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Answers that stand, those of the sealed round included."""
        return self.state.answers

    def require_pool(self, pool: CandidatePool) -> None:
        """Raise MismatchError unless the session was begun with this pool."""
        self.feature_space.require(pool.feature_space, f"the pool offered to session {self.id!r}")
        if pool.digest() != self.pool_digest:
            raise MismatchError(
                f"session {self.id!r} was begun with another pool ({self.pool_digest[:8]}, not {pool.digest()[:8]}); "
                "go on with the pool it was begun with, or start a new session."
            )

    def ask(
        self, pool: CandidatePool, *, time: str, stopping: StoppingRule | None = None
    ) -> tuple["Session", Question | None]:
        """The question to show now; None when the session has stopped, which is then the last event.

        A question that was asked and not answered is returned again, without a new event.

        Raises
        ------
        MismatchError
            For another pool than the session's.
        """
        self.require_pool(pool)
        state = self.state
        if state.open_question is not None:
            return self, pool.question(state.open_question)
        if state.stopped is not None:
            return self, None
        if state.sealed is not None:
            return self._ask_sealed(pool, state, state.sealed, time)
        question, info = select_with_info(
            pool,
            state.answers,
            acquisition=self.settings.acquisition,
            max_questions=self.settings.max_questions,
            stopping=stopping,
            seed=self.seed,
        )
        if question is None:
            return self._with(Stopped(time, info.reason or "asking has ended.")), None
        return self._with(Asked(time, question.id, info.acquisition, info.score, info.prior)), question

    def tell(self, answer: Answer, *, time: str) -> "Session":
        """The session with an answer to its open question; InputError when another question, or none, is open."""
        return self._with(Answered(time, answer))

    def undo(self, *, time: str) -> "Session":
        """The session without its last answer, whose question is open again.

        Raises
        ------
        InputError
            When there is no answer to take back, or the sealed round has fixed its predictions on it.
        """
        state = self.state
        if not state.answers:
            raise InputError(f"session {self.id!r} has no answer to undo; answer a question first.")
        return self._with(Undone(time, state.answers[-1].question_id))

    def edit(self, answer: Answer, *, time: str) -> "Session":
        """The session with an earlier answer replaced.

        Raises
        ------
        InputError
            When its question was not answered, or the sealed round has fixed its predictions on the answer.
        """
        return self._with(Edited(time, answer))

    def open_why(self, *, time: str) -> "Session":
        """The session with a note that the person asked why the open question is asked."""
        return self._with(WhyOpened(time, self.state.open_question or ""))

    def stop(self, reason: str, *, time: str) -> "Session":
        """The session, ended for this reason; the sealed round can still follow."""
        return self._with(Stopped(time, reason))

    def seal(self, pool: CandidatePool, *, time: str, n_questions: int = SEALED_QUESTIONS) -> "Session":
        """The session with predictions fixed for a round of fresh random questions, which `ask` then gives.

        Raises
        ------
        InputError
            When the session has not stopped, was sealed before, no question is left, or `n_questions` is below 1.
        """
        n_questions = whole_number(n_questions, "n_questions", "a number of at least 1 question", least=1)
        self.require_pool(pool)
        state = self.state
        if state.stopped is None or state.sealed is not None:
            raise InputError(f"session {self.id!r} can be sealed once, after its last question; ask the rest first.")
        questions = _random_questions(pool, state.answers, n_questions, self.seed)
        if not questions:
            raise InputError("no question of the pool is left to test with.")
        predictions = _predict(pool, state.answers, questions)
        return self._with(Sealed(time, predictions, seal_of(predictions)))

    def sealed_result(self) -> SealedResult | None:
        """Score of the sealed round so far, None if there is none; ties, both bad and skips decide nothing."""
        state = self.state
        if state.sealed is None:
            return None
        given = {answer.question_id: answer.choice for answer in state.answers}
        decided = [p for p in state.sealed.predictions if given.get(p.question_id) in (Choice.FIRST, Choice.SECOND)]
        firsts = [given[p.question_id] is Choice.FIRST for p in decided]
        return SealedResult(
            len(state.sealed.predictions),
            len(decided),
            sum(_credit(p.profile, first) for p, first in zip(decided, firsts, strict=True)),
            sum(_credit(p.group, first) for p, first in zip(decided, firsts, strict=True)),
        )

    def posterior(self, pool: CandidatePool) -> Gaussian:
        """What is believed about the user's coefficients now."""
        self.require_pool(pool)
        start = pool.starting_point()
        posterior, _ = fit_posterior(
            start.coefficients, pool.comparisons(self.answers), response_model=start.response_model
        )
        return posterior

    def profile(self, pool: CandidatePool, *, created: str | None = None) -> Profile:
        """The profile that the answers so far amount to."""
        self.require_pool(pool)
        return fit_profile(pool, self.answers, user_id=self.user_id, created=created)

    def progress(self, pool: CandidatePool) -> Progress:
        """How far the session is, and what is still uncertain."""
        posterior, prior = self.posterior(pool), pool.starting_point().coefficients
        shares = np.square(posterior.sd / np.where(prior.sd > 0, prior.sd, 1.0)).tolist()
        state, budget = self.state, self.settings.max_questions
        replies = [
            answer for answer in state.answers if state.sealed is None or not state.sealed.asks(answer.question_id)
        ]
        n_answers = sum(answer.choice is not Choice.SKIP for answer in replies)
        n_left = min(budget - n_answers, REPLIES_PER_QUESTION * budget - len(replies), pool.n_questions - len(replies))
        if n_left < 0 or state.stopped is not None or state.sealed is not None:
            n_left = 0
        return Progress(
            n_answers,
            n_answers + n_left,
            MappingProxyType(dict(zip(pool.feature_space.names, shares, strict=True))),
            n_left * words_per_question(pool) / WORDS_PER_MINUTE,
        )

    def to_dict(self) -> dict[str, Any]:
        """The session as JSON values."""
        return {
            "format_version": FORMAT_VERSION,
            "id": self.id,
            "user_id": self.user_id,
            "pool_digest": self.pool_digest,
            "feature_space": self.feature_space.to_dict(),
            "created": self.created,
            "pool_name": self.pool_name,
            "seed": self.seed,
            "settings": asdict(self.settings),
            "events": [event_to_dict(event) for event in self.events],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Session":
        """Session from the dictionary that `to_dict` writes.

        Raises
        ------
        InputError
            When a field is missing or wrong, a newer prefq wrote it, or its events contradict each other.
        """
        parts = exact_fields(data, ("format_version", *field_names(cls)), "a session")
        if (version := parts.pop("format_version")) != FORMAT_VERSION:
            raise InputError(
                f"the session has format version {shown(version)} and this prefq reads {FORMAT_VERSION}; update prefq."
            )
        settings = exact_fields(parts["settings"], field_names(SessionSettings), "session settings")
        parts["feature_space"] = FeatureSpace.from_dict(parts["feature_space"])
        parts["settings"] = SessionSettings(**settings)
        parts["events"] = [event_from_dict(each) for each in tuple_of(parts["events"], Mapping, "events", "objects")]
        return cls(**parts)

    def _with(self, event: Event) -> "Session":
        return replace(self, events=(*self.events, event))

    def _ask_sealed(
        self, pool: CandidatePool, state: SessionState, sealed: Sealed, time: str
    ) -> tuple["Session", Question | None]:
        answered = {answer.question_id for answer in state.answers}
        left = [p.question_id for p in sealed.predictions if p.question_id not in answered]
        if not left:
            return self._with(Stopped(time, "the sealed round is complete.")), None
        prior = pool.starting_point().digest()
        return self._with(Asked(time, left[0], "sealed", None, prior)), pool.question(left[0])


def words_per_question(pool: CandidatePool) -> float:
    """Words that a question makes a person read, prompt and both responses, on average over the pool."""
    return pool.derive("words_per_question", lambda: _mean_words(pool))


def _random_questions(
    pool: CandidatePool, answers: Sequence[Answer], n_questions: int, seed: int
) -> tuple[Question, ...]:
    """Fresh questions in the `random` order, each with a prompt of its own as far as there are some."""
    questions: list[Question] = []
    for _ in range(n_questions):
        passed = [question.answer(Choice.SKIP) for question in questions]
        question = select_next_question(pool, [*answers, *passed], acquisition="random", max_questions=None, seed=seed)
        if question is None:
            break
        questions.append(question)
    return tuple(questions)


def _predict(pool: CandidatePool, answers: Sequence[Answer], questions: Sequence[Question]) -> tuple[Prediction, ...]:
    profile = fit_profile(pool, answers, user_id="-")
    first, second = (
        pool.features[[getattr(question, side).item for question in questions]] for side in ("first", "second")
    )
    differences = first.astype(np.float64) - second
    prior = profile.prior.coefficients
    group_variance = np.einsum("ij,ij->i", differences @ prior.covariance, differences)
    by_profile = profile.preference_probability(first, second)
    by_group = preference_probability(differences @ prior.mean, group_variance)
    return tuple(
        Prediction(question.id, float(mine), float(theirs))
        for question, mine, theirs in zip(questions, by_profile, by_group, strict=True)
    )


def _credit(probability_first: float, first_preferred: bool) -> float:
    """1 for a right prediction, ½ for none, 0 for a wrong one."""
    if abs(probability_first - 0.5) < 1e-9:
        return 0.5
    return float((probability_first > 0.5) == first_preferred)


def _mean_words(pool: CandidatePool) -> float:
    def counts(texts: tuple[str, ...] | None) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array([len(text.split()) for text in texts] if texts else [0] * pool.n_items, dtype=np.int64)

    responses, prompts = counts(pool.responses), counts(pool.prompts)
    return float((responses[pool.pairs].sum(axis=1) + prompts[pool.pairs[:, 0]]).mean())
