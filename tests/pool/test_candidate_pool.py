"""Candidate pools made from arrays: what is refused, dropped and counted, and what questions and answers become."""

import copy
import dataclasses
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prefq.errors import InputError, MismatchError
from prefq.pool.candidate_pool import BLOCK, DEFAULT_RMS_MARGIN, CandidatePool, as_population_prior
from prefq.questions.selection import select_next_question
from prefq.vocabulary import Answer, Choice, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

FEATURES = [[0.0, 1.0], [1.0, 1.0], [3.0, -1.0]]
PAIRS = [[0, 1], [1, 2]]
SEEDS = st.integers(0, 2**32 - 1)


def sentence_of(call: Callable[[], object], kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def make(**arguments: Any) -> CandidatePool:
    given_arguments: dict[str, Any] = {"features": FEATURES, "pairs": PAIRS, **arguments}
    return CandidatePool.from_arrays(**given_arguments)


def gaussian(mean: Any, covariance: Any) -> Gaussian:
    return Gaussian(mean, covariance)  # from lists, which type checkers would refuse


def random_pool(seed: int, *, n_items: int = 12, n_questions: int = 20, n_features: int = 3) -> CandidatePool:
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.choice(n_items, 2, replace=False) for _ in range(n_questions)])
    features = rng.normal(size=(n_items, n_features)) * 10.0 ** rng.uniform(-3, 3, size=n_features)
    return CandidatePool.from_arrays(features, pairs)


# --- what is refused ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"features": [[0.0], [np.nan], [np.inf]]},
            "features of 2 item(s) hold NaN or infinite values, first in row 1; every feature must be finite.",
        ),
        ({"features": [0.0, 1.0]}, "features have shape (2,); expected (n_items, n_features), both at least 1."),
        (
            {"features": np.empty((3, 0))},
            "features have shape (3, 0); expected (n_items, n_features), both at least 1.",
        ),
        ({"features": [[1.0], [1.0, 2.0]]}, "features cannot be read as numbers; give an array (n_items, n_features)."),
        ({"features": [["a"], ["b"]]}, "features cannot be read as numbers; give an array (n_items, n_features)."),
        ({"features": [[1j], [2j]]}, "features cannot be read as numbers; give an array (n_items, n_features)."),
        ({"features": [[10**400], [0]]}, "features cannot be read as numbers; give an array (n_items, n_features)."),
        ({"pairs": []}, "the pool has no questions; give at least one pair of items."),
        ({"pairs": np.empty((0, 2), dtype=int)}, "the pool has no questions; give at least one pair of items."),
        ({"pairs": [[0, 1, 2]]}, "pairs have shape (1, 3) of int64; expected (n_questions, 2) of item rows."),
        ({"pairs": [0, 1]}, "pairs have shape (2,) of int64; expected (n_questions, 2) of item rows."),
        ({"pairs": [[0.0, 1.0]]}, "pairs have shape (1, 2) of float64; expected (n_questions, 2) of item rows."),
        ({"pairs": [[0, 2**70]]}, "pairs have shape (1, 2) of object; expected (n_questions, 2) of item rows."),
        ({"pairs": [[0, 1], [1]]}, "pairs cannot be read as an array; give two item rows for each question."),
        ({"pairs": [[0, 1], [2, 3]]}, "pair (2, 3) is out of range; items are 0 to 2."),
        ({"pairs": [[-1, 1]]}, "pair (-1, 1) is out of range; items are 0 to 2."),
        (
            {"pairs": np.array([[0, 2**63]], dtype=np.uint64)},
            "pair (0, 9223372036854775808) is out of range; items are 0 to 2.",
        ),
        ({"pairs": [[0, 1], [2, 2]]}, "item 2 is compared with itself; a pair needs two different items."),
        (
            {"features": np.ones((3, 2))},
            "the pool has no questions: the two items of every pair have equal features.",
        ),
        (
            {"prompts": ["a", "a", "b"]},
            (
                "pair (1, 2) compares responses to two different prompts (1 such pair(s)); "
                "both items of a pair must answer the same prompt."
            ),
        ),
        (
            {"prompts": ["a", "a", "a"], "prompt_ids": [0, 1, 0]},
            (
                "pair (0, 1) compares responses to two different prompts (2 such pair(s)); "
                "both items of a pair must answer the same prompt."
            ),
        ),
        ({"prompts": ["a"]}, "there are 1 prompts for 3 items; give one text an item."),
        ({"prompts": "abc"}, "there are 3 prompts for 3 items; give one text an item."),
        ({"prompts": ["a", "a", None]}, "prompts hold None; every one must be a text."),
        ({"responses": ["a", "b", 3]}, "responses hold 3; every one must be a text."),
        ({"responses": ["a", "b", ["c"]]}, "responses hold ['c']; every one must be a text."),
        ({"responses": []}, "there are 0 responses for 3 items; give one text an item."),
        (
            {"responses": ["a", "b", "c\udcff"]},
            (
                "responses hold a text that is not valid Unicode: '\\udcff' at character 1; "
                "decode the text again, replacing what cannot be decoded."
            ),
        ),
        ({"prompt_ids": [1, 1]}, "there are 2 prompt ids for 3 items; give one an item."),
        ({"prompt_ids": [[], [], []]}, "prompt ids cannot be compared with one another; give texts or numbers."),
        (
            {"feature_names": ["a"]},
            "there are 1 feature names and 2 columns of features; give one name a column.",
        ),
        ({"feature_names": "ab"}, "names are 'ab'; give a sequence of texts."),
        (
            {"feature_names": ["a", "a"]},
            "feature names are ['a', 'a']; give one name a feature, none empty or repeated.",
        ),
        (
            {"feature_names": ["a", "b"], "feature_space": FeatureSpace(("a", "b"))},
            "both feature_names and feature_space were given; give one of them.",
        ),
        ({"prior": "wide"}, "prior is a str; give a Gaussian or a PopulationPrior."),
        (
            {"prior": gaussian([0.0], [[1.0]])},
            "the prior has 1 coefficients and the pool 2 features; give a prior over the pool's features.",
        ),
    ],
)
def test_from_arrays_refuses(arguments: dict[str, Any], sentence: str) -> None:
    assert sentence_of(lambda: make(**arguments)) == sentence


