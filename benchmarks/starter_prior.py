"""Should the starter come with a prior fitted on real people? Held out they say, and so do the starter's own worlds.

A few minutes of one core. Needs the sets `llmfao`, `polis` and `tulu_eval`, where
`benchmarks.rfm_scenarios.data_folder` says. The decision on these figures is docs/decisions/0038.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import prefq
from benchmarks import starter_gain
from benchmarks.crowds import FOLDS_OF_ANSWERS, Part, answers_compared, part_of_answers
from benchmarks.rfm_scenarios import data_folder
from prefq.inference.population import fit_population_prior
from prefq.pool.starter import declared_levels
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import AFTER, HeldOutCurve, curve_of
from prefq.rewards.learning import LearnedRewards, learn_rewards
from prefq.rewards.style import StyleRewards, squash
from prefq.rewards.text_statistics import Lexicon, statistics_of
from prefq.simulation.replay import draw_folds
from prefq.simulation.worlds import declared_levels_world
from prefq.vocabulary import Array, Comparisons, Gaussian, PopulationPrior
from prefq_cli.bench.datasets.sets import folder_of

TITLE = "A prior for the starter from real people"
GOAL = (
    "ship a prior or another map from text to axes if people held out are predicted better by more than two standard "
    "errors, people who answered other prompts too, and the starter's own worlds are not"
)
SHIPPED = "shipped"
ANSWERED = "fitted on llmfao"  # on the other folds' people
SPREAD = "its spread only"  # the mean is zero, as in the shipped one: nothing is liked by most
REPLIES = "its replies only"  # the shipped one, with how people reply
STATEMENTS = "fitted on polis"
MAP = "map refitted"  # base rewards learned over all statistics of the text, in place of the eight axes
SEEDS = (11, 12, 13)
N_WORLDS, N_USERS = 4, 50
STRATEGY = "information_gain"


class Texts(NamedTuple):
    """What people compared, on the eight axes (n_items, 8) and as statistics of the texts (n_items, n_statistics)."""

    group: GroupComparisons
    axes: Array
    statistics: Array


def texts_of(name: str) -> Texts:
    """A set, read by the starter."""
    prompts, responses, group = answers_compared(folder_of(name, data_folder()))
    rewards = prefq.load_rewards("starter")
    assert isinstance(rewards, StyleRewards)
    return Texts(group, rewards.features(prompts, responses), standard_statistics(rewards, responses))


def standard_statistics(rewards: StyleRewards, responses: Sequence[str]) -> Array:
    """Statistics (n_items, n_statistics) as the map from text to axes reads them: standardised and squashed."""
    lexicon = Lexicon.parse(rewards.lexicon_text)
    rows = [statistics_of(response, lexicon) for response in responses]
    values = np.array([[row[name] for name in rewards.statistics] for row in rows])
    return squash((values - rewards.means) / rewards.scales)


def fitted(group: GroupComparisons, axes: Array) -> PopulationPrior:
    """Where new people start on the axes, as the people of a group say."""
    space = prefq.load_pool("starter").feature_space
    found = group.differences(axes), group.outcomes, group.users
    return fit_population_prior(*found, n_components="auto", feature_space=space)


def priors_of(group: GroupComparisons, axes: Array) -> dict[str, PopulationPrior]:
    """The shipped prior, the fitted one, and each of both with a part of the other."""
    shipped, found = prefq.load_pool("starter").starting_point(), fitted(group, axes)
    about_zero = Gaussian(np.zeros(axes.shape[1]), found.coefficients.covariance)
    spread = replace(found, coefficients=about_zero, impersonal=None)
    replies = replace(shipped, response_model=found.response_model)
    return {SHIPPED: shipped, ANSWERED: found, SPREAD: spread, REPLIES: replies}


def judged(part: Part, axes: Array, priors: Mapping[str, PopulationPrior]) -> dict[str, HeldOutCurve]:
    """The people held out, by prior."""
    told = Comparisons(part.held_out.differences(axes), part.held_out.outcomes)
    return {name: curve_of(told, prior, part.people, part.own, part.tests) for name, prior in priors.items()}


def run_seed(texts: Texts, others: Mapping[str, PopulationPrior], seed: int) -> dict[str, Sequence[HeldOutCurve]]:
    """All folds of the people, in a random division."""
    folds = draw_folds(texts.group.n_users, FOLDS_OF_ANSWERS, rng=np.random.default_rng(seed))
    runs = []
    for fold in range(FOLDS_OF_ANSWERS):
        rng = np.random.default_rng([seed, fold])
        part = part_of_answers(texts.group, folds == fold, rng)
        found = judged(part, texts.axes, {**priors_of(part.training, texts.axes), **others})
        learned = learn_rewards(texts.statistics, part.training, rng=rng)
        features = (texts.statistics - learned.mean) @ learned.heads
        runs.append({**found, **judged(part, features, {MAP: learned.prior})})
    return {name: [run[name] for run in runs] for name in runs[0]}


def on_people(texts: Texts, others: Mapping[str, PopulationPrior]) -> dict[str, Any]:
    """Means over the people of a set, each held out once a seed, and errors over people."""
    runs = [run_seed(texts, others, seed) for seed in SEEDS]
    return summary({name: [curve for run in runs for curve in run[name]] for name in runs[0]})


def on_other_prompts(texts: Texts, priors: Mapping[str, PopulationPrior], learned: LearnedRewards) -> dict[str, Any]:
    """The people of a set that nothing was fitted on."""
    everybody, features = np.ones(texts.group.n_users, dtype=bool), (texts.statistics - learned.mean) @ learned.heads
    runs = []
    for seed in SEEDS:
        part = part_of_answers(texts.group, everybody, np.random.default_rng(seed))
        runs.append({**judged(part, texts.axes, priors), **judged(part, features, {MAP: learned.prior})})
    return summary({name: [run[name] for run in runs] for name in runs[0]})


def summary(found: Mapping[str, Sequence[HeldOutCurve]]) -> dict[str, Any]:
    """Log loss, accuracy, and paired gains over the shipped prior with errors over people; seeds are averaged first.

    A column is of those who gave so many answers.
    """
    told = np.concatenate([curve.told for curve in found[SHIPPED]]) == np.array(AFTER)
    people = np.concatenate([curve.people for curve in found[SHIPPED]])
    losses, hits = (
        {name: np.concatenate([getattr(curve, field) for curve in each]) for name, each in found.items()}
        for field in ("log_losses", "accuracies")
    )
    over = partial(_over_people, people=people, there=told)
    return {
        "n_people": [len(np.unique(people[column])) for column in told.T],
        "log_loss": {name: over(values)[0] for name, values in losses.items()},
        "accuracy": {name: over(values)[0] for name, values in hits.items()},
        "gain": {name: over(losses[SHIPPED] - values) for name, values in losses.items() if name != SHIPPED},
        "accuracy_gain": {name: over(values - hits[SHIPPED]) for name, values in hits.items() if name != SHIPPED},
    }


def _over_people(values: Array, *, people: Array, there: Array) -> tuple[list[float | None], list[float | None]]:
    """Mean and standard error of each column, over the means of people; None of fewer than two."""
    means: list[float | None] = []
    errors: list[float | None] = []
    for column, of in zip(values.T, there.T, strict=True):
        _, codes = np.unique(people[of], return_inverse=True)
        own = np.bincount(codes, column[of]) / np.bincount(codes)
        enough = len(own) > 1
        means.append(round(float(own.mean()), 4) + 0.0 if enough else None)
        errors.append(round(float(own.std(ddof=1) / np.sqrt(len(own))), 4) if enough else None)
    return means, errors


def on_worlds(prior: PopulationPrior) -> dict[str, Any]:
    """Accuracy on the starter's own worlds, whose people want any level of any axis: with it, and less without."""
    pool = prefq.load_pool("starter")
    found: dict[str, Any] = {}
    for margin in starter_gain.RMS_MARGINS:
        runs = np.stack([_world(pool, prior, starter_gain.SEED + world, margin) for world in range(N_WORLDS)])
        gains = runs[:, 1] - runs[:, 0]
        found[f"{margin:g}"] = {
            "shipped": runs[:, 0].mean(axis=(0, 1)).round(4).tolist(),
            "fitted": runs[:, 1].mean(axis=(0, 1)).round(4).tolist(),
            "gain": gains.mean(axis=(0, 1)).round(4).tolist(),
            "gain_error": (gains.mean(axis=1).std(axis=0, ddof=1) / np.sqrt(N_WORLDS)).round(4).tolist(),
        }
    return found


