"""Sessions and profiles in a SQL database: one SQLite file by default, another database by its URL.

Only answers are kept as truth: a session is one row and one more for each of its events, which are added and never
changed. A profile is a dated snapshot. How a database is opened is in `prefq.storage.database`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from prefq.errors import InputError, MismatchError, NotFoundError, StorageError
from prefq.profiles.profile import Profile
from prefq.session import Session
from prefq.storage.base import ProfileSummary, SessionSummary
from prefq.storage.database import Database, open_database
from prefq.storage.tables import events, profiles, sessions
from prefq.vocabulary import Choice, require_unicode

_Values = dict[str, Any]
_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)  # what rows raise that prefq did not write


class SqlStore:
    """Sessions and profiles in a SQL database; a `SessionStore` and a `ProfileStore`.

    May be shared between threads; a process that forks opens its own. Several processes may use one database.

    Examples
    --------
    >>> from prefq.storage.sql import SqlStore
    >>> with SqlStore.open(tmp_path / "prefq.db") as store:  # doctest: +SKIP
    ...     store.save_session(session)
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url_or_path: str | Path, *, create: bool = True) -> "SqlStore":
        """The store at a path or at a database's URL.

        Parameters
        ----------
        url_or_path
            A path or ``sqlite:///path``, made with its folder if it does not exist, the file readable by its owner
            alone; or any other URL that SQLAlchemy takes, such as ``postgresql+psycopg://user@host/name``. How many
            seconds to wait for a locked SQLite file is 5, or the URL's ``?timeout=``.
        create
            Whether a SQLite file that does not exist is made.

        Raises
        ------
        NotFoundError
            When the file does not exist and is not to be made.
        StorageError
            When it cannot be opened, is damaged, or was written by another program or a newer prefq.
        """
        return cls(open_database(url_or_path, create=create))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def save_session(self, session: Session) -> None:
        """Store the session, or the events that are new since it was last stored; durable on return.

        Raises
        ------
        MismatchError
            When what is stored under this id is not the beginning of this session: another process wrote to it, or
            it is another session. Nothing is changed.
        InputError
            When the session's id, user or pool is not valid Unicode.
        StorageError
            When the store cannot be written.
        """
        header, rows = _session_rows(session)
        try:
            with self._database.writing() as connection:
                n_stored = _stored_beginning(connection, header, rows)
                if n_stored is None:
                    connection.execute(insert(sessions), header)
                if rows[n_stored or 0 :]:
                    connection.execute(insert(events), rows[n_stored or 0 :])
        except StorageError as error:
            if isinstance(error.__cause__, IntegrityError):  # where writers do not wait for one another
                raise _conflict(session.id) from None
            raise

    def load_session(self, session_id: str) -> Session:
        """The session of this id.

        Raises
        ------
        NotFoundError
            When there is none.
        StorageError
            When the store cannot be read, or its rows are damaged.
        """
        with self._database.reading() as connection:
            header = connection.execute(_of(sessions.c.id, session_id)).mappings().one_or_none()
            rows = connection.execute(_of(events.c.session_id, session_id).order_by(events.c.sequence)).all()
        if header is None:
            raise NotFoundError(
                f"there is no session {session_id!r} in the store {self._database.name}; "
                "`prefq sessions`, or list_sessions(), names those there are."
            )
        try:
            return Session.from_dict(_session_dict(header, rows))
        except _DAMAGE as error:
            raise self._damaged(f"session {session_id!r}", error) from error

    def list_sessions(self, user_id: str | None = None) -> list[SessionSummary]:
        """Sessions of one user, or of all, the last touched first; times are compared as texts.

        Raises
        ------
        StorageError
            When the store cannot be read, or its rows are damaged.
        """
        each, one = sessions.c, events.c
        which = select(each.id, each.user_id, each.created, each.pool_name, each.pool_digest)
        what = select(one.session_id, one.kind, one.time, one.payload).order_by(one.session_id, one.sequence)
        if user_id is not None:
            which = which.where(each.user_id == _valid(user_id, "user_id"))
            what = what.join(sessions).where(each.user_id == user_id)
        with self._database.reading() as connection:
            headers = connection.execute(which).all()
            rows = connection.execute(what).all()
        tallies = {of: self._tally(of, own) for of, own in groupby(rows, key=itemgetter(0))}
        found = [_summary(header, tallies.get(header.id)) for header in headers]
        return sorted(found, key=lambda summary: (summary.updated, summary.created, summary.id), reverse=True)

    def save_profile(self, profile: Profile, *, session_id: str) -> None:
        """Store a snapshot of a profile that came from this session; earlier ones are kept.

        Raises
        ------
        NotFoundError
            When the session is not stored.
        MismatchError
            When it is another user's.
        StorageError
            When the store cannot be written.
        """
        values = {
            "user_id": _valid(profile.user_id, "user_id"),
            "session_id": session_id,
            "created": None if profile.created is None else _valid(profile.created, "created"),
            "n_answers": profile.n_answers,
            "document": _to_json(profile.to_dict()),
        }
        with self._database.writing() as connection:
            owner = connection.execute(_of(sessions.c.id, session_id)).mappings().one_or_none()
            if owner is None:
                raise NotFoundError(
                    f"there is no session {session_id!r} that a profile could come from; save it first."
                )
            if owner["user_id"] != profile.user_id:
                raise MismatchError(
                    f"session {session_id!r} is one of user {owner['user_id']!r} and the profile one of "
                    f"{profile.user_id!r}; save it with the session it came from."
                )
            connection.execute(insert(profiles), values)

    def load_profile(self, user_id: str) -> Profile:
        """The profile of this user that was saved last.

        Raises
        ------
        NotFoundError
            When there is none.
        StorageError
            When the store cannot be read, or its rows are damaged.
        """
        last = _of(profiles.c.user_id, user_id).order_by(profiles.c.id.desc()).limit(1)
        with self._database.reading() as connection:
            found = connection.execute(last).mappings().one_or_none()
        if found is None:
            raise NotFoundError(
                f"there is no profile of user {user_id!r} in the store {self._database.name}; "
                "`prefq profile list`, or list_profiles(), names those there are."
            )
        try:
            return Profile.from_dict(json.loads(found["document"]))
        except _DAMAGE as error:
            raise self._damaged(f"the profile of user {user_id!r}", error) from error

    def list_profiles(self) -> list[ProfileSummary]:
        """The profile of each user that was saved last, the newest first.

        Raises
        ------
        StorageError
            When the store cannot be read.
        """
        each = profiles.c
        last = select(func.max(each.id)).group_by(each.user_id)
        which = select(each.user_id, each.session_id, each.created, each.n_answers).where(each.id.in_(last))
        with self._database.reading() as connection:
            rows = connection.execute(which.order_by(each.id.desc())).all()
        return [ProfileSummary(*row) for row in rows]

    def delete_user(self, user_id: str) -> int:
        """Delete a user's sessions, events and profiles for good; how many sessions there were, 0 for an unknown user.

        On SQLite nothing of them is left in the file and its log. Copies that others made, and what a disk or another
        database keeps of overwritten data, are beyond it.

        Raises
        ------
        StorageError
            When the store cannot be written, or another program keeps the log in use; then delete again.
        """
        _valid(user_id, "user_id")
        theirs = select(sessions.c.id).where(sessions.c.user_id == user_id)
        with self._database.writing() as connection:
            connection.execute(delete(profiles).where(profiles.c.session_id.in_(theirs)))
            connection.execute(delete(events).where(events.c.session_id.in_(theirs)))
            n_sessions = connection.execute(delete(sessions).where(sessions.c.user_id == user_id)).rowcount
        self._database.erase_deleted()
        return n_sessions

    def _tally(self, session_id: str, rows: Iterable[Any]) -> "_Tally":
        try:
            return _tally(rows)
        except _DAMAGE as error:
            raise self._damaged(f"session {session_id!r}", error) from error

    def _damaged(self, what: str, error: Exception) -> StorageError:
        return StorageError(
            f"{what} in the store {self._database.name} is damaged ({' '.join(str(error).split()).rstrip('.')}); "
            "restore a copy of the file, or delete the user."
        )


