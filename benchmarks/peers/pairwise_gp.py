"""BoTorch's `PairwiseGP` (Balandat et al. 2020; Chu and Ghahramani 2005) with a scaled linear kernel, by BALD and EUBO.

BoTorch's own model, fit and acquisition functions, used as its documentation has them: `PairwiseGP` with
`ScaleKernel(LinearKernel)`, the probit likelihood, hyper-parameters refitted after every answer by the Laplace
marginal likelihood, the outputscale's prior and bounds those of the model's default kernel, features in standard
units of the pool; `PairwiseBayesianActiveLearningByDisagreement` (Houlsby et al. 2011) with its 1,024 samples and
`AnalyticExpectedUtilityOfBestOption` (Lin et al. 2022). The first question is random, as in the tutorials: without
data there is nothing to fit. Everything is in float64.

With our prior nothing is fitted: datapoints are features in units of the prior, on which the scaled linear kernel with
scale and variance 1 is the prior's covariance, the model's mean is linear with the prior's mean, and the likelihood is
BoTorch's logistic one. BALD assumes a probit; it sees utilities times √(π/8), which turns logits into that probit's
units (MacKay 1992). EUBO needs a datapoint, so its first question is taken by the Monte Carlo version.

What the options allow is done for speed: all candidate pairs in one batch, no gradients, no checks of distributions;
what a process pays once, such as imports, is paid before the first question. What is left of BALD's time is its
samples: with 256 of them it took a third (24 users of gaussian(6): accuracy .890 against .899 at ten answers, our
prior). At most `MAX_CANDIDATES` pairs, drawn at random for each question, are scored. A linear kernel of more
datapoints than features has a singular matrix, and near-twins make it worse: where BoTorch raises, it is tried again
with more jitter, then without fitting, and `PairwiseBelief.repairs` says so; if nothing helps, the error is passed on.
A tie is one comparison each way; an answer between equal items is left out, for BoTorch would merge the two.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from prefq.inference.laplace_batch import Gaussians
from prefq.inference.predictive import preference_probability
from prefq.simulation.panels import History, Outcomes, Rows, Study
from prefq.simulation.rules import NOTHING_LEFT, best_rows
from prefq.simulation.strategies import Begin, Belief, Learner, Strategy, each_user, own_answers
from prefq.vocabulary import Array, Gaussian, covariance_factor

USERS_AT_ONCE = 4
MAX_CANDIDATES = 2000
SAME = 1e-4  # BoTorch takes items no further apart for one, which it would then compare with itself
JITTERS = (1e-6, 1e-4, 1e-2)  # BoTorch's own, then more
LOGITS_TO_PROBIT = np.sqrt(np.pi / 8)
N_MONTE_CARLO = 1024  # of the first EUBO with our prior, before there is a datapoint

Tensor = Any  # torch is an extra: its types are not asked for here
Acquisition = Callable[[Any, Tensor], Tensor]


def unavailable() -> str | None:
    """What is missing, or None."""
    missing = [name for name in ("torch", "gpytorch", "botorch") if find_spec(name) is None]
    return f"{', '.join(missing)} is not installed; `pip install 'prefq[gp]'` brings it." if missing else None


class Fitted(NamedTuple):
    """A `PairwiseGP` and what had to be done to get it."""

    model: Any
    repairs: tuple[str, ...]


class Told(NamedTuple):
    """Answers whose items BoTorch can tell apart: both sides (n_answers, n_columns), outcomes, and what is left out."""

    first: Array
    second: Array
    outcomes: Outcomes
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, first: Array, second: Array, outcomes: Outcomes) -> "Told":
        """All but the answers between equal items, which tell nothing."""
        apart = np.abs(first - second).max(axis=1, initial=0) > SAME
        n_same = int((~apart).sum())
        left_out = (f"{n_same} answers between equal items left out",) if n_same else ()
        return cls(first[apart], second[apart], outcomes[apart], left_out)


def comparisons(outcomes: Outcomes) -> Tensor:
    """Winner and loser of each answer, its items being datapoints 2i and 2i + 1; both ways for a tie."""
    import torch

    pairs = [(2 * i, 2 * i + 1) for i in np.flatnonzero(outcomes >= 0)]
    pairs += [(2 * i + 1, 2 * i) for i in np.flatnonzero(outcomes <= 0)]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


def published_model(first: Array, second: Array, outcomes: Outcomes) -> Fitted:
    """The model as documented, fitted to the features (n_answers, n_features) of both sides and the outcomes."""
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models.pairwise_gp import PairwiseGP, PairwiseLaplaceMarginalLogLikelihood
    from gpytorch.constraints import Interval
    from gpytorch.kernels import LinearKernel, ScaleKernel
    from gpytorch.priors import SmoothedBoxPrior

    def build(jitter: float) -> Any:
        scaled = ScaleKernel(
            LinearKernel(),
            outputscale_prior=SmoothedBoxPrior(1e-2, 1e2),
            outputscale_constraint=Interval(0.5e-2, 2e2, initial_value=1.0),
        ).double()
        if not len(outcomes):
            return PairwiseGP(None, None, covar_module=scaled, jitter=jitter).double()
        return PairwiseGP(interleaved(first, second), comparisons(outcomes), covar_module=scaled, jitter=jitter)

    if not len(outcomes):
        return Fitted(build(JITTERS[0]), ())
    repairs: list[str] = []
    for jitter in JITTERS:
        try:
            model = build(jitter)
            fit_gpytorch_mll(PairwiseLaplaceMarginalLogLikelihood(model.likelihood, model))
            return Fitted(checked(model), tuple(repairs))
        except (RuntimeError, ValueError, ModelFittingError) as error:
            repairs.append(f"jitter {jitter:g}: {type(error).__name__}")
    return Fitted(checked(build(JITTERS[-1])), (*repairs, "hyper-parameters not fitted"))


def prior_model(first: Array, second: Array, outcomes: Outcomes, n_features: int) -> Fitted:
    """The model with the prior's mean in the last column and features in units of the prior in the others."""
    import torch
    from botorch.models.likelihoods.pairwise import PairwiseLogitLikelihood
    from botorch.models.pairwise_gp import PairwiseGP
    from gpytorch.kernels import LinearKernel, ScaleKernel
    from gpytorch.means import LinearMean

    def build(jitter: float) -> Any:
        scaled = ScaleKernel(LinearKernel(active_dims=tuple(range(n_features)))).double()
        scaled.outputscale, scaled.base_kernel.variance = 1.0, 1.0
        model = PairwiseGP(None, None, likelihood=PairwiseLogitLikelihood(), covar_module=scaled, jitter=jitter)
        mean = LinearMean(n_features + 1, bias=False)
        mean.initialize(weights=torch.eye(n_features + 1)[:, -1:])
        model.mean_module = mean
        model.double()
        model._num_outputs = 1  # which BoTorch sets with the data only, and asks for without
        if len(outcomes):
            model.set_train_data(interleaved(first, second), comparisons(outcomes))
        return model.eval()

    repairs: list[str] = []
    for jitter in JITTERS[:-1]:
        try:
            return Fitted(checked(build(jitter)), tuple(repairs))
        except (RuntimeError, ValueError) as error:
            repairs.append(f"jitter {jitter:g}: {type(error).__name__}")
    return Fitted(checked(build(JITTERS[-1])), tuple(repairs))


