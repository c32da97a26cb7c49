"""What the subcommands whose results bring their own tables show: sentences, tables, and where the files are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefq_cli.bench.folders import SUMMARY
from prefq_cli.bench.progress import in_words
from prefq_cli.bench.tables import write_report
from prefq_cli.console import write, write_json, write_table, write_words
from prefq_cli.settings import Settings


def report_and_show(out: Path, summary: Mapping[str, Any], settings: Settings, *files: str) -> None:
    """Write report and figures of a summary into the folder of its run, and show it.

    Parameters
    ----------
    out
        Folder of the run.
    summary
        With `text`, `tables` and `notes`.
    settings
        How this run talks; as JSON, the tables are left to the fields that they are made of.
    files
        Further files that the run wrote there.
    """
    written = [*files, SUMMARY, *write_report(out, summary)]
    if settings.as_json:
        write_json({name: value for name, value in summary.items() if name not in ("format_version", "tables")})
        return
    write_words(str(summary["text"]))
    for table in summary["tables"]:
        write("")
        write_words(f"{table['title']}:")
        write_table(table["rows"], table["heading"], settings)
    write("")
    for note in summary["notes"]:
        write_words(note)
    write_words(f"Took {in_words(summary['seconds'])}. {', '.join(written)} are in {out}.")
