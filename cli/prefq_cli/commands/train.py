"""prefq train: base rewards of a group, from its comparisons and an encoder, as a folder."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from prefq_cli.exit_codes import ExitCode
from prefq_cli.outputs import ForceOption, require_free, require_outside, require_writable
from prefq_cli.settings import DeviceOption, JsonOption, PlainOption, program, read_settings
from prefq_cli.training import AUTO, Places, Wishes, interrupted, save, trained
from prefq_cli.training_figure import PlotOption, draw, require_plot
from prefq_cli.training_report import show_report


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
        typer.Option("--columns", metavar="A,B,…", help="Of --scores; by default all others that look like scores."),
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
    stop_by: Annotated[
        float,
        typer.Option(
            "--stop-by",
            metavar="SHARE",
            help="Of the pairs: held out, to stop pref, rfm and lore by, and for average's ridge.",
        ),
    ] = 0.0,
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
    device: DeviceOption = AUTO,
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
    from prefq.rewards.folder import require_replaceable
    from prefq.rewards.locks import parts_of
    from prefq.rewards.logs import load_comparisons
    from prefq_cli.console import tell, write_json

    wishes = Wishes(method, encoder, features, stop_by, tune_encoder, scores, columns, score_error, device, seed)
    wishes.require_consistent()
    require_free(out, force=force)
    require_replaceable(out)
    require_outside(out, {"--encoder": encoder, "--cache": cache})
    require_writable(out)
    require_plot(plot, force=force)
    settings = read_settings(plain=plain, as_json=as_json)
    encodings = cache or data.with_name(data.name + "-encodings")
    try:
        with parts_of(out, "training") as parts:
            places = Places(encodings, parts)
            rewards, tuned = trained(load_comparisons(data), wishes, places)
            save(rewards, tuned, out)
    except KeyboardInterrupt:
        tell(interrupted(places) if scores is None else "Interrupted: nothing was written.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if rewards.report["n_users"] == 1:
        tell("Warning: all comparisons are of one person; where other people start cannot be told from them.")
    if as_json:
        space = rewards.feature_space
        write_json({"rewards": str(out), "names": space.names, "opposites": space.opposites, **rewards.report})
    else:
        show_report(rewards.report, settings)
    draw(rewards.report, plot)
    tell(f"Wrote {out}. Look at them: {program()} rewards show {shlex.quote(str(out))}")
