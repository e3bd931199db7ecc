"""Which flows have their address registered with the other system, and what is asked of their connector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flowmate_airflow.build.endpoints import flow_endpoint
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.load import LoadedFlow
from flowmate_airflow.flows.models import UseStep
from flowmate_airflow.flows.tenantchecks import is_linked
from flowmate_airflow.flows.webhookchecks import taken_events
from flowmate_airflow.settings import SettingError
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.links import TenantFacts
from flowmate_airflow.steps.subscriptionrules import Wanted, new_secret
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.webhooks.addresses import hook_url, public_url
from flowmate_airflow.webhooks.endpoints import Endpoint

BASIC = "basic"
"""The scheme whose secret is a user and a password, with a colon between them."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A flow whose trigger registers its address."""

    loaded: LoadedFlow
    step: UseStep
    manifest: Manifest
    endpoint: Endpoint

    @property
    def flow_id(self) -> str:
        """The flow's id."""
        return self.loaded.flow_id

    @property
    def is_linked(self) -> bool:
        """Whether it is registered with the account that each tenant has linked."""
        return is_linked(self.loaded.flow, self.step, self.manifest)

    @property
    def params(self) -> dict[str, Any]:
        """The flow's params as they are by default: there is no run whose own they could be."""
        return {name: schema.get("default") for name, schema in self.loaded.flow.params.items()}


@dataclass(frozen=True, slots=True)
class Asked:
    """What has to be asked for what a flow wants.

    :param render: renders a step's `with`, with the flow's params, and the names that a tenant's run has
    :param secrets: returns the secrets of a Connection; none: it is one that the other system has already
    :param token: returns the token of an endpoint's address, of a tenant's where each has their own
    :param link: returns the link of a tenant to a connector, None when there is none
    :param link_secret: returns the webhook secret that a link's Connection holds, None when it holds none
    """

    render: Callable[[UseStep, dict[str, Any], Mapping[str, Any]], dict[str, Any]]
    secrets: Callable[[str], Sequence[str]]
    token: Callable[[str, str], str]
    link: Callable[[str, str], Linked | None] = lambda tenant, connector: None
    link_secret: Callable[[str], str | None] = lambda conn_id: None


def subscriber_of(loaded: LoadedFlow, catalog: Catalog) -> Subscriber | None:
    """Return what a flow registers; None when it registers nothing."""
    taken = taken_events(loaded.flow, catalog)
    endpoint = flow_endpoint(loaded, catalog)
    if taken is None or endpoint is None or not taken[1].subscribes:
        return None
    manifest = catalog.get(taken[0].connector)
    return Subscriber(loaded, taken[0], manifest, endpoint) if isinstance(manifest, Manifest) else None


def wanted_of(subscriber: Subscriber, asked: Asked, tenant: str = "") -> Wanted:
    """Return the subscription that a flow wants, which names the problem where it cannot have one.

    :param tenant: for whom, where the flow has tenants
    :raises StoreError: the store does not answer
    """
    step, endpoint = subscriber.step, subscriber.endpoint
    names = {"tenant": TenantFacts(tenant, subscriber.flow_id)} if tenant else {}
    try:
        link = _link(subscriber, asked, tenant)
        url = hook_url(endpoint.name, _token(endpoint, asked, tenant), checked_public_url(), tenant=tenant)
        config = asked.render(step, subscriber.params, names)
        secret = _secret(endpoint, asked)
    except (ConfigFailure, SettingError, StoreError) as error:
        if isinstance(error, StoreError) and error.transient:
            raise
        return Wanted(subscriber.flow_id, step.id, endpoint.name, step.use, tenant=tenant, problem=str(error))
    conn_id = step.connection if link is None else link.conn_id
    return Wanted(
        subscriber.flow_id,
        step.id,
        endpoint.name,
        f"{step.connector}/{step.function}",
        version=f"{subscriber.manifest.version} {subscriber.manifest.image}",
        url=url,
        connection=conn_id,
        config=config,
        events={"scheme": endpoint.scheme, "options": dict(endpoint.options)},
        secret=secret,
        new_secret=lambda: _new_secret(endpoint),
        own_secret=lambda: None if link is None else asked.link_secret(link.conn_id),
        # Nobody is asked for each link's Connection every time: whoever links again may do so with another account.
        account=None if link is None else str(link.linked_at),
        tenant=tenant,
    )


def checked_public_url() -> str:
    """Return the address at which others reach this Airflow, one that a provider may be told.

    :raises SettingError: there is none, or what is sent to it could be read on its way
    """
    base = public_url()
    parts = urlsplit(base)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return base
    raise SettingError(
        f"the address that others would send to is {base}, which is not encrypted; "
        "set [flowmate] public_url to one with https, such as https://hooks.example.com"
    )


def _link(subscriber: Subscriber, asked: Asked, tenant: str) -> Linked | None:
    """Return the link with which a tenant's address is registered; of a symlink, the one whose credentials it uses.

    :raises ConfigFailure: there is none
    """
    if not tenant or not subscriber.is_linked:
        return None
    link = asked.link(tenant, subscriber.step.connector)
    if link is not None and link.symlink is not None:
        link = asked.link(*link.symlink)
    if link is None:
        raise ConfigFailure(f"the tenant `{tenant}` has not linked `{subscriber.step.connector}`")
    return link


def _new_secret(endpoint: Endpoint) -> str | None:
    """Return a new secret; None where the other system signs with that of the application."""
    if endpoint.connection is not None:
        return None
    return new_secret(has_user=endpoint.scheme == BASIC)


def _secret(endpoint: Endpoint, asked: Asked) -> str | None:
    """Return the secret that senders are told, of those that they may have."""
    secrets = asked.secrets(endpoint.connection) if endpoint.connection is not None else ()
    if not secrets:
        return None
    with_user = (text for text in secrets if ":" in text)
    return next(with_user, secrets[0]) if endpoint.scheme == BASIC else secrets[0]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(endpoint: Endpoint, asked: Asked, tenant: str) -> str | None:
    # Schemes take a while to import, which only those flows wait for that need them.
    from flowmate_airflow.webhooks.schemes import scheme_named

    try:
        scheme = scheme_named(endpoint.scheme, endpoint.options)
    except ValueError as error:
        raise ConfigFailure(str(error)) from None
    return asked.token(endpoint.name, tenant) if tenant or scheme.needs_url_token else None
