"""Lines of Airbyte connectors: JSON, told apart from log text, and never half understood."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import orjson

from flowmate_airflow.protocols.events import ProtocolError

LOSSY = frozenset(("RECORD", "STATE", "TRACE", "CONTROL"))
"""Types of messages that must not be taken for log text: with such a line something would be lost."""

_TYPE = re.compile(rb'"type"\s*:\s*"([A-Z_]+)"')
_BEGINNING = re.compile(rb'\{\s*"(type|record|state|trace|control)"\s*:')
_EXCERPT = 120
_DEEP = 100


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the message in a line of stdout; None: it is log text.

    :raises ProtocolError: the line is meant as a message whose loss would matter, but is broken
    """
    if line[:1] != b"{" and line.lstrip()[:1] != b"{":
        return None
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        value = _parse_leniently(line, str(error))
    return value if isinstance(value, dict) else None


def text_of(line: bytes) -> str:
    """Return a line as log text."""
    return line.decode("utf-8", errors="backslashreplace")


def _parse_leniently(line: bytes, reason: str) -> Any:
    """Parse what Python's own encoder writes although it is no JSON: NaN, Infinity and half characters."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        if _would_be_lost(line):
            raise ProtocolError(f"a line of its output is broken JSON ({reason}): {_excerpt(line)}") from None
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("RECORD", "STATE"):
        raise ProtocolError(_what_is_wrong(value, reason))
    return value


def _would_be_lost(line: bytes) -> bool:
    found = _TYPE.search(line)
    return found[1].decode() in LOSSY if found else _BEGINNING.match(line.lstrip()) is not None


def _what_is_wrong(value: dict[str, Any], reason: str) -> str:
    record = value.get("record")
    if not isinstance(record, dict):
        where, what = next(_bad_values(value, ""), ("a part of it", reason))
        return f"a state it sent cannot be kept: `{where}` is {what}, which JSON does not have"
    where, what = next(_bad_values(record.get("data"), ""), ("", reason))
    field = f"its field `{where}` is {what}" if where else what
    return (
        f"a record of the stream `{record.get('stream')}` cannot be kept: {field}, which JSON does not have. "
        "Mend the record in the system it comes from, or leave the field out by `select`"
    )


def _bad_values(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield where a value has something that JSON cannot say, and what it is."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, "not a number (NaN)" if math.isnan(value) else "infinite, or a number too large"
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield path, "a text with half a character (a lone surrogate)"
    elif isinstance(value, dict) and depth < _DEEP:
        for name, child in value.items():
            yield from _bad_values(child, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list) and depth < _DEEP:
        for number, child in enumerate(value):
            yield from _bad_values(child, f"{path}[{number}]", depth + 1)


def _excerpt(line: bytes) -> str:
    return text_of(line[:_EXCERPT]) + ("…" if len(line) > _EXCERPT else "")
