"""What webhooks delivered: each is kept once, before its sender is answered, until a run has dealt with it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.deliveryrows import (
    CLAIMED,
    DELIVERED,
    FAILED,
    MAX_ERROR,
    RECEIVED,
    REJECTED,
    Count,
    Delivery,
    Wanted,
    columns,
    from_row,
    kept,
    payload_columns,
    pieces,
)
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.moves import replay
from flowmate_airflow.store.payloads import opened, removed, seal
from flowmate_airflow.store.purges import purge
from flowmate_airflow.store.sql import GROUP, now
from flowmate_airflow.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

__all__ = [
    "CLAIMED",
    "DELIVERED",
    "FAILED",
    "MAX_ERROR",
    "RECEIVED",
    "REJECTED",
    "Count",
    "Delivery",
    "NewDelivery",
    "Stored",
    "Wanted",
    "counts",
    "find",
    "get",
    "insert",
    "payload_of",
    "purge",
    "reject",
    "replay",
]
MAX_DELIVERY_ID = 500
MAX_EVENT = 200
MAX_REJECTED = 100
"""Rejected requests of an endpoint that are kept a minute: whoever attacks it must not fill the disk."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery that is to be kept.

    :param digest: of what makes it the same delivery when it comes again
    :param payload: JSON
    :param delivery_id: the sender's; a long one is cut
    :param order_key: deliveries with the same one are dealt with in their order
    :param encrypt: whether the payload may not be kept readable
    """

    endpoint: str
    digest: bytes
    payload: bytes = field(repr=False)
    tenant: str = ""
    delivery_id: str | None = None
    event: str | None = None
    order_key: str | None = None
    encrypt: bool = False
    received_at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a delivery.

    :param id: the store's, that of the first one when it came before
    """

    id: int
    is_duplicate: bool


def insert(
    store: Store, deliveries: Sequence[NewDelivery], spill: Callable[[bytes], str] | None = None
) -> list[Stored]:
    """Keep deliveries, all in one transaction, and return what became of each; they get ids in their order.

    :param spill: writes a large payload to a file, :func:`flowmate_airflow.store.payloads.spill_to`
    :raises StoreError: a payload is too large or cannot be encrypted, or the store cannot be written
    """
    rows: dict[bytes, dict[str, Any]] = {}
    try:
        for delivery in deliveries:
            if delivery.digest in rows:
                rows[delivery.digest]["duplicates"] += 1
            else:
                rows[delivery.digest] = _new_row(delivery, spill)
    except StoreError:
        for row in rows.values():
            if row["href"]:
                removed(row["href"])
        raise
    if not rows:
        return []
    with store.write() as connection:
        known = _insert(connection, store.tables.deliveries, list(rows.values()))
    # One that came before has a file already. When this was not committed, the files stay: perhaps it was.
    for key, row in rows.items():
        if row["href"] and known[key].is_duplicate:
            removed(row["href"])
    return [_first_time(known, delivery.digest) for delivery in deliveries]


def _first_time(known: dict[bytes, Stored], key: bytes) -> Stored:
    stored = known[key]
    known[key] = Stored(stored.id, True)
    return stored


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> dict[bytes, Stored]:
    dialect = connection.dialect.name
    if dialect != "sqlite" and len(rows) > 1:
        # Two transactions that write the same deliveries must do it in the same order, or each waits for the other.
        from sqlalchemy import text

        ids = connection.execute(text(_NEW_IDS), {"count": len(rows)}).scalars()
        for row, number in zip(rows, sorted(ids), strict=True):
            row["id"] = number
        rows = sorted(rows, key=lambda row: row["digest"])
    again = {row["digest"]: row["duplicates"] + 1 for row in rows}
    found = connection.execute(_statement(table, dialect), rows)
    return {bytes(key): Stored(number, count >= again[bytes(key)]) for number, key, count in found}


_NEW_IDS = "SELECT nextval(pg_get_serial_sequence('flowmate_deliveries', 'id')) FROM generate_series(1, :count)"


@lru_cache
def _statement(table: Table, dialect: str) -> Any:
    insert: Any
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert
    statement = insert(table)
    count = table.c.duplicates + statement.excluded.duplicates + 1
    statement = statement.on_conflict_do_update(index_elements=["digest"], set_={"duplicates": count})
    return statement.returning(table.c.id, table.c.digest, table.c.duplicates)


