"""A store of its own for each test: in SQLite, and in PostgreSQL where its programs are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from flowmate_airflow.store.store import Store, close_stores, open_store

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

from local_postgres import LocalPostgres  # noqa: E402


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server's URL."""
    pytest.importorskip("psycopg2")
    answer = subprocess.run([ROOT / "scripts" / "postgres", "find"], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("there is no PostgreSQL server on this machine; scripts/postgres installs one")
    with LocalPostgres(Path(answer.stdout.strip())) as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """The URL of an empty database."""
    yield postgres
    close_stores()
    server = sqlalchemy.create_engine(postgres)
    with server.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    server.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    yield open_store(url)
    close_stores()
