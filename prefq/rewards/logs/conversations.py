"""Prompt and responses as texts, from texts or from conversations: lists of messages {role, content}."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefq.errors import InputError

NO_TEXT = "no text, or no list of {role, content}, where a response or prompt should be"
NO_PROMPT = "no prompt"
TWO_PROMPTS = "responses to two prompts"
USER = "user"

Message = tuple[str, str]


def compared_texts(prompt: Any, first: Any, second: Any) -> tuple[str | None, str, str]:
    """Prompt (None if there is none) and both responses of a row.

    A prompt that is not given by itself is what two conversations have in common; their last messages are responses
    always. One that is given comes first, unless the conversations repeat it.

    Raises
    ------
    InputError
        Which says why the row cannot be used.
    """
    if isinstance(first, str) and isinstance(second, str):
        return _prompt_text(prompt), first, second
    before, one, other = _messages(prompt, USER), _messages(first, ""), _messages(second, "")
    if not one or not other:
        raise InputError(NO_TEXT)
    n_common = 0
    while n_common < min(len(one), len(other)) - 1 and one[n_common] == other[n_common]:
        n_common += 1
    if one[n_common][0] == USER and other[n_common][0] == USER:
        raise InputError(TWO_PROMPTS)
    common = one[:n_common]
    whole = common if common[: len(before)] == before else before + common
    return (text_of(whole) if whole else None), _response(one[n_common:]), _response(other[n_common:])


def prompt_of(prompt: Any, prompt_id: Any) -> tuple[str, str]:
    """Text of a prompt, and what it is known by where that is empty; InputError where both are missing."""
    if prompt is None and prompt_id is None:
        raise InputError(NO_PROMPT)
    return _prompt_text(prompt) or "", "" if prompt_id is None else str(prompt_id)


def text_of(messages: Sequence[Message]) -> str:
    """One message by itself; of several each with its role before it, an empty line between them."""
    if len(messages) == 1 and messages[0][0] == USER:
        return messages[0][1]
    return "\n\n".join(f"{role.capitalize()}: {content}" for role, content in messages)


def _response(messages: Sequence[Message]) -> str:
    return messages[0][1] if len(messages) == 1 else text_of(messages)


def _prompt_text(prompt: Any) -> str | None:
    if prompt is None or isinstance(prompt, str):
        return prompt
    messages = _messages(prompt, USER)
    return text_of(messages) if messages else ""


def _messages(value: Any, role: str) -> list[Message]:
    """Role and content of each message; a text is one message, nothing is none."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [(role, value)]
    if not isinstance(value, Sequence) or not all(_is_message(each) for each in value):
        raise InputError(NO_TEXT)
    return [(each["role"], each["content"]) for each in value]


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(name), str) for name in ("role", "content"))
