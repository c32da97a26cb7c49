"""Texts to make a pool of: prompts with their responses, read a batch at a time, cleaned, each written to disk once.

What files are read is told in `prefq.rewards.logs.reading`. Nothing here encodes a text.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.group import Rows
from prefq.rewards.logs.columns import advice, listed, our_names
from prefq.rewards.logs.conversations import prompt_of
from prefq.rewards.logs.draws import DIGEST_BYTES, digest
from prefq.rewards.logs.reading import Batch, open_log
from prefq.rewards.logs.texts import ItemWriter, TextFile
from prefq.vocabulary import counted

MAX_RESPONSES = 64  # of one prompt: 2,016 pairs
PROMPT, RESPONSES, RESPONSE = "prompt", "responses", "response"
NUMBERED = re.compile(r"response_\w+")
FORMS = f"{PROMPT} and {RESPONSES} (a list), {PROMPT} and response_1, response_2, …, or {PROMPT} and {RESPONSE}"
NOTHING: Mapping[str, str] = MappingProxyType({})


class TextReport(NamedTuple):
    """What became of the texts.

    Attributes
    ----------
    n_rows
        That were read.
    n_bad_rows
        Without a prompt, or with something else than texts.
    n_responses
        That were read, in rows that are not bad.
    n_empty
        Responses without a word.
    n_repeated
        Responses to a prompt that had been there, whatever white space and case.
    n_beyond
        Responses to a prompt beyond the first 64.
    n_prompts
        Prompts that are left.
    n_single
        Prompts with one response, which make no pair; they are left out.
    n_items
        Responses that are left.
    """

    n_rows: int = 0
    n_bad_rows: int = 0
    n_responses: int = 0
    n_empty: int = 0
    n_repeated: int = 0
    n_beyond: int = 0
    n_prompts: int = 0
    n_single: int = 0
    n_items: int = 0


class PoolTexts(NamedTuple):
    """Texts that were cleaned.

    Attributes
    ----------
    file
        Of all texts that were kept, prompt and response.
    digests : (n_all, 16) uint8
        Of prompt and response of each text in the file.
    rows : (n_texts,)
        Texts of the file whose prompt has at least two.
    prompt_codes : (n_texts,)
        A number for the prompt of each row.
    """

    file: TextFile
    digests: NDArray[np.uint8]
    rows: Rows
    prompt_codes: Rows


def read_pool_texts(
    path: str | os.PathLike[str], folder: Path, *, columns: Mapping[str, str] = NOTHING
) -> tuple[PoolTexts, TextReport]:
    """Read prompts and responses, clean them, and write them to a file.

    Responses are repeated where prompt and response are equal but for white space and case; the first stays. Memory
    holds a few digests a response, and no texts.

    Parameters
    ----------
    path
        Parquet, JSON lines or CSV, a folder of such files, or a folder of datasets, with the columns prompt and
        responses (a list; in CSV as JSON), or prompt and response_1, response_2, and so on, or prompt and response.
    folder
        For the file of texts, in a folder of its own.
    columns
        The file's names by ours, ``{"prompt": "question"}``.

    Raises
    ------
    NotFoundError
        When there is nothing at `path`.
    InputError
        When it cannot be read, has other columns, or no prompt in it has two responses.
    StorageError
        When a file cannot be read or written.
    """
    log = open_log(Path(path))
    wanted, names = _form(log.columns, columns, log.name)
    counts, held = TextReport()._asdict(), _Held()
    with ItemWriter(folder) as writer:
        for batch in log.read(names):
            _take(batch, wanted, writer, held, counts)
        codes = np.array(writer.prompt_codes, dtype=np.int64)
    digests = np.frombuffer(bytes(held.digests), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
    del held
    several = np.bincount(codes)[codes] > 1 if len(codes) else np.zeros(0, dtype=bool)
    rows = np.flatnonzero(several)
    n_prompts = len(np.unique(codes[rows]))
    counts |= {"n_items": len(rows), "n_prompts": n_prompts, "n_single": len(np.unique(codes)) - n_prompts}
    if not len(rows):
        shutil.rmtree(writer.folder, ignore_errors=True)
        raise InputError(
            f"{log.name} has no prompt with two responses that differ ({counted(counts['n_rows'], 'row')}, "
            f"{counts['n_bad_rows']} of them unusable); give at least one."
        )
    return PoolTexts(TextFile(writer.path, is_own=True), digests, rows, codes[rows]), TextReport(**counts)


class _Held:
    """Digests of what was seen, folded; how many responses each prompt has kept; digests of those, in their order."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.n_kept: dict[bytes, int] = {}
        self.digests = bytearray()


