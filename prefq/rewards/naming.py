"""Proposals for names of learned base rewards, from the texts that each separates most; a person may rename them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.rewards.base import STARTER, load_rewards
from prefq.rewards.linear import Example, FeatureExamples
from prefq.vocabulary import Array

COMMON = ("widely liked", "widely disliked")
N_EXAMPLES = 3
TAIL = 0.1  # share of the texts at either end that words are compared of
LEAST_CORRELATION = 0.4  # of a style within prompts: below, its name would promise too much
LEAST_TEXTS = 5  # in which a word stands, before it is told of
LEAST_SIGNIFICANCE = 2.5  # standard errors of a word's log odds between both ends
N_WORDS = 2
COMMONEST = 0.3  # share of texts: a word that stands in more says nothing of a text
_WORD = re.compile(r"[^\W\d_]{4,}")


class Names(NamedTuple):
    """Words for both poles of each feature, and texts at either end."""

    names: tuple[str, ...]
    opposites: tuple[str, ...]
    examples: tuple[FeatureExamples, ...]


def propose_names(features: Array, prompts: Sequence[str], responses: Sequence[str], *, common: bool = True) -> Names:
    """Names for features of canonical rewards, the first of which is the common taste.

    Responses are compared with others to the same prompt: what a prompt is about is nobody's taste.

    A feature that goes with one of the bundled styles, within prompts, is named after it; others after words that stand
    more often at one of their ends; else they are numbered. Every name is used once.

    Parameters
    ----------
    features : (n_items, n_features)
        Of some items, as typical as possible.
    prompts, responses : (n_items,)
        Their texts.
    common
        Whether the first feature is liked by most people; otherwise it is named as the others are.
    """
    styles = load_rewards(STARTER)
    space, within = styles.feature_space, _within(features, prompts)
    of_style = _within(styles.features(prompts, responses), prompts)
    sizes = np.outer(np.linalg.norm(within, axis=0), np.linalg.norm(of_style, axis=0))
    correlations = np.divide(within.T @ of_style, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    poles = [COMMON] if common else []
    taken = {word for pole in poles for word in pole}
    for column in range(len(poles), features.shape[1]):
        found = _by_style(correlations[column], space.names, space.opposites or (), taken)
        found = found or _by_words(within[:, column], responses, taken) or (f"axis {column + 1}", "")
        taken |= set(found)
        poles.append(found)
    names, opposites = zip(*poles[: features.shape[1]], strict=True)
    examples = tuple(_examples(column, prompts, responses) for column in within.T)
    return Names(names, opposites, examples)


def _within(features: Array, prompts: Sequence[str]) -> Array:
    """Features without the mean of their prompt."""
    _, codes = np.unique(np.array(prompts, dtype=object).astype(str), return_inverse=True)
    counts = np.bincount(codes)
    means = np.stack([np.bincount(codes, column) / counts for column in features.T], axis=1)
    return np.asarray(features - means[codes])


def _by_style(
    correlations: Array, names: Sequence[str], opposites: Sequence[str], taken: set[str]
) -> tuple[str, str] | None:
    """Poles of the style that a feature goes with most, of those that are left."""
    for style in np.argsort(-np.abs(correlations)):
        if abs(correlations[style]) < LEAST_CORRELATION:
            return None
        name, opposite = names[style], opposites[style] if opposites else ""
        found = (name, opposite) if correlations[style] > 0 or not opposite else (opposite, name)
        if not taken & {name, opposite}:
            return found
    return None


def _by_words(feature: Array, responses: Sequence[str], taken: set[str]) -> tuple[str, str] | None:
    """Poles by words that stand in many more texts of one end than of the other."""
    n, order = max(int(TAIL * len(feature)), 1), np.argsort(feature)
    everywhere = Counter(word for response in responses for word in _words(response))
    low, high = (Counter(word for i in rows for word in _words(responses[i])) for rows in (order[:n], order[-n:]))
    odds = {}
    for word in low | high:
        if low[word] + high[word] >= LEAST_TEXTS and everywhere[word] <= COMMONEST * len(responses):
            up, down = high[word] + 0.5, low[word] + 0.5
            odds[word] = np.log(up / down) / np.sqrt(1 / up + 1 / down)
    tops = sorted((w for w in odds if odds[w] >= LEAST_SIGNIFICANCE), key=lambda w: -odds[w])[:N_WORDS]
    bottoms = sorted((w for w in odds if odds[w] <= -LEAST_SIGNIFICANCE), key=lambda w: odds[w])[:N_WORDS]
    if not tops and not bottoms:
        return None
    name, opposite = (f"says {', '.join(words)}" if words else "" for words in (tops, bottoms))
    found = (name or f"not {opposite}", opposite)
    return None if taken & set(found) - {""} else found


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _examples(feature: Array, prompts: Sequence[str], responses: Sequence[str]) -> FeatureExamples:
    order = np.argsort(feature, kind="stable")

    def told(rows: NDArray[np.intp]) -> tuple[Example, ...]:
        return tuple(Example(prompts[i], responses[i], float(feature[i])) for i in rows)

    return FeatureExamples(told(order[::-1][:N_EXAMPLES]), told(order[:N_EXAMPLES]))
