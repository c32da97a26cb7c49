"""personal_start: what to believe of a person before their answers, given these and what the person stated.

One function for whatever forms a posterior of a person: selection one by one and for many, profiles and sessions.
"""

from prefq.inference.stated import StatedEvidence, with_stated
from prefq.inference.surprise import Surprise, checked_prior
from prefq.vocabulary import Comparisons, PopulationPrior


def personal_start(
    group: PopulationPrior, comparisons: Comparisons, stated: StatedEvidence | None = None
) -> tuple[PopulationPrior, Surprise | None]:
    """The group's prior, widened where the person's answers contradict it, and what the person stated.

    Parameters
    ----------
    group
        Where people start, such as ``pool.starting_point()``.
    comparisons
        The person's answers so far.
    stated
        What the person said about the axes.

    Returns
    -------
    prior
        To be conditioned on the answers; the group's own where nothing was stated and nothing is contradicted.
    surprise
        None where the answers do not contradict the group's prior.

    Raises
    ------
    MismatchError
        When the stated evidence is of another feature space.
    InferenceError
        When a posterior does not converge.
    """
    checked, surprise = checked_prior(group, comparisons)
    return with_stated(checked, stated), surprise
