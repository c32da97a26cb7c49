"""Controls: what an active strategy must be compared with to be believed.

Random questions, random questions of equal spread, a fixed questionnaire, batches, stated preferences, and the group's
average. All use the same fitted prior and posterior as ours, so that only the choice of questions differs.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from prefq.errors import InputError
from prefq.inference.beliefs import Mixtures
from prefq.inference.laplace_batch import Gaussians
from prefq.inference.population import pooled_coefficients
from prefq.inference.stated import StatedEvidence, with_stated
from prefq.questions.joint import N_PEOPLE, N_POINTS, most_informative_rows
from prefq.simulation.panels import History, Rows, Study
from prefq.simulation.rules import Rule, best_rows, expected_slope, most_informative
from prefq.simulation.strategies import Learner, Strategy, by_propagation, felt_differences, from_population, listening
from prefq.vocabulary import Array, Coefficients, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

SPREAD_SHARE = 0.2  # of the pool, with the largest prior variance: the field from which matched random draws
BATCH = 5
SMALL_DESIGN = (101, 263)  # people and points, both primes, where each user has a questionnaire of their own


def in_random_order(study: Study, rng: np.random.Generator) -> Rule:
    """Questions in random order, another for each user."""
    return in_order(study, rng.random(study.open.shape))


def widest_in_random_order(study: Study, rng: np.random.Generator) -> Rule:
    """Random among the fifth of each user's questions whose margins vary most under the prior."""
    _, variance = from_population(study).margins(study.response_model.felt(study.differences))
    ranks = np.argsort(np.argsort(-np.where(study.open, variance, -np.inf), axis=1, kind="stable"), axis=1)
    wide = ranks < np.ceil(SPREAD_SHARE * study.open.sum(axis=1, keepdims=True))
    # Once the wide ones are used up, the others follow in their own random order.
    return in_order(study, rng.random(study.open.shape) + wide)


def questionnaire(study: Study, rng: np.random.Generator) -> Rule:
    """The same questions whatever the answers: those of `design_questionnaire`.

    Where all users have the same questions it is one questionnaire; where they do not, each has one of their own.
    """
    same = len(study.first) == 1 and bool((study.open == study.open[:1]).all())
    if same:
        rows = np.tile(_sheet_of(study, 0, N_PEOPLE, N_POINTS), (study.n_users, 1))
    else:
        rows = np.array([_sheet_of(study, user, *SMALL_DESIGN) for user in range(study.n_users)])
    return lambda history, belief: rows[:, history.rows.shape[1]]


def five_at_once(study: Study, rng: np.random.Generator) -> Rule:
    """Batches of five: chosen together, each conditioned on those before it, answered before the next batch."""
    differences, priors = study.response_model.felt(study.differences), from_population(study)

    def rule(history: History, belief: Callable[[], Mixtures]) -> Rows:
        n_answers = history.rows.shape[1]
        done = n_answers - n_answers % BATCH
        heard = by_propagation(study, History(history.rows[:, :done], history.outcomes[:, :done]), priors)
        pending = History(history.rows[:, done:], history.outcomes[:, done:])
        mean, variance = heard.margins(differences)
        curvature = expected_slope(mean, variance)
        weights = np.take_along_axis(curvature, np.maximum(pending.rows, 0), axis=1)
        asked = felt_differences(study, pending)
        expected = Mixtures(heard.weights, tuple(_conditioned(each, asked, weights) for each in heard.components))
        _, variance = expected.margins(differences)
        return best_rows(np.log1p(curvature * variance) / 2, history.left(study.open))

    return rule


def begin_pooled(study: Study, *, rng: np.random.Generator) -> Learner:
    """The group's average for everybody: one pooled regression, no question asked is listened to."""
    mean = pooled_coefficients(study.group.differences, study.group.outcomes, response_model=study.response_model)
    everybody = study.starting_from(Gaussian(mean, np.zeros((mean.size, mean.size))))
    return listening(in_random_order, told=unmoved)(everybody, rng=rng)


def unmoved(study: Study, history: History, priors: Mixtures) -> Mixtures:
    """What was believed before the answers, to which nobody listens."""
    return priors


