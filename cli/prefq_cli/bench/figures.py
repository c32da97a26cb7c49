"""Figures of a benchmark's summary, as SVG and PNG, sized for a column of 16 cm.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; markers and line styles tell the same
without colour. The same summary gives the same SVG, byte for byte, with the same matplotlib.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scipy.special import stdtrit

from prefq.errors import PrefqError
from prefq_cli.bench.summaries import AT, RULE, Summary, n_units

SHOWN_AFTER = (3, 5, 10, 20, 40)  # answers
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 16 / 2.54  # inches
BAND = 1.96  # standard errors: a 95 % band where counts are large
WORDS_PER_MINUTE = 240  # as in prefq.questions.costs

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY = "#8C8C8C"
FURTHEST = 0.5  # nats: what lies beyond is told in a number
BANDED = (RULE, "random")  # more bands than these would hide each other
OUR_PRIOR = "_with_prior"  # ends the name of a peer that starts from the prior that prefq fitted
STYLE: Any = {  # for rc_context, whose keys are a type of their own
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "savefig.dpi": 200,
    "svg.hashsalt": "prefq",
}


class Look(NamedTuple):
    """How a strategy is drawn."""

    colour: str
    line: Any
    marker: str


# A strategy looks the same in every figure. The first that are there stand out; the others are thin and grey.
LOOKS: Mapping[str, Look] = {
    "information_gain": Look(BLUE, "-", "o"),
    "target_variance": Look(SKY, (0, (5, 1.5)), "s"),
    "static": Look(GREEN, (0, (4, 1.5, 1, 1.5)), "^"),
    "spread_matched_random": Look(ORANGE, (0, (5, 1.5)), "D"),
    "random": Look(BLACK, "-", "x"),
    "batches_of_five": Look(PURPLE, (0, (1, 1)), "v"),
    "stated_then_questions": Look(VERMILION, (0, (4, 1.5, 1, 1.5)), "P"),
    "pooled": Look(GREY, (0, (1, 1)), ""),
}
AXIS_LABELS = {
    "log_loss": "log loss, nats (lower is better)",
    "accuracy": "accuracy",
    "best_of_n": "share of best-of-n gain",
    "auc": "ROC AUC",
}


def draw(summary: Summary, folder: Path) -> list[Path]:
    """Draw every figure that a summary has the numbers for, as SVG and PNG.

    Parameters
    ----------
    summary
        As in ``summary.json``; what is missing in it is not drawn.
    folder
        Where the files go; made if it is not there.

    Returns
    -------
    list of Path
        The files written, SVG before PNG, in the order of reading.

    Raises
    ------
    PrefqError
        When matplotlib is not installed.
    """
    return [path for name in names_of(summary) for path in _draw(name, summary, folder)]


def names_of(summary: Summary) -> list[str]:
    """Names of the figures that a summary has the numbers for, in the order of reading."""
    return [name for name, figure in FIGURES.items() if figure.there(summary)]


def draw_one(name: str, summary: Summary, path: Path) -> None:
    """Draw one figure of a summary, in the format that the ending of `path` says."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PrefqError("figures need matplotlib, which is not installed; run pip install 'prefq[plot]'.") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(STYLE):
        figure = Figure(layout="constrained")
        FIGURES[name].draw(summary, figure)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})


def _draw(name: str, summary: Summary, folder: Path) -> list[Path]:
    paths = [folder / f"{name}.{ending}" for ending in ("svg", "png")]
    for path in paths:
        draw_one(name, summary, path)
    return paths


# --- learning curves --------------------------------------------------------------------------------


def _draw_curves(summary: Summary, figure: "Figure") -> None:
    figure.set_size_inches(WIDTH, 0.66 * WIDTH)
    strategies = {name: each for name, each in _curves(summary).items() if each["kind"] in ("ours", "control")}
    looks = {name: look for name, look in LOOKS.items() if name in strategies}
    others = [name for name in strategies if name not in looks]
    measures = [measure for measure in ("log_loss", "accuracy") if _measured(strategies.values(), measure)]
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for name in others:
            _line(axes, strategies[name], measure, Look(GREY, "-", ""), thin=True)
        bands = {name: band_of(summary, strategies[name]) if name in BANDED else 0.0 for name in looks}
        for name, look in looks.items():
            _line(axes, strategies[name], measure, look, label=name, band=bands[name])
        _fit_to(axes, {name: (strategies[name], band) for name, band in bands.items()}, measure)
        axes.set(xlabel="answers", ylabel=AXIS_LABELS[measure])
    legend(figure, columns=3, others=others)


