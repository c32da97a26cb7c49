"""One pass of a language model over tokens: batches of like length, pooled to one encoding a text.

What the texts are is in `prefq.rewards.encoder_tokens`. Texts are padded on the right: a model that looks back only
never sees the padding, and its positions count from the first token whatever the batch.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.encoder_tokens import Tokens

Encodings = NDArray[np.float32]
MEAN, FIRST, LAST = "mean", "first", "last"
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A transformers model that gives a text's encoding.

    Parameters
    ----------
    model
        The model, in evaluation mode on its device.
    pooling
        "mean" of the tokens' last hidden states, or that of the "first" or the "last" token.
    normalised
        Whether encodings get length 1.
    score
        Whether the score of a reward model follows as one more dimension.
    pad
        The token to pad with; any will do, since padding is masked.
    """

    model: Any
    pooling: str
    normalised: bool
    score: bool
    pad: int

    def pooled(self, tokens: Sequence[Tokens]) -> Any:
        """Encodings (n, n_dims) of a batch, float32 on the model's device; with gradients where torch keeps them."""
        import torch

        device = self.model.device
        lengths = np.array([len(row) for row in tokens])
        padded = np.full((len(tokens), lengths.max()), self.pad, dtype=np.int64)
        for row, ids in enumerate(tokens):
            padded[row, : len(ids)] = ids
        ends = torch.from_numpy(lengths).to(device)
        mask = (torch.arange(padded.shape[1], device=device) < ends[:, None]).long()
        hidden, score = self._passed(torch.from_numpy(padded).to(device), mask)
        if self.pooling == MEAN:
            found = (hidden.float() * mask[..., None]).sum(1) / ends[:, None]
        else:
            found = hidden[torch.arange(len(ends)), ends - 1 if self.pooling == LAST else 0]
        if self.score and score is None:
            score = self.model.score(found)
        found = found.float()
        if self.normalised:
            found = torch.nn.functional.normalize(found)
        return torch.cat([found, score.float()], dim=1) if self.score else found

    def _passed(self, ids: Any, mask: Any) -> tuple[Any, Any]:
        """Last hidden states (n, n_tokens, n_hidden), and scores (n, 1) of models whose head is not on the last token.

        Heads called ``score`` are on the last token; which one that is they would find by its padding, so they are
        given the pooled state instead.
        """
        if not self.score:
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state, None
        if hasattr(self.model, "score"):
            return self.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state, None
        output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return output.hidden_states[-1], output.logits


def encode_tokens(network: Network, tokens: Sequence[Tokens], batch_tokens: int) -> tuple[Encodings, int]:
    """Encodings (n, n_dims) in the order of the tokens, and how many times a batch was halved for lack of memory.

    Raises
    ------
    InputError
        When one text alone does not fit into memory.
    """
    import torch

    lengths = np.array([len(row) for row in tokens])
    order = np.argsort(-lengths, kind="stable")  # the largest batch first: what does not fit shows at once
    found, start, n_halvings = [], 0, 0
    while start < len(order):
        n_rows = max(batch_tokens // int(lengths[order[start]]), 1)
        rows = order[start : start + n_rows]
        batch = _unless_out_of_memory(network, [tokens[row] for row in rows])
        if batch is not None:
            found.append(batch)
            start += len(rows)
        elif len(rows) == 1:
            raise InputError(
                f"a text of {lengths[rows[0]]} tokens does not fit into memory; take another device "
                "(--device cpu), or a smaller max_tokens."
            )
        else:
            batch_tokens = int(lengths[rows[0]]) * (len(rows) // 2)
            n_halvings += 1
    sorted_encodings = torch.cat(found).cpu().numpy()
    encodings = np.empty_like(sorted_encodings)
    encodings[order] = sorted_encodings
    return encodings, n_halvings


def _unless_out_of_memory(network: Network, tokens: Sequence[Tokens]) -> Any:
    """Encodings of a batch; None where memory ran out."""
    import torch

    try:
        with torch.inference_mode():
            return network.pooled(tokens)
    except RuntimeError as error:  # torch.OutOfMemoryError is one; on CPU and MPS only the message tells
        if OUT_OF_MEMORY not in str(error).lower() and "can't allocate memory" not in str(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """With the model's numbers in float32; they are as they were afterwards."""
    tensors = [t for t in itertools.chain(model.parameters(), model.buffers()) if t.is_floating_point()]
    dtypes = [tensor.dtype for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, dtype in zip(tensors, dtypes, strict=True):
            tensor.data = tensor.data.to(dtype)
