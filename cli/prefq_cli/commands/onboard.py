"""prefq onboard: a person answers comparisons and gets a profile."""

import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import (
    DEFAULT_USER,
    AcquisitionOption,
    JsonOption,
    MaxQuestionsOption,
    NewOption,
    PlainOption,
    PoolOption,
    SeedOption,
    SessionOption,
    Settings,
    StoreOption,
    UserOption,
    read_settings,
)

if TYPE_CHECKING:
    from prefq.profiles.profile import Profile
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


def onboard(
    user: UserOption = None,
    pool: PoolOption = None,
    session: SessionOption = None,
    new: NewOption = False,
    max_questions: MaxQuestionsOption = None,
    acquisition: AcquisitionOption = None,
    seed: SeedOption = None,
    sealed: SealedOption = None,
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
      printf '1\\n2\\n0\\nq\\n' | prefq onboard --user ada --json

    With --json and no terminal, keys are read from standard input, one a line.
    """
    from prefq.errors import InputError
    from prefq_cli.opening import Wanted, open_session

    settings = read_settings(store=store, plain=plain, as_json=as_json)
    if not as_json and not sys.stdin.isatty():
        raise InputError(
            "standard input is not a terminal; run prefq onboard in one, or add --json and give keys, one a line."
        )
    from prefq.storage.sql import SqlStore

    with SqlStore.open(settings.store) as opened:
        begun, candidates = open_session(opened, Wanted(user, session, pool, max_questions, acquisition, seed, new))
        from prefq_cli.interview import Interview
        from prefq_cli.screens import screen_for

        screen = screen_for(settings)
        keys = _keys(screen.close, screen.open)
        interview = Interview(begun, candidates, opened, screen, keys)
        code = _hold(interview, sealed=False if sealed is None and keys.scripted else sealed)
        if code:
            interview.save_profile()
    _report(interview, settings, code)
    if code:
        raise typer.Exit(code)


def _keys(on_pause: Any, on_return: Any) -> "Keys":
    from prefq_cli.keys import ScriptedKeys, terminal_keys

    return terminal_keys(on_pause, on_return) if sys.stdin.isatty() else ScriptedKeys(sys.stdin)


def _hold(interview: "Interview", *, sealed: bool | None) -> ExitCode:
    """Hold the interview; the exit code."""
    from prefq_cli.interview import EarlyEndError

    interview.screen.open()
    try:
        with interview.keys:
            interview.run(sealed=sealed)
    except EarlyEndError:
        return ExitCode.ENDED_EARLY
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    finally:
        interview.screen.close()
    return ExitCode.DONE


def _report(interview: "Interview", settings: Settings, code: ExitCode) -> None:
    from prefq.profiles.summary import summarize
    from prefq_cli.console import tell, write_json, write_profile, write_words

    session, profile = interview.session, interview.profile
    n_answers = len(session.answers)
    if code:
        how = "Interrupted" if code is ExitCode.INTERRUPTED else "Ended early"
        count = (
            "no answer yet" if n_answers == 0 else "1 answer saved" if n_answers == 1 else f"{n_answers} answers saved"
        )
        tell(f"{how}: {count}. Go on with: prefq onboard --session {session.id}")
    if interview.remark:
        tell(interview.remark)
    score = _score(session)
    if settings.as_json:
        write_json(_as_json(session, profile, score, code))
    elif not code and profile is not None:
        if score:
            write_words(score["sentence"])
            write_words(f"Predictions sealed as {score['digest']}")
        write_profile(profile, summarize(profile), settings)
        whose = "" if session.user_id == DEFAULT_USER else f" --user {shlex.quote(session.user_id)}"
        tell(f"\n{_time_taken(session)}. As a system prompt:\nprefq profile export --format prompt{whose}")


def _score(session: "Session") -> dict[str, Any] | None:
    """The sealed round with its sentence; None if there was none or it is not over."""
    from prefq.profiles.summary import score_sentence

    state, result = session.state, session.sealed_result()
    if state.sealed is None or result is None or state.stopped is None:
        return None
    guesses = any(abs(prediction.group - 0.5) > 1e-9 for prediction in state.sealed.predictions)
    sentence = score_sentence(result.n_decided, result.profile, result.group, group_guesses=guesses)
    predictions = [asdict(prediction) for prediction in state.sealed.predictions]
    return {**result._asdict(), "sentence": sentence, "digest": state.sealed.digest, "predictions": predictions}


def _time_taken(session: "Session") -> str:
    seconds = round(sum(answer.seconds or 0.0 for answer in session.answers))
    minutes, rest = divmod(seconds, 60)
    return f"{len(session.answers)} answers in {f'{minutes} min ' if minutes else ''}{rest} s"


def _as_json(
    session: "Session", profile: "Profile | None", score: dict[str, Any] | None, code: ExitCode
) -> dict[str, Any]:
    from prefq.profiles.summary import sentences, summarize

    axes = summarize(profile) if profile is not None else ()
    return {
        "status": "finished" if code is ExitCode.DONE else code.name.lower(),
        "session": {
            "id": session.id,
            "user_id": session.user_id,
            "n_answers": len(session.answers),
            "stopped": session.state.stopped,
            "pool_name": session.pool_name,
            "pool_digest": session.pool_digest,
        },
        "sealed": score,
        "profile": None if profile is None else profile.to_dict(),
        "axes": [axis.to_dict() for axis in axes],
        "sentences": sentences(axes) if axes else [],
    }
