"""Public sets that a reader may have, by path: PRISM, PersonalLLM, and the reward models as raters of RFM's authors.

The layouts are those of the sets' documentation; the files themselves were not at hand when this was written, so each
loader checks what it finds and says what it misses. People of the last two are simulated from scores of reward models.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prefq.errors import InputError, NotFoundError
from prefq.simulation.replay import Recorded
from prefq.vocabulary import Array
from prefq_cli.bench.datasets.tables import read_table, require_columns, style_features, word_counts

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PROMPTS = 500  # of PersonalLLM and RFM, drawn at random: style features of all would take minutes in each process
N_MIXTURES = 200  # simulated people of PersonalLLM
CONCENTRATION = 0.1  # of the Dirichlet distribution of their weights; the authors use several, .1 and .01 among them
ANSWERS = 60  # of a simulated person, each about another prompt
RATER_ANSWERS = 300  # of a reward model as a person
PRISM_FILE = "utterances.jsonl"
PRISM_TEXTS = ("user_prompt", "model_response")
PRISM_COLUMNS = ("user_id", "conversation_id", "interaction_id", "user_prompt", "model_response", "if_chosen")


class _Scored(NamedTuple):
    """Responses to prompts and their scores: texts, and (n_prompts, n_responses, n_raters), standardised by rater."""

    prompts: list[str]
    responses: list[list[str]]
    scores: Array
    raters: tuple[str, ...]


def load_prism(path: Path, *, rng: np.random.Generator) -> tuple[Recorded]:  # noqa: ARG001  (nothing to draw)
    """PRISM (Kirk et al. 2024): `utterances.jsonl`, or the folder that holds it.

    In each turn, a task, the response that the person chose is compared with each of the others; a conversation counts
    as one prompt, so that no turn of it is divided from another. Style features.
    """
    file = path / PRISM_FILE if path.is_dir() else path
    turns: dict[str, list[Mapping[str, Any]]] = {}
    for row in _json_lines(file, PRISM_COLUMNS):
        turns.setdefault(str(row["interaction_id"]), []).append(row)
    pairs = []
    for rows in turns.values():
        chosen = [row for row in rows if row["if_chosen"] is True]
        if len(chosen) == 1:  # a turn without a choice, or with two, tells nothing
            pairs += [(chosen[0], row) for row in rows if row["if_chosen"] is False]
    if not pairs:
        raise InputError(f"{file.name} has no turn with one chosen and another response; is it PRISM's {PRISM_FILE}?")
    # The same response to another prompt has other features.
    texts = [[tuple(str(row[name] or "") for name in PRISM_TEXTS) for row in pair] for pair in pairs]
    place = {text: row for row, text in enumerate(dict.fromkeys(text for pair in texts for text in pair))}
    prompts, responses = zip(*place, strict=True)
    matrix, lengths = style_features(prompts, responses)
    items = np.array([[place[text] for text in pair] for pair in texts], dtype=np.intp)
    first, second = items.T
    user_ids, users = np.unique([str(pair[0]["user_id"]) for pair in pairs], return_inverse=True)
    _, tasks = np.unique([str(pair[0]["interaction_id"]) for pair in pairs], return_inverse=True)
    _, conversations = np.unique([str(pair[0]["conversation_id"]) for pair in pairs], return_inverse=True)
    return (
        Recorded(
            "prism",
            matrix[first],
            matrix[second],
            np.ones(len(pairs), dtype=np.int8),
            users.astype(np.intp),
            tasks.astype(np.intp),
            tuple(user_ids.tolist()),
            lengths[first] + lengths[second] + word_counts(prompts)[first],
            conversations.astype(np.intp),
            items,
        ),
    )


def load_personalllm(path: Path, *, rng: np.random.Generator) -> tuple[Recorded]:
    """PersonalLLM (Zollo et al. 2024): its Parquet files, or the folder that holds them.

    Columns `prompt`, `response_1` …, and scores `response_1_<reward model>` …. A simulated person weighs the reward
    models' standardised scores by a draw from a Dirichlet distribution and prefers what scores higher. Style features.
    """
    table = _parquet_files(path)
    scored = _scored(table, path, rng)
    weights = rng.dirichlet(np.full(len(scored.raters), CONCENTRATION), size=N_MIXTURES)
    return (_simulated("personalllm", scored, weights, tuple(f"p{i:03d}" for i in range(N_MIXTURES)), ANSWERS, rng),)


def load_rfm(path: Path, *, rng: np.random.Generator) -> tuple[Recorded]:
    """Reward models as raters (google/rfm-rm-as-user-dataset): a CSV file, or the folder that holds the test file.

    Each of the eight reward models is one person who prefers what it scores higher. Style features. With eight people
    the prior rests on six or seven: an example of leaving raters out, not statistics.
    """
    import pyarrow as pa
    from pyarrow import csv

    if path.is_dir():
        found = sorted(path.glob("*test*.csv")) or sorted(path.glob("*.csv"))
        if not found:
            raise NotFoundError(f"the folder {str(path)!r} holds no CSV file; give that of the set, or the file.")
        path = found[0]
    if not path.is_file():
        raise NotFoundError(f"there is no file {str(path)!r}; give the path of the set.")
    try:
        table = csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True))
    except pa.ArrowInvalid as error:
        raise InputError(f"{path.name} cannot be read as CSV ({' '.join(str(error).split())[:200]}).") from error
    scored = _scored(table, path, rng)
    return (_simulated("rfm", scored, np.eye(len(scored.raters)), scored.raters, RATER_ANSWERS, rng),)


Loader = Callable[..., tuple[Recorded]]
PUBLIC: Mapping[str, Loader] = MappingProxyType({"prism": load_prism, "personalllm": load_personalllm, "rfm": load_rfm})


def _simulated(
    name: str, scored: _Scored, weights: Array, user_ids: tuple[str, ...], n_answers: int, rng: np.random.Generator
) -> Recorded:
    """People (n_users, n_raters) who each compare two responses to some prompts at random, a task each."""
    n_prompts, n_responses, _ = scored.scores.shape
    n_answers = min(n_answers, n_prompts)
    prompts = np.argsort(rng.random((len(weights), n_prompts)), axis=1)[:, :n_answers].ravel()
    users = np.repeat(np.arange(len(weights)), n_answers)
    sides = np.argsort(rng.random((len(users), n_responses)), axis=1)[:, :2]
    texts = [text for responses in scored.responses for text in responses]
    flat_prompts = [prompt for prompt in scored.prompts for _ in range(n_responses)]
    matrix, lengths = style_features(flat_prompts, texts)
    first, second = (prompts * n_responses + sides[:, side] for side in (0, 1))
    utilities = np.einsum("npr,npr->np", scored.scores[prompts[:, None], sides], weights[users][:, None, :])
    return Recorded(
        name,
        matrix[first],
        matrix[second],
        np.sign(utilities[:, 0] - utilities[:, 1]).astype(np.int8),
        users,
        prompts,
        user_ids,
        lengths[first] + lengths[second] + word_counts(flat_prompts)[first],
    )


def _scored(table: "pa.Table", path: Path, rng: np.random.Generator) -> _Scored:
    """Prompts at random with their responses and scores."""
    import pyarrow.types as types

    require_columns(table.column_names, ("prompt",), path)
    numeric = [
        name
        for name in table.column_names
        if types.is_floating(table.schema.field(name).type) or types.is_integer(table.schema.field(name).type)
    ]
    layout = _layout(numeric, table.column_names)
    if layout is None:
        raise InputError(
            f"{path.name} has no scores of two or more reward models for two or more responses: expected texts "
            "response_1, response_2 … with scores response_1_<model> …, or texts chosen and rejected with scores "
            f"<model>_chosen and <model>_rejected; it has {', '.join(table.column_names[:20])}."
        )
    responses, raters, column_of = layout
    rows = np.sort(rng.permutation(table.num_rows)[:MAX_PROMPTS])
    table = table.take(rows)
    scores = np.stack(
        [
            np.column_stack(
                [np.asarray(table[column_of[side, rater]].to_numpy(), dtype=np.float64) for rater in raters]
            )
            for side in responses
        ],
        axis=1,
    )
    whole = np.isfinite(scores).all(axis=(1, 2))
    if whole.sum() < 2:
        raise InputError(f"{path.name} has {whole.sum()} prompts with all scores; at least two are needed.")
    scores, table = scores[whole], table.take(np.flatnonzero(whole))
    sd = scores.std(axis=(0, 1))
    scores = (scores - scores.mean(axis=(0, 1))) / np.where(sd > 0, sd, 1.0)
    prompts = [str(text) for text in table["prompt"].to_pylist()]
    texts = [[str(text or "") for text in table[side].to_pylist()] for side in responses]
    return _Scored(prompts, [list(each) for each in zip(*texts, strict=True)], scores, raters)


def _layout(
    numeric: Sequence[str], columns: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], dict[tuple[str, str], str]] | None:
    """Text columns, raters, and the column of the score of each pair of both; None where there are too few."""
    sides = sorted(
        (name for name in columns if re.fullmatch(r"response_\d+", name)), key=lambda name: int(name.split("_")[1])
    ) or [name for name in ("chosen", "rejected") if name in columns]
    column_of = {}
    for name in numeric:
        for side in sides:
            if name.startswith(f"{side}_"):
                column_of[side, name.removeprefix(f"{side}_")] = name
            elif name.endswith(f"_{side}"):
                column_of[side, name.removesuffix(f"_{side}")] = name
    raters = sorted({rater for _, rater in column_of})
    raters = [rater for rater in raters if all((side, rater) in column_of for side in sides)]
    return (tuple(sides), tuple(raters), column_of) if len(sides) > 1 and len(raters) > 1 else None


def _parquet_files(path: Path) -> "pa.Table":
    import pyarrow as pa

    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise NotFoundError(f"the folder {str(path)!r} holds no Parquet file; give that of the set.")
    train = [file for file in files if file.name.startswith("train")] or files
    return pa.concat_tables([read_table(file, ("prompt",)) for file in train])


def _json_lines(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        raise NotFoundError(f"there is no file {str(path)!r}; give the path of the set.")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"line {number} of {path.name} is no JSON ({error}).") from error
            if not isinstance(row, dict):
                raise InputError(f"line {number} of {path.name} is no JSON object.")
            if number == 1:
                require_columns(row, columns, path)
            yield row
