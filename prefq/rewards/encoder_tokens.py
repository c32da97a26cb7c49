"""How a prompt and its response become tokens: the frame around them, and what is cut where they are too long.

A sentence encoder reads "prompt, empty line, response"; a language model with a chat template reads a conversation of
two messages. Where both are longer than the model takes, the beginning of the prompt goes first, down to a quarter of
what there is room for; then the middle of the response, so that its beginning and its end stay.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.vocabulary import digest_of

Tokens = NDArray[np.int64]
Parts = tuple[int, int, int, int]  # characters where the prompt starts and ends, and the response
PROMPT_SHARE = 0.25  # of the room for texts: what of a long prompt stays beside a response that would fill it all
CHARACTERS_PER_TOKEN = 32  # beyond this many for each token there is room for, characters are not tokenised at all
LEAST_ROOM = 4  # tokens of text beside the frame: with fewer, hardly a word could be told from another
PROMPT, RESPONSE, PADDED = "PREFQ-PROMPT", "PREFQ-RESPONSE", "  PREFQ-PROMPT  "  # texts that find their place
FIXED_DATE = "2024-01-01"  # for templates that write today's: features must not change overnight
NO_CLOCK = "{%- macro strftime_now(format) -%}" + FIXED_DATE + "{%- endmacro -%}"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What stands around the texts.

    Parameters
    ----------
    before, between, after
        Before the prompt, between it and the response, and after the response.
    reads_prompt
        Whether the prompt is read at all.
    strips
        Whether white space around both is taken away, as the chat template does.
    adds_special
        Whether the tokenizer adds its special tokens; a chat template writes its own.
    """

    before: str
    between: str
    after: str
    reads_prompt: bool = True
    strips: bool = False
    adds_special: bool = True

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides what is read."""
        flags = f"{self.reads_prompt} {self.strips} {self.adds_special}"
        return digest_of(self.before, self.between, self.after, flags)


PLAIN = Frame("", "\n\n", "")
RESPONSE_ONLY = Frame("", "", "", reads_prompt=False)


def chat_frame(tokenizer: Any, name: str) -> Frame:
    """The frame that a tokenizer's chat template sets around a user's prompt and the assistant's response.

    Raises
    ------
    InputError
        When the template fails or does not write both texts.
    """
    from jinja2 import TemplateError

    template = NO_CLOCK + tokenizer.get_chat_template()

    def rendered(prompt: str, response: str) -> str:
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        return str(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False))

    try:
        text, padded = rendered(PROMPT, RESPONSE), rendered(PADDED, RESPONSE)
        before, rest = text.split(PROMPT)
        between, after = rest.split(RESPONSE)
    except (TemplateError, TypeError, ValueError) as error:
        raise InputError(
            f"the chat template of encoder {name!r} does not write a user's and an assistant's message once each "
            f"({error}); correct the template, or give reads='response'."
        ) from error
    return Frame(before, between, after, strips=PADDED not in padded, adds_special=False)


@dataclass(frozen=True, slots=True, eq=False)
class TokenReader:
    """Turns prompts and responses into tokens, each text for itself.

    Parameters
    ----------
    tokenizer
        A tokenizer of the tokenizers library, set to neither pad nor cut.
    frame
        What stands around the texts.
    max_tokens
        How many tokens there may be, those of the frame included.
    blank
        The token that stands for a text without any.
    """

    tokenizer: Any
    frame: Frame
    max_tokens: int
    blank: int

    def __post_init__(self) -> None:
        of_frame = len(self.read([""], [""])[0][0])
        if of_frame + LEAST_ROOM > self.max_tokens:
            raise InputError(
                f"max_tokens is {self.max_tokens}, and the frame around the texts takes {of_frame}; "
                f"give at least {of_frame + LEAST_ROOM}."
            )

    def read(self, prompts: Sequence[str], responses: Sequence[str]) -> tuple[list[Tokens], NDArray[np.bool_]]:
        """Tokens of each text, and which texts were cut (n,)."""
        cut = np.zeros(len(responses), dtype=bool)
        texts, parts = [], []
        for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            text, part, cut[row] = self._framed(prompt, response)
            texts.append(text)
            parts.append(part)
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=self.frame.adds_special)
        tokens = []
        for row, encoding in enumerate(encodings):
            too_long = len(encoding) > self.max_tokens
            cut[row] |= too_long
            ids = np.array(encoding.ids or [self.blank], dtype=np.int64)
            tokens.append(ids[_kept(encoding, parts[row], self.max_tokens)] if too_long else ids)
        return tokens, cut

    def _framed(self, prompt: str, response: str) -> tuple[str, Parts, bool]:
        """The text to read, where prompt and response are in it, and whether characters were left out."""
        frame, limit = self.frame, CHARACTERS_PER_TOKEN * self.max_tokens
        prompt = prompt if frame.reads_prompt else ""
        if frame.strips:
            prompt, response = prompt.strip(), response.strip()
        is_long = len(prompt) > limit or len(response) > limit
        prompt = prompt[-limit:]
        if len(response) > limit:
            response = response[: limit // 2] + response[-(limit - limit // 2) :]
        start = len(frame.before)
        begin = start + len(prompt) + len(frame.between)
        text = frame.before + prompt + frame.between + response + frame.after
        return text, (start, start + len(prompt), begin, begin + len(response)), is_long


def token_digest(tokens: Tokens) -> int:
    """A number of 64 bits that two texts share where their tokens are the same, and else do not."""
    return int.from_bytes(hashlib.blake2b(tokens.tobytes(), digest_size=8).digest(), "little")


def _kept(encoding: Any, parts: Parts, max_tokens: int) -> NDArray[np.int64]:
    """Which tokens (max_tokens,) of a text that is too long are kept; see the module's rule.

    A token belongs to the prompt or the response where all its characters do; special ones belong to the frame.
    """
    begins, ends = np.array(encoding.offsets).T
    is_text = (np.array(encoding.special_tokens_mask) == 0) & (ends > begins)
    of_prompt = np.flatnonzero(is_text & (begins >= parts[0]) & (ends <= parts[1]))
    of_response = np.flatnonzero(is_text & (begins >= parts[2]) & (ends <= parts[3]))
    room = max(max_tokens - (len(encoding) - len(of_prompt) - len(of_response)), 0)
    n_prompt = min(len(of_prompt), max(int(PROMPT_SHARE * room), room - len(of_response)))
    n_response = room - n_prompt
    left_out = np.concatenate(
        [
            of_prompt[: len(of_prompt) - n_prompt],
            of_response[(n_response + 1) // 2 : len(of_response) - n_response // 2],
        ]
    )
    return np.setdiff1d(np.arange(len(encoding)), left_out)[-max_tokens:]