def test_a_prior_of_another_feature_space_is_refused() -> None:
    other = PopulationPrior(Gaussian(np.zeros(2), np.eye(2)), FeatureSpace(("a", "b")))
    expected = "the prior belongs to another feature space (2 features a, b, digest "
    assert sentence_of(lambda: make(prior=other), MismatchError).startswith(expected)
    assert sentence_of(lambda: make().starting_point(other), MismatchError).startswith(expected)


# --- what is kept ---


def test_a_pool_keeps_what_it_was_given() -> None:
    pool = make(prompts=["p"] * 3, responses=["a", "b", "c"], feature_names=["warm", "formal"])
    assert (pool.n_items, pool.n_features, pool.n_questions) == (3, 2, 2)
    assert pool.feature_space.names == ("warm", "formal")
    assert pool.prompts == ("p", "p", "p")
    assert pool.responses == ("a", "b", "c")
    np.testing.assert_array_equal(pool.features, FEATURES)
    np.testing.assert_array_equal(pool.pairs, PAIRS)
    assert make().feature_space.names == ("x0", "x1")
    assert make().prompt_codes is None


@pytest.mark.parametrize(
    ("given_as", "kept_as"), [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("i4", "f8"), ("?", "f8"), (">f4", "f8")]
)
def test_float32_is_kept_and_anything_else_becomes_float64(given_as: str, kept_as: str) -> None:
    pool = make(features=np.array([[0, 1], [1, 1], [1, 0]]).astype(given_as))
    assert pool.features.dtype == np.dtype(kept_as)
    np.testing.assert_array_equal(pool.features, [[0, 1], [1, 1], [1, 0]])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_arrays_of_a_pool_are_copies_that_cannot_be_written(dtype: str) -> None:
    features, pairs = np.array(FEATURES, dtype=dtype), np.array(PAIRS)
    pool = CandidatePool.from_arrays(features, pairs, prompt_ids=[0, 0, 0])
    assert pool.prompt_codes is not None
    assert not np.shares_memory(pool.features, features)
    assert not np.shares_memory(pool.pairs, pairs)
    assert features.flags.writeable
    assert pairs.flags.writeable
    for held in (pool.features, pool.pairs, pool.prompt_codes, pool.feature_scales()):
        with pytest.raises(ValueError, match="read-only"):
            held[...] = 0
    before = pool.digest()
    features[:], pairs[:] = 7, 0
    again = CandidatePool.from_arrays(np.array(FEATURES, dtype=dtype), PAIRS, prompt_ids=[0, 0, 0])
    assert pool.digest() == before == again.digest()


