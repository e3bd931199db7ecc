"""Links: a tenant's credentials for a connector, made by a form or after a consent, checked, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flowmate_airflow.auth import connections, oauth2, origins, sessions
from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.consents import needs_consent
from flowmate_airflow.auth.credentials import METHOD_KEY
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.forms import checked, filled
from flowmate_airflow.auth.grants import MARK
from flowmate_airflow.auth.linkkeeping import CREATED, LinkError, kept, let_go, noted, tell, told
from flowmate_airflow.auth.names import DEFAULT_TENANT, check_tenant, link_conn_id
from flowmate_airflow.auth.probing import BUSY, BUSY_SECONDS, UNKNOWN, Subject, probe
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.auth.values import CLIENT_ID, CLIENT_SECRET, Client, client_of, values_of
from flowmate_airflow.catalog.auth import SessionAuth
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2
from flowmate_airflow.flows.errors import did_you_mean, shown
from flowmate_airflow.flows.fieldmaps import check_field_map
from flowmate_airflow.store import linked as links
from flowmate_airflow.store import tenants
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.store import Store, open_store

__all__ = [
    "LinkError",
    "checked_tenant",
    "client_for",
    "finish",
    "link",
    "logged_in",
    "manifest_in",
    "method_in",
    "set_field_map",
    "stored_for",
    "subject_of",
]


def manifest_in(catalog: Catalog, connector: str) -> Manifest:
    """Return a connector's manifest.

    :raises LinkError: there is none, or it is wrong
    """
    found = catalog.get(connector) if isinstance(connector, str) else None
    if isinstance(found, Manifest):
        return found
    if found is not None:
        raise LinkError(f"the manifest of the connector {shown(connector)} is wrong: {found}")
    hint = did_you_mean(str(connector), catalog.names())
    raise LinkError(f"there is no connector {shown(connector)}" + (f"; {hint}" if hint else ""))


def method_in(manifest: Manifest, name: str | None) -> tuple[str, AuthMethod]:
    """Return a connector's way to authenticate; without a name the only one there is.

    :raises LinkError: there is none of that name, or several without one
    """
    if not manifest.auth:
        raise LinkError(f"`{manifest.name}` needs no credentials, so there is nothing to link")
    if name is None:
        if len(manifest.auth) > 1:
            raise LinkError(f"`{manifest.name}` has several methods; name one: {', '.join(manifest.auth)}")
        name = next(iter(manifest.auth))
    method = manifest.auth.get(name)
    if method is None:
        hint = did_you_mean(str(name), manifest.auth)
        raise LinkError(f"`{manifest.name}` has no method {shown(name)}; {hint}")
    return name, method


def link(
    catalog: Catalog,
    tenant: str,
    connector: str,
    method_name: str | None,
    values: Mapping[str, Any],
    *,
    symlink: tuple[str, str] | None = None,
    field_map: Mapping[str, Any] | None = None,
    component: bool = True,
    store: Store | None = None,
) -> Linked:
    """Link a connector by what a form says, or again: what it had before is replaced, but for the field map.

    The credentials are tried first. When they do not work nothing is kept.

    :param method_name: of the manifest's `auth`; None: the only one
    :param values: by the fields of :func:`flowmate_airflow.auth.forms.form_of`
    :param symlink: tenant and connector of a link whose credentials it uses, instead of any of its own
    :param field_map: which tables and fields are read
    :param component: whether the connector may be started to check them, which takes a while
    :raises LoginError: they are wrong, or cannot be used; a :class:`~flowmate_airflow.auth.forms.FormError` names the
        fields, and no secret is in the text
    :raises StoreError: Airflow's database or the store cannot be used; a
        :class:`~flowmate_airflow.store.linked.SymlinkError` names who uses whose credentials
    """
    checked_tenant(tenant)
    manifest = manifest_in(catalog, connector)
    chosen = None if field_map is None else _checked_map(field_map)
    store = store or open_store()
    if symlink is not None:
        if method_name is not None or values:
            raise LinkError("a link that uses another one's credentials has no method and no fields of its own")
        return _symlinked(store, manifest, tenant, symlink, chosen)
    name, method = method_in(manifest, method_name)
    if needs_consent(method):
        raise LinkError(f"the method `{name}` of `{connector}` needs a person's consent at the other system")
    stored = stored_for(manifest, tenant, name, values)
    client = client_for(method, stored, connector)
    login = logged_in(method, stored, client)
    stored = stored if login is None else stored.with_login(login)
    subject = Subject(manifest, method, method, stored, client, tenant)
    found = probe(subject, component=component)
    if found.problem is not None:
        wait = BUSY_SECONDS if found is BUSY else None
        raise LinkError(found.problem, "transient" if found.may_pass else "refused", wait)
    subject = replace(subject, stored=told(stored, found))
    row, relinked = kept(store, subject.stored, Linked(tenant, connector, stored.conn_id, name, field_map=chosen))
    row = noted(store, row, subject, replace(found, parts={})) or row
    tell(CREATED, row, conn_id=row.conn_id, relinked=relinked)
    return row


def finish(
    catalog: Catalog,
    tenant: str,
    connector: str,
    method_name: str,
    values: Mapping[str, Any],
    login: Login,
    *,
    component: bool = True,
    store: Store | None = None,
) -> Linked:
    """Keep what a consent has brought. When it does not work it is kept all the same, with the problem.

    :param values: what the form before the consent said
    :raises LoginError: there is no such connector, method or field
    :raises StoreError: Airflow's database or the store cannot be used
    """
    checked_tenant(tenant)
    manifest = manifest_in(catalog, connector)
    name, method = method_in(manifest, method_name)
    store = store or open_store()
    stored = stored_for(manifest, tenant, name, values).with_login(login)
    # It is saved first: a code is spent, and there is no other.
    row, relinked = kept(store, stored, Linked(tenant, connector, stored.conn_id, name))
    try:
        subject = Subject(manifest, method, method, stored, client_for(method, stored, connector), tenant)
        found = probe(subject, component=component)
        row = noted(store, row, subject, UNKNOWN if found is BUSY else found) or row
    except LoginError as error:
        links.note_check(store, tenant, connector, error.text)
    tell(CREATED, row, conn_id=row.conn_id, relinked=relinked, problem=row.problem)
    return row


def stored_for(manifest: Manifest, tenant: str, method_name: str, values: Mapping[str, Any]) -> Stored:
    """Return the Connection of a link with what a form said, not saved.

    The application that a tenant has brought stays where the form names none.

    :raises LoginError: a value cannot be taken, or the id is too long
    :raises StoreError: the Connection that is there cannot be read
    """
    method = manifest.auth[method_name]
    conn_id = link_conn_id(manifest.name, tenant)
    if len(conn_id) > _MAX_CONN_ID:
        raise LinkError(f"the tenant's id {shown(tenant)} is too long for a Connection to {manifest.name}")
    given = checked(method, method_name, values)
    mark = {"connector": manifest.name, "method": method_name, "tenant": tenant}
    extra: dict[str, Any] = {MARK: mark, METHOD_KEY: method_name}
    if needs_consent(method) and CLIENT_ID not in given:
        before = connections.read(conn_id)
        own = {} if before is None or before.mark.get("method") != method_name else before.extra
        extra |= {key: own[key] for key in (CLIENT_ID, CLIENT_SECRET) if key in own}
    stored = Stored(conn_id, description=f"The link of the tenant {tenant} to {manifest.title}"[:500], extra=extra)
    return filled(stored, method, given)


_MAX_CONN_ID = 250


def client_for(method: AuthMethod, stored: Stored, connector: str) -> Client | None:
    """Return the application of a method that has one.

    :raises LoginError: there is none
    """
    if isinstance(method, OAuth2) or (isinstance(method, OAuth1) and method.legs == 3):
        return client_of(method, stored.account(), origins.application(connector))
    return None


def subject_of(manifest: Manifest, row: Linked, stored: Stored, catalog: Catalog) -> Subject:
    """Return what is probed of a link.

    :param stored: its Connection, with fresh credentials
    :raises LoginError: the connector, or that of the link whose credentials it uses, has no such method any more
    """
    _, method = method_in(manifest, row.method)
    owner = manifest if row.symlink is None else manifest_in(catalog, str(stored.mark.get("connector")))
    _, own = method_in(owner, str(stored.mark.get("method")))
    return Subject(manifest, method, own, stored, client_for(own, stored, owner.name), row.tenant)


def set_field_map(
    tenant: str, connector: str, field_map: Mapping[str, Any] | None, *, catalog: Catalog, store: Store | None = None
) -> Linked:
    """Keep which tables and fields are read for a tenant, and return the link.

    For the tenant `default` it is the template of the others, which needs no link of its own.

    :param field_map: in the form of flows (`{"orders": ["id"]}`) or of hotglue; None: none of its own
    :raises LoginError: it is none, or there is no such link
    :raises StoreError: the store cannot be used
    """
    checked_tenant(tenant)
    store = store or open_store()
    chosen = None if field_map is None else _checked_map(field_map)
    if not links.set_field_map(store, tenant, connector, chosen):
        if tenant != DEFAULT_TENANT:
            raise LinkError(f"the tenant {tenant} has not linked {shown(connector)}")
        manifest_in(catalog, connector)
        tenants.add_tenant(store, tenant)
        links.save(store, Linked(tenant, connector, "", "", field_map=chosen))
    found = links.find(store, tenant, connector)
    if found is None:
        raise LinkError(f"the tenant {tenant} has not linked {shown(connector)} any more")
    return found


def checked_tenant(tenant: str) -> str:
    """Return a tenant's id.

    :raises LinkError: it is none
    """
    try:
        return check_tenant(tenant)
    except ValueError as error:
        raise LinkError(str(error)) from None


def _checked_map(field_map: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return check_field_map(field_map)
    except ValueError as error:
        raise LinkError(f"the field map cannot be used: {error}") from None


def logged_in(method: AuthMethod, stored: Stored, client: Client | None) -> Login | None:
    """Return what a login brings that needs no person; None where the credentials are what was filled in.

    :raises LinkError: it brings nothing
    """
    values = values_of(method, stored.account(), client)
    try:
        if isinstance(method, SessionAuth):
            return sessions.log_in(method, values)
        if isinstance(method, OAuth2) and client is not None:
            return oauth2.first_grant(method, values, client)
    except LoginError as error:
        # That a new login is needed is nothing to say to whoever makes one.
        kind = "refused" if error.kind == "needs_reauth" else error.kind
        raise LinkError(error.text, kind, error.retry_after) from None
    return None


def _symlinked(
    store: Store, manifest: Manifest, tenant: str, symlink: tuple[str, str], field_map: dict[str, Any] | None
) -> Linked:
    """Let a link use another one's credentials."""
    other, connector = symlink
    target = links.find(store, other, connector)
    method = "" if target is None else target.method
    if target is not None and target.symlink is None and method not in manifest.auth:
        raise LinkError(
            f"`{manifest.name}` has no method `{method}`, for which the tenant {other} has linked {connector}"
        )
    is_new = links.find(store, tenant, manifest.name) is None
    tenants.add_tenant(store, tenant)
    row = Linked(tenant, manifest.name, "", method, symlink=symlink, field_map=field_map)
    saved = links.save(store, row)
    let_go(store, tenant, manifest.name)
    tell(CREATED, saved, conn_id=saved.conn_id, relinked=not is_new, symlink=list(symlink))
    return saved
