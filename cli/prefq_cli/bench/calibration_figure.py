"""The figure of a calibration: predictions, coverage, and simulation-based calibration inside its bands."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from prefq_cli.bench.figures import BAND, BLUE, GREEN, GREY, VERMILION, WIDTH, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AT = 10  # answers, or the most that there are
LOOKS: Mapping[str, Look] = {
    "laplace": Look(VERMILION, (0, (1, 1)), "s"),
    "ep": Look(BLUE, "-", "o"),
    "exact": Look(GREEN, (0, (5, 1.5)), "^"),
}
UNNAMED_LEVELS = (0.9,)  # too near the next to be written beside it
SMALLEST_COUNT = 30  # tasks in a bin that is drawn


def draw(summary: Mapping[str, Any], figure: "Figure") -> None:
    """Predictions and coverage after the same number of chosen answers; bars are ± 1.96 standard errors over worlds.

    The last panel is that of simulation-based calibration, where there is one: how far shares of posterior
    probabilities below the truth are from even, and the simultaneous band that they must stay in.
    """
    found = summary["calibration"]
    k = AT if AT in found["answers"] else max(found["answers"])
    at = {name: each["answers"][str(k)] for name, each in found["methods"].items()}
    of_what = "coefficient" if at["ep"]["coefficient_90"]["mean"] is not None else "margin"
    figure.set_size_inches(WIDTH, 0.58 * WIDTH)
    sbc = summary["sbc"]
    reliability, coverage, *rest = figure.subplots(1, 3 if sbc else 2)
    if sbc:
        _ranks(rest[0], sbc)
    for name, look in LOOKS.items():
        if name not in at:
            continue
        bins, label = at[name]["reliability"], found["methods"][name]["label"]
        _points(
            reliability,
            look,
            [
                point
                for count, *point in zip(bins["count"], bins["predicted"], bins["share"], bins["se"], strict=True)
                if count >= SMALLEST_COUNT
            ],
            label,
        )
        told = [at[name][f"{of_what}_{round(100 * level)}"] for level in found["levels"]]
        points = zip(found["levels"], told, strict=True)
        _points(coverage, look, [[level, each["mean"], each["se"]] for level, each in points], label)
    coverage.plot([0.4, 1], [0.4, 1], color=GREY, linewidth=0.8, zorder=1)
    reliability.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=1)
    reliability.set(
        xlabel="predicted chance of the first",
        ylabel="share of replies",
        title=f"{k} answers, predictions",
    )
    coverage.set(xlabel="nominal level", ylabel="share that hold the truth", title=f"{k} answers, {of_what}s")
    levels = [level for level in found["levels"] if level not in UNNAMED_LEVELS]
    coverage.set_xticks(levels, [f"{level:.2f}".lstrip("0") for level in levels])
    handles, labels = reliability.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


def _ranks(axes: "Axes", sbc: Mapping[str, Any]) -> None:
    """Shares less what is even, and the band of the largest sample."""
    first = next(iter(sbc["methods"].values()))
    points = np.array(first["points"])
    axes.fill_between(
        points,
        np.array(first["lower"]) - points,
        np.array(first["upper"]) - points,
        color=GREY,
        alpha=0.25,
        linewidth=0,
    )
    for name, look in LOOKS.items():
        if name in sbc["methods"]:
            shares = np.array(sbc["methods"][name]["shares"]) - points
            axes.plot(points, shares, color=look.colour, linestyle=look.line)
    axes.set(
        xlabel="probability below the truth",
        ylabel="share of users, less even",
        title=f"{sbc['answers']} random answers",
    )


def _points(axes: "Axes", look: Look, points: list[list[float]], label: str) -> None:
    """Points (x, y, standard error or None) with bars and a line through them."""
    x, y, se = zip(*points, strict=True) if points else ((), (), ())
    axes.errorbar(
        x,
        y,
        yerr=[BAND * (each or 0.0) for each in se],
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markerfacecolor="white",
        elinewidth=0.8,
        label=label,
    )
