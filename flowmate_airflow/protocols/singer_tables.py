"""The tables a Singer target is told of: their schemas, declared by a source or seen in the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from types import NoneType
from typing import Any

import orjson

from flowmate_airflow.protocols.streams import Stream

MAX_FIELDS = 10_000
"""Fields of one table. A record with more is a mistake, and no database takes it."""

_JSON_TYPES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
}
_CLASSES: Mapping[str, frozenset[type]] = {
    **{name: frozenset({each}) for each, name in _JSON_TYPES.items()},
    "number": frozenset({int, float}),
    "null": frozenset({NoneType}),
}
_ORDER = ("boolean", "integer", "number", "string", "object", "array")


class Unfit(ValueError):
    """A record cannot be stored in its table."""


class Table:
    """One table of the target.

    :param strict: whether values must have the types that their source declares: the target would end at the first
        record that has not
    """

    def __init__(self, name: str, *, strict: bool = False) -> None:
        self.name = name
        self.key: tuple[str, ...] = ()
        self.required: tuple[str, ...] = ()
        self._strict = strict
        self.cursor: str | None = None
        self.sent = b""
        self.record_head = b'{"type":"RECORD","stream":' + orjson.dumps(name) + b',"record":'
        self._sources: dict[str, Stream] = {}
        self._properties: dict[str, Any] = {}
        self._seen: dict[str, set[type]] = {}
        self._fits: dict[str, Set[type] | None] = {}  # None: any value will do
        self._only_names = False

    @property
    def declared(self) -> bool:
        """Whether a source has told what fields there are."""
        return bool(self._properties)

    def declare(self, stream: Stream) -> None:
        """Take what a source says about one of its streams, instead of what it said before about the same one."""
        self._sources[stream.name] = stream
        properties: dict[str, Any] = {}
        for source in self._sources.values():
            for name, schema in _properties(source).items():
                properties[name] = _both(properties[name], schema) if name in properties else schema
        self._properties = properties
        self.cursor = self.cursor or stream.cursor
        self.required = _required(stream) if self._strict and len(self._sources) == 1 else ()
        self._fits = {name: _allowed(classes) for name, classes in self._seen.items()}
        self._fits |= {name: _declared(schema) if self._strict else None for name, schema in properties.items()}
        self._only_names = bool(properties) and not any(self._fits.values())

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Return whether the record has only fields, and values of the types, that the table knows."""
        fits = self._fits
        if self._only_names:
            return record.keys() <= fits.keys()
        try:
            for name, value in record.items():
                classes = fits[name]
                if classes is not None and value.__class__ not in classes:
                    return False
        except KeyError:
            return False
        return True

    def adapt(self, record: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Widen the table for a record, and return the record as the table takes it, with the fields that are new.

        :raises Unfit: it cannot be stored
        """
        new = [name for name in record if name not in self._fits]
        if len(self._fits) + len(new) > MAX_FIELDS:
            raise Unfit(
                f"table `{self.name}` would get {len(self._fits) + len(new):,} fields, more than {MAX_FIELDS:,}; "
                "leave some out, or keep them as one object"
            )
        adapted = {name: self._adapted(name, value) for name, value in record.items()}
        for name, value in adapted.items():
            if name not in self._properties:
                seen = self._seen.setdefault(name, set())
                if value is not None:
                    seen.add(value.__class__)
                self._fits[name] = _allowed(seen)
        self._only_names = self._only_names and not new
        return adapted, new

    def schema_line(self) -> bytes | None:
        """Return the SCHEMA line, or None when the target knows it."""
        schema: dict[str, Any] = {"type": "object"}
        if len(self._sources) == 1:
            (source,) = self._sources.values()
            schema |= source.schema
        for name, seen in self._seen.items():
            if not seen:
                seen.add(str)  # nothing but null so far: told as a text, so it stays one too
            if name not in self._properties:
                self._fits[name] = _allowed(seen)
        learned = {name: _inferred(seen) for name, seen in self._seen.items() if name not in self._properties}
        schema["properties"] = {**{name: {} for name in self.key}, **self._properties, **learned}
        message: dict[str, Any] = {
            "type": "SCHEMA",
            "stream": self.name,
            "schema": schema,
            "key_properties": list(self.key),
        }
        if self.cursor and self.cursor in schema["properties"]:
            message["bookmark_properties"] = [self.cursor]
        line = orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
        if line == self.sent:
            return None
        self.sent = line
        return line

    def _adapted(self, name: str, value: Any) -> Any:
        classes = self._fits.get(name)
        if classes is None or value.__class__ in classes:
            return value
        if value.__class__ is float and int in classes and (self.sent or name in self._properties):
            # The column exists, for whole numbers: of the targets tried, some refuse 2.0, and one lets its database
            # round 2.5.
            if value.is_integer():
                return int(value)
            raise Unfit(
                f"its `{name}` is {value:g}, but the table `{self.name}` has been told that these are whole numbers; "
                "`map` it to a whole number or a text, or declare the field as a number"
            )
        if name in self._properties:
            told = " or ".join(_types(self._properties[name]))
            raise Unfit(f"its `{name}` is {_called(value)}, but its stream `{self.name}` declares it as {told}")
        return value


def _called(value: Any) -> str:
    return "null" if value is None else f"of the type {_JSON_TYPES[value.__class__]}"


def _declared(schema: Any) -> Set[type] | None:
    """Return the classes of values that a declared field takes; None: that cannot be told."""
    types = _types(schema)
    if not types or not all(each in _CLASSES for each in types):
        return None
    return frozenset().union(*(_CLASSES[each] for each in types))


def _required(stream: Stream) -> tuple[str, ...]:
    names = stream.schema.get("required")
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def _properties(stream: Stream) -> Mapping[str, Any]:
    properties = stream.schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _allowed(seen: Iterable[type]) -> set[type]:
    classes = {*seen, NoneType}
    return classes | {int} if float in classes else classes


def _inferred(seen: set[type]) -> dict[str, Any]:
    types = {_JSON_TYPES[each] for each in seen}
    if "number" in types:
        types.discard("integer")
    schema: dict[str, Any] = {"type": [*(each for each in _ORDER if each in types), "null"]}
    if types == {"object"}:
        schema["additionalProperties"] = True
    if types == {"array"}:
        schema["items"] = {}
    return schema


def _both(one: Any, other: Any) -> Any:
    """Return a schema for a field that two streams of one table declare."""
    if one == other:
        return one
    types = [_types(one), _types(other)]
    if not all(types):
        return {}
    joined = dict.fromkeys(each for part in types for each in part)
    if "number" in joined:
        joined.pop("integer", None)
    return {"type": list(joined)}


def _types(schema: Any) -> list[str]:
    value = schema.get("type") if isinstance(schema, dict) else None
    return [value] if isinstance(value, str) else [each for each in value or () if isinstance(each, str)]
