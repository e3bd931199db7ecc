"""Part of a JSON Schema: only the fields that are wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flowmate_airflow.protocols.streams import JsonSchema

_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


def kept_fields(schema: JsonSchema, fields: Collection[str]) -> dict[str, Any]:
    """Return a schema with only some of its fields.

    :param fields: with dots where they are nested; a field with fields below it is kept whole
    """
    parents = {field[:place] for field in fields for place, sign in enumerate(field) if sign == "."}
    return _kept(schema, frozenset(fields), parents, "")


def _kept(schema: JsonSchema, fields: Collection[str], parents: Collection[str], prefix: str) -> dict[str, Any]:
    """Return what is kept of a schema.

    :param parents: the fields that have wanted ones below
    :param prefix: where the schema stands, with a dot at its end
    """
    kept = dict(schema)
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        kept["properties"] = _kept_properties(properties, fields, parents, prefix)
        required = schema.get("required")
        if isinstance(required, list):
            kept["required"] = [name for name in required if name in kept["properties"]]
    if isinstance(schema.get("items"), Mapping):
        kept["items"] = _kept(schema["items"], fields, parents, prefix)
    for word in _ALTERNATIVES:
        if isinstance(schema.get(word), list):
            kept[word] = [
                _kept(each, fields, parents, prefix) if isinstance(each, Mapping) else each for each in schema[word]
            ]
    return kept


def _kept_properties(
    properties: Mapping[str, Any], fields: Collection[str], parents: Collection[str], prefix: str
) -> dict[str, Any]:
    kept = {}
    for name, schema in properties.items():
        full = prefix + name
        if full in fields:
            kept[name] = schema
        elif isinstance(schema, Mapping) and full in parents:
            kept[name] = _kept(schema, fields, parents, f"{full}.")
    return kept