def test_the_order_in_memory_changes_nothing() -> None:
    features = np.random.default_rng(3).normal(size=(500, 5))
    pairs = [[i, i + 1] for i in range(499)]
    one = CandidatePool.from_arrays(features, pairs)
    other = CandidatePool.from_arrays(np.asfortranarray(features), pairs)
    assert one.digest() == other.digest()
    assert one.starting_point().digest() == other.starting_point().digest()


def test_the_digest_is_over_everything_a_pool_holds() -> None:
    texts = {"prompts": ["p"] * 3, "responses": ["a", "b", "c"]}
    pools = [
        make(),
        make(features=np.array(FEATURES, dtype=np.float32)),
        make(features=[[0.0, 1.0], [1.0, 1.0], [3.0, -2.0]]),
        make(pairs=[[1, 0], [1, 2]]),
        make(pairs=[[1, 2], [0, 1]]),
        make(feature_names=["a", "b"]),
        make(prior=Gaussian(np.zeros(2), np.eye(2))),
        make(**texts),
        make(**texts, prompt_ids=[0, 0, 0], prior=Gaussian(np.zeros(2), np.eye(2))),
        make(**(texts | {"responses": ["a", "b", "d"]})),
        make(prompts=["q"] * 3, responses=["a", "b", "c"]),
        make(prompts=["p"] * 3),
        make(responses=["p"] * 3),
        make(prompt_ids=["p"] * 3),
    ]
    assert len({pool.digest() for pool in pools}) == len(pools)
    assert make(**texts).digest() == make(**texts).digest()


# --- dropped pairs ---


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] != pair[1]), min_size=1),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
)
def test_repeated_reversed_and_equal_pairs_are_dropped_and_counted(
    pairs: list[tuple[int, int]], values: list[int]
) -> None:
    kept: list[tuple[int, int]] = []
    seen: set[frozenset[int]] = set()
    repeated = equal = 0
    for first, second in pairs:
        if {first, second} in seen:
            repeated += 1
            continue
        seen.add(frozenset((first, second)))
        if values[first] == values[second]:
            equal += 1
        else:
            kept.append((first, second))
    assume(kept)
    pool = CandidatePool.from_arrays([[v, 1] for v in values], pairs)
    assert pool.pairs.tolist() == [list(pair) for pair in kept]  # the first of each, in the order and sides given
    assert pool.dropped == (repeated, equal)


def test_pairs_are_compared_across_blocks() -> None:
    n_questions = BLOCK + 10
    features = np.arange(n_questions + 1, dtype=np.float32)[:, None]
    features[-1] = features[-2]
    rows = np.arange(n_questions)
    pool = CandidatePool.from_arrays(features, np.column_stack([rows, rows + 1]))
    assert pool.n_questions == n_questions - 1
    assert pool.dropped == (0, 1)
    assert pool.feature_scales().tolist() == [1.0]


