"""Writes logs of every kind, and finds the real ones."""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Row = Mapping[str, Any]
Write = Callable[..., Path]


def write_log(rows: Sequence[Row], path: Path) -> Path:
    """A log in the kind of file that the name says."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        from datasets import Dataset

        Dataset.from_list([dict(row) for row in rows]).save_to_disk(str(path))
    return path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows to a log in the test's folder."""

    def to(rows: Sequence[Row], name: str = "log.jsonl") -> Path:
        return write_log(rows, tmp_path / name)

    return to


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the public sets."""
    folder = Path(os.environ.get("PREFQ_DATA") or Path(__file__).parents[4] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the public sets are not here: name their folder in PREFQ_DATA")
    return folder
