"""prefq ask: the next question as JSON, for scripts."""

from typing import TYPE_CHECKING

from prefq_cli.settings import (
    AcquisitionOption,
    AlwaysJsonOption,
    MaxQuestionsOption,
    NewOption,
    PoolOption,
    RandomShareOption,
    SeedOption,
    SessionOption,
    StoreOption,
    TestQuestionsOption,
    UserOption,
    read_settings,
)
from prefq_cli.stated import StatedAxesOption

if TYPE_CHECKING:
    from prefq.vocabulary import Question


def ask(
    user: UserOption = None,
    pool: PoolOption = None,
    session: SessionOption = None,
    new: NewOption = False,
    max_questions: MaxQuestionsOption = None,
    acquisition: AcquisitionOption = None,
    seed: SeedOption = None,
    test_questions: TestQuestionsOption = None,
    random_share: RandomShareOption = None,
    stated: StatedAxesOption = None,
    store: StoreOption = None,
    as_json: AlwaysJsonOption = True,
) -> None:
    """Print the next question as JSON, for scripts.

    The session is the one named, or the user's unfinished one, or a new one; its id is in the result. Asking again
    without an answer gives the same question. When the session is over, "question" is null, "stopped" says why, and
    the profile is stored.

    \b
    Examples:
      prefq ask --user ada
      prefq tell --session 20260131-1f2e3d 12-47 first
    """
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import write_json
    from prefq_cli.opening import Wanted, now, open_session
    from prefq_cli.stated import read_axes, restated

    settings = read_settings(store=store, as_json=as_json)
    wanted = Wanted(user, session, pool, max_questions, acquisition, seed, new, test_questions, random_share)
    with SqlStore.open(settings.store) as opened:
        begun, candidates = open_session(opened, wanted)
        said = begun if stated is None else restated(begun, read_axes(stated), now())
        current, question = said.ask(candidates, time=now())
        if current is not begun:
            opened.save_session(current)
        if question is None and current.answers:
            opened.save_profile(current.profile(candidates, created=now()), session_id=current.id)
    progress = current.progress(candidates)
    write_json(
        {
            "session_id": current.id,
            "user_id": current.user_id,
            "question": None if question is None else _as_json(question),
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
