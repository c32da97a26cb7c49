"""Encoders: what an encoding is by other means, that it depends on its text alone, and what becomes of odd texts."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.encoders import Encoder, EncoderIdentity, load_encoder

TinyModel = Callable[..., Path]
TOLERANCE = 1e-5  # of an encoding's length: what the batch may change in float32
PROMPTS = ["How do I cut onions?", "", "Why is the sky blue? " * 9, "Hi", "Name a bird.", "How do I cut onions?"]
RESPONSES = ["Use a sharp knife.", "No.", "Air scatters blue light most. " * 8, "", "Wren 🐦, or tit.", "Ask a cook!"]


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> Encoder:
    return load_encoder(minilm_folder, device="cpu")


@pytest.fixture(scope="module")
def decoder(tiny_model: TinyModel) -> Encoder:
    return load_encoder(tiny_model(chat=True), device="cpu")


def encodings(encoder: Encoder, *texts: str) -> NDArray[np.float32]:
    return encoder.encode([""] * len(texts), list(texts)).encodings


def farthest(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest distance of a row from what is expected, in lengths of the latter."""
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


def test_a_sentence_encoder_gives_what_sentence_transformers_gives(minilm: Encoder, minilm_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(minilm_folder), device="cpu").encode(
        [f"{prompt}\n\n{response}" for prompt, response in zip(PROMPTS, RESPONSES, strict=True)],
        show_progress_bar=False,
    )
    found = minilm.encode(PROMPTS, RESPONSES)
    assert farthest(found.encodings, np.asarray(theirs)) < TOLERANCE
    assert np.linalg.norm(found.encodings, axis=1) == pytest.approx(1, abs=1e-5)
    assert not found.truncated.any()


def test_only_the_response_is_read_where_that_is_asked(minilm_folder: Path, minilm: Encoder) -> None:
    response_only = load_encoder(minilm_folder, device="cpu", reads="response")
    first, second = response_only.encode(["How?", "Quite another question"], ["Like so."] * 2).encodings
    assert np.allclose(first, second, atol=1e-6)
    assert np.allclose(first, encodings(minilm, "Like so.")[0], atol=1e-6)  # BERT reads no white space


@pytest.mark.parametrize("chat", [True, False])
def test_a_decoder_gives_the_state_of_the_last_token(tiny_model: TinyModel, chat: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_model(chat=chat)
    found = load_encoder(folder, device="cpu").encode(PROMPTS, RESPONSES).encodings
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        if chat:
            messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
            undated = tokenizer.chat_template.replace("{{ strftime_now('%d %b %Y') }}", "2024-01-01")
            text = tokenizer.apply_chat_template(messages, chat_template=undated, tokenize=False)
        else:
            text = f"{prompt}\n\n{response}"
        with torch.no_grad():
            output = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        assert np.allclose(found[row], output.hidden_states[-1][0, -1].numpy(), atol=1e-5)


def test_a_reward_models_score_is_one_more_dimension(tiny_model: TinyModel) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    for architecture, kept in (("LlamaForSequenceClassification", "last"), ("BertForSequenceClassification", "first")):
        folder = tiny_model(architecture, num_labels=1)
        encoder = load_encoder(folder, device="cpu", score=True)
        found = encoder.encode(PROMPTS, RESPONSES).encodings
        plain = load_encoder(folder, device="cpu").encode(PROMPTS, RESPONSES).encodings
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
        ids = [tokenizer(f"{p}\n\n{r}", return_tensors="pt") for p, r in zip(PROMPTS, RESPONSES, strict=True)]
        with torch.no_grad():
            scores = [float(model(**one).logits) for one in ids]
        assert encoder.identity.pooling == kept
        assert np.allclose(found[:, -1], scores, atol=1e-5)
        assert np.allclose(found[:, :-1], plain, atol=1e-5)


@pytest.mark.parametrize("name", ["minilm", "decoder"])
def test_an_encoding_does_not_depend_on_the_batch(name: str, request: pytest.FixtureRequest) -> None:
    encoder: Encoder = request.getfixturevalue(name)
    alone = np.concatenate([encoder.encode([p], [r]).encodings for p, r in zip(PROMPTS, RESPONSES, strict=True)])
    for batch_tokens in (1, 200, 100_000):
        found = replace(encoder, batch_tokens=batch_tokens).encode(PROMPTS, RESPONSES).encodings
        assert farthest(found, alone) < TOLERANCE


def test_encodings_come_in_the_order_of_the_texts(decoder: Encoder) -> None:
    order = np.random.default_rng(3).permutation(len(PROMPTS))
    found = decoder.encode(PROMPTS, RESPONSES).encodings
    shuffled = decoder.encode([PROMPTS[row] for row in order], [RESPONSES[row] for row in order]).encodings
    assert farthest(shuffled, found[order]) < TOLERANCE
    assert len(np.unique(np.round(found, 4), axis=0)) == len(PROMPTS)


def test_padding_on_the_left_or_none_at_all_changes_nothing(tiny_model: TinyModel) -> None:
    found = []
    for pad in (None, "<|end|>"):
        folder = tiny_model(pad=pad)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"padding_side": "left"}))
        found.append(load_encoder(folder, device="cpu").encode(PROMPTS, RESPONSES).encodings)
    assert farthest(found[0], found[1]) < TOLERANCE


