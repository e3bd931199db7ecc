"""What follows when the last that was registered for a tenant who has unlinked is taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flowmate_airflow.auth.names import PREFIX
from flowmate_airflow.store.endpoints import forget
from flowmate_airflow.store.linked import find as find_link
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.subscriptions import ENDED, Subscription, find, save


def part(store: Store, has_left: Callable[[str], bool]) -> None:
    """Let the Connections go that stayed for what was registered with them, and nobody in at the addresses any more.

    :param has_left: asks for a Connection, upon which it goes if it is no longer needed, and returns whether it will
        not have to be asked for again
    :raises StoreError: the store cannot be used
    """
    for row in find(store):
        current = row.current
        if not row.tenant or row.status != ENDED or current is None or current.connection is None:
            continue
        if not is_linked(store, row):
            forget(store, row.tenant, current.endpoint)
        if not current.connection.startswith(PREFIX) or has_left(current.connection):
            save(store, replace(row, current=replace(current, connection=None)))


def is_linked(store: Store, row: Subscription) -> bool:
    """Whether a tenant still has the link with which their address was registered.

    :raises StoreError: the store cannot be read
    """
    current = row.current
    conn_id = current.connection if current is not None else None
    if current is None or not row.tenant or not (conn_id or "").startswith(PREFIX):
        return True  # it was registered with a Connection for all
    return find_link(store, row.tenant, current.connector) is not None
