"""Tunable: an encoder whose weights are learned with the heads on it: the loss of comparisons, and its slopes.

How they are learned is in `prefq.rewards.factorization.unfrozen`, the only user.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from prefq.errors import InputError
from prefq.rewards.encoder_tokens import Tokens
from prefq.rewards.encoders import Encoder
from prefq.rewards.factorization.base import Factorization
from prefq.rewards.factorization.descent import HEADS, USERS, Tensor, Values
from prefq.rewards.factorization.training import Block, nats
from prefq.rewards.group import GroupComparisons
from prefq.vocabulary import Array

MAX_SLOPE = 1.0  # norm to which the encoder's slopes are cut, so that no batch can throw it far


class Tunable:
    """An encoder, of which values are its weights, heads in standard units and users' weights.

    Parameters
    ----------
    encoder
        In float32. It is changed.
    tokens : (n_items,)
        Of the items' texts.
    unit
        By which encodings are divided.
    n_layers
        Only so many of the last layers are tuned; None for all weights.

    Raises
    ------
    InputError
        When the encoder has fewer layers.
    """

    def __init__(self, encoder: Encoder, tokens: Sequence[Tokens], unit: float, n_layers: int | None) -> None:
        model = encoder.network.model
        self.encoder, self._tokens, self._unit = encoder, tokens, unit
        tuned = list(model.parameters()) if n_layers is None else _last_layers(model, n_layers)
        tuned = [each for each in tuned if each.is_floating_point()]
        model.requires_grad_(False)
        for each in tuned:
            each.requires_grad_(True)
        self.weights = {f"encoder-{i}": each for i, each in enumerate(tuned)}

    def values(self, start: Factorization) -> Values:
        """All that is tuned, the encoder as it is."""
        import torch

        arrays = {HEADS: start.heads * self._unit, USERS: np.nan_to_num(start.coefficients)}
        device = self.encoder.network.model.device
        heads = {name: torch.from_numpy(array.astype(np.float32)).to(device) for name, array in arrays.items()}
        return {name: each.detach() for name, each in self.weights.items()} | heads

    def put(self, values: Values) -> None:
        """Give the encoder these weights."""
        for name, each in self.weights.items():
            each.data = values[name]  # which are never written to

    def slopes(
        self, values: Values, group: GroupComparisons, penalty: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[float, Values]:
        """Mean loss of some comparisons with dropout, in nats, and its slopes with those of the penalty."""
        import torch

        self.put(values)
        model, total = self.encoder.network.model.train(), 0.0
        model.zero_grad()
        leaves = {name: values[name].detach().requires_grad_() for name in (HEADS, USERS)}
        penalty(leaves[HEADS], leaves[USERS]).backward()
        for part in self.parts(group):
            loss = self.loss(part, leaves) / group.n_comparisons
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.weights.values(), MAX_SLOPE)
        unused = {name: torch.zeros_like(each) for name, each in self.weights.items() if each.grad is None}
        return total, {name: each.grad for name, each in (self.weights | leaves).items()} | unused

    def loss(self, group: GroupComparisons, values: Values) -> Tensor:
        """Summed loss of comparisons that are read at once, in nats; by the encoder as it is."""
        import torch

        items, places = np.unique(group.pairs, return_inverse=True)
        encodings = self.encoder.network.pooled([self._tokens[item] for item in items]) / self._unit
        first, second = torch.from_numpy(places.reshape(-1, 2).T).to(encodings.device)
        wanted = torch.from_numpy((1 + group.outcomes.astype(np.float32)) / 2).to(encodings.device)
        users = torch.from_numpy(group.users).to(encodings.device)
        return nats(Block(encodings[first] - encodings[second], wanted, users), values[HEADS], values[USERS])

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

    def mean_loss(self, group: GroupComparisons, values: Values) -> float:
        """Mean loss without dropout, in nats a comparison."""
        import torch

        self.put(values)
        self.encoder.network.model.eval()
        with torch.no_grad():
            return sum(float(self.loss(part, values)) for part in self.parts(group)) / group.n_comparisons

    def learned(self, values: Values, group: GroupComparisons) -> tuple[Array, Array]:
        """Heads (n_dims, n_features) on the encodings, and coefficients (n_users, n_features)."""
        heads, users = (values[name].double().cpu().numpy() for name in (HEADS, USERS))
        users[np.bincount(group.users, minlength=group.n_users) == 0] = np.nan
        return heads / self._unit, users


def _last_layers(model: Any, n_layers: int) -> list[Tensor]:
    """Weights of the last layers of a model: of its longest list of modules."""
    import torch

    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    layers: Any = max(lists, key=len, default=())
    if not 1 <= n_layers <= len(layers):
        raise InputError(f"n_layers is {n_layers} and the encoder has {len(layers)}; give 1 to as many, or None.")
    return [each for layer in list(layers)[-n_layers:] for each in layer.parameters()]
