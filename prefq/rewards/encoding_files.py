"""The files of an encoding cache: rows of float32 and a record of each, safe against being killed at any time.

When a row counts is said in `prefq.rewards.encoding_cache`, the only user.
"""

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, MismatchError
from prefq.rewards.encoder_batches import Encodings
from prefq.rewards.encoders import EncodedTexts, Encoder, EncoderIdentity

KIND = "prefq encodings"
FORMAT_VERSION = 1
ENCODER = "encoder.json"
RECORD = np.dtype([("content", "S16"), ("state", "u1"), ("tokens", "<u8"), ("checksum", "<u4")])
CHECKED = RECORD.itemsize - 4  # bytes of a record before its checksum
DONE, TRUNCATED, IN_FLOAT32 = 1, 2, 4  # bits of a record's state
COPIED_AT_ONCE = 8192  # rows: 12 MB of 384 dimensions
NAME_LENGTH = 16  # hexadecimal digits of a digest in the name of a file

Rows = NDArray[np.int64]
Records = NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """The files of one list of items."""

    folder: Path
    name: str
    contents: NDArray[np.bytes_]
    n_dims: int

    @property
    def index(self) -> Path:
        """One record an item."""
        return self.folder / f"{self.name}.index"

    @property
    def part(self) -> Path:
        """Rows, while there are some to come."""
        return self.folder / f"{self.name}.part"

    @property
    def whole(self) -> Path:
        """All rows."""
        return self.folder / f"{self.name}.f32"

    def is_whole(self) -> bool:
        """Whether every row is there; files that are no longer as they were made are made anew."""
        n_bytes = len(self.contents) * self.n_dims * 4
        if not self.whole.is_file() or self.whole.stat().st_size != n_bytes:
            return False
        records = self.records()
        return len(records) == len(self.contents) and bool(
            (records["content"] == self.contents).all() and (records["state"] & DONE).all()
        )

    def records(self) -> Records:
        """Records of the index, those that are whole."""
        return _records(self.index)

    def encodings(self) -> Encodings:
        """The whole file, mapped read-only."""
        return _mapped(self.whole, self.n_dims)

    def open_part(self) -> NDArray[np.bool_]:
        """Which rows (n_items,) are there and fit their records, in files that are there from now on."""
        n_items = len(self.contents)
        records = self.records()
        if not self.part.is_file() or len(records) != n_items:
            records = np.zeros(n_items, dtype=RECORD)
            records["content"] = self.contents
            self.index.write_bytes(records.tobytes())
            self.part.write_bytes(b"")
        done = np.zeros(n_items, dtype=bool)
        encodings = _mapped(self.part, self.n_dims)[:n_items]
        for start in range(0, len(encodings), COPIED_AT_ONCE):
            rows = slice(start, min(start + COPIED_AT_ONCE, len(encodings)))
            done[rows] = _fits(records[rows], encodings[rows])
        torn = np.flatnonzero((records["state"] > 0) & ~done)
        if len(torn):
            records = records.copy()
            records["state"][torn] = 0
            _put(self.index, torn, records[torn])
        return done

    def copy_from_others(self, wanted: NDArray[np.bool_]) -> None:
        """Copy rows that other lists have; they are no longer wanted (n_items,) then."""
        for index in sorted(self.folder.glob("*.index")):
            path = next((p for p in (index.with_suffix(s) for s in (".f32", ".part")) if p.is_file()), None)
            if path is None or index == self.index or not wanted.any():
                continue
            records, encodings = _records(index), _mapped(path, self.n_dims)
            written = np.flatnonzero(records["state"][: len(encodings)] & DONE)
            if len(written) == 0:
                continue
            order = written[np.argsort(records["content"][written])]
            rows = np.flatnonzero(wanted)
            places = np.searchsorted(records["content"][order], self.contents[rows]).clip(max=len(order) - 1)
            theirs = order[places]
            has = records["content"][theirs] == self.contents[rows]
            self._copy(rows[has], records, encodings, theirs[has], wanted)

    def repeat(self, sources: Rows) -> None:
        """Copy to each row (n_items,) that is not there the row of the same text."""
        records, encodings = self.records(), _mapped(self.part, self.n_dims)
        rows = np.flatnonzero(records["state"] == 0)
        self._copy(rows, records, encodings, sources[rows], np.ones(len(records), dtype=bool))

    def _copy(
        self, rows: Rows, records: Records, encodings: Encodings, theirs: Rows, wanted: NDArray[np.bool_]
    ) -> None:
        for start in range(0, len(rows), COPIED_AT_ONCE):
            chosen, of_theirs = rows[start : start + COPIED_AT_ONCE], theirs[start : start + COPIED_AT_ONCE]
            found, its = encodings[of_theirs], records[of_theirs]
            fits = _fits(its, found)
            self._write(chosen[fits], found[fits], its["state"][fits], its["tokens"][fits])
            wanted[chosen[fits]] = False

    def write(self, rows: Rows, found: EncodedTexts) -> None:
        """Put rows (n,) on disk, and when they are safe there, their records."""
        state = DONE + TRUNCATED * found.truncated + IN_FLOAT32 * found.in_float32
        self._write(rows, found.encodings, state, found.digests)

    def _write(self, rows: Rows, encodings: Encodings, state: NDArray[Any], tokens: NDArray[np.uint64]) -> None:
        records = np.zeros(len(rows), dtype=RECORD)
        records["content"], records["state"], records["tokens"] = self.contents[rows], state, tokens
        records["checksum"] = _checksums(records, encodings)
        _put(self.part, rows, encodings)
        _put(self.index, rows, records)

    def finish(self) -> None:
        """All rows are there: the file gets its last name."""
        self.part.replace(self.whole)


