"""The one reward for everybody, at its own scale: what base rewards of a group must be better than."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.inference.population import fit_population_prior
from prefq.rewards.factorization.average import fit_average
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array, Gaussian, PopulationPrior

ASIDE = 0.15  # of the comparisons, by which the ridge of the shared reward is chosen


def fit_shared_reward(
    encodings: NDArray[np.floating[Any]], group: GroupComparisons, *, rng: np.random.Generator
) -> tuple[Array, PopulationPrior]:
    """The one reward for everybody, its ridge chosen on a part of the comparisons, and a prior that is sure of it.

    How people reply, and the scale, are fitted on that part, as with any other rewards: ties make margins look smaller.

    Parameters
    ----------
    encodings : (n_items, n_dims)
        May be mapped.
    group
        Who preferred what.
    rng
        Draws the part.

    Returns
    -------
    head : (n_dims, 1)
        In units of the margin, before it is scaled.
    prior
        Of one coefficient, without variance: nobody's answers change it.
    """
    aside = rng.random(group.n_comparisons) < ASIDE
    head = fit_average(encodings, group.of_rows(~aside), rng=rng, validation=group.of_rows(aside)).heads
    told_by = group.of_rows(aside) if aside.any() else group  # not by those rows that the head fits the noise of
    fitted = fit_population_prior(told_by.feature_differences(encodings, head), told_by.outcomes, told_by.users)
    sure = Gaussian(fitted.coefficients.mean, [[0.0]])
    return head, PopulationPrior(sure, response_model=fitted.response_model, feature_space=fitted.feature_space)
