"""Forgetting an answer: what is believed afterwards is what would be believed had it never been given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError
from prefq.session import Session
from prefq.vocabulary import Choice

RNG = np.random.default_rng(3)
POOL = prefq.CandidatePool.from_arrays(
    RNG.normal(size=(60, 4)), [(2 * i, 2 * i + 1) for i in range(30)], prompts=[f"p{i // 2}" for i in range(60)]
)


def played(n_answers: int = 6) -> Session:
    session, rng = Session.start("s", "ada", POOL, time="t"), np.random.default_rng(0)
    for _ in range(n_answers):
        session, question = session.ask(POOL, time="t")
        assert question is not None
        session = session.tell(question.answer(rng.choice(["first", "second", "tie"])), time="t")
    return session


@settings(deadline=None, max_examples=20)
@given(place=st.integers(0, 5), order=st.permutations(range(5)))
def test_the_posterior_is_that_of_the_other_answers_in_any_order(place: int, order: list[int]) -> None:
    session = played()
    forgotten = session.forget(session.answers[place].question_id, time="t")
    rest = [answer for number, answer in enumerate(session.answers) if number != place]
    replayed = prefq.fit_profile(POOL, [rest[i] for i in order], user_id="ada").coefficients
    posterior = forgotten.posterior(POOL)
    np.testing.assert_allclose(posterior.mean, replayed.mean, atol=1e-7)
    np.testing.assert_allclose(posterior.covariance, replayed.covariance, atol=1e-7)
    assert forgotten.profile(POOL).n_answers == 5


def test_a_question_that_was_forgotten_is_not_asked_again() -> None:
    session = played()
    gone = session.answers[2].question_id
    session = session.forget(gone, time="t")
    assert session.answers[2].choice is Choice.SKIP
    assert (session.answers[2].reason, session.answers[2].seconds) == (None, None)
    while True:
        session, question = session.ask(POOL, time="t")
        if question is None:
            break
        assert set(question.id.split("-")) != set(gone.split("-"))
        session = session.tell(question.answer("first"), time="t")
    assert sum(answer.choice is not Choice.SKIP for answer in session.answers) == session.settings.max_questions


def test_what_was_not_answered_cannot_be_forgotten() -> None:
    session = played(2)
    with pytest.raises(InputError, match="question '0-59' was not answered"):
        session.forget("0-59", time="t")
