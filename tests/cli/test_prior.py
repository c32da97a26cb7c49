"""prefq prior: from a group's answers to a prior that a pool carries, and what is said of it."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import prefq
from prefq.inference.population import fit_population_prior
from prefq.profiles.summary import UNLIKE_THE_GROUP

Prefq = Any  # the fixture of conftest.py
Rows = Sequence[Mapping[str, Any]]
TASTE = np.array([3.0, -1.0, 0.0])


def answers_to(pool: prefq.CandidatePool, n_users: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """People who all have about one taste answer every question of the pool, two of them not."""
    rows = []
    for user in range(n_users):
        margins = (pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]]) @ (TASTE + rng.normal(size=3))
        replies = np.where(rng.random(len(margins)) < 1 / (1 + np.exp(-margins)), "first", "second").tolist()
        replies[:2] = ["skip", "both_bad"]
        rows += [
            {"user_id": f"u{user}", "question_id": f"{first}-{second}", "choice": choice}
            for (first, second), choice in zip(pool.pairs.tolist(), replies, strict=True)
        ]
    return rows


def write(rows: Rows, path: Path) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


@pytest.fixture
def rows(pool_folder: Path) -> list[dict[str, Any]]:
    return answers_to(prefq.load_pool(pool_folder), 12, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_prior(
    prefq_: Prefq, pool_folder: Path, rows: Rows, tmp_path: Path, kind: str
) -> None:
    path, output = write(rows, tmp_path / f"answers.{kind}"), tmp_path / "prior.json"
    told = prefq_("prior", "fit", path, "--pool", pool_folder, "--components", 1, "--output", output, "--json")
    assert told.code == 0, told.err
    pool = prefq.load_pool(pool_folder)
    differences = pool.features[pool.pairs[2:, 0]] - pool.features[pool.pairs[2:, 1]]
    outcomes = [1 if row["choice"] == "first" else -1 for row in rows if row["choice"] in ("first", "second")]
    users = np.repeat(np.arange(12), len(differences))
    expected = fit_population_prior(
        np.tile(differences, (12, 1)),
        outcomes,
        users,
        scales=pool.feature_scales(),
        feature_space=pool.feature_space,
    )
    found = prefq.PopulationPrior.from_dict(json.loads(output.read_text()))
    assert found.feature_space == pool.feature_space
    np.testing.assert_allclose(found.coefficients.mean, expected.coefficients.mean, atol=1e-6)
    assert told.json["fit"]["n_answers"] == 120
    assert told.json["axes"]["thorough"]["mean"] == pytest.approx(found.coefficients.mean[0])
    assert "Fitting the prior" in told.err


def test_a_pool_carries_the_prior_and_sessions_begin_with_it(
    prefq_: Prefq, pool_folder: Path, rows: Rows, tmp_path: Path
) -> None:
    fitted = tmp_path / "fitted"
    path = write(rows, tmp_path / "answers.csv")
    assert prefq_("prior", "fit", path, "--pool", pool_folder, "--into", fitted).code == 0
    start = prefq.load_pool(fitted).starting_point()
    assert start.n_users == 12
    assert start.coefficients.mean[0] > 1
    assert prefq_("onboard", "--pool", fitted, "--max-questions", 1, "--json", keys="1\n").code == 0
    assert prefq_("prior", "show", fitted, "--json").json["n_users"] == 12


@pytest.fixture
def fitted(prefq_: Prefq, pool_folder: Path, rows: Rows, tmp_path: Path) -> Path:
    """A prior that was fitted on answers to the pool's questions, in a file."""
    path = write(rows, tmp_path / "answers.csv")
    assert prefq_("prior", "fit", path, "--pool", pool_folder, "--output", tmp_path / "prior.json").code == 0
    return tmp_path / "prior.json"


