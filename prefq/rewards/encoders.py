"""Encoders: any transformers model as a function from prompts and responses to numbers.

Finding and checking a model's folder is in `prefq.rewards.encoder_files`, what of a text is read in
``prefq.rewards.encoder_tokens``, and encodings that are kept on disk in `prefq.rewards.encoding_cache`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.base import require_texts
from prefq.rewards.encoder_batches import FIRST, LAST, MEAN, Encodings, Network, encode_tokens, in_float32
from prefq.rewards.encoder_files import ModelFolder, find_model
from prefq.rewards.encoder_loading import (
    AUTO,
    backend_of,
    load_model,
    load_tokenizer,
    looks_back_only,
    most_tokens,
    quiet,
)
from prefq.rewards.encoder_tokens import PLAIN, RESPONSE_ONLY, Frame, TokenReader, chat_frame, token_digest
from prefq.vocabulary import digest_of, exact_fields, require_unicode

OnProgress = Callable[[int, int], None]
POOLINGS = (AUTO, MEAN, FIRST, LAST)
DTYPES = (AUTO, "float32", "bfloat16", "float16")
BOTH, RESPONSE = "both", "response"
MAX_TOKENS = 4096  # unless a caller asks for more: memory grows with it, and few responses are longer
CPU_BATCH_TOKENS = 4096  # padding included: larger batches leave a processor's caches
GPU_BATCH_TOKENS = 32768  # enough to keep a large GPU busy with a small model
TOKENISED_AT_ONCE = 1024  # texts: the next ones are read while the model is at these


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """All that decides the encoding of a text; two encoders of one identity give the same, up to round-off.

    Parameters
    ----------
    name
        What the model is called, without where it is on a machine. Decides nothing.
    digest
        SHA-256 of weights, tokenizer and settings.
    pooling
        "mean", "first" or "last".
    normalised
        Whether encodings have length 1.
    score
        Whether a reward model's score is the last dimension.
    max_tokens
        What is longer was cut.
    frame
        SHA-256 of what stands around prompt and response, a chat template say.
    dtype
        Of the model's numbers.
    """

    name: str
    digest: str
    pooling: str
    normalised: bool
    score: bool
    max_tokens: int
    frame: str
    dtype: str

    @property
    def key(self) -> str:
        """SHA-256 of all fields but the name."""
        return digest_of(*(f"{name}={value}" for name, value in asdict(self).items() if name != "name"))

    def to_dict(self) -> dict[str, Any]:
        """Fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: object) -> "EncoderIdentity":
        """From `to_dict`.

        Raises
        ------
        InputError
            When a field is missing, unknown or of another type.
        """
        found = exact_fields(fields, tuple(cls.__annotations__), "an encoder's identity")
        wrong = [name for name, kind in cls.__annotations__.items() if type(found[name]) is not kind]
        if wrong:
            raise InputError(f"{wrong[0]} of an encoder's identity is {found[wrong[0]]!r}; make the rewards again.")
        return cls(**found)


