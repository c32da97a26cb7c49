"""Columns of scores as commands take them: their names, and what of a table was left out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefq.rewards.base import BaseRewards
    from prefq.rewards.group import GroupComparisons
    from prefq.rewards.logs import TextComparisons
    from prefq.rewards.score_tables import ScoreTable


def column_names(text: str | None, option: str) -> list[str] | None:
    """Names between commas; None where none were given."""
    from prefq.errors import InputError

    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(f"{option} is {text!r}; give names of columns with commas between, each once.")
    return names


def tell_of_table(table: "ScoreTable") -> None:
    """Say on standard error which rows and columns of a file say nothing."""
    from prefq_cli.console import tell

    report = table.report
    if report is not None and report.left_aside:
        columns = ", ".join(f"{name} ({what})" for name, what in report.left_aside.items())
        tell(f"Left aside, as it looks like no scores: {columns}. To choose columns yourself, name them by --columns.")
    if report is not None and report.n_incomplete + report.n_repeated:
        tell(
            f"Of {report.n_rows} rows {report.n_incomplete} lack a score and {report.n_repeated} repeat an earlier one."
        )


def of_known_texts(
    group: "GroupComparisons", rewards: "BaseRewards", comparisons: "TextComparisons"
) -> "GroupComparisons":
    """The comparisons of texts that rewards made of scores know, and how many others there are on standard error."""
    import numpy as np

    from prefq.rewards.scores import ScoreRewards
    from prefq_cli.console import tell

    if not isinstance(rewards, ScoreRewards) or rewards.scored is None:
        return group
    items = np.unique(group.pairs).tolist()
    texts = ([column[item] for item in items] for column in (comparisons.prompts, comparisons.responses))
    known = np.zeros(group.n_items, dtype=bool)
    known[items] = rewards.scored.rows(*texts) >= 0
    both = np.asarray(known[group.pairs].all(axis=1))
    if n_others := int((~both).sum()):
        tell(f"{n_others:,} of {group.n_comparisons:,} comparisons are of responses without scores, and were left out.")
    return group.of_rows(both)