class _Tally(NamedTuple):
    """What the list of sessions says of one session's events."""

    updated: str
    n_answers: int
    stopped: str | None


def _session_rows(session: Session) -> tuple[_Values, list[_Values]]:
    """The row of a session and the rows of its events."""
    values = session.to_dict()
    happened = values.pop("events")
    for name in ("feature_space", "settings"):
        values[name] = _to_json(values[name])
    values["seed"] = str(values["seed"])
    values["prior"] = _to_json(values["prior"]) if "prior" in values else None
    for name in ("id", "user_id", "created", "pool_name", "pool_digest"):
        _valid(values[name], name)
    return values, [_event_row(session.id, sequence, event) for sequence, event in enumerate(happened)]


def _event_row(session_id: str, sequence: int, event: _Values) -> _Values:
    kind, time = event.pop("kind"), event.pop("time")
    return {
        "session_id": session_id,
        "sequence": sequence,
        "kind": kind,
        "time": _valid(time, "time"),
        "payload": _to_json(event),
    }


def _session_dict(header: Mapping[Any, Any], rows: Sequence[Any]) -> _Values:
    """What `Session.from_dict` takes; raises one of `_DAMAGE` when rows are missing or are no JSON."""
    if [row.sequence for row in rows] != list(range(len(rows))):
        raise InputError("an event is missing.")
    return {
        **header,
        "feature_space": json.loads(header["feature_space"]),
        "settings": json.loads(header["settings"]),
        "seed": int(header["seed"]),
        "prior": None if header["prior"] is None else json.loads(header["prior"]),
        "events": [{**json.loads(row.payload), "kind": row.kind, "time": row.time} for row in rows],
    }


