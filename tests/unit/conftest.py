"""Puts this folder on the path, where `played` is for the tests of several packages, and that of played providers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

sys.path.append(str(Path(__file__).resolve().parent.parent / "providers"))

from provider_fixtures import nasty, oauth1_server, oidc, running_oidc

from flowmate_airflow.store import schema
from flowmate_airflow.store.schema import prepare
from flowmate_airflow.store.store import Store

__all__ = ["nasty", "oauth1_server", "oidc", "running_oidc"]

HOME = tempfile.mkdtemp(prefix="flowmate-tests-airflow-")
"""Airflow's home of this process, set before Airflow is imported: tests that name none would find and change what is in
that of whoever runs them, and what other processes of the tests keep there."""
os.environ["AIRFLOW_HOME"] = HOME


def pytest_configure() -> None:
    """Take Ctrl-C, as programs that tests start do: a shell's background job would ignore it, and they with it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """Remove Airflow's home of this process."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def quick_stores() -> Iterator[None]:
    """Let Alembic make the tables of a store once, and repeat its statements for others: it takes most of the time of
    many tests."""
    made: dict[str, str] = {}

    def quick(store: Store) -> None:
        dialect = store.engine.dialect.name
        if not _is_empty(store):
            prepare(store)
        elif dialect in made:
            with closing(store.engine.raw_connection()) as connection:
                cursor = connection.cursor()
                getattr(cursor, "executescript", cursor.execute)(made[dialect])
                connection.commit()
            prepare(store)  # which finds that all is there
        else:
            made[dialect] = _statements(store)

    schema.prepare = quick
    yield
    schema.prepare = prepare


@pytest.fixture
def real_stores(quick_stores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tables be made as they are elsewhere, for tests of that."""
    monkeypatch.setattr(schema, "prepare", prepare)


def _is_empty(store: Store) -> bool:
    try:
        return not sqlalchemy.inspect(store.engine).has_table(schema.VERSION_TABLE)
    except sqlalchemy.exc.SQLAlchemyError:
        return False  # it is told by the one who opens it


def _statements(store: Store) -> str:
    """Make the tables and return how."""
    said: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if re.match(r"\s*(CREATE|ALTER|DROP|INSERT|UPDATE)\b", statement):
            assert not parameters, statement
            said.append(statement)

    sqlalchemy.event.listen(store.engine, "before_cursor_execute", listen)
    prepare(store)
    sqlalchemy.event.remove(store.engine, "before_cursor_execute", listen)
    return ";\n".join(said)
