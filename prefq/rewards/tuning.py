"""An encoder that is tuned to the people of a log, by half of them, so that base rewards are learned from the others.

People whom an encoder was tuned to look as if it told them better apart than it does others: strengths of axes and the
number of base rewards would be too large. So half of the people to learn from tune the encoder, and take no part in
what follows. What both halves have in common is their texts: of texts that nobody compared before, test prompts tell.
How an encoder is tuned is in `prefq.rewards.factorization.unfrozen`.
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError, StorageError
from prefq.rewards.encoder_files import find_model
from prefq.rewards.factorization.base import OnStep
from prefq.rewards.factorization.unfrozen import N_STEPS, TunedEncoder, tune_encoder
from prefq.rewards.fits import held_out_pairs
from prefq.rewards.folder import ENCODER
from prefq.rewards.group import GroupComparisons, Rows
from prefq.rewards.linear import LinearRewards
from prefq.rewards.logs import TextComparisons
from prefq.vocabulary import digest_of

N_FEATURES = 8  # heads that learn along, where no number is asked for: RFM's fewest
LEAST_USERS = 10  # half of whom tune, the others fill the folds
ABOUT = "tuning.json"  # beside the weights, written last: a tuning that ended before is begun again


class TunedFor(NamedTuple):
    """An encoder tuned to some of the people.

    prefq.rewards.encoders.load_encoder(folder, pooling=pooling) loads it; users (n_users,) says who it was tuned to;
    facts are those of the tuning, as JSON values.
    """

    folder: Path
    pooling: str
    users: NDArray[np.bool_]
    facts: dict[str, Any]


def tune_for(
    comparisons: TextComparisons,
    name: str,
    *,
    work: Path,
    n_layers: int | None = None,
    n_features: int | None = None,
    n_steps: int = N_STEPS,
    seed: int = 0,
    device: str = "auto",
    cache: str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> TunedFor:
    """Tune an encoder to half of the people to learn from; a tenth of their pairs say when to stop.

    Parameters
    ----------
    comparisons
        What ``prefq data import`` wrote.
    name
        A model's folder or its name on the hub.
    work
        Folder that the tuned encoder is made in; the same call finds it there again, or goes on where it was ended.
    n_layers
        Only so many of the last layers are tuned; by default all weights.
    n_features
        Base rewards that learn along; 8 by default.
    n_steps
        At most.
    seed
        Draws the half, and all else.
    device
        As `load_encoder` has it.
    cache
        Folder that keeps the encodings to begin with.
    on_step
        Told what is being done; may raise to end it.

    Raises
    ------
    InputError
        When there are fewer than ten people to learn from, or the encoder cannot be tuned.
    StorageError
        When the encoder cannot be written.
    """
    rng = np.random.default_rng(seed).spawn(1)[0]
    rows = np.union1d(comparisons.train, comparisons.validation)
    users = _half(comparisons.group, rows, rng)
    items, own = _compared(comparisons.group.of_rows(rows[users[comparisons.group.users[rows]]]).of_heard())
    prompts, responses = ([column[item] for item in items] for column in (comparisons.prompts, comparisons.responses))
    n_heads, model = n_features or N_FEATURES, find_model(name)
    answers = (each.tobytes() for each in (own.pairs, own.outcomes, own.users))
    key = digest_of(model.digest, str((n_layers, n_heads, n_steps, seed)), *prompts, *responses, *answers)
    folder = work / key[:16] / f"{model.name.rpartition('/')[2]}-tuned"
    if not (folder / ABOUT).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = held_out_pairs(own, rng)
        tuned = tune_encoder(
            name,
            prompts,
            responses,
            own.of_rows(~aside),
            n_heads,
            out=folder,
            rng=rng,
            validation=own.of_rows(aside) if aside.any() else None,
            n_layers=n_layers,
            n_steps=n_steps,
            device=device,
            cache=cache,
            checkpoints=folder.parent,
            on_step=on_step,
        )
        (folder / ABOUT).write_text(json.dumps(_facts(tuned, own, n_layers)), encoding="utf-8")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return TunedFor(folder, about.pop("pooling"), users, about)


def keep_encoder(tuned: TunedFor, rewards: LinearRewards, folder: Path) -> LinearRewards:
    """Move a tuned encoder into the folder that its rewards are to be saved in; the rewards, which find it there.

    Raises
    ------
    StorageError
        When it cannot be moved.
    """
    target = folder / ENCODER
    try:
        tuned.folder.rename(target)
    except OSError as error:
        raise StorageError(f"the tuned encoder cannot be moved to {str(target)!r} ({error.strerror}).") from error
    return replace(rewards, encoder=str(target))


def _half(group: GroupComparisons, rows: Rows, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Half of the people who made these comparisons, as a mask (n_users,)."""
    people = np.unique(group.users[rows])
    if len(people) < LEAST_USERS:
        raise InputError(
            f"there are {len(people)} people to learn from; half of them tune the encoder and the others teach base "
            f"rewards, so give at least {LEAST_USERS}, or leave the encoder as it is."
        )
    users = np.zeros(group.n_users, dtype=bool)
    users[rng.permutation(people)[: len(people) // 2]] = True
    return users


def _facts(tuned: TunedEncoder, group: GroupComparisons, n_layers: int | None) -> dict[str, Any]:
    """Of a tuning, as JSON values; losses are those of pairs held out, where there are enough."""
    info = tuned.learned.info
    losses = info.validation_losses or info.train_losses
    return {
        "pooling": tuned.pooling,
        "n_users": group.n_users,
        "n_comparisons": group.n_comparisons,
        "n_layers": n_layers,
        "n_steps": info.best_step,
        "loss_before": losses[0],
        "loss": min(losses),
    }


def _compared(group: GroupComparisons) -> tuple[list[int], GroupComparisons]:
    """Items that are compared, and the comparisons by their numbers among these."""
    items, places = np.unique(group.pairs, return_inverse=True)
    pairs = places.reshape(-1, 2).astype(np.int64)
    return items.tolist(), replace(group, pairs=pairs, prompt_codes=group.prompt_codes[items])
