"""What an application says of tenants in forms of its own: flat facts, and custom field mappings like hotglue's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.names import DEFAULT_TENANT
from flowmate_airflow.flows.errors import shown
from flowmate_airflow.store import tenants
from flowmate_airflow.store.store import Store

METADATA, MAPPING = "hotglue_metadata", "hotglue_mapping"
"""Keys of a config that have a form: flat facts of the tenant, and custom field mappings."""
MAX_NAME = 1000
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
    """Return the custom field mapping of a flow that a tenant's config has, as :func:`check_mapping` does.

    :param connector: whose mapping it is, where the config has it by connectors
    :raises TenantError: it is in no form
    """
    found = _mappings(config)
    given = found.get(flow, found.get(connector) if connector is not None else None)
    return [] if given is None else check_mapping(given, f"`{MAPPING}` of {shown(flow)}")


def mapping_for(store: Store, tenant: str, flow: str, connector: str | None = None) -> list[TableMapping]:
    """Return a tenant's custom field mapping for a flow: their own for it, else their config's, else the template's.

    :raises TenantError: it is in no form
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


def _mappings(config: Mapping[str, Any]) -> dict[str, Any]:
    return _object(_object(config, MAPPING, "the config"), "mapping", f"`{MAPPING}`")


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
