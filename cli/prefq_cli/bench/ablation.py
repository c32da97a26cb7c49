"""The ablation table: prior × rule × posterior, then single parts exchanged; every number stands in the summary."""

from prefq.simulation.ablations import CROSSED, ISOTROPIC, LAPLACE, crossed_name
from prefq_cli.bench.markdown import NOTHING, table, with_error
from prefq_cli.bench.report import source, verdict_cell
from prefq_cli.bench.summaries import AT, RULE, Summary, compared, value

TOLD = f"""What each part of the default is worth, after {AT} answers in `gaussian(6)`: the prior fitted on the group
or an isotropic guess of mean zero, the rule that chooses, and predictions by expectation propagation (EP) or Laplace. ±
is one standard error over worlds; differences are the default's gain over the row, paired, positive where the default
is better."""
MORE = "Then one part exchanged at a time:"
PRIORS, POSTERIORS = ("fitted", ISOTROPIC), ("EP", LAPLACE)


def render_ablation(summary: Summary) -> str:
    """The section of the page."""
    heading = ["prior", "rule", "predictions by", "log loss", "log loss saved by the default", "accuracy"]
    crossed = [
        [prior, f"`{rule}`", "EP" if posterior == "EP" else "Laplace", *_cells(summary, name)]
        for prior in PRIORS
        for rule in CROSSED
        for posterior in POSTERIORS
        if (name := crossed_name(rule, prior=prior, posterior=posterior)) in _measured(summary)
    ]
    names = {
        crossed_name(rule, prior=prior, posterior=posterior)
        for rule in CROSSED
        for prior in PRIORS
        for posterior in POSTERIORS
    }
    measured = _measured(summary).items()
    others = [[f"`{name}`", told, *_cells(summary, name)] for name, told in measured if name not in names]
    parts = [TOLD, table(heading, crossed)]
    if others:
        parts += [MORE, table(["strategy", "what it is", *heading[3:]], others)]
    return "\n\n".join([*parts, source(summary)]) + "\n"


def _measured(summary: Summary) -> dict[str, str]:
    """What each strategy with results is, by name."""
    strategies = summary.get("strategies") or {}
    return {name: each["summary"] for name, each in strategies.items() if each.get("curves")}


def _cells(summary: Summary, name: str) -> list[str]:
    strategy = summary["strategies"][name]
    saved = "the default" if name == RULE else verdict_cell(compared(summary, RULE, name))
    return [_level(strategy, "log_loss"), saved, _level(strategy, "accuracy")]


def _level(strategy: Summary, measure: str) -> str:
    mean, error = (value(strategy, measure, AT, which) for which in ("mean", "se"))
    return NOTHING if mean is None else with_error(mean, error).removeprefix("+")
