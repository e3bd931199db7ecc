"""The message: the envelope that goes from step to step."""

from __future__ import annotations

from typing import Any, TypeAlias

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
