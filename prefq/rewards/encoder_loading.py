"""A model and its tokenizer, loaded from a checked folder, and what has to be found out about them.

Only `prefq.rewards.encoders` uses this; the checks of the folder are in `prefq.rewards.encoder_files`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefq.errors import InputError
from prefq.rewards.encoder_batches import in_float32
from prefq.rewards.encoder_files import ModelFolder

AUTO = "auto"
LIKE = 1e-3  # of its length, by which a state may differ and be called the same


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars and notes of transformers; its settings are as they were afterwards."""
    from transformers.utils import logging as _logging

    logging: Any = _logging  # half of it is untyped
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def load_tokenizer(folder: ModelFolder) -> Any:
    """The tokenizer of a folder, of the tokenizers library; InputError where it cannot be read or is of another."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a damaged file makes of it
        raise InputError(
            f"the tokenizer of encoder {folder.name!r} cannot be read ({first_line(error)}); fetch or make it again."
        ) from error
    if not tokenizer.is_fast:
        raise InputError(f"the tokenizer of encoder {folder.name!r} is not of the tokenizers library; convert it.")
    return tokenizer


def load_model(folder: ModelFolder, *, device: str, dtype: str, score: bool) -> Any:
    """The model of a folder, in evaluation mode on its device; InputError unless all of its weights are there."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    place = _device(device)
    number = getattr(torch, "float32" if dtype == AUTO and place.type == "cpu" else dtype, AUTO)
    kind = AutoModelForSequenceClassification if score else AutoModel
    try:
        model, info = kind.from_pretrained(
            folder.path,
            dtype=number,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # whatever damaged weights or settings make of it
        raise InputError(
            f"the weights of encoder {folder.name!r} cannot be read ({first_line(error)}); fetch or make it again."
        ) from error
    missing = sorted(key for key in info["missing_keys"] if score or "pooler." not in key)
    if missing:
        raise InputError(
            f"encoder {folder.name!r} lacks the weights {missing[0]}{' and others' * (len(missing) > 1)}; "
            f"give a model that has them{', or score=False' * score}."
        )
    if score and model.config.num_labels != 1:
        raise InputError(
            f"encoder {folder.name!r} has {model.config.num_labels} scores; give a model of one, or score=False."
        )
    model.config.use_cache = False  # nothing is generated
    return model.eval().to(place)


def _device(name: str) -> Any:
    import torch

    if name == AUTO:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used ({first_line(error)}); give 'cpu' or 'auto'.") from error


def backend_of(tokenizer: Any, model: Any, name: str) -> Any:
    """The tokenizer, set to neither pad nor cut; InputError where it gives tokens that the model does not have."""
    n_known = model.get_input_embeddings().weight.shape[0]
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if not 0 <= largest < n_known:
        raise InputError(
            f"the tokenizer of encoder {name!r} has tokens up to {largest}, and the model knows {n_known}; "
            "it is another model's tokenizer, so fetch both again."
        )
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return backend


def looks_back_only(model: Any, name: str) -> bool:
    """Whether a token's state depends only on those before it: tried out, since no setting says so for all models."""
    import torch

    ids = torch.arange(2, device=model.device) + torch.tensor([[0, 0], [0, 1]], device=model.device)

    def states() -> Any:
        with torch.inference_mode():
            return model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0].float()

    try:
        first, second = found = states()
        if not found.isfinite().all():
            with in_float32(model):
                first, second = states()
    except Exception as error:  # models of images, sounds and others that read no tokens
        raise InputError(f"encoder {name!r} does not run on texts ({first_line(error)}); give another.") from error
    return bool((first - second).norm() <= LIKE * first.norm())


def most_tokens(tokenizer: Any, model: Any) -> int:
    """How many tokens the model takes: of what its settings and its tokenizer say, the least."""
    positions = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    table = next((m for name, m in model.named_modules() if name.endswith("position_embeddings")), None)
    reserved = getattr(table, "padding_idx", None)  # RoBERTa counts positions from behind its padding token
    positions -= 0 if reserved is None else reserved + 1
    return int(min(positions, tokenizer.model_max_length))


def first_line(error: Exception) -> str:
    """What another library's error says first."""
    return (str(error).splitlines() or [type(error).__name__])[0]
