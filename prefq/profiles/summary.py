"""A profile in words: each axis of taste with its interval and how sure it is, sentences, a system prompt, Markdown.

Nothing here reads or writes a file; drawing for a terminal is the shell's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from prefq.profiles.evidence import Evidence, SealedScore, basis, comparisons, score_sentence
from prefq.profiles.profile import Profile

TAIL = 0.05  # probability on either side of a central 90 % interval
INTERVAL_SDS = 1.6449  # standard deviations of a normal to either end of it
BISECTIONS = 60  # of an interval in which a quantile lies
CLEAR = 0.95  # probability of the direction from which on it is called clear
LIKELY = 0.875  # and likely; lower would put words into the mouth of people who toss a coin
SLIGHT = 0.2  # logits, 55 of 100 choices: effects that are smaller have no direction worth a sentence
IMPERSONAL = 0.8  # probability of no personal taste from which on answers are called the group's average, or chance
UNLIKE_THE_GROUP = "Your answers fit badly into the group that the prior was learned from, so it counts for less here."
PERSONAL = 0.05  # and below which a taste of one's own is called shown, or probable where the answers did not show it
SHOWN = 3.0  # by how much answers must speak for a taste of one's own, as a ratio of their probabilities, to show it
CHOICES_EXPLAINED = (
    "Choices are between two answers that differ in this alone, as far as the ones you saw usually did; "
    "nine times in ten the truth lies in the range."
)


class Verdict(StrEnum):
    """How sure the direction of an axis is, or that there is none worth a word."""

    CLEAR = "clear"
    LIKELY = "likely"
    MINOR = "makes little difference"
    OPEN = "cannot tell yet"


DIRECTED = frozenset({Verdict.CLEAR, Verdict.LIKELY})  # verdicts that name the pole that is preferred


@dataclass(frozen=True, slots=True)
class AxisSummary:
    """One axis of taste.

    Parameters
    ----------
    name
        Of the feature: its positive pole.
    opposite
        The negative pole, or empty where it has no name.
    effect
        Coefficient times the feature's typical difference between two responses, as it is felt where they differ in
        nothing else (`ResponseModel.felt`), in logits; positive toward `name`. The median of what is believed.
    low, high
        Central 90 % interval of the effect; without zero if it is clear.
    sure
        Probability, from one half to 1, that the direction is that of `effect`.
    verdict
        The same in a word.
    """

    name: str
    opposite: str
    effect: float
    low: float
    high: float
    sure: float
    verdict: Verdict

    @property
    def poles(self) -> tuple[str, str]:
        """Negative and positive pole: ``("brief", "thorough")``, or ``("less x0", "more x0")`` without names."""
        return (self.opposite, self.name) if self.opposite else (f"less {self.name}", f"more {self.name}")

    @property
    def preferred(self) -> str:
        """The pole on the effect's side."""
        return self.poles[self.effect > 0]

    @property
    def strength(self) -> tuple[float, float, float]:
        """Effect and its interval, counted toward the preferred pole."""
        return (self.effect, self.low, self.high) if self.effect > 0 else (-self.effect, -self.high, -self.low)

    def to_dict(self) -> dict[str, Any]:
        """Fields as JSON values."""
        return asdict(self) | {"verdict": self.verdict.value}


# What a pole asks of an answer: as the object of "you prefer …", and as an instruction to whoever writes it.
PHRASES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "brief": ("brief answers", "Keep answers brief."),
        "thorough": ("thorough answers", "Be thorough."),
        "casual": ("a casual tone", "Use a casual tone."),
        "formal": ("a formal tone", "Use a formal tone."),
        "plain": ("plain words", "Use plain words and avoid jargon."),
        "technical": ("technical language", "Use precise technical language."),
        "prose": ("flowing prose", "Write flowing prose rather than lists."),
        "structured": ("structured answers", "Structure answers with steps, lists or headings."),
        "neutral": ("a neutral tone", "Keep a neutral, matter-of-fact tone."),
        "warm": ("a warm tone", "Be warm and personal."),
        "balanced": ("balanced answers", "Weigh the options evenly."),
        "decisive": ("decisive answers", "Commit to a recommendation."),
        "principle": ("general principles", "Explain the general principle."),
        "example": ("concrete examples", "Explain with concrete examples."),
        "serious": ("a serious tone", "Stay serious."),
        "playful": ("a playful tone", "Be playful."),
    }
)


def summarize(profile: Profile) -> tuple[AxisSummary, ...]:
    """Each axis of a profile, in the order of its features.

    A feature that never differs between responses has effect 0 and an interval of length 0: nothing can be told.

    Examples
    --------
    >>> import prefq
    >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]], feature_names=["warm"])
    >>> profile = prefq.fit_profile(pool, [prefq.Answer("1-0", "first")], user_id="ada")
    >>> [(axis.preferred, axis.verdict.value) for axis in summarize(profile)]
    [('more warm', 'cannot tell yet')]
    """
    space = profile.feature_space
    opposites = space.opposites or ("",) * space.n_features
    beliefs = [_Belief.of(profile, feature) for feature in range(space.n_features)]
    return tuple(map(_axis, space.names, opposites, beliefs))


