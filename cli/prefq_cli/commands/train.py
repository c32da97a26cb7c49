"""prefq train: base rewards of a group, from its comparisons and an encoder, as a folder."""

import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.commands.data import named_pairs
from prefq_cli.exit_codes import ExitCode
from prefq_cli.outputs import ForceOption, require_free, require_writable
from prefq_cli.score_columns import column_names, tell_of_table
from prefq_cli.settings import JsonOption, PlainOption, program, read_settings
from prefq_cli.training_figure import PlotOption, draw, require_plot
from prefq_cli.training_report import people, show_report, what_tuning_did

if TYPE_CHECKING:
    from prefq.rewards.linear import LinearRewards
    from prefq.rewards.logs import TextComparisons
    from prefq.rewards.scores import ScoreRewards
    from prefq.rewards.tuning import TunedFor

AUTO, ALL, SCORES = "auto", "all", "scores"
SECONDS_BETWEEN_LINES = 5.0


def train(
    data: Annotated[Path, typer.Argument(metavar="COMPARISONS", help="What prefq data import wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the rewards go.")],
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", envvar="PREFQ_ENCODER", metavar="MODEL", help="Folder or hub name of a model."),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="bayes (ours), average, pref, rfm, lore, or scores.")
    ] = "bayes",
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            metavar="FILE",
            help="For --method scores: CSV or Parquet with prompt, response and columns of scores.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B,…", help="Of --scores; by default all other columns of numbers."),
    ] = None,
    score_error: Annotated[
        list[str] | None,
        typer.Option(
            "--score-error", metavar="COLUMN=SD", help="Standard deviation of a column's own error; again for each."
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option("--features", metavar="N", help="Base rewards, or 'auto' for as few as predict new people best."),
    ] = AUTO,
    tune_encoder: Annotated[
        str | None,
        typer.Option(
            "--tune-encoder",
            metavar="LAYERS",
            help="Tune the encoder too, by half of the people: 'all' of it, or so many of the last layers.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="FOLDER", help="Keep encodings here; by default beside COMPARISONS."),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="'auto', 'cpu' or 'cuda'.")] = AUTO,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of all draws.")] = 0,
    plot: PlotOption = None,
    force: ForceOption = False,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Learn base rewards that tell people of a log apart, and where new people start.

    How many is chosen by people who were held out, after ten of their answers. Encodings are kept, and so is what was
    learned until the rewards are written: a run that was interrupted goes on where it was. Test users of COMPARISONS
    take no part in anything but the test. With --method scores nothing is learned but where people start: base rewards
    are columns of scores that you have.

    \b
    Examples:
      prefq train comparisons --encoder ./all-MiniLM-L6-v2 --out my-rewards
      prefq train comparisons --encoder ./my-model --method rfm --features 8 --out my-rewards
      prefq train comparisons --method scores --scores judges.csv --out my-rewards
    """
    from prefq.errors import InputError
    from prefq.rewards.logs import load_comparisons
    from prefq.rewards.tuning import keep_encoder
    from prefq_cli.console import tell, write_json

    if features != AUTO and not (features.isdecimal() and int(features) > 0):
        raise InputError(f"--features is {features!r}; give a number of at least 1, or 'auto'.")
    if tune_encoder not in (None, ALL) and not (str(tune_encoder).isdecimal() and int(str(tune_encoder)) > 0):
        raise InputError(f"--tune-encoder is {tune_encoder!r}; give 'all', or a number of layers of at least 1.")
    _require_consistent(method, encoder, scores, features, columns, score_error)
    require_free(out, force=force)
    require_writable(out)
    require_plot(plot, force=force)
    settings = read_settings(plain=plain, as_json=as_json)
    comparisons = load_comparisons(data)
    kept, parts = cache or data.with_name(data.name + "-encodings"), out.with_name(out.name + ".parts")
    rewards: LinearRewards | ScoreRewards
    tuned: TunedFor | None = None
    try:
        if scores is not None:
            rewards = _of_scores(comparisons, scores, columns, score_error, seed)
        else:
            assert encoder is not None
            n_features = None if features == AUTO else int(features)
            if tune_encoder is not None:
                tuned = _tuned(comparisons, encoder, device, tune_encoder, n_features, parts, seed)
            rewards = _learned(comparisons, tuned or encoder, out, device, method, n_features, kept, parts, seed)
    except KeyboardInterrupt:
        tell(_interrupted(kept, parts) if scores is None else "Interrupted: nothing was written.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if tuned is not None:
        keep_encoder(tuned, out)
    rewards.save(out)
    shutil.rmtree(parts, ignore_errors=True)
    if rewards.report["n_users"] == 1:
        tell("Warning: all comparisons are of one person; where other people start cannot be told from them.")
    if as_json:
        space = rewards.feature_space
        named = {"rewards": str(out), "names": space.names, "opposites": space.opposites}
        write_json({**named, **rewards.report})
    else:
        show_report(rewards.report, settings)
    draw(rewards.report, plot)
    tell(f"Wrote {out}. Look at them: {program()} rewards show {shlex.quote(str(out))}")


def _require_consistent(
    method: str,
    encoder: str | None,
    scores: Path | None,
    features: str,
    columns: str | None,
    score_error: list[str] | None,
) -> None:
    """Raise InputError unless the method has what it needs, and nothing else is given."""
    from prefq.errors import InputError
    from prefq.rewards.learning import METHODS

    if method == SCORES:
        if scores is None:
            raise InputError("--method scores needs --scores FILE, a table with the scores of each response.")
        if encoder is not None and "PREFQ_ENCODER" not in os.environ:
            raise InputError("--encoder is for methods that read texts, and --method scores reads none; leave it out.")
        if features != AUTO:
            raise InputError("--features is for methods that learn; with --method scores name columns by --columns.")
        return
    if method not in METHODS:
        raise InputError(f"--method is {method!r}; give one of {', '.join(METHODS)} or {SCORES}.")
    if encoder is None:
        raise InputError(f"--method {method} needs --encoder MODEL, the folder or hub name of a model.")
    if scores is not None or columns is not None or score_error:
        raise InputError(f"--scores, --columns and --score-error are for --method scores, and it is {method!r}.")


def _tuned(
    comparisons: "TextComparisons",
    encoder: str,
    device: str,
    layers: str,
    n_features: int | None,
    parts: Path,
    seed: int,
) -> "TunedFor":
    from prefq.rewards.tuning import tune_for
    from prefq_cli.console import tell

    n_layers = None if layers == ALL else int(layers)
    options: Any = {"n_layers": n_layers, "n_features": n_features, "seed": seed, "device": device}
    tuned = tune_for(comparisons, encoder, work=parts, on_step=_teller(), **options)
    tell(
        f"The encoder was tuned to {people(tuned.facts['n_users'])}, who take no part in what follows; "
        f"{what_tuning_did(tuned.facts)}."
    )
    return tuned


def _learned(
    comparisons: "TextComparisons",
    encoder: "str | TunedFor",
    out: Path,
    device: str,
    method: str,
    n_features: int | None,
    kept: Path,
    parts: Path,
    seed: int,
) -> "LinearRewards":
    from prefq.rewards.encoders import load_encoder
    from prefq.rewards.train import train_rewards
    from prefq.rewards.tuning import ENCODER
    from prefq_cli.console import tell

    if isinstance(encoder, str):
        loaded, place, without = load_encoder(encoder, device=device), encoder, None
    else:
        loaded = load_encoder(encoder.folder, device=device, pooling=encoder.pooling)
        place, without = str(out / ENCODER), encoder.users
    tell(loaded.description)
    rewards = train_rewards(
        comparisons,
        loaded,
        place=place,
        method=method,
        n_features=n_features,
        cache=kept,
        checkpoints=parts,
        without=without,
        seed=seed,
        on_step=_teller(),
        on_progress=_counter(),
    )
    return rewards if isinstance(encoder, str) else replace(rewards, report={**rewards.report, "tuned": encoder.facts})


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


def _interrupted(kept: Path, parts: Path) -> str:
    """What there is to go on from."""
    encoded = f"encodings that were written are kept in {kept}" if kept.exists() else ""
    learned = f"what was learned is kept in {parts}" if any(parts.rglob("*.safetensors")) else ""
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
