"""LinearRewards: base rewards learned from a group, linear in an encoder's reading of a prompt and a response.

Learning them is in `prefq.rewards.factorization`, encoders are in `prefq.rewards.encoders`. A folder of these rewards,
format version 1:

rewards.json        names, the encoder's identity and where it was ("./…" within this folder), the prior, examples, the
                    training report, and a checksum over its own fields
heads.safetensors   mean (n_dims,) and heads (n_dims, n_features), float64
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefq.errors import InputError, MismatchError, NotFoundError
from prefq.rewards.base import require_texts
from prefq.rewards.folder import AGAIN, LINEAR, MANIFEST, json_copy, read_folder, write_folder
from prefq.vocabulary import (
    Array,
    FeatureSpace,
    PopulationPrior,
    digest_of,
    real_array,
    require_instance,
    require_text,
    text_tuple,
    tuple_of,
)

if TYPE_CHECKING:
    from prefq.rewards.encoders import Encoder, EncoderIdentity

FORMAT_VERSION = 1
HEADS = "heads.safetensors"
WITHIN = "./"  # begins the place of an encoder in the folder of its rewards
ROWS = 256  # encodings multiplied at a time, always so many: the round-off of a product depends on its shape


class Example(NamedTuple):
    """A response, what it answers, and the value of a feature of it."""

    prompt: str
    response: str
    value: float


class FeatureExamples(NamedTuple):
    """Texts that a feature separates most: those with its highest values and those with its lowest, utmost first."""

    top: tuple[Example, ...]
    bottom: tuple[Example, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LinearRewards:
    """Base rewards of a group; `prefq.rewards.base.BaseRewards` by an encoder and one linear head a feature.

    A feature is (encoding − mean) · head. Immutable; may be shared between threads. The encoder is loaded when texts
    are given for the first time, and never for encodings.

    Parameters
    ----------
    encoder_identity
        Which encoder the heads were learned on.
    encoder
        Where it is: a folder or a name, as `prefq.rewards.encoders.load_encoder` takes it.
    mean : (n_dims,)
        Encoding whose features are zero.
    heads : (n_dims, n_features)
        In units of a feature per unit of the encoding.
    names, opposites : (n_features,)
        Words for the positive and the negative pole of each feature; opposites may be left out, all or some (""). They
        are no part of the identity of the features: rewards that were renamed still fit pools and profiles from before.
    version
        Version of these rewards, free text.
    prior
        Where a new user starts, if it is known.
    examples : (n_features,)
        Texts that each feature separates most, or none at all.
    report
        How they were learned, as JSON values.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, a feature without weights, names that are not one each, or a
        report that JSON cannot hold.
    MismatchError
        When the prior is of other features.
    """

    encoder_identity: "EncoderIdentity"
    encoder: str
    mean: Array
    heads: Array
    names: tuple[str, ...]
    opposites: tuple[str, ...] = ()
    version: str = "1"
    prior: PopulationPrior | None = None
    examples: tuple[FeatureExamples, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    _feature_space: FeatureSpace = field(init=False, repr=False)
    _loaded: list["Encoder"] = field(default_factory=list, init=False, repr=False)  # a cache: none or one

    if TYPE_CHECKING:

        def __init__(
            self,
            encoder_identity: "EncoderIdentity",
            encoder: str,
            mean: ArrayLike,
            heads: ArrayLike,
            names: Iterable[str],
            opposites: Iterable[str] = (),
            version: str = "1",
            prior: PopulationPrior | None = None,
            examples: Iterable[FeatureExamples] = (),
            report: Mapping[str, Any] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        require_text(self.encoder, "encoder", min_length=1)
        mean, heads = real_array(self.mean, "mean", ndim=1), real_array(self.heads, "heads", ndim=2)
        names, opposites = text_tuple(self.names, "names"), text_tuple(self.opposites, "opposites")
        if heads.shape != (mean.size, len(names)) or not heads.size:
            raise InputError(
                f"heads have shape {heads.shape} for a mean of {mean.size} dimensions and {len(names)} names; expected "
                f"({mean.size}, {len(names)}), both at least 1."
            )
        if not heads.any(axis=0).all():
            raise InputError(f"the head of {names[int(heads.any(axis=0).argmin())]!r} is all zero; leave it out.")
        examples = tuple_of(self.examples, FeatureExamples, "examples", "FeatureExamples")
        if examples and len(examples) != len(names):
            raise InputError(f"there are examples of {len(examples)} features, not {len(names)}; give all or none.")
        digest = digest_of(LINEAR, self.encoder_identity.key, mean.tobytes(), heads.tobytes())
        space = FeatureSpace(names, self.version, digest, opposites)
        values = {"mean": mean, "heads": heads, "names": names, "opposites": opposites, "examples": examples}
        values |= {"prior": _of_space(self.prior, space), "report": json_copy(self.report), "_feature_space": space}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields and not the encoder that was loaded."""
        return type(self), tuple(getattr(self, each.name) for each in fields(self) if each.init)

    @property
    def feature_space(self) -> FeatureSpace:
        """Names, version, opposites, and a digest of encoder, mean and heads."""
        return self._feature_space

    @property
    def n_dims(self) -> int:
        """Number of dimensions of an encoding."""
        return int(self.mean.size)

    def features(self, prompts: Sequence[str], responses: Sequence[str]) -> Array:
        """Features of each response to its prompt (n, n_features); see `BaseRewards`.

        Raises
        ------
        InputError
            When there are not as many prompts as responses, one is no text, or the encoder cannot read it.
        NotFoundError
            When there is no encoder where it was.
        MismatchError
            When the encoder there is another one.
        """
        require_texts(prompts, responses)
        if not responses:
            return np.empty((0, len(self.names)))
        if not self._loaded:
            self._loaded.append(self.load_encoder())
        return self.from_encodings(self._loaded[0].encode(prompts, responses).encodings)

    def from_encodings(self, encodings: NDArray[np.floating[Any]]) -> Array:
        """Features (n, n_features) of encodings (n, n_dims); a row does not depend on the others, to the last bit.

        Raises
        ------
        InputError
            When the encodings have another shape, or hold values that are not finite.
        """
        given = np.asarray(encodings)
        if given.ndim != 2 or given.shape[1] != self.n_dims or given.dtype.kind != "f":
            raise InputError(
                f"the encodings are {given.dtype} of shape {given.shape}; expected floats, (n, {self.n_dims})."
            )
        found = np.empty((len(given), len(self.names)))
        padded = np.zeros((ROWS, self.n_dims))
        for start in range(0, len(given), ROWS):
            n = min(ROWS, len(given) - start)
            with np.errstate(all="ignore"):  # what is not finite is told of below
                np.subtract(given[start : start + n], self.mean, out=padded[:n])
                found[start : start + n] = (padded @ self.heads)[:n]
        if not np.isfinite(found).all():
            row = int(np.isfinite(found).all(axis=1).argmin())
            raise InputError(f"the features of row {row} are not finite; encode its text again in float32.")
        return found

    def load_encoder(self, *, device: str = "auto") -> "Encoder":
        """The encoder of these rewards, checked to be the one they were learned on.

        Raises
        ------
        NotFoundError, InputError, StorageError
            When it is not where it was, or cannot be used.
        MismatchError
            When it is another one.
        """
        from prefq.rewards.encoder_files import find_model
        from prefq.rewards.encoder_tokens import RESPONSE_ONLY
        from prefq.rewards.encoders import BOTH, RESPONSE, load_encoder

        wanted = self.encoder_identity
        try:
            found = load_encoder(
                self.encoder,
                device=device,
                dtype=wanted.dtype,
                pooling=wanted.pooling,
                reads=RESPONSE if wanted.frame == RESPONSE_ONLY.digest else BOTH,
                score=wanted.score,
                max_tokens=wanted.max_tokens,
            )
        except NotFoundError as error:
            raise NotFoundError(
                f"the encoder of these rewards is not at {self.encoder!r}; give its place with encoder= or --encoder "
                f"({str(error).rstrip('.')})."
            ) from error
        except InputError as error:
            found_digest = find_model(self.encoder).digest
            if found_digest != wanted.digest:
                raise self._mismatch({"digest": found_digest}) from error
            raise
        if found.identity.key != wanted.key:
            raise self._mismatch(found.identity.to_dict())
        return found

    def renamed(self, names: Mapping[str, str], opposites: Mapping[str, str] = MappingProxyType({})) -> "LinearRewards":
        """The same rewards with other names, and perhaps other opposites, for some features.

        Parameters
        ----------
        names
            New names by old ones.
        opposites
            New opposites by old names.

        Raises
        ------
        NotFoundError
            When there is no feature of an old name.
        InputError
            When two features or poles would have one name, or it is no name.
        """
        unknown = [name for name in (*names, *opposites) if name not in self.names]
        if unknown:
            raise NotFoundError(f"there is no feature {unknown[0]!r}; there are {', '.join(self.names)}.")
        known = dict(zip(self.names, self.opposites or ("",) * len(self.names), strict=True)) | dict(opposites)
        others = tuple(known[name] for name in self.names)
        changed = replace(
            self,
            names=tuple(names.get(name, name) for name in self.names),
            opposites=others if any(others) else (),
        )
        words = [*changed.names, *filter(None, others)]
        repeated = [word for word in (*names.values(), *opposites.values()) if words.count(word) > 1]
        if repeated:
            raise InputError(f"{repeated[0]!r} would name two poles; give each pole of each feature a name of its own.")
        return changed

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder that `prefq.load_rewards` reads; the manifest last.

        Raises
        ------
        StorageError
            When the folder cannot be written.
        """
        from safetensors.numpy import save

        told = {
            "kind": LINEAR,
            "format_version": FORMAT_VERSION,
            "names": self.names,
            "opposites": self.opposites,
            "version": self.version,
            "digest": self.feature_space.digest,
            "encoder": _place(self.encoder, Path(folder)),
            "encoder_identity": self.encoder_identity.to_dict(),
            "prior": None if self.prior is None else self.prior.to_dict(),
            "examples": [{"top": each.top, "bottom": each.bottom} for each in self.examples],
            "report": self.report,
        }
        write_folder(folder, told, {HEADS: save({"heads": self.heads, "mean": self.mean})})

    def _mismatch(self, found: Mapping[str, Any]) -> MismatchError:
        """That the encoder found is another, and in which fields of its identity."""
        wanted = self.encoder_identity.to_dict()
        words = {"digest": "weights, tokenizer or settings"}
        differing = [words.get(name, name) for name, value in found.items() if name != "name" and value != wanted[name]]
        return MismatchError(
            f"the encoder at {self.encoder!r} is not the one that these rewards were learned on (other "
            f"{' and '.join(differing)}); give the one they were learned on with encoder= or --encoder."
        )


def load_linear_rewards(folder: Path, *, encoder: str | os.PathLike[str] | None = None) -> LinearRewards:
    """Rewards from the folder that `LinearRewards.save` wrote, everything checked against its SHA-256.

    Parameters
    ----------
    folder
        Of the rewards.
    encoder
        Where their encoder is now, if it was moved.

    Raises
    ------
    NotFoundError
        When there is no such folder.
    InputError
        When it is no folder of these rewards, is incomplete, was changed, or was written by a newer prefq.
    StorageError
        When a file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from prefq.rewards.encoders import EncoderIdentity

    manifest, contents = read_folder(folder, LINEAR, {"format_version": FORMAT_VERSION}, (HEADS,))
    try:
        arrays = load(contents[HEADS])
        prior = manifest["prior"]
        rewards = LinearRewards(
            EncoderIdentity.from_dict(manifest["encoder_identity"]),
            _found(manifest["encoder"], folder) if encoder is None else os.fspath(encoder),
            arrays["mean"],
            arrays["heads"],
            manifest["names"],
            manifest["opposites"],
            manifest["version"],
            None if prior is None else PopulationPrior.from_dict(prior),
            tuple(FeatureExamples(_examples(each["top"]), _examples(each["bottom"])) for each in manifest["examples"]),
            manifest["report"],
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"the rewards in {str(folder)!r} cannot be used ({error}); {AGAIN}.") from error
    if rewards.feature_space.digest != manifest.get("digest"):
        raise InputError(f"the rewards in {str(folder)!r} are not what their {MANIFEST} says; {AGAIN}.")
    return rewards


def _place(encoder: str, folder: Path) -> str:
    """Where an encoder is, for the manifest in this folder: what lies within moves along with it."""
    place, home = Path(encoder).resolve(), folder.resolve()
    if not place.is_dir():
        return encoder
    return f"{WITHIN}{place.relative_to(home).as_posix()}" if place.is_relative_to(home) else str(place)


def _found(encoder: str, folder: Path) -> str:
    """The encoder of a manifest in this folder, wherever that was moved to."""
    return str((folder / encoder).resolve()) if encoder.startswith(WITHIN) else encoder


def _of_space(prior: PopulationPrior | None, space: FeatureSpace) -> PopulationPrior | None:
    """The prior in words of this feature space, which it must be of."""
    if prior is None:
        return None
    require_instance(prior, PopulationPrior, "prior")
    space.require(prior.feature_space, "the prior")
    return replace(prior, feature_space=space)


def _examples(told: Sequence[Sequence[Any]]) -> tuple[Example, ...]:
    return tuple(Example(str(prompt), str(response), float(value)) for prompt, response, value in told)