def _records(index: Path) -> Records:
    if not index.is_file():
        return np.zeros(0, dtype=RECORD)
    raw = index.read_bytes()
    return np.frombuffer(raw[: len(raw) - len(raw) % RECORD.itemsize], dtype=RECORD)


def _mapped(path: Path, n_dims: int) -> Encodings:
    n_rows = path.stat().st_size // (4 * n_dims)
    if n_rows == 0:
        return np.zeros((0, n_dims), dtype=np.float32)  # nothing cannot be mapped
    return np.memmap(path, dtype="<f4", mode="r", shape=(n_rows, n_dims))


def _checksums(records: Records, encodings: Encodings) -> list[int]:
    """CRC-32 of each record's fields and its row."""
    fields = [record.tobytes()[:CHECKED] for record in records]
    return [zlib.crc32(row.tobytes(), zlib.crc32(field)) for field, row in zip(fields, encodings, strict=True)]


def _fits(records: Records, encodings: Encodings) -> NDArray[np.bool_]:
    """Which records (n,) tell of a row that is there."""
    fits = (records["state"] & DONE) > 0
    rows = np.flatnonzero(fits)
    fits[rows] = records["checksum"][rows] == _checksums(records[rows], encodings[rows])
    return np.asarray(fits)


def _put(path: Path, rows: Rows, values: NDArray[Any]) -> None:
    """Write values (n, ...) at their rows, and return when they are safe."""
    values = np.ascontiguousarray(values)
    n_bytes = values[:1].nbytes
    with path.open("r+b", buffering=0) as file:
        for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run):
                file.seek(int(rows[run[0]]) * n_bytes)
                _write_all(file, values[run].tobytes())
        os.fsync(file.fileno())


def _write_all(file: Any, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def encoder_folder(cache: Path, encoder: Encoder) -> Path:
    """The encoder's folder in a cache, made if it is not there; MismatchError where it is another encoder's."""
    folder = cache / encoder.identity.key[:NAME_LENGTH]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ENCODER
    if not path.is_file():
        fields = {"kind": KIND, "format_version": FORMAT_VERSION, "identity": encoder.identity.to_dict()}
        new = folder / f"{ENCODER}.{os.getpid()}.new"
        new.write_text(json.dumps(fields | {"n_dims": encoder.n_dims}, indent=1) + "\n")
        new.replace(path)
    try:
        fields = json.loads(path.read_bytes())
        stated = (fields["kind"], fields["format_version"], fields["n_dims"])
        identity = EncoderIdentity.from_dict(fields["identity"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{ENCODER} in {str(folder)!r} was damaged; delete that folder and run again.") from None
    if stated != (KIND, FORMAT_VERSION, encoder.n_dims) or identity.key != encoder.identity.key:
        raise MismatchError(
            f"the encodings in {str(folder)!r} are of another encoder than {encoder.identity.name!r}; "
            "give another cache, or delete that folder."
        )
    return folder