# --- prompts ---


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=8))
def test_prompt_codes_are_equal_where_prompts_are(prompts: list[str]) -> None:
    pairs = [(i, j) for i in range(len(prompts)) for j in range(i) if prompts[i] == prompts[j]]
    assume(pairs)
    features = np.arange(len(prompts))[:, None]
    by_text = CandidatePool.from_arrays(features, pairs, prompts=prompts).prompt_codes
    by_id = CandidatePool.from_arrays(features, pairs, prompt_ids=[ord(p) for p in prompts]).prompt_codes
    assert by_text is not None
    assert by_id is not None
    np.testing.assert_array_equal(by_text, by_id)
    np.testing.assert_array_equal(by_text[:, None] == by_text, [[p == q for q in prompts] for p in prompts])


def test_prompt_ids_tell_equal_texts_apart() -> None:
    pool = CandidatePool.from_arrays(
        [[0.0], [1.0], [0.0], [1.0]], [[0, 1], [2, 3]], prompts=["Continue."] * 4, prompt_ids=["x", "x", "y", "y"]
    )
    assert pool.prompt_codes is not None
    assert pool.prompt_codes.tolist() == [0, 0, 1, 1]


# --- where a new user starts ---


@given(SEEDS)
def test_the_default_prior_has_an_rms_margin_of_one_and_a_half_logits(seed: int) -> None:
    pool = random_pool(seed)
    prior = pool.starting_point()
    covariance = prior.coefficients.components[0].covariance
    differences = pool.features[pool.pairs[:, 0]] - pool.features[pool.pairs[:, 1]]
    variances = np.einsum("qi,ij,qj->q", differences, covariance, differences)
    assert np.sqrt(variances.mean()) == pytest.approx(DEFAULT_RMS_MARGIN, rel=1e-12)
    assert DEFAULT_RMS_MARGIN == 1.5
    sd = pool.features.std(axis=0)
    products = np.diag(covariance) * sd**2
    np.testing.assert_allclose(products, products[0], rtol=1e-12)
    assert np.count_nonzero(covariance - np.diag(np.diag(covariance))) == 0
    assert not prior.coefficients.mean.any()
    assert prior.response_model == ResponseModel()
    assert prior.n_users == 0


@given(SEEDS, st.integers(0, 2), st.sampled_from([1e-6, 1e6, -3.0]), st.floats(-5, 5))
def test_margins_do_not_depend_on_the_units_of_a_feature(seed: int, column: int, scale: float, shift: float) -> None:
    pool = random_pool(seed)
    features = np.array(pool.features)
    features[:, column] = features[:, column] * scale + shift * scale * features[:, column].std()
    rescaled = CandidatePool.from_arrays(features, pool.pairs)

    def margin_variances(of: CandidatePool) -> Any:
        differences = of.features[of.pairs[:, 0]] - of.features[of.pairs[:, 1]]
        return differences**2 @ np.diag(of.starting_point().coefficients.covariance)

    np.testing.assert_allclose(margin_variances(rescaled), margin_variances(pool), rtol=1e-9)


def test_the_default_prior_of_a_worked_example() -> None:
    # sd over the items is 1, both differences are 2, so a variance of (1.5 / 2)² gives margins of 1.5.
    pool = CandidatePool.from_arrays([[-1.0], [1.0], [-1.0], [1.0]], [[0, 1], [2, 3]])
    assert pool.feature_scales().tolist() == [2.0]
    assert pool.starting_point().coefficients.components[0].covariance.tolist() == [[0.5625]]


def test_by_default_one_person_in_ten_has_no_taste() -> None:
    start = make().starting_point()
    assert start.impersonal == 1
    assert start.coefficients.weights.tolist() == [0.9, 0.1]
    assert not start.coefficients.components[1].mean.any()
    assert not start.coefficients.components[1].covariance.any()


def test_a_constant_feature_counts_as_one_of_sd_one() -> None:
    values = np.linspace(-1, 1, 10)
    constant = np.full(10, 0.1)  # np.std of which is not 0 but 1.4e-17
    pool = CandidatePool.from_arrays(np.column_stack([values, constant]), [[i, i + 1] for i in range(9)])
    variances = np.diag(pool.starting_point().coefficients.covariance)
    assert variances[1] == pytest.approx(variances[0] * values.std() ** 2)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_features_beyond_floating_point_have_no_default_prior(scale: float) -> None:
    pool = CandidatePool.from_arrays([[0.0, 0.0], [scale, 1.0]], [[0, 1]])
    sentence = sentence_of(pool.starting_point)
    assert sentence.startswith("there is no default prior for features with standard deviations from ")
    assert sentence.endswith("; rescale the features, or give a prior.")
    given_prior = Gaussian(np.zeros(2), np.eye(2))
    assert pool.starting_point(given_prior).coefficients == given_prior