def checked(model: Any) -> Any:
    """The model, if it found a finite mode."""
    if model.utility is not None and not bool(model.utility.isfinite().all()):
        raise ValueError("the mode is not finite")
    return model


def interleaved(first: Array, second: Array) -> Tensor:
    """Datapoints (2 n_answers, n_features): both sides of each answer."""
    import torch

    return torch.from_numpy(np.stack([first, second], axis=1).reshape(-1, first.shape[1]))


def bald(model: Any, pairs: Tensor) -> Tensor:
    """BoTorch's BALD of pairs (n, 2, d)."""
    from botorch.acquisition.preference import PairwiseBayesianActiveLearningByDisagreement

    return PairwiseBayesianActiveLearningByDisagreement(model)(pairs)


def bald_of_logits(model: Any, pairs: Tensor) -> Tensor:
    """BALD where utilities are logits: a linear model's utilities scale with its inputs."""
    return bald(model, pairs * LOGITS_TO_PROBIT)


def eubo(model: Any, pairs: Tensor) -> Tensor:
    """BoTorch's EUBO of pairs (n, 2, d): analytic, by Monte Carlo while there is no datapoint."""
    import torch
    from botorch.acquisition.preference import AnalyticExpectedUtilityOfBestOption, qExpectedUtilityOfBestOption
    from botorch.sampling.normal import SobolQMCNormalSampler

    if model.datapoints is None:
        sampler = SobolQMCNormalSampler(sample_shape=torch.Size([N_MONTE_CARLO]), seed=0)
        return qExpectedUtilityOfBestOption(model, sampler=sampler)(pairs)
    return AnalyticExpectedUtilityOfBestOption(model)(pairs)