def test_a_session_begins_with_a_prior_from_a_file_and_keeps_it(prefq_: Prefq, pool_folder: Path, fitted: Path) -> None:
    prior = prefq.PopulationPrior.from_dict(json.loads(fitted.read_text()))
    begun = prefq_("ask", "--pool", pool_folder, "--prior", fitted, "--max-questions", 3).json
    pool = prefq.load_pool(pool_folder)
    expected = prefq.select_next_question(pool, [], prior=prior)
    assert expected is not None
    assert begun["question"]["id"] in (expected.id, f"{expected.second.item}-{expected.first.item}")
    fitted.unlink()  # the file may go: the session has what it needs
    early = prefq_("onboard", "--pool", pool_folder, "--json", keys="1\n")
    assert (early.code, early.json["session"]["prior_digest"]) == (4, prior.digest())
    done = prefq_("onboard", "--json", keys="2\n1\n")
    assert (done.code, done.json["session"]["id"]) == (0, begun["session_id"])
    assert prefq.Profile.from_dict(done.json["profile"]).prior == prior
    other = prefq_("ask", "--pool", pool_folder, "--user", "ben").json
    assert prefq_("onboard", "--user", "ben", "--json", keys="").json["session"]["prior_digest"] != prior.digest()
    assert other["session_id"] != begun["session_id"]


def test_a_session_goes_on_with_its_own_prior_only(
    prefq_: Prefq, pool_folder: Path, fitted: Path, tmp_path: Path
) -> None:
    begun = prefq_("ask", "--pool", pool_folder, "--prior", fitted).json["session_id"]
    assert prefq_("ask", "--prior", fitted).json["session_id"] == begun
    told = json.loads(fitted.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**told, "n_users": told["n_users"] + 1}))
    for command in (("ask",), ("onboard", "--json")):
        refused = prefq_(*command, "--prior", other)
        assert (refused.code, refused.out) == (5, "")
        assert "was begun with another prior than that of --prior" in refused.err
        assert "--new" in refused.err
    new = prefq_("ask", "--pool", pool_folder, "--prior", other, "--new")
    assert (new.code, new.json["session_id"] != begun) == (0, True)
    answers = prefq_("prior", "fit", "--from-sessions", "--pool", pool_folder, "--output", tmp_path / "again.json")
    assert "none of the 2 sessions in the store has answers" in answers.err
    prefq_("onboard", "--session", begun, "--json", keys="1\n1\n")
    again = prefq_("prior", "fit", "--from-sessions", "--pool", pool_folder, "--output", tmp_path / "again.json")
    assert again.code == 0, "answers of sessions with a prior of their own teach the next prior, too"


def test_who_does_not_fit_the_group_is_told_so_in_json_and_on_the_screen(
    prefq_: Prefq, pool_folder: Path, tmp_path: Path
) -> None:
    pool = prefq.load_pool(pool_folder)
    sure = prefq.PopulationPrior(prefq.Gaussian([4.0, 0, 0], 0.2 * np.eye(3)), pool.feature_space, n_users=50)
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(sure.to_dict()))
    ask, replies = ("--pool", pool_folder, "--acquisition", "random", "--max-questions", 8, "--seed", 1), []
    session = prefq_("ask", *ask, "--prior", path).json
    while session["question"] is not None:
        first, second = map(int, session["question"]["id"].split("-"))
        replies.append("second" if pool.features[first, 0] > pool.features[second, 0] else "first")
        prefq_("tell", "--session", session["session_id"], session["question"]["id"], replies[-1])
        session = prefq_("ask", "--session", session["session_id"]).json
    assert max(session["progress"]["remaining"].values()) <= 1
    shown = prefq_("profile", "show", "--json").json
    assert shown["taste"] == [UNLIKE_THE_GROUP]
    assert shown["sentences"][0] == UNLIKE_THE_GROUP
    assert len(shown["sentences"]) > 1
    assert prefq_("profile", "show").out.splitlines()[1] == UNLIKE_THE_GROUP


def test_a_prior_that_does_not_fit_the_pool_is_refused_in_a_sentence(
    prefq_: Prefq, pool_folder: Path, fitted: Path, tmp_path: Path
) -> None:
    for command in (("ask",), ("onboard", "--json")):
        refused = prefq_(*command, "--prior", fitted)  # the starter pool, of other features
        assert (refused.code, refused.out, refused.err.count("\n")) == (5, "", 1)
        assert "the prior belongs to another feature space (3 features thorough, warm, playful" in refused.err
    missing = prefq_("ask", "--pool", pool_folder, "--prior", tmp_path / "no.json")
    assert (missing.code, missing.err.count("\n")) == (3, 1)
    (tmp_path / "bad.json").write_text("{}")
    assert prefq_("ask", "--pool", pool_folder, "--prior", tmp_path / "bad.json").code == 2
    assert prefq_("ask", "--pool", pool_folder, "--prior", tmp_path).code == 2
    assert prefq_("sessions", "--json").json["sessions"] == []


