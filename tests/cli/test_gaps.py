"""prefq pool gaps: what it prints is what the library finds, and a missing extra is one sentence."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import prefq

pytest.importorskip("botorch")

Prefq = Any  # the fixture of conftest.py


def test_gaps_of_the_starter_pool_are_those_the_library_finds(prefq_: Prefq) -> None:
    from prefq.gp import linear_model, synthesize_question

    pool = prefq.load_pool("starter")
    start = pool.starting_point()
    expected = synthesize_question(
        pool, linear_model(start.coefficients, pool.feature_space), rng=np.random.default_rng(3)
    )
    told = prefq_("pool", "gaps", "starter", "--seed", 3, "--json")
    best = "-".join(map(str, pool.pairs[expected.best_row]))

    assert told.code == 0
    assert told.json["ideal_nats"] == pytest.approx(expected.information)
    assert told.json["best_question"] == best
    assert told.json["reached"] == pytest.approx(expected.best_information / expected.information)
    assert set(told.json["ideal_differences"]) == set(pool.feature_space.names)


def test_gaps_are_told_in_sentences(prefq_: Prefq) -> None:
    told = prefq_("pool", "gaps")

    assert told.code == 0
    assert told.out.startswith("A pair of usual items could tell up to 0.34 nats about a new user.\n")
    assert "such a pair differs in playful +2.3, " in told.out
    assert told.out.count("\n") == 4


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['gpytorch'] = None\n"
        "from prefq_cli.app import main\n"
        "sys.argv = ['prefq', 'pool', 'gaps']\n"
        "main()"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert finished.returncode == 1
    assert "prefq.gp needs gpytorch, which is not installed; run `pip install 'prefq[gp]'`." in finished.stderr
    assert "Traceback" not in finished.stderr
