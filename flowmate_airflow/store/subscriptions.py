"""What was registered with other systems for the flows: enough to renew it, and to take it back when the flow's file
is gone.

A subscription is saved before the connector is asked for it, so that a killed worker leaves none that nobody knows of.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flowmate_airflow.store.encryption import decrypt, encrypt
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.opened import Opened
from flowmate_airflow.store.sql import now, upsert
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import MIB, pack, unpack

if TYPE_CHECKING:
    from sqlalchemy import Row

Status: TypeAlias = Literal["pending", "active", "failed", "ended"]
PENDING: Status = "pending"
"""The connector is being asked; when that was long ago, its worker was killed and nobody knows what became of it."""
ACTIVE: Status = "active"
FAILED: Status = "failed"
"""The last thing that was tried failed; an earlier subscription may still be there."""
ENDED: Status = "ended"

MADE = "made"
ASKED = "asked"
"""Nobody knows whether the other system has it: the connector did not come to answer."""
REFUSED = "refused"
"""The other system has it not."""

MAX_EXTERNAL = 4 * MIB
KEEP_ENDED = timedelta(days=30)
KEEP_WATCHING = timedelta(days=1)
"""A DAG that vanished with the last subscription would leave its own run without an end."""
_KEYS = ("flow", "step", "tenant")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """One address that another system was asked to send events to.

    :param id: stands for what was asked; the connector may write it into the subscription, to find it again
    :param digest: of all that was asked, in hexadecimal
    :param use: connector and function of the trigger
    :param connection: the conn_id of the connector's Connection
    :param config: the step's rendered `with`
    :param url: the address, which may hold a token
    :param events: how what comes is verified: `scheme` and `options`
    :param secret: that the events are signed with, where no Connection has it: we made it, or the other system did
    :param subscription: what the connector answered
    :param state: :data:`MADE`, :data:`ASKED` or :data:`REFUSED`
    :param renew_at: when it is to be renewed, in ISO form
    """

    id: str
    digest: str
    use: str
    endpoint: str
    url: str = field(repr=False)
    connection: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    events: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    subscription: Any = field(default=None, repr=False)
    state: str = ASKED
    renew_at: str | None = None

    @property
    def connector(self) -> str:
        """The connector's name."""
        return self.use.partition("/")[0]

    @property
    def renewal(self) -> datetime | None:
        """When it is to be renewed."""
        return datetime.fromisoformat(self.renew_at) if self.renew_at else None

    @property
    def token(self) -> str | None:
        """The token in the address; a tenant's has the tenant before it."""
        return self.url.partition(f"/{self.endpoint}/")[2].rpartition("/")[2] or None

    @property
    def shown_url(self) -> str:
        """The address without its token."""
        return self.url.removesuffix(self.token) + "…" if self.token else self.url


@dataclass(frozen=True, slots=True)
class Subscription:
    """All that there is to know of one step's subscription.

    :param current: the one that should be, or the last that was
    :param earlier: those that are still to be taken back: of the flow as it was before it was changed
    :param ending: whether it is being taken back as a whole
    :param error: why the last thing that was tried failed
    :param attempts: how often that failed in a row
    :param next_at: when something is to be done again: it is renewed, or what failed is tried again
    :param is_readable: whether Airflow's key is still the one that it was stored with; else `error` says so
    """

    flow: str
    step: str
    tenant: str = ""
    status: Status = PENDING
    current: Registration | None = None
    earlier: tuple[Registration, ...] = ()
    ending: bool = False
    error: str | None = None
    attempts: int = 0
    expires_at: datetime | None = None
    next_at: datetime | None = None
    updated_at: datetime = field(default_factory=now)
    is_readable: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """Flow, step and tenant."""
        return (self.flow, self.step, self.tenant)

    def is_due(self, moment: datetime) -> bool:
        """Whether something is to be done again by now."""
        return self.next_at is not None and self.next_at <= moment


def find(store: Store, flow: str | None = None) -> list[Subscription]:
    """Return all subscriptions in order, also those that have ended not long ago.

    :param flow: only of this flow
    :raises StoreError: the store cannot be read
    """
    table = store.tables.subscriptions
    query = table.select().order_by(table.c.flow, table.c.step, table.c.tenant)
    if flow is not None:
        query = query.where(table.c.flow == flow)
    with store.read() as connection:
        rows = connection.execute(query).all()
    return [_subscription(row) for row in rows]


def are_watched(store: Store) -> bool:
    """Whether there is any subscription that has not ended, or has only just: who took it back may not be through.

    :raises StoreError: the store cannot be read
    """
    from sqlalchemy import or_

    table = store.tables.subscriptions
    watched = or_(table.c.status != ENDED, table.c.updated_at > now() - KEEP_WATCHING)
    query = table.select().with_only_columns(table.c.flow).where(watched).limit(1)
    with store.read() as connection:
        return connection.execute(query).first() is not None


