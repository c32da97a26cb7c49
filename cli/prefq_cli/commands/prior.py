"""prefq prior: fit where new users start on the answers of a group, and show it."""

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.exit_codes import ExitCode
from prefq_cli.outputs import ForceOption, require_folder, require_free, write_file
from prefq_cli.settings import JsonOption, PlainOption, Settings, StoreOption, program, read_settings

if TYPE_CHECKING:
    from prefq.inference.population import PopulationInfo
    from prefq.vocabulary import PopulationPrior, ResponseModel
    from prefq_cli.group_answers import GroupFile

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Fit and show where new users start.")

AUTO = "auto"
LEAST_ONE_SIDED = 10  # preferences, all for one side, before it is taken for more than chance
FEW_USERS = 20  # whose prior is called a guess: as many as the pooled regression counts for in its mean


@app.command()
def fit(
    answers: Annotated[
        Path | None,
        typer.Argument(
            metavar="ANSWERS",
            help="CSV, JSON lines or Parquet with user_id, choice, and question_id or difference_NAME columns.",
        ),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool",
            envvar="PREFQ_POOL",
            metavar="POOL",
            help="What question_id in ANSWERS is of: 'starter' (bundled) or a folder. Needed with question_id and with "
            "--into; 'starter' by default with --from-sessions.",
        ),
    ] = None,
    from_sessions: Annotated[
        bool, typer.Option("--from-sessions", help="Take the answers of the store's sessions with this pool instead.")
    ] = False,
    components: Annotated[
        str, typer.Option("--components", metavar="N", help="Gaussians, or 'auto' for as many as prove good.")
    ] = AUTO,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the prior to this file, as JSON.")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FOLDER", help="Save the pool with this prior here, for --pool FOLDER."),
    ] = None,
    force: ForceOption = False,
    store: StoreOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Learn from a group's answers where new users start, so that their first questions tell most.

    Each row of ANSWERS is one answer: user_id, choice (first, second, tie, both_bad or skip), perhaps a strength in
    (0, 1], and either question_id of a question of --pool, or the differences of the two responses in each feature.

    \b
    Examples:
      prefq prior fit answers.csv --pool ./my-pool --output prior.json
      prefq prior fit answers.parquet --pool ./my-pool --into ./my-pool-fitted
      prefq prior fit --from-sessions --into ./starter-fitted
    """
    from prefq.errors import InputError
    from prefq.inference.population import fit_population_prior_with_info
    from prefq_cli.console import tell, write_json

    if output is None and into is None:
        raise InputError("the prior would be lost; say with --output FILE or --into FOLDER where to write it.")
    if (answers is None) != from_sessions:
        raise InputError("answers come from a file or from the store; give a file, or --from-sessions.")
    for place in (output, into):
        require_free(place, force=force)
    require_folder(output)
    settings = read_settings(store=store, plain=plain, as_json=as_json)
    group = _group(answers, pool, needs_pool=into is not None, settings=settings)
    try:
        prior, info = fit_population_prior_with_info(
            group.comparisons.differences,
            group.comparisons.outcomes,
            group.users,
            strengths=group.comparisons.strengths,
            scales=group.scales,
            feature_space=group.feature_space,
            n_components="auto" if components == AUTO else _whole(components),
            on_step=_teller(),
        )
    except KeyboardInterrupt:
        tell("Interrupted: nothing was written.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _save(prior, output, into, pool)
    if as_json:
        write_json({**_facts(prior), "fit": info._asdict()})
    else:
        _show(prior, settings)
    for sentence in (*_remarks(group, prior, info), *_written(output, into, pool, from_sessions=from_sessions)):
        tell(sentence)


@app.command()
def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What prefq prior fit --output wrote, a pool's folder, or 'starter'.")
    ],
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show where new users start: how far tastes reach on each axis, groups of tastes, how people reply.

    \b
    Examples:
      prefq prior show prior.json
      prefq prior show ./my-pool --json
    """
    from prefq_cli.console import write_json

    prior = _load(file)
    if as_json:
        return write_json({"prior": str(file), **_facts(prior)})
    return _show(prior, read_settings(plain=plain))


