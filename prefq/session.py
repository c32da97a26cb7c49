"""Session as a value: an append-only list of events, folded into a posterior, a profile and the next question.

Every shell (terminal, service, tests) runs the same loop: load the session, `ask`, show the question, `tell` the
answer, store the new events. Time and ids enter as arguments; nothing here reads a clock, a file or a generator.
Sessions are immutable, so they may be shared between threads; two writers of one session are a store's affair.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from prefq.errors import InputError, MismatchError
from prefq.events import (
    TEST,
    AlsoAsked,
    Answered,
    Asked,
    Drawn,
    Edited,
    Event,
    Sealed,
    SessionState,
    StatedTaste,
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
from prefq.inference.stated import StatedEvidence, StatedNoise, positions_by_axis, stated_evidence, with_stated
from prefq.pool.candidate_pool import CandidatePool, Rows
from prefq.predictions import HeldOut, SealedResult, predict, sealed_result
from prefq.profiles.profile import Profile, fit_profile
from prefq.questions.balance import allowed_by
from prefq.questions.batches import RANDOM, select_together_with_info
from prefq.questions.costs import WORDS_PER_MINUTE, reading_seconds, words_of_questions
from prefq.questions.draws import falls_within, places_among, questions_to_test_with, random_questions, without
from prefq.questions.selection import REPLIES_PER_QUESTION, SelectionInfo
from prefq.questions.stopping import SURE, StoppingRule, any_of
from prefq.questions.stopping_names import SETTLED, settled_share, stopping_named
from prefq.settings import SessionSettings
from prefq.vocabulary import (
    Answer,
    Choice,
    Coefficients,
    FeatureSpace,
    PopulationPrior,
    Question,
    exact_fields,
    parse_question_id,
    require_instance,
    require_text,
    shown,
    tuple_of,
    whole_number,
)

FORMAT_VERSION = 1
SEALED_QUESTIONS = 6


class Progress(NamedTuple):
    """How far a session is.

    n_answers counts replies without skips, those of the sealed round left out and those to test questions included;
    max_questions adds the questions that may still come before the session stops, none once it has; remaining maps each
    feature to the share of its prior variance that is left, 1 where nothing is known yet or the answers only made it
    less certain; minutes_left is reading time for the questions that may still come. settled is the share of the pool's
    pairs whose order is not expected to be wrong, None in a session that does not stop by it.
    """

    n_answers: int
    max_questions: int
    remaining: Mapping[str, float]
    minutes_left: float
    settled: float | None = None


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
    prior
        Where the person starts, if not where the pool says; kept with the session, and never changed.

    Raises
    ------
    InputError
        For an empty id, a field of another type, or events that contradict each other.
    MismatchError
        For a prior of another feature space.
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
    prior: PopulationPrior | None = None

    def __post_init__(self) -> None:
        require_text(self.id, "id", min_length=1)
        require_text(self.user_id, "user_id", min_length=1)
        require_texts(self, "pool_digest", "created", "pool_name")
        require_instance(self.feature_space, FeatureSpace, "feature_space")
        require_instance(self.settings, SessionSettings, "settings")
        if self.prior is not None:
            require_instance(self.prior, PopulationPrior, "prior")
            self.feature_space.require(self.prior.feature_space, "the prior")
        object.__setattr__(self, "seed", whole_number(self.seed, "seed", "an integer"))
        object.__setattr__(self, "events", tuple_of(self.events, Event, "events", "events"))
        state = fold(self.events)
        self._require_draw(state.drawn)
        if state.stated is not None:
            positions_by_axis(self.feature_space, dict(state.stated.positions))

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
        prior: Coefficients | PopulationPrior | None = None,
    ) -> "Session":
        """A session in which nothing was asked; what chance decides about it, if anything, is decided now.

        Raises
        ------
        InputError
            For an empty id, a field of another type, more test questions than the pool can spare, or settings that
            need prompts or texts where the pool has none.
        MismatchError
            For a prior of another feature space.
        """
        settings = SessionSettings() if settings is None else settings
        start = None if prior is None else pool.starting_point(prior)
        allowed_by(settings.constraints, pool, np.empty(0, dtype=np.int64), seed=seed)
        if settings.per_minute:
            reading_seconds(pool)
        events: tuple[Event, ...] = ()
        if settings.test_questions or settings.random_share:
            at_random = falls_within(settings.random_share, session_id)
            tests = questions_to_test_with(pool, settings.test_questions, seed=seed)
            places = places_among(len(tests), settings.max_questions, seed=seed)
            acquisition = RANDOM if at_random else settings.acquisition
            events = (Drawn(time, acquisition, tuple(test.id for test in tests), places),)
        of_pool = (pool.digest(), pool.feature_space)
        return cls(session_id, user_id, *of_pool, time, pool_name, seed, settings, events, start)

    @property
    def state(self) -> SessionState:
        """What the events come to."""
        return fold(self.events)

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Answers that stand, those of the sealed round included."""
        return self.state.answers

    @property
    def acquisition(self) -> str:
        """The rule that asks: that of the settings, or ``"random"`` if chance decided so."""
        drawn = self.state.drawn
        return self.settings.acquisition if drawn is None else drawn.acquisition

    @property
    def test_questions(self) -> tuple[str, ...]:
        """Ids of the test questions, drawn when the session began."""
        drawn = self.state.drawn
        return () if drawn is None else drawn.tests

    @property
    def chosen_answers(self) -> tuple[Answer, ...]:
        """Answers that stand to the rule's questions: without those to test questions and in the sealed round."""
        return _chosen(self.state)

    def require_pool(self, pool: CandidatePool) -> None:
        """Raise MismatchError unless the session was begun with this pool."""
        self.feature_space.require(pool.feature_space, f"the pool offered to session {self.id!r}")
        if pool.digest() != self.pool_digest:
            raise MismatchError(
                f"session {self.id!r} was begun with another pool ({self.pool_digest[:8]}, not {pool.digest()[:8]}); "
                "go on with the pool it was begun with, or start a new session."
            )

    def starting_point(self, pool: CandidatePool) -> PopulationPrior:
        """Where the person starts, before anything they said: the session's prior, else the pool's starting point."""
        return pool.starting_point(self.prior)

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
        session, questions = self.ask_together(pool, 1, time=time, stopping=stopping)
        return session, questions[0] if questions else None

    def ask_together(
        self, pool: CandidatePool, n_questions: int, *, time: str, stopping: StoppingRule | None = None
    ) -> tuple["Session", tuple[Question, ...]]:
        """Several questions to show side by side, to be answered in any order; none when the session has stopped.

        Questions that were asked and not answered are returned again, without a new event, be they more or fewer than
        are wanted now. There are fewer where the budget leaves fewer; the sealed round gives one at a time.

        Raises
        ------
        MismatchError
            For another pool than the session's.
        InputError
            For fewer than one question, or several where the acquisition does not say what they are worth together
            (`prefq.questions.batches.select_together_with_info`).
        """
        wanted = whole_number(n_questions, "n_questions", "a number of at least 1 question", least=1)
        self.require_pool(pool)
        state = self.state
        if state.open_question is not None:
            return self, tuple(pool.question(each) for each in state.open_questions)
        if state.stopped is not None:
            return self, ()
        if state.sealed is not None:
            return self._ask_sealed(pool, state, state.sealed, time)
        return self._ask_next(pool, state, wanted, time, stopping)

    def tell(self, answer: Answer, *, time: str) -> "Session":
        """The session with an answer to an open question; InputError when another question, or none, is open."""
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

    def forget(self, question_id: str, *, time: str) -> "Session":
        """The session without what was answered to a question: a skip takes its place, so that it is not asked again.

        What is believed is then what a session without the answer believes; the event of the answer stays in the log.

        Raises
        ------
        InputError
            When its question was not answered, or the sealed round has fixed its predictions on the answer.
        """
        return self.edit(Answer(question_id, Choice.SKIP), time=time)

    def open_why(self, *, time: str) -> "Session":
        """The session with a note that the person asked why the open question is asked."""
        return self._with(WhyOpened(time, self.state.open_question or ""))

    def state_taste(self, positions: Mapping[str, float], *, time: str, noise: StatedNoise | None = None) -> "Session":
        """The session with what the person says about some axes, in place of all they said about them before.

        Parameters
        ----------
        positions
            By either pole of an axis, from -1, much less of that pole, over 0, no matter, to 1, much more of it; none
            takes back what was said.
        time
            When, in ISO 8601.
        noise
            How far people choose as they say; by default `StatedNoise`'s own.

        Raises
        ------
        InputError
            For an unknown axis, a number out of range, or once the sealed round has fixed its predictions on it.
        """
        said = tuple(positions_by_axis(self.feature_space, positions).items())
        return self._with(StatedTaste(time, said, noise or StatedNoise()))

    def stated(self, pool: CandidatePool) -> StatedEvidence | None:
        """What the person said about the axes, as evidence about the coefficients; None if nothing."""
        said = self.state.stated
        if said is None or not said.positions:
            return None
        start = self.starting_point(pool)
        return stated_evidence(self.feature_space, dict(said.positions), prior=start, noise=said.noise)

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
        waiting = [test for test in self.test_questions if test not in {each.question_id for each in state.answers}]
        questions = random_questions(pool, state.answers, n_questions, seed=self.seed, reserved=waiting)
        if not questions:
            raise InputError("no question of the pool is left to test with.")
        predictions = predict(pool, state.answers, questions, prior=self.prior, stated=self.stated(pool))
        return self._with(Sealed(time, predictions, seal_of(predictions)))

    def sealed_result(self) -> SealedResult | None:
        """Score of the sealed round so far, None if there is none; ties, both bad and skips decide nothing."""
        state = self.state
        if state.sealed is None:
            return None
        return sealed_result(state.sealed.predictions, state.answers)

    def held_out(self, pool: CandidatePool) -> tuple[HeldOut, ...]:
        """The test questions with what the other answers predict, whatever was answered to the test questions.

        Nothing but the events and the pool goes into it, so that it can be computed whenever it is wanted.

        Raises
        ------
        MismatchError
            For another pool than the session's.
        """
        self.require_pool(pool)
        if not self.test_questions:
            return ()
        tests = [pool.question(each) for each in self.test_questions]
        predictions = predict(pool, self.chosen_answers, tests, prior=self.prior, stated=self.stated(pool))
        given = {answer.question_id: answer.choice for answer in self.answers}
        return tuple(HeldOut(prediction, given.get(prediction.question_id)) for prediction in predictions)

    def posterior(self, pool: CandidatePool) -> Coefficients:
        """What is believed about the user's coefficients now, by expectation propagation."""
        return self.profile(pool).coefficients

    def profile(self, pool: CandidatePool, *, created: str | None = None) -> Profile:
        """The profile that the answers so far amount to."""
        self.require_pool(pool)
        return fit_profile(
            pool, self.answers, user_id=self.user_id, prior=self.prior, created=created, stated=self.stated(pool)
        )

    def progress(self, pool: CandidatePool) -> Progress:
        """How far the session is, and what is still uncertain."""
        posterior, prior = self.posterior(pool), self.starting_point(pool).coefficients
        shares = np.minimum(np.square(posterior.sd / np.where(prior.sd > 0, prior.sd, 1.0)), 1.0).tolist()
        state = self.state
        replies = [answer for answer in state.answers if not (state.sealed and state.sealed.asks(answer.question_id))]
        n_answers = sum(answer.choice is not Choice.SKIP for answer in replies)
        n_left = 0 if state.stopped is not None or state.sealed is not None else self._n_left(pool, state)
        return Progress(
            n_answers,
            n_answers + n_left,
            MappingProxyType(dict(zip(pool.feature_space.names, shares, strict=True))),
            n_left * words_per_question(pool) / WORDS_PER_MINUTE,
            settled_share(pool, posterior) if self.settings.stop == SETTLED else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """The session as JSON values; `prior` only where it has one of its own."""
        told = {
            "format_version": FORMAT_VERSION,
            "id": self.id,
            "user_id": self.user_id,
            "pool_digest": self.pool_digest,
            "feature_space": self.feature_space.to_dict(),
            "created": self.created,
            "pool_name": self.pool_name,
            "seed": self.seed,
            "settings": self.settings.to_dict(),
            "events": [event_to_dict(event) for event in self.events],
        }
        return told if self.prior is None else {**told, "prior": self.prior.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Session":
        """Session from the dictionary that `to_dict` writes.

        Raises
        ------
        InputError
            When a field is missing or wrong, a newer prefq wrote it, or its events contradict each other.
        """
        names = [name for name in field_names(cls) if name != "prior"]
        parts = exact_fields(data, ("format_version", *names), "a session", later={"prior": None})
        if (version := parts.pop("format_version")) != FORMAT_VERSION:
            raise InputError(
                f"the session has format version {shown(version)} and this prefq reads {FORMAT_VERSION}; update prefq."
            )
        parts["settings"] = SessionSettings.from_dict(parts["settings"])
        parts["feature_space"] = FeatureSpace.from_dict(parts["feature_space"])
        parts["prior"] = None if parts["prior"] is None else PopulationPrior.from_dict(parts["prior"])
        parts["events"] = [event_from_dict(each) for each in tuple_of(parts["events"], Mapping, "events", "objects")]
        return cls(**parts)

    def _start(self, pool: CandidatePool) -> PopulationPrior:
        """Where the person starts, with what they said about the axes."""
        return with_stated(self.starting_point(pool), self.stated(pool))

    def _with(self, event: Event) -> "Session":
        return replace(self, events=(*self.events, event))

    def _require_draw(self, drawn: Drawn | None) -> None:
        """Raise InputError unless what was drawn is what the settings ask to be drawn."""
        settings = self.settings
        rules = {settings.acquisition, RANDOM} if settings.random_share else {settings.acquisition}
        wanted = bool(settings.test_questions or settings.random_share)
        if wanted is (drawn is None) or (
            drawn is not None and (len(drawn.tests) != settings.test_questions or drawn.acquisition not in rules)
        ):
            raise InputError(
                f"session {self.id!r} has {settings.test_questions} test questions and a random share of "
                f"{settings.random_share:g} in its settings, and its events do not begin with such a draw; "
                "begin a session with Session.start, which draws."
            )

    def _ask_next(
        self, pool: CandidatePool, state: SessionState, wanted: int, time: str, stopping: StoppingRule | None
    ) -> tuple["Session", tuple[Question, ...]]:
        """Questions of the rule, and the test questions whose place has come; what is left of these comes last."""
        chosen, answered = _chosen(state), {answer.question_id for answer in state.answers}
        places = dict(zip(state.drawn.tests, state.drawn.places, strict=True)) if state.drawn else {}
        waiting = [test for test in places if test not in answered]
        n_counted = sum(answer.choice is not Choice.SKIP for answer in chosen)
        n_due = sum(places[test] <= n_counted for test in waiting)
        found: list[tuple[Question, SelectionInfo]] = []
        reason = None
        if n_due < wanted:
            found, reason = self._selected(pool, chosen, wanted - n_due, tuple(places), stopping)
        prior = self._start(pool).digest()
        asked: list[tuple[Question, str, float | None]] = []
        for number, (question, info) in enumerate(found):
            while waiting and places[waiting[0]] <= n_counted + number:
                asked.append((pool.question(waiting.pop(0)), TEST, None))
            asked.append((question, info.acquisition, info.score))
        if not found:
            asked = [(pool.question(test), TEST, None) for test in waiting[: wanted if reason else n_due]]
        if not asked:
            return self._with(Stopped(time, reason or "asking has ended.")), ()
        asked = asked[:wanted]
        session = self
        for number, (question, acquisition, score) in enumerate(asked):
            session = session._with((AlsoAsked if number else Asked)(time, question.id, acquisition, score, prior))
        return session, tuple(question for question, _, _ in asked)

    def _stopping(self, pool: CandidatePool, further: StoppingRule | None) -> StoppingRule | None:
        """The rule of the settings, the one that was handed in, or both."""
        if not self.settings.stop:
            return further
        model, sure = self._start(pool).response_model, self.settings.sure or SURE
        own = stopping_named(self.settings.stop, pool, model, sure=sure)
        return own if further is None else any_of(own, further)

    def _selected(
        self,
        pool: CandidatePool,
        answers: tuple[Answer, ...],
        wanted: int,
        reserved: tuple[str, ...],
        stopping: StoppingRule | None,
    ) -> tuple[list[tuple[Question, SelectionInfo]], str | None]:
        """Questions of the rule and how each was chosen, or why there is none."""
        questions, infos = select_together_with_info(
            pool,
            answers,
            n_questions=wanted,
            prior=self.prior,
            acquisition=self.acquisition,
            max_questions=self.settings.max_questions,
            stopping=self._stopping(pool, stopping),
            seed=self.seed,
            reserved=reserved,
            cost="reading" if self.settings.per_minute and self.acquisition != RANDOM else None,
            constraints=self.settings.constraints,
            stated=self.stated(pool),
        )
        return list(zip(questions, infos, strict=False)), infos[0].reason

    def _n_left(self, pool: CandidatePool, state: SessionState) -> int:
        """Questions that may still come before a session stops, none below the other's limit."""
        chosen, budget, tests = _chosen(state), self.settings.max_questions, self.test_questions
        n_counted = sum(answer.choice is not Choice.SKIP for answer in chosen)
        within_budget = max(min(budget - n_counted, REPLIES_PER_QUESTION * budget - len(chosen)), 0)
        taken = [parse_question_id(each) for each in (*(answer.question_id for answer in chosen), *tests)]
        n_left = self._n_allowed(pool, pool.question_rows(taken), within_budget)
        answered = {answer.question_id for answer in state.answers}
        return n_left + sum(test not in answered for test in tests)

    def _n_allowed(self, pool: CandidatePool, taken: Rows, most: int) -> int:
        """How many questions, `most` at most, the pool and the constraints allow beside those in these rows."""
        constraints = self.settings.constraints
        if not constraints:
            return min(most, pool.n_questions - taken.size)
        for number in range(most):  # one by one: every question of a topic takes the same from its quota
            allowed = allowed_by(constraints, pool, taken, seed=self.seed)
            if not allowed.any():
                return number
            taken = np.append(taken, allowed.argmax())
        return most

    def _ask_sealed(
        self, pool: CandidatePool, state: SessionState, sealed: Sealed, time: str
    ) -> tuple["Session", tuple[Question, ...]]:
        answered = {answer.question_id for answer in state.answers}
        left = [p.question_id for p in sealed.predictions if p.question_id not in answered]
        if not left:
            return self._with(Stopped(time, "the sealed round is complete.")), ()
        prior = self._start(pool).digest()
        return self._with(Asked(time, left[0], "sealed", None, prior)), (pool.question(left[0]),)


def words_per_question(pool: CandidatePool) -> float:
    """Words that a question makes a person read, prompt and both responses, on average over the pool."""
    return float(words_of_questions(pool).mean())


def _chosen(state: SessionState) -> tuple[Answer, ...]:
    """Answers to the rule's questions."""
    tests = state.drawn.tests if state.drawn else ()
    sealed = [prediction.question_id for prediction in state.sealed.predictions] if state.sealed else []
    return without(state.answers, [*tests, *sealed])