def _draw_peers(summary: Summary, figure: "Figure") -> None:
    """What the default rule saves against each recipe, as published and with our prior, a row each."""
    against = _against_peers(summary)
    recipes = sorted({recipe_of(name) for name in against}, key=lambda recipe: _furthest(against, recipe))
    figure.set_size_inches(WIDTH, 0.8 + 0.32 * len(recipes))
    axes = figure.subplots()
    axes.axvline(0, color=BLACK, linewidth=0.8)
    looks = {False: (VERMILION, "o", 0.13), True: (BLUE, "s", -0.13)}
    for name, found in against.items():
        (colour, marker, shift), row = looks[with_our_prior(name)], recipes.index(recipe_of(name))
        difference, low, high = (_number(found[key]) for key in ("difference", "low", "high"))
        if difference > FURTHEST:
            axes.text(FURTHEST, row + shift, f"{difference:.2f} →", va="center", ha="right", fontsize=7, color=colour)
            continue
        axes.plot([low, high], [row + shift] * 2, color=colour, linewidth=1)
        label = "with our prior" if with_our_prior(name) else "as published"
        axes.plot(difference, row + shift, color=colour, marker=marker, linestyle="", markersize=4.5, label=label)
    least = min(_number(each["difference"]) for each in against.values())
    axes.set_xlim(min(-0.1, least - 0.05), FURTHEST + 0.01)
    axes.set_yticks(range(len(recipes)), recipes)
    axes.set_ylim(-0.5, len(recipes) - 0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"log loss saved by {RULE} after {_n_answers(against)} answers, nats (right of 0: prefq is better)")
    legend(figure, columns=2)


def _furthest(against: Mapping[str, Summary], recipe: str) -> float:
    return max(_number(found["difference"]) for name, found in against.items() if recipe_of(name) == recipe)


def _n_answers(against: Mapping[str, Summary]) -> int:
    return int(next(iter(against.values()))["n_answers"])


def _draw_gains(summary: Summary, figure: "Figure") -> None:
    """Log loss saved against everybody's prediction, paired, after 3, 5, 10 and 20 answers."""
    gains = _gains(summary)
    places = {name: place - (len(gains) - 1) / 2 for place, name in enumerate(gains)}
    # Side by side, so that the bars of strategies that do alike can be told apart.
    points = {name: [(each["n_answers"] + 0.16 * places[name], each) for each in gains[name]] for name in gains}
    axes = _intervals(summary, figure, points)
    axes.set(xlabel="answers", xticks=sorted({each["n_answers"] for found in gains.values() for each in found}))


def _draw_reading(summary: Summary, figure: "Figure") -> None:
    """The same against the minutes that it takes to read the questions."""
    strategies, points = _curves(summary), {}
    for name, found in _gains(summary).items():
        words = (strategies[name]["curves"].get("words") or {}).get("mean") or []
        if found and len(words) > found[-1]["n_answers"]:
            points[name] = [(_number(words[each["n_answers"]]) / WORDS_PER_MINUTE, each) for each in found]
    axes = _intervals(summary, figure, points)
    axes.set_xlabel(f"minutes of reading ({WORDS_PER_MINUTE} words a minute) for {_counted(points)} answers")
    axes.set_xlim(0)


def _intervals(summary: Summary, figure: "Figure", points: Mapping[str, list[tuple[float, Summary]]]) -> "Axes":
    """Paired differences with their 95 % intervals, joined for each strategy."""
    figure.set_size_inches(WIDTH, 0.6 * WIDTH)
    axes = figure.subplots()
    axes.axhline(0, color=BLACK, linewidth=0.8)
    for name, found in points.items():
        places = [place for place, _ in found]
        axes.plot(places, [_number(each["difference"]) for _, each in found], **drawn(LOOKS[name]), label=name)
        low, high = ([_number(each[end]) for _, each in found] for end in ("low", "high"))
        axes.vlines(places, low, high, color=LOOKS[name].colour, linewidth=0.9)
    axes.set_ylabel(f"log loss saved against {_everybody(summary)}, nats")
    legend(figure, columns=3)
    return axes


def _counted(points: Mapping[str, list[tuple[float, Summary]]]) -> str:
    counts = sorted({str(each["n_answers"]) for found in points.values() for _, each in found}, key=int)
    return " and ".join(filter(None, [", ".join(counts[:-1]), counts[-1]]))


def _line(
    axes: "Axes",
    strategy: Summary,
    measure: str,
    look: Look,
    *,
    label: str | None = None,
    thin: bool = False,
    band: float = 0.0,
) -> None:
    """A learning curve with its band of so many standard errors; nothing where it was not measured."""
    if not _measured([strategy], measure):
        return
    curve = strategy["curves"][measure]
    mean, se = [_number(value) for value in curve["mean"]], [_number(value) for value in curve.get("se") or []]
    answers = range(len(mean))
    if thin:
        axes.plot(answers, mean, color=GREY, linewidth=0.6, zorder=1)
        return
    axes.plot(answers, mean, **drawn(look), label=label, markevery=5 if len(mean) > 12 else 1, zorder=3)
    if band and se:
        low, high = ([value + side * band * error for value, error in zip(mean, se, strict=True)] for side in (-1, 1))
        axes.fill_between(answers, low, high, color=look.colour, alpha=0.13, linewidth=0, zorder=2)


def band_of(summary: Summary, strategy: Summary) -> float:
    """Half of a 95 % t interval of a strategy's level, in standard errors; 0 for a single unit, which has none."""
    freedom = n_units(summary, strategy) - 1
    return float(stdtrit(freedom, 0.975)) if freedom > 0 else 0.0