def _form(there: Sequence[str], columns: Mapping[str, str], name: str) -> tuple[str, list[str]]:
    """How responses are given, and the file's columns to read: the prompt's, then those of the responses."""
    for ours, theirs in columns.items():
        if ours not in (PROMPT, RESPONSES, RESPONSE) and not NUMBERED.fullmatch(ours):
            raise InputError(f"{ours!r} is no column that is read; give one of {FORMS}.")
        if theirs not in there:
            raise InputError(f"{name} has no column {theirs!r} to take as {ours}; it has {listed(there)}.")
    named = our_names(there, columns)
    if PROMPT in named:
        for form in (RESPONSES, RESPONSE):
            if form in named:
                return form, [named[PROMPT], named[form]]
        numbered = [theirs for ours, theirs in named.items() if NUMBERED.fullmatch(ours)]
        if len(numbered) > 1:
            return RESPONSE, [named[PROMPT], *numbered]
    missing = [column for column in (PROMPT, RESPONSE) if column not in named]
    raise InputError(f"{name} has the columns {listed(there)}; expected {FORMS}: {advice(missing, list(named))}.")


def _take(batch: Batch, form: str, writer: ItemWriter, held: _Held, counts: dict[str, int]) -> None:
    """Keep the good texts of a batch, and count."""
    for row in batch.rows:
        if row is None:
            continue
        counts["n_rows"] += 1
        try:
            if isinstance(row, str):
                raise InputError(row)
            prompt, _ = prompt_of(row[0], None)
            responses = list(_responses(row[1:], form))
            prompt_digest = writer.prompt(prompt)
            for response in responses:
                response.encode()
        except (InputError, UnicodeError):
            counts["n_bad_rows"] += 1
            continue
        for response in responses:
            _keep(prompt, prompt_digest, response, writer, held, counts)


def _keep(
    prompt: str, prompt_digest: bytes, response: str, writer: ItemWriter, held: _Held, counts: dict[str, int]
) -> None:
    counts["n_responses"] += 1
    folded = digest(prompt_digest, " ".join(response.split()).casefold().encode())
    n_kept = held.n_kept.get(prompt_digest, 0)
    if not response.strip():
        counts["n_empty"] += 1
    elif folded in held.seen:
        counts["n_repeated"] += 1
    elif n_kept >= MAX_RESPONSES:
        counts["n_beyond"] += 1
    else:
        held.seen.add(folded)
        held.n_kept[prompt_digest] = n_kept + 1
        held.digests += digest(prompt_digest, response.encode())
        writer.add(prompt_digest, prompt, response)


def _responses(values: Sequence[Any], form: str) -> Iterator[str]:
    """Texts of the responses of a row; InputError where one is none. A column of a response may be empty."""
    if form == RESPONSES:
        (values,) = values
        if isinstance(values, str):
            try:
                values = json.loads(values)
            except (ValueError, RecursionError):
                values = []
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise InputError("no list of responses")
    for value in values:
        if value is None and form != RESPONSES and len(values) > 1:
            continue
        if not isinstance(value, str):
            raise InputError("a response that is no text")
        yield value
