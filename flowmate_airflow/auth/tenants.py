"""What an application says of its tenants: a config in any form, and what differs in a flow; and their end.

The tenant `default` is the template: a tenant of whom nothing else is said has its schedule and its field maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowmate_airflow.auth.links import checked_tenant
from flowmate_airflow.auth.mappings import TenantError, check_config, check_mapping
from flowmate_airflow.auth.unlinking import Unlinked, unlink
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.schedules import PRESETS, parse_schedule
from flowmate_airflow.store import linked as links
from flowmate_airflow.store import tenants
from flowmate_airflow.store.erasing import erase
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.tenants import TenantFlow

INHERIT = "inherit"
"""The schedule of a tenant who has none of their own."""
_ONCE = ("@once", "@continuous")


def save_config(tenant: str, config: Any, store: Store | None = None) -> None:
    """Keep what is said of a tenant, in place of what was said before.

    :raises TenantError: it is no object, or what has a form in it has another one
    :raises StoreError: it is too large, or the store cannot be written
    """
    tenants.save_config(store or open_store(), checked_tenant(tenant), check_config(config))


def set_flow(
    tenant: str,
    flow: str,
    *,
    is_on: bool | None = None,
    schedule: str | None = None,
    mapping: Any = None,
    store: Store | None = None,
) -> TenantFlow:
    """Change what differs for a tenant in a flow; what is None stays.

    :param schedule: in the words of flow files; `none`: it never runs by itself; `inherit`: as the template has it,
        else the flow
    :param mapping: see :func:`check_mapping`; `{}`: none of their own
    :raises TenantError: something of it cannot be
    :raises StoreError: it is too large, or the store cannot be written
    """
    changes: tenants.FlowChanges = {}
    if is_on is not None:
        changes["is_on"] = is_on
    if schedule is not None:
        changes["schedule"] = _schedule(schedule)
    if mapping is not None:
        check_mapping(mapping)
        changes["mapping"] = mapping or None
    store = store or open_store()
    tenants.add_tenant(store, checked_tenant(tenant))
    return tenants.set_flow(store, tenant, flow, **changes)


def delete(
    catalog: Catalog, tenant: str, *, force: bool = False, store: Store | None = None
) -> Iterator[Unlinked | int]:
    """Unlink all that a tenant has linked, then remove what the store keeps of them; yield what was done, as it is.

    When something fails, what was done before stays done, and another call goes on from there.

    :param force: also links of others that use their credentials
    :return: what became of each link, then the number of rows that were removed
    :raises SymlinkError: others use their credentials; before anything was done
    :raises StoreError: Airflow's database or the store cannot be used
    """
    store = store or open_store()
    rows = links.of_tenant(store, checked_tenant(tenant))
    if not force:
        _check_unused(store, rows, tenant)
    # Those that use others' credentials first: of the tenant's own links, some may.
    for row in sorted(rows, key=lambda row: row.symlink is None):
        done = unlink(catalog, tenant, row.connector, force=force, store=store)
        if done is not None:
            yield done
    for connector in catalog.names():
        unlink(catalog, tenant, connector, store=store)  # of links that were removed by halves
    yield erase(store, tenant)


def _check_unused(store: Store, rows: list[links.Linked], tenant: str) -> None:
    users = [
        (user.tenant, user.connector)
        for row in rows
        for user in links.users_of(store, tenant, row.connector)
        if user.tenant != tenant
    ]
    if users:
        names = ", ".join("/".join(user) for user in users[:10]) + (", …" if len(users) > 10 else "")
        raise links.SymlinkError(f"credentials of the tenant {tenant} are used by {names}; unlink these first", users)


def _schedule(text: str) -> str | None:
    if text == INHERIT:
        return None
    try:
        parse_schedule(text)
    except ValueError as error:
        presets = ", ".join(preset for preset in PRESETS if preset not in _ONCE)
        raise TenantError(
            f'{error}; write cron such as "*/15 * * * *", one of {presets}, an interval such as 15m, none, or inherit'
        ) from None
    if text in _ONCE:
        raise TenantError(f"a tenant's schedule cannot be {text}; a flow can have it, for all")
    return text
