"""JSON Schema checks of small values: a step's fields, a flow's params."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from flowmate_airflow.flows.quickschemas import surely_fits, surely_schema


@dataclass(frozen=True, slots=True)
class Violation:
    """A value that its schema does not allow: where (path from the top), what, and a message for the author."""

    path: tuple[str | int, ...]
    value: Any
    message: str


def violations(fields: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield each value that does not fit its field's schema.

    :param fields: JSON Schema properties
    :param values: the fields that are set
    """
    for name, value in values.items():
        schema = fields[name]
        if surely_fits(schema, value):
            continue
        for error in sorted(_validator(orjson.dumps(schema)).iter_errors(value), key=lambda error: list(error.path)):
            path = (name, *error.absolute_path)
            yield Violation(path, error.instance, f"`{'.'.join(map(str, path))}`: {_told(error)}")


def schema_problem(schema: Any) -> str | None:
    """Return what makes a value no JSON Schema (draft 2020-12), or None."""
    if surely_schema(schema):
        return None
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message
    return None


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Any:
    from jsonschema import Draft202012Validator, FormatChecker

    return Draft202012Validator(orjson.loads(schema), format_checker=FormatChecker())


def _told(error: Any) -> str:
    if error.validator == "enum":
        return f"{error.instance!r:.80} is not one of {', '.join(map(repr, error.validator_value))}"
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return f"{error.instance!r:.80} is not of type {' or '.join(kinds)}"
    return str(error.message)
