"""prefq bench calibration: the same numbers on one worker and two, worlds kept, what is counted told, bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow.parquet import read_table

Prefq = Any  # the fixture of conftest.py

WORLDS = ("bench", "calibration", "--world", "gaussian(3)", "--users", "12", "--worlds", "2", "--answers", "4,2")
SMALL = (*WORLDS, "--exact", "5", "--true-prior")  # which takes no time to fit


def test_numbers_do_not_depend_on_workers_and_finished_worlds_are_kept(prefq_: Prefq, tmp_path: Path) -> None:
    one = prefq_(*SMALL, "--workers", "1", "--out", tmp_path / "one", "--json")
    assert one.code == 0, one.err
    two = prefq_(*SMALL, "--workers", "2", "--out", tmp_path / "two", "--json").json
    for name in ("calibration", "sbc", "goals", "settings", "text", "notes"):
        assert one.json[name] == two[name]
    users = [read_table(tmp_path / folder / "users.parquet") for folder in ("one", "two")]
    for name in users[0].column_names:
        np.testing.assert_array_equal(*(table[name].to_numpy() for table in users))  # for which one NaN is another

    next((tmp_path / "one" / "parts").glob("001-*")).unlink()
    again = prefq_(*SMALL, "--out", tmp_path / "one", "--json")
    assert "1 to do, 1 are there" in again.err
    assert again.json["calibration"] == two["calibration"]
    assert prefq_(*SMALL, "--seed", "1", "--out", tmp_path / "one").code == 5
    assert prefq_(*SMALL[:-1], "--out", tmp_path / "one").code == 5


def test_the_summary_says_what_the_rows_say(prefq_: Prefq, tmp_path: Path) -> None:
    done = prefq_(*SMALL, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    found = prefq_(*SMALL, "--out", tmp_path / "out", "--json").json
    rows = read_table(tmp_path / "out" / "users.parquet").to_pydict()
    assert len(rows["world"]) == 2 * 12 * 3 * 2  # worlds, users, methods, numbers of answers
    columns = {name: np.array(values) for name, values in rows.items()}
    for method in ("laplace", "ep"):
        told = found["calibration"]["methods"][method]
        for k in (2, 4):
            here = (columns["method"] == method) & (columns["n_answers"] == k)
            means = [columns["coefficient_90"][here & (columns["world"] == world)].mean() for world in (0, 1)]
            at = told["answers"][str(k)]
            assert at["coefficient_90"]["mean"] == pytest.approx(np.mean(means), abs=1e-3)
            assert at["coefficient_90"]["se"] == pytest.approx(abs(means[0] - means[1]) / 2, abs=1e-3)
            bins = at["reliability"]
            assert sum(bins["count"]) == 2 * 12 * 600
            parts = zip(bins["count"], bins["predicted"], bins["share"], strict=True)
            error = sum(n * abs(p - share) for n, p, share in parts if n) / sum(bins["count"])
            assert at["ece"]["mean"] == pytest.approx(error, abs=1e-3)
    assert found["sbc"]["users"] == 24
    assert set(found["sbc"]["methods"]) == {"laplace", "ep", "exact"}
    for each in found["sbc"]["methods"].values():
        inside = [
            low <= share <= high for low, share, high in zip(each["lower"], each["shares"], each["upper"], strict=True)
        ]
        assert each["passed"] == all(inside)

    at = found["calibration"]["methods"]["ep"]["answers"]["4"]
    checks = {(each["what"], each["answers"]): each for each in found["goals"]["checks"]}
    assert len(checks) == 2 * 5 + 1
    covered = checks["coverage of coefficients' 90% intervals", 4]
    assert covered["reached"] == at["coefficient_90"]["mean"]
    assert covered["within"] == 0.02
    assert covered["met"] == (abs(at["coefficient_90"]["mean"] - 0.9) <= 0.02)
    assert checks["expected calibration error", 4]["met"] == (at["ece"]["mean"] <= 0.02)
    n_met = sum(each["met"] for each in checks.values())
    assert f"{n_met} of 11 promises kept" in found["text"]

    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for text in (done.out, report):
        assert "nominal 90 % intervals of coefficients cover" in text
        assert f"EP: {n_met} of 11 promises kept" in text
        assert "The exact posterior is counted for the first 5 users of each world." in text
        assert "each world's own population, an ablation" in text


def test_worlds_without_linear_margins_are_measured_as_far_as_they_go(prefq_: Prefq, tmp_path: Path) -> None:
    asked = ("bench", "calibration", "--world", "unlike_noise", "--users", "8", "--worlds", "1", "--answers", "3")
    done = prefq_(*asked, "--out", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert done.json["sbc"] is None
    at = done.json["calibration"]["methods"]["ep"]["answers"]["3"]
    assert at["coefficient_90"]["mean"] is None
    assert 0.3 < at["margin_90"]["mean"] <= 1
    assert "nominal 90 % intervals of margins cover" in done.json["text"]
    assert "as these do not" in done.json["text"]
    assert "learned from a group" in done.json["notes"][0]
    assert "One world: ± is one standard error over its 8 users" in done.json["notes"][1]
    assert done.json["goals"]["tolerance"] == 0.03


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--world", "nowhere"), 3, "there is no world 'nowhere'"),
        (("--world", "gaussian(0)"), 2, "d of the world 'gaussian' is '0'"),
        (("--answers", "ten"), 2, "--answers is 'ten'; give whole numbers of 1 or more"),
        (("--answers", "2001"), 2, "--answers has 2001, and a pool of the world 'gaussian(6)' has 2000 questions"),
        (("--users", "0"), 2, "--users is 0; give 1 or more."),
        (("--worlds", "-1"), 2, "--worlds is -1; give 1 or more."),
        (("--workers", "0"), 2, "--workers is 0; give 1 or more."),
        (("--exact", "-1"), 2, "--exact is -1; give 1 or more."),
        (("--seed", "-1"), 2, "--seed is -1; give 0 or more."),
        (("--world", "clustered", "--true-prior"), 2, "have no one Gaussian prior; leave --true-prior out."),
    ],
)
def test_bad_input_is_one_sentence(
    prefq_: Prefq, tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    said = prefq_("bench", "calibration", *options, "--out", tmp_path / "out")
    assert said.code == code
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
