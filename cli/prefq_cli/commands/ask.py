"""prefq ask: the next question, or several, as JSON, for scripts."""

from typing import TYPE_CHECKING, Annotated

import typer

from prefq_cli.settings import AlwaysJsonOption, StoreOption, read_settings
from prefq_cli.stated import StatedAxesOption
from prefq_cli.wanted import Wanted, with_session_options

if TYPE_CHECKING:
    from prefq.vocabulary import Question


@with_session_options
def ask(
    wanted: Wanted,
    n_questions: Annotated[
        int | None,
        typer.Option("--n", metavar="K", help="Ask K questions to be shown side by side, as a list under 'questions'."),
    ] = None,
    stated: StatedAxesOption = None,
    store: StoreOption = None,
    as_json: AlwaysJsonOption = True,
) -> None:
    """Print the next question as JSON, for scripts.

    The session is the one named, or the user's unfinished one, or a new one; its id is in the result. Asking again
    without an answer gives the same question. When the session is over, "question" is null, "stopped" says why, and
    the profile is stored. With --n, "questions" is a list of those that are open, to be answered in any order.

    \b
    Examples:
      prefq ask --user ada
      prefq tell --session 20260131-1f2e3d 12-47 first
      prefq ask --session 20260131-1f2e3d --n 3
    """
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import write_json
    from prefq_cli.opening import now, open_session
    from prefq_cli.stated import read_axes, restated

    settings = read_settings(store=store, as_json=as_json)
    with SqlStore.open(settings.store, create=wanted.session is None or not settings.store_is_named) as opened:
        begun, candidates = open_session(opened, wanted)
        said = begun if stated is None else restated(begun, read_axes(stated), now())
        current, questions = said.ask_together(candidates, 1 if n_questions is None else n_questions, time=now())
        if current is not begun:
            opened.save_session(current)
        if not questions and current.answers:
            opened.save_profile(current.profile(candidates, created=now()), session_id=current.id)
    progress, shown = current.progress(candidates), [_as_json(question) for question in questions]
    write_json(
        {
            "session_id": current.id,
            "user_id": current.user_id,
            "question": shown[0] if shown else None,
            **({} if n_questions is None else {"questions": shown}),
            "stopped": current.state.stopped,
            "progress": {**progress._asdict(), "remaining": dict(progress.remaining)},
        }
    )


def _as_json(question: "Question") -> dict[str, str]:
    return {
        "id": question.id,
        "prompt": question.prompt,
        "first": question.first.text,
        "second": question.second.text,
    }
