"""Statistics of a text, worked by hand on short ones."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.errors import InputError
from prefq.rewards.base import STARTER_FOLDER
from prefq.rewards.text_statistics import UNIONS, Lexicon, clean, statistics_of

BUNDLED = Lexicon.parse((STARTER_FOLDER / "lexicon.txt").read_text(encoding="utf-8"))
NEEDED = sorted(
    {name for parts in UNIONS.values() for name in parts} | {"everyday", "imperative", "human_act", "people"}
)
EMPTY = "\n".join(f"[{name}]" for name in NEEDED)
SMALL = Lexicon.parse(EMPTY.replace("[animal]", "[animal]\ncat, cats,\nguinea pig").replace("[vivid]", "[vivid]\nhurl"))


def rate(hits: int, words: int) -> float:
    return math.sqrt(hits / (words + 5))


def test_words_and_phrases_are_counted_over_line_ends_of_the_lexicon() -> None:
    values = statistics_of("The cat and the Guinea pig hurl CATS.", SMALL)

    assert values["log_words"] == pytest.approx(math.log(9))
    assert values["lexicon:animal"] == pytest.approx(rate(3, 8))
    assert values["lexicon:vivid"] == pytest.approx(rate(1, 8))
    assert values["union:fancy"] == pytest.approx(rate(4, 8))


def test_a_phrase_broken_by_a_line_of_the_lexicon_is_one_entry() -> None:
    broken = Lexicon.parse(EMPTY.replace("[animal]", "[animal]\nguinea\npig"))

    assert statistics_of("guinea pig", broken)["lexicon:animal"] == pytest.approx(rate(1, 2))


def test_marks() -> None:
    values = statistics_of('At 7:30 Ann said "no" (twice), paid $20 and ran 5km with NATO - why?', BUNDLED)
    n = 14  # At 7:30 Ann said no twice paid 20 and ran 5km with NATO why

    expected = {"clock": 1, "name": 1, "quotation": 1, "bracket": 1, "money": 1, "number": 3, "unit_number": 1}
    expected |= {"acronym": 1, "question": 1, "comma": 1, "dash": 1, "exclamation": 0, "semicolon": 0}
    assert {name: values[f"mark:{name}"] for name in expected} == pytest.approx(
        {name: rate(hits, n) for name, hits in expected.items()}
    )


def test_layout() -> None:
    values = statistics_of("Steps:\n1. Boil it.\n2. Wait.\n- Note: stir", BUNDLED)

    assert values["log_lines"] == pytest.approx(math.log(4))
    assert values["list_marks"] == pytest.approx(math.log(4))
    assert values["labels"] == pytest.approx(math.log(3))
    assert values["layout"] == 1.0
    assert statistics_of("One line: no layout, 3. Not a list.", BUNDLED)["layout"] == 0.0


def test_sentences() -> None:
    values = statistics_of("Stop now. The bus that you took was late! Wait.", BUNDLED)  # 2, 7 and 1 words

    assert values["sentence_length"] == pytest.approx(math.log1p(10 / 3))
    assert values["longest_sentence"] == pytest.approx(math.log1p(7))
    assert values["shortest_sentence"] == pytest.approx(math.log1p(1))
    assert values["short_sentences"] == pytest.approx(2 / 3)
    assert values["imperatives"] == pytest.approx(2 / 3)


def test_word_lengths_and_everyday_words() -> None:
    values = statistics_of("Running dogs hurried past hydrolysis", BUNDLED)

    assert values["word_length"] == pytest.approx((7 + 4 + 7 + 4 + 10) / 5)
    assert values["long_words"] == pytest.approx(3 / 5)
    assert values["longest_words"] == pytest.approx(1 / 5)
    assert values["uncommon"] == pytest.approx(1 / 5)  # run, dog, hurry are everyday words in other forms
    assert values["syllables"] == pytest.approx((2 + 1 + 2 + 1 + 4) / 5)


def test_things_that_act_like_people_are_told_from_people() -> None:
    assert statistics_of("The kettle sulks.", BUNDLED)["personification"] == pytest.approx(rate(1, 3))
    assert statistics_of("She sulks.", BUNDLED)["personification"] == 0


def test_an_empty_text_has_zeros() -> None:
    assert set(statistics_of("", BUNDLED).values()) == {0.0}
    assert set(statistics_of(" \n\u200b", BUNDLED).values()) == {0.0}


@pytest.mark.parametrize(
    ("given_text", "read"),
    [
        ("it’s “fine”", 'it\'s "fine"'),
        ("one\r\ntwo\u2028three", "one\ntwo\nthree"),
        ("\x1b[31mred\x1b[0m\x07 \u202eback\u202c", "red back"),
    ],
)
def test_quotes_line_breaks_and_control_characters(given_text: str, read: str) -> None:
    assert clean(given_text) == read


@given(st.text(max_size=300))
def test_any_text_has_finite_statistics_of_the_same_names(text: str) -> None:
    values = statistics_of(text, BUNDLED)

    assert list(values) == list(statistics_of("", BUNDLED))
    assert all(math.isfinite(value) and value >= 0 for value in values.values())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[animal]\ncat", "lacks a category"),
        (f"cat\n{EMPTY}", "entries before the first"),
        (f"{EMPTY}\n[animal]\n", "names one twice"),
        (EMPTY.replace("[animal]", "[animal]\na b c d e f"), "has more than 5 words"),
    ],
)
def test_a_lexicon_that_cannot_be_used_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Lexicon.parse(text)
