"""prefq sessions: what was begun, by whom, and how far it is."""

from prefq_cli.settings import JsonOption, PlainOption, StoreOption, UserOption, read_settings


def sessions(
    user: UserOption = None, store: StoreOption = None, plain: PlainOption = False, as_json: JsonOption = False
) -> None:
    """List sessions, the last touched first.

    \b
    Examples:
      prefq sessions
      prefq sessions --user ada --json
    """
    from prefq.storage.sql import SqlStore
    from prefq.vocabulary import counted
    from prefq_cli.console import tell, write_json, write_table
    from prefq_cli.opening import user_name

    settings = read_settings(store=store, plain=plain, as_json=as_json)
    name = None if user is None else user_name(user)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        found = opened.list_sessions(name)
        n_others = 0 if found or name is None else len(opened.list_sessions())
    if as_json:
        return write_json({"sessions": [each._asdict() for each in found]})
    if n_others:
        return tell(f"There are no sessions of {name}; the store has {counted(n_others, 'session')} of others.")
    if not found:
        return tell("There are no sessions yet; begin one with prefq onboard.")
    rows = [
        (
            each.id,
            each.user_id,
            str(each.n_answers),
            "unfinished" if each.stopped is None else "finished",
            each.updated[:16].replace("T", " "),
            each.pool_name,
        )
        for each in found
    ]
    return write_table(rows, ("session", "user", "answers", "state", "last touched (UTC)", "pool"), settings)
