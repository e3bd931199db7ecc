"""`flowmate links add` and `reauth`: a connector linked from a terminal, with a consent in the browser where one is
needed."""

from __future__ import annotations

import getpass
import secrets
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from flowmate_airflow.auth import consents, links, origins
from flowmate_airflow.auth.connections import Stored, read
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.forms import FormField, form_of, shown_before
from flowmate_airflow.auth.linkchecks import after_link
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.cli.asking import plain
from flowmate_airflow.cli.common import catalog_of
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.cli.jsonfile import json_file
from flowmate_airflow.cli.links import one_link, told_failures
from flowmate_airflow.cli.loopback import Loopback, show
from flowmate_airflow.flows.errors import did_you_mean, shown
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.store import Store, open_store

ASKED = "-"
"""The value of a field that is asked for, without showing it."""


def add_link(arguments: Namespace) -> int:
    """Link a connector."""
    store = open_store()
    catalog = catalog_of(arguments)
    tenant, connector = arguments.tenant, arguments.connector
    with told_failures():
        if arguments.symlink is not None:
            row = _symlinked(store, catalog, arguments)
        else:
            manifest = links.manifest_in(catalog, connector)
            name, method = links.method_in(manifest, arguments.method)
            values = _values(method, arguments, {})
            row = _linked(store, catalog, arguments, manifest, name, values)
        # One with credentials of its own was checked when it was linked.
        failed = after_link(catalog, tenant, connector, is_checked=row.symlink is None, store=store)
    return _told(row, failed)


def reauth_link(arguments: Namespace) -> int:
    """Log in again for a link; what was filled in besides secrets stays, and so does what it reads."""
    store = open_store()
    catalog = catalog_of(arguments)
    row = one_link(store, arguments.tenant, arguments.connector)
    if row.symlink is not None:
        tenant, connector = row.symlink
        raise UsageError(
            f"{row} uses the credentials of {tenant}/{connector}; `flowmate links reauth {tenant} {connector}` renews "
            "these"
        )
    with told_failures():
        manifest = links.manifest_in(catalog, row.connector)
        name, method = links.method_in(manifest, row.method)
        stored = read(row.conn_id)
        values = _values(method, arguments, {} if stored is None else shown_before(stored, method))
        row = _linked(store, catalog, arguments, manifest, name, values)
        failed = after_link(catalog, row.tenant, row.connector, is_checked=True, store=store)
    return _told(row, failed)


def _symlinked(store: Store, catalog: Catalog, arguments: Namespace) -> Linked:
    if arguments.method or arguments.field or arguments.fields_file:
        raise UsageError("--symlink goes with no method and no fields: the other link has them")
    tenant, slash, connector = arguments.symlink.partition("/")
    if not slash or not tenant or not connector:
        raise UsageError(f"--symlink is {shown(arguments.symlink)}; write the other link as TENANT/CONNECTOR")
    other = (tenant, connector)
    return links.link(catalog, arguments.tenant, arguments.connector, None, {}, symlink=other, store=store)


def _linked(
    store: Store, catalog: Catalog, arguments: Namespace, manifest: Manifest, name: str, values: Mapping[str, Any]
) -> Linked:
    """Link by a form, or by a consent.

    :raises LoginError: it does not work
    """
    method = manifest.auth[name]
    if not consents.needs_consent(method):
        return links.link(catalog, arguments.tenant, manifest.name, name, values, store=store)
    # Before anybody is sent anywhere.
    stored = links.stored_for(manifest, links.checked_tenant(arguments.tenant), name, values)
    application = _application(manifest, stored)
    state = secrets.token_urlsafe(32)
    with Loopback(state, arguments.port) as loopback:
        consent = consents.begin(method, stored.account(), application, loopback.redirect_uri, state)
        print(_asked_for(manifest, method), file=sys.stderr)
        show(consent.url, browser=not arguments.no_browser)
        print(f"Waiting for it at {loopback.redirect_uri} …", file=sys.stderr, flush=True)
        returned = loopback.wait()
        login = consents.complete(method, stored.account(), application, loopback.redirect_uri, consent.kept, returned)
        return links.finish(catalog, arguments.tenant, manifest.name, name, values, login, store=store)


def _application(manifest: Manifest, stored: Stored) -> Any:
    application = origins.application(manifest.name)
    if application is None and "client_id" not in stored.extra:
        raise LoginError(
            f"there is no application to log in to {manifest.title} with: "
            f"airflow connections add flowmate.{manifest.name} --conn-type flowmate --conn-login CLIENT_ID "
            "--conn-password CLIENT_SECRET"
        )
    return application


def _asked_for(manifest: Manifest, method: AuthMethod) -> str:
    scopes: Mapping[str, str] = getattr(method, "scopes", {})
    lines = [f"  {name}: {why}" if why else f"  {name}" for name, why in scopes.items()]
    return "\n".join([f"{manifest.title} is asked for{':' if lines else ' your consent.'}", *lines])


def _told(row: Linked, failed: str | None) -> int:
    how = f"with the credentials of {'/'.join(row.symlink)}" if row.symlink else f"by the method {row.method}"
    print(f"Linked {row.connector} for the tenant {row.tenant}, {how}; its Connection is {row.conn_id}")
    problem = row.problem or failed
    if problem is not None:
        raise CommandError(f"it is linked, and does not work so far: {plain(problem)}")
    return 0


def _values(method: AuthMethod, arguments: Namespace, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was filled in: given on the command line, in a file, before, or asked for now.

    :raises UsageError: a secret stands on the command line, or what was given is in no form
    """
    fields = {each.name: each for each in form_of(method)}
    values = {**before, **_from_file(arguments.fields_file)}
    for given in arguments.field or ():
        name, equals, value = given.partition("=")
        if not equals:
            raise UsageError(f"--field: write NAME=VALUE, or {given[:50]}=- to be asked for it")
        if name not in fields:
            hint = did_you_mean(name, fields) or "the method asks for nothing"
            raise UsageError(f"--field: there is no field {shown(name)}; {hint}")
        if value == ASKED:
            value = _ask(fields[name])
        elif fields[name].secret:
            raise UsageError(
                f"--field: `{name}` is a secret, which others on this machine could read in the command line; "
                f"give it as {name}=- or in --fields-file"
            )
        values[name] = value
    if arguments.fields_file != ASKED and sys.stdin.isatty():
        for each in fields.values():
            if each.required and values.get(each.name) in (None, "") and each.default is None:
                values[each.name] = _ask(each)
    return values


def _from_file(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    found = json_file(name, "--fields-file")
    if not isinstance(found, dict):
        raise UsageError('--fields-file holds no JSON object; write for example {"key": "…"}')
    return found


def _ask(each: FormField) -> str:
    """Return a field that a person types, or the next line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    prompt = f"{plain(each.title)}: "
    try:
        if each.secret:
            return getpass.getpass(prompt, sys.stderr)
        print(prompt, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().rstrip("\n")
    except EOFError:
        raise UsageError(f"nothing was typed for `{each.name}`") from None
