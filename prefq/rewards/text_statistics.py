"""Statistics of a text: counts of words, shapes and layout, in pure Python.

What they say about style is in `prefq.rewards.style`; the words that are counted are data, the lexicon of the rewards.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from prefq.errors import InputError

STATISTICS_VERSION = 1  # goes up when a statistic changes its value for some text
MAX_PHRASE = 5  # words in the longest phrase a lexicon may hold
RATE_OFFSET = 5.0  # words added to each length, so that one hit in a very short text does not count for too much
EVERYDAY = "everyday"
IMPERATIVE, HUMAN_ACT, PEOPLE = "imperative", "human_act", "people"  # categories that have no rate of their own
UNIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fancy": ("animal", "grand", "theatre", "comic", "character", "vivid", "mock_solemn"),  # far from the matter
        "particular": ("calendar", "kin", "third_person", "past", "example_marker"),  # somebody, some day
    }
)

_NEEDED = {EVERYDAY, IMPERATIVE, HUMAN_ACT, PEOPLE}.union(*UNIONS.values())
_QUOTES = str.maketrans({"‘": "'", "’": "'", "ʼ": "'", "“": '"', "”": '"', "–": "-", "—": "-"})
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_NEWLINE = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_TOKEN = re.compile(r"[^\W\d_][^\W_]*(?:['-][^\W_]+)*|\d+(?:[.,:/-]\d+)*[^\W_]*|'(?:cause|em|til|tis)\b")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
_LIST_MARK = re.compile(r"^\s*(?:[-*+•‣▪–]|\(?\d{1,2}[.):]|\(?[a-zA-Z][.)])\s+", re.MULTILINE)
_LABEL = re.compile(r"^\s*(?:[-*+•]\s*|\d{1,2}[.)]\s*)?[A-Z0-9][^\n:.!?,]{0,40}:(?=\s|$)", re.MULTILINE)
_VOWELS = re.compile(r"[aeiouy]+")
_PASSIVE = re.compile(r"\b(?:is|are|was|were|be|been|being)\s+(?:\w+ly\s+|not\s+)?\w{2,}(?:ed|en|own|ung|ept|ught)\b")
_SHAPES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "nominalisation": re.compile(r"\w{3,}(?:tion|sion|ment|ance|ence|ancy|ency|ity|ness|ship|ism|ure)s?"),
        "latinate": re.compile(r"\w{3,}(?:al|ive|ous|ible|able|ary|ory|ant|ent|ic|ical)"),
        "adverb": re.compile(r"\w{3,}ly"),
        "verb_formal": re.compile(r"\w{3,}(?:ise|ize|ify|ate|ises|izes|ifies|ates|ised|ized|ified|ated)"),
        "ing": re.compile(r"\w{2,}ing"),
        "ed": re.compile(r"\w{2,}ed"),
        "scientific": re.compile(
            r"\w{2,}(?:osis|itis|ase|lysis|genic|genesis|ology|ologist|metric|metry|graphy|scopic|ography|emia|aemia"
            r"|ium|oid|ide|ine|ose|phyll|phase|trophy|trophic|thermal|lytic|static|therapy|morphic|onomic|ation|ular)s?"
        ),
        "diminutive": re.compile(
            r"(?!(?:any|ever|every|some|no)\w*|family|money|copy|story|body|city)\w{2,6}(?:ies|ie|ish|y)"
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and phrases by category.

    Parameters
    ----------
    categories
        Names, in order.
    members
        Categories of each word or phrase.
    """

    categories: tuple[str, ...]
    members: Mapping[str, frozenset[str]]

    @classmethod
    def parse(cls, text: str) -> "Lexicon":
        """Lexicon from its file: ``[category]`` lines, entries separated by commas, ``#`` comments.

        Raises
        ------
        InputError
            For entries before the first category, a category twice or missing, or a phrase that is too long.
        """
        lines = (line.strip() for line in text.splitlines())
        head, *blocks = " ".join(line for line in lines if not line.startswith("#")).split("[")
        categories = tuple(block.partition("]")[0] for block in blocks)
        if head.strip() or len(set(categories)) < len(categories) or not set(categories) >= _NEEDED:
            raise InputError("the lexicon lacks a category, names one twice, or has entries before the first.")
        members: dict[str, set[str]] = {}
        for category, block in zip(categories, blocks, strict=True):
            for entry in filter(None, (" ".join(part.split()) for part in block.partition("]")[2].split(","))):
                if entry.count(" ") >= MAX_PHRASE:
                    raise InputError(f"the lexicon's entry {entry!r} has more than {MAX_PHRASE} words.")
                members.setdefault(entry, set()).add(category)
        return cls(categories, MappingProxyType({word: frozenset(of) for word, of in members.items()}))

    def count(self, words: Sequence[str]) -> dict[str, int]:
        """Hits of each category among the words (lower case), phrases included."""
        counts = dict.fromkeys(self.categories, 0)
        for length in range(1, MAX_PHRASE + 1):
            for start in range(len(words) - length + 1):
                phrase = words[start] if length == 1 else " ".join(words[start : start + length])
                for category in self.members.get(phrase, ()):
                    counts[category] += 1
        return counts

    def is_in(self, word: str, category: str) -> bool:
        """Whether the word belongs to the category."""
        return category in self.members.get(word, ())


