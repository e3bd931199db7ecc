"""Where the output of a component goes: into a batch, or straight into the next component."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator

import orjson

from flowmate_airflow.batches.batch import BatchWriter
from flowmate_airflow.batches.message import Message
from flowmate_airflow.protocols.base import Item
from flowmate_airflow.protocols.events import ProtocolError, StateEvent
from flowmate_airflow.protocols.streams import Stream

PIPE_BYTES = 1024 * 1024
"""Bytes of messages on their way from one component to the next; then the first has to wait."""


class Sink(ABC):
    """Takes what a component emits, in its order."""

    @abstractmethod
    def write(self, message: Message, line: bytes | None, stream: str | None) -> None:
        """Take a message.

        :param line: the message as JSON, where it is there already
        :param stream: the name of its stream, where it has one
        """

    @abstractmethod
    def declare(self, stream: Stream) -> None:
        """Take what the component says about a stream."""

    @abstractmethod
    def state(self, event: StateEvent) -> None:
        """Take how far the component is."""


class BatchSink(Sink):
    """Writes messages into a batch."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer

    def write(self, message: Message, line: bytes | None, stream: str | None) -> None:
        """See :meth:`Sink.write`."""
        self._writer.write(message, line)
        if stream is not None:
            self._writer.count_stream(stream)

    def declare(self, stream: Stream) -> None:
        """See :meth:`Sink.declare`."""
        self._writer.declare(stream)

    def state(self, event: StateEvent) -> None:
        """See :meth:`Sink.state`. A batch has none: it is kept when the batch is complete."""


class PipeClosed(Exception):
    """Nobody reads the pipe any more."""


class Pipe(Sink):
    """Passes everything on to a reader in another thread, which it never runs far ahead of."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._size = 0
        self._complete = False
        self._error: BaseException | None = None
        self._abandoned = False
        self._read = False

    @property
    def is_complete(self) -> bool:
        """Whether all has been written."""
        return self._complete

    @property
    def was_read(self) -> bool:
        """Whether the reader has come to the end."""
        return self._read

    def write(self, message: Message, line: bytes | None, stream: str | None) -> None:
        """See :meth:`Sink.write`.

        :raises PipeClosed: the reader has gone
        """
        self._put(line if line is not None else orjson.dumps(message))

    def declare(self, stream: Stream) -> None:
        """See :meth:`Sink.declare`."""
        self._put(stream)

    def state(self, event: StateEvent) -> None:
        """See :meth:`Sink.state`."""
        self._put(event)

    def complete(self, error: BaseException | None = None) -> None:
        """End the pipe.

        :param error: raised in the reader after what was written: the input is not whole
        """
        with self._changed:
            self._complete, self._error = True, error
            self._changed.notify_all()

    def abandon(self) -> None:
        """Tell the writer that nobody reads any more."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def items(self) -> Iterator[Item]:
        """Yield what was written, until the pipe is complete.

        :raises BaseException: the error that the pipe was completed with
        """
        while True:
            with self._changed:
                while not (self._items or self._complete or self._abandoned):
                    self._changed.wait()
                if self._abandoned:
                    return
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    self._read = True
                    return
                taken = list(self._items)
                self._items.clear()
                self._size = 0
                self._changed.notify_all()
            yield from taken

    def _put(self, item: Item) -> None:
        size = len(item) if isinstance(item, bytes) else _size(item)
        with self._changed:
            while self._size >= PIPE_BYTES and not self._abandoned:
                self._changed.wait()
            if self._abandoned:
                raise PipeClosed
            if not self._items:
                self._changed.notify_all()
            self._items.append(item)
            self._size += size


def _size(item: Stream | StateEvent) -> int:
    """Return about how many bytes an item takes: a state may be large, and come after each message."""
    try:
        return len(orjson.dumps(item.state if isinstance(item, StateEvent) else item.as_json()))
    except TypeError:
        raise ProtocolError("a state or a stream of its output is nested too deep") from None
