"""prefq pool build: a pool of questions from texts and base rewards."""

import shlex
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prefq_cli.commands.data import named_pairs
from prefq_cli.exit_codes import ExitCode
from prefq_cli.outputs import ForceOption, require_free
from prefq_cli.settings import SECONDS_BETWEEN_LINES, DeviceOption, EncoderOption, JsonOption, program

if TYPE_CHECKING:
    from prefq.compute.blocks import MapBlocks
    from prefq.rewards.precompute import BuildReport

LOCAL, RAY = "local", "ray"


def build(
    rewards: Annotated[str, typer.Option("--rewards", metavar="R", help="'starter' (bundled) or a folder of rewards.")],
    texts: Annotated[
        Path,
        typer.Option(
            "--texts",
            metavar="T",
            help="Parquet, JSON lines or CSV with prompt and responses (a list), response_1, …, or response.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="P", help="Where the pool goes.")],
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="OURS=THEIRS", help="What a column is called in T; again for each."),
    ] = None,
    limit_pairs: Annotated[
        int | None,
        typer.Option(
            "--limit-pairs", metavar="N", min=1, help="Questions at most, the most telling; 100,000 if unset."
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="'local', one process, or 'ray', several.")
    ] = LOCAL,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Workers of --engine ray; 2 if unset.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            envvar="RAY_ADDRESS",
            metavar="ADDRESS",
            help="A running Ray cluster; without one, this machine.",
        ),
    ] = None,
    encoder: EncoderOption = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a pool of questions from prompts with responses, by base rewards.

    Each prompt has 2 to 64 responses. Repeated responses, and pairs that the rewards hardly tell apart, are dropped
    and counted. A run that was interrupted goes on where it was when the same command is given again.

    \b
    Examples:
      prefq pool build --rewards my-rewards --texts candidates.jsonl --out my-pool
      prefq pool build --rewards my-rewards --texts big.parquet --out my-pool --engine ray --workers 8
    """
    import prefq
    from prefq.rewards.precompute import LIMIT_PAIRS, build_pool
    from prefq_cli.console import tell, write_json, write_words

    map_blocks = _engine(engine, workers, address)
    require_free(out, force=force)
    try:
        pool, report = build_pool(
            prefq.load_rewards(rewards, encoder=encoder),
            texts,
            out,
            columns=named_pairs(column, "--column", "OURS=THEIRS"),
            limit_pairs=limit_pairs or LIMIT_PAIRS,
            device=device,
            map_blocks=map_blocks,
            on_progress=_teller(),
        )
    except KeyboardInterrupt:
        is_kept = f"what was computed is kept in {out}.parts" if Path(f"{out}.parts").exists() else "nothing was kept"
        tell(f"Interrupted: {is_kept}; give the same command again to go on.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        write_json({"pool": str(out), "digest": pool.digest(), **report.to_dict()})
    else:
        for sentence in _sentences(report):
            write_words(sentence)
    tell(f"Saved the pool in {out}. Begin with it: {program()} onboard --pool {shlex.quote(str(out))}")


def _engine(name: str, workers: int | None, address: str | None) -> "MapBlocks":
    from prefq.compute import local, ray
    from prefq.errors import InputError

    if name == RAY:
        return partial(ray.map_blocks, n_workers=workers or 2, address=address)
    if name != LOCAL:
        raise InputError(f"--engine is {name!r}; give 'local' or 'ray'.")
    if workers is not None:
        raise InputError(f"--workers is {workers}, and the engine 'local' is one process; say --engine ray too.")
    return local.map_blocks


def _teller() -> Callable[[int, int], None]:
    """Says on standard error how many responses have features, how fast, and how long the others will take."""
    from prefq.vocabulary import counted
    from prefq_cli.bench.progress import in_words
    from prefq_cli.console import tell

    n_before, began, told = -1, 0.0, 0.0

    def on_progress(n_done: int, n_all: int) -> None:
        nonlocal n_before, began, told
        now = time.monotonic()
        if n_before < 0:
            n_before, began, told = n_done, now, now
            kept = f", {n_done:,} of them known from before" if n_done else ""
            tell(f"Features of {counted(n_all, 'response')}{kept} …")
        elif now - told >= SECONDS_BETWEEN_LINES or n_done == n_all:
            told, rate = now, (n_done - n_before) / max(now - began, 1e-9)
            left = f", about {in_words((n_all - n_done) / rate)} left" if n_done < n_all else ""
            tell(f"{n_done:,} of {counted(n_all, 'response')}, {rate:,.3g} a second{left}")

    return on_progress


def _sentences(report: "BuildReport") -> Iterator[str]:
    """What became of texts and pairs; what there is nothing of is left out."""
    from prefq.vocabulary import counted

    texts = report.texts
    yield (
        f"{counted(texts.n_rows, 'row')} gave {counted(texts.n_prompts, 'prompt')} with "
        f"{counted(texts.n_items, 'response')}; the pool has {counted(report.n_questions, 'question')} on "
        f"{report.n_items:,} of them."
    )
    dropped = (
        (texts.n_bad_rows, "row", "without a prompt or a text"),
        (texts.n_empty, "response", "without a word"),
        (texts.n_repeated, "response", "that had been there"),
        (texts.n_beyond, "response", "beyond 64 of a prompt"),
        (texts.n_single, "prompt", "with one response"),
        (report.n_near_equal, "pair", "of responses that hardly differ"),
        (report.n_not_chosen, "pair", "less telling than others"),
    )
    if any(count for count, *_ in dropped):
        yield f"Left out: {', '.join(f'{counted(count, noun)} {which}' for count, noun, which in dropped if count)}."
    if report.n_truncated:
        yield f"Longer than the encoder takes, and cut for it: {counted(report.n_truncated, 'response')}."
    if report.n_in_float32:
        yield (
            f"Encoded in float32, as half precision gave no finite numbers: {counted(report.n_in_float32, 'response')}."
        )
