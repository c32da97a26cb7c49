"""Ours, but loaded by path because it needs torch: users whose taste is linear plus a smooth residual (`prefq.gp`).

`gp_user` has the prior of the group as its linear part and an RBF residual whose scale and lengthscale are those under
which the group's answers are likeliest (`fit_residual`; `default_residual` where the group's items are not known).
`gp_user_linear` is the same code with a residual of zero, so that the two differ in the residual alone. Both choose by
`information_gain` on margins by expectation propagation.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from prefq.inference.predictive import preference_probability
from prefq.questions.acquisition import information_gain
from prefq.simulation.panels import History, Rows, Study
from prefq.simulation.rules import best_rows
from prefq.simulation.strategies import Begin, Belief, Learner, Strategy, each_user, own_answers
from prefq.vocabulary import Array, FeatureSpace, PopulationPrior

if TYPE_CHECKING:
    from prefq.gp import CurvedUser, Residual

MOST_TYPICAL = 5000  # pairs that say what is typical, where the group's items are not known


def unavailable() -> str | None:
    """What is missing, or None."""
    missing = [name for name in ("torch", "gpytorch", "botorch") if find_spec(name) is None]
    return f"{', '.join(missing)} is not installed; `pip install 'prefq[gp]'` brings it." if missing else None


@dataclass(frozen=True, slots=True, eq=False)
class CurvedBelief:
    """What is believed of one user."""

    study: Study
    user: "CurvedUser"
    history: History

    def next_rows(self) -> Rows:
        """Row (1,) of the most informative question left."""
        study = self.study
        mean, variance = self._felt(study.first[0], study.second[0])
        scores = information_gain(mean, variance, response_model=study.response_model)
        return best_rows(scores[None], self.history.left(study.open))

    def predict(self, first: Array, second: Array) -> Array:
        """Probability (1, n) that the user prefers the first."""
        stretch = self.study.test_stretch  # of the margin, carried by the features
        mean, variance = self._felt(first[0] / stretch, second[0] / stretch)
        return preference_probability(mean * stretch, variance * stretch**2)[None]

    def score(self, items: Array) -> Array:
        """Mean scores (1, n)."""
        return self.user.score(items[0]).mean[None]

    def _felt(self, first: Array, second: Array) -> tuple[Array, Array]:
        margins, loudness = self.user.margins(first, second), self.study.response_model.loudness(first - second)
        return margins.mean * loudness, margins.variance * loudness**2


def residual_of_group(study: Study) -> "Residual":
    """The likeliest residual of the group, or the default one."""
    from prefq.gp import default_residual, fit_residual

    group = study.group
    if group.first is None:
        rows = slice(0, MOST_TYPICAL)
        return default_residual(study.first[0, rows], study.second[0, rows], study.prior.covariance)
    residual, _ = fit_residual(
        group.first,
        group.first - group.differences,
        group.outcomes,
        group.users,
        prior=study.prior,
        response_model=study.response_model,
    )
    return residual


def curved(*, linear: bool) -> Begin:
    """The recipe, with the group's residual or without."""

    def begin(study: Study, *, rng: np.random.Generator) -> Learner:
        import torch

        from prefq.gp import CurvedUser, Residual
        from prefq.gp.curved import Judged

        torch.set_num_threads(1)  # matrices are small: a second thread mostly waits
        n_features = study.first.shape[2]
        residual = Residual(0.0, np.ones(n_features)) if linear else residual_of_group(study)
        space = FeatureSpace([f"feature {number}" for number in range(n_features)])
        prior = PopulationPrior(study.gaussian, space, study.response_model)

        def begin_one(study: Study, *, rng: np.random.Generator) -> Learner:  # noqa: ARG001
            def learn(history: History) -> Belief:
                told = Judged(*own_answers(study, history))
                return CurvedBelief(study, CurvedUser.given(prior, residual, told), history)

            return learn

        return each_user(begin_one)(study, rng=rng)

    return begin


STRATEGIES: tuple[Strategy, ...] = (
    Strategy("gp_user", curved(linear=False), "ours in torch: linear taste plus an RBF residual, fitted prior"),
    Strategy("gp_user_linear", curved(linear=True), "ours in torch: the same without the residual"),
)
