"""The one reward for everybody, as sure as it may be of people it has not seen: what others must be better than."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.inference.population import fit_population_prior
from prefq.rewards.factorization.average import fit_average
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, PopulationPrior

FOLDS = 5


def fit_shared_reward(
    encodings: NDArray[np.floating[Any]], group: GroupComparisons, *, rng: np.random.Generator
) -> tuple[Array, PopulationPrior]:
    """The one reward for everybody, and where new people start on it.

    The group is folded. A head is learned without the people of each fold, who choose its ridge and then tell, all
    folds together, how far it may be trusted and how people reply: who taught a head seems to like it more than
    others do. The reward is the mean of these heads.

    Parameters
    ----------
    encodings : (n_items, n_dims)
        May be mapped.
    group
        Who preferred what; of fewer people than there are folds, comparisons are folded and not people.
    rng
        Draws the folds.

    Returns
    -------
    head : (n_dims, 1)
        In logits, before it is scaled.
    prior
        Of the one coefficient. What is predicted without any answer is the shared reward's word.

    Raises
    ------
    InputError
        When there is nothing to learn from.
    """
    people, numbers = np.unique(group.users, return_inverse=True)
    n_parts = len(people) if len(people) >= FOLDS else group.n_comparisons
    fold = rng.permutation(np.arange(n_parts) % FOLDS)[numbers if n_parts == len(people) else np.arange(n_parts)]
    anyone = replace(group, users=np.zeros_like(group.users), user_ids=("anyone",))  # who it was is not asked
    told = group.independent(rng)
    heads, features = [], np.empty((group.n_comparisons, 1))
    for own in (fold == number for number in range(FOLDS)):
        held_out = anyone.of_rows(own)
        heads.append(fit_average(encodings, anyone.of_rows(~own), validation=held_out).heads)
        features[own] = held_out.feature_differences(encodings, heads[-1])
    known = group.of_rows(told)
    prior = fit_population_prior(features[told], known.outcomes, known.users, strengths=known.strengths)
    return np.mean(heads, axis=0), prior
