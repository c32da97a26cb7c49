"""CandidatePool: items, features, pairs, feature space and the prior a new user starts from.

Reading and writing pools is in `prefq.pool.files`; choosing among the questions is in `prefq.questions`.
"""

import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError
from prefq.vocabulary import (
    OUTCOMES,
    Answer,
    Array,
    Coefficients,
    Comparisons,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    Question,
    Response,
    ResponseModel,
    digest_of,
    parse_question_id,
    question_id,
    require_unicode,
)

DEFAULT_RMS_MARGIN = 1.5  # logits: a typical question is then answered the expected way about three times in four
NO_TASTE = 0.1  # probability that somebody has none: between what two sets of real people say, where no group is known
CONSTANT_ULPS = 4  # a feature whose values differ by no more than this many units of round-off is constant
BLOCK = 16_384  # rows widened to float64 at a time
Rows = NDArray[np.int64]
_Value = TypeVar("_Value")


class DroppedPairs(NamedTuple):
    """Pairs that were given and left out: repeated (in either order), or of two items with equal features."""

    repeated: int
    equal: int


NOTHING_DROPPED = DroppedPairs(0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePool:
    """Questions that can be asked, as pairs of items with base reward features.

    Make one with `from_arrays` or `prefq.load_pool`. The constructor takes parts that are already clean, checks that
    they fit together and does not copy them. A pool is immutable and may be shared between threads.

    Parameters
    ----------
    features : (n_items, n_features)
        Base reward features in the caller's own units, float32 or float64.
    pairs : (n_questions, 2)
        Item rows; no pair twice in either order.
    feature_space
        Identity of the features.
    prompts, responses
        One text an item, or None.
    prompt_codes : (n_items,), optional
        A number for each item's prompt; both items of a pair have the same.
    prior
        Where a new user starts, or None for the default.
    dropped
        Pairs left out when the pool was made.

    Raises
    ------
    InputError
        When the parts do not fit together.
    """

    features: NDArray[np.floating[Any]]
    pairs: Rows
    feature_space: FeatureSpace
    prompts: tuple[str, ...] | None = None
    responses: tuple[str, ...] | None = None
    prompt_codes: Rows | None = None
    prior: PopulationPrior | None = None
    dropped: DroppedPairs = NOTHING_DROPPED
    # Values derived from the fields, computed once; a cache of pure functions, not state.
    _derived: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        n_items, n_questions = len(self.features), len(self.pairs)
        per_item = [part for part in (self.prompts, self.responses, self.prompt_codes) if part is not None]
        fits = (
            np.shape(self.features) == (n_items, self.feature_space.n_features)
            and np.shape(self.pairs) == (n_questions, 2)
            and n_questions > 0
            and 0 <= self.pairs.min() <= self.pairs.max() < n_items
            and all(len(part) == n_items for part in per_item)
        )
        if not fits:
            raise InputError(
                f"features {np.shape(self.features)}, pairs {np.shape(self.pairs)}, {self.feature_space.n_features} "
                f"names and {[len(part) for part in per_item]} texts or codes do not make a pool; use from_arrays."
            )
        for name in ("features", "pairs", "prompt_codes"):
            if (array := getattr(self, name)) is not None:
                view = array.view()
                view.setflags(write=False)
                object.__setattr__(self, name, view)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields and not what was derived from them; arrays come back read-only."""
        return type(self), tuple(getattr(self, each.name) for each in fields(self) if each.init)

    @classmethod
    def from_arrays(
        cls,
        features: ArrayLike,
        pairs: ArrayLike,
        *,
        prompts: Sequence[str] | None = None,
        responses: Sequence[str] | None = None,
        prompt_ids: Sequence[Hashable] | None = None,
        feature_names: Sequence[str] | None = None,
        feature_space: FeatureSpace | None = None,
        prior: Coefficients | PopulationPrior | None = None,
    ) -> "CandidatePool":
        """Pool from arrays.

        Parameters
        ----------
        features : (n_items, n_features)
            In the caller's own units; float32 is kept, anything else becomes float64.
        pairs : (n_questions, 2)
            Item rows. Repeated and reversed pairs, and pairs of items with equal features, are dropped and counted
            in ``pool.dropped``.
        prompts, responses : (n_items,), optional
            Texts of each item.
        prompt_ids : (n_items,), optional
            Which items answer the same prompt; by default those with equal prompt text. Without prompts and ids
            there is no rule about prompts.
        feature_names : (n_features,), optional
            Default: x0, x1, ….
        feature_space
            Instead of names, where the features come from known base rewards.
        prior
            Where a new user starts; None for the default prior of `starting_point`.

        Raises
        ------
        InputError
            For NaN or infinite features, wrong shapes, rows out of range, an item compared with itself, a pair
            across two prompts, no questions, or texts that are not valid Unicode.
        MismatchError
            When the prior is of another feature space.

        Examples
        --------
        >>> from prefq import CandidatePool
        >>> pool = CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [[0, 1], [1, 2], [2, 1]])
        >>> pool.n_questions, pool.dropped.repeated
        (2, 1)
        """
        matrix = _feature_matrix(features)
        n_items, n_features = matrix.shape
        if feature_space is None:
            names = [f"x{i}" for i in range(n_features)] if feature_names is None else feature_names
            feature_space = FeatureSpace(cast("tuple[str, ...]", names))  # checks that they are names
        elif feature_names is not None:
            raise InputError("both feature_names and feature_space were given; give one of them.")
        if feature_space.n_features != n_features:
            raise InputError(
                f"there are {feature_space.n_features} feature names and {n_features} columns of features; "
                "give one name a column."
            )
        prompts = _texts(prompts, "prompts", n_items)
        codes = _prompt_codes(prompts, prompt_ids, n_items)
        rows, dropped = _clean_pairs(_item_pairs(pairs, n_items), matrix, codes)
        return cls(
            matrix,
            rows,
            feature_space,
            prompts=prompts,
            responses=_texts(responses, "responses", n_items),
            prompt_codes=codes,
            prior=None if prior is None else as_population_prior(prior, feature_space),
            dropped=dropped,
        )

    def __repr__(self) -> str:
        return f"CandidatePool(n_items={self.n_items}, n_features={self.n_features}, n_questions={self.n_questions})"

    @property
    def n_items(self) -> int:
        """Number of items."""
        return int(self.features.shape[0])

    @property
    def n_features(self) -> int:
        """Number of base reward features."""
        return int(self.features.shape[1])

    @property
    def n_questions(self) -> int:
        """Number of pairs."""
        return int(self.pairs.shape[0])

    def digest(self) -> str:
        """SHA-256 of everything the pool holds, hexadecimal; computed once."""
        return self.derive("digest", self._compute_digest)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the pool to a folder that `prefq.load_pool` reads; see `prefq.pool.files.save_pool`."""
        from prefq.pool.files import save_pool

        save_pool(self, folder)

    def starting_point(
        self, prior: Coefficients | PopulationPrior | None = None, response_model: ResponseModel | None = None
    ) -> PopulationPrior:
        """Where a new user starts: the argument, else the pool's prior, else the default.

        The default prior is a Gaussian and, with a weight of .1, a point at zero: somebody without any taste. The
        Gaussian has mean zero and a diagonal covariance proportional to 1/sd² of each feature over the items, scaled
        so that the root mean square margin over the questions is 1.5 logits; a feature that never varies counts as if
        its sd were 1. The response model is the argument, else the prior's, else the pool's
        prior's, else plain Bradley-Terry.

        Raises
        ------
        MismatchError
            When a `PopulationPrior` is of another feature space.
        InputError
            When a Gaussian or mixture has another number of coefficients, or the default cannot be computed because the
            features differ too little or too much for floating-point numbers.
        """
        if response_model is not None and not isinstance(response_model, ResponseModel):
            raise InputError(f"response_model is a {type(response_model).__name__}; give a ResponseModel.")
        if isinstance(prior, Gaussian | GaussianMixture) and self.prior is not None and response_model is None:
            response_model = self.prior.response_model
        given = self.prior if prior is None else prior
        start = self.derive("default_prior", self._default_prior) if given is None else given
        start = as_population_prior(start, self.feature_space)
        if response_model is None or response_model == start.response_model:
            return start
        return replace(start, response_model=response_model)

    def question(self, question_id: str) -> Question:
        """The question with this id, sides as in the id; InputError if its pair is not in the pool."""
        first, second = parse_question_id(question_id)
        self.question_rows([(first, second)])
        return self.question_of(first, second)

    def question_of(self, first: int, second: int) -> Question:
        """The question that shows two items of one of the pool's pairs, in this order."""
        shown = question_id(first, second)
        return Question(shown, self._prompt(first), self._response(first), self._response(second))

    def question_rows(self, items: Sequence[tuple[int, int]]) -> Rows:
        """Row in `pairs` of each pair of item rows, in either order (n,); InputError if one is not in the pool."""
        if not items:
            return np.empty(0, dtype=np.int64)
        codes, order = self.derive("pair_codes", self._sorted_pair_codes)
        n_items = self.n_items
        # Python integers: no row is too large to compare. No pair has the code -1.
        wanted = np.array([min(pair) * n_items + max(pair) if max(pair) < n_items else -1 for pair in items])
        at = np.minimum(codes.searchsorted(wanted), codes.size - 1)
        if (codes[at] != wanted).any():
            missing = np.flatnonzero(codes[at] != wanted)
            raise InputError(
                f"question {question_id(*items[missing[0]])!r} is not in the pool of {self.n_questions} questions; "
                "answer questions that were selected from this pool."
            )
        return np.asarray(order[at])

    def comparisons(self, answers: Iterable[Answer]) -> Comparisons:
        """Answers as numbers; BOTH_BAD and SKIP carry no evidence and are left out. Errors as in `asked`."""
        return self.asked(answers)[1]

    def asked(self, answers: Iterable[Answer]) -> tuple[Rows, Comparisons]:
        """Rows of the questions that were answered in any way (n_replies,), and the answers as numbers.

        Raises
        ------
        InputError
            For an answer to a question that is not in the pool, or two answers to one pair.
        """
        answers = checked_answers(answers)
        items = [parse_question_id(answer.question_id) for answer in answers]
        rows = self.question_rows(items)
        if len(set(rows.tolist())) < len(rows):
            first_seen = np.unique(rows, return_index=True)[1]
            repeated = answers[int(np.setdiff1d(np.arange(len(rows)), first_seen)[0])]
            raise InputError(
                f"question {repeated.question_id!r} was answered twice; give one answer to each pair, the last."
            )
        evidence = [i for i, answer in enumerate(answers) if answer.choice in OUTCOMES]
        shown = np.array([items[i] for i in evidence], dtype=np.int64).reshape(-1, 2)
        strengths = [np.nan if answers[i].strength is None else answers[i].strength for i in evidence]
        return rows, Comparisons(
            np.subtract(self.features[shown[:, 0]], self.features[shown[:, 1]], dtype=np.float64),
            np.array([OUTCOMES[answers[i].choice] for i in evidence], dtype=np.int8),
            None if all(answer.strength is None for answer in answers) else np.array(strengths, dtype=np.float64),
        )

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Feature differences of all questions, block by block: a slice of rows and (n_rows, n_features) float64."""
        for start in range(0, self.n_questions, BLOCK):
            rows = slice(start, min(start + BLOCK, self.n_questions))
            first, second = self.pairs[rows].T
            yield rows, self.features[first].astype(np.float64) - self.features[second]

    def feature_scales(self) -> Array:
        """Root mean square difference of each feature over the questions (n_features,), in the features' units."""
        return self.derive("feature_scales", self._feature_scales)

    def derive(self, name: str, compute: Callable[[], _Value]) -> _Value:
        """`compute()`, done once for this pool; for values that depend on nothing but the pool."""
        if name not in self._derived:
            self._derived[name] = compute()
        return cast(_Value, self._derived[name])

    def _prompt(self, item: int) -> str:
        return "" if self.prompts is None else self.prompts[item]

    def _response(self, item: int) -> Response:
        return Response(item, "" if self.responses is None else self.responses[item])

    def _compute_digest(self) -> str:
        texts = [json.dumps(texts, ensure_ascii=False) for texts in (self.prompts, self.responses)]
        codes = b"" if self.prompt_codes is None else self.prompt_codes.tobytes()
        prior = "" if self.prior is None else self.prior.digest()
        features = np.ascontiguousarray(self.features)
        arrays = (f"{features.shape} {features.dtype.str}", features.data.cast("B"), self.pairs.tobytes())
        return digest_of(*arrays, *texts, codes, self.feature_space.digest, prior)

    def _default_prior(self) -> PopulationPrior:
        low, high = self.features.min(axis=0), self.features.max(axis=0)
        round_off = CONSTANT_ULPS * np.finfo(self.features.dtype).eps * np.maximum(np.abs(low), np.abs(high))
        varies = high - low > round_off
        with np.errstate(all="ignore"):
            sd = np.where(varies, self._feature_sds(), 1.0)
            rms_margin = np.sqrt(((self.feature_scales() / sd) ** 2).sum())
            variances = (DEFAULT_RMS_MARGIN / rms_margin / sd) ** 2
        if not (np.isfinite(variances) & (variances > 0)).all():
            raise InputError(
                f"there is no default prior for features with standard deviations from {sd.min():.3g} to "
                f"{sd.max():.3g}; rescale the features, or give a prior."
            )
        zero = np.zeros(self.n_features)
        components = Gaussian(zero, np.diag(variances)), Gaussian(zero, np.diag(zero))
        return PopulationPrior(GaussianMixture([1 - NO_TASTE, NO_TASTE], components), self.feature_space, impersonal=1)

    def _feature_sds(self) -> Array:
        """Standard deviation of each feature over the items (n_features,), without a wide copy of all."""
        means, squares = self.features.mean(axis=0, dtype=np.float64), np.zeros(self.n_features)
        for start in range(0, self.n_items, BLOCK):
            squares += np.square(self.features[start : start + BLOCK] - means).sum(axis=0)
        return np.sqrt(squares / self.n_items)

    def _feature_scales(self) -> Array:
        with np.errstate(over="ignore"):  # infinite scales are told apart where they are used
            squares = sum((np.square(differences).sum(axis=0) for _, differences in self.blocks()), np.zeros(1))
        scales = np.sqrt(squares / self.n_questions)
        scales.setflags(write=False)
        return scales

    def _sorted_pair_codes(self) -> tuple[Rows, Rows]:
        codes = _pair_codes(self.pairs, self.n_items)
        order = np.argsort(codes)
        return codes[order], order


