"""What a training report says, as words and tables: who was learned from, how many base rewards, who was tested."""

from collections.abc import Mapping
from typing import Any

from prefq_cli.settings import Settings


def show_report(report: Mapping[str, Any], settings: Settings) -> None:
    """The report of `prefq.rewards.train.train_rewards`; nothing of what it lacks."""
    from prefq_cli.console import write, write_table, write_words

    if report.keys() >= {"method", "n_comparisons", "n_users"}:
        write_words(
            f"{_chosen(report)}Learned by {report['method']} from {report['n_comparisons']:,} comparisons of "
            f"{report['n_users']:,} people."
        )
    if len(report.get("features", ())) > 1:
        write("")
        write_words("People held out, after 10 answers, by the number of base rewards (± standard error):")
        tried = [
            (
                f"{point['n_features']}{' ←' if point['n_features'] == report.get('n_features') else ''}",
                _with_error(point["log_loss"], point["log_loss_error"]),
                _with_error(point["accuracy"], point["accuracy_error"]),
            )
            for point in report["features"]
        ]
        write_table(tried, ("base rewards", "log loss", "accuracy"), settings)
    if test := report.get("test"):
        write("")
        write_words(f"{test['n_people']} test people, who took no part, after so many answers of theirs:")
        tested = [
            (
                str(after),
                _with_error(test["log_loss"][i], test["log_loss_error"][i]),
                _with_error(test["accuracy"][i], test["accuracy_error"][i]),
                _with_error(test["gain_over_shared"][i], test["gain_error"][i], "+"),
            )
            for i, after in enumerate(test["after"])
        ]
        write_table(tested, ("answers", "log loss", "accuracy", "gain over one shared reward, nats"), settings)


def _chosen(report: Mapping[str, Any]) -> str:
    n = report.get("n_features")
    return "" if n is None else f"{n} base reward{'' if n == 1 else 's'}. "


def _with_error(value: float | None, error: float | None, sign: str = "") -> str:
    return "not measured" if value is None or error is None else f"{value:{sign}.3f} ± {error:.3f}"