def from_stated(study: Study) -> Mixtures:
    """Where users start who have set sliders: at the group's prior and what they stated, as prefq hears it."""
    stated = study.stated
    if stated is None:
        raise InputError(
            "stated preferences need what people said about themselves, and this world or set has none; "
            "leave the strategies 'stated' and 'stated_then_questions' out."
        )
    space = FeatureSpace([f"x{i}" for i in range(study.prior.n_features)])
    prior, unread = PopulationPrior(study.prior, space), np.zeros(study.prior.n_features)
    starts = [
        with_stated(prior, StatedEvidence(space, space.names, unread, readings, stated.sd)).coefficients
        for readings in stated.readings
    ]
    components = []
    for of_users in zip(*(start.components for start in starts), strict=True):
        factor = of_users[0].factor  # readings move means only: the covariance is everybody's
        means = np.stack([each.mean for each in of_users])
        components.append(Gaussians(means, np.broadcast_to(factor, (study.n_users, *factor.shape))))
    return Mixtures(np.stack([start.weights for start in starts]), tuple(components))


def in_order(study: Study, order: Array) -> Rule:
    """Questions by fixed scores (n_users, n_questions)."""
    return lambda history, belief: best_rows(order, history.left(study.open))


begin_random = listening(in_random_order)


CONTROLS: Sequence[Strategy] = (
    Strategy("random", begin_random, "random questions, our prior and posterior", kind="control"),
    Strategy(
        "spread_matched_random",
        listening(widest_in_random_order),
        "random among the fifth of the pool with most prior variance",
        kind="control",
    ),
    Strategy(
        "static",
        listening(questionnaire),
        "the same questions for everybody, chosen against the prior",
        kind="control",
    ),
    Strategy("batches_of_five", listening(five_at_once), "five questions chosen at once", kind="control"),
    Strategy("pooled", begin_pooled, "one pooled regression for everybody: no personal answer used", kind="control"),
    Strategy(
        "stated",
        listening(in_random_order, start=from_stated, told=unmoved),
        "sliders set by the person, their noise known; no questions",
        kind="control",
    ),
    Strategy(
        "stated_then_questions",
        listening(most_informative, start=from_stated),
        "sliders set by the person, their noise known, then `information_gain`",
        kind="control",
    ),
)


def _sheet_of(study: Study, user: int, n_people: int, n_points: int) -> Rows:
    """Rows of one user's questionnaire (n_questions_asked,), -1 once all open questions are in it."""
    differences = study.differences[user if len(study.first) > 1 else 0]
    return _designed(
        differences.tobytes(),
        differences.shape,
        study.open[user].tobytes(),
        study.prior,
        study.response_model,
        study.n_questions_asked,
        (n_people, n_points),
    )


@lru_cache(maxsize=256)  # of a pure function: guards and checks ask for a panel's sheets again and again
def _designed(
    differences: bytes,
    shape: tuple[int, int],
    is_open: bytes,
    prior: Coefficients,
    response_model: ResponseModel,
    n_questions: int,
    size: tuple[int, int],
) -> Rows:
    rows, _ = most_informative_rows(
        np.frombuffer(differences).reshape(shape),
        prior,
        n_questions,
        response_model=response_model,
        is_open=np.frombuffer(is_open, dtype=bool),
        n_people=size[0],
        n_points=size[1],
    )
    return rows.astype(np.intp)


def _conditioned(belief: Gaussians, asked: Array, weights: Array) -> Gaussians:
    """Beliefs with the precision that pending questions (n_users, n, n_features) are expected to add."""
    if not asked.shape[1]:
        return belief
    loads = np.matmul(asked, belief.factors)
    added = np.matmul(loads.swapaxes(1, 2), loads * weights[..., None])
    root = np.linalg.cholesky(np.eye(added.shape[-1]) + added)
    factors = np.linalg.solve(root, belief.factors.swapaxes(1, 2)).swapaxes(1, 2)
    return Gaussians(belief.means, np.asarray(factors, dtype=np.float64))
