"""Sessions that stop by a rule: settings, the reason that is kept, and progress."""

from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InputError, NotFoundError
from prefq.events import Stopped
from prefq.inference.likelihood import sigmoid
from prefq.questions.stopping_names import settled_share

TIME = "2026-01-31T12:00:00+00:00"
TASTE = np.array([4.0, -3.0, 0.5])


def small_pool() -> prefq.CandidatePool:
    items = np.random.default_rng(1).normal(size=(120, 3))
    return prefq.CandidatePool.from_arrays(items, [[i, i + 60] for i in range(60)])


def held(pool: prefq.CandidatePool, settings: prefq.SessionSettings, seed: int = 2) -> prefq.Session:
    """A session in which someone of a clear taste answers until it stops."""
    rng = np.random.default_rng(seed)
    session = prefq.Session.start("s", "ada", pool, time=TIME, settings=settings)
    while True:
        session, question = session.ask(pool, time=TIME)
        if question is None:
            return session
        margin = (pool.features[question.first.item] - pool.features[question.second.item]) @ TASTE
        choice = "first" if rng.random() < sigmoid(np.array(margin)) else "second"
        session = session.tell(question.answer(choice), time=TIME)


def test_a_session_stops_once_its_order_is_settled() -> None:
    pool = small_pool()
    session = held(pool, prefq.SessionSettings(max_questions=40, stop="settled", sure=0.85))

    last = session.events[-1]
    assert isinstance(last, Stopped)
    assert last.reason.startswith("the order is settled: ")
    assert last.reason.endswith("of pairs are expected the wrong way round, 15% may be.")
    assert 3 <= len(session.answers) < 40
    settled = session.progress(pool).settled
    assert settled is not None
    assert settled >= 0.85
    # One answer earlier it was not yet.
    earlier = prefq.fit_profile(pool, session.answers[:-1], user_id="ada").coefficients
    assert settled_share(pool, earlier) < 0.86


def test_a_session_stops_when_little_is_left() -> None:
    items = np.random.default_rng(1).normal(size=(120, 3)) * 0.1
    prior = prefq.Gaussian(np.zeros(3), np.eye(3))
    pool = prefq.CandidatePool.from_arrays(items, [[i, i + 60] for i in range(60)], prior=prior)
    session = held(pool, prefq.SessionSettings(max_questions=40, stop="little_left"))
    assert len(session.answers) == 3  # no question of this pool tells much
    assert str(session.state.stopped).startswith("little is left to learn: each of the next 5 questions")
    assert session.progress(pool).settled is None


def test_the_budget_holds_beside_a_rule() -> None:
    session = held(small_pool(), prefq.SessionSettings(max_questions=4, stop="settled", sure=0.99))
    assert session.state.stopped == "the budget of 4 questions is used up."


def test_a_rule_that_is_handed_in_holds_beside_that_of_the_settings() -> None:
    pool = small_pool()
    session = prefq.Session.start(
        "s", "ada", pool, time=TIME, settings=prefq.SessionSettings(stop="settled", sure=0.99)
    )
    session, question = session.ask(pool, time=TIME, stopping=lambda posterior, n_answers, best: "enough.")
    assert question is None
    assert session.state.stopped == "enough."


def test_test_questions_are_asked_after_a_rule_has_spoken() -> None:
    pool = small_pool()
    settings = prefq.SessionSettings(max_questions=30, stop="settled", sure=0.8, test_questions=4)
    session = held(pool, settings)
    assert len(session.answers) == len(session.chosen_answers) + 4
    assert len(session.chosen_answers) < 30
    assert str(session.state.stopped).startswith("the order is settled")


def test_settings_are_stored_and_old_ones_still_read() -> None:
    settings = prefq.SessionSettings(stop="settled")
    assert settings.sure == 0.8
    assert prefq.SessionSettings.from_dict(settings.to_dict()) == settings
    plain = prefq.SessionSettings()
    assert set(plain.to_dict()) == {"max_questions", "acquisition"}
    assert prefq.SessionSettings.from_dict({"max_questions": 10, "acquisition": "d_optimal"}).stop == ""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"sure": 0.9}, "sure is 0.9, which only stop='settled' takes; give both or neither."),
        ({"stop": "little_left", "sure": 0.9}, "sure is 0.9, which only stop='settled' takes"),
        ({"stop": "settled", "sure": 0.4}, "sure is 0.4; give a share above 0.5 and below 1"),
        ({"stop": "settled", "sure": "much"}, "sure is 'much'; give a number."),
        ({"stop": 3}, "stop is 3; give a text."),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        prefq.SessionSettings(**given)
    assert problem in str(caught.value)


def test_an_unknown_rule_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="there is no stopping rule 'soon'"):
        prefq.SessionSettings(stop="soon")
