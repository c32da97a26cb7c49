"""The figure of a speed run: next question beside one pass over the differences, plain NumPy and others' recipes."""

from typing import TYPE_CHECKING

from prefq_cli.bench.figures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILION,
    WIDTH,
    Look,
    drawn,
    legend,
)
from prefq_cli.bench.summaries import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(summary: Summary, figure: "Figure") -> None:
    """Time of the next question against the size of the pool, for the fewest and the most features."""
    sizes = timed_sizes(summary)
    fewest, most = min(each["n_features"] for each in sizes), max(each["n_features"] for each in sizes)
    peers = dict.fromkeys(name for each in sizes for name in each.get("peers") or {})
    ways = {"prefq": Look(BLUE, "-", "o"), "plain NumPy": Look(ORANGE, (0, (5, 1.5)), "s")}
    ways |= {"one pass over the differences": Look(BLACK, (0, (1, 1)), "x")}
    looks = [Look(each, (0, (4, 1.5, 1, 1.5)), m) for each, m in zip((VERMILION, GREEN, PURPLE), "D^v", strict=True)]
    ways |= {name: looks[i % len(looks)] for i, name in enumerate(peers)}
    figure.set_size_inches(WIDTH, 0.62 * WIDTH)
    panels = dict.fromkeys((fewest, most))
    for axes, n_features in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True):
        for way, look in ways.items():
            points = [
                (each["n_questions"], ms)
                for each in sizes
                if each["n_features"] == n_features and (ms := _median_ms(each, way)) is not None
            ]
            if points:
                axes.plot(*zip(*sorted(points), strict=True), **drawn(look), label=way)
        axes.set(xscale="log", yscale="log", xlabel="questions in the pool", title=f"{n_features} features")
    figure.axes[0].set_ylabel("ms, median")
    legend(figure, columns=3)


def timed_sizes(summary: Summary) -> list[Summary]:
    """Sizes of pools that were timed."""
    return [each for each in summary.get("sizes") or [] if not each.get("not_run")]


def _median_ms(size: Summary, way: str) -> float | None:
    """Time of the next question, or of one pass, at a size; None where it was not taken."""
    call = {"prefq": "select", "plain NumPy": "plain", "one pass over the differences": "pass"}.get(way)
    if call is None:
        peer = (size.get("peers") or {}).get(way) or {"not_run": True}
        return None if peer.get("not_run") else float(peer["ms"]["select"]["p50"])
    return float(size["ms"][call]["p50"])
