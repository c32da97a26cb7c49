"""Stopping rules by name, bound to a pool: those that the settings of a session may ask for."""

import numpy as np

from prefq.errors import NotFoundError
from prefq.pool.candidate_pool import CandidatePool
from prefq.questions.stopping import SURE, StoppingRule, information_left, promised_wrong, settled_order
from prefq.vocabulary import Array, Coefficients, ResponseModel

SETTLED, LITTLE_LEFT = "settled", "little_left"
STOPPING_NAMES = (SETTLED, LITTLE_LEFT)
MOST_TARGETS = 512  # pairs of a pool that stand for all; more move a mean by less than a person would notice
MOST_QUESTIONS = 4096  # of a pool, among which the next ones are sought


def stopping_named(
    name: str, pool: CandidatePool, response_model: ResponseModel, *, sure: float = SURE
) -> StoppingRule:
    """The rule of this name, about the questions of a pool.

    Parameters
    ----------
    name
        ``"settled"``: the order within pairs is settled (`settled_order`); ``"little_left"``: the next questions are
        expected to tell little (`information_left`).
    pool
        Whose pairs it is about: at most `MOST_TARGETS` of them whose order is to be settled, `MOST_QUESTIONS` of them
        to be asked next, spread evenly over their rows.
    response_model
        How replies arise.
    sure
        For ``"settled"``: share of the pairs that must be expected not to be the wrong way round.

    Raises
    ------
    NotFoundError
        For an unknown name.
    """
    require_stopping(name)
    if name == SETTLED:
        return settled_order(target_pairs(pool), sure)
    return information_left(target_pairs(pool, MOST_QUESTIONS), response_model)


def require_stopping(name: str) -> None:
    """Raise NotFoundError, which names those that exist, unless there is a stopping rule of this name."""
    if name not in STOPPING_NAMES:
        raise NotFoundError(f"there is no stopping rule {name!r}; choose one of {', '.join(STOPPING_NAMES)}.")


def settled_share(pool: CandidatePool, posterior: Coefficients) -> float:
    """Share of the pool's pairs whose likelier order is not expected to be wrong."""
    return 1 - float(promised_wrong(posterior, target_pairs(pool)).mean())


def target_pairs(pool: CandidatePool, most: int = MOST_TARGETS) -> Array:
    """Differences of the pairs that stand for the pool (n_pairs, n_features), at most so many."""
    n_targets = min(most, pool.n_questions)
    rows = np.linspace(0, pool.n_questions - 1, n_targets).astype(np.int64)
    first, second = pool.pairs[rows].T
    return np.asarray(pool.features[first].astype(np.float64) - pool.features[second])
