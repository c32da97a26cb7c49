"""A database is made, brought up to date and kept safe; each fault is one sentence."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from prefq import CandidatePool, NotFoundError, Session, StorageError
from prefq.storage.database import HEAD, VERSION_TABLE
from prefq.storage.sql import SqlStore
from prefq.storage.tables import metadata

Query = Callable[[Path, str], list[object]]

NOBODY = 65534
PATIENCE = "?timeout=0.05"


def filled(path: Path, pool: CandidatePool, n_sessions: int = 1, words: str = "because") -> list[Session]:
    """Sessions of one answer each, stored in a new database."""
    sessions = []
    with SqlStore.open(path) as store:
        for number in range(n_sessions):
            session, question = Session.start(f"s{number}", "ada", pool, time="t").ask(pool, time="t")
            assert question is not None
            sessions.append(session.tell(question.answer("first", reason=words), time="t"))
            store.save_session(sessions[-1])
            store.save_profile(sessions[-1].profile(pool), session_id=f"s{number}")
    return sessions


def one_sentence(error: pytest.ExceptionInfo[StorageError]) -> str:
    said = str(error.value)
    assert "\n" not in said
    assert said.endswith(".")
    assert not said.endswith("..")
    return said


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user can reach."""
    with TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Not as root, whom no permission stops: root gives the folder to nobody and becomes that one meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# --- making and bringing up to date ---


def test_a_new_database_has_the_folder_the_file_for_its_owner_alone_and_the_pragmas(
    tmp_path: Path, query: Query
) -> None:
    path = tmp_path / "some" / "where" / "prefq.db"
    with SqlStore.open(path) as store:
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
        with store._database.reading() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
            }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}  # 2 is FULL
    assert query(path, f"SELECT * FROM {VERSION_TABLE}") == [(HEAD,)]


def test_the_tables_column_by_column(path: Path, query: Query) -> None:
    SqlStore.open(path).close()
    columns = 'SELECT m.name, c.name, c.type, c."notnull", c.pk FROM sqlite_master m, pragma_table_info(m.name) c'
    assert query(path, f"{columns} WHERE m.type = 'table' AND m.name != '{VERSION_TABLE}' ORDER BY m.name, c.cid") == [
        ("events", "session_id", "TEXT", 1, 1),
        ("events", "sequence", "INTEGER", 1, 2),
        ("events", "kind", "TEXT", 1, 0),
        ("events", "time", "TEXT", 1, 0),
        ("events", "payload", "TEXT", 1, 0),
        ("profiles", "id", "INTEGER", 1, 1),
        ("profiles", "user_id", "TEXT", 1, 0),
        ("profiles", "session_id", "TEXT", 1, 0),
        ("profiles", "created", "TEXT", 0, 0),
        ("profiles", "n_answers", "INTEGER", 1, 0),
        ("profiles", "document", "TEXT", 1, 0),
        ("sessions", "id", "TEXT", 1, 1),
        ("sessions", "user_id", "TEXT", 1, 0),
        ("sessions", "created", "TEXT", 1, 0),
        ("sessions", "pool_name", "TEXT", 1, 0),
        ("sessions", "pool_digest", "TEXT", 1, 0),
        ("sessions", "feature_space", "TEXT", 1, 0),
        ("sessions", "seed", "TEXT", 1, 0),
        ("sessions", "settings", "TEXT", 1, 0),
        ("sessions", "format_version", "INTEGER", 1, 0),
        ("sessions", "prior", "TEXT", 0, 0),
    ]
    keys = 'SELECT m.name, k."table", k."from", k."to", k.on_delete FROM sqlite_master m'
    assert query(path, f"{keys}, pragma_foreign_key_list(m.name) k ORDER BY m.name") == [
        ("events", "sessions", "session_id", "id", "CASCADE"),
        ("profiles", "sessions", "session_id", "id", "CASCADE"),
    ]


