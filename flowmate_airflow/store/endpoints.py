"""What makes an endpoint's address hard to guess, and what its provider gave to prove itself.

Both are encrypted where Airflow has a key, as its Connections are.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.encryption import decrypt, encrypt
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.opened import Opened
from flowmate_airflow.store.sql import now, upsert
from flowmate_airflow.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

log = logging.getLogger(__name__)
_KEYS = ("endpoint", "tenant")
_SECRETS = ("token", "previous", "learned")
MAX_SECRET = 4096


def token_of(store: Store, endpoint: str, tenant: str = "") -> str:
    """Return the token of an endpoint's address; it is made when it is asked for first.

    :raises StoreError: it cannot be decrypted, or the store cannot be written
    """
    with store.read() as connection:
        row = _row(connection, store, endpoint, tenant)
    if row is None:
        with store.write() as connection:
            row = _made(connection, store, endpoint, tenant)
    return _opened(row)["token"]


def rotate(store: Store, endpoint: str, tenant: str = "", keep_old: timedelta = timedelta(days=1)) -> str:
    """Give an endpoint another token, and return it.

    :param keep_old: how long the one before is valid, too; the one before that no longer is
    :raises StoreError: the old one cannot be decrypted, or the store cannot be written
    """
    with store.write() as connection:
        row = _made(connection, store, endpoint, tenant)
        values = _opened(row)
        values |= {"previous": values["token"], "token": _new_token()}
        _put(connection, store, endpoint, tenant, values, now() + keep_old)
    return values["token"]


def tokens(store: Store, opened: Opened | None = None) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the tokens that are valid now, of each endpoint and tenant that has any, the newest first.

    One that cannot be decrypted has none: its requests are refused, those of the others are not.

    :param opened: what was decrypted before: there may be one for each tenant, and they are asked for again and again
    :raises StoreError: the store cannot be read
    """
    table, opened = store.tables.endpoints, opened or Opened()
    columns = [table.c[name] for name in (*_KEYS, "token", "previous", "previous_until", "is_encrypted")]
    with store.read() as connection:
        rows = connection.execute(table.select().with_only_columns(*columns)).all()
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    opened.begin()
    moment = now()
    for row in rows:
        is_over = row.previous_until is None or row.previous_until <= moment
        valid = [row.token] if is_over or row.previous is None else [row.token, row.previous]
        try:
            texts = [opened.decrypt(bytes(data), row.is_encrypted, _what(row.endpoint)) for data in valid]
        except StoreError as error:
            if store.is_due(f"the tokens of {row.endpoint}"):  # this is asked every few seconds
                log.warning("%s", error)
            texts = []
        found[row.endpoint, row.tenant] = tuple(text.decode(errors="surrogatepass") for text in texts)
    return found


def tenants_of(store: Store, endpoint: str) -> list[str]:
    """Return the tenants that have an address of their own at an endpoint, in order.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.endpoints
    query = table.select().with_only_columns(table.c.tenant).where(table.c.endpoint == endpoint, table.c.tenant != "")
    with store.read() as connection:
        return list(connection.execute(query.order_by(table.c.tenant)).scalars())


def forget(store: Store, tenant: str, endpoint: str | None = None) -> None:
    """Remove the addresses of a tenant: whoever still calls one of them is not let in.

    :param endpoint: only at this endpoint
    :raises StoreError: the store cannot be written
    """
    table = store.tables.endpoints
    which = [table.c.tenant == tenant, *([] if endpoint is None else [table.c.endpoint == endpoint])]
    with store.write() as connection:
        connection.execute(table.delete().where(*which))


def learn(store: Store, endpoint: str, secret: str, tenant: str = "") -> None:
    """Keep the secret that a provider gave when it was told the address; the last one counts.

    :raises StoreError: it is too long or cannot be encrypted, or the store cannot be written; it is not in the text
    """
    if len(secret) > MAX_SECRET:
        raise StoreError(f"the secret that was given to the endpoint {endpoint} has more than {MAX_SECRET} characters")
    with store.write() as connection:
        row = _made(connection, store, endpoint, tenant)
        _put(connection, store, endpoint, tenant, _opened(row) | {"learned": secret}, row.previous_until)


def learned(store: Store, endpoint: str, tenant: str = "") -> str | None:
    """Return the secret that a provider gave, None when there is none.

    :raises StoreError: it cannot be decrypted, or the store cannot be read
    """
    with store.read() as connection:
        row = _row(connection, store, endpoint, tenant)
    return None if row is None else _opened(row).get("learned")


def _made(connection: Connection, store: Store, endpoint: str, tenant: str) -> Row[Any]:
    """Return the row, which nobody else changes in this transaction; it is made where there is none."""
    row = _row(connection, store, endpoint, tenant, lock=True)
    if row is None:
        _put(connection, store, endpoint, tenant, {"token": _new_token()}, None, is_new=True)
        row = _row(connection, store, endpoint, tenant, lock=True)
        assert row is not None
    return row


def _row(connection: Connection, store: Store, endpoint: str, tenant: str, lock: bool = False) -> Row[Any] | None:
    query = store.tables.endpoints.select().where(*_at(store, endpoint, tenant))
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def _put(
    connection: Connection,
    store: Store,
    endpoint: str,
    tenant: str,
    values: dict[str, str],
    until: datetime | None,
    *,
    is_new: bool = False,
) -> None:
    """Write a row; a new one is left alone where another process was faster."""
    row: dict[str, Any] = {**dict.fromkeys(_SECRETS), "endpoint": endpoint, "tenant": tenant, "changed_at": now()}
    for name, value in values.items():
        row[name], row["is_encrypted"] = encrypt(value.encode(errors="surrogatepass"), _what(endpoint))
    row["previous_until"] = until
    table = store.tables.endpoints
    if is_new:
        upsert(connection, table, [row], _KEYS, change=["endpoint"])
    else:
        upsert(connection, table, [row], _KEYS)


def _opened(row: Row[Any]) -> dict[str, str]:
    """Return the secrets that a row has."""
    found = {name: getattr(row, name) for name in _SECRETS}
    return {
        name: decrypt(bytes(data), row.is_encrypted, _what(row.endpoint)).decode(errors="surrogatepass")
        for name, data in found.items()
        if data is not None
    }


def _what(endpoint: str) -> str:
    return f"the secrets of the endpoint {endpoint}"


def _new_token() -> str:
    return secrets.token_urlsafe(24)


def _at(store: Store, endpoint: str, tenant: str) -> list[ColumnElement[bool]]:
    columns = store.tables.endpoints.c
    return [columns.endpoint == endpoint, columns.tenant == tenant]