class EncodedTexts(NamedTuple):
    """Encodings and how they came about.

    Attributes
    ----------
    encodings : (n, n_dims) float32
        One row a text, in the order given.
    truncated : (n,)
        Which texts were longer than the encoder takes, and cut.
    in_float32 : (n,)
        Which texts gave no finite numbers in half precision, and were encoded again in float32.
    digests : (n,) uint64
        Digest of the tokens of each text: the encoder cannot tell texts of one digest apart.
    n_halvings
        How many times a batch was halved because memory ran out.
    """

    encodings: Encodings
    truncated: NDArray[np.bool_]
    in_float32: NDArray[np.bool_]
    digests: NDArray[np.uint64]
    n_halvings: int


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """A language model that gives each (prompt, response) its encoding; made by `load_encoder`.

    Parameters
    ----------
    identity
        What decides the encodings.
    n_dims
        Numbers in an encoding.
    description
        What was chosen, for a person.
    batch_tokens
        Tokens of a batch, padding included.
    network, reader
        The model, and what turns texts into tokens.
    """

    identity: EncoderIdentity
    n_dims: int
    description: str
    batch_tokens: int
    network: Network
    reader: TokenReader

    def encode(
        self, prompts: Sequence[str], responses: Sequence[str], *, on_progress: OnProgress | None = None
    ) -> EncodedTexts:
        """Encodings of responses to their prompts.

        A text's encoding depends on the others of its batch by round-off only: in float32 by less than 1e-5 of its
        length. Empty and very long texts have encodings like any other.

        Parameters
        ----------
        prompts, responses : (n,)
            As many of each.
        on_progress
            Told how many texts are done, and of how many.

        Raises
        ------
        InputError
            When there are not as many prompts as responses, one is no text, one alone does not fit into memory, or
            the model gives numbers that are not finite in float32.
        """
        require_encodable(prompts, responses)
        n = len(responses)
        lengths = np.array([len(p) + len(r) for p, r in zip(prompts, responses, strict=True)])
        order = np.argsort(-lengths, kind="stable")
        encodings = np.empty((n, self.n_dims), dtype=np.float32)
        truncated, digests = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.uint64)
        n_halvings = n_done = 0
        for rows, (tokens, cut) in self._read_ahead(prompts, responses, order):
            encodings[rows], halved = encode_tokens(self.network, tokens, self.batch_tokens)
            truncated[rows], digests[rows] = cut, [token_digest(row) for row in tokens]
            n_halvings, n_done = n_halvings + halved, n_done + len(rows)
            if on_progress is not None:
                on_progress(n_done, n)
        repeated = np.asarray(~np.isfinite(encodings).all(axis=1))
        if repeated.any():
            encodings[repeated] = self._again(prompts, responses, np.flatnonzero(repeated))
        return EncodedTexts(encodings, truncated, repeated, digests, n_halvings)

    def _read_ahead(
        self, prompts: Sequence[str], responses: Sequence[str], order: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], tuple[list[NDArray[np.int64]], NDArray[np.bool_]]]]:
        """Rows and their tokens, part by part; while one part is in use the next is read."""

        def read(rows: NDArray[np.int64]) -> tuple[list[NDArray[np.int64]], NDArray[np.bool_]]:
            return self.reader.read([prompts[row] for row in rows], [responses[row] for row in rows])

        parts = [order[start : start + TOKENISED_AT_ONCE] for start in range(0, len(order), TOKENISED_AT_ONCE)]
        with ThreadPoolExecutor(1) as worker:
            ahead = [worker.submit(read, rows) for rows in parts[:1]]
            for number, rows in enumerate(parts):
                ahead += [worker.submit(read, following) for following in parts[number + 1 : number + 2]]
                yield rows, ahead.pop(0).result()

    def _again(self, prompts: Sequence[str], responses: Sequence[str], rows: NDArray[np.int64]) -> Encodings:
        """Encodings of some rows in float32; InputError where they are not finite even so."""
        tokens, _ = self.reader.read([prompts[row] for row in rows], [responses[row] for row in rows])
        with in_float32(self.network.model):
            found, _ = encode_tokens(self.network, tokens, self.batch_tokens)
        wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(wrong):
            raise InputError(
                f"encoder {self.identity.name!r} gives numbers that are not finite for {len(wrong)} of the texts, "
                f"first text {rows[wrong[0]]} (from 0), also in float32; its weights are damaged, so fetch it again."
            )
        return found


