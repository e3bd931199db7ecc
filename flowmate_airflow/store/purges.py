"""What is removed of deliveries with time: first the payloads, later what one that comes again is known by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.deliveryrows import DELIVERED, FAILED, RECEIVED, REJECTED, kept, lock
from flowmate_airflow.store.payloads import removed
from flowmate_airflow.store.replies import forget_old
from flowmate_airflow.store.sql import GROUP, now
from flowmate_airflow.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

KEEP = timedelta(days=7)
"""How long payloads of an endpoint are kept that nobody says anything of: it is gone."""
KEEP_ROWS = timedelta(days=30)
_MAX_STUCK = 100
_FILES = 50
"""Files that are removed between two transactions; when the process dies, these stay until their rows are to go."""


def purge(store: Store, keep: Mapping[str, timedelta]) -> int:
    """Remove the payloads of finished deliveries, rows that are older than :data:`KEEP_ROWS`, and old answers.

    What no run has finished stays, however old. A file that cannot be removed is tried again at the next purge.

    :param keep: how long the payloads of each endpoint are kept after they were finished; :data:`KEEP` for others
    :return: how many payloads, notes of rejected requests and rows were removed
    :raises StoreError: the store cannot be written
    """
    moment = now()
    count = 0
    _take_up(store, moment - KEEP_ROWS)
    for endpoint in _endpoints(store):
        for status in (DELIVERED, FAILED, REJECTED):
            count += _purge_payloads(store, endpoint, status, moment - keep.get(endpoint, KEEP))
    forget_old(store)
    return count + _purge_rows(store, moment - KEEP_ROWS)


def give_up(store: Store, endpoint: str, age: timedelta) -> int:
    """Leave as failed what nobody has taken for so long, and return how many there were; it can be replayed.

    It is for endpoints where a step waits for the calls that it knows: the others would be looked at again and again.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.deliveries
    moment = now()
    old = (table.c.endpoint == endpoint, table.c.status == RECEIVED, table.c.received_at < moment - age)
    values = {"status": FAILED, "finished_at": moment, "error": "no step has waited for this call"}
    query = table.select().with_only_columns(table.c.id).where(table.c.finished_at.is_(None), *old).limit(GROUP)
    count = 0
    while True:
        with store.write() as connection:
            ids = [row.id for row in lock(connection, table, [table.c.id.in_(query.scalar_subquery())])]
            connection.execute(table.update().where(table.c.id.in_(ids)).values(values))
        count += len(ids)
        if len(ids) < GROUP:
            return count


def _endpoints(store: Store) -> Iterator[str]:
    """Yield the endpoints that have payloads of finished deliveries: one look into an index for each."""
    from sqlalchemy import func, select

    table = store.tables.deliveries
    query = select(func.min(table.c.endpoint)).where(*kept(table))
    with store.read() as connection:
        endpoint = connection.execute(query).scalar()
    while endpoint is not None:
        yield endpoint
        with store.read() as connection:
            endpoint = connection.execute(query.where(table.c.endpoint > endpoint)).scalar()


def _purge_payloads(store: Store, endpoint: str, status: str, before: datetime) -> int:
    """Remove payloads; first those in the database, so that looking for those in files passes over none of them."""
    table = store.tables.deliveries
    which = [table.c.endpoint == endpoint, table.c.status == status, table.c.finished_at < before]
    count = 0
    while True:
        with store.write() as connection:
            rows = _taken(connection, table, [*which, table.c.href.is_(None)], GROUP)
            _empty(connection, table, status, [row.id for row in rows])
        count += len(rows)
        if len(rows) < GROUP:
            return count + _purge_files(store, status, [*which, table.c.href.is_not(None)])


def _purge_files(store: Store, status: str, which: Sequence[ColumnElement[bool]]) -> int:
    """Remove payloads that are in files, while no transaction is open: an object storage takes its time.

    Before, they are no longer kept as far as the database goes, so that none is received again whose file is being
    removed. The files go before their names: of what is left of them, nothing else would lead to them.
    """
    table = store.tables.deliveries
    stuck: list[int] = []
    count = 0
    while len(stuck) < _MAX_STUCK:
        with store.write() as connection:
            rows = _taken(connection, table, [*which, table.c.id.not_in(stuck)], _FILES)
            these = table.c.id.in_([row.id for row in rows])
            connection.execute(table.update().where(these).values(payload=None))
        gone: list[int] = []
        try:
            for row in rows:
                if removed(row.href):
                    gone.append(row.id)
        finally:
            left = [row.id for row in rows if row.id not in gone]
            with store.write() as connection:
                _empty(connection, table, status, gone)
                connection.execute(table.update().where(table.c.id.in_(left)).values(payload=b""))
        stuck += left
        count += len(gone)
        if len(rows) < _FILES:
            break
    return count


def _take_up(store: Store, before: datetime) -> None:
    """Let files be removed now at which another process died: a row with a file's name must not go before the file."""
    table = store.tables.deliveries
    with store.write() as connection:
        these = [*_old(table, before), table.c.href.is_not(None)]
        connection.execute(table.update().where(*these).values(payload=b""))


def _old(table: Table, before: datetime) -> list[ColumnElement[bool]]:
    return [table.c.received_at < before, table.c.finished_at.is_not(None), table.c.payload.is_(None)]


def _taken(connection: Connection, table: Table, which: Sequence[ColumnElement[bool]], limit: int) -> Sequence[Any]:
    """Return id and file of finished deliveries that this transaction is going to change, the oldest first."""
    query = table.select().with_only_columns(table.c.id, table.c.href).where(*kept(table), *which)
    query = query.order_by(table.c.finished_at).limit(limit).with_for_update(skip_locked=True)
    return connection.execute(query).all()


def _empty(connection: Connection, table: Table, status: str, ids: Sequence[int]) -> None:
    these = table.c.id.in_(ids)
    emptied = table.update().where(these).values(payload=None, href=None)
    connection.execute(table.delete().where(these) if status == REJECTED else emptied)


def _purge_rows(store: Store, before: datetime) -> int:
    table = store.tables.deliveries
    query = table.select().with_only_columns(table.c.id).where(*_old(table, before), table.c.href.is_(None))
    query = query.limit(GROUP).with_for_update(skip_locked=True)
    count = 0
    while True:
        with store.write() as connection:
            ids = connection.execute(query).scalars().all()
            connection.execute(table.delete().where(table.c.id.in_(ids)))
        count += len(ids)
        if len(ids) < GROUP:
            return count