def checked_answers(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """The answers as a tuple; InputError when they are not an iterable of `Answer`."""
    given = tuple(answers) if isinstance(answers, Iterable) else (answers,)
    strange = [answer for answer in given if not isinstance(answer, Answer)]
    if strange:
        raise InputError(f"answers hold {strange[0]!r}; give a sequence of Answer, as question.answer(…) makes them.")
    return given


def as_population_prior(prior: Coefficients | PopulationPrior, feature_space: FeatureSpace) -> PopulationPrior:
    """The prior as a `PopulationPrior` of this feature space.

    Raises
    ------
    MismatchError
        When it is of another feature space.
    InputError
        When a Gaussian or mixture has another number of coefficients, or the prior is neither.
    """
    if isinstance(prior, PopulationPrior):
        feature_space.require(prior.feature_space, "the prior")
        return prior
    if not isinstance(prior, Gaussian | GaussianMixture):
        raise InputError(f"prior is a {type(prior).__name__}; give a Gaussian or a PopulationPrior.")
    if prior.n_features != feature_space.n_features:
        raise InputError(
            f"the prior has {prior.n_features} coefficients and the pool {feature_space.n_features} features; "
            "give a prior over the pool's features."
        )
    return PopulationPrior(prior, feature_space)


def _feature_matrix(features: ArrayLike) -> NDArray[np.floating[Any]]:
    try:
        given = np.asarray(features)
        if given.dtype.kind not in "biufO":  # a cast would drop imaginary parts and read numbers out of texts
            raise TypeError
        kept = np.float32 if given.dtype == np.float32 else np.float64
        # A copy, as the caller's array stays the caller's; in one order, as sums over rows round by it.
        matrix: NDArray[np.floating[Any]] = np.array(given, dtype=kept, order="C")
    except (TypeError, ValueError, OverflowError):
        raise InputError("features cannot be read as numbers; give an array (n_items, n_features).") from None
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"features have shape {matrix.shape}; expected (n_items, n_features), both at least 1.")
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise InputError(
            f"features of {np.count_nonzero(~finite)} item(s) hold NaN or infinite values, first in row "
            f"{int(np.argmin(finite))}; every feature must be finite."
        )
    matrix.setflags(write=False)
    return matrix