def test_answers_in_the_store_teach_a_prior(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    for user in ("ada", "ben"):
        prefq_("onboard", "--user", user, "--pool", pool_folder, "--max-questions", 4, "--json", keys="1\n2\n1\n1\n")
    output = tmp_path / "prior.json"
    told = prefq_("prior", "fit", "--from-sessions", "--pool", pool_folder, "--output", output, "--json")
    assert (told.code, told.json["n_users"], told.json["fit"]["n_answers"]) == (0, 2, 8)
    other = prefq_("prior", "fit", "--from-sessions", "--output", tmp_path / "other.json")
    assert other.code == 2
    assert "none of the 2 sessions" in other.err


def test_differences_need_no_pool(prefq_: Prefq, tmp_path: Path) -> None:
    rows = [
        {"user_id": user, "choice": choice, "difference_warm": warm, "difference_brief": 1.0, "strength": 0.4}
        for user, choice, warm in (("a", "first", 1.0), ("a", "second", -1.0), ("b", "tie", 0.2), ("b", "first", 2.0))
    ]
    output = tmp_path / "prior.json"
    assert prefq_("prior", "fit", write(rows, tmp_path / "d.parquet"), "--output", output).code == 0
    shown = prefq_("prior", "show", output)
    assert "warm" in shown.out
    assert "brief" in shown.out
    assert "Ties are given" in shown.out
    assert "from 2 users. So few people say little about others: treat it as a guess." in shown.out


def test_the_bundled_pool_has_a_name_here_too(prefq_: Prefq) -> None:
    assert "from no group; it is a guess." in prefq_("prior", "show", "starter").out


def test_groups_and_those_without_a_taste_are_named(prefq_: Prefq, tmp_path: Path) -> None:
    camps = prefq.GaussianMixture(
        [0.5, 0.3, 0.2], [prefq.Gaussian([mean], [[variance]]) for mean, variance in ((2, 1), (-2, 1), (0, 0))]
    )
    model = prefq.ResponseModel(position_bias=-0.3, lapse_rate=0.1)
    prior = prefq.PopulationPrior(camps, prefq.FeatureSpace(["warm"]), model, 40, 2)
    path = tmp_path / "prior.json"
    path.write_text(json.dumps(prior.to_dict()))
    told = prefq_("prior", "show", path)
    for words in ("2 groups", "50%", "30%", "20% are expected to have no taste", "shown second", "Of the replies, 10%"):
        assert words in told.out
    values = prefq_("prior", "show", path, "--json").json
    assert values["no_personal_taste"] == pytest.approx(0.2)
    assert [group["mean"]["warm"] for group in values["groups"]] == [2, -2]


def test_whose_spread_it_is_is_said_before_the_numbers(prefq_: Prefq, tmp_path: Path) -> None:
    point = prefq.GaussianMixture([0.03, 0.97], [prefq.Gaussian([1.0], [[4.0]]), prefq.Gaussian([1.0], [[0.0]])])
    path = tmp_path / "prior.json"
    space = prefq.FeatureSpace(["warm"])
    path.write_text(json.dumps(prefq.PopulationPrior(point, space, n_users=40, impersonal=1).to_dict()))
    told = prefq_("prior", "show", path).out.splitlines()
    assert told[1:3] == [
        "Of new users, 97% are expected to have no taste of their own: they choose as all do.",
        "The spread below is that of the other 3%.",
    ]
    assert [line.split() for line in told[3:]] == [["axis", "mean", "spread"], ["warm", "+1.00", "2.00"]]
    path.write_text(json.dumps(prefq.PopulationPrior(point, space, impersonal=1).to_dict()))
    assert "no taste of their own: they choose by chance." in prefq_("prior", "show", path).out
    plain = prefq.PopulationPrior(prefq.Gaussian([1.0], [[4.0]]), space, prefq.ResponseModel(lapse_rate=0.004), 40)
    path.write_text(json.dumps(plain.to_dict()))
    told = prefq_("prior", "show", path).out.splitlines()
    assert told[1].split() == ["axis", "mean", "spread"]
    assert told[-1] == "Of the replies, below 1% are careless."


def test_nothing_is_overwritten_unless_it_is_asked_for(
    prefq_: Prefq, pool_folder: Path, rows: Rows, tmp_path: Path
) -> None:
    answers, output, into = write(rows, tmp_path / "answers.csv"), tmp_path / "prior.json", tmp_path / "fitted"
    output.write_text("mine")
    for place in (("--output", output), ("--into", pool_folder)):
        refused = prefq_("prior", "fit", answers, "--pool", pool_folder, *place)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)  # at once, before anything is fitted
        assert "is there already; give another name, or --force to replace it." in refused.err
    assert output.read_text() == "mine"
    assert prefq.load_pool(pool_folder).prior is None
    into.mkdir()
    fit = ("prior", "fit", answers, "--pool", pool_folder, "--components", 1)
    assert prefq_(*fit, "--output", output, "--into", into, "--force").code == 0
    assert prefq_("prior", "show", output).code == 0
    assert prefq_(*fit, "--into", into).code == 2
    assert prefq_(*fit, "--into", into, "--force").code == 0
    nowhere = prefq_(*fit, "--output", tmp_path / "no" / "prior.json")
    assert (nowhere.code, nowhere.out, nowhere.err.count("\n")) == (3, "", 1)  # before anything is fitted, too
    assert "there is no folder" in nowhere.err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"user_id": "a", "question_id": "0-1"}], "expected choice too"),
        ([{"user_id": "a", "question_id": "0-1", "choice": "left"}], "row 1 of answers.jsonl: choice is 'left'"),
        ([{"user_id": "", "question_id": "0-1", "choice": "first"}], "row 1 of answers.jsonl has no user_id"),
        (
            [{"user_id": "a", "question_id": "0-9", "choice": "first"}],
            "row 1 of answers.jsonl: question '0-9' is not in the pool",
        ),
        ([{"user_id": "a", "question_id": "0-1", "choice": "skip"}], "no answer says which"),
        ([{"user_id": "a", "choice": "first"}], "neither question_id nor columns difference_NAME"),
        ([{"user_id": "a", "choice": "first", "difference_x": 1.0}], "has differences of x and the pool the features"),
        ([{"user_id": "a", "choice": "first", "difference_x": "wide"}], "has differences of x"),
        ([{"user_id": "a", "question_id": "0-1", "choice": "first", "strength": 7}], "strength is 7"),
    ],
)
def test_wrong_answers_are_refused_in_a_sentence(
    prefq_: Prefq, pool_folder: Path, tmp_path: Path, rows: Rows, message: str
) -> None:
    path, output = write(rows, tmp_path / "answers.jsonl"), tmp_path / "prior.json"
    told = prefq_("prior", "fit", path, "--pool", pool_folder, "--output", output)
    assert (told.code, told.out) == (2, "")
    assert message in told.err
    assert not output.exists()