def _load(path: Path) -> "PopulationPrior":
    """A prior from a file, or that of a pool; NotFoundError or InputError where there is none."""
    import prefq
    from prefq_cli.prior_files import read_prior
    from prefq_cli.settings import DEFAULT_POOL

    if path.is_dir() or (str(path) == DEFAULT_POOL and not path.exists()):
        return prefq.load_pool(str(path)).starting_point()
    return read_prior(str(path))


def _group(answers: Path | None, pool: str | None, *, needs_pool: bool, settings: Settings) -> "GroupFile":
    import prefq
    from prefq.storage.sql import SqlStore
    from prefq_cli.group_answers import load_answers, load_sessions
    from prefq_cli.settings import DEFAULT_POOL

    if answers is not None:
        if pool is None and needs_pool:
            raise prefq.InputError("--into saves a pool with the prior; say with --pool which pool.")
        return load_answers(answers, None if pool is None else prefq.load_pool(pool))
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        return load_sessions(opened, prefq.load_pool(pool or DEFAULT_POOL))


def _whole(text: str) -> int:
    from prefq.errors import InputError

    if not text.isdecimal():
        raise InputError(f"--components is {text!r}; give a number of at least 1, or 'auto'.")
    return int(text)


def _save(prior: "PopulationPrior", output: Path | None, into: Path | None, pool: str | None) -> None:
    from dataclasses import replace

    import prefq
    from prefq_cli.settings import DEFAULT_POOL

    if output is not None:
        write_file(output, json.dumps(prior.to_dict(), ensure_ascii=False, indent=1))
    if into is not None:
        replace(prefq.load_pool(pool or DEFAULT_POOL), prior=prior).save(into)


def _teller() -> Callable[[str], None]:
    """Says on standard error what is being done, once for each thing."""
    from prefq_cli.console import tell

    said: list[str] = []

    def on_step(what: str) -> None:
        if said[-1:] != [what]:
            said.append(what)
            tell(f"{what[0].upper()}{what[1:]} …")

    return on_step


def _facts(prior: "PopulationPrior") -> dict[str, Any]:
    """What there is to say, as JSON values."""
    names, mixture = prior.feature_space.names, prior.coefficients
    personal = [k for k in range(len(mixture.components)) if k != prior.impersonal]
    return {
        "n_users": prior.n_users,
        "axes": {
            name: {"mean": mean, "sd": sd}
            for name, mean, sd in zip(names, mixture.mean.tolist(), mixture.sd.tolist(), strict=True)
        },
        "groups": [
            {
                "weight": float(mixture.weights[k]),
                "mean": dict(zip(names, mixture.components[k].mean.tolist(), strict=True)),
                "sd": dict(zip(names, mixture.components[k].sd.tolist(), strict=True)),
            }
            for k in personal
        ],
        "no_personal_taste": None if prior.impersonal is None else float(mixture.weights[prior.impersonal]),
        "response_model": prior.response_model.to_dict(),
        "feature_space": prior.feature_space.digest,
    }


def _show(prior: "PopulationPrior", settings: Settings) -> None:
    from prefq_cli.console import write_table, write_words

    facts = _facts(prior)
    groups = facts["groups"]
    heads = ["mean", "spread"] if len(groups) == 1 else [_share(group["weight"]) for group in groups]
    rows = []
    for name in prior.feature_space.names:
        pairs = [(_digits(group["mean"][name], "+"), _digits(group["sd"][name])) for group in groups]
        rows.append((name, *(pairs[0] if len(pairs) == 1 else map(" ± ".join, pairs))))
    for sentence in (_origin(prior), *_tastes(facts)):
        write_words(sentence)
    write_table(rows, ("axis", *heads), settings)
    for sentence in _replies(prior.response_model):
        write_words(sentence)


