"""A small pool, a store in a file, and, where the environment names a server, one in PostgreSQL."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from prefq import CandidatePool
from prefq.storage.sql import SqlStore

POSTGRESQL_VARIABLE = "PREFQ_TEST_POSTGRESQL"  # such as postgresql+psycopg://user@host/database


@pytest.fixture(scope="session")
def pool() -> CandidatePool:
    """Forty items of three features in twenty questions."""
    features = np.random.default_rng(0).normal(size=(40, 3))
    return CandidatePool.from_arrays(features, np.arange(40).reshape(20, 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite database may be made."""
    return tmp_path / "prefq.db"


@pytest.fixture(params=["sqlite", "postgresql"] if os.environ.get(POSTGRESQL_VARIABLE) else ["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a new database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'prefq.db'}"
        return
    server = os.environ[POSTGRESQL_VARIABLE]
    schema, engine = f"prefq_{uuid4().hex}", create_engine(server)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{server}?options=-csearch_path%3D{schema}"
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    """A new store, of each kind."""
    with SqlStore.open(url) as opened:
        yield opened


@pytest.fixture
def query() -> Callable[[Path, str], list[object]]:
    """Runs one statement on a SQLite file, past the store, and returns its rows."""

    def run(path: Path, statement: str) -> list[object]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement).fetchall()

    return run
