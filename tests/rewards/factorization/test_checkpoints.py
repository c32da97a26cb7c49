"""Runs that were ended: they come to what they would have come to, go on with no other run, and say what is wrong."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError, MismatchError, StorageError
from prefq.rewards.factorization.base import Factorization
from prefq.rewards.factorization.checkpoints import FILE, Checkpoint
from prefq.rewards.factorization.lore import fit_lore
from prefq.rewards.factorization.pref import fit_pref
from prefq.rewards.factorization.rfm import fit_rfm

Fit = Callable[..., Factorization]
METHODS = {"rfm": fit_rfm, "rfm block": partial(fit_rfm, optimiser="block"), "pref": fit_pref, "lore": fit_lore}


def ended_after(n: int) -> Callable[[str], None]:
    """Ends a run when it is told something for the n-th time."""
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(what)
        if len(told) == n:
            raise KeyboardInterrupt

    return tell


def same(one: Factorization, other: Factorization) -> bool:
    """Bit for bit."""
    arrays = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one[:2], other[:2], strict=True))
    return arrays and one.info == other.info


@pytest.mark.parametrize("fit", METHODS.values(), ids=METHODS.keys())
@pytest.mark.parametrize("held_out", [True, False])
def test_an_ended_run_comes_to_what_it_would_have_come_to(small: Any, fit: Fit, held_out: bool, tmp_path: Path) -> None:
    """Ended between savings, at one, and after the last step."""
    options = {"validation": small.held_out if held_out else None, "n_steps": 130}
    run = partial(fit, small.encodings, small.group, 3, **options)
    whole = run(rng=np.random.default_rng(4))
    for n in (3, 2, 9, 1):  # each goes on from what the one before had kept
        with pytest.raises(KeyboardInterrupt):
            run(rng=np.random.default_rng(4), checkpoints=tmp_path / "run", on_step=ended_after(n))
    assert same(run(rng=np.random.default_rng(4), checkpoints=tmp_path / "run"), whole)
    said: list[str] = []
    assert same(run(rng=np.random.default_rng(4), checkpoints=tmp_path / "run", on_step=said.append), whole)
    assert said == []  # nothing was left to do
    assert [each.name for each in (tmp_path / "run").iterdir()] == [FILE]


@pytest.mark.parametrize(
    "change",
    [{"rng": np.random.default_rng(5)}, {"n_features": 2}, {"ridge": 3.0}, {"validation": None}, {"n_steps": 7}],
    ids=lambda change: next(iter(change)),
)
def test_a_run_of_another_seed_options_or_data_is_refused(small: Any, change: dict[str, Any], tmp_path: Path) -> None:
    options = {"n_features": 3, "ridge": 10.0, "validation": small.held_out, "n_steps": 20, "checkpoints": tmp_path}
    fit_rfm(small.encodings, small.group, rng=np.random.default_rng(4), **options)
    with pytest.raises(MismatchError, match="is of other comparisons, encodings, options or another seed; give these"):
        fit_rfm(small.encodings, small.group, **({"rng": np.random.default_rng(4)} | options | change))


def test_a_run_of_other_encodings_or_outcomes_is_refused(small: Any, tmp_path: Path) -> None:
    run = partial(fit_rfm, n_features=3, n_steps=5, checkpoints=tmp_path)
    run(small.encodings, small.group, rng=np.random.default_rng(4))
    for encodings, group in ((2 * small.encodings, small.group), (small.encodings, small.group.of_rows(np.arange(99)))):
        with pytest.raises(MismatchError, match="another seed"):
            run(encodings, group, rng=np.random.default_rng(4))


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"damaged" * 9])
def test_a_damaged_run_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match="is no training run that this prefq reads; remove it"):
        Checkpoint(tmp_path, "0").load()


def test_a_run_cut_short_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "0")
    checkpoint.save({"step": 3}, {"values.heads": np.ones((40, 2))})
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-8])
    with pytest.raises(InputError, match="is no training run"):
        checkpoint.load()


def test_what_is_kept_comes_back_and_is_replaced(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new" / "folder", "0")
    assert checkpoint.load() is None
    for step in (1, 2):
        heads = np.arange(6.0).reshape(3, 2).T / step  # by columns
        checkpoint.save({"step": step, "train": [0.5, float("inf")]}, {"values.heads": heads})
    found = checkpoint.load()
    assert found is not None
    assert found[0] == {"step": 2, "train": [0.5, float("inf")]}
    np.testing.assert_array_equal(found[1]["values.heads"], heads)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(StorageError, match=r"cannot be written to .*file.*; free space or give another folder"):
        Checkpoint(tmp_path / "file", "0").save({}, {"values.heads": np.ones(1)})