def test_a_broken_line_is_named(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    good, path = '{"user_id": "a", "question_id": "0-1", "choice": "first"}\n', tmp_path / "answers.jsonl"
    for broken in ('{"user_id": "a", ', "[1]"):
        path.write_text(f"{good}\n{broken}\n{good}")
        told = prefq_("prior", "fit", path, "--pool", pool_folder, "--output", tmp_path / "prior.json")
        assert told.err == "Error: line 3 of answers.jsonl is no JSON object; give one an answer.\n"


def test_the_row_of_a_question_that_is_not_in_the_pool_is_named(
    prefq_: Prefq, pool_folder: Path, rows: Rows, tmp_path: Path
) -> None:
    path = write([*rows[:7], {**rows[0], "question_id": "0-9"}, *rows[7:]], tmp_path / "answers.csv")
    told = prefq_("prior", "fit", path, "--pool", pool_folder, "--output", tmp_path / "prior.json")
    assert (told.code, "row 8 of answers.csv: question '0-9' is not in the pool" in told.err) == (2, True)


def fit_of_one_feature(prefq_: Prefq, folder: Path, choices: Sequence[str], scale: float = 1.0) -> Any:
    """What is said of a prior fitted on three people's replies to random differences in one feature."""
    differences = scale * np.random.default_rng(2).normal(size=len(choices))
    rows = [
        {"user_id": "abc"[i % 3], "choice": choice, "difference_price": float(differences[i])}
        for i, choice in enumerate(choices)
    ]
    path = write(rows, folder / "d.csv")
    return prefq_("prior", "fit", path, "--components", 1, "--output", folder / "prior.json", "--force")


def test_a_log_of_one_side_and_one_of_ties_are_pointed_out(prefq_: Prefq, tmp_path: Path) -> None:
    one_sided, at_bound = "Warning: every preference is for the", "Warning: the tie threshold is at its upper bound"
    for choices, side in ((["first"] * 12, "first"), (["second"] * 11 + ["tie"], "second")):
        told = fit_of_one_feature(prefq_, tmp_path, choices)
        assert f"{one_sided} {side} response." in told.err
        assert at_bound not in told.err
    assert at_bound in fit_of_one_feature(prefq_, tmp_path, ["tie"] * 30).err
    for choices in (["first"] * 9, ["first"] * 11 + ["second"]):
        told = fit_of_one_feature(prefq_, tmp_path, choices)
        assert (told.code, "Warning" in told.err) == (0, False)


def test_what_was_written_and_how_to_begin_with_it_is_said(prefq_: Prefq, pool_folder: Path, tmp_path: Path) -> None:
    told = fit_of_one_feature(prefq_, tmp_path, ["first", "second", "tie"])
    output, into = tmp_path / "prior.json", tmp_path / "fitted"
    assert told.err.splitlines()[-1] == (f"Wrote {output}. Begin with it: prefq onboard --pool POOL --prior {output}")
    answer = write([{"user_id": "a", "question_id": "0-1", "choice": "first"}], tmp_path / "one.csv")
    where = ("--output", output, "--into", into, "--force", "--json")
    told = prefq_("prior", "fit", answer, "--pool", pool_folder, *where)
    assert told.json["n_users"] == 1
    assert told.err.splitlines()[-2:] == [
        f"Wrote {output}. Begin with it: prefq onboard --pool {pool_folder} --prior {output}",
        f"Saved the pool with this prior in {into}. Begin with it: prefq onboard --pool {into}",
    ]


@pytest.mark.parametrize("unit", [1e8, 1e-8])
def test_three_digits_are_shown_in_whatever_unit(prefq_: Prefq, tmp_path: Path, unit: float) -> None:
    choices = ["first", "second", "second", "tie", "first", "first"]
    shown = fit_of_one_feature(prefq_, tmp_path, choices, unit).out.splitlines()
    prior = prefq.PopulationPrior.from_dict(json.loads((tmp_path / "prior.json").read_text()))
    row = next(line.split() for line in shown if line.startswith("price"))
    own = prior.coefficients.components[0]
    for cell, value in zip(row[1:], (own.mean[0], own.sd[0]), strict=True):
        assert float(cell) == pytest.approx(value, rel=5e-3)
    assert re.fullmatch(r"[+-]\d\.\d\d(e[+-]\d\d)?|[+-]\d+", row[1])


def test_what_is_missing_is_named(prefq_: Prefq, tmp_path: Path) -> None:
    assert prefq_("prior", "fit", tmp_path / "no.csv", "--output", tmp_path / "p.json").code == 3
    assert prefq_("prior", "show", tmp_path / "no.json").code == 3
    assert "the prior would be lost" in prefq_("prior", "fit", tmp_path / "no.csv").err
    assert "give a file, or --from-sessions" in prefq_("prior", "fit", "--output", tmp_path / "p.json").err
    (tmp_path / "a.txt").write_text("x")
    assert "of no known kind" in prefq_("prior", "fit", tmp_path / "a.txt", "--output", tmp_path / "p.json").err
