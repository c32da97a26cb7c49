"""Tuning the encoder itself: RFM's likelihood (equation 7) in its weights as well, for groups with many answers.

It begins with heads learned on the encoder as it is, since random heads would spoil the encoder before they had learned
anything. What comes out is an encoder like any other, in a folder of its own: encode with it and learn base rewards on
its encodings by any method. Every step reads texts, so this wants a GPU for all but small encoders.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from prefq.errors import InputError, StorageError
from prefq.rewards.encoder_files import find_model
from prefq.rewards.encoder_loading import quiet
from prefq.rewards.encoder_tokens import Tokens
from prefq.rewards.encoders import Encoder, load_encoder
from prefq.rewards.factorization.base import Factorization, FactorizationInfo, OnStep
from prefq.rewards.factorization.descent import HEADS, USERS, Run, Tensor, Values
from prefq.rewards.factorization.rfm import RIDGE, fit_rfm, normal_priors
from prefq.rewards.factorization.training import Block, checked, nats, unit_of
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array

ENCODER_RATE = 1e-5  # a usual one to tune a language model with
HEADS_RATE, USERS_RATE = 1e-3, 1e-2  # theirs is mostly done before
BATCH = 64  # comparisons a step
MEASURED_EVERY = 20  # steps
N_STEPS = 500
MAX_SLOPE = 1.0  # norm to which the encoder's slopes are cut, so that no batch can throw it far
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
    StorageError
        When the encoder cannot be written.
    """
    import torch

    if Path(out).exists():
        raise InputError(f"folder {str(out)!r} is there already; give a new one for the tuned encoder.")
    encoder = load_encoder(
        name, device=device, dtype="float32", pooling=pooling, reads=reads, batch_tokens=batch_tokens
    )
    encodings = encoder.encode(prompts, responses).encodings
    validation = checked(encodings, group, n_features, validation)
    start = fit_rfm(encodings, group, n_features, rng=rng, validation=validation, ridge=ridge, on_step=on_step)
    tuning = _Tuning(encoder, encoder.reader.read(prompts, responses)[0], start, unit_of(encodings, group), n_layers)
    penalty = normal_priors(ridge, encoder.n_dims, group.n_comparisons)
    rates = {"encoder": rate, HEADS: HEADS_RATE, USERS: USERS_RATE}
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(int(rng.integers(2**63)))
        run = _descend(tuning, group, validation, penalty, rates, _batches(group, batch, rng), n_steps, on_step)
    tuning.put(run.best)
    _save(encoder.network.model, find_model(name).path, Path(out))
    found = Factorization(*tuning.learned(group), _info(run, n_steps))
    return TunedEncoder(Path(out), encoder.network.pooling, reads, found)


class _Tuning:
    """The encoder, heads in standard units and users' weights, all of which are tuned."""

    def __init__(
        self, encoder: Encoder, tokens: Sequence[Tokens], start: Factorization, unit: float, n_layers: int | None
    ) -> None:
        import torch

        model = encoder.network.model
        self.encoder, self._tokens, self._unit = encoder, tokens, unit
        users = np.nan_to_num(start.coefficients)
        arrays = {HEADS: start.heads * unit, USERS: users}
        tensors = {name: torch.from_numpy(array.astype(np.float32)).to(model.device) for name, array in arrays.items()}
        self.values: Values = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
        tuned = list(model.parameters()) if n_layers is None else _last_layers(model, n_layers)
        model.requires_grad_(False)
        for each in tuned:
            each.requires_grad_(True)
        self.weights = [each for each in tuned if each.is_floating_point()]

    def loss(self, group: GroupComparisons) -> Tensor:
        """Summed loss of comparisons that are read at once, in nats."""
        import torch

        items, places = np.unique(group.pairs, return_inverse=True)
        encodings = self.encoder.network.pooled([self._tokens[item] for item in items]) / self._unit
        first, second = torch.from_numpy(places.reshape(-1, 2).T).to(encodings.device)
        wanted = torch.from_numpy((1 + group.outcomes.astype(np.float32)) / 2).to(encodings.device)
        users = torch.from_numpy(group.users).to(encodings.device)
        return nats(Block(encodings[first] - encodings[second], wanted, users), self.values[HEADS], self.values[USERS])

    def parts(self, group: GroupComparisons) -> Iterator[GroupComparisons]:
        """Comparisons in halves of halves, until the texts of each fit into a batch of the encoder."""
        items = np.unique(group.pairs)
        n_tokens = len(items) * max(len(self._tokens[item]) for item in items)
        if n_tokens <= self.encoder.batch_tokens or group.n_comparisons == 1:
            yield group
            return
        half = group.n_comparisons // 2
        for rows in (np.arange(half), np.arange(half, group.n_comparisons)):
            yield from self.parts(group.of_rows(rows))

    def mean_loss(self, group: GroupComparisons) -> float:
        """Mean loss without dropout, in nats a comparison."""
        import torch

        self.encoder.network.model.eval()
        with torch.no_grad():
            return sum(float(self.loss(part)) for part in self.parts(group)) / group.n_comparisons

    def now(self) -> Values:
        """Copies of all that is tuned."""
        weights = {f"encoder.{i}": each for i, each in enumerate(self.weights)}
        return {name: each.detach().cpu().clone() for name, each in (weights | self.values).items()}

    def put(self, values: Values) -> None:
        """Go back to what `now` gave."""
        import torch

        with torch.no_grad():
            for i, each in enumerate(self.weights):
                each.copy_(values[f"encoder.{i}"])
            for name, value in self.values.items():
                value.copy_(values[name])
        self.encoder.network.model.eval()

    def learned(self, group: GroupComparisons) -> tuple[Array, Array]:
        """Heads (n_dims, n_features) on the encodings, and coefficients (n_users, n_features)."""
        heads, users = (self.values[name].detach().double().cpu().numpy() for name in (HEADS, USERS))
        users[np.bincount(group.users, minlength=group.n_users) == 0] = np.nan
        return heads / self._unit, users


