"""Data in: people's comparisons from logs (Parquet, JSON lines, CSV, folders of `datasets`), with texts, report, parts.

`read_comparisons` reads a log once, a batch at a time: numbers stay in memory, texts go to a file as they come. Nothing
here encodes a text or learns anything.
"""

from prefq.rewards.logs.comparisons import TextComparisons, load_comparisons
from prefq.rewards.logs.importing import read_comparisons
from prefq.rewards.logs.report import ImportReport
from prefq.rewards.logs.splits import Splits

__all__ = ["ImportReport", "Splits", "TextComparisons", "load_comparisons", "read_comparisons"]
