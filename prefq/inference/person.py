"""What is believed of a person: before their answers, given these and what the person stated, and after them.

One way for whatever forms a posterior of a person: selection, profiles and sessions.
"""

from typing import NamedTuple

from prefq.errors import InferenceError
from prefq.inference.beliefs import ep_posteriors, mixture_for_all
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.likelihood import Felt
from prefq.inference.stated import StatedEvidence, with_stated
from prefq.inference.surprise import Surprise, checked_prior, widened
from prefq.vocabulary import Coefficients, Comparisons, PopulationPrior


class Believed(NamedTuple):
    """What is believed of a person.

    group is where people start, widened where the person's answers contradict it (surprise, else None); start adds what
    the person stated; posterior is by expectation propagation.
    """

    group: PopulationPrior
    start: PopulationPrior
    posterior: Coefficients
    surprise: Surprise | None


def believed(
    group: PopulationPrior, comparisons: Comparisons, stated: StatedEvidence | None = None, *, to_tell: bool = True
) -> Believed:
    """What is believed of a person after their answers; parameters as of `personal_start`.

    Parameters
    ----------
    to_tell
        Whether the person is told of it; a question may also be chosen by what came closest to converging.

    Raises
    ------
    MismatchError
        As of `personal_start`.
    InferenceError
        When the posterior does not converge and is to be told.
    """
    start, surprise = personal_start(group, comparisons, stated)
    model = start.response_model
    try:
        posterior, _ = fit_posterior_ep(start.coefficients, comparisons, response_model=model)
    except InferenceError:
        if to_tell:
            raise
        answers = Felt.of(comparisons, model)
        alone = mixture_for_all(start.coefficients, 1)
        posterior = ep_posteriors(alone, answers.differences[None], answers.outcomes[None], model).of_user(0)
    return Believed(group if surprise is None else widened(group), start, posterior, surprise)


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
    """
    checked, surprise = checked_prior(group, comparisons)
    return with_stated(checked, stated), surprise
