"""Magic links: an address by which a tenant's people link connectors without an account of Airflow's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.names import DEFAULT_TENANT, check_tenant
from flowmate_airflow.auth.returns import ReturnError, checked_return
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.errors import did_you_mean, shown
from flowmate_airflow.settings import SettingError
from flowmate_airflow.store import magiclinks
from flowmate_airflow.store.magiclinks import MagicLink
from flowmate_airflow.store.store import Store
from flowmate_airflow.webhooks.addresses import public_url

PATH = "/flowmate/connect/"
DEFAULT_LIFE = timedelta(days=1)
MIN_LIFE, MAX_LIFE = timedelta(minutes=1), timedelta(days=30)
MAX_CONNECTORS = 100


@dataclass(frozen=True, slots=True)
class Made:
    """A magic link that was made.

    :param url: is shown once, and opens it
    """

    url: str = field(repr=False)
    link: MagicLink


def make(
    store: Store,
    catalog: Catalog,
    tenant: str,
    *,
    connectors: Collection[str] | None = None,
    return_to: str | None = None,
    life: timedelta = DEFAULT_LIFE,
    made_by: str = "",
) -> Made:
    """Make a magic link.

    :param connectors: which can be linked by it; None: any
    :param return_to: where people go on when they have linked one
    :param life: how long it can be used
    :param made_by: who asked for it
    :raises LoginError: something of it cannot be
    :raises StoreError: the store cannot be written
    """
    try:
        check_tenant(tenant)
        base = public_url()
        if return_to is not None:
            checked_return(return_to)
    except (ReturnError, SettingError, ValueError) as error:
        raise LoginError(str(error)) from None
    if tenant == DEFAULT_TENANT:
        raise LoginError(f"`{DEFAULT_TENANT}` is the template of all tenants, and links nothing itself")
    if not MIN_LIFE <= life <= MAX_LIFE:
        raise LoginError("a magic link is valid for a minute at least, and for 30 days at most")
    chosen = None if connectors is None else tuple(dict.fromkeys(connectors))
    _check(catalog, chosen)
    token, link = magiclinks.create(
        store, tenant, expires_in=life, connectors=chosen, return_to=return_to, made_by=made_by
    )
    return Made(f"{base}{PATH}{token}", link)


def _check(catalog: Catalog, connectors: tuple[str, ...] | None) -> None:
    if connectors is None:
        return
    if not 0 < len(connectors) <= MAX_CONNECTORS:
        raise LoginError(f"a magic link is for one connector at least, and for {MAX_CONNECTORS} at most")
    for name in connectors:
        found = catalog.get(name)
        if found is None:
            hint = did_you_mean(name, catalog.names())
            raise LoginError(f"there is no connector {shown(name)}" + (f"; {hint}" if hint else ""))
        if not isinstance(found, Manifest) or not found.auth:
            raise LoginError(f"the connector {shown(name)} cannot be linked: it needs no credentials, or is wrong")
