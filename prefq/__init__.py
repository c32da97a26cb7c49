"""prefq learns a new user's taste with about ten comparisons.

The public names are imported when they are first used, so that ``import prefq`` loads NumPy and nothing heavier.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefq.errors import InferenceError as InferenceError
    from prefq.errors import InputError as InputError
    from prefq.errors import MismatchError as MismatchError
    from prefq.errors import NotFoundError as NotFoundError
    from prefq.errors import PrefqError as PrefqError
    from prefq.errors import StorageError as StorageError
    from prefq.inference.ep import EpInfo as EpInfo
    from prefq.inference.ep import fit_posterior_ep as fit_posterior_ep
    from prefq.inference.laplace import LaplaceInfo as LaplaceInfo
    from prefq.inference.laplace import fit_posterior as fit_posterior
    from prefq.inference.population import fit_population_prior as fit_population_prior
    from prefq.inference.stated import StatedEvidence as StatedEvidence
    from prefq.inference.stated import StatedNoise as StatedNoise
    from prefq.inference.stated import stated_evidence as stated_evidence
    from prefq.inference.stated_noise import fit_stated_noise as fit_stated_noise
    from prefq.pool.candidate_pool import CandidatePool as CandidatePool
    from prefq.pool.files import load_pool as load_pool
    from prefq.profiles.profile import Profile as Profile
    from prefq.profiles.profile import fit_profile as fit_profile
    from prefq.profiles.profile import load_profile as load_profile
    from prefq.profiles.ranking import RankedResponse as RankedResponse
    from prefq.profiles.ranking import rank as rank
    from prefq.questions.batches import select_next_questions as select_next_questions
    from prefq.questions.many_users import select_for_users as select_for_users
    from prefq.questions.selection import score_questions as score_questions
    from prefq.questions.selection import select_next_question as select_next_question
    from prefq.questions.static import design_questionnaire as design_questionnaire
    from prefq.rewards.base import load_rewards as load_rewards
    from prefq.session import Session as Session
    from prefq.settings import SessionSettings as SessionSettings
    from prefq.simulation.users import SimulatedUser as SimulatedUser
    from prefq.vocabulary import Answer as Answer
    from prefq.vocabulary import Choice as Choice
    from prefq.vocabulary import Comparisons as Comparisons
    from prefq.vocabulary import FeatureSpace as FeatureSpace
    from prefq.vocabulary import Gaussian as Gaussian
    from prefq.vocabulary import GaussianMixture as GaussianMixture
    from prefq.vocabulary import PopulationPrior as PopulationPrior
    from prefq.vocabulary import Question as Question
    from prefq.vocabulary import Response as Response
    from prefq.vocabulary import ResponseModel as ResponseModel

_HOMES = {
    "Answer": "prefq.vocabulary",
    "CandidatePool": "prefq.pool.candidate_pool",
    "Choice": "prefq.vocabulary",
    "Comparisons": "prefq.vocabulary",
    "EpInfo": "prefq.inference.ep",
    "FeatureSpace": "prefq.vocabulary",
    "Gaussian": "prefq.vocabulary",
    "GaussianMixture": "prefq.vocabulary",
    "InferenceError": "prefq.errors",
    "InputError": "prefq.errors",
    "LaplaceInfo": "prefq.inference.laplace",
    "MismatchError": "prefq.errors",
    "NotFoundError": "prefq.errors",
    "PopulationPrior": "prefq.vocabulary",
    "PrefqError": "prefq.errors",
    "Profile": "prefq.profiles.profile",
    "Question": "prefq.vocabulary",
    "RankedResponse": "prefq.profiles.ranking",
    "Response": "prefq.vocabulary",
    "ResponseModel": "prefq.vocabulary",
    "Session": "prefq.session",
    "SessionSettings": "prefq.settings",
    "SimulatedUser": "prefq.simulation.users",
    "StatedEvidence": "prefq.inference.stated",
    "StatedNoise": "prefq.inference.stated",
    "StorageError": "prefq.errors",
    "design_questionnaire": "prefq.questions.static",
    "fit_population_prior": "prefq.inference.population",
    "fit_posterior": "prefq.inference.laplace",
    "fit_posterior_ep": "prefq.inference.ep",
    "fit_profile": "prefq.profiles.profile",
    "fit_stated_noise": "prefq.inference.stated_noise",
    "load_pool": "prefq.pool.files",
    "load_profile": "prefq.profiles.profile",
    "load_rewards": "prefq.rewards.base",
    "rank": "prefq.profiles.ranking",
    "score_questions": "prefq.questions.selection",
    "select_for_users": "prefq.questions.many_users",
    "select_next_question": "prefq.questions.selection",
    "select_next_questions": "prefq.questions.batches",
    "stated_evidence": "prefq.inference.stated",
}

__all__ = [
    "Answer",
    "CandidatePool",
    "Choice",
    "Comparisons",
    "EpInfo",
    "FeatureSpace",
    "Gaussian",
    "GaussianMixture",
    "InferenceError",
    "InputError",
    "LaplaceInfo",
    "MismatchError",
    "NotFoundError",
    "PopulationPrior",
    "PrefqError",
    "Profile",
    "Question",
    "RankedResponse",
    "Response",
    "ResponseModel",
    "Session",
    "SessionSettings",
    "SimulatedUser",
    "StatedEvidence",
    "StatedNoise",
    "StorageError",
    "__version__",
    "design_questionnaire",
    "fit_population_prior",
    "fit_posterior",
    "fit_posterior_ep",
    "fit_profile",
    "fit_stated_noise",
    "load_pool",
    "load_profile",
    "load_rewards",
    "rank",
    "score_questions",
    "select_for_users",
    "select_next_question",
    "select_next_questions",
    "stated_evidence",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("prefq")
    if name not in _HOMES:
        raise AttributeError(f"module 'prefq' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
