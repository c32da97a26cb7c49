"""prefq tell: an answer to the open question, for scripts."""

from typing import Annotated

import typer

from prefq_cli.settings import AlwaysJsonOption, SessionOption, StoreOption, read_settings


def tell(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="Id of the question, such as 12-47.")],
    choice: Annotated[str, typer.Argument(metavar="CHOICE", help="first, second, tie, both_bad or skip.")],
    session: SessionOption = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="How long the person took, in seconds.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option("--strength", metavar="X", help="How strong the preference is, above 0, at most 1.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="The person's own words.")] = None,
    store: StoreOption = None,
    as_json: AlwaysJsonOption = True,
) -> None:
    """Store the answer to the open question, for scripts.

    \b
    Examples:
      prefq tell --session 20260131-1f2e3d 12-47 first
      prefq tell --session 20260131-1f2e3d 12-47 tie --seconds 8.5 --reason "both fine"
    """
    from prefq.errors import InputError
    from prefq.storage.sql import SqlStore
    from prefq.vocabulary import Answer, parse_choice
    from prefq_cli.console import write_json
    from prefq_cli.opening import now
    from prefq_cli.texts import storable

    if session is None:
        raise InputError("no session was named; give --session ID, which prefq ask prints.")
    words = None if reason is None else storable(reason)
    answer = Answer(question, parse_choice(choice), seconds=seconds, strength=strength, reason=words)
    settings = read_settings(store=store, as_json=as_json)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        told = opened.load_session(session).tell(answer, time=now())
        opened.save_session(told)
    write_json({"session_id": told.id, "answer": answer.to_dict(), "n_answers": len(told.answers)})
