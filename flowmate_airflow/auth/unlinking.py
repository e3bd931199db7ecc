"""The end of a link: its tokens are given back where the provider takes them, then nothing of it is kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from flowmate_airflow.auth import connections, leaving, oauth2, sessions
from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.linkkeeping import REMOVED, LinkError, let_go, tell
from flowmate_airflow.auth.links import client_for, manifest_in, method_in
from flowmate_airflow.auth.names import DEFAULT_TENANT, link_conn_id
from flowmate_airflow.auth.values import values_of
from flowmate_airflow.catalog.auth import SessionAuth
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.oauth import OAuth2
from flowmate_airflow.store import endpoints
from flowmate_airflow.store import linked as links
from flowmate_airflow.store.linked import Linked, SymlinkError
from flowmate_airflow.store.secrets import forget_changed
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.subscriptions import made_with

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unlinked:
    """What became of a link.

    :param revoked: whether the provider has taken its tokens back; None: it has no way to, there were none, or not yet
    :param problem: why it has not, in a sentence without secrets
    :param users: the links that used its credentials, which are gone, too
    """

    linked: Linked
    revoked: bool | None = None
    problem: str | None = None
    users: tuple[Linked, ...] = ()


def unlink(
    catalog: Catalog,
    tenant: str,
    connector: str,
    *,
    force: bool = False,
    must_revoke: bool = False,
    store: Store | None = None,
) -> Unlinked | None:
    """Remove a link with its credentials; None: there was none.

    Webhooks that were registered with it are taken back by the DAG that looks after them, which finds it gone. Until
    then the Connection stays, see :mod:`flowmate_airflow.auth.leaving`.

    :param force: also the links that use its credentials
    :param must_revoke: keep it when the provider does not take its tokens back
    :raises LinkError: it does not, and it is kept
    :raises SymlinkError: others use its credentials, and it is kept
    :raises StoreError: Airflow's database or the store cannot be used
    """
    store = store or open_store()
    row = links.find(store, tenant, connector)
    if row is None:
        if force or not leaving.is_needed(store, link_conn_id(connector, tenant)):
            let_go(store, tenant, connector)  # of a link that was removed by halves
        return None
    users = tuple(links.users_of(store, tenant, connector))
    if users and not force:
        # Before anything is given back; who comes meanwhile is found when the row is removed.
        raise SymlinkError(
            f"the credentials of {row} are used by {_names(users)}; unlink these first",
            [(user.tenant, user.connector) for user in users],
        )
    own = row.symlink is None and not row.is_template
    if own and leaving.is_needed(store, row.conn_id):
        return _leave(store, row, users, force=force, must_revoke=must_revoke)
    revoked, problem = _given_back(catalog, connections.read(row.conn_id)) if own else (None, None)
    if problem is not None and must_revoke:
        raise LinkError(f"{row} is kept: {problem}")
    removed = _removed(store, row, force=force)
    if own and let_go(store, tenant, connector):
        forget_changed(store, row.conn_id, connector)
    for each in users:
        forget_changed(store, row.conn_id, each.connector)
        tell(REMOVED, each, revoked=None)
    if removed is not None:
        tell(REMOVED, removed, revoked=revoked)
    for name in dict.fromkeys([tenant, *(each.tenant for each in users)]):
        _forget_addresses(store, name)
    return Unlinked(row, revoked, problem, users)


def depart(catalog: Catalog, stored: Stored, store: Store | None = None) -> bool:
    """Give the tokens of a link back that is over, and remove its Connection, once nothing is registered with it.

    :return: whether it was done
    :raises StoreError: Airflow's database or the store cannot be used
    """
    store = store or open_store()
    tenant, connector = str(stored.mark.get("tenant")), str(stored.mark.get("connector"))
    if links.find(store, tenant, connector) is not None or leaving.is_needed(store, stored.conn_id):
        return False
    present = connections.read(stored.conn_id)
    if present is None or not leaving.is_leaving(present.extra):
        return False
    _, problem = _given_back(catalog, present)
    if problem is not None:
        log.warning("The link of the tenant %s to %s is removed, but %s", tenant, connector, problem)
    if not let_go(store, tenant, connector):
        return False
    forget_changed(store, stored.conn_id, connector)
    _forget_addresses(store, tenant)
    return True


def _leave(store: Store, row: Linked, users: tuple[Linked, ...], *, force: bool, must_revoke: bool) -> Unlinked:
    """Remove a link whose credentials are still needed."""
    if must_revoke:
        raise LinkError(
            f"{row} is kept: webhooks are registered with its credentials, which cannot be given back before; switch "
            "off the tenant's flows that they start"
        )
    leaving.stay(row.conn_id)
    removed = _removed(store, row, force=force)
    for endpoint, tenant in made_with(store, row.conn_id):
        if tenant:  # nobody would take what comes there now
            endpoints.forget(store, tenant, endpoint)
    for each in (*users, *([] if removed is None else [removed])):
        tell(REMOVED, each, revoked=None)
    return Unlinked(row, None, leaving.TOLD, users)


def _removed(store: Store, row: Linked, *, force: bool) -> Linked | None:
    """Remove a link, and return it; the field map of the tenant `default` stays, as it is the template of others."""
    removed = links.remove(store, row.tenant, row.connector, force=force)
    if removed is not None and removed.tenant == DEFAULT_TENANT and not removed.is_template and removed.field_map:
        links.save(store, Linked(removed.tenant, removed.connector, "", "", field_map=removed.field_map))
    return removed


def _forget_addresses(store: Store, tenant: str) -> None:
    """Let nobody in any more at the addresses of a tenant who has linked nothing."""
    if not links.of_tenant(store, tenant):
        endpoints.forget(store, tenant)


def _names(users: tuple[Linked, ...]) -> str:
    return ", ".join(f"{user.tenant}/{user.connector}" for user in users[:10]) + (", …" if len(users) > 10 else "")


def _given_back(catalog: Catalog, stored: Stored | None) -> tuple[bool | None, str | None]:
    """Give a link's tokens back, and return whether the provider took them, and why not."""
    if stored is None or stored.grant is None:
        return None, None
    try:
        done = _revoked(catalog, stored)
    except LoginError as error:
        return False, f"the provider has not taken its tokens back: {error.text}"
    return done or None, None


def _revoked(catalog: Catalog, stored: Stored) -> bool:
    """Give tokens back; False: there is no way to.

    :raises LoginError: the provider does not take them, or nobody knows how it would
    """
    mark = stored.mark
    manifest = manifest_in(catalog, str(mark.get("connector")))
    _, method = method_in(manifest, str(mark.get("method")))
    grant = stored.grant
    if grant is None or not isinstance(method, OAuth2 | SessionAuth):
        return False
    client = client_for(method, stored, manifest.name)
    values = values_of(method, stored.account(), client)
    if isinstance(method, SessionAuth):
        return sessions.log_out(method, values, grant)
    return client is not None and oauth2.revoke(method, values, client, grant)