def made_with(store: Store, conn_id: str) -> list[tuple[str, str]]:
    """Return the addresses, by endpoint and tenant, that are registered with the credentials of a Connection.

    :raises StoreError: the store cannot be read
    """
    table = store.tables.subscriptions
    which = (table.c.connection == conn_id, table.c.status != ENDED)
    with store.read() as connection:
        query = table.select().with_only_columns(table.c.endpoint, table.c.tenant).where(*which)
        return [(row.endpoint, row.tenant) for row in connection.execute(query)]


def save(store: Store, subscription: Subscription) -> None:
    """Keep a subscription as it is now.

    :raises StoreError: it cannot be encrypted, or the store cannot be written; no value of it is in the text
    """
    what = _what(subscription.flow, subscription.step)
    current = subscription.current
    external, secret, encrypted = None, None, False
    if current is not None or subscription.earlier:
        external, encrypted = encrypt(pack(_blob(subscription), what, MAX_EXTERNAL), what)
        known = [each.secret for each in (current, *subscription.earlier) if each is not None and each.secret]
        if known:
            secret, encrypted = encrypt(json.dumps(list(dict.fromkeys(known))).encode(), what)
        if not encrypted:
            log.warning("[core] fernet_key is empty: as Connections, %s is stored unencrypted", what)
    row = {
        **{name: getattr(subscription, name) for name in (*_KEYS, "status", "error", "attempts", "next_at")},
        "connector": current.connector if current else "",
        "connection": current.connection if current else None,
        "endpoint": current.endpoint if current else "",
        "url": current.shown_url if current else "",
        "digest": bytes.fromhex(current.digest) if current else b"",
        "external": external,
        "secret": secret,
        "is_encrypted": encrypted,
        "expires_at": subscription.expires_at,
        "updated_at": now(),
    }
    with store.write() as connection:
        upsert(connection, store.tables.subscriptions, [row], _KEYS)


def forget_ended(store: Store) -> None:
    """Remove what ended long ago.

    :raises StoreError: the store cannot be written
    """
    table = store.tables.subscriptions
    with store.write() as connection:
        old = (table.c.status == ENDED, table.c.updated_at < now() - KEEP_ENDED)
        connection.execute(table.delete().where(*old))


def secrets_for(store: Store, opened: Opened | None = None) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the secrets that events may be signed with and that no Connection has, by endpoint and tenant.

    :param opened: what was decrypted before
    :raises StoreError: the store cannot be read
    """
    table = store.tables.subscriptions
    columns = (table.c.flow, table.c.step, table.c.tenant, table.c.endpoint, table.c.secret, table.c.is_encrypted)
    wanted = (table.c.status != ENDED, table.c.secret.is_not(None))
    with store.read() as connection:
        rows = connection.execute(table.select().with_only_columns(*columns).where(*wanted)).all()
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    opened = opened or Opened()
    opened.begin()
    for row in rows:
        try:
            text = opened.decrypt(bytes(row.secret), row.is_encrypted, _what(row.flow, row.step))
        except StoreError as error:
            if store.is_due(f"the secrets of {row.flow} {row.step}"):  # this is asked every few seconds
                log.warning("nobody is let in by it: %s", error)  # the others are
            continue
        key = (row.endpoint, row.tenant)
        found[key] = (*found.get(key, ()), *json.loads(text))
    return found


def _what(flow: str, step: str) -> str:
    return f"the subscription of the step {step} of {flow}"


def _blob(subscription: Subscription) -> dict[str, Any]:
    return {
        "current": asdict(subscription.current) if subscription.current else None,
        "earlier": [asdict(each) for each in subscription.earlier],
        "ending": subscription.ending,
    }


def _subscription(row: Row[Any]) -> Subscription:
    what = _what(row.flow, row.step)
    blob: dict[str, Any] = {}
    error, is_readable = row.error, True
    try:
        if row.external is not None:
            blob = unpack(decrypt(bytes(row.external), row.is_encrypted, what), what)
        current = _registration(blob.get("current"), what)
        earlier = tuple(filter(None, (_registration(each, what) for each in blob.get("earlier", ()))))
    except StoreError as failure:
        error, is_readable, current, earlier = str(failure), False, None, ()
    return Subscription(
        row.flow,
        row.step,
        row.tenant,
        status=row.status,
        current=current,
        earlier=earlier,
        ending=blob.get("ending") is True,
        error=error,
        attempts=row.attempts,
        expires_at=row.expires_at,
        next_at=row.next_at,
        updated_at=row.updated_at,
        is_readable=is_readable,
    )


def _registration(value: Any, what: str) -> Registration | None:
    if value is None:
        return None
    known = {each.name for each in fields(Registration)}
    try:
        return Registration(**{name: part for name, part in value.items() if name in known})
    except (AttributeError, TypeError):
        raise StoreError(f"{what} in the store is damaged") from None
