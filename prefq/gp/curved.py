"""CurvedUser: a user whose taste need not be linear, behind the calls that a `Profile` has.

Scores are a Gaussian process with the kernel of `prefq.gp.kernels`; answers enter by expectation propagation over the
answered margins, as they do for linear tastes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from gpytorch.distributions import MultivariateNormal
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from prefq.errors import InputError
from prefq.gp.bridge import ScoreModel
from prefq.gp.kernels import Residual, TasteKernel, default_residual
from prefq.gp.propagation import condition_margins
from prefq.inference.person import Believed, believed
from prefq.inference.predictive import preference_probability
from prefq.inference.stated import StatedEvidence
from prefq.inference.surprise import Surprise
from prefq.pool.candidate_pool import CandidatePool, checked_answers
from prefq.profiles.profile import Scores
from prefq.questions.acquisition import AcquisitionFunction
from prefq.questions.margins import Margins
from prefq.questions.scoring import (
    Acquisition,
    PoolAcquisition,
    Situation,
    acquisition_name,
    acquisition_named,
    score_margins,
)
from prefq.vocabulary import (
    OUTCOMES,
    Answer,
    Array,
    Coefficients,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
    parse_question_id,
)

MOST_TYPICAL = 5000  # questions that say what is typical, for the default residual
JITTER = 1e-9  # of the mean variance, added to joint covariances that BoTorch is given: near-twins make them singular


class Judged(NamedTuple):
    """Answers with both their items: first, second (n_answers, n_features), outcomes (n_answers,) as `grades`."""

    first: Array
    second: Array
    outcomes: NDArray[np.int8]


class CurvedModel(ScoreModel):
    """Scores of items after answers, as a BoTorch model; `CurvedUser.model` gives it.

    Parameters
    ----------
    prior
        Of the population, a mixture counting as the Gaussian with its mean and covariance.
    residual
        What weights cannot express.
    judged
        The answers.
    """

    def __init__(self, prior: PopulationPrior, residual: Residual, judged: Judged) -> None:
        super().__init__(prior.feature_space.n_features, prior.feature_space)
        linear = Gaussian(prior.coefficients.mean, prior.coefficients.covariance)
        self.kernel = TasteKernel(linear, residual)
        differences = judged.first - judged.second
        self.register_buffer("mean", torch.tensor(linear.mean))
        self.register_buffer("first", torch.tensor(judged.first))
        self.register_buffer("second", torch.tensor(judged.second))
        self.register_buffer("loudness", torch.tensor(prior.response_model.loudness(differences)))
        columns = (self.columns(self.first) - self.columns(self.second)) * self.loudness[:, None]
        covariance = ((columns + columns.T) / 2).numpy()
        offsets = differences @ linear.mean * self.loudness.numpy()
        told = condition_margins(offsets[None], covariance[None], judged.outcomes[None], prior.response_model)
        self.register_buffer("root", torch.tensor(told.root[0]))
        self.register_buffer("pull", torch.tensor(told.mean[0]))
        self.register_buffer("explained", torch.tensor(told.explained[0]))
        self.log_evidence = float(told.log_evidence[0])

    def loads(self, items: Tensor) -> Tensor:
        """What ties the scores of items (…, q, n_features) to the answers, b of `Told`: (…, q, n_answers)."""
        return torch.linalg.solve_triangular(self.root.T, self.columns(items), upper=True, left=False)

    def columns(self, items: Tensor) -> Tensor:
        """Covariances of the scores of items (…, q, n_features) with the answered margins: (…, q, n_answers)."""
        return (self.kernel(items, self.first).to_dense() - self.kernel(items, self.second).to_dense()) * self.loudness

    def scores(self, items: Tensor) -> MultivariateNormal:
        """Joint Gaussian of the scores of items (…, q, n_features)."""
        loads = self.loads(items)
        covariance = self.kernel(items).to_dense() - loads @ self.explained @ loads.mT
        jitter = JITTER * covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1).clamp(min=1.0)
        eye = torch.eye(items.shape[-2], dtype=items.dtype)
        return MultivariateNormal(items @ self.mean + loads @ self.pull, covariance + jitter[..., None, None] * eye)


@dataclass(frozen=True, slots=True, eq=False)
class CurvedUser:
    """What is believed about a user whose taste is a Gaussian process; made by `fit_curved_user`.

    Parameters
    ----------
    prior
        Where the user started, what was stated included; of a mixture, the components have the weights that they have
        after the answers.
    residual
        What weights cannot express.
    judged
        The answers that carried evidence.
    model
        The same as a BoTorch model over item features.
    surprise
        How badly the answers fit into the group, if so badly that the prior was widened for this person.
    """

    prior: PopulationPrior
    residual: Residual
    judged: Judged
    model: CurvedModel
    surprise: Surprise | None = None

    @classmethod
    def given(
        cls, prior: PopulationPrior, residual: Residual, judged: Judged, *, surprise: Surprise | None = None
    ) -> "CurvedUser":
        """The user after these answers; InferenceError when the approximation does not settle."""
        return cls(prior, residual, judged, CurvedModel(prior, residual, judged), surprise)

    @property
    def n_answers(self) -> int:
        """Answers that carried evidence."""
        return int(self.judged.outcomes.size)

    @property
    def log_evidence(self) -> float:
        """Log probability of the answers before they came, in nats."""
        return self.model.log_evidence

    def score(self, features: ArrayLike) -> Scores:
        """Scores of responses from their base reward features (n, n_features); all as of `Profile.score`."""
        items = torch.tensor(self.prior.feature_space.rows(features, "features"))
        with torch.no_grad():
            mean, lost = self._told(self.model.loads(items))
            mean, variance = items @ self.model.mean + mean, self.model.kernel(items, diag=True) - lost
        return Scores(mean.numpy(), variance.clamp(min=0).sqrt().numpy())

    def preference_probability(self, first_features: ArrayLike, second_features: ArrayLike) -> Array:
        """Probability that the user prefers the first, averaged; all as of `Profile.preference_probability`."""
        first, second = self.prior.feature_space.pairs(first_features, second_features)
        margins, loudness = self.margins(first, second), self.prior.response_model.loudness(first - second)
        return preference_probability(margins.mean * loudness, margins.variance * loudness**2)

    def margins(self, first_features: ArrayLike, second_features: ArrayLike) -> Margins:
        """Margins of pairs of items, one component of (n,), before any dissimilarity is felt.

        Parameters
        ----------
        first_features, second_features : (n, n_features)
            Of the two items of each pair.

        Raises
        ------
        InputError
            For another shape, different numbers of rows, or values that are not finite.
        """
        first, second = map(torch.tensor, self.prior.feature_space.pairs(first_features, second_features))
        kernel = self.model.kernel
        with torch.no_grad():
            mean, lost = self._told(self.model.loads(first) - self.model.loads(second))
            mean = (first - second) @ self.model.mean + mean
            before = kernel(first, diag=True) + kernel(second, diag=True) - 2 * kernel(first, second, diag=True)
            variance = before - lost
        return Margins(np.ones(1), mean.numpy()[None], variance.clamp(min=0).numpy()[None])

    def acquisition(self, acquisition: Acquisition = "information_gain") -> "CurvedAcquisition":
        """A rule for `select_next_question` that scores by this user's margins, not by those of a linear taste.

        Parameters
        ----------
        acquisition
            A name or a function of mean and variance, as in `select_next_question`.

        Returns
        -------
        CurvedAcquisition
            Prompts, repeats, sides and budgets are then handled by `select_next_question` as ever.

        Raises
        ------
        NotFoundError
            For an unknown name.
        InputError
            For a rule that needs coefficients, which a curved taste has not.
        """
        rule = acquisition_named(acquisition)
        if isinstance(rule, PoolAcquisition):
            raise InputError(
                f"{acquisition_name(acquisition)!r} asks for more than the margins of a taste; give a function of mean "
                "and variance, such as 'information_gain'."
            )
        return CurvedAcquisition(self, rule)

    def _told(self, loads: Tensor) -> tuple[Tensor, Tensor]:
        """What the answers add to the mean, and take from the variance, of whatever has these loads (n, n_answers)."""
        return loads @ self.model.pull, ((loads @ self.model.explained) * loads).sum(dim=1)


@dataclass(frozen=True, slots=True)
class CurvedAcquisition:
    """A rule put to the margins of a curved taste; made by `CurvedUser.acquisition`.

    Parameters
    ----------
    user
        What is believed, all answers so far included.
    rule
        A function of mean and variance.
    """

    user: CurvedUser
    rule: AcquisitionFunction

    def score_pool(self, situation: Situation, /) -> Array:
        """Scores of every question of the pool (n_questions,); MismatchError for a pool of other features."""
        pool, model = situation.pool, situation.response_model
        pool.feature_space.require(self.user.prior.feature_space, "the user's taste")
        first, second = (pool.features[side].astype(np.float64) for side in pool.pairs.T)
        margins, loudness = self.user.margins(first, second), model.loudness(first - second)
        felt = margins._replace(means=margins.means * loudness, variances=margins.variances * loudness**2)
        return score_margins(self.rule, felt, model)


def fit_curved_user(
    pool: CandidatePool,
    answers: Iterable[Answer],
    *,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    residual: Residual | None = None,
    stated: StatedEvidence | None = None,
) -> CurvedUser:
    """What answers say about a user whose taste need not be linear.

    Parameters
    ----------
    pool
        That was asked from.
    answers
        So far, in any order; BOTH_BAD and SKIP carry no evidence.
    prior, response_model, stated
        As in `select_next_question`. Of a mixture, the Gaussian counts that has its mean and covariance, with the
        weights that linear tastes give its components after the answers.
    residual
        How far the taste may depart from weights: fitted on a group by `fit_residual`, or `default_residual`.

    Returns
    -------
    CurvedUser
        With `score`, `preference_probability` and `acquisition`.

    Raises
    ------
    InputError
        As in `CandidatePool.asked`.
    MismatchError
        For a prior or stated evidence of another feature space.
    InferenceError
        When the approximation does not settle.

    Examples
    --------
    >>> import prefq
    >>> from prefq.gp import fit_curved_user
    >>> pool = prefq.load_pool("starter")
    >>> question = prefq.select_next_question(pool, [])
    >>> user = fit_curved_user(pool, [question.answer("first")])
    >>> following = prefq.select_next_question(pool, [question.answer("first")], acquisition=user.acquisition())
    >>> following.id != question.id
    True
    """
    start = pool.starting_point(prior, response_model)
    replies = checked_answers(answers)
    comparisons = pool.comparisons(replies)
    shown = [parse_question_id(answer.question_id) for answer in replies if answer.choice in OUTCOMES]
    first, second = pool.features[np.array(shown, dtype=np.int64).reshape(-1, 2).T].astype(np.float64)
    if residual is None:
        one, other = pool.features[pool.pairs[:MOST_TYPICAL].T].astype(np.float64)
        residual = default_residual(one, other, start.coefficients.covariance)
    found = believed(start, comparisons, stated)
    return CurvedUser.given(
        _as_answered(found), residual, Judged(first, second, comparisons.grades), surprise=found.surprise
    )


def _as_answered(found: Believed) -> PopulationPrior:
    """Where the person started, each component with the weight that it has after the answers."""
    components = found.start.coefficients.components
    if len(components) == 1:
        return found.start
    return replace(found.start, coefficients=GaussianMixture(found.posterior.weights, components))
