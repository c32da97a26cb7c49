"""prefq bench calibration: whether posteriors promise what comes true, on simulated users."""

from typing import Annotated

import typer

from prefq_cli.bench.options import (
    OutOption,
    SeedOption,
    WorkersOption,
    check_counts,
    check_seed,
    command_line,
    default_folder,
    whole_numbers,
)
from prefq_cli.settings import JsonOption, PlainOption, read_settings

WorldOption = Annotated[
    str, typer.Option("--world", metavar="NAME", help="Such as gaussian(6); gaussian:6 means the same.")
]
UsersOption = Annotated[int, typer.Option("--users", metavar="N", help="Users of each world.")]
WorldsOption = Annotated[int, typer.Option("--worlds", metavar="N", help="Worlds, each drawn anew.")]
AnswersOption = Annotated[
    str, typer.Option("--answers", metavar="N,N,…", help="Numbers of chosen answers after which intervals are counted.")
]
ExactOption = Annotated[
    int,
    typer.Option("--exact", metavar="N", help="Users of each world whose exact posterior is counted too, as referee."),
]
TruePriorOption = Annotated[
    bool, typer.Option("--true-prior", help="An ablation: start from the world's own population, not a fitted prior.")
]


def calibration(
    world: WorldOption = "gaussian(6)",
    users: UsersOption = 250,
    worlds: WorldsOption = 8,
    answers: AnswersOption = "3,5,10,20",
    true_prior: TruePriorOption = False,
    exact: ExactOption = 40,
    workers: WorkersOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check intervals and probabilities. How often they keep what they promise, on simulated users.

    Of expectation propagation, by which prefq chooses and tells, with whether it keeps what it must; of Laplace
    posteriors; and of the exact posterior for some. Ctrl-C keeps finished worlds, and the same
    command goes on from there.

    \b
    Examples:
      prefq bench calibration
      prefq bench calibration --world noisy:0.2 --worlds 4
      prefq bench calibration --true-prior --answers 10
    """
    from prefq.simulation.synthetic import world_name
    from prefq_cli.bench.calibrating import CalibrationRun, Worlds
    from prefq_cli.bench.calibration_goals import FITTED, TRUE
    from prefq_cli.bench.folders import USERS
    from prefq_cli.bench.provenance import n_cores
    from prefq_cli.bench.showing import report_and_show

    check_counts(users=users, worlds=worlds, workers=workers, exact=exact or None)
    check_seed(seed)
    after = tuple(sorted(whole_numbers(answers, "--answers", least=1)))
    asked = Worlds(world_name(world), users, worlds, after, TRUE if true_prior else FITTED, seed, exact)
    asked.check()
    typed = {"world": asked.name, "users": users, "worlds": worlds, "answers": answers, "exact": exact, "seed": seed}
    name = f"{asked.name}-true-prior" if true_prior else asked.name
    run = CalibrationRun(
        asked,
        n_workers=workers or n_cores(),
        out=out or default_folder("calibration", name),
        command=command_line("calibration", typed) + (" --true-prior" if true_prior else ""),
        settings=read_settings(plain=plain, as_json=as_json),
    )
    report_and_show(run.out, run(), run.settings, USERS)
