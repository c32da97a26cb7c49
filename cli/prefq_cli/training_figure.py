"""The picture of a training report: people held out, by the number of base rewards. Drawn by matplotlib."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.outputs import require_folder, require_free

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDINGS = (".svg", ".png")

PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw how many base rewards predict people best (.svg or .png)."),
]


def require_plot(path: Path | None, *, force: bool) -> None:
    """Raise PrefqError where a picture could not be drawn there, before there is anything to draw."""
    from prefq.errors import InputError

    if path is None:
        return
    if path.suffix not in ENDINGS:
        raise InputError(f"--plot is {str(path)!r}; give a file that ends in {' or '.join(ENDINGS)}.")
    require_folder(path)
    require_free(path, force=force)
    _figure_class()


def draw(report: Mapping[str, Any], path: Path | None) -> None:
    """Draw the report where a picture was asked for, and say what was drawn."""
    from prefq_cli.console import tell

    if path is not None:
        drawn = _drawn(report, path)
        tell(f"Drew {path}." if drawn else "Nothing was drawn: fewer than two numbers of base rewards were measured.")


def _drawn(report: Mapping[str, Any], path: Path) -> bool:
    """Whether there was anything to draw: log loss and accuracy of two numbers of base rewards."""
    from prefq.errors import StorageError
    from prefq_cli.bench.figures import STYLE, WIDTH, legend

    points = [point for point in report.get("features", ()) if point["log_loss"] is not None]
    if len(points) < 2:
        return False
    figure_class = _figure_class()
    from matplotlib import rc_context

    with rc_context(STYLE):
        figure = figure_class(figsize=(WIDTH, 0.5 * WIDTH), layout="constrained")
        for axes, measure in zip(figure.subplots(1, 2), ("log_loss", "accuracy"), strict=True):
            _panel(axes, points, measure, report.get("n_features"))
        legend(figure, columns=2)
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
        except OSError as error:
            raise StorageError(f"{str(path)!r} cannot be written ({error.strerror}); give another file.") from error
    return True


def _panel(axes: "Axes", points: list[Mapping[str, Any]], measure: str, chosen: int | None) -> None:
    """One measure: before any answer, and after ten with its standard error; the number that was chosen is filled."""
    from prefq_cli.bench.figures import AXIS_LABELS, BLUE, GREY
    from prefq_cli.training_report import after_answers

    numbers = [point["n_features"] for point in points]
    means, errors = [point[measure] for point in points], [point[f"{measure}_error"] or 0.0 for point in points]
    before = [point[f"{measure}_before"] for point in points]
    axes.plot(numbers, before, color=GREY, linestyle=":", marker="s", markersize=3, label="before any answer")
    look: Any = {"color": BLUE, "marker": "o", "markerfacecolor": "white", "capsize": 2.5, "elinewidth": 0.9}
    axes.errorbar(numbers, means, errors, **look, label=f"{after_answers(points)} (± standard error)", zorder=3)
    taken = [(number, mean) for number, mean in zip(numbers, means, strict=True) if number == chosen]
    if taken:
        axes.plot(*zip(*taken, strict=True), "o", color=BLUE, markersize=6, zorder=4, label=f"chosen: {chosen}")
    axes.set(xlabel="base rewards", ylabel=AXIS_LABELS[measure], xticks=numbers)


def _figure_class() -> Any:
    from prefq.errors import PrefqError

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PrefqError("--plot needs matplotlib, which is not installed; run pip install 'prefq[plot]'.") from error
    return Figure
