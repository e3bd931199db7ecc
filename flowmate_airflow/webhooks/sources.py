"""Where in a request a value stands that tells about the delivery, and the JSON that it may stand in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from flowmate_airflow.webhooks.bodyjson import is_shallow
from flowmate_airflow.webhooks.requests import HookRequest

MAX_ITEMS = 1000
"""Items of a list in a body that `*` in a path goes through."""

DIGEST = "digest"
_HEADER = "header:"
_BODY = "body:"


@dataclass(frozen=True, slots=True)
class Source:
    """A value that is put together of parts; there is none when a part is missing.

    :param parts: `header:NAME`, `body:PATH` (dotted, into a JSON body; `*` for each item of a list) or `digest`
    """

    parts: tuple[str, ...]

    def read(self, request: HookRequest) -> str | None:
        """Return the value; None when it is not there. The request's proof must have been found right."""
        values = [_part(part, request) for part in self.parts]
        return ":".join(value for value in values if value) if all(values) else None

    def __str__(self) -> str:
        return " and ".join(_told(part) for part in self.parts)


def in_header(*names: str) -> Source:
    """Return the source of a value in a header; of several put together."""
    return Source(tuple(f"{_HEADER}{name}" for name in names))


def in_body(*paths: str) -> Source:
    """Return the source of a value in a JSON body; of several put together."""
    return Source(tuple(f"{_BODY}{path}" for path in paths))


def first_of(sources: Sequence[Source], request: HookRequest) -> str | None:
    """Return the value of the first source that has one."""
    return next((value for source in sources if (value := source.read(request))), None)


def _part(part: str, request: HookRequest) -> str | None:
    if part == DIGEST:
        return hashlib.sha256(request.body).hexdigest()
    if part.startswith(_HEADER):
        return request.header(part.removeprefix(_HEADER))
    path = part.removeprefix(_BODY).split(".")
    found = list(_walk(body_json(request.body), path))
    # A batch is known by all of its items: one without an id would be taken for another batch.
    texts = [text for value in found if (text := _text(value))]
    return ",".join(texts) if texts and len(texts) == len(found) else None


def _told(part: str) -> str:
    if part == DIGEST:
        return "the body's SHA-256"
    kind, _, name = part.partition(":")
    return f"header `{name}`" if kind == "header" else f"body `{name}`"


def body_json(body: bytes) -> Any:
    """Return the value of a JSON body; None when it is no JSON, nested too deep or has NaN in it."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    return value if is_shallow(value) else None


def at(value: Any, path: str) -> Any:
    """Return what stands at a dotted path; None when there is nothing."""
    return next(_walk(value, path.split(".")), None)


def _walk(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    key, rest = path[0], path[1:]
    if key == "*" and isinstance(value, list) and len(value) <= MAX_ITEMS:
        for item in value:
            yield from _walk(item, rest) if rest else (item,)
    elif isinstance(value, dict):
        yield from _walk(value.get(key), rest)
    elif isinstance(value, list) and key.isdecimal() and key.isascii() and len(key) <= 4 and int(key) < len(value):
        yield from _walk(value[int(key)], rest)
    else:
        yield None


def _text(value: Any) -> str | None:
    # A number too large for 64 bits was read as a float, which others share.
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