def _world(pool: prefq.CandidatePool, prior: PopulationPrior, seed: int, margin: float) -> Array:
    """Accuracy (2, n_users, n_counts) with the shipped prior and with another, on the same people and tests."""
    rng = np.random.default_rng(seed)
    world = declared_levels_world(
        pool, declared_levels(), rms_margin=margin, hidden_share=starter_gain.HIDDEN_SHARE, rng=rng
    )
    pools, tests = starter_gain.split(pool, rng)
    users = [world.draw_user(rng=rng) for _ in range(N_USERS)]
    asked = [pools[STRATEGY], replace(pools[STRATEGY], prior=prior)]
    return np.array(
        [
            [
                starter_gain.accuracies(world, each, tests, user, STRATEGY, 1000 * seed + n)
                for n, user in enumerate(users)
            ]
            for each in asked
        ]
    )


def measure() -> dict[str, Any]:
    """Figures of the run."""
    texts, other = texts_of("llmfao"), texts_of("tulu_eval")
    of_statements = of_polis()
    of_all = priors_of(texts.group, texts.axes)
    found = of_all[ANSWERED].coefficients
    learned = learn_rewards(texts.statistics, texts.group, rng=np.random.default_rng(SEEDS[0]))
    return {
        "after": list(AFTER),
        "n_seeds": len(SEEDS),
        "people": on_people(texts, {STATEMENTS: of_statements}),
        "other_prompts": on_other_prompts(other, {**of_all, STATEMENTS: of_statements}, learned),
        "worlds_after": list(starter_gain.AFTER),
        "worlds": on_worlds(of_all[ANSWERED]),
        "prior": {
            "axes": list(of_all[ANSWERED].feature_space.names),
            "mean": found.mean.round(3).tolist(),
            "sd": np.sqrt(np.diag(found.covariance)).round(3).tolist(),
            "shipped_sd": np.sqrt(np.diag(of_all[SHIPPED].coefficients.covariance)).round(3).tolist(),
            "tie_threshold": round(of_all[ANSWERED].response_model.tie_threshold, 3),
        },
    }


