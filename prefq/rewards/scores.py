"""ScoreRewards: base rewards without any training, from scores that somebody already has of each response.

Scores of several reward models, of rubrics or judges, or attributes made by hand; tables of them are in
`prefq.rewards.score_tables`. What a declared error of a column means for features and margins is derived in
docs/maths/scores.md. A folder of these rewards, format version 1:

rewards.json         all but the scores of texts, and a checksum over its own fields
scores.safetensors   digests (n_texts,) and scores (n_texts, n_features), where the rewards know texts
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.inference.predictive import preference_probability
from prefq.pool.candidate_pool import DEFAULT_RMS_MARGIN, NO_TASTE, CandidatePool
from prefq.rewards.base import require_texts
from prefq.rewards.folder import AGAIN, SCORES, json_copy, read_folder, write_folder
from prefq.rewards.score_errors import definite, pair_errors, without_errors
from prefq.rewards.score_tables import ScoreTable, moments_within
from prefq.rewards.scored_texts import ScoredTexts
from prefq.vocabulary import (
    Array,
    Coefficients,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    digest_of,
    real_array,
    text_tuple,
)

FORMAT_VERSION = 1
SCORED = "scores.safetensors"
CONSTANT = 1e-12  # of a column's largest size: less than this between responses to a prompt is round-off


class ScoreReport(NamedTuple):
    """What the columns of a table are worth.

    scales (n_features,): typical true difference of each column between two responses to one prompt, in its own units;
    reliabilities (n_features,): share of the observed differences' variance that is not the column's own error;
    recovered (n_features,): share of the true differences' variance that the features tell, with what the other columns
    tell about it; correlations (n_features, n_features) of the observed differences.
    """

    n_items: int
    n_prompts: int
    scales: Array
    reliabilities: Array
    recovered: Array
    correlations: Array


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRewards:
    """Features of responses that were scored: a feature is the error-free part of a column, as far as it can be told.

    Features are (scores − means) · weights, one for each column, in units of the column's typical true difference
    between two responses to one prompt. They are not centred within prompts: what is the same for all responses to a
    prompt changes no comparison, and so a response's row does not depend on which others were scored.

    Parameters
    ----------
    names : (n_features,)
        Of the columns.
    means : (n_features,)
        Scores whose features are zero.
    weights : (n_features, n_features)
        Row i says what column i adds to each feature; diagonal where no column has an error.
    noise : (n_features, n_features)
        Covariance of what the true difference of two responses differs by from the difference of their features; zero
        where no column has an error.
    version
        Version of these rewards, free text.
    prior
        Where a new user starts, if it is known.
    scored
        Scores of texts, one column a name, in their order: of these texts, and no others, features can be had. No part
        of the identity of the features.
    report
        How they were trained, as JSON values.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, a covariance that is none, or a report that JSON cannot hold.
    MismatchError
        When the prior is of other features.

    Examples
    --------
    >>> from prefq.rewards.score_tables import ScoreTable, moments_within
    >>> from prefq.rewards.scores import score_rewards
    >>> table = ScoreTable(("Why?",) * 3, ("So.", "Well.", "Hm."), ("judge",), [[1], [4], [1]])
    >>> rewards, report = score_rewards(table)
    >>> report.scales.round(3), rewards.of_scores([[4.0]]).round(3)
    (array([2.449]), array([[0.816]]))
    """

    names: tuple[str, ...]
    means: Array
    weights: Array
    noise: Array
    version: str = "1"
    prior: PopulationPrior | None = None
    scored: ScoredTexts | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    _feature_space: FeatureSpace = field(init=False, repr=False)

    if TYPE_CHECKING:

        def __init__(
            self,
            names: Iterable[str],
            means: ArrayLike,
            weights: ArrayLike,
            noise: ArrayLike,
            version: str = "1",
            prior: PopulationPrior | None = None,
            scored: ScoredTexts | None = None,
            report: Mapping[str, Any] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        names, means = text_tuple(self.names, "names"), real_array(self.means, "means", ndim=1)
        weights, noise = (real_array(getattr(self, name), name, ndim=2) for name in ("weights", "noise"))
        n = len(names)
        if means.shape != (n,) or weights.shape != (n, n) or noise.shape != (n, n):
            raise InputError(
                f"means, weights and noise have shapes {means.shape}, {weights.shape} and {noise.shape}; expected "
                f"({n},), ({n}, {n}) and ({n}, {n}), as there are {n} names."
            )
        if self.scored is not None and self.scored.scores.shape[1] != n:
            raise InputError(f"texts have {self.scored.scores.shape[1]} scores, and there are {n} names; give as many.")
        Gaussian(np.zeros(n), noise)  # refuses what is no covariance
        digest = digest_of(SCORES, *names, means.tobytes(), weights.tobytes(), noise.tobytes())
        space = FeatureSpace(names, self.version, digest)
        if self.prior is not None:
            space.require(self.prior.feature_space, "the prior")
        values = {"names": names, "means": means, "weights": weights, "noise": noise, "_feature_space": space}
        values["report"] = json_copy(self.report)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def feature_space(self) -> FeatureSpace:
        """Names of the columns, version, and a digest of all that decides features and noise."""
        return self._feature_space

    def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        """Features of responses that were scored (n, n_features); see `BaseRewards`.

        Raises
        ------
        InputError
            When a text has no scores; where no texts are known it names the columns that are needed.
        """
        require_texts(prompts, responses)
        if self.scored is not None:
            return self.of_scores(self.scored.of_texts(prompts, responses))
        raise InputError(
            f"these rewards are scores that were given from outside ({', '.join(self.names)}); texts alone have none, "
            "so give a table with the scores of each response."
        )

    def of_scores(self, scores: ArrayLike) -> Array:
        """Features (n, n_features) of responses with these scores (n, n_features), in the order of `names`.

        Raises
        ------
        InputError
            When a score is not finite, or there is not one for each column.
        """
        return (self._feature_space.rows(scores, "scores") - self.means) @ self.weights

    def of_table(self, table: ScoreTable) -> Array:
        """Features (n_items, n_features) of a table that has these columns, among others perhaps, in any order.

        Raises
        ------
        InputError
            When a column is missing.
        """
        missing = [name for name in self.names if name not in table.names]
        if missing:
            raise InputError(f"the table has the scores {', '.join(table.names)}; expected {', '.join(missing)} too.")
        return self.of_scores(table.scores[:, [table.names.index(name) for name in self.names]])

    def margin_variance(self, coefficients: Coefficients) -> float:
        """What the errors of the columns add to the variance of a margin, E wᵀRw over the coefficients, in logits²."""
        mean = coefficients.mean
        return float(np.sum(self.noise * (coefficients.covariance + np.outer(mean, mean))))

    def preference_probability(
        self, coefficients: Coefficients, first_scores: ArrayLike, second_scores: ArrayLike
    ) -> Array:
        """Probability (n,) that the first of two responses is preferred, the columns' errors counted.

        For coefficients of the true scores, such as those of people who know the responses themselves, or that were
        fitted on scores without error. Coefficients that were fitted on scores like these have the errors in them
        already (docs/maths/scores.md): with them `prefq.rank` and all else is right as it is.

        Parameters
        ----------
        coefficients
            In logits per typical true difference.
        first_scores, second_scores : (n, n_features)
            Of both responses.

        Raises
        ------
        InputError
            When a score is not finite, or there is not one for each column of each pair.
        """
        first, second = self._feature_space.pairs(first_scores, second_scores)
        differences = (first - second) @ self.weights
        total = np.zeros(len(differences))
        for weight, each in zip(coefficients.weights, coefficients.components, strict=True):
            variance = np.einsum("ij,jk,ik->i", differences, each.covariance, differences)
            noisy = np.maximum(variance, 0.0) + self.margin_variance(each)
            total += weight * preference_probability(differences @ each.mean, noisy)
        return total

    def default_prior(self) -> PopulationPrior:
        """Where a new user starts when no group is known: any true score may matter, each as much as the others.

        As the default prior of a pool, a Gaussian and with a weight of .1 a point at zero; but the root mean square of
        1.5 logits is that of true margins, so a column with errors moves margins by as much less as it is less sure.
        """
        n = len(self.names)
        variance = DEFAULT_RMS_MARGIN**2 / n
        components = Gaussian(np.zeros(n), variance * np.eye(n)), Gaussian(np.zeros(n), np.zeros((n, n)))
        mixture = GaussianMixture([1 - NO_TASTE, NO_TASTE], components)
        return PopulationPrior(mixture, self.feature_space, impersonal=1)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder that `load_score_rewards` reads.

        Raises
        ------
        StorageError
            When the folder cannot be written.
        """
        from safetensors.numpy import save

        fields = {
            "kind": SCORES,
            "format_version": FORMAT_VERSION,
            "names": self.names,
            "version": self.version,
            "digest": self.feature_space.digest,
            "means": self.means.tolist(),
            "weights": self.weights.tolist(),
            "noise": self.noise.tolist(),
            "prior": None if self.prior is None else self.prior.to_dict(),
            "report": self.report,
        }
        texts = self.scored
        contents = {} if texts is None else {SCORED: save({"digests": texts.digests, "scores": texts.scores})}
        write_folder(folder, fields, contents)


