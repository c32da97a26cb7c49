"""Where the bundled pool lives: an ordinary pool folder, shipped as package data."""

from pathlib import Path

FOLDER = Path(__file__).parent / "pool"
