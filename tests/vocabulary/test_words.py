"""Answers, questions, feature spaces, response models: what they hold, refuse, and say in JSON."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.errors import InputError, MismatchError
from prefq.vocabulary import (
    OUTCOMES,
    Answer,
    Choice,
    FeatureSpace,
    Question,
    Response,
    ResponseModel,
    digest_of,
    parse_choice,
    parse_question_id,
    question_id,
    require_unicode,
    shown,
    whole_number,
)

QUESTION = Question("12-47", "Why?", Response(12, "Because."), Response(47, "Well …"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)


def sentence_of(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def test_a_choice_may_be_given_by_its_value() -> None:
    assert [QUESTION.answer(choice.value).choice for choice in Choice] == list(Choice)
    assert Answer("12-47", Choice.TIE).choice is Choice.TIE


def test_only_preferences_and_ties_are_evidence() -> None:
    assert dict(OUTCOMES) == {Choice.FIRST: 1, Choice.TIE: 0, Choice.SECOND: -1}


@pytest.mark.parametrize("choice", ["FIRST", "", "1", 1, None, [], 0.5, float("nan")])
def test_an_unknown_choice_is_refused(choice: Any) -> None:
    expected = f"choice is {choice!r}; give one of 'first', 'second', 'tie', 'both_bad', 'skip'."
    assert sentence_of(lambda: parse_choice(choice)) == expected
    assert sentence_of(lambda: Answer("0-1", choice)) == expected
    assert sentence_of(lambda: QUESTION.answer(choice)) == expected


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"question_id": ""}, "question_id is ''; give the id of the question, such as '12-47'."),
        ({"question_id": 12}, "question_id is 12; give the id of the question, such as '12-47'."),
        ({"strength": 0}, "strength is 0.0; give a number above 0 and at most 1, or None."),
        ({"strength": 1.01}, "strength is 1.01; give a number above 0 and at most 1, or None."),
        ({"strength": float("nan")}, "strength is nan; give a finite number."),
        ({"strength": True}, "strength is True; give a number."),
        ({"strength": "0.5"}, "strength is '0.5'; give a number."),
        ({"seconds": -1}, "seconds is -1.0; give a time of 0 or more seconds, or None."),
        ({"seconds": float("inf")}, "seconds is inf; give a finite number."),
        ({"seconds": 10**400}, "seconds is inf; give a finite number."),
        ({"reason": 3}, "reason is 3; give a text."),
        (
            {"question_id": [[0] * 300]},
            f"question_id is {str([[0] * 300])[:200]}…; give the id of the question, such as '12-47'.",
        ),
        (
            {"reason": "ab\udcff"},
            (
                "reason hold a text that is not valid Unicode: '\\udcff' at character 2; "
                "decode the text again, replacing what cannot be decoded."
            ),
        ),
    ],
)
def test_an_answer_refuses(fields: dict[str, Any], sentence: str) -> None:
    assert sentence_of(lambda: Answer(**{"question_id": "12-47", "choice": "first"} | fields)) == sentence


@pytest.mark.parametrize(
    "data",
    [
        {"question_id": "0-1"},
        {"choice": "first"},
        {"question_id": "0-1", "choice": "tie", "label": 1},
        [],
        "0-1",
        None,
    ],
)
def test_an_answer_is_not_made_of_other_fields(data: Any) -> None:
    assert sentence_of(lambda: Answer.from_dict(data)) == (
        f"an answer is {data!r}; it needs question_id and choice, and may have "
        "['choice', 'question_id', 'reason', 'seconds', 'strength']."
    )


@given(
    st.sampled_from(list(Choice)),
    st.none() | st.floats(0, 1, exclude_min=True),
    st.none() | st.text(),
    st.none() | st.floats(0, allow_infinity=False),
)
def test_an_answer_survives_json(
    choice: Choice, strength: float | None, reason: str | None, seconds: float | None
) -> None:
    answer = Answer("3-4", choice, strength=strength, reason=reason, seconds=seconds)
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer


def test_an_answer_says_only_what_was_given() -> None:
    assert QUESTION.answer("tie").to_dict() == {"question_id": "12-47", "choice": "tie"}
    assert QUESTION.answer("first", seconds=2).to_dict() == {"question_id": "12-47", "choice": "first", "seconds": 2.0}


@given(st.integers(0, 10**30 - 1), st.integers(0, 10**30 - 1))
def test_a_question_id_says_both_items_in_the_shown_order(first: int, second: int) -> None:
    assert parse_question_id(question_id(first, second)) == (first, second)


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "1-", "-1", "1-2-3", "a-b", "1--2", "+1-2", " 1-2", "1-2\n", "١-٢", "²-1", "01-2", "1_0-2", "1.0-2"],
)
def test_any_other_question_id_is_refused(text: str) -> None:
    expected = f"question id is {text!r}; expected two item rows as shown, such as '12-47'."
    assert sentence_of(lambda: parse_question_id(text)) == expected


def test_a_question_id_of_thousands_of_digits_is_refused_and_not_computed() -> None:
    assert "expected two item rows as shown" in sentence_of(lambda: parse_question_id("9" * 5000 + "-1"))


# --- feature spaces ---


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"names": ()}, "feature names are []; give one name a feature, none empty or repeated."),
        ({"names": ("a", "")}, "feature names are ['a', '']; give one name a feature, none empty or repeated."),
        ({"names": ("a", "a")}, "feature names are ['a', 'a']; give one name a feature, none empty or repeated."),
        ({"names": "ab"}, "names are 'ab'; give a sequence of texts."),
        ({"names": (1, 2)}, "names are (1, 2); give a sequence of texts."),
        ({"names": 5}, "names are 5; give a sequence of texts."),
        ({"names": None}, "names are None; give a sequence of texts."),
        ({"version": 2}, "version and digest are (2, ''); give a sequence of texts."),
        ({"opposites": ("c",)}, "there are 1 opposites for 2 features; give one each, or none."),
        (
            {"names": ("a", "b\ud800")},
            (
                "names hold a text that is not valid Unicode: '\\ud800' at character 1; "
                "decode the text again, replacing what cannot be decoded."
            ),
        ),
    ],
)
def test_a_feature_space_refuses(fields: dict[str, Any], sentence: str) -> None:
    assert sentence_of(lambda: FeatureSpace(**{"names": ("a", "b")} | fields)) == sentence


def test_a_feature_space_is_its_names_and_version_in_their_order() -> None:
    space = FeatureSpace(("warm", "formal"))
    assert space.digest == digest_of("warm", "formal", "1")
    others = [FeatureSpace(("formal", "warm")), FeatureSpace(("warm", "formal"), "2"), FeatureSpace(("warmformal",))]
    assert len({space.digest, *(other.digest for other in others)}) == 4
    assert FeatureSpace(("warm", "formal"), opposites=("cold", "casual")).digest == space.digest


def test_a_feature_space_of_other_rewards_is_refused_by_name() -> None:
    space, other = FeatureSpace(("a", "b", "c", "d"), digest="1" * 64), FeatureSpace(("a",), digest="2" * 64)
    space.require(FeatureSpace(("a", "b", "c", "d"), digest="1" * 64), "the prior")
    with pytest.raises(MismatchError) as caught:
        space.require(other, "the prior")
    assert str(caught.value) == (
        "the prior belongs to another feature space (1 feature a, digest 22222222, not 4 features a, b, c, …, "
        "digest 11111111); use one made with the same base rewards."
    )


@given(st.lists(NAMES, min_size=1, unique=True), TEXTS, st.booleans())
def test_a_feature_space_survives_json(names: list[str], version: str, with_opposites: bool) -> None:
    opposites = tuple(f"not {name}" for name in names) if with_opposites else ()
    space = FeatureSpace(tuple(names), version, opposites=opposites)
    assert FeatureSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


# --- response models ---


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"tie_threshold": -0.1}, "tie_threshold is -0.1; give a threshold of 0 logits or more."),
        ({"tie_threshold": float("nan")}, "tie_threshold is nan; give a finite number."),
        ({"position_bias": float("inf")}, "position_bias is inf; give a finite number."),
        ({"position_bias": "left"}, "position_bias is 'left'; give a number."),
        ({"lapse_rate": 1.0}, "lapse_rate is 1.0; give a share from 0 to below 1."),
        ({"lapse_rate": -0.01}, "lapse_rate is -0.01; give a share from 0 to below 1."),
        ({"lapse_rate": None}, "lapse_rate is None; give a number."),
    ],
)
def test_a_response_model_refuses(fields: dict[str, Any], sentence: str) -> None:
    assert sentence_of(lambda: ResponseModel(**fields)) == sentence


def test_ties_can_occur_only_with_a_threshold() -> None:
    assert ResponseModel().outcomes == (1, -1)
    assert ResponseModel(tie_threshold=0.1).outcomes == (1, 0, -1)


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1, exclude_max=True))
def test_a_response_model_survives_json(tie_threshold: float, position_bias: float, lapse_rate: float) -> None:
    model = ResponseModel(tie_threshold, position_bias, lapse_rate)
    assert ResponseModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


@pytest.mark.parametrize(
    ("read", "what", "names"),
    [
        (FeatureSpace.from_dict, "a feature space", ["names", "version", "digest", "opposites"]),
        (ResponseModel.from_dict, "a response model", ["tie_threshold", "position_bias", "lapse_rate"]),
    ],
)
def test_values_are_made_of_exactly_their_fields(read: Callable[[Any], Any], what: str, names: list[str]) -> None:
    assert sentence_of(lambda: read({"a": 1, 2: 3})) == f"{what} needs exactly the fields {names}; found ['a', 2]."
    assert sentence_of(lambda: read([1])) == f"{what} needs exactly the fields {names}; found [1]."
    assert sentence_of(lambda: read(None)) == f"{what} needs exactly the fields {names}; found None."


# --- digests and texts ---


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_no_two_lists_of_parts_have_one_digest(one: list[bytes], other: list[bytes]) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)


def test_half_a_character_is_refused_and_every_whole_one_is_not() -> None:
    require_unicode("\x00\x1b[31m \u202e שלום 🙂 \U0010ffff", "responses")
    assert sentence_of(lambda: require_unicode("ab\udcff", "responses")) == (
        "responses hold a text that is not valid Unicode: '\\udcff' at character 2; "
        "decode the text again, replacing what cannot be decoded."
    )


# --- what arrived, in messages ---


def test_what_arrived_is_shown_short_however_deep_or_large_it_is() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown({"a": [1]}) == "{'a': [1]}"
    assert shown("x" * 1000) == "'" + "x" * 199 + "…"
    assert shown(deep) == "<list too large to show>"
    assert shown(10**5000) == "<int too large to show>"
    assert sentence_of(lambda: FeatureSpace.from_dict({"names": deep, "version": "1", "digest": "", "opposites": ()}))


@pytest.mark.parametrize("value", ["3", 2.5, True, None, float("nan"), 0])
def test_a_whole_number_is_an_integer_and_not_below_the_least(value: Any) -> None:
    assert sentence_of(lambda: whole_number(value, "n", "1 or more", least=1)) == f"n is {value!r}; give 1 or more."
    assert type(whole_number(np.int64(3), "n", "1 or more", least=1)) is int


@pytest.mark.parametrize("name", ["red\x1b[31m", "two\nlines", "bell\x07"])
def test_feature_names_hold_no_control_characters(name: str) -> None:
    with pytest.raises(InputError, match="holds control characters; give a name in one line"):
        FeatureSpace([name])
    with pytest.raises(InputError, match="holds control characters; give a name in one line"):
        FeatureSpace(["x"], opposites=[name])
