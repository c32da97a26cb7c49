"""What a stored profile rests on: its session's answers and sealed round, for words and for JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prefq.profiles.evidence import Evidence, SealedScore, basis, score_sentence
from prefq.profiles.stated_words import stated_sentences
from prefq.profiles.summary import beside, sentences, summarize, taste_sentences
from prefq.vocabulary import Choice

if TYPE_CHECKING:
    from prefq.profiles.profile import Profile
    from prefq.session import Session
    from prefq.storage.sql import SqlStore

NO_GUESS = 1e-9  # a prediction this close to one half says nothing


def load_with_session(store: "SqlStore", user: str) -> "tuple[Profile, Session]":
    """A user's profile and the session it came from."""
    profile = store.load_profile(user)
    session_id = next(each.session_id for each in store.list_profiles() if each.user_id == user)
    return profile, store.load_session(session_id)


def evidence_of(session: "Session") -> Evidence:
    """The session's answers, counted, and the score of its sealed round."""
    sealed = session.state.sealed
    of_round = {prediction.question_id for prediction in sealed.predictions} if sealed else set()
    told = [answer for answer in session.answers if answer.choice not in (Choice.BOTH_BAD, Choice.SKIP)]
    n_sealed = sum(answer.question_id in of_round for answer in told)
    return Evidence(len(told) - n_sealed, n_sealed, len(session.answers) - len(told), _score(session))


def sealed_json(session: "Session") -> dict[str, Any] | None:
    """The sealed round with its sentence, seal and predictions; None if there was none or it is not over."""
    sealed, result, score = session.state.sealed, session.sealed_result(), _score(session)
    if sealed is None or result is None or score is None:
        return None
    told = {"sentence": score_sentence(score), "digest": sealed.digest}
    return {**result._asdict(), **told, "predictions": [asdict(prediction) for prediction in sealed.predictions]}


def all_sentences(profile: "Profile", evidence: Evidence) -> list[str]:
    """Everything that is said of a profile: how a test came out, the person's taste, each axis, what was stated."""
    tested = [] if evidence.score is None else [score_sentence(evidence.score)]
    return [*tested, *taste_sentences(profile), *sentences(summarize(profile)), *stated_sentences(profile)]


def profile_json(profile: "Profile | None", session: "Session") -> dict[str, Any]:
    """A profile and what it rests on, as JSON values."""
    evidence = evidence_of(session)
    axes = summarize(profile) if profile is not None else ()
    return {
        "sealed": sealed_json(session),
        "profile": None if profile is None else profile.to_dict(),
        "basis": None if profile is None else basis(profile.n_answers, evidence, beside(profile)),
        "axes": [axis.to_dict() for axis in axes],
        "sentences": [] if profile is None else all_sentences(profile, evidence),
        "no_personal_taste": None if profile is None else profile.no_personal_taste,
        "taste": [] if profile is None else taste_sentences(profile),
        "stated": [] if profile is None else stated_sentences(profile),
    }


def _score(session: "Session") -> SealedScore | None:
    state, result = session.state, session.sealed_result()
    if state.sealed is None or result is None or state.stopped is None:
        return None
    guesses = any(abs(prediction.group - 0.5) > NO_GUESS for prediction in state.sealed.predictions)
    return SealedScore(result.n_questions, result.n_decided, result.profile, result.group if guesses else None)
