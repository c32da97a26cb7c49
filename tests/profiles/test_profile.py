"""Profiles: scores and probabilities by hand, JSON to the last bit, refusals."""

import copy
import errno
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prefq
from prefq.errors import InputError, NotFoundError, StorageError
from prefq.inference.ep import fit_posterior_ep
from prefq.profiles.profile import Profile
from prefq.vocabulary import Answer, Coefficients, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

SPACE = FeatureSpace(["warm", "formal"], opposites=["neutral", "casual"])
BELIEF = Gaussian([1.0, -2.0], [[0.5, 0.1], [0.1, 0.3]])
PRIOR = PopulationPrior(Gaussian([0.0, 0.0], np.eye(2)), SPACE, ResponseModel(0.3), n_users=7)


def make_profile(belief: Coefficients = BELIEF) -> Profile:
    return Profile("ada", belief, PRIOR, 10, np.array([1.0, 2.0]), "f" * 64, "2026-01-01T00:00:00Z")


def test_scores_worked_by_hand() -> None:
    scores = make_profile().score([[1.0, 1.0], [0.0, 2.0]])
    assert scores.mean.tolist() == pytest.approx([-1.0, -4.0])
    assert scores.sd.tolist() == pytest.approx([np.sqrt(1.0), np.sqrt(1.2)])


def test_preference_probability_integrates_over_the_posterior() -> None:
    profile, first, second = make_profile(), np.array([[1.0, 0.3]]), np.array([[0.0, 0.0]])
    draws = np.random.default_rng(2).multivariate_normal(BELIEF.mean, BELIEF.covariance, size=400_000)
    sampled = 1 / (1 + np.exp(-draws @ first[0]))
    found = profile.preference_probability(first, second)[0]
    assert BELIEF.mean @ first[0] == 0.4  # the first is preferred, by a margin that swapped sides would show
    assert found > 0.55
    assert found == pytest.approx(sampled.mean(), abs=4 * sampled.std() / np.sqrt(sampled.size))
    assert found + profile.preference_probability(second, first)[0] == pytest.approx(1, abs=1e-12)
    plain = Profile("ada", BELIEF, PopulationPrior(PRIOR.coefficients, SPACE), 10, np.ones(2), "f" * 64)
    assert plain.preference_probability(first, second)[0] == found  # ties do not enter


def test_preferences_are_those_of_differences_as_they_are_felt() -> None:
    model = ResponseModel(dissimilarity_noise=0.8, dissimilarity_scales=(0.3, 0.5))
    profile = replace(make_profile(), prior=replace(PRIOR, response_model=model))
    first, second = np.array([[1.0, 0.3], [0.1, 0.0]]), np.zeros((2, 2))
    plain, felt = make_profile().preference_probability, profile.preference_probability
    assert felt(first, second).tolist() == pytest.approx(plain(model.felt(first - second), second).tolist())
    assert 0.5 < felt(first, second)[0] < plain(first, second)[0]  # unlike, and judged less reliably than typical pairs
    assert felt(first, second)[1] > plain(first, second)[1] > 0.5  # alike
    np.testing.assert_allclose(felt(first, second) + felt(second, first), 1, atol=1e-12)


def test_fit_profile_is_the_posterior_of_the_answers() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0, 1.0], [1.0, 0.0], [3.0, 1.0]], [(0, 1), (1, 2), (0, 2)])
    answers = [Answer("1-0", "first"), Answer("0-2", "both_bad"), Answer("1-2", "second")]
    profile = prefq.fit_profile(pool, answers, user_id="ada")
    start = pool.starting_point()
    expected, _ = fit_posterior_ep(start.coefficients, pool.comparisons(answers))
    assert profile.coefficients == expected
    assert (profile.n_answers, profile.prior, profile.pool_digest) == (2, start, pool.digest())
    assert profile.feature_scales.tolist() == pytest.approx(np.sqrt([(1 + 4 + 9) / 3, (1 + 1 + 0) / 3]).tolist())
    assert profile.feature_space is pool.feature_space


