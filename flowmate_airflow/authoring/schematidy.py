"""JSON Schemas of others, made schemas of draft 2020-12 that a manifest may hold: bounded, complete in themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from flowmate_airflow.authoring.texts import plain
from flowmate_airflow.flows.patterns import slow_pattern
from flowmate_airflow.flows.schemas import schema_problem, violations

MAX_BYTES = 32 * 1024
"""Of one schema as JSON. A larger one loses its innermost parts."""
MAX_DEPTH = 12
MAX_PROPERTIES = 500

MAX_PARTS = 20_000
"""Of one schema, with all that its references name."""

_TYPES = frozenset({"string", "boolean", "integer", "number", "array", "object", "null"})
_REFERENCES = 20
"""How many references may lead to each other before the rest is left open."""


def tidy(schema: Any, root: Any = None, *, depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return a schema that says as much as the given one, as far as that can be said in a manifest.

    `required` of single properties (draft 3) becomes their object's list, references are replaced by what they name,
    and what no validator could use is left out.

    :param root: the schema that references start from, when it is another one
    :param depth: how deep its objects may lie in each other
    """
    base = schema if root is None else root
    for deep in (depth, *(each for each in (6, 4, 3, 2, 1) if each < depth)):
        made = _Tidy(base).schema(schema, deep, 0)
        if len(orjson.dumps(made, default=str)) <= MAX_BYTES:
            return made if schema_problem(made) is None else {}
    return {"type": made["type"]} if "type" in made else {}


def fitting_default(schema: Mapping[str, Any]) -> Any:
    """Return the default that a tidied schema states, None when there is none or the schema itself forbids it."""
    default = schema.get("default")
    if default is None:
        return None
    return None if any(violations({"default": schema}, {"default": default})) else default


class _Tidy:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._parts = 0
        self._keywords: Mapping[str, Callable[[Any, int, int], Any]] = {
            "type": lambda value, *_: _type(value),
            "title": lambda value, *_: _text(value, 200),
            "description": lambda value, *_: _text(value, 1000),
            "format": lambda value, *_: _text(value, 50),
            "pattern": lambda value, *_: _pattern(value),
            "default": lambda value, *_: value,
            "const": lambda value, *_: value,
            "examples": lambda value, *_: value[:5] if isinstance(value, list) and value else None,
            "enum": lambda value, *_: _enum(value),
            "enumNames": lambda value, *_: _enum(value),
            "properties": self._properties,
            "patternProperties": self._patterns,
            "additionalProperties": self._schema_or_bool,
            "items": self._items,
            "prefixItems": self._list,
            "anyOf": self._list,
            "oneOf": self._list,
            "allOf": self._list,
            "not": self._schema_or_bool,
            "if": self._schema_or_bool,
            "then": self._schema_or_bool,
            "else": self._schema_or_bool,
            "uniqueItems": lambda value, *_: value if isinstance(value, bool) else None,
            **{key: _number for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")},
            "multipleOf": lambda value, *_: value if _is_number(value) and value > 0 else None,
            **{key: _size for key in ("minLength", "maxLength", "minItems", "maxItems")},
            **{key: _size for key in ("minProperties", "maxProperties")},
        }

    def schema(self, schema: Any, depth: int, references: int) -> dict[str, Any]:
        """Return the schema tidied, with nothing below `depth`."""
        self._parts += 1
        if not isinstance(schema, Mapping) or self._parts > MAX_PARTS:
            return {}
        if isinstance(schema.get("$ref"), str):
            target = self._target(schema["$ref"]) if references < _REFERENCES else None
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return self.schema({**(target if isinstance(target, Mapping) else {}), **beside}, depth, references + 1)
        made: dict[str, Any] = {}
        for key, value in schema.items():
            handle = self._keywords.get(key)
            if handle is None:
                continue
            result = handle(value, depth, references)
            if result is not None or (key in ("default", "const") and value is None):
                made[key] = result
        if required := self._required(schema, made):
            made["required"] = required
        _old_bounds(schema, made)
        return made

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        node = self._root
        for part in reference[1:].strip("/").split("/") if len(reference) > 2 else ():
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, Mapping) or name not in node:
                return None
            node = node[name]
        return node

    def _required(self, schema: Mapping[str, Any], made: dict[str, Any]) -> list[str]:
        given = schema.get("required")
        names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            names += [
                name for name, each in properties.items() if isinstance(each, Mapping) and each.get("required") is True
            ]
        return [name for name in dict.fromkeys(names) if name in made.get("properties", {}) or not properties]

    def _properties(self, value: Any, depth: int, references: int) -> Any:
        if not isinstance(value, Mapping) or depth <= 0:
            return None
        kept = list(value.items())[:MAX_PROPERTIES]
        return {str(name): self.schema(each, depth - 1, references) for name, each in kept}

    def _patterns(self, value: Any, depth: int, references: int) -> Any:
        if not isinstance(value, Mapping) or depth <= 0:
            return None
        kept = {str(name): each for name, each in value.items() if _pattern(name)}
        return {name: self.schema(each, depth - 1, references) for name, each in kept.items()} or None

    def _schema_or_bool(self, value: Any, depth: int, references: int) -> Any:
        if isinstance(value, bool):
            return value
        return self.schema(value, depth - 1, references) if isinstance(value, Mapping) and depth > 0 else None

    def _items(self, value: Any, depth: int, references: int) -> Any:
        if isinstance(value, list):  # one schema for each place, in older drafts
            value = {"anyOf": value} if value else {}
        return self._schema_or_bool(value, depth, references)

    def _list(self, value: Any, depth: int, references: int) -> Any:
        if not isinstance(value, list) or not value or depth <= 0:
            return None
        return [self.schema(each, depth - 1, references) for each in value[:MAX_PROPERTIES]]


def _type(value: Any) -> Any:
    if isinstance(value, str):
        return value if value in _TYPES else None
    if isinstance(value, list):
        known = [each for each in dict.fromkeys(map(str, value)) if each in _TYPES]
        return (known[0] if len(known) == 1 else known) if known and len(known) == len(value) else None
    return None


def _text(value: Any, limit: int) -> str | None:
    return (plain(value, limit) or None) if isinstance(value, str) else None


def _pattern(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > 500 or slow_pattern(value):
        return None
    return value if schema_problem({"pattern": value}) is None else None


def _enum(value: Any) -> list[Any] | None:
    if not isinstance(value, list) or len(value) > MAX_PROPERTIES:
        return None
    kept: list[Any] = []
    for each in value:
        if each not in kept:
            kept.append(each)
    return kept or None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, depth: int, references: int) -> Any:
    return value if _is_number(value) else None


def _size(value: Any, depth: int, references: int) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _old_bounds(schema: Mapping[str, Any], made: dict[str, Any]) -> None:
    """Make the number it stands for of an `exclusiveMinimum: true` (draft 4)."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(exclusive) is True and bound in made:
            made[exclusive] = made.pop(bound)