def test_the_migrations_lead_to_the_tables_that_the_code_uses(url: str) -> None:
    SqlStore.open(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


def test_head_is_the_newest_migration_and_the_migrations_are_in_the_package() -> None:
    config = Config()
    config.set_main_option("script_location", "prefq.storage:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    assert (files("prefq.storage") / "migrations" / "env.py").is_file()


def test_alembic_is_not_imported_when_the_database_is_up_to_date(path: Path) -> None:
    SqlStore.open(path).close()
    script = (
        "import sys; from prefq.storage.sql import SqlStore; SqlStore.open(sys.argv[1]).list_sessions();"
        "print([name for name in ('alembic', 'sqlalchemy.orm', 'mako') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_database_of_the_first_version_keeps_what_it_holds(path: Path, query: Query, pool: CandidatePool) -> None:
    sessions = filled(path, pool, n_sessions=2)
    query(path, "ALTER TABLE sessions DROP COLUMN prior")
    query(path, f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    with SqlStore.open(path) as store:
        assert [store.load_session(session.id) for session in sessions] == sessions
        for session in sessions:
            store.save_session(session.stop("enough.", time="t"))
    assert query(path, f"SELECT * FROM {VERSION_TABLE}") == [(HEAD,)]


def test_a_path_is_no_url_and_a_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    SqlStore.open("~/100% ?mine#.db").close()
    assert (tmp_path / "100% ?mine#.db").is_file()
    monkeypatch.chdir(tmp_path)
    SqlStore.open("sqlite:///here.db").close()
    assert (tmp_path / "here.db").is_file()


def test_a_file_that_is_not_there_is_made_only_where_it_may_be(path: Path, pool: CandidatePool) -> None:
    for where in (path, f"sqlite:///{path}", path.parent / "no" / "prefq.db"):
        with pytest.raises(NotFoundError, match="there is no store") as error:
            SqlStore.open(where, create=False)
        assert "\n" not in str(error.value)
    assert list(path.parent.iterdir()) == []
    sessions = filled(path, pool)
    with SqlStore.open(path, create=False) as store:
        assert store.load_session("s0") == sessions[0]


def test_a_link_to_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "prefq.db")
    SqlStore.open(tmp_path / "link.db").close()
    assert stat.S_IMODE((tmp_path / "prefq.db").stat().st_mode) == 0o600


def test_opening_a_second_store_leaves_the_locks_of_the_first(path: Path, pool: CandidatePool) -> None:
    filled(path, pool)
    with SqlStore.open(path) as store, store._database.writing(), SqlStore.open(path):
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert "database is locked" in done.stderr


def test_a_database_that_was_not_finished_is_finished(path: Path) -> None:
    path.touch()  # killed after the file was made
    SqlStore.open(path).close()
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:  # killed before the tables were made
        connection.execute("PRAGMA journal_mode = WAL")
    with SqlStore.open(path) as store:
        assert store.list_sessions() == []


OPEN_WHAT_IS_READ = """
import sys
import numpy as np
import prefq
from prefq.storage.sql import SqlStore
pool = prefq.CandidatePool.from_arrays(np.eye(4), [[0, 1], [2, 3]])
for line in sys.stdin:
    with SqlStore.open(line.strip()) as store:
        store.save_session(prefq.Session.start(sys.argv[1], "ada", pool, time="t"))
        store.save_session(prefq.Session.start(sys.argv[1] + "2", "ada", pool, time="t"))
    print("done", flush=True)
"""


def test_two_processes_may_make_one_database_at_the_same_moment(url: str, tmp_path: Path) -> None:
    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", OPEN_WHAT_IS_READ, name]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    urls = [f"sqlite:///{tmp_path / f'{n}.db'}" for n in range(15)] if url.startswith("sqlite") else [url]
    with start("one") as one, start("other") as other:
        for each in urls:
            for process in (one, other):
                assert process.stdin is not None
                process.stdin.write(each + "\n")
            for process in (one, other):
                assert process.stdout is not None
                assert process.stdout.readline() == "done\n"
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.close()
    for each in urls:
        with SqlStore.open(each) as store:
            assert {summary.id for summary in store.list_sessions()} == {"one", "one2", "other", "other2"}


# --- faults, each in one sentence ---


def test_a_newer_version(path: Path, query: Query, pool: CandidatePool) -> None:
    filled(path, pool)
    query(path, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"was written by a newer prefq .* '9999' .* update prefq") as error:
        SqlStore.open(path)
    one_sentence(error)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_left_alone(path: Path, query: Query) -> None:
    query(path, "CREATE TABLE places (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"holds tables of another program \(places\); give another path") as error:
        SqlStore.open(path)
    one_sentence(error)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", r"is a folder; give the path of a file"),
        ("file/prefq.db", r"cannot be reached or made \(File exists\); give another path"),
        ("file/more/prefq.db", r"cannot be reached or made \(Not a directory\)"),
        ("null\0character", r"cannot be reached or made \(.*null (byte|character)"),
        ("circle", r"cannot be (reached or made \(.*loop|opened; it needs a file)"),  # 3.13 resolves circles,
        ("x" * 300, r"cannot be reached or made \(File name too long\)"),
    ],
)
def test_a_path_where_no_file_can_be(tmp_path: Path, where: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(StorageError, match=said) as error:
        SqlStore.open(tmp_path / where)
    one_sentence(error)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "names no file and would keep nothing"),
        ("sqlite:///:memory:", "names no file and would keep nothing"),
        ("://", "URL cannot be read"),
        ("nosuch://host/name", r"no database can be reached by nosuch://host/name .* install its driver"),
        ("sqlite:///x.db?timeout=soon", r"no database can be reached by x\.db \(.*'soon'\)"),
        ("postgresql+nosuch://ada:secret@host/name", r"no database can be reached by postgresql\+nosuch://ada:\*\*\*@"),
    ],
)
def test_a_url_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=said) as error:
        SqlStore.open(url)
    one_sentence(error)


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_locked_database(path: Path, pool: CandidatePool, lock: str) -> None:
    [session] = filled(path, pool)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(lock)
        with SqlStore.open(f"sqlite:///{path}{PATIENCE}") as store:
            assert store.load_session("s0") == session
            with pytest.raises(StorageError, match=r"is locked by another program; wait .* and try again") as error:
                store.save_session(session.stop("done.", time="t"))
            one_sentence(error)
            other.execute("ROLLBACK")
            store.save_session(session.stop("done.", time="t"))


