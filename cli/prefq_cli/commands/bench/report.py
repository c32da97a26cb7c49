"""prefq bench report: the reports of runs written again, and the page of all results."""

from pathlib import Path
from typing import Annotated

import typer

from prefq_cli.settings import JsonOption

RESULTS = Path("benchmarks/results")

RunsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUN", help="Folders of runs, or result files, whose reports are wanted."),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option("--results", metavar="DIR", help=f"Result files that the page is made of; {RESULTS} by default."),
]
PageOption = Annotated[
    Path | None,
    typer.Option(
        "--page", metavar="FILE", help="Write the page of all results here, its figures to images/bench beside."
    ),
]


def report(
    runs: RunsArgument = None, results: ResultsOption = None, page: PageOption = None, as_json: JsonOption = False
) -> None:
    """Write reports of runs, or the whole page.

    A run's report goes to standard output, and with its figures into the run's folder; without runs it is the page, and
    --page writes it to a file.

    \b
    Examples:
      prefq bench report bench/learning-curve-gaussian-6
      prefq bench report benchmarks/results/replay/polis.json
      prefq bench report --page docs/benchmarks.md
    """
    from prefq.errors import InputError
    from prefq_cli.bench.page import draw_page, read_results, render_page
    from prefq_cli.console import tell, write, write_json

    if runs and (page or results):
        raise InputError("runs and a page were asked for at once; give either folders, or --results and --page.")
    if runs:
        told = {str(run): _report(run) for run in runs}
    else:
        found = read_results(results or RESULTS)
        text, files = render_page(found), []
        if page is not None:
            files = [page, *draw_page(found, page.parent / "images" / "bench")]
            page.write_text(text, encoding="utf-8")
            tell(f"{page} is up to date, with {len(files) - 1} figures.")
        told = {str(page or results or RESULTS): (text, files)}
    if as_json:
        written = [{"run": run, "report": text, "files": list(map(str, files))} for run, (text, files) in told.items()]
        write_json({"reports": written})
    elif page is None:
        write("\n".join(text for text, _ in told.values()).rstrip())


def _report(run: Path) -> tuple[str, list[Path]]:
    """The report of a run, written into its folder with the figures; of a result file only the text."""
    from prefq.errors import NotFoundError, PrefqError
    from prefq_cli.bench.figures import draw
    from prefq_cli.bench.page import read_result
    from prefq_cli.bench.report import render
    from prefq_cli.console import tell

    summary = run / "summary.json" if run.is_dir() else run
    if not summary.exists():
        what = "is not finished: it has no summary.json" if run.is_dir() else "does not exist"
        raise NotFoundError(f"the run {str(run)!r} {what}; run its prefq bench command (again) with --out.")
    found = read_result(summary)
    text = render(found)
    if not run.is_dir():
        return text, []
    files = [run / "report.md"]
    files[0].write_text(text, encoding="utf-8")
    try:
        files += draw(found, run)
    except PrefqError as error:
        tell(str(error))
    return text, files