def _fit_to(axes: "Axes", strategies: Mapping[str, tuple[Summary, float]], measure: str) -> None:
    """Axis limits that show these curves whole with their bands of so many errors, whatever the others do."""
    from matplotlib.ticker import MaxNLocator

    values = []
    for strategy, band in strategies.values():
        curve = strategy["curves"].get(measure) or {}
        mean = [_number(value) for value in curve.get("mean") or []]
        errors = [_number(value) for value in curve.get("se") or []] if band else [0.0] * len(mean)
        values += [value + side * band * se for value, se in zip(mean, errors, strict=True) for side in (-1, 1)]
    known = [value for value in values if value == value]
    if not known:
        return
    room = 0.08 * ((max(known) - min(known)) or 0.1)
    axes.set_ylim(min(known) - room, max(known) + room)
    axes.set_xlim(0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def legend(figure: "Figure", *, columns: int, others: Iterable[str] = ()) -> None:
    """One legend for all panels, below them."""
    from matplotlib.lines import Line2D

    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    if list(others):
        handles["other strategies"] = Line2D([], [], color=GREY, linewidth=0.6)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)


def drawn(look: Look) -> dict[str, Any]:
    """A look, as what draws lines wants it."""
    return {"color": look.colour, "linestyle": look.line, "marker": look.marker, "markerfacecolor": "white"}


# --- what a summary holds --------------------------------------------------------------------------------


def recipe_of(name: str) -> str:
    """The recipe that a peer follows, whichever prior it starts from."""
    return name.removesuffix(OUR_PRIOR)


def with_our_prior(name: str) -> bool:
    """Whether a peer starts from the prior that prefq fitted, rather than as published."""
    return name.endswith(OUR_PRIOR)


def _curves(summary: Summary) -> dict[str, Summary]:
    """The strategies that have learning curves."""
    return {name: each for name, each in (summary.get("strategies") or {}).items() if each.get("curves")}


def _measured(strategies: Iterable[Summary], measure: str) -> bool:
    """Whether any of these has numbers of this measure."""
    return any(
        value is not None for each in strategies for value in (each["curves"].get(measure) or {}).get("mean") or []
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _has_curves(summary: Summary) -> bool:
    return _measured((each for each in _curves(summary).values() if each["kind"] != "peer"), "log_loss")


def _against_peers(summary: Summary) -> dict[str, Summary]:
    """Comparisons of the default rule with each peer in log loss, after ten answers."""
    peers = [name for name, each in (summary.get("strategies") or {}).items() if each.get("kind") == "peer"]
    return {
        each["reference"]: each
        for each in summary.get("comparisons") or []
        if (each["strategy"], each["measure"], each["n_answers"]) == (RULE, "log_loss", AT)
        and each["reference"] in peers
    }


def _has_peers(summary: Summary) -> bool:
    return bool(_against_peers(summary))


def _everybody(summary: Summary) -> str:
    """What gains are counted from: the pooled regression where it was measured, else random questions."""
    return "pooled" if "pooled" in _curves(summary) else "random"


def _gains(summary: Summary) -> dict[str, list[Summary]]:
    """Log loss saved by the strategies that stand out, by number of answers."""
    wanted = (_everybody(summary), "log_loss")
    found: dict[str, list[Summary]] = {name: [] for name in LOOKS if name in _curves(summary)}
    for each in summary.get("comparisons") or []:
        is_shown = each["n_answers"] in SHOWN_AFTER
        if is_shown and (each["reference"], each["measure"]) == wanted and each["strategy"] in found:
            found[each["strategy"]].append(each)
    return {name: sorted(each, key=lambda one: int(one["n_answers"])) for name, each in found.items() if each}


def _has_reading(summary: Summary) -> bool:
    strategies = _curves(summary)
    return any(any(strategies[name]["curves"].get("words", {}).get("mean") or []) for name in _gains(summary))


def _draw_calibration(summary: Summary, figure: "Figure") -> None:
    from prefq_cli.bench.calibration_figure import draw as draw_calibration  # which takes colours from here

    draw_calibration(summary, figure)


def _draw_speed(summary: Summary, figure: "Figure") -> None:
    from prefq_cli.bench.speed_figure import draw as draw_speed

    draw_speed(summary, figure)


def _has_speed(summary: Summary) -> bool:
    return any(not each.get("not_run") for each in summary.get("sizes") or [])


class Drawing(NamedTuple):
    """A figure: whether a summary has the numbers for it, and what draws it."""

    there: Callable[[Summary], bool]
    draw: "Callable[[Summary, Figure], None]"


FIGURES: Mapping[str, Drawing] = {
    "curves": Drawing(_has_curves, _draw_curves),
    "gains": Drawing(lambda summary: bool(_gains(summary)), _draw_gains),
    "peers": Drawing(_has_peers, _draw_peers),
    "reading": Drawing(_has_reading, _draw_reading),
    "speed": Drawing(_has_speed, _draw_speed),
    "calibration": Drawing(lambda summary: bool(summary.get("calibration")), _draw_calibration),
}
