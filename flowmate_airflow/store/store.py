"""The store, opened: one engine a process, transactions, and errors that can be shown."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.urls import configured_url, parse_url, secrets_in, shown

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

_opened: dict[str, Store] = {}
_lock = threading.Lock()


class Store:
    """A database with FlowMate's tables.

    :param engine: its engine
    :param url: where it is
    """

    def __init__(self, engine: Engine, url: URL) -> None:
        from flowmate_airflow.store import tables

        self.engine = engine
        self.name = shown(url)
        self.tables: ModuleType = tables
        self._secrets = secrets_in(url)
        self._swept: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection in a transaction that only reads.

        :raises StoreError: the database cannot do it
        """
        with self._told(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction that is committed at the end, or not at all when an exception leaves it.

        :raises StoreError: the database cannot do it
        """
        # SQLite: a transaction that only starts to write after it has read would fail when another one writes.
        with self._told(), self.engine.connect() as connection:
            writing = connection.execution_options(flowmate_writes=True)
            with writing.begin():
                yield writing

    def is_due(self, what: str, seconds: float = 3600) -> bool:
        """Whether old rows of a table should be looked for again: the first time, then once in a while."""
        now = time.monotonic()
        if now - self._swept.get(what, -seconds) < seconds:
            return False
        self._swept[what] = now
        return True

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a database's driver raises into one sentence, without a trace that holds values."""
        from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError, StatementError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        try:
            yield
        except OverflowError:  # of SQLite's driver
            raise StoreError(f"the store {self.name} failed: a number is larger than a database's can be") from None
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, StatementError) else None
            if isinstance(cause, StoreError):  # a value that a column does not take
                raise cause from None
            transient = isinstance(error, OperationalError | InterfaceError | PoolTimeout)
            raise StoreError(f"the store {self.name} failed: {self._reason(error)}", transient=transient) from None

    def _reason(self, error: Exception) -> str:
        cause = getattr(error, "orig", None) or error
        # The lines after the first repeat values.
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return reason


def open_store(url: str | None = None) -> Store:
    """Return the store, opened once a process; its tables are made or brought up to date.

    :param url: of another database than the configured one
    :raises StoreError: there is no such database, it cannot be reached, or it was made by a newer FlowMate
    """
    text = url or configured_url()
    with _lock:
        store = _opened.get(text)
        if store is None:
            store = _opened[text] = _open(parse_url(text))
        return store


def close_stores() -> None:
    """Close what this process has opened."""
    with _lock:
        for store in _opened.values():
            store.engine.dispose()
        _opened.clear()


def _open(url: URL) -> Store:
    from flowmate_airflow.store.engine import make_engine
    from flowmate_airflow.store.schema import prepare

    store = Store(make_engine(url), url)
    try:
        prepare(store)
    except BaseException:
        store.engine.dispose()
        raise
    return store


def _close_idle() -> None:
    # No connection may be in two processes: SQLite loses its locks by it, PostgreSQL's answers mix.
    for store in list(_opened.values()):
        store.engine.dispose()


def _forget() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    _opened.clear()


os.register_at_fork(before=_close_idle, after_in_child=_forget)