def test_what_was_chosen_is_said(minilm: Encoder, decoder: Encoder) -> None:
    assert minilm.description == (
        "384 dimensions: the mean of the tokens at length 1; reads prompt and response, at most 256 tokens; "
        "float32 on cpu"
    )
    assert decoder.description == (
        "32 dimensions: the last token; reads prompt and response in the chat template, at most 512 tokens; "
        "float32 on cpu"
    )


def test_pooling_can_be_chosen(tiny_model: TinyModel) -> None:
    folder = tiny_model("BertModel")
    by_default, mean, first, last = (
        load_encoder(folder, device="cpu", pooling=pooling) for pooling in ("auto", "mean", "first", "last")
    )
    assert by_default.identity == mean.identity
    assert len({encoder.identity.key for encoder in (mean, first, last)}) == 3
    a, b, c = (encodings(encoder, "a cat") for encoder in (mean, first, last))
    assert not np.allclose(a, b, atol=1e-3)
    assert not np.allclose(b, c, atol=1e-3)


def test_a_template_that_writes_the_date_gives_the_same_tomorrow(decoder: Encoder) -> None:
    assert decoder.reader.frame.before == "<|start|>clock 2024-01-01<|end|>\n<|start|>user\n"
    assert decoder.reader.frame.strips


def test_an_identity_is_of_the_contents_alone(tiny_model: TinyModel) -> None:
    folder = tiny_model()
    before = load_encoder(folder, device="cpu").identity
    moved = folder.rename(folder.with_name("moved"))
    identity = load_encoder(moved, device="cpu").identity
    assert (identity.key, identity.name, identity == before) == (before.key, "moved", False)
    assert str(moved.parent) not in json.dumps(identity.to_dict())
    assert EncoderIdentity.from_dict(json.loads(json.dumps(identity.to_dict()))) == identity
    assert load_encoder(moved, device="cpu", max_tokens=64).identity.key != identity.key
    (moved / "config.json").write_text((moved / "config.json").read_text() + "\n")
    assert load_encoder(moved, device="cpu").identity.key != identity.key
    with pytest.raises(InputError, match="pooling of an encoder's identity is 3"):
        EncoderIdentity.from_dict(identity.to_dict() | {"pooling": 3})


@pytest.mark.parametrize(("prompt", "response"), [("", ""), ("x" * 1_000_000, ""), ("", "word " * 200_000)])
def test_empty_and_enormous_texts_are_encoded(minilm: Encoder, prompt: str, response: str) -> None:
    found = minilm.encode([prompt, "Hi"], [response, "there"])
    assert np.isfinite(found.encodings).all()
    assert found.truncated.tolist() == [bool(prompt or response), False]


def test_a_text_without_a_token_is_one_end_of_text(tiny_model: TinyModel) -> None:
    encoder = load_encoder(tiny_model(), device="cpu", reads="response")
    assert farthest(encodings(encoder, ""), encodings(encoder, "<|end|>")) < TOLERANCE


