"""The end of a tenant in the store: what is kept of them goes, a table at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.payloads import removed
from flowmate_airflow.store.sql import GROUP
from flowmate_airflow.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Table

# What is registered with other systems stays, with its addresses and secrets: whoever takes it back needs them.
# The tenant itself is last, so that what was erased by halves is still known.
_TABLES = (
    *("logins", "magic_links", "tenant_turns", "tenant_flows", "held_states", "states", "dead_letters"),
    *("catalogs", "links", "changed_secrets", "tenants"),
)


def erase(store: Store, tenant: str) -> int:
    """Remove what is kept of a tenant, but for links, and return how many rows there were.

    :raises StoreError: the store cannot be written, or the file of a delivery cannot be removed; what is left can be
        erased by another try
    """
    if not tenant:  # it stands for what is of no tenant
        raise StoreError("without a tenant nothing can be erased")
    count = _deliveries(store, tenant)
    return count + sum(_rows(store, getattr(store.tables, name), tenant) for name in _TABLES)


def _rows(store: Store, table: Table, tenant: str) -> int:
    with store.write() as connection:
        return connection.execute(table.delete().where(table.c.tenant == tenant)).rowcount


def _deliveries(store: Store, tenant: str) -> int:
    """Remove deliveries: the files first, as nothing would lead to them then."""
    table = store.tables.deliveries
    query = table.select().with_only_columns(table.c.id, table.c.href).where(table.c.tenant == tenant).limit(GROUP)
    count = 0
    while True:
        with store.read() as connection:
            rows = connection.execute(query).all()
        gone = [row.id for row in rows if not row.href or removed(row.href)]
        with store.write() as connection:
            count += connection.execute(table.delete().where(table.c.id.in_(gone))).rowcount
        if len(gone) < len(rows):
            raise StoreError(
                f"{len(rows) - len(gone):,} files with deliveries of the tenant {tenant} cannot be removed; "
                "what is left is removed by another try"
            )
        if len(rows) < GROUP:
            return count