def taste_sentences(profile: Profile) -> list[str]:
    """What the answers say about whether this person has a taste of their own; nothing where the prior cannot tell.

    Examples
    --------
    >>> import prefq
    >>> from prefq.profiles.summary import taste_sentences
    >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
    >>> taste_sentences(prefq.fit_profile(pool, [prefq.Answer("1-0", "first")], user_id="ada"))
    ['You may have a taste of your own; the answers do not settle it (probability of no personal taste: 10 %).']
    """
    if profile.surprise is not None:
        return [UNLIKE_THE_GROUP]
    if (share := profile.no_personal_taste) is None:
        return []
    told = f"probability of no personal taste: {_percent(share)}"
    if share >= IMPERSONAL and profile.n_answers:
        seen = "fit the group's average taste" if profile.prior.n_users else "look like chance"
        return [f"Your answers {seen}; no taste of your own can be told yet ({told})."]
    if share >= PERSONAL:
        return [f"You may have a taste of your own; the answers do not settle it ({told})."]
    if _spoken_for_a_taste(profile, share) < SHOWN:
        return [f"You probably have a taste of your own, as most people; the answers add little to that ({told})."]
    return [f"Your answers show a taste of your own ({told})."]


def beside(profile: Profile) -> str:
    """What a profile was learned from beside the person's comparisons, beginning with a space; empty if nothing."""
    n_others = profile.prior.n_users
    stated = " and what was said beforehand" if profile.stated is not None and profile.stated.names else ""
    others = f" and the answers of {n_others} other {'person' if n_others == 1 else 'people'}" if n_others else ""
    return stated + others


def axis_label(name: str, opposite: str) -> str:
    """An axis by its poles, ``"brief–thorough"``, or by its name where the negative pole has none."""
    return f"{opposite}–{name}" if opposite else name


def sentences(axes: Sequence[AxisSummary], score: SealedScore | None = None) -> list[str]:
    """How a test came out, if there was one; what is known about a person, surest first; what is not known."""
    tested = [] if score is None else [score_sentence(score)]
    known = [f"You prefer {_phrase(axis)}: {axis.verdict.value}." for axis in _known(axes)]
    rest = [(verdict, ", ".join(_of(axes, verdict))) for verdict in (Verdict.MINOR, Verdict.OPEN)]
    return [*tested, *known, *(f"{_begun(poles)}: {verdict.value}." for verdict, poles in rest if poles)]


def counted_sentences(axes: Sequence[AxisSummary]) -> list[str]:
    """A sentence for each axis, surest first: words, then `choices_in_100` to match; what the numbers mean comes last.

    Examples
    --------
    >>> counted_sentences([AxisSummary("warm", "neutral", 1.2, 0.3, 2.1, 0.98, Verdict.CLEAR)])[0]
    'You prefer a warm tone: clear, in about 77 of 100 choices (57 to 89).'
    """
    told = [_counted(axis) for axis in [*_known(axes), *(axis for axis in axes if axis.verdict not in DIRECTED)]]
    return [*told, CHOICES_EXPLAINED] if told else []


def choices_in_100(axis: AxisSummary) -> tuple[int, int, int]:
    """How many of 100 choices between answers that differ in this axis alone go to its preferred pole, with interval.

    These are 100 times the logistic function of `AxisSummary.strength`; no choice is a tie or a slip.
    """
    best, low, high = (round(50 * (1 + math.tanh(each / 2))) for each in axis.strength)
    return best, low, high


def system_prompt(profile: Profile, score: SealedScore | None = None) -> str:
    """The profile as an instruction to a language model; says what is not known, and how a test of it came out."""
    axes = summarize(profile)
    known = _known(axes)
    lines = [f"- {_instruction(axis)}{'' if axis.verdict is Verdict.CLEAR else ' (likely)'}" for axis in known]
    little, unknown = _of(axes, Verdict.MINOR), _of(axes, Verdict.OPEN)
    learned = comparisons(profile.n_answers) + beside(profile)
    if lines:
        heading = f"How this person likes answers to be written, learned from {learned}{':' if score is None else '.'}"
    else:
        heading = f"How this person likes answers to be written is not known yet ({learned})."
    if (profile.no_personal_taste or 0.0) >= IMPERSONAL and profile.n_answers:
        seen = "fit the average taste of the group" if profile.prior.n_users else "look like chance"
        lines.insert(0, f"So far the answers {seen}; nothing personal is known yet.")
    lines = [heading, *([] if score is None else [score_sentence(score)]), *lines]
    if little:
        lines.append(f"Makes little difference: {', '.join(little)}.")
    if unknown:
        lines.append(f"Not known: {', '.join(unknown)}. Use your own judgement there.")
    lines.append("Being correct and complete comes before style.")
    return "\n".join(lines)


