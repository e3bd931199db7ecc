"""The message: the envelope that goes from step to step."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import orjson

Message: TypeAlias = dict[str, Any]
"""`{id, data, metadata, attachments, passthrough}`. `id` and `data` are always there; an empty part is left out."""

PARTS = ("id", "data", "metadata", "attachments", "passthrough")
OPTIONAL_PARTS = PARTS[2:]


def envelope(message: Message, default_id: str) -> Message:
    """Return a message with its id and nothing but the parts of the envelope.

    :param message: what a component emitted; it has `data`
    :param default_id: its id, should it have none
    """
    own = message.get("id")
    clean: Message = {"id": default_id if own is None or own == "" else str(own), "data": message["data"]}
    if len(message) > (1 if own is None else 2):  # more than data and id: rare, and this is done for each message
        for part in OPTIONAL_PARTS:
            value = message.get(part)
            if value:
                clean[part] = value
    return clean


def derived(message: Message, data: Any, suffix: str = "") -> Message:
    """Return a message with new data and the rest of the message it was made of."""
    return {**message, "id": f"{message['id']}{suffix}", "data": data}


def canonical(message: Message, line: bytes | None, default_id: str) -> tuple[Message, bytes | None]:
    """Return a message as :func:`envelope` does, and as JSON where the component's own line can stand for it.

    :param line: what the component wrote
    """
    own = message.get("id")
    size = len(message)
    if line is not None:
        if own is None and "id" not in message and size == 1 + _good_parts(message):
            return {"id": default_id, **message}, b'{"id":"%b",' % default_id.encode() + line[1:]
        if type(own) is str and own and size == 2 + _good_parts(message):
            return message, line
    return envelope(message, default_id), None


def _good_parts(message: Message) -> int:
    if len(message) <= 1:
        return 0
    return sum(1 for part in OPTIONAL_PARTS if message.get(part))


_STREAM = re.compile(rb'"metadata":\{"stream":"((?:[^"\\]|\\.)*)"')


def stream_in_line(line: bytes) -> str | None:
    """Return the stream of a message that is a line of JSON, as the protocols write it; None where it has none."""
    start = line.rfind(b'"metadata":{"stream":"')
    if start < 0:
        return None
    match = _STREAM.match(line, start)
    return orjson.loads(b'"%b"' % match[1]) if match else None