def statistics_of(text: str, lexicon: Lexicon) -> dict[str, float]:
    """Statistics of a text by name, always the same names in the same order for one lexicon.

    Rates are square roots of hits per word, as counts vary by their square root; lengths are logarithms. An empty
    text has zeros. Control characters and marks of direction do not count.
    """
    text = clean(text)
    tokens = _TOKEN.findall(text)
    words = [token.lower() for token in tokens]
    sentences = [found for part in _SENTENCE_END.split(text) if (found := _TOKEN.findall(_LIST_MARK.sub("", part)))]
    n = len(words)

    def rate(hits: float) -> float:
        return math.sqrt(hits / (n + RATE_OFFSET))

    counts = lexicon.count(words)
    values = {"log_words": math.log1p(n)}
    values |= {
        f"lexicon:{name}": rate(hits) for name, hits in counts.items() if name not in (IMPERATIVE, HUMAN_ACT, PEOPLE)
    }
    values |= {f"union:{name}": rate(sum(counts[of] for of in parts)) for name, parts in UNIONS.items()}
    values["personification"] = rate(_personifications(words, lexicon))
    values |= {f"shape:{name}": rate(hits) for name, hits in _shapes(words).items()}
    values |= {f"mark:{name}": rate(hits) for name, hits in _marks(text, tokens, sentences).items()}
    return values | _word_lengths(words, lexicon) | _sentence_lengths(sentences, lexicon) | _layout(text)


def clean(text: str) -> str:
    """The text with straight quotes and dashes, one kind of line break, and no control characters."""
    return _CONTROL.sub("", _NEWLINE.sub("\n", text)).translate(_QUOTES).strip()


def _shapes(words: Sequence[str]) -> dict[str, int]:
    return {name: sum(1 for word in words if shape.fullmatch(word)) for name, shape in _SHAPES.items()}


def _personifications(words: Sequence[str], lexicon: Lexicon) -> int:
    """How often something people do follows a word that may be a thing: not a pronoun, not the start of a text."""
    return sum(1 for one, two in pairwise(words) if lexicon.is_in(two, HUMAN_ACT) and not lexicon.is_in(one, PEOPLE))