def test_no_text_is_no_row(minilm: Encoder) -> None:
    assert minilm.encode([], []).encodings.shape == (0, 384)


def test_progress_is_told_in_texts(decoder: Encoder) -> None:
    told: list[tuple[int, int]] = []
    decoder.encode(["a"] * 1500, ["b"] * 1500, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1024, 1500), (1500, 1500)]


@pytest.mark.parametrize(
    ("prompts", "responses", "told"),
    [
        ("one", ["a"], "are one text"),
        (["a", "b"], ["a"], "there are 2 prompts and 1 responses"),
        ([None], ["a"], "prompts hold None"),
        (["a"], ["half \ud83d"], "responses hold a text that is not valid Unicode"),
    ],
)
def test_what_is_no_text_is_refused(decoder: Encoder, prompts: Any, responses: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        decoder.encode(prompts, responses)


def hooked(encoder: Encoder, limit: int) -> Any:
    """Memory that ends at a number of tokens."""
    import torch

    def refuse(_: Any, args: Any, kwargs: Any) -> None:
        if kwargs["input_ids"].numel() > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    return encoder.network.model.register_forward_pre_hook(refuse, with_kwargs=True)


def test_a_batch_that_does_not_fit_is_halved(tiny_model: TinyModel) -> None:
    encoder = load_encoder(tiny_model(), device="cpu")
    expected = encoder.encode(PROMPTS * 5, RESPONSES * 5)
    hook = hooked(encoder, 800)
    found = encoder.encode(PROMPTS * 5, RESPONSES * 5)
    hook.remove()
    assert (expected.n_halvings, found.n_halvings) == (0, 2)
    assert farthest(found.encodings, expected.encodings) < TOLERANCE
    hook = hooked(encoder, 80)
    with pytest.raises(InputError, match=r"a text of \d+ tokens does not fit into memory; take another device"):
        encoder.encode(PROMPTS, RESPONSES)
    hook.remove()


def overflowing(model: Any) -> None:
    """States that float16 cannot hold, for some tokens only, of weights that it holds to the last digit."""
    import torch

    with torch.no_grad():
        model.model.embed_tokens.weight[::2, 0] = 6e4
        layer = model.model.layers[0].mlp
        layer.gate_proj.weight *= 10
        layer.up_proj.weight *= 10
        layer.down_proj.weight[0] *= 5e5
        for weights in model.parameters():
            weights.data = weights.data.half().float()


def test_what_overflows_in_half_precision_is_encoded_again_in_float32(tiny_model: TinyModel) -> None:
    import torch

    folder = tiny_model(change=overflowing)
    half = load_encoder(folder, device="cpu", dtype="float16")
    texts = [f"{chr(97 + k)} {k}" for k in range(26)]
    plain = half.network.pooled(half.reader.read([""] * 26, texts)[0]).detach().numpy()
    found = half.encode([""] * 26, texts)
    expected = encodings(load_encoder(folder, device="cpu"), *texts)
    assert 0 < found.in_float32.sum() < 26
    assert (found.in_float32 == ~np.isfinite(plain).all(axis=1)).all()
    assert np.isfinite(found.encodings).all()
    assert farthest(found.encodings[found.in_float32], expected[found.in_float32]) < TOLERANCE
    assert {tensor.dtype for tensor in half.network.model.parameters()} == {torch.float16}
    again = half.encode([""] * 26, texts)
    assert (again.encodings == found.encodings).all()


def test_weights_that_are_not_finite_are_said(tiny_model: TinyModel) -> None:
    def damage(model: Any) -> None:
        model.model.norm.weight.data[:] = float("nan")

    encoder = load_encoder(tiny_model(change=damage), device="cpu")
    with pytest.raises(InputError, match="not finite for 2 of the texts, first text 0"):
        encoder.encode(["a", "b"], ["c", "d"])


def test_loading_is_silent_and_leaves_settings_alone(tiny_model: TinyModel, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    folder = tiny_model()
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    encodings(load_encoder(folder, device="cpu"), "a text that is longer than usual " * 200)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def test_torch_is_loaded_with_the_first_encoder_and_not_before() -> None:
    code = "import sys, prefq.rewards.encoding_cache; print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"