def of_polis() -> PopulationPrior:
    """The prior of people who voted on statements, which are no answers to a prompt, as the axes read them."""
    prompts, responses, group = answers_compared(folder_of("polis", data_folder()))
    return fitted(group, prefq.load_rewards("starter").features(prompts, responses))


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    heads = " | ".join(f"after {n}" for n in figures["after"])
    lines = [
        (
            "The starter's eight axes, with the prior that it comes with and with others: fitted on people of "
            "`llmfao`, or a part of that; fitted on people of `polis`, whose statements answer no prompt; and base "
            "rewards learned by `bayes` from people of `llmfao` over all statistics of the text, in place of the axes. "
            f"People of `llmfao` are held out by folds, {figures['n_seeds']} times; those of `tulu_eval` answered "
            "other prompts, and nothing was fitted on them. Gains over the shipped prior are paired, in nats and "
            "points of accuracy, errors over people; each column is of those who gave so many answers."
        ),
        "",
        f"| people | prior | {heads} |",
        "|---|---|" + "---|" * len(figures["after"]),
    ]
    for key, where in (("people", "llmfao"), ("other_prompts", "tulu_eval")):
        row = figures[key]
        there = "/".join(map(str, row["n_people"]))
        shown = zip(row["log_loss"][SHIPPED], row["accuracy"][SHIPPED], strict=True)
        cells = " | ".join(f"{loss:.4f} ({share:.1%})" for loss, share in shown)
        lines.append(f"| {where}, {there} | {SHIPPED} | {cells} |")
        for name, gains in row["gain"].items():
            told = zip(*gains, *row["accuracy_gain"][name], strict=True)
            cells = " | ".join(f"{g:+.4f} ± {e:.4f}; {100 * a:+.1f} ± {100 * of_a:.1f}" for g, e, a, of_a in told)
            lines.append(f"| {where}, {there} | {name} | {cells} |")
    return "\n".join([*lines, "", *_of_worlds(figures), "", _of_prior(figures["prior"])])


def _of_worlds(figures: Mapping[str, Any]) -> list[str]:
    heads = " | ".join(f"after {n}" for n in figures["worlds_after"])
    lines = [
        "Accuracy on the starter's own worlds, whose people want either end of any axis, with the prior of `llmfao`:",
        "",
        f"| rms margin | prior | {heads} |",
        "|---|---|" + "---|" * len(figures["worlds_after"]),
    ]
    for margin, world in figures["worlds"].items():
        lines.append(f"| {margin} logits | {SHIPPED} | " + " | ".join(f"{v:.3f}" for v in world["shipped"]) + " |")
        cells = zip(world["fitted"], world["gain"], world["gain_error"], strict=True)
        told = " | ".join(f"{v:.3f} ({g:+.3f} ± {e:.3f})" for v, g, e in cells)
        lines.append(f"| {margin} logits | {ANSWERED} | {told} |")
    return lines


def _of_prior(prior: Mapping[str, Any]) -> str:
    told = zip(prior["axes"], prior["mean"], prior["sd"], prior["shipped_sd"], strict=True)
    axes = "; ".join(f"{axis} {mean:+.2f} ± {sd:.2f} (shipped 0 ± {of:.2f})" for axis, mean, sd, of in told)
    return (
        f"The prior of all people of `llmfao`, in logits a level: {axes}; tie threshold {prior['tie_threshold']:.2f}."
    )
