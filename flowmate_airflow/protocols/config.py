"""A component's configuration out of a step's fields and its credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowmate_airflow.protocols.base import Request


def merged_config(request: Request) -> dict[str, Any]:
    """Return the step's fields with the credentials on top, as one object.

    A credential whose name has dots goes into nested objects: `credentials.api_key` is the key `api_key` of the object
    `credentials`.
    """
    return nested(request.credentials, _copy(request.config))


def nested(values: Mapping[str, Any], into: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return values with dots in their names as nested objects.

    :param into: the object they are put into; it is changed
    """
    config = {} if into is None else into
    for name, value in values.items():
        *parents, last = name.split(".")
        place = config
        for parent in parents:
            inner = place.get(parent)
            if not isinstance(inner, dict):
                inner = place[parent] = {}
            place = inner
        place[last] = value
    return config


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a component changed in its configuration, by name, nested names with dots; removals do not count."""
    changed: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            changed |= {f"{name}.{inner}": new for inner, new in changed_values(old, value).items()}
        elif value != old or name not in before:
            changed[name] = value
    return changed


def _copy(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(child) if isinstance(child, Mapping) else child for key, child in value.items()}
