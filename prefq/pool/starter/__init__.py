"""Where the bundled pool lives, an ordinary pool folder shipped as package data, and what its texts declare."""

import json
from pathlib import Path

import numpy as np

from prefq.vocabulary import Array

FOLDER = Path(__file__).parent / "pool"
TEXTS = Path(__file__).parent / "texts.jsonl"


def declared_levels() -> Array:
    """The style each response was written to (n_items, 8): -1, 0 or 1 on each axis, rows as in the pool.

    prefq itself never uses them: they are what simulated tastes live on, and what the style features were fitted to.
    """
    rows = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    return np.array([list(row["levels"].values()) for row in rows], dtype=np.float64)
