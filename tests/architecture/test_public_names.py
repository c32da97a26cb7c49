"""The façade: which names are public, that each resolves and explains itself, and that all errors have one root."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import prefq

# The contract with other programs. Adding a name is a decision; removing one breaks somebody.
PUBLIC_NAMES = {
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
}


def modules_of_prefq() -> list[ModuleType]:
    """Every module of the library that can be imported by itself."""
    found = pkgutil.walk_packages(prefq.__path__, "prefq.")
    return [importlib.import_module(module.name) for module in found if ".migrations" not in module.name]


def error_classes() -> list[type[BaseException]]:
    """Every exception class that the library defines."""
    return [
        value
        for module in modules_of_prefq()
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == module.__name__
    ]


def test_public_names_are_these_and_sorted() -> None:
    assert list(prefq.__all__) == sorted(PUBLIC_NAMES)


@pytest.mark.parametrize("name", prefq.__all__)
def test_name_resolves_is_listed_and_explains_itself(name: str) -> None:
    value = getattr(prefq, name)

    assert name in dir(prefq)
    if callable(value):
        assert inspect.getdoc(value), f"prefq.{name} has no docstring"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(prefq, "no_such_name")  # noqa: B009 - mypy would refuse the plain attribute


def test_star_import_gives_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from prefq import *", namespace)

    assert set(prefq.__all__) <= set(namespace)


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__qualname__)
def test_error_descends_from_the_root(error: type[BaseException]) -> None:
    assert issubclass(error, prefq.PrefqError)


def test_errors_are_also_what_python_programmers_catch() -> None:
    assert issubclass(prefq.InputError, ValueError)
    assert issubclass(prefq.InferenceError, RuntimeError)


@pytest.mark.parametrize("module", modules_of_prefq(), ids=lambda module: module.__name__)
def test_module_says_what_lives_in_it(module: ModuleType) -> None:
    assert module.__doc__
    assert module.__doc__.strip()
