"""The interview: ask, show, read a key, tell, store; then the sealed round.

The session decides everything. What it becomes is stored before the next thing is shown.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prefq.errors import InputError
from prefq.profiles.summary import axis_label
from prefq.questions.explanation import settled_shares
from prefq.session import Session
from prefq.vocabulary import Choice, Question, counted
from prefq_cli.keys import ENTER, NAMED, REDRAW, Keys, terminal_size
from prefq_cli.layout import KEY_HINTS, MARGIN, QuestionView
from prefq_cli.opening import now
from prefq_cli.sliders import HINTS as SLIDER_HINTS
from prefq_cli.sliders import moved, sliders_of
from prefq_cli.stated import SLIDERS, read_axes, restated
from prefq_cli.texts import displayable

if TYPE_CHECKING:
    from prefq.pool.candidate_pool import CandidatePool
    from prefq.profiles.profile import Profile
    from prefq.storage.sql import SqlStore
    from prefq_cli.screens import Screen

CHOICES: Mapping[str, Choice] = {
    "1": Choice.FIRST,
    "2": Choice.SECOND,
    "0": Choice.TIE,
    "b": Choice.BOTH_BAD,
    "s": Choice.SKIP,
}
OFFER = "Done. Test what I learned? Six fresh questions, drawn at random; my predictions are fixed before you see them."
OFFER_HINTS = (("y", "yes"), ("n", "no"), ("u", "undo the last answer"))
OPEN_SHARE = 0.9  # of an axis's prior variance: as long as every axis has more left, nothing in particular is known
N_NAMED = 3  # axes named at once
SETTLES_AT_LEAST = 0.01  # of what is open about an axis, to be worth naming


class EarlyEndError(Exception):
    """The person, or the script, ended before the session did."""


@dataclass(slots=True)
class Interview:
    """One sitting."""

    session: Session
    pool: "CandidatePool"
    store: "SqlStore"
    screen: "Screen"
    keys: Keys
    profile: "Profile | None" = field(default=None, init=False)
    remark: str = field(default="", init=False)
    _note: str = field(default="", init=False)
    _begun: Session = field(init=False)

    def __post_init__(self) -> None:
        self._begun = self.session

    def run(self, *, sealed: bool | None) -> None:
        """Ask until the session ends, then the sealed round: if `sealed`, or if the person agrees where it is None."""
        if self.session.answers and self.session.state.stopped is None:
            self._note = f"Welcome back: {counted(len(self.session.answers), 'answer')} kept."
        elif not self.session.events:
            self._note = "Which of the two would you rather get? Press 1 or 2; no Enter."
        self._ask_on()
        self.save_profile()
        if sealed is None and len(self.session.answers) >= self.pool.n_questions:
            return  # nothing is left to test with
        while self.session.state.sealed is None and sealed is not False:
            reply = "y" if sealed else self._offered()
            if not (reply == "y" and self._seal()) and not (reply == "u" and self._undo()):
                return
            self._ask_on()
            self.save_profile()

    def hear(self, stated: str) -> None:
        """Keep what the person says about axes: as given to `--stated`, or by sliders where that stands alone."""
        positions = self._set_sliders() if stated == SLIDERS else read_axes(stated)
        if positions is not None:
            self._keep(restated(self.session, positions, now()))

    def save_profile(self) -> None:
        """Make the profile that the answers amount to, and store it; nothing without answers.

        Looking at an old session again does not make its profile the user's latest.
        """
        if not self.session.answers:
            return
        self.profile = self.session.profile(self.pool, created=now())
        known = any(each.user_id == self.session.user_id for each in self.store.list_profiles())
        if self.session is not self._begun or not known:
            self.store.save_profile(self.profile, session_id=self.session.id)

    def _keep(self, session: Session) -> None:
        """Store first, then believe."""
        if session is not self.session:
            self.store.save_session(session)
            self.session = session

    def _set_sliders(self) -> dict[str, float] | None:
        """Where the person sets the sliders; None where they would rather say nothing."""
        said = self.session.state.stated
        space = self.session.feature_space
        view, note = sliders_of(space, dict(said.positions) if said else {}), ""
        self.keys.forget()
        while True:
            self.screen.sliders(view, note)
            key, note = self._key(named=True), ""
            if key in (ENTER, "n"):
                positions = zip(space.names, view.positions, strict=True)
                return {name: at for name, at in positions if at is not None} if key == ENTER else None
            if (after := moved(view, key)) is not None:
                view = after
            elif self.keys.scripted:
                self._unknown(key, SLIDER_HINTS)
            else:
                note = f"Keys: {', '.join(key for key, _ in SLIDER_HINTS)}."

    def _ask_on(self) -> None:
        while True:
            session, question = self.session.ask(self.pool, time=now())
            self._keep(session)
            if question is None:
                return
            self._put(question)

    def _put(self, question: Question) -> None:
        """Show a question and act on keys until there is another to show."""
        self.keys.forget()
        self.screen.question(self._view(question), self._note)
        self._note, shown = "", time.monotonic()
        while True:
            key = self._key()
            choice = CHOICES.get(key)
            if choice not in (None, Choice.SKIP) and not self.screen.both_begun():
                self.screen.note("Response 2 has not been shown yet: space turns the page.")
            elif choice is not None:
                answer = question.answer(choice, seconds=round(time.monotonic() - shown, 3))
                self._keep(self.session.tell(answer, time=now()))
                return self.screen.heard(choice.value.replace("_", " "))
            elif key == "u":
                if self._undo():
                    return None
            elif key == "?":
                self._explain(question)
            elif key == " ":
                self.screen.more()
            elif key == "\t":
                self.screen.second()
            else:
                self._unknown(key, KEY_HINTS)

    def _explain(self, question: Question) -> None:
        """Say why the question is asked; put it away if it stands there."""
        why = self._why(question)
        if self.screen.shows(why):
            return self.screen.note("")
        self._keep(self.session.open_why(time=now()))
        return self.screen.note(why)

    def _key(self, *, named: bool = False) -> str:
        """The next key that is none of the terminal's own affairs; EarlyEndError on `q` or at the end of keys.

        Arrows and Enter are passed over unless they are wanted; a script that gives them is wrong.
        """
        while True:
            try:
                key = self.keys.read()
            except EOFError:
                raise EarlyEndError from None
            if key == "q":
                raise EarlyEndError
            if key == REDRAW:
                self.screen.redraw()
            elif named or self.keys.scripted or key not in NAMED:
                return key

    def _unknown(self, key: str, hints: tuple[tuple[str, str], ...]) -> None:
        known = ", ".join(key for key, _ in hints)
        if self.keys.scripted:
            raise InputError(f"key {key!r} is none of {known}; give one key a line; answers so far are saved.")
        if key.isprintable():
            self.screen.note(f"Keys: {known}.")

    def _undo(self) -> bool:
        try:
            self._keep(self.session.undo(time=now()))
        except InputError:
            sealed = self.session.state.sealed
            self.screen.note("The predictions rest on earlier answers." if sealed else "There is nothing to undo.")
            return False
        self._note = "Undone; here is that question again."
        return True

    def _offered(self) -> str:
        self.keys.forget()
        self.screen.offer(OFFER, OFFER_HINTS)
        while True:
            try:
                key = self._key()
            except EarlyEndError:
                return "n"
            if key in {"y", "n", "u"}:
                return key
            self._unknown(key, OFFER_HINTS)

    def _seal(self) -> bool:
        try:
            self._keep(self.session.seal(self.pool, time=now()))
        except InputError as error:  # every question of the pool was asked
            self.remark = f"There was no test: {error}"
            return False
        sealed = self.session.state.sealed
        assert sealed is not None
        self._note = f"My predictions are fixed. Their SHA-256:\n{_broken(sealed.digest)}"
        return True

    def _view(self, question: Question) -> QuestionView:
        progress, state = self.session.progress(self.pool), self.session.state
        texts = (displayable(text) for text in (question.prompt, question.first.text, question.second.text))
        if state.sealed is not None:
            n_all = len(state.sealed.predictions)
            of_round = {prediction.question_id for prediction in state.sealed.predictions}
            n_done = sum(answer.question_id in of_round for answer in state.answers)
            sealed = ("predictions sealed",)
            return QuestionView(f"test {n_done + 1} of {n_all}", n_done, n_all, "", sealed, *texts)
        n_done, n_all, settings = progress.n_answers, progress.max_questions, self.session.settings
        heading = f"{n_done + 1} of {'at most ' if settings.stop else ''}{n_all}"
        asides: tuple[str, ...] = (self._open(),)
        if progress.settled is not None:
            asides = (settled_words(progress.settled, settings.sure), *asides)
        return QuestionView(heading, n_done, n_all, _minutes(progress.minutes_left), asides, *texts)

    def _labels(self) -> dict[str, str]:
        space = self.pool.feature_space
        opposites = space.opposites or ("",) * space.n_features
        return {name: displayable(axis_label(name, other)) for name, other in zip(space.names, opposites, strict=True)}

    def _open(self) -> str:
        """What is still uncertain."""
        remaining = self.session.progress(self.pool).remaining
        if min(remaining.values()) > OPEN_SHARE:
            return "no axis known yet"
        labels = self._labels()
        least = sorted(remaining, key=lambda name: -remaining[name])[:N_NAMED]
        return f"least known so far: {', '.join(labels[name] for name in least)}"

    def _why(self, question: Question) -> str:
        """Which axes the answer would settle; never what it is expected to be."""
        if self.session.state.sealed is not None:
            return "This question was drawn at random, to test the predictions."
        model = self.session.starting_point(self.pool).response_model
        shares = settled_shares(self.pool, question, self.session.posterior(self.pool), model)
        labels = self._labels().values()
        ranked = sorted(zip(shares.tolist(), labels, strict=True), key=lambda pair: -pair[0])
        named = [label for share, label in ranked[:N_NAMED] if share >= SETTLES_AT_LEAST]
        if not named:
            return "Why this question: to confirm what is known; little is left to settle."
        rest = f", then {' and '.join(named[1:])}" if named[1:] else ""
        return f"Why this question: of all axes, your answer would settle most about {named[0]}{rest}."


def settled_words(reached: float, wanted: float) -> str:
    """How much of the order is open; rounded up, so that it never reads as settled when it is not."""
    return f"{math.ceil(100 * (1 - reached))}% of pairs expected the wrong way round, {1 - wanted:.0%} may be"


def _broken(digest: str) -> str:
    """On one line where it fits, else in halves."""
    half = len(digest) // 2
    return digest if terminal_size().columns >= len(digest) + 2 * MARGIN else f"{digest[:half]}\n{digest[half:]}"


def _minutes(minutes: float) -> str:
    return "less than 1 min left" if minutes < 1 else f"about {round(minutes)} min left"