def _descend(
    tuning: _Tuning,
    group: GroupComparisons,
    validation: GroupComparisons | None,
    penalty: Callable[[Tensor, Tensor], Tensor],
    rates: Mapping[str, float],
    batches: Iterator[GroupComparisons],
    n_steps: int,
    on_step: OnStep | None,
) -> Run:
    """Steps of AdamW until one is the last; the loss that is recorded is the mean since the measurement before."""
    import torch

    groups = [{"params": tuning.weights, "lr": rates["encoder"]}]
    groups += [{"params": [tuning.values[name]], "lr": rates[name]} for name in (HEADS, USERS)]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    run, losses = Run({}), [tuning.mean_loss(group)]
    while True:
        if run.step % MEASURED_EVERY == 0 or run.step == n_steps:
            held_out = None if validation is None else tuning.mean_loss(validation)
            run.values = tuning.now()
            run.record(float(np.mean(losses)), held_out, 0.0)
            losses = []
            if on_step is not None:
                on_step(_told(run, n_steps))
            if run.stopped(n_steps):
                return run
        batch = next(batches)
        optimiser.zero_grad()
        tuning.encoder.network.model.train()
        penalty(tuning.values[HEADS], tuning.values[USERS]).backward()
        losses.append(0.0)
        for part in tuning.parts(batch):
            loss = tuning.loss(part) / batch.n_comparisons
            loss.backward()
            losses[-1] += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(tuning.weights, MAX_SLOPE)
        optimiser.step()
        run.step += 1


def _batches(group: GroupComparisons, size: int, rng: np.random.Generator) -> Iterator[GroupComparisons]:
    """All comparisons in a random order, and again in another, so many at a time."""
    while True:
        order = rng.permutation(group.n_comparisons)
        for start in range(0, len(order), size):
            yield group.of_rows(order[start : start + size])


def _last_layers(model: Any, n_layers: int) -> list[Tensor]:
    """Weights of the last layers of a model: of its longest list of modules."""
    import torch

    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    layers: Any = max(lists, key=len, default=())
    if not 1 <= n_layers <= len(layers):
        raise InputError(f"n_layers is {n_layers} and the encoder has {len(layers)}; give 1 to as many, or None.")
    return [each for layer in list(layers)[-n_layers:] for each in layer.parameters()]


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


def _info(run: Run, n_steps: int) -> FactorizationInfo:
    losses = tuple(run.train), tuple(run.validation)
    return FactorizationInfo("rfm, encoder tuned", run.step, *losses, run.best_step, run.stopped(n_steps))


def _told(run: Run, n_steps: int) -> str:
    held_out = f", {run.validation[-1]:.4f} held out" if run.validation else ""
    return f"tuning the encoder: step {run.step} of at most {n_steps}, {run.train[-1]:.4f} nats{held_out}"
