"""The frames in which a container engine sends stdout and stderr through one socket."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from flowmate_airflow.runtimes.base import RuntimeFailure, Stream

_HEADER = struct.Struct(">BxxxL")
_STREAMS: dict[int, Stream] = {0: "stdout", 1: "stdout", 2: "stderr", 3: "stderr"}


class Frames:
    """Take the frames apart: 8 bytes of header (stream, three zeros, length), then the payload.

    What comes out is as few and as long chunks as possible: a component that flushes each line makes a frame
    of each, and the work after this should cost by the byte, not by the frame.
    """

    def __init__(self) -> None:
        self._stream: Stream = "stdout"
        self._missing = 0
        self._header = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[Stream, bytes]]:
        """Yield the payload in `chunk`, neighbours of the same stream put together.

        :raises RuntimeFailure: this is no such stream
        """
        data = self._header + chunk if self._header else chunk
        self._header = b""
        view = memoryview(data)
        position, end = 0, len(data)
        pieces: list[memoryview] = []
        while position < end:
            if self._missing == 0:
                if end - position < _HEADER.size:
                    self._header = data[position:]
                    break
                kind, self._missing = _HEADER.unpack_from(data, position)
                stream = self._name(kind)
                position += _HEADER.size
                if stream != self._stream and pieces:
                    yield self._stream, b"".join(pieces)
                    pieces = []
                self._stream = stream
            piece = view[position : position + self._missing]
            pieces.append(piece)
            position += len(piece)
            self._missing -= len(piece)
        if pieces:
            yield self._stream, b"".join(pieces)

    def finish(self) -> None:
        """Say that the connection has ended.

        :raises RuntimeFailure: it ended in the middle of a frame
        """
        if self._missing or self._header:
            raise RuntimeFailure("the connection to the container engine broke in the middle of the output", retry=True)

    @staticmethod
    def _name(kind: int) -> Stream:
        try:
            return _STREAMS[kind]
        except KeyError:
            raise RuntimeFailure(
                f"the container engine sent a frame for the unknown stream {kind}", retry=True
            ) from None
