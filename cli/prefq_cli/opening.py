"""Which session to go on with, or a new one: what `onboard` and `ask` have in common."""

import secrets
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefq.errors import InputError, MismatchError, NotFoundError
from prefq_cli.prior_files import read_prior
from prefq_cli.settings import DEFAULT_POOL, DEFAULT_USER, number_setting
from prefq_cli.wanted import Wanted

if TYPE_CHECKING:
    from prefq.pool.candidate_pool import CandidatePool
    from prefq.session import Session
    from prefq.settings import SessionSettings
    from prefq.storage.sql import SqlStore

LONGEST_NAME = 100  # characters of a user's name
BUDGET = "budget"  # what --stop calls no further rule
MAX_WITH_RULE = 20  # questions, where a rule may end the session earlier and no budget is given
SEEDS = 2**32  # a new session draws its seed from so many, so that people see different sides and different tests


def now() -> str:
    """The time of an event: UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def user_name(name: str | None) -> str:
    """The name of a user as given, or the default; InputError if it cannot be shown in one line."""
    if name is None:
        return DEFAULT_USER
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise InputError(f"the user name is {name!r}; give 1 to {LONGEST_NAME} printable characters.")
    return name.strip()


def open_session(store: "SqlStore", wanted: Wanted) -> tuple["Session", "CandidatePool"]:
    """The session to go on with and its pool; a new one is not stored yet.

    Raises
    ------
    NotFoundError
        For an unknown session or pool, or a prior's file that is not there.
    MismatchError
        When the pool changed since the session began, the flags differ from it, or a prior is of other features.
    """
    session = _stored(store, wanted)
    if session is None:
        return _begun(wanted)
    _require_same(session, wanted)
    try:
        pool = _pool(wanted.pool or session.pool_name or DEFAULT_POOL)
        session.require_pool(pool)
    except NotFoundError as error:
        hint = "if its folder was moved, say where to with --pool FOLDER, or begin a new session with --new."
        raise NotFoundError(f"session {session.id!r} needs its pool: {str(error).removesuffix('.')}; {hint}") from error
    except MismatchError as error:
        raise MismatchError(f"{str(error).removesuffix('.')} (--new).") from error
    _require_same_prior(session, pool, wanted)
    return session, pool


def unfinished(store: "SqlStore", user: str, pool: str | None = None) -> str | None:
    """Id of the user's unfinished session that was touched last; of this pool, if named, wherever it lay before."""
    sessions = [summary for summary in store.list_sessions(user) if summary.stopped is None]
    if pool is not None and sessions:
        name = pool_name(pool)
        here = [summary for summary in sessions if summary.pool_name == name]
        sessions = here or [summary for summary in sessions if summary.pool_digest == _pool(pool).digest()]
    return sessions[0].id if sessions else None


def moved_pool_option(session: "Session", wanted: Wanted) -> str:
    """What tells a later command, after a space, where the session's pool lies now; nothing where it lies as before."""
    moved = wanted.pool is not None and pool_name(wanted.pool) != session.pool_name
    return f" --pool {shlex.quote(wanted.pool or '')}" if moved else ""


def _stored(store: "SqlStore", wanted: Wanted) -> "Session | None":
    """The session named, or the unfinished one of this user that was touched last."""
    if wanted.session is not None:
        return store.load_session(wanted.session)
    if wanted.new:
        return None
    session_id = unfinished(store, user_name(wanted.user), wanted.pool)
    return None if session_id is None else store.load_session(session_id)


def _begun(wanted: Wanted) -> tuple["Session", "CandidatePool"]:
    from prefq.session import Session

    user, settings = user_name(wanted.user), _new_settings(wanted)
    name = wanted.pool or DEFAULT_POOL
    prior = None if wanted.prior is None else read_prior(wanted.prior)
    pool, time = _pool(name), now()
    session_id = f"{time[:10].replace('-', '')}-{secrets.token_hex(3)}"
    return (
        Session.start(
            session_id,
            user,
            pool,
            time=time,
            pool_name=pool_name(name),
            seed=secrets.randbelow(SEEDS) if wanted.seed is None else wanted.seed,
            settings=settings,
            prior=prior,
        ),
        pool,
    )


def _new_settings(wanted: Wanted) -> "SessionSettings":
    """Settings of a new session: flags over the environment over defaults."""
    from prefq.questions.batches import RANDOM
    from prefq.settings import SessionSettings

    n_tests, share = wanted.test_questions, wanted.random_share
    if n_tests is None and (number := number_setting("PREFQ_TEST_QUESTIONS")) is not None:
        if not number.is_integer():
            raise InputError(f"PREFQ_TEST_QUESTIONS is {number:g}; give a count of 0 or more, or unset it.")
        n_tests = int(number)
    if share is None and wanted.acquisition != RANDOM:
        share = number_setting("PREFQ_RANDOM_SHARE")
    stop = _stop(wanted)
    given = {
        "max_questions": MAX_WITH_RULE if stop and wanted.max_questions is None else wanted.max_questions,
        "acquisition": wanted.acquisition,
        "test_questions": n_tests,
        "random_share": share,
        "per_minute": wanted.per_minute,
        "topic_quota": wanted.topic_quota,
        "max_exposure": wanted.max_exposure,
        "stop": stop,
        "sure": wanted.sure,
    }
    return SessionSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _stop(wanted: Wanted) -> str | None:
    """Name of the stopping rule as settings have it: empty where the budget alone is asked for, None without a flag."""
    return None if wanted.stop is None else wanted.stop.replace("-", "_").removeprefix(BUDGET)


def _require_same(session: "Session", wanted: Wanted) -> None:
    begun = {
        "--user": (session.user_id, None if wanted.user is None else user_name(wanted.user)),
        "--max-questions": (session.settings.max_questions, wanted.max_questions),
        "--acquisition": (session.settings.acquisition, wanted.acquisition),
        "--seed": (session.seed, wanted.seed),
        "--test-questions": (session.settings.test_questions, wanted.test_questions),
        "--random-share": (session.settings.random_share, wanted.random_share),
        "--per-minute": (session.settings.per_minute, wanted.per_minute),
        "--topic-quota": (session.settings.topic_quota, wanted.topic_quota),
        "--max-exposure": (session.settings.max_exposure, wanted.max_exposure),
        "--stop": (session.settings.stop or BUDGET, _stop(wanted) or wanted.stop),
        "--sure": (session.settings.sure, wanted.sure),
    }
    for flag, (was, given) in begun.items():
        if given is not None and given != was:
            raise MismatchError(
                f"session {session.id!r} was begun with {flag} {was}, not {given}; "
                f"go on without {flag}, or begin a new session with --new."
            )


def _require_same_prior(session: "Session", pool: "CandidatePool", wanted: Wanted) -> None:
    if wanted.prior is None:
        return
    if read_prior(wanted.prior).digest() != session.starting_point(pool).digest():
        raise MismatchError(
            f"session {session.id!r} was begun with another prior than that of --prior {wanted.prior}; go on without "
            "--prior, or begin a new session with --new."
        )


def _pool(name: str) -> "CandidatePool":
    import prefq

    return prefq.load_pool(name)


def pool_name(name: str) -> str:
    """What a session remembers of where its pool is: 'starter', or the full path of a folder."""
    from pathlib import Path

    return name if name == DEFAULT_POOL else str(Path(name).resolve())
