"""Credentials that a connector changed, such as a token that is new after each use.

A task cannot write a Connection, and a token that is lost has to be asked of a person again. So it is kept here until
the Connection itself is changed, encrypted with the key that Airflow encrypts its Connections with.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.encryption import SAME_KEY, decrypt, encrypt
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now, upsert
from flowmate_airflow.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

log = logging.getLogger(__name__)
_KEYS = ("tenant", "conn_id", "connector")


def save_changed(
    store: Store, conn_id: str, connector: str, values: dict[str, Any], original_digest: str, tenant: str = ""
) -> None:
    """Keep changed credentials; the last ones win.

    :param original_digest: of the credentials as the Connection has them, :func:`changed` compares it
    :raises StoreError: they are not JSON or cannot be encrypted, or the store cannot be written; no value is in it
    """
    try:
        text = json.dumps(values).encode()
    except (TypeError, ValueError, RecursionError):
        raise StoreError(f"the changed credentials of the Connection {conn_id} are not JSON") from None
    secret, is_encrypted = encrypt(text, f"the changed credentials of the Connection {conn_id}")
    if not is_encrypted:
        log.warning("[core] fernet_key is empty: as Connections, changed credentials are stored unencrypted")
    row = {
        **{"tenant": tenant, "conn_id": conn_id, "connector": connector, "original": original_digest},
        **{"secret": secret, "is_encrypted": is_encrypted, "saved_at": now()},
    }
    with store.write() as connection:
        upsert(connection, store.tables.changed_secrets, [row], _KEYS)


def changed(store: Store, conn_id: str, connector: str, original_digest: str, tenant: str = "") -> dict[str, Any]:
    """Return the changed credentials; none when the Connection was changed since they were kept.

    :raises StoreError: they cannot be decrypted, or the store cannot be read
    """
    table = store.tables.changed_secrets
    with store.read() as connection:
        row = connection.execute(table.select().where(*_at(store, conn_id, connector, tenant))).one_or_none()
    if row is None or row.original != original_digest:
        return {}
    what = f"the changed credentials of the Connection {conn_id}"
    text = decrypt(
        bytes(row.secret), row.is_encrypted, what, f"{SAME_KEY}, or save the Connection with new credentials"
    )
    try:
        values = json.loads(text)
    except ValueError:
        raise StoreError(f"{what} in the store are damaged") from None
    return values if isinstance(values, dict) else {}


def forget_changed(store: Store, conn_id: str, connector: str, tenant: str = "") -> None:
    """Remove changed credentials.

    :raises StoreError: the store cannot be written
    """
    with store.write() as connection:
        connection.execute(store.tables.changed_secrets.delete().where(*_at(store, conn_id, connector, tenant)))


def _at(store: Store, conn_id: str, connector: str, tenant: str) -> list[ColumnElement[bool]]:
    columns = store.tables.changed_secrets.c
    return [columns.tenant == tenant, columns.conn_id == conn_id, columns.connector == connector]
