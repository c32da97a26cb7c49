"""The page of sliders: a person sets what they want of each axis, by arrow keys, before any question."""

from collections.abc import Mapping
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from prefq.profiles.stated_words import STEPS, step_words
from prefq.profiles.summary import axis_label
from prefq.vocabulary import FeatureSpace
from prefq_cli.layout import ACCENT, QUIET, STRONG, key_line, wrapped
from prefq_cli.texts import displayable

HEADING = "What do you say you like? Set any axis, or none. Your choices count for more than this."
HINTS = (
    ("up down", "axis"),
    ("left right", "slider"),
    ("0", "no matter"),
    ("x", "not said"),
    ("enter", "go on"),
    ("n", "say nothing"),
    ("q", "save and quit"),
)
NOT_SAID = "not said"
GAP = 2  # columns of a slider from one step to the next


class SlidersView(NamedTuple):
    """Sliders as they stand: poles (negative, positive) and position of each axis, None where nothing is said."""

    poles: tuple[tuple[str, str], ...]
    positions: tuple[float | None, ...]
    at: int

    @property
    def words(self) -> str:
        """What the axis at hand says."""
        return self.words_of(self.at)

    def words_of(self, axis: int) -> str:
        """What an axis says."""
        (opposite, name), position = self.poles[axis], self.positions[axis]
        said = NOT_SAID if position is None else step_words(name, opposite, position)
        return f"{axis_label(name, opposite)}: {said}"


def sliders_of(space: FeatureSpace, said: Mapping[str, float]) -> SlidersView:
    """Sliders of all axes, at what was said before, the first one at hand."""
    opposites = space.opposites or ("",) * space.n_features
    poles = tuple((displayable(other), displayable(name)) for name, other in zip(space.names, opposites, strict=True))
    return SlidersView(poles, tuple(said.get(name) for name in space.names), 0)


def moved(view: SlidersView, key: str) -> SlidersView | None:
    """The sliders after a key; None where it is none of theirs."""
    if key in ("up", "down"):
        return view._replace(at=(view.at + (1 if key == "down" else -1)) % len(view.poles))
    position = view.positions[view.at]
    if key in ("left", "right"):
        sign = 1 if key == "right" else -1
        further = [step for step in STEPS if sign * (step - (position or 0.0)) > 0]
        position = min(further, key=lambda step: abs(step - (position or 0.0)), default=position)
    elif key in ("0", "x"):
        position = 0.0 if key == "0" else None
    else:
        return None
    return view._replace(positions=(*view.positions[: view.at], position, *view.positions[view.at + 1 :]))


def slider_page(console: Console, view: SlidersView, note: str, width: int, rows: int) -> list[Text]:
    """The page in `width` columns and `rows` lines; of many axes those near the one at hand."""
    told = wrapped(console, Text(view.words, style=STRONG), width)
    told += wrapped(console, Text(note), width) if note else []
    foot = [Text(), *told, Text(), *key_line(HINTS, width)]
    head = [*wrapped(console, Text(HEADING), width), Text()]
    n_shown = min(max(rows - len(head) - len(foot), 1), len(view.poles))
    first = min(max(view.at - n_shown // 2, 0), len(view.poles) - n_shown)
    lines = _slider_lines(view)[first : first + n_shown]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return [*head, *lines, *foot]


def _slider_lines(view: SlidersView) -> list[Text]:
    left = max(Text(opposite or f"less {name}").cell_len for opposite, name in view.poles)
    lines = []
    for axis, ((opposite, name), position) in enumerate(zip(view.poles, view.positions, strict=True)):
        low, high = (opposite, name) if opposite else (f"less {name}", f"more {name}")
        cells = ["─"] * (GAP * (len(STEPS) - 1) + 1)
        cells[len(cells) // 2] = "┼"
        if position is not None:
            cells[round((position + 1) / 2 * (len(cells) - 1))] = "●"
        style = f"{STRONG} {ACCENT}" if axis == view.at else "" if position is not None else QUIET
        pad = " " * (left - Text(low).cell_len)
        lines.append(Text(f"{'›' if axis == view.at else ' '} {pad}{low} {''.join(cells)} {high}", style=style))
    return lines
