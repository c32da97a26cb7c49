"""prefq bench speed: how long the next question takes, for pools of many sizes, beside other ways to get one.

What is timed, and how, is in `prefq_cli.bench.timing`; what is made of it in `prefq_cli.bench.speed`.
"""

from pathlib import Path
from typing import Annotated

import typer

from prefq_cli.bench.options import (
    OutOption,
    PeersOption,
    SeedOption,
    check_counts,
    check_positive,
    check_seed,
    command_line,
    strategy_names,
    whole_numbers,
)
from prefq_cli.settings import JsonOption, PlainOption, read_settings

LEAST_QUESTIONS = 20  # ten are answered, and some must be left

SizesOption = Annotated[
    str, typer.Option("--questions-in-pool", metavar="N,N,…", help="Sizes of the pools, in questions.")
]
FeaturesOption = Annotated[str, typer.Option("--features", metavar="N,N,…", help="Numbers of features.")]
RepeatsOption = Annotated[
    int, typer.Option("--repeats", metavar="N", help="Most repetitions of each call; large pools get fewer.")
]
PeerNamesOption = Annotated[
    str | None,
    typer.Option("--strategies", metavar="A,B,…", help="Peers to time, or all; by default BoTorch's and PReF."),
]
LimitOption = Annotated[
    float, typer.Option("--limit", metavar="S", help="Seconds after which a peer's question is given up.")
]
MemoryOption = Annotated[
    float, typer.Option("--memory", metavar="GIB", help="A size that needs more than this is left out.")
]


def speed(
    questions_in_pool: SizesOption = "1000,10000,100000,1000000",
    features: FeaturesOption = "8,16,32,64",
    repeats: RepeatsOption = 40,
    peers: PeersOption = None,
    strategies: PeerNamesOption = None,
    limit: LimitOption = 60.0,
    memory: MemoryOption = 6.0,
    seed: SeedOption = 0,
    out: OutOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Time the next question. For pools of many sizes, beside one pass over their differences and other ways.

    Each size is measured in a fresh process with one thread, calls in turn, so that times of a size can be compared
    with one another whatever else the machine does. With --peers recipes of others are timed too.

    \b
    Examples:
      prefq bench speed
      prefq bench speed --questions-in-pool 2000 --features 12
      prefq bench speed --peers benchmarks/peers --limit 20
    """
    from prefq_cli.bench.showing import report_and_show
    from prefq_cli.bench.speed import SpeedRun, peers_to_time

    check_counts(repeats=repeats)
    check_seed(seed)
    check_positive(limit=limit, memory=memory)
    typed = {
        "questions_in_pool": questions_in_pool,
        "features": features,
        "repeats": repeats,
        "memory": memory,
        "peers": peers,
        "strategies": strategies,
    }
    run = SpeedRun(
        sizes=whole_numbers(questions_in_pool, "--questions-in-pool", least=LEAST_QUESTIONS),
        features=whole_numbers(features, "--features", least=1),
        repeats=repeats,
        peers=peers_to_time(None if strategies is None else strategy_names(strategies), peers),
        limit=limit,
        memory=memory,
        seed=seed,
        out=out or Path("bench/speed"),
        command=command_line("speed", {**typed, **({} if peers is None else {"limit": limit}), "seed": seed}),
        settings=read_settings(plain=plain, as_json=as_json),
    )
    report_and_show(run.out, run(), run.settings)
