"""select_for_users asks each user what they would be asked alone; caches change no question."""

import threading
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.errors import InferenceError, InputError
from prefq.inference import ep_batch, mixing
from prefq.pool.recent import Recent
from prefq.questions.margins import REMEMBERED
from prefq.vocabulary import Answer, Coefficients, Gaussian, GaussianMixture, PopulationPrior, ResponseModel


def make_pool(seed: int = 0) -> prefq.CandidatePool:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(400, 4)) * np.sqrt(rng.gamma(2, 0.5, size=(100, 1))).repeat(4, axis=0)
    pairs = [(4 * p + i, 4 * p + j) for p in range(100) for i in range(4) for j in range(i)]
    return prefq.CandidatePool.from_arrays(features, pairs, prompt_ids=np.repeat(np.arange(100), 4).tolist())


def played(pool: prefq.CandidatePool, n_users: int, **options: Any) -> list[list[Answer]]:
    """Answers of users to 0 to 11 questions, of all kinds."""
    rng = np.random.default_rng(1)
    answers: list[list[Answer]] = []
    for user in range(n_users):
        given: list[Answer] = []
        for _ in range(user % 12):
            question = prefq.select_next_question(pool, given, seed=user, max_questions=None, **options)
            assert question is not None
            choice = rng.choice(["first", "second", "first", "second", "tie", "skip", "both_bad"])
            strength = float(rng.uniform(0.1, 1)) if rng.random() < 0.3 else None
            given.append(question.answer(str(choice), strength=strength))
        answers.append(given)
    return answers


GAUSSIAN = Gaussian([0.4, 0, 0, 0], np.diag([2.0, 1, 1, 0.5]))
CAMPS = GaussianMixture([0.6, 0.4], [GAUSSIAN, Gaussian([-1.0, 1, 0, 0], 0.2 * np.eye(4))])


@pytest.mark.parametrize(
    ("coefficients", "model"),
    [
        (GAUSSIAN, ResponseModel()),
        (GAUSSIAN, ResponseModel(0.5, 0.3, strength_threshold=1.0)),
        (GAUSSIAN, ResponseModel(dissimilarity_noise=0.4, dissimilarity_scales=(1.0, 1.0, 2.0, 1.0))),
        (GAUSSIAN, ResponseModel(lapse_rate=0.05)),
        (CAMPS, ResponseModel()),
    ],
)
def test_each_user_is_asked_what_they_would_be_asked_alone(coefficients: Coefficients, model: ResponseModel) -> None:
    pool = make_pool()
    prior = PopulationPrior(coefficients, pool.feature_space, model)
    answers = played(pool, 24, prior=prior)
    alone = [prefq.select_next_question(pool, each, prior=prior, seed=user) for user, each in enumerate(answers)]
    assert list(prefq.select_for_users(pool, answers, prior=prior, seeds=range(24))) == alone
    assert sum(question is None for question in alone) > 0  # whose budget is used up
    assert sum(question is not None for question in alone) > 12


@pytest.mark.parametrize("acquisition", ["d_optimal", "margin_uncertainty", "random", "target_variance"])
def test_any_rule_is_heeded(acquisition: str) -> None:
    pool = make_pool()
    answers = played(pool, 9)
    alone = [prefq.select_next_question(pool, each, acquisition=acquisition, seed=3) for each in answers]
    assert list(prefq.select_for_users(pool, answers, acquisition=acquisition, seeds=3)) == alone


def test_many_more_than_are_fitted_together() -> None:
    pool = make_pool()
    answers = [each for _ in range(20) for each in played(pool, 14)]
    alone = {user % 14: prefq.select_next_question(pool, answers[user]) for user in range(14)}
    assert list(prefq.select_for_users(pool, answers)) == [alone[user % 14] for user in range(280)]
    assert prefq.select_for_users(pool, []) == ()


def test_a_posterior_that_does_not_converge_chooses_and_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, answers = make_pool(), played(make_pool(), 9)[-1]
    monkeypatch.setattr(ep_batch, "WHOLE_SWEEPS", 1)
    monkeypatch.setattr(mixing, "MAX_SWEEPS", 1)
    question = prefq.select_next_question(pool, answers)
    assert question is not None
    assert prefq.select_for_users(pool, [answers, []])[0] == question
    with pytest.raises(InferenceError, match="did not converge"):
        prefq.fit_profile(pool, answers, user_id="ada")


def test_bad_input_has_a_sentence() -> None:
    pool = make_pool()
    with pytest.raises(InputError, match="there are 1 seeds for 2 users; give one each, or one for all"):
        prefq.select_for_users(pool, [[], []], seeds=[1])
    with pytest.raises(InputError, match="question '0-399' is not in the pool"):
        prefq.select_for_users(pool, [[], [Answer("0-399", "first")]])
    with pytest.raises(InputError, match="answers hold 'x'; give a sequence of Answer"):
        prefq.select_for_users(pool, [["x"]])  # type: ignore[list-item]


# --- what a pool remembers ---


def test_a_pool_that_was_used_asks_what_a_fresh_one_asks() -> None:
    used, answers = make_pool(), played(make_pool(), 11)[-1]
    priors = [Gaussian(np.full(4, m), (1 + m) * np.eye(4)) for m in range(REMEMBERED + 2)]
    for _ in range(2):  # more priors than are remembered, in turn
        for prior in priors:
            for given in (answers, answers[:-1], [answers[0], *answers[2:]]):  # undone, edited
                fresh = prefq.select_next_question(make_pool(), given, prior=prior)
                assert prefq.select_next_question(used, given, prior=prior) == fresh


def test_priors_in_turn_are_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefq.questions.margins import PoolMargins

    made: list[str] = []
    ordered = PoolMargins._ordered

    def counted(pool: prefq.CandidatePool, prior: Coefficients, model: ResponseModel) -> PoolMargins:
        made.append(prior.digest())
        return ordered(pool, prior, model)

    monkeypatch.setattr(PoolMargins, "_ordered", counted)
    pool, priors = make_pool(), [Gaussian(np.zeros(4), (1 + i) * np.eye(4)) for i in range(REMEMBERED)]
    for _ in range(3):
        for prior in priors:
            prefq.select_next_question(pool, [], prior=prior)
    assert made == [prior.digest() for prior in priors]


def test_threads_share_a_pool() -> None:
    pool, answers = make_pool(), played(make_pool(), 11)
    priors = [Gaussian(np.full(4, m), (1 + m) * np.eye(4)) for m in range(REMEMBERED + 2)]
    jobs = [(user, prior) for user in range(11) for prior in priors]
    found: dict[int, prefq.Question | None] = {}

    def work(part: int) -> None:
        for i in range(part, len(jobs), 4):
            user, prior = jobs[i]
            found[i] = prefq.select_next_question(pool, answers[user], prior=prior, max_questions=None)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, (user, prior) in enumerate(jobs):
        assert found[i] == prefq.select_next_question(make_pool(), answers[user], prior=prior, max_questions=None)


def test_recent_keeps_the_latest_and_no_more() -> None:
    recent, made = Recent[int](2), list[int]()

    def of(key: int) -> int:
        def make() -> int:
            made.append(key)
            return 10 * key

        return recent.get(key, make)

    assert [of(key) for key in (1, 2, 1, 3, 1, 2)] == [10, 20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]  # 2 was asked for longest ago when 3 came
    with pytest.raises(ZeroDivisionError):
        recent.get(4, lambda: 1 // 0)
    assert of(1) == 10
    assert made == [1, 2, 3, 2]
