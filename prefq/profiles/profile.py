"""Profile: what is believed about a user after some answers, as a dated snapshot that other programs can use.

A profile can always be recomputed from the session's answers. Ranking texts is in `prefq.profiles.ranking`, words for
people in `prefq.profiles.summary`.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError, NotFoundError, StorageError
from prefq.inference.person import believed
from prefq.inference.predictive import expected_preference
from prefq.inference.stated import StatedEvidence
from prefq.inference.surprise import Surprise
from prefq.pool.candidate_pool import CandidatePool
from prefq.vocabulary import (
    Answer,
    Array,
    Coefficients,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
    coefficients_from_dict,
    exact_fields,
    real_array,
    rebuilt,
    require_instance,
    require_text,
    shown,
    whole_number,
)

FORMAT_VERSION = 1
_LATER: Mapping[str, Any] = {"stated": StatedEvidence, "surprise": Surprise}  # not in every profile


class Scores(NamedTuple):
    """Scores of responses and how far each is known: mean (n,) and sd (n,), in logits."""

    mean: Array
    sd: Array


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The result for a user.

    Parameters
    ----------
    user_id
        Whose taste it is.
    coefficients
        Posterior over the weights of the base reward features, in logits per unit of each feature.
    prior
        Where the user started: the group's guess, its feature space and response model.
    n_answers
        Answers that carried evidence; those that said both bad or skip are not counted.
    feature_scales : (n_features,)
        Root mean square difference of each feature over the questions of the pool, to compare coefficients with.
    pool_digest
        The pool that was asked from.
    created
        When, in ISO 8601, if the caller said so.
    stated
        What the person said about the axes, if anything; the coefficients take it into account, the prior does not.
    surprise
        How badly the answers fit into the group, if so badly that the prior was widened for this person.

    Raises
    ------
    InputError
        When a part is of another type, the parts differ in the number of features, or a count is negative.
    """

    user_id: str
    coefficients: Coefficients
    prior: PopulationPrior
    n_answers: int
    feature_scales: Array
    pool_digest: str
    created: str | None = None
    stated: StatedEvidence | None = None
    surprise: Surprise | None = None

    def __post_init__(self) -> None:
        require_text(self.user_id, "user_id", min_length=1)
        if not isinstance(self.coefficients, Gaussian | GaussianMixture):
            raise InputError(
                f"coefficients is {shown(self.coefficients)}; give a value of type Gaussian or GaussianMixture."
            )
        require_instance(self.prior, PopulationPrior, "prior")
        n_answers = whole_number(self.n_answers, "n_answers", "a count of 0 or more", least=0)
        scales = real_array(self.feature_scales, "feature_scales", ndim=1)
        require_text(self.pool_digest, "pool_digest")
        if self.created is not None:
            require_text(self.created, "created")
        if self.stated is not None:
            require_instance(self.stated, StatedEvidence, "stated")
            self.prior.feature_space.require(self.stated.feature_space, "what was stated")
        if self.surprise is not None:
            require_instance(self.surprise, Surprise, "surprise")
        if not self.coefficients.n_features == self.prior.coefficients.n_features == scales.size:
            raise InputError(
                f"the profile has {self.coefficients.n_features} coefficients, {self.prior.coefficients.n_features} in "
                f"its prior and {scales.size} feature scales; they must be as many."
            )
        impersonal, n_components = self.prior.impersonal, len(self.coefficients.components)
        if impersonal is not None and impersonal >= n_components:
            raise InputError(
                f"the prior says no personal taste by its component {impersonal} and the profile has {n_components} "
                "components; they must be those of the prior."
            )
        if (scales < 0).any():
            raise InputError("feature_scales hold negative numbers; give numbers of 0 or more.")
        object.__setattr__(self, "n_answers", n_answers)
        object.__setattr__(self, "feature_scales", scales)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.user_id, self.coefficients, self.pool_digest))

    @property
    def feature_space(self) -> FeatureSpace:
        """The features that the coefficients weigh."""
        return self.prior.feature_space

    @property
    def no_personal_taste(self) -> float | None:
        """Probability that this person chooses as the group does on average, or by chance where no group is known.

        None where the prior cannot tell.
        """
        impersonal = self.prior.impersonal
        return None if impersonal is None else float(self.coefficients.weights[impersonal])

    def score(self, features: ArrayLike) -> Scores:
        """Scores of responses from their base reward features.

        Parameters
        ----------
        features : (n, n_features)
            In the units of the pool's features.

        Returns
        -------
        Scores
            mean (n,) and sd (n,), in logits; only differences between responses to one prompt have a meaning.

        Raises
        ------
        InputError
            For another shape or values that are not finite.

        Examples
        --------
        >>> import prefq
        >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
        >>> profile = prefq.fit_profile(pool, [prefq.Answer("1-0", "first")], user_id="ada")
        >>> profile.score([[0.0], [1.0]]).mean.round(2)
        array([0.  , 0.72])
        """
        matrix = self.feature_space.rows(features, "features")
        return Scores(matrix @ self.coefficients.mean, np.sqrt(self._variances(matrix)))

    def preference_probability(self, first_features: ArrayLike, second_features: ArrayLike) -> Array:
        """Probability that the user prefers the first, E σ(margin) over the posterior.

        Parameters
        ----------
        first_features, second_features : (n, n_features)
            Of two responses to one prompt each.

        Returns
        -------
        (n,)
            Without ties, position bias and lapses, so that p(a, b) + p(b, a) = 1; differences count as they are felt
            (`ResponseModel.felt`), since that is how the user tells them apart.

        Raises
        ------
        InputError
            For another shape, different numbers of rows, or values that are not finite.
        """
        first, second = self.feature_space.pairs(first_features, second_features)
        return expected_preference(self.coefficients, self.prior.response_model.felt(first - second))

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON values, after the schema in ``docs/reference/profile.schema.json``."""
        told = {
            "format_version": FORMAT_VERSION,
            "user_id": self.user_id,
            "coefficients": self.coefficients.to_dict(),
            "prior": self.prior.to_dict(),
            "n_answers": self.n_answers,
            "feature_scales": self.feature_scales.tolist(),
            "pool_digest": self.pool_digest,
            "created": self.created,
        }
        later = {name: getattr(self, name) for name in _LATER}
        return told | {name: value.to_dict() for name, value in later.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Profile":
        """Profile from the dictionary that `to_dict` writes; exact to the last bit.

        Raises
        ------
        InputError
            When a field is missing or wrong, or a newer prefq wrote it.
        """
        if not isinstance(data, Mapping) or "format_version" not in data:
            raise InputError("this is no profile: expected an object with format_version, as to_dict writes it.")
        if (version := data["format_version"]) != FORMAT_VERSION:
            raise InputError(
                f"the profile has format version {shown(version)} and this prefq reads {FORMAT_VERSION}; "
                "update prefq, or export the profile again."
            )
        names = ("format_version", *(each.name for each in fields(cls) if each.name not in _LATER))
        parts = exact_fields(data, names, "a profile", later=dict.fromkeys(_LATER))
        del parts["format_version"]
        parts["coefficients"] = coefficients_from_dict(parts["coefficients"])
        parts["prior"] = PopulationPrior.from_dict(parts["prior"])
        for name, kind in _LATER.items():
            parts[name] = None if parts[name] is None else kind.from_dict(parts[name])
        return cls(**parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the profile as JSON; an existing file is replaced in one step.

        Raises
        ------
        InputError
            When the path is none.
        StorageError
            When the file cannot be written; one that was there stays.
        """
        target = _path(path)
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n"
        try:
            target = target.resolve()  # a link to a file stays, and what it points to is replaced
            with tempfile.TemporaryDirectory(prefix=".prefq-", dir=target.parent) as scratch:
                partial = Path(scratch, "profile")
                with partial.open("xb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(
                f"the profile cannot be written to {str(path)!r} ({reason}); give a file that can be written."
            ) from error

    def _variances(self, rows: Array) -> Array:
        return np.asarray(np.maximum(np.einsum("ij,ij->i", rows @ self.coefficients.covariance, rows), 0.0))


