"""Which record here is which one there: so that what was made once is changed the next time, not made again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flowmate_airflow.store.sql import groups, now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import digest


@dataclass(frozen=True, slots=True)
class LinkScope:
    """Within what an external id means one record.

    :param connection: the Connection's id, which stands for an account of the other system
    :param stream: the table or kind of record, where there are several
    """

    connector: str
    connection: str
    stream: str = ""
    tenant: str = ""

    @property
    def digest(self) -> bytes:
        """What stands for it in the store."""
        return digest(self.tenant, self.connector, self.connection, self.stream)

    def key(self, external_id: str) -> bytes:
        """Return what stands for one of its records."""
        return digest(self.tenant, self.connector, self.connection, self.stream, external_id)


def remember(store: Store, scope: LinkScope, pairs: Iterable[tuple[str, str]]) -> None:
    """Keep pairs of an external id (here) and a remote id (there); a later pair of the same external id wins.

    :raises StoreError: the store cannot be written
    """
    for group in groups(pairs):
        shared = {
            "tenant": scope.tenant,
            "connector": scope.connector,
            "connection": scope.connection,
            "stream": scope.stream,
            "scope": scope.digest,
            "updated_at": now(),
        }
        rows = [
            {**shared, "digest": scope.key(external), "external_id": external, "remote_id": remote}
            for external, remote in dict(group).items()
        ]
        with store.write() as connection:
            upsert(connection, store.tables.links, rows, ["digest"], change=["remote_id", "updated_at"])


def remote_ids(store: Store, scope: LinkScope, external_ids: Iterable[str]) -> dict[str, str]:
    """Return the remote ids of those external ids that have one.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.links
    found: dict[str, str] = {}
    for group in groups(external_ids):
        query = table.select().with_only_columns(table.c.external_id, table.c.remote_id)
        with store.read() as connection:
            rows = connection.execute(query.where(table.c.digest.in_([scope.key(external) for external in group])))
            found.update((row.external_id, row.remote_id) for row in rows)
    return found


def forget(store: Store, scope: LinkScope, external_ids: Iterable[str] | None = None) -> int:
    """Remove links, all of the scope when no ids are named, and return how many there were.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.links
    if external_ids is None:
        with store.write() as connection:
            return connection.execute(table.delete().where(table.c.scope == scope.digest)).rowcount
    removed = 0
    for group in groups(external_ids):
        with store.write() as connection:
            keys = [scope.key(external) for external in group]
            removed += connection.execute(table.delete().where(table.c.digest.in_(keys))).rowcount
    return removed
