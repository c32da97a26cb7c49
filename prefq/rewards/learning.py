"""Base rewards of a group from its comparisons: heads, how many, how strong they are for people who were held out.

People who taught the heads look as if they differed along them more than others do: heads fit their noise. So the
group is folded: the heads of each fold are learned without its people, who then tell how far tastes reach along them,
and how well people are predicted after ten answers. What that says of a group is used on heads learned from everybody.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InferenceError, InputError
from prefq.inference.population import fit_population_prior
from prefq.rewards.canonical import canonical
from prefq.rewards.factorization.base import Factorization, Method, OnStep, Tastes, silent
from prefq.rewards.factorization.marginal import ITEMS, Directions
from prefq.rewards.fits import Fits
from prefq.rewards.folds import RankPoint, Seen, Strengths, chosen, curve_of, held_out, strengths
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, Gaussian, GaussianMixture, PopulationPrior

METHODS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        name: (f"prefq.rewards.factorization.{name}", f"fit_{name}")
        for name in ("bayes", "average", "pref", "rfm", "lore")
    }
)
DEFAULT = "bayes"
NESTED = "bayes"  # whose one fit of the most features tells of all numbers
AVERAGE = "average"  # which learns one
UNSTOPPED = ("bayes",)  # methods that have no use for answers that are held out
MOST_HELD_OUT = 0.5
CANDIDATES = (1, 2, 3, 4, 6, 8, 12)


class LearnedRewards(NamedTuple):
    """Base rewards of a group.

    mean (n_dims,) of the encodings of the compared items and heads (n_dims, n_features), canonical: a feature is
    (encoding - mean) @ heads. prior is where new people start; curve is what the number of features was chosen by.
    """

    mean: Array
    heads: Array
    prior: PopulationPrior
    curve: tuple[RankPoint, ...]
    method: str


def method_of(name: str) -> Method:
    """A method by name; InputError where there is none."""
    if name not in METHODS:
        raise InputError(f"there is no method {name!r}; choose among {', '.join(METHODS)}.")
    module, function = METHODS[name]
    found: Method = getattr(import_module(module), function)
    return found


def learn_rewards(
    encodings: NDArray[np.floating[Any]],
    group: GroupComparisons,
    *,
    method: str = DEFAULT,
    n_features: int | None = None,
    max_features: int = CANDIDATES[-1],
    stop_by: float = 0.0,
    rng: np.random.Generator,
    checkpoints: Path | None = None,
    on_step: OnStep | None = None,
) -> LearnedRewards:
    """Heads, and the prior of people's coefficients on them.

    Parameters
    ----------
    encodings : (n_items, n_dims)
        May be mapped.
    group
        Who preferred what.
    method
        One of `METHODS`.
    n_features
        How many base rewards; by default the fewest, of `CANDIDATES` up to `max_features`, with which people who were
        held out are predicted after ten answers as well as with any other number, within a point of accuracy and .005
        nats; where people gave fewer than ten, the fewest under which their answers are as likely as under any.
    stop_by
        Share of the pairs of each fit, at most a half, that the method does not see: they say when to stop, or which
        ridge of `average` to take. Not for `bayes`. With the methods' own priors it does not pay (decision 0039).
    rng
        Draws the folds, the pairs that a method is stopped by, and what the method draws.
    checkpoints
        A folder that keeps each fit once it is finished: a run that was interrupted goes on from there when it is
        called with the same arguments and a generator in the same state, and comes to the same result.
    on_step
        Told what is being done; may raise to end it.

    Raises
    ------
    InputError
        When there is no such method, or nothing to learn from.
    StorageError
        When a finished fit cannot be written.
    """
    _require_learnable(group, method, stop_by)
    say, nested = on_step or silent, method == NESTED
    fits = Fits(method, method_of(method), encodings, held_out=stop_by, folder=checkpoints, on_step=say)
    most = min(max_features, encodings.shape[1])
    numbers = (n_features,) if n_features is not None else tuple(n for n in CANDIDATES if n <= most)
    if method == AVERAGE:
        numbers = (1,)

    def heads_of(learned_from: GroupComparisons, wanted: tuple[int, ...], which: str) -> list[Array]:
        directions = Directions.of(encodings, learned_from)
        found = [fits(learned_from, n, which, rng=rng) for n in ((max(numbers),) if nested else wanted)]
        tastes = [_tastes(each) for each in found] * (len(wanted) if nested else 1)
        kept = [canonical(directions, *each, n) for each, n in zip(tastes, wanted, strict=True)]
        if not all(each.tastes.mean.any() for each in kept):
            raise InputError(
                f"the {learned_from.n_comparisons} answers cancel out: for all that is said for a response as much is "
                "said against it, so no reward can be learned; give comparisons of more people or texts."
            )
        return [each.heads for each in kept]

    def features(others: GroupComparisons, own: GroupComparisons, wanted: tuple[int, ...], which: str) -> list[Array]:
        found = heads_of(others, wanted, which)
        seen = own.feature_differences(encodings, np.column_stack(found))
        return np.split(seen, np.cumsum([heads.shape[1] for heads in found])[:-1], axis=1)

    told = group.of_rows(group.independent(rng))
    held = held_out(group, told, numbers, features, rng=rng) if group.n_users > 1 else {}
    curve = curve_of(held, rng)
    number = chosen(curve) if curve else numbers[0]
    heads = heads_of(group, (number,), " from everybody")[0]
    say("fitting where new people start")
    seen = Seen.of(told.feature_differences(encodings, heads), told)
    prior = fit_population_prior(*seen[:3], strengths=told.strengths, n_components="auto", on_step=on_step)
    if held:
        prior = narrowed(prior, *_shares(strengths([seen]), held[number].whole.first(heads.shape[1])))
    compared = np.unique(group.pairs)
    return LearnedRewards(_mean(encodings, compared), heads, prior, curve, method)


def narrowed(prior: PopulationPrior, of_mean: Array, of_sd: Array) -> PopulationPrior:
    """The prior of people who taught the heads, as it is for others: its mean and its spread along each axis reduced.

    The map w → S m + F (w - m) carries every component with it, m being the mean of all, S and F diagonal.

    Parameters
    ----------
    prior
        Fitted on those who taught them.
    of_mean, of_sd : (n_features,)
        Shares of mean and standard deviation that are left, S and F.
    """
    whole = prior.coefficients
    parts = [
        Gaussian(of_mean * whole.mean + of_sd * (each.mean - whole.mean), of_sd[:, None] * each.covariance * of_sd)
        for each in whole.components
    ]
    return PopulationPrior(
        GaussianMixture(whole.weights, parts),
        response_model=prior.response_model,
        feature_space=prior.feature_space,
        n_users=prior.n_users,
        impersonal=prior.impersonal,
    )


def _require_learnable(group: GroupComparisons, method: str, stop_by: float) -> None:
    if group.n_comparisons and not group.outcomes.any():
        raise InputError(
            f"all {group.n_comparisons} comparisons are ties, which tell no response from another; give others too."
        )
    if stop_by and method in UNSTOPPED:
        raise InputError(f"stop_by is {stop_by}, and {method!r} is not stopped by pairs held out; leave it out.")
    if not 0 <= stop_by <= MOST_HELD_OUT:
        raise InputError(f"stop_by is {stop_by}; give a share of the pairs, at most {MOST_HELD_OUT}.")


def _shares(taught: Strengths, others: Strengths) -> tuple[Array, Array]:
    """What of mean and standard deviation, as those who taught the heads show them, is left of people held out."""
    of_sd = np.sqrt(np.clip(others.variances / taught.variances, 0.0, 1.0))
    of_mean = of_sd.copy()
    of_mean[0] = np.clip(others.mean[0] / taught.mean[0], 0.0, 1.0) if taught.mean[0] > 0 else 0.0
    return of_mean, of_sd


def _tastes(learned: Factorization) -> tuple[Array, Array]:
    """The taste of all (n_dims,) and how people differ (n_dims, rank): as the method says, or by its coefficients."""
    tastes = learned.tastes
    if tastes is None:
        known = learned.coefficients[~np.isnan(learned.coefficients).any(axis=1)]
        if not len(known):
            raise InferenceError(
                f"{learned.info.method} gave nobody coefficients; check that all encodings are finite."
            )
        covariance = np.atleast_2d(np.cov(known.T)) if len(known) > 1 else np.eye(known.shape[1])
        tastes = Tastes.of(Gaussian(known.mean(axis=0), covariance + 1e-9 * np.eye(len(covariance))))
    return learned.heads @ tastes.mean, learned.heads @ tastes.axes


def _mean(encodings: NDArray[np.floating[Any]], items: NDArray[np.int64]) -> Array:
    """Mean encoding (n_dims,) of some items."""
    total = np.zeros(encodings.shape[1])
    for start in range(0, len(items), ITEMS):
        total += encodings[items[start : start + ITEMS]].sum(axis=0, dtype=np.float64)
    return total / max(len(items), 1)