def _item_pairs(pairs: ArrayLike, n_items: int) -> Rows:
    try:
        array = np.asarray(pairs)
    except ValueError:
        raise InputError("pairs cannot be read as an array; give two item rows for each question.") from None
    if array.size == 0:
        raise InputError("the pool has no questions; give at least one pair of items.")
    if array.ndim != 2 or array.shape[1] != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"pairs have shape {array.shape} of {array.dtype}; expected (n_questions, 2) of item rows.")
    outside = (array < 0) | (array >= n_items)
    if outside.any():
        raise InputError(
            f"pair {tuple(array[outside.any(axis=1)][0].tolist())} is out of range; items are 0 to {n_items - 1}."
        )
    same = array[:, 0] == array[:, 1]
    if same.any():
        raise InputError(f"item {int(array[same][0, 0])} is compared with itself; a pair needs two different items.")
    return array.astype(np.int64)


def _prompt_codes(prompts: Sequence[str] | None, prompt_ids: Sequence[Hashable] | None, n_items: int) -> Rows | None:
    ids = prompts if prompt_ids is None else prompt_ids
    if ids is None:
        return None
    if len(ids) != n_items:
        raise InputError(f"there are {len(ids)} prompt ids for {n_items} items; give one an item.")
    numbers: dict[Hashable, int] = {}
    try:
        codes = np.array([numbers.setdefault(key, len(numbers)) for key in ids], dtype=np.int64)
    except TypeError:
        raise InputError("prompt ids cannot be compared with one another; give texts or numbers.") from None
    codes.setflags(write=False)
    return codes