def coefficients(model: Any, n_features: int, n_columns: int) -> tuple[Array, Array]:
    """Mean and covariance of the model's weights on its first columns, read off its posterior at unit vectors."""
    import torch

    with torch.no_grad():
        at_units = model.posterior(torch.eye(n_columns, dtype=torch.float64)[:n_features])
    return at_units.mean[:, 0].numpy(), at_units.distribution.covariance_matrix.numpy()


@dataclass(frozen=True, slots=True, eq=False)
class PairwiseBelief:
    """What one model believes about its user.

    Parameters
    ----------
    weights
        Of features, in the units of the model's utility.
    choose
        Row of the next question.
    probit
        Whether the utility is that of Φ(Δ/√2), otherwise of σ(Δ).
    repairs
        What had to be done so that BoTorch gave an answer; empty if nothing.
    """

    weights: Gaussians
    choose: Callable[[], Rows]
    probit: bool
    repairs: tuple[str, ...]

    def next_rows(self) -> Rows:
        """Row of the next question (1,)."""
        return self.choose()

    def predict(self, first: Array, second: Array) -> Array:
        """Probability that the user prefers the first, averaged over the posterior."""
        mean, variance = self.weights.margins(first - second)
        if self.probit:
            from scipy.special import ndtr

            return np.asarray(ndtr(mean / np.sqrt(2 + variance)))
        return preference_probability(mean.ravel(), variance.ravel()).reshape(mean.shape)

    def score(self, items: Array) -> Array:
        """Mean utility of items."""
        return np.asarray(np.matmul(items, self.weights.means[:, :, None])[..., 0])


def as_published(acquisition: Acquisition) -> Begin:
    """For one user: standard units, fitted hyper-parameters, a random first question."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        warmed_up()
        seed, n_features = int(rng.integers(2**32)), study.first.shape[2]
        items = np.concatenate([study.first[0], study.second[0]])
        spread = items.std(axis=0)
        units = np.where(spread > 0, spread, 1.0)
        centre = items.mean(axis=0)

        def learn(history: History) -> Belief:
            first, second, outcomes = own_answers(study, history)
            with as_in_botorch(seed + history.rows.shape[1]):
                told = Told.of((first - centre) / units, (second - centre) / units, outcomes)
                model, repairs = published_model(told.first, told.second, told.outcomes)
                mean, covariance = coefficients(model, n_features, n_features)

            def choose() -> Rows:
                own = np.random.default_rng([seed, history.rows.shape[1]])
                left = history.left(study.open)[0]
                if model.datapoints is None:
                    return best_rows(own.random((1, left.size)), left[None])
                pairs = (np.stack([study.first[0], study.second[0]], axis=1) - centre) / units
                with as_in_botorch(seed + history.rows.shape[1]):
                    return best_of(acquisition, model, pairs, left, own)

            weights = Gaussians((mean / units)[None], (covariance_factor(symmetric(covariance)) / units[:, None])[None])
            return PairwiseBelief(weights, choose, True, told.left_out + repairs)

        return learn

    return each_user(begin)


def with_prior(acquisition: Acquisition) -> Begin:
    """For one user: the prior fitted on the group in place of everything BoTorch would fit."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        warmed_up()
        seed, prior, n_features = int(rng.integers(2**32)), study.gaussian, study.first.shape[2]
        factor = prior.factor

        def columns(items: Array) -> Array:
            return np.concatenate([items @ factor, (items @ prior.mean)[..., None]], axis=-1)

        def learn(history: History) -> Belief:
            first, second, outcomes = own_answers(study, history)
            with as_in_botorch(seed + history.rows.shape[1]):
                told = Told.of(columns(first), columns(second), outcomes)
                model, repairs = prior_model(told.first, told.second, told.outcomes, n_features)
                weights = unwhitened(prior, factor, *coefficients(model, n_features, n_features + 1))

            def choose() -> Rows:
                own = np.random.default_rng([seed, history.rows.shape[1]])
                pairs = columns(np.stack([study.first[0], study.second[0]], axis=1))
                with as_in_botorch(seed + history.rows.shape[1]):
                    return best_of(acquisition, model, pairs, history.left(study.open)[0], own)

            return PairwiseBelief(weights, choose, False, told.left_out + repairs)

        return learn

    return each_user(begin)