def _marks(text: str, tokens: Sequence[str], sentences: Sequence[Sequence[str]]) -> dict[str, int]:
    counts = {name: text.count(mark) for name, mark in _CHARACTERS.items()}
    digits = [token for token in tokens if token[0].isdigit()]
    starts = [token[:1].lower() for token in tokens if len(token) > 3]
    return counts | {
        "quotation": text.count('"') // 2 + len(re.findall(r"(?<!\w)'[^'\n]{1,80}'(?!\w)", text)),
        "number": len(digits),
        "unit_number": sum(1 for token in digits if token[-1].isalpha()) + len(re.findall(r"\d\s?[%°]", text)),
        "money": len(re.findall(r"[$£€]\s?\d", text)),
        "clock": len(re.findall(r"\b\d{1,2}(?::\d\d|\s?[ap]\.?m\b)", text)),
        "acronym": sum(1 for token in tokens if len(token) > 1 and token.isupper()),
        "hyphenated": sum(1 for token in tokens if "-" in token),
        "name": sum(1 for words in sentences for word in words[1:] if word[:1].isupper() and not _is_caps_word(word)),
        "passive": len(_PASSIVE.findall(text.lower())),
        "alliteration": sum(1 for one, two in pairwise(starts) if one == two),
    }


_CHARACTERS: Mapping[str, str] = MappingProxyType(
    {"comma": ",", "semicolon": ";", "colon": ":", "exclamation": "!", "question": "?", "bracket": "(", "dash": " - "}
)


def _is_caps_word(token: str) -> bool:
    """I and its contractions, and acronyms: capitals that are no names."""
    return token == "I" or token.startswith("I'") or (len(token) > 1 and token.isupper())


def _word_lengths(words: Sequence[str], lexicon: Lexicon) -> dict[str, float]:
    letters = [word for word in words if word[0].isalpha()]
    if not letters:
        return dict.fromkeys(("word_length", "syllables", "long_words", "longest_words", "uncommon"), 0.0)
    n = len(letters)
    return {
        "word_length": sum(map(len, letters)) / n,
        "syllables": sum(max(1, len(_VOWELS.findall(word))) for word in letters) / n,
        "long_words": sum(1 for word in letters if len(word) >= 7) / n,
        "longest_words": sum(1 for word in letters if len(word) >= 10) / n,
        "uncommon": sum(1 for word in letters if not _is_everyday(word, lexicon)) / n,
    }


def _is_everyday(word: str, lexicon: Lexicon) -> bool:
    """Whether the word, or the word without a common ending, is an everyday one."""
    stems = [word.partition("'")[0]]
    stems += [
        stem for ending in ("s", "es", "ed", "d", "ing", "er", "est", "ly", "y") if (stem := word.removesuffix(ending))
    ]
    stems += [stem[:-1] for stem in stems if len(stem) > 3 and stem[-1] == stem[-2]]
    stems += [f"{stem}e" for stem in stems] + [f"{stem[:-1]}y" for stem in stems if stem.endswith("i")]
    return any(lexicon.is_in(stem, EVERYDAY) for stem in stems)


def _sentence_lengths(sentences: Sequence[Sequence[str]], lexicon: Lexicon) -> dict[str, float]:
    names = (
        "sentence_length",
        "longest_sentence",
        "shortest_sentence",
        "short_sentences",
        "imperatives",
        "log_sentences",
    )
    if not sentences:
        return dict.fromkeys(names, 0.0)
    lengths, n = [len(words) for words in sentences], len(sentences)
    imperatives = sum(1 for words in sentences if lexicon.is_in(words[0].lower(), IMPERATIVE))
    values = (
        math.log1p(sum(lengths) / n),
        math.log1p(max(lengths)),
        math.log1p(min(lengths)),
        sum(1 for length in lengths if length <= 6) / n,
        imperatives / n,
        math.log1p(n),
    )
    return dict(zip(names, values, strict=True))


def _layout(text: str) -> dict[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    return {
        "log_lines": math.log(max(1, len(lines))),
        "list_marks": math.log1p(len(_LIST_MARK.findall(text))),
        "labels": math.log1p(len(_LABEL.findall(text))),
        "layout": float(len(lines) > 2 or bool(_LIST_MARK.search(text))),
    }
