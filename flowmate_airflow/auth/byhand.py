"""Connections that people make in Airflow's own form, or test there: checked against the connector's manifest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.consents import needs_consent
from flowmate_airflow.auth.credentials import METHOD_KEY, Account
from flowmate_airflow.auth.forms import checked, form_of
from flowmate_airflow.auth.grants import MARK
from flowmate_airflow.auth.linkkeeping import LinkError
from flowmate_airflow.auth.links import client_for, logged_in, manifest_in, method_in
from flowmate_airflow.auth.probing import Subject, probe
from flowmate_airflow.auth.views import VIEW, problem_in
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.catalog import Catalog

log = logging.getLogger(__name__)

CONNECTOR_KEY = "connector"
"""The key of an extra, and the field of Airflow's form, that says which connector a Connection is for."""


def connector_of(extra: Mapping[str, Any]) -> str | None:
    """Return which connector a Connection is for; None: it does not say."""
    mark = extra.get(MARK)
    named = mark.get("connector") if isinstance(mark, Mapping) else None
    found = named or extra.get(CONNECTOR_KEY)
    return found if isinstance(found, str) and found else None


def tried(catalog: Catalog, stored: Stored, connector: str | None = None) -> tuple[bool, str]:
    """Return whether a Connection works, and a sentence for people, without a secret.

    :param stored: as it is stored, or as a task gets it
    :raises LoginError: it does not, for the reason in its text
    :raises StoreError: Airflow's database cannot be read
    """
    problem = problem_in(stored.extra.get(MARK))
    if problem is not None:
        raise LinkError(problem.text)
    name = connector or connector_of(stored.extra)
    if name is None:
        raise LinkError(f"the extra's key `{CONNECTOR_KEY}` must say which connector the Connection is for")
    manifest = manifest_in(catalog, name)
    if not manifest.auth:
        return True, f"{manifest.title} needs no credentials"
    method_name, method = method_in(manifest, _method_name(stored))
    client = None
    if stored.mark.get(VIEW) is not True:
        checked(method, method_name, _given(method, stored.account()))
        if needs_consent(method) and stored.grant is None:
            raise LinkError(
                f"nobody has consented yet: `flowmate links add TENANT {name}` does it, or a magic link. For the "
                "application's own Connection there is nothing to test"
            )
        client = client_for(method, stored, name)
        login = None if stored.grant is not None else logged_in(method, stored, client)
        stored = stored if login is None else stored.with_login(login)
    found = probe(Subject(manifest, method, method, stored, client))
    if found.problem is not None:
        return False, found.problem
    if found.is_certain:
        return True, f"{manifest.title} takes the credentials"
    return True, f"its fields are as {manifest.title} wants them; that they work could not be tried here"


def _method_name(stored: Stored) -> str | None:
    found = stored.mark.get("method") or stored.extra.get(METHOD_KEY)
    return found if isinstance(found, str) and found else None


def _given(method: AuthMethod, account: Account) -> dict[str, Any]:
    """Return what a Connection has for the fields of a method's form."""
    ours = {MARK, METHOD_KEY, CONNECTOR_KEY}
    values = {each.name: account.part(each.part) for each in form_of(method)}
    return {
        name: {key: child for key, child in value.items() if key not in ours} if isinstance(value, dict) else value
        for name, value in values.items()
        if value is not None
    }
