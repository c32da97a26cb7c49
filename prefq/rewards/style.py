"""StyleRewards: interpretable features of a response's style, from statistics of its text; offline and light.

The statistics are in `prefq.rewards.text_statistics`. The script that fits the bundled weights is
benchmarks/starter/build.py. A folder of these rewards, format version 1:

rewards.json   names, weights and scales, the SHA-256 of the lexicon, and a checksum over its own fields
lexicon.txt    the words that are counted, by category
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prefq.errors import InputError
from prefq.rewards.base import require_texts
from prefq.rewards.folder import MANIFEST, STYLE, read_folder, write_folder
from prefq.rewards.text_statistics import STATISTICS_VERSION, Lexicon, statistics_of
from prefq.vocabulary import Array, FeatureSpace, digest_of

FORMAT_VERSION = 1
LEXICON = "lexicon.txt"
DECIMALS = 6  # of a feature: fewer than what differs between processors and libraries, more than anyone reads
SQUASH = 2.0  # standard deviations up to which a statistic counts almost in proportion, and beyond which less and less


@dataclass(frozen=True, slots=True, eq=False)
class StyleRewards:
    """Features of a response's style; `prefq.rewards.base.BaseRewards` by statistics of its text.

    A feature is a weighted sum of standardised statistics, each squashed by 2·asinh(z / 2) so that very long or odd
    texts stay comparable. The prompt is not read. Immutable; may be shared between threads.

    Parameters
    ----------
    names, opposites : (n_features,)
        The positive and the negative pole of each axis.
    version
        Version of these rewards, free text.
    lexicon_text
        What lexicon.txt holds.
    statistics : (n_statistics,)
        Names of the statistics that have weights.
    means, scales : (n_statistics,)
        To standardise the statistics with.
    weights : (n_statistics, n_features)
        In units of a feature per (squashed) standard deviation of a statistic.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, scales that are not positive, statistics that are not computed
        here, or a lexicon that cannot be parsed.

    Examples
    --------
    >>> import prefq
    >>> rewards = prefq.load_rewards("starter")
    >>> rewards.feature_space.names[:3]
    ('thorough', 'formal', 'technical')
    >>> casual, formal = rewards.features(["How?"] * 2, ["Just chuck it in, mate.", "Kindly consult the manual."])[:, 1]
    >>> bool(casual < formal)
    True
    """

    names: tuple[str, ...]
    opposites: tuple[str, ...]
    version: str
    lexicon_text: str
    statistics: tuple[str, ...]
    means: Array
    scales: Array
    weights: Array
    _lexicon: Lexicon = field(init=False, repr=False)
    _feature_space: FeatureSpace = field(init=False, repr=False)

    def __post_init__(self) -> None:
        n, d = len(self.statistics), len(self.names)
        shapes: dict[str, tuple[int, ...]] = {"means": (n,), "scales": (n,), "weights": (n, d)}
        for name, shape in shapes.items():
            object.__setattr__(self, name, _checked(getattr(self, name), name, shape))
        if not (self.scales > 0).all():
            raise InputError("scales hold a value that is not positive; each statistic needs a positive scale.")
        lexicon = Lexicon.parse(self.lexicon_text)
        unknown = sorted(set(self.statistics) - set(statistics_of("", lexicon)))
        if unknown:
            raise InputError(
                f"statistic {unknown[0]!r} is not one that this prefq computes; install the prefq it is of."
            )
        arrays = [self.means.tobytes(), self.scales.tobytes(), self.weights.tobytes()]
        words = (*self.names, self.version, str(STATISTICS_VERSION), self.lexicon_text, *self.statistics)
        space = FeatureSpace(self.names, self.version, digest_of(*words, *arrays), self.opposites)
        object.__setattr__(self, "_lexicon", lexicon)
        object.__setattr__(self, "_feature_space", space)

    @property
    def feature_space(self) -> FeatureSpace:
        """Names, version, opposites, and a digest of all that decides the features."""
        return self._feature_space

    def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        """Features of each response (n, n_features), about 0 and in units of a declared level; see `BaseRewards`.

        A response without words has the features of a text whose statistics are all zero.

        Raises
        ------
        InputError
            When there are not as many prompts as responses, or one is no text.
        """
        require_texts(prompts, responses)
        rows = [self._row(response) for response in responses]
        return np.array(rows, dtype=np.float64).reshape(len(responses), len(self.names))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder that `prefq.load_rewards` reads; the manifest last.

        Raises
        ------
        StorageError
            When the folder cannot be written.
        """
        fields = {
            "kind": STYLE,
            "format_version": FORMAT_VERSION,
            "statistics_version": STATISTICS_VERSION,
            "names": self.names,
            "opposites": self.opposites,
            "version": self.version,
            "digest": self.feature_space.digest,
            "statistics": self.statistics,
            "means": self.means.tolist(),
            "scales": self.scales.tolist(),
            "weights": self.weights.tolist(),
        }
        write_folder(folder, fields, {LEXICON: self.lexicon_text.encode()})

    def _row(self, response: str) -> Array:
        """Features of one response (n_features,); by itself, so that no other text can change its round-off."""
        values = statistics_of(response, self._lexicon)
        z = (np.array([values[name] for name in self.statistics]) - self.means) / self.scales
        return np.asarray(np.round((squash(z)[:, None] * self.weights).sum(axis=0), DECIMALS))


def squash(z: Array) -> Array:
    """Standardised statistics, near the identity for small ones and growing like a logarithm for large ones."""
    return np.asarray(SQUASH * np.arcsinh(z / SQUASH))


def load_style_rewards(folder: Path) -> StyleRewards:
    """Rewards from the folder that `StyleRewards.save` wrote, everything checked against its SHA-256.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When it is no folder of rewards, is incomplete, was changed, or was written by a newer prefq.
    StorageError
        When a file cannot be read.
    """
    versions = {"format_version": FORMAT_VERSION, "statistics_version": STATISTICS_VERSION}
    manifest, contents = read_folder(folder, STYLE, versions, (LEXICON,))
    try:
        names, opposites, statistics = (tuple(manifest[key]) for key in ("names", "opposites", "statistics"))
        arrays = (manifest[key] for key in ("means", "scales", "weights"))
        rewards = StyleRewards(names, opposites, manifest["version"], contents[LEXICON].decode(), statistics, *arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the rewards in {str(folder)!r} cannot be used ({error}).") from error
    if rewards.feature_space.digest != manifest.get("digest"):
        raise InputError(
            f"the rewards in {str(folder)!r} are not what their {MANIFEST} says; fetch or make them again."
        )
    return rewards


def _checked(values: object, name: str, shape: tuple[int, ...]) -> Array:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} cannot be read as numbers; give an array of shape {shape}.") from None
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(
            f"{name} have shape {array.shape} or are not finite; expected finite numbers of shape {shape}."
        )
    array.setflags(write=False)
    return array