def load_encoder(
    name: str | os.PathLike[str],
    *,
    device: str = AUTO,
    dtype: str = AUTO,
    pooling: str = AUTO,
    reads: str = BOTH,
    score: bool = False,
    max_tokens: int | None = None,
    batch_tokens: int | None = None,
) -> Encoder:
    """An encoder from a folder that a transformers model was saved in, or from the Hugging Face hub.

    Sentence encoders, decoder language models and reward models (sequence classifiers) will do. Weights are read from
    safetensors only, and no code of the model's own is run.

    Parameters
    ----------
    name
        A folder, or a name on the hub where there is no such folder.
    device
        As torch names it: "cpu", "cuda", "mps"; by default a GPU where there is one.
    dtype
        "float32", "bfloat16" or "float16"; by default float32 on CPU, and as the weights were saved elsewhere.
    pooling
        "mean" of the tokens, the "first" or the "last"; by default what a sentence encoder's files say, else the last
        token of models that look back only, the first of other classifiers, and the mean of the rest.
    reads
        "both" prompt and response, or the "response" only.
    score
        Take the score of a reward model as one more dimension.
    max_tokens
        What is longer is cut; see ``prefq.rewards.encoder_tokens``. By default what the model takes, at most 4,096.
    batch_tokens
        Tokens of a batch, padding included; by default 4,096 on CPU and 32,768 elsewhere. Where they do not fit into
        memory, batches are halved.

    Raises
    ------
    NotFoundError
        When there is no such folder or model.
    InputError
        When the model cannot be used, or an option is not one.
    StorageError
        When a file cannot be read.
    """
    _check_options(dtype, pooling, reads, max_tokens, batch_tokens)
    folder = find_model(name)
    with quiet():
        tokenizer = load_tokenizer(folder)
        model = load_model(folder, device=device, dtype=dtype, score=score)
    looks_back = looks_back_only(model, folder.name)
    chosen = pooling if pooling != AUTO else folder.pooling or _pooling(folder, looks_back)
    frame = _frame(folder, tokenizer, looks_back, reads)
    most = most_tokens(tokenizer, model)
    if max_tokens is not None and max_tokens > most:
        raise InputError(
            f"max_tokens is {max_tokens}, and encoder {folder.name!r} takes {most}; give as many or fewer."
        )
    kept = max_tokens or min(most, folder.max_tokens or MAX_TOKENS)
    pad = next((t for t in (tokenizer.pad_token_id, tokenizer.eos_token_id) if t is not None), 0)
    blank = next((t for t in (tokenizer.bos_token_id, tokenizer.eos_token_id) if t is not None), pad)
    reader = TokenReader(backend_of(tokenizer, model, folder.name), frame, kept, blank)
    network = Network(model, chosen, folder.normalised, score, pad)
    budget = batch_tokens or (CPU_BATCH_TOKENS if model.device.type == "cpu" else GPU_BATCH_TOKENS)
    stored = str(model.dtype).removeprefix("torch.")
    identity = EncoderIdentity(folder.name, folder.digest, chosen, folder.normalised, score, kept, frame.digest, stored)
    n_dims = encode_tokens(network, reader.read([""], [""])[0], budget)[0].shape[1]
    return Encoder(identity, n_dims, _description(identity, frame, model, n_dims), budget, network, reader)


def _description(identity: EncoderIdentity, frame: Frame, model: Any, n_dims: int) -> str:
    read = "the response" if not frame.reads_prompt else "prompt and response"
    how = {MEAN: "the mean of the tokens", FIRST: "the first token", LAST: "the last token"}[identity.pooling]
    return (
        f"{n_dims} dimensions: {how}{' at length 1' * identity.normalised}{' and the score' * identity.score}; "
        f"reads {read}{'' if frame.adds_special else ' in the chat template'}, at most {identity.max_tokens} tokens; "
        f"{identity.dtype} on {model.device.type}"
    )


def _pooling(folder: ModelFolder, looks_back: bool) -> str:
    if looks_back:
        return LAST
    return FIRST if folder.architecture.endswith("ForSequenceClassification") else MEAN


def _frame(folder: ModelFolder, tokenizer: Any, looks_back: bool, reads: str) -> Frame:
    if reads == RESPONSE:
        return RESPONSE_ONLY
    is_chat = looks_back and not folder.is_sentence_encoder and tokenizer.chat_template
    return chat_frame(tokenizer, folder.name) if is_chat else PLAIN


def _check_options(dtype: str, pooling: str, reads: str, max_tokens: int | None, batch_tokens: int | None) -> None:
    options = {"dtype": (dtype, DTYPES), "pooling": (pooling, POOLINGS), "reads": (reads, (BOTH, RESPONSE))}
    for name, (value, known) in options.items():
        if value not in known:
            raise InputError(f"{name} is {value!r}; give one of {', '.join(known)}.")
    for name, number in (("max_tokens", max_tokens), ("batch_tokens", batch_tokens)):
        if number is not None and (not isinstance(number, int) or number < 1):
            raise InputError(f"{name} is {number!r}; give a whole number above 0.")


def require_encodable(prompts: Sequence[str], responses: Sequence[str]) -> None:
    """Raise InputError unless these are as many prompts as responses, all of them texts of valid Unicode."""
    require_texts(prompts, responses)
    for name, texts in (("prompts", prompts), ("responses", responses)):
        for text in texts:
            require_unicode(text, name)
