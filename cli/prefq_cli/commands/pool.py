"""prefq pool: what is in a pool of questions, and whether it is sound."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.commands.gaps import gaps
from prefq_cli.commands.pool_build import build
from prefq_cli.commands.questionnaire import answers, questionnaire
from prefq_cli.settings import DEFAULT_POOL, JsonOption, PlainOption, read_settings

if TYPE_CHECKING:
    from prefq.pool.candidate_pool import CandidatePool

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Build, show and validate pools; questionnaire, answers, gaps."
)
PoolArgument = Annotated[str, typer.Argument(metavar="POOL", help="'starter' (bundled) or a folder.")]
for command in (build, questionnaire, answers, gaps):
    app.command()(command)


@app.command()
def show(pool: PoolArgument = DEFAULT_POOL, plain: PlainOption = False, as_json: JsonOption = False) -> None:
    """Show what can be asked, on which axes, in what time.

    \b
    Examples:
      prefq pool show
      prefq pool show ./my-pool --json
    """
    import prefq
    from prefq_cli.console import write_json, write_table

    facts = _facts(prefq.load_pool(pool))
    if as_json:
        return write_json({"pool": pool, **facts})
    settings = read_settings(plain=plain)
    rows = [
        (name.replace("_", " "), ", ".join(value) if isinstance(value, list) else str(value))
        for name, value in facts.items()
    ]
    return write_table(rows[1:], rows[0], settings)


@app.command()
def validate(pool: PoolArgument = DEFAULT_POOL, as_json: JsonOption = False) -> None:
    """Check a pool, file by file and value by value.

    A fault is one sentence and exit code 2. Notes on what is sound but may surprise, such as dropped pairs, go to
    standard error.

    \b
    Examples:
      prefq pool validate ./my-pool
    """
    from prefq.pool.files import verify_pool
    from prefq_cli.console import tell, write, write_json

    loaded = verify_pool(pool)
    loaded.starting_point()
    notes = _notes(loaded)
    if as_json:
        return write_json({"pool": pool, "sound": True, "digest": loaded.digest(), "notes": notes})
    for note in notes:
        tell(f"Note: {note}")
    return write(f"{pool} is sound: {loaded.n_questions} questions, digest {loaded.digest()[:16]}.")


def _facts(pool: "CandidatePool") -> dict[str, Any]:
    from prefq.profiles.summary import axis_label
    from prefq.questions.costs import WORDS_PER_MINUTE
    from prefq.questions.selection import MAX_QUESTIONS
    from prefq.session import words_per_question

    space, start = pool.feature_space, pool.starting_point()
    opposites = space.opposites or ("",) * space.n_features
    return {
        "questions": pool.n_questions,
        "items": pool.n_items,
        "prompts": None if pool.prompt_codes is None else len(set(pool.prompt_codes.tolist())),
        "axes": list(map(axis_label, space.names, opposites)),
        "features_version": space.version,
        "minutes_for_ten": round(MAX_QUESTIONS * words_per_question(pool) / WORDS_PER_MINUTE, 1),
        "users_behind_the_prior": start.n_users,
        "digest": pool.digest(),
    }


def _notes(pool: "CandidatePool") -> list[str]:
    constant = [name for name, scale in zip(pool.feature_space.names, pool.feature_scales(), strict=True) if scale == 0]
    notes = []
    if pool.dropped.repeated:
        notes.append(f"{pool.dropped.repeated} repeated pair(s) were dropped when the pool was made.")
    if pool.dropped.equal:
        notes.append(f"{pool.dropped.equal} pair(s) of items with equal features were dropped when the pool was made.")
    if constant:
        notes.append(f"no question differs in {', '.join(constant)}; nothing can be learned about it.")
    if pool.responses is None:
        notes.append("the pool has no texts; prefq onboard would show empty responses.")
    if pool.prompt_codes is None:
        notes.append("the pool names no prompts; the rule that spreads questions over prompts does not apply.")
    return notes
