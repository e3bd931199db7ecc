"""Part of a JSON Schema: only the fields that are wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flowmate_airflow.protocols.streams import JsonSchema

_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def kept_fields(schema: JsonSchema, fields: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return a schema with only some of its fields.

    :param fields: with dots where they are nested; a field with fields below it is kept whole
    :param prefix: where the schema stands, with a dot at its end
    """
    kept = dict(schema)
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        kept["properties"] = _kept_properties(properties, fields, prefix)
        required = schema.get("required")
        if isinstance(required, list):
            kept["required"] = [name for name in required if name in kept["properties"]]
    if isinstance(schema.get("items"), Mapping):
        kept["items"] = kept_fields(schema["items"], fields, prefix)
    for word in _ALTERNATIVES:
        if isinstance(schema.get(word), list):
            kept[word] = [
                kept_fields(each, fields, prefix) if isinstance(each, Mapping) else each for each in schema[word]
            ]
    return kept


def _kept_properties(properties: Mapping[str, Any], fields: Collection[str], prefix: str) -> dict[str, Any]:
    kept = {}
    for name, schema in properties.items():
        full = prefix + name
        if full in fields:
            kept[name] = schema
        elif isinstance(schema, Mapping) and any(field.startswith(f"{full}.") for field in fields):
            kept[name] = kept_fields(schema, fields, f"{full}.")
    return kept
