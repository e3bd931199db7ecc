"""JSON Schema checks of small values: a step's fields, a flow's params."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from flowmate_airflow.flows.errors import shown
from flowmate_airflow.flows.expressions import is_template, leaves
from flowmate_airflow.flows.patterns import slow_pattern
from flowmate_airflow.flows.quickschemas import surely_fits, surely_schema


@dataclass(frozen=True, slots=True)
class Violation:
    """A value that its schema does not allow: where (path from the top), what, and a message for the author.

    :param hangs_on_template: a text that is yet to be rendered may be all that is wrong with it
    """

    path: tuple[str | int, ...]
    value: Any
    message: str
    hangs_on_template: bool = False


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """What makes a value no schema that we take, where in it, and what to do."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


def violations(fields: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield each value that does not fit its field's schema.

    :param fields: JSON Schema properties that :func:`schema_problem` finds right
    :param values: the fields that are set
    """
    for name, value in values.items():
        schema = fields[name]
        if surely_fits(schema, value):
            continue
        try:
            errors = sorted(
                _validator(orjson.dumps(schema)).iter_errors(value), key=lambda error: list(map(str, error.path))
            )
        except RecursionError:
            yield Violation((name,), value, f"`{name}`: its schema refers to itself without end")
            continue
        for error in errors:
            path = (name, *error.absolute_path)
            yield Violation(path, error.instance, f"`{'.'.join(map(str, path))}` {_told(error)}", _hangs(error))


def schema_problem(schema: Any) -> SchemaProblem | None:
    """Return what makes a value no JSON Schema (draft 2020-12) that is safe to check with, or None."""
    if surely_schema(schema):
        return None
    from jsonschema.exceptions import best_match

    cause = best_match(_meta_validator().iter_errors(schema))
    if cause is not None:
        return SchemaProblem(tuple(cause.absolute_path), _schema_told(cause))
    return next(_unsafe(schema, schema, ()), None)


_TYPES = ("string", "boolean", "integer", "number", "array", "object", "null")
_DATA = frozenset({"default", "examples", "enum", "const"})
"""Keywords whose value is data, not a schema."""
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose keys are names, not keywords."""


def _schema_told(error: Any) -> str:
    if (error.absolute_path and error.absolute_path[-1] == "type") or error.validator_value == list(_TYPES):
        return f"{shown(error.instance)} is not a type; types are {', '.join(_TYPES)}"
    if error.validator == "format":
        return f"{shown(error.instance)} is not a {error.validator_value}"
    return _told(error)


def _unsafe(schema: Any, root: Any, path: tuple[str | int, ...]) -> Iterator[SchemaProblem]:
    """Yield references out of the schema, which a validator would fetch, and patterns that could take forever."""
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _unsafe(part, root, (*path, number))
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        here = (*path, key)
        problem = _unsafe_keyword(key, value, root)
        if problem is not None:
            yield SchemaProblem(here, *problem)
        elif key in _NAMED and isinstance(value, dict):
            for name, part in value.items():
                if key == "patternProperties" and slow_pattern(name):
                    yield SchemaProblem((*here, name), *_SLOW)
                yield from _unsafe(part, root, (*here, name))
        elif key not in _DATA:
            yield from _unsafe(value, root, here)


_SLOW = ("the pattern can take forever", "use no `*` or `+` around another, or around `|`")


def _unsafe_keyword(key: str, value: Any, root: Any) -> tuple[str, str] | None:
    """Return what is wrong with a keyword, and what to do."""
    if key in ("$ref", "$dynamicRef", "$recursiveRef") and not _leads_somewhere(value, root):
        return f"`{key}` leads to {shown(value)}", "only `#/…` inside this schema can be named"
    if key in ("$id", "$anchor", "$dynamicAnchor"):
        return f"`{key}` is not allowed here", "name a part by `#/…`"
    if key == "pattern" and isinstance(value, str) and slow_pattern(value):
        return _SLOW
    return None


def _leads_somewhere(reference: Any, root: Any) -> bool:
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return False
    node = root
    for part in reference[2:].split("/") if len(reference) > 1 else ():
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return False
    return isinstance(node, dict | bool)


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Any:
    from jsonschema import Draft202012Validator, FormatChecker
    from referencing.jsonschema import EMPTY_REGISTRY

    # The registry keeps the validator from fetching what a `$ref` names.
    return Draft202012Validator(orjson.loads(schema), format_checker=FormatChecker(), registry=EMPTY_REGISTRY)


@lru_cache(maxsize=1)
def _meta_validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _hangs(error: Any) -> bool:
    if is_template(error.instance):
        return True
    combined = error.validator in ("anyOf", "oneOf", "allOf", "not", "if", "enum", "const", "contains", "uniqueItems")
    return combined and any(is_template(leaf) for _, leaf in leaves(error.instance))


_TOLD: dict[str, Callable[[Any, str], str]] = {
    "enum": lambda wanted, given: f"must be one of {', '.join(map(shown, wanted))}, not {given}",
    "const": lambda wanted, given: f"must be {shown(wanted)}, not {given}",
    "minimum": lambda wanted, given: f"must be at least {shown(wanted)}, not {given}",
    "maximum": lambda wanted, given: f"must be at most {shown(wanted)}, not {given}",
    "exclusiveMinimum": lambda wanted, given: f"must be more than {shown(wanted)}, not {given}",
    "exclusiveMaximum": lambda wanted, given: f"must be less than {shown(wanted)}, not {given}",
    "multipleOf": lambda wanted, given: f"must be a multiple of {shown(wanted)}, not {given}",
    "minLength": lambda wanted, given: "is empty" if wanted == 1 else f"needs {wanted} characters or more, not {given}",
    "maxLength": lambda wanted, given: f"may have {wanted} characters, not {given}",
    "minItems": lambda wanted, _: f"needs {wanted} or more items",
    "maxItems": lambda wanted, _: f"may have {wanted} items",
    "uniqueItems": lambda _wanted, _given: "has an item twice",
    "pattern": lambda wanted, given: f"does not fit the pattern {wanted}: {given}",
    "format": lambda wanted, given: f"must be a {wanted}, not {given}",
    "anyOf": lambda _, given: f"is of none of the kinds it may be: {given}",
    "oneOf": lambda _, given: f"is of none of the kinds it may be, or of two at once: {given}",
    "not": lambda _, given: f"cannot be {given}",
}


def _told(error: Any) -> str:
    """Return what is wrong with a value, after its name."""
    wanted, given = error.validator_value, shown(error.instance)
    if error.validator == "type":
        kinds = wanted if isinstance(wanted, list) else [wanted]
        return f"must be of type {' or '.join(map(str, kinds))}, not {given}"
    if error.validator == "required":
        missing = [f"`{name}`" for name in wanted if name not in error.instance]
        return f"lacks {', '.join(missing)}"
    if error.validator == "additionalProperties" and wanted is False:
        known = error.schema.get("properties", {})
        return f"has no {', '.join(f'`{name}`' for name in error.instance if name not in known)}"
    told = _TOLD.get(error.validator)
    return told(wanted, given) if told else f"does not fit `{error.validator}`: {given}"
