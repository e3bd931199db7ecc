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


def canonical(message: Message, line: bytes | None, prefix: str, number: int) -> tuple[Message, bytes | None]:
    """Return a message as :func:`envelope` does, and as JSON where the component's own line can stand for it.

    :param line: what the component wrote
    :param prefix: how its id begins, should it have none; the number follows
    """
    if line is not None:
        own = message.get("id", "")
        others = len(message) - 2  # beside data and id
        if type(own) is str and own:
            if not others or others == _good_parts(message):
                return message, line
        elif "id" not in message and (others < 0 or others + 1 == _good_parts(message)):
            default_id = f"{prefix}-{number}"
            return {"id": default_id, **message}, b'{"id":"%b",%b' % (default_id.encode(), line[1:])
    return envelope(message, f"{prefix}-{number}"), None


def _good_parts(message: Message) -> int:
    """Return how many optional parts of the envelope a message has that are not empty."""
    return sum(1 for part in OPTIONAL_PARTS if message.get(part))


_STREAM = re.compile(rb'"metadata": ?\{"stream": ?"((?:[^"\\]|\\.)*)"')


def stream_in_line(line: bytes) -> str | None:
    """Return the stream of a message that is a line of JSON, as the protocols write it; None where it has none."""
    start = line.rfind(b'"metadata":')
    match = _STREAM.match(line, start) if start >= 0 else None
    return orjson.loads(b'"%b"' % match[1]) if match else None
