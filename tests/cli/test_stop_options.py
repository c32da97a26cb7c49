"""prefq onboard and ask with --stop: budgets, reasons and refusals."""

from pathlib import Path
from typing import Any

import pytest

Prefq = Any  # the fixture of conftest.py


def test_a_rule_ends_the_session_and_says_why(prefq_: Prefq, pool_folder: Path) -> None:
    asked = ("onboard", "--pool", pool_folder, "--stop", "settled", "--sure", 0.6)
    done = prefq_(*asked, "--json", keys="1\n2\n" * 10)

    assert done.code == 0
    assert done.json["session"]["stop"] == "settled"
    assert done.json["session"]["n_answers"] < 12
    assert done.json["session"]["stopped"].endswith("of pairs are expected the wrong way round, 40% may be.")
    assert "1 of at most 12. " in done.err
    assert "of pairs expected the wrong way round, 40% may be" in done.err


@pytest.mark.parametrize(("options", "budget"), [((), 10), (("--stop", "budget"), 10), (("--stop", "little-left"), 20)])
def test_a_rule_comes_with_a_larger_budget(prefq_: Prefq, options: tuple[str, ...], budget: int) -> None:
    progress = prefq_("ask", "--user", "bo", *options).json["progress"]
    assert progress["max_questions"] == budget
    assert progress["settled"] is None
    assert prefq_("ask", "--user", "cy", *options, "--max-questions", 4).json["progress"]["max_questions"] == 4


def test_what_a_session_was_begun_with_holds(prefq_: Prefq, pool_folder: Path) -> None:
    prefq_("ask", "--user", "bo", "--pool", pool_folder, "--stop", "little_left")
    other = prefq_("ask", "--user", "bo", "--stop", "budget")
    assert other.code == 5
    assert "was begun with --stop little_left, not budget; go on without --stop" in other.err
    assert prefq_("ask", "--user", "bo", "--stop", "little-left").code == 0
    plain = prefq_("ask", "--user", "di", "--pool", pool_folder)
    assert plain.json["progress"]["settled"] is None
    assert "was begun with --stop budget, not settled" in prefq_("ask", "--user", "di", "--stop", "settled").err


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (("--stop", "soon"), 3, "there is no stopping rule 'soon'; choose one of settled, little_left."),
        (("--sure", 0.8), 2, "sure is 0.8, which only stop='settled' takes; give both or neither."),
        (("--stop", "settled", "--sure", 1.5), 2, "sure is 1.5; give a share above 0.5 and below 1, such as 0.9."),
    ],
)
def test_what_makes_no_sense_is_refused(prefq_: Prefq, options: tuple[object, ...], code: int, problem: str) -> None:
    done = prefq_("ask", "--user", "bo", *options)
    assert (done.code, done.err) == (code, f"Error: {problem}\n")
