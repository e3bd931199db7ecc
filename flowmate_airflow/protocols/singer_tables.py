"""The tables a Singer target is told of: their schemas, declared by a source or seen in the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
_ORDER = ("boolean", "integer", "number", "string", "object", "array")


class Unfit(ValueError):
    """A record cannot be stored in its table."""


class Table:
    """One table of the target.

    :param key: the fields that identify a record
    """

    def __init__(self, name: str, key: tuple[str, ...] = ()) -> None:
        self.name = name
        self.key = key
        self.cursor: str | None = None
        self.sent = b""
        self.record_head = b'{"type":"RECORD","stream":' + orjson.dumps(name) + b',"record":'
        self._sources: dict[str, Stream] = {}
        self._properties: dict[str, Any] = {}
        self._seen: dict[str, set[type]] = {}
        self._fits: dict[str, set[type] | None] = {}  # None: its schema is declared, so the target judges it
        self._all_declared = False

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
        self._fits = {name: _allowed(classes) for name, classes in self._seen.items()}
        self._fits |= dict.fromkeys(properties)
        self._all_declared = bool(properties) and self._fits.keys() == properties.keys()

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Return whether the record has only fields, and values of the types, that the table knows."""
        fits = self._fits
        if self._all_declared:
            return record.keys() <= fits.keys()
        try:
            for name, value in record.items():
                classes = fits[name]
                if classes is not None and value.__class__ not in classes:
                    return False
        except KeyError:
            return False
        return True

    def learn(self, record: Mapping[str, Any]) -> list[str]:
        """Widen the table so that the record fits, and return the fields that are new.

        :raises Unfit: it would become too wide, or a number would lose its fraction
        """
        new = [name for name in record if name not in self._fits]
        if len(self._fits) + len(new) > MAX_FIELDS:
            raise Unfit(
                f"table `{self.name}` would get {len(self._fits) + len(new):,} fields, more than {MAX_FIELDS:,}; "
                "leave some out, or keep them as one object"
            )
        for name, value in record.items():
            if self.sent and value.__class__ is float and _whole_numbers(self._seen.get(name)):
                self._check_fraction(name, value)
        for name, value in record.items():
            if name not in self._properties:
                seen = self._seen.setdefault(name, set())
                if value is not None and not (self.sent and value.__class__ is float and _whole_numbers(seen)):
                    seen.add(value.__class__)
                self._fits[name] = _allowed(seen)
        self._all_declared = self._all_declared and not new
        return new

    def schema_line(self) -> bytes | None:
        """Return the SCHEMA line, or None when the target knows it."""
        schema: dict[str, Any] = {"type": "object"}
        if len(self._sources) == 1:
            (source,) = self._sources.values()
            schema |= source.schema
        for name, seen in self._seen.items():
            if not seen:
                seen.add(str)  # nothing but null so far: told as a text, so it stays one too
            self._fits[name] = None if name in self._properties else _allowed(seen)
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

    def _check_fraction(self, name: str, value: float) -> None:
        # The column exists by now: of the targets tried, one on PostgreSQL leaves it as it is, and the database rounds.
        if not value.is_integer():
            raise Unfit(
                f"its `{name}` is {value:g}, but the records before had whole numbers only, and so the column "
                f"of the table `{self.name}` is one of whole numbers; `map` it to a text, or give it a schema before"
            )


def _whole_numbers(seen: set[type] | None) -> bool:
    return bool(seen) and int in seen and float not in seen  # type: ignore[operator]


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
