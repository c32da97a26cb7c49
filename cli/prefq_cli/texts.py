"""Foreign text: read from standard input, and made safe to show.

Safe means no terminal control and no invisible characters; brackets and scripts stay intact.
"""

import re
import sys
import unicodedata

# ECMA-48 control sequences: CSI; OSC, DCS, SOS, PM and APC strings up to their end; other escapes. Also with the
# one-byte C1 introducers. A string that never ends loses its introducer only, so that no text vanishes with it.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x1b\x07\x9c]*(?:\x1b\\|\x07|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Marks that reorder neighbouring text, or hide it: bidirectional embeddings, overrides and isolates, word joiners and
# invisible operators, interlinear annotation, tags, byte order mark, soft hyphen, zero-width space. Kept are the
# joiners that scripts and emoji need, and the plain direction marks.
_HIDDEN = re.compile("[\u00ad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def standard_input() -> str:
    """All that comes on standard input; InputError where it is no text."""
    try:
        text = sys.stdin.read()
        text.encode()  # where the locale is narrow, bytes that are no text come as halves of characters
    except UnicodeError:
        from prefq.errors import InputError

        raise InputError("standard input is not UTF-8 text; give it in UTF-8.") from None
    return text


def displayable(text: str) -> str:
    """The text without control characters and sequences; line ends are ``\\n`` and tabs are spaces."""
    text = _SEQUENCES.sub("", text)
    text = _LINE_ENDS.sub("\n", text).expandtabs(4)
    return storable(_HIDDEN.sub("", _CONTROLS.sub("", text)))


def storable(text: str) -> str:
    """The text with a replacement character for each half of one (lone surrogate), which no file can hold."""
    return _SURROGATES.sub("\ufffd", text)


def one_line(text: str) -> str:
    """`displayable`, on one line."""
    return " ".join(displayable(text).split())


def reads_right_to_left(text: str) -> bool:
    """Whether the text holds letters of a right-to-left script, which terminals may reorder across columns."""
    return any(unicodedata.bidirectional(character) in {"R", "AL"} for character in set(text))
