"""The ablation tables of a result: prior × rule × posterior, then single parts exchanged; numbers of the summary."""

from prefq.simulation.ablations import CROSSED, ISOTROPIC, LAPLACE, crossed_name
from prefq_cli.bench.markdown import NOTHING, table, with_error
from prefq_cli.bench.summaries import AT, RULE, Summary, compared, value

CROSSED_TOLD = f"""What each part of the default is worth after {AT} answers: the prior fitted on the group or an
isotropic guess of mean zero, the rule that chooses, the posterior by expectation propagation (EP) or Laplace."""
ALONE_TOLD = f"What the default gains over itself with one part exchanged, after {AT} answers."
SHOWN = {"ep": "EP", LAPLACE: "Laplace"}
NUMBERS = ["log loss", "log loss saved by the default", "accuracy", "accuracy gained by the default"]


def ablation_parts(summary: Summary, below: str) -> list[str]:
    """The section of a report under a heading of this level; nothing where no ablation was measured."""
    strategies = {name: each for name, each in (summary.get("strategies") or {}).items() if each.get("curves")}
    exchanged = [name for name, each in strategies.items() if each["kind"] == "ablation"]
    cells = {
        crossed_name(rule, prior=prior, posterior=posterior): [prior, f"`{rule}`", SHOWN[posterior]]
        for prior in ("fitted", ISOTROPIC)
        for rule in CROSSED
        for posterior in SHOWN
    }
    parts = []
    if any(name in cells for name in exchanged):
        rows = [[*cells[name], *_numbers(summary, name)] for name in cells if name in strategies]
        parts += [CROSSED_TOLD, table(["prior", "rule", "predictions by", *NUMBERS], rows)]
    if alone := [name for name in exchanged if name not in cells]:
        rows = [[f"`{name}`", strategies[name]["summary"], *_numbers(summary, name)] for name in alone]
        parts += [ALONE_TOLD, table(["strategy", "what it is", *NUMBERS], rows)]
    return [f"{below} Ablation", *parts] if parts else []


def _numbers(summary: Summary, name: str) -> list[str]:
    """Level and the default's gain, in log loss and accuracy."""
    cells = []
    for measure in ("log_loss", "accuracy"):
        mean, error = (value(summary["strategies"][name], measure, AT, which) for which in ("mean", "se"))
        cells.append(NOTHING if mean is None else with_error(mean, error).removeprefix("+"))
        cells.append("the default" if name == RULE else _gain(compared(summary, RULE, name, measure)))
    return cells


def _gain(comparison: Summary | None) -> str:
    if comparison is None:
        return NOTHING
    return f"{with_error(comparison['difference'], comparison['se'])} {comparison['verdict']}"
