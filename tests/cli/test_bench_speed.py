"""prefq bench speed: plain NumPy does the same job, sizes and peers that cannot run say why, ratios are of one run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prefq
from prefq.questions.acquisition import information_gain
from prefq.questions.margins import PoolMargins
from prefq.questions.selection import choose
from prefq.vocabulary import ResponseModel, parse_question_id
from prefq_cli.bench import plain_numpy
from prefq_cli.bench.memory import N_ANSWERS, make_pool
from prefq_cli.bench.speed import _hopeless
from prefq_cli.bench.timing import Size, bytes_needed, one_user

Prefq = Any  # the fixture of conftest.py

PEERS = '''
"""Peers of which only the first can be timed."""

import time

import numpy as np

from prefq.errors import PrefqError
from prefq.simulation.strategies import Strategy

MAX_CANDIDATES = 7


class Belief:
    def __init__(self, study, history):
        self.study, self.history = study, history

    def next_rows(self):
        assert self.study.open.shape == (1, MAX_CANDIDATES)  # it was told to score all
        assert self.history.rows.shape == (1, 10)
        return np.argmax(self.history.left(self.study.open), axis=1)


def quick(study, *, rng):
    return lambda history: Belief(study, history)


def slow(study, *, rng):
    return lambda history: time.sleep(60)


def greedy(study, *, rng):
    return lambda history: np.ones(2 * 2**30)


def broken(study, *, rng):
    raise PrefqError("the recipe is not whole.")


STRATEGIES = [Strategy(each.__name__, each, "a peer") for each in (quick, slow, greedy, broken)]
'''


@pytest.mark.parametrize("n_features", [4, 16])
def test_plain_numpy_asks_what_prefq_would_by_laplace(n_features: int) -> None:
    rng = np.random.default_rng(n_features)
    for n_questions in (100, 3000):
        pool = make_pool(n_questions, n_features, rng)
        prior = pool.starting_point().coefficients
        first, second = pool.pairs.T
        differences = pool.features[first].astype(np.float64) - pool.features[second]
        assert pool.prompt_codes is not None
        user = prefq.SimulatedUser(rng.multivariate_normal(prior.mean, prior.covariance))
        question, answers = prefq.select_next_question(pool, []), list[prefq.Answer]()
        for _ in range(N_ANSWERS):
            assert question is not None
            answers.append(user.answer(pool, question, rng=rng))
            question = prefq.select_next_question(pool, answers, max_questions=None)
            rows, comparisons = pool.asked(answers)
            sides = np.where([parse_question_id(each.question_id)[0] for each in answers] == first[rows], 1, -1)
            outcomes = (sides * comparisons.outcomes).astype(np.int8)
            row = plain_numpy.select(
                differences, pool.prompt_codes[first], prior.mean, prior.covariance, rows, outcomes
            )
            posterior, _ = prefq.fit_posterior(prior, comparisons)
            margins = PoolMargins.of(pool, prior, ResponseModel()).under(posterior)
            allowed = ~np.isin(np.arange(n_questions), rows)
            assert row == choose(information_gain, margins, rows, allowed).row
        mean, covariance = plain_numpy.fit(prior.mean, prior.covariance, differences[rows], outcomes)
        np.testing.assert_allclose(mean, posterior.mean, atol=1e-8)
        np.testing.assert_allclose(covariance, posterior.covariance, atol=1e-7)


def test_plain_information_agrees_with_the_acquisition() -> None:
    rng = np.random.default_rng(1)
    mean, variance = rng.normal(scale=2, size=500), rng.uniform(0.01, 9, size=500)  # a step of 1.5 logits at most
    ours = information_gain(mean, variance, response_model=prefq.ResponseModel())
    np.testing.assert_allclose(plain_numpy.information_gain(mean, variance), ours, atol=1e-4)


def test_pools_are_of_prompts_whose_pairs_are_all_asked() -> None:
    pool = make_pool(95, 3, np.random.default_rng(0))
    assert (pool.n_questions, pool.n_items) == (95, 30)
    assert pool.features.dtype == np.float32
    assert pool.prompt_codes is not None
    first, second = pool.prompt_codes[pool.pairs].T
    assert (first == second).all()
    assert np.bincount(first).tolist() == [45, 45, 5]
    study, history = one_user(pool, np.random.default_rng(0))
    assert study.differences.shape == (1, 95, 3)
    assert len(set(history.rows[0].tolist())) == N_ANSWERS


def test_a_run_tells_times_in_passes_and_what_could_not_run(prefq_: Prefq, tmp_path: Path) -> None:
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "four.py").write_text(PEERS, encoding="utf-8")
    done = prefq_(
        "bench", "speed", "--questions-in-pool", "60,40", "--features", "3", "--repeats", "2", "--memory", "3",
        "--peers", tmp_path / "peers", "--limit", "0.5", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    first, second = done.json["sizes"]
    assert [first["n_questions"], second["n_questions"], first["n_features"]] == [60, 40, 3]
    for entry in (first, second):
        ms = entry["ms"]
        assert entry["ratio"] == pytest.approx(ms["select"]["cpu"] / ms["pass"]["cpu"], rel=0.01)
        assert all(each["p50"] <= each["p95"] for each in ms.values())
        assert ms["step"]["n"] >= N_ANSWERS
        assert entry["mib"]["peak"] > entry["mib"]["before"] > 10
        assert entry["mib"]["arrays"] >= entry["mib"]["features"]
        assert entry["steps"]["most"] >= entry["steps"]["median"] > 0
        assert entry["users_per_second"] > 1
        assert ms["select"]["p95"] > ms["choose"]["p50"] > 0
        assert entry["peers"]["quick"]["not_run"] is None
        assert entry["peers"]["quick"]["ratio"] > 0
        assert entry["peers"]["slow"]["not_run"] == "slower than 0.5 s a question"
        assert entry["peers"]["greedy"]["not_run"] == "needs more than 3 GiB of memory"
        assert "the recipe is not whole" in entry["peers"]["broken"]["not_run"]
    start = done.json["start_up"]
    assert start["python"]["p50"] < start["first_question"]["p50"]
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "not run: slower than 0.5 s a question" in report
    n_same = sum(entry["same_question"] for entry in (first, second))  # plain NumPy's posterior is Laplace's
    assert f"Plain NumPy chose the same question in {n_same} of 2 sizes." in report

    other = prefq_("bench", "speed", "--features", "2", "--out", tmp_path / "out")
    assert other.code == 5


def test_a_size_beyond_the_memory_is_left_out(prefq_: Prefq, tmp_path: Path) -> None:
    size = Size(10**6, 64, 1, 0, 1.0, 1.0)
    features, differences = 0.22e6 * 64 * 4, 1e6 * 64 * 8
    assert bytes_needed(size) > 3 * features + 2.5 * differences
    said = prefq_(
        "bench",
        "speed",
        "--questions-in-pool",
        "1000000",
        "--features",
        "64",
        "--memory",
        "1",
        "--out",
        tmp_path / "out",
    )
    assert said.code == 0, said.err
    assert "not run: needs about 1.6 GiB of memory, more than 1" in said.out


def test_a_peer_that_was_slow_is_not_tried_on_what_is_hopeless() -> None:
    before = {"n_questions": 1000, "not_run": None, "ms": {"select": {"p50": 2000.0}}}
    assert _hopeless(None, 1000, 60.0) is None
    assert _hopeless(before, 10_000, 60.0) is None  # 20 s
    assert _hopeless(before, 1_000_000, 60.0) == "slower than 60 s a question: 2000 s expected by the size before"
    assert _hopeless({**before, "not_run": "needs more than 6 GiB of memory"}, 10_000, 60.0) is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--questions-in-pool", "10"), "--questions-in-pool is '10'; give whole numbers of 20 or more"),
        (("--questions-in-pool", "1e6"), "--questions-in-pool is '1e6'; give whole numbers"),
        (("--features", "0,8"), "--features is '0,8'; give whole numbers of 1 or more"),
        (("--features", ","), "--features is ','; give whole numbers"),
        (("--repeats", "0"), "--repeats is 0; give 1 or more."),
        (("--memory", "0"), "--memory is 0; give a number above 0."),
        (("--limit", "nan"), "--limit is nan; give a number above 0."),
        (("--seed", "-1"), "--seed is -1; give 0 or more."),
        (("--strategies", "pref_released"), "give their folder with --peers."),
    ],
)
def test_bad_options_are_one_sentence(prefq_: Prefq, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    said = prefq_("bench", "speed", *options, "--out", tmp_path / "out")
    assert said.code == 2
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_names_that_are_no_peers_are_refused(prefq_: Prefq, tmp_path: Path) -> None:
    (tmp_path / "four.py").write_text(PEERS, encoding="utf-8")
    asked = ("bench", "speed", "--peers", tmp_path, "--out", tmp_path / "out", "--strategies")
    assert "'random' is no peer" in prefq_(*asked, "random").err
    assert prefq_(*asked, "nobody").code == 3
    gone = prefq_("bench", "speed", "--peers", tmp_path / "gone")
    assert (gone.code, "there is no folder" in gone.err) == (2, True)
