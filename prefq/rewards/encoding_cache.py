"""encode_items: encodings of all items of a group, kept on disk so that no text is encoded twice.

What one item's encoding is lives in `prefq.rewards.encoders`. A cache is a folder with one folder for each encoder,
named by the key of its identity; there, for each list of items that was encoded, named by the digest of its texts:

encoder.json   whose encodings these are
NAME.index     one record an item: digest of its text, whether and how it was encoded, checksum of it and its row
NAME.part      (n_items, n_dims) float32 in the items' order, while there are rows to come
NAME.f32       the same once it is whole
NAME.lock      held by the process that writes

A row counts once its record is written, after the row is safely on disk; a record that does not fit its row is as good
as none. So a run that was killed goes on where it was, and a list that shares texts with others copies their rows.
Files of lists that are no longer needed can be deleted.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, StorageError
from prefq.rewards.encoder_batches import Encodings
from prefq.rewards.encoders import Encoder, OnProgress, require_encodable
from prefq.rewards.encoding_files import (
    IN_FLOAT32,
    NAME_LENGTH,
    RECORD,
    TRUNCATED,
    Records,
    Store,
    encoder_folder,
)
from prefq.rewards.locks import locked
from prefq.vocabulary import counted

BLOCK = 2048  # items whose texts are read at a time
BATCHES = 8  # of the encoder, before rows are written: what a killed run loses at most; some ten seconds of a core
CHARACTERS = 4  # of a token, about


class EncodingReport(NamedTuple):
    """What became of the items' texts.

    Attributes
    ----------
    n_items
        How many there are.
    n_encoded
        How many texts the model was given.
    n_from_cache
        How many texts had been encoded before.
    n_halvings
        How many times a batch was halved because memory ran out.
    truncated : (n_items,)
        Which were longer than the encoder takes, and cut.
    in_float32 : (n_items,)
        Which gave no finite numbers in half precision, and were encoded in float32.
    digests : (n_items,) uint64
        Digest of each item's tokens.
    """

    n_items: int
    n_encoded: int
    n_from_cache: int
    n_halvings: int
    truncated: NDArray[np.bool_]
    in_float32: NDArray[np.bool_]
    digests: NDArray[np.uint64]

    def equal_pairs(self, pairs: NDArray[Any]) -> NDArray[np.bool_]:
        """Which pairs (n_pairs, 2) of items the encoder cannot tell apart: their tokens are the same."""
        first, second = self.digests[np.asarray(pairs).T]
        return np.asarray(first == second)

    def n_equal_pairs(self, pairs: NDArray[Any]) -> int:
        """How many pairs (n_pairs, 2) of items became equal because at least one of both was cut."""
        first, second = self.truncated[np.asarray(pairs).T]
        return int((self.equal_pairs(pairs) & (first | second)).sum())

    def sentence(self, pairs: NDArray[Any] | None = None) -> str:
        """What a person should know, of pairs (n_pairs, 2) too where they are given."""
        told = [f"{counted(self.n_items, 'item')}: {self.n_encoded:,} encoded, {self.n_from_cache:,} from the cache"]
        if self.truncated.any():
            equal = "" if pairs is None else f", by which {counted(self.n_equal_pairs(pairs), 'pair')} became equal"
            told.append(f"{self.truncated.sum():,} cut because they are too long{equal}")
        if self.in_float32.any():
            told.append(f"{self.in_float32.sum():,} encoded in float32 because half precision gave no finite numbers")
        if self.n_halvings:
            told.append(f"batches halved {counted(self.n_halvings, 'time')} because memory ran out")
        return "; ".join(told) + "."


def encode_items(
    encoder: Encoder,
    prompts: Sequence[str],
    responses: Sequence[str],
    *,
    cache: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Encodings, EncodingReport]:
    """Encodings of all items, in their order, and what became of the texts.

    Texts are read by slices, so that sequences which read a file as they are sliced need no memory for them, and
    encodings are written as they come: memory grows by some 50 bytes an item. Equal texts are encoded once.

    Parameters
    ----------
    prompts, responses : (n_items,)
        As many of each; sliced twice, first for their digests and then where a text is to be encoded.
    cache
        Folder to keep encodings in; without one they are kept in memory alone.
    on_progress
        Told how many items are done, and of how many. What it raises ends the run, which can go on later.

    Returns
    -------
    encodings : (n_items, n_dims) float32
        Read-only; mapped from the cache's file where there is a cache.

    Raises
    ------
    InputError
        As `Encoder.encode` does.
    MismatchError
        When the encoder's folder in the cache holds encodings of another one.
    StorageError
        When the cache cannot be read or written, or another process is encoding the same items into it.
    """
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="prefq-") as scratch:
            mapped, report = encode_items(encoder, prompts, responses, cache=scratch, on_progress=on_progress)
            encodings = np.array(mapped)
            del mapped  # some systems delete no file that is mapped
        encodings.setflags(write=False)
        return encodings, report
    if len(prompts) != len(responses):
        raise InputError(f"there are {len(prompts)} prompts and {len(responses)} responses; give as many of each.")
    try:
        folder = encoder_folder(Path(cache), encoder)
        contents = _contents(prompts, responses)
        name = hashlib.sha256(contents.tobytes()).hexdigest()[:NAME_LENGTH]
        store = Store(folder, name, contents, encoder.n_dims)
        counts = (0, 0)
        n_from_cache = len(np.unique(contents))
        if not store.is_whole():
            busy = f"another process is encoding the same items ({name}.lock is locked); wait until it is done."
            with locked(folder / f"{name}.lock", busy):
                counts = _fill(store, encoder, prompts, responses, on_progress)
        return store.encodings(), _report(store.records(), n_from_cache - counts[0], *counts)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"the encodings in {str(cache)!r} cannot be read or written ({reason}); what was written before is "
            "kept, so make room or give a folder that can be written, and run again."
        ) from error


def _fill(
    store: Store,
    encoder: Encoder,
    prompts: Sequence[str],
    responses: Sequence[str],
    on_progress: OnProgress | None,
) -> tuple[int, int]:
    """Encode or copy all rows that are not there; how many texts were encoded, and batches halved."""
    if store.is_whole():  # another process made it so while this one came
        return 0, 0
    done = store.open_part()
    _, first, inverse = np.unique(store.contents, return_index=True, return_inverse=True)
    wanted = np.zeros(len(done), dtype=bool)
    wanted[first] = ~done[first]
    store.copy_from_others(wanted)
    n_items, n_encoded, n_halvings = len(done), 0, 0
    n_before = n_items - int(wanted.sum())
    for start in range(0, n_items, BLOCK):
        if not wanted[start : start + BLOCK].any():
            continue
        block = _sliced(prompts, responses, start)
        for rows in _parts(*block, encoder):
            part = rows[wanted[start + rows]]
            if len(part) == 0:
                continue
            texts = [[side[row] for row in part.tolist()] for side in block]
            found = encoder.encode(*texts, on_progress=_shifted(on_progress, n_before + n_encoded, n_items))
            store.write(start + part, found)
            n_encoded, n_halvings = n_encoded + len(part), n_halvings + found.n_halvings
    store.repeat(first[inverse])
    store.finish()
    return n_encoded, n_halvings


def _parts(prompts: Sequence[str], responses: Sequence[str], encoder: Encoder) -> list[NDArray[np.int64]]:
    """Rows of a block, cut into parts that are written as soon as they are encoded.

    By the lengths of all its texts, and neither by a clock nor by what is left to do: which texts share a batch decides
    the round-off of their encodings.
    """
    most = CHARACTERS * encoder.identity.max_tokens
    lengths = [min(len(prompt) + len(response), most) for prompt, response in zip(prompts, responses, strict=True)]
    number = np.cumsum(lengths) // (BATCHES * CHARACTERS * encoder.batch_tokens)
    return np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(number)) + 1)


def _sliced(prompts: Sequence[str], responses: Sequence[str], start: int) -> tuple[Sequence[str], Sequence[str]]:
    return prompts[start : start + BLOCK], responses[start : start + BLOCK]


def _shifted(on_progress: OnProgress | None, n_before: int, n_items: int) -> OnProgress | None:
    if on_progress is None:
        return None
    return lambda n_done, _: on_progress(n_before + n_done, n_items)


def _contents(prompts: Sequence[str], responses: Sequence[str]) -> NDArray[np.bytes_]:
    """Digest of each item's texts (n_items,)."""
    digests = np.empty(len(responses), dtype=RECORD["content"])
    for start in range(0, len(responses), BLOCK):
        texts = _sliced(prompts, responses, start)
        require_encodable(*texts)
        for row, (prompt, response) in enumerate(zip(*texts, strict=True), start):
            raw = prompt.encode()
            total = hashlib.blake2b(len(raw).to_bytes(8, "little") + raw, digest_size=16)
            total.update(response.encode())
            digests[row] = total.digest()
    return digests


def _report(records: Records, n_from_cache: int, n_encoded: int, n_halvings: int) -> EncodingReport:
    state = records["state"]
    truncated, in_float32 = (state & TRUNCATED) > 0, (state & IN_FLOAT32) > 0
    return EncodingReport(
        len(records), n_encoded, n_from_cache, n_halvings, truncated, in_float32, records["tokens"].copy()
    )
