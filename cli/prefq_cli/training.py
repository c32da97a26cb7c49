"""How the rewards of prefq train come about: what its options ask for, and who is told of what is being done."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prefq_cli.commands.data import named_pairs
from prefq_cli.score_columns import column_names, tell_of_table
from prefq_cli.settings import SECONDS_BETWEEN_LINES
from prefq_cli.training_report import people, what_tuning_did

if TYPE_CHECKING:
    from prefq.rewards.linear import LinearRewards
    from prefq.rewards.logs import TextComparisons
    from prefq.rewards.scores import ScoreRewards
    from prefq.rewards.tuning import TunedFor

AUTO, ALL, SCORES = "auto", "all", "scores"


class Places(NamedTuple):
    """Folders: of encodings, and of what is kept until the rewards are written."""

    encodings: Path
    parts: Path


class Wishes(NamedTuple):
    """What the options ask for, as they were given."""

    method: str
    encoder: str | None
    features: str
    stop_by: float
    tune_encoder: str | None
    scores: Path | None
    columns: str | None
    score_error: list[str] | None
    device: str
    seed: int

    @property
    def n_features(self) -> int | None:
        """How many base rewards, None for as few as are good."""
        return None if self.features == AUTO else int(self.features)

    def require_consistent(self) -> None:
        """Raise InputError unless each says something, and the method has what it needs and nothing else."""
        from prefq.errors import InputError
        from prefq.rewards.learning import METHODS, MOST_HELD_OUT, UNSTOPPED

        if self.features != AUTO and not _is_count(self.features):
            raise InputError(f"--features is {self.features!r}; give a number of at least 1, or 'auto'.")
        if self.tune_encoder not in (None, ALL) and not _is_count(str(self.tune_encoder)):
            raise InputError(
                f"--tune-encoder is {self.tune_encoder!r}; give 'all', or a number of layers of at least 1."
            )
        if self.method not in (*METHODS, SCORES):
            raise InputError(f"--method is {self.method!r}; give one of {', '.join(METHODS)} or {SCORES}.")
        if self.stop_by and self.method in (*UNSTOPPED, SCORES):
            raise InputError(f"--stop-by is for methods that can be stopped, and {self.method!r} cannot; leave it out.")
        if not 0 <= self.stop_by <= MOST_HELD_OUT:
            raise InputError(f"--stop-by is {self.stop_by:g}; give a share of the pairs, at most {MOST_HELD_OUT}.")
        if self.method == SCORES:
            self._require_for_scores()
        elif self.encoder is None:
            raise InputError(f"--method {self.method} needs --encoder MODEL, the folder or hub name of a model.")
        elif self.scores is not None or self.columns is not None or self.score_error:
            raise InputError(
                f"--scores, --columns and --score-error are for --method scores, and it is {self.method!r}; leave them "
                "out."
            )

    def _require_for_scores(self) -> None:
        from prefq.errors import InputError

        if self.scores is None:
            raise InputError("--method scores needs --scores FILE, a table with the scores of each response.")
        if (self.encoder is not None and "PREFQ_ENCODER" not in os.environ) or self.tune_encoder is not None:
            name = "--encoder" if self.tune_encoder is None else "--tune-encoder"
            raise InputError(f"{name} is for methods that read texts, and --method scores reads none; leave it out.")
        if self.features != AUTO:
            raise InputError("--features is for methods that learn; with --method scores name columns by --columns.")


def trained(
    comparisons: "TextComparisons", wishes: Wishes, places: Places
) -> "tuple[LinearRewards | ScoreRewards, TunedFor | None]":
    """The rewards, and the encoder that was tuned for them, where one was."""
    if wishes.scores is not None:
        return _of_scores(comparisons, wishes.scores, wishes.columns, wishes.score_error, wishes.seed), None
    tuned = None if wishes.tune_encoder is None else _tuned(comparisons, wishes, places)
    return _learned(comparisons, wishes, places, tuned), tuned


def save(rewards: "LinearRewards | ScoreRewards", tuned: "TunedFor | None", out: Path) -> None:
    """Let the rewards, and the encoder that was tuned for them, take the place of those that were there."""
    from prefq.rewards.folder import replacing_rewards
    from prefq.rewards.linear import LinearRewards
    from prefq.rewards.tuning import keep_encoder

    with replacing_rewards(out) as new:
        if tuned is not None and isinstance(rewards, LinearRewards):
            rewards = keep_encoder(tuned, rewards, new)
        rewards.save(new)


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) > 0


def _tuned(comparisons: "TextComparisons", wishes: Wishes, places: Places) -> "TunedFor":
    from prefq.rewards.tuning import tune_for
    from prefq_cli.console import tell

    tuned = tune_for(
        comparisons,
        str(wishes.encoder),
        work=places.parts,
        n_layers=None if wishes.tune_encoder in (None, ALL) else int(str(wishes.tune_encoder)),
        n_features=wishes.n_features,
        seed=wishes.seed,
        device=wishes.device,
        cache=places.encodings,
        on_step=_teller(),
    )
    tell(
        f"The encoder was tuned to {people(tuned.facts['n_users'])}, who take no part in what follows; "
        f"{what_tuning_did(tuned.facts)}."
    )
    return tuned


def _learned(
    comparisons: "TextComparisons", wishes: Wishes, places: Places, tuned: "TunedFor | None"
) -> "LinearRewards":
    from prefq.rewards.encoders import load_encoder
    from prefq.rewards.train import train_rewards
    from prefq_cli.console import tell

    if tuned is None:
        loaded, place = load_encoder(str(wishes.encoder), device=wishes.device), str(wishes.encoder)
    else:
        loaded = load_encoder(tuned.folder, device=wishes.device, pooling=tuned.pooling)
        place = str(tuned.folder)
    tell(loaded.description)
    rewards = train_rewards(
        comparisons,
        loaded,
        place=place,
        method=wishes.method,
        n_features=wishes.n_features,
        stop_by=wishes.stop_by,
        cache=places.encodings,
        checkpoints=places.parts,
        without=None if tuned is None else tuned.users,
        seed=wishes.seed,
        on_step=_teller(),
        on_progress=_counter(),
    )
    return rewards if tuned is None else replace(rewards, report={**rewards.report, "tuned": tuned.facts})


def _of_scores(
    comparisons: "TextComparisons", file: Path, columns: str | None, score_error: list[str] | None, seed: int
) -> "ScoreRewards":
    from prefq.errors import InputError
    from prefq.rewards.score_tables import read_scores
    from prefq.rewards.train_scores import train_scores
    from prefq_cli.console import tell

    errors: dict[str, float] = {}
    for name, sd in named_pairs(score_error, "--score-error", "COLUMN=SD").items():
        try:
            errors[name] = float(sd)
        except ValueError:
            raise InputError(f"--score-error is '{name}={sd}'; give a column and a number, COLUMN=SD.") from None
    table = read_scores(file, columns=column_names(columns, "--columns"))
    tell_of_table(table)
    rewards = train_scores(comparisons, table, error_sds=errors, seed=seed, on_step=_teller())
    if left_out := rewards.report["n_left_out"]:
        tell(f"{left_out:,} comparisons are of responses that {file.name} does not score, and were left out.")
    return rewards


def interrupted(places: Places) -> str:
    """What there is to go on from."""
    encoded = f"encodings that were written are kept in {places.encodings}" if places.encodings.exists() else ""
    learned = f"what was learned is kept in {places.parts}" if any(places.parts.rglob("*.safetensors")) else ""
    if not encoded + learned:
        return "Interrupted: nothing had been made yet that could be kept."
    return f"Interrupted: {' and '.join(filter(None, (encoded, learned)))}; the same command goes on from there."


def _teller() -> Callable[[str], None]:
    """Says on standard error what is being done: each thing once, steps of a search now and then."""
    from prefq_cli.console import tell

    last, at = "", 0.0

    def on_step(what: str) -> None:
        nonlocal last, at
        kind, now = what.split(":")[0], time.monotonic()
        if kind != last or now - at > SECONDS_BETWEEN_LINES:
            last, at = kind, now
            tell(f"{what[0].upper()}{what[1:].rstrip('.')} …")

    return on_step


def _counter() -> Callable[[int, int], None]:
    """Says on standard error how many texts are encoded, at what rate, and how long it will take."""
    from prefq_cli.console import tell

    began = at = time.monotonic()
    first: int | None = None

    def on_progress(done: int, of: int) -> None:
        nonlocal at, first
        first, now = done if first is None else first, time.monotonic()
        if now - at > SECONDS_BETWEEN_LINES:
            at, rate = now, (done - first) / (now - began)
            how = f", {rate:.0f} a second, {(of - done) / rate:.0f} s left" if rate > 0 else ""
            tell(f"{done:,} of {of:,} texts encoded{how} …")

    return on_progress
