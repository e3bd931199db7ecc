"""The endpoint that a command of webhooks is about, and its secrets."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from flowmate_airflow.auth.names import check_tenant
from flowmate_airflow.build.endpoints import flow_endpoint, wait_endpoint
from flowmate_airflow.cli.accounts import ENVIRONMENT, find_account
from flowmate_airflow.cli.common import catalog_of, load_one
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.flows.folder import SUFFIXES
from flowmate_airflow.flows.models import WaitStep
from flowmate_airflow.flows.tenantmodels import DISPATCHER
from flowmate_airflow.settings import SettingError
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.store.store import Store
from flowmate_airflow.webhooks.addresses import checked_base, public_url
from flowmate_airflow.webhooks.directory import Directory, NoSecret, secrets_in
from flowmate_airflow.webhooks.endpoints import WAITS, Endpoint

_MOST = 10
"""How many flows are named at once."""


def endpoint_of(arguments: Namespace) -> Endpoint:
    """Return the endpoint that `arguments.endpoint` names: that of a flow's file, else one that Airflow knows.

    :raises UsageError: there is no such endpoint
    :raises CommandError: the file has problems, or Airflow cannot be asked
    """
    name: str = arguments.endpoint
    if name.endswith(tuple(SUFFIXES)):
        return _of_file(Path(name), arguments)
    known = known_endpoints()
    if name not in known:
        there = f"there are {', '.join(sorted(known)[:20])}" if known else "there is none"
        hint = did_you_mean(name, known) or f"{there}. A flow's file may be named instead"
        raise UsageError(f"Airflow knows no webhook `{name}`; {hint}")
    return known[name]


def tenant_in(arguments: Namespace, endpoint: Endpoint) -> str:
    """Return the tenant that `arguments.tenant` names, an empty text where the endpoint knows none.

    :raises UsageError: one is named where there are none, or none where each has an address of their own
    """
    tenant: str | None = arguments.tenant
    if tenant is None:
        if endpoint.tenants:
            raise UsageError(f"each tenant has an address of their own at {endpoint.name}: name one with --tenant")
        return ""
    if not endpoint.tenants:
        raise UsageError(f"--tenant: {endpoint.name} has one address for all, as its flow has no tenants")
    try:
        return check_tenant(tenant)
    except ValueError as error:
        raise UsageError(f"--tenant: {error}") from None


def known_endpoints() -> Mapping[str, Endpoint]:
    """Return the endpoints that Airflow knows, by name.

    :raises CommandError: it cannot be asked
    """
    try:
        return Directory().endpoints()
    except Exception as error:  # a database has errors of its own, whose texts may hold its password
        raise CommandError(
            f"Airflow could not be asked for its webhooks ({type(error).__name__}); "
            "call this where its database can be reached, or name a flow's file"
        ) from None


def base_of(given: str | None, flag: str, example: str = "") -> str:
    """Return the address of the API server: the given one, else the configured one.

    :param flag: that it is given with
    :param example: of it, for the error
    :raises UsageError: it is none, or there is none
    """
    try:
        return public_url() if given is None else checked_base(given)
    except ValueError as error:
        raise UsageError(f"{flag} {error}") from None
    except SettingError as error:
        raise UsageError(f"{error}, or say it with {flag}{example}") from None


def secrets_of(conn_id: str) -> tuple[str, ...]:
    """Return the secrets of a Connection: of the environment's without asking Airflow.

    :raises LookupError: there is no such Connection, or it holds no secret
    :raises CommandError: Airflow cannot be asked, or the environment's is none
    """
    if os.environ.get(f"{ENVIRONMENT}{conn_id.upper()}"):
        return _of_environment(conn_id)
    try:
        return Directory().secrets(conn_id)
    except LookupError:
        raise
    except Exception as error:  # as above
        raise CommandError(
            f"Airflow could not be asked for the Connection `{conn_id}` ({type(error).__name__}); "
            f"set {ENVIRONMENT}{conn_id.upper()} to do without it"
        ) from None


def told_missing(error: LookupError, conn_id: str) -> str:
    """Return what :func:`secrets_of` found wrong, and what to do about it."""
    if isinstance(error, NoSecret):
        return f"{error.args[0]}; give it one, in Airflow under Admin, Connections"
    add = f"airflow connections add {conn_id} --conn-type generic --conn-password SECRET"
    return f"{error.args[0]}; add it: {add}"


def told_asleep(names: Iterable[str]) -> str | None:
    """Return that the flows of some endpoints are switched off; None where none is, or Airflow cannot be asked."""
    try:
        flows = {name.partition(WAITS)[0] for name in names}
        paused = sorted(Directory().paused(flows | {f"{flow}{DISPATCHER}" for flow in flows}))
    except Exception:  # this is but a hint, and the database may be another machine's
        return None
    if not paused:
        return None
    more = f" and {len(paused) - _MOST:,} more" if len(paused) > _MOST else ""
    return f"switched off in Airflow: {', '.join(paused[:_MOST])}{more}; what is received waits until that is on"


def registered_secrets(store: Store, endpoint: str, tenant: str = "") -> tuple[str, ...]:
    """Return the secrets of an endpoint that no Connection has, as its address was registered by FlowMate itself."""
    from flowmate_airflow.store.subscriptions import secrets_for

    return secrets_for(store).get((endpoint, tenant), ())


def link_secrets(endpoint: Endpoint, tenant: str) -> tuple[str, ...]:
    """Return the webhook secrets that a tenant's link holds, of which there may be none.

    :raises CommandError: Airflow or the store cannot be asked
    """
    if not tenant or endpoint.connector is None:
        return ()
    try:
        return Directory().link_secrets(endpoint.connector, tenant)
    except Exception as error:  # as above
        raise CommandError(
            f"the link of the tenant {tenant} to {endpoint.connector} cannot be read ({type(error).__name__})"
        ) from None


def _of_environment(conn_id: str) -> tuple[str, ...]:
    try:
        account = find_account(conn_id, "webhooks", "webhook")
    except ConfigFailure as failure:
        raise CommandError(str(failure).partition(": ")[2]) from None
    secrets = secrets_in(account.login, account.password, account.extra)
    if not secrets:
        raise NoSecret(f"the Connection `{conn_id}` has no password")
    return secrets


def _of_file(path: Path, arguments: Namespace) -> Endpoint:
    catalog = catalog_of(arguments)
    loaded = load_one(path, catalog)
    endpoint = flow_endpoint(loaded, catalog)
    if endpoint is not None:
        return endpoint
    waits = [wait_endpoint(loaded, step) for step in loaded.flow.steps if isinstance(step, WaitStep)]
    if len(waits) == 1:
        return waits[0]
    if waits:
        names = ", ".join(each.name for each in waits)
        raise UsageError(f"{path} has several steps that wait; name the endpoint of one: {names}")
    raise UsageError(f"{path} has neither a `webhook:` nor a step that waits, so nobody can post to it")
