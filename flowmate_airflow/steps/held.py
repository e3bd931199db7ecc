"""Output that is held back until its input is done: what a failed message left is made again by the retry."""

from __future__ import annotations

from flowmate_airflow.batches.message import Message
from flowmate_airflow.steps.sinks import Sink

HELD_BYTES = 8 * 1024 * 1024
"""Output held back at most."""


class Held:
    """What a component has written since the last message of which it said that it is done.

    :param sink: where it goes in the end
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._messages: list[tuple[Message, bytes | None, str | None]] = []
        self._bytes = 0

    def add(self, message: Message, line: bytes | None, stream: str | None, size: int) -> bool:
        """Hold a message back, as :meth:`Sink.write` gets it; return whether there is room for more.

        :param size: of the line that the component wrote, in bytes
        """
        self._messages.append((message, line, stream))
        self._bytes += size
        return self._bytes <= HELD_BYTES

    def flush(self) -> None:
        """Write all of it."""
        for message, line, stream in self._messages:
            self._sink.write(message, line, stream)
        self.clear()

    def clear(self) -> None:
        """Let go of all of it."""
        self._messages.clear()
        self._bytes = 0
