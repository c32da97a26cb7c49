"""prefq bench learning-curve: strategies put to simulated users, question by question."""

from typing import Annotated

import typer

from prefq_cli.bench.options import (
    OutOption,
    PeersOption,
    PeerUsersOption,
    PeerWorldsOption,
    QuestionsOption,
    SeedOption,
    StrategiesOption,
    WorkersOption,
    check_counts,
    check_seed,
    command_line,
    default_folder,
    strategy_names,
)
from prefq_cli.settings import JsonOption, PlainOption, read_settings

WorldOption = Annotated[
    str, typer.Option("--world", metavar="NAME", help="Such as gaussian(6); gaussian:6 means the same.")
]
UsersOption = Annotated[int, typer.Option("--users", metavar="N", help="Users of each world.")]
WorldsOption = Annotated[int, typer.Option("--worlds", metavar="N", help="Worlds, each drawn anew.")]


def learning_curve(
    world: WorldOption = "gaussian(6)",
    users: UsersOption = 100,
    worlds: WorldsOption = 8,
    questions: QuestionsOption = 20,
    strategies: StrategiesOption = "all",
    workers: WorkersOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
    peers: PeersOption = None,
    peer_users: PeerUsersOption = None,
    peer_worlds: PeerWorldsOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure strategies on simulated users. Before the first and after every answer.

    Ctrl-C keeps what is finished, and the same command goes on from there. Another run of the same settings adds its
    strategies to the same folder.

    \b
    Examples:
      prefq bench learning-curve --world gaussian:6
      prefq bench learning-curve --worlds 4 --strategies information_gain,static,random
      prefq bench learning-curve --peers benchmarks/peers --peer-users 20 --peer-worlds 4
    """
    from prefq.simulation.synthetic import world_name
    from prefq_cli.bench.provenance import n_cores
    from prefq_cli.bench.runs import Limits, Run
    from prefq_cli.bench.strategies import choose
    from prefq_cli.bench.tables import run_and_show
    from prefq_cli.bench.worlds import WorldJob

    counts = {"users": users, "worlds": worlds, "questions": questions}
    peer_counts = {"peer_users": peer_users, "peer_worlds": peer_worlds}
    check_counts(**counts, workers=workers, **peer_counts)
    check_seed(seed)
    job = WorldJob(world_name(world), users, worlds, questions, seed)
    job.check()
    typed = {"world": job.name, **counts, "strategies": strategies, "seed": seed, "peers": peers, **peer_counts}
    run_and_show(
        Run(
            job,
            choose(strategy_names(strategies), peers),
            out=out or default_folder(job.command, job.name),
            n_workers=workers or n_cores(),
            command=command_line(job.command, typed),
            settings=read_settings(plain=plain, as_json=as_json),
            limits=Limits(peer_users, peer_worlds),
        )
    )
