"""Quick answers about common JSON Schemas and values, always on the safe side.

Importing `jsonschema` takes a third of a second, most of what `flowmate lint` may take. These functions say yes only
where the library would, and are right to say no at any time: then the library is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_SAYS_NOTHING = frozenset({"title", "description", "default", "examples"})


def surely_schema(schema: Any) -> bool:
    """Whether a value is certainly a JSON Schema."""
    if isinstance(schema, bool):
        return True
    return isinstance(schema, dict) and all(
        keyword in _KEYWORDS and _KEYWORDS[keyword](value) for keyword, value in schema.items()
    )


def surely_fits(schema: Any, value: Any) -> bool:
    """Whether a schema, which is one, certainly allows a value."""
    if isinstance(schema, bool):
        return schema
    return all(
        keyword in _SAYS_NOTHING or (keyword in _CHECKS and _CHECKS[keyword](argument, value, schema))
        for keyword, argument in schema.items()
    )


def _is_type(value: Any) -> bool:
    if isinstance(value, list):
        return 0 < len(value) == len({str(kind) for kind in value}) and all(
            isinstance(kind, str) and kind in _TYPES for kind in value
        )
    return isinstance(value, str) and value in _TYPES


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and surely_schema(schema) for name, schema in value.items()
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _anything(_value: Any) -> bool:
    return True


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "title": _is_text,
    "description": _is_text,
    "format": _is_text,
    "default": _anything,
    "examples": _is_list,
    "enum": _is_list,
    "minLength": _is_size,
    "maxLength": _is_size,
    "minItems": _is_size,
    "maxItems": _is_size,
    "minimum": _is_number,
    "maximum": _is_number,
    "exclusiveMinimum": _is_number,
    "exclusiveMaximum": _is_number,
    "required": _is_names,
    "properties": _is_schemas,
    "items": surely_schema,
    "additionalProperties": surely_schema,
}


def _fits_type(kinds: Any, value: Any, _schema: Any) -> bool:
    names = kinds if isinstance(kinds, list) else [kinds]
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, _TYPES.get(name, ())) for name in names)


def _fits_enum(values: Any, value: Any, _schema: Any) -> bool:
    return isinstance(value, str) and value in values


def _fits_length(value: Any, fits: Callable[[int], bool], kind: type[str] | type[list[Any]]) -> bool:
    return not isinstance(value, kind) or fits(len(value))


def _fits_order(value: Any, fits: Callable[[Any], bool]) -> bool:
    return not _is_number(value) or fits(value)


def _fits_properties(properties: Any, value: Any, _schema: Any) -> bool:
    return not isinstance(value, dict) or all(
        surely_fits(schema, value[name]) for name, schema in properties.items() if name in value
    )


def _fits_rest(rest: Any, value: Any, schema: Any) -> bool:
    known = schema.get("properties", {})
    return not isinstance(value, dict) or all(
        surely_fits(rest, child) for name, child in value.items() if name not in known
    )


_CHECKS: dict[str, Callable[[Any, Any, Any], bool]] = {
    "type": _fits_type,
    "enum": _fits_enum,
    "minLength": lambda size, value, _schema: _fits_length(value, lambda length: length >= size, str),
    "maxLength": lambda size, value, _schema: _fits_length(value, lambda length: length <= size, str),
    "minItems": lambda size, value, _schema: _fits_length(value, lambda length: length >= size, list),
    "maxItems": lambda size, value, _schema: _fits_length(value, lambda length: length <= size, list),
    "minimum": lambda edge, value, _schema: _fits_order(value, lambda number: number >= edge),
    "maximum": lambda edge, value, _schema: _fits_order(value, lambda number: number <= edge),
    "exclusiveMinimum": lambda edge, value, _schema: _fits_order(value, lambda number: number > edge),
    "exclusiveMaximum": lambda edge, value, _schema: _fits_order(value, lambda number: number < edge),
    "required": lambda names, value, _schema: not isinstance(value, dict) or set(names) <= value.keys(),
    "properties": _fits_properties,
    "additionalProperties": _fits_rest,
    "items": lambda schema, value, _whole: (
        not isinstance(value, list) or all(surely_fits(schema, child) for child in value)
    ),
}
