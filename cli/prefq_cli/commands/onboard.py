"""prefq onboard: a person answers comparisons and gets a profile."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import (
    JsonOption,
    PlainOption,
    Settings,
    StoreOption,
    program,
    read_settings,
    store_option,
    user_option,
)
from prefq_cli.stated import StatedOption
from prefq_cli.wanted import Wanted, with_session_options

if TYPE_CHECKING:
    from prefq.pool.candidate_pool import CandidatePool
    from prefq.session import Session
    from prefq_cli.interview import Interview
    from prefq_cli.keys import Keys

SealedOption = Annotated[
    bool | None,
    typer.Option(
        "--sealed/--no-sealed",
        help="Test the profile on six more questions, or do not; by default it is offered where keys come from a "
        "terminal.",
    ),
]


@with_session_options
def onboard(
    wanted: Wanted,
    sealed: SealedOption = None,
    stated: StatedOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Answer about ten comparisons; get a profile of your taste.

    Two answers to one prompt are shown; say by a single key which you would rather get. Every answer is stored at
    once: stop at any time, and the same command goes on where you left off.

    \b
    1 2  prefer first, second     u      undo
    0    tie                      ?      why this question
    b    both bad                 space  read on
    s    skip                     q      save and quit

    \b
    Examples:
      prefq onboard
      prefq onboard --user ada --max-questions 5
      prefq onboard --prior prior.json
      prefq onboard --stated
      prefq onboard --stated formal=0.5,brief=-1
      printf '1\\n2\\n0\\nq\\n' | prefq onboard --user ada --json

    With --json and no terminal, keys are read from standard input, one a line.
    """
    from prefq.errors import InputError
    from prefq_cli.opening import open_session

    settings = read_settings(store=store, plain=plain, as_json=as_json)
    if not as_json and not sys.stdin.isatty():
        raise InputError(
            "standard input is not a terminal; run prefq onboard in one, or add --json and give keys, one a line."
        )
    from prefq.storage.sql import SqlStore

    with SqlStore.open(settings.store, create=wanted.session is None or not settings.store_is_named) as opened:
        begun, candidates = open_session(opened, wanted)
        from prefq_cli.interview import Interview
        from prefq_cli.screens import screen_for

        screen = screen_for(settings)
        keys = _keys(screen.close, screen.open)
        interview = Interview(begun, candidates, opened, screen, keys)
        code = _hold(interview, sealed=False if sealed is None and keys.scripted else sealed, stated=stated)
        if code:
            interview.save_profile()
        again = _again(interview, settings, wanted) if code else ""
    _report(interview, settings, code, again)
    if code:
        raise typer.Exit(code)


def _keys(on_pause: Any, on_return: Any) -> "Keys":
    from prefq_cli.keys import ScriptedKeys, terminal_keys

    return terminal_keys(on_pause, on_return) if sys.stdin.isatty() else ScriptedKeys(sys.stdin)


def _hold(interview: "Interview", *, sealed: bool | None, stated: str | None) -> ExitCode:
    """Hold the interview; the exit code."""
    from prefq_cli.interview import EarlyEndError

    interview.screen.open()
    try:
        with interview.keys:
            if stated is not None:
                interview.hear(stated)
            interview.run(sealed=sealed)
    except EarlyEndError:
        return ExitCode.ENDED_EARLY
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    finally:
        interview.screen.close()
    return ExitCode.DONE


def _report(interview: "Interview", settings: Settings, code: ExitCode, again: str) -> None:
    from prefq.vocabulary import counted
    from prefq_cli.console import tell, write_json, write_profile
    from prefq_cli.evidence import evidence_of, profile_json

    session, profile = interview.session, interview.profile
    if code:
        how = "Interrupted" if code is ExitCode.INTERRUPTED else "Ended early"
        count = f"{counted(len(session.answers), 'answer')} saved" if session.answers else "no answer yet"
        tell(f"{how}: {count}. Go on with: {again}")
    if interview.remark:
        tell(interview.remark)
    if settings.as_json:
        write_json({**_session_json(session, interview.pool, code), **profile_json(profile, session)})
    elif not code and profile is not None:
        evidence, options = evidence_of(session), user_option(session.user_id) + store_option(settings)
        write_profile(profile, evidence, settings)
        if session.settings.stop:
            tell(f"\n{_why_stopped(session, interview.pool)}")
        if session.test_questions:
            tell(f"\n{_tests_told(len(session.test_questions))}")
        tell(f"\n{_time_taken(session)}\nAs a system prompt:\n{program()} profile export --format prompt{options}")
        if evidence.score is not None:
            tell(f"The predictions that were sealed:\n{program()} profile show --json{options}")


def _again(interview: "Interview", settings: Settings, wanted: Wanted) -> str:
    """The command that goes on with this session: by its user where that finds it, else by its id."""
    from prefq_cli.opening import moved_pool_option, unfinished

    session = interview.session
    by_user = unfinished(interview.store, session.user_id) == session.id
    which = user_option(session.user_id) if by_user else f" --session {session.id}"
    return f"{program()} onboard{which}{store_option(settings)}{moved_pool_option(session, wanted)}"


def _time_taken(session: "Session") -> str:
    from prefq.vocabulary import counted

    seconds = round(sum(answer.seconds or 0.0 for answer in session.answers))
    minutes, rest = divmod(seconds, 60)
    took = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"Answering took {took} for {counted(len(session.answers), 'answer')}."


def _why_stopped(session: "Session", pool: "CandidatePool") -> str:
    """Why the questions ended, and what they did not reach; a sealed round comes after that."""
    from prefq.events import Sealed, Stopped
    from prefq.vocabulary import Choice, counted
    from prefq_cli.interview import settled_words

    reason = ""
    for event in session.events:
        if isinstance(event, Sealed):
            break
        reason = event.reason if isinstance(event, Stopped) else reason
    n_asked = sum(answer.choice is not Choice.SKIP for answer in session.chosen_answers)
    reached, wanted = session.progress(pool).settled, session.settings.sure
    missed = f" {settled_words(reached, wanted)}." if reached is not None and reached < wanted else ""
    return f"Stopped after {counted(n_asked, 'answer')}: {reason}{missed}"


def _tests_told(n_tests: int) -> str:
    were = "One of the questions was" if n_tests == 1 else f"{n_tests} of the questions were"
    return f"{were} drawn at random before the first, to measure how well the other answers predict."


def _session_json(session: "Session", pool: "CandidatePool", code: ExitCode) -> dict[str, Any]:
    from prefq_cli.opening import BUDGET

    return {
        "status": "finished" if code is ExitCode.DONE else code.name.lower(),
        "session": {
            "id": session.id,
            "user_id": session.user_id,
            "n_answers": len(session.answers),
            "stopped": session.state.stopped,
            "stated": dict(session.state.stated.positions) if session.state.stated else None,
            "seed": session.seed,
            "acquisition": session.acquisition,
            "random_share": session.settings.random_share,
            "test_questions": session.settings.test_questions,
            "stop": session.settings.stop or BUDGET,
            "pool_name": session.pool_name,
            "pool_digest": session.pool_digest,
            "prior_digest": session.starting_point(pool).digest(),
        },
    }
