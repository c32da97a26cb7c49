"""prefq bench replay: strategies put to people whose answers are on record."""

from pathlib import Path
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

SetOption = Annotated[
    str | None,
    typer.Option(
        "--set", metavar="NAME", help="cars_conjoint, llmfao or polis; with --data also prism, personalllm or rfm."
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", help="Your comparisons (Parquet); with --set, the files of a public set."),
]
FeaturesOption = Annotated[
    Path | None,
    typer.Option("--features", metavar="FILE", help="Features or texts of your items (Parquet), by item_id."),
]
DataFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--data-folder", envvar="PREFQ_DATA", metavar="DIR", help="Folder of the sets; ../shared/data by default."
    ),
]
FoldsOption = Annotated[int, typer.Option("--folds", metavar="N", help="Parts of the people, measured in turn.")]
SeedsOption = Annotated[int, typer.Option("--seeds", metavar="N", help="Times that the folds are drawn anew.")]
MinQuestionsOption = Annotated[
    int, typer.Option("--min-questions", metavar="N", help="People with fewer are left out, and counted.")
]
PairsOption = Annotated[
    str,
    typer.Option(
        "--pairs", metavar="any|once", help="Whether each vote (polis) or task can be in one question at most."
    ),
]
ApartOption = Annotated[
    str,
    typer.Option(
        "--apart", metavar="prompt|task", help="What questions and tests have not in common; prompt where it is known."
    ),
]


def replay(
    set_name: SetOption = None,
    data: DataOption = None,
    features: FeaturesOption = None,
    data_folder: DataFolderOption = None,
    questions: QuestionsOption = 20,
    folds: FoldsOption = 5,
    seeds: SeedsOption = 3,
    min_questions: MinQuestionsOption = 5,
    pairs: PairsOption = "any",
    apart: ApartOption = "prompt",
    strategies: StrategiesOption = "all",
    workers: WorkersOption = None,
    seed: SeedOption = 1,
    out: OutOption = None,
    peers: PeersOption = None,
    peer_users: PeerUsersOption = None,
    peer_worlds: PeerWorldsOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure strategies on recorded answers. Before the first and after every answer.

    A person is asked only what the record can answer, and is tested on tasks that were set aside before. The prior is
    fitted on other people.

    \b
    Examples:
      prefq bench replay --set cars_conjoint
      prefq bench replay --set polis --strategies pooled,random,information_gain --seeds 1
      prefq bench replay --data answers.parquet --features items.parquet --questions 10
    """
    from prefq_cli.bench.provenance import n_cores
    from prefq_cli.bench.replays import ReplayJob, notes_of, source_of
    from prefq_cli.bench.runs import Limits, Run
    from prefq_cli.bench.strategies import choose
    from prefq_cli.bench.tables import run_and_show

    counts = {"questions": questions, "folds": folds, "seeds": seeds, "min_questions": min_questions}
    peer_counts = {"peer_users": peer_users, "peer_worlds": peer_worlds}
    check_counts(**counts, workers=workers, **peer_counts)
    check_seed(seed)
    source = source_of(set_name, data, features, data_folder)
    job = ReplayJob(source, source.digest(), folds, seeds, questions, min_questions, seed, pairs, apart)
    chosen = choose(strategy_names(strategies), peers)
    job.check()
    unsuited = job.unsuited(chosen)
    typed = {"set": set_name, "data": data, "features": features, **counts, "pairs": pairs if pairs != "any" else None}
    typed["apart"] = apart if apart != "prompt" else None
    run_and_show(
        Run(
            job,
            [each for each in chosen if each.name not in unsuited],
            out=out or default_folder(job.command, job.name),
            n_workers=workers or n_cores(),
            command=command_line(
                job.command, {**typed, "strategies": strategies, "seed": seed, "peers": peers, **peer_counts}
            ),
            settings=read_settings(plain=plain, as_json=as_json),
            limits=Limits(peer_users, peer_worlds),
            notes=notes_of(job, unsuited),
        )
    )