@pytest.mark.parametrize("prior", [Gaussian([1.0, -1.0], [[2.0, 0.5], [0.5, 1.0]]), PRIOR])
@pytest.mark.parametrize("model", [None, ResponseModel(0.7, 0.4, 0.1)])
def test_fit_profile_starts_where_it_is_told(prior: Gaussian | PopulationPrior, model: ResponseModel | None) -> None:
    space = SPACE if isinstance(prior, PopulationPrior) else FeatureSpace(["a", "b"])
    pool = prefq.CandidatePool.from_arrays([[0.0, 1.0], [1.0, 0.0], [3.0, 1.0]], [(0, 1), (1, 2)], feature_space=space)
    answers = [Answer("1-0", "first"), Answer("1-2", "tie")]
    profile = prefq.fit_profile(pool, answers, user_id="ada", prior=prior, response_model=model)
    coefficients = prior.coefficients if isinstance(prior, PopulationPrior) else prior
    replies = model or (prior.response_model if isinstance(prior, PopulationPrior) else ResponseModel())
    expected, _ = fit_posterior_ep(coefficients, pool.comparisons(answers), response_model=replies)
    assert profile.coefficients == expected
    assert (profile.prior.coefficients, profile.prior.response_model) == (coefficients, replies)


def test_without_answers_the_profile_is_the_prior() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [(0, 1)])
    profile = prefq.fit_profile(pool, [], user_id="ada")
    assert profile.coefficients == pool.starting_point().coefficients
    assert profile.n_answers == 0


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), spread=st.floats(1e-9, 1e9))
def test_json_keeps_every_bit(values: list[float], spread: float) -> None:
    profile = make_profile(Gaussian(values, [[spread, 0.0], [0.0, 1.0]]))
    again = Profile.from_dict(json.loads(json.dumps(profile.to_dict())))
    assert again == profile
    assert again.coefficients.mean.tobytes() == profile.coefficients.mean.tobytes()
    assert hash(again) == hash(profile)


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "ada.json"
    make_profile().save(path)
    assert prefq.load_profile(path) == make_profile()
    make_profile(Gaussian([0.0, 0.0], np.eye(2))).save(path)
    assert prefq.load_profile(path) != make_profile()
    assert [p.name for p in tmp_path.iterdir()] == ["ada.json"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_and_unpickled_profiles_cannot_be_written(copied: Callable[[Profile], Profile]) -> None:
    again = copied(make_profile())
    assert again == make_profile()
    for array in (again.feature_scales, again.coefficients.mean, again.prior.coefficients.covariance):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_file_that_cannot_be_written_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = tmp_path / "ada.json", tmp_path / "folder"
    make_profile().save(path)
    folder.mkdir()
    with pytest.raises(
        StorageError, match=r"^the profile cannot be written to '.*folder' \(Is a directory\); give a file"
    ):
        make_profile().save(folder)
    with pytest.raises(StorageError, match=r"missing/ada\.json' \(No such file or directory\)"):
        make_profile().save(tmp_path / "missing" / "ada.json")
    with pytest.raises(StorageError, match=r"embedded null (byte|character)"):
        make_profile().save("\0")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        make_profile(PRIOR.coefficients).save(path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"ada.json", "folder"}
    assert prefq.load_profile(path) == make_profile()


def test_a_link_to_a_profile_stays(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "ada.json")
    make_profile().save(link)
    assert link.is_symlink()
    assert prefq.load_profile(tmp_path / "ada.json") == make_profile()


@pytest.mark.parametrize("path", [None, 5, "", b"ada.json"])
def test_a_path_is_a_text_or_a_path(path: Any) -> None:
    sentence = f"the path is {path!r}; give the file of a profile, as a text or a path."
    for call in (prefq.load_profile, make_profile().save):
        with pytest.raises(InputError) as caught:
            call(path)
        assert str(caught.value) == sentence


def test_json_nested_too_deeply_is_no_profile(tmp_path: Path) -> None:
    path, deep = tmp_path / "deep.json", list[Any]()
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read as a profile: maximum recursion depth exceeded"):
        prefq.load_profile(path)
    for _ in range(100_000):
        deep = [deep]
    for name in make_profile().to_dict():
        with pytest.raises(InputError):
            Profile.from_dict({**make_profile().to_dict(), name: deep})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"user_id": "a\ud800"}, "user_id hold a text that is not valid Unicode"),
        ({"coefficients": None}, "coefficients is None; give a value of type Gaussian"),
        ({"prior": BELIEF}, "prior is Gaussian"),
        ({"n_answers": True}, "n_answers is True; give a count of 0 or more"),
        ({"feature_scales": "abc"}, "feature_scales cannot be read as numbers"),
        ({"feature_scales": ["1", "2"]}, "feature_scales cannot be read as numbers"),
        ({"feature_scales": [[1.0], [1.0, 2.0]]}, "feature_scales cannot be read as numbers"),
        ({"feature_scales": [1, 10**400]}, "feature_scales cannot be read as numbers"),
        ({"feature_scales": [[1.0, 2.0]]}, r"feature_scales has 2 dimension\(s\)"),
        ({"feature_scales": [1.0, -1.0]}, "feature_scales hold negative numbers; give numbers of 0 or more"),
        ({"pool_digest": 5}, "pool_digest is 5; give a text"),
        ({"created": 5}, "created is 5; give a text"),
    ],
)
def test_a_profile_that_exists_is_valid(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        replace(make_profile(), **change)


def test_files_that_are_no_profiles(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no profile at .*missing\.json; give the path"):
        prefq.load_profile(tmp_path / "missing.json")
    path = tmp_path / "bad.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read as a profile"):
        prefq.load_profile(path)
    for data, message in [
        ([], "this is no profile: expected an object with format_version"),
        ({"format_version": 9}, "the profile has format version 9 and this prefq reads 1"),
        ({"format_version": 1, "user_id": "ada"}, "a profile needs exactly the fields"),
        ({**make_profile().to_dict(), "mood": 1}, "a profile needs exactly the fields"),
        ({**make_profile().to_dict(), "n_answers": -1}, "n_answers is -1; give a count"),
        ({**make_profile().to_dict(), "user_id": ""}, "user_id is ''; give a non-empty text"),
        ({**make_profile().to_dict(), "feature_scales": [1.0]}, "2 in its prior and 1 feature scales"),
        ({**make_profile().to_dict(), "coefficients": {"mean": [1]}}, "a Gaussian needs exactly the fields"),
    ]:
        path.write_text(json.dumps(data), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            prefq.load_profile(path)


def test_features_of_another_shape_are_refused() -> None:
    profile = make_profile()
    with pytest.raises(InputError, match=r"features has 1 dimension\(s\), shape \(2,\); expected 2"):
        profile.score([1.0, 2.0])
    with pytest.raises(InputError, match=r"features have shape \(1, 3\); expected \(n, 2\), one row a response"):
        profile.score([[1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match="features holds NaN or infinite values"):
        profile.score([[1.0, np.nan]])
    strange: list[Any] = [[["a", "b"]], [["1", "2"]], [[1j, 0]], [[10**400, 0]], [[1.0], [1.0, 2.0]]]
    for features in strange:
        with pytest.raises(InputError, match=r"^features cannot be read as numbers"):
            profile.score(features)
    with pytest.raises(InputError, match="there are 1 first and 2 second responses"):
        profile.preference_probability([[1.0, 2.0]], [[1.0, 2.0], [0.0, 0.0]])
    assert profile.score(np.empty((0, 2))).mean.shape == (0,)


def test_the_json_follows_the_schema_in_the_documentation() -> None:
    schema = json.loads((Path(__file__).parents[2] / "docs/reference/profile.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for profile in (make_profile(), Profile("ada", BELIEF, PRIOR, 0, np.ones(2), "f" * 64)):
        validator.validate(json.loads(json.dumps(profile.to_dict())))
    for name in schema["required"]:
        with pytest.raises(jsonschema.ValidationError, match="required"):
            validator.validate({key: value for key, value in make_profile().to_dict().items() if key != name})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**make_profile().to_dict(), "n_answers": "ten"})
