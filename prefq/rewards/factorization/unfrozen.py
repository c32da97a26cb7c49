"""Tuning the encoder itself: RFM's likelihood (equation 7) in its weights as well, for groups with many answers.

It begins with heads learned on the encoder as it is, since random heads would spoil the encoder before they had learned
anything. What comes out is an encoder like any other, in a folder of its own: encode with it and learn base rewards on
its encodings by any method. Every step reads texts, so this wants a GPU for all but small encoders.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from prefq.errors import InputError, StorageError
from prefq.rewards.encoder_files import find_model
from prefq.rewards.encoder_loading import quiet
from prefq.rewards.encoders import load_encoder
from prefq.rewards.encoding_cache import encode_items
from prefq.rewards.factorization.base import Factorization, FactorizationInfo, OnStep, silent
from prefq.rewards.factorization.checkpoints import Checkpoint
from prefq.rewards.factorization.descent import HEADS, USERS, Run, Values, descend, joint_step
from prefq.rewards.factorization.rfm import RIDGE, fit_rfm, normal_priors
from prefq.rewards.factorization.training import checked, unit_of
from prefq.rewards.factorization.tunable import Tunable
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import digest_of

ENCODER_RATE = 1e-5  # a usual one to tune a language model with
HEADS_RATE, USERS_RATE = 1e-3, 1e-2  # theirs is mostly done before
BATCH = 64  # comparisons a step
MEASURED_EVERY = 20  # steps: what an ended run repeats at most
N_STEPS = 500
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".index.json")


class TunedEncoder(NamedTuple):
    """An encoder that was tuned to a group.

    load_encoder(folder, pooling=pooling, reads=reads) loads it. learned are the heads on its encodings, the group's
    coefficients, and how it went.
    """

    folder: Path
    pooling: str
    reads: str
    learned: Factorization


def tune_encoder(
    name: str | Path,
    prompts: Sequence[str],
    responses: Sequence[str],
    group: GroupComparisons,
    n_features: int,
    *,
    out: Path,
    rng: np.random.Generator,
    validation: GroupComparisons | None = None,
    n_layers: int | None = None,
    rate: float = ENCODER_RATE,
    ridge: float = RIDGE,
    n_steps: int = N_STEPS,
    batch: int = BATCH,
    batch_tokens: int | None = None,
    device: str = "auto",
    pooling: str = "auto",
    reads: Literal["both", "response"] = "both",
    cache: str | os.PathLike[str] | None = None,
    checkpoints: Path | None = None,
    on_step: OnStep | None = None,
) -> TunedEncoder:
    """An encoder tuned to what a group prefers.

    Parameters
    ----------
    name
        A model's folder or its name on the hub, as `load_encoder` takes it.
    prompts, responses : (n_items,)
        Texts of the items.
    group
        What to learn from. A tie is half a preference each way; strengths are not read.
    n_features
        Number of base rewards.
    out
        A new folder for the tuned encoder.
    rng
        For the order of comparisons, the heads' start and dropout.
    validation
        Other comparisons of the same users, whose lowest loss decides which step is kept; without them it is the last.
    n_layers
        Only so many of the last layers are tuned; by default all weights.
    rate
        Of the encoder's weights.
    ridge
        As `fit_rfm` has it.
    n_steps
        At most.
    batch
        Comparisons whose slopes are added up for a step.
    batch_tokens
        Tokens read at once, padding included: less memory, the same steps.
    device, pooling, reads
        As `load_encoder` has them.
    cache
        Folder that keeps the encodings which heads start from, as `encode_items` has it.
    checkpoints
        A folder to keep the run in, four times what is tuned; a run that was ended goes on from its last measurement
        and comes to the same encoder.
    on_step
        Told in a few words, again and again, what is being done; may raise to end it.

    Returns
    -------
    TunedEncoder
        The best measured step.

    Raises
    ------
    InputError
        For an encoder that cannot be loaded or has fewer layers, parts that do not fit together, or a folder that is
        there already.
    MismatchError
        When the checkpoint is of another run.
    StorageError
        When the encoder cannot be written.
    """
    import torch

    if Path(out).exists():
        raise InputError(f"folder {str(out)!r} is there already; give a new one for the tuned encoder.")
    encoder = load_encoder(
        name, device=device, dtype="float32", pooling=pooling, reads=reads, batch_tokens=batch_tokens
    )
    state = rng.bit_generator.state
    encodings, _ = encode_items(encoder, prompts, responses, cache=cache)
    validation = checked(encodings, group, n_features, validation)
    begun = None if checkpoints is None else checkpoints / HEADS
    start = fit_rfm(
        encodings, group, n_features, rng=rng, validation=validation, ridge=ridge, checkpoints=begun, on_step=on_step
    )
    tuned = Tunable(encoder, encoder.reader.read(prompts, responses)[0], unit_of(encodings, group), n_layers)
    checkpoint = None
    if checkpoints is not None:
        options = [encoder.identity.key, n_features, n_layers, rate, ridge, n_steps, batch, state]
        told = json.dumps(options, sort_keys=True, default=str)
        checkpoint = Checkpoint(checkpoints, digest_of(told, *prompts, *responses, *_answers(group, validation)))
    saved = None if checkpoint is None else checkpoint.load()
    run = Run(tuned.values(start)) if saved is None else Run.of(*saved, str(encoder.network.model.device))
    penalty, losses = normal_priors(ridge, encoder.n_dims, group.n_comparisons), list[float]()
    seed, batches = int(rng.integers(2**62)), itertools.islice(_batches(group, batch, rng), run.step, None)

    def slope(values: Values, _names: object) -> tuple[float, Values]:
        torch.manual_seed(seed + run.step)  # the same dropout, whether or not the run was ended before
        loss, slopes = tuned.slopes(values, next(batches), penalty)
        losses.append(loss)
        return loss, slopes

    def measure(run: Run) -> None:
        held_out = None if validation is None else tuned.mean_loss(validation, run.values)
        run.record(float(np.mean(losses or tuned.mean_loss(group, run.values))), held_out, 0.0)
        losses.clear()

    say = on_step or silent
    say(f"tuning the encoder{f' from step {run.step} on' if run.step else ''}")
    with torch.random.fork_rng(), torch.enable_grad():
        descend(
            run,
            "tuning the encoder",
            joint_step(dict.fromkeys(tuned.weights, rate) | {HEADS: HEADS_RATE, USERS: USERS_RATE}),
            slope,
            measure,
            n_steps=n_steps,
            measured_every=MEASURED_EVERY,
            saved_every=1,
            checkpoint=checkpoint,
            on_step=say,
        )
    tuned.put(run.best)
    _save(encoder.network.model, find_model(name).path, Path(out))
    found = Factorization(*tuned.learned(run.best, group), _info(run, n_steps))
    return TunedEncoder(Path(out), encoder.network.pooling, reads, found)


def _batches(group: GroupComparisons, size: int, rng: np.random.Generator) -> Iterator[GroupComparisons]:
    """All comparisons in a random order, and again in another, so many at a time."""
    while True:
        order = rng.permutation(group.n_comparisons)
        for start in range(0, len(order), size):
            yield group.of_rows(order[start : start + size])


def _save(model: Any, source: Path, out: Path) -> None:
    """The model's weights, and all else of the folder it came from, by one rename."""
    new = out.with_name(f"{out.name}.new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(source, new, ignore=lambda _, names: [each for each in names if each.endswith(WEIGHTS)])
        with quiet():
            model.save_pretrained(new, safe_serialization=True)
        new.rename(out)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise StorageError(f"the tuned encoder cannot be written to {str(out)!r} ({error.strerror}).") from error


def _answers(*groups: GroupComparisons | None) -> Iterator[bytes]:
    """Content of the comparisons of groups."""
    for group in groups:
        if group is not None:
            yield from (np.ascontiguousarray(each).tobytes() for each in (group.pairs, group.outcomes, group.users))


def _info(run: Run, n_steps: int) -> FactorizationInfo:
    losses = tuple(run.train), tuple(run.validation)
    return FactorizationInfo("rfm, encoder tuned", run.step, *losses, run.best_step, run.stopped(n_steps))
