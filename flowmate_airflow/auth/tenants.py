"""What an application says of its tenants: a config in any form, custom field mappings, and what differs in a flow.

The tenant `default` is the template: a tenant of whom nothing else is said has its schedule and its field maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.links import checked_tenant
from flowmate_airflow.auth.names import DEFAULT_TENANT
from flowmate_airflow.auth.unlinking import Unlinked, unlink
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.errors import shown
from flowmate_airflow.flows.schedules import PRESETS, parse_schedule
from flowmate_airflow.store import linked as links
from flowmate_airflow.store import tenants
from flowmate_airflow.store.erasing import erase
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.tenants import TenantFlow

METADATA, MAPPING = "hotglue_metadata", "hotglue_mapping"
"""Keys of a config that have a form: flat facts of the tenant, and custom field mappings."""
INHERIT = "inherit"
"""The schedule of a tenant who has none of their own."""
MAX_NAME = 1000
_ONCE = ("@once", "@continuous")
_FORM = '`{"Source/Target": {"target_field": "source_field"}}`'


class TenantError(LoginError):
    """What is said of a tenant cannot be taken; nothing was changed."""


@dataclass(frozen=True, slots=True)
class TableMapping:
    """Which field of a source's table becomes which field of a target's.

    :param fields: the source's field by the target's
    """

    source: str
    target: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def save_config(tenant: str, config: Any, store: Store | None = None) -> None:
    """Keep what is said of a tenant, in place of what was said before.

    :raises TenantError: it is no object, or what has a form in it has another one
    :raises StoreError: it is too large, or the store cannot be written
    """
    tenants.save_config(store or open_store(), checked_tenant(tenant), check_config(config))


def check_config(config: Any) -> dict[str, Any]:
    """Return a tenant's config.

    :raises TenantError: it is no object, or what has a form in it has another one
    """
    if not isinstance(config, dict):
        raise TenantError(f"a tenant's config is a JSON object, not {shown(config)}")
    metadata_of(config)
    for flow, given in _mappings(config).items():
        check_mapping(given, f"`{MAPPING}` of {shown(flow)}")
    return config


def metadata_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flat facts of a tenant that its config has: `{"hotglue_metadata": {"metadata": {…}}}`.

    :raises TenantError: they are in another form
    """
    found = _object(_object(config, METADATA, "the config"), "metadata", f"`{METADATA}`")
    for name, value in found.items():
        if isinstance(value, dict | list):
            raise TenantError(f"`{METADATA}.metadata` is flat: `{str(name)[:100]}` cannot be {shown(value)}")
    return found


def mapping_of(config: Mapping[str, Any], flow: str, connector: str | None = None) -> list[TableMapping]:
    """Return the custom field mapping of a flow that a tenant's config has, in either of hotglue's forms.

    :param connector: whose mapping it is, where the config has it by connectors
    :raises TenantError: it is in another form
    """
    found = _mappings(config)
    given = found.get(flow, found.get(connector) if connector is not None else None)
    return [] if given is None else check_mapping(given, f"`{MAPPING}` of {shown(flow)}")


def mapping_for(store: Store, tenant: str, flow: str, connector: str | None = None) -> list[TableMapping]:
    """Return a tenant's custom field mapping for a flow: their own for it, else their config's, else the template's.

    :raises TenantError: it is in another form
    :raises StoreError: the store cannot be read
    """
    for name in dict.fromkeys((tenant, DEFAULT_TENANT)):
        own = tenants.find_flow(store, name, flow).mapping
        if own is not None:
            return check_mapping(own)
        known = tenants.find_tenant(store, name)
        found = [] if known is None else mapping_of(known.config, flow, connector)
        if found:
            return found
    return []


def check_mapping(value: Any, what: str = "the mapping") -> list[TableMapping]:
    """Return a custom field mapping: `{"Source/Target": {target_field: source_field}}`, or a list of objects with
    `source`, `target` and `fields`.

    In hotglue's lists `target` is the table of the connector, and `source` that of the application, whose fields are
    the keys; in its objects the connector's table comes first.

    :param what: it is, for errors
    :raises TenantError: it is neither
    """
    if isinstance(value, dict):
        return [_of_pair(key, fields, what) for key, fields in value.items()]
    if isinstance(value, list):
        return [_of_object(each, what) for each in value]
    raise TenantError(f"{what} is {shown(value)}; write {_FORM}")


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


def schedule_for(own: TenantFlow, template: TenantFlow) -> str | None:
    """Return a tenant's schedule of a flow, or that of the template; None: the flow's."""
    return own.schedule if own.schedule is not None else template.schedule


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


def _mappings(config: Mapping[str, Any]) -> dict[str, Any]:
    return _object(_object(config, MAPPING, "the config"), "mapping", f"`{MAPPING}`") if MAPPING in config else {}


def _object(holder: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    found = holder.get(key, {})
    if not isinstance(found, dict):
        raise TenantError(f"`{key}` of {where} is an object, not {shown(found)}")
    return found


def _of_pair(key: Any, fields: Any, what: str) -> TableMapping:
    source, slash, target = str(key).partition("/")
    if not slash or not _is_name(source) or not _is_name(target):
        raise TenantError(f"{what}: {shown(str(key))} is no pair of tables; write {_FORM}")
    return TableMapping(source, target, _fields(fields, str(key), what))


def _of_object(value: Any, what: str) -> TableMapping:
    if not isinstance(value, dict) or not _is_name(value.get("source")) or not _is_name(value.get("target")):
        raise TenantError(f"{what}: each of the list is an object with `source`, `target` and `fields`")
    source, target = value["target"], value["source"]
    return TableMapping(source, target, _fields(value.get("fields", {}), f"{source}/{target}", what))


def _fields(value: Any, pair: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TenantError(f"{what}: the fields of {shown(pair)} are {shown(value)}; write {_FORM}")
    for name in value:
        if not _is_name(name):
            raise TenantError(f"{what}: {shown(name)} of {shown(pair)} is no field's name")
    return value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME
