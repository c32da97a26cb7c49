"""What of a text is read: the frame, and what is cut where prompt and response are too long."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefq.rewards.encoder_tokens import PLAIN, RESPONSE_ONLY, Frame, TokenReader, token_digest

FRAMED = Frame("<s> ", " <m> ", " <e>", adds_special=False)


def words() -> Any:
    """A tokenizer of whole words: p0 … p99, r0 … r99 and the frame's."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = ["<unk>", "<s>", "<m>", "<e>", *(f"{kind}{k}" for kind in "pr" for k in range(100))]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


TOKENIZER = words()


def texts(kind: str, n: int) -> str:
    return " ".join(f"{kind}{k}" for k in range(n))


def read(frame: Frame, max_tokens: int, prompt: str, response: str) -> tuple[str, bool]:
    tokens, cut = TokenReader(TOKENIZER, frame, max_tokens, blank=0).read([prompt], [response])
    return " ".join(TOKENIZER.id_to_token(int(token)) for token in tokens[0]), bool(cut[0])


@pytest.mark.parametrize(
    ("n_prompt", "n_response", "kept"),
    [
        (4, 5, "<s> p0 p1 p2 p3 <m> r0 r1 r2 r3 r4 <e>"),  # all of it
        (9, 5, "<s> p5 p6 p7 p8 <m> r0 r1 r2 r3 r4 <e>"),  # the prompt's beginning goes
        (9, 50, "<s> p7 p8 <m> r0 r1 r2 r3 r47 r48 r49 <e>"),  # down to a quarter; then the response's middle
        (1, 50, "<s> p0 <m> r0 r1 r2 r3 r46 r47 r48 r49 <e>"),  # a short prompt stays
        (0, 50, "<s> <m> r0 r1 r2 r3 r4 r46 r47 r48 r49 <e>"),  # and where there is none, so much more of the response
    ],
)
def test_the_prompts_beginning_goes_first_and_then_the_responses_middle(
    n_prompt: int, n_response: int, kept: str
) -> None:
    found, cut = read(FRAMED, 12, texts("p", n_prompt), texts("r", n_response))
    assert found == kept
    assert cut == (n_prompt + n_response + 3 > 12)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(7, 60), st.sampled_from([FRAMED, PLAIN, RESPONSE_ONLY]))
def test_there_are_never_too_many_tokens_and_both_ends_of_the_response_stay(
    n_prompt: int, n_response: int, max_tokens: int, frame: Frame
) -> None:
    found, cut = read(frame, max_tokens, texts("p", n_prompt), texts("r", n_response))
    of_prompt = n_prompt if frame.reads_prompt else 0
    n_whole = of_prompt + n_response + (3 if frame is FRAMED else 0)
    kept = found.split()
    assert len(kept) == min(n_whole, max_tokens) or (n_whole == 0 and kept == ["<unk>"])
    assert cut == (n_whole > max_tokens)
    if n_response:
        assert {"r0", f"r{n_response - 1}"} <= set(kept)
    if of_prompt:
        assert f"p{n_prompt - 1}" in kept
    order = {
        word: row for row, word in enumerate(["<s>", *texts("p", 100).split(), "<m>", *texts("r", 100).split(), "<e>"])
    }
    assert n_whole == 0 or (np.diff([order[word] for word in kept]) > 0).all()


def test_characters_that_could_never_fit_are_left_out_before_they_are_tokenised() -> None:
    class Counting:
        longest = 0

        def encode_batch(self, given: list[str], *, add_special_tokens: bool) -> Any:
            self.longest = max(self.longest, *(len(text) for text in given))
            return TOKENIZER.encode_batch(given, add_special_tokens=add_special_tokens)

    counting = Counting()
    tokens, cut = TokenReader(counting, PLAIN, 16, blank=0).read(["p1 " * 10**6], ["r1 " * 10**6 + "r2"])
    assert counting.longest <= 2 * 16 * 32 + 2
    assert TOKENIZER.id_to_token(int(tokens[0][-1])) == "r2"
    assert cut.tolist() == [True]


def test_texts_that_differ_only_in_what_was_cut_have_one_digest() -> None:
    middles = [f"r1 {texts('p', 30)} r2", f"r1 {texts('p', 31)[:-3]}p7 r2"]
    longer, cut = TokenReader(TOKENIZER, RESPONSE_ONLY, 40, blank=0).read(["", ""], middles)
    shorter, cut_short = TokenReader(TOKENIZER, RESPONSE_ONLY, 6, blank=0).read(
        ["", ""], [m + " r3 r4" for m in middles]
    )
    assert len({token_digest(row) for row in longer}) == 2
    assert not cut.any()
    assert cut_short.all()
    assert len({token_digest(row) for row in shorter}) == 1


def test_a_frame_that_strips_reads_texts_without_the_white_space_around_them() -> None:
    stripping = Frame("<s> ", " <m> ", " <e>", strips=True, adds_special=False)
    assert read(stripping, 12, "  p0\n", "\tr0 r1 ") == read(FRAMED, 12, "p0", "r0 r1")
    assert stripping.digest != FRAMED.digest