def test_a_new_database_that_another_program_has_locked(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="is locked by another program") as error:
            SqlStore.open(f"sqlite:///{path}{PATIENCE}")
        one_sentence(error)
    SqlStore.open(path).close()


def test_a_log_in_use_is_told_of_when_deleting_and_deleting_again_empties_it(path: Path, pool: CandidatePool) -> None:
    filled(path, pool, words="my-own-words")
    with SqlStore.open(f"sqlite:///{path}{PATIENCE}") as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM sessions").fetchall()
            with pytest.raises(
                StorageError, match=r"may still be in its log, .* close that one and delete again"
            ) as error:
                store.delete_user("ada")
            one_sentence(error)
        assert store.delete_user("ada") == 0
        assert not any(b"my-own-words" in file.read_bytes() for file in path.parent.iterdir())


def test_a_database_opened_to_read_only(path: Path, pool: CandidatePool) -> None:
    [session] = filled(path, pool)
    with SqlStore.open(f"sqlite:///file:{path}?mode=ro&uri=true") as store:
        assert store.load_session("s0") == session
        with pytest.raises(StorageError, match=r"cannot be written; make the file .* writable") as error:
            store.save_session(session.stop("done.", time="t"))
        one_sentence(error)
        with pytest.raises(StorageError, match="cannot be written"):
            store.delete_user("ada")


def test_a_file_that_may_not_be_written(folder: Path, pool: CandidatePool) -> None:
    path = folder / "prefq.db"
    [session] = filled(path, pool)
    path.chmod(0o400)
    with as_nobody(folder), SqlStore.open(path) as store:
        assert store.load_session("s0") == session
        with pytest.raises(StorageError, match=r"cannot be written; make the file .* writable") as error:
            store.save_session(session.stop("done.", time="t"))
    one_sentence(error)


def test_a_file_that_may_not_be_read(folder: Path, pool: CandidatePool) -> None:
    path = folder / "prefq.db"
    filled(path, pool)
    path.chmod(0)
    with as_nobody(folder), pytest.raises(StorageError, match="cannot be opened; it needs a file in a folder") as error:
        SqlStore.open(path)
    one_sentence(error)