@cache  # once in a process
def warmed_up() -> None:
    """Import BoTorch and run everything once, so that no question's time holds what a process pays once."""
    import torch

    sides = np.eye(2)
    with as_in_botorch(0):
        for model, pairs in (
            (published_model(sides, -sides, np.ones(2, dtype=np.int8)).model, sides[None]),
            (prior_model(np.eye(2, 3), -np.eye(2, 3), np.ones(2, dtype=np.int8), 2).model, np.eye(2, 3)[None]),
        ):
            with torch.no_grad():
                bald(model, torch.from_numpy(pairs))
                eubo(model, torch.from_numpy(pairs))


def best_of(acquisition: Acquisition, model: Any, pairs: Array, left: Any, rng: np.random.Generator) -> Rows:
    """Row (1,) of the pair (n, 2, d) with the highest acquisition among those left."""
    import torch

    rows = np.flatnonzero(left)
    if not rows.size:
        return np.array([NOTHING_LEFT])
    if rows.size > MAX_CANDIDATES:
        rows = np.sort(rng.choice(rows, MAX_CANDIDATES, replace=False))
    with torch.no_grad():
        scores = acquisition(model, torch.from_numpy(np.ascontiguousarray(pairs[rows]))).numpy()
    return rows[best_rows(scores[None], np.ones((1, rows.size), dtype=bool))]


def unwhitened(prior: Gaussian, factor: Array, mean: Array, covariance: Array) -> Gaussians:
    """Coefficients of the features from those of features in units of the prior."""
    means = prior.mean + factor @ mean
    return Gaussians(means[None], (factor @ covariance_factor(symmetric(covariance)))[None])


def symmetric(matrix: Array) -> Array:
    """The symmetric part."""
    return (matrix + matrix.T) / 2


@contextmanager
def as_in_botorch(seed: int) -> Iterator[None]:
    """One thread, seeded, warnings of jitter and retries silent, distributions unchecked; all restored afterwards."""
    import torch
    from torch.distributions import Distribution

    # The mode's starting point comes from NumPy's global generator: there is no argument for it.
    state, n_threads = np.random.get_state(), torch.get_num_threads()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Distribution.set_default_validate_args(False)  # a quarter of BALD's time
            torch.set_num_threads(1)  # its matrices are small: a second thread mostly waits
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        torch.set_num_threads(n_threads)
        Distribution.set_default_validate_args(__debug__)
        np.random.set_state(state)  # noqa: NPY002


STRATEGIES: tuple[Strategy, ...] = (
    Strategy("pairwise_gp_bald", as_published(bald), "BoTorch PairwiseGP, linear kernel, BALD", USERS_AT_ONCE, "peer"),
    Strategy("pairwise_gp_eubo", as_published(eubo), "BoTorch PairwiseGP, linear kernel, EUBO", USERS_AT_ONCE, "peer"),
    Strategy(
        "pairwise_gp_bald_with_prior",
        with_prior(bald_of_logits),
        "BoTorch PairwiseGP, our prior, BALD",
        USERS_AT_ONCE,
        "peer",
    ),
    Strategy(
        "pairwise_gp_eubo_with_prior", with_prior(eubo), "BoTorch PairwiseGP, our prior, EUBO", USERS_AT_ONCE, "peer"
    ),
)