def _origin(prior: "PopulationPrior") -> str:
    users = "1 user" if prior.n_users == 1 else f"{prior.n_users} users" if prior.n_users else "no group; it is a guess"
    few = " So few people say little about others: treat it as a guess." if 0 < prior.n_users < FEW_USERS else ""
    return f"Where new users start, from {users}.{few} Weights are in logits a unit of each feature."


def _tastes(facts: dict[str, Any]) -> list[str]:
    """Groups of tastes and no personal taste, in words; what there is nothing of is left out."""
    groups, alike = facts["groups"], facts["no_personal_taste"]
    told = []
    if alike is not None:
        how = "as all do" if facts["n_users"] else "by chance"
        told.append(f"Of new users, {_share(alike)} are expected to have no taste of their own: they choose {how}.")
        if len(groups) == 1:
            told.append(f"The spread below is that of the other {_share(1 - alike)}.")
    if len(groups) > 1:
        told.append(f"Tastes come in {len(groups)} groups, of the shares below, each as mean ± spread.")
    return told


def _replies(model: "ResponseModel") -> list[str]:
    """How people reply, in words; what there is nothing of is left out."""
    told = []
    if model.tie_threshold:
        told.append(f"Ties are given where two responses are within {model.tie_threshold:.2f} logits.")
    if model.position_bias:
        side = "first" if model.position_bias > 0 else "second"
        told.append(f"The response shown {side} has an advantage of {abs(model.position_bias):.2f} logits.")
    if model.strength_threshold:
        told.append(f"A preference is called clear from {model.strength_threshold:.2f} logits on.")
    if model.lapse_rate:
        told.append(f"Of the replies, {_share(model.lapse_rate)} are careless.")
    if model.dissimilarity_noise:
        told.append("Unlike responses are judged less reliably than like ones.")
    return told


def _digits(value: float, sign: str = "") -> str:
    """Three significant digits, whatever the unit; `sign` as in format specifications."""
    return f"{value + 0.0:{sign}#.3g}".removesuffix(".")  # + 0.0: no minus before zero


def _share(share: float) -> str:
    """A share as a percentage that claims no more than below 1 and above 99."""
    return "below 1%" if share < 0.01 else "above 99%" if share > 0.99 else f"{share:.0%}"


def _remarks(group: "GroupFile", prior: "PopulationPrior", info: "PopulationInfo") -> Iterator[str]:
    """What of the answers was not used, and what about them is strange."""
    from prefq.inference.response_fit import MAX_THRESHOLD
    from prefq.vocabulary import counted

    if info.n_left_out:
        told = "tells" if info.n_left_out == 1 else "tell"
        yield f"{counted(info.n_left_out, 'answer')} to pairs without a difference {told} nothing: left out."
    preferences = group.comparisons.outcomes[group.comparisons.outcomes != 0]
    if len(preferences) >= LEAST_ONE_SIDED and abs(preferences.sum()) == len(preferences):
        side = "first" if preferences[0] > 0 else "second"
        yield (
            f"Warning: every preference is for the {side} response. That looks like a log of chosen and rejected ones "
            "whose sides were never shuffled; what the side is worth cannot be told from it."
        )
    if prior.response_model.tie_threshold >= MAX_THRESHOLD:
        yield (
            f"Warning: the tie threshold is at its upper bound, {MAX_THRESHOLD:g} logits; too many answers are ties to "
            "say much about tastes."
        )


def _written(output: Path | None, into: Path | None, pool: str | None, *, from_sessions: bool) -> Iterator[str]:
    """What was written, and the command that begins with it."""
    from prefq_cli.settings import DEFAULT_POOL

    if output is not None:
        known = pool or (DEFAULT_POOL if from_sessions else None)
        where = "" if known == DEFAULT_POOL else " --pool POOL" if known is None else f" --pool {shlex.quote(known)}"
        yield f"Wrote {output}. Begin with it: {program()} onboard{where} --prior {shlex.quote(str(output))}"
    if into is not None:
        begin = f"{program()} onboard --pool {shlex.quote(str(into))}"
        yield f"Saved the pool with this prior in {into}. Begin with it: {begin}"
