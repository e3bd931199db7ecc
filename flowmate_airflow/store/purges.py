"""What is removed of deliveries with time: first the payloads, later what one that comes again is known by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from flowmate_airflow.store.deliveryrows import DELIVERED, FAILED, RECEIVED, REJECTED, kept, lock
from flowmate_airflow.store.payloads import removed
from flowmate_airflow.store.replies import forget_old
from flowmate_airflow.store.sql import GROUP, now
from flowmate_airflow.store.store import Store

KEEP = timedelta(days=7)
"""How long payloads of an endpoint are kept that nobody says anything of: it is gone."""
KEEP_ROWS = timedelta(days=30)
_MAX_STUCK = 100


def purge(store: Store, keep: Mapping[str, timedelta]) -> int:
    """Remove the payloads of finished deliveries, rows that are older than :data:`KEEP_ROWS`, and old answers.

    What no run has finished stays, however old. A file that cannot be removed is tried again at the next purge.

    :param keep: how long the payloads of each endpoint are kept after they were finished; :data:`KEEP` for others
    :return: how many payloads, notes of rejected requests and rows were removed
    :raises StoreError: the store cannot be written
    """
    moment = now()
    count = 0
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
    table = store.tables.deliveries
    query = table.select().with_only_columns(table.c.id, table.c.href)
    which = (table.c.endpoint == endpoint, table.c.status == status, table.c.finished_at < before)
    query = query.where(*kept(table), *which)
    query = query.order_by(table.c.finished_at).limit(GROUP).with_for_update(skip_locked=True)
    stuck: list[int] = []
    count = 0
    while len(stuck) < _MAX_STUCK:
        with store.write() as connection:
            rows = connection.execute(query.where(table.c.id.not_in(stuck))).all()
            # The files go first: of what is left of them in the database, nothing would lead to them.
            stuck += [row.id for row in rows if row.href and not removed(row.href)]
            gone = [row.id for row in rows if row.id not in stuck]
            these = table.c.id.in_(gone)
            emptied = table.update().where(these).values(payload=None, href=None)
            connection.execute(table.delete().where(these) if status == REJECTED else emptied)
        count += len(gone)
        if len(rows) < GROUP:
            break
    return count


def _purge_rows(store: Store, before: datetime) -> int:
    table = store.tables.deliveries
    old = (table.c.received_at < before, table.c.finished_at.is_not(None), table.c.payload.is_(None))
    query = table.select().with_only_columns(table.c.id).where(*old).limit(GROUP).with_for_update(skip_locked=True)
    count = 0
    while True:
        with store.write() as connection:
            ids = connection.execute(query).scalars().all()
            connection.execute(table.delete().where(table.c.id.in_(ids)))
        count += len(ids)
        if len(ids) < GROUP:
            return count
