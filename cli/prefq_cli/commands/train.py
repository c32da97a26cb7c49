"""prefq train: base rewards of a group, from its comparisons and an encoder, as a folder."""

import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from prefq_cli.exit_codes import ExitCode
from prefq_cli.outputs import ForceOption, require_free, require_writable
from prefq_cli.settings import JsonOption, PlainOption, program, read_settings
from prefq_cli.training_figure import PlotOption, draw, require_plot
from prefq_cli.training_report import show_report

AUTO = "auto"
SECONDS_BETWEEN_LINES = 5.0


def train(
    data: Annotated[Path, typer.Argument(metavar="COMPARISONS", help="What prefq data import wrote.")],
    encoder: Annotated[
        str,
        typer.Option("--encoder", envvar="PREFQ_ENCODER", metavar="MODEL", help="Folder or hub name of a model."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the rewards go.")],
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="bayes (ours), average, pref, rfm or lore.")
    ] = "bayes",
    features: Annotated[
        str,
        typer.Option("--features", metavar="N", help="Base rewards, or 'auto' for as few as predict new people best."),
    ] = AUTO,
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
    take no part in anything but the test.

    \b
    Examples:
      prefq train comparisons --encoder ./all-MiniLM-L6-v2 --out my-rewards
      prefq train comparisons --encoder ./my-model --method rfm --features 8 --out my-rewards
    """
    from prefq.errors import InputError
    from prefq.rewards.encoders import load_encoder
    from prefq.rewards.learning import method_of
    from prefq.rewards.logs import load_comparisons
    from prefq.rewards.train import train_rewards
    from prefq_cli.console import tell, write_json

    if features != AUTO and not (features.isdecimal() and int(features) > 0):
        raise InputError(f"--features is {features!r}; give a number of at least 1, or 'auto'.")
    method_of(method)
    require_free(out, force=force)
    require_writable(out)
    require_plot(plot, force=force)
    settings = read_settings(plain=plain, as_json=as_json)
    comparisons = load_comparisons(data)
    kept, parts = cache or data.with_name(data.name + "-encodings"), out.with_name(out.name + ".parts")
    try:
        loaded = load_encoder(encoder, device=device)
        tell(loaded.description)
        rewards = train_rewards(
            comparisons,
            loaded,
            place=encoder,
            method=method,
            n_features=None if features == AUTO else int(features),
            cache=kept,
            checkpoints=parts,
            seed=seed,
            on_step=_teller(),
            on_progress=_counter(),
        )
    except KeyboardInterrupt:
        tell(_interrupted(kept, parts))
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    rewards.save(out)
    shutil.rmtree(parts, ignore_errors=True)
    if rewards.report["n_users"] == 1:
        tell("Warning: all comparisons are of one person; where other people start cannot be told from them.")
    if as_json:
        write_json({"rewards": str(out), "names": rewards.names, "opposites": rewards.opposites, **rewards.report})
    else:
        show_report(rewards.report, settings)
    draw(rewards.report, plot)
    tell(f"Wrote {out}. Look at them: {program()} rewards show {shlex.quote(str(out))}")


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
