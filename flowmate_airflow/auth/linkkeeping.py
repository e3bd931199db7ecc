"""Keeping links: the Connection and the row that says whose it is, and what is found out about them.

The Connection in Airflow's database is what counts; the row in the store says whose it is, and how it is. Each is
written whole. Two who link the same at once write both, one after the other, and whoever is last looks until the two
agree: one of both wins, and nothing is mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowmate_airflow.auth import connections
from flowmate_airflow.auth.connections import ANY, Stored
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.names import link_conn_id
from flowmate_airflow.auth.probing import Probe, Subject
from flowmate_airflow.outgoing.announce import announce
from flowmate_airflow.store import linked as links
from flowmate_airflow.store import renewals, tenants
from flowmate_airflow.store.encryption import encrypt
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.secrets import forget_changed
from flowmate_airflow.store.store import Store

CREATED, REMOVED, DISCOVERED = "link.created", "link.removed", "discover.finished"
_TRIES = 20


class LinkError(LoginError):
    """A link cannot be made, changed or used; nothing was changed."""


def kept(store: Store, stored: Stored, row: Linked) -> tuple[Linked, bool]:
    """Save a link, whole, and return it, and whether there was one before.

    :raises LinkError: somebody has unlinked it meanwhile
    :raises StoreError: Airflow has no key to encrypt it with, or its database or the store cannot be used
    """
    encrypt(b"", f"the credentials of {row}", must=True)
    before = links.find(store, row.tenant, row.connector)
    tenants.add_tenant(store, row.tenant)
    connections.write(stored, expect=ANY)
    renewals.reset(store, stored.conn_id)
    # What the connector changed of the old ones says nothing about the new ones, also where these look the same.
    forget_changed(store, stored.conn_id, row.connector)
    links.save(store, row)
    return _agreed(store, stored, row), before is not None and bool(before.conn_id)


def _agreed(store: Store, stored: Stored, row: Linked) -> Linked:
    """Return a link that says what its Connection says: somebody else may have changed it at the same moment."""
    for _ in range(_TRIES):
        current = links.find(store, row.tenant, row.connector)
        present = connections.read(row.conn_id)
        if current is None:
            if present == stored:
                let_go(store, row.tenant, row.connector)
            raise LinkError(f"{row} was removed by somebody else at the same moment; link it again", "transient")
        if current.symlink is not None:
            return current  # it uses another one's credentials now
        if present is None:
            connections.write(stored, expect=None)
        elif current.method == present.mark.get("method"):
            return current
        else:
            links.set_method(store, row.tenant, row.connector, str(present.mark.get("method")))
    raise StoreError(f"{row} is being changed all the time; try again", transient=True)


def let_go(store: Store, tenant: str, connector: str) -> bool:
    """Remove the Connection of a link that is over, or uses another one's, and return whether it is gone: whoever has
    linked again meanwhile keeps theirs.

    :raises StoreError: Airflow's database or the store cannot be used
    """
    conn_id = link_conn_id(connector, tenant)

    def is_linked() -> bool:
        row = links.find(store, tenant, connector)
        return row is not None and row.conn_id == conn_id

    is_gone = connections.remove(conn_id, unless=is_linked)
    if is_gone:
        renewals.forget(store, conn_id)
    return is_gone


def noted(store: Store, row: Linked, subject: Subject, found: Probe) -> Linked | None:
    """Keep what was found out about a link's credentials, and return the link; None: it is gone.

    :raises StoreError: Airflow's database or the store cannot be used
    """
    if found.parts:
        changed = connections.change(row.conn_id, lambda old: told(old, found))
        subject = subject if changed is None else replace(subject, stored=changed)
    if found.changed:
        keep_changed(store, subject, found.changed)
    if found.is_certain:
        links.note_check(store, row.tenant, row.connector, found.problem)
    return links.find(store, row.tenant, row.connector)


def keep_changed(store: Store, subject: Subject, changed: Mapping[str, Any]) -> None:
    """Keep credentials that a connector changed, where steps look for them.

    :raises StoreError: the store cannot be written
    """
    from flowmate_airflow.steps.memory import account_digest
    from flowmate_airflow.store.secrets import save_changed

    values = {**subject.changed, **changed}
    account = subject.account
    save_changed(store, account.conn_id, subject.manifest.name, values, account_digest(account))


def told(stored: Stored, found: Probe) -> Stored:
    """Return a Connection with what a check told about the account."""
    for part, text in found.parts.items():
        stored = stored.with_part(part, text)
    return stored


def tell(event: str, row: Linked, **more: Any) -> None:
    """Announce what became of a link."""
    data = {"tenant": row.tenant, "connector": row.connector, "method": row.method, **more}
    announce(event, data)
