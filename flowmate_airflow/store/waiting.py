"""What waits for a run: which endpoints and tenants have deliveries that one could take now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.turns import in_turn, takeable

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

LATEST = 10
"""However often new events come, a flow that waits for quiet starts after so many times as long."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What an endpoint has for the next run.

    :param first_at: when the first of these was received
    """

    endpoint: str
    tenant: str
    first_id: int
    last_id: int
    count: int
    first_at: datetime
    last_at: datetime

    def is_quiet(self, seconds: float, moment: datetime) -> bool:
        """Whether nothing has come for so long, or the first one has waited for :data:`LATEST` times as long."""
        quiet, long = (moment - self.last_at).total_seconds(), (moment - self.first_at).total_seconds()
        return quiet >= seconds or long >= LATEST * seconds


def waiting(store: Store) -> list[Waiting]:
    """Return which endpoints have deliveries that a run could take now. Finished ones cost nothing.

    Without those that must wait for another one with the same key.

    :raises StoreError: the store cannot be read
    """
    return _waiting(store, [])


def tenants_waiting(store: Store, endpoint: str, *, debounce: float = 0) -> list[str]:
    """Return the tenants for whom a run should start now at an endpoint, in order.

    :param debounce: seconds that it must have been quiet at the tenant's address
    :raises StoreError: the store cannot be read
    """
    table, moment = store.tables.deliveries, now()
    found = _waiting(store, [table.c.endpoint == endpoint, table.c.tenant != ""])
    return [each.tenant for each in found if each.is_quiet(debounce, moment)]


def first_waiting(store: Store, endpoint: str, tenant: str = "") -> int | None:
    """Return the first delivery to an endpoint that a run could take now; None when there is none.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import func, select

    table = store.tables.deliveries
    query = select(func.min(table.c.id)).where(table.c.endpoint == endpoint, table.c.tenant == tenant)
    with store.read() as connection:
        return connection.execute(query.where(*takeable(table, now()))).scalar()


def _waiting(store: Store, which: list[ColumnElement[bool]]) -> list[Waiting]:
    from sqlalchemy import func, select

    table: Table = store.tables.deliveries
    moment = now()
    places = (table.c.endpoint, table.c.tenant)
    found = (func.min(table.c.id), func.max(table.c.id), func.count(table.c.id))
    times = (func.min(table.c.received_at), func.max(table.c.received_at))
    query: Any = select(*places, *found, *times).where(*takeable(table, moment), in_turn(table, moment), *which)
    query = query.group_by(*places).order_by(*places)
    with store.read() as connection:
        return [Waiting(*row) for row in connection.execute(query)]
