"""prefq profile: show, export, list and delete what was learned about people."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prefq_cli.outputs import ForceOption, require_free, write_file
from prefq_cli.settings import JsonOption, PlainOption, StoreOption, UserOption, read_settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Show, export, list and delete profiles.")


class Format(StrEnum):
    """What a profile can be exported as."""

    PROMPT = "prompt"
    JSON = "json"
    MD = "md"


@app.command()
def show(
    user: UserOption = None, store: StoreOption = None, plain: PlainOption = False, as_json: JsonOption = False
) -> None:
    """Show a profile as a chart, and in words how sure it is.

    \b
    Examples:
      prefq profile show
      prefq profile show --user ada --json
    """
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import write_json, write_profile
    from prefq_cli.evidence import evidence_of, load_with_session, profile_json
    from prefq_cli.opening import user_name

    settings, name = read_settings(store=store, plain=plain, as_json=as_json), user_name(user)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        profile, session = load_with_session(opened, name)
    if as_json:
        return write_json(profile_json(profile, session))
    return write_profile(profile, evidence_of(session), settings)


@app.command()
def export(
    user: UserOption = None,
    as_format: Annotated[
        Format,
        typer.Option(
            "--format", help="prompt: a system prompt; json: a file for prefq.load_profile; md: a page to read."
        ),
    ] = Format.PROMPT,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write to this file instead of standard output.")
    ] = None,
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a profile as a system prompt, JSON or Markdown.

    \b
    Examples:
      prefq profile export --format prompt
      prefq profile export --user ada --format json --output ada.json
    """
    import json

    from prefq.profiles.evidence import score_sentence
    from prefq.profiles.summary import markdown, system_prompt
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import tell, write, write_json
    from prefq_cli.evidence import evidence_of, load_with_session, sealed_json
    from prefq_cli.opening import user_name

    require_free(output, force=force)
    settings, name = read_settings(store=store, as_json=as_json), user_name(user)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        profile, session = load_with_session(opened, name)
    evidence = evidence_of(session)
    if as_format is Format.JSON:
        content = json.dumps(profile.to_dict(), ensure_ascii=False, indent=1)
        if evidence.score is not None and not as_json:  # a file of this format has no field for it
            tell(score_sentence(evidence.score))
    elif as_format is Format.PROMPT:
        content = system_prompt(profile, evidence.score)
    else:
        content = markdown(profile, evidence)
    if output is not None:
        write_file(output, content)
    if as_json:
        about = {"user_id": profile.user_id, "format": as_format.value, "sealed": sealed_json(session)}
        write_json({**about, "content": content})
    elif output is None:
        write(content)


@app.command("list")
def list_profiles(store: StoreOption = None, plain: PlainOption = False, as_json: JsonOption = False) -> None:
    """List the profiles that are stored, the newest first.

    \b
    Examples:
      prefq profile list
    """
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import tell, write_json, write_table

    settings = read_settings(store=store, plain=plain, as_json=as_json)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        found = opened.list_profiles()
    if as_json:
        return write_json({"profiles": [each._asdict() for each in found]})
    if not found:
        return tell("There are no profiles yet; make one with prefq onboard.")
    rows = [(each.user_id, str(each.n_answers), (each.created or "")[:10], each.session_id) for each in found]
    return write_table(rows, ("user", "comparisons", "created", "session"), settings)


@app.command()
def delete(
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Whose sessions, answers and profiles go.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete all that is stored about a user, for good.

    Sessions, answers and profiles go; prefq asks first.

    \b
    Examples:
      prefq profile delete --user ada
      prefq profile delete --user ada --yes --json
    """
    from prefq.errors import InputError, NotFoundError
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import tell, write_json
    from prefq_cli.opening import user_name

    settings, name = read_settings(store=store, as_json=as_json), user_name(user)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        n_sessions = len(opened.list_sessions(name))
        if n_sessions == 0:
            raise NotFoundError(f"nothing is stored about user {name!r}; prefq profile list shows whom it knows.")
        if not yes:
            if not sys.stdin.isatty():
                raise InputError("deleting asks first, and standard input is not a terminal; add --yes.")
            question = f"Delete all {n_sessions} session(s) and profiles of {name!r} for good?"
            if not typer.confirm(question, err=True):
                return tell("Nothing was deleted.")
        opened.delete_user(name)
    if as_json:
        return write_json({"user_id": name, "deleted_sessions": n_sessions})
    return tell(f"Deleted {n_sessions} session(s) and the profiles of {name!r}.")