def markdown(profile: Profile, evidence: Evidence | None = None) -> str:
    """The profile as a Markdown page: sentences, and a table of the axes."""
    axes = summarize(profile)
    when = f" ({profile.created})" if profile.created else ""
    score = None if evidence is None else evidence.score
    rows = [_markdown_row(axis) for axis in sorted(axes, key=lambda axis: -axis.sure)]
    return "\n".join(
        [
            f"# Preferences of {_cell(profile.user_id)}",
            "",
            f"From {basis(profile.n_answers, evidence, beside(profile))}{when}.",
            "",
            *(f"- {_cell(sentence)}" for sentence in [*taste_sentences(profile), *sentences(axes, score)]),
            "",
            "| axis | toward | of 100 choices | 90 % interval | how sure |",
            "|---|---|---|---|---|",
            *rows,
            "",
            CHOICES_EXPLAINED,
        ]
    )


class _Belief(NamedTuple):
    """What is believed of one effect, in logits: a mixture of normals, each with weight, mean and sd."""

    parts: tuple[tuple[float, float, float], ...]

    @classmethod
    def of(cls, profile: Profile, feature: int) -> "_Belief":
        alone = np.zeros(profile.feature_scales.size)  # the typical difference in this feature, and in no other
        alone[feature] = profile.feature_scales[feature]
        scale, coefficients = float(profile.prior.response_model.felt(alone)[feature]), profile.coefficients
        parts = zip(coefficients.weights.tolist(), coefficients.components, strict=True)
        return cls(tuple((w, scale * float(c.mean[feature]), scale * float(c.sd[feature])) for w, c in parts if w > 0))

    def below(self, effect: float) -> float:
        """Probability of less than this, half of what lies exactly there included."""
        return sum(weight * _normal_below(effect, mean, sd) for weight, mean, sd in self.parts)

    def quantile(self, share: float, sds: float) -> float:
        """The effect below which this share lies; of a normal, `sds` standard deviations from its mean."""
        ends = [mean + sds * sd for _, mean, sd in self.parts]
        low, high = min(ends), max(ends)
        for _ in range(BISECTIONS if high > low else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle) < share else (low, middle)
        return (low + high) / 2


def _axis(name: str, opposite: str, belief: _Belief) -> AxisSummary:
    effect = belief.quantile(0.5, 0.0)
    low, high = belief.quantile(TAIL, -INTERVAL_SDS), belief.quantile(1 - TAIL, INTERVAL_SDS)
    below = belief.below(0.0)
    sure = max(below, 1 - below)
    return AxisSummary(name, opposite, effect, low, high, sure, _verdict(effect, low, high, sure))


def _verdict(effect: float, low: float, high: float, sure: float) -> Verdict:
    if 0 < max(abs(low), abs(high)) < SLIGHT:
        return Verdict.MINOR
    if abs(effect) < SLIGHT:
        return Verdict.OPEN
    return Verdict.CLEAR if sure >= CLEAR else Verdict.LIKELY if sure >= LIKELY else Verdict.OPEN


def _normal_below(value: float, mean: float, sd: float) -> float:
    if sd == 0:
        return 0.5 * (1 + (value > mean) - (value < mean))
    return 0.5 * math.erfc((mean - value) / (sd * math.sqrt(2)))


def _percent(share: float) -> str:
    """A probability in words that do not claim more than 1 and 99 %."""
    return "below 1 %" if share < 0.01 else "above 99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")


def _known(axes: Sequence[AxisSummary]) -> list[AxisSummary]:
    return sorted((axis for axis in axes if axis.verdict in DIRECTED), key=lambda axis: -axis.sure)


def _of(axes: Sequence[AxisSummary], verdict: Verdict) -> list[str]:
    return [_either(axis) for axis in axes if axis.verdict is verdict]


def _spoken_for_a_taste(profile: Profile, share: float) -> float:
    """How many times likelier the answers are of people with a taste of their own, given that of none after them."""
    assert profile.prior.impersonal is not None
    before = float(profile.prior.coefficients.weights[profile.prior.impersonal])
    return (1 - share) / share * before / (1 - before) if 0 < share < 1 and before < 1 else math.inf


def _either(axis: AxisSummary) -> str:
    return " or ".join(axis.poles)


def _phrase(axis: AxisSummary) -> str:
    return PHRASES[axis.preferred][0] if axis.preferred in PHRASES else f"{axis.preferred} answers"


def _counted(axis: AxisSummary) -> str:
    best, low, high = choices_in_100(axis)
    counts = f"about {best} of 100 choices ({low} to {high})"
    if axis.verdict in DIRECTED:
        return f"You prefer {_phrase(axis)}: {axis.verdict.value}, in {counts}."
    return f"{_begun(_either(axis))}: {axis.verdict.value}" + (
        f"; {axis.preferred} in {counts}." if low < high else "."
    )


def _begun(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}"


def _instruction(axis: AxisSummary) -> str:
    if axis.preferred in PHRASES:
        return PHRASES[axis.preferred][1]
    return f"Prefer {axis.preferred} answers." if axis.opposite else f"Write answers that are {axis.preferred}."


def _markdown_row(axis: AxisSummary) -> str:
    best, low, high = choices_in_100(axis)
    label = _cell(axis_label(axis.name, axis.opposite))
    return f"| {label} | {_cell(axis.preferred)} | {best} | {low} to {high} | {axis.verdict.value} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