def _texts(texts: Sequence[str] | None, name: str, n_items: int) -> tuple[str, ...] | None:
    if texts is None:
        return None
    if isinstance(texts, str) or len(texts) != n_items:
        raise InputError(f"there are {len(texts)} {name} for {n_items} items; give one text an item.")
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise InputError(f"{name} hold {wrong[0]!r}; every one must be a text.")
    for text in texts:
        require_unicode(text, name)
    return tuple(str(text) for text in texts)


def _pair_codes(pairs: Rows, n_items: int) -> Rows:
    """One number a pair, the same in either order."""
    return np.asarray(pairs.min(axis=1) * n_items + pairs.max(axis=1))


def _clean_pairs(pairs: Rows, features: NDArray[np.floating[Any]], codes: Rows | None) -> tuple[Rows, DroppedPairs]:
    if codes is not None:
        across = codes[pairs[:, 0]] != codes[pairs[:, 1]]
        if across.any():
            raise InputError(
                f"pair {tuple(pairs[across][0].tolist())} compares responses to two different prompts "
                f"({np.count_nonzero(across)} such pair(s)); both items of a pair must answer the same prompt."
            )
    _, first_seen = np.unique(_pair_codes(pairs, len(features)), return_index=True)
    unique = pairs[np.sort(first_seen)]
    equal = np.concatenate(
        [
            (features[block[:, 0]] == features[block[:, 1]]).all(axis=1)
            for block in np.array_split(unique, -(-len(unique) // BLOCK))
        ]
    )
    kept = np.ascontiguousarray(unique[~equal])
    if not len(kept):
        raise InputError("the pool has no questions: the two items of every pair have equal features.")
    kept.setflags(write=False)
    return kept, DroppedPairs(len(pairs) - len(unique), int(equal.sum()))
