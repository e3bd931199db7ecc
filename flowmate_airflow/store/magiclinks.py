"""Magic links: addresses by which a tenant's people link connectors without an account, each in one browser.

Of a link's token and of the browser's cookie, only digests are here.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, digest, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import Row

_SWEEP = timedelta(hours=1)
_MAX_OPTIONS = MIB
_MAX_TOKEN = 200


@dataclass(frozen=True, slots=True)
class MagicLink:
    """A magic link.

    :param number: stands for it, and is no secret
    :param tenant: whose connectors can be linked by it
    :param connectors: only these, in this order; None: any
    :param return_to: where people go on when they have linked one; None: nowhere
    :param made_by: who asked for it
    :param opened_at: when a browser opened it, which it belongs to from then on
    :param expires_at: when nobody can do anything by it any more
    """

    number: str
    tenant: str
    connectors: tuple[str, ...] | None
    return_to: str | None = field(repr=False)
    made_by: str
    created_at: datetime
    opened_at: datetime | None
    expires_at: datetime


def create(
    store: Store,
    tenant: str,
    *,
    expires_in: timedelta,
    connectors: Collection[str] | None = None,
    return_to: str | None = None,
    made_by: str = "",
) -> tuple[str, MagicLink]:
    """Make a link, and return its token and what is kept of it.

    :raises StoreError: the store cannot be written
    """
    purge(store)
    token = secrets.token_urlsafe(32)
    moment = now()
    options = {"connectors": None if connectors is None else list(connectors), "return_to": return_to, "by": made_by}
    row = {
        "digest": digest(token),
        "tenant": tenant,
        "options": pack(options, "the options of a magic link", _MAX_OPTIONS),
        "created_at": moment,
        "expires_at": moment + expires_in,
    }
    table = store.tables.magic_links
    with store.write() as connection:
        connection.execute(table.insert().values(row))
        made = connection.execute(table.select().where(table.c.digest == row["digest"])).one()
    return token, _link(made)


def find(store: Store, token: str) -> MagicLink | None:
    """Return the link of a token; None when there is none, or it is over.

    :raises StoreError: the store cannot be read
    """
    row = _row(store, digest(token)) if len(token) <= _MAX_TOKEN else None
    return None if row is None else _link(row)


def open_link(store: Store, token: str) -> tuple[str, MagicLink] | None:
    """Let a link belong to the browser that asks; None when it is over, or belongs to one.

    :return: what the browser's cookie is to hold, and the link
    :raises StoreError: the store cannot be written
    """
    table = store.tables.magic_links
    session, key, moment = secrets.token_urlsafe(32), digest(token), now()
    mine = (table.c.digest == key, table.c.session.is_(None), table.c.expires_at > moment)
    with store.write() as connection:
        change = table.update().where(*mine).values(session=digest(session), opened_at=moment)
        if connection.execute(change).rowcount != 1:
            return None
        row = connection.execute(table.select().where(table.c.digest == key)).one()
    return session, _link(row)


def opened(store: Store, number: str, session: str | None) -> MagicLink | None:
    """Return an open link to the browser that it belongs to; None to any other, and when it is over.

    :param number: see :class:`MagicLink`
    :param session: what the browser's cookie holds
    :raises StoreError: the store cannot be read
    """
    key = _key(number)
    row = None if key is None or not session or len(session) > _MAX_TOKEN else _row(store, key)
    if row is None or session is None or row.session is None:
        return None
    return _link(row) if secrets.compare_digest(bytes(row.session), digest(session)) else None


def revoke(store: Store, tenant: str) -> int:
    """Let none of a tenant's links be valid any more, and return how many were.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.magic_links
    with store.write() as connection:
        return int(connection.execute(table.delete().where(table.c.tenant == tenant)).rowcount)


def purge(store: Store) -> None:
    """Remove links that are over.

    :raises StoreError: the store cannot be written
    """
    if not store.is_due("magic links", _SWEEP.total_seconds()):
        return
    table = store.tables.magic_links
    with store.write() as connection:
        connection.execute(table.delete().where(table.c.expires_at <= now()))


def _row(store: Store, key: bytes) -> Row[Any] | None:
    table = store.tables.magic_links
    query = table.select().where(table.c.digest == key, table.c.expires_at > now())
    with store.read() as connection:
        return connection.execute(query).one_or_none()


def _link(row: Row[Any]) -> MagicLink:
    options = unpack(row.options, "the options of a magic link")
    connectors = None if options["connectors"] is None else tuple(options["connectors"])
    number = base64.urlsafe_b64encode(bytes(row.digest)).decode().rstrip("=")
    return MagicLink(
        *(number, row.tenant, connectors, options["return_to"], options["by"]),
        *(row.created_at, row.opened_at, row.expires_at),
    )


def _key(number: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(f"{number[:_MAX_TOKEN]}=")
    except ValueError:
        return None