def test_the_argument_comes_before_the_prior_of_the_pool_and_that_before_the_default() -> None:
    own = PopulationPrior(
        gaussian([1.0, 0.0], np.eye(2)), FeatureSpace(("x0", "x1")), ResponseModel(tie_threshold=0.4), n_users=9
    )
    argument = gaussian([0.0, 2.0], np.eye(2))
    pool, model = make(prior=own), ResponseModel(lapse_rate=0.1)
    assert pool.starting_point() == own
    assert pool.starting_point(argument).coefficients == argument
    assert pool.starting_point(argument).response_model == own.response_model
    assert make().starting_point(argument).response_model == ResponseModel()
    assert pool.starting_point(response_model=model) == PopulationPrior(own.coefficients, own.feature_space, model, 9)
    assert pool.starting_point(argument, model).response_model == model
    assert make().starting_point(own) == own
    assert make(prior=argument).prior == as_population_prior(argument, pool.feature_space)


# --- questions and answers ---


def test_a_question_shows_its_sides_in_the_order_of_its_id() -> None:
    pool = make(prompts=["p"] * 3, responses=["a", "b", "c"])
    shown = pool.question("2-1")
    assert (shown.id, shown.prompt) == ("2-1", "p")
    assert (shown.first.item, shown.first.text) == (2, "c")
    assert (shown.second.item, shown.second.text) == (1, "b")
    assert make().question("0-1").first.text == make().question("0-1").prompt == ""


@pytest.mark.parametrize("items", ["0-2", "0-3", "0-5", "2-2", f"0-{2**63}", f"{2**64}-1", f"{3 * 2**64}-{2**64 + 1}"])
def test_a_question_that_is_not_in_the_pool_is_refused_however_large_its_numbers(items: str) -> None:
    expected = (
        f"question '{items}' is not in the pool of 2 questions; answer questions that were selected from this pool."
    )
    pool = make()
    assert sentence_of(lambda: pool.question(items)) == expected
    assert sentence_of(lambda: pool.comparisons([Answer("0-1", Choice.FIRST), Answer(items, Choice.SKIP)])) == expected


def test_numbers_that_would_wrap_around_do_not_meet_another_pair() -> None:
    pool = CandidatePool.from_arrays(np.arange(4.0)[:, None], [[0, 1]])
    assert (2**62 * pool.n_items + 1) % 2**64 == 1  # in 64 bits, this pair would have the number of (0, 1)
    with pytest.raises(InputError, match="is not in the pool"):
        pool.question(f"{2**62}-1")


@given(SEEDS)
def test_rows_of_pairs_are_found_in_either_order(seed: int) -> None:
    pool = random_pool(seed)
    items = [(int(a), int(b)) if k % 2 else (int(b), int(a)) for k, (a, b) in enumerate(pool.pairs)]
    np.testing.assert_array_equal(pool.question_rows(items), np.arange(pool.n_questions))
    np.testing.assert_array_equal(pool.question_rows(items[::-1]), np.arange(pool.n_questions)[::-1])
    assert pool.question_rows([]).shape == (0,)


