"""The figure of a calibration: predicted against observed shares, and coverage against the nominal level."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefq_cli.bench.figures import BAND, BLUE, GREY, ORANGE, VERMILION, WIDTH, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AT = 10  # answers, or the most that there are
LOOKS: Mapping[str, Look] = {
    "laplace": Look(VERMILION, (0, (1, 1)), "s"),
    "laplace_widened": Look(ORANGE, (0, (5, 1.5)), "^"),
    "ep": Look(BLUE, "-", "o"),
}
SMALLEST_COUNT = 30  # tasks in a bin that is drawn


def draw(summary: Mapping[str, Any], figure: "Figure") -> None:
    """Both panels after the same number of chosen answers; bars are ± 1.96 standard errors over worlds."""
    found = summary["calibration"]
    k = AT if AT in found["answers"] else max(found["answers"])
    at = {name: each["answers"][str(k)] for name, each in found["methods"].items()}
    of_what = "coefficient" if at["ep"]["coefficient_90"]["mean"] is not None else "margin"
    figure.set_size_inches(WIDTH, 0.58 * WIDTH)
    reliability, coverage = figure.subplots(1, 2)
    for name, look in LOOKS.items():
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
        xlabel="predicted chance that the first is preferred",
        ylabel="share of replies",
        title=f"{k} answers, predictions",
    )
    coverage.set(
        xlabel="nominal level", ylabel="share of intervals that hold the truth", title=f"{k} answers, {of_what}s"
    )
    coverage.set_xticks(found["levels"], [f"{level:.2f}".lstrip("0") for level in found["levels"]])
    handles, labels = reliability.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


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
