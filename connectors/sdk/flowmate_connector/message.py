"""The envelope that goes from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Message:
    """One message.

    :param data: the content, any JSON value
    :param id: names the message in errors and results; the host gives one where it is missing
    :param metadata: facts about the data, such as the stream of a record
    :param attachments: files that belong to the message
    :param passthrough: what earlier steps want to reach later ones
    """

    data: Any
    id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    attachments: dict[str, Any] = field(default_factory=dict)
    passthrough: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Message:
        """Return the message of a `MESSAGE` line."""
        message_id = value.get("id")
        return cls(
            value.get("data"),
            None if message_id is None else str(message_id),
            value.get("metadata") or {},
            value.get("attachments") or {},
            value.get("passthrough") or {},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the message as it goes on the wire; parts that are empty are left out."""
        value: dict[str, Any] = {"data": self.data}
        if self.id is not None:
            value["id"] = self.id
        if self.metadata:
            value["metadata"] = self.metadata
        if self.attachments:
            value["attachments"] = self.attachments
        if self.passthrough:
            value["passthrough"] = self.passthrough
        return value

    def reply(self, data: Any) -> Message:
        """Return a message with other data that keeps this one's id, metadata and passthrough."""
        return Message(data, self.id, self.metadata, {}, self.passthrough)
