"""What foreign text may do to a screen: nothing. Lines fit, columns align, brackets stay, controls go."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from prefq.profiles.summary import AxisSummary, Verdict
from prefq_cli.layout import KEY_HINTS, QuestionView, chart, key_line, question_page
from prefq_cli.screens import PLAIN_FOLD, PlainScreen
from prefq_cli.texts import displayable, one_line, reads_right_to_left

HOSTILE = {
    "markup": "[bold]kept[/bold] [/login] [id] [link=x]y[/]",
    "colours": "\x1b[31mred\x1b[0m \x1b]0;title\x07after \x1b]8;;http://x\x1b\\link \x9b2Jend \x1b(Bx",
    "overwriting": "safe\rOVER\x08\x08\x7f\x00",
    "right to left": "שלום עולם, زه טקסט " * 20,
    "overrides": "a\u202eb\u202c \u2066c\u2069 \u200bd\ufeff",
    "wide": "日本語のテキストは幅が広い。" * 20,
    "joined": "👩‍👩‍👧‍👦 ✌🏽 é́́́" * 10,
    "one word": "x" * 2000,
    "long": "word " * 10_000,
    "list": "Do this:\n- one\n  - two\n\n\n- three\ttabbed",
    "empty": "",
    "hidden": "plain\U000e0041\U000e0042",
    "half a character": "a\ud800b",
}


def console() -> Console:
    """A console that writes nowhere."""
    return Console(file=io.StringIO(), markup=False, highlight=False, emoji=False)


def view(first: str, second: str = "Short.", prompt: str = "A prompt?") -> QuestionView:
    texts = (displayable(text) for text in (prompt, first, second))
    return QuestionView("3 of 10", 2, 10, "about 3 min left", ("still open: brief–thorough, neutral–warm",), *texts)


@pytest.mark.parametrize("width", [20, 40, 90, 120, 200])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_line_is_wider_than_the_screen(text: str, width: int) -> None:
    header, body, _ = question_page(console(), view(text, "Short.", text[:500]), width)

    assert max(line.cell_len for line in [*header, *body]) <= width
    assert all("\n" not in line.plain for line in body)


def test_columns_align_whatever_they_hold() -> None:
    for text in (HOSTILE["wide"], HOSTILE["markup"], HOSTILE["list"]):
        _, body, second_at = question_page(console(), view(text, "|" * 50 + "\n" + "|" * 50), 120)
        starts = {cell_len(line.plain.partition("|")[0]) for line in body if "|" in line.plain}
        assert starts == {62}
        assert second_at == 0


def test_narrow_screens_and_right_to_left_texts_are_stacked() -> None:
    for text, width in (("One.", 99), (HOSTILE["right to left"], 120)):
        _, body, second_at = question_page(console(), view(text), width)
        assert body[second_at].plain.startswith("2 ─")
        assert body[second_at + 1].plain == "Short."


def test_every_word_is_shown() -> None:
    words = [f"w{i}" for i in range(10_000)]
    _, body, _ = question_page(console(), view(" ".join(words)), 40)

    shown = [word for line in body for word in line.plain.split() if word.startswith("w")]
    assert shown == words


def test_nothing_is_read_as_markup() -> None:
    _, body, _ = question_page(console(), view(HOSTILE["markup"]), 120)

    assert any(line.plain.startswith("[bold]kept[/bold] [/login] [id] [link=x]y[/]") for line in body)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (HOSTILE["colours"], "red after link end x"),
        (HOSTILE["overwriting"], "safe\nOVER"),
        (HOSTILE["overrides"], "ab c d"),
        (HOSTILE["hidden"], "plain"),
        (HOSTILE["half a character"], "a\ufffdb"),
        ("a\r\nb\u2028c\vd", "a\nb\nc\nd"),
        ("\x1b]0;never ended and all the rest", "0;never ended and all the rest"),
        ("שלום\u200f 👩‍👧 न्‍य", "שלום\u200f 👩‍👧 न्‍य"),
    ],
)
def test_text_is_made_safe_and_otherwise_kept(text: str, shown: str) -> None:
    assert displayable(text) == shown


@given(st.text(st.characters(codec=None), max_size=60))
def test_no_control_survives(text: str) -> None:
    safe = displayable(text)

    assert all(character == "\n" or (character >= " " and not "\x7f" <= character <= "\x9f") for character in safe)
    assert displayable(safe) == safe
    safe.encode()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_is_not_touched(text: str) -> None:
    assert displayable(text) == text


def test_one_line_and_direction() -> None:
    assert one_line(" a\n\tb \x1b[1mc") == "a b c"
    assert reads_right_to_left("abc ש")
    assert not reads_right_to_left("abc 日本 …")


@pytest.mark.parametrize("width", [20, 40, 120])
def test_key_hints_are_not_torn(width: int) -> None:
    lines = [line.plain for line in key_line(KEY_HINTS, width)]

    assert max(map(len, lines)) <= width
    assert [hint for line in lines for hint in line.split("   ")] == [f"{key} {word}" for key, word in KEY_HINTS]


def axis(name: str, opposite: str, effect: float, reach: float, verdict: Verdict) -> AxisSummary:
    return AxisSummary(name, opposite, effect, effect - reach, effect + reach, 0.9, verdict)


def test_chart_shows_effect_interval_and_zero() -> None:
    axes = [
        axis("thorough", "brief", -1.0, 0.5, Verdict.CLEAR),
        axis("warm", "neutral", 0.5, 1.5, Verdict.OPEN),
    ]
    lines = [line.plain for line in chart(axes, 43)]

    assert lines == [
        "  brief    ━━━●━━━  │             thorough",
        "neutral       ━━━━━━┿━━●━━━━━━━━━ warm",
    ]


@pytest.mark.parametrize("width", [20, 40, 90, 140])
def test_chart_fits(width: int) -> None:
    axes = [
        axis("warm", "", 0.0, 0.0, Verdict.OPEN),
        axis("x" * 8, "", 100.0, 1.0, Verdict.CLEAR),
        axis("日本", "中国", -1e-9, 1e9, Verdict.OPEN),
    ]
    lines = chart(axes, max(width, 40))

    assert len(lines) == 3
    assert max(line.cell_len for line in lines) <= max(width, 40)


def test_plain_screen_folds_long_texts_and_reads_on() -> None:
    stream = io.StringIO()
    screen = PlainScreen(stream)
    words = [f"w{i}" for i in range(1000)]
    screen.question(view(" ".join(words)))
    begin = stream.getvalue()

    assert "Response 1 goes on for" in begin
    assert "the space bar reads on" in begin
    assert "Response 2: Short." in begin
    assert max(map(len, begin.splitlines())) < PLAIN_FOLD * 1.3
    for _ in range(6):
        screen.more()
    shown = [word for word in stream.getvalue().split() if word.startswith("w") and word[1:].isdigit()]
    assert shown == words
    assert "There is no more to read." in stream.getvalue()