def _new_row(delivery: NewDelivery, spill: Callable[[bytes], str] | None) -> dict[str, Any]:
    what = f"the payload of a delivery to {delivery.endpoint}"
    sealed = seal(delivery.payload, what, must_encrypt=delivery.encrypt, spill=spill)
    return {
        "digest": delivery.digest,
        "endpoint": delivery.endpoint,
        "tenant": delivery.tenant,
        "delivery_id": delivery.delivery_id and delivery.delivery_id[:MAX_DELIVERY_ID],
        "event": delivery.event and delivery.event[:MAX_EVENT],
        "order_key": delivery.order_key and _order_key(delivery.order_key),
        "status": RECEIVED,
        "received_at": delivery.received_at,
        "available_at": delivery.received_at,
        "attempts": 0,
        "duplicates": 0,
        "size": len(delivery.payload),
        "is_encrypted": sealed.is_encrypted,
        "href": sealed.href,
        "payload": sealed.data,
    }


def _order_key(text: str) -> str:
    """Return a key as a database takes it: a digest stands for one that is too long or no proper text."""
    if len(text) <= 200 and text.isprintable():
        return text
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def reject(store: Store, endpoint: str, reason: str, *, tenant: str = "") -> None:
    """Note a request that was not taken, at most :data:`MAX_REJECTED` a minute of each endpoint.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.deliveries
    moment = now()
    which = (table.c.endpoint == endpoint, table.c.tenant == tenant, table.c.status == REJECTED)
    query = table.select().with_only_columns(table.c.finished_at).where(*kept(table), *which)
    query = query.order_by(table.c.finished_at.desc()).offset(MAX_REJECTED - 1).limit(1)
    with store.read() as connection:
        first = connection.execute(query).scalar()
    if first is not None and first > moment - timedelta(minutes=1):
        return
    row = {
        **{"digest": os.urandom(32), "endpoint": endpoint, "tenant": tenant, "status": REJECTED},
        **{"received_at": moment, "available_at": moment, "finished_at": moment, "error": reason[:MAX_ERROR]},
        **{"attempts": 0, "duplicates": 0, "size": 0, "is_encrypted": False, "payload": b""},
    }
    with store.write() as connection:
        connection.execute(table.insert(), row)


def find(store: Store, wanted: Wanted, limit: int | None = None, *, newest_first: bool = False) -> Iterator[Delivery]:
    """Yield deliveries in the order of their ids. Only a few are in memory at a time, no transaction stays open.

    :param limit: at most so many
    :raises StoreError: the store cannot be read
    """
    table = store.tables.deliveries
    query = table.select().with_only_columns(*columns(table))
    query = query.order_by(table.c.id.desc() if newest_first else table.c.id)
    for which in pieces(table, wanted, newest_first):
        last: int | None = None
        while limit is None or limit > 0:
            size = GROUP if limit is None else min(limit, GROUP)
            after = [] if last is None else [table.c.id < last if newest_first else table.c.id > last]
            with store.read() as connection:
                rows = connection.execute(query.where(*which, *after).limit(size)).all()
            yield from map(from_row, rows)
            limit = None if limit is None else limit - len(rows)
            if len(rows) < size:
                break
            last = rows[-1].id


def get(store: Store, number: int) -> Delivery | None:
    """Return the delivery with an id of the store, None when there is none.

    :raises StoreError: the store cannot be read
    """
    return next(find(store, Wanted(ids=[number])), None)


def payload_of(store: Store, number: int) -> bytes:
    """Return the JSON of a delivery's payload.

    :raises StoreError: there is no such delivery, or its payload is no longer kept or cannot be read
    """
    table = store.tables.deliveries
    query = table.select().with_only_columns(*payload_columns(table)).where(table.c.id == number)
    with store.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise StoreError(f"there is no delivery {number}")
    return opened(row, f"the payload of the delivery {number}")


def counts(store: Store) -> list[Count]:
    """Return how many deliveries each endpoint has of each status, in order.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import func, select

    table = store.tables.deliveries
    which = (table.c.endpoint, table.c.tenant, table.c.status)
    query = select(*which, func.count()).group_by(*which).order_by(*which)
    with store.read() as connection:
        return [Count(*row) for row in connection.execute(query)]