@given(SEEDS, st.data())
def test_comparisons_have_the_sign_of_the_shown_order(seed: int, data: st.DataObject) -> None:
    pool = random_pool(seed)
    rows = data.draw(st.lists(st.integers(0, pool.n_questions - 1), unique=True))
    answers, differences, outcomes, strengths = [], [], [], []
    for row in rows:
        first, second = pool.pairs[row] if data.draw(st.booleans()) else pool.pairs[row][::-1]
        choice = data.draw(st.sampled_from(list(Choice)))
        strength = data.draw(st.none() | st.just(0.25))
        answers.append(Answer(f"{first}-{second}", choice, strength=strength))
        if choice in (Choice.FIRST, Choice.SECOND, Choice.TIE):
            differences.append(pool.features[first] - pool.features[second])
            outcomes.append({"first": 1, "second": -1, "tie": 0}[choice])
            strengths.append(np.nan if strength is None else strength)
    comparisons = pool.comparisons(answers)
    np.testing.assert_array_equal(comparisons.differences, np.reshape(differences, (-1, pool.n_features)))
    np.testing.assert_array_equal(comparisons.outcomes, outcomes)
    if any(answer.strength is not None for answer in answers):
        assert comparisons.strengths is not None
        np.testing.assert_array_equal(comparisons.strengths, strengths)
    else:
        assert comparisons.strengths is None


def test_float32_features_are_widened_before_they_are_subtracted() -> None:
    pool = make(features=np.array([[1e8], [1.0], [0.0]], dtype=np.float32))
    assert pool.comparisons([Answer("0-1", Choice.FIRST)]).differences.tolist() == [[1e8 - 1]]
    assert [difference.tolist() for _, difference in pool.blocks()] == [[[1e8 - 1], [1.0]]]


@pytest.mark.parametrize("again", ["0-1", "1-0"])
@pytest.mark.parametrize("choices", [("first", "first"), ("skip", "first"), ("both_bad", "skip")])
def test_a_pair_is_answered_once(again: str, choices: Sequence[str]) -> None:
    answers = [Answer("0-1", Choice(choices[0])), Answer("1-2", Choice.TIE), Answer(again, Choice(choices[1]))]
    assert sentence_of(lambda: make().comparisons(answers)) == (
        f"question '{again}' was answered twice; give one answer to each pair, the last."
    )


def test_no_answers_are_no_comparisons() -> None:
    comparisons = make().comparisons([])
    assert comparisons.differences.shape == (0, 2)
    assert comparisons.outcomes.shape == (0,)


def test_derived_values_are_computed_once() -> None:
    pool, calls = make(), []
    for _ in range(3):
        assert pool.derive("answer", lambda: calls.append(1) or 42) == 42  # type: ignore[func-returns-value]
    assert calls == [1]


def test_a_feature_that_varies_by_round_off_only_is_constant() -> None:
    wobble = np.where(np.arange(12) % 2, 0.3, 0.1 * 3)
    assert np.ptp(wobble) > 0
    features = np.column_stack([np.arange(12.0), wobble])
    pool = CandidatePool.from_arrays(features, np.arange(12).reshape(-1, 2))
    sd = pool.starting_point().coefficients.sd
    assert sd[1] == pytest.approx(sd[0] * np.std(features[:, 0]))  # as if its sd were 1


def test_a_pool_survives_pickling_without_what_was_derived_from_it() -> None:
    pool = CandidatePool.from_arrays(
        np.random.default_rng(0).normal(size=(50, 3)), [(i, i + 1) for i in range(49)], prompts=["p"] * 50
    )
    fresh = len(pickle.dumps(pool))
    select_next_question(pool, [])
    data = pickle.dumps(pool)
    assert len(data) == fresh
    for again in (pickle.loads(data), copy.deepcopy(pool)):
        assert again.digest() == pool.digest()
        for array in (again.features, again.pairs, again.prompt_codes):
            assert array is not None
            assert not array.flags.writeable


def test_parts_that_do_not_fit_together_are_refused() -> None:
    pool = CandidatePool.from_arrays([[0.0], [1.0]], [(0, 1)])
    for change in (
        {"pairs": np.array([[0, 2]])},
        {"pairs": np.empty((0, 2), dtype=np.int64)},
        {"prompts": ("one",)},
        {"features": np.zeros((2, 3))},
        {"feature_space": FeatureSpace(["a", "b"])},
    ):
        with pytest.raises(InputError, match="do not make a pool; use from_arrays"):
            dataclasses.replace(pool, **change)
