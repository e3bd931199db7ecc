"""Deliveries that go to another endpoint, such as that of a flow that was renamed, and what can be received again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowmate_airflow.store.deliveryrows import CLAIM, CLAIMED, DELIVERED, FAILED, RECEIVED, Wanted, lock, pieces
from flowmate_airflow.store.sql import GROUP, now
from flowmate_airflow.store.store import Store


def replay(store: Store, wanted: Wanted) -> int:
    """Let finished deliveries be received again, as if for the first time, and return how many these are.

    Those that a run has are left alone, unless `wanted.status` says :data:`CLAIMED`: whoever says so knows that these
    runs are over. What was rejected or purged cannot come back.

    :raises StoreError: the store cannot be written
    """
    return _again(store, wanted, [CLAIMED] if wanted.status == CLAIMED else [DELIVERED, FAILED])


def move(store: Store, wanted: Wanted, to: str) -> int:
    """Let deliveries be received again, as :func:`replay` does, at another endpoint; return how many these are.

    Without a status it is those that wait and those that are finished. What is sent once more to the old address is
    still known as the same delivery.

    :param to: the other endpoint's name
    :raises StoreError: the store cannot be written
    """
    return _again(store, wanted, [CLAIMED] if wanted.status == CLAIMED else [RECEIVED, DELIVERED, FAILED], to)


def _again(store: Store, wanted: Wanted, statuses: Sequence[str], to: str | None = None) -> int:
    table = store.tables.deliveries
    changes = {
        **{"status": RECEIVED, "available_at": now(), "attempts": 0, "error": None, "finished_at": None},
        **dict.fromkeys(CLAIM),
        **({} if to is None else {"endpoint": to}),
    }
    found = 0
    for which in pieces(table, wanted, False):
        which = [*which, table.c.status.in_(statuses), table.c.payload.is_not(None)]
        which += [] if to is None else [table.c.endpoint != to]
        last = 0
        while True:
            query = table.select().with_only_columns(table.c.id).where(*which, table.c.id > last)
            with store.write() as connection:
                ids = connection.execute(query.order_by(table.c.id).limit(GROUP)).scalars().all()
                mine = lock(connection, table, [*which, table.c.id.in_(ids)])
                connection.execute(table.update().where(table.c.id.in_([row.id for row in mine])).values(changes))
            found += len(mine)
            if len(ids) < GROUP:
                break
            last = ids[-1]
    return found


def count_kept(store: Store, wanted: Wanted, statuses: Sequence[str]) -> Mapping[str, int]:
    """Return how many deliveries have each of the statuses and a payload, so that they can be received again.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import func, select

    table = store.tables.deliveries
    found: dict[str, int] = {}
    for which in pieces(table, wanted, False):
        query: Any = select(table.c.status, func.count()).where(*which, table.c.payload.is_not(None))
        with store.read() as connection:
            for status, number in connection.execute(
                query.where(table.c.status.in_(statuses)).group_by(table.c.status)
            ):
                found[status] = found.get(status, 0) + number
    return {status: found[status] for status in statuses if status in found}
