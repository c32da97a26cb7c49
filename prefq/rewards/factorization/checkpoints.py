"""A training run on disk: the numbers and arrays it goes on from, written so that no reader ever sees half of them.

run.safetensors    the arrays, and in its metadata the numbers as JSON and the fingerprint of the run
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefq.errors import InputError, MismatchError, StorageError
from prefq.vocabulary import Array

KIND = "prefq training run"
FORMAT_VERSION = "1"
FILE = "run.safetensors"


class Checkpoint:
    """Where a run is kept.

    Parameters
    ----------
    folder
        Made if need be.
    fingerprint
        Of all that the run depends on: data, options, seed.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = Path(folder) / FILE, fingerprint

    def save(self, numbers: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Replace what is there, by one rename.

        Raises
        ------
        StorageError
            When it cannot be written; what was there before is untouched.
        """
        from safetensors.numpy import save

        about = {"kind": KIND, "format_version": FORMAT_VERSION, "fingerprint": self._fingerprint}
        # by rows: the file would mix up what lies by columns
        rows = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
        content = save(rows, metadata=about | {"numbers": json.dumps(dict(numbers))})
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(content)
            new.replace(self._path)
        except OSError as error:
            raise StorageError(
                f"the training run cannot be written to {str(self._path.parent)!r} ({error.strerror}); free space or "
                "give another folder, and it goes on from what was written before."
            ) from error

    def load(self) -> tuple[dict[str, Any], dict[str, Array]] | None:
        """Numbers and arrays, None where no run was kept.

        Raises
        ------
        MismatchError
            When the run kept there is of other data, options or seed.
        InputError
            When the file is damaged or no training run.
        StorageError
            When it cannot be read.
        """
        from safetensors import SafetensorError, safe_open

        if not self._path.exists():
            return None
        try:
            with safe_open(self._path, framework="numpy") as file:
                about = dict(file.metadata() or {})
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except OSError as error:
            raise StorageError(f"the training run {str(self._path)!r} cannot be read ({error.strerror}).") from error
        except SafetensorError:
            about, arrays = {}, {}
        if about.get("kind") != KIND or about.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"{str(self._path)!r} is no training run that this prefq reads; remove it to start anew, or give "
                "another folder."
            )
        if about["fingerprint"] != self._fingerprint:
            raise MismatchError(
                f"the training run in {str(self._path.parent)!r} is of other comparisons, encodings, options or "
                "another seed; give these again to go on with it, or another folder to start anew."
            )
        return json.loads(about["numbers"]), arrays
