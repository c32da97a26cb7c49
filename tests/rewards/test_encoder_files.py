"""Folders of models that are refused, each in a sentence; names on the hub; options that do not fit a model."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefq.errors import InputError, NotFoundError, StorageError
from prefq.rewards.encoders import load_encoder

TinyModel = Callable[..., Path]


def changed(folder: Path, file: str, **fields: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def halved(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def without_a_layer(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def of_a_larger_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | {"id": 300, "content": "<|more|>"})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def sentence_modules(folder: Path, *kinds: str, **pooling: bool) -> None:
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": "" if kind == "Transformer" else "1"} for kind in kinds
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1").mkdir()
    (folder / "1" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (pickled, "has pickled weights; save it as safetensors"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights; save it as safetensors"),
        (halved, "weights of encoder 'tiny.*' cannot be read"),
        (without_a_layer, "lacks the weights layers.1.mlp.up_proj.weight"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
        (
            lambda folder: (folder / "tokenizer.json").write_text("{"),
            "the tokenizer of encoder 'tiny.*' cannot be read",
        ),
        (of_a_larger_vocabulary, "has tokens up to 300, and the model knows 300; it is another model's tokenizer"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json of encoder 'tiny.*' is no JSON object"),
        (lambda folder: changed(folder, "config.json", auto_map={"AutoModel": "x.Y"}), "wants to run code of its own"),
        (lambda folder: changed(folder, "tokenizer_config.json", auto_map={}), "wants to run code of its own"),
        (lambda folder: changed(folder, "config.json", is_encoder_decoder=True), "has an encoder and a decoder"),
        (
            lambda folder: changed(folder, "config.json", model_type="unheard_of"),
            "weights of encoder 'tiny.*' cannot be",
        ),
        (lambda folder: changed(folder, "config.json", hidden_size=64), "weights of encoder 'tiny.*' cannot be read"),
        (
            lambda folder: sentence_modules(folder, "Transformer", "Pooling", "Dense", pooling_mode_mean_tokens=True),
            "has modules Transformer, Pooling, Dense; only Transformer, Pooling, Normalize",
        ),
        (
            lambda folder: sentence_modules(folder, "Transformer", "Pooling", pooling_mode_max_tokens=True),
            "pools its tokens by max_tokens; this prefq knows mean, cls and lasttoken",
        ),
        (lambda folder: (folder / "modules.json").write_text("[3]"), "modules.json of encoder 'tiny.*' cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    tiny_model: TinyModel, change: Callable[[Path], None], told: str
) -> None:
    folder = tiny_model()
    change(folder)
    with pytest.raises(InputError, match=told):
        load_encoder(folder, device="cpu")


def test_a_sentence_encoders_files_say_how_it_pools(tiny_model: TinyModel) -> None:
    for mode, pooling in (("cls_token", "first"), ("lasttoken", "last")):
        folder = tiny_model(chat=True)
        sentence_modules(folder, "Transformer", "Pooling", "Normalize", **{f"pooling_mode_{mode}": True})
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 99}')
        identity = load_encoder(folder, device="cpu").identity
        assert (identity.pooling, identity.normalised, identity.max_tokens) == (pooling, True, 99)
        assert load_encoder(folder, device="cpu").reader.frame.between == "\n\n"  # it was not trained on chats


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pooling": "max"}, "pooling is 'max'; give one of auto, mean, first, last"),
        ({"dtype": "int8"}, "dtype is 'int8'; give one of auto, float32"),
        ({"reads": "prompt"}, "reads is 'prompt'; give one of both, response"),
        ({"max_tokens": 0}, "max_tokens is 0; give a whole number above 0"),
        ({"batch_tokens": 2.5}, "batch_tokens is 2.5; give a whole number"),
        ({"max_tokens": 513}, "max_tokens is 513, and encoder 'tiny.*' takes 512; give as many or fewer"),
        ({"max_tokens": 5}, "max_tokens is 5, and the frame around the texts takes 2; give at least 6"),
        ({"device": "warp"}, "device 'warp' cannot be used"),
        ({"score": True}, "lacks the weights score.weight; give a model that has them, or score=False"),
    ],
)
def test_options_that_do_not_fit_are_refused(tiny_model: TinyModel, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_encoder(tiny_model(), **({"device": "cpu"} | options))


def test_a_model_of_several_scores_has_no_score(tiny_model: TinyModel) -> None:
    folder = tiny_model("LlamaForSequenceClassification", num_labels=3)
    assert load_encoder(folder, device="cpu").n_dims == 32
    with pytest.raises(InputError, match="has 3 scores; give a model of one, or score=False"):
        load_encoder(folder, device="cpu", score=True)


def test_a_chat_template_without_the_texts_is_refused(tiny_model: TinyModel) -> None:
    folder = tiny_model(chat=True)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(InputError, match="does not write a user's and an assistant's message once each"):
        load_encoder(folder, device="cpu")
    assert load_encoder(folder, device="cpu", reads="response").n_dims == 32


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"is a file; give the folder that holds its config\.json"):
        load_encoder(tmp_path / "file")
    with pytest.raises(NotFoundError, match=r"there is no folder '.*/none'; give the folder of a model, or its name"):
        load_encoder(tmp_path / "none")
    with pytest.raises(NotFoundError, match="no model on the hub can have this name"):
        load_encoder("a name with spaces")
    for name in (None, "", "a\0b"):
        with pytest.raises(InputError, match="give a model's folder or its name on the hub"):
            load_encoder(name)  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_told(tiny_model: TinyModel) -> None:
    folder = tiny_model()
    (folder / "model.safetensors").chmod(0)
    with pytest.raises(StorageError, match="cannot be read"):
        load_encoder(folder, device="cpu")


def test_names_on_the_hub_come_from_its_cache_without_a_network(tiny_model: TinyModel, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--house--tiny" / "snapshots" / "abc"
    shutil.copytree(tiny_model(), snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    code = (
        "from prefq.rewards.encoders import load_encoder\n"
        "print(load_encoder('house/tiny', device='cpu').identity.name)\n"
        "try: load_encoder('house/other')\n"
        "except KeyError as error: print(type(error).__name__, error)\n"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "house/tiny\nNotFoundError there is no folder 'house/other', and the hub did not give a model of this name "
        "(LocalEntryNotFoundError): check the name, or where there is no network fetch it elsewhere "
        "(hf download house/other) and give its folder.\n"
    )
    assert done.stderr == ""
