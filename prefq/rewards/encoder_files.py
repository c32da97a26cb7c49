"""A language model's folder: found by name, checked before anything of it is loaded, and its digest.

The models themselves are loaded in `prefq.rewards.encoders`. Weights are read from safetensors alone, and no code
that a folder brings along is ever run.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from prefq.errors import InputError, NotFoundError, StorageError
from prefq.vocabulary import digest_of

CONFIG, TOKENIZER_CONFIG, MODULES = "config.json", "tokenizer_config.json", "modules.json"
LIMITS = "sentence_bert_config.json"
TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
BESIDE = ("merges.txt", "added_tokens.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")  # of a sentence encoder; others (Dense, ...) change its output
POOLINGS = MappingProxyType(
    {
        "mean": "mean",
        "mean_tokens": "mean",
        "cls": "first",
        "cls_token": "first",
        "lasttoken": "last",
    }
)
CHUNK = 1 << 22  # bytes that are hashed at a time


class ModelFolder(NamedTuple):
    """A checked folder of a language model.

    Attributes
    ----------
    path
        Where it is on this machine.
    name
        What it is called without the way there: the last part of a folder's path, or its name on the hub.
    digest
        SHA-256 of its weights, tokenizer and settings.
    architecture
        Class of the model that was saved.
    pooling, normalised, max_tokens
        What a sentence encoder's own files say; None, False and None where they say nothing.
    is_sentence_encoder
        Whether it says how its tokens are pooled.
    """

    path: Path
    name: str
    digest: str
    architecture: str
    pooling: str | None
    normalised: bool
    max_tokens: int | None
    is_sentence_encoder: bool


def find_model(name: str | os.PathLike[str]) -> ModelFolder:
    """The folder of a model, by its path or its name on the hub, checked.

    Raises
    ------
    NotFoundError
        When there is no such folder, and no such model in the hub's cache or on the hub.
    InputError
        When the folder holds no model, pickled weights only, code of its own, or no tokenizer.
    StorageError
        When a file cannot be read.
    """
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else name
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"the encoder is {name!r}; give a model's folder or its name on the hub.")
    path = Path(text)
    if path.is_file():
        raise InputError(f"encoder {text!r} is a file; give the folder that holds its {CONFIG}.")
    folder = path if path.is_dir() else _from_hub(text)
    shown = path.resolve().name if path.is_dir() else text
    try:
        return _checked(folder, shown)
    except OSError as error:
        raise StorageError(f"encoder {text!r} cannot be read ({error.strerror or error}).") from error


def _from_hub(name: str) -> Path:
    """Where the hub's cache holds a model; fetched first where the hub can be reached."""
    missing = f"there is no folder {name!r}"
    parts = name.split("/")
    if not all(parts) or len(parts) > 2 or parts[0] in {".", "..", "~"}:
        raise NotFoundError(f"{missing}; give the folder of a model, or its name on the hub.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    files = [CONFIG, TOKENIZER_CONFIG, MODULES, LIMITS, *TOKENIZER, *BESIDE, "*.safetensors*", "*_Pooling/config.json"]
    others = ["onnx/*", "openvino/*", "original/*"]
    try:
        return Path(snapshot_download(name, allow_patterns=files, ignore_patterns=others))
    except HFValidationError:
        raise NotFoundError(f"{missing}, and no model on the hub can have this name; give one of both.") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise NotFoundError(
            f"{missing}, and the hub did not give a model of this name ({type(error).__name__}): check the name, or "
            f"where there is no network fetch it elsewhere (hf download {name}) and give its folder."
        ) from error


def _checked(folder: Path, name: str) -> ModelFolder:
    config = _object(folder, CONFIG)
    if config is None:
        raise InputError(f"encoder {name!r} has no {CONFIG}; give a folder that a transformers model was saved in.")
    tokenizer = _object(folder, TOKENIZER_CONFIG) or {}
    if "auto_map" in config or "auto_map" in tokenizer:
        raise InputError(f"encoder {name!r} wants to run code of its own, which is never done; give another model.")
    if config.get("is_encoder_decoder"):
        raise InputError(f"encoder {name!r} has an encoder and a decoder; give a model that has one of both.")
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    if not weights:
        kind = "pickled weights" if any(any(folder.glob(pattern)) for pattern in PICKLES) else "no weights"
        raise InputError(f"encoder {name!r} has {kind}; save it as safetensors (model.save_pretrained does).")
    if not any((folder / file).is_file() for file in TOKENIZER):
        raise InputError(f"encoder {name!r} has no tokenizer; save its tokenizer into the same folder.")
    pooling, normalised, pooling_file = _sentence_modules(folder, name)
    limits = _object(folder, LIMITS) or {}
    files = [CONFIG, TOKENIZER_CONFIG, MODULES, LIMITS, *TOKENIZER, *BESIDE, *pooling_file, *weights]
    architectures = config.get("architectures") or [""]
    return ModelFolder(
        folder,
        name,
        _digest(folder, files),
        str(architectures[0]),
        pooling,
        normalised,
        limits.get("max_seq_length") if pooling else None,
        pooling is not None,
    )


def _sentence_modules(folder: Path, name: str) -> tuple[str | None, bool, list[str]]:
    """Pooling, whether encodings get length 1, and the file that says so, from the modules of a sentence encoder."""
    if not (folder / MODULES).is_file():
        return None, False, []
    try:
        modules = [
            (str(module["type"]).split(".")[-1], module["path"]) for module in json.loads(_read(folder, MODULES))
        ]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{MODULES} of encoder {name!r} cannot be read; fetch or make the model again.") from None
    unknown = [kind for kind, _ in modules if kind not in KNOWN_MODULES]
    if unknown or modules[0] != ("Transformer", ""):
        raise InputError(
            f"sentence encoder {name!r} has modules {', '.join(kind for kind, _ in modules)}; "
            f"only {', '.join(KNOWN_MODULES)} of a model in the folder itself can be run, so give another encoder."
        )
    file = next((f"{path}/{CONFIG}" for kind, path in modules if kind == "Pooling"), "")
    settings = (_object(folder, file) if file else None) or {}
    modes = [
        key.removeprefix("pooling_mode_") for key, on in settings.items() if key.startswith("pooling_mode_") and on
    ]
    modes = [str(settings["pooling_mode"])] if "pooling_mode" in settings else modes
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise InputError(
            f"sentence encoder {name!r} pools its tokens by {', '.join(modes) or 'nothing'}; "
            "this prefq knows mean, cls and lasttoken, so give another encoder or remove its modules.json."
        )
    return POOLINGS[modes[0]], any(kind == "Normalize" for kind, _ in modules), [file]


def _object(folder: Path, file: str) -> Mapping[str, Any] | None:
    """A JSON object of the folder, None where there is no such file."""
    if not (folder / file).is_file():
        return None
    try:
        found = json.loads(_read(folder, file))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{file} of encoder {folder.name!r} is no JSON object; fetch or make the model again.")
    return found


def _read(folder: Path, file: str) -> bytes:
    return (folder / file).read_bytes()


def _digest(folder: Path, files: list[str]) -> str:
    """SHA-256 of names and contents of those files that there are."""
    parts = []
    for file in sorted(set(files)):
        if (folder / file).is_file():
            total = hashlib.sha256()
            with (folder / file).open("rb") as content:
                while chunk := content.read(CHUNK):
                    total.update(chunk)
            parts += [file, total.hexdigest()]
    return digest_of(*parts)