def _stored_beginning(connection: Connection, header: _Values, rows: list[_Values]) -> int | None:
    """How many of the rows are stored, None if not even the header is; MismatchError if others are."""
    found = connection.execute(_of(sessions.c.id, header["id"])).mappings().one_or_none()
    if found is None:
        return None
    changed = [name for name, value in header.items() if found[name] != value]
    if changed:
        raise MismatchError(
            f"session {header['id']!r} is stored with another {' and '.join(changed)}, which never change; "
            "load it and go on from there, or give the new session another id."
        )
    stored = connection.execute(_of(events.c.session_id, header["id"]).order_by(events.c.sequence)).mappings().all()
    if [dict(row) for row in stored] != rows[: len(stored)]:
        raise _conflict(header["id"])
    return len(stored)


def _conflict(session_id: str) -> MismatchError:
    return MismatchError(
        f"session {session_id!r} was changed in the store by another program, and nothing was saved; "
        "load it again and go on from there."
    )


def _tally(rows: Iterable[Any]) -> _Tally:
    """What `Session.state` would say, without making the session: the law of both is a test."""
    answers: list[tuple[str, str]] = []
    updated, stopped = "", None
    for row in rows:
        updated = row.time
        match row.kind:
            case "answered":
                answer = json.loads(row.payload)["answer"]
                answers.append((answer["question_id"], answer["choice"]))
            case "edited":
                answer = json.loads(row.payload)["answer"]
                edited = answer["question_id"]
                answers = [(asked, answer["choice"] if asked == edited else choice) for asked, choice in answers]
            case "undone":
                answers.pop()
                stopped = None
            case "stopped":
                stopped = json.loads(row.payload)["reason"]
            case "asked" | "sealed":
                stopped = None
    return _Tally(updated, sum(choice != Choice.SKIP for _, choice in answers), stopped)


def _summary(header: Any, tally: _Tally | None) -> SessionSummary:
    tally = tally or _Tally(header.created, 0, None)
    return SessionSummary(
        header.id,
        header.user_id,
        header.created,
        tally.updated,
        tally.n_answers,
        tally.stopped,
        header.pool_name,
        header.pool_digest,
    )


def _of(column: Any, value: str) -> Any:
    """All columns of the rows in which this one has the value."""
    return select(column.table).where(column == _valid(value, column.name))


def _valid(value: str, name: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}; give a text.")
    require_unicode(value, name)
    return value


def _to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)