def fit_profile(
    pool: CandidatePool,
    answers: Sequence[Answer],
    *,
    user_id: str,
    prior: Coefficients | PopulationPrior | None = None,
    response_model: ResponseModel | None = None,
    created: str | None = None,
    stated: StatedEvidence | None = None,
) -> Profile:
    """The profile of a user after some answers.

    Parameters
    ----------
    pool
        The questions came from it.
    answers
        In any order; BOTH_BAD and SKIP carry no evidence.
    user_id
        Whose answers they are.
    prior, response_model
        As in `select_next_question`: the argument, else the pool's, else the default.
    created
        Date and time to note in the profile, in ISO 8601; prefq reads no clock here.
    stated
        What the person said about the axes (`prefq.stated_evidence`).

    Returns
    -------
    Profile
        With the posterior by expectation propagation (docs/maths/posterior.md).

    Raises
    ------
    InputError
        For an answer to a question that is not in the pool, or two answers to one pair.
    MismatchError
        For a prior or stated evidence of another feature space.
    InferenceError
        When the posterior does not converge.
    """
    start = pool.starting_point(prior, response_model)
    comparisons = pool.comparisons(answers)
    found = believed(start, comparisons, stated)
    n_answers, scales = int(comparisons.outcomes.size), pool.feature_scales()
    return Profile(user_id, found.posterior, start, n_answers, scales, pool.digest(), created, stated, found.surprise)


def load_profile(path: str | os.PathLike[str]) -> Profile:
    """Read a profile that `Profile.save` wrote.

    Raises
    ------
    NotFoundError
        When there is no such file.
    InputError
        When it is no profile.
    """
    file = _path(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"there is no profile at {file}; give the path of a saved profile.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as a profile: {error}.") from error
    return Profile.from_dict(data)


def _path(path: str | os.PathLike[str]) -> Path:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str) or not text:
        raise InputError(f"the path is {shown(path)}; give the file of a profile, as a text or a path.")
    return Path(text)