def load_score_rewards(folder: Path) -> ScoreRewards:
    """Rewards from the folder that `ScoreRewards.save` wrote.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When it is no folder of these rewards, was changed, or was written by a newer prefq.
    StorageError
        When it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    version = {"format_version": FORMAT_VERSION}
    manifest, contents = read_folder(folder, SCORES, version, ())
    if SCORED in manifest.get("files", {}):
        manifest, contents = read_folder(folder, SCORES, version, (SCORED,))
    try:
        prior = None if manifest["prior"] is None else PopulationPrior.from_dict(manifest["prior"])
        means, weights, noise = (manifest[name] for name in ("means", "weights", "noise"))
        texts = ScoredTexts(**load(contents[SCORED])) if contents else None
        known = (manifest["names"], means, weights, noise, manifest["version"], prior, texts)
        rewards = ScoreRewards(*known, manifest.get("report", {}))
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"the rewards in {str(folder)!r} cannot be used ({error}).") from error
    if rewards.feature_space.digest != manifest.get("digest"):
        raise InputError(f"the rewards in {str(folder)!r} are not what their manifest says; {AGAIN}.")
    return rewards


def score_rewards(
    table: ScoreTable, *, error_sds: Mapping[str, float] | None = None, version: str = "1"
) -> tuple[ScoreRewards, ScoreReport]:
    """Base rewards from a table of scores, and what its columns are worth.

    Each feature is the best linear guess of a column's error-free score, from all columns: one that has no error is
    taken as it is, one that has is shrunk towards what the others say (regression calibration; docs/maths/scores.md).

    Parameters
    ----------
    table
        With at least one prompt that has two responses.
    error_sds
        Declared errors: for some columns the standard deviation with which a score would differ if the same response
        were scored again, in the column's own units; 0 for the others.
    version
        Of the rewards, free text.

    Returns
    -------
    rewards : ScoreRewards
    report : ScoreReport

    Raises
    ------
    InputError
        When no prompt has two responses, a column never differs within one, an error is declared of no column, is
        negative, or is so large that it explains all differences of its column.
    """
    codes = table.prompt_codes
    observed = moments_within(table.scores, codes)
    sizes = np.sqrt(np.diag(observed))
    still = sizes <= CONSTANT * np.abs(table.scores).max(axis=0)
    if still.any():
        raise InputError(
            f"column {table.names[int(still.argmax())]!r} never differs between two responses to one prompt; leave it "
            "out (--columns), or give more than one response a prompt."
        )
    errors = pair_errors(table.names, error_sds or {}, sizes)
    # Both in units of the observed differences.
    true = without_errors(observed / np.outer(sizes, sizes), errors / sizes**2)
    known = np.eye(len(sizes)) - np.linalg.pinv(true + np.diag(errors / sizes**2)) @ np.diag(errors / sizes**2)
    left = true - true @ known
    scales = np.sqrt(np.diag(true))
    noise = (left + left.T) / 2 / np.outer(scales, scales) if errors.any() else np.zeros_like(left)
    rewards = ScoreRewards(
        table.names, table.scores.mean(axis=0), known / sizes[:, None] / scales, definite(noise), version=version
    )
    correlations = observed / np.outer(sizes, sizes)
    n_prompts = int(codes.max()) + 1
    return rewards, ScoreReport(
        len(codes), n_prompts, scales * sizes, scales**2, 1 - np.diag(rewards.noise), correlations
    )


def pool_of_scores(table: ScoreTable, rewards: ScoreRewards, *, pairs: ArrayLike | None = None) -> CandidatePool:
    """A pool of the responses of a table, with the rewards' prior or else their default one.

    Parameters
    ----------
    table
        Of the responses.
    rewards
        Whose columns the table has.
    pairs : (n_questions, 2), optional
        Rows of items; by default all pairs of responses to one prompt.

    Raises
    ------
    InputError
        When the table lacks a column, or no pair differs in a feature.
    """
    return CandidatePool.from_arrays(
        rewards.of_table(table),
        table.pairs() if pairs is None else pairs,
        prompts=table.prompts,
        responses=table.responses,
        feature_space=rewards.feature_space,
        prior=rewards.prior or rewards.default_prior(),
    )
