"""The folder of a run: what identifies it, its finished parts, and the results that are made of them.

Every file is written beside its place and then moved there, so that a run leaves whole files whenever it is ended.
"""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from prefq.errors import InputError, MismatchError, StorageError
from prefq_cli.bench.strategies import Address

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_VERSION = 1
SETTINGS, PARTS, USERS, SUMMARY = "settings.json", "parts", "users.parquet", "summary.json"
LINE = 240  # characters of a line of JSON
_KEY = b"prefq"  # of the metadata in a part


@dataclass(frozen=True, slots=True)
class Unit:
    """A block of users of one panel under one strategy: what is computed, kept and skipped as a whole."""

    panel: int
    address: Address
    start: int
    stop: int
    digest: str | None = None

    @property
    def strategy(self) -> str:
        return self.address.name

    @property
    def file_name(self) -> str:
        slug = re.sub(r"\W+", "_", self.strategy)[:60]
        crc = zlib.crc32(self.strategy.encode())
        return f"{self.panel:03d}-{slug}-{crc:08x}-{self.start:05d}-{self.stop:05d}.parquet"


class Part(NamedTuple):
    """What a finished unit left: rows of `users.parquet`, and what is worth knowing of how they were made."""

    table: "pa.Table"
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that belongs to one set of numbers: command, settings, prefq version and code, and format."""

    path: Path
    identity: str
    record: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: Path, command: str, settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> "Folder":
        """Make the folder, or go on in it where it holds results of the same settings.

        Raises
        ------
        MismatchError
            When it holds results of other settings, another version or other code.
        InputError
            When it holds other files, or cannot be written.
        """
        wanted = {
            "format_version": FORMAT_VERSION,
            "command": command,
            "settings": dict(settings),
            "version": provenance["versions"]["prefq"],
            "code": provenance.get("code"),
        }
        identity = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]
        _look_for_pandas()
        try:
            path.mkdir(parents=True, exist_ok=True)
            found = _record(path)
            if found is not None:
                _check(path, wanted, found)
            record = found or {
                "format_version": FORMAT_VERSION,
                "command": command,
                "settings": dict(settings),
                "provenance": dict(provenance),
                "strategies": {},
                "seconds": 0.0,
            }
            (path / PARTS).mkdir(exist_ok=True)
            for left_over in path.glob("**/.*.tmp"):
                left_over.unlink(missing_ok=True)
            folder = cls(path, identity, record)
            folder.write_json(SETTINGS, record)
        except OSError as error:
            raise InputError(
                f"results cannot be written to {str(path)!r}: {error.strerror}; give another folder with --out."
            ) from error
        return folder

    def strategies(self) -> dict[str, dict[str, Any]]:
        """What is known of each strategy that takes part or took part earlier, by name."""
        return dict(self.record["strategies"])

    def part_path(self, unit: Unit) -> Path:
        return self.path / PARTS / unit.file_name

    def write_json(self, name: str, values: Mapping[str, Any]) -> Path:
        return write_whole(self.path / name, lambda file: file.write_text(as_text(values) + "\n", encoding="utf-8"))

    def keep_strategies(self, strategies: Mapping[str, Mapping[str, Any]]) -> None:
        """Note in the settings which strategies take part; those of earlier runs stay."""
        self.record["strategies"].update(strategies)
        self.write_json(SETTINGS, self.record)

    def add_seconds(self, seconds: float) -> None:
        """Add to the time that runs in this folder have taken."""
        self.record["seconds"] = round(self.record.get("seconds", 0.0) + seconds, 1)
        self.write_json(SETTINGS, self.record)

    def write_part(self, unit: Unit, columns: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Keep what a unit found; StorageError when it cannot be written."""
        import pyarrow as pa
        from pyarrow.parquet import write_table

        table = pa.table(dict(columns))
        told = {**about, "identity": self.identity, "digest": unit.digest, "content": _content(table)}
        table = table.replace_schema_metadata({_KEY: json.dumps(told).encode()})
        try:
            write_whole(self.part_path(unit), lambda file: write_table(table, file))
        except OSError as error:
            raise StorageError(
                f"a finished part cannot be written to {str(self.path)!r}: {error.strerror}; what was "
                "finished before is kept, and the same command goes on from there."
            ) from error

    def read_part(self, unit: Unit, n_rows: int) -> Part | str | None:
        """What a unit found earlier; None where there is nothing, a few words where what is there is of no use."""
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        path = self.part_path(unit)
        if not path.exists():
            return None
        try:
            with ParquetFile(path) as file:
                table = file.read()
            about = json.loads((table.schema.metadata or {})[_KEY])
            if about["content"] != _content(table):
                return "damaged"
        except (pa.ArrowException, OSError, LookupError, TypeError, ValueError):
            return "damaged"
        if about.get("identity") != self.identity or table.num_rows != n_rows:
            return "of another run"
        if about.get("digest") != unit.digest:
            return "of another version of its file"
        return Part(table.replace_schema_metadata(None), about)

    def write_users(self, table: "pa.Table") -> Path:
        """The results of everybody."""
        from pyarrow.parquet import write_table

        return write_whole(self.path / USERS, lambda file: write_table(table, file))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A file of this folder; None where there is none that can be read."""
        try:
            found = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def as_text(values: Any, indent: str = "") -> str:
    """JSON that reads well: what fits on a line stands on one."""
    short = json.dumps(values, ensure_ascii=False, allow_nan=False)
    if len(indent) + len(short) <= LINE or not values or not isinstance(values, dict | list):
        return short
    inner = indent + " "
    if isinstance(values, dict):
        lines = [
            f"{inner}{json.dumps(name, ensure_ascii=False)}: {as_text(each, inner)}" for name, each in values.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + as_text(each, inner) for each in values) + f"\n{indent}]"


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Have a file written beside its place, then put it there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _look_for_pandas() -> None:
    """Have pyarrow do now what it does once, at its first conversion: import pandas, swallowing a Ctrl-C meanwhile."""
    import pyarrow as pa

    pa.chunked_array([[0.0]]).to_numpy()


def _content(table: "pa.Table") -> str:
    """A digest of the values in a table: Parquet's own checksums do not see every damage."""
    digest = hashlib.sha256()
    for column in table.itercolumns():
        values = column.to_numpy()
        digest.update("\n".join(values).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()[:16]


def _record(path: Path) -> dict[str, Any] | None:
    """The settings of the results in a folder, None in an empty one."""
    file = path / SETTINGS
    if not file.exists():
        if [each for each in path.iterdir() if not each.name.startswith(".")]:
            raise InputError(
                f"the folder {str(path)!r} holds files that are no results of prefq bench; give a new or empty folder "
                "with --out."
            )
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        whole = isinstance(found["settings"], dict) and isinstance(found["strategies"], dict)
        if whole and found["provenance"]["versions"]["prefq"] and found["command"] and found["format_version"]:
            return dict(found)
    except (ValueError, KeyError, TypeError):
        pass
    raise MismatchError(
        f"{SETTINGS} in {str(path)!r} is damaged, so it cannot be told what results are there; give another "
        "folder with --out, or delete this one."
    )


def _check(path: Path, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """MismatchError when what was found is not what is wanted, with the first thing that differs."""
    made_by = found["provenance"]
    there = {**found["settings"], "version": made_by["versions"]["prefq"], "code": made_by.get("code")}
    here = {**wanted["settings"], "version": wanted["version"], "code": wanted["code"]}
    differing = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    for name in ("command", "format_version"):
        if found[name] != wanted[name]:
            there, here, differing = {name: found[name]}, {name: wanted[name]}, [name]
    if differing:
        name = differing[0]
        what = {"version": "prefq version", "code": "prefq code"}.get(name, name.replace("_", " "))
        raise MismatchError(
            f"the folder {str(path)!r} holds results with {what} {there.get(name)}, and this run has {what} "
            f"{here.get(name)}; give another folder with --out, or delete this one."
        )
