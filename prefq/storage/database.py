"""Opening a database: its address, how durable its writes are, its version, and its faults in words for people.

What is stored in it is the affair of `prefq.storage.sql`.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from prefq.errors import NotFoundError, PrefqError, StorageError

HEAD = "0002"
"""Newest version of the tables: a database that says so is used as it is, and Alembic is not imported."""

VERSION_TABLE = "prefq_version"
BUSY_SECONDS = 5.0  # a save takes milliseconds: who waits longer stands before a program that hangs
RETRY_SECONDS = 0.02
MIGRATION_LOCK = 0x70726566  # "pref": PostgreSQL's name for the lock under which tables are made
SQLITE_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON")

# What SQLite says of a damaged schema may hold bytes of it, and Python then fails to say so.
_SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_SQLITE_FAULTS: Mapping[int, str] = MappingProxyType(
    {
        sqlite3.SQLITE_BUSY: "is locked by another program; wait until that one is done, or close it, and try again",
        sqlite3.SQLITE_LOCKED: "is locked by another program; wait until that one is done, or close it, and try again",
        sqlite3.SQLITE_READONLY: "cannot be written; make the file and its folder writable, or use another",
        sqlite3.SQLITE_PERM: "may not be opened; make the file and its folder readable and writable, or use another",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened; it needs a file in a folder, both readable and writable",
        sqlite3.SQLITE_NOTADB: "is not a database that prefq wrote, or is damaged; restore a copy, or use another path",
        sqlite3.SQLITE_CORRUPT: "is damaged; restore a copy of it, or use another path",
        sqlite3.SQLITE_FULL: "found no room on the disk; make some and try again, what was saved before is kept",
        sqlite3.SQLITE_IOERR: "met an error of the disk; check the disk and try again, what was saved before is kept",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Database:
    """A database that is open and has the newest tables; may be shared between threads, not across a fork."""

    name: str
    reads: Engine
    writes: Engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout."""
        with faults_in_words(self.name), self.reads.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block ends, and undone when it fails; on SQLite no other writes."""
        with faults_in_words(self.name), self.writes.begin() as connection:
            yield connection

    def erase_deleted(self) -> None:
        """Make what was deleted unreadable in the files, too.

        On SQLite the file is written anew, for cells that once moved between pages leave copies behind, and the log
        is emptied. Other databases do this in their own time.

        Raises
        ------
        StorageError
            When another program is reading, so that the log must be kept.
        """
        if self.writes.dialect.name != "sqlite":
            return
        with faults_in_words(self.name):
            _outside_transaction(self.writes, "VACUUM")
            busy = _outside_transaction(self.writes, "PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StorageError(
                f"what was deleted from the store {self.name} may still be in its log, for another program is reading "
                "it; close that one and delete again."
            )

    def close(self) -> None:
        """Close all connections."""
        with faults_in_words(self.name):
            self.writes.dispose()


def open_database(url_or_path: str | Path, *, create: bool = True) -> Database:
    """The database at a path or URL, with the newest tables; a file that does not exist is made, if it may be.

    Raises
    ------
    NotFoundError
        When the file does not exist and may not be made.
    StorageError
        When it cannot be opened or written, is damaged, or belongs to another program or a newer prefq.
    """
    url = _address(url_or_path)
    name = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        name = _prepare_file(url, create)
    database = _connect(url, name)
    try:
        _migrate(database, float(str(url.query.get("timeout", BUSY_SECONDS))))
    except BaseException:
        database.writes.dispose()
        raise
    return database


@contextmanager
def faults_in_words(name: str) -> Iterator[None]:
    """Raise the faults of a database as StorageError, in one sentence."""
    try:
        yield
    except (SQLAlchemyError, OSError, *_SQLITE_ERRORS) as error:
        raise StorageError(_sentence(name, error)) from error


def _sentence(name: str, error: Exception) -> str:
    fault = getattr(error, "orig", None) or error
    code = getattr(fault, "sqlite_errorcode", None)
    if isinstance(fault, UnicodeDecodeError):
        code = sqlite3.SQLITE_CORRUPT
    if code is not None and code & 0xFF in _SQLITE_FAULTS:  # the low byte is the kind, the rest a detail
        return f"the store {name} {_SQLITE_FAULTS[code & 0xFF]} ({fault})."
    detail = " ".join(str(fault).split()) or type(fault).__name__
    return f"the store {name} failed ({detail}); what was saved before is kept, check the database and try again."


def _address(url_or_path: str | Path) -> URL:
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        url = URL.create("sqlite", database=str(Path(url_or_path).expanduser()))
    else:
        try:
            url = make_url(url_or_path)
        except (ArgumentError, ValueError):
            raise StorageError("the store's URL cannot be read; give a path or a URL like sqlite:///path.") from None
    if url.drivername.startswith("sqlite") and "timeout" not in url.query:
        url = url.update_query_dict({"timeout": str(BUSY_SECONDS)})
    return url


def _prepare_file(url: URL, create: bool) -> str:
    """Make the file of a SQLite database, readable by its owner alone, unless it exists; its name for people."""
    if not url.database or url.database == ":memory:":
        raise StorageError("the store's URL names no file and would keep nothing; give one like sqlite:///path.")
    if url.database.startswith("file:"):  # SQLite's own addresses say themselves what may be made
        return url.database
    path = Path(url.database)
    try:
        if path.is_dir():
            raise StorageError(f"the store {path} is a folder; give the path of a file, such as {path / 'prefq.db'}.")
        target = path.resolve()
        if not create and not target.exists():
            raise NotFoundError(f"there is no store {path}; give the path of one, or begin one with prefq onboard.")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Never opened here when it exists: closing it again would drop the locks of this process's other stores.
        if not target.exists():
            with suppress(FileExistsError):
                os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a circle
        if isinstance(error, PrefqError):
            raise
        said = getattr(error, "strerror", None) or error
        raise StorageError(f"the store {path} cannot be reached or made ({said}); give another path.") from error
    return str(path)


def _connect(url: URL, name: str) -> Database:
    try:
        engine = create_engine(url)
    except (SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        raise StorageError(
            f"no database can be reached by {name} ({error}); install its driver, or give a path or a URL of another."
        ) from error
    if engine.dialect.name != "sqlite":
        return Database(name, engine.execution_options(isolation_level="REPEATABLE READ"), engine)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(name, engine, engine.execution_options(prefq_begin="BEGIN IMMEDIATE"))


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not where the driver guesses
    try:
        for pragma in SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except _SQLITE_ERRORS:
        connection.close()
        raise


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and asks to write later fails at once when two do it, without waiting.
    connection.exec_driver_sql(connection.get_execution_options().get("prefq_begin", "BEGIN"))


def _migrate(database: Database, patience: float) -> None:
    """Bring the tables to `HEAD`; processes that open a new database at one time wait for the first."""
    with database.reading() as connection:
        if _version(connection) == HEAD:
            return
        _require_ours(connection, database.name)
    if database.writes.dialect.name == "sqlite":
        with faults_in_words(database.name):
            _use_write_ahead_log(database.writes, patience)
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        if _version(connection) != HEAD:
            _upgrade(connection, database.name)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return found


def _require_ours(connection: Connection, name: str) -> None:
    """Refuse a file in which another program keeps its tables, before anything in it is changed."""
    tables = inspect(connection).get_table_names()
    if connection.dialect.name == "sqlite" and tables and VERSION_TABLE not in tables:
        raise StorageError(
            f"the store {name} holds tables of another program ({', '.join(tables[:3])}); give another path."
        )


def _upgrade(connection: Connection, name: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "prefq.storage:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    version = _version(connection)
    if version is not None and version not in known:
        raise StorageError(
            f"the store {name} was written by a newer prefq (its tables have version {version!r} and this prefq knows "
            f"them up to {HEAD!r}); update prefq, or use another store."
        )
    command.upgrade(config, "head")


def _use_write_ahead_log(engine: Engine, patience: float) -> None:
    """Switch to WAL, which the file then remembers; SQLite itself does not wait here for another that does the same."""
    end = time.monotonic() + patience
    while True:
        try:
            _outside_transaction(engine, "PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _outside_transaction(engine: Engine, statement: str) -> Any:
    """First value of the first row that a statement gives which SQLite takes only outside a transaction."""
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        try:
            cursor.execute(statement)
            row = cursor.fetchone()
        finally:
            cursor.close()
    return row[0] if row else None
