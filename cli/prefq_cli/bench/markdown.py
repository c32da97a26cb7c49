"""Pieces of Markdown: tables, lists, and differences with their errors."""

from collections.abc import Iterable, Sequence

NOTHING = "–"
LEAST_SHOWN = 0.0005  # a difference below it is shown as 0.000


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; numbers stand to the right of their first column."""
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def signed(number: float | None) -> str:
    """A difference with its sign."""
    if number is None:
        return NOTHING
    return f"{number:+.3f}".replace("-", "−") if abs(number) >= LEAST_SHOWN else "0.000"


def with_error(number: float | None, error: float | None) -> str:
    """A difference with its sign and standard error."""
    return signed(number) + ("" if error is None else f" ± {error:.3f}")


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
