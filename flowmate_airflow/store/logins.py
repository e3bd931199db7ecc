"""Logins that have begun: what a provider's answer is held against, each once.

Of what the browser holds, only digests are here; what the login goes on with is encrypted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flowmate_airflow.store.encryption import decrypt, encrypt
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.values import digest

LIFETIME = timedelta(minutes=10)
"""How long a person has to consent."""
_KEEP = timedelta(hours=1)
"""How long one that is over is kept, so that whoever comes too late is told so."""
_DAMAGED = "begin the login again"
_WHAT = "what a login goes on with"


@dataclass(frozen=True, slots=True)
class Started:
    """What only the browser and the provider get to know of a login.

    :param state: what the provider sends back
    :param browser: what the browser's cookie holds
    """

    state: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartedLogin:
    """A login that has begun.

    :param context: stands for connector, tenant and method in the address that the provider sends people back to
    :param user: who began: an Airflow user, or a magic link
    :param secret: JSON with what it goes on with
    """

    context: str
    tenant: str
    connector: str
    method: str
    user: str
    secret: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TakenLogin:
    """A login that was taken, and what its record says of those who come with the state.

    :param login: what began; None where it is over
    """

    login: StartedLogin | None
    browser: bytes = field(repr=False)

    def is_browser(self, cookie: str | None) -> bool:
        """Whether a cookie is that of the browser that began."""
        return cookie is not None and secrets.compare_digest(self.browser, _digest(cookie))


def new_secret() -> str:
    """Return what nobody can guess: 32 random bytes as text."""
    return secrets.token_urlsafe(32)


def begin(store: Store, login: StartedLogin, started: Started) -> None:
    """Keep a login that begins; those that were never finished are removed.

    :raises StoreError: it cannot be encrypted, or the store cannot be written
    """
    purge(store)
    moment = now()
    data, is_encrypted = encrypt(json.dumps(login.secret).encode(), _WHAT, must=True)
    row = {name: getattr(login, name) for name in ("context", "tenant", "connector", "method", "user")}
    row |= {"state": _digest(started.state), "browser": _digest(started.browser)}
    row |= {"secret": data, "is_encrypted": is_encrypted, "created_at": moment, "expires_at": moment + LIFETIME}
    with store.write() as connection:
        connection.execute(store.tables.logins.insert().values(row))


def take(store: Store, state: str) -> TakenLogin | None:
    """Remove a login and return it; None when there is none, or somebody was faster.

    :raises StoreError: it cannot be decrypted, or the store cannot be written
    """
    table = store.tables.logins
    which = table.c.state == _digest(state)
    with store.write() as connection:
        row = connection.execute(table.select().where(which).with_for_update()).one_or_none()
        if row is None or connection.execute(table.delete().where(which)).rowcount != 1:
            return None
    if row.expires_at <= now():
        return TakenLogin(None, bytes(row.browser))
    secret = json.loads(decrypt(bytes(row.secret), row.is_encrypted, _WHAT, _DAMAGED))
    login = StartedLogin(row.context, row.tenant, row.connector, row.method, row.user, secret)
    return TakenLogin(login, bytes(row.browser))


def purge(store: Store) -> None:
    """Remove logins that were over an hour ago.

    :raises StoreError: the store cannot be written
    """
    if not store.is_due("logins", _KEEP.total_seconds()):
        return
    table = store.tables.logins
    with store.write() as connection:
        connection.execute(table.delete().where(table.c.expires_at <= _before()))


def _before() -> datetime:
    return now() - _KEEP


def _digest(secret: str) -> bytes:
    return digest(secret)
