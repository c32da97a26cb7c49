"""Parts: no train row holds a test user or a test prompt, and a part depends on nothing but the seed and the id."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.errors import InputError
from prefq.rewards.group import GroupComparisons
from prefq.rewards.logs import TextComparisons, read_comparisons
from prefq.rewards.logs.draws import hashes_of, keep_order, mixed
from prefq.rewards.logs.splits import LEAST_PROMPTS, LEAST_USERS, Part, Splits, make_splits


def names(n: int, kind: str, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return hashes_of((f"{kind}{number}".encode() for number in range(n)), seed, kind)


@given(
    n_users=st.integers(1, 60),
    n_prompts=st.integers(1, 60),
    n_rows=st.integers(0, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_part_holds_what_is_another_part_s(n_users: int, n_prompts: int, n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prompts = rng.integers(n_prompts, size=n_rows)
    group = GroupComparisons(
        np.column_stack([2 * prompts, 2 * prompts + 1]),
        np.ones(n_rows, dtype=np.int8),
        rng.integers(n_users, size=n_rows),
        tuple(map(str, range(n_users))),
        np.repeat(np.arange(n_prompts), 2),
    )
    splits = make_splits(names(n_users, "user", seed), names(n_prompts, "prompt", seed))
    rows = {name: getattr(splits, name)(group) for name in ("train", "validation", "test", "history")}

    taken = np.concatenate(list(rows.values()))
    assert len(np.unique(taken)) == len(taken), "no row is in two parts"
    for name, part in (("train", Part.TRAIN), ("validation", Part.VALIDATION), ("test", Part.TEST)):
        assert (splits.users[group.users[rows[name]]] == part).all()
    unseen = set(prompts[rows["test"]].tolist()) if splits.prompts_are_split else set()
    for name in ("train", "validation", "history"):
        assert unseen.isdisjoint(prompts[rows[name]].tolist())
    seen_users = set(group.users[np.r_[rows["train"], rows["validation"]]].tolist())
    assert seen_users.isdisjoint(group.users[np.r_[rows["test"], rows["history"]]].tolist())
    on_split_prompts = splits.prompts[prompts] == Part.TEST
    is_left_out = ~np.isin(np.arange(n_rows), taken)
    np.testing.assert_array_equal(is_left_out, on_split_prompts & (splits.users[group.users] != Part.TEST))


def test_shares_are_kept() -> None:
    splits = make_splits(names(20_000, "user"), names(20_000, "prompt"))

    np.testing.assert_allclose(np.bincount(splits.users) / 20_000, [0.7, 0.15, 0.15], atol=0.01)
    np.testing.assert_allclose(np.bincount(splits.prompts, minlength=3) / 20_000, [0.8, 0, 0.2], atol=0.01)


def test_few_are_not_split() -> None:
    splits = make_splits(names(LEAST_USERS - 1, "user"), names(LEAST_PROMPTS - 1, "prompt"))

    assert not splits.users.any()
    assert not splits.prompts_are_split


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.6, -0.1), (0.5, 0.2, 0.2)])
def test_shares_that_are_none(shares: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="give \\(train, validation, test\\), shares that sum to one"):
        make_splits(names(20, "user"), names(20, "prompt"), user_shares=shares)


def test_prompts_are_for_train_or_test() -> None:
    with pytest.raises(InputError, match="give \\(train, 0, test\\)"):
        make_splits(names(20, "user"), names(20, "prompt"), prompt_shares=(0.6, 0.2, 0.2))
    with pytest.raises(InputError, match="users hold another part"):
        Splits(np.array([3], dtype=np.int8), np.array([0], dtype=np.int8))


def rows_of(users: range, prompts: range) -> list[dict[str, str]]:
    return [
        {"user_id": f"u{u}", "prompt": f"p{p}", "response_a": "x", "response_b": "y", "choice": "a"}
        for u in users
        for p in prompts
    ]


def parts(found: TextComparisons) -> tuple[dict[str, int], dict[str, int]]:
    """Part of each user by id, and of each prompt by text."""
    texts = dict(zip(found.group.prompt_codes.tolist(), found.prompts, strict=True))
    users = dict(zip(found.group.user_ids, found.splits.users.tolist(), strict=True))
    return users, {texts[code]: part for code, part in enumerate(found.splits.prompts.tolist())}


def test_what_is_added_later_moves_nobody(write: Any, tmp_path: Path) -> None:
    before = parts(read_comparisons(write(rows_of(range(30), range(25)))))
    more = rows_of(range(50), range(40))
    after = parts(read_comparisons(write(more[::-1], "more.csv")))

    for early, late in zip(before, after, strict=True):
        assert early == {name: late[name] for name in early}
        assert set(late.values()) >= {0, 2}
    assert parts(read_comparisons(write(more), seed=1)) != after


def test_sides_are_fair_and_do_not_depend_on_how_the_pair_came() -> None:
    users, firsts, seconds = names(20_000, "u"), names(20_000, "first"), names(20_000, "second")
    kept = keep_order(users, firsts, seconds)

    assert abs(kept.mean() - 0.5) < 4 * 0.5 / np.sqrt(20_000)
    np.testing.assert_array_equal(keep_order(users, seconds, firsts), ~kept)
    others = keep_order(names(20_000, "v"), firsts, seconds)
    assert abs((kept == others).mean() - 0.5) < 4 * 0.5 / np.sqrt(20_000), "each person has their own sides"


def test_mixing_is_splitmix64() -> None:
    # The first two outputs of splitmix64 for seed 0 (Steele, Lea and Flood 2014; their reference program).
    first = mixed(np.zeros(1, dtype=np.uint64))

    assert int(first[0]) == 0xE220A8397B1DCDAF
    assert int(mixed(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]) == 0x6E789E6AA1B965F4
