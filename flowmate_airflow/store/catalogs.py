"""What a connector's account offered when it was last asked: tables and fields, with the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

MAX_CATALOG = 64 * MIB
KEEP = timedelta(days=90)
"""How long the catalog of another config or image is kept after it was last saved."""


@dataclass(frozen=True, slots=True)
class CatalogKey:
    """Whose catalog it is.

    :param connection: the Connection's id, empty without one
    :param digest: of the config and the image: another one may offer something else
    """

    connector: str
    connection: str
    digest: str
    tenant: str = ""


def save_catalog(store: Store, key: CatalogKey, streams: Any) -> None:
    """Keep a catalog; what it replaces is kept as the previous one when it differs.

    :param streams: any JSON value
    :raises StoreError: it is not JSON or too large, or the store cannot be written
    """
    packed = pack(streams, f"the catalog of {key.connector}", MAX_CATALOG)
    moment = now()
    table = store.tables.catalogs
    names = ("tenant", "connector", "connection", "digest")
    row = {name: getattr(key, name) for name in names} | {"streams": packed, "saved_at": moment}
    with store.write() as connection:
        changed = (*_at(store, key), table.c.streams != packed)
        replaced = {"previous": table.c.streams, "previous_at": table.c.saved_at}
        connection.execute(table.update().where(*changed).values(replaced))
        upsert(connection, table, [row], names)
        others = (*_account(store, key), table.c.saved_at < moment - KEEP)
        connection.execute(table.delete().where(*others))


def cached_catalog(store: Store, key: CatalogKey) -> tuple[Any, datetime] | None:
    """Return the catalog and when it was saved, None when there is none.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.catalogs
    query = table.select().with_only_columns(table.c.streams, table.c.saved_at).where(*_at(store, key))
    with store.read() as connection:
        return _unpacked(key, connection.execute(query).one_or_none())


def previous_catalog(store: Store, key: CatalogKey) -> tuple[Any, datetime] | None:
    """Return the catalog to compare with: the one before, else the newest of the account with another config or image.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.catalogs
    before = table.select().with_only_columns(table.c.previous, table.c.previous_at)
    other = table.select().with_only_columns(table.c.streams, table.c.saved_at)
    others = (*_account(store, key), table.c.digest != key.digest)
    with store.read() as connection:
        row = connection.execute(before.where(*_at(store, key), table.c.previous.is_not(None))).one_or_none()
        if row is None:
            row = connection.execute(other.where(*others).order_by(table.c.saved_at.desc()).limit(1)).one_or_none()
        return _unpacked(key, row)


def _unpacked(key: CatalogKey, row: Any | None) -> tuple[Any, datetime] | None:
    if row is None:
        return None
    packed, saved_at = row
    return unpack(packed, f"the catalog of {key.connector}"), saved_at


def _account(store: Store, key: CatalogKey) -> list[ColumnElement[bool]]:
    columns = store.tables.catalogs.c
    return [columns[name] == getattr(key, name) for name in ("tenant", "connector", "connection")]


def _at(store: Store, key: CatalogKey) -> list[ColumnElement[bool]]:
    return [*_account(store, key), store.tables.catalogs.c.digest == key.digest]
