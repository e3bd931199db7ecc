"""`flowmate webhooks url`: the address that a provider is told, and what it must be set to."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence

from flowmate_airflow.cli.asking import plain
from flowmate_airflow.cli.endpoints import (
    base_of,
    endpoint_of,
    link_secrets,
    registered_secrets,
    secrets_of,
    tenant_in,
    told_missing,
)
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.settings import setting
from flowmate_airflow.store import endpoints
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.webhooks.addresses import hook_url
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.proofs import NoKey
from flowmate_airflow.webhooks.requests import HookRequest, Rejected
from flowmate_airflow.webhooks.schemes import Scheme, scheme_named, verify


def show_url(arguments: Namespace) -> int:
    """Print the address on standard output, and what belongs to it on standard error."""
    store = open_store()  # before Airflow is asked, whose log would tell on standard output that it is made
    endpoint = endpoint_of(arguments)
    try:
        scheme = scheme_named(endpoint.scheme, endpoint.options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    tenant = tenant_in(arguments, endpoint)
    base = base_of(arguments.base, "--base")
    token = None
    if arguments.rotate:
        token = endpoints.rotate(store, endpoint.name, tenant)
    elif arguments.token or tenant or scheme.needs_url_token:
        token = endpoints.token_of(store, endpoint.name, tenant)
    print(hook_url(endpoint.name, token, base, tenant=tenant))
    if arguments.rotate:
        print(
            "The address with the token before is valid for one day more: tell the provider the new one",
            file=sys.stderr,
        )
    if arguments.base is None and not setting("public_url"):
        print(
            "address     of [api] base_url, as [flowmate] public_url is not set: do senders reach it there?",
            file=sys.stderr,
        )
    for line in _told(endpoint, tenant, scheme, store, show_secrets=arguments.show_secrets):
        print(plain(line), file=sys.stderr)
    return 0


def _told(endpoint: Endpoint, tenant: str, scheme: Scheme, store: Store, *, show_secrets: bool) -> Iterator[str]:
    yield f"scheme      {scheme.name}: {scheme.title}"
    yield f"proof       {', '.join(scheme.proof.told())}"
    yield f"methods     {', '.join(scheme.methods)}"
    yield f"secret      {_secret(endpoint, tenant, scheme, store)}"
    yield f"it holds    {scheme.secret}"
    learned = endpoints.learned(store, endpoint.name, tenant)
    if learned is not None:
        shown = learned if show_secrets else "(--show-secrets shows it)"
        yield f"learned     the provider has sent a secret, which belongs into the Connection: {shown}"
    if endpoint.connection is None and not scheme.needs_url_token:
        yield "            FlowMate registers the address by itself: flowmate webhooks sync"


def _secret(endpoint: Endpoint, tenant: str, scheme: Scheme, store: Store) -> str:
    conn_id = endpoint.connection
    if (tenant or conn_id is None) and registered_secrets(store, endpoint.name, tenant):
        return "one that the provider and FlowMate have agreed on"
    try:
        if link_secrets(endpoint, tenant):
            return f"in the tenant's link to {endpoint.connector}"
    except CommandError as error:
        return str(error)
    if conn_id is None:
        return "none is needed: whoever knows the address is let in" if scheme.needs_url_token else "none yet"
    try:
        secrets = secrets_of(conn_id)
    except LookupError as error:
        return f"NOBODY IS LET IN: {told_missing(error, conn_id)}"
    except CommandError as error:
        return f"in the Connection `{conn_id}`; {error}"
    if not _fits(scheme, secrets):
        return f"NOBODY IS LET IN: what the Connection `{conn_id}` holds is no secret of this scheme"
    return f"in the Connection `{conn_id}`, which is there"


def _fits(scheme: Scheme, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets is one that the scheme can use: proofs look at that before anything else."""
    try:
        verify(scheme, HookRequest(scheme.methods[0], "", (), b""), secrets, time.time())
    except NoKey:
        return False
    except Rejected:
        pass
    return True
