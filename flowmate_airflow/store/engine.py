"""SQLAlchemy's engine for each of the two databases."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import GROUP
from flowmate_airflow.store.urls import DRIVER, OPTION, SQLITE, make_file

BUSY_SECONDS = 30
"""How long one waits for SQLite, which lets one process write at a time."""
CONNECT_SECONDS = 10
LOST_SECONDS = 60
"""After this a PostgreSQL server that the network has swallowed is given up; by itself TCP waits for hours."""


def make_engine(url: URL) -> Engine:
    """Return an engine for the store.

    :raises StoreError: the URL's driver is not installed, or SQLite's file cannot be made
    """
    return _sqlite(url) if url.get_backend_name() == SQLITE else _postgres(url)


def _postgres(url: URL) -> Engine:
    # psycopg2 would send the rows of one statement one by one, and wait for each.
    together: dict[str, Any] = {"executemany_mode": "values_plus_batch", "executemany_batch_page_size": GROUP}
    try:
        return create_engine(
            url,
            **(together if url.drivername == DRIVER else {}),
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=2,
            max_overflow=8,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "flowmate",
                "keepalives_idle": LOST_SECONDS // 2,
                "keepalives_interval": LOST_SECONDS // 6,
                "keepalives_count": 3,
                "tcp_user_timeout": LOST_SECONDS * 1000,
            },
        )
    except ImportError as error:
        raise StoreError(
            f"{OPTION} needs the Python package {error.name}, which is not installed; "
            "for PostgreSQL install airflow-provider-flowmate[postgres]"
        ) from None
    except ArgumentError:
        raise StoreError(f"{OPTION} names a driver that SQLAlchemy does not know: {url.drivername}") from None


def _sqlite(url: URL) -> Engine:
    make_file(Path(str(url.database)))
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, and too late
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        # What was acknowledged is on the disk. It is the default, yet whoever compiled SQLite can have changed it.
        cursor.execute("PRAGMA synchronous = FULL")
        _use_wal(connection, cursor)
    finally:
        cursor.close()


def _use_wal(connection: Any, cursor: Any) -> None:
    """Let readers and the one writer not wait for each other. The file keeps it, so only the first one changes it."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except connection.OperationalError as error:
            # Of two processes that make the change at once, SQLite refuses one without waiting.
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("flowmate_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
