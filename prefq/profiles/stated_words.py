"""Stated preferences in words: the steps of a slider, what a person said, and what their answers say about it.

What it counts for is in `prefq.inference.stated`.
"""

from collections.abc import Sequence
from dataclasses import replace

from prefq.inference.stated import StatedEvidence, bearing, without_stated
from prefq.inference.surprise import widened
from prefq.profiles.profile import Profile
from prefq.profiles.summary import DIRECTED, AxisSummary, summarize
from prefq.vocabulary import PopulationPrior

STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of a slider, from much more of the negative pole to much more of the other
NO_MATTER = "no matter"
DOUBTFUL = 0.5  # chance that what was said bears on the choices, below which the words say that it counts for little


def step_words(name: str, opposite: str, position: float) -> str:
    """What a position on an axis says, by the nearest of `STEPS`.

    Examples
    --------
    >>> step_words("thorough", "brief", -1), step_words("warm", "", -0.5), step_words("warm", "neutral", 0.1)
    ('much more brief', 'less warm', 'no matter')
    """
    nearest = min(STEPS, key=lambda step: (abs(step - position), abs(step)))
    if nearest == 0:
        return NO_MATTER
    pole = name if nearest > 0 else opposite
    amount = f"more {pole}" if pole else f"less {name}"
    return f"much {amount}" if abs(nearest) == 1 else amount


def said_sentence(stated: StatedEvidence) -> str:
    """What a person said, in one sentence; empty if nothing.

    Examples
    --------
    >>> import prefq
    >>> pool = prefq.load_pool("starter")
    >>> said = {"brief": 1, "warm": 0}
    >>> said_sentence(prefq.stated_evidence(pool.feature_space, said, prior=pool.starting_point()))
    'You said beforehand: much more brief; neutral or warm, no matter.'
    """
    space = stated.feature_space
    opposites = dict(zip(space.names, space.opposites or ("",) * space.n_features, strict=True))
    told = []
    for name, position in zip(stated.names, stated.positions.tolist(), strict=True):
        words = step_words(name, opposites[name], position)
        axis = f"{opposites[name]} or {name}" if opposites[name] else name
        told.append(f"{axis}, {words}" if words == NO_MATTER else words)
    return f"You said beforehand: {'; '.join(told)}." if told else ""


def answers_alone(profile: Profile) -> Profile:
    """The profile as it would be had nothing been stated."""
    if profile.stated is None:
        return profile
    alone = without_stated(profile.coefficients, _believed(profile), profile.stated)
    return replace(profile, coefficients=alone, stated=None)


def stated_sentences(profile: Profile) -> list[str]:
    """What a person said, and what their answers alone say about it; nothing where nothing was said."""
    stated = profile.stated
    if stated is None or not stated.names:
        return []
    axes = {axis.name: axis for axis in summarize(answers_alone(profile))}
    said = [(axes[name], position) for name, position in zip(stated.names, stated.positions.tolist(), strict=True)]
    known = [(axis, position) for axis, position in said if axis.verdict in DIRECTED]
    same = [axis for axis, position in known if position * axis.effect > 0]
    other = [axis for axis, position in known if position * axis.effect <= 0]
    parts = [f"point the same way on {_named(same)}"] if same else []
    parts += [f"point elsewhere, to {_preferred(other)}, and the profile weighs both"] if other else []
    parts += ["cannot tell yet" + (" about the rest" if parts else "")] if len(known) < len(said) else []
    doubt = ""
    if profile.n_answers and bearing(profile.coefficients, _believed(profile)) < DOUBTFUL:
        doubt = " On the whole the two fit badly, so what you said counts for little."
    return [said_sentence(stated), f"Your answers alone {'; they '.join(parts)}.{doubt}"]


def _believed(profile: Profile) -> PopulationPrior:
    """The prior of this person, without what was stated."""
    return profile.prior if profile.surprise is None else widened(profile.prior)


def _named(axes: Sequence[AxisSummary]) -> str:
    return _listed([" or ".join(axis.poles) for axis in axes])


def _preferred(axes: Sequence[AxisSummary]) -> str:
    return _listed([f"{axis.preferred} ({axis.verdict.value})" for axis in axes])


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
