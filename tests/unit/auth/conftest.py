"""A linked connector in each of the two databases, for tests of renewals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from nasty import Nasty
from renewal_harness import Linked, linked_airflow, renewal_postgres

__all__ = ["renewal_postgres"]


@pytest.fixture(params=["sqlite", "postgresql"])
def linked(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nasty: Nasty
) -> Iterator[Linked]:
    """An Airflow with the connector `shop`, in each of the two databases."""
    if request.param == "sqlite":
        with linked_airflow(tmp_path, monkeypatch, nasty) as found:
            yield found
        return
    url = request.getfixturevalue("renewal_postgres")
    with linked_airflow(tmp_path, monkeypatch, nasty, url) as found:
        yield found
    server = sqlalchemy.create_engine(url)
    with server.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    server.dispose()


@pytest.fixture
def linked_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nasty: Nasty) -> Iterator[Linked]:
    """An Airflow with the connector `shop`, in SQLite: for what no database has a say in."""
    with linked_airflow(tmp_path, monkeypatch, nasty) as found:
        yield found