def test_a_folder_that_may_not_be_written(folder: Path, pool: CandidatePool) -> None:
    path = folder / "prefq.db"
    filled(path, pool)
    folder.chmod(0o500)
    with as_nobody(folder):
        with pytest.raises(StorageError, match=r"cannot be written; make the file and its folder") as error:
            SqlStore.open(path)
        one_sentence(error)
        with pytest.raises(
            StorageError, match=r"cannot be reached or made \(Permission denied\); give another path"
        ) as error:
            SqlStore.open(folder / "new.db")
        one_sentence(error)
        folder.chmod(0)
        with pytest.raises(StorageError, match=r"cannot be reached or made \(Permission denied\); give another path"):
            SqlStore.open(path)
        folder.chmod(0o700)


@contextmanager
def no_file_beyond(n_bytes: int) -> Iterator[None]:
    """A full disk, as far as this process can tell."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(path: Path, pool: CandidatePool) -> None:
    [session] = filled(path, pool)
    with SqlStore.open(path) as store:
        store.save_session(session)
        with (
            no_file_beyond(32_768),
            pytest.raises(StorageError, match=r"disk.* what was saved before is kept") as error,
        ):
            store.save_session(session.stop("x" * 100_000, time="t"))
        one_sentence(error)
        assert store.load_session("s0") == session
        store.save_session(session.stop("done.", time="t"))
    with SqlStore.open(path) as store:
        assert store.load_session("s0") == session.stop("done.", time="t")


def use(path: Path) -> None:
    """Everything a program may want of a store, so that damage comes to light somewhere."""
    with SqlStore.open(path) as store:
        for summary in store.list_sessions():
            store.load_session(summary.id)
        for profile in store.list_profiles():
            store.load_profile(profile.user_id)


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at" * 100, b"short", b"\0" * 8192])
def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(
        StorageError, match="is not a database that prefq wrote, or is damaged; restore a copy"
    ) as error:
        use(path)
    one_sentence(error)
    assert path.read_bytes() == content


@pytest.mark.parametrize("n_bytes", [50, 1000, 4096, 10_000, 40_000])
def test_a_truncated_database(path: Path, pool: CandidatePool, n_bytes: int) -> None:
    filled(path, pool, n_sessions=30)
    os.truncate(path, n_bytes)
    with pytest.raises(StorageError, match="damaged; restore a copy") as error:
        use(path)
    one_sentence(error)


def test_damaged_pages_are_storage_errors_or_go_unseen_but_never_anything_else(path: Path, pool: CandidatePool) -> None:
    filled(path, pool, n_sessions=20)
    whole, rng, n_unseen = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(60):
        damaged, start = bytearray(whole), int(rng.integers(100, len(whole) - 300))
        damaged[start : start + 300] = rng.bytes(300)
        path.write_bytes(damaged)
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        with suppress(StorageError):
            use(path)
            n_unseen += 1
    assert n_unseen < 55


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET payload = '{'",
        "UPDATE events SET payload = '[]'",
        "UPDATE events SET payload = '{}'",
        "UPDATE events SET payload = x'ff00'",
        "UPDATE events SET payload = CAST(x'ff00' AS TEXT)",
        "UPDATE events SET kind = 'guessed'",
        "UPDATE events SET payload = replace(payload, 'first', 'last')",
        "UPDATE events SET payload = replace(payload, '\"answer\":', '\"reply\":') WHERE kind = 'answered'",
        "DELETE FROM events WHERE sequence = 0",
        "UPDATE sessions SET feature_space = '{}'",
        "UPDATE sessions SET feature_space = 'x'",
        "UPDATE sessions SET settings = 'null'",
        "UPDATE sessions SET seed = 'x'",
        "UPDATE sessions SET format_version = 2",
        "UPDATE profiles SET document = '{'",
        "UPDATE profiles SET document = '{}'",
        "UPDATE profiles SET document = replace(document, 'mean', 'median')",
    ],
)
def test_damaged_rows(path: Path, pool: CandidatePool, query: Query, damage: str) -> None:
    filled(path, pool)
    query(path, damage)
    with pytest.raises(StorageError) as error:
        use(path)
    said = one_sentence(error)
    assert re.search(r"is damaged \(.*\); restore a copy of the file, or delete the user|Could not decode", said)
    with SqlStore.open(path) as store:
        assert store.delete_user("ada") == 1


def test_a_table_that_is_gone(path: Path, pool: CandidatePool, query: Query) -> None:
    filled(path, pool)
    query(path, "DROP TABLE events")
    with pytest.raises(StorageError, match=r"failed \(no such table: events\); what was saved before is kept") as error:
        use(path)
    one_sentence(error)
